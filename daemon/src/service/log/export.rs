//! Exports: the log, or an organization's part of it, to be verified elsewhere.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

use agentidp_shared::merkle::export::{ExportWriter, Header};
use agentidp_shared::merkle::{
    CachedTiles, Grown, TILE_WIDTH, leaf, peaks, prove_consistency, prove_inclusion,
};
use agentidp_shared::{Code, FieldError, OrganizationId};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::Signed;
use crate::service::{Caller, Reach, Service, ServiceError};
use crate::store::{EntryFilter, Store, StoredEntry};

/// How many entries are read at a time.
const BATCH: usize = 256;
/// How many bytes of an export are sent at a time.
const CHUNK: usize = 64 * 1_024;
/// How often entries are read for them at most: where an organization has few, parts have less.
const TURN: usize = 64;

/// What of the log an export is to have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExportRange {
    /// Only the entries of this organization.
    pub(crate) organization: Option<OrganizationId>,
    /// From this place.
    pub(crate) from: u64,
    /// To before this one; `None`: to the end.
    pub(crate) to: Option<u64>,
    /// Proved against the tree of this size; `None`: of the newest checkpoint.
    pub(crate) size: Option<u64>,
}

/// A part of an export.
#[derive(Debug)]
pub(crate) struct ExportChunk {
    /// The next bytes.
    pub(crate) data: Bytes,
    /// How far in the log it is.
    pub(crate) next: u64,
    /// How far it will go.
    pub(crate) to: u64,
}

type Chunks = mpsc::Sender<Result<ExportChunk, ServiceError>>;

impl Service {
    /// Writes an export into `chunks`, until it is whole, the receiver is gone or the daemon stops.
    ///
    /// # Errors
    ///
    /// When the caller may not have it, or the range is not one. What fails later goes into
    /// `chunks`.
    pub(crate) async fn export(
        &self,
        caller: &Caller,
        range: ExportRange,
        chunks: Chunks,
    ) -> Result<(), ServiceError> {
        if range.organization.is_none() && caller.reach != Reach::Installation {
            return Err(ServiceError::new(
                Code::PermissionDenied,
                "a whole export has the entries of every organization: name yours with --org",
            ));
        }
        let end = *self.store.head().borrow();
        if range.size.is_some_and(|size| size == 0 || size > end) {
            return Err(FieldError::new("size", "must be one that the log has had").into());
        }
        let end = range.size.unwrap_or(end);
        let to = range.to.unwrap_or(end);
        if to > end {
            return Err(FieldError::new("to", "must not be beyond the end of the log").into());
        }
        if range.from > to {
            return Err(FieldError::new("from", "must not be beyond the export's end").into());
        }
        let signed = self.checkpoint_of(range.size.unwrap_or(to)).await?;
        let checkpoint = match range.size {
            // One that was signed before is the same again: the size says all that is in it.
            Some(size) => self.checkpoint_at(&signed, size).await?,
            None => signed.note.clone(),
        };
        let size = range.size.unwrap_or(signed.size());
        let export = Export {
            store: Arc::clone(&self.store),
            size,
            signed,
            checkpoint: checkpoint.to_string(),
            organization: range.organization,
            from: range.from,
            // What goes to the end goes to that of the log of its checkpoint: whoever reads it sees that nothing
            // was left out there.
            to: range.to.unwrap_or(size),
        };
        let writing = send(export, chunks);
        let stopping = self.stopping.clone();
        tokio::spawn(async move { stopping.run_until_cancelled(writing).await });
        Ok(())
    }
}

/// Sends all of `export`. A part is made when there is room for it, and only for that a thread is taken which
/// the store's work needs: who reads slowly, or not at all, holds up nobody else.
async fn send(export: Export, chunks: Chunks) {
    let (export, mut part) = (Arc::new(export), None);
    // When nobody wants the rest it ends.
    while let Ok(room) = chunks.reserve().await {
        let made = Arc::clone(&export);
        let making = tokio::task::spawn_blocking(move || {
            let part = part.map_or_else(|| made.begin(), Ok)?;
            made.make(part)
        });
        let made = making.await.unwrap_or_else(|error| {
            let message = format!("making the export failed: {error}");
            Err(ServiceError::new(Code::Internal, message))
        });
        match made {
            Ok((chunk, rest)) => {
                room.send(Ok(chunk));
                if rest.is_none() {
                    return;
                }
                part = rest;
            }
            Err(error) => return room.send(Err(error)),
        }
    }
}

/// An export that is being written.
struct Export {
    store: Arc<dyn Store>,
    signed: Arc<Signed>,
    /// The checkpoint that it is proved against.
    checkpoint: String,
    /// How many entries that is of.
    size: u64,
    organization: Option<OrganizationId>,
    from: u64,
    to: u64,
}

/// How far it is.
struct Part {
    writer: ExportWriter<Vec<u8>>,
    /// The next place in the log.
    next: u64,
    /// Entries from there on, as far as they are read.
    entries: VecDeque<StoredEntry>,
}

impl Export {
    fn tiles(&self) -> CachedTiles<Grown<'_, dyn Store>> {
        CachedTiles::new(Grown {
            full: self.store.as_ref(),
            edge: &self.signed.edge,
        })
    }

    fn begin(&self) -> Result<Part, ServiceError> {
        let checkpoint = self.checkpoint.clone();
        let header = match self.organization {
            None => {
                let peaks = peaks(&self.tiles(), self.from)?;
                Header::complete(self.from, self.to, peaks, checkpoint)
            }
            Some(organization) => {
                Header::of_organization(organization, self.from, self.to, checkpoint)
            }
        };
        let out = Vec::with_capacity(CHUNK);
        Ok(Part {
            writer: ExportWriter::begin(out, &header).map_err(unwritten)?,
            next: self.from,
            entries: VecDeque::new(),
        })
    }

    /// The next bytes, and what comes after them, if anything does.
    fn make(&self, mut part: Part) -> Result<(ExportChunk, Option<Part>), ServiceError> {
        let tiles = self.tiles();
        for _ in 0..TURN {
            if part.next >= self.to || part.writer.out().len() >= CHUNK {
                break;
            }
            self.write(&mut part, &tiles)?;
        }
        let next = part.next;
        if next < self.to {
            let data = std::mem::take(part.writer.out());
            return Ok((self.chunk(data, next), Some(part)));
        }
        let proof = if self.organization.is_some() || self.to == 0 {
            Vec::new()
        } else {
            prove_consistency(&tiles, self.to, self.size)?
        };
        let rest = part.writer.end(proof).map_err(unwritten)?;
        Ok((self.chunk(rest, next), None))
    }

    /// Writes entries up to the end of a tile, or as many as were read.
    fn write(
        &self,
        part: &mut Part,
        tiles: &CachedTiles<Grown<'_, dyn Store>>,
    ) -> Result<(), ServiceError> {
        let filter = EntryFilter {
            organizations: self.organization.map(|it| BTreeSet::from([it])),
            ..EntryFilter::default()
        };
        let Part {
            writer,
            next,
            entries,
        } = part;
        if entries.is_empty() {
            *entries = self.store.entries_from(*next, BATCH)?.into();
        }
        let until = ((*next / TILE_WIDTH + 1) * TILE_WIDTH).min(self.to);
        // Up to the first that is there, and beyond the last, all were pruned.
        let there = entries.front().map_or(until, |it| it.seq);
        if self.organization.is_none() {
            for seq in *next..until.min(there) {
                writer.pruned(leaf(tiles, seq)?).map_err(unwritten)?;
            }
        }
        *next = until.min(there);
        while let Some(entry) = entries.pop_front_if(|it| it.seq == *next && *next < until) {
            if self.organization.is_none() {
                writer.entry(&entry.json).map_err(unwritten)?;
            } else if filter.matches_stored(&entry) {
                let proof = prove_inclusion(tiles, *next, self.size)?;
                writer.proved_entry(&entry.json, proof).map_err(unwritten)?;
            }
            *next += 1;
        }
        Ok(())
    }

    fn chunk(&self, data: Vec<u8>, next: u64) -> ExportChunk {
        ExportChunk {
            data: data.into(),
            next,
            to: self.to,
        }
    }
}

/// Writing into memory does not fail; were it to, the export would not be whole.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` passes")]
fn unwritten(error: io::Error) -> ServiceError {
    ServiceError::new(
        Code::Internal,
        format!("the export cannot be written: {error}"),
    )
}
