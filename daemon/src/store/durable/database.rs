//! The sled database of an index, and the one that is to take its place: while a fresh one is made,
//! everything is read from the old one and written to both.

use std::fs::{self, File, TryLockError};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::{RwLock, RwLockWriteGuard};
use sled::{Db, Tree};

use crate::store::ReadError;

/// How much memory sled may use for its pages.
const CACHE_BYTES: u64 = 12 * 1_024 * 1_024;

/// The names that a database's folder may have: the one that is made takes the other.
pub(super) const NAMES: [&str; 2] = ["sled", "sled.2"];

type Read<T> = Result<T, ReadError>;

/// How long a database that was closed may take until its file is let go of.
const LET_GO: Duration = Duration::from_secs(10);

/// Waits until nobody has sled's `file` locked, and no longer than that may take. Threads of sled's own
/// may have it for a moment after it was closed, and it would be taken for one that does not open. Nobody
/// else has it: whoever comes here has the store's lock.
fn wait_until_let_go(file: &Path) {
    let Ok(file) = File::open(file) else { return };
    let begun = Instant::now();
    while matches!(file.try_lock(), Err(TryLockError::WouldBlock)) && begun.elapsed() < LET_GO {
        thread::sleep(Duration::from_millis(1));
    }
}

/// sled failed.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` passes")]
pub(super) fn failed(error: sled::Error) -> ReadError {
    ReadError(format!("the index failed: {error}"))
}

/// sled panicked.
pub(super) fn gave_up<T>(_panic: T) -> ReadError {
    ReadError("the index is damaged: sled gave up on it".to_owned())
}

/// What is in the index is not what was put there.
pub(super) fn damaged() -> ReadError {
    ReadError(
        "a record in the index is damaged: stop the daemon and have the index rebuilt with `agentidpd store rebuild`"
            .to_owned(),
    )
}

/// A sled database and its trees.
pub(super) struct Trees {
    /// The name of its folder.
    pub(super) name: &'static str,
    /// Which database it is.
    pub(super) generation: u64,
    /// The records.
    pub(super) records: Tree,
    /// Records that are too large for one value, in parts: key, length of the key, number of the part.
    pub(super) parts: Tree,
    /// The organizations' ids by name.
    pub(super) names: Tree,
    /// How records were used.
    pub(super) usage: Tree,
    /// What is kept for a time.
    pub(super) kept: Tree,
    /// The audit entries, in bundles.
    pub(super) bundles: Tree,
    /// What tells whether a bundle is worth opening.
    pub(super) summaries: Tree,
    /// The full tiles of the log's tree.
    pub(super) tiles: Tree,
    /// What has them all.
    pub(super) db: Db,
}

impl Trees {
    /// Opens the database in `folder`, or makes it.
    ///
    /// # Errors
    ///
    /// When sled cannot or panics.
    fn open(folder: &Path, name: &'static str) -> Read<Self> {
        let open = || -> sled::Result<Self> {
            let db = sled::Config::new()
                .path(folder.join(name))
                .cache_capacity(CACHE_BYTES)
                .use_compression(false)
                // Flushing is ours to order.
                .flush_every_ms(None)
                .mode(sled::Mode::HighThroughput)
                .open()?;
            let meta = db.open_tree("meta")?;
            let known = meta
                .get("generation")?
                .and_then(|bytes| bytes.as_ref().try_into().ok());
            let generation = known.map_or_else(entropy, u64::from_be_bytes);
            if known.is_none() {
                meta.insert("generation", &generation.to_be_bytes())?;
            }
            Ok(Self {
                name,
                generation,
                records: db.open_tree("records")?,
                parts: db.open_tree("parts")?,
                names: db.open_tree("names")?,
                usage: db.open_tree("usage")?,
                kept: db.open_tree("kept")?,
                bundles: db.open_tree("bundles")?,
                summaries: db.open_tree("summaries")?,
                tiles: db.open_tree("tiles")?,
                db,
            })
        };
        wait_until_let_go(&folder.join(name).join("db"));
        let opened = std::panic::catch_unwind(AssertUnwindSafe(open));
        opened.map_err(gave_up)?.map_err(failed)
    }

    /// All of its trees, in an order that stays the same.
    pub(super) fn all(&self) -> [&Tree; 8] {
        [
            &self.records,
            &self.parts,
            &self.names,
            &self.usage,
            &self.kept,
            &self.bundles,
            &self.summaries,
            &self.tiles,
        ]
    }

    /// The file that sled writes it to, of an index in `folder`.
    pub(super) fn file(&self, folder: &Path) -> PathBuf {
        folder.join(self.name).join("db")
    }

    /// Makes everything that was written durable.
    pub(super) fn sync(&self, folder: &Path) -> Read<()> {
        self.db.flush().map_err(failed)?;
        // On Linux sled's flush hands the pages to the kernel and does not wait for the disk.
        File::open(self.file(folder))
            .and_then(|file| file.sync_data())
            .map_err(|error| ReadError(format!("the index could not be synced: {error}")))
    }

    /// How many bytes it has on the disk.
    pub(super) fn size(&self) -> u64 {
        self.db.size_on_disk().unwrap_or_default()
    }
}

/// The database in use, and the one that is to take its place.
pub(super) struct Database {
    folder: PathBuf,
    now: ArcSwap<Trees>,
    /// Held for reading by whoever writes, for writing by whoever copies: so a value is copied before
    /// it is changed or after that.
    next: RwLock<Option<Arc<Trees>>>,
    /// Whether the next one has failed.
    is_abandoned: AtomicBool,
}

impl Database {
    /// Opens the database `name` in `folder`, or makes it.
    pub(super) fn open(folder: &Path, name: &'static str) -> Read<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            now: ArcSwap::from_pointee(Trees::open(folder, name)?),
            next: RwLock::default(),
            is_abandoned: AtomicBool::new(false),
        })
    }

    /// The folder that it is in.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is to be read from.
    pub(super) fn trees(&self) -> Arc<Trees> {
        self.now.load_full()
    }

    /// Writes to the database in use, and to the next one when there is one.
    pub(super) fn write(&self, write: impl Fn(&Trees) -> sled::Result<()>) -> Read<()> {
        let next = self.next.read();
        write(&self.now.load()).map_err(failed)?;
        let Some(next) = next.as_ref() else {
            return Ok(());
        };
        if !self.is_abandoned.load(Ordering::Relaxed) {
            // What happens to the next one is no reason to fail.
            let written = std::panic::catch_unwind(AssertUnwindSafe(|| write(next)));
            if !matches!(written, Ok(Ok(()))) {
                self.is_abandoned.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Makes the next database, empty; from here on all writes go to it as well.
    pub(super) fn begin_next(&self) -> Read<Arc<Trees>> {
        let name = other_name(self.trees().name);
        remove(&self.folder.join(name))?;
        let next = Arc::new(Trees::open(&self.folder, name)?);
        self.is_abandoned.store(false, Ordering::Relaxed);
        *self.next.write() = Some(Arc::clone(&next));
        Ok(next)
    }

    /// Holds off writers.
    pub(super) fn hold(&self) -> RwLockWriteGuard<'_, Option<Arc<Trees>>> {
        self.next.write()
    }

    /// Whether all that was written has reached the next database too.
    pub(super) fn next_is_whole(&self) -> bool {
        !self.is_abandoned.load(Ordering::Relaxed)
    }

    /// Puts the next database into use and removes the one before. Call it only once the next one is
    /// durable and the mark names it.
    pub(super) fn switch(&self) -> Read<()> {
        let before = {
            let mut next = self.next.write();
            let Some(next) = next.take() else {
                return Ok(());
            };
            self.now.swap(next)
        };
        let folder = self.folder.join(before.name);
        // Whoever still reads it has its files open.
        drop(before);
        remove(&folder)
    }

    /// Gives up the next database.
    pub(super) fn abandon_next(&self) {
        let next = self.next.write().take();
        if let Some(next) = next {
            let folder = self.folder.join(next.name);
            drop(next);
            if let Err(error) = remove(&folder) {
                tracing::warn!(%error, "what was begun of a new index could not be removed");
            }
        }
    }
}

/// The other one of the two names.
pub(super) fn other_name(name: &str) -> &'static str {
    let [first, second] = NAMES;
    if name == first { second } else { first }
}

/// Removes a folder, if there is one.
fn remove(folder: &Path) -> Read<()> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).map_err(|error| ReadError(format!("{}: {error}", folder.display())))
}

/// A number that another database is most unlikely to have drawn.
fn entropy() -> u64 {
    use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
    let mut bytes = [0; 8];
    // Zeros would do: the number guards against mistakes, not against people.
    let _ = SystemRandom::new().fill(&mut bytes);
    u64::from_be_bytes(bytes)
}
