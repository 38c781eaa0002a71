//! Bulk streams.

use super::*;
use crate::limits::{MAX_FRAME_BYTES, MAX_STREAM_HEADER_BYTES};

async fn stream_between(one: &TestPeer, two: &TestPeer) -> (FramedStream, FramedStream) {
    let stream = one.transport.open_stream(&two.dest(), b"header".into(), SOON).await.unwrap();
    until("it arrives", || !lock(&two.recorder.streams).is_empty()).await;
    let (header, other) = lock(&two.recorder.streams).pop().unwrap();
    assert_eq!(header, "header");
    (stream, other)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_all_sizes_arrive_whole_and_in_order_both_ways() {
    let (one, two) = two();
    let (stream, mut other) = stream_between(&one, &two).await;
    let frames: Vec<Bytes> =
        [0, 1, 4000, 9000, 1 << 20, MAX_FRAME_BYTES, 3].map(|n| Bytes::from(vec![n as u8; n])).to_vec();
    let (mut send, mut recv) = stream.split();
    let sent = frames.clone();
    let sender = tokio::spawn(async move {
        for frame in sent {
            send.send(frame).await.unwrap();
        }
        send.finish().unwrap();
    });
    for frame in &frames {
        assert!(other.recv().await.unwrap().unwrap() == frame);
    }
    assert_eq!(other.recv().await, Ok(None));
    sender.await.unwrap();
    other.send(Bytes::from_static(b"thanks")).await.unwrap();
    other.finish().unwrap();
    assert_eq!(recv.recv().await.unwrap().unwrap(), "thanks");
    assert_eq!(recv.recv().await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_are_sent_together_arrive_one_by_one() {
    let (one, two) = two();
    let (stream, mut other) = stream_between(&one, &two).await;
    let (mut stream, _recv) = stream.split();
    let frames: Vec<Bytes> = (0..5000).map(|n| Bytes::from(vec![n as u8; n % 97 * (n % 61)])).collect();
    let sent = frames.clone();
    let sender = tokio::spawn(async move {
        stream.send_all(sent).await.unwrap();
        stream.send_all([]).await.unwrap();
        stream
    });
    for frame in &frames {
        assert!(other.recv().await.unwrap().unwrap() == frame);
    }
    let mut stream = sender.await.unwrap();
    let large = Bytes::from(vec![0; MAX_FRAME_BYTES + 1]);
    assert_eq!(stream.send_all([Bytes::new(), large]).await, Err(StreamError::TooLarge));
    assert_eq!(stream.finish(), Err(StreamError::CutShort), "some may be sent already");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_vanishes_between_two_frames_is_not_taken_for_the_end() {
    let (one, two) = two();
    let (mut stream, mut other) = stream_between(&one, &two).await;
    stream.send(Bytes::from_static(b"first of two")).await.unwrap();
    assert_eq!(other.recv().await.unwrap().unwrap(), "first of two");
    drop(stream);
    let end = other.recv().await;
    assert!(matches!(end, Err(StreamError::Broken(_))), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_that_was_cut_short_lets_nothing_follow() {
    let (one, two) = two();
    let (mut stream, _other) = stream_between(&one, &two).await;
    // More than the windows hold, and nobody reads.
    let blocked = tokio::time::timeout(Duration::from_millis(100), async {
        loop {
            stream.send(vec![0; MAX_FRAME_BYTES].into()).await.unwrap();
        }
    });
    assert!(blocked.await.is_err());
    assert_eq!(stream.send(Bytes::from_static(b"next")).await, Err(StreamError::CutShort));
    assert_eq!(stream.finish(), Err(StreamError::CutShort));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_progress_is_given_up_and_does_not_delay_requests() {
    let (one, two) = two();
    let idle = Duration::from_millis(200);
    let (stream, _other) = stream_between(&one, &two).await;
    let mut stream = stream.with_idle_deadline(idle);
    assert_eq!(stream.recv().await, Err(StreamError::Idle));
    let stuck = async {
        loop {
            if let Err(e) = stream.send(vec![0; MAX_FRAME_BYTES].into()).await {
                return e;
            }
        }
    };
    assert_eq!(stuck.await, StreamError::Idle);
    one.ask(&two.dest(), "beside a full stream").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oversized_frames_and_headers_are_refused_before_they_are_sent() {
    let (one, two) = two();
    let (mut stream, mut other) = stream_between(&one, &two).await;
    let large = Bytes::from(vec![0; MAX_FRAME_BYTES + 1]);
    assert_eq!(stream.send(large).await, Err(StreamError::TooLarge));
    stream.send(Bytes::from_static(b"still fine")).await.unwrap();
    assert_eq!(other.recv().await.unwrap().unwrap(), "still fine");
    let header = vec![0; MAX_STREAM_HEADER_BYTES + 1];
    assert!(matches!(
        one.transport.open_stream(&two.dest(), header, SOON).await,
        Err(RequestError::TooLarge)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_to_nobody_or_to_an_older_life_is_not_opened() {
    let (one, two) = two();
    let short = Duration::from_millis(100);
    let nobody = std::net::UdpSocket::bind(loopback()).unwrap();
    let dead = one.transport.open_stream(&Dest::contact(nobody.local_addr().unwrap()), vec![], short).await;
    assert_eq!(dead.err(), Some(RequestError::Deadline { sent: false }));
    let newer = Dest { incarnation: life(4), ..two.dest() };
    let early = one.transport.open_stream(&newer, vec![], SOON).await;
    assert!(matches!(early, Err(RequestError::NotSent(_))));
}
