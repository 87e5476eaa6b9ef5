//! A shell inside tmux or GNU screen, in a real terminal: what they keep of a screen that is gone
//! can be read back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::console::{Terminal, TestConsole};
use crate::process::{Finished, Process};

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Multiplexer {
    /// tmux, as it comes.
    Tmux,
    /// tmux without an alternate screen: what a program clears goes into the scrollback.
    TmuxWithoutAlternate,
    /// GNU screen, which has no alternate screen unless it is told to.
    Screen,
}

impl Multiplexer {
    /// The program's name.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Tmux | Self::TmuxWithoutAlternate => "tmux",
            Self::Screen => "screen",
        }
    }

    fn configuration(self) -> &'static str {
        match self {
            Self::Tmux => {
                "set -g status off\nset -g history-limit 5000\nset -s escape-time 0\n\
                 set -g default-command 'exec sh'\n"
            }
            Self::TmuxWithoutAlternate => {
                "set -g status off\nset -g history-limit 5000\nset -s escape-time 0\n\
                 set -g default-command 'exec sh'\nset -g alternate-screen off\n"
            }
            Self::Screen => "startup_message off\ndefscrollback 5000\nshell sh\n",
        }
    }
}

/// A shell in a multiplexer, which ends with it.
pub struct Multiplexed {
    /// The terminal that the multiplexer is seen in.
    pub terminal: TestConsole,
    which: Multiplexer,
    folder: TempDir,
    lines: u32,
}

impl Multiplexed {
    /// Starts the multiplexer with a shell that has the daemon's socket in its environment.
    #[must_use]
    pub fn start(which: Multiplexer, socket: &Path, size: (u16, u16)) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("agentidp-mux-")
            .tempdir()
            .expect("a folder");
        // screen insists on it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("a mode");
        fs::write(folder.path().join("config"), which.configuration()).expect("a configuration");
        let words = words(which, folder.path());
        let mut arguments: Vec<_> = words.iter().map(String::as_str).collect();
        let start: &[&str] = match which {
            Multiplexer::Screen => &["-S", "test", "-T", "screen-256color"],
            _ => &["new-session", "-s", "test"],
        };
        arguments.extend(start);
        let screens = folder.path().display().to_string();
        let environment = [("SCREENDIR", screens.as_str())];
        let terminal = TestConsole::open(&Terminal {
            program: Path::new(which.program()),
            arguments: &arguments,
            socket,
            environment: &environment,
            size,
        });
        let mut it = Self {
            terminal,
            which,
            folder,
            lines: 0,
        };
        it.run("true");
        it
    }

    /// Types a line to the shell.
    pub fn line(&mut self, line: &str) {
        self.terminal.press(&format!("{line}\r"));
    }

    /// Runs a line of the shell and waits until the shell says that it is done.
    pub fn run(&mut self, line: &str) {
        self.lines += 1;
        let number = self.lines;
        // As it is typed, it is not yet what the shell says.
        self.line(&format!("{line}; echo \"done\"{number}"));
        self.terminal.wait_for(&format!("done{number}"));
    }

    /// A file that a line of the shell can write to.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Everything that the multiplexer has kept of the shell's screen, also what has left it.
    #[must_use]
    pub fn kept(&self) -> String {
        if self.which == Multiplexer::Screen {
            let file = self.file("hardcopy");
            let path = file.display().to_string();
            self.ask(&["-S", "test", "-X", "hardcopy", "-h", &path]);
            // Answered in the order of asking, so the copy is there with the answer.
            self.ask(&["-S", "test", "-Q", "title"]);
            let bytes = fs::read(&file).expect("screen has written its copy");
            return String::from_utf8_lossy(&bytes).into_owned();
        }
        self.ask(&["capture-pane", "-p", "-J", "-S", "-", "-t", "test"])
            .stdout
    }

    /// Ends the multiplexer, which hangs up on whatever runs in it.
    pub fn hang_up(&self) {
        let end: &[&str] = match self.which {
            Multiplexer::Screen => &["-S", "test", "-X", "quit"],
            _ => &["kill-server"],
        };
        self.ask(end);
    }

    fn ask(&self, arguments: &[&str]) -> Finished {
        let finished = self.spawn(arguments).wait();
        assert_eq!(
            finished.code(),
            Some(0),
            "{}: {}",
            finished.command,
            finished.stderr
        );
        finished
    }

    fn spawn(&self, arguments: &[&str]) -> Process {
        let mut command = Command::new(self.which.program());
        command
            .args(words(self.which, self.folder.path()))
            .args(arguments)
            .env("SCREENDIR", self.folder.path())
            .env_remove("TMUX")
            .env_remove("STY");
        Process::spawn(command)
    }
}

impl Drop for Multiplexed {
    fn drop(&mut self) {
        let end: &[&str] = match self.which {
            Multiplexer::Screen => &["-S", "test", "-X", "quit"],
            _ => &["kill-server"],
        };
        // It may have ended with its shell.
        let _ = self.spawn(end).wait();
    }
}

/// The words that every call begins with.
fn words(which: Multiplexer, folder: &Path) -> Vec<String> {
    let at = |name: &str| folder.join(name).display().to_string();
    match which {
        Multiplexer::Screen => vec!["-c".to_owned(), at("config")],
        _ => vec!["-S".to_owned(), at("server"), "-f".to_owned(), at("config")],
    }
}
