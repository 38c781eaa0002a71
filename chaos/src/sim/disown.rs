//! An actor that ends, and is made anew under its name, while its host is cut off and does not know.

use std::time::Duration;
use tokio::time::Instant;

use super::stage::{Act, Stage};
use crate::plan::Way;
use crate::work::names;

/// How long the actor may take to come into being.
const BORN: Duration = Duration::from_secs(2);

impl Stage {
    /// The host goes on asking its own actor for as long as it may, and somebody else asks the new one.
    pub(super) async fn disown(&mut self, at: usize, to: usize, for_ms: u64) {
        if at == to {
            return;
        }
        let key = format!("o{}", self.struck);
        let (host, hosts) = (self.cluster.peer(at).clone(), self.cluster.process(at));
        let (other, others) = (self.cluster.peer(to).clone(), self.cluster.process(to));
        let (peer, name, home) = (host.clone(), key.clone(), self.cluster.node(at));
        let born = hosts.spawn(async move { names::create(&peer, &name, home).await });
        if !matches!(tokio::time::timeout(BORN, born).await, Ok(Ok(true))) {
            return;
        }
        self.cut_off(at, Way::Both);
        self.later(for_ms, Act::Hear(self.links_of(at)));
        let (name, home) = (key.clone(), self.cluster.node(to));
        let until = Instant::now() + Duration::from_millis(for_ms);
        drop(hosts.spawn(async move { names::ask_until(&host, &name, until).await }));
        drop(others.spawn(async move {
            names::make_anew(&other, &key, home, until).await;
            names::ask_until(&other, &key, until).await;
        }));
    }
}
