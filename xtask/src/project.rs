//! Where the project's files are, and how its programs are built and run.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// A build profile, by the name of its folder below the target folder.
#[derive(Clone, Copy)]
pub enum Profile {
    /// What `cargo build` makes.
    Debug,
    /// What `cargo build --release` makes.
    Release,
}

/// The root of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// The folder that cargo builds into.
#[must_use]
pub fn target() -> PathBuf {
    // An absolute CARGO_TARGET_DIR replaces the root in this join, as cargo would have it.
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| OsString::from("target")))
}

/// A program of the workspace, where [`build_programs`] leaves it.
#[must_use]
pub fn program(profile: Profile, name: &str) -> PathBuf {
    let folder = match profile {
        Profile::Debug => "debug",
        Profile::Release => "release",
    };
    target().join(folder).join(name)
}

/// The cargo that runs this program, at the root of the workspace.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds every program of the workspace.
///
/// Always the whole workspace: another selection of packages is another selection of features,
/// and cargo would build the large dependencies once more for it.
///
/// # Errors
///
/// When one cannot be built.
pub fn build_programs(profile: Profile) -> anyhow::Result<()> {
    let mut command = cargo();
    command.args(["build", "--workspace", "--bins"]);
    if let Profile::Release = profile {
        command.arg("--release");
    }
    succeed(&mut command)
}

/// Runs a command to its end; anything but success is an error that names the command.
///
/// # Errors
///
/// When it cannot be run, or fails.
pub fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run `{}`", typed(command)))?;
    ensure!(status.success(), "`{}` failed: {status}", typed(command));
    Ok(())
}

/// The command as a person would type it.
#[must_use]
pub fn typed(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}
