//! Files that secrets are written to: new ones that only their owner can read.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A file that waits for its secret. Made before the secret is asked for, so that a secret which
/// is shown once is never lost to a folder that cannot be written. Removed when dropped unused.
#[derive(Debug)]
pub(crate) struct SecretFile {
    file: File,
    path: PathBuf,
    is_written: bool,
}

impl SecretFile {
    /// Makes the file with mode 0600. One that is there already is refused, links included.
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => Error::usage(
                    format!("{} is there already", path.display()),
                    "name a file that does not exist: a secret never overwrites one",
                ),
                _ => Error::io(format!("cannot make {}", path.display()))(source),
            })?;
        Ok(Self {
            file,
            path: path.to_owned(),
            is_written: false,
        })
    }

    /// Writes the secret, without a line end, and waits until it is on the disk.
    pub(crate) fn write(mut self, secret: &str) -> Result<(), Error> {
        let written = self
            .file
            .write_all(secret.as_bytes())
            .and_then(|()| self.file.sync_all());
        self.is_written = written.is_ok();
        written.map_err(Error::io(format!("cannot write {}", self.path.display())))
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if !self.is_written {
            // An empty file that stays behind does no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_the_owner_can_read_a_secret_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        SecretFile::create(&path).unwrap().write("aidp_x").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "aidp_x");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_there_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "old").unwrap();
        assert_eq!(SecretFile::create(&path).unwrap_err().exit_code(), 2);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    }

    #[test]
    fn a_file_without_its_secret_does_not_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        drop(SecretFile::create(&path).unwrap());
        assert!(!path.exists());
    }
}
