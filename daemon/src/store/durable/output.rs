//! What the journal is written to, and how that fails.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::room::{Disk, failed_call};

/// What is written to: a file, or in tests one that fails.
pub(super) trait Output: Send {
    /// Writes all of `bytes` at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Claims room on `disk` for the bytes from `from` to `to`; `false` when that is not possible.
    fn claim(&mut self, disk: &Disk, from: u64, to: u64) -> bool {
        let _ = (disk, from, to);
        false
    }
}

impl Output for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn claim(&mut self, disk: &Disk, from: u64, to: u64) -> bool {
        disk.claim_in(self, from, to)
    }
}

/// The journal could not be written: which call failed, on what, why, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{}, then restart the daemon", failed_call(.call, .path, .source))]
pub(super) struct WriteError {
    call: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl WriteError {
    /// The error of `call` on `path`.
    pub(super) fn of(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { call, path, source }
    }
}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        error.source
    }
}
