//! Room on the disk: what is kept free for that which must still be written when there is little.
//!
//! Two things together. When less than the reserve is free, nothing is taken on that grows the store
//! ([`Commit::grows`](crate::store::Commit::grows)); that is looked at once a second, and ends by
//! itself. And a part of the reserve is claimed ahead, as blocks behind the ends of the journal and of
//! the index's file: another program that fills the disk to its last byte cannot take those, so a
//! revocation that comes then is still written. docs/decisions/0014 says why.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use super::layout;
use crate::store::{Room, Space};

/// The part of the reserve that is claimed in the journal, and the same in the index.
const CLAIMED: u64 = 4;

/// How much room there is, as it was looked at last.
#[derive(Debug)]
pub(super) struct Disk {
    reserve: u64,
    free: AtomicU64,
    total: AtomicU64,
    /// Whether the last look found nothing.
    is_unknown: AtomicBool,
    is_low: AtomicBool,
}

impl Disk {
    /// A disk of which `reserve` bytes are to be kept; 0: none.
    pub(super) const fn new(reserve: u64) -> Self {
        Self {
            reserve,
            free: AtomicU64::new(u64::MAX),
            total: AtomicU64::new(u64::MAX),
            is_unknown: AtomicBool::new(true),
            is_low: AtomicBool::new(false),
        }
    }

    /// Whether less than the reserve is free.
    pub(super) fn is_low(&self) -> bool {
        self.is_low.load(Ordering::Relaxed)
    }

    /// What was found the last time.
    pub(super) fn room(&self) -> Room {
        let is_known = !self.is_unknown.load(Ordering::Relaxed);
        Room {
            space: is_known.then(|| Space {
                free: self.free.load(Ordering::Relaxed),
                total: self.total.load(Ordering::Relaxed),
            }),
            reserve: self.reserve,
            is_low: self.is_low(),
        }
    }

    /// How many bytes are to be claimed ahead in one file.
    pub(super) const fn claim(&self) -> u64 {
        self.reserve / CLAIMED
    }

    /// Whether the reserve would still be free if `bytes` more were written.
    pub(super) fn has_room_for(&self, bytes: u64) -> bool {
        self.reserve == 0 || self.free.load(Ordering::Relaxed) >= self.reserve.saturating_add(bytes)
    }

    /// Looks how much is free on the disk that `folder` is on.
    pub(super) fn look(&self, folder: &Path) -> io::Result<()> {
        let space = layout::space(folder);
        self.is_unknown.store(space.is_err(), Ordering::Relaxed);
        self.found(space?);
        Ok(())
    }

    /// Notes how much is free. A disk that was low is not any more when a quarter of the reserve is free
    /// beyond it, so that it does not go to and fro.
    fn found(&self, space: Space) {
        self.free.store(space.free, Ordering::Relaxed);
        self.total.store(space.total, Ordering::Relaxed);
        let enough = if self.is_low() {
            self.reserve.saturating_add(self.reserve / 4)
        } else {
            self.reserve
        };
        self.set_low(space.free < enough);
    }

    /// Notes that the disk had no block left.
    pub(super) fn ran_out(&self) {
        if self.reserve > 0 {
            self.free.store(0, Ordering::Relaxed);
            self.set_low(true);
        }
    }

    fn set_low(&self, is_low: bool) {
        if self.is_low.swap(is_low, Ordering::Relaxed) == is_low {
            return;
        }
        let (free, reserve) = (self.free.load(Ordering::Relaxed), self.reserve);
        if is_low {
            tracing::error!(
                free,
                reserve,
                "the store is low on space: no token is issued and nothing registered until there is more room"
            );
        } else {
            tracing::info!(free, reserve, "the store has room again");
        }
    }

    /// Claims blocks for the bytes of `file` from `from` to `to`, which leaves its length as it is.
    /// `false` when its file system cannot.
    pub(super) fn claim_in(&self, file: &File, from: u64, to: u64) -> bool {
        let offsets = (i64::try_from(from), i64::try_from(to.saturating_sub(from)));
        let (Ok(offset), Ok(length)) = offsets else {
            return false;
        };
        if length == 0 {
            return true;
        }
        loop {
            match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, offset, length) {
                Ok(()) => return true,
                Err(Errno::EINTR) => {}
                Err(Errno::ENOSPC | Errno::EDQUOT) => {
                    self.ran_out();
                    return true;
                }
                Err(error) => {
                    tracing::warn!(%error, "no room can be claimed ahead on this file system");
                    return false;
                }
            }
        }
    }
}

/// What to do about an error of the operating system while the store is written.
pub(super) fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC | Errno::EDQUOT) => "make room on the disk",
        Some(Errno::EROFS) => {
            "the file system is read-only, which is mostly what the kernel makes of a disk that fails: read its log (journalctl -k), have the file system checked and mounted to be written"
        }
        Some(Errno::EIO | Errno::ENXIO | Errno::ENODEV) => {
            "the disk fails: read the kernel's log (journalctl -k), bring the store to a sound disk"
        }
        Some(Errno::EFBIG) => {
            "files may not be that large here (LimitFSIZE= of the service, or the file system): raise that"
        }
        _ => "read the kernel's log (journalctl -k), put right what it tells",
    }
}

/// One sentence about a call that failed: which, of what, why, and what to do.
pub(super) fn failed_call(call: &str, path: &Path, error: &io::Error) -> String {
    format!(
        "{call} {} failed: {error}: {}",
        path.display(),
        remedy(error)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(free: u64) -> Space {
        Space { free, total: 1_000 }
    }

    #[test]
    fn a_low_disk_is_so_until_a_quarter_of_the_reserve_is_free_beyond_it() {
        let disk = Disk::new(100);
        for (free, is_low) in [
            (100, false),
            (99, true),
            (124, true),
            (125, false),
            (100, false),
        ] {
            disk.found(space(free));
            assert_eq!(disk.is_low(), is_low, "{free}");
        }
        disk.ran_out();
        assert!(disk.is_low());
    }

    #[test]
    fn a_disk_that_does_not_tell_is_not_said_to_have_what_it_had() {
        let disk = Disk::new(100);
        let folder = tempfile::tempdir().unwrap();
        disk.look(folder.path()).unwrap();
        assert!(disk.room().space.is_some_and(|it| it.free > 0));
        assert!(disk.look(&folder.path().join("none")).is_err());
        assert_eq!(disk.room().space, None);
    }

    #[test]
    fn there_is_room_for_what_leaves_the_reserve() {
        let disk = Disk::new(100);
        disk.found(space(150));
        assert!(disk.has_room_for(50));
        assert!(!disk.has_room_for(51));
    }

    #[test]
    fn without_a_reserve_nothing_is_ever_low() {
        let disk = Disk::new(0);
        disk.found(space(0));
        disk.ran_out();
        assert!(!disk.is_low());
        assert_eq!(disk.claim(), 0);
        assert!(disk.has_room_for(1_000));
    }

    #[test]
    fn what_is_claimed_is_the_files_and_does_not_make_it_longer() {
        use std::os::unix::fs::MetadataExt as _;
        let file = tempfile::tempfile().unwrap();
        let disk = Disk::new(1 << 20);
        assert!(disk.claim_in(&file, 0, 1 << 16));
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), 0);
        assert!(metadata.blocks() * 512 >= 1 << 16);
    }

    #[test]
    fn each_error_says_what_to_do() {
        for (errno, word) in [
            (Errno::ENOSPC, "make room"),
            (Errno::EROFS, "read-only"),
            (Errno::EIO, "sound disk"),
            (Errno::EFBIG, "LimitFSIZE"),
            (Errno::EPERM, "put right"),
        ] {
            let error = io::Error::from_raw_os_error(errno as i32);
            let text = failed_call("fdatasync of", Path::new("/s/1.journal"), &error);
            assert!(text.contains(word), "{text}");
            assert!(
                text.starts_with("fdatasync of /s/1.journal failed: "),
                "{text}"
            );
        }
    }
}
