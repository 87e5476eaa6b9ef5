//! `cargo xtask bench registry`.

mod check;
mod compare;
mod fill;
mod list;
mod sample;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::value_parser;
use serde_json::{Value, json};
use xtask::signals::Interrupt;

use crate::figures::{Goal, judged, median};
use crate::process::require_two_cores;
use crate::server::{Place, Server};

/// The file that says what a kept store holds. It is written last, so a store without it is not whole.
const CONTENTS: &str = "contents.json";

/// For so many agents the goals are meant.
const MEANT: u64 = 1_000_000;

/// How often it is started: the machine is not equally fast all the time.
const STARTS: usize = 5;

/// How much memory the daemon may take, in MiB.
const MEMORY: Goal = Goal::AtMost(256.0);

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many agents the store holds.
    #[arg(long, default_value_t = MEANT, value_parser = value_parser!(u64).range(1_000..=10_000_000))]
    pub(crate) agents: u64,
    /// A folder in which the store is kept, to be measured again. Filled only the first time.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// How many calls are under way at once while the store is filled.
    #[arg(long, default_value_t = 4, value_parser = value_parser!(u16).range(1..=64))]
    pub(crate) calls: u16,
    /// How often each list is asked for.
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u32).range(1..=1000))]
    pub(crate) repetitions: u32,
    /// How long each round of tokens takes, in seconds.
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,
}

/// A server with a store of so many agents, filled now unless it was before.
pub(crate) fn filled(arguments: &Arguments, interrupt: &Interrupt) -> anyhow::Result<Server> {
    let place = match &arguments.store {
        Some(folder) => Place::kept(folder)?,
        None => Place::temporary("registry")?,
    };
    let is_filled = is_filled(&place, arguments)?;
    let contents = place.path().join(CONTENTS);
    let server = Server::start(place, "ES256", interrupt)?;
    if arguments.agents < MEANT {
        println!(
            "The goals are meant for {MEANT} agents; these are {}.",
            arguments.agents
        );
    }
    if is_filled {
        return Ok(server);
    }
    let rate = fill::register(&server, arguments, interrupt)?;
    let name = "agents registered per second";
    println!("{}", judged(name, rate, "", Goal::AtLeast(2_000.0)));
    fill::diversify(&server, arguments, interrupt)?;
    let name = "memory after filling";
    println!("{}", judged(name, server.resident_mib()?, "MiB", MEMORY));
    let text = json!({ "agents": arguments.agents }).to_string();
    fs::write(&contents, text).with_context(|| format!("cannot write {}", contents.display()))?;
    Ok(server)
}

/// Fills the store, unless it is, and measures.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    require_two_cores()?;
    let interrupt = Interrupt::catch()?;
    let mut server = filled(arguments, &interrupt)?;
    let mut starts = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        server = server.restart_on_both_cores(&interrupt)?;
        starts.push(server.started_in().as_secs_f64());
    }
    let name = "start until ready, on both cores";
    println!("{}", judged(name, median(&starts), "s", Goal::AtMost(2.0)));
    let server = server.restart(&interrupt)?;
    let name = "memory after the start";
    println!("{}", judged(name, server.resident_mib()?, "MiB", MEMORY));
    list::measure(&server, arguments.repetitions, &interrupt)?;
    let name = "memory after the lists";
    println!("{}", judged(name, server.resident_mib()?, "MiB", MEMORY));
    check::measure(&server, &interrupt)?;
    let time = Duration::from_secs(arguments.seconds);
    compare::measure(&server, time, &interrupt)?;
    let name = "memory after the tokens";
    println!("{}", judged(name, server.resident_mib()?, "MiB", MEMORY));
    server.stop()
}

/// Whether the store is there already, with as many agents as are asked for.
fn is_filled(place: &Place, arguments: &Arguments) -> anyhow::Result<bool> {
    let folder = place.path().display();
    let contents = place.path().join(CONTENTS);
    if !contents.exists() {
        ensure!(
            !place.path().join("store").exists(),
            "{folder} holds a store that was not filled to its end: delete the folder"
        );
        return Ok(false);
    }
    let text = fs::read_to_string(&contents)?;
    let json: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is not what was written", contents.display()))?;
    let agents = json.get("agents").and_then(Value::as_u64);
    if agents != Some(arguments.agents) {
        bail!(
            "{folder} holds a store with {} agents: say --agents with that number, or another folder",
            agents.unwrap_or_default()
        );
    }
    Ok(true)
}
