//! `agentidpd` and what it runs on.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::binaries::agentidpd;
use crate::cli::Cli;
use crate::client::Client;
use crate::config::Config;
use crate::http::Http;
use crate::process::{Finished, Process};

/// How long the daemon may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A folder with a configuration file and, once made, a store.
#[derive(Debug)]
pub struct Installation {
    directory: TempDir,
    /// What the configuration file will say at the next command.
    pub config: Config,
    /// Environment variables of the daemon.
    pub environment: Vec<(String, String)>,
    /// The words that the daemon is started by way of, such as those of `setpriv`.
    pub by_way_of: Vec<String>,
}

impl Default for Installation {
    fn default() -> Self {
        Self::new()
    }
}

impl Installation {
    /// An empty installation: a configuration and no store.
    #[must_use]
    pub fn new() -> Self {
        let directory = new_directory();
        let config = Config::new(directory.path());
        // The service manager makes it for a daemon in production.
        let runtime = config.socket.parent().expect("the socket is in a folder");
        DirBuilder::new()
            .mode(0o750)
            .create(runtime)
            .expect("a folder for the socket");
        Self {
            directory,
            config,
            environment: Vec::new(),
            by_way_of: Vec::new(),
        }
    }

    /// An installation with a store.
    #[must_use]
    pub fn initialized() -> Self {
        let it = Self::new();
        it.init();
        it
    }

    /// Makes the store.
    pub fn init(&self) {
        let finished = self.run("init");
        assert_eq!(
            finished.code(),
            Some(0),
            "{}\n{}",
            finished.command,
            finished.stderr
        );
    }

    /// The folder that holds everything.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.directory().join("agentidp.toml")
    }

    /// A daemon's command, such as `store check`, on this configuration.
    #[must_use]
    pub fn command(&self, subcommand: &str) -> Command {
        std::fs::write(self.config_file(), self.config.to_string())
            .expect("the configuration can be written");
        self.command_with(subcommand, &self.config_file())
    }

    /// A daemon's command on another configuration file.
    #[must_use]
    pub fn command_with(&self, subcommand: &str, config: &Path) -> Command {
        let program = agentidpd();
        let program = program.to_str().expect("paths of tests are text");
        let mut words = self.by_way_of.iter().map(String::as_str).chain([program]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command
            .args(words)
            .args(subcommand.split(' '))
            .arg("--config")
            .arg(config);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a daemon's command to its end.
    #[must_use]
    pub fn run(&self, subcommand: &str) -> Finished {
        Process::spawn(self.command(subcommand)).wait()
    }

    /// Runs `store check` and fails the test when it finds anything.
    pub fn check_store(&self) {
        let finished = self.run("store check");
        assert_eq!(
            finished.code(),
            Some(0),
            "{}\n{}{}",
            finished.command,
            finished.stdout,
            finished.stderr
        );
    }

    /// Starts the daemon and does not wait for it to be ready.
    #[must_use]
    pub fn spawn(&self) -> Process {
        Process::spawn_service(self.command("run"), &self.directory().join("notify.sock"))
    }

    /// Starts the daemon and waits until it is ready.
    #[must_use]
    pub fn start(mut self) -> TestDaemon {
        loop {
            let process = self.spawn();
            if process.wait_until_ready_or_ended() {
                return TestDaemon {
                    process,
                    installation: self,
                };
            }
            // Another process may have taken the port since it was chosen.
            assert!(
                !self.config.is_free(),
                "the daemon ended at its start\n{}",
                process.report()
            );
            self.config.choose_another_address();
        }
    }

    /// Starts the daemon and expects that it refuses: the exit code is not 0, and standard error has
    /// one line, which is returned.
    #[must_use]
    pub fn refusal(&self) -> String {
        one_line_of_refusal(&Process::spawn(self.command("run")).wait())
    }
}

/// The one line with which a process that refused explains itself.
#[must_use]
pub fn one_line_of_refusal(finished: &Finished) -> String {
    let Finished {
        stdout,
        stderr,
        command,
        ..
    } = finished;
    assert!(
        finished.code().is_some_and(|code| code != 0),
        "{command}: {:?}\n{stderr}",
        finished.status
    );
    assert_eq!(stdout, "", "{command}");
    assert_eq!(
        stderr.lines().count(),
        1,
        "{command}: not one line:\n{stderr}"
    );
    stderr.trim_end().to_owned()
}

/// A running daemon, killed when dropped.
#[derive(Debug)]
pub struct TestDaemon {
    /// Its process.
    pub process: Process,
    /// What it runs on.
    pub installation: Installation,
}

impl TestDaemon {
    /// Makes an installation and starts a daemon on it.
    #[must_use]
    pub fn start() -> Self {
        Installation::initialized().start()
    }

    /// The command line for it.
    #[must_use]
    pub fn cli(&self) -> Cli {
        Cli::new(&self.installation.config.socket)
    }

    /// The way to its agents' interface.
    #[must_use]
    pub fn http(&self) -> Http {
        Http {
            address: self.installation.config.listen,
        }
    }

    /// The way to its metrics.
    #[must_use]
    pub fn metrics(&self) -> Http {
        Http {
            address: self.installation.config.metrics.expect("metrics"),
        }
    }

    /// Creates an organization.
    pub fn organization(&self, name: &str) -> Value {
        self.cli().json(&["org", "create", name, "-o", "json"])
    }

    /// Registers an agent.
    pub fn register(&self, registration: &Registration) -> Value {
        self.cli().json(&registration.arguments())
    }

    /// Registers an agent and issues a credential for it.
    #[must_use]
    pub fn enrol(&self, registration: &Registration) -> Client {
        self.register(registration);
        self.issue(&registration.email, &[])
    }

    /// Issues a credential.
    #[must_use]
    pub fn issue(&self, agent: &str, options: &[&str]) -> Client {
        let mut arguments = vec!["credential", "issue", agent, "-o", "json"];
        arguments.extend(options);
        self.client(&self.cli().json(&arguments))
    }

    /// Gives an agent a credential that is a public key; gives the answer.
    pub fn issue_public_key(&self, agent: &str, jwk: &Value) -> Value {
        let path = self.installation.directory().join("agent.jwk");
        std::fs::write(&path, jwk.to_string()).expect("the key can be written");
        let path = path.to_str().expect("paths of tests are text");
        self.cli().json(&[
            "credential",
            "issue",
            agent,
            "--public-key",
            path,
            "-o",
            "json",
        ])
    }

    /// Replaces a credential.
    #[must_use]
    pub fn rotate(&self, credential: &str, options: &[&str]) -> Client {
        let mut arguments = vec!["credential", "rotate", credential, "-o", "json"];
        arguments.extend(options);
        self.client(&self.cli().json(&arguments))
    }

    fn client(&self, issued: &Value) -> Client {
        let text = |name| {
            issued
                .pointer(name)
                .and_then(Value::as_str)
                .unwrap_or_else(|| panic!("no {name}: {issued}"))
        };
        Client {
            http: self.http(),
            id: text("/client_id").to_owned(),
            secret: text("/client_secret").to_owned(),
            credential: text("/credential/id").to_owned(),
        }
    }

    /// Does something with a reason to an agent: `suspend`, `resume`, `revoke`, `decommission`.
    pub fn change(&self, verb: &str, agent: &str) -> Value {
        self.cli().json(&[
            "agent",
            verb,
            agent,
            "--reason",
            "the test says so",
            "--yes",
            "-o",
            "json",
        ])
    }

    /// Ends it with SIGKILL.
    #[must_use]
    pub fn kill(mut self) -> Installation {
        self.process.kill();
        self.installation
    }

    /// Ends it with SIGTERM, within the time that it has for it.
    #[must_use]
    pub fn stop(self) -> (Installation, Finished) {
        self.process.signal(Signal::SIGTERM);
        let finished = self.process.wait_within(STOP_LIMIT);
        assert_eq!(
            finished.code(),
            Some(0),
            "{}\n{}",
            finished.command,
            finished.stderr
        );
        (self.installation, finished)
    }
}

/// What an agent is registered with.
#[derive(Debug, Clone)]
pub struct Registration {
    email: String,
    organization: String,
    capabilities: Vec<String>,
    audiences: Vec<String>,
}

impl Registration {
    /// An agent of organization `acme` that may read and write résumés.
    #[must_use]
    pub fn new(email: &str) -> Self {
        Self {
            email: email.to_owned(),
            organization: "acme".to_owned(),
            capabilities: vec!["resume:read".to_owned(), "resume:write".to_owned()],
            audiences: Vec::new(),
        }
    }

    /// In this organization.
    #[must_use]
    pub fn of(mut self, organization: &str) -> Self {
        organization.clone_into(&mut self.organization);
        self
    }

    /// With one capability more.
    #[must_use]
    pub fn capability(mut self, capability: &str) -> Self {
        self.capabilities.push(capability.to_owned());
        self
    }

    /// With one audience more.
    #[must_use]
    pub fn audience(mut self, audience: &str) -> Self {
        self.audiences.push(audience.to_owned());
        self
    }

    /// The command line that registers it.
    #[must_use]
    pub fn arguments(&self) -> Vec<&str> {
        let mut arguments = vec![
            "agent",
            "register",
            "--org",
            &self.organization,
            "--email",
            &self.email,
        ];
        arguments.extend([
            "--type",
            "screener",
            "--version",
            "1.0.0",
            "--owner",
            "team-a",
        ]);
        arguments.extend(["--env", "production", "-o", "json"]);
        arguments.extend(self.capabilities.iter().flat_map(|it| ["--capability", it]));
        arguments.extend(self.audiences.iter().flat_map(|it| ["--audience", it]));
        arguments
    }
}

/// `agentidpd dev` in a folder of its own.
#[derive(Debug)]
pub struct DevDaemon {
    /// Its process.
    pub process: Process,
    directory: TempDir,
}

impl DevDaemon {
    /// Starts it in an empty folder.
    #[must_use]
    pub fn start() -> Self {
        Self::start_in(new_directory())
    }

    fn start_in(directory: TempDir) -> Self {
        let mut command = Command::new(agentidpd());
        command
            .args(["dev", "--listen", "127.0.0.1:0"])
            .current_dir(directory.path());
        let process = Process::spawn_service(command, &directory.path().join("notify.sock"));
        process.wait_for_notification("READY=1");
        Self { process, directory }
    }

    /// The folder that it was started in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its operators' socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory().join(".agentidp/operator.sock")
    }

    /// The command line for it.
    #[must_use]
    pub fn cli(&self) -> Cli {
        Cli::new(&self.socket())
    }

    /// The way to its agents' interface, whose port it chose itself.
    #[must_use]
    pub fn http(&self) -> Http {
        let status = self.cli().json(&["status", "-o", "json"]);
        let address = status
            .get("http_address")
            .and_then(Value::as_str)
            .expect("an address");
        Http {
            address: address.parse().expect("host:port"),
        }
    }

    /// Ends it with SIGKILL.
    #[must_use]
    pub fn kill(mut self) -> StoppedDev {
        self.process.kill();
        StoppedDev(self.directory)
    }

    /// Ends it with SIGTERM.
    #[must_use]
    pub fn stop(self) -> StoppedDev {
        self.process.signal(Signal::SIGTERM);
        let finished = self.process.wait_within(STOP_LIMIT);
        assert_eq!(
            finished.code(),
            Some(0),
            "{}\n{}",
            finished.command,
            finished.stderr
        );
        StoppedDev(self.directory)
    }
}

/// The folder of an `agentidpd dev` that has ended.
#[derive(Debug)]
pub struct StoppedDev(TempDir);

impl StoppedDev {
    /// Starts it again in the same folder.
    #[must_use]
    pub fn start(self) -> DevDaemon {
        DevDaemon::start_in(self.0)
    }
}

/// A folder for one test, removed at its end unless `KEEP_TEST_FILES` is set.
fn new_directory() -> TempDir {
    tempfile::Builder::new()
        .prefix("agentidp-test-")
        .disable_cleanup(std::env::var_os("KEEP_TEST_FILES").is_some())
        .tempdir()
        .expect("a folder for the test")
}
