//! What commands do with a store that no daemon has open.

use agentidp_shared::RefusedHead;

use super::care::set_aside;
use super::layout::Layout;
use super::open::{Trust, verify};
use super::{JournaledStore, OpenError, StoreOptions, journal};
use crate::store::{Store as _, StoreStatus};

impl JournaledStore {
    /// Makes the index of a store anew from its journal, and leaves the store closed. The one before is
    /// set aside.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; then the index is as it was, or is made anew by the next start.
    pub(crate) fn rebuild(options: &StoreOptions) -> Result<StoreStatus, OpenError> {
        let layout = Layout::new(options);
        let identity = layout.read_identity()?;
        {
            let _lock = layout.lock()?;
            // First: where the journal cannot be read, the index is all that there is.
            let head = layout.read_head()?;
            let trust = Trust::HeadFile;
            verify(&layout, identity.id, None, head.as_ref(), trust)?;
            let folder = layout.index();
            if !journal::is_whole(&layout.journal())? {
                return Err(OpenError::NeedsBackup(folder));
            }
            if folder.exists() {
                set_aside(&folder, options.opened_at)?;
            }
        }
        let store = Self::open(options)?;
        let status = store.status();
        store.give_back();
        Ok(status)
    }

    /// Copies the index of a store that nobody has open into a fresh one, and leaves the store closed.
    /// Gives the size of the index before and after it.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub(crate) fn compact_closed(options: &StoreOptions) -> Result<(u64, u64), OpenError> {
        let store = Self::open(options)?;
        let before = store.state.index.sizes().0;
        store.state.compact(store.id, &options.progress)?;
        let after = store.state.index.sizes().0;
        store.give_back();
        Ok((before, after))
    }

    /// What the head file says; `None` when it is missing, or is damaged.
    pub(crate) fn head_of(options: &StoreOptions) -> Option<RefusedHead> {
        let head = Layout::new(options).read_head().ok()??;
        Some(RefusedHead {
            store_id: head.store_id,
            entries: head.entries,
            root: head.root,
        })
    }

    /// Opens a store whatever its head file says, to put into its log that it is accepted as it is.
    ///
    /// # Errors
    ///
    /// [`OpenError`], but for the head file's.
    pub(crate) fn open_accepting(options: &StoreOptions) -> Result<Self, OpenError> {
        Self::open_with(options, Trust::Journal, |_| {})
    }
}
