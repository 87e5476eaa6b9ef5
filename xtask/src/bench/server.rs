//! The server under test: the real daemon on a new store, with one agent that has a secret.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::process::{cpu_time, pin_to, resident_kib};
use crate::daemon::{Daemon, private_folder};
use crate::project::{Profile, program, target, typed};
use crate::signals::Interrupt;

/// How long the daemon may take until it answers.
const START: Duration = Duration::from_secs(30);

/// The cores of the server and of everything else.
const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;

/// A running daemon. Dropping it ends it and removes its files.
pub(super) struct Server {
    // Fields are dropped in this order: the daemon ends before its files go.
    daemon: Daemon,
    socket: PathBuf,
    _folder: Folder,
}

/// What the server has used and written so far.
pub(super) struct Usage {
    pub(super) cpu: Duration,
    pub(super) journal_bytes: u64,
    pub(super) resident_kib: u64,
}

impl Server {
    /// Makes a store and starts the daemon on it.
    pub(super) fn start(algorithm: &str, interrupt: &Interrupt) -> anyhow::Result<Self> {
        let folder = Folder::new(algorithm)?;
        let socket = folder.0.join("operator.sock");
        let config = folder.0.join("agentidpd.toml");
        fs::write(&config, configuration(&folder.0, &socket, algorithm)?)?;
        output(agentidpd().arg("init").arg("--config").arg(&config))?;

        let mut run = agentidpd();
        run.arg("run").arg("--config").arg(&config);
        // The daemon inherits the core it is started on, before it counts its cores.
        pin_to(SERVER_CORE)?;
        let daemon = Daemon::start(&mut run, &folder.0.join("stderr"));
        pin_to(LOAD_CORE)?;
        let mut daemon = daemon?;
        daemon.wait_for(&socket, START, interrupt)?;
        Ok(Self {
            daemon,
            socket,
            _folder: folder,
        })
    }

    /// Registers an agent and returns the credentials of its Basic authentication.
    pub(super) fn agent(&self) -> anyhow::Result<String> {
        self.operate(&["org", "create", "bench"])?;
        let agent = self.operate(&[
            "agent",
            "register",
            "--org",
            "bench",
            "--email",
            "load@bench.example",
            "--type",
            "custom",
            "--version",
            "1.0.0",
            "--capability",
            "tokens:use",
            "--owner",
            "bench",
            "--env",
            "production",
        ])?;
        let issued = self.operate(&["credential", "issue", text(&agent, "/id")?])?;
        let id = text(&issued, "/client_id")?;
        let secret = text(&issued, "/client_secret")?;
        // Neither holds a character that RFC 6749, section 2.3.1, would have encoded.
        Ok(STANDARD.encode(format!("{id}:{secret}")))
    }

    /// Where it listens for agents.
    pub(super) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(text(&self.operate(&["status"])?, "/http_address")?.parse()?)
    }

    /// What it has used and written so far.
    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        let pid = self.daemon.pid();
        let status = self.operate(&["status"])?;
        let journal_bytes = status
            .pointer("/store/journal_bytes")
            .and_then(Value::as_u64);
        Ok(Usage {
            cpu: cpu_time(pid)?,
            journal_bytes: journal_bytes.context("no store.journal_bytes in the status")?,
            resident_kib: resident_kib(pid)?,
        })
    }

    /// Ends it. Unlike dropping, this fails when the daemon ends badly.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        let Self {
            daemon, _folder, ..
        } = self;
        daemon.stop()
    }

    /// Runs the command line and reads its JSON.
    fn operate(&self, words: &[&str]) -> anyhow::Result<Value> {
        let mut command = Command::new(program(Profile::Release, "agentidp"));
        command
            .arg("--socket")
            .arg(&self.socket)
            .args(words)
            .args(["-o", "json"]);
        let bytes = output(&mut command)?;
        serde_json::from_slice(&bytes)
            .with_context(|| format!("`{}` printed no JSON", typed(&command)))
    }
}

/// A folder that goes when this is dropped. Below the target folder and not in /tmp, which may be in
/// memory: the journal has to meet a disk.
struct Folder(PathBuf);

impl Folder {
    fn new(algorithm: &str) -> anyhow::Result<Self> {
        let path = target()
            .join("bench")
            .join(format!("{}-{algorithm}", process::id()));
        private_folder(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is in the target folder, which `cargo clean` empties.
        drop(fs::remove_dir_all(&self.0));
    }
}

fn agentidpd() -> Command {
    Command::new(program(Profile::Release, "agentidpd"))
}

/// The configuration: everything as a server in production has it, but for the places.
fn configuration(folder: &Path, socket: &Path, algorithm: &str) -> anyhow::Result<String> {
    let path = |path: &Path| Value::from(path.to_string_lossy()).to_string();
    let user = nix::unistd::geteuid();
    let mut text = String::new();
    writeln!(text, "issuer = \"http://127.0.0.1:8420\"")?;
    writeln!(text, "[http]\nlisten = \"127.0.0.1:0\"")?;
    writeln!(text, "[operator]\nsocket = {}", path(socket))?;
    writeln!(
        text,
        "[[operator.roles]]\nrole = \"admin\"\nusers = [\"{user}\"]"
    )?;
    writeln!(text, "[store]\npath = {}", path(&folder.join("store")))?;
    writeln!(text, "[keys]\nalgorithm = \"{algorithm}\"")?;
    let key = folder.join("key-encryption-key");
    writeln!(text, "key_encryption_key_file = {}", path(&key))?;
    writeln!(text, "[metrics]\nlisten = \"127.0.0.1:0\"")?;
    // Counted like everywhere, and never refused: one agent stands for all of them here.
    for kind in ["token", "write", "read"] {
        writeln!(text, "[limits.{kind}]")?;
        for whose in ["per_address", "per_agent", "per_organization"] {
            writeln!(text, "{whose} = \"1000000/s\"")?;
        }
    }
    writeln!(text, "[log]\nlevel = \"info\"")?;
    Ok(text)
}

/// Runs a command to its end and returns what it printed.
fn output(command: &mut Command) -> anyhow::Result<Vec<u8>> {
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
    Ok(output.stdout)
}

fn text<'a>(json: &'a Value, pointer: &str) -> anyhow::Result<&'a str> {
    let found = json.pointer(pointer).and_then(Value::as_str);
    found.with_context(|| format!("no text at {pointer} in {json}"))
}
