//! Mounts that only the test's own processes see: a read-only folder, a disk of a few megabytes.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;

use crate::process::Process;

/// A mount namespace. It and its mounts are gone when it is dropped and its processes have ended.
#[derive(Debug)]
pub struct MountNamespace {
    holder: Process,
}

impl MountNamespace {
    /// A namespace in which the shell script `setup` has run. Needs root, or a kernel that gives
    /// user namespaces to everyone.
    #[must_use]
    pub fn new(setup: &str) -> Self {
        let mut command = Command::new("unshare");
        command.args(if geteuid().is_root() {
            &["--mount"][..]
        } else {
            &["--mount", "--map-root-user"]
        });
        command.args(["--", "sh", "-c"]);
        command.arg(format!(
            "set -e; {setup}; echo mounted; exec tail -f /dev/null"
        ));
        let holder = Process::spawn(command);
        holder.wait_for_line("mounts", |line| (line == "mounted").then_some(()));
        Self { holder }
    }

    /// The words that start a command inside.
    #[must_use]
    pub fn by_way_of(&self) -> Vec<String> {
        let target = format!("--target={}", self.holder.pid());
        let mut words = vec!["nsenter".to_owned(), target, "--mount".to_owned()];
        if !geteuid().is_root() {
            words.extend(["--user", "--preserve-credentials"].map(str::to_owned));
        }
        words.push("--".to_owned());
        words
    }

    /// Runs a shell script inside and expects it to succeed.
    pub fn run(&self, script: &str) {
        let words = self.by_way_of();
        let mut command = Command::new(words.first().map_or("", String::as_str));
        command
            .args(words.iter().skip(1))
            .args(["sh", "-c", script]);
        let finished = Process::spawn(command).wait();
        assert_eq!(
            finished.code(),
            Some(0),
            "{}: {}",
            finished.command,
            finished.stderr
        );
    }

    /// Where `path` inside is seen from outside.
    #[must_use]
    pub fn outside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.pid()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }
}
