//! Is everything there, is it what was written, and does the index say the same?
//!
//! There is one check for a store that nobody has open and for one in use. It reads the journal, which
//! is the truth ([`log`]), holds the head file against it, and then the index ([`contents`]). To hold
//! something else against the log, add what it must say to [`log::Expected`] and a step to
//! [`Check::index`].

mod compact;
mod contents;
mod holds;
mod log;
mod marked;
mod naming;
mod pruned;

use std::path::Path;
use std::{fs, io};

use agentidp_shared::count::counted;
use agentidp_shared::merkle::Checkpoint;
use agentidp_shared::{Places, StoreId, TargetKind};
use serde::Serialize;

use super::head::{Head, check_end, check_head};
use super::index::Index;
use super::journal;
use super::layout::{Layout, space};
use super::progress::Progress;
use super::state::State;
use super::tally::Mark;
use super::{OpenError, StoreOptions};
use log::Expected;

/// How many findings are told one by one.
const MOST_FINDINGS: usize = 1_000;

/// What of a store something was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// The journal, and with it the audit log.
    Journal,
    /// The head file, or the newest checkpoint.
    Head,
    /// The index, which can be made anew.
    Index,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Where it was found.
    pub(crate) part: Part,
    /// What kind of thing it is about, such as `agent` or `entry`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<&'static str>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// The audit entry that accounts for it, or that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seq: Option<u64>,
    /// What is wrong with it.
    pub(crate) problem: String,
}

impl Finding {
    /// A finding that no entry accounts for.
    fn new(part: Part, kind: &'static str, id: Option<String>, problem: String) -> Self {
        Self {
            part,
            kind: Some(kind),
            id,
            seq: None,
            problem,
        }
    }

    /// A finding about an audit entry.
    fn entry(part: Part, seq: u64, problem: String) -> Self {
        Self {
            seq: Some(seq),
            ..Self::new(part, "entry", None, problem)
        }
    }

    /// A finding about a whole part.
    fn whole(part: Part, problem: String) -> Self {
        Self {
            part,
            kind: None,
            id: None,
            seq: None,
            problem,
        }
    }

    /// The entry that accounts for it.
    fn of(mut self, seq: u64) -> Self {
        self.seq = Some(seq);
        self
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = match self.part {
            Part::Journal => "journal",
            Part::Head => "head file",
            Part::Index => "index",
        };
        write!(f, "{part}: ")?;
        match (self.kind, &self.id, self.seq) {
            (Some(kind), Some(id), Some(seq)) => write!(f, "{kind} {id} (entry {seq}): ")?,
            (Some(kind), Some(id), None) => write!(f, "{kind} {id}: ")?,
            (Some(kind), None, Some(seq)) => write!(f, "{kind} {seq}: ")?,
            _ => {}
        }
        f.write_str(&self.problem)
    }
}

/// What a check found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// The number of the journal's last frame.
    pub(crate) frames: u64,
    /// The number of its first. Above 1, only a backup and the journal make another index.
    pub(crate) first_frame: u64,
    /// How many audit entries.
    pub(crate) entries: u64,
    /// How many records.
    pub(crate) records: u64,
    /// The root of the log's tree; `None` when it cannot be told.
    pub(crate) root: Option<String>,
    /// How many entries were pruned: of them only the hashes are there.
    pub(crate) pruned: u64,
    /// What is wrong; empty for a sound store.
    pub(crate) findings: Vec<Finding>,
    /// How many more things are wrong than are told.
    pub(crate) more_findings: u64,
    /// What is worth knowing and not wrong.
    pub(crate) notes: Vec<String>,
}

impl Report {
    fn add(&mut self, finding: Finding) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether all that is wrong is in the index, which can be made anew.
    pub(crate) fn is_index_only(&self) -> bool {
        self.is_only(Part::Index)
    }

    /// Whether the store by itself is sound, and the head file says something else or nothing.
    pub(crate) fn is_head_only(&self) -> bool {
        self.is_only(Part::Head)
    }

    fn is_only(&self, part: Part) -> bool {
        self.findings.iter().all(|it| it.part == part)
    }
}

/// Of an index that is behind the journal or ahead of what was read of it, what can be told.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// The index must have every change of an entry before this one.
    settled: u64,
    /// It may have changes from this entry on that the check does not know.
    unknown: u64,
    /// It must have every use of an entry before this one counted.
    counted: u64,
    /// The entries before this one must be in bundles.
    bundled: u64,
}

/// A check under way.
struct Check<'a> {
    layout: &'a Layout,
    id: StoreId,
    progress: &'a Progress,
    report: Report,
    /// How much of the disk it must leave.
    reserve: u64,
}

/// Verifies a store that nobody has open: every frame, the chain, the head file, the order of the
/// entries, the digest of each record, the tree over the log, and the index against all of it.
/// Changes nothing.
///
/// # Errors
///
/// [`OpenError`] when there is no store, another process has it open, or something cannot be read.
/// What is damaged is no error but a finding.
pub(crate) fn check(options: &StoreOptions) -> Result<Report, OpenError> {
    let layout = Layout::new(options);
    let identity = layout.read_identity()?;
    let _lock = layout.lock()?;
    layout.remove_copies();
    let mut check = Check {
        layout: &layout,
        id: identity.id,
        progress: &options.progress,
        report: Report::default(),
        reserve: options.reserve,
    };
    let checked = check.offline();
    options.progress.end();
    checked.map(|()| check.report)
}

/// Verifies the store that `state` is of, while it is in use.
///
/// # Errors
///
/// As [`check`].
pub(super) fn check_in_use(
    layout: &Layout,
    id: StoreId,
    state: &State,
    progress: &Progress,
) -> Result<Report, OpenError> {
    let mut check = Check {
        layout,
        id,
        progress,
        report: Report::default(),
        // It writes nothing.
        reserve: 0,
    };
    // Before anything is read: whatever is pruned later is noted.
    *state.index.prunings.lock() = Some(Places::default());
    let checked = check.in_use(state);
    *state.index.prunings.lock() = None;
    progress.end();
    checked.map(|()| check.report)
}

impl Check<'_> {
    fn offline(&mut self) -> Result<(), OpenError> {
        let head = match self.layout.read_head() {
            Err(error @ OpenError::Unreadable { .. }) => {
                self.report
                    .add(Finding::whole(Part::Head, error.to_string()));
                None
            }
            Ok(None) => {
                let problem = OpenError::NoHead.to_string();
                self.report.add(Finding::whole(Part::Head, problem));
                None
            }
            other => other?,
        };
        let checkpoint = self.layout.read_checkpoint();
        let copy = self.copy_of_index()?;
        let index = copy.as_ref().map(|(index, ..)| index);
        let mark = copy.as_ref().map(|(_, mark, _)| mark);
        let settled = mark.map_or(0, |mark| mark.entries);
        let expected = Expected::of(settled, mark.map_or(0, |mark| mark.frame));
        let read = self.journal(expected, head.as_ref(), checkpoint, u64::MAX, index)?;
        let Some(expected) = read else {
            return Ok(());
        };
        let Some((index, mark, _folder)) = copy.as_ref().filter(|_| !expected.is_partial) else {
            return Ok(());
        };
        let bounds = Bounds {
            settled,
            unknown: u64::MAX,
            counted: mark.open_seq,
            bundled: mark.open_seq,
        };
        if let Some(problem) = self.misfit(mark, &expected) {
            self.report.add(Finding::whole(Part::Index, problem));
            return Ok(());
        }
        self.guarded(index, expected, &bounds, Some(mark))
    }

    fn in_use(&mut self, state: &State) -> Result<(), OpenError> {
        // In this order: what is read later has what was read before.
        let checkpoint = self.layout.read_checkpoint();
        let head = self.layout.read_head()?;
        let bundled = state.open.read().first_seq;
        let counted = Index::read_mark(&self.layout.index()).map_or(0, |mark| mark.open_seq);
        let end = state.applied();
        let index = &state.index;
        let expected = Expected::of(end.entries, 0);
        let read = self.journal(expected, head.as_ref(), checkpoint, end.frame, Some(index))?;
        let Some(expected) = read else {
            return Ok(());
        };
        if expected.is_partial {
            return Ok(());
        }
        let bounds = Bounds {
            settled: end.entries,
            unknown: end.entries,
            counted,
            bundled,
        };
        self.guarded(index, expected, &bounds, None)
    }

    /// Reads the journal; `None` when it is damaged, so that nothing can be held against it.
    fn journal(
        &mut self,
        mut expected: Expected,
        head: Option<&Head>,
        checkpoint: Result<Option<Checkpoint>, OpenError>,
        last: u64,
        index: Option<&Index>,
    ) -> Result<Option<Expected>, OpenError> {
        if let Some(head) = head {
            expected.promise("head file", head.entries, head.root);
        }
        let signed = match checkpoint {
            Ok(None) => Some(0),
            Ok(Some(kept)) => {
                expected.promise("checkpoint", kept.size, kept.root);
                Some(kept.size)
            }
            Err(error) => {
                let finding = Finding::whole(Part::Head, error.to_string());
                self.report.add(finding);
                None
            }
        };
        let read = log::read(self, expected, head, last, index);
        let (expected, end) = match read {
            Ok(read) => read,
            Err(error @ (OpenError::Damaged { .. } | OpenError::NoJournal(_))) => {
                self.report
                    .add(Finding::whole(Part::Journal, error.to_string()));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if let Some(head) = head {
            let agrees = check_head(self.layout, self.id, Some(head), expected.at_head, &end);
            // In use, the head file is behind.
            let agrees = agrees.and_then(|()| match last {
                u64::MAX => check_end(self.layout, head, &end),
                _ => Ok(()),
            });
            if let Err(error) = agrees {
                let finding = Finding::whole(Part::Head, error.to_string());
                self.report.add(finding);
            } else if let (Some(signed), u64::MAX) = (signed, last) {
                self.unsigned(signed, expected.end);
            }
        }
        for promise in &expected.promises {
            let problem = format!(
                "the {} says that the log's beginning of {} has the root {}, and the journal's has not",
                promise.what,
                counted(promise.size, "entry"),
                promise.root
            );
            self.report.add(Finding::whole(Part::Head, problem));
        }
        Ok(Some(expected))
    }

    /// Holds the index against the journal. sled panics on damage that it meets on its way.
    fn guarded(
        &mut self,
        index: &Index,
        expected: Expected,
        bounds: &Bounds,
        mark: Option<&Mark>,
    ) -> Result<(), OpenError> {
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.index(index, expected, bounds)?;
            mark.map_or(Ok(()), |mark| Ok(self.marked(index, mark)?))
        }));
        match held.unwrap_or_else(|panic| Err(super::database::gave_up(panic).into())) {
            Err(OpenError::Index(error)) => {
                self.report
                    .add(Finding::whole(Part::Index, error.to_string()));
                Ok(())
            }
            other => other,
        }
    }

    fn index(
        &mut self,
        index: &Index,
        mut expected: Expected,
        bounds: &Bounds,
    ) -> Result<(), OpenError> {
        let mut asked = naming::Asked::default();
        self.records(index, &mut expected, bounds, &mut asked)?;
        self.names(index)?;
        self.kept(index, &mut expected, bounds)?;
        self.uses(index, &mut expected, bounds)?;
        self.bundles(index, &expected, bounds, &mut asked)?;
        self.tiles(index, &expected, bounds);
        self.name(index, asked)
    }

    /// The index, opened in a copy: opening a sled database writes to it, and what is checked is to
    /// stay as it is.
    fn copy_of_index(&mut self) -> Result<Option<(Index, Mark, tempfile::TempDir)>, OpenError> {
        let folder = self.layout.index();
        // One that is not: reading the journal tells what that means for the index.
        let is_whole = journal::is_whole(&self.layout.journal()).unwrap_or_default();
        if !folder.exists() {
            if is_whole {
                let note = "there is no index; the next start makes one from the journal";
                self.report.notes.push(note.to_owned());
            }
            return Ok(None);
        }
        let mark = Index::read_mark(&folder).filter(|mark| mark.store_id == self.id);
        let Some(mark) = mark else {
            let mut problem = "it has no mark, or one that cannot be read".to_owned();
            if is_whole {
                problem.push_str(": the next start makes it anew");
            }
            self.report.add(Finding::whole(Part::Index, problem));
            return Ok(None);
        };
        self.check_room_for(&folder)?;
        let copy = tempfile::Builder::new()
            .prefix(Layout::COPY)
            .tempdir_in(self.layout.root())
            .map_err(OpenError::io(self.layout.root()))?;
        copy_folder(&folder, copy.path()).map_err(OpenError::io(copy.path()))?;
        match Index::open(copy.path()) {
            Ok(index) => Ok(Some((index, mark, copy))),
            Err(error) => {
                self.report
                    .add(Finding::whole(Part::Index, error.to_string()));
                Ok(None)
            }
        }
    }
}

impl Check<'_> {
    /// Refuses to copy `folder` beside the store where that would take what is kept for revocations.
    fn check_room_for(&self, folder: &Path) -> Result<(), OpenError> {
        let root = self.layout.root();
        let needed = size_of(folder).map_err(OpenError::io(folder))?;
        let free = space(root).map_err(OpenError::io(root))?.free;
        if free >= needed.saturating_add(self.reserve) {
            return Ok(());
        }
        let cause = format!(
            "there is no room for a copy of the index, of which the check reads: it has {needed} bytes, {free} are free, and {} of them are kept for revocations and the like",
            self.reserve
        );
        Err(OpenError::io(root)(io::Error::new(
            io::ErrorKind::StorageFull,
            cause,
        )))
    }
}

/// How many bytes the files in a folder have.
fn size_of(folder: &Path) -> io::Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        size += if entry.file_type()?.is_dir() {
            size_of(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(size)
}

/// The word for a kind of record.
const fn word(kind: TargetKind) -> &'static str {
    kind.as_str()
}

/// Copies a folder and all that is in it.
pub(super) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
