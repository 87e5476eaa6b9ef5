//! `cargo xtask bench token`.

use std::time::Duration;

use clap::value_parser;

use super::Algorithm;
use super::client::{Connection, token_request};
use super::load::Load;
use super::process::require_two_cores;
use super::report::{self, Row};
use super::server::Server;
use crate::project::{self, Profile};
use crate::signals::Interrupt;

/// Long enough for caches to fill and the processor to reach its speed.
const WARM_UP: Duration = Duration::from_secs(2);

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What signs the tokens.
    #[arg(long, value_enum, ignore_case = true, default_value = "all")]
    alg: Algorithm,
    /// How long to measure each algorithm, in seconds, after a warm-up of two.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How many connections ask at the same time.
    #[arg(long, default_value_t = 64, value_parser = value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Print JSON rather than a table.
    #[arg(long)]
    json: bool,
}

/// Builds, measures each algorithm on a server of its own, and prints.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    require_two_cores()?;
    project::build_programs(Profile::Release)?;
    // From here on there is a daemon to end before us.
    let interrupt = Interrupt::catch()?;
    let mut rows = Vec::new();
    for algorithm in arguments.alg.names() {
        rows.push(measure(algorithm, arguments, &interrupt)?);
    }
    if arguments.json {
        println!("{}", report::json(&rows));
    } else {
        print!("{}", report::table(&rows));
    }
    Ok(())
}

fn measure(
    algorithm: &'static str,
    arguments: &Arguments,
    interrupt: &Interrupt,
) -> anyhow::Result<Row> {
    let server = Server::start(algorithm, interrupt)?;
    let address = server.address()?;
    let request = token_request(address, &server.agent()?);
    // The first request pays for hashing the secret. Sixty-four at once would find the hashing pool
    // full, as they should.
    Connection::open(address)?.ask(&request)?;
    let load = Load {
        address,
        request: &request,
        connections: usize::from(arguments.connections),
        warm_up: WARM_UP,
        measure: Duration::from_secs(arguments.seconds),
    };
    let seen = load.run(interrupt, || server.usage())?;
    server.stop()?;
    Ok(Row::new(algorithm, &seen))
}
