//! Commits of nothing: for who measures the log itself.

use std::time::Duration;

use crate::core::command::{Checkpoint, Command, Commit, Refused, Response};
use crate::core::disks::Disks;
use crate::id::{ActorId, Epoch, Incarnation};
use crate::peer::Peer;

/// The key of an actor that nobody has. With it the command is about 256 bytes long.
const KEY_BYTES: usize = 187;
const PATIENCE: Duration = Duration::from_secs(30);

/// Why nothing was committed.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Commits the checkpoint of an actor that is not there: an entry of 256 bytes goes the way of every checkpoint's
/// commit, onto the disks of a majority, and applying it refuses it. Returns when that is so.
///
/// # Errors
/// If it is not known to be committed within half a minute.
pub async fn commit_nothing(peer: &Peer, number: u64) -> Result<(), Failure> {
    let by = peer.shared.incarnation().ok_or("not a member yet")?;
    match peer.shared.propose(command(by, number)?, PATIENCE).await? {
        Response::Items(items) if items == [Err(Refused::NoSuchActor)] => Ok(()),
        other => Err(format!("an odd answer: {other:?}").into()),
    }
}

fn command(by: Incarnation, number: u64) -> Result<Command, Failure> {
    let actor = ActorId::new("nothing", format!("{number:0>KEY_BYTES$}"))?;
    let (seq, holders) = (number, Disks::new());
    let checkpoint = Checkpoint { seq, digest: [7; 32], length: 200, copies: 2, holders };
    Ok(Command::Commit { by, items: vec![Commit { actor, epoch: Epoch(1), checkpoint, required: 2 }] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Cluster;

    #[test]
    fn it_is_as_long_as_the_values_that_others_are_measured_with() {
        let bytes = rmp_serde::to_vec(&command(Incarnation(7), 100_000).unwrap()).unwrap();
        assert!((250..=262).contains(&bytes.len()), "{}", bytes.len());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_in_the_log_of_every_peer_and_has_changed_nothing() {
        let mut cluster = Cluster::start(3, |peer| peer).await.unwrap();
        let before = cluster.peer(1).status();
        commit_nothing(cluster.peer(1), 1).await.unwrap();
        cluster.wait_all(|status| status.applied > before.applied, PATIENCE).await.unwrap();
        assert_eq!(cluster.peer(1).status().actors, before.actors);
        cluster.shutdown().await;
    }
}
