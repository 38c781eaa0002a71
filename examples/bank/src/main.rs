//! Accounts as actors, transfers as sagas of reliable messages, and peers that are killed at random meanwhile.
//!
//! All peers run in this process, over real connections and on disks of their own. A peer is killed in the middle of
//! whatever it does, and a new one takes its place with an empty disk. Clients see pauses; the total stays.

mod account;
mod cli;
mod view;

use clap::Parser;
use standin::actor::Down;
use standin::testing::{Cluster, Prng};
use standin::{CallError, Peer, Placement, Session};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

use account::{Account, Pay, Statement, account};
use cli::Args;
use view::{Look, View};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What an account begins with.
const BEGIN: u64 = 1000;

/// How many sessions order transfers at once.
const TELLERS: u64 = 8;

/// How long the whole may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Between two kills.
const RESPITE: Duration = Duration::from_millis(700);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "off".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let args = Args::parse();
    let mut cluster = Cluster::start(args.peers as usize, |peer| peer.kind(account::kind())).await?;
    open_accounts(cluster.peer(0), &args).await?;
    let end = run(&mut cluster, &args).await;
    cluster.shutdown().await;
    match end? {
        look if look.is_conserved() && look.ended() == look.transfers => Ok(()),
        look => Err(format!("the total has changed, or transfers are missing: {look:?}").into()),
    }
}

async fn open_accounts(bank: &Peer, args: &Args) -> Result<(), CallError> {
    for number in 0..args.accounts {
        let is_closed = number + 1 == args.accounts;
        let state = Account { balance: BEGIN, is_closed, ..Account::default() };
        // Others go on with it while its machine is away.
        let how = Placement::Spread.down(Down::StandIn { after: Duration::ZERO });
        bank.create(format!("account-{number}"), state, how).await?;
    }
    Ok(())
}

/// Orders all transfers, kills peers until all are done, and says how it ended.
async fn run(cluster: &mut Cluster, args: &Args) -> Result<Look, Failure> {
    // The peer through which the bank works lives on; all others may die.
    let bank = cluster.peer(0).clone();
    let mut tellers = JoinSet::new();
    for teller in 0..TELLERS {
        tellers.spawn(order(bank.session().await?, args.clone(), teller));
    }
    let (begin, mut view, mut random) = (Instant::now(), View::new(args.json), Prng::new(args.seed));
    let (mut kills, mut dead) = (0, None);
    loop {
        let look = look(cluster, &bank, args, (kills, dead), begin).await?;
        view.show(&look)?;
        if look.is_settled && kills >= args.kills {
            while let Some(ended) = tellers.join_next().await {
                ended??;
            }
            return Ok(look);
        }
        if begin.elapsed() > PATIENCE {
            return Err("not done in time".into());
        }
        match dead.take() {
            Some(at) => cluster.replace(at).await?,
            None => {
                let at = 1 + random.below(args.peers - 1) as usize;
                cluster.kill(at);
                (kills, dead) = (kills + 1, Some(at));
            }
        }
        tokio::time::sleep(RESPITE).await;
        if dead.is_none() {
            // As soon as its vote and its copies are in their places, the next one may die.
            cluster.everything_lives_again().await?;
        }
    }
}

/// Orders one teller's share of the transfers, between accounts drawn by chance. The session makes each count once.
async fn order(session: Session, args: Args, teller: u64) -> Result<(), CallError> {
    let mut random = Prng::new(args.seed ^ (teller << 32));
    for transfer in (teller..args.transfers).step_by(TELLERS as usize) {
        // The closed account never pays.
        let payer = random.below(u64::from(args.accounts) - 1) as u32;
        let payee = random.below(u64::from(args.accounts)) as u32;
        let to = format!("account-{payee}");
        let order = Pay { transfer, to, amount: 1 + random.below(100) };
        let from = account(payer)
            .map_err(|e| CallError::not_executed(standin::Reason::InvalidName(e.to_string())))?;
        session.send(&from, order).await?;
    }
    Ok(())
}

async fn look(
    cluster: &Cluster,
    bank: &Peer,
    args: &Args,
    (kills, dead): (u32, Option<usize>),
    begin: Instant,
) -> Result<Look, Failure> {
    let total = u64::from(args.accounts) * BEGIN;
    let mut look = Look {
        total,
        transfers: args.transfers,
        kills,
        seconds: begin.elapsed().as_secs(),
        ..Look::default()
    };
    for number in 0..args.accounts {
        let state = statement(bank, number).await?;
        look.in_accounts += state.balance;
        look.on_the_way += state.on_the_way.values().sum::<u64>();
        look.paid += state.paid;
        look.refused += state.refused;
        look.came_back += state.came_back;
    }
    look.is_settled = look.ended() == args.transfers;
    look.peers =
        (0..args.peers as usize).map(|at| (dead != Some(at)).then(|| runs_at(cluster, at))).collect();
    Ok(look)
}

fn runs_at(cluster: &Cluster, at: usize) -> usize {
    cluster.peer(at).status().actors_here
}

/// Asked again while its host is dying: asking changes nothing.
async fn statement(bank: &Peer, number: u32) -> Result<Account, Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        match bank.ask(&account(number)?, Statement).await {
            Ok(state) => return Ok(state),
            Err(e) if Instant::now() >= end => return Err(e.into()),
            Err(_) => {}
        }
    }
}
