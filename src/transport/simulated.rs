//! A UDP network in memory: real QUIC above it, tokio's clock below it, every packet's fate drawn from a seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::lock;
use super::socket::Network;
use crate::prng::Prng;

/// Packets that wait in one socket; more are lost, as with a real one.
const MAX_WAITING: usize = 4096;
/// The first port that is given to who asks for any.
const FIRST_PORT: u16 = 4001;
/// How long a packet waits at most in front of a link of a limited rate; more are lost.
const MAX_BACKLOG: Duration = Duration::from_millis(50);
/// Packets that one send may hold.
const MAX_SEGMENTS: usize = 8;

/// How packets fare on a link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weather {
    /// How long a packet takes at least.
    pub delay: Duration,
    /// What it may take on top, each packet something else: with it come packets out of order.
    pub jitter: Duration,
    /// How many of 1000 are lost.
    pub loss: u32,
    /// How many of 1000 arrive twice.
    pub duplicated: u32,
}

impl Weather {
    /// One data centre on a good day.
    pub fn fair() -> Self {
        Self { delay: Duration::from_micros(300), jitter: Duration::from_micros(400), loss: 0, duplicated: 0 }
    }
}

/// What a network did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets that arrived.
    pub delivered: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Packets that did not, for whatever reason.
    pub lost: u64,
    /// A number that differs if any packet's time, way or length does.
    pub trace: u64,
}

/// What one host sent and got so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostTraffic {
    /// Packets that arrived, there or from there.
    pub packets: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// Sockets, and the links between their hosts. Clones are the same network.
#[derive(Clone)]
pub struct SimNetwork(Arc<Wires>);

struct Wires {
    inner: Mutex<Inner>,
    news: Notify,
}

struct Inner {
    random: Prng,
    weather: Weather,
    links: BTreeMap<(IpAddr, IpAddr), Weather>,
    cut: BTreeSet<(IpAddr, IpAddr)>,
    pipes: BTreeMap<(IpAddr, IpAddr), Pipe>,
    sockets: BTreeMap<SocketAddr, Weak<SimSocket>>,
    next_port: BTreeMap<IpAddr, u16>,
    /// By time of arrival, and by number where that is the same.
    under_way: BinaryHeap<Reverse<Packet>>,
    count: u64,
    traffic: Traffic,
    by_host: BTreeMap<IpAddr, HostTraffic>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    due: Instant,
    number: u64,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// The way from one host to another that takes no more than so many bytes in a time.
struct Pipe {
    bytes_per_second: u64,
    /// When all that is before it has left.
    free_at: Instant,
}

impl Pipe {
    /// When a packet has left; none if too many wait.
    fn take(&mut self, bytes: usize) -> Option<Instant> {
        let begins = self.free_at.max(Instant::now());
        if begins.duration_since(Instant::now()) > MAX_BACKLOG {
            return None;
        }
        let nanos = (bytes as u64).saturating_mul(1_000_000_000) / self.bytes_per_second.max(1);
        self.free_at = begins + Duration::from_nanos(nanos);
        Some(self.free_at)
    }
}

fn chance(random: &mut Prng, of_1000: u32) -> bool {
    of_1000 > 0 && random.below(1000) < u64::from(of_1000)
}

impl SimNetwork {
    /// A network in fair weather, without sockets. Call it on the runtime that everything is to run on.
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            random: Prng::new(seed),
            weather: Weather::fair(),
            links: BTreeMap::new(),
            cut: BTreeSet::new(),
            pipes: BTreeMap::new(),
            sockets: BTreeMap::new(),
            next_port: BTreeMap::new(),
            under_way: BinaryHeap::new(),
            count: 0,
            traffic: Traffic::default(),
            by_host: BTreeMap::new(),
        };
        let wires = Arc::new(Wires { inner: Mutex::new(inner), news: Notify::new() });
        tokio::spawn(deliver(Arc::downgrade(&wires)));
        Self(wires)
    }

    /// A socket, and all else that a transport needs. Port 0 picks one that was never used on that host.
    ///
    /// # Errors
    /// If the address is in use.
    pub fn bind(&self, at: SocketAddr) -> io::Result<Network> {
        let mut inner = lock(&self.0.inner);
        let mut local = at;
        if at.port() == 0 {
            let next = inner.next_port.entry(at.ip()).or_insert(FIRST_PORT);
            local.set_port(*next);
            *next += 1;
        }
        if inner.sockets.get(&local).is_some_and(|socket| socket.strong_count() > 0) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let socket = Arc::new(SimSocket { local, wires: self.0.clone(), inbox: Mutex::default() });
        inner.sockets.insert(local, Arc::downgrade(&socket));
        let mut seed = [0; 32];
        seed.chunks_mut(8).for_each(|part| part.copy_from_slice(&inner.random.any().to_le_bytes()));
        Ok(Network::simulated(socket, Arc::new(SimRuntime), Some(seed)))
    }

    /// The weather where no other is set.
    pub fn set_weather(&self, weather: Weather) {
        lock(&self.0.inner).weather = weather;
    }

    /// The weather on the way from one host to another; none is that of everywhere.
    pub fn set_link(&self, from: IpAddr, to: IpAddr, weather: Option<Weather>) {
        let mut inner = lock(&self.0.inner);
        match weather {
            Some(weather) => drop(inner.links.insert((from, to), weather)),
            None => drop(inner.links.remove(&(from, to))),
        }
    }

    /// How many bytes a second the way from one host to another takes; none is any number. What comes faster waits for
    /// its turn, and past that is lost.
    pub fn set_rate(&self, from: IpAddr, to: IpAddr, bytes_per_second: Option<u64>) {
        let mut inner = lock(&self.0.inner);
        match bytes_per_second {
            Some(bytes_per_second) => {
                let pipe = Pipe { bytes_per_second, free_at: Instant::now() };
                inner.pipes.insert((from, to), pipe);
            }
            None => {
                inner.pipes.remove(&(from, to));
            }
        }
    }

    /// Loses all that goes one way between two hosts.
    pub fn cut(&self, from: IpAddr, to: IpAddr) {
        lock(&self.0.inner).cut.insert((from, to));
    }

    /// Ends that.
    pub fn heal(&self, from: IpAddr, to: IpAddr) {
        lock(&self.0.inner).cut.remove(&(from, to));
    }

    /// Mends all links, takes their limits away, and makes the weather fair.
    pub fn heal_all(&self) {
        let mut inner = lock(&self.0.inner);
        inner.cut.clear();
        inner.links.clear();
        inner.pipes.clear();
        inner.weather = Weather::fair();
    }

    /// Sends bytes that no peer sent.
    pub fn inject(&self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.0.send(from, to, bytes);
    }

    /// What happened so far.
    pub fn traffic(&self) -> Traffic {
        lock(&self.0.inner).traffic
    }

    /// The part of it that one host has in it.
    pub fn traffic_of(&self, host: IpAddr) -> HostTraffic {
        lock(&self.0.inner).by_host.get(&host).copied().unwrap_or_default()
    }
}

impl Wires {
    fn send(&self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let mut inner = lock(&self.inner);
        let way = (from.ip(), to.ip());
        let weather = inner.links.get(&way).copied().unwrap_or(inner.weather);
        if inner.cut.contains(&way) || chance(&mut inner.random, weather.loss) {
            inner.traffic.lost += 1;
            return;
        }
        let leaves = inner.pipes.get_mut(&way).map_or(Some(Instant::now()), |pipe| pipe.take(bytes.len()));
        let Some(leaves) = leaves else {
            inner.traffic.lost += 1;
            return;
        };
        let first = inner.under_way.peek().map(|Reverse(packet)| packet.due);
        if chance(&mut inner.random, weather.duplicated) {
            inner.queue(weather, leaves, from, to, bytes.clone());
        }
        inner.queue(weather, leaves, from, to, bytes);
        let earlier = inner.under_way.peek().map(|Reverse(packet)| packet.due) != first;
        drop(inner);
        if earlier {
            self.news.notify_one();
        }
    }

    /// Hands over what is due, and says when more will be.
    fn deliver(&self) -> Option<Instant> {
        let mut woken = Vec::new();
        let mut inner = lock(&self.inner);
        let now = Instant::now();
        let next = loop {
            match inner.under_way.peek() {
                Some(Reverse(packet)) if packet.due <= now => {}
                other => break other.map(|Reverse(packet)| packet.due),
            }
            let Some(Reverse(packet)) = inner.under_way.pop() else { break None };
            inner.hand_over(packet, &mut woken);
        };
        drop(inner);
        woken.into_iter().for_each(Waker::wake);
        next
    }
}

impl Inner {
    fn queue(&mut self, weather: Weather, leaves: Instant, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let most = u64::try_from(weather.jitter.as_nanos()).unwrap_or(u64::MAX);
        let jitter = Duration::from_nanos(self.random.below(most.saturating_add(1)));
        let due = leaves + weather.delay + jitter;
        self.count += 1;
        self.under_way.push(Reverse(Packet { due, number: self.count, from, to, bytes }));
    }

    fn hand_over(&mut self, packet: Packet, woken: &mut Vec<Waker>) {
        // What was on its way when the link was cut does not arrive either.
        let cut = self.cut.contains(&(packet.from.ip(), packet.to.ip()));
        let socket = self.sockets.get(&packet.to).and_then(Weak::upgrade).filter(|_| !cut);
        let Some(socket) = socket else {
            self.traffic.lost += 1;
            return;
        };
        let mut inbox = lock(&socket.inbox);
        if inbox.packets.len() >= MAX_WAITING {
            self.traffic.lost += 1;
            return;
        }
        self.traffic.delivered += 1;
        self.traffic.bytes += packet.bytes.len() as u64;
        for host in [packet.from.ip(), packet.to.ip()] {
            let part = self.by_host.entry(host).or_default();
            part.packets += 1;
            part.bytes += packet.bytes.len() as u64;
        }
        let fate = packet.number ^ (packet.bytes.len() as u64) << 32 ^ u64::from(packet.to.port()) << 48;
        self.traffic.trace = (self.traffic.trace.rotate_left(7) ^ fate).wrapping_mul(0x0100_0000_01b3);
        inbox.packets.push_back((packet.from, packet.bytes));
        woken.extend(inbox.reader.take());
    }
}

async fn deliver(wires: Weak<Wires>) {
    loop {
        let Some(strong) = wires.upgrade() else { return };
        let next = strong.deliver();
        let news = strong.news.notified();
        match next {
            Some(due) => {
                tokio::select! {
                    biased;
                    () = news => {}
                    () = tokio::time::sleep_until(due) => {}
                }
            }
            None => news.await,
        }
    }
}

/// One peer's way into the network.
struct SimSocket {
    local: SocketAddr,
    wires: Arc<Wires>,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    packets: VecDeque<(SocketAddr, Vec<u8>)>,
    reader: Option<Waker>,
}

impl fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimSocket({})", self.local)
    }
}

impl AsyncUdpSocket for SimSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for packet in transmit.contents.chunks(segment) {
            self.wires.send(self.local, transmit.destination, packet.to_vec());
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inbox = lock(&self.inbox);
        let mut count = 0;
        for (buffer, meta) in buffers.iter_mut().zip(meta) {
            let Some((addr, bytes)) = inbox.packets.pop_front() else { break };
            let len = bytes.len().min(buffer.len());
            buffer[..len].copy_from_slice(&bytes[..len]);
            *meta = RecvMeta { addr, len, stride: len, ecn: None, dst_ip: Some(self.local.ip()) };
            count += 1;
        }
        if count == 0 {
            inbox.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn max_transmit_segments(&self) -> usize {
        MAX_SEGMENTS
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Tokio, with tasks that belong to the process that starts them.
#[derive(Debug)]
struct SimRuntime;

impl Runtime for SimRuntime {
    fn new_timer(&self, at: std::time::Instant) -> Pin<Box<dyn AsyncTimer>> {
        quinn::TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        drop(crate::task::spawn(future));
    }

    fn wrap_udp_socket(&self, _: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}
