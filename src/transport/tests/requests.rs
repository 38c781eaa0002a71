//! What can come of a request.

use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::Instant;

use super::*;
use crate::limits::{MAX_FRAME_BYTES, MAX_PACKET_BYTES, MAX_REQUESTS_IN_FLIGHT};
use futures_util::future::join_all;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_come_back_and_each_peer_knows_who_asks() {
    let (one, two) = two();
    assert_eq!(one.ask(&two.dest(), "hello").await.unwrap(), "hello".as_bytes()[..]);
    assert_eq!(two.ask(&one.dest(), "you too").await.unwrap(), "you too".as_bytes()[..]);
    let from = lock(&two.recorder.from)[0].clone();
    assert_eq!((&from.hello.node_id, from.hello.listen), (&one.node_id, one.addr()));
    assert_eq!(two.transport.counters().accepted, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_callers_requests_keep_their_order_also_before_the_first_connection() {
    let (one, two) = two();
    let bodies: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
    let asked: Vec<_> = bodies.iter().map(|body| one.ask_now(&two.dest(), body)).collect();
    for (answer, body) in join_all(asked).await.into_iter().zip(&bodies) {
        assert_eq!(answer.unwrap(), body.as_bytes());
    }
    assert_eq!(two.heard(), bodies);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_may_be_under_way_and_be_answered_in_any_order() {
    let (one, two) = two();
    let asked: Vec<_> = (0..1000).map(|n| one.ask_now(&two.dest(), &format!("hold {n}"))).collect();
    let answers = tokio::spawn(join_all(asked));
    until("all are held", || lock(&two.recorder.held).len() == 1000).await;
    let held = std::mem::take(&mut *lock(&two.recorder.held));
    held.into_iter().enumerate().rev().for_each(|(n, reply)| reply.send(n.to_string().into()));
    for (n, answer) in answers.await.unwrap().into_iter().enumerate() {
        assert_eq!(answer.unwrap(), n.to_string().as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_says_whether_the_request_had_left() {
    let (one, two) = two();
    let short = Duration::from_millis(200);
    let held = one.transport.request(&two.dest(), Lane::Call, "hold".into(), short).await;
    assert_eq!(held, Err(RequestError::Deadline { sent: true }));

    let nobody = std::net::UdpSocket::bind(loopback()).unwrap();
    let start = Instant::now();
    let dead = Dest::contact(nobody.local_addr().unwrap());
    let dead = one.transport.request(&dead, Lane::Call, "x".into(), short).await;
    assert_eq!(dead, Err(RequestError::Deadline { sent: false }));
    assert!(start.elapsed() < short * 3, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_at_the_address_is_not_sent_well_before_a_long_deadline() {
    let (one, _) = two();
    let nobody = std::net::UdpSocket::bind(loopback()).unwrap();
    let asked = one.ask(&Dest::contact(nobody.local_addr().unwrap()), "x").await;
    assert!(matches!(asked, Err(RequestError::NotSent(_))), "{asked:?}");
    assert_eq!(one.transport.counters().dial_failed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_reply_is_unknown_and_a_refused_request_is_not_handled() {
    let (one, two) = two();
    let dropped = one.ask(&two.dest(), "drop").await.unwrap_err();
    assert!(matches!(dropped, RequestError::Unknown(_)) && !dropped.is_not_handled(), "{dropped:?}");
    let refused = one.ask(&two.dest(), "refuse").await.unwrap_err();
    assert!(refused == RequestError::Refused(Refusal::Overloaded) && refused.is_not_handled());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_fails_alone_and_says_whether_it_was_handled() {
    let (one, two) = two();
    let request = one.transport.request(&two.dest(), Lane::Call, vec![0; MAX_FRAME_BYTES], SOON).await;
    assert_eq!(request, Err(RequestError::TooLarge));
    let reply = one.ask(&two.dest(), "big reply").await;
    assert!(matches!(reply, Err(RequestError::Unknown(_))), "{reply:?}");
    assert_eq!(two.transport.counters().replies_lost, 1);

    let largest = vec![b'x'; MAX_FRAME_BYTES - 9];
    let answer = one.transport.request(&two.dest(), Lane::Call, largest.clone(), SOON).await;
    assert!(answer.unwrap() == largest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_call_lane_neither_grows_without_bound_nor_delays_the_control_lane() {
    let (one, two) = two();
    let count = 3 * MAX_REQUESTS_IN_FLIGHT;
    let asked: Vec<_> = (0..count).map(|n| one.ask_now(&two.dest(), &format!("hold {n}"))).collect();
    let answers = tokio::spawn(join_all(asked));
    until("the lane is full", || lock(&two.recorder.held).len() == MAX_REQUESTS_IN_FLIGHT).await;

    let beat = one.transport.request(&two.dest(), Lane::Control, "beat".into(), SOON).await;
    assert_eq!(beat.unwrap(), "beat".as_bytes()[..]);
    assert_eq!(lock(&two.recorder.held).len(), MAX_REQUESTS_IN_FLIGHT);

    // Answering makes room for those that waited; those for whom there was no room were told at once.
    let deadline = tokio::time::Instant::now() + SOON;
    while !answers.is_finished() {
        assert!(tokio::time::Instant::now() < deadline);
        let held = std::mem::take(&mut *lock(&two.recorder.held));
        held.into_iter().for_each(|reply| reply.send(b"done".into()));
        tokio::task::yield_now().await;
    }
    let answers = answers.await.unwrap();
    let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(refused.iter().all(|e| matches!(e, Err(RequestError::NotSent(_)))));
    assert_eq!(done.len(), two.heard().len() - 1, "handled and answered are the same, but for the beat");
    assert!(!refused.is_empty());
}

/// On one thread: on more, the slot is put to use by chance.
#[tokio::test]
async fn two_lanes_that_wait_for_a_slot_do_not_hand_it_to_and_fro() {
    let (one, two) = two();
    let hold = |lane, n: usize| one.transport.queue(&two.dest(), lane, format!("hold {n}").into(), SOON);
    let all_held = || until("they are held", || lock(&two.recorder.held).len() == MAX_REQUESTS_IN_FLIGHT);
    let _full: Vec<_> = (0..MAX_REQUESTS_IN_FLIGHT).map(|n| hold(Lane::Call, n)).collect();
    all_held().await;
    let _waiting = [Lane::Call, Lane::Heavy].map(|lane| hold(lane, MAX_REQUESTS_IN_FLIGHT));
    for _ in 0..2 {
        let reply = lock(&two.recorder.held).pop().unwrap();
        reply.send(vec![]);
        all_held().await;
    }
}

/// Asks for all of these, then for something short; how many of them were done when that was.
async fn done_before_a_short_one(one: &TestPeer, to: &Dest, lane: Lane, bodies: Vec<Vec<u8>>) -> usize {
    one.ask(to, "the connection is up").await.unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let long = bodies.into_iter().map(|body| {
        let (asked, done) = (one.transport.request(to, lane, body, SOON), done.clone());
        async move {
            asked.await.unwrap();
            done.fetch_add(1, Ordering::Relaxed)
        }
    });
    let long = tokio::spawn(join_all(long.collect::<Vec<_>>()));
    one.ask(to, "short").await.unwrap();
    let before = done.load(Ordering::Relaxed);
    long.await.unwrap();
    before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_call_waits_neither_behind_long_ones_nor_behind_long_replies() {
    let (one, two) = two();
    let sent = vec![vec![b'x'; LONG]; 8];
    let before = done_before_a_short_one(&one, &two.dest(), Lane::of_message(LONG), sent).await;
    assert!(before < 4, "{before} of 8 long requests came first");
    let asked = vec![b"long".to_vec(); 8];
    let before = done_before_a_short_one(&one, &two.dest(), Lane::Call, asked).await;
    assert!(before < 4, "{before} of 8 long replies came first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_the_handler_ends_the_connection_and_not_the_peer() {
    let (one, two) = two();
    let asked = one.ask(&two.dest(), "panic").await;
    assert!(matches!(asked, Err(RequestError::Unknown(_))), "{asked:?}");
    one.ask_until_answered(&two.dest()).await;
}

impl TestPeer {
    fn ask_now(
        &self,
        to: &Dest,
        body: &str,
    ) -> impl Future<Output = Result<Bytes, RequestError>> + Send + use<> {
        self.transport.request(to, Lane::Call, body.into(), SOON)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_grow_where_the_network_lets_them() {
    let (one, two) = two();
    let deadline = Instant::now() + SOON;
    loop {
        one.ask(&two.dest(), "how large may packets be?").await.unwrap();
        let session = one.transport.first_link().session().unwrap();
        let found = session.connection.stats().path.current_mtu;
        if found > MAX_PACKET_BYTES - 50 {
            return;
        }
        assert!(Instant::now() < deadline, "{found} bytes");
    }
}
