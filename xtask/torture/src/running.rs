//! A daemon that runs, until it is killed.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use xtask::project::typed;

use crate::operator::Operator;
use crate::site::Site;

/// How long the daemon may take to be ready: what it has to read is little.
const START: Duration = Duration::from_mins(1);
/// How long it may take to end when it is asked to.
const STOP: Duration = Duration::from_secs(30);
/// How often to look.
const LOOK: Duration = Duration::from_millis(10);

/// A process with the daemon in it. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    socket: PathBuf,
    stderr: PathBuf,
    /// Where what this daemon wrote begins.
    stderr_from: usize,
    started: Instant,
    ready_after: Option<Duration>,
    address: Option<SocketAddr>,
    /// Whether nothing is left of it: its number may be another's by then.
    is_over: bool,
}

impl Running {
    pub(crate) fn spawn(command: &mut Command, stderr: File, site: &Site) -> anyhow::Result<Self> {
        let stderr_from = usize::try_from(stderr.metadata()?.len())?;
        let child = command
            .stdout(Stdio::null())
            .stderr(stderr)
            // Ctrl-C is ours; and those whom the command starts end with it.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run `{}`", typed(command)))?;
        Ok(Self {
            child,
            socket: site.socket(),
            stderr: site.stderr(),
            stderr_from,
            started: Instant::now(),
            ready_after: None,
            address: None,
            is_over: false,
        })
    }

    /// Waits until the daemon says that it is ready.
    ///
    /// # Errors
    ///
    /// When it ends before, or takes too long; with what it had to say.
    pub(crate) async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("agentidpd ended early ({status}){}", self.said());
            }
            ensure!(
                self.started.elapsed() < START,
                "agentidpd is not ready after {} s{}",
                START.as_secs(),
                self.said()
            );
            if let Ok(operator) = Operator::connect(&self.socket).await
                && let Ok(status) = operator.status().await
                && status.ready
            {
                self.ready_after = Some(self.started.elapsed());
                self.address = Some(status.http_address.parse()?);
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How long it took until it was ready.
    pub(crate) fn ready_after(&self) -> Duration {
        self.ready_after.unwrap_or_default()
    }

    /// Where it serves agents.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        self.address.context("the daemon is not ready")
    }

    /// A connection to its operators' socket.
    pub(crate) async fn operator(&self) -> anyhow::Result<Operator> {
        Operator::connect(&self.socket).await
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// The process id of what was started.
    fn pid(&self) -> anyhow::Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }

    /// Kills it, and everything that it started, and waits until nothing of it is left.
    pub(crate) fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        if self.is_over {
            return Ok(self.child.wait()?);
        }
        let group = self.pid()?;
        if self.child.try_wait()?.is_none() {
            killpg(group, Signal::SIGKILL)?;
        }
        let status = self.child.wait()?;
        // A tracer may be gone before the traced is, who is then not our child.
        let end = Instant::now() + STOP;
        while killpg(group, Signal::SIGKILL).is_ok() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.is_over = true;
        Ok(status)
    }

    /// Ends it as the service manager would, and says how it ended.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        // A tracer lets it pass.
        killpg(self.pid()?, Signal::SIGTERM)?;
        self.wait(STOP)
            .await?
            .with_context(|| format!("agentidpd does not end when it is asked to{}", self.said()))
    }

    /// Waits for its end; `None` when it does not come in time.
    pub(crate) async fn wait(&mut self, patience: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let end = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() > end {
                return Ok(None);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What it wrote to standard error, ready to be appended to a message.
    pub(crate) fn said(&self) -> String {
        let text = self.stderr_text();
        match text.trim_end() {
            "" => ", and wrote nothing to standard error".to_owned(),
            text => format!(", and wrote to standard error:\n{text}"),
        }
    }

    /// What it wrote to standard error.
    pub(crate) fn stderr_text(&self) -> String {
        let bytes = fs::read(&self.stderr).unwrap_or_default();
        let own = bytes.get(self.stderr_from..).unwrap_or_default();
        String::from_utf8_lossy(own).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Errors have nowhere to go from here.
        drop(self.kill());
    }
}

/// Whether a process ended because it was killed.
pub(crate) fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9) || status.code() == Some(128 + 9)
}
