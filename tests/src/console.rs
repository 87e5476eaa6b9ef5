//! `agentidp` in a real pseudo-terminal.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use serde_json::json;
use vt100::Parser;

use crate::DEADLINE;
use crate::binaries::agentidp;

/// What the terminal was left like.
#[derive(Debug)]
pub struct Restored {
    /// How the console ended.
    pub status: ExitStatus,
    /// Everything that it wrote.
    pub written: Vec<u8>,
    /// What the screen shows afterwards.
    pub screen: String,
}

/// A console, killed when dropped.
pub struct TestConsole {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    parser: Parser,
    written: Vec<u8>,
    /// How much was written before each press.
    presses: Vec<usize>,
    modes_before: Option<String>,
}

/// A program in a terminal, and what it finds there.
#[derive(Debug, Clone)]
pub struct Terminal<'a> {
    /// What is run.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: &'a [&'a str],
    /// The daemon's socket.
    pub socket: &'a Path,
    /// More of its environment; without a `TERM` of its own it is `xterm-256color`.
    pub environment: &'a [(&'a str, &'a str)],
    /// Rows and columns.
    pub size: (u16, u16),
}

impl TestConsole {
    /// Starts the console for the daemon on `socket`, at 80 columns and 24 rows.
    #[must_use]
    pub fn start(socket: &Path) -> Self {
        Self::start_with(socket, &[("TERM", "xterm-256color")])
    }

    /// Starts the console with environment variables.
    #[must_use]
    pub fn start_with(socket: &Path, environment: &[(&str, &str)]) -> Self {
        Self::spawn(socket, &[], environment)
    }

    /// Starts a command of the command line, which finds a person at the terminal.
    #[must_use]
    pub fn command(socket: &Path, arguments: &[&str]) -> Self {
        Self::spawn(socket, arguments, &[("TERM", "xterm-256color")])
    }

    fn spawn(socket: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::open(&Terminal {
            program: &agentidp(),
            arguments,
            socket,
            environment,
            size: (24, 80),
        })
    }

    /// Starts another program in a terminal, such as one that leads to the console by a detour.
    #[must_use]
    pub fn by_way_of(program: &Path, arguments: &[&str]) -> Self {
        Self::open(&Terminal {
            program,
            arguments,
            socket: Path::new(""),
            environment: &[],
            size: (24, 80),
        })
    }

    /// Starts a program in a terminal.
    #[must_use]
    pub fn open(it: &Terminal<'_>) -> Self {
        let (rows, columns) = it.size;
        let terminal = native_pty_system()
            .openpty(size(rows, columns))
            .expect("a pseudo-terminal");
        let mut command = CommandBuilder::new(it.program);
        command.args(it.arguments);
        command.env("AGENTIDP_SOCKET", it.socket);
        command.env("TERM", "xterm-256color");
        command.cwd("/");
        for name in ["NO_COLOR", "TMUX", "STY"] {
            command.env_remove(name);
        }
        for (name, value) in it.environment {
            command.env(name, value);
        }
        let mut reader = terminal.master.try_clone_reader().expect("a reader");
        let keyboard = terminal.master.take_writer().expect("a writer");
        let modes_before = modes(terminal.master.as_ref());
        let child = terminal
            .slave
            .spawn_command(command)
            .expect("the console starts");
        // The reader sees the end only when no one but the console has the terminal open.
        drop(terminal.slave);
        let (sender, output) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 8_192];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender
                    .send(buffer.get(..count).unwrap_or_default().to_vec())
                    .is_err()
                {
                    break;
                }
            }
        });
        Self {
            child,
            master: terminal.master,
            keyboard,
            output,
            parser: Parser::new(rows, columns, 0),
            written: Vec::new(),
            presses: Vec::new(),
            modes_before,
        }
    }

    /// What the screen shows, a line a row.
    #[must_use]
    pub fn screen(&self) -> String {
        self.parser.screen().contents()
    }

    /// Presses keys. `\r` is Enter, `\u{1b}` Esc.
    pub fn press(&mut self, keys: &str) {
        self.presses.push(self.written.len());
        self.keyboard
            .write_all(keys.as_bytes())
            .expect("the console reads its keyboard");
        self.keyboard
            .flush()
            .expect("the console reads its keyboard");
    }

    /// Waits until the screen shows `text`.
    pub fn wait_for(&mut self, text: &str) {
        self.wait_until(text, |screen| screen.contains(text));
    }

    /// Waits until the screen is as `condition` wants it.
    pub fn wait_until(&mut self, what: &str, condition: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if condition(&self.screen()) {
                return;
            }
            if let Err(error) = self.receive_until(deadline) {
                panic!(
                    "the screen never showed {what:?} ({error}):\n{}",
                    self.framed()
                );
            }
        }
    }

    /// Presses `key` until the screen shows `text`. See [`Self::press_until_screen`].
    pub fn press_until(&mut self, key: &str, text: &str) {
        self.press_until_screen(key, text, |screen| screen.contains(text));
    }

    /// Presses `key` until the screen is as `condition` wants it.
    ///
    /// For dialogs, which drop what is typed ahead of them for a quarter of a second, and nothing
    /// on the screen tells when they stop to.
    pub fn press_until_screen(&mut self, key: &str, what: &str, condition: impl Fn(&str) -> bool) {
        const DEAF: Duration = Duration::from_millis(400);
        let deadline = Instant::now() + DEADLINE;
        while !condition(&self.screen()) {
            assert!(
                Instant::now() < deadline,
                "{key:?} never brought {what:?}:\n{}",
                self.framed()
            );
            self.press(key);
            let again = Instant::now() + DEAF;
            while !condition(&self.screen()) && self.receive_until(again).is_ok() {}
        }
    }

    /// The terminal's cells, with their colours and attributes.
    #[must_use]
    pub fn cells(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    /// Takes in what the console writes for as long as it goes on within `quiet`, and gives how
    /// many bytes it has written since it was started.
    ///
    /// For what must not happen: that something is written where nothing may be.
    pub fn written_after(&mut self, quiet: Duration) -> usize {
        while self.receive_until(Instant::now() + quiet).is_ok() {}
        self.written.len()
    }

    /// A recording of the session so far, as asciicast version 2: what was really written, at a pace
    /// at which it can be followed, the time `pace` between two presses.
    #[must_use]
    pub fn recording(&self, title: &str, pace: Duration) -> String {
        let (rows, columns) = self.parser.screen().size();
        let header = json!({"version": 2, "width": columns, "height": rows, "title": title});
        let mut lines = format!("{header}\n");
        let ends = self.presses.iter().copied().chain([self.written.len()]);
        let mut from = 0;
        for (number, end) in (0_u32..).zip(ends) {
            let text = String::from_utf8_lossy(self.written.get(from..end).unwrap_or_default());
            if !text.is_empty() {
                let time = (pace * number).as_secs_f64();
                let _ = writeln!(lines, "{}", json!([time, "o", text]));
            }
            from = end;
        }
        lines
    }

    /// Everything that the console has written so far.
    #[must_use]
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&self.written).into_owned()
    }

    /// The process that was started.
    #[must_use]
    pub fn pid(&self) -> Pid {
        let pid = self
            .child
            .process_id()
            .and_then(|pid| i32::try_from(pid).ok());
        Pid::from_raw(pid.expect("the console runs"))
    }

    /// Sends a signal to the console.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the console runs");
    }

    /// Changes the terminal's size, as when a window is dragged.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        // What was written before the change was written for the old size.
        while self.receive_until(Instant::now()).is_ok() {}
        self.parser.screen_mut().set_size(rows, columns);
        self.master
            .resize(size(rows, columns))
            .expect("the terminal can be resized");
    }

    /// Waits for the console's end and fails the test when the terminal is not as it was before.
    #[must_use]
    pub fn wait_for_end(mut self) -> Restored {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.receive_until(deadline) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the console did not end:\n{}", self.framed())
                }
            }
        }
        let status = self.child.wait().expect("the console can be waited for");
        let screen = self.parser.screen();
        assert!(
            !screen.alternate_screen(),
            "the alternate screen was left on"
        );
        assert!(!screen.hide_cursor(), "the cursor was left hidden");
        assert!(!screen.bracketed_paste(), "bracketed paste was left on");
        assert_eq!(
            screen.mouse_protocol_mode(),
            vt100::MouseProtocolMode::None,
            "the mouse was left on"
        );
        assert_eq!(
            modes(self.master.as_ref()),
            self.modes_before,
            "the terminal's modes were left changed"
        );
        Restored {
            status,
            screen: self.screen(),
            written: std::mem::take(&mut self.written),
        }
    }

    fn receive_until(&mut self, deadline: Instant) -> Result<(), RecvTimeoutError> {
        let bytes = self
            .output
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))?;
        self.parser.process(&bytes);
        self.written.extend(bytes);
        Ok(())
    }

    fn framed(&self) -> String {
        let (_, columns) = self.parser.screen().size();
        let edge = format!("+{}+", "-".repeat(usize::from(columns)));
        let mut framed = edge.clone();
        for row in self.parser.screen().rows(0, columns) {
            let _ = write!(framed, "\n|{row:<width$}|", width = usize::from(columns));
        }
        format!("{framed}\n{edge}")
    }
}

impl Drop for TestConsole {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn size(rows: u16, cols: u16) -> PtySize {
    PtySize {
        rows,
        cols,
        pixel_width: 0,
        pixel_height: 0,
    }
}

/// The terminal's modes in words, to compare.
fn modes(master: &dyn MasterPty) -> Option<String> {
    master.get_termios().map(|modes| format!("{modes:?}"))
}
