//! `cargo xtask bench console`: the console in a real pseudo-terminal, as an operator has it.
//!
//! What is waited for is what the terminal shows, so every time is one that an operator would have
//! waited. A console that does not do what it should ends the benchmark.

mod line;
mod tail;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use agentidp_proto::v1;
use agentidp_tests::{Terminal, TestConsole};
use anyhow::Context as _;
use clap::value_parser;
use nix::sys::signal::Signal;
use tempfile::TempDir;
use xtask::project::{Profile, program};
use xtask::signals::Interrupt;

use crate::figures::{Goal, judged, percentile};
use crate::process::{cpu_time, require_two_cores, resident_kib};
use crate::registry;
use crate::server::Server;

/// How long nothing happens while it is looked whether anything is written or done.
const IDLE: Duration = Duration::from_secs(20);

/// How often the console is started, and how often a key is pressed.
const STARTS: usize = 20;
const PRESSES: usize = 200;

/// The time between two keys: longer than that between two frames, as with a hand.
const HAND: Duration = Duration::from_millis(80);

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many agents the store holds.
    #[arg(long, default_value_t = 1_000_000, value_parser = value_parser!(u64).range(1_000..=10_000_000))]
    agents: u64,
    /// A folder in which the store is kept, that of `registry` too. Filled only the first time.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

/// What consoles are started with.
struct Desk {
    program: PathBuf,
    socket: PathBuf,
    config: String,
    folder: TempDir,
    /// The e-mails of the newest agents, as the list begins.
    newest: Vec<String>,
    /// And that of the oldest, as it ends.
    oldest: String,
}

impl Desk {
    fn new(server: &Server) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("console.toml");
        fs::write(&config, "clock = false\n")?;
        let list = |limit, ascending| {
            let answer = server.operator().list(v1::ListAgentsRequest {
                limit,
                order: "created".to_owned(),
                ascending,
                ..v1::ListAgentsRequest::default()
            })?;
            let agents = answer.agents.into_iter().filter_map(|it| it.agent);
            anyhow::Ok(agents.map(|it| it.email).collect::<Vec<_>>())
        };
        let oldest = list(1, true)?.pop().context("no agents")?;
        Ok(Self {
            program: program(Profile::Release, "agentidp"),
            socket: server.socket(),
            config: config.to_str().context("not a path in UTF-8")?.to_owned(),
            folder,
            newest: list(100, false)?,
            oldest,
        })
    }

    /// Starts a console and waits for its list.
    fn open(&self) -> TestConsole {
        let mut console = self.start();
        console.wait_for("LIVE");
        console.wait_until("a list", is_listed);
        console
    }

    fn start(&self) -> TestConsole {
        TestConsole::open(&Terminal {
            program: &self.program,
            arguments: &["--config", &self.config],
            socket: &self.socket,
            environment: &[],
            size: (24, 80),
        })
    }

    /// What the selected row of one of the newest agents begins with.
    fn row(&self, number: usize) -> anyhow::Result<String> {
        let email = self.newest.get(number).context("too few agents")?;
        Ok(selected(email))
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    require_two_cores()?;
    let interrupt = Interrupt::catch()?;
    let server = registry::filled(
        &registry::Arguments {
            agents: arguments.agents,
            store: arguments.store.clone(),
            calls: 4,
            repetitions: 1,
            seconds: 1,
        },
        &interrupt,
    )?;
    let desk = Desk::new(&server)?;
    first_frame(&desk);
    key_to_frame(&desk);
    idle(&desk)?;
    pages(&desk)?;
    line::sixty_keys(&desk)?;
    tail::rate(&desk, &server, &interrupt)?;
    hang_up(&desk);
    server.stop()
}

fn figure(name: &str, value: f64, unit: &'static str, most: f64) {
    println!("{}", judged(name, value, unit, Goal::AtMost(most)));
}

fn first_frame(desk: &Desk) {
    let (mut frames, mut lists) = (Vec::new(), Vec::new());
    for _start in 0..STARTS {
        let start = Instant::now();
        let mut console = desk.start();
        console.wait_for("agentidp");
        frames.push(start.elapsed());
        console.wait_until("a list", is_listed);
        lists.push(start.elapsed());
    }
    frames.sort_unstable();
    lists.sort_unstable();
    figure("first frame, p95", percentile(&frames, 95), "ms", 100.0);
    figure(
        "first page of agents, p95",
        percentile(&lists, 95),
        "ms",
        200.0,
    );
}

fn key_to_frame(desk: &Desk) {
    let mut console = desk.open();
    let mut times = Vec::new();
    for number in 0..PRESSES {
        let before = settled(&mut console);
        let pressed = Instant::now();
        console.press(if number % 2 == 0 { "j" } else { "k" });
        console.wait_until("another frame", |screen| screen != before);
        times.push(pressed.elapsed());
    }
    times.sort_unstable();
    figure("key to frame, p95", percentile(&times, 95), "ms", 20.0);
}

fn idle(desk: &Desk) -> anyhow::Result<()> {
    let mut console = desk.open();
    let pid = u32::try_from(console.pid().as_raw())?;
    // What follows the first list by itself has come when nothing comes for two seconds.
    let before = console.written_after(Duration::from_secs(2));
    let cpu = cpu_time(pid)?;
    thread::sleep(IDLE);
    let used = cpu_time(pid)?.saturating_sub(cpu);
    let after = console.written_after(Duration::from_millis(1));
    let bytes = u32::try_from(after - before)?;
    let seconds = IDLE.as_secs_f64();
    figure(
        "bytes to the terminal while idle",
        f64::from(bytes) / seconds,
        "B/s",
        0.0,
    );
    let percent = 100.0 * used.as_secs_f64() / seconds;
    // The clock ticks every 10 ms: less than one tick in the time is no tick, and one is chance.
    figure("CPU while idle", percent, "%", 0.05);
    Ok(())
}

fn pages(desk: &Desk) -> anyhow::Result<()> {
    let mut console = desk.open();
    let pid = u32::try_from(console.pid().as_raw())?;
    let mut time = |keys: &str, row: Option<&str>| {
        let before = settled(&mut console);
        let start = Instant::now();
        console.press(keys);
        console.wait_until("the rows", |screen| {
            screen != before && row.map_or(is_listed(screen), |row| screen.contains(row))
        });
        start.elapsed()
    };
    let mut turns: Vec<_> = (0..100).map(|_| time("\u{4}", None)).collect();
    turns.sort_unstable();
    let last = time("G", Some(&selected(&desk.oldest)));
    let first = time("g", Some(&desk.row(0)?));
    figure("half a page on, p95", percentile(&turns, 95), "ms", 100.0);
    figure("to the last agent", last.as_secs_f64() * 1e3, "ms", 200.0);
    figure("to the first agent", first.as_secs_f64() * 1e3, "ms", 200.0);
    for (filter, what) in [
        ("owner=team-007", "a filter by owner"),
        ("status=suspended", "a filter by status"),
        ("email=screener-0000", "a filter by e-mail"),
    ] {
        console.press(&format!("/{filter}"));
        console.wait_for(filter);
        let _ = settled(&mut console);
        let start = Instant::now();
        console.press("\r");
        // The title has the filter, and the number of those that pass, once they are there.
        console.wait_until(what, |screen| {
            let title = screen.lines().nth(1).unwrap_or_default();
            title.contains(filter) && is_listed(screen) && !screen.contains("loading")
        });
        figure(what, start.elapsed().as_secs_f64() * 1e3, "ms", 200.0);
        console.press("q");
        console.wait_until("all agents", |screen| {
            !screen.contains(filter) && is_listed(screen)
        });
    }
    let resident = u32::try_from(resident_kib(pid)?)?;
    figure(
        "memory of the console",
        f64::from(resident) / 1024.0,
        "MiB",
        40.0,
    );
    Ok(())
}

fn hang_up(desk: &Desk) {
    let console = desk.open();
    let start = Instant::now();
    console.signal(Signal::SIGHUP);
    let _ = console.wait_for_end();
    figure(
        "end after a hang-up",
        start.elapsed().as_secs_f64(),
        "s",
        1.0,
    );
}

/// What the selected row of an agent begins with.
fn selected(email: &str) -> String {
    format!("> {}", email.chars().take(18).collect::<String>())
}

/// What the terminal shows once nothing more is on its way.
fn settled(console: &mut TestConsole) -> String {
    console.written_after(HAND);
    console.screen()
}

/// Whether there is a row that is selected.
fn is_listed(screen: &str) -> bool {
    screen
        .lines()
        .any(|line| line.trim_start().starts_with("> "))
}
