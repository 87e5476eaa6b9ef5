//! Bringing the index up to date from the journal when a store is opened, and making it anew where it cannot be
//! used.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use agentidp_shared::{Entry, StoreId};

use super::care::{remove_leftovers, set_aside, tried};
use super::database::gave_up;
use super::directory::Directory;
use super::head::Head;
use super::index::Index;
use super::journal::{self, End};
use super::layout::Layout;
use super::state::{Applied, State};
use super::tally::Mark;
use super::{OpenError, StoreOptions};
use crate::store::{ReadError, Temporary, form};

/// How many entries of the journal lie between two words about how far reading it is.
const PROGRESS: u64 = 250_000;

/// The opening of a store whose journal has been verified.
pub(super) struct Opening<'a> {
    pub(super) layout: &'a Layout,
    pub(super) id: StoreId,
    pub(super) head: Option<&'a Head>,
    pub(super) end: &'a End,
    /// The places of the entries of the frame that the index's mark names.
    pub(super) at_mark: Option<Range<u64>>,
    pub(super) options: &'a StoreOptions,
    /// Whether the store was not closed in good order.
    pub(super) was_unclean: bool,
}

impl Opening<'_> {
    /// The state, with the index brought up to date from the journal; made anew if it must be.
    pub(super) fn up_to_date(&self, mark: Option<Mark>) -> Result<State, OpenError> {
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
        if let Some(problem) = mark.misfit(self.at_mark.as_ref(), end.entries) {
            return Err(Unusable::Because(problem));
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
        let latest = std::panic::catch_unwind(AssertUnwindSafe(|| self.replay(mark.frame, &state)))
            .map_err(gave_up)??;
        if let Some(problem) = mark.forgets_too_much(latest) {
            return Err(Unusable::Because(problem));
        }
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

    /// Applies the journal from frame `from` on; gives the latest time of its entries, in milliseconds.
    fn replay(&self, from: u64, state: &State) -> Result<i64, OpenError> {
        let layout = self.layout;
        let entries = self.end.position.entries;
        self.options.progress.begin("reading the journal", entries);
        let (mut told, mut latest) = (0, i64::MIN);
        journal::scan(&layout.journal(), self.id, from, &mut |frame| {
            if frame.number < from {
                return Ok(());
            }
            for item in &frame.items {
                let entry: Entry = serde_json::from_slice(&item.entry)
                    .map_err(|_error| newer(layout, "entry", frame.number))?;
                latest = latest.max(entry.time.as_millis());
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
        Ok(latest)
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

fn newer(layout: &Layout, what: &str, frame: u64) -> OpenError {
    OpenError::Newer {
        journal: layout.journal(),
        what: format!("the {what} of frame {frame}"),
    }
}
