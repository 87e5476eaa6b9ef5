//! `cargo xtask bench token`.

use std::time::Duration;

use clap::value_parser;
use xtask::signals::Interrupt;

use crate::Algorithm;
use crate::client::{Connection, Expected, token_request};
use crate::figures::{self, Goal, Row, judged};
use crate::load::Load;
use crate::process::require_two_cores;
use crate::server::{Server, Usage};

/// Long enough for caches to fill and the processor to reach its speed.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

/// The agent that asks, and its organization.
const NAME: &str = "load";

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What signs the tokens.
    #[arg(
        long = "algorithm",
        visible_alias = "alg",
        value_enum,
        ignore_case = true,
        default_value = "all"
    )]
    algorithm: Algorithm,
    /// How long to measure each algorithm, in seconds, after a warm-up of two.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How many connections ask at the same time.
    #[arg(long, default_value_t = 64, value_parser = value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Print JSON rather than a table and the goals.
    #[arg(long)]
    json: bool,
}

/// Measures each algorithm on a server of its own, and prints.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    require_two_cores()?;
    // From here on there is a daemon to end before us.
    let interrupt = Interrupt::catch()?;
    let mut rows = Vec::new();
    let mut empty_mib = f64::NAN;
    for algorithm in arguments.algorithm.names() {
        let server = Server::new(algorithm, algorithm, &interrupt)?;
        empty_mib = server.resident_mib()?;
        rows.push(Row::new(
            algorithm,
            &measure(&server, arguments, &interrupt)?,
        ));
        server.stop()?;
    }
    if arguments.json {
        println!("{}", figures::json(&rows));
        return Ok(());
    }
    println!("{}", figures::table("tokens", &rows));
    for row in &rows {
        let name = |what: &str| format!("{}: {what}", row.name);
        let rate = Goal::AtLeast(rate(row.name));
        println!(
            "{}",
            judged(name("tokens per CPU-second"), row.per_cpu_second, "", rate)
        );
        let p99 = name("time of 99 in 100 answers");
        println!("{}", judged(p99, row.p99_ms, "ms", Goal::AtMost(25.0)));
        let bytes = name("journal bytes per token");
        println!(
            "{}",
            judged(bytes, row.journal_bytes, "", Goal::AtMost(600.0))
        );
    }
    let empty = "memory with an empty store";
    println!("{}", judged(empty, empty_mib, "MiB", Goal::AtMost(30.0)));
    Ok(())
}

fn measure(
    server: &Server,
    arguments: &Arguments,
    interrupt: &Interrupt,
) -> anyhow::Result<crate::load::Seen<Usage>> {
    server.operator().create_organization(NAME)?;
    let client = server.operator().client(NAME, NAME, "tokens:use")?;
    let address = server.address()?;
    let requests = [token_request(address, &client)];
    // The first request pays for hashing the secret. Sixty-four at once would find the hashing pool
    // full, as they should.
    for request in &requests {
        Connection::open(address)?.ask(request, Expected::TOKEN)?;
    }
    let load = Load {
        address,
        requests: &requests,
        expected: Expected::TOKEN,
        connections: usize::from(arguments.connections),
        warm_up: WARM_UP,
        measure: Duration::from_secs(arguments.seconds),
    };
    load.run(interrupt, || server.usage())
}

/// How many tokens per CPU-second are the goal.
fn rate(algorithm: &str) -> f64 {
    match algorithm {
        "EdDSA" => 20_000.0,
        "RS256" => 1_300.0,
        _ => 15_000.0,
    }
}
