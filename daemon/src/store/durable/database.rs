//! The sled database of an index, and the one that is to take its place: while a fresh one is made,
//! everything is read from the old one and written to both.

use std::fs::{self, File, TryLockError};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::{RwLock, RwLockWriteGuard};
use sled::{Db, Tree};

use crate::store::ReadError;

/// How much memory sled may use for its pages.
const CACHE_BYTES: u64 = 12 * 1_024 * 1_024;

// sled counts what it has in memory in 256 parts of its pages, each only once it was asked 64 times for a page
// of that part, whatever the size of those. Whoever asks for many pages once each has sixteen thousand of them in
// memory before sled lets go of the first, and what allocations they leave behind stays scattered.

/// In a walk over all records, of so many one is asked for again, which is a few times for each page.
pub(super) const ASKED_AGAIN: usize = 4;
/// After so many bytes of large values sled is made to count.
const LARGE_BYTES: usize = 4 * 1_024 * 1_024;
/// For that, so many records are asked for, from as many pages or nearly, and each so often.
const COUNTED_BY: (usize, usize) = (2_048, 16);
/// How many records are likely to be on one page, less a few.
const ON_A_PAGE: usize = 8;

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

    /// Asks again for a record that was asked for already.
    pub(super) fn ask_again(&self, key: &[u8]) -> Read<()> {
        self.records.contains_key(key).map(drop).map_err(failed)
    }

    /// Has sled count what it has in memory, and let go of what is too much.
    fn let_go(&self) -> Read<()> {
        let (records, times) = COUNTED_BY;
        for pair in self.records.iter().step_by(ON_A_PAGE).take(records) {
            let (key, _) = pair.map_err(failed)?;
            for _ in 0..times {
                self.ask_again(&key)?;
            }
        }
        Ok(())
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
    /// How many bytes of large values came into memory since sled was last made to count.
    large: AtomicUsize,
}

impl Database {
    /// Opens the database `name` in `folder`, or makes it.
    pub(super) fn open(folder: &Path, name: &'static str) -> Read<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            now: ArcSwap::from_pointee(Trees::open(folder, name)?),
            next: RwLock::default(),
            is_abandoned: AtomicBool::new(false),
            // Whoever opens it reads all of it.
            large: AtomicUsize::new(LARGE_BYTES),
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

    /// Notes that a large value was read or written, of so many bytes.
    pub(super) fn note_large(&self, bytes: usize) {
        self.large.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Has sled let go of what it has in memory beyond what it may, if there can be much of that. It takes a
    /// twentieth of a second.
    pub(super) fn relieve(&self) -> Read<()> {
        if self.large.load(Ordering::Relaxed) < LARGE_BYTES {
            return Ok(());
        }
        self.large.store(0, Ordering::Relaxed);
        self.now.load().let_go()
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
