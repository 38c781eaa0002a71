//! The address that others find one process at, and the sockets that stand for them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::{Host, Relay};

/// Senders to one process that are told apart. The one that was silent for longest makes room.
const MAX_WAYS: usize = 64;
/// The longest packet there is.
const MAX_PACKET: usize = 65_535;

/// Where one process is found, as long as this lives.
pub struct Front {
    addr: SocketAddr,
    target: Arc<Mutex<Target>>,
    task: AbortHandle,
}

/// The process that gets the packets: its host and its own address.
type Target = (Host, SocketAddr);

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Front {
    /// Opens one before a process.
    pub async fn open(relay: &Relay, host: Host, to: SocketAddr) -> std::io::Result<Self> {
        let target = Arc::new(Mutex::new((host, to)));
        let (opener, goal) = (relay.clone(), target.clone());
        let opened = relay.runtime.spawn(async move {
            let socket = Arc::new(UdpSocket::bind((opener.stand_in(host), 0)).await?);
            let addr = socket.local_addr()?;
            let inward =
                Inward { relay: opener, socket, target: goal, ways: HashMap::new(), back: JoinSet::new() };
            std::io::Result::Ok((addr, tokio::spawn(inward.run()).abort_handle()))
        });
        let (addr, task) = opened.await.map_err(std::io::Error::other)??;
        Ok(Self { addr, target, task })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Lets another process have the packets.
    pub fn lead_to(&self, host: Host, to: SocketAddr) {
        *lock(&self.target) = (host, to);
    }
}

struct Inward {
    relay: Relay,
    socket: Arc<UdpSocket>,
    target: Arc<Mutex<Target>>,
    ways: HashMap<SocketAddr, Way>,
    /// What carries answers back; it ends with this.
    back: JoinSet<()>,
}

/// A socket that stands for one sender.
struct Way {
    socket: Arc<UdpSocket>,
    used: Instant,
    task: AbortHandle,
}

impl Inward {
    async fn run(mut self) {
        let mut packet = vec![0; MAX_PACKET];
        loop {
            let Ok((length, from)) = self.socket.recv_from(&mut packet).await else { return };
            let (host, to) = *lock(&self.target);
            let Ok(way) = self.way(from).await else { continue };
            self.relay.carry((self.relay.host_of(from), host), &packet[..length], &way, to).await;
            while self.back.try_join_next().is_some() {}
        }
    }

    async fn way(&mut self, from: SocketAddr) -> std::io::Result<Arc<UdpSocket>> {
        if let Some(way) = self.ways.get_mut(&from) {
            way.used = Instant::now();
            return Ok(way.socket.clone());
        }
        if self.ways.len() >= MAX_WAYS {
            let oldest = self.ways.iter().min_by_key(|(_, way)| way.used).map(|(addr, _)| *addr);
            if let Some(way) = oldest.and_then(|addr| self.ways.remove(&addr)) {
                way.task.abort();
            }
        }
        let stand_in = self.relay.stand_in(self.relay.host_of(from));
        let socket = Arc::new(UdpSocket::bind((stand_in, 0)).await?);
        let outward = outward(self.relay.clone(), socket.clone(), self.socket.clone(), from);
        let task = self.back.spawn(outward);
        self.ways.insert(from, Way { socket: socket.clone(), used: Instant::now(), task });
        Ok(socket)
    }
}

/// Carries what is sent to a sender's stand-in to that sender.
async fn outward(relay: Relay, way: Arc<UdpSocket>, front: Arc<UdpSocket>, to: SocketAddr) {
    let mut packet = vec![0; MAX_PACKET];
    loop {
        let Ok((length, from)) = way.recv_from(&mut packet).await else { return };
        relay.carry((relay.host_of(from), relay.host_of(to)), &packet[..length], &front, to).await;
    }
}

impl Relay {
    /// Sends a packet on as its link wants it.
    async fn carry(&self, link: (Host, Host), packet: &[u8], by: &Arc<UdpSocket>, to: SocketAddr) {
        let copies = self.links().pass(link, packet.len(), Instant::now());
        for wait in copies.into_iter().flatten() {
            if wait.is_zero() {
                drop(by.send_to(packet, to).await);
                continue;
            }
            // A network that is full loses packets.
            let Ok(permit) = self.under_way.clone().try_acquire_owned() else { continue };
            let (by, packet) = (by.clone(), packet.to_vec());
            let arrives = Instant::now() + wait;
            tokio::spawn(async move {
                tokio::time::sleep_until(arrives).await;
                drop(by.send_to(&packet, to).await);
                drop(permit);
            });
        }
    }
}
