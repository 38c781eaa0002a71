//! One actor's line in the directory, in as few bytes as it takes: name and line are one piece of memory. What most
//! looks need stands in front, and is read without any other memory.

use smallvec::SmallVec;
use std::sync::Arc;

use super::command::Checkpoint;
use super::disks::Disks;
use super::state::Actor;
use crate::id::{ActorId, ActorName, Epoch, Incarnation, NodeId, RaftId};

const LOST: u8 = 1;
const STOPPING: u8 = 1 << 1;
const FAILED: u8 = 1 << 2;
const BY_HAND: u8 = 1 << 3;
const WHOLE: u8 = 1 << 4;
const HAS_HOST: u8 = 1 << 5;
const STANDS_IN: u8 = 1 << 6;
const SAVED: u8 = 1 << 7;

const LENGTHS: usize = 3;
const NONCE: usize = 16;
const DIGEST: usize = 32;

/// An actor's name and line. The same line is always the same bytes. Clones share them: a snapshot is taken of a clone
/// of all lines.
#[derive(Clone)]
pub(super) struct Packed(Arc<[u8]>);

/// A line, to look at.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Whose it is.
    pub name: ActorName<'a>,
    /// See [`Actor::home`].
    pub home: &'a str,
    /// See [`Actor::host`].
    pub host: Option<Incarnation>,
    /// See [`Actor::epoch`].
    pub epoch: Epoch,
    /// See [`Actor::life`].
    pub life: u64,
    /// See [`Actor::stand_in_ms`].
    pub stand_in_ms: Option<u32>,
    flags: u8,
    rest: &'a [u8],
}

/// What is left to read. What would be behind the end is nothing: no line is shorter than it was written.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap_or([0; N])
    }

    fn text(&mut self, length: usize) -> &'a str {
        std::str::from_utf8(self.take(length)).unwrap_or_default()
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        while let Some((byte, rest)) = self.0.split_first() {
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }
}

/// Longer than most lines: what they are written into is not on the heap.
type Bytes = SmallVec<[u8; 256]>;

/// Where the line of a name belongs: by a part of the name's blake3, long enough that no two names have the same. To
/// find a line then takes no look at others, which are all over the memory, as comparing names would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u128);

impl Place {
    pub(super) fn of(name: ActorName<'_>) -> Self {
        let mut bytes = Bytes::new();
        bytes.extend_from_slice(&(name.kind.len() as u64).to_le_bytes());
        bytes.extend_from_slice(name.kind.as_bytes());
        bytes.extend_from_slice(name.key.as_bytes());
        let digest = blake3::hash(&bytes);
        Self(digest.as_bytes().first_chunk().map_or(0, |part| u128::from_be_bytes(*part)))
    }
}

fn put(out: &mut Bytes, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_checkpoint(out: &mut Bytes, epoch: Epoch, checkpoint: &Checkpoint) {
    out.push(checkpoint.copies);
    put(out, checkpoint.holders.len() as u64);
    checkpoint.holders.iter().for_each(|disk| put(out, disk.0));
    put(out, epoch.0);
    put(out, checkpoint.seq);
    put(out, checkpoint.length);
    out.extend_from_slice(&checkpoint.digest);
}

impl Packed {
    pub(super) fn new(name: ActorName<'_>, actor: &Actor) -> Self {
        let mut out = Bytes::new();
        // Names are checked: neither is longer than this can say.
        out.push(name.kind.len() as u8);
        out.extend_from_slice(&(name.key.len() as u16).to_le_bytes());
        out.extend_from_slice(name.kind.as_bytes());
        out.extend_from_slice(name.key.as_bytes());
        let flags = [
            (actor.lost, LOST),
            (actor.stopping, STOPPING),
            (actor.failed, FAILED),
            (actor.by_hand, BY_HAND),
            (actor.whole, WHOLE),
            (actor.host.is_some(), HAS_HOST),
            (actor.stand_in_ms.is_some(), STANDS_IN),
            (actor.checkpoint.is_some(), SAVED),
        ];
        out.push(flags.iter().filter(|(is, _)| *is).fold(0, |all, (_, flag)| all | flag));
        out.push(actor.home.as_str().len() as u8);
        out.extend_from_slice(actor.home.as_str().as_bytes());
        actor.host.iter().for_each(|host| put(&mut out, host.0));
        put(&mut out, actor.epoch.0);
        put(&mut out, actor.life);
        actor.stand_in_ms.iter().for_each(|after| put(&mut out, u64::from(*after)));
        if let Some((epoch, checkpoint)) = &actor.checkpoint {
            put_checkpoint(&mut out, *epoch, checkpoint);
        }
        out.extend_from_slice(&actor.nonce.to_le_bytes());
        put(&mut out, actor.saved_at);
        Self(out.as_slice().into())
    }

    /// The same with a newer checkpoint, which is not lost. `line` is its own: what stands before a checkpoint is
    /// copied as it lies, but for the flags.
    pub(super) fn saved(&self, line: &Line<'_>, (epoch, checkpoint): (Epoch, &Checkpoint), at: u64) -> Self {
        let head = self.0.len() - line.rest.len();
        let mut out = Bytes::from_slice(self.0.get(..head).unwrap_or_default());
        if let Some(flags) = out.get_mut(LENGTHS + line.name.kind.len() + line.name.key.len()) {
            *flags = *flags & !LOST | SAVED;
        }
        put_checkpoint(&mut out, epoch, checkpoint);
        let mut behind = line.read_checkpoint().1;
        out.extend_from_slice(&behind.array::<NONCE>());
        put(&mut out, at);
        Self(out.as_slice().into())
    }

    /// As it lies in memory.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn line(&self) -> Line<'_> {
        let mut reader = Reader(&self.0);
        let [kind, low, high] = reader.array::<LENGTHS>();
        let kind = reader.text(kind.into());
        let key = reader.text(u16::from_le_bytes([low, high]).into());
        let [flags, home] = reader.array();
        let home = reader.text(home.into());
        let host = (flags & HAS_HOST != 0).then(|| Incarnation(reader.number()));
        let (epoch, life) = (Epoch(reader.number()), reader.number());
        let stand_in_ms = (flags & STANDS_IN != 0).then(|| reader.number() as u32);
        Line { name: ActorName { kind, key }, home, host, epoch, life, stand_in_ms, flags, rest: reader.0 }
    }
}

impl<'a> Line<'a> {
    /// See [`Actor::lost`].
    pub fn lost(&self) -> bool {
        self.flags & LOST != 0
    }

    /// See [`Actor::stopping`].
    pub fn stopping(&self) -> bool {
        self.flags & STOPPING != 0
    }

    /// See [`Actor::failed`].
    pub fn failed(&self) -> bool {
        self.flags & FAILED != 0
    }

    /// See [`Actor::by_hand`].
    pub fn by_hand(&self) -> bool {
        self.flags & BY_HAND != 0
    }

    /// Whether it has no checkpoint: it was never acknowledged to exist, runs nowhere, and none but its home can
    /// write one.
    pub fn is_unborn(&self) -> bool {
        self.flags & SAVED == 0
    }

    /// How many copies its newest checkpoint should have besides the host's own, and the disks that hold one.
    pub fn copies(&self) -> (u8, impl Iterator<Item = RaftId> + Clone + use<'a>) {
        let mut reader = Reader(self.rest);
        let (copies, holders) = match self.is_unborn() {
            true => (0, 0),
            false => (reader.array::<1>()[0], reader.number()),
        };
        let mut rest = reader.0;
        let next = move |_| {
            let mut reader = Reader(rest);
            let disk = RaftId(reader.number());
            rest = reader.0;
            disk
        };
        (copies, (0..holders).map(next))
    }

    /// Its name, to keep.
    pub fn id(&self) -> ActorId {
        ActorId::of(self.name)
    }

    /// Its newest checkpoint, and what is behind that.
    fn read_checkpoint(&self) -> (Option<(Epoch, Checkpoint)>, Reader<'a>) {
        let mut reader = Reader(self.rest);
        let checkpoint = (!self.is_unborn()).then(|| {
            let [copies] = reader.array();
            let holders: Disks = (0..reader.number()).map(|_| RaftId(reader.number())).collect();
            let epoch = Epoch(reader.number());
            let (seq, length) = (reader.number(), reader.number());
            (epoch, Checkpoint { seq, digest: reader.array::<DIGEST>(), length, copies, holders })
        });
        (checkpoint, reader)
    }

    /// See [`Actor::checkpoint`].
    pub fn checkpoint(&self) -> Option<(Epoch, Checkpoint)> {
        self.read_checkpoint().0
    }

    /// All of it, to keep.
    pub fn actor(&self) -> Actor {
        let (checkpoint, mut reader) = self.read_checkpoint();
        let nonce = u128::from_le_bytes(reader.array::<NONCE>());
        let saved_at = reader.number();
        Actor {
            home: NodeId::of(self.home),
            host: self.host,
            epoch: self.epoch,
            life: self.life,
            nonce,
            checkpoint,
            saved_at,
            lost: self.lost(),
            stopping: self.stopping(),
            failed: self.failed(),
            stand_in_ms: self.stand_in_ms,
            by_hand: self.by_hand(),
            whole: self.flags & WHOLE != 0,
        }
    }
}
