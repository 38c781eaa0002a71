//! What a peer's process does: it is this program, told to be a peer.

use rustix::process::{Signal, set_parent_process_death_signal};
use serde::Serialize;
use standin::actor::Down;
use standin::identity::Identity;
use standin::{ActorStatus, Peer, Placement};
use std::io::{BufRead, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

use super::clock::{self, DriftClock};
use super::words::{Answer, MAX_LINE, Order, Role, Said, Sight, Want};
use crate::work::{move_to, perform, probe, register};
use crate::{canary, fate};

/// The peer, until the run is gone or lets go of it.
pub fn main() -> ExitCode {
    // Whatever happens to the run, also where it cannot clean up, nothing of it is left.
    if let Err(e) = set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("this process might outlive its run: {e}");
        return ExitCode::FAILURE;
    }
    let Some(role) = next_line().and_then(|line| serde_json::from_str::<Role>(&line).ok()) else {
        eprintln!("a peer is started by `chaos run`, and told its role");
        return ExitCode::from(2);
    };
    clock::set_begun_us(role.begun_us);
    report_panics();
    let mistake = role.mistake.as_deref().and_then(canary::named);
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads.on_thread_start(move || standin::canary::make(mistake));
    match threads.worker_threads(2).enable_all().build() {
        Ok(runtime) => serve(&runtime, role),
        Err(e) => {
            say(&Said::CouldNotStart(e.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// None when the run is gone, or let go of this process.
fn next_line() -> Option<String> {
    let mut line = String::new();
    let read = std::io::stdin().lock().take(MAX_LINE).read_line(&mut line);
    (read.is_ok_and(|n| n > 0) && line.ends_with('\n')).then_some(line)
}

/// In one call, so that a kill leaves whole lines or none.
fn say(what: &impl Serialize) {
    let Ok(text) = serde_json::to_string(what) else { return };
    let mut out = std::io::stdout().lock();
    drop(out.write_all(format!("{text}\n").as_bytes()).and_then(|()| out.flush()));
}

/// An actor that panics as the plan wants it unwinds without this.
fn report_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        say(&Said::Panicked(panic.to_string()));
        usual(panic);
    }));
}

fn serve(runtime: &tokio::runtime::Runtime, role: Role) -> ExitCode {
    let clock = Arc::new(DriftClock::default());
    let peer = match runtime.block_on(start(role, clock.clone())) {
        Ok(peer) => peer,
        Err(why) => {
            say(&Said::CouldNotStart(why));
            return ExitCode::FAILURE;
        }
    };
    say(&Said::Started);
    runtime.spawn(report_events(peer.clone()));
    while let Some(line) = next_line() {
        let Ok(Order { id, want }) = serde_json::from_str(&line) else {
            eprintln!("not an order: {line}");
            return ExitCode::FAILURE;
        };
        let (peer, clock) = (peer.clone(), clock.clone());
        runtime.spawn(async move {
            let answer = answer(&peer, &clock, want).await;
            say(&Said::Answered { id, answer });
        });
    }
    ExitCode::SUCCESS
}

async fn start(role: Role, clock: Arc<DriftClock>) -> Result<Peer, String> {
    // A write past the limit on a file's size is an error then, and not the end of the process: a full disk.
    let mut too_large =
        signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map_err(|e| format!("SIGXFSZ: {e}"))?;
    tokio::spawn(async move { while too_large.recv().await.is_some() {} });
    let (chain, key, roots) = &role.identity;
    let identity = Identity::from_pem(chain, key, roots).map_err(|e| e.to_string())?;
    let builder = Peer::builder(role.node)
        .identity(identity)
        .data_dir(role.dir)
        .listen(role.listen)
        .advertise(role.advertise)
        .contacts(role.contacts)
        .bootstrap(role.bootstrap)
        .clock(clock);
    register(builder).start().await.map_err(|e| e.to_string())
}

async fn report_events(peer: Peer) {
    let mut events = peer.events();
    while let Ok(event) = events.recv().await {
        say(&Said::Happened { at_us: clock::moment_us(), event });
    }
}

async fn answer(peer: &Peer, clock: &DriftClock, want: Want) -> Answer {
    match want {
        Want::Request(request) => Answer::End(perform(peer, request).await),
        Want::Create { member, home, stand_in_ms } => {
            let down = stand_in_ms.map(|ms| Down::StandIn { after: Duration::from_millis(ms) });
            let home = home.map_or(Placement::Spread, Placement::On).down(down.unwrap_or(Down::Wait));
            Answer::Done(member.create(peer, home).await.map_err(|e| e.to_string()))
        }
        Want::Begin { cast, patience_ms } => {
            Answer::Done(cast.begin(peer, Duration::from_millis(patience_ms)).await)
        }
        Want::Find { cast, mut transfers, patience_ms } => {
            let found = cast.found(peer, &mut transfers, Duration::from_millis(patience_ms)).await;
            Answer::Found(found.map(|found| Box::new((found, transfers))))
        }
        Want::EndAll { cast, generations } => {
            Answer::Done(cast.end(peer, generations).await.map_err(|e| e.to_string()))
        }
        Want::Probe { actor, deadline_ms } => {
            let deadline = Duration::from_millis(deadline_ms);
            Answer::Done(probe(peer, &format!("r{actor}"), deadline).await.map(drop))
        }
        Want::Move { actor, to } => Answer::Done(move_to(peer, actor, &to).await.map_err(|e| e.to_string())),
        Want::End { drains: true, deadline_ms } => {
            let drained = peer.drain(Duration::from_millis(deadline_ms)).await;
            Answer::Done(drained.map_err(|e| e.to_string()))
        }
        Want::End { drains: false, .. } => {
            peer.shutdown().await;
            Answer::Done(Ok(()))
        }
        Want::Look => Answer::Sight(Box::new(look(peer))),
        Want::Drift(ppm) => {
            clock.drift(ppm);
            Answer::Done(Ok(()))
        }
        Want::Jump(seconds) => {
            fate::wall_clock_jumps(seconds);
            Answer::Done(Ok(()))
        }
    }
}

fn look(peer: &Peer) -> Sight {
    let (status, actors) = (peer.status(), peer.actors());
    let home = |actor: &ActorStatus| status.members.get(&actor.home).map(|home| home.incarnation);
    let from_home = actors.iter().filter(|actor| actor.host != home(actor)).count();
    let holders = actors.into_iter();
    let holders = holders.map(|actor| (actor.id.key().to_owned(), actor.holders.into_iter().collect()));
    Sight { holders: holders.collect(), from_home, status, wall_clock_s: wall_clock_s() }
}

#[expect(clippy::disallowed_methods, reason = "to show that it has jumped; nothing depends on it")]
fn wall_clock_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
}
