//! What can be started, and from which bytes.

use serde::{Deserialize, Serialize};

use super::cast::*;
use super::rig::*;
use crate::actor::*;
use crate::id::{ActorId, Epoch};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Renamed {
    total: u64,
}

impl Actor for Renamed {
    const KIND: &'static str = "every-two";
    const VERSION: u32 = 3;
    fn migrate(old_version: u32, bytes: &[u8]) -> Result<Self, MigrateError> {
        match old_version {
            2 => Ok(Self { total: EveryTwo::decode(bytes)?.0 }),
            1 => panic!("never thought of that"),
            found => Err(MigrateError::Unsupported { kind: Self::KIND, found, current: Self::VERSION }),
        }
    }
}

#[test]
fn older_state_is_migrated_and_newer_state_is_refused() {
    let old = encode_state(&EveryTwo(5)).unwrap();
    let kind: Kind = Kind::of::<Renamed>().into();
    assert_eq!((kind.name(), kind.version(), kind.policy()), ("every-two", 3, Policy::default()));
    assert!(kind.revive(2, &old).is_ok());
    assert_eq!(codec::decode_state::<Renamed>(2, &old), Ok(Renamed { total: 5 }));
    let error = |version| codec::decode_state::<Renamed>(version, &old).unwrap_err();
    assert_eq!(error(4), StateError::Newer { found: 4, current: 3 });
    assert!(matches!(error(0), StateError::Migrate(_)));
    assert!(matches!(error(1), StateError::Codec(panic) if panic.to_string().contains("never")));
    assert!(matches!(error(3), StateError::Codec(_)));
    let unsupported = codec::decode_state::<EveryTwo>(0, &old);
    assert!(matches!(unsupported, Err(StateError::Migrate(MigrateError::Unsupported { found: 0, .. }))));
}

#[tokio::test]
async fn a_refused_start_changes_nothing() {
    let rig = rig();
    let start = Start { seq: 0, kind_version: 1, state: &[], sessions: &[], life: LIFE, restored: None };
    let stranger = ActorId::new("stranger", "it").unwrap();
    let unknown = rig.host.start(stranger, Epoch(20), start, || true);
    assert_eq!(unknown, Err(StartError::UnknownKind("stranger".to_owned())));
    let garbage =
        Start { seq: 0, kind_version: 1, state: b"\xc1", sessions: &[], life: LIFE, restored: None };
    let undecodable = rig.host.start(id::<Tally>(), Epoch(20), garbage, || true);
    assert!(matches!(undecodable, Err(StartError::State(StateError::Codec(_)))));
    let state = encode_state(&Tally::default()).unwrap();
    let start = Start {
        seq: 0,
        kind_version: Tally::VERSION,
        state: &state,
        sessions: &[],
        life: LIFE,
        restored: None,
    };
    let given_up = rig.host.start(id::<Tally>(), Epoch(20), start, || false);
    assert_eq!(given_up, Err(StartError::Unwanted(Epoch(20))));
    for stale in [9, 10] {
        assert_eq!(rig.start(stale, 0, &Tally::default()), Err(StartError::Stale(Epoch(10))));
    }
    assert_eq!(rig.call(Push(1)).await, Ok(1));
    assert_eq!(rig.host.list(), [(id::<Tally>(), Epoch(10))]);
    rig.host.stop_all();
    assert!(rig.host.list().is_empty());
}

#[test]
fn kinds_are_checked_when_they_are_registered() {
    let mut kinds = Kinds::default();
    kinds.add(Kind::of::<EveryTwo>().handles::<Push>()).unwrap();
    assert_eq!(kinds.add(Kind::of::<Renamed>()), Err(KindError::TwoKinds("every-two")));
    let twice = Kind::of::<Tally>().handles::<Push>().handles::<Push>();
    assert_eq!(kinds.add(twice), Err(KindError::TwoMessages("tally", "push")));
    assert_eq!(kinds.names().collect::<Vec<_>>(), ["every-two"]);
}
