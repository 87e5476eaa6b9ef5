//! `cargo dev`: from a checkout to a console with something to look at.
//!
//! In a terminal the daemon is our child and the console holds the screen; without one we become
//! the daemon, which then prints what to do next and gets every signal itself.

use std::env;
use std::io::{self, IsTerminal as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::daemon::{self, Daemon, POLL};
use crate::project::{self, Profile};
use crate::signals::Interrupt;

/// The daemon's default for `--dir`, as seen from the root of the workspace.
const FOLDER: &str = ".agentidp";

/// The first start makes a store and hashes the demo agents' secrets.
const START: Duration = Duration::from_mins(1);

/// What follows `cargo dev`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `agentidpd dev`: --dir DIR, --listen ADDR:PORT, --socket PATH.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "OPTION"
    )]
    daemon: Vec<String>,
}

/// Builds, then runs the daemon and, in a terminal, the console.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    project::build_programs(Profile::Debug)?;
    env::set_current_dir(project::root())?;
    if asks_for_help(&arguments.daemon) {
        let error = Command::new(project::program(Profile::Debug, "agentidpd"))
            .args(["dev", "--help"])
            .exec();
        return Err(error).context("cannot run agentidpd");
    }

    let folder = PathBuf::from(option(&arguments.daemon, "--dir").unwrap_or(FOLDER));
    let mut command = Command::new(project::program(Profile::Debug, "agentidpd"));
    command.arg("dev").args(&arguments.daemon);
    let socket = if let Some(path) = option(&arguments.daemon, "--socket") {
        PathBuf::from(path)
    } else {
        let path = folder.join("operator.sock");
        command.arg("--socket").arg(&path);
        path
    };

    let can_draw = env::var("TERM").is_ok_and(|term| draws(&term));
    if !(can_draw && io::stdin().is_terminal() && io::stdout().is_terminal()) {
        let error = command.exec();
        return Err(error).context("cannot run agentidpd");
    }

    let interrupt = Interrupt::catch()?;
    if daemon::answers(&socket) {
        let ignored = ignored(&arguments.daemon);
        if !ignored.is_empty() {
            eprintln!(
                "cargo dev: the daemon that runs on {} is used; ignored: {}",
                socket.display(),
                ignored.join(" ")
            );
        }
        return console(&socket, &interrupt);
    }
    daemon::private_folder(&folder)?;
    let mut daemon = Daemon::start(&mut command, &folder.join("agentidpd.stderr"))?;
    daemon.wait_for(&socket, START, &interrupt)?;
    let shown = console(&socket, &interrupt);
    let ended = daemon.stop();
    shown.and(ended)
}

/// Runs the console in the foreground until it ends or we are told to.
fn console(socket: &Path, interrupt: &Interrupt) -> anyhow::Result<()> {
    let mut child = Command::new(project::program(Profile::Debug, "agentidp"))
        .arg("--socket")
        .arg(socket)
        .spawn()
        .context("cannot run agentidp")?;
    let status = wait(&mut child, interrupt)?;
    ensure!(
        status.success() || interrupt.raised(),
        "agentidp failed: {status}"
    );
    Ok(())
}

/// Waits for a child; a signal to us ends it.
fn wait(child: &mut Child, interrupt: &Interrupt) -> anyhow::Result<ExitStatus> {
    loop {
        if interrupt.raised() {
            return daemon::end(child);
        }
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(POLL);
    }
}

/// Whether the daemon's own help is asked for.
fn asks_for_help(arguments: &[String]) -> bool {
    arguments.iter().any(|it| it == "--help" || it == "-h")
}

/// Whether a terminal of this name can show the console.
fn draws(term: &str) -> bool {
    !term.is_empty() && term != "dumb"
}

/// The arguments that mean nothing to a daemon that runs already.
fn ignored(arguments: &[String]) -> Vec<&str> {
    let mut ignored = Vec::new();
    let mut arguments = arguments.iter().map(String::as_str);
    while let Some(argument) = arguments.next() {
        // These two say which daemon is meant.
        if matches!(argument, "--dir" | "--socket") {
            arguments.next();
        } else if !argument.starts_with("--dir=") && !argument.starts_with("--socket=") {
            ignored.push(argument);
        }
    }
    ignored
}

/// The value of an option given as `--name VALUE` or `--name=VALUE`.
fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == name {
            return arguments.next().map(String::as_str);
        }
        if let Some(value) = argument.strip_prefix(name)
            && let Some(value) = value.strip_prefix('=')
        {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{asks_for_help, draws, ignored, option};

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn an_option_is_found_in_both_spellings() {
        assert_eq!(option(&words("--dir a --socket b"), "--socket"), Some("b"));
        assert_eq!(option(&words("--socket=b --dir a"), "--socket"), Some("b"));
    }

    #[test]
    fn what_a_running_daemon_cannot_take_is_told() {
        let arguments = words("--dir a --listen 127.0.0.1:9 --socket=b --seed");
        assert_eq!(ignored(&arguments), ["--listen", "127.0.0.1:9", "--seed"]);
        assert!(ignored(&words("--dir=a --socket b")).is_empty());
    }

    #[test]
    fn help_is_the_daemon_s_wherever_it_is_asked_for() {
        assert!(asks_for_help(&words("--dir a --help")));
        assert!(!asks_for_help(&words("--dir a")));
    }

    #[test]
    fn a_dumb_terminal_shows_no_console() {
        assert!(draws("xterm-256color"));
        assert!(!draws("dumb") && !draws(""));
    }

    #[test]
    fn an_option_with_a_longer_name_is_another_one() {
        assert_eq!(option(&words("--directory a"), "--dir"), None);
        assert_eq!(option(&words("--dir"), "--dir"), None);
    }
}
