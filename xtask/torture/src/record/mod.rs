//! Cuts of power where no file system can be mounted: what a scripted run does to its files is recorded,
//! and the states that a cut could have left are made of it, before and after each sync and each change of
//! a name, with nothing, some or all of what was not synced.

mod trace;
mod volume;

use std::fmt;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use xtask::project::Profile;
use xtask::signals::Interrupt;

use crate::base::{Base, come_back};
use crate::faults::require_strace;
use crate::oracle::{Figures, History, Oracle};
use crate::random::Random;
use crate::script;
use crate::site::Site;
use trace::{Event, Reader};
use volume::{Left, Volume};

/// One cut of power.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// How many events there were before it.
    after: usize,
    left: Left,
    /// Which of several with the same.
    number: u64,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            after,
            left,
            number,
        } = self;
        write!(
            f,
            "cut {number} after {after} events, {left:?} of what was not synced left"
        )
    }
}

/// What was recorded.
struct Recording {
    /// The events, each with the time when it was over.
    events: Vec<(i64, Event)>,
    /// What had been acknowledged when.
    history: History,
}

/// Tortures, and prints what came of it.
///
/// # Errors
///
/// When something was lost or invented, a store did not open, or the torture could not be done.
pub(crate) async fn run(cycles: u64, profile: Profile, seed: u64) -> anyhow::Result<()> {
    let interrupt = Interrupt::catch()?;
    require_strace()?;
    let begun = Instant::now();
    let mut random = Random::new(seed);
    let base = Base::make("record", profile, &random).await?;
    let recording = record(&base, random.fork(4)).await?;
    let mut cuts = cuts(&recording.events);
    let all = cuts.len();
    while cuts.len() > usize::try_from(cycles)? {
        cuts.remove(random.index(cuts.len()));
    }
    let syncs = recording.events.iter().filter(|(_, it)| it.is_sync());
    println!(
        "power: {} of {all} cuts in a recorded run of {} writes, names and syncs ({} syncs), seed {seed}",
        cuts.len(),
        recording.events.len(),
        syncs.count()
    );
    let place = base.site.folder().join("run");
    let mut volume = Volume::read(base.site.disk())?;
    let (mut at, mut figures, mut told) = (0, Figures::default(), Instant::now());
    for (number, cut) in cuts.iter().enumerate() {
        ensure!(!interrupt.raised(), "interrupted");
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            println!("  {number} of {}", cuts.len());
        }
        for (_, event) in recording.events.get(at..cut.after).unwrap_or_default() {
            volume.apply(event)?;
        }
        at = cut.after;
        let site = base.site.copy_to(place.clone())?;
        fs::remove_dir_all(site.disk())?;
        fs::create_dir(site.disk())?;
        let mut random = Random::new(seed).fork(100 + u64::try_from(number)?);
        volume.leave(site.disk(), cut.left, &mut random)?;
        let oracle = recording.acknowledged_before(cut, &base.oracle);
        let outcome = come_back(&site, Some(&oracle), random).await;
        figures.add(oracle.figures());
        if let Err(error) = outcome {
            println!(
                "power: FAILED: {cut}\n  its store: {}\n  the recording: {}",
                site.folder().display(),
                base.site.folder().display()
            );
            return Err(error).with_context(|| format!("{cut}, with seed {seed}"));
        }
    }
    println!(
        "power: 0 lost, 0 invented, every store opened; {} cuts of a recorded run, verified {} times; {} s; \
         seed {seed}",
        cuts.len(),
        figures.verified,
        begun.elapsed().as_secs()
    );
    if place.exists() {
        Site::at(place, profile)?.remove()?;
    }
    base.site.remove()
}

/// Runs the script, recorded.
async fn record(base: &Base, random: Random) -> anyhow::Result<Recording> {
    let site = base.site.copy_to(base.site.folder().join("run"))?;
    let log = base.site.folder().join("strace.log");
    let oracle = Arc::new(base.oracle.copy());
    oracle.begin_history();
    let mut command = trace::record(&log, &site.agentidpd(&["run"]));
    let mut running = site.spawn(&mut command)?;
    running.wait_until_ready().await?;
    let outcome = script::run(&running, &oracle, random, "run").await?;
    ensure!(!outcome.is_read_only, "it cannot write");
    running.stop().await?;
    let mut reader = Reader::new(site.disk());
    let mut volume = Volume::read(base.site.disk())?;
    let mut events = Vec::new();
    let mut time = 0;
    for line in fs::read_to_string(&log)?.lines() {
        let Some((over, found)) = reader.read(line, &mut volume)? else {
            continue;
        };
        time = over.max(time);
        for event in found {
            volume.apply(&event)?;
            events.push((time, event));
        }
    }
    // What was made of the lines has to be what is there.
    let whole = base.site.folder().join("whole");
    fs::create_dir(&whole)?;
    volume.leave(&whole, Left::All, &mut Random::new(0))?;
    ensure!(
        same(&whole, site.disk())?,
        "what was recorded is not what is in {}: it is in {}",
        site.disk().display(),
        whole.display()
    );
    fs::remove_dir_all(whole)?;
    Ok(Recording {
        events,
        history: oracle.end_history(),
    })
}

/// Whether two folders hold the same.
fn same(one: &std::path::Path, other: &std::path::Path) -> anyhow::Result<bool> {
    let mut command = std::process::Command::new("diff");
    let status = command.args(["-r", "-q"]).arg(one).arg(other).status()?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => bail!("diff: {status}"),
    }
}

/// Before and after each sync and each change of a name.
fn cuts(events: &[(i64, Event)]) -> Vec<Cut> {
    let mut places: Vec<usize> = Vec::new();
    for (place, (_, event)) in events.iter().enumerate() {
        if !matches!(event, Event::Write { .. }) {
            places.extend([place, place + 1]);
        }
    }
    places.push(events.len());
    places.dedup();
    let kinds = [
        (Left::Nothing, 0),
        (Left::Some, 0),
        (Left::Some, 1),
        (Left::All, 0),
    ];
    let each = |after| {
        kinds.map(|(left, number)| Cut {
            after,
            left,
            number,
        })
    };
    places.into_iter().flat_map(each).collect()
}

impl Recording {
    /// What had been acknowledged when the last event before a cut was over.
    fn acknowledged_before(&self, cut: &Cut, base: &Oracle) -> Oracle {
        let last = cut
            .after
            .checked_sub(1)
            .and_then(|last| self.events.get(last));
        let time = last.map_or(0, |(time, _)| *time);
        let known = self.history.iter().rev().find(|(when, _)| *when <= time);
        known.map_or_else(|| base.copy(), |(_, ledger)| Oracle::of(ledger.clone()))
    }
}
