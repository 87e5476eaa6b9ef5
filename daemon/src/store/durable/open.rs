//! Opening a store: the order of it is what makes a crash, a torn write, a lost
//! index or a store put back from yesterday harmless or visible.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use agentidp_shared::StoreId;
use tokio::sync::mpsc;

use super::catch_up::Opening;
use super::frame::Frame;
use super::head::{Head, check_end, check_head};
use super::index::Index;
use super::journal::{self, End, Journal, Position};
use super::keeper::Keeper;
use super::layout::{Layout, space};
use super::room::Disk;
use super::sequencer::Sequencer;
use super::tally::Mark;
use super::{Care, JournaledStore, OpenError, QUEUE, StoreOptions};

/// How much room on the disk a store needs to be made or opened: for a rebuilt index of a small
/// store, and the first minutes of the journal.
pub(super) const MIN_FREE: u64 = 8 * 1_024 * 1_024;

impl JournaledStore {
    /// Opens a store.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub(crate) fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        Self::open_with(options, Trust::HeadFile, |_| {})
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
        let Verified { end, at_mark } =
            verify(&layout, identity.id, mark.as_ref(), head.as_ref(), trust)?;
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
            at_mark,
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
            is_durable: AtomicBool::new(false),
            queue: parking_lot::Mutex::new(Some(queue)),
            threads: parking_lot::Mutex::new(Some((thread, keeper))),
            _lock: lock,
        })
    }
}

/// Refuses to begin on a disk that is all but full.
pub(super) fn check_room(root: &Path) -> Result<(), OpenError> {
    let free = space(root).map_err(OpenError::io(root))?.free;
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

/// A journal that was verified.
pub(super) struct Verified {
    /// Its end.
    pub(super) end: End,
    /// The places of the entries of the mark's frame.
    at_mark: Option<Range<u64>>,
}

/// Verifies the journal from the mark or the head on, whichever is earlier, and holds it against
/// the head file. Changes nothing.
pub(super) fn verify(
    layout: &Layout,
    id: StoreId,
    mark: Option<&Mark>,
    head: Option<&Head>,
    trust: Trust,
) -> Result<Verified, OpenError> {
    // Without an index all of the journal is verified; what backups have need not be there.
    let first = journal::first_frame(&layout.journal())?;
    let from = head
        .map_or(first, |head| head.frame)
        // The mark is not to be believed where it names a frame that is not there.
        .min(mark.map_or(first, |mark| mark.frame.max(first)));
    let (mut at_head, mut at_mark) = (None, None);
    let end = journal::scan(&layout.journal(), id, from, &mut |frame: &Frame| {
        if mark.is_some_and(|mark| mark.frame == frame.number) {
            at_mark = Some(frame.places());
        }
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
    Ok(Verified { end, at_mark })
}
