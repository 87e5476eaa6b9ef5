//! A daemon started as a child: waited for, and ended with us whatever happens.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::signals::Interrupt;

/// How often to look whether something has happened yet.
pub const POLL: Duration = Duration::from_millis(20);

/// How long a daemon may take to end: its own bound is 10 s, and the rest is for a busy machine.
const STOP: Duration = Duration::from_secs(15);

/// A running `agentidpd`. Dropping it ends it.
pub struct Daemon {
    child: Child,
    stderr: PathBuf,
    /// Where this daemon's part of the file begins.
    stderr_from: u64,
}

impl Daemon {
    /// Starts the daemon with its stdout closed and its stderr appended to a file.
    ///
    /// It gets a process group of its own, so that Ctrl-C reaches only the one who started it and
    /// the order in which things end is decided there.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or the program cannot be run.
    pub fn start(command: &mut Command, stderr: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(stderr)
            .with_context(|| format!("cannot open {}", stderr.display()))?;
        let stderr_from = file.metadata()?.len();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {}", command.get_program().display()))?;
        Ok(Self {
            child,
            stderr: stderr.to_owned(),
            stderr_from,
        })
    }

    /// The daemon's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the socket accepts a connection.
    ///
    /// # Errors
    ///
    /// When the daemon ends, when we are told to end, or after `bound`; the first and the last with
    /// what the daemon had to say.
    pub fn wait_for(
        &mut self,
        socket: &Path,
        bound: Duration,
        interrupt: &Interrupt,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + bound;
        while !answers(socket) {
            if let Some(status) = self.child.try_wait()? {
                bail!("agentidpd ended early ({status}){}", self.complaint());
            }
            if interrupt.raised() {
                bail!("interrupted while agentidpd was starting");
            }
            if Instant::now() >= end {
                bail!(
                    "agentidpd does not answer on {} after {} s{}",
                    socket.display(),
                    bound.as_secs(),
                    self.complaint()
                );
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Ends the daemon and waits for it.
    ///
    /// # Errors
    ///
    /// When it does not end well, with what it had to say.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let status = end(&mut self.child)?;
        if !status.success() {
            bail!("agentidpd did not end well ({status}){}", self.complaint());
        }
        Ok(())
    }

    /// What this daemon wrote to stderr, ready to be appended to a message.
    fn complaint(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(&self.stderr)?;
            file.seek(SeekFrom::Start(self.stderr_from))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
        };
        match read() {
            Ok(text) if text.is_empty() => ", and wrote nothing to stderr".to_owned(),
            Ok(text) => format!(", and wrote to stderr:\n{text}"),
            Err(error) => format!(", and {} cannot be read: {error}", self.stderr.display()),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Errors have nowhere to go from here, and `stop` has reported them where it matters.
        drop(end(&mut self.child));
    }
}

/// Whether someone accepts connections on the socket.
#[must_use]
pub fn answers(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

/// Asks a child to end, insists after a while, and waits for it.
///
/// # Errors
///
/// When the system refuses.
pub fn end(child: &mut Child) -> anyhow::Result<ExitStatus> {
    if let Some(status) = child.try_wait()? {
        return Ok(status);
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).context("not a process id")?);
    // Not yet waited for, so the id is still the child's, even when it has just ended.
    kill(pid, Signal::SIGTERM).context("cannot signal a child")?;
    let patience = Instant::now() + STOP;
    while Instant::now() < patience {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(POLL);
    }
    child.kill()?;
    Ok(child.wait()?)
}

/// Makes a folder that only its owner may enter, unless it is there.
///
/// # Errors
///
/// When it cannot be made.
pub fn private_folder(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the folder {}", path.display()))
}
