//! What a child process does: it is this test binary, told to run this one "test".

use futures_util::StreamExt;
use serde::Serialize;
use standin::actor::{ActorRef, Down, Kind};
use standin::identity::Identity;
use standin::{CallError, CreateOptions, Peer, Placement, Reason};
use std::fs::File;
use std::io::{BufRead, Read as _, Write};
use std::time::Duration;
use tokio::time::Instant;

use super::actors::{Keeper, Note, Read, Walk, keep_journal};
use super::links;
use super::store::write_until_killed;
use super::words::{Answer, MARK, MAX_LINE, Order, PeerRole, Role, Said, Sight, Want};
use crate::support::{PATIENCE, logs};

/// Set for a child; without it the "test" below does nothing.
pub const CHILD: &str = "STANDIN_TEST_CHILD";

#[test]
#[ignore = "the child process of other tests"]
#[expect(clippy::disallowed_methods, reason = "what the test runner prints at its end is not for the parent")]
fn main() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    logs();
    println!();
    match serde_json::from_str(&next_line().expect("a child is told its role")) {
        Ok(Role::Peer(role)) => be_a_peer(role),
        Ok(Role::Writer(role)) => write_until_killed(&role),
        Err(e) => panic!("not a role: {e}"),
    }
    std::process::exit(0);
}

/// None when the parent is gone, or let go of this child.
pub fn next_line() -> Option<String> {
    let mut line = String::new();
    let read = std::io::stdin().lock().take(MAX_LINE).read_line(&mut line);
    (read.is_ok_and(|n| n > 0) && line.ends_with('\n')).then_some(line)
}

/// In one call, so that a kill leaves whole lines or none.
#[expect(clippy::disallowed_methods, reason = "a process whose parent is gone has nothing to return to")]
pub fn say(what: &impl Serialize) {
    let line = format!("{MARK}{}\n", serde_json::to_string(what).expect("it encodes"));
    let mut out = std::io::stdout().lock();
    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0); // nobody listens
    }
}

fn be_a_peer(role: PeerRole) {
    let journal = File::options().append(true).create(true).open(&role.journal);
    keep_journal(journal.expect("a journal"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let peer = match runtime.block_on(start(role)) {
        Ok(peer) => peer,
        Err(why) => return say(&Said::CouldNotStart(why)),
    };
    say(&Said::Started(peer.status().addr.expect("a started peer listens")));
    runtime.spawn(report_events(peer.clone()));
    while let Some(line) = next_line() {
        let Ok(Order { id, want }) = serde_json::from_str(&line) else { panic!("not an order: {line}") };
        let peer = peer.clone();
        runtime.spawn(async move {
            let answer = answer(&peer, want).await;
            say(&Said::Answered { id, answer });
        });
    }
}

async fn start(role: PeerRole) -> Result<Peer, String> {
    let (chain, key, roots) = &role.identity;
    let identity = Identity::from_pem(chain, key, roots).map_err(|e| e.to_string())?;
    Peer::builder(role.node)
        .identity(identity)
        .data_dir(role.dir)
        .listen(role.listen)
        .contacts(role.contacts)
        .bootstrap(role.bootstrap)
        .kind(Kind::of::<Keeper>().handles::<Note>().handles::<Walk>().handles::<Read>())
        .kind(crate::chain::kind())
        .start()
        .await
        .map_err(|e| e.to_string())
}

async fn report_events(peer: Peer) {
    let mut events = peer.events();
    while let Ok(event) = events.recv().await {
        say(&Said::Happened(event));
    }
}

async fn answer(peer: &Peer, want: Want) -> Answer {
    match want {
        Want::Create { key, home, stand_in_ms } => {
            let down =
                stand_in_ms.map_or(Down::Wait, |ms| Down::StandIn { after: Duration::from_millis(ms) });
            Answer::Done(create(peer, &key, Placement::On(home).down(down)).await)
        }
        Want::CreateMany { count, home } => {
            let make = |n: u32| {
                let at = Placement::On(home.clone()).down(Down::StandIn { after: Duration::ZERO });
                async move { create(peer, &many(n), at).await.is_ok() }
            };
            took(count, make).await
        }
        Want::NoteMany { count, token, deadline } => {
            let note = |n: u32| async move {
                match named(&many(n)) {
                    Ok(name) => peer.ask_within(&name, Note(token), deadline).await.is_ok(),
                    Err(_) => false,
                }
            };
            took(count, note).await
        }
        Want::Note { key, token, durable, deadline } => Answer::Done(match named(&key) {
            Ok(name) if durable => peer.ask_durable(&name, Note(token), deadline).await,
            Ok(name) => peer.ask_within(&name, Note(token), deadline).await,
            Err(e) => Err(e),
        }),
        Want::Walk { key, token, steps, deadline } => Answer::Done(match named(&key) {
            Ok(name) => peer.ask_within(&name, Walk { token, steps }, deadline).await,
            Err(e) => Err(e),
        }),
        Want::Read { key, deadline } => Answer::Kept(match named(&key) {
            Ok(name) => peer.ask_within(&name, Read, deadline).await,
            Err(e) => Err(e),
        }),
        Want::Links(want) => links::answer(peer, want, PATIENCE).await,
        Want::Look => Answer::Sight(Box::new(look(peer))),
    }
}

fn named(key: &str) -> Result<ActorRef<Keeper>, CallError> {
    ActorRef::new(key).map_err(|e| CallError::not_executed(Reason::InvalidName(e.to_string())))
}

async fn create(peer: &Peer, key: &str, how: CreateOptions) -> Result<(), CallError> {
    peer.create(key, Keeper::default(), how).await.map(drop)
}

fn many(n: u32) -> String {
    format!("many-{n}")
}

/// Does something with each of many at once.
async fn took<F: Future<Output = bool>>(count: u32, what: impl Fn(u32) -> F) -> Answer {
    let begin = Instant::now();
    let timed = |n| {
        let one = what(n);
        async move { (one.await, begin.elapsed()) }
    };
    let all: Vec<(bool, Duration)> =
        futures_util::stream::iter((0..count).map(timed)).buffer_unordered(4096).collect().await;
    let replies = all.iter().filter(|(replied, _)| *replied).count() as u32;
    let longest = all.iter().map(|(_, took)| *took).max().unwrap_or_default();
    let millis = |d: Duration| d.as_millis() as u64;
    Answer::Took { replies, all_ms: millis(begin.elapsed()), longest_ms: millis(longest) }
}

fn look(peer: &Peer) -> Sight {
    let status = peer.status();
    let actors = peer.actors().into_iter().map(|actor| (actor.id.key().to_owned(), actor)).collect();
    Sight { status, actors, wall_clock: wall_clock() }
}

#[expect(clippy::disallowed_methods, reason = "to show that it is off, and that nothing depends on it")]
pub fn wall_clock() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
}
