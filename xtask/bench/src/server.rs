//! The server under test: the real daemon, alone on its core.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use xtask::daemon::{Daemon, private_folder};
use xtask::project::{Profile, program, target, typed};
use xtask::signals::Interrupt;

use crate::configuration::configuration;
use crate::operator::Operator;
use crate::process::{cpu_time, pin_to, resident_kib};

/// How long the daemon may take until it answers; with a large store, too.
const START: Duration = Duration::from_mins(2);

/// How often to look whether it is ready.
const LOOK: Duration = Duration::from_millis(5);

/// The cores of the server and of everything else.
const SERVER_CORES: &[usize] = &[0];
const LOAD_CORES: &[usize] = &[1];

/// A running daemon. Dropping it ends it, and removes its files if they are only for now.
pub(crate) struct Server {
    // Fields are dropped in this order: the daemon ends before its files go.
    operator: Operator,
    daemon: Daemon,
    started_in: Duration,
    algorithm: &'static str,
    place: Place,
}

/// What the server has used and written so far.
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) journal_bytes: u64,
    pub(crate) resident_kib: u64,
}

impl Server {
    /// Starts the daemon on a core of its own, on the store of a place, which is made when there is none.
    pub(crate) fn start(
        place: Place,
        algorithm: &'static str,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        Self::start_on(SERVER_CORES, place, algorithm, interrupt)
    }

    fn start_on(
        cores: &[usize],
        place: Place,
        algorithm: &'static str,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        let socket = place.path().join("operator.sock");
        let config = place.path().join("agentidpd.toml");
        fs::write(&config, configuration(place.path(), &socket, algorithm)?)
            .with_context(|| format!("cannot write {}", config.display()))?;
        if !place.path().join("store").exists() {
            succeed(agentidpd().arg("init").arg("--config").arg(&config))?;
        }

        let mut run = agentidpd();
        run.arg("run").arg("--config").arg(&config);
        // The daemon inherits the cores it is started on, before it counts them.
        pin_to(cores)?;
        let start = Instant::now();
        let daemon = Daemon::start(&mut run, &place.path().join("stderr"));
        pin_to(LOAD_CORES)?;
        let mut daemon = daemon?;
        daemon.wait_for(&socket, START, interrupt)?;
        let operator = Operator::connect(&socket)?;
        while !operator.status()?.ready {
            ensure!(start.elapsed() < START, "the daemon does not become ready");
            ensure!(!interrupt.raised(), "interrupted");
            thread::sleep(LOOK);
        }
        Ok(Self {
            operator,
            daemon,
            started_in: start.elapsed(),
            algorithm,
            place,
        })
    }

    /// Starts a daemon on a new store that is only for now.
    pub(crate) fn new(
        name: &str,
        algorithm: &'static str,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        Self::start(Place::temporary(name)?, algorithm, interrupt)
    }

    /// Ends it and starts it again on the same store.
    pub(crate) fn restart(self, interrupt: &Interrupt) -> anyhow::Result<Self> {
        self.restart_on(SERVER_CORES, interrupt)
    }

    /// The same on both cores, which a start makes use of.
    pub(crate) fn restart_on_both_cores(self, interrupt: &Interrupt) -> anyhow::Result<Self> {
        self.restart_on(&[SERVER_CORES, LOAD_CORES].concat(), interrupt)
    }

    fn restart_on(self, cores: &[usize], interrupt: &Interrupt) -> anyhow::Result<Self> {
        let Self {
            operator,
            daemon,
            algorithm,
            place,
            ..
        } = self;
        drop(operator);
        daemon.stop()?;
        Self::start_on(cores, place, algorithm, interrupt)
    }

    /// The operators' interface.
    pub(crate) fn operator(&self) -> &Operator {
        &self.operator
    }

    /// How long it took from the start of the process until it was ready.
    pub(crate) fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The operators' socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.place.path().join("operator.sock")
    }

    /// What the daemon says of itself, over a connection of its own: the other has not been looked after
    /// while something else was measured.
    fn status(&self) -> anyhow::Result<agentidp_proto::v1::Status> {
        Operator::connect(&self.socket())?.status()
    }

    /// Where it listens for agents.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        let text = self.status()?.http_address;
        text.parse()
            .with_context(|| format!("not an address: {text}"))
    }

    /// What it has used and written so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let store = self.status()?.store;
        Ok(Usage {
            cpu: self.cpu()?,
            journal_bytes: store.context("no store in the status")?.journal_bytes,
            resident_kib: resident_kib(self.daemon.pid())?,
        })
    }

    /// The CPU time that it has used so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_time(self.daemon.pid())
    }

    /// Its resident memory now, in MiB.
    #[expect(
        clippy::cast_precision_loss,
        reason = "memory in KiB does not come near 2^52"
    )]
    pub(crate) fn resident_mib(&self) -> anyhow::Result<f64> {
        Ok(resident_kib(self.daemon.pid())? as f64 / 1024.0)
    }

    /// Ends it. Unlike dropping, this fails when the daemon ends badly.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        let Self {
            operator,
            daemon,
            place: _place,
            ..
        } = self;
        drop(operator);
        daemon.stop()
    }
}

/// Where a server has its files.
pub(crate) struct Place {
    folder: PathBuf,
    is_temporary: bool,
}

impl Place {
    /// A new folder that goes when this is dropped. Below the target folder and not in /tmp, which may
    /// be in memory: the journal has to meet a disk.
    pub(crate) fn temporary(name: &str) -> anyhow::Result<Self> {
        let folder = target()
            .join("bench")
            .join(format!("{}-{name}", process::id()));
        private_folder(&folder)?;
        Ok(Self {
            folder,
            is_temporary: true,
        })
    }

    /// A folder that stays.
    pub(crate) fn kept(folder: &Path) -> anyhow::Result<Self> {
        let folder = std::path::absolute(folder)
            .with_context(|| format!("not a path: {}", folder.display()))?;
        private_folder(&folder)?;
        Ok(Self {
            folder,
            is_temporary: false,
        })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_temporary {
            // What stays behind is in the target folder, which `cargo clean` empties.
            drop(fs::remove_dir_all(&self.folder));
        }
    }
}

/// The daemon, in the environment that its systemd unit gives it.
fn agentidpd() -> Command {
    let mut command = Command::new(program(Profile::Release, "agentidpd"));
    command.env("MALLOC_ARENA_MAX", "2");
    command
}

/// Runs a command to its end.
fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot run `{}`", typed(command)))?;
    ensure!(
        output.status.success(),
        "`{}` failed ({}):\n{}",
        typed(command),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
