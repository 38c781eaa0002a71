//! Checkpoint copies on the disk. Long ones lie alone, their bytes apart from their names. Short ones lie in bundles:
//! an index in memory tells where, and the bundle goes when nothing in it counts any more. That a copy was removed is
//! not written down: one whose bundle is still there comes back when the store is opened again, and is removed again.

mod bundle;
mod index;

use bytes::Bytes;
use rocksdb::WriteBatch;
use std::collections::BTreeSet;
use std::io;

use self::bundle::{Bundle, Record, records};
pub(super) use self::index::Index;
use self::index::Place;
use super::codec::{self, CopyPart, bundle_key, copy_key, copy_prefix, parse_bundle_key, parse_copy_key};
use super::disk::{Disk, io_error};
use super::options::Column;
use super::{RocksStore, batch};
use crate::id::ActorId;
use crate::limits::{BUNDLES_PER_MOVE, COPY_APART_BYTES, TORN_BUNDLE_NUMBERS};
use crate::store::error::corrupt;
use crate::store::{CopyKey, Durable, lock};

impl RocksStore {
    pub(super) fn put_copies(&self, copies: Vec<(CopyKey, Bytes)>, done: Durable) {
        let is_short = |(_, bytes): &(CopyKey, Bytes)| bytes.len() < COPY_APART_BYTES;
        let (short, long): (Vec<_>, Vec<_>) = copies.into_iter().partition(is_short);
        let mut bundles = vec![];
        let filled = batch(|batch| {
            bundles = self.add_bundles(batch, short)?;
            for (key, bytes) in long {
                self.disk.put(batch, Column::Copies, &copy_key(CopyPart::Name, &key), &[])?;
                self.disk.put(batch, Column::Copies, &copy_key(CopyPart::Bytes, &key), &bytes)?;
            }
            Ok(())
        });
        let order = lock(&self.order);
        let written = filled.and_then(|batch| self.write(batch));
        if written.is_ok() {
            self.note_bundles(bundles);
        }
        self.flusher.queue(order, written, done);
    }

    /// Adds copies to a batch, in bundles, whose numbers are returned.
    fn add_bundles(
        &self,
        batch: &mut WriteBatch,
        copies: Vec<(CopyKey, Bytes)>,
    ) -> io::Result<Vec<(u64, Bundle)>> {
        let bundles = Bundle::pack(copies)?;
        let numbers = lock(&self.index).take_numbers(bundles.len() as u64);
        let numbered: Vec<_> = numbers.zip(bundles).collect();
        for (number, bundle) in &numbered {
            self.disk.put(batch, Column::Copies, &bundle_key(*number), &bundle.value)?;
        }
        Ok(numbered)
    }

    /// From here on they count, and what they hold counts nowhere else.
    fn note_bundles(&self, bundles: Vec<(u64, Bundle)>) {
        let mut index = lock(&self.index);
        for (number, bundle) in bundles {
            for (slot, (key, length)) in (0..).zip(&bundle.copies) {
                index.insert(key, Place { bundle: number, slot }, *length);
            }
        }
    }

    pub(super) fn get_copy(&self, key: &CopyKey) -> io::Result<Option<Vec<u8>>> {
        let what = || format!("the copy of {} at epoch {}, {}", key.actor, key.epoch, key.seq);
        let (mut place, mut before) = (lock(&self.index).place(key), None);
        while let Some(here) = place {
            let found = self.disk.read(Column::Copies, &bundle_key(here.bundle), what, |value| {
                let record = records(value).nth(usize::from(here.slot)).transpose()?;
                let record = record.filter(|record| record.name == copy_key(CopyPart::Name, key));
                record
                    .map(|record| record.bytes.to_vec())
                    .ok_or_else(|| corrupt(format!("{} is not in its bundle", what())))
            })?;
            if let Some(found) = found {
                return found.map(Some);
            }
            // It was written again elsewhere meanwhile, or removed.
            if before == Some(here) {
                return Err(corrupt(format!("the bundle of {} is missing", what())));
            }
            (place, before) = (lock(&self.index).place(key), place);
        }
        match self.disk.get(Column::Copies, &copy_key(CopyPart::Name, key), what)? {
            Some(apart) if apart.is_empty() => {
                self.disk.get(Column::Copies, &copy_key(CopyPart::Bytes, key), what)
            }
            // Before there were bundles, short ones lay with their names.
            Some(bytes) => Ok(Some(bytes)),
            None if lock(&self.index).is_torn => {
                Err(corrupt(format!("bundles of copies are spoiled, and {} may have been in one", what())))
            }
            None => Ok(None),
        }
    }

    /// The copies of some actors, or all. What is moved meanwhile would be missed.
    pub(super) fn list_copies(&self, actors: Option<&[&ActorId]>) -> io::Result<Vec<CopyKey>> {
        let _still = lock(&self.moves);
        let mut keys = match actors {
            None => self.names_behind([copy_prefix(CopyPart::Name, None)])?,
            Some(some) => self.names_behind(some.iter().map(|a| copy_prefix(CopyPart::Name, Some(a))))?,
        };
        let wanted = actors.map(|some| some.iter().copied().collect::<BTreeSet<_>>());
        let slots = lock(&self.index).slots_of(actors);
        for (number, slots) in slots {
            // Unchecked: whoever reads a copy will see whether it is spoiled.
            let stored = self
                .disk
                .read_unchecked(Column::Copies, &bundle_key(number), |value| names_in(value, &slots))?;
            // None if all of it was removed meanwhile.
            for key in stored.transpose()?.unwrap_or_default() {
                if wanted.as_ref().is_none_or(|wanted| wanted.contains(&key.actor)) {
                    keys.push(key);
                }
            }
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// The long copies whose names begin with one of some prefixes. One way through the names serves all of them: it
    /// takes longer to begin than to go on.
    fn names_behind(&self, prefixes: impl IntoIterator<Item = Vec<u8>>) -> io::Result<Vec<CopyKey>> {
        let (mut prefixes, mut keys) = (prefixes.into_iter().peekable(), Vec::new());
        let Some(first) = prefixes.peek() else { return Ok(keys) };
        let mut stored = self.disk.iterate(Column::Copies, first, copy_prefix(CopyPart::Bytes, None))?;
        while let Some(prefix) = prefixes.next() {
            while let Some((key, sum)) = stored.item().filter(|(key, _)| key.starts_with(&prefix)) {
                codec::unseal(Column::Copies.tag(), key, sum, || "the name of a copy".into())?;
                keys.push(parse_name(key)?);
                stored.next();
            }
            stored.status().map_err(io_error)?;
            prefixes.peek().into_iter().for_each(|next| stored.seek(next));
        }
        Ok(keys)
    }

    pub(super) fn delete_copies(&self, keys: &[CopyKey]) -> io::Result<()> {
        self.submit_unsynced(|batch| {
            let copies = self.disk.column(Column::Copies)?;
            let mut index = lock(&self.index);
            for key in keys.iter().filter(|key| !index.remove(key)) {
                batch.delete_cf(copies, copy_key(CopyPart::Name, key));
                batch.delete_cf(copies, copy_key(CopyPart::Bytes, key));
            }
            // Each was written once, and is removed once: both vanish where they meet.
            index
                .take_empty()
                .into_iter()
                .for_each(|number| batch.single_delete_cf(copies, bundle_key(number)));
            Ok(())
        })?;
        self.empty_sparse_bundles()
    }

    /// Writes what counts of some bundles again, if all of them hold much more than counts.
    fn empty_sparse_bundles(&self) -> io::Result<()> {
        let Ok(_moving) = self.moves.try_lock() else { return Ok(()) };
        let _order = lock(&self.order);
        let sparse = lock(&self.index).take_sparse(BUNDLES_PER_MOVE);
        let mut copies = vec![];
        for number in sparse {
            let what = || format!("the bundle {number} of copies");
            match self
                .disk
                .read(Column::Copies, &bundle_key(number), what, |value| self.live_in(number, value))
            {
                Ok(live) => copies.extend(live.transpose()?.unwrap_or_default()),
                Err(e) => tracing::warn!(%e, "a copy on this disk is spoiled"),
            }
        }
        if copies.is_empty() {
            return Ok(());
        }
        let mut bundles = vec![];
        let batch = batch(|batch| {
            bundles = self.add_bundles(batch, copies)?;
            Ok(())
        })?;
        self.write(batch)?;
        // Nothing in the old ones counts now: the next removal takes them along.
        self.note_bundles(bundles);
        Ok(())
    }

    /// The copies of a bundle that count.
    fn live_in(&self, number: u64, value: &[u8]) -> io::Result<Vec<(CopyKey, Bytes)>> {
        let index = lock(&self.index);
        let mut live = vec![];
        for (slot, record) in (0..).zip(records(value)) {
            let Record { name, bytes, .. } = record?;
            let key = parse_name(name)?;
            if index.place(&key) == Some(Place { bundle: number, slot }) {
                live.push((key, Bytes::copy_from_slice(bytes)));
            }
        }
        Ok(live)
    }
}

fn parse_name(name: &[u8]) -> io::Result<CopyKey> {
    parse_copy_key(name).ok_or_else(|| corrupt("the name of a copy is malformed"))
}

/// The names of some copies in a bundle.
fn names_in(value: &[u8], slots: &BTreeSet<u16>) -> io::Result<Vec<CopyKey>> {
    let records = (0..).zip(records(value)).filter(|(slot, _)| slots.contains(slot));
    let names: Vec<_> = records.map(|(_, record)| parse_name(record?.name)).collect::<io::Result<_>>()?;
    if names.len() == slots.len() { Ok(names) } else { Err(corrupt("a bundle of copies is too short")) }
}

impl Disk {
    /// Reads all bundles once. What cannot be read is missing in what is returned, which says so.
    pub(super) fn index_copies(&self) -> io::Result<Index> {
        let mut index = Index::default();
        let (mut from, mut torn) = (0_u64, 0_u64);
        loop {
            let end = vec![CopyPart::Bundle as u8 + 1];
            let mut stored = self.iterate(Column::Copies, &bundle_key(from), end)?;
            while let Some((key, value)) = stored.item() {
                let number =
                    parse_bundle_key(key).ok_or_else(|| corrupt("the name of a bundle is malformed"))?;
                index.is_used(number);
                if let Err(e) = index_bundle(&mut index, number, key, value) {
                    tracing::error!(%e, "copies on this disk are spoiled");
                    index.is_torn = true;
                }
                from = number.saturating_add(1);
                stored.next();
            }
            match stored.status().map_err(io_error) {
                Ok(()) => break,
                Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                    tracing::error!(%e, "copies on this disk are spoiled");
                    index.is_torn = true;
                }
                Err(e) => return Err(e),
            }
            // Past the part of the table that is spoiled, in steps that grow.
            torn = torn.saturating_mul(2).max(1);
            match from.checked_add(torn) {
                Some(next) => from = next,
                None => break,
            }
        }
        if torn > 0 {
            let _passed_over = index.take_numbers(TORN_BUNDLE_NUMBERS);
        }
        Ok(index)
    }
}

fn index_bundle(index: &mut Index, number: u64, key: &[u8], stored: &[u8]) -> io::Result<()> {
    let what = || format!("the bundle {number} of copies");
    let value = codec::unseal(Column::Copies.tag(), key, stored, what)?;
    for (slot, record) in (0..).zip(records(value)) {
        let Record { name, length, .. } = record?;
        index.insert(&parse_name(name)?, Place { bundle: number, slot }, length);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
