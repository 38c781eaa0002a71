//! The network between the processes: every packet passes here, and may be delayed, lost, doubled or cut.
//!
//! Each process has a loopback address of its own to send from (its host), and another, of the relay, that it
//! tells the others to find it at. What arrives there is sent on through a socket that stands for the sender,
//! so that answers find their way back. No privileges are needed.

mod front;
mod links;

pub use front::Front;
pub use links::Links;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

/// A machine's place in the network.
pub type Host = u8;
/// From one host to another.
pub type Link = (Host, Host);
/// Who sends from elsewhere: nobody's host.
pub const NOBODY: Host = 0;
/// Packets that are on their way at once.
const MAX_UNDER_WAY: usize = 10_000;

/// The relay. Clones are the same one; its thread ends with the last.
#[derive(Clone)]
pub struct Relay {
    links: Arc<Mutex<Links>>,
    runtime: Handle,
    under_way: Arc<Semaphore>,
    net: [u8; 2],
    _thread: Arc<oneshot::Sender<()>>,
}

impl Relay {
    /// Starts it on a thread of its own, so that whatever else a run has to do delays no packet.
    pub fn start(seed: u64) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| e.to_string())?;
        let handle = runtime.handle().clone();
        let (sender, ended) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("relay".into());
        let began = thread.spawn(move || drop(runtime.block_on(ended)));
        began.map_err(|e| e.to_string())?;
        // Another for each run on this machine.
        let [.., high, low] = std::process::id().to_be_bytes();
        Ok(Self {
            links: Arc::new(Mutex::new(Links::new(seed))),
            runtime: handle,
            under_way: Arc::new(Semaphore::new(MAX_UNDER_WAY)),
            net: [64 | high & 63, low],
            _thread: Arc::new(sender),
        })
    }

    /// The links, to change them.
    pub fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An address that is free on a host.
    pub fn address_on(&self, host: Host) -> std::io::Result<SocketAddr> {
        let ip = Ipv4Addr::new(127, self.net[0], self.net[1], host);
        std::net::UdpSocket::bind((ip, 0))?.local_addr()
    }

    /// Which host an address is on.
    fn host_of(&self, addr: SocketAddr) -> Host {
        match addr.ip() {
            IpAddr::V4(ip) if ip.octets()[1..3] == self.net => ip.octets()[3],
            _ => NOBODY,
        }
    }
}
