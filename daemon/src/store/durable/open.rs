//! Making a store, and opening one: the order of it is what makes a crash, a torn write, a lost
//! index or a store put back from yesterday harmless or visible.

use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentidp_shared::{Entry, StoreId, Timestamp};
use tokio::sync::mpsc;

use super::directory::Directory;
use super::frame::{Frame, Hash};
use super::index::Index;
use super::journal::{self, End, Journal, Position};
use super::keeper::Keeper;
use super::layout::{FORMAT, Head, Identity, Layout, sync_folder, write_json};
use super::sequencer::{Sequencer, seal};
use super::state::{Applied, State};
use super::tally::Mark;
use super::{JournaledStore, QUEUE, StoreOptions};
use crate::store::{Commit, CommitError, ReadError, Temporary, form};

/// How much room on the disk a store needs to be made or opened: for a rebuilt index of a small
/// store, and the first minutes of the journal.
const MIN_FREE: u64 = 8 * 1_024 * 1_024;

/// The size up to which a journal without a store is what an interrupted `init` left behind.
const UNFINISHED: u64 = 4_096;

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
    #[error("{} has a journal and no store.json: put store.json back", .0.display())]
    NoIdentity(PathBuf),
    /// Another process has it open.
    #[error("another daemon has the store in {} open: only one may", .0.display())]
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
    #[error("the index in {} is missing or damaged, and the journal has only what came after the backups: make it anew from the newest backup with `agentidpd store rebuild`, or restore that with `agentidpd backup restore … --journal`", .0.display())]
    NeedsBackup(PathBuf),
    /// The store and its head file contradict each other.
    #[error(
        "the store is not the one that its head file remembers: the head file has {head}, the store has {store}; it was put back from an earlier time, or is another one"
    )]
    Head {
        /// What the head file says.
        head: String,
        /// What the store is.
        store: String,
    },
    /// The head file is missing.
    #[error(
        "the store's head file (store.head_file) is missing: without it nobody can tell whether the store was put back from an earlier time; put the head file back too"
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
    #[error("{}: {cause}", path.display())]
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
    /// The index failed.
    #[error(transparent)]
    Index(#[from] ReadError),
    /// The first commit cannot be made.
    #[error(transparent)]
    First(#[from] CommitError),
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

impl JournaledStore {
    /// Whether a store has been made at the place.
    pub(crate) fn exists(options: &StoreOptions) -> bool {
        Layout::new(options).exists()
    }

    /// Makes a store whose first commit is `first`.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when there is a store, or something else, already, or the disk refuses.
    pub(crate) fn create(
        options: &StoreOptions,
        id: StoreId,
        created_at: Timestamp,
        first: Commit,
    ) -> Result<(), OpenError> {
        let layout = Layout::new(options);
        let root = layout.root();
        if layout.exists() {
            return Err(OpenError::Exists(root.to_owned()));
        }
        let is_new = !root.exists();
        std::fs::create_dir_all(root).map_err(OpenError::io(root))?;
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
        let made = Self::create_in(&layout, id, created_at, first);
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
    ) -> Result<(), OpenError> {
        let (root, journal) = (layout.root(), layout.journal());
        Journal::create(&journal, id).map_err(OpenError::io(&journal))?;
        let end = journal::scan(&journal, id, 1, &mut |_| Ok(()))?;
        let mut writer = Journal::open(&journal, id, &end).map_err(OpenError::io(&journal))?;
        let frame = seal(&mut first.into_items(), 0)?;
        let position = writer.append(&frame).map_err(OpenError::io(&journal))?;
        layout
            .write_head(&Head::new(id, &position))
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

    /// Opens a store.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub(crate) fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        Self::open_with(options, Trust::HeadFile, |_| {})
    }

    /// Opens a store whatever its head file says, to put into its log that it is accepted as it is.
    ///
    /// # Errors
    ///
    /// [`OpenError`], but for the head file's.
    pub(crate) fn open_accepting(options: &StoreOptions) -> Result<Self, OpenError> {
        Self::open_with(options, Trust::Journal, |_| {})
    }

    /// Opens a store whose journal has been prepared by `prepare`, which is how tests make it fail.
    pub(super) fn open_with(
        options: &StoreOptions,
        trust: Trust,
        prepare: impl FnOnce(&mut Journal),
    ) -> Result<Self, OpenError> {
        let layout = Layout::new(options);
        let identity = layout.read_identity()?;
        let lock = layout.lock()?;
        check_room(layout.root())?;
        let mark = Index::read_mark(&layout.index()).filter(|mark| mark.store_id == identity.id);
        let end = verify(&layout, identity.id, mark.as_ref(), trust)?;
        let journal_folder = layout.journal();
        let mut journal = Journal::open(&journal_folder, identity.id, &end)
            .map_err(OpenError::io(&journal_folder))?;
        prepare(&mut journal);
        let state = up_to_date(&layout, identity.id, mark, &end)?;
        state.uses.go_live();
        *state.journal.lock() = (journal.position(), journal.size());
        state.head.send_replace(journal.position().entries);

        let state = Arc::new(state);
        let (queue, waiting) = mpsc::channel(QUEUE);
        let sequencer = Sequencer {
            queue: waiting,
            journal,
            state: Arc::clone(&state),
        };
        let thread = std::thread::Builder::new()
            .name("sequencer".to_owned())
            .spawn(move || sequencer.run());
        let thread = thread.map_err(OpenError::io(layout.root()))?;
        let keeper = Keeper::start(Arc::clone(&state), layout.clone(), identity.id);
        let keeper = keeper.map_err(OpenError::io(layout.root()))?;
        Ok(Self {
            id: identity.id,
            path: layout.root().display().to_string(),
            layout,
            state,
            queue: parking_lot::Mutex::new(Some(queue)),
            threads: parking_lot::Mutex::new(Some((thread, keeper))),
            _lock: lock,
        })
    }
}

/// Refuses to begin on a disk that is all but full.
fn check_room(root: &Path) -> Result<(), OpenError> {
    let disk =
        nix::sys::statvfs::statvfs(root).map_err(|error| OpenError::io(root)(error.into()))?;
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    if free < MIN_FREE {
        return Err(OpenError::DiskFull {
            path: root.to_owned(),
            free,
        });
    }
    Ok(())
}

/// What says how far a store must have got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The head file.
    HeadFile,
    /// The journal itself, as far as it goes.
    Journal,
}

/// Verifies the journal from the mark or the head on, whichever is earlier, and holds it against
/// the head file. Changes nothing.
fn verify(
    layout: &Layout,
    id: StoreId,
    mark: Option<&Mark>,
    trust: Trust,
) -> Result<End, OpenError> {
    let head = match trust {
        Trust::HeadFile => layout.read_head()?,
        Trust::Journal => None,
    };
    // Without an index all of the journal is verified; what backups have need not be there.
    let first = journal::first_frame(&layout.journal())?;
    let from = mark.map_or(first, |mark| mark.frame);
    let from = from.min(head.as_ref().map_or(first, |head| head.frame));
    let mut at_head: Option<Hash> = None;
    let end = journal::scan(&layout.journal(), id, from, &mut |frame: &Frame| {
        if head.as_ref().is_some_and(|head| head.frame == frame.number) {
            at_head = Some(frame.hash);
        }
        Ok(())
    })?;
    if trust == Trust::HeadFile {
        check_head(head, id, at_head, &end.position)?;
    }
    Ok(end)
}

/// Holds the journal against the head file: the store must be the same, and the frame that the
/// file remembers must be there with the same hash.
pub(super) fn check_head(
    head: Option<Head>,
    id: StoreId,
    at_head: Option<Hash>,
    position: &Position,
) -> Result<(), OpenError> {
    let Some(head) = head else {
        return Err(OpenError::NoHead);
    };
    let agrees = head.store_id == id && at_head.is_some_and(|hash| form::hex(&hash) == head.hash);
    if agrees {
        Ok(())
    } else {
        Err(OpenError::Head {
            head: head.to_string(),
            store: Head::new(id, position).to_string(),
        })
    }
}

/// The state, with the index brought up to date from the journal; made anew if it must be.
fn up_to_date(
    layout: &Layout,
    id: StoreId,
    mark: Option<Mark>,
    end: &End,
) -> Result<State, OpenError> {
    let folder = layout.index();
    // An index that is ahead of the journal has what never happened.
    if let Some(mark) = mark.filter(|mark| {
        mark.frame <= end.position.frame + 1 && mark.open_seq <= end.position.entries
    }) {
        match from_index(layout, id, &mark, end) {
            Ok(Some(state)) => return Ok(state),
            Ok(None) => {
                tracing::warn!("the index is not as it was left: it is damaged, or another one");
            }
            Err(OpenError::Index(error)) => tracing::error!(%error, "the index is damaged"),
            Err(error) => return Err(error),
        }
    }
    if journal::first_frame(&layout.journal())? > 1 {
        return Err(OpenError::NeedsBackup(folder));
    }
    if folder.exists() {
        set_aside(&folder)?;
    }
    tracing::info!(
        entries = end.position.entries,
        "the index is being made from the journal"
    );
    std::fs::create_dir_all(&folder).map_err(OpenError::io(&folder))?;
    let state = State::new(Index::open(&folder)?, Directory::default(), 0, 1);
    replay(layout, id, 1, &state, end)?;
    state.flush(id)?;
    Ok(state)
}

/// The state of the index that `mark` belongs to, brought up to date; `None` when it is not as it was
/// left.
fn from_index(
    layout: &Layout,
    id: StoreId,
    mark: &Mark,
    end: &End,
) -> Result<Option<State>, OpenError> {
    let index = Index::open(&layout.index())?;
    let Some(directory) = index.verify(mark)? else {
        return Ok(None);
    };
    let state = State::new(index, directory, mark.open_seq, mark.frame);
    // sled panics on damage that it meets on its way.
    let replayed = std::panic::catch_unwind(AssertUnwindSafe(|| {
        replay(layout, id, mark.frame, &state, end)
    }));
    let gave_up = |_| {
        let cause = "sled gave up on it".to_owned();
        Err(OpenError::Index(ReadError(cause)))
    };
    replayed.unwrap_or_else(gave_up).map(|()| Some(state))
}

/// Keeps one damaged index for whoever wants to look into it.
pub(super) fn set_aside(folder: &Path) -> Result<(), OpenError> {
    let aside = folder.with_extension("damaged");
    if aside.exists() {
        std::fs::remove_dir_all(&aside).map_err(OpenError::io(&aside))?;
    }
    std::fs::rename(folder, &aside).map_err(OpenError::io(folder))?;
    tracing::warn!(folder = %aside.display(), "the old index is kept there until another is set aside; it can be deleted");
    Ok(())
}

/// Applies the journal from frame `from` on.
fn replay(
    layout: &Layout,
    id: StoreId,
    from: u64,
    state: &State,
    end: &End,
) -> Result<(), OpenError> {
    /// How many entries lie between two words about how far it is.
    const PROGRESS: u64 = 250_000;
    let mut told = 0;
    journal::scan(&layout.journal(), id, from, &mut |frame| {
        if frame.number < from {
            return Ok(());
        }
        for item in &frame.items {
            let entry: Entry = serde_json::from_slice(&item.entry)
                .map_err(|_error| newer(layout, "entry", frame.number))?;
            let record = item
                .change
                .as_ref()
                .map(|stored| form::decode(stored))
                .transpose()
                .map_err(|_error| newer(layout, "record", frame.number))?;
            let kept: Option<Vec<Temporary>> = item
                .kept
                .as_ref()
                .map(|stored| form::decode(stored))
                .transpose()
                .map_err(|_error| newer(layout, "list of what is kept", frame.number))?;
            let change = record.as_ref().zip(item.change.as_deref());
            state.apply(
                frame.number,
                Applied {
                    entry: &entry,
                    json: item.entry.clone(),
                    change,
                    kept: kept.as_deref().unwrap_or_default(),
                },
            )?;
        }
        if frame.first_seq >= told + PROGRESS {
            told = frame.first_seq;
            tracing::info!(
                entries = told,
                of = end.position.entries,
                "reading the journal"
            );
        }
        Ok(())
    })?;
    Ok(())
}

fn newer(layout: &Layout, what: &str, frame: u64) -> OpenError {
    OpenError::Newer {
        journal: layout.journal(),
        what: format!("the {what} of frame {frame}"),
    }
}
