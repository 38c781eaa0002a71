//! Calls, from this peer and from another.

use super::cast::*;
use super::rig::*;
use crate::actor::*;
use crate::error::{CallError, Outcome, Reason};
use crate::id::Epoch;

#[tokio::test]
async fn a_typed_ask_gets_a_typed_reply() {
    let rig = rig();
    assert_eq!(rig.call(Push(7)).await.unwrap(), 1);
    assert_eq!(rig.call(All).await.unwrap(), [7]);
}

#[tokio::test]
async fn tells_arrive_in_the_order_of_one_sender() {
    let rig = rig();
    for n in 0..100 {
        rig.host.tell_local_waiting::<Tally, _>(&at::<Tally>(), Push(n)).await.unwrap();
    }
    let all = rig.host.ask_local_waiting::<Tally, _>(&at::<Tally>(), All, false).await;
    let all = reply(all.map_err(|(_, r)| r).unwrap()).await.unwrap();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_mailbox_hands_the_message_back_and_a_waiting_send_gets_through_later() {
    let rig = rig();
    let held = rig.ask(Hold);
    soon(rig.stage.entered.heard()).await;
    for n in 0..Tally::MAILBOX as u64 {
        rig.host.tell_local::<Tally, _>(&at::<Tally>(), Push(n)).unwrap();
    }
    let refused = rig.host.tell_local::<Tally, _>(&at::<Tally>(), Push(9)).unwrap_err();
    assert_eq!(refused, (Push(9), Refused::Full));
    let payload = encode_message(&Push(9)).unwrap();
    assert_eq!(rig.deliver("push", &payload, Mode::Ask).unwrap_err(), Refused::Full);
    rig.stage.go.strike();
    soon(rig.host.tell_local_waiting::<Tally, _>(&at::<Tally>(), Push(9))).await.unwrap();
    reply(held).await.unwrap();
    settle().await;
    assert_eq!(rig.call(All).await.unwrap(), [0, 0, 1, 2, 3, 9]);
}

#[tokio::test]
async fn a_message_from_another_peer_is_decoded_and_its_reply_encoded() {
    let rig = rig();
    let payload = encode_message(&Push(3)).unwrap();
    let bytes = reply(rig.deliver("push", &payload, Mode::Ask).unwrap()).await.unwrap();
    assert_eq!(decode_reply::<Push>(&bytes).unwrap(), 1);
    let bytes = reply(rig.deliver("push", &payload, Mode::AskDurable).unwrap()).await.unwrap();
    assert_eq!(decode_reply::<Push>(&bytes).unwrap(), 2);
    assert_eq!(rig.log.committed(&id::<Tally>()).unwrap().seq, 1);
    assert_eq!(reply(rig.deliver("push", &payload, Mode::Tell).unwrap()).await, Ok(vec![]));
    assert_eq!(rig.call(All).await.unwrap(), [3, 3, 3]);
}

#[tokio::test]
async fn unknown_and_garbled_messages_are_answered_not_executed() {
    let rig = rig();
    for mode in [Mode::Ask, Mode::AskDurable, Mode::Tell] {
        let unknown = reply(rig.deliver("pull", &[], mode).unwrap()).await.unwrap_err();
        assert!(unknown.is_retry_safe());
        assert!(matches!(unknown.reason, Reason::NotHandled(what) if what.contains("pull")));
        for garbage in [&[][..], &[0xff; 64], b"\xdd\xff\xff\xff\xff"] {
            let garbled = reply(rig.deliver("push", garbage, mode).unwrap()).await.unwrap_err();
            assert!(garbled.is_retry_safe());
            assert!(matches!(garbled.reason, Reason::Codec(_)), "{garbled}");
        }
    }
    assert_eq!(rig.call(All).await.unwrap(), [] as [u64; 0]);
}

#[tokio::test]
async fn who_is_not_here_is_not_here() {
    let rig = rig();
    let nobody = ActorRef::<Tally>::new("nobody").unwrap();
    let asked = rig.host.ask_local(&nobody, Push(1), false).map(drop).unwrap_err();
    assert_eq!(asked, (Push(1), Refused::NotHere));
    let told = rig.host.tell_local_waiting(&nobody, Push(1)).await.unwrap_err();
    assert_eq!(told, (Push(1), Refused::NotHere));
    let other = rig.host.tell_local::<EveryTwo, _>(&ActorRef::named(id::<Tally>()), Push(1)).unwrap_err();
    assert_eq!(other, (Push(1), Refused::OtherType));
}

#[tokio::test]
async fn a_stop_tells_the_running_caller_unknown_and_the_waiting_ones_not_executed() {
    let rig = rig();
    let running = rig.ask(Hold);
    soon(rig.stage.entered.heard()).await;
    let waiting = rig.ask(Push(1));
    let payload = encode_message(&Push(1)).unwrap();
    let from_afar = rig.deliver("push", &payload, Mode::Ask).unwrap();
    rig.host.stop(&id::<Tally>(), Epoch(10));
    settle().await;
    assert_eq!(rig.host.running(&id::<Tally>()), Some(Epoch(10)), "10 is not below 10");
    rig.host.stop(&id::<Tally>(), Epoch(11));
    assert_eq!(rig.host.running(&id::<Tally>()), None);
    assert_eq!(reply(running).await, Err(CallError::unknown(Reason::HostGone)));
    assert_eq!(reply(waiting).await, Err(CallError::not_executed(Reason::HostGone)));
    assert_eq!(reply(from_afar).await, Err(CallError::not_executed(Reason::HostGone)));
    assert_eq!(rig.stage.log.lock().unwrap()[..], ["begun"]);
}

#[tokio::test]
async fn an_actor_can_end_itself_and_what_waits_is_not_executed() {
    let mut rig = rig();
    let (quit, late) = (rig.ask(Quit), rig.ask(Push(1)));
    assert_eq!(reply(quit).await, Ok(()));
    assert_eq!(reply(late).await, Err(CallError::not_executed(Reason::Stopped)));
    assert_eq!(soon(rig.asked.recv()).await, Some(Asked::Stop(id::<Tally>(), Epoch(10))));
    assert_eq!(rig.host.running(&id::<Tally>()), None);
    assert!(matches!(rig.start(10, 0, &Tally::default()), Err(StartError::Stale(Epoch(10)))));
}

#[tokio::test]
async fn a_reply_that_cannot_be_encoded_is_reported_executed() {
    #[derive(serde::Deserialize)]
    struct Untold;
    impl serde::Serialize for Untold {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("not telling")
        }
    }
    let failed = encode_reply(&Untold).unwrap_err();
    assert_eq!(failed.outcome, Outcome::Executed);
    let large = encode_reply(&"x".repeat(crate::limits::MAX_MESSAGE_BYTES)).unwrap_err();
    assert_eq!(large.outcome, Outcome::Executed);
}

#[test]
fn references_are_names_that_travel_and_keep_their_kind() {
    let it = ActorRef::<Tally>::new("it").unwrap();
    assert_eq!((it.id(), it.key(), it.to_string()), (&id::<Tally>(), "it", "tally/it".to_owned()));
    let bytes = rmp_serde::to_vec_named(&it).unwrap();
    assert_eq!(rmp_serde::from_slice::<ActorRef<Tally>>(&bytes).unwrap(), it);
    assert!(rmp_serde::from_slice::<ActorRef<EveryTwo>>(&bytes).is_err());
    assert!(ActorRef::<Tally>::new("x".repeat(257)).is_err());
}
