//! The files beside journal and index: what the store is, who has it open, and how far it got.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use agentidp_shared::{StoreId, Timestamp};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::journal::Position;
use super::{OpenError, StoreOptions};
use crate::store::Space;
use crate::store::form::hex;

/// The version of the store's form.
pub(super) const FORMAT: u32 = 2;

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

/// The head file: how far the store had got. It lives outside journal and index, so that a store
/// put back from yesterday contradicts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The store.
    pub(super) store_id: StoreId,
    /// Its last frame.
    pub(super) frame: u64,
    /// How many entries its log has.
    pub(super) entries: u64,
    /// The hash of the last frame, in hex.
    pub(super) hash: String,
}

impl Head {
    /// The head of a store whose journal stands at `position`.
    pub(super) fn new(store_id: StoreId, position: &Position) -> Self {
        Self {
            store_id,
            frame: position.frame,
            entries: position.entries,
            hash: hex(&position.hash),
        }
    }
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = self.hash.get(..16).unwrap_or(&self.hash);
        write!(
            f,
            "store {} at frame {} with {} entries, {short}…",
            self.store_id, self.frame, self.entries
        )
    }
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

    /// Removes what making a store left behind when it failed. Call it only with the lock.
    pub(super) fn remove_unfinished(&self) {
        // What cannot be removed, the next attempt names.
        let _ = std::fs::remove_dir_all(self.journal());
        for file in [&self.head, &self.identity(), &self.root.join("lock")] {
            let _ = std::fs::remove_file(file);
        }
    }

    /// Whether a store has been made here.
    pub(super) fn exists(&self) -> bool {
        self.identity().exists()
    }

    /// Reads what the store is.
    pub(super) fn read_identity(&self) -> Result<Identity, OpenError> {
        let path = self.identity();
        if !path.exists() {
            return Err(OpenError::Missing(self.root.clone()));
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

/// Reads a small JSON file.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, OpenError> {
    let bytes = std::fs::read(path).map_err(OpenError::io(path))?;
    serde_json::from_slice(&bytes).map_err(|error| OpenError::Unreadable {
        path: path.to_owned(),
        cause: error.to_string(),
    })
}

/// Writes a small JSON file so that after a crash it is the old one or the new one, whole.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let mut file = File::create(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    sync_folder(path.parent().unwrap_or_else(|| Path::new(".")))
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
