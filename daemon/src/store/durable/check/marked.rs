//! What says how far the store had got: the index's mark, and the newest checkpoint. Each is a file that whoever
//! has the disk can write; the log tells what it must say.

use std::ops::Range;

use agentidp_shared::count::counted;

use super::super::bundle;
use super::super::frame::Frame;
use super::super::index::Index;
use super::super::tally::Mark;
use super::log::Expected;
use super::{Check, Finding, Part};
use crate::store::ReadError;

/// What the log has from the frame on that the index's mark names.
#[derive(Default)]
pub(super) struct Marked {
    /// The frame.
    frame: u64,
    /// The places of its entries, once it was read.
    places: Option<Range<u64>>,
    /// The latest time of an entry from there on, in milliseconds.
    latest: i64,
}

impl Marked {
    /// What is looked for: `frame`.
    pub(super) fn of(frame: u64) -> Self {
        Self {
            frame,
            ..Self::default()
        }
    }

    /// Takes note of a frame, before its entries.
    pub(super) fn look_at(&mut self, frame: &Frame) {
        if frame.number == self.frame {
            self.places = Some(frame.places());
        }
    }

    /// Takes note of the time of an entry.
    pub(super) fn note_time(&mut self, millis: i64) {
        if self.places.is_some() {
            self.latest = self.latest.max(millis);
        }
    }
}

impl Check<'_> {
    /// What is wrong with the index's mark, which must fit the log. In a store that was closed in good order, and to
    /// which nothing was added since, the index has everything.
    pub(super) fn misfit(&self, mark: &Mark, expected: &Expected) -> Option<String> {
        let (marked, end) = (&expected.marked, expected.end);
        let problem = mark
            .misfit(marked.places.as_ref(), end)
            .or_else(|| mark.forgets_too_much(marked.latest));
        problem.or_else(|| {
            let bundled = end / bundle::ENTRIES * bundle::ENTRIES;
            let is_all = (mark.entries, mark.open_seq) == (end, bundled);
            let findings = &self.report.findings;
            let was_left = findings.iter().all(|it| it.part != Part::Head);
            (!is_all && was_left && !self.layout.is_running()).then(|| {
                format!(
                    "it has what the first {} changed, says its mark, of {}, and the store was closed in good order, when it has everything: the mark was changed, or is an older one",
                    counted(mark.entries, "entry"),
                    counted(end, "entry")
                )
            })
        })
    }

    /// Where nothing else is wrong with the index, what its mark says of what it holds must be so: the next start looks
    /// at that.
    pub(super) fn marked(&mut self, index: &Index, mark: &Mark) -> Result<(), ReadError> {
        let is_sound = self.report.findings.iter().all(|it| it.part != Part::Index);
        if is_sound && index.verify(mark)?.is_none() {
            let problem =
                "it is not what its mark says: the mark was changed, or is of another one";
            let finding = Finding::whole(Part::Index, problem.to_owned());
            self.report.add(finding);
        }
        Ok(())
    }

    /// What of a log of `entries` entries came after the newest checkpoint, which is of `signed` of them. In a store that
    /// was closed in good order that is nothing.
    pub(super) fn unsigned(&mut self, signed: u64, entries: u64) {
        let Some(count) = entries.checked_sub(signed).filter(|count| *count > 0) else {
            return;
        };
        let count = counted(count, "entry");
        if self.layout.is_running() {
            self.report.notes.push(format!(
                "{count} came after the newest checkpoint: the store was not closed in good order, or a command added to its log, and nobody has signed that they are what was written"
            ));
            return;
        }
        let problem = format!(
            "the log goes on beyond the newest checkpoint by {count}, from entry {signed} on, though the store was closed in good order, when the checkpoint is of all of it: either an older checkpoint was put back, or something was added to the log while no daemon ran"
        );
        self.report.add(Finding::whole(Part::Head, problem));
    }
}
