//! `cargo xtask bench timing`.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::SocketAddr;
use std::time::Instant;

use agentidp_shared::secret::ClientSecret;
use agentidp_shared::{AgentId, CredentialId};
use anyhow::{Context as _, ensure};
use clap::value_parser;
use xtask::signals::Interrupt;

use crate::client::{self, Connection, Expected, introspection_request, token_request};
use crate::figures::median;
use crate::operator::Client;
use crate::process::require_two_cores;
use crate::server::Server;
use crate::statistics::{mann_whitney_p, welch_t};

/// Beyond this much Welch's t says that two samples differ, as dudect has it.
const LIMIT: f64 = 4.5;

/// Of each pair, the longest times are what else the machine does: t is taken without these as well.
const KEPT: f64 = 0.95;

const ORGANIZATION: &str = "timing";

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many times each case is asked for at each endpoint; about five milliseconds each.
    #[arg(long, default_value_t = 2000, value_parser = value_parser!(u32).range(100..=100_000))]
    samples: u32,
    /// How many connections take turns.
    #[arg(long, default_value_t = 4, value_parser = value_parser!(u8).range(1..=64))]
    connections: u8,
}

/// Why a client is refused.
struct Case {
    name: &'static str,
    client: Client,
}

/// Asks, compares and prints.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    require_two_cores()?;
    let interrupt = Interrupt::catch()?;
    let server = Server::new("timing", "ES256", &interrupt)?;
    let address = server.address()?;
    let good = client_of(&server)?;
    let token = client::token(address, &good)?;
    let cases = cases(&server, good)?;

    println!(
        "{:<18} {:<34} {:>12} {:>8} {:>8} {:>8}  verdict",
        "endpoint", "first, second", "medians, µs", "t", "t, cut", "p"
    );
    let mut are_alike = true;
    for endpoint in ["/oauth2/token", "/oauth2/introspect"] {
        let requests: Vec<_> = cases
            .iter()
            .map(|case| match endpoint {
                "/oauth2/token" => token_request(address, &case.client),
                _ => introspection_request(address, &case.client, &token),
            })
            .collect();
        let times = sample(address, &requests, arguments, &interrupt)?;
        are_alike &= compare(endpoint, &cases, &times);
    }
    println!(
        "t: Welch's, of all times, and of those below the 95th percentile of both. p: of the \
         Mann–Whitney test.\nSamples of one distribution have |t| < {LIMIT} but for one time in \
         100,000.\nTiming of unknown client, suspended agent and wrong secret: {}",
        if are_alike {
            "indistinguishable"
        } else {
            "DISTINGUISHABLE"
        }
    );
    server.stop()
}

/// An agent that gets tokens.
fn client_of(server: &Server) -> anyhow::Result<Client> {
    server.operator().create_organization(ORGANIZATION)?;
    server
        .operator()
        .client(ORGANIZATION, "good", "documents:read")
}

/// The three ways of being refused that must not be told apart. Each brings a well-formed secret, so
/// that none is refused for its form.
fn cases(server: &Server, good: Client) -> anyhow::Result<Vec<Case>> {
    let real = ClientSecret::parse(&good.secret).context("not a client secret")?;
    let wrong = ClientSecret::new(real.credential_id(), &[7; 32]);
    let suspended = server
        .operator()
        .client(ORGANIZATION, "suspended", "tokens:read")?;
    server.operator().suspend(&suspended.id)?;
    // Ids of nobody, beside those that there are.
    let agent: AgentId = good.id.parse()?;
    let nobody = AgentId::from_bytes(beside(*agent.as_bytes()));
    let credential = CredentialId::from_bytes(beside(*real.credential_id().as_bytes()));
    let stranger = ClientSecret::new(credential, &[7; 32]);
    Ok(vec![
        Case {
            name: "unknown client",
            client: Client {
                id: nobody.to_string(),
                secret: stranger.expose().to_owned(),
            },
        },
        Case {
            name: "suspended agent",
            client: suspended,
        },
        Case {
            name: "wrong secret",
            client: Client {
                id: good.id,
                secret: wrong.expose().to_owned(),
            },
        },
    ])
}

/// The id that differs in its last bit.
fn beside(id: [u8; 16]) -> [u8; 16] {
    (u128::from_be_bytes(id) ^ 1).to_be_bytes()
}

/// Times of each request in microseconds, asked for in random order.
fn sample(
    address: SocketAddr,
    requests: &[Vec<u8>],
    arguments: &Arguments,
    interrupt: &Interrupt,
) -> anyhow::Result<Vec<Vec<f64>>> {
    let open = |_number| Connection::open(address);
    let mut connections: Vec<_> = (0..arguments.connections)
        .map(open)
        .collect::<Result<_, _>>()?;
    let count = usize::try_from(arguments.samples)?;
    let mut order: Vec<_> = (0..requests.len())
        .flat_map(|case| std::iter::repeat_n(case, count))
        .collect();
    shuffle(&mut order);
    // The first of the order are asked for twice: before, to warm up.
    let warm_up = order.iter().take(count / 10);
    let turns = warm_up.map(|case| (case, false));
    let turns = turns.chain(order.iter().map(|case| (case, true)));

    let mut times = vec![Vec::with_capacity(count); requests.len()];
    let number = connections.len();
    for (turn, (&case, counts)) in turns.enumerate() {
        ensure!(!interrupt.raised(), "interrupted");
        let connection = connections.get_mut(turn % number);
        let (connection, request) = connection
            .zip(requests.get(case))
            .context("a turn without a connection")?;
        let start = Instant::now();
        connection.ask(request, Expected::REFUSED)?;
        let took = start.elapsed();
        if let Some(times) = times.get_mut(case).filter(|_| counts) {
            times.push(took.as_secs_f64() * 1e6);
        }
    }
    Ok(times)
}

/// Prints every pair. Whether none can be told apart.
fn compare(endpoint: &str, cases: &[Case], times: &[Vec<f64>]) -> bool {
    let all: Vec<_> = cases.iter().zip(times).collect();
    let mut are_alike = true;
    for (at, (first, first_times)) in all.iter().enumerate() {
        for (second, second_times) in all.iter().skip(at + 1) {
            let difference = median(first_times) - median(second_times);
            let t = welch_t(first_times, second_times);
            let (first_cut, second_cut) = cut(first_times, second_times);
            let t_cut = welch_t(&first_cut, &second_cut);
            let p = mann_whitney_p(first_times, second_times);
            let is_alike = t.abs() < LIMIT && t_cut.abs() < LIMIT;
            are_alike &= is_alike;
            println!(
                "{endpoint:<18} {:<34} {difference:>12.1} {t:>8.2} {t_cut:>8.2} {p:>8.4}  {}",
                format!("{}, {}", first.name, second.name),
                if is_alike {
                    "indistinguishable"
                } else {
                    "DISTINGUISHABLE"
                }
            );
        }
    }
    are_alike
}

/// The times of both below one bound, that 95 in 100 of them all are below.
fn cut(first: &[f64], second: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let mut all = [first, second].concat();
    all.sort_unstable_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into few samples, rounded down"
    )]
    let rank = (all.len() as f64 * KEPT) as usize;
    let bound = all.get(rank).copied().unwrap_or(f64::INFINITY);
    let below = |times: &[f64]| times.iter().copied().filter(|&time| time < bound).collect();
    (below(first), below(second))
}

/// Puts a list into a random order (Fisher and Yates).
fn shuffle(list: &mut [usize]) {
    for last in (1..list.len()).rev() {
        let bound = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
        let pick = RandomState::new().build_hasher().finish() % bound;
        list.swap(last, usize::try_from(pick).unwrap_or(last));
    }
}

#[cfg(test)]
mod tests {
    use super::{cut, shuffle};

    #[test]
    fn an_order_keeps_what_it_orders() {
        let mut order: Vec<_> = (0..1000).collect();
        shuffle(&mut order);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn both_lose_what_is_above_one_bound() {
        let first: Vec<_> = (0..10).map(f64::from).collect();
        let second: Vec<_> = (10..20).map(f64::from).collect();
        let (first_cut, second_cut) = cut(&first, &second);
        assert_eq!((first_cut.len(), second_cut.len()), (10, 9));
    }
}
