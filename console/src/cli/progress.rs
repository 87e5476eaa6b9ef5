//! How far something long is, on the standard error output.

use std::io::{self, IsTerminal as _, Write as _};

use super::tell;

/// Tells how far it is: on a terminal in one line that changes, anywhere else at every tenth of what
/// is large.
pub(super) struct Progress {
    verb: &'static str,
    /// From how much on it is told when nobody looks on.
    large: u64,
    is_terminal: bool,
    /// The thousandths that were told last.
    told: u64,
}

impl Progress {
    /// Of what is done as `verb` says ("verified"), and large from `large` on.
    pub(super) fn new(verb: &'static str, large: u64) -> Self {
        Self {
            verb,
            large,
            is_terminal: io::stderr().is_terminal(),
            told: 0,
        }
    }

    /// `done` of `all` is done.
    pub(super) fn at(&mut self, done: u64, all: u64) {
        let thousandths = done.saturating_mul(1_000) / all.max(1);
        let step = if self.is_terminal { 1 } else { 100 };
        if thousandths / step <= self.told / step || (!self.is_terminal && all < self.large) {
            return;
        }
        self.told = thousandths;
        let (percent, tenth) = (thousandths / 10, thousandths % 10);
        if self.is_terminal {
            let line = format!("\r{} {percent:3}.{tenth} %", self.verb);
            // Only for the eye.
            let _ = io::stderr().write_all(line.as_bytes());
        } else {
            tell(&format!("{} {percent} %", self.verb));
        }
    }
}

impl Drop for Progress {
    /// Takes the line away, for what comes next.
    fn drop(&mut self) {
        if self.is_terminal && self.told > 0 {
            let blank = " ".repeat(self.verb.len() + 8);
            let _ = io::stderr().write_all(format!("\r{blank}\r").as_bytes());
        }
    }
}
