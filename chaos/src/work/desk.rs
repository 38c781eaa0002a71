//! Where clients find the peers that run.

use standin::Peer;
use standin::testing::{Prng, Process};
use std::sync::{Arc, Mutex};

use super::lock;

/// A running peer, and the process that it is.
pub type Running = (Peer, Process);

/// Where the running peers are to be found.
#[derive(Clone, Default)]
pub struct Desk(Arc<Mutex<Vec<Option<Running>>>>);

impl Desk {
    /// Says who runs now.
    pub fn set(&self, at: usize, who: Option<Running>) {
        let mut desk = lock(&self.0);
        if desk.len() <= at {
            desk.resize_with(at + 1, || None);
        }
        desk[at] = who;
    }

    /// One of them.
    pub fn any(&self, random: &mut Prng) -> Option<Running> {
        let desk = lock(&self.0);
        let running: Vec<_> = desk.iter().flatten().collect();
        if running.is_empty() { None } else { Some((*random.pick(&running)).clone()) }
    }
}
