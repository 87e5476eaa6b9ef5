//! Single calls to the store that fail, and starts that are killed between two of them.
//!
//! strace names the calls of a scripted run once, and then lets one after the other fail: with EIO, with
//! ENOSPC, or by SIGKILL just before it. Each time the run begins with the same store. A *point* is the n-th
//! call of one kind to one file or folder, counted for each thread by itself, as strace does.

mod counts;
mod points;
mod strace;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use xtask::signals::Interrupt;

use crate::Common;
use crate::base::{Base, come_back};
use crate::oracle::{Figures, Oracle};
use crate::random::Random;
use crate::running::{Running, was_killed};
use crate::script;
use crate::site::Site;
use counts::{Counts, Outcome};
use points::{Fault, Point, Scene};

/// Runs faults.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Try only N of the faults, drawn by chance; all of them without this
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    cycles: Option<u64>,
    /// Go on after a failure, and name all of them at the end
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) use strace::require as require_strace;

/// How long the daemon may take to end by itself when it cannot start.
const GIVE_UP: Duration = Duration::from_mins(1);

/// Tortures, and prints what came of it.
///
/// # Errors
///
/// When something was lost or invented, a store did not open, or the torture could not be done.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let seed = arguments.common.seed();
    let interrupt = Interrupt::catch()?;
    require_strace()?;
    let begun = Instant::now();
    let mut faults = Faults::prepare(arguments, Random::new(seed)).await?;
    let mut points = Vec::new();
    for scene in Scene::ALL {
        let found = faults.points_of(scene).await?;
        println!("  {}: {} faults", scene.name(), found.len());
        points.extend(found);
    }
    let all = points.len();
    if let Some(cycles) = arguments.cycles {
        points = sample(points, usize::try_from(cycles)?, &mut faults.random);
    }
    println!("faults: {} of {all}, seed {seed}", points.len());
    let mut failed = Vec::new();
    let mut told = Instant::now();
    for (number, point) in points.iter().enumerate() {
        ensure!(!interrupt.raised(), "interrupted");
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            println!("  {number} of {}: {}", points.len(), faults.counts);
        }
        if let Err(error) = faults.endure(point).await {
            let kept = faults.keep(number)?;
            println!(
                "  FAILED: {point}: {error:#}\n    kept in {}",
                kept.display()
            );
            failed.push(point);
            if !arguments.keep_going {
                break;
            }
        }
    }
    let took = begun.elapsed().as_secs();
    let Figures { verified, .. } = faults.figures;
    println!(
        "faults: {}{}; {} acknowledged, verified {verified} times; {took} s; seed {seed}",
        if failed.is_empty() {
            "0 lost, 0 invented, every store opened again; ".to_owned()
        } else {
            format!("{} FAILED; ", failed.len())
        },
        faults.counts,
        faults.figures.acknowledged(),
    );
    if !faults.refusals.is_empty() {
        println!("  what daemons said that did not start with a fault:");
    }
    for refusal in &faults.refusals {
        println!("    {refusal}");
    }
    if let Some(first) = failed.first() {
        bail!(
            "{} faults, the first of them {first}, with seed {seed}",
            failed.len()
        );
    }
    faults.remove()
}

/// Some of the points, in their order.
fn sample(mut points: Vec<Point>, count: usize, random: &mut Random) -> Vec<Point> {
    while points.len() > count {
        points.remove(random.index(points.len()));
    }
    points
}

struct Faults {
    /// What every run begins with.
    base: Base,
    /// Where the runs take place.
    place: PathBuf,
    site: Option<Site>,
    random: Random,
    counts: Counts,
    figures: Figures,
    /// What daemons said that did not start, without what differs from run to run.
    refusals: BTreeSet<String>,
}

impl Faults {
    async fn prepare(arguments: &Arguments, random: Random) -> anyhow::Result<Self> {
        let base = Base::make("faults", arguments.common.profile(), &random).await?;
        let place = base.site.folder().join("run");
        Ok(Self {
            base,
            place,
            site: None,
            random,
            counts: Counts::default(),
            figures: Figures::default(),
            refusals: BTreeSet::new(),
        })
    }

    /// Makes the place for a run what the scene begins with.
    fn set(&mut self, scene: Scene) -> anyhow::Result<&Site> {
        let site = self.base.site.copy_to(self.place.clone())?;
        match scene {
            Scene::Run | Scene::Start => {}
            Scene::Rebuild => fs::remove_dir_all(site.disk().join("store/index"))?,
            Scene::Init => {
                fs::remove_dir_all(site.disk())?;
                fs::create_dir(site.disk())?;
                site.remove_key()?;
            }
        }
        Ok(self.site.insert(site))
    }

    fn site(&self) -> anyhow::Result<&Site> {
        self.site.as_ref().context("no run has begun")
    }

    /// The faults of a scene, from a run without any.
    async fn points_of(&mut self, scene: Scene) -> anyhow::Result<Vec<Point>> {
        let (oracle, random) = (Arc::new(self.base.oracle.copy()), self.random.fork(7));
        let site = self.set(scene)?;
        let log = site.folder().join("strace.log");
        let mut command = strace::record(&log, &scene.command(site));
        if scene == Scene::Init {
            let mut running = site.spawn(&mut command)?;
            let ended = running.wait(GIVE_UP).await?;
            ensure!(
                ended.is_some_and(|status| status.success()),
                "no init{}",
                running.said()
            );
        } else {
            let mut running = site.spawn(&mut command)?;
            running.wait_until_ready().await?;
            if scene == Scene::Run {
                let outcome = script::run(&running, &oracle, random, "run").await?;
                ensure!(!outcome.is_read_only, "it cannot write without a fault");
                running.stop().await?;
            } else {
                running.kill()?;
            }
        }
        let calls = strace::calls(&fs::read_to_string(&log)?, site.folder());
        ensure!(
            !calls.is_empty(),
            "strace saw no call to {}",
            site.folder().display()
        );
        Ok(scene.points(&calls))
    }

    /// Runs a scene with one fault, and holds what is left against what was acknowledged.
    async fn endure(&mut self, point: &Point) -> anyhow::Result<()> {
        let oracle = Arc::new(self.base.oracle.copy());
        let random = self.random.fork(7);
        let site = self.set(point.scene)?;
        let log = site.folder().join("strace.log");
        let mut command = strace::inject(&log, site, point, &point.scene.command(site));
        let mut running = site.spawn(&mut command)?;
        let outcome = if point.scene == Scene::Init {
            self.make(&mut running).await?
        } else {
            self.live(&mut running, &oracle, random, point).await?
        };
        running.kill()?;
        if outcome == Outcome::Refused {
            let said = last_line(&running.stderr_text());
            let place = self.site()?.folder().display().to_string();
            self.refusals.insert(said.replace(&place, "…"));
        }
        let is_met = match point.fault {
            Fault::Kill => outcome == Outcome::Killed,
            Fault::Io | Fault::Full => fs::read_to_string(&log)?.contains("(INJECTED)"),
        };
        if is_met {
            // It may have been the last write of all.
            let is_told = || {
                running
                    .stderr_text()
                    .contains("the store takes no more writes")
            };
            ensure!(
                outcome != Outcome::Unmoved || !point.ends_writing() || is_told(),
                "the daemon went on writing{}",
                running.said()
            );
            self.counts.meet(outcome);
        } else {
            self.counts.miss();
            ensure!(
                outcome != Outcome::Refused && outcome != Outcome::ReadOnly,
                "{outcome:?} without the fault{}",
                running.said()
            );
        }
        let result = self.come_back(point, &oracle).await;
        self.figures.add(oracle.figures());
        result
    }

    /// Waits until `init` has ended one way or the other.
    async fn make(&self, running: &mut Running) -> anyhow::Result<Outcome> {
        let ended = running.wait(GIVE_UP).await?;
        let status = ended.with_context(|| format!("init does not end{}", running.said()))?;
        if was_killed(status) {
            return Ok(Outcome::Killed);
        }
        if status.success() {
            return Ok(Outcome::Unmoved);
        }
        says_why(running)?;
        Ok(Outcome::Refused)
    }

    /// Starts, does what the script says, and ends.
    async fn live(
        &self,
        running: &mut Running,
        oracle: &Arc<Oracle>,
        random: Random,
        point: &Point,
    ) -> anyhow::Result<Outcome> {
        if let Err(error) = running.wait_until_ready().await {
            let Some(status) = running.ended()? else {
                // It runs, and does not say that it is ready: it has to say why.
                let operator = running.operator().await;
                let status = match operator {
                    Ok(operator) => operator.status().await?,
                    Err(_) => return Err(error),
                };
                ensure!(
                    !status.not_ready_reason.is_empty(),
                    "not ready, and no reason"
                );
                return Ok(Outcome::ReadOnly);
            };
            if was_killed(status) {
                return Ok(Outcome::Killed);
            }
            ensure!(!status.success(), "it ends well before it is ready");
            says_why(running)?;
            return Ok(Outcome::Refused);
        }
        if point.scene != Scene::Run {
            return Ok(Outcome::Unmoved);
        }
        let outcome = script::run(running, oracle, random, "run").await?;
        running.stop().await?;
        says_no_panic(running)?;
        Ok(if outcome.is_read_only {
            Outcome::ReadOnly
        } else {
            Outcome::Unmoved
        })
    }

    /// Starts without a fault, and verifies.
    async fn come_back(&self, point: &Point, oracle: &Oracle) -> anyhow::Result<()> {
        let site = self.site()?;
        let random = self.random.fork(9);
        if point.scene != Scene::Init {
            return come_back(site, Some(oracle), random).await;
        }
        if !site.disk().join("store/store.json").exists() {
            site.init().context("a second init, after the fault")?;
        }
        come_back(site, None, random).await
    }

    /// Keeps what a failure has left.
    fn keep(&mut self, number: usize) -> anyhow::Result<PathBuf> {
        let kept = self.base.site.folder().join(format!("failed-{number}"));
        if kept.exists() {
            fs::remove_dir_all(&kept)?;
        }
        fs::rename(&self.place, &kept)?;
        self.site = None;
        Ok(kept)
    }

    fn remove(self) -> anyhow::Result<()> {
        if let Some(site) = self.site {
            site.remove()?;
        }
        self.base.site.remove()
    }
}

/// A daemon that does not start says in the last line why.
fn says_why(running: &Running) -> anyhow::Result<()> {
    says_no_panic(running)?;
    let last = last_line(&running.stderr_text());
    ensure!(
        last.starts_with("agentidpd: error: "),
        "it does not say why it ends{}",
        running.said()
    );
    Ok(())
}

fn last_line(text: &str) -> String {
    text.lines().next_back().unwrap_or_default().to_owned()
}

/// What goes wrong in sled is borne, because the journal has it all; what goes wrong in us is not.
fn says_no_panic(running: &Running) -> anyhow::Result<()> {
    let text = running.stderr_text();
    let mut panics = text.lines().filter(|line| line.contains("panicked"));
    ensure!(
        panics.all(|line| line.contains("/sled-")),
        "a panic{}",
        running.said()
    );
    Ok(())
}

/// The daemon's words for a command.
fn words(site: &Site, word: &str) -> Command {
    site.agentidpd(&[word])
}
