//! Where the chunks of a copy go as they come: together again in memory, or onto this disk.

use bytes::Bytes;
use std::future::Future;
use std::io;

use super::chunk::{Checked, Chunk};
use super::content::Content;
use super::manifest::{Layout, Manifest};
use super::other;
use super::shelf::{InUse, Writer};
use super::wanted::Places;
use crate::id::ActorId;
use crate::peer::Shared;

/// Takes chunks in.
pub(super) trait Sink: Send {
    /// Its manifest is known: which of its chunks are wanted?
    fn begin(
        &mut self,
        manifest: &Manifest,
        chunks: &[Chunk],
    ) -> impl Future<Output = io::Result<Places>> + Send;

    /// One of those.
    fn put(
        &mut self,
        at: usize,
        chunk: &Chunk,
        checked: Checked,
    ) -> impl Future<Output = io::Result<()>> + Send;
}

/// Puts a large checkpoint together.
#[derive(Default)]
pub(super) struct Assembly {
    bytes: Vec<u8>,
    /// Where each chunk belongs.
    offsets: Vec<Vec<usize>>,
}

impl Sink for Assembly {
    async fn begin(&mut self, manifest: &Manifest, chunks: &[Chunk]) -> io::Result<Places> {
        let places: std::collections::BTreeMap<_, _> =
            chunks.iter().enumerate().map(|(at, chunk)| (chunk.digest, at)).collect();
        self.offsets = vec![vec![]; chunks.len()];
        let mut end = 0;
        for chunk in manifest.chunks() {
            if let Some(at) = places.get(&chunk.digest) {
                self.offsets[*at].push(end);
            }
            end += chunk.len();
        }
        // The committed digest is of this length, which is within the limits.
        self.bytes = vec![0; end];
        Ok((0..chunks.len()).collect())
    }

    async fn put(&mut self, at: usize, _: &Chunk, Checked { plain, .. }: Checked) -> io::Result<()> {
        for offset in &self.offsets[at] {
            self.bytes[*offset..offset + plain.len()].copy_from_slice(&plain);
        }
        Ok(())
    }
}

impl Assembly {
    /// The whole, once all chunks are there.
    pub(super) fn finish(self, manifest: &Manifest) -> Content {
        let (kind_version, all) = (manifest.kind_version, Bytes::from(self.bytes));
        let mut begin = 0;
        let [state, sessions] = [&manifest.state, &manifest.sessions].map(|layout| match layout {
            Layout::Whole(bytes) => bytes.clone(),
            Layout::Chunks(_) => {
                let end = begin + layout.len();
                all.slice(std::mem::replace(&mut begin, end)..end)
            }
        });
        Content { kind_version, state, sessions }
    }
}

/// Keeps chunks on this disk, those that are not there yet.
pub(super) struct Keeper<'a> {
    shared: &'a Shared,
    actor: ActorId,
    writer: Option<Writer>,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(shared: &'a Shared, actor: &ActorId) -> Self {
        Self { shared, actor: actor.clone(), writer: None }
    }

    /// Begins to write what has come.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        match &mut self.writer {
            Some(writer) => writer.write().await,
            None => Ok(()),
        }
    }

    /// Waits until they are durable. They stay while what it returns is held, or a copy on the disk names them.
    pub(super) async fn finish(self) -> io::Result<Option<InUse>> {
        match self.writer {
            Some(writer) => writer.finish().await.map(Some),
            None => Ok(None),
        }
    }
}

impl Sink for Keeper<'_> {
    async fn begin(&mut self, _: &Manifest, chunks: &[Chunk]) -> io::Result<Places> {
        if chunks.is_empty() {
            return Ok(Places::new());
        }
        self.writer = Some(self.shared.chunk_writer(&self.actor).await);
        let here = self.shared.own_chunk_names(&self.actor).await?;
        Ok((0..chunks.len()).filter(|at| !here.contains(&chunks[*at].digest)).collect())
    }

    async fn put(&mut self, _: usize, chunk: &Chunk, Checked { stored, .. }: Checked) -> io::Result<()> {
        let writer = self.writer.as_mut().ok_or_else(|| other("a chunk that nobody asked for"))?;
        writer.put(chunk.digest, stored).await
    }
}
