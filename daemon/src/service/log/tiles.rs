//! The log as C2SP tlog-tiles, for those who may read all of it over HTTP.

use agentidp_shared::Code;
use agentidp_shared::merkle::{Grown, Tile, TileKind, TileSource as _, bundle};
use bytes::Bytes;

use crate::service::{Caller, Reach, Service, ServiceError};
use crate::store::{Bundle, Store};

impl Service {
    /// The newest checkpoint, as it is signed.
    ///
    /// # Errors
    ///
    /// `AUTHORIZATION_ERROR` for whoever is no reader of the log; when there is none yet.
    pub(crate) async fn log_checkpoint(&self, caller: &Caller) -> Result<String, ServiceError> {
        self.admit_reader(caller)?;
        Ok(self.newest_checkpoint().await?.note.to_string())
    }

    /// A tile of the tree, or a bundle of entries, as far as the newest checkpoint is of it; `None` when
    /// there is none of that width.
    ///
    /// # Errors
    ///
    /// `AUTHORIZATION_ERROR` for whoever is no reader of the log; when the store cannot be read.
    pub(crate) async fn log_tile(
        &self,
        caller: &Caller,
        tile: Tile,
    ) -> Result<Option<Bytes>, ServiceError> {
        self.admit_reader(caller)?;
        let signed = self.newest_checkpoint().await?;
        if !tile.is_in_tree_of(signed.size()) {
            return Ok(None);
        }
        let width = usize::from(tile.width());
        self.read(move |store| match tile.kind() {
            TileKind::Entries => entries(store, tile.index(), width),
            TileKind::Hashes(level) => {
                let edge = &signed.edge;
                let hashes = Grown { full: store, edge }.hashes(level, tile.index())?;
                let hashes = hashes.get(..width).unwrap_or_default();
                let bytes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
                Ok((!bytes.is_empty()).then(|| bytes.into()))
            }
        })
        .await
    }

    /// Lets in who may read every organization's entries.
    pub(crate) fn admit_reader(&self, caller: &Caller) -> Result<(), ServiceError> {
        let readers = &self.settings.log_readers;
        let is_reader = caller.actor.id.as_ref().is_some_and(|id| {
            let mut readers = readers.iter();
            readers.any(|reader| reader.to_string() == *id)
        });
        if is_reader || caller.reach == Reach::Installation {
            return Ok(());
        }
        Err(ServiceError::new(
            Code::PermissionDenied,
            "the whole log is for the agents in audit.readers of the daemon's configuration: this one is not among them; an organization's own entries are at /api/v1/audit",
        ))
    }
}

/// The bundle `index` of entries, of which there are `width`.
fn entries(store: &dyn Store, index: u64, width: usize) -> Result<Option<Bytes>, ServiceError> {
    let from = index * Bundle::ENTRIES;
    let mut found = store.bundle_entries(index)?;
    found.truncate(width);
    // Of a bundle that was pruned nothing is given out: it has no form for what is missing.
    if !found.iter().map(|it| it.seq).eq(from..from + width as u64) {
        return Ok(None);
    }
    let bytes = bundle(found.iter().map(|entry| entry.json.as_ref()))?;
    Ok(Some(bytes.into()))
}
