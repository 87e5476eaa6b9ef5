//! Going on with an export that was cut off.

use super::feed::{ExportVerifier, VerifyError};
use super::line::{End, Fault, Header};

/// An export that was cut off after a whole line, and the rest of it, which comes as an export of its
/// own: from where the first ended, to the same end, with the same checkpoint.
pub struct ResumedExport {
    whole: ExportVerifier,
    /// What there is of a line of the rest.
    begun: Vec<u8>,
    /// The number of the next line of the rest.
    line: u64,
}

impl ResumedExport {
    /// Goes on after `whole`, of which a last line that is not whole is forgotten.
    #[must_use]
    pub fn new(mut whole: ExportVerifier) -> Self {
        whole.forget_begun();
        Self {
            whole,
            begun: Vec::new(),
            line: 1,
        }
    }

    /// Takes the next bytes of the rest, and gives what is to be written after the first part. That
    /// has been verified like any export.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Fault`]: what does not hold, by the line of the export that is made.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>, VerifyError> {
        let mut made = Vec::with_capacity(bytes.len());
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(part);
            if self.begun.ends_with(b"\n") {
                let line = std::mem::take(&mut self.begun);
                let line = self.line(line)?;
                self.whole.push(&line)?;
                made.extend_from_slice(&line);
                self.line += 1;
            }
        }
        Ok(made)
    }

    /// The line that stands for a line of the rest.
    fn line(&self, line: Vec<u8>) -> Result<Vec<u8>, VerifyError> {
        let at = |fault| VerifyError::Fault {
            line: self.line,
            fault,
        };
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let Some(whole) = self.whole.open() else {
            return Err(at(Fault::AfterEnd));
        };
        if self.line == 1 {
            let header = Header::parse(text).ok_or_else(|| at(Fault::NotAHeader))?;
            return if header.follows(whole.header(), whole.next()) {
                Ok(Vec::new())
            } else {
                Err(at(Fault::Contradiction))
            };
        }
        if End::is_on(text) {
            let end = End::parse(text).ok_or_else(|| at(Fault::NotAnEnd))?;
            return Ok(whole.closing(end.proof).to_line());
        }
        Ok(line)
    }

    /// What the export holds, now that there are no more bytes.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Fault`], when it is not whole.
    pub fn finish(self) -> Result<super::Report, VerifyError> {
        self.whole.finish()
    }
}
