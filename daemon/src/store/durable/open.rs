//! Making a store, and opening one: the order of it is what makes a crash, a torn write, a lost
//! index or a store put back from yesterday harmless or visible.

use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentidp_shared::merkle::{Frontier, NodeHash};
use agentidp_shared::{Entry, RefusedHead, StoreId, Timestamp};
use tokio::sync::mpsc;

use super::care::{remove_leftovers, set_aside, tried};
use super::database::gave_up;
use super::directory::Directory;
use super::frame::Frame;
use super::head::{Head, check_end, check_head};
use super::index::Index;
use super::journal::{self, End, Journal, Position};
use super::keeper::Keeper;
use super::layout::{FORMAT, Identity, Layout, sync_folder, write_json};
use super::room::Disk;
use super::sequencer::{Sequencer, seal};
use super::state::{Applied, State};
use super::tally::Mark;
use super::{Care, JournaledStore, QUEUE, StoreOptions};
use crate::store::{Commit, CommitError, ReadError, Store as _, StoreStatus, Temporary, form};

/// How much room on the disk a store needs to be made or opened: for a rebuilt index of a small
/// store, and the first minutes of the journal.
const MIN_FREE: u64 = 8 * 1_024 * 1_024;

/// How many entries of the journal lie between two words about how far reading it is.
const PROGRESS: u64 = 250_000;

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
    #[error("the index in {} is missing or damaged, and the journal has only what came after the backups: make it anew from the newest backup with `agentidpd store rebuild`, or restore that with `agentidpd backup restore … --journal`", .0.display())]
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
        store.shutdown();
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
        store.shutdown();
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
        let head = match trust {
            Trust::HeadFile => layout.read_head()?,
            Trust::Journal => None,
        };
        let end = verify(&layout, identity.id, mark.as_ref(), head.as_ref(), trust)?;
        let journal_folder = layout.journal();
        let mut journal = Journal::open(&journal_folder, identity.id, &end)
            .map_err(OpenError::io(&journal_folder))?;
        let disk = Arc::new(Disk::new(options.reserve));
        disk.look(layout.root())
            .map_err(OpenError::io(layout.root()))?;
        journal.keep_room(Arc::clone(&disk));
        prepare(&mut journal);
        let was_unclean = layout.begin().map_err(OpenError::io(layout.root()))?;
        layout.remove_copies();
        let opening = Opening {
            layout: &layout,
            id: identity.id,
            head: head.as_ref(),
            end: &end,
            options,
            was_unclean,
        };
        let mut state = opening.up_to_date(mark)?;
        options.progress.end();
        state.disk = disk;
        state.claim_for_index();
        state.uses.go_live();
        *state.journal.lock() = (journal.position(), journal.size());
        state.head.send_replace(journal.position().entries);

        let state = Arc::new(state);
        let (queue, waiting) = mpsc::channel(QUEUE);
        let sequencer = Sequencer {
            queue: waiting,
            journal,
            // What is accepted as it is may have been written by a clock that was ahead.
            latest: match trust {
                Trust::HeadFile => state.newest_time()?,
                Trust::Journal => None,
            },
            state: Arc::clone(&state),
        };
        let thread = std::thread::Builder::new()
            .name("sequencer".to_owned())
            .spawn(move || sequencer.run());
        let thread = thread.map_err(OpenError::io(layout.root()))?;
        let keeper = Keeper::start(Arc::clone(&state), layout.clone(), identity.id, trust);
        let keeper = keeper.map_err(OpenError::io(layout.root()))?;
        Ok(Self {
            id: identity.id,
            path: layout.root().display().to_string(),
            care: Care::after(layout.read_checked()),
            layout,
            state,
            was_unclean,
            opened_with: end.position.entries,
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
    head: Option<&Head>,
    trust: Trust,
) -> Result<End, OpenError> {
    // Without an index all of the journal is verified; what backups have need not be there.
    let first = journal::first_frame(&layout.journal())?;
    let from = head
        .map_or(first, |head| head.frame)
        .min(mark.map_or(first, |mark| mark.frame));
    let mut at_head = None;
    let end = journal::scan(&layout.journal(), id, from, &mut |frame: &Frame| {
        if head.is_some_and(|head| head.frame == frame.number) {
            at_head = Some(Position::after(frame));
        }
        Ok(())
    })?;
    if trust == Trust::HeadFile {
        check_head(layout, id, head, at_head, &end.position)?;
        if let Some(head) = head {
            check_end(layout, head, &end.position)?;
        }
    }
    Ok(end)
}

/// The opening of a store whose journal has been verified.
struct Opening<'a> {
    layout: &'a Layout,
    id: StoreId,
    head: Option<&'a Head>,
    end: &'a End,
    options: &'a StoreOptions,
    /// Whether the store was not closed in good order.
    was_unclean: bool,
}

impl Opening<'_> {
    /// The state, with the index brought up to date from the journal; made anew if it must be.
    fn up_to_date(&self, mark: Option<Mark>) -> Result<State, OpenError> {
        let folder = self.layout.index();
        match mark {
            Some(mark) => match self.with_index(&folder, &mark) {
                Ok(state) => return Ok(state),
                Err(Unusable::Because(cause)) => {
                    tracing::error!(%cause, "the index cannot be used, and is to be made anew");
                    self.needs_whole_journal(&folder)?;
                    set_aside(&folder, self.options.opened_at)?;
                }
                Err(Unusable::Failed(error)) => return Err(error),
            },
            // One that was being made, or is of another form.
            None if folder.exists() => {
                tracing::warn!("the index has no mark that can be read: it is to be made anew");
                self.needs_whole_journal(&folder)?;
                std::fs::remove_dir_all(&folder).map_err(OpenError::io(&folder))?;
            }
            None => self.needs_whole_journal(&folder)?,
        }
        self.anew(&folder)
    }

    /// Refuses to part with the index in `folder` when the journal alone does not make another.
    fn needs_whole_journal(&self, folder: &Path) -> Result<(), OpenError> {
        if journal::is_whole(&self.layout.journal())? {
            Ok(())
        } else {
            Err(OpenError::NeedsBackup(folder.to_owned()))
        }
    }

    /// The state of an index that is made from the journal.
    fn anew(&self, folder: &Path) -> Result<State, OpenError> {
        tracing::info!(
            entries = self.end.position.entries,
            "the index is being made from the journal"
        );
        self.layout.forget_checked();
        std::fs::create_dir_all(folder).map_err(OpenError::io(folder))?;
        let state = State::new(Index::open(folder)?, Directory::default(), 0, 1)?;
        self.replay(1, &state)?;
        state.flush(self.id)?;
        if let Some(head) = self.head
            && !head.is_in(&state)?
        {
            let end = &self.end.position;
            let root = state.root_of(end.entries)?;
            return Err(head.contradicts(&Head::new(self.id, end, root)));
        }
        Ok(state)
    }

    /// The state of the index that `mark` belongs to, brought up to date.
    fn with_index(&self, folder: &Path, mark: &Mark) -> Result<State, Unusable> {
        let end = &self.end.position;
        if mark.frame > end.frame + 1 || mark.open_seq > end.entries {
            return Err(because(
                "it is ahead of the journal, and has what never happened",
            ));
        }
        let name = mark
            .name()
            .ok_or_else(|| because("its mark names no database"))?;
        remove_leftovers(folder, name)?;
        if self.was_unclean
            && let Some(trial) = self.options.trial
        {
            self.options.progress.begin("trying the index", 1);
            tried(folder, trial)?.map_err(Unusable::Because)?;
        }
        self.options
            .progress
            .begin("opening the index", mark.records);
        let index = Index::open(folder)?;
        let Some(directory) = index.verify(mark)? else {
            return Err(because(
                "it is not as it was left: it is damaged, or another one",
            ));
        };
        let state = State::new(index, directory, mark.open_seq, mark.frame)?;
        // sled panics on damage that it meets on its way.
        std::panic::catch_unwind(AssertUnwindSafe(|| self.replay(mark.frame, &state)))
            .map_err(gave_up)??;
        let applied = state.open.read().end();
        if applied != end.entries {
            return Err(because("it does not reach as far as the journal"));
        }
        if let Some(head) = self.head
            && !head.is_in(&state)?
        {
            return Err(because(
                "its tree over the log is not the one that the head file remembers",
            ));
        }
        Ok(state)
    }
}

/// Why an index is not used.
enum Unusable {
    /// It is no good: another one is to be made.
    Because(String),
    /// Something else.
    Failed(OpenError),
}

fn because(cause: &str) -> Unusable {
    Unusable::Because(cause.to_owned())
}

impl From<ReadError> for Unusable {
    fn from(error: ReadError) -> Self {
        Self::Because(error.to_string())
    }
}

impl From<OpenError> for Unusable {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Index(error) => error.into(),
            error => Self::Failed(error),
        }
    }
}

impl Opening<'_> {
    /// Applies the journal from frame `from` on.
    fn replay(&self, from: u64, state: &State) -> Result<(), OpenError> {
        let layout = self.layout;
        let entries = self.end.position.entries;
        self.options.progress.begin("reading the journal", entries);
        let mut told = 0;
        journal::scan(&layout.journal(), self.id, from, &mut |frame| {
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
                    &mut state.tree.lock(),
                )?;
            }
            self.options.progress.reach(frame.first_seq);
            if frame.first_seq >= told + PROGRESS {
                told = frame.first_seq;
                tracing::info!(
                    entries = told,
                    of = self.end.position.entries,
                    "reading the journal"
                );
            }
            Ok(())
        })?;
        Ok(())
    }
}

fn newer(layout: &Layout, what: &str, frame: u64) -> OpenError {
    OpenError::Newer {
        journal: layout.journal(),
        what: format!("the {what} of frame {frame}"),
    }
}
