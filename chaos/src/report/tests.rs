//! From what happened to what is drawn.

use standin::Event;
use standin::id::{ActorId, Epoch, Incarnation, NodeId};

use super::timeline::{Peer, State, Timeline};
use super::{Answer, Entry, Happening, build};

fn at(at_ms: u64, what: Happening) -> Entry {
    Entry { at_ms, what }
}

fn started(peer: usize, life: u64, lease: bool) -> Happening {
    Happening::Started { peer, life, lease, leads: None }
}

fn told(peer: usize, life: u64, event: Event) -> Happening {
    Happening::Told { peer, life, event }
}

fn leader(name: &str, term: u64) -> Event {
    Event::LeaderChanged { leader: Some(NodeId::new(name).unwrap()), term }
}

fn recovered(actor: &str, from_seq: u64, downtime_ms: u64) -> Event {
    let (kind, key) = actor.split_once('/').unwrap();
    let actor = ActorId::new(kind, key).unwrap();
    Event::ActorRecovered { actor, epoch: Epoch(9), from_seq, downtime_ms }
}

fn drawn(entries: &[Entry]) -> Timeline {
    build(entries, &["peer-1".into(), "peer-2".into()], 1000)
}

fn bands(peer: &Peer) -> Vec<(u64, u64, State)> {
    peer.bands.iter().map(|band| (band.from_ms, band.to_ms, band.state)).collect()
}

#[test]
fn a_peer_is_in_one_state_at_every_moment() {
    let line = drawn(&[
        at(0, started(0, 1, true)),
        at(100, told(0, 1, Event::LeasePaused)),
        at(150, told(0, 1, Event::LeaseResumed)),
        at(200, Happening::Froze { peer: 0, life: 1 }),
        at(250, Happening::Thawed { peer: 0, life: 1 }),
        at(300, Happening::Ended { peer: 0, life: 1 }),
        at(300, Happening::Ended { peer: 0, life: 1 }),
        at(500, started(0, 2, false)),
        at(600, told(0, 2, Event::LeaseResumed)),
        at(700, told(0, 2, Event::Failed { why: "<disk>".into() })),
    ]);
    let expected = [
        (0, 100, State::Up),
        (100, 150, State::Paused),
        (150, 200, State::Up),
        (200, 250, State::Frozen),
        (250, 300, State::Up),
        (300, 500, State::Down),
        (500, 600, State::Starting),
        (600, 700, State::Up),
        (700, 1000, State::Failed),
    ];
    assert_eq!(bands(&line.peers[0]), expected);
    assert_eq!(bands(&line.peers[1]), [(0, 1000, State::Down)], "it never began");
    assert!(line.peers[0].older.is_empty());
}

#[test]
fn a_process_whose_place_was_taken_is_drawn_beside_the_new_one() {
    let line = drawn(&[
        at(0, started(0, 1, true)),
        at(400, started(0, 2, false)),
        at(500, told(0, 1, Event::LeasePaused)),
        at(600, told(0, 2, Event::LeaseResumed)),
        at(700, told(0, 1, Event::Retired { by: Incarnation(2) })),
        at(900, Happening::Ended { peer: 0, life: 1 }),
    ]);
    let (up, starting) = (State::Up, State::Starting);
    assert_eq!(bands(&line.peers[0]), [(0, 400, up), (400, 600, starting), (600, 1000, up)]);
    let older: Vec<_> = line.peers[0].older.iter().map(|b| (b.from_ms, b.to_ms, b.state)).collect();
    assert_eq!(older, [(400, 500, up), (500, 700, State::Paused), (700, 900, State::Retired)]);
}

#[test]
fn who_leads_is_who_believes_so() {
    let line = drawn(&[
        at(0, Happening::Started { peer: 0, life: 1, lease: true, leads: Some(1) }),
        at(0, started(1, 2, true)),
        at(300, told(1, 2, leader("peer-2", 2))),
        at(350, told(0, 1, leader("peer-2", 2))),
        at(700, started(1, 3, false)),
        at(800, Happening::Ended { peer: 1, life: 2 }),
    ]);
    let leads = |peer: usize| -> Vec<_> {
        line.peers[peer].leads.iter().map(|lead| (lead.from_ms, lead.to_ms, lead.term, lead.older)).collect()
    };
    assert_eq!(leads(0), [(0, 350, 1, false)]);
    assert_eq!(leads(1), [(300, 700, 2, false), (700, 800, 2, true)], "its place was taken meanwhile");
}

#[test]
fn an_actor_runs_where_its_process_holds_a_lease_and_recovery_is_from_run_to_run() {
    let line = drawn(&[
        at(0, started(0, 1, true)),
        at(10, Happening::Placed { actor: "register/r0".into(), peer: 0 }),
        at(100, told(0, 1, Event::LeasePaused)),
        at(120, told(0, 1, Event::LeaseResumed)),
        at(300, Happening::Ended { peer: 0, life: 1 }),
        at(400, started(0, 2, false)),
        at(450, told(0, 2, recovered("register/r0", 7, 50))),
        at(480, told(0, 2, Event::LeaseResumed)),
    ]);
    let actor = &line.actors[0];
    let spans: Vec<_> = actor.spans.iter().map(|span| (span.from_ms, span.to_ms)).collect();
    assert_eq!(spans, [(10, 100), (120, 300), (480, 1000)]);
    let restore = &actor.restores[0];
    assert_eq!((restore.from_seq, restore.downtime_ms, restore.gap_ms), (7, 50, Some(180)));
    assert_eq!(line.recoveries().collect::<Vec<_>>(), [180], "a pause is no recovery");
}

#[test]
fn an_actor_that_begins_again_in_its_process_was_not_away() {
    let line = drawn(&[
        at(0, started(0, 1, true)),
        at(10, Happening::Placed { actor: "register/r0".into(), peer: 0 }),
        at(100, told(0, 1, recovered("register/r0", 3, 0))),
    ]);
    let actor = &line.actors[0];
    assert!(actor.restores[0].in_place);
    assert_eq!(line.recoveries().count(), 0);
    assert_eq!(actor.spans.last().map(|span| (span.from_ms, span.to_ms)), Some((100, 1000)));
}

#[test]
fn a_fault_lasts_until_it_is_mended() {
    let struck = |fault, family: &str| Happening::Struck { fault, family: family.into(), what: "it".into() };
    let line = drawn(&[
        at(10, struck(1, "Isolate")),
        at(10, Happening::Hit { fault: 1, peer: 1 }),
        at(10, Happening::Hit { fault: 1, peer: 1 }),
        at(20, struck(2, "Storm")),
        at(90, Happening::Mended { fault: 1 }),
        at(500, Happening::AllMended),
        at(600, struck(3, "Ring")),
        at(700, Happening::Hit { fault: 99, peer: 0 }),
    ]);
    let faults: Vec<_> =
        line.faults.iter().map(|f| (f.number, f.from_ms, f.to_ms, f.peers.clone())).collect();
    assert_eq!(faults, [(1, 10, 90, vec![1]), (2, 20, 500, vec![]), (3, 600, 1000, vec![])]);
}

#[test]
fn calls_are_counted_by_time_and_end() {
    let answered = |at_ms, answer| at(at_ms, Happening::Answered { answer });
    let line = drawn(&[
        answered(0, Answer::Ok),
        answered(99, Answer::Ok),
        answered(100, Answer::Not),
        answered(1000, Answer::Unknown),
        answered(9999, Answer::Ok),
    ]);
    assert_eq!((line.calls.bucket_ms, line.calls.ok[0], line.calls.not[1]), (100, 2, 1));
    assert_eq!((line.calls.unknown[10], line.calls.ok.iter().sum::<u32>()), (1, 2));
}

#[test]
fn entries_of_peers_that_nobody_knows_do_no_harm() {
    let line = drawn(&[
        at(0, started(7, 1, true)),
        at(1, told(7, 1, Event::LeasePaused)),
        at(2, Happening::Ended { peer: 7, life: 1 }),
        at(3, Happening::Froze { peer: 9, life: 9 }),
        at(4, Happening::Placed { actor: "register/r0".into(), peer: 9 }),
    ]);
    assert_eq!(line.peers.len(), 2);
}

#[test]
fn an_entry_is_one_line_of_json_and_comes_back() {
    let entry = at(12, told(1, 3, recovered("ledger/l1", 4, 5)));
    let text = serde_json::to_string(&entry).unwrap();
    assert!(text.starts_with(r#"{"at_ms":12,"is":"told","#), "{text}");
    assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
}
