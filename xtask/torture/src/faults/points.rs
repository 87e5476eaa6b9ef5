//! Which call fails, in which run, and how.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;

use crate::site::Site;

/// What is run while a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scene {
    /// A start, a script of operations, a stop.
    Run,
    /// A start that brings the index up to date and cuts off what is torn.
    Start,
    /// A start that makes the index anew.
    Rebuild,
    /// The making of a store.
    Init,
}

impl Scene {
    pub(super) const ALL: [Self; 4] = [Self::Run, Self::Start, Self::Rebuild, Self::Init];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Start => "start",
            Self::Rebuild => "rebuild",
            Self::Init => "init",
        }
    }

    pub(super) fn command(self, site: &Site) -> Command {
        let word = if self == Self::Init { "init" } else { "run" };
        super::words(site, word)
    }

    /// How its calls fail. What is made to fail in a run need not be in a start.
    const fn faults(self) -> &'static [Fault] {
        match self {
            Self::Run => &[Fault::Io, Fault::Full],
            Self::Start => &[Fault::Kill],
            Self::Rebuild | Self::Init => &[Fault::Io, Fault::Full, Fault::Kill],
        }
    }

    /// Every fault of the scene.
    pub(super) fn points(self, calls: &Calls) -> Vec<Point> {
        let mut points = Vec::new();
        for ((path, call), count) in calls {
            for fault in self.faults() {
                if *fault == Fault::Full && !may_fill(call) {
                    continue;
                }
                points.extend((1..=*count).map(|number| Point {
                    scene: self,
                    path: path.clone(),
                    call: call.clone(),
                    number,
                    fault: *fault,
                }));
            }
        }
        points
    }
}

/// How often each file, by its path within the site, was met by each call, in the thread that did so most.
pub(super) type Calls = BTreeMap<(String, String), u64>;

/// Whether a call may find the disk full.
fn may_fill(call: &str) -> bool {
    !matches!(call, "unlink" | "unlinkat" | "flock")
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// With EIO.
    Io,
    /// With ENOSPC.
    Full,
    /// It is not made: the process is killed before.
    Kill,
}

impl Fault {
    /// As strace calls it.
    pub(super) const fn injection(self) -> &'static str {
        match self {
            Self::Io => "error=EIO",
            Self::Full => "error=ENOSPC",
            Self::Kill => "signal=KILL",
        }
    }
}

/// One call that fails.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) scene: Scene,
    /// The file or folder, within the site.
    pub(super) path: String,
    pub(super) call: String,
    /// The how manieth call it is, from 1.
    pub(super) number: u64,
    pub(super) fault: Fault,
}

impl Point {
    /// Whether nothing may be acknowledged after it: a write or a sync of the journal has failed, and what
    /// became of it is not known, even when the next one succeeds.
    pub(super) fn ends_writing(&self) -> bool {
        self.scene == Scene::Run
            && self.path.ends_with(".journal")
            && matches!(self.call.as_str(), "write" | "fdatasync" | "fsync")
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} at {} {} of {}",
            self.scene.name(),
            self.fault.injection(),
            self.call,
            self.number,
            self.path
        )
    }
}
