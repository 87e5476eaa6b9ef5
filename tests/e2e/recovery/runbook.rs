//! docs/recovery.md, read and done step by step.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use agentidp_tests::{Cli, Installation, Process, agentidpd, project_root};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getegid, geteuid};

/// The section that says what the names in the steps stand for.
pub(super) const BEFORE: &str = "Before you begin";

/// A step: its title and its shell commands.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) title: String,
    script: String,
}

/// The sections of the runbook that have steps, each with them in their order.
///
/// Fails the test when shell commands stand outside a step, or a step has none, or two blocks of them:
/// that would be something that nobody executes.
pub(super) fn runbook() -> Vec<(String, Vec<Step>)> {
    let text = fs::read_to_string(project_root().join("docs/recovery.md")).unwrap();
    let mut sections: Vec<(String, Vec<Step>)> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            sections.push((title.to_owned(), Vec::new()));
        } else if let Some(title) = line.strip_prefix("### ") {
            let steps = &mut sections.last_mut().expect("a step is in a section").1;
            let script = String::new();
            let title = title.to_owned();
            steps.push(Step { title, script });
        } else if line.starts_with("```") {
            assert_eq!(line, "```sh", "every block is a shell's");
            let section = sections.last_mut().expect("a block is in a section");
            let step = section.1.last_mut();
            let step = step.unwrap_or_else(|| panic!("a block before the steps of {}", section.0));
            assert!(step.script.is_empty(), "two blocks in {}", step.title);
            let block = lines.by_ref().take_while(|line| *line != "```");
            step.script = block.fold(String::new(), |all, line| all + line + "\n");
        }
    }
    for (section, steps) in &sections {
        assert!(!steps.is_empty(), "{section} has no steps");
        for step in steps {
            assert!(!step.script.is_empty(), "{} has no commands", step.title);
        }
    }
    sections
}

/// The steps of one section, which are done on an installation in their order and all of them.
#[derive(Debug)]
pub(super) struct Drill {
    pub(super) installation: Installation,
    steps: std::vec::IntoIter<Step>,
    /// What the names in the steps stand for.
    names: BTreeMap<&'static str, PathBuf>,
    folder: PathBuf,
}

impl Drill {
    /// Begins with a section, on an installation whose daemon does not run.
    pub(super) fn begin(section: &str, installation: Installation) -> Self {
        let of = |title: &str| {
            let found = runbook().into_iter().find(|(it, _)| it == title);
            found.unwrap_or_else(|| panic!("no section {title}")).1
        };
        let steps = of(BEFORE).into_iter().chain(of(section));
        let at = |name: &str| installation.directory().join(name);
        let folder = at("service");
        for folder in [&folder, &at("kept"), &at("rescued")] {
            fs::create_dir_all(folder).unwrap();
        }
        for (name, script) in [
            ("systemctl", include_str!("systemctl")),
            ("journalctl", include_str!("journalctl")),
        ] {
            let path = folder.join(name);
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let config = &installation.config;
        let names = BTreeMap::from([
            ("AGENTIDP_CONFIG", installation.config_file()),
            ("AGENTIDP_SOCKET", config.socket.clone()),
            ("STORE", config.store.clone()),
            ("KEY", config.key_encryption_key.clone()),
            ("BACKUPS", at("backups")),
            ("IDENTITY", at("identity.txt")),
            ("KEPT", at("kept")),
            ("RESCUED", at("rescued")),
            ("OWNER", format!("{}:{}", geteuid(), getegid()).into()),
            ("SERVICE", folder.clone()),
            ("XDG_STATE_HOME", at("state")),
        ]);
        // Writes the configuration.
        drop(installation.command("run"));
        let steps: Vec<_> = steps.collect();
        let mut drill = Self {
            installation,
            steps: steps.into_iter(),
            names,
            folder,
        };
        let _ = drill.step("Say where everything is");
        drill
    }

    /// Says what a name stands for that a step leaves to whoever follows it.
    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        self.names.insert(name, value.into());
    }

    /// Does the next step, which must have this title and succeed; gives all that it printed.
    ///
    /// As in one shell: what a step assigns, the next ones know.
    pub(super) fn step(&mut self, title: &str) -> String {
        let step = self.steps.next();
        let step = step.unwrap_or_else(|| panic!("no step is left for {title}"));
        assert_eq!(step.title, title);
        self.shell(title, &step.script)
    }

    /// Passes over the next step, which must have this title: what it is for is not so.
    pub(super) fn skip(&mut self, title: &str) {
        let step = self.steps.next().map(|step| step.title);
        assert_eq!(step.as_deref(), Some(title));
    }

    /// Does what a section takes for granted, such as a daemon that runs.
    pub(super) fn before(&self, script: &str) {
        let _ = self.shell("before the steps", script);
    }

    fn shell(&self, title: &str, script: &str) -> String {
        let state = self.folder.join("state");
        let script = format!(
            "if [ -f '{0}' ]; then . '{0}'; fi\nset -e -u -o pipefail -a\n{script}\nexport -p > '{0}'",
            state.display(),
        );
        let words = self.installation.by_way_of.iter().map(String::as_str);
        let mut words = words.chain(["bash", "-c"]);
        let mut command = Command::new(words.next().unwrap_or_default());
        let programs = agentidpd().parent().unwrap().to_owned();
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{}:{path}", self.folder.display(), programs.display());
        command.args(words).arg(script).env("PATH", path);
        command.envs(&self.names).current_dir(&self.folder);
        let finished = Process::spawn(command).wait();
        assert_eq!(
            finished.code(),
            Some(0),
            "{title}\n{}\n{}{}",
            finished.command,
            finished.stdout,
            finished.stderr
        );
        finished.stdout + &finished.stderr
    }

    /// Ends it: no step may be left.
    pub(super) fn finish(mut self) {
        let left: Vec<_> = self.steps.by_ref().map(|step| step.title).collect();
        assert!(left.is_empty(), "not done: {left:?}");
    }

    /// The command line, for the daemon that a step has started.
    pub(super) fn cli(&self) -> Cli {
        Cli::new(&self.installation.config.socket)
    }
}

/// The daemon that steps have started ends with the test.
impl Drop for Drill {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.folder.join("pid"));
        if let Some(pid) = pid.ok().and_then(|pid| pid.parse().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
