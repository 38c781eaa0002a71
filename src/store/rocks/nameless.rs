//! Bytes of long copies whose names are gone. Whoever committed a checkpoint said how long it is, and a copy that is
//! short by that is removed by its name alone: of one who lied the bytes stay until the store is opened again.

use rocksdb::WriteBatch;
use std::io;

use super::codec::CopyPart;
use super::disk::{Disk, io_error};
use super::options::Column;
use crate::limits::MAX_BATCH_ITEMS;

impl Disk {
    /// Removes them. Reads the bytes of long copies once: those are lists of chunks.
    pub(super) fn remove_nameless(&self) -> io::Result<()> {
        let copies = self.column(Column::Copies)?;
        let (from, to) = ([CopyPart::Bytes as u8], vec![CopyPart::Bytes as u8 + 1]);
        let mut stored = self.iterate(Column::Copies, &from, to)?;
        let mut dead = WriteBatch::default();
        while let Some(key) = stored.key() {
            let name = [&[CopyPart::Name as u8], key.get(1..).unwrap_or_default()].concat();
            if self.db().get_pinned_cf(copies, name).map_err(io_error)?.is_none() {
                dead.delete_cf(copies, key);
            }
            if dead.len() >= MAX_BATCH_ITEMS {
                self.write(std::mem::take(&mut dead))?;
            }
            stored.next();
        }
        stored.status().map_err(io_error)?;
        if dead.is_empty() { Ok(()) } else { self.write(dead).map(drop) }
    }
}
