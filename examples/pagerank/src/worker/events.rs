//! From the library's events to what the run makes of them.

use standin::Event;
use tokio::sync::broadcast::error::RecvError;

use super::Worker;
use crate::wire::{Report, Sighting};

/// Says what this peer sees, as long as it lives.
pub async fn pass_on(worker: Worker) {
    let mut events = worker.peer.events();
    loop {
        let event = match events.recv().await {
            Ok(event) => sighting(event),
            Err(RecvError::Lagged(count)) => Some(Sighting::Other { text: format!("{count} events missed") }),
            Err(RecvError::Closed) => return,
        };
        if let Some(event) = event {
            worker.say(Report::Saw { event }).await;
        }
    }
}

fn sighting(event: Event) -> Option<Sighting> {
    Some(match event {
        Event::PeerDown { node, .. } => Sighting::Down { node },
        Event::PeerReplaced { node, .. } => Sighting::Replaced { node },
        Event::NodeIdInUse { retry_after_ms, .. } => Sighting::InUse { retry_after_ms },
        Event::LeaderChanged { leader, term } => Sighting::Leader { node: leader, term },
        Event::ActorRecovered { actor, .. } => Sighting::Recovered { actor: actor.to_string() },
        Event::ActorLost { actor } => Sighting::Lost { actor: actor.to_string() },
        Event::CopiesRepaired { count } => Sighting::Repaired { copies: count },
        Event::LeasePaused => Sighting::Other { text: "a peer pauses: it holds no lease".to_owned() },
        _ => return None,
    })
}
