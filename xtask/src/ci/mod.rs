//! `cargo ci`: every check that a change must pass, in an order that fails early and ends with the
//! tests, whose summary is then the last thing on the screen.
//!
//! A new check is a new line in [`run`].

mod tools;

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::project::{self, Profile};

/// Runs all checks and stops at the first that fails.
pub(crate) fn run() -> anyhow::Result<()> {
    let report = Report::new();
    let path = report.step("tools", tools::provide)?;
    let cargo = |words: &str| checked(&path, words);

    report.step("format", || cargo("fmt --all --check"))?;
    report.step("dependencies", || cargo("deny check licenses bans sources"))?;
    report.step("lints", || {
        cargo("clippy --workspace --all-targets -- -D warnings")
    })?;
    report.step("documentation", || {
        let mut command = command(&path, "doc --workspace --no-deps --document-private-items");
        project::succeed(command.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    // The end-to-end tests start these programs; nextest builds only what it links.
    report.step("programs", || cargo("build --workspace --bins"))?;
    // A part of what `cargo xtask torture` does for as long as one likes.
    for words in [
        "kill --cycles 30",
        "power --cycles 12",
        "faults --cycles 40",
    ] {
        report.step(&format!("torture {words}"), || torture(words))?;
    }
    report.announce("tests");
    cargo("nextest run --workspace")
}

/// Makes only the virtual environment with the third-party clients, for `cargo nextest` by hand.
pub(crate) fn clients() -> anyhow::Result<()> {
    tools::clients()
}

/// Runs cargo with these words.
fn checked(path: &OsString, words: &str) -> anyhow::Result<()> {
    project::succeed(&mut command(path, words))
}

/// Runs the torture that was built with the other programs.
fn torture(words: &str) -> anyhow::Result<()> {
    let program = project::program(Profile::Debug, "agentidp-torture");
    project::succeed(
        Command::new(program)
            .args(words.split(' '))
            .stdin(Stdio::null()),
    )
}

/// Cargo with these words, the project's tools within reach and nothing to read.
fn command(path: &OsString, words: &str) -> Command {
    let mut command = project::cargo();
    command
        .args(words.split(' '))
        .env("PATH", path)
        .stdin(Stdio::null());
    command
}

/// Says what runs and how long it took. Nothing follows the tests: their summary comes last.
struct Report {
    start: Instant,
}

impl Report {
    fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    fn announce(&self, name: &str) {
        println!(
            "\n=== {name}, at {:.0} s",
            self.start.elapsed().as_secs_f64()
        );
    }

    fn step<T>(&self, name: &str, check: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        self.announce(name);
        let start = Instant::now();
        let outcome = check();
        let word = if outcome.is_ok() { "passed" } else { "failed" };
        println!(
            "=== {name}: {word} after {:.1} s",
            start.elapsed().as_secs_f64()
        );
        outcome
    }
}
