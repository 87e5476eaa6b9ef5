//! `agentidp` as a command.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::binaries::agentidp;
use crate::process::{Finished, Process};

/// The command line, pointed at one daemon.
#[derive(Debug, Clone)]
pub struct Cli {
    socket: PathBuf,
    before: Vec<String>,
    program: PathBuf,
}

impl Cli {
    /// The command line for the daemon that listens on `socket`.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            before: Vec::new(),
            program: agentidp(),
        }
    }

    /// The same, started by way of another command such as `setpriv`.
    #[must_use]
    pub fn by_way_of(mut self, before: &[&str]) -> Self {
        self.before = before.iter().map(ToString::to_string).collect();
        self
    }

    /// The same with another copy of the binary.
    #[must_use]
    pub fn with_program(mut self, program: &Path) -> Self {
        program.clone_into(&mut self.program);
        self
    }

    /// Runs it and waits for its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        Output(self.spawn(arguments).wait())
    }

    /// Runs it, expects success and JSON.
    #[must_use]
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.run(arguments).ok().json()
    }

    /// Runs it, expects success and one JSON value a line.
    #[must_use]
    pub fn ndjson(&self, arguments: &[&str]) -> Vec<Value> {
        self.run(arguments).ok().ndjson()
    }

    /// Starts it, for what does not end by itself.
    #[must_use]
    pub fn spawn(&self, arguments: &[&str]) -> Process {
        let mut words = self
            .before
            .iter()
            .map(String::as_str)
            .chain([path_text(&self.program)]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command
            .args(words)
            .args(arguments)
            .env("AGENTIDP_SOCKET", &self.socket)
            // What it remembers is the test's own.
            .env("XDG_STATE_HOME", self.socket.with_file_name("state"));
        Process::spawn(command)
    }
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

/// What a command ended with.
#[derive(Debug)]
pub struct Output(pub Finished);

impl Output {
    /// The exit code.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.0.code()
    }

    /// What stands on standard output.
    #[must_use]
    pub fn stdout(&self) -> &str {
        &self.0.stdout
    }

    /// What stands on standard error.
    #[must_use]
    pub fn stderr(&self) -> &str {
        &self.0.stderr
    }

    /// Itself, when the exit code is 0; else the test fails.
    #[must_use]
    pub fn ok(self) -> Self {
        self.failing_with(0)
    }

    /// Itself, when the exit code is `code`; else the test fails.
    #[must_use]
    pub fn failing_with(self, code: i32) -> Self {
        assert_eq!(
            self.code(),
            Some(code),
            "{}\n--- stdout ---\n{}\n--- stderr ---\n{}",
            self.0.command,
            self.stdout(),
            self.stderr()
        );
        self
    }

    /// Standard output as one JSON value.
    #[must_use]
    pub fn json(&self) -> Value {
        self.parse(self.stdout())
    }

    /// Standard output as one JSON value a line.
    #[must_use]
    pub fn ndjson(&self) -> Vec<Value> {
        self.stdout().lines().map(|line| self.parse(line)).collect()
    }

    fn parse(&self, text: &str) -> Value {
        serde_json::from_str(text)
            .unwrap_or_else(|error| panic!("{}: no JSON ({error}): {text:?}", self.0.command))
    }
}
