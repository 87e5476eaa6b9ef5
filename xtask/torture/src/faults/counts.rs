//! What came of the faults.

use std::fmt;

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The daemon did not start, and said why.
    Refused,
    /// It served, and acknowledged nothing more.
    ReadOnly,
    /// It went on as if nothing were.
    Unmoved,
    /// It was killed.
    Killed,
}

/// How often what happened.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// The fault came about.
    met: u64,
    /// The run went another way, and the call was not made.
    missed: u64,
    /// The daemon did not start with the fault, and said so.
    refused: u64,
    /// It went on serving, and acknowledged nothing more.
    read_only: u64,
    /// It went on as if nothing were.
    unmoved: u64,
    killed: u64,
}

impl Counts {
    /// A fault came about.
    pub(super) const fn meet(&mut self, outcome: Outcome) {
        self.met += 1;
        *match outcome {
            Outcome::Refused => &mut self.refused,
            Outcome::ReadOnly => &mut self.read_only,
            Outcome::Unmoved => &mut self.unmoved,
            Outcome::Killed => &mut self.killed,
        } += 1;
    }

    /// A run went another way, and did not make the call.
    pub(super) const fn miss(&mut self) {
        self.missed += 1;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            met,
            missed,
            refused,
            read_only,
            unmoved,
            killed,
        } = self;
        write!(
            f,
            "{met} faults ({killed} SIGKILLs, {refused} starts refused, {read_only} no more writes, \
             {unmoved} borne), {missed} did not come about"
        )
    }
}
