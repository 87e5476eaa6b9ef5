//! Tokens per CPU-second in the full store against an empty one.

use std::time::Duration;

use xtask::signals::Interrupt;

use crate::client::{Connection, Expected, token_request};
use crate::figures::{self, Goal, Row, judged, median};
use crate::load::Load;
use crate::server::Server;
use crate::token::WARM_UP;

/// How often each store has its turn, half of them first: the machine is not equally fast all the time.
const ROUNDS: usize = 6;

/// How many connections ask.
const CONNECTIONS: usize = 64;

/// One store and the request for a token that it is asked with.
struct Side<'a> {
    name: &'static str,
    server: &'a Server,
    requests: [Vec<u8>; 1],
}

/// Measures both in turns and prints.
pub(super) fn measure(full: &Server, time: Duration, interrupt: &Interrupt) -> anyhow::Result<()> {
    let empty = Server::new("empty", "ES256", interrupt)?;
    let sides = [side("empty", &empty)?, side("full", full)?];
    let [of_empty, of_full] = &sides;
    let (mut rows, mut costs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let measured = |side: &Side<'_>| {
            let load = Load {
                address: side.server.address()?,
                requests: &side.requests,
                expected: Expected::TOKEN,
                connections: CONNECTIONS,
                warm_up: WARM_UP,
                measure: time,
            };
            let seen = load.run(interrupt, || side.server.usage())?;
            anyhow::Ok(Row::new(side.name, &seen))
        };
        // Each goes first in its turn, so that a machine that gets slower makes no difference.
        let (in_empty, in_full) = if round.is_multiple_of(2) {
            let in_empty = measured(of_empty)?;
            (in_empty, measured(of_full)?)
        } else {
            let in_full = measured(of_full)?;
            (measured(of_empty)?, in_full)
        };
        costs.push(in_empty.per_cpu_second / in_full.per_cpu_second);
        rows.extend([in_empty, in_full]);
    }
    println!("\n{}", figures::table("tokens", &rows));
    let name = "cost of a token against an empty store";
    println!("{}", judged(name, median(&costs), "×", Goal::AtMost(1.1)));
    empty.stop()
}

/// Makes an organization and an agent of its own, whatever earlier runs left in the store.
fn side<'a>(name: &'static str, server: &'a Server) -> anyhow::Result<Side<'a>> {
    let operator = server.operator();
    // The audit log only grows, so this has not been there before.
    let entries = operator.status()?.store.unwrap_or_default().entries;
    let unique = format!("load-{entries}");
    operator.create_organization(&unique)?;
    let client = operator.client(&unique, &unique, "tokens:use")?;
    let address = server.address()?;
    let requests = [token_request(address, &client)];
    for request in &requests {
        Connection::open(address)?.ask(request, Expected::TOKEN)?;
    }
    Ok(Side {
        name,
        server,
        requests,
    })
}
