//! The unit of writing: what changes, and the audit entries that account for it.

use agentidp_shared::{Entry, Target, TargetKind};

use super::record::{Record, RecordKey};

/// An audit entry, and the record that is put with it, if one is.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// The entry.
    pub(crate) entry: Entry,
    /// The record that the entry accounts for.
    pub(crate) change: Option<Record>,
}

/// Audit entries and the records that they account for, to be made durable together.
///
/// A record is put with the entry before it, so nothing can change without one. Records are
/// absolute: each is put whole, with a revision one higher than the stored one (1 for a new
/// record), and a commit whose revisions do not fit is refused as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    items: Vec<Item>,
    requirements: Vec<(RecordKey, u64)>,
}

impl Commit {
    /// A commit of one entry. Its `seq` is filled in when it is committed.
    pub(crate) fn new(entry: Entry) -> Self {
        Self {
            items: vec![Item {
                entry,
                change: None,
            }],
            requirements: Vec::new(),
        }
    }

    /// Adds another entry, after those before it.
    pub(crate) fn and(mut self, entry: Entry) -> Self {
        self.items.push(Item {
            entry,
            change: None,
        });
        self
    }

    /// Puts a record with the last entry, and makes it that entry's target. The target's revision
    /// and digest are filled in when it is committed.
    pub(crate) fn put(mut self, record: Record) -> Self {
        if let Some(last) = self.items.last_mut() {
            let (kind, id) = record.key().target();
            last.entry.target = Some(Target {
                kind,
                id,
                revision: None,
                digest: None,
            });
            last.change = Some(record);
        }
        self
    }

    /// Makes the commit conditional on the stored revision of a record that it does not change.
    pub(crate) fn require(mut self, key: RecordKey, revision: u64) -> Self {
        self.requirements.push((key, revision));
        self
    }

    /// The entries with their records, in order; at least one.
    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    /// The entries with their records, taken out of the commit.
    pub(crate) fn into_items(self) -> Vec<Item> {
        self.items
    }

    /// The revisions that other records must have.
    pub(crate) fn requirements(&self) -> &[(RecordKey, u64)] {
        &self.requirements
    }
}

/// What a commit became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The place of its first entry in the log.
    pub(crate) seq: u64,
}

/// Why a commit does not fit what is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Conflict {
    /// A record has another revision than the commit was made for: it changed in between.
    #[error("the {} has changed since it was read", .0.as_str())]
    Revision(TargetKind),
    /// The organization's name or the agent's e-mail belongs to another.
    #[error("the {0} is taken")]
    Taken(&'static str),
}

/// Why a commit was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommitError {
    /// It does not fit what is stored. Reading again and deciding anew may help.
    #[error("{0}")]
    Conflict(#[from] Conflict),
    /// An entry is larger than one may be.
    #[error("an audit entry would be larger than 4 KiB")]
    TooLarge,
    /// More commits are waiting than the queue holds. Later it may have room.
    #[error("too many commits are waiting")]
    Overloaded,
    /// Nothing can be made durable any more.
    #[error("nothing can be written: {0}")]
    Unavailable(String),
}
