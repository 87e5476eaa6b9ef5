//! A store that has been used, and what was acknowledged of it: what scripted runs begin with.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use xtask::project::Profile;

use crate::load::Crowd;
use crate::oracle::Oracle;
use crate::oracle::verify::Depth;
use crate::random::Random;
use crate::script;
use crate::site::Site;

/// The store.
pub(crate) struct Base {
    pub(crate) site: Site,
    pub(crate) oracle: Oracle,
}

impl Base {
    /// Makes it: killed before its index was durable, and with a write at the end of its journal that was
    /// cut off.
    pub(crate) async fn make(
        name: &str,
        profile: Profile,
        random: &Random,
    ) -> anyhow::Result<Self> {
        let site = Site::new(name, profile)?;
        site.init()?;
        let oracle = Arc::new(Oracle::default());
        let mut running = site.start().await?;
        Crowd::gather(&running, &oracle, random.fork(1)).await?;
        script::run(&running, &oracle, random.fork(2), "base").await?;
        running.stop().await?;
        // From here on the index is behind the journal.
        let mut running = site.start().await?;
        script::run(&running, &oracle, random.fork(3), "tail").await?;
        running.kill()?;
        tear(&site)?;
        let oracle = oracle.copy();
        Ok(Self { site, oracle })
    }
}

/// Starts a daemon after something was done to its store, and holds it against what was acknowledged.
///
/// # Errors
///
/// When it does not start, or what is wrong then.
pub(crate) async fn come_back(
    site: &Site,
    oracle: Option<&Oracle>,
    mut random: Random,
) -> anyhow::Result<()> {
    let mut running = site.start().await.context("the start afterwards")?;
    if let Some(oracle) = oracle {
        oracle
            .verify(&running, None, Depth::All, &mut random)
            .await
            .with_context(|| format!("afterwards{}", running.said()))?;
    }
    let status = running.stop().await?;
    ensure!(status.success(), "the stop: {status}{}", running.said());
    match site.complaints()? {
        Some(complaints) => bail!(complaints),
        None => Ok(()),
    }
}

/// Puts half a frame at the end of the journal: what a write that was cut off leaves.
fn tear(site: &Site) -> anyhow::Result<()> {
    /// The header of a segment; a frame begins behind it.
    const HEADER: usize = 80;
    let segment = newest_segment(&site.disk().join("store/journal"))?;
    let content = fs::read(&segment)?;
    let half = content
        .get(HEADER..HEADER + 60)
        .context("a short journal")?;
    let mut file = fs::OpenOptions::new().append(true).open(&segment)?;
    file.write_all(half)?;
    Ok(())
}

fn newest_segment(journal: &Path) -> anyhow::Result<PathBuf> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(journal)? {
        segments.push(entry?.path());
    }
    segments.sort();
    segments.pop().context("no segment in the journal")
}
