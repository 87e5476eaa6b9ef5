//! The log as evidence: checkpoints, proofs and exports (docs/reference/audit-log.md).

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use agentidp_shared::merkle::export::{ExportWriter, Header};
use agentidp_shared::merkle::{
    CachedTiles, Checkpoint, Edge, LogKey, NodeHash, Note, TILE_WIDTH, TileError, TileSource,
    TlogProof, VerifierKey, peaks, prove_consistency, prove_inclusion,
};
use agentidp_shared::{Code, FieldError, OrganizationId, Timestamp};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{Caller, Reach, Service, ServiceError};
use crate::store::{EntryFilter, ReadError, Store};

/// How many entries are read at a time.
const BATCH: usize = 256;
/// How many bytes of an export are sent at a time.
const CHUNK: usize = 64 * 1_024;
/// How long the log may grow before its checkpoint is told again.
const TOLD_EVERY: std::time::Duration = std::time::Duration::from_mins(1);

/// What signs checkpoints, and the newest.
pub(super) struct Log {
    key: LogKey,
    newest: Mutex<Option<Arc<Signed>>>,
    /// The size of the last checkpoint that was told, and when.
    told: Mutex<Option<(u64, Timestamp)>>,
}

/// A checkpoint, and the tree that it is of.
pub(super) struct Signed {
    note: Note,
    edge: Edge,
}

impl Log {
    /// The log whose checkpoints `key` signs.
    pub(super) const fn new(key: LogKey) -> Self {
        Self {
            key,
            newest: Mutex::new(None),
            told: Mutex::new(None),
        }
    }
}

/// The tiles of a tree: the store's full ones, and the edge that a checkpoint is of.
struct LogTiles<'a> {
    store: &'a dyn Store,
    edge: &'a Edge,
}

impl TileSource for LogTiles<'_> {
    type Error = ReadError;

    fn hashes(&self, level: u8, index: u64) -> Result<Vec<NodeHash>, ReadError> {
        let Ok(hashes) = self.edge.hashes(level, index);
        if hashes.is_empty() {
            self.store.tile(level, index)
        } else {
            Ok(hashes)
        }
    }
}

impl From<TileError<ReadError>> for ServiceError {
    fn from(error: TileError<ReadError>) -> Self {
        match error {
            TileError::Source(error) => error.into(),
            TileError::OutOfRange => {
                FieldError::new("seq", "must be below the size of the log").into()
            }
            error @ TileError::Missing { .. } => Self::new(
                Code::Internal,
                format!("{error}: stop the daemon and delete the index to have it rebuilt"),
            ),
        }
    }
}

/// What of the log an export is to have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExportRange {
    /// Only the entries of this organization.
    pub(crate) organization: Option<OrganizationId>,
    /// From this place.
    pub(crate) from: u64,
    /// To before this one; `None`: to the end.
    pub(crate) to: Option<u64>,
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
    /// What verifies the log's checkpoints.
    pub(crate) const fn log_verifier(&self) -> &VerifierKey {
        self.log.key.verifier()
    }

    /// The checkpoint of the log as it is now. All of it is in the journal already.
    fn signed(&self) -> Result<Arc<Signed>, ServiceError> {
        let edge = self.store.tree();
        // Held while signing, so that checkpoints are signed in the order of their sizes.
        let mut newest = self.log.newest.lock();
        if let Some(signed) = &*newest
            && signed.edge.size() >= edge.size()
        {
            return Ok(Arc::clone(signed));
        }
        let origin = self.log_verifier().name().to_owned();
        let note = Checkpoint::new(origin, edge.size(), edge.root()).sign(&self.log.key)?;
        let signed = Arc::new(Signed { note, edge });
        *newest = Some(Arc::clone(&signed));
        Ok(signed)
    }

    /// Tells the checkpoint to the system log, at most once a minute while the log grows, or `now`
    /// that the daemon ends: a log that is rewritten later contradicts what was told.
    pub(crate) fn tell_checkpoint(&self, at_end: bool) {
        let now = self.now();
        let size = *self.store.head().borrow();
        let mut told = self.log.told.lock();
        if let Some((before, when)) = *told
            && (before == size || (!at_end && now.since(when) < TOLD_EVERY))
        {
            return;
        }
        match self.signed() {
            Ok(signed) => {
                *told = Some((signed.edge.size(), now));
                tracing::info!(checkpoint = %signed.note, "the audit log has grown");
            }
            Err(error) => tracing::error!(%error, "no checkpoint could be signed"),
        }
    }

    /// An entry, and the proof that it is in the log.
    ///
    /// # Errors
    ///
    /// When there is no such entry for the caller, or the store cannot be read.
    pub(crate) async fn prove_entry(
        &self,
        caller: &Caller,
        seq: u64,
    ) -> Result<TlogProof, ServiceError> {
        let entry = self.find_entry(caller, seq).await?;
        let signed = self.signed()?;
        self.read(move |store| {
            let edge = &signed.edge;
            Ok(TlogProof {
                entry: entry.json.to_vec(),
                index: seq,
                proof: prove_inclusion(&LogTiles { store, edge }, seq, edge.size())?,
                checkpoint: signed.note.clone(),
            })
        })
        .await
    }

    /// Writes an export into `chunks`, until it is whole, the receiver is gone or the daemon stops.
    ///
    /// # Errors
    ///
    /// When the caller may not have it, or the range is not one. What fails later goes into
    /// `chunks`.
    pub(crate) fn export(
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
        let signed = self.signed()?;
        let size = signed.edge.size();
        let to = range.to.unwrap_or(size);
        if to > size {
            return Err(FieldError::new("to", "must not be beyond the end of the log").into());
        }
        if range.from > to {
            return Err(FieldError::new("from", "must not be beyond the export's end").into());
        }
        let export = Export {
            store: Arc::clone(&self.store),
            signed,
            organization: range.organization,
            from: range.from,
            to,
            stopping: self.stopping.clone(),
        };
        tokio::task::spawn_blocking(move || {
            if let Err(Ended::Failed(error)) = export.write(&chunks) {
                // Whoever asked may have gone away.
                let _ = chunks.blocking_send(Err(error));
            }
        });
        Ok(())
    }
}

/// An export that is being written.
struct Export {
    store: Arc<dyn Store>,
    signed: Arc<Signed>,
    organization: Option<OrganizationId>,
    from: u64,
    to: u64,
    stopping: tokio_util::sync::CancellationToken,
}

/// Why an export is not whole.
enum Ended {
    /// Nobody wants the rest.
    Unwanted,
    /// Something failed.
    Failed(ServiceError),
}

impl<E: Into<ServiceError>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Export {
    fn write(&self, chunks: &Chunks) -> Result<(), Ended> {
        let edge = &self.signed.edge;
        let store = self.store.as_ref();
        let tiles = CachedTiles::new(LogTiles { store, edge });
        let checkpoint = self.signed.note.to_string();
        let header = match self.organization {
            None => Header::complete(self.from, self.to, peaks(&tiles, self.from)?, checkpoint),
            Some(organization) => {
                Header::of_organization(organization, self.from, self.to, checkpoint)
            }
        };
        let filter = EntryFilter {
            organizations: self.organization.map(|it| BTreeSet::from([it])),
            ..EntryFilter::default()
        };
        let out = Vec::with_capacity(CHUNK);
        let mut writer = ExportWriter::begin(out, &header).map_err(unwritten)?;
        let mut next = self.from;
        while next < self.to {
            if self.stopping.is_cancelled() {
                return Err(Ended::Unwanted);
            }
            let until = (next / TILE_WIDTH + 1) * TILE_WIDTH;
            let count = until.min(self.to) - next;
            let count = usize::try_from(count).unwrap_or(BATCH).min(BATCH);
            let entries = store.entries_from(next, count)?;
            let Some(last) = entries.last() else {
                let message = format!("the log has no entry {next}, which it had");
                return Err(ServiceError::new(Code::Internal, message).into());
            };
            next = last.seq + 1;
            for entry in &entries {
                if self.organization.is_none() {
                    writer.entry(&entry.json).map_err(unwritten)?;
                } else if filter.matches_stored(entry) {
                    let proof = prove_inclusion(&tiles, entry.seq, edge.size())?;
                    writer.proved_entry(&entry.json, proof).map_err(unwritten)?;
                }
            }
            if writer.out().len() >= CHUNK {
                self.send(chunks, std::mem::take(writer.out()), next)?;
            }
        }
        let proof = if self.organization.is_some() || self.to == 0 {
            Vec::new()
        } else {
            prove_consistency(&tiles, self.to, edge.size())?
        };
        let rest = writer.end(proof).map_err(unwritten)?;
        self.send(chunks, rest, next)
    }

    fn send(&self, chunks: &Chunks, data: Vec<u8>, next: u64) -> Result<(), Ended> {
        let chunk = ExportChunk {
            data: data.into(),
            next,
            to: self.to,
        };
        chunks
            .blocking_send(Ok(chunk))
            .map_err(|_gone| Ended::Unwanted)
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
