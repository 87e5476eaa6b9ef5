//! What a daemon under torture runs on: a folder with its configuration, its key and its store.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use xtask::daemon::private_folder;
use xtask::project::{Profile, program, target, typed};

use crate::running::Running;

/// A folder with everything that a daemon needs. It stays when something was lost, and goes otherwise.
pub(crate) struct Site {
    folder: PathBuf,
    /// The folder that the store is in, which may be a file system of its own.
    disk: PathBuf,
    profile: Profile,
}

impl Site {
    /// A new folder below the target folder, and not in /tmp, which may be in memory: the store has to
    /// meet a disk.
    pub(crate) fn new(name: &str, profile: Profile) -> anyhow::Result<Self> {
        let folder = target()
            .join("torture")
            .join(format!("{name}-{}", std::process::id()));
        Self::at(folder, profile)
    }

    /// An empty folder at a place, whatever was there before.
    pub(crate) fn at(folder: PathBuf, profile: Profile) -> anyhow::Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        private_folder(&folder)?;
        let disk = folder.join("disk");
        DirBuilder::new().mode(0o700).create(&disk)?;
        let site = Self {
            folder,
            disk,
            profile,
        };
        fs::write(site.configuration_file(), site.configuration()?)?;
        Ok(site)
    }

    /// A copy of it, with all that is on its disk, at another place.
    pub(crate) fn copy_to(&self, folder: PathBuf) -> anyhow::Result<Self> {
        let copy = Self::at(folder, self.profile)?;
        fs::copy(self.key(), copy.key())?;
        copy.take_disk_from(&self.disk)?;
        Ok(copy)
    }

    /// Makes the disk what another folder is.
    pub(crate) fn take_disk_from(&self, other: &Path) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.disk)?;
        let mut command = Command::new("cp");
        command.arg("-a").arg(other).arg(&self.disk);
        succeed(&mut command).map(drop)
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder that the store and its head file are in.
    pub(crate) fn disk(&self) -> &Path {
        &self.disk
    }

    /// The operators' socket.
    pub(crate) fn socket(&self) -> PathBuf {
        // Not in the folder: the name of a socket may have no more than 107 bytes.
        let name = self.folder.to_string_lossy();
        let number = name.bytes().fold(0_u64, |hash, byte| {
            hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte)
        });
        std::env::temp_dir().join(format!("agentidp-torture-{number:016x}/operator.sock"))
    }

    /// What the daemon writes to standard error.
    pub(crate) fn stderr(&self) -> PathBuf {
        self.folder.join("stderr")
    }

    /// Removes the key-encryption key, so that a new store gets one of its own.
    pub(crate) fn remove_key(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.key())?)
    }

    fn key(&self) -> PathBuf {
        self.folder.join("key-encryption-key")
    }

    fn configuration_file(&self) -> PathBuf {
        self.folder.join("agentidpd.toml")
    }

    fn configuration(&self) -> anyhow::Result<String> {
        let path = |path: &Path| Value::from(path.to_string_lossy()).to_string();
        let user = nix::unistd::geteuid();
        let mut text = String::new();
        writeln!(text, "issuer = \"http://127.0.0.1:8420\"")?;
        writeln!(text, "[http]\nlisten = \"127.0.0.1:0\"")?;
        writeln!(text, "[operator]\nsocket = {}", path(&self.socket()))?;
        writeln!(
            text,
            "[[operator.roles]]\nrole = \"admin\"\nusers = [\"{user}\"]"
        )?;
        writeln!(text, "[organizations]\ndefault_tier = \"unlimited\"")?;
        writeln!(text, "[store]\npath = {}", path(&self.disk.join("store")))?;
        writeln!(text, "head_file = {}", path(&self.disk.join("head")))?;
        writeln!(text, "[keys]\nalgorithm = \"EdDSA\"")?;
        writeln!(text, "key_encryption_key_file = {}", path(&self.key()))?;
        // What is revoked must be seen to be, and not to have expired.
        writeln!(text, "[tokens]\nlifetime = \"24h\"")?;
        writeln!(text, "[metrics]\nlisten = \"off\"")?;
        for kind in ["token", "write", "read"] {
            writeln!(text, "[limits.{kind}]")?;
            for whose in ["per_address", "per_agent", "per_organization"] {
                writeln!(text, "{whose} = \"1000000/s\"")?;
            }
        }
        writeln!(text, "[log]\nlevel = \"info\"")?;
        Ok(text)
    }

    /// The daemon's program with these words and the configuration.
    pub(crate) fn agentidpd(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program(self.profile, "agentidpd"));
        command
            .args(words)
            .arg("--config")
            .arg(self.configuration_file())
            .stdin(Stdio::null());
        command
    }

    /// Makes the store.
    pub(crate) fn init(&self) -> anyhow::Result<()> {
        succeed(&mut self.agentidpd(&["init"])).map(drop)
    }

    /// Starts the daemon by a command of [`Self::agentidpd`], or one that comes to it by another way.
    pub(crate) fn spawn(&self, command: &mut Command) -> anyhow::Result<Running> {
        if let Some(runtime) = self.socket().parent() {
            private_folder(runtime)?;
        }
        let stderr = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(self.stderr())?;
        Running::spawn(command, stderr, self)
    }

    /// Starts the daemon and waits until it is ready.
    pub(crate) async fn start(&self) -> anyhow::Result<Running> {
        let mut running = self.spawn(&mut self.agentidpd(&["run"]))?;
        running.wait_until_ready().await?;
        Ok(running)
    }

    /// What the programs have to say against the store, which nobody has open. To what is asked here
    /// belongs everything that can be asked without a daemon.
    pub(crate) fn complaints(&self) -> anyhow::Result<Option<String>> {
        let mut command = self.agentidpd(&["store", "check"]);
        let output = command
            .output()
            .with_context(|| format!("cannot run `{}`", typed(&command)))?;
        Ok((!output.status.success()).then(|| {
            format!(
                "`agentidpd store check` failed ({}):\n{}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )
        }))
    }

    /// Removes everything.
    pub(crate) fn remove(self) -> anyhow::Result<()> {
        if let Some(runtime) = self.socket().parent()
            && runtime.exists()
        {
            fs::remove_dir_all(runtime)?;
        }
        fs::remove_dir_all(&self.folder)
            .with_context(|| format!("cannot remove {}", self.folder.display()))
    }
}

/// Runs a command to its end, which has to be a good one.
pub(crate) fn succeed(command: &mut Command) -> anyhow::Result<Output> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run `{}`", typed(command)))?;
    ensure!(
        output.status.success(),
        "`{}` failed ({}):\n{}",
        typed(command),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}
