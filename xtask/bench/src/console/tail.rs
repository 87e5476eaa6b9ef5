//! How fast the log may grow before the console, which follows it, has to leave entries out.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use agentidp_tests::TestConsole;
use anyhow::{Context as _, bail, ensure};
use xtask::signals::Interrupt;

use super::{Desk, is_listed};
use crate::client::{Connection, Expected, token_request};
use crate::figures::{Goal, judged};
use crate::operator::Operator;
use crate::server::Server;

/// The rates that are tried, one after the other, until one is too much.
const RATES: [u32; 7] = [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000];

/// How long each is held.
const HELD: Duration = Duration::from_secs(4);

/// How many connections ask: a token waits for the disk, and shares that wait with others.
const CONNECTIONS: u32 = 64;

/// How late the last entry may be shown.
const LATE: Duration = Duration::from_secs(1);

/// What of a rate has to be reached for it to count; with less, the machine is at its end and not the tail.
const REACHED: f64 = 0.9;

pub(super) fn rate(desk: &Desk, server: &Server, interrupt: &Interrupt) -> anyhow::Result<()> {
    // The server's own connection has not been looked after for longer than the daemon bears.
    let operator = Operator::connect(&server.socket())?;
    // The audit log only grows, so these have not been there before.
    let entries = operator.status()?.store.unwrap_or_default().entries;
    let name = |what: &str| format!("{what}-{entries}");
    operator.create_organization(&name("tail"))?;
    let address = server.address()?;
    let client = |what: &str| {
        let client = operator.client(&name("tail"), &name(what), "tokens:use")?;
        anyhow::Ok(token_request(address, &client))
    };
    let (load, marker) = (client("load")?, client("mark")?);
    for request in [&load, &marker] {
        Connection::open(address)?.ask(request, Expected::TOKEN)?;
    }
    let mut console = desk.open();
    console.wait_until("a list", is_listed);
    console.press("5");
    console.wait_for("FOLLOW");

    let mut kept_up = 0.0;
    for rate in RATES {
        ensure!(!interrupt.raised(), "interrupted");
        let before = gaps(&console)?;
        let reached = hold(address, &load, rate)?;
        let took = shown_after(&mut console, address, &marker, &name("mark"))?;
        let has_gap = gaps(&console)? > before;
        let is_short = reached < REACHED * f64::from(rate);
        if has_gap || took > LATE {
            break;
        }
        kept_up = reached;
        if is_short {
            println!("The machine issues no more than {reached:.0} tokens a second to this load.");
            break;
        }
    }
    let name = "entries a second that the tail shows without a gap";
    println!("{}", judged(name, kept_up, "", Goal::AtLeast(1_000.0)));
    Ok(())
}

/// Asks for tokens at a rate, each connection in its turn; gives the rate that it came to.
fn hold(address: SocketAddr, request: &[u8], rate: u32) -> anyhow::Result<f64> {
    let start = Instant::now();
    let every = Duration::from_secs(1) * CONNECTIONS / rate;
    let answers = thread::scope(|scope| {
        let ask = |number: u32| {
            scope.spawn(move || {
                let mut connection = Connection::open(address)?;
                let mut due = start + every * number / CONNECTIONS;
                let mut answers = 0_u32;
                while due < start + HELD {
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    connection.ask(request, Expected::TOKEN)?;
                    answers += 1;
                    // Whoever is late does not make up for it: the rate would be another.
                    due = (due + every).max(Instant::now());
                }
                anyhow::Ok(answers)
            })
        };
        let threads: Vec<_> = (0..CONNECTIONS).map(ask).collect();
        let mut answers = 0;
        for thread in threads {
            let Ok(seen) = thread.join() else {
                bail!("a connection panicked");
            };
            answers += seen?;
        }
        anyhow::Ok(answers)
    })?;
    Ok(f64::from(answers) / start.elapsed().as_secs_f64())
}

/// How long after its answer the token of another agent stands at the end of the tail.
fn shown_after(
    console: &mut TestConsole,
    address: SocketAddr,
    request: &[u8],
    name: &str,
) -> anyhow::Result<Duration> {
    // The one of before has left the screen: the load has filled it since.
    Connection::open(address)?.ask(request, Expected::TOKEN)?;
    let asked = Instant::now();
    // As much of it as fits beside the organization's.
    let name: String = name.chars().take(9).collect();
    console.wait_until("the last entry", |screen| {
        screen
            .lines()
            .rev()
            .take(5)
            .any(|line| line.contains(&name))
    });
    Ok(asked.elapsed())
}

/// How many gaps the title tells of.
fn gaps(console: &TestConsole) -> anyhow::Result<u64> {
    let screen = console.screen();
    let title = screen.lines().nth(1).unwrap_or_default();
    match title.split_once("gaps ") {
        None => Ok(0),
        Some((_, rest)) => {
            let digits = rest.split_whitespace().next().unwrap_or_default();
            digits.parse().context("a number of gaps")
        }
    }
}
