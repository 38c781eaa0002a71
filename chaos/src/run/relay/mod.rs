//! The network between the processes: every packet passes here, and may be delayed, lost, doubled or cut.
//!
//! Each process has an address of its own to send from (its host), and another, of the relay, that it tells the others
//! to find it at. What arrives there is sent on through a socket that stands for the sender, so that answers find
//! their way back. The addresses are loopback ones, for which no privileges are needed, or each host has a network
//! namespace of its own, and the kernel cuts its links.

mod front;
mod links;
mod netns;

pub use front::Front;
pub use links::Links;
pub use netns::{Namespaces, command, is_a_run};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use tokio::net::UdpSocket;
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
/// Ports of processes in namespaces begin here.
const FIRST_PORT: u16 = 7400;

/// What hosts are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Net {
    /// Network namespaces where they can be made, or else loopback addresses
    Auto,
    /// Loopback addresses
    Relay,
    /// Network namespaces
    Netns,
}

/// The relay. Clones are the same one; its thread ends with the last.
#[derive(Clone)]
pub struct Relay {
    links: Arc<Mutex<Links>>,
    runtime: Handle,
    under_way: Arc<Semaphore>,
    namespaces: Option<Arc<Namespaces>>,
    net: [u8; 2],
    next_port: Arc<AtomicU16>,
    _thread: Arc<oneshot::Sender<()>>,
}

impl Relay {
    /// Starts it on a thread of its own, so that whatever else a run has to do delays no packet.
    pub fn start(seed: u64, namespaces: Option<Arc<Namespaces>>) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| e.to_string())?;
        let handle = runtime.handle().clone();
        let (sender, ended) = oneshot::channel::<()>();
        let (tell, began) = mpsc::sync_channel(1);
        let place = namespaces.as_ref().map(|all| all.middle_path());
        let thread = std::thread::Builder::new().name("relay".into()).spawn(move || {
            let entered = place.map_or(Ok(()), |path| {
                // For this thread alone, which makes all of the relay's sockets.
                move_into_link_name_space(File::open(path)?.as_fd(), Some(LinkNameSpaceType::Network))
                    .map_err(std::io::Error::from)
            });
            if tell.send(entered).is_ok() {
                drop(runtime.block_on(ended));
            }
        });
        thread.map_err(|e| e.to_string())?;
        began.recv().map_err(|e| e.to_string())?.map_err(|e| format!("the relay's namespace: {e}"))?;
        // Another for each run on this machine.
        let [.., high, low] = std::process::id().to_be_bytes();
        Ok(Self {
            links: Arc::new(Mutex::new(Links::new(seed, namespaces.is_some()))),
            runtime: handle,
            under_way: Arc::new(Semaphore::new(MAX_UNDER_WAY)),
            namespaces,
            net: [64 | high & 63, low],
            next_port: Arc::new(AtomicU16::new(FIRST_PORT)),
            _thread: Arc::new(sender),
        })
    }

    /// The links, to change how packets fare there.
    pub fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing passes on these links until they are healed as often.
    pub fn cut(&self, links: &[Link]) -> Result<(), String> {
        self.change(|all| links.iter().for_each(|link| all.cut(*link)))
    }

    pub fn heal(&self, links: &[Link]) -> Result<(), String> {
        self.change(|all| links.iter().for_each(|link| all.heal(*link)))
    }

    /// Ends all that is wrong with any link.
    pub fn heal_all(&self) -> Result<(), String> {
        self.change(Links::heal_all)
    }

    /// Forgets a host that is no more.
    pub fn forget(&self, host: Host) -> Result<(), String> {
        self.change(|all| all.forget(host))?;
        self.namespaces.iter().for_each(|all| all.forget(host));
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&mut Links)) -> Result<(), String> {
        let cuts: Vec<Link> = {
            let mut links = self.links();
            change(&mut links);
            links.cuts().collect()
        };
        self.namespaces.as_ref().map_or(Ok(()), |all| all.cut(&cuts))
    }

    /// An address that is free on a host.
    pub fn address_on(&self, host: Host) -> Result<SocketAddr, String> {
        if let Some(all) = &self.namespaces {
            all.host(host)?;
            let port = self.next_port.fetch_add(1, Ordering::Relaxed);
            return Ok((Namespaces::address(host), port).into());
        }
        let ip = Ipv4Addr::new(127, self.net[0], self.net[1], host);
        let free = std::net::UdpSocket::bind((ip, 0)).and_then(|socket| socket.local_addr());
        free.map_err(|e| e.to_string())
    }

    /// The command before that of a program which is to run on a host; none if it needs none.
    pub fn on(&self, host: Host) -> Vec<String> {
        self.namespaces.as_ref().map_or(vec![], |all| all.on(host))
    }

    /// Where the relay has sockets that stand for a host.
    fn stand_in(&self, host: Host) -> Ipv4Addr {
        if self.namespaces.is_some() { Namespaces::stand_in(host) } else { Ipv4Addr::LOCALHOST }
    }

    /// Which host an address is on.
    fn host_of(&self, addr: SocketAddr) -> Host {
        match addr.ip() {
            IpAddr::V4(ip) if self.namespaces.is_some() => Namespaces::host_of(ip),
            IpAddr::V4(ip) if ip.octets()[1..3] == self.net => ip.octets()[3],
            _ => NOBODY,
        }
    }

    /// Sends packets from nowhere.
    pub fn send_noise(&self, to: SocketAddr, packets: Vec<Vec<u8>>) {
        let from = self.stand_in(NOBODY);
        self.runtime.spawn(async move {
            let Ok(socket) = UdpSocket::bind((from, 0)).await else { return };
            for packet in packets {
                drop(socket.send_to(&packet, to).await);
            }
        });
    }
}

/// The namespaces of a run, if it is to have any. What it is told to have otherwise is said.
pub fn choose(net: Net) -> Result<Option<Arc<Namespaces>>, String> {
    if net == Net::Relay {
        return Ok(None);
    }
    match Namespaces::make() {
        Ok(all) => Ok(Some(Arc::new(all))),
        Err(why) if net == Net::Netns => Err(format!("no network namespaces: {why}")),
        Err(why) => {
            eprintln!("no network namespaces ({why}); all hosts share this one's loopback addresses");
            Ok(None)
        }
    }
}
