//! Making a store.

use agentidp_shared::merkle::{Checkpoint, Frontier, LogKey, NodeHash};
use agentidp_shared::{StoreId, Timestamp};

use super::head::Head;
use super::journal::{self, Journal};
use super::layout::{FORMAT, Identity, Layout, make_folder, sync_folder, write_json};
use super::open::check_room;
use super::sequencer::seal;
use super::{JournaledStore, OpenError, StoreOptions};
use crate::store::{Commit, CommitError};

/// The size up to which a journal without a store is what an interrupted `init` left behind.
const UNFINISHED: u64 = 4_096;

impl JournaledStore {
    /// Whether a store has been made at the place.
    pub(crate) fn exists(options: &StoreOptions) -> bool {
        Layout::new(options).exists()
    }

    /// Why there is no store at the place.
    pub(crate) fn missing(options: &StoreOptions) -> OpenError {
        Layout::new(options).missing()
    }

    /// Makes a store whose first commit is `first`, and whose log `key` signs.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when there is a store, or something else, already, or the disk refuses.
    pub(crate) fn create(
        options: &StoreOptions,
        id: StoreId,
        created_at: Timestamp,
        first: Commit,
        key: &LogKey,
    ) -> Result<(), OpenError> {
        let layout = Layout::new(options);
        let root = layout.root();
        if layout.exists() {
            return Err(OpenError::Exists(root.to_owned()));
        }
        let is_new = !root.exists();
        make_folder(root).map_err(OpenError::io(root))?;
        let remove_if_new = |error| {
            if is_new {
                // It stays when something is in it, which is then not ours.
                let _ = std::fs::remove_dir(root);
            }
            error
        };
        check_room(root).map_err(remove_if_new)?;
        let lock = layout.lock()?;
        // Only now: another may have been making the same store.
        if layout.exists() {
            return Err(OpenError::Exists(root.to_owned()));
        }
        if layout.journal().exists() {
            // Without the file that makes it a store. What an interrupted `init` leaves is small.
            if layout.journal_bytes() > UNFINISHED {
                return Err(OpenError::NoIdentity(root.to_owned()));
            }
            layout.remove_unfinished();
        }
        if layout.has_head() {
            return Err(OpenError::Exists(root.to_owned()));
        }
        let made = Self::create_in(&layout, id, created_at, first, key);
        if made.is_err() {
            layout.remove_unfinished();
            drop(lock);
            return made.map_err(remove_if_new);
        }
        made
    }

    fn create_in(
        layout: &Layout,
        id: StoreId,
        created_at: Timestamp,
        first: Commit,
        key: &LogKey,
    ) -> Result<(), OpenError> {
        let (root, journal) = (layout.root(), layout.journal());
        Journal::create(&journal, id).map_err(OpenError::io(&journal))?;
        let end = journal::scan(&journal, id, 1, &mut |_| Ok(()))?;
        let mut writer = Journal::open(&journal, id, &end).map_err(OpenError::io(&journal))?;
        let frame = seal(&mut first.into_items(), 0)?;
        let position = writer
            .append(&frame)
            .map_err(|error| OpenError::io(&journal)(error.into()))?;
        let mut tree = Frontier::default();
        for item in &frame {
            tree.push(NodeHash::of_leaf(&item.entry));
        }
        layout
            .write_head(&Head::new(id, &position, tree.root()))
            .map_err(OpenError::io(layout.head()))?;
        let origin = key.verifier().name().to_owned();
        let signed = Checkpoint::new(origin, position.entries, tree.root()).sign(key);
        let signed = signed.map_err(|error| CommitError::Unavailable(error.to_string()))?;
        layout
            .write_note(&signed.to_string())
            .map_err(OpenError::io(root))?;
        // Last, because it is what makes the folder a store.
        let identity = Identity {
            format: FORMAT,
            id,
            created_at,
        };
        write_json(&layout.identity(), &identity).map_err(OpenError::io(root))?;
        sync_folder(root).map_err(OpenError::io(root))
    }
}
