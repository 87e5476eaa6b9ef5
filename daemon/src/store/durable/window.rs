//! A file that is read from its begin to its end, of which no more is in memory than is being looked at.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// How many bytes are read at once.
const STEP: u64 = 1_024 * 1_024;

/// A file from where it has been read to, as far as it is in memory.
pub(super) struct Window {
    file: File,
    bytes: Vec<u8>,
    passed: usize,
}

impl Window {
    /// The begin of the file at `path`, nothing of which is in memory yet.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::open(path)?,
            bytes: Vec::new(),
            passed: 0,
        })
    }

    /// What is in memory and was not passed.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.passed..).unwrap_or_default()
    }

    /// Passes the first `length` bytes of the rest.
    pub(super) fn pass(&mut self, length: usize) {
        self.passed += length;
    }

    /// Reads more; `false` when there is no more.
    pub(super) fn more(&mut self) -> io::Result<bool> {
        self.bytes.drain(..self.passed.min(self.bytes.len()));
        self.passed = 0;
        let read = (&mut self.file).take(STEP).read_to_end(&mut self.bytes)?;
        Ok(read > 0)
    }

    /// Reads all that there still is.
    pub(super) fn all(&mut self) -> io::Result<&[u8]> {
        while self.more()? {}
        Ok(self.rest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_passed_is_gone_and_what_was_not_stays_until_the_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let content: Vec<u8> = (0..3 * STEP).map(|at| (at % 251) as u8).collect();
        std::fs::write(file.path(), &content).unwrap();
        let mut window = Window::open(file.path()).unwrap();
        assert!(window.rest().is_empty());
        let mut at = 0;
        while window.more().unwrap() {
            let length = window.rest().len() - 5;
            assert_eq!(window.rest(), &content[at..at + length + 5]);
            window.pass(length);
            at += length;
            assert!(window.bytes.capacity() < content.len());
        }
        assert_eq!(window.all().unwrap(), &content[content.len() - 5..]);
    }
}
