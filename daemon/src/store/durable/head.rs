//! The head file: how far the store had got. It lives outside journal and index, so that a store put
//! back from an earlier time contradicts it.
//!
//! It is written before a checkpoint of the log is signed: what was committed to in public, the next
//! start insists on.

use std::fmt;

use agentidp_shared::StoreId;
use agentidp_shared::count::counted;
use agentidp_shared::merkle::{Frontier, NodeHash};
use serde::{Deserialize, Serialize};

use super::OpenError;
use super::journal::{self, Position};
use super::layout::Layout;
use super::state::State;
use crate::store::ReadError;
use crate::store::form::hex;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The store.
    pub(super) store_id: StoreId,
    /// Its last frame.
    pub(super) frame: u64,
    /// How many entries its log has, which is the size of the tree over it.
    pub(super) entries: u64,
    /// The root of that tree.
    pub(super) root: NodeHash,
    /// The hash of the last frame, in hex.
    pub(super) hash: String,
}

impl Head {
    /// The head of a store whose journal stands at `position`, and whose log's tree has this `root`.
    pub(super) fn new(store_id: StoreId, position: &Position, root: NodeHash) -> Self {
        Self {
            store_id,
            frame: position.frame,
            entries: position.entries,
            root,
            hash: hex(&position.hash),
        }
    }

    /// Whether the tree of `state` begins with the one that the file remembers.
    pub(super) fn is_in(&self, state: &State) -> Result<bool, ReadError> {
        Ok(state.root_of(self.entries)? == self.root)
    }

    /// The refusal of a store that has this other head.
    pub(super) fn contradicts(&self, store: &Self) -> OpenError {
        OpenError::Head {
            head: self.to_string(),
            store: store.to_string(),
        }
    }
}

/// For a person who has to find out which of two stores is the right one.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = place(self.store_id, self.frame, self.entries);
        write!(f, "{place}, root {}", self.root)
    }
}

fn place(id: StoreId, frame: u64, entries: u64) -> String {
    let last = entries.saturating_sub(1);
    let entries = counted(entries, "entry");
    format!("store {id} at frame {frame}, {entries}, the last with seq {last}")
}

/// Holds the journal, which stands at `position`, against the head file: the store must be the same,
/// and the journal must have passed through where the file says that it was, which is `at_head`.
pub(super) fn check_head(
    layout: &Layout,
    id: StoreId,
    head: Option<&Head>,
    at_head: Option<Position>,
    position: &Position,
) -> Result<(), OpenError> {
    let Some(head) = head else {
        return Err(OpenError::NoHead);
    };
    let agrees = |at: Position| {
        (head.store_id, head.entries) == (id, at.entries) && head.hash == hex(&at.hash)
    };
    if at_head.is_some_and(agrees) {
        return Ok(());
    }
    // The entries that the journal does not have any more leave the root of the tree unknown.
    let store = if journal::is_whole(&layout.journal())? {
        Head::new(id, position, root_of_journal(layout, id)?).to_string()
    } else {
        place(id, position.frame, position.entries)
    };
    Err(OpenError::Head {
        head: head.to_string(),
        store,
    })
}

/// Refuses a journal, which ends at `position`, that goes on beyond what the head file remembers though the store
/// was closed in good order: then they end together, and who can write to the disk can add to a journal.
pub(super) fn check_end(
    layout: &Layout,
    head: &Head,
    position: &Position,
) -> Result<(), OpenError> {
    if layout.is_running() || head.frame == position.frame {
        return Ok(());
    }
    Err(OpenError::Beyond {
        head: head.to_string(),
        store: place(head.store_id, position.frame, position.entries),
    })
}

/// The root of the tree over all entries that the journal has.
fn root_of_journal(layout: &Layout, id: StoreId) -> Result<NodeHash, OpenError> {
    let mut tree = Frontier::default();
    journal::scan(&layout.journal(), id, 1, &mut |frame| {
        for item in &frame.items {
            tree.push(NodeHash::of_leaf(&item.entry));
        }
        Ok(())
    })?;
    Ok(tree.root())
}
