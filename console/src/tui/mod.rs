//! The full-screen console.
//!
//! Three parts that do not wait for each other. The `connection` talks to the daemon in a task of
//! its own. `update` is the reducer: what is known and what happened give what is known next and
//! what is to be done. `view` paints what is known. This module is the loop around them: it drains
//! the input, lets the reducer work, does what it asks, and draws when something is other than
//! before, at most twenty times a second.
//!
//! A new screen is a variant of `state::Screen`, a file in `view`, and its keys in `keys`.

mod clipboard;
mod completion;
mod connection;
mod event;
mod input;
mod key_name;
mod key_table;
mod keys;
mod many;
mod naming;
mod outside;
mod pipe;
mod run;
mod serve;
mod settings;
mod stakes;
mod state;
mod style;
mod terminal;
mod update;
mod view;
mod words;

#[cfg(test)]
mod fixtures;

#[cfg(test)]
pub(crate) use self::fixtures::an_agent;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};
use zeroize::Zeroizing;

use crate::args::ScreenArgs;
use crate::clock;
use crate::error::Error;
use crate::socket::SocketChoice;

pub(crate) use self::stakes::read as read_stakes;

use self::clipboard::Multiplexer;
use self::connection::Connection;
use self::event::{Command, Effect, Event, NetEvent};
use self::outside::{end_on, export, read_input, write_secret};
use self::settings::Settings;
use self::state::{Demo, State};
use self::terminal::Terminal;

/// The shortest time between two frames.
const FRAME: Duration = Duration::from_millis(50);

/// How many events of the connection are taken in before the next frame.
const BATCH: usize = 512;

/// Runs the console until it is left.
///
/// # Errors
///
/// [`Error::Usage`] without a terminal that can show it; [`Error::Io`] when the terminal fails.
pub(crate) async fn run(socket: SocketChoice, args: ScreenArgs) -> Result<(), Error> {
    let env = |name: &str| std::env::var(name).ok();
    let term = env("TERM").unwrap_or_default();
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    check(&term, is_terminal)?;
    let settings = Settings::read(&args, env)?;
    let is_read_only = socket.is_read_only() || settings.is_read_only;
    let socket = socket.read_only(is_read_only);
    let failed = || Error::io("the terminal fails");
    let (width, height) = crossterm::terminal::size().map_err(failed())?;
    let mut state = State::new(clock::now(), (width, height), settings.palette);
    state.key_map = settings.key_map;
    state.is_read_only = is_read_only;
    state.shows_clock = settings.shows_clock;
    state.demo = settings.shows_keys.then(Demo::default);
    state.zone = jiff::tz::TimeZone::system();
    if let Ok(path) = socket.resolve() {
        // The one that is tried first; a connection tells which it was made through.
        state.socket_path = path.display().to_string();
    }

    let (commands, command_queue) = mpsc::unbounded_channel();
    // Bounded: a terminal that is slow holds the stream back, and the daemon names the gap.
    let (events, event_queue) = mpsc::channel(BATCH);
    tokio::spawn(Connection::new(socket, command_queue, events).run());

    let (own_events, own_event_queue) = mpsc::unbounded_channel();
    for kind in [
        SignalKind::hangup(),
        SignalKind::terminate(),
        SignalKind::interrupt(),
    ] {
        let signal = signal(kind).map_err(failed())?;
        tokio::spawn(end_on(signal, own_events.clone()));
    }
    let continued = SignalKind::from_raw(nix::libc::SIGCONT);
    let continued = signal(continued).map_err(failed())?;
    let console = Console {
        state,
        terminal: Terminal::take().map_err(failed())?,
        commands,
        own_events,
        multiplexer: Multiplexer::choose(env("TMUX").as_deref(), env("STY").as_deref()),
        running: None,
        is_dirty: true,
        next_frame: Instant::now(),
        back_at: None,
    };
    console
        .run(event_queue, own_event_queue, continued)
        .await
        .map_err(failed())
}

/// Refuses a terminal that cannot show the console.
fn check(term: &str, is_terminal: bool) -> Result<(), Error> {
    let why = if !is_terminal {
        "the console needs a terminal"
    } else if term.is_empty() || term == "dumb" {
        "the console needs a terminal that can place its cursor, and TERM names none"
    } else {
        return Ok(());
    };
    Err(Error::usage(
        why,
        "every action has a command: agentidp --help lists them, agentidp agent list is a start",
    ))
}

/// The loop and what it holds.
struct Console {
    state: State,
    terminal: Terminal,
    commands: mpsc::UnboundedSender<Command>,
    /// For what the loop itself set going.
    own_events: mpsc::UnboundedSender<Event>,
    multiplexer: Multiplexer,
    /// The command of the command line that runs.
    running: Option<AbortHandle>,
    is_dirty: bool,
    next_frame: Instant,
    /// The program asked to be stopped, and the terminal is the shell's. It is taken again when
    /// the shell says so; or at this time, when nobody stopped it, because there is no shell.
    back_at: Option<Instant>,
}

/// Whether to go on.
#[derive(Debug, PartialEq, Eq)]
enum Course {
    GoOn,
    End,
}

impl Console {
    async fn run(
        mut self,
        mut net: mpsc::Receiver<NetEvent>,
        mut own: mpsc::UnboundedReceiver<Event>,
        mut continued: Signal,
    ) -> io::Result<()> {
        let mut input = read_input();
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.draw()?;
        loop {
            // Input first, so that a log that runs never makes a key wait.
            let event = tokio::select! {
                biased;
                _ = continued.recv() => {
                    self.come_back()?;
                    continue;
                }
                Some(event) = input.recv() => event,
                Some(event) = own.recv() => event,
                () = tokio::time::sleep_until(self.wake_at()), if self.wants_to_wake() => {
                    match self.back_at {
                        Some(_) => self.come_back()?,
                        None => self.draw()?,
                    }
                    continue;
                }
                Some(event) = net.recv() => Event::Net(event),
                // A terminal that went without a signal: whoever reads it meets its end for ever.
                _ = seconds.tick() => if io::stdin().is_terminal() {
                    Event::Tick
                } else {
                    Event::Terminate
                },
            };
            if self.react(event)? == Course::End {
                break;
            }
            // Whatever else is there already goes into the same frame.
            while let Ok(event) = input.try_recv() {
                if self.react(event)? == Course::End {
                    self.end();
                    return Ok(());
                }
            }
            for _ in 0..BATCH {
                let Ok(event) = net.try_recv() else { break };
                if self.react(Event::Net(event))? == Course::End {
                    self.end();
                    return Ok(());
                }
            }
        }
        self.end();
        Ok(())
    }

    fn react(&mut self, event: Event) -> io::Result<Course> {
        if let Event::Resize(width, height) = event {
            self.resize(width, height)?;
            return Ok(Course::GoOn);
        }
        self.is_dirty = true;
        for effect in update::update(&mut self.state, clock::now(), event) {
            match effect {
                // The connection ends only after this loop.
                Effect::Send(command) => drop(self.commands.send(command)),
                Effect::Quit => return Ok(Course::End),
                Effect::Redraw => self.terminal.reset()?,
                Effect::Stop => self.stop()?,
                Effect::Copy(secret) => self.copy(secret),
                Effect::Run(number, words) => self.run_command(number, words),
                Effect::StopRun => {
                    if let Some(running) = self.running.take() {
                        running.abort();
                    }
                }
                Effect::Export(path, text) => {
                    let result = export(&path, &text).map(|()| path);
                    let result = result.map_err(|error| error.to_string());
                    drop(self.own_events.send(Event::Exported(result)));
                }
                Effect::PipeSecret(command, secret) => {
                    let events = self.own_events.clone();
                    tokio::spawn(async move {
                        let result = pipe::run(&command, &secret).await;
                        drop(events.send(Event::SecretPiped(result)));
                    });
                }
                Effect::WriteSecret(path, secret) => {
                    let result = write_secret(&path, &secret).map(|()| path);
                    let result = result.map_err(|error| error.to_string());
                    drop(self.own_events.send(Event::SecretWritten(result)));
                }
            }
        }
        Ok(Course::GoOn)
    }

    /// Runs a command of the command line beside the screen.
    fn run_command(&mut self, number: u64, words: Vec<String>) {
        let events = self.own_events.clone();
        let socket = self.state.socket_path.clone();
        let running = tokio::spawn(async move {
            let output = run::run(words, &socket).await;
            drop(events.send(Event::Ran(number, Box::new(output))));
        });
        self.running = Some(running.abort_handle());
    }

    /// A secret is painted over before the cells move: a terminal may push what it clears into a
    /// scrollback.
    fn resize(&mut self, width: u16, height: u16) -> io::Result<()> {
        if self.state.shows_secret() {
            let old = self.state.size;
            update::update(&mut self.state, clock::now(), Event::Resize(old.0, old.1));
            self.draw()?;
        }
        update::update(&mut self.state, clock::now(), Event::Resize(width, height));
        self.terminal.reset()?;
        self.is_dirty = true;
        Ok(())
    }

    fn draw(&mut self) -> io::Result<()> {
        self.is_dirty = false;
        let mut frame = ratatui::buffer::Buffer::empty(self.terminal.area());
        let cursor = view::render(&self.state, &mut frame);
        if self.terminal.show(frame, cursor)? {
            self.next_frame = Instant::now() + FRAME;
        }
        Ok(())
    }

    /// Stops the program until the shell continues it.
    fn stop(&mut self) -> io::Result<()> {
        // The reducer has masked the secret; its cells go before the screen does.
        self.draw()?;
        self.terminal.leave();
        // The whole group, as the terminal itself would: a script that runs the console would wait
        // for it, and the shell would never learn that it has the terminal back.
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(0),
            nix::sys::signal::Signal::SIGTSTP,
        )?;
        self.back_at = Some(Instant::now() + FRAME * 4);
        Ok(())
    }

    fn wants_to_wake(&self) -> bool {
        self.is_dirty || self.back_at.is_some()
    }

    fn wake_at(&self) -> Instant {
        self.back_at.unwrap_or(self.next_frame)
    }

    fn come_back(&mut self) -> io::Result<()> {
        self.back_at = None;
        self.terminal.enter()?;
        if self.terminal.is_resized() || self.state.size != dimensions(&self.terminal) {
            let (width, height) = dimensions(&self.terminal);
            self.resize(width, height)?;
        }
        self.is_dirty = true;
        self.next_frame = Instant::now();
        Ok(())
    }

    fn copy(&mut self, secret: Zeroizing<String>) {
        let events = self.own_events.clone();
        match self.multiplexer {
            Multiplexer::Tmux => {
                tokio::spawn(async move {
                    let result = clipboard::through_tmux(&secret).await;
                    let result = result
                        .map(|()| "tmux and its terminal")
                        .map_err(|error| format!("tmux did not take it: {error}"));
                    drop(events.send(Event::Copied(result)));
                });
            }
            other => {
                let result = clipboard::to_terminal(self.terminal.writer(), &secret, other)
                    .map(|()| "the terminal")
                    .map_err(|error| format!("the terminal did not take it: {error}"));
                drop(events.send(Event::Copied(result)));
            }
        }
    }

    /// Leaves with no secret on the screen.
    fn end(mut self) {
        if matches!(self.state.dialog, Some(state::dialog::Dialog::Secret(_))) {
            self.state.dialog = None;
            // A terminal that is gone keeps no cells.
            let _ = self.draw();
        }
        self.terminal.leave();
    }
}

fn dimensions(terminal: &Terminal) -> (u16, u16) {
    let area = terminal.area();
    (area.width, area.height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_cannot_show_it_is_refused_politely() {
        for (term, is_terminal, exit) in [
            ("xterm-256color", true, 0),
            ("xterm-256color", false, 2),
            ("dumb", true, 2),
            ("", true, 2),
        ] {
            let code = check(term, is_terminal).map_or_else(|error| error.exit_code(), |()| 0);
            assert_eq!(code, exit, "{term}");
        }
    }
}
