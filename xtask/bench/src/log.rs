//! `cargo xtask bench log`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Duration, Instant};

use agentidp_shared::merkle::export::{ExportVerifier, ExportWriter, Header};
use agentidp_shared::merkle::{
    Checkpoint, Edge, Grown, LogKey, NodeHash, TileSource, prove_inclusion,
};
use agentidp_shared::{
    Action, Actor, Entry, OrganizationId, Outcome, RequestId, Timestamp, TokenId,
};
use anyhow::Context as _;
use clap::value_parser;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use xtask::signals::Interrupt;

use crate::client::{Connection, Expected, token_request};
use crate::figures::{Goal, judged, percentile};
use crate::load::Load;
use crate::process::require_two_cores;
use crate::server::Server;
use crate::token::WARM_UP;

const ORIGIN: &str = "agentidp/0193f2c4-0000-7000-8000-000000009b20";
/// How many proofs are made.
const PROOFS: u32 = 1_000;
/// How many entries are made before they are verified.
const BATCH: u64 = 4_096;
/// The agent that asks for tokens, and its organization.
const NAME: &str = "log";

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many entries the log has.
    #[arg(long, default_value_t = 1_000_000, value_parser = value_parser!(u64).range(1_000..=100_000_000))]
    entries: u64,
    /// How long a server issues tokens before it is asked for proofs, in seconds.
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u64).range(1..=600))]
    seconds: u64,
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    require_two_cores()?;
    let entries = arguments.entries;
    let mut log = Log::default();
    let grown = log.grow(entries)?;
    let per_token = micros(grown) / figure(entries);
    let name = format!("CPU of the tree for a token, of {entries}");
    println!("{}", judged(name, per_token, "µs", Goal::AtMost(6.0)));
    println!(
        "{}",
        judged(
            "CPU of a checkpoint",
            micros(log.sign()?),
            "µs",
            Goal::AtMost(1_000.0)
        )
    );
    let proof = micros(log.prove(entries)?) / f64::from(PROOFS);
    println!(
        "{}",
        judged(
            "CPU of a proof from tiles",
            proof,
            "µs",
            Goal::AtMost(1_000.0)
        )
    );
    let verified = log.verify(entries)?.as_secs_f64() * 1e6 / figure(entries);
    let name = "CPU to verify 1,000,000 entries of an export";
    println!("{}", judged(name, verified, "s", Goal::AtMost(10.0)));
    from_a_server(arguments.seconds)
}

/// The CPU time of this thread.
fn cpu() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).context("cannot get the CPU time")?;
    let both = usage.user_time() + usage.system_time();
    Ok(Duration::from_micros(
        both.num_microseconds().try_into().unwrap_or_default(),
    ))
}

/// The CPU time of this thread since it was `before`.
fn since(before: Duration) -> anyhow::Result<Duration> {
    Ok(cpu()?.saturating_sub(before))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[expect(
    clippy::cast_precision_loss,
    reason = "figures are rounded for people, and no count here comes near 2^52"
)]
const fn figure(count: u64) -> f64 {
    count as f64
}

/// The entry of a token.
fn entry(seq: u64) -> anyhow::Result<Vec<u8>> {
    let id = |kind: u8| {
        let mut id = [kind; 16];
        let (_, last) = id.split_at_mut(8);
        last.copy_from_slice(&seq.to_be_bytes());
        id
    };
    let time = Timestamp::from_millis(1_795_248_000_000 + i64::try_from(seq)?);
    let actor = Actor {
        id: Some(OrganizationId::from_bytes([7; 16]).to_string()),
        name: Some("screener-001@acme.example".to_owned()),
        ..Actor::client("192.0.2.7".to_owned())
    };
    let mut entry = Entry::new(time, actor, Action::TokenIssue, Outcome::Success);
    entry.seq = seq;
    entry.organization_id = Some(OrganizationId::from_bytes([3; 16]));
    entry.request_id = Some(RequestId::from_bytes(id(1)));
    entry.jti = Some(TokenId::from_bytes(id(2)));
    entry.scope = Some("resume:read resume:write".to_owned());
    entry.audience = vec!["https://mcp.example/".to_owned()];
    entry.expires_at = Some(time);
    Ok(serde_json::to_vec(&entry)?)
}

/// A log, as the daemon keeps it.
#[derive(Default)]
struct Log {
    full: HashMap<(u8, u64), Vec<u8>>,
    edge: Edge,
}

impl TileSource for Log {
    type Error = Infallible;

    fn hashes(&self, level: u8, index: u64) -> Result<Vec<NodeHash>, Infallible> {
        let bytes = self.full.get(&(level, index));
        let (hashes, _) = bytes.map_or([].as_slice(), Vec::as_slice).as_chunks();
        Ok(hashes.iter().copied().map(NodeHash::from_bytes).collect())
    }
}

impl Log {
    /// Appends entries, and gives the time that it took beyond making them.
    fn grow(&mut self, count: u64) -> anyhow::Result<Duration> {
        let mut taken = Duration::ZERO;
        for first in (0..count).step_by(usize::try_from(BATCH)?) {
            let last = count.min(first + BATCH);
            let entries: Vec<_> = (first..last).map(entry).collect::<Result<_, _>>()?;
            let before = cpu()?;
            for entry in &entries {
                let full = &mut self.full;
                self.edge
                    .push(NodeHash::of_leaf(entry), |level, index, hashes| {
                        let bytes = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
                        full.insert((level, index), bytes);
                    });
            }
            taken += since(before)?;
        }
        Ok(taken)
    }

    fn key() -> anyhow::Result<LogKey> {
        Ok(LogKey::from_seed(ORIGIN.to_owned(), &[5; 32])?)
    }

    fn checkpoint(&self, key: &LogKey) -> anyhow::Result<String> {
        let checkpoint = Checkpoint::new(ORIGIN.to_owned(), self.edge.size(), self.edge.root());
        Ok(checkpoint.sign(key)?.to_string())
    }

    /// The time of a checkpoint.
    fn sign(&self) -> anyhow::Result<Duration> {
        let key = Self::key()?;
        let before = cpu()?;
        for _ in 0..100 {
            black_box(self.checkpoint(&key)?);
        }
        Ok(since(before)? / 100)
    }

    /// The time of [`PROOFS`] proofs.
    fn prove(&self, size: u64) -> anyhow::Result<Duration> {
        let tiles = Grown {
            full: self,
            edge: &self.edge,
        };
        let before = cpu()?;
        for number in 0..u64::from(PROOFS) {
            let place = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size;
            black_box(prove_inclusion(&tiles, place, size)?);
        }
        since(before)
    }

    /// The time to verify a complete export.
    fn verify(&self, count: u64) -> anyhow::Result<Duration> {
        let key = Self::key()?;
        let header = Header::complete(0, count, Vec::new(), self.checkpoint(&key)?);
        let mut writer = ExportWriter::begin(Vec::new(), &header)?;
        let mut verifier = ExportVerifier::new(key.verifier().clone());
        let mut taken = Duration::ZERO;
        for first in (0..count).step_by(usize::try_from(BATCH)?) {
            for seq in first..count.min(first + BATCH) {
                writer.entry(&entry(seq)?)?;
            }
            let bytes = std::mem::take(writer.out());
            let before = cpu()?;
            verifier.push(&bytes)?;
            taken += since(before)?;
        }
        let rest = writer.end(Vec::new())?;
        let before = cpu()?;
        verifier.push(&rest)?;
        verifier.finish()?;
        Ok(taken + since(before)?)
    }
}

/// Has a server issue tokens, and asks it for proofs.
fn from_a_server(seconds: u64) -> anyhow::Result<()> {
    let interrupt = Interrupt::catch()?;
    let server = Server::new("log", "EdDSA", &interrupt)?;
    let operator = server.operator();
    operator.create_organization(NAME)?;
    let client = operator.client(NAME, NAME, "tokens:use")?;
    let address = server.address()?;
    let requests = [token_request(address, &client)];
    for request in &requests {
        Connection::open(address)?.ask(request, Expected::TOKEN)?;
    }
    let load = Load {
        address,
        requests: &requests,
        expected: Expected::TOKEN,
        connections: 64,
        warm_up: WARM_UP,
        measure: Duration::from_secs(seconds),
    };
    let seen = load.run(&interrupt, || server.usage())?;
    // The first waits until a checkpoint covers everything.
    operator.prove(seen.answers)?;
    let before = server.cpu()?;
    let mut times = Vec::new();
    for number in 0..u64::from(PROOFS) {
        let place = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % seen.answers;
        let begin = Instant::now();
        operator.prove(place)?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    let cpu = micros(server.cpu()?.saturating_sub(before)) / f64::from(PROOFS) / 1e3;
    let of = format!("of {} entries, by the server", seen.answers);
    println!(
        "{}",
        judged(format!("CPU of a proof {of}"), cpu, "ms", Goal::AtMost(1.0))
    );
    let p99 = percentile(&times, 99);
    println!(
        "{}",
        judged("time of 99 in 100 of them", p99, "ms", Goal::AtMost(5.0))
    );
    server.stop()
}
