//! Connections that break, come back, and lead to another life than expected.

use tokio::time::Instant;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_restarts_on_its_port_is_reached_again_at_once() {
    let authority = authority();
    let one = TestPeer::start(config(authority.issue(&node("worker-1")).unwrap()));
    let identity = authority.issue(&node("worker-2")).unwrap();
    let two = TestPeer::start(config(identity.clone()));
    let dest = two.dest();
    one.ask(&dest, "hello").await.unwrap();

    two.transport.kill();
    drop(two);
    let mut again = None;
    until("the port is free", || {
        let config = TransportConfig::lan(identity.clone(), dest.addr);
        let recorder = Arc::new(Recorder::default());
        again = Transport::bind(config, recorder).ok();
        again.is_some()
    })
    .await;

    // The old connection does not have to time out: the new process resets it (five seconds without that).
    let start = Instant::now();
    one.ask_until_answered(&dest).await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_moves_to_another_port_is_reached_there() {
    let authority = authority();
    let one = TestPeer::start(config(authority.issue(&node("worker-1")).unwrap()));
    let identity = authority.issue(&node("worker-2")).unwrap();
    let two = TestPeer::start(config(identity.clone()));
    one.ask(&two.dest(), "hello").await.unwrap();
    two.transport.shutdown().await;
    let moved = TestPeer::start(config(identity));
    one.ask(&moved.dest(), "hello").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_at_the_address_gets_nothing() {
    let (one, two) = two();
    let dest = Dest { node_id: Some(node("worker-3")), ..two.dest() };
    let asked = one.ask(&dest, "for worker-3 only").await;
    assert!(matches!(&asked, Err(RequestError::NotSent(why)) if why.contains("worker-2")), "{asked:?}");
    assert!(two.heard().is_empty());
    one.ask(&Dest::contact(two.addr()), "for anyone").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_life_at_the_address_gets_nothing_until_it_says_a_newer_hello() {
    let (one, two) = two();
    two.transport.set_hello(life(3), None, None);
    let third = Dest { incarnation: life(3), ..two.dest() };
    let fourth = Dest { incarnation: life(4), ..two.dest() };
    one.ask(&third, "for life 3").await.unwrap();
    let early = one.ask(&fourth, "for life 4").await;
    assert!(matches!(early, Err(RequestError::NotSent(_))), "{early:?}");
    assert_eq!(two.heard().len(), 1);

    // Asking again and again leaves no trail of connections.
    let old = one.transport.first_link().session().unwrap();
    until("it is worth asking again", || old.fit(life(4)) == super::super::session::Fit::AskAgain).await;
    assert!(one.ask(&fourth, "for life 4").await.is_err());
    assert!(old.connection.close_reason().is_some());

    two.transport.set_hello(life(4), None, None);
    one.ask_until_answered(&fourth).await;
    one.ask(&third, "a newer life will do").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_admitted_says_its_new_name_and_loses_nothing_that_is_under_way() {
    let (one, two) = two();
    let dest = two.dest();
    let join = tokio::spawn(one.transport.request(&dest, Lane::Control, "hold the join".into(), SOON));
    until("it is held", || lock(&two.recorder.held).len() == 1).await;
    one.transport.set_hello(life(7), Some(crate::id::RaftId(7)), None);
    one.ask(&dest, "hello").await.unwrap();
    let lives: Vec<_> = lock(&two.recorder.from).iter().map(|from| from.hello.incarnation).collect();
    assert_eq!(lives, [None, life(7)]);
    lock(&two.recorder.held).pop().unwrap().send(b"admitted".into());
    assert_eq!(join.await.unwrap().unwrap(), "admitted".as_bytes()[..]);
}

// One thread, so that the dialing task is surely halfway when this one goes on.
#[tokio::test]
async fn a_peer_that_is_admitted_while_it_dials_is_not_known_under_its_old_name() {
    let (one, two) = two();
    let asked = one.transport.request(&two.dest(), Lane::Call, "hello".into(), SOON);
    tokio::task::yield_now().await;
    one.transport.set_hello(life(7), None, None);
    asked.await.unwrap();
    assert_eq!(lock(&two.recorder.from)[0].hello.incarnation, life(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retired_life_is_cut_off_both_ways_and_told_so() {
    let (one, two) = two();
    one.transport.set_hello(life(5), None, None);
    let dest = one.dest();
    one.ask(&two.dest(), "hello").await.unwrap();
    two.ask(&dest, "hello").await.unwrap();
    let held = tokio::spawn(one.transport.request(&two.dest(), Lane::Call, "hold".into(), SOON));
    until("it is held", || lock(&two.recorder.held).len() == 1).await;

    two.transport.close_older(&node("worker-1"), Incarnation(9));
    let by = Refusal::Retired { by: Incarnation(9) };
    assert!(matches!(held.await.unwrap(), Err(RequestError::Unknown(_))));
    until("it is told", || lock(&one.recorder.refused).contains(&by)).await;
    assert_eq!(two.transport.counters().closed_older, 2);

    let accepted = two.transport.counters().accepted;
    assert_eq!(one.ask(&two.dest(), "again").await, Err(RequestError::Refused(by)));
    assert_eq!(two.transport.counters().accepted, accepted, "it is refused before it is welcomed");
    let back = two.ask(&dest, "and back").await;
    assert!(matches!(back, Err(RequestError::NotSent(_))), "{back:?}");
    assert_eq!((one.heard().len(), two.heard().len()), (1, 2));

    one.transport.set_hello(life(9), None, None);
    one.ask_until_answered(&two.dest()).await;
    two.ask_until_answered(&dest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handler_refuses_whom_it_will() {
    let (one, two) = two();
    let refusal = Refusal::Retired { by: Incarnation(3) };
    *lock(&two.recorder.refuse) = Some(refusal.clone());
    assert_eq!(one.ask(&two.dest(), "x").await, Err(RequestError::Refused(refusal.clone())));
    assert_eq!(*lock(&one.recorder.refused), [refusal]);
    assert_eq!(two.transport.counters().refused_retired, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_link_loses_everything_and_a_healed_one_nothing() {
    let (authority, links) = (authority(), LinkTable::new());
    let start = |name| {
        let mut config = config(authority.issue(&node(name)).unwrap());
        config.faults = Some(links.clone());
        TestPeer::start(config)
    };
    let (one, two, three) = (start("worker-1"), start("worker-2"), start("worker-3"));
    let short = Duration::from_millis(300);
    one.ask(&two.dest(), "hello").await.unwrap();

    links.cut(one.addr(), two.addr());
    let cut = one.transport.request(&two.dest(), Lane::Call, "lost".into(), short).await;
    assert_eq!(cut, Err(RequestError::Deadline { sent: true }));
    let back = two.transport.request(&one.dest(), Lane::Call, "lost".into(), short).await;
    assert_eq!(back, Err(RequestError::Deadline { sent: false }));
    three.ask(&one.dest(), "the others go on").await.unwrap();
    one.ask(&three.dest(), "the others go on").await.unwrap();
    assert_eq!(two.heard().len(), 1);

    links.heal(one.addr(), two.addr());
    one.ask_until_answered(&two.dest()).await;
    two.ask_until_answered(&one.dest()).await;

    links.cut_one_way(two.addr(), one.addr());
    let asked = one.transport.request(&two.dest(), Lane::Call, "heard, not answered".into(), short).await;
    assert_eq!(asked, Err(RequestError::Deadline { sent: true }));
    // The deadline may pass while the packet is still on its way to a thread that has no core.
    until("it was heard", || two.heard().contains(&Bytes::from_static(b"heard, not answered"))).await;
    links.heal_all();
    one.ask_until_answered(&two.dest()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_link_is_noticed_and_its_requests_are_unknown() {
    let (authority, links) = (authority(), LinkTable::new());
    let start = |name| {
        let mut config = config(authority.issue(&node(name)).unwrap());
        config.faults = Some(links.clone());
        config.idle_timeout = Duration::from_millis(500);
        config.keep_alive = Duration::from_millis(150);
        TestPeer::start(config)
    };
    let (one, two) = (start("worker-1"), start("worker-2"));
    let slow = tokio::spawn(one.transport.request(&two.dest(), Lane::Call, "hold".into(), SOON));
    until("it is held", || lock(&two.recorder.held).len() == 1).await;
    // Longer than the idle timeout: a request that takes its time keeps its connection.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(!slow.is_finished());

    links.cut(one.addr(), two.addr());
    let ended = slow.await.unwrap();
    assert!(matches!(ended, Err(RequestError::Unknown(_))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_peer_is_tried_again_when_it_says_hello_itself() {
    let authority = authority();
    let mut patient = config(authority.issue(&node("worker-1")).unwrap());
    (patient.first_backoff, patient.longest_backoff) = (SOON * 6, SOON * 6);
    patient.dial_timeout = Duration::from_millis(100);
    let one = TestPeer::start(patient);
    let identity = authority.issue(&node("worker-2")).unwrap();
    let free = std::net::UdpSocket::bind(loopback()).unwrap();
    let addr = free.local_addr().unwrap();
    let dest = Dest { node_id: Some(node("worker-2")), addr, incarnation: None };
    assert!(matches!(one.ask(&dest, "x").await, Err(RequestError::NotSent(_))));

    let waiting = tokio::spawn(one.transport.request(&dest, Lane::Call, "waits".into(), SOON));
    drop(free);
    let two = TestPeer::start(TransportConfig::lan(identity, addr));
    two.ask(&one.dest(), "here I am").await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), "waits".as_bytes()[..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_closed_and_dialed_again_on_demand() {
    let (one, two) = two();
    one.ask(&two.dest(), "hello").await.unwrap();
    let link = one.transport.first_link();
    let session = link.session().unwrap();
    link.close_if_idle(&session);
    assert!(link.session().is_some(), "it was in use since the last time");

    let held = tokio::spawn(one.transport.request(&two.dest(), Lane::Call, "hold".into(), SOON));
    until("it is held", || lock(&two.recorder.held).len() == 1).await;
    link.close_if_idle(&session);
    link.close_if_idle(&session);
    assert!(link.session().is_some(), "a request is under way");
    lock(&two.recorder.held).pop().unwrap().send(b"done".into());
    held.await.unwrap().unwrap();

    let stream = one.transport.open_stream(&two.dest(), b"bulk".into(), SOON).await.unwrap();
    link.close_if_idle(&session);
    link.close_if_idle(&session);
    assert!(link.session().is_some(), "a stream is open");
    drop(stream);

    until("nothing is under way", || session.is_idle()).await;
    link.close_if_idle(&session);
    assert!(link.session().is_none());
    one.ask(&two.dest(), "hello again").await.unwrap();
    assert_eq!(two.transport.counters().accepted, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_shutdown_nothing_is_sent_and_the_others_know() {
    let (one, two) = two();
    one.ask(&two.dest(), "hello").await.unwrap();
    let held = tokio::spawn(one.transport.request(&two.dest(), Lane::Call, "hold".into(), SOON));
    until("it is held", || lock(&two.recorder.held).len() == 1).await;
    two.transport.shutdown().await;
    assert!(matches!(held.await.unwrap(), Err(RequestError::Unknown(_))));
    let sent = two.ask(&one.dest(), "x").await;
    assert!(matches!(sent, Err(RequestError::NotSent(_))), "{sent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_lane_does_not_end_the_connection_under_a_busy_one() {
    let (one, two) = two();
    let dest = two.dest();
    let release = async {
        until("it is held", || !lock(&two.recorder.held).is_empty()).await;
        // The other lane stays quiet for longer than a stranger may say nothing.
        tokio::time::sleep(crate::limits::HANDSHAKE_DEADLINE + Duration::from_millis(300)).await;
        lock(&two.recorder.held).drain(..).for_each(|reply| reply.send(b"late".to_vec()));
    };
    let (answer, ()) = tokio::join!(one.ask(&dest, "hold this"), release);
    assert_eq!(answer.unwrap(), "late");
}
