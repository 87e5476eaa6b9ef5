//! The files beside journal and index: what the store is, who has it open, and how far it got.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use agentidp_shared::merkle::{Checkpoint, Note};
use agentidp_shared::{FieldError, StoreId, Timestamp};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::head::Head;
use super::{CheckStatus, OpenError, StoreOptions};
use crate::store::Space;
use crate::store::form::hex;

/// The version of the store's form.
pub(super) const FORMAT: u32 = 5;

/// The room on the disk that `folder` is on.
pub(super) fn space(folder: &Path) -> io::Result<Space> {
    let disk = nix::sys::statvfs::statvfs(folder)?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size());
    Ok(Space {
        free: bytes(disk.blocks_available()),
        total: bytes(disk.blocks()),
    })
}

/// The one member of `store.json` that every version has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// `store.json`: what the store is. Written once.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Identity {
    /// The version of its form.
    pub(super) format: u32,
    /// Its name.
    pub(super) id: StoreId,
    /// When it was made.
    pub(super) created_at: Timestamp,
}

/// Where everything of a store is.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
    head: PathBuf,
}

impl Layout {
    /// The layout of the store that `options` name.
    pub(super) fn new(options: &StoreOptions) -> Self {
        Self {
            root: options.path.clone(),
            head: options.head_file.clone(),
        }
    }

    /// The store's folder.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The journal's folder.
    pub(super) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// The index's folder.
    pub(super) fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    /// `store.json`.
    pub(super) fn identity(&self) -> PathBuf {
        self.root.join("store.json")
    }

    /// The newest checkpoint.
    pub(super) fn checkpoint(&self) -> PathBuf {
        self.root.join("checkpoint")
    }

    /// Reads the newest checkpoint, whose signature is not verified; `None` when there is none.
    pub(super) fn read_checkpoint(&self) -> Result<Option<Checkpoint>, OpenError> {
        let Some(note) = self.read_note()? else {
            return Ok(None);
        };
        let read = note.text().parse();
        read.map(Some)
            .map_err(|error: FieldError| OpenError::Unreadable {
                path: self.checkpoint(),
                cause: error.to_string(),
            })
    }

    /// Reads the note of the newest checkpoint; `None` when there is none.
    pub(super) fn read_note(&self) -> Result<Option<Note>, OpenError> {
        let path = self.checkpoint();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OpenError::io(&path)(error)),
        };
        let read = Note::from_bytes(&bytes);
        read.map(Some).map_err(|error| OpenError::Unreadable {
            path,
            cause: error.to_string(),
        })
    }

    /// Writes the note of the newest checkpoint.
    pub(super) fn write_note(&self, note: &str) -> io::Result<()> {
        write_whole(&self.checkpoint(), note.as_bytes())
    }

    /// What the name of a folder begins with in which something of the store is copied for a while.
    pub(super) const COPY: &str = "copy.";

    /// Removes copies that were left behind. Call it only with the lock.
    pub(super) fn remove_copies(&self) {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten();
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(Self::COPY) {
                // What cannot be removed is only in the way.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    /// The file that is there while a daemon has the store open.
    fn running(&self) -> PathBuf {
        self.root.join("running")
    }

    /// Whether the store is open, or was not closed in good order.
    pub(super) fn is_running(&self) -> bool {
        self.running().exists()
    }

    /// Notes that the store is open. Gives whether it was when it was last used, and so did not end in
    /// good order.
    pub(super) fn begin(&self) -> io::Result<bool> {
        if self.is_running() {
            return Ok(true);
        }
        File::create(self.running())?.sync_all()?;
        sync_folder(&self.root)?;
        Ok(false)
    }

    /// Notes that the store is closed, and everything durable.
    pub(super) fn end(&self) -> io::Result<()> {
        std::fs::remove_file(self.running())?;
        sync_folder(&self.root)
    }

    fn checked(&self) -> PathBuf {
        self.root.join("checked.json")
    }

    /// How the last check of the store in use ended, if that is known.
    pub(super) fn read_checked(&self) -> Option<CheckStatus> {
        read_json(&self.checked()).ok()
    }

    /// Notes how a check of the store in use ended.
    pub(super) fn write_checked(&self, checked: &CheckStatus) -> io::Result<()> {
        write_json(&self.checked(), checked)
    }

    /// Forgets how the last check ended: it was of another index.
    pub(super) fn forget_checked(&self) {
        // It says no more than when the next one is due.
        let _ = std::fs::remove_file(self.checked());
    }

    /// Removes what making a store left behind when it failed. Call it only with the lock.
    pub(super) fn remove_unfinished(&self) {
        // What cannot be removed, the next attempt names.
        let _ = std::fs::remove_dir_all(self.journal());
        let (identity, lock) = (self.identity(), self.root.join("lock"));
        for file in [&self.head, &self.checkpoint(), &identity, &lock] {
            let _ = std::fs::remove_file(file);
        }
    }

    /// Whether a store has been made here.
    pub(super) fn exists(&self) -> bool {
        self.identity().exists()
    }

    /// Why there is no store here: it was never made, or what makes it one is lost.
    pub(super) fn missing(&self) -> OpenError {
        let root = self.root.clone();
        if self.journal().exists() {
            OpenError::NoIdentity(root)
        } else {
            OpenError::Missing(root)
        }
    }

    /// Reads what the store is.
    pub(super) fn read_identity(&self) -> Result<Identity, OpenError> {
        let path = self.identity();
        if !path.exists() {
            return Err(self.missing());
        }
        // The format first, by itself: a newer one may have other members.
        let Format { format } = read_json(&path)?;
        match format.cmp(&FORMAT) {
            Ordering::Less => Err(OpenError::PreRelease {
                path,
                found: format,
            }),
            Ordering::Greater => Err(OpenError::Format {
                path,
                found: format,
            }),
            Ordering::Equal => read_json(&path),
        }
    }

    /// Takes the store for this process.
    pub(super) fn lock(&self) -> Result<Flock<File>, OpenError> {
        let path = self.root.join("lock");
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(OpenError::io(&path))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
            Errno::EWOULDBLOCK => OpenError::Locked(self.root.clone()),
            error => OpenError::io(&path)(error.into()),
        })
    }

    /// The head file.
    pub(super) fn head(&self) -> &Path {
        &self.head
    }

    /// How many bytes the journal's folder has.
    pub(super) fn journal_bytes(&self) -> u64 {
        let files = std::fs::read_dir(self.journal())
            .into_iter()
            .flatten()
            .flatten();
        files
            .filter_map(|file| file.metadata().ok())
            .map(|metadata| metadata.len())
            .sum()
    }

    /// Whether there is a head file.
    pub(super) fn has_head(&self) -> bool {
        self.head.exists()
    }

    /// Reads the head file; `None` when there is none.
    pub(super) fn read_head(&self) -> Result<Option<Head>, OpenError> {
        if self.head.exists() {
            read_json(&self.head).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Writes the head file.
    pub(super) fn write_head(&self, head: &Head) -> io::Result<()> {
        write_json(&self.head, head)
    }
}

/// What stands before the checksum at the end of a small JSON file.
const CHECK: &[u8] = b",\"check\":\"";

/// Reads a small JSON file. One that has a checksum, as all have that [`write_json`] writes, must be
/// what was written.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, OpenError> {
    let bytes = std::fs::read(path).map_err(OpenError::io(path))?;
    let unreadable = |cause: String| OpenError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    let start = bytes.windows(CHECK.len()).rposition(|it| it == CHECK);
    if let Some((body, check)) = start.and_then(|start| bytes.split_at_checked(start)) {
        let expected = [CHECK, checksum(body).as_bytes(), b"\"}\n"].concat();
        if check != expected {
            return Err(unreadable("its checksum does not fit".to_owned()));
        }
    }
    serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))
}

fn checksum(body: &[u8]) -> String {
    hex(&crc32c::crc32c(body).to_be_bytes())
}

/// Writes a small JSON object, as [`write_whole`] does, with a checksum (CRC-32C of what stands before
/// it) as its last member.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.pop();
    let check = checksum(&bytes);
    bytes.extend_from_slice(CHECK);
    bytes.extend_from_slice(check.as_bytes());
    bytes.extend_from_slice(b"\"}\n");
    write_whole(path, &bytes)
}

/// Writes a small file so that after a crash it is the old one or the new one, whole. No two may
/// write the same one at once.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    sync_folder(path.parent().unwrap_or_else(|| Path::new(".")))
}

/// Makes a folder, and those that it is in, and has them found after a cut of power.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    let Some(parent) = folder.parent().filter(|_| !folder.is_dir()) else {
        return Ok(());
    };
    make_folder(parent)?;
    std::fs::create_dir_all(folder)?;
    sync_folder(parent)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    File::open(folder)?.sync_all()
}
