//! The load: every connection a thread that asks, waits and asks again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use xtask::signals::Interrupt;

use crate::client::{Connection, Expected};

/// How often to look whether a connection has failed.
const LOOK: Duration = Duration::from_millis(50);

const WARMING_UP: u8 = 0;
const MEASURING: u8 = 1;
const ENDED: u8 = 2;

/// What is asked, of whom, by how many and for how long.
pub(crate) struct Load<'a> {
    pub(crate) address: SocketAddr,
    /// Each connection asks all of them in turn, and each begins with another.
    pub(crate) requests: &'a [Vec<u8>],
    pub(crate) expected: Expected,
    pub(crate) connections: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measure: Duration,
}

/// What the load saw while it measured, and what `probe` saw at both ends of that time.
pub(crate) struct Seen<T> {
    pub(crate) before: T,
    pub(crate) after: T,
    pub(crate) answers: u64,
    pub(crate) elapsed: Duration,
    /// How long each answer took, shortest first.
    pub(crate) latencies: Vec<Duration>,
}

struct Shared {
    phase: AtomicU8,
    answers: AtomicU64,
}

impl Load<'_> {
    /// Runs the load. Any answer but the expected one ends it with an error, and so does being told to end.
    pub(crate) fn run<T>(
        &self,
        interrupt: &Interrupt,
        probe: impl Fn() -> anyhow::Result<T>,
    ) -> anyhow::Result<Seen<T>> {
        let shared = Shared {
            phase: AtomicU8::new(WARMING_UP),
            answers: AtomicU64::new(0),
        };
        thread::scope(|scope| {
            let shared = &shared;
            let start = |number| scope.spawn(move || self.connection(number, shared));
            let threads: Vec<_> = (0..self.connections).map(start).collect();
            let measured = self.measure(shared, interrupt, &probe);
            shared.phase.store(ENDED, Ordering::Relaxed);

            let mut latencies = Vec::new();
            for thread in threads {
                let Ok(seen) = thread.join() else {
                    bail!("a connection panicked");
                };
                latencies.extend(seen?);
            }
            let mut seen = measured?;
            latencies.sort_unstable();
            seen.latencies = latencies;
            Ok(seen)
        })
    }

    fn measure<T>(
        &self,
        shared: &Shared,
        interrupt: &Interrupt,
        probe: impl Fn() -> anyhow::Result<T>,
    ) -> anyhow::Result<Seen<T>> {
        pause(self.warm_up, shared, interrupt)?;
        shared.phase.store(MEASURING, Ordering::Relaxed);
        let start = Instant::now();
        let answers = shared.answers.load(Ordering::Relaxed);
        let before = probe()?;
        pause(self.measure, shared, interrupt)?;
        let after = probe()?;
        Ok(Seen {
            before,
            after,
            answers: shared.answers.load(Ordering::Relaxed) - answers,
            elapsed: start.elapsed(),
            latencies: Vec::new(),
        })
    }

    /// One connection, until the end. A failure ends the others as well.
    fn connection(&self, number: usize, shared: &Shared) -> anyhow::Result<Vec<Duration>> {
        let outcome = self.ask_until_the_end(number, shared);
        if outcome.is_err() {
            shared.phase.store(ENDED, Ordering::Relaxed);
        }
        outcome.context("a connection failed")
    }

    fn ask_until_the_end(&self, number: usize, shared: &Shared) -> anyhow::Result<Vec<Duration>> {
        let mut connection = Connection::open(self.address)?;
        let mut latencies = Vec::new();
        let first = number % self.requests.len().max(1);
        for request in self.requests.iter().cycle().skip(first) {
            let start = Instant::now();
            connection.ask(request, self.expected)?;
            let took = start.elapsed();
            shared.answers.fetch_add(1, Ordering::Relaxed);
            match shared.phase.load(Ordering::Relaxed) {
                WARMING_UP => {}
                MEASURING => latencies.push(took),
                _ => break,
            }
        }
        Ok(latencies)
    }
}

/// Waits for a time, or less when a connection fails or we are told to end.
fn pause(time: Duration, shared: &Shared, interrupt: &Interrupt) -> anyhow::Result<()> {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(LOOK));
        let phase = shared.phase.load(Ordering::Relaxed);
        ensure!(phase != ENDED, "a connection failed");
        ensure!(!interrupt.raised(), "interrupted");
    }
}
