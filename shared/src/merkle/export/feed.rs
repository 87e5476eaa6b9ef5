//! Verifying an export as its bytes come.

use std::io::{self, BufRead};

use super::line::{End, Fault, Header, MAX_LINE};
use super::verify::{Report, Verifier};
use crate::merkle::VerifierKey;

/// Why an export is not to be believed, or could not be read.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A line is not as it must be.
    #[error("line {line}: {fault}")]
    Fault {
        /// The first such line, counted from 1.
        line: u64,
        /// What is wrong with it.
        fault: Fault,
    },
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Verifies an export against the log's key, in one pass. `progress` is told after each part that
/// was read how many bytes it had.
///
/// # Errors
///
/// [`VerifyError`], with the first line that is not as it must be.
pub fn verify_export(
    mut export: impl BufRead,
    key: &VerifierKey,
    mut progress: impl FnMut(usize),
) -> Result<Report, VerifyError> {
    let mut verifier = ExportVerifier::new(key.clone());
    loop {
        let bytes = export.fill_buf()?;
        if bytes.is_empty() {
            return verifier.finish();
        }
        verifier.push(bytes)?;
        let count = bytes.len();
        export.consume(count);
        progress(count);
    }
}

/// An export of which the first bytes have been verified.
#[derive(Clone)]
pub struct ExportVerifier {
    key: VerifierKey,
    state: State,
    /// What there is of a line that is not whole yet.
    begun: Vec<u8>,
    /// The number of the next line.
    line: u64,
    /// How many bytes the lines before it have.
    whole: u64,
}

/// How far an export has been verified.
#[derive(Clone)]
enum State {
    /// There is nothing yet.
    Empty,
    /// The first line, and some entries.
    Open(Box<Verifier>),
    /// All of it.
    Closed(Box<Report>),
}

impl ExportVerifier {
    /// Begins to verify an export against the log's key.
    #[must_use]
    pub const fn new(key: VerifierKey) -> Self {
        Self {
            key,
            state: State::Empty,
            begun: Vec::new(),
            line: 1,
            whole: 0,
        }
    }

    /// Verifies the next bytes, as far as they are whole lines.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Fault`], with the first line that is not as it must be.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        self.take(bytes).map_err(|fault| VerifyError::Fault {
            line: self.line,
            fault,
        })
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        if matches!(self.state, State::Closed(_)) && !bytes.is_empty() {
            return Err(Fault::AfterEnd);
        }
        while let Some(length) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(length);
            if self.begun.is_empty() {
                self.line(line)?;
            } else {
                let mut begun = std::mem::take(&mut self.begun);
                begun.extend_from_slice(line);
                self.line(&begun)?;
            }
            bytes = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        if matches!(self.state, State::Closed(_)) && !bytes.is_empty() {
            return Err(Fault::AfterEnd);
        }
        if self.begun.len() + bytes.len() >= MAX_LINE {
            return Err(Fault::TooLong);
        }
        self.begun.extend_from_slice(bytes);
        Ok(())
    }

    /// Verifies a whole line, without its newline.
    fn line(&mut self, line: &[u8]) -> Result<(), Fault> {
        if line.len() >= MAX_LINE {
            return Err(Fault::TooLong);
        }
        match &mut self.state {
            State::Empty => {
                let verifier = Verifier::new(line, &self.key)?;
                self.state = State::Open(Box::new(verifier));
            }
            State::Open(verifier) if End::is_on(line) => {
                self.state = State::Closed(Box::new(verifier.end(line)?));
            }
            State::Open(verifier) => verifier.entry(line)?,
            State::Closed(_) => return Err(Fault::AfterEnd),
        }
        self.line += 1;
        self.whole += u64::try_from(line.len()).unwrap_or(u64::MAX) + 1;
        Ok(())
    }

    /// What the export holds, now that there are no more bytes.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Fault`], when it is not whole.
    pub fn finish(self) -> Result<Report, VerifyError> {
        let fault = match self.state {
            State::Closed(report) => return Ok(*report),
            _ if self.begun.is_empty() => Fault::NoEnd,
            _ => Fault::CutOff,
        };
        let line = self.line;
        Err(VerifyError::Fault { line, fault })
    }

    /// How many of the bytes are whole lines that hold.
    #[must_use]
    pub const fn whole(&self) -> u64 {
        self.whole
    }

    /// Whether the last line has been.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }

    /// What the export is about, and the place in the log that it has got to; `None` before the first
    /// line and after the last.
    #[must_use]
    pub fn position(&self) -> Option<(&Header, u64)> {
        self.open().map(|it| (it.header(), it.next()))
    }

    /// Goes back to after the last whole line.
    pub(super) fn forget_begun(&mut self) {
        self.begun.clear();
    }

    pub(super) const fn open(&self) -> Option<&Verifier> {
        match &self.state {
            State::Open(verifier) => Some(verifier),
            State::Empty | State::Closed(_) => None,
        }
    }
}
