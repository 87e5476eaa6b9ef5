//! A child process whose doings are events.

use std::fmt::Write as _;
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::DEADLINE;

/// What a process has done so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// Everything it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// Everything it wrote to its standard error.
    pub stderr: Vec<u8>,
    /// What it told its service manager, line by line.
    pub notifications: Vec<String>,
    /// Whether it has ended.
    pub ended: bool,
    open_streams: u8,
}

#[derive(Debug, Default)]
pub(crate) struct Events {
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Events {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        // A test that failed with the lock held says so itself.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn wait<T>(&self, limit: Duration, mut condition: impl FnMut(&Seen) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut seen = self.lock();
        loop {
            if let Some(value) = condition(&seen) {
                return Some(value);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            seen = self
                .changed
                .wait_timeout(seen, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything it wrote to its standard output.
    pub stdout: String,
    /// Everything it wrote to its standard error.
    pub stderr: String,
    /// The command line that does it again.
    pub command: String,
}

impl Finished {
    /// The exit code; `None` when a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }
}

/// A child process, killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    events: Arc<Events>,
    command: String,
    notify: Option<Arc<UnixDatagram>>,
    reaped: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` and listens to it.
    #[must_use]
    pub fn spawn(command: Command) -> Self {
        Self::spawn_inner(command, None)
    }

    /// Starts `command` as a service manager would, with a notification socket at `socket`.
    #[must_use]
    pub fn spawn_service(mut command: Command, socket: &Path) -> Self {
        let _ = std::fs::remove_file(socket);
        let notify =
            Arc::new(UnixDatagram::bind(socket).expect("a notification socket can be bound"));
        command.env("NOTIFY_SOCKET", socket);
        Self::spawn_inner(command, Some(notify))
    }

    fn spawn_inner(mut command: Command, notify: Option<Arc<UnixDatagram>>) -> Self {
        forget_surroundings(&mut command);
        let line = command_line(&command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let events = Arc::new(Events::default());
        events.change(|seen| seen.open_streams = 2);
        if let Some(stream) = child.stdout.take() {
            read_stream(stream, Arc::clone(&events), |seen| &mut seen.stdout);
        }
        if let Some(stream) = child.stderr.take() {
            read_stream(stream, Arc::clone(&events), |seen| &mut seen.stderr);
        }
        if let Some(socket) = &notify {
            read_notifications(Arc::clone(socket), Arc::clone(&events));
        }
        watch_for_end(pid_of(&child), Arc::clone(&events));
        Self {
            child,
            events,
            command: line,
            notify,
            reaped: None,
        }
    }

    /// The process's id. It stays the process's own until the process is waited for.
    #[must_use]
    pub fn pid(&self) -> Pid {
        pid_of(&self.child)
    }

    /// The command line that does it again.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.command
    }

    /// Waits for `condition` to yield something, up to [`DEADLINE`]; fails the test when it does not.
    pub fn wait_for<T>(&self, what: &str, condition: impl FnMut(&Seen) -> Option<T>) -> T {
        self.events
            .wait(DEADLINE, condition)
            .unwrap_or_else(|| panic!("no {what} within {DEADLINE:?}\n{}", self.report()))
    }

    /// Waits for a line of standard output that `condition` takes, or fails the test at the
    /// deadline or when the process ends without it.
    pub fn wait_for_line<T>(&self, what: &str, mut condition: impl FnMut(&str) -> Option<T>) -> T {
        let mut ended = false;
        let found = self.events.wait(DEADLINE, |seen| {
            ended = seen.ended && seen.open_streams == 0;
            complete_lines(&seen.stdout)
                .find_map(&mut condition)
                .map(Some)
                .or(ended.then_some(None))
        });
        found.flatten().unwrap_or_else(|| {
            let why = if ended { "it ended" } else { "time is over" };
            panic!("no {what}: {why}\n{}", self.report())
        })
    }

    /// Waits for a notification to the service manager, such as `READY=1`.
    pub fn wait_for_notification(&self, line: &str) {
        self.wait_for(line, |seen| {
            seen.notifications.iter().any(|it| it == line).then_some(())
        });
    }

    /// Waits until the process says that it is ready, or has ended.
    pub fn wait_until_ready_or_ended(&self) -> bool {
        self.wait_for("READY=1", |seen| {
            let ready = seen.notifications.iter().any(|line| line == "READY=1");
            (ready || seen.ended).then_some(ready)
        })
    }

    /// What the process has done so far.
    pub fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.events.lock())
    }

    /// Sends `signal`.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the process is there until it is waited for");
    }

    /// Waits for the end of the process and of its output, at most for `limit`.
    #[must_use]
    pub fn wait_within(mut self, limit: Duration) -> Finished {
        self.events
            .wait(limit, |seen| {
                (seen.ended && seen.open_streams == 0).then_some(())
            })
            .unwrap_or_else(|| panic!("did not end within {limit:?}\n{}", self.report()));
        let status = self.reap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.seen(|seen| Finished {
            status,
            stdout: text(&seen.stdout),
            stderr: text(&seen.stderr),
            command: self.command.clone(),
        })
    }

    /// Waits for the end of the process, at most for [`DEADLINE`].
    #[must_use]
    pub fn wait(self) -> Finished {
        self.wait_within(DEADLINE)
    }

    /// Ends the process with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        if self.reaped.is_none() {
            self.signal(Signal::SIGKILL);
            self.wait_for("end after SIGKILL", |seen| seen.ended.then_some(()));
            self.reap();
        }
    }

    fn reap(&mut self) -> ExitStatus {
        let status = self
            .reaped
            .unwrap_or_else(|| self.child.wait().expect("the child can be waited for"));
        self.reaped = Some(status);
        status
    }

    /// What a failing test prints: the end of the output, and how to do it again.
    #[must_use]
    pub fn report(&self) -> String {
        self.seen(|seen| {
            let mut report = format!("to repeat: {}\n", self.command);
            for (name, bytes) in [("stdout", &seen.stdout), ("stderr", &seen.stderr)] {
                let text = String::from_utf8_lossy(bytes);
                let lines: Vec<&str> = text.lines().collect();
                let last = lines
                    .get(lines.len().saturating_sub(60)..)
                    .unwrap_or_default();
                let _ = writeln!(report, "--- {name}, last lines ---\n{}", last.join("\n"));
            }
            report
        })
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "shown with the failing test")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.report());
        }
        if self.reaped.is_none() {
            let _ = kill(self.pid(), Signal::SIGKILL);
            let _ = self.child.wait();
        }
        if let Some(socket) = self.notify.take() {
            // Wakes the thread that reads it, which ends with an empty message.
            if let Some(path) = socket
                .local_addr()
                .ok()
                .and_then(|it| it.as_pathname().map(Path::to_owned))
            {
                let _ = socket.send_to(&[], path);
            }
        }
    }
}

/// Takes away what the test's own environment would tell the process about another daemon, or
/// another service manager.
fn forget_surroundings(command: &mut Command) {
    let set: Vec<_> = command
        .get_envs()
        .map(|(name, _)| name.to_owned())
        .collect();
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let speaks = text.starts_with("AGENTIDP_")
            || text.starts_with("WATCHDOG_")
            || text == "NOTIFY_SOCKET";
        if speaks && !set.contains(&name) {
            command.env_remove(&name);
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a process id is positive"))
}

fn read_stream(
    mut stream: impl Read + Send + 'static,
    events: Arc<Events>,
    into: impl Fn(&mut Seen) -> &mut Vec<u8> + Send + 'static,
) {
    thread::spawn(move || {
        let mut buffer = [0; 8_192];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            let chunk = buffer.get(..count).unwrap_or_default();
            events.change(|seen| into(seen).extend_from_slice(chunk));
        }
        events.change(|seen| seen.open_streams -= 1);
    });
}

fn read_notifications(socket: Arc<UnixDatagram>, events: Arc<Events>) {
    thread::spawn(move || {
        let mut buffer = [0; 4_096];
        while let Ok(count @ 1..) = socket.recv(&mut buffer) {
            let text =
                String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned();
            events.change(|seen| seen.notifications.extend(text.lines().map(str::to_owned)));
        }
    });
}

fn watch_for_end(pid: Pid, events: Arc<Events>) {
    thread::spawn(move || {
        // Leaves the process to be waited for: until then its id is given to no other.
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(pid), flags) == Err(nix::errno::Errno::EINTR) {}
        events.change(|seen| seen.ended = true);
    });
}

/// The lines of `bytes` that a line feed ends.
fn complete_lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    bytes
        .split_inclusive(|&byte| byte == b'\n')
        .filter_map(|line| str::from_utf8(line.strip_suffix(b"\n")?).ok())
}

/// A line that a shell takes, with the environment that the test set.
pub(crate) fn command_line(command: &Command) -> String {
    let mut line = String::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            let _ = write!(
                line,
                "{}={} ",
                name.display(),
                quoted(&value.to_string_lossy())
            );
        }
    }
    line.push_str(&quoted(&command.get_program().to_string_lossy()));
    for argument in command.get_args() {
        let _ = write!(line, " {}", quoted(&argument.to_string_lossy()));
    }
    line
}

fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-=:@,+".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
