//! A disk whose power can be cut: an ext4 in a file, mounted on a folder.
//!
//! Shutting ext4 down without a flush of its journal (`EXT4_IOC_SHUTDOWN` with
//! `EXT4_GOING_FLAGS_NOLOGFLUSH`) keeps what has reached the block device and drops the rest: data in the
//! page cache, and every change of names and sizes since the last commit of the journal. How much that is
//! depends on the mount options, so each mount draws some. Under `data=ordered` names and sizes come with the
//! data that they belong to, under `data=writeback` they may come without; `noauto_da_alloc` takes away the
//! flush that ext4 makes of its own accord when a file is renamed over another; a long `commit` keeps names
//! away from the disk for longer than a cycle lasts.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use nix::unistd::geteuid;
use xtask::daemon::private_folder;
use xtask::project::target;

use crate::random::Random;
use crate::site::succeed;

/// How large the file system is; the file behind it has holes.
const SIZE: u64 = 2 << 30;

const OPTIONS: [&str; 6] = [
    "data=ordered,commit=1",
    "data=ordered,commit=300",
    "data=ordered,commit=300,noauto_da_alloc",
    "data=ordered,commit=5,nodelalloc",
    "data=writeback,commit=300,noauto_da_alloc",
    "data=writeback,commit=1,noauto_da_alloc",
];

/// The ioctl by Python, because it takes an unsafe block in Rust; as soon as a line comes.
const SHUT_DOWN: &str = "import fcntl, os, struct, sys
folder = os.open(sys.argv[1], os.O_RDONLY)
sys.stdout.write('ready\\n')
sys.stdout.flush()
sys.stdin.readline()
fcntl.ioctl(folder, 0x8004587d, struct.pack('I', 2))";

/// Finds out whether this machine can do it.
///
/// # Errors
///
/// Why it cannot.
pub(crate) fn try_out() -> anyhow::Result<()> {
    let folder = target().join(format!("torture/try-{}", std::process::id()));
    private_folder(&folder.join("disk"))?;
    let tried = || -> anyhow::Result<()> {
        let mut disk = Disk::make(folder.join("disk.ext4"), &folder.join("disk"))?;
        disk.knife()?.cut()?;
        disk.unmount()
    };
    let outcome = tried();
    fs::remove_dir_all(&folder)?;
    outcome
}

/// An ext4 in a file. It is unmounted when this is dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    image: PathBuf,
    folder: PathBuf,
    is_mounted: bool,
}

impl Disk {
    /// Makes one, and mounts it on a folder.
    pub(crate) fn make(image: PathBuf, folder: &Path) -> anyhow::Result<Self> {
        ensure!(geteuid().is_root(), "mounting a file system takes root");
        fs::File::create(&image)?.set_len(SIZE)?;
        // Without `lazy_itable_init` the kernel would write to it in the background.
        let mut command = Command::new("mkfs.ext4");
        command
            .args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"])
            .args(["-J", "size=16", "-N", "4096"])
            .arg(&image);
        succeed(&mut command)?;
        let mut disk = Self {
            image,
            folder: folder.to_owned(),
            is_mounted: false,
        };
        disk.mount("defaults")?;
        Ok(disk)
    }

    /// The file that it is in.
    pub(crate) fn image(&self) -> &Path {
        &self.image
    }

    /// Mounts it, with options drawn by chance, and names these.
    pub(crate) fn mount_anyhow(&mut self, random: &mut Random) -> anyhow::Result<&'static str> {
        let options = random.one_of(&OPTIONS).copied().unwrap_or("defaults");
        self.mount(options)?;
        Ok(options)
    }

    fn mount(&mut self, options: &str) -> anyhow::Result<()> {
        let mut command = Command::new("mount");
        command
            .args(["-t", "ext4", "-o"])
            .arg(format!("loop,{options}"))
            .arg(&self.image)
            .arg(&self.folder);
        succeed(&mut command).context("this machine does not mount a file system from a file")?;
        self.is_mounted = true;
        Ok(())
    }

    /// Makes ready to cut the power, so that it takes no time when it is to happen.
    pub(crate) fn knife(&self) -> anyhow::Result<Knife> {
        let mut child = Command::new("python3")
            .args(["-c", SHUT_DOWN])
            .arg(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run python3")?;
        let mut ready = String::new();
        let stdout = child.stdout.take().context("no standard output")?;
        BufReader::new(stdout).read_line(&mut ready)?;
        ensure!(!ready.is_empty(), "python3 ended early: {}", child.wait()?);
        Ok(Knife(child))
    }

    /// Takes it away; nobody may have anything on it open.
    pub(crate) fn unmount(&mut self) -> anyhow::Result<()> {
        succeed(Command::new("umount").arg(&self.folder))?;
        self.is_mounted = false;
        Ok(())
    }
}

/// What the power is cut with.
#[derive(Debug)]
pub(crate) struct Knife(Child);

impl Knife {
    /// Cuts the power: from here on every access fails, and nothing more reaches the disk.
    pub(crate) fn cut(mut self) -> anyhow::Result<()> {
        let mut stdin = self.0.stdin.take().context("no standard input")?;
        stdin.write_all(b"\n")?;
        let status = self.0.wait()?;
        ensure!(
            status.success(),
            "the kernel does not shut a file system down: {status}"
        );
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted {
            // Errors have nowhere to go from here.
            drop(self.unmount());
        }
    }
}
