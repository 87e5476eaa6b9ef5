//! Cycles of load, a sudden end, a restart, and a look at what is left.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::time::sleep;
use xtask::signals::Interrupt;

use crate::Common;
use crate::disk::{Disk, Knife};
use crate::load::Crowd;
use crate::oracle::verify::Depth;
use crate::oracle::{Oracle, Power};
use crate::random::Random;
use crate::running::Running;
use crate::site::{Site, succeed};

/// How often everything is looked at, and not only what is new.
const DEEP: u64 = 10;
/// The longest time of load, in milliseconds. Longer than the daemon waits before it makes its index
/// durable, so that ends during that come about.
const LOAD: u64 = 1_500;
const LONG_LOAD: u64 = 6_500;
/// How often the load is a long one, in percent.
const LONG: u64 = 10;

/// Runs cycles.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many times the daemon is ended
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) cycles: u64,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// How the daemon is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By SIGKILL.
    Kill,
    /// By a cut of power.
    Power,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Power => "power",
        }
    }

    const fn ends(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILLs",
            Self::Power => "power cuts",
        }
    }
}

/// What happened so far.
#[derive(Default)]
struct Counts {
    ends: u64,
    while_starting: u64,
}

struct Cycles {
    kind: Kind,
    site: Site,
    disk: Option<Disk>,
    oracle: Arc<Oracle>,
    random: Random,
    counts: Counts,
    /// How long the last start took.
    start: Duration,
}

/// Tortures, and prints what came of it.
///
/// # Errors
///
/// When something was lost or invented, a store did not open, or the torture could not be done.
pub(crate) async fn run(kind: Kind, arguments: &Arguments) -> anyhow::Result<()> {
    let seed = arguments.common.seed();
    let interrupt = Interrupt::catch()?;
    println!(
        "{}: {} {} under mixed load, seed {seed}",
        kind.name(),
        arguments.cycles,
        kind.ends()
    );
    let begun = Instant::now();
    let site = Site::new(kind.name(), arguments.common.profile())?;
    let disk = match kind {
        Kind::Kill => None,
        Kind::Power => Some(Disk::make(site.folder().join("disk.ext4"), site.disk())?),
    };
    let mut cycles = Cycles {
        kind,
        site,
        disk,
        oracle: Arc::default(),
        random: Random::new(seed),
        counts: Counts::default(),
        start: Duration::from_millis(300),
    };
    let outcome = cycles.run(arguments.cycles, &interrupt).await;
    cycles.conclude(&outcome, begun.elapsed(), seed);
    outcome.with_context(|| {
        format!(
            "failed in cycle {}, with seed {seed}",
            cycles.counts.ends + 1
        )
    })?;
    drop(cycles.disk);
    cycles.site.remove()
}

impl Cycles {
    async fn run(&mut self, cycles: u64, interrupt: &Interrupt) -> anyhow::Result<()> {
        self.site.init()?;
        let mut running = self.site.start().await?;
        let crowd = Crowd::gather(&running, &self.oracle, self.random.fork(1)).await;
        let mut crowd = crowd?;
        let mut told = Instant::now();
        while self.counts.ends < cycles {
            ensure!(!interrupt.raised(), "interrupted");
            let load = crowd.start(&running, self.kind == Kind::Power).await?;
            let knife = self.knife()?;
            sleep(self.load_for()).await;
            self.end(&mut running, knife).await?;
            crowd.join(load).await?;
            self.counts.ends += 1;
            self.restore()?;
            while self.counts.ends < cycles && self.random.chance(25) {
                self.end_while_starting().await?;
            }
            self.keep()?;
            running = self.site.start().await?;
            self.start = running.ready_after();
            let is_deep = self.counts.ends.is_multiple_of(DEEP) || self.counts.ends == cycles;
            let depth = if is_deep { Depth::All } else { Depth::New };
            let mut random = self.random.fork(1_000 + self.counts.ends);
            self.oracle
                .verify(&running, crowd.reader(), depth, &mut random)
                .await
                .with_context(|| format!("after the restart{}", running.said()))?;
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                self.tell();
            }
        }
        let status = running.stop().await?;
        ensure!(
            status.success(),
            "the last stop: {status}{}",
            running.said()
        );
        match self.site.complaints()? {
            Some(complaints) => anyhow::bail!(complaints),
            None => Ok(()),
        }
    }

    fn load_for(&mut self) -> Duration {
        let longest = if self.random.chance(LONG) {
            LONG_LOAD
        } else {
            LOAD
        };
        Duration::from_millis(self.random.below(longest))
    }

    /// Ends the daemon.
    async fn end(&mut self, running: &mut Running, knife: Option<Knife>) -> anyhow::Result<()> {
        if let Some(status) = running.ended()? {
            anyhow::bail!("the daemon ended by itself: {status}{}", running.said());
        }
        if let Some(knife) = knife {
            self.oracle.set_power(Power::Going);
            knife.cut()?;
            self.oracle.set_power(Power::Off);
            // It may notice that its disk is gone before it is: nothing may be acknowledged any more.
            sleep(Duration::from_millis(self.random.below(200))).await;
        }
        running.kill()?;
        Ok(())
    }

    /// What the power is cut with, if it is.
    fn knife(&self) -> anyhow::Result<Option<Knife>> {
        self.disk.as_ref().map(Disk::knife).transpose()
    }

    /// Gives the power back.
    fn restore(&mut self) -> anyhow::Result<()> {
        self.oracle.set_power(Power::On);
        if let Some(disk) = &mut self.disk {
            disk.unmount()?;
            disk.mount_anyhow(&mut self.random)?;
        }
        Ok(())
    }

    /// Starts the daemon and ends it before it is ready, or right then.
    async fn end_while_starting(&mut self) -> anyhow::Result<()> {
        let knife = self.knife()?;
        let mut running = self.site.spawn(&mut self.site.agentidpd(&["run"]))?;
        let longest = u64::try_from(self.start.as_micros())?;
        sleep(Duration::from_micros(self.random.below(longest))).await;
        self.end(&mut running, knife).await?;
        self.counts.ends += 1;
        self.counts.while_starting += 1;
        self.restore()
    }

    /// Keeps a copy of the store as the last end left it, for whoever has to find out what went wrong.
    fn keep(&self) -> anyhow::Result<()> {
        let kept = self.kept();
        if kept.exists() {
            std::fs::remove_dir_all(&kept)?;
        }
        succeed(
            Command::new("cp")
                .arg("-a")
                .arg(self.site.disk())
                .arg(&kept),
        )
        .map(drop)
    }

    fn kept(&self) -> PathBuf {
        self.site.folder().join("before-the-last-start")
    }

    fn tell(&self) {
        let figures = self.oracle.figures();
        println!(
            "  {} {} ({} while starting): {} acknowledged, {} unknown, {} of them done",
            self.counts.ends,
            self.kind.ends(),
            self.counts.while_starting,
            figures.acknowledged(),
            figures.unknown,
            figures.found
        );
    }

    fn conclude(&self, outcome: &anyhow::Result<()>, took: Duration, seed: u64) {
        let figures = self.oracle.figures();
        let summary = format!(
            "{} {}, {} of them while starting: {} acknowledged ({} tokens, {} changes, {} revocations), \
             {} refused as they had to be, {} whose answer did not come ({} of them done); \
             verified {} times; {} s; seed {seed}",
            self.counts.ends,
            self.kind.ends(),
            self.counts.while_starting,
            figures.acknowledged(),
            figures.tokens,
            figures.changes,
            figures.revocations,
            figures.refusals,
            figures.unknown,
            figures.found,
            figures.verified,
            took.as_secs()
        );
        match outcome {
            Ok(()) => println!("{}: 0 lost, 0 invented; {summary}", self.kind.name()),
            Err(_) => println!(
                "{}: FAILED; {summary}\n  the store: {}\n  as it was before the last start: {}\n  what the daemons wrote: {}",
                self.kind.name(),
                self.disk
                    .as_ref()
                    .map_or(self.site.disk(), Disk::image)
                    .display(),
                self.kept().display(),
                self.site.stderr().display()
            ),
        }
    }
}
