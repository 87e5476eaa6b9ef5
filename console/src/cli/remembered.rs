//! What this user has verified of a log, for the next time: its key and its checkpoint.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use agentidp_shared::merkle::{Note, VerifierKey};

use crate::error::Error;

/// A log as it was verified last: a file with the verifier key on its first line and the checkpoint
/// after it.
pub(super) struct Remembered {
    pub(super) key: VerifierKey,
    pub(super) note: Note,
}

/// Where the log behind `socket` is remembered: in the XDG folder of state, below a name that is the
/// socket's path. `None` when the user has no such folder.
pub(super) fn path(socket: &Path) -> Option<PathBuf> {
    path_in(socket, |name| std::env::var(name).ok())
}

fn path_in(socket: &Path, env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name: &str| env(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    let folder = set("XDG_STATE_HOME").filter(|it| it.is_absolute());
    let folder = folder.or_else(|| set("HOME").map(|home| home.join(".local/state")))?;
    let socket = fs::canonicalize(socket).unwrap_or_else(|_error| socket.to_owned());
    let name = socket.to_string_lossy();
    let name = name.replace('%', "%25").replace('/', "%2F");
    Some(folder.join("agentidp/checkpoints").join(name))
}

impl Remembered {
    /// Reads what is remembered, if anything is.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(Error::io(format!("cannot read {}", path.display()))(error));
            }
        };
        let parsed = text.split_once('\n').and_then(|(key, note)| {
            Some(Self {
                key: key.parse().ok()?,
                note: Note::from_bytes(note.as_bytes()).ok()?,
            })
        });
        parsed.map(Some).ok_or_else(|| Error::NotVerified {
            file: path.display().to_string(),
            why:
                "it is not what was remembered there of the log. Look who changed it; deleting it \
                  forgets what the log was"
                    .to_owned(),
        })
    }

    /// Remembers it, instead of what was there.
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let failed = || Error::io(format!("cannot write {}", path.display()));
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(folder).map_err(failed())?;
        let new = path.with_extension(format!("{}.new", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new).map_err(failed())?;
        let text = format!("{}\n{}", self.key, self.note);
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&new, path))
            .map_err(failed())
    }
}

#[cfg(test)]
mod tests {
    use agentidp_shared::merkle::{Checkpoint, LogKey};

    use super::*;

    #[test]
    fn each_socket_has_a_file_of_its_own_in_the_folder_of_state() {
        let socket = Path::new("/run/none/100%/operator.sock");
        let path = |set: &[(&str, &str)]| {
            path_in(socket, |name| {
                let known = set.iter().find(|(it, _)| *it == name);
                known.map(|(_, value)| (*value).to_owned())
            })
        };
        let name = "agentidp/checkpoints/%2Frun%2Fnone%2F100%25%2Foperator.sock";
        let expected = Path::new("/h/.local/state").join(name);
        assert_eq!(path(&[("HOME", "/h")]), Some(expected.clone()));
        assert_eq!(
            path(&[("HOME", "/h"), ("XDG_STATE_HOME", "s")]),
            Some(expected)
        );
        let expected = Path::new("/s").join(name);
        assert_eq!(
            path(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")]),
            Some(expected)
        );
        assert_eq!(path(&[]), None);
    }

    #[test]
    fn what_was_written_is_read_again_and_anything_else_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/%2Frun%2Foperator.sock");
        assert!(Remembered::read(&path).unwrap().is_none());
        let key = LogKey::from_seed("log.example/audit".to_owned(), &[1; 32]).unwrap();
        let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
            .parse()
            .unwrap();
        for size in [3, 4] {
            let checkpoint = Checkpoint::new("log.example/audit".to_owned(), size, root);
            let remembered = Remembered {
                key: key.verifier().clone(),
                note: checkpoint.sign(&key).unwrap(),
            };
            remembered.write(&path).unwrap();
            let read = Remembered::read(&path).unwrap().unwrap();
            assert_eq!((read.key, read.note), (remembered.key, remembered.note));
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        fs::write(&path, "x").unwrap();
        assert!(Remembered::read(&path).is_err());
    }
}
