//! `cargo xtask bench introspect`.

use std::time::Duration;

use clap::value_parser;
use xtask::signals::Interrupt;

use crate::Algorithm;
use crate::client::{self, Connection, Expected, introspection_request};
use crate::figures::{self, Goal, Row, judged};
use crate::load::{Load, Seen};
use crate::process::require_two_cores;
use crate::server::{Server, Usage};
use crate::token::WARM_UP;

/// The organization of all that takes part.
const ORGANIZATION: &str = "introspection";

/// How many introspections per CPU-second are the goal.
const RATE: f64 = 12_000.0;

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What has signed the tokens.
    #[arg(
        long = "algorithm",
        visible_alias = "alg",
        value_enum,
        ignore_case = true,
        default_value = "ES256"
    )]
    algorithm: Algorithm,
    /// How many agents have a token that is asked about.
    #[arg(long, default_value_t = 64, value_parser = value_parser!(u16).range(1..=1000))]
    agents: u16,
    /// How long to measure each algorithm, in seconds, after a warm-up of two.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How many connections ask at the same time.
    #[arg(long, default_value_t = 64, value_parser = value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Print JSON rather than a table and the goal.
    #[arg(long)]
    json: bool,
}

/// Measures each algorithm on a server of its own, and prints.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    require_two_cores()?;
    let interrupt = Interrupt::catch()?;
    let mut rows = Vec::new();
    for algorithm in arguments.algorithm.names() {
        let server = Server::new(algorithm, algorithm, &interrupt)?;
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
    println!("{}", figures::table("introspections", &rows));
    for row in &rows {
        let name = format!("{}: introspections per CPU-second", row.name);
        println!(
            "{}",
            judged(name, row.per_cpu_second, "", Goal::AtLeast(RATE))
        );
    }
    Ok(())
}

fn measure(
    server: &Server,
    arguments: &Arguments,
    interrupt: &Interrupt,
) -> anyhow::Result<Seen<Usage>> {
    let operator = server.operator();
    let address = server.address()?;
    operator.create_organization(ORGANIZATION)?;
    let resource_server = operator.client(ORGANIZATION, "resource-server", "tokens:read")?;
    let mut requests = Vec::new();
    for number in 0..arguments.agents {
        let name = format!("agent-{number}");
        let agent = operator.client(ORGANIZATION, &name, "documents:read")?;
        let token = client::token(address, &agent)?;
        requests.push(introspection_request(address, &resource_server, &token));
    }
    // The first request pays for hashing the resource server's secret.
    for request in &requests {
        Connection::open(address)?.ask(request, Expected::ACTIVE)?;
    }
    let load = Load {
        address,
        requests: &requests,
        expected: Expected::ACTIVE,
        connections: usize::from(arguments.connections),
        warm_up: WARM_UP,
        measure: Duration::from_secs(arguments.seconds),
    };
    load.run(interrupt, || server.usage())
}
