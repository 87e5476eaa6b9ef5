//! Why a store cannot be made or opened.

use std::io;
use std::path::{Path, PathBuf};

use super::layout::FORMAT;
use super::open::MIN_FREE;
use crate::store::{CommitError, ReadError};

/// Why a store cannot be made or opened. In every case it is left as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// There is none.
    #[error("there is no store in {}: make one with `agentidpd init`, or correct store.path", .0.display())]
    Missing(PathBuf),
    /// There is one already.
    #[error("there is a store in {} already: it is left as it is", .0.display())]
    Exists(PathBuf),
    /// There is a journal, and nothing says of which store.
    #[error("{} has a journal and no store.json: put store.json back, or restore the newest backup together with this journal: `agentidpd backup restore … --journal`", .0.display())]
    NoIdentity(PathBuf),
    /// Another process has it open.
    #[error("another daemon has the store in {} open, and only one may: stop that one first; while it serves, `agentidp store check` and `agentidp store compact` have it do this itself", .0.display())]
    Locked(PathBuf),
    /// It is of an earlier version.
    #[error("{} says that the store has format {found}: it was made by a pre-release of this daemon, and its contents cannot be taken over; move it away and make a new one with `agentidpd init`, or use the version of the daemon that made it", path.display())]
    PreRelease {
        /// The file that says so.
        path: PathBuf,
        /// The format.
        found: u32,
    },
    /// It is of a later version.
    #[error("{} says that the store has format {found}; this daemon knows format {FORMAT}: use a newer version of the daemon, such as the one that made it", path.display())]
    Format {
        /// The file that says so.
        path: PathBuf,
        /// The format.
        found: u32,
    },
    /// The disk is all but full.
    #[error("{} has {free} bytes free, and the daemon needs {MIN_FREE} to start: make room", path.display())]
    DiskFull {
        /// The store's folder.
        path: PathBuf,
        /// How much is free.
        free: u64,
    },
    /// The journal is not what was written.
    #[error("{} is damaged at byte {offset}: {cause}; restore the store from a backup", segment.display())]
    Damaged {
        /// The segment.
        segment: PathBuf,
        /// Where in it.
        offset: u64,
        /// How.
        cause: String,
    },
    /// The journal has no segment.
    #[error("{} has no segment: the journal is lost; restore the store from a backup", .0.display())]
    NoJournal(PathBuf),
    /// The journal does not have a frame any more.
    #[error("the journal in {} does not reach back to frame {frame}", journal.display())]
    Before {
        /// The journal's folder.
        journal: PathBuf,
        /// The frame.
        frame: u64,
    },
    /// The index is lost, and the journal alone does not make one.
    #[error("the index in {} is missing or damaged, and the journal has only what came after the backups: make it anew from the newest backup and the journal with `agentidpd store rebuild --backup FILE --identity FILE`; nothing is lost", .0.display())]
    NeedsBackup(PathBuf),
    /// The store and its head file contradict each other.
    #[error(
        "the store is not the one that its head file remembers: the head file has {head}, the store has {store}; it was put back from an earlier time, or is another one: find out which; once it is the one that you mean, `agentidpd store accept` says so"
    )]
    Head {
        /// What the head file says.
        head: String,
        /// What the store is.
        store: String,
    },
    /// The journal goes on beyond what the head file remembers, and no crash explains that.
    #[error(
        "the journal goes on beyond what the store's head file remembers, though the store was closed in good order, when both end together: the head file has {head}, the journal ends as {store}; either an older head file was put back, or something was added to the journal while no daemon ran: look at what the journal has behind the head file's end, and find out which (docs/recovery.md, \"The store is not the one that its head file remembers\"); once it is the store that you mean, `agentidpd store accept` says so"
    )]
    Beyond {
        /// What the head file says.
        head: String,
        /// Where the journal ends.
        store: String,
    },
    /// The head file is missing.
    #[error(
        "the store's head file (store.head_file) is missing: without it nobody can tell whether the store was put back from an earlier time; put the head file back too; when it is lost and the store is the newest, `agentidpd store accept` says so"
    )]
    NoHead,
    /// A small file of the store is not what was written.
    #[error("{} cannot be read: {cause}; restore it from a backup", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The operating system refused.
    #[error("{}: {cause}; the store is left as it was: see to its disk and to who may write there, then try again", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The journal is whole, and something in it is of a newer version.
    #[error("{} is of a newer version than this daemon: it has {what} that this one cannot read; use the version that wrote it", journal.display())]
    Newer {
        /// The journal's folder.
        journal: PathBuf,
        /// What it is.
        what: String,
    },
    /// It was told to end.
    #[error("it was interrupted")]
    Interrupted,
    /// The index failed.
    #[error(
        "{0}; nothing is lost, for the journal has it all: see to the store's disk, then start again"
    )]
    Index(ReadError),
    /// The first commit cannot be made.
    #[error(transparent)]
    First(#[from] CommitError),
}

// Not `#[from]`, which makes it a source as well: it would be told twice.
impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        Self::Index(error)
    }
}

impl OpenError {
    /// An operating system's error about `path`.
    pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        move |cause| Self::Io {
            path: path.to_owned(),
            cause,
        }
    }
}
