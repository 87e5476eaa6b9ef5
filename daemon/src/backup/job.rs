//! Backups as a job of the daemon: made when it is time and when an operator asks, one at a time, and
//! each accounted for in the audit log. After each, those that are beyond what is kept go, and so does
//! the part of the journal that two verified backups cover.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use agentidp_shared::{
    Action, Actor, Code, Entry, Outcome, Reason, RequestId, Target, TargetKind, Timestamp,
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::file::{self, Sealing, Whole};
use super::{BackupError, Summary, folder};
use crate::clock::Steady;
use crate::config;
use crate::service::ServiceError;
use crate::store::durable::{ImageError, JournaledStore};
use crate::store::{Commit, CommitError, Store as _};

/// How long after one that failed the next is tried, when it is not due earlier.
const RETRY: Duration = Duration::from_mins(10);
/// How often it is looked whether one is due.
const TICK: Duration = Duration::from_secs(1);
/// How often is told how far one is.
const PROGRESS: Duration = Duration::from_secs(1);
/// How much a backup's thread gives way to others (`nice(2)`): as far as it goes.
const NICE: i32 = 19;

/// How far a backup is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The section that is being written.
    pub(crate) section: String,
    /// How many bytes of content there are so far.
    pub(crate) bytes: u64,
}

/// A backup that was made.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    /// The file.
    pub(crate) whole: Whole,
    /// How long it took; `None` when it was made before the daemon started.
    pub(crate) took: Option<Duration>,
    /// The entry that says so; `None` likewise.
    pub(crate) audit_seq: Option<u64>,
}

/// How the job stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    /// The newest backup.
    pub(crate) last: Option<Made>,
    /// When the next one is due.
    pub(crate) next: Option<Timestamp>,
    /// How far the one under way is.
    pub(crate) running: Option<Progress>,
    /// When and why the last attempt failed, if it did.
    pub(crate) failure: Option<(Timestamp, String)>,
}

/// Who asks for a backup.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Who.
    pub(crate) actor: Actor,
    /// Why.
    pub(crate) reason: Option<Reason>,
    /// With which request.
    pub(crate) request_id: Option<RequestId>,
}

/// The job.
pub(crate) struct Backups {
    pub(super) store: Arc<JournaledStore>,
    settings: Option<config::Backup>,
    pub(super) clock: Arc<Steady>,
    stopping: CancellationToken,
    one_at_a_time: tokio::sync::Mutex<()>,
    standing: Mutex<Standing>,
    /// Which of the newest were read back since the daemon started.
    pub(super) verified: Mutex<HashSet<PathBuf>>,
    made: AtomicU64,
    failed: AtomicU64,
}

fn sealing(settings: &config::Backup) -> Sealing {
    if settings.unencrypted {
        Sealing::Open
    } else {
        Sealing::To(settings.recipients.clone())
    }
}

impl Backups {
    /// The job for `store`; with no settings there are no backups. It goes by the time that the log goes
    /// by: the machine's clock would carry the log's time off, and with it what is kept for a time.
    /// `stopping` ends the one under way.
    pub(crate) fn new(
        store: Arc<JournaledStore>,
        settings: Option<config::Backup>,
        clock: Arc<Steady>,
        stopping: CancellationToken,
    ) -> Self {
        let last = settings.as_ref().and_then(|settings| {
            let listed = folder::list(&settings.folder).ok()?;
            let mut ours = folder::made_until(&listed, store.id(), clock.now());
            let (newest, manifest) = ours.next()?;
            let (_, bytes) = newest.manifest.as_ref().ok()?;
            Some(Made {
                whole: Whole {
                    path: newest.path.clone(),
                    manifest: manifest.clone(),
                    bytes: *bytes,
                    sha256: String::new(),
                },
                took: None,
                audit_seq: None,
            })
        });
        Self {
            store,
            settings,
            clock,
            stopping,
            one_at_a_time: tokio::sync::Mutex::default(),
            standing: Mutex::new(Standing {
                last,
                ..Standing::default()
            }),
            verified: Mutex::default(),
            made: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// What is configured.
    pub(crate) const fn settings(&self) -> Option<&config::Backup> {
        self.settings.as_ref()
    }

    /// How it stands.
    pub(crate) fn standing(&self) -> Standing {
        self.standing.lock().clone()
    }

    /// How many were made, and how many attempts failed, since the daemon started.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.made), read(&self.failed))
    }

    /// Whether one can be made now.
    ///
    /// # Errors
    ///
    /// `INVALID_STATE` when none is configured, or one is under way.
    pub(crate) fn check(&self) -> Result<(), ServiceError> {
        self.turn().map(drop)
    }

    /// What is configured, and the turn to make one.
    fn turn(&self) -> Result<(config::Backup, tokio::sync::MutexGuard<'_, ()>), ServiceError> {
        let refuse = |message| ServiceError::new(Code::InvalidState, message);
        let settings = self.settings.clone().ok_or_else(|| {
            refuse("no backups are configured: set backup.folder and backup.recipients")
        })?;
        let alone = self.one_at_a_time.try_lock();
        let alone = alone.map_err(|_taken| refuse("a backup is under way: wait for it"))?;
        Ok((settings, alone))
    }

    /// Makes one; tells `progress` how far it is.
    ///
    /// # Errors
    ///
    /// `INVALID_STATE` as [`check`](Self::check) has it; `INTERNAL` when it failed, and
    /// `STORE_UNAVAILABLE` when the audit log could not be told of it, with the reason. There is no backup
    /// then.
    pub(crate) async fn create(
        self: &Arc<Self>,
        asked: Asked,
        progress: Option<mpsc::Sender<Progress>>,
    ) -> Result<Made, ServiceError> {
        let (settings, _only) = self.turn()?;
        let made = self.make(&settings, &asked, progress).await;
        self.standing.lock().running = None;
        match &made {
            Ok(_) => self.tidy(settings).await,
            Err(error) => self.note_failure(&asked, error).await,
        }
        made
    }

    /// Makes one, and puts it into the audit log.
    async fn make(
        self: &Arc<Self>,
        settings: &config::Backup,
        asked: &Asked,
        progress: Option<mpsc::Sender<Progress>>,
    ) -> Result<Made, ServiceError> {
        if let Some(cause) = self.store.failure() {
            // It would be made, and could not be accounted for.
            return Err(CommitError::Unavailable(cause).into());
        }
        let made = self.run(settings, progress).await;
        let (whole, took) =
            made.map_err(|error| ServiceError::new(Code::Internal, error.to_string()))?;
        let path = whole.path.clone();
        let made = self.account_for(asked, whole, took).await;
        if made.is_err()
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::error!(file = %path.display(), %error, "a backup that the audit log does not have could not be removed");
        }
        made
    }

    async fn note_failure(&self, asked: &Asked, error: &ServiceError) {
        tracing::error!(%error, "a backup could not be made");
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut entry = self.entry(asked, Action::BackupCreate, Outcome::Failed);
        entry.code = Some(error.code);
        self.standing.lock().failure = Some((entry.time, error.to_string()));
        if let Err(error) = self.store.commit(Commit::new(entry)).await {
            tracing::error!(%error, "that a backup failed could not be put into the audit log");
        }
    }

    /// Writes one, in a thread of its own that gives way to all others.
    async fn run(
        self: &Arc<Self>,
        settings: &config::Backup,
        progress: Option<mpsc::Sender<Progress>>,
    ) -> Result<(Whole, Duration), BackupError> {
        let gone = || {
            let cause = "the thread that made it ended".to_owned();
            BackupError::Image(ImageError::Content(cause))
        };
        let (answer, answered) = oneshot::channel();
        let (job, settings) = (Arc::clone(self), settings.clone());
        let work = move || {
            // Where that is refused, it only disturbs more.
            let _ = rustix::process::nice(NICE);
            // Whoever asked waits for as long as the daemon runs.
            drop(answer.send(job.write(&settings, progress.as_ref())));
        };
        std::thread::Builder::new()
            .name("backup".to_owned())
            .spawn(work)
            .map_err(BackupError::io(&PathBuf::from("backup")))?;
        answered.await.map_err(|_error| gone())?
    }

    fn write(
        &self,
        settings: &config::Backup,
        progress: Option<&mpsc::Sender<Progress>>,
    ) -> Result<(Whole, Duration), BackupError> {
        folder::sweep(&settings.folder, self.store.id())?;
        let mut told: Option<(Instant, usize)> = None;
        let goes_on = |so_far: &Summary| {
            let count = so_far.sections.len();
            let is_news = told.is_none_or(|(at, sections)| {
                sections != count || (so_far.bytes > 0 && at.elapsed() >= PROGRESS)
            });
            if is_news {
                told = Some((Instant::now(), count));
                let section = so_far.sections.last();
                let now = Progress {
                    section: section.map(|it| it.name.clone()).unwrap_or_default(),
                    bytes: so_far.bytes,
                };
                self.standing.lock().running = Some(now.clone());
                if let Some(progress) = progress {
                    // Who does not keep up misses some; the last word is said elsewhere.
                    let _ = progress.try_send(now);
                }
            }
            !self.stopping.is_cancelled()
        };
        let sealing = sealing(settings);
        file::create(
            &self.store,
            &settings.folder,
            &sealing,
            self.clock.now(),
            goes_on,
        )
    }

    async fn account_for(
        &self,
        asked: &Asked,
        whole: Whole,
        took: Duration,
    ) -> Result<Made, ServiceError> {
        let mut entry = self.entry(asked, Action::BackupCreate, Outcome::Success);
        entry.target = Some(Target {
            kind: TargetKind::Backup,
            id: whole.name(),
            revision: None,
            digest: Some(whole.sha256.clone()),
        });
        let committed = self.store.commit(Commit::new(entry)).await?;
        self.verified.lock().insert(whole.path.clone());
        tracing::info!(
            file = %whole.path.display(),
            bytes = whole.bytes,
            entries = whole.manifest.cut.entries,
            seconds = took.as_secs_f64(),
            "a backup was made and read back"
        );
        let made = Made {
            whole,
            took: Some(took),
            audit_seq: Some(committed.seq),
        };
        self.made.fetch_add(1, Ordering::Relaxed);
        let mut standing = self.standing.lock();
        standing.last = Some(made.clone());
        standing.failure = None;
        Ok(made)
    }

    /// An entry of `action`.
    pub(super) fn entry(&self, asked: &Asked, action: Action, outcome: Outcome) -> Entry {
        let mut entry = Entry::new(self.clock.now(), asked.actor.clone(), action, outcome);
        entry.reason.clone_from(&asked.reason);
        entry.request_id = asked.request_id;
        entry
    }

    /// Makes one whenever it is due, until the daemon stops.
    ///
    /// # Errors
    ///
    /// Never: what fails is tried again.
    pub(crate) async fn run_schedule(self: Arc<Self>) -> anyhow::Result<()> {
        let Some(every) = self.settings.as_ref().and_then(|it| it.every) else {
            self.stopping.cancelled().await;
            return Ok(());
        };
        let system = Asked {
            actor: Actor::system(),
            reason: None,
            request_id: None,
        };
        let mut not_before = None;
        let mut ticks = tokio::time::interval(TICK);
        loop {
            let now = self.clock.now();
            let next = self.due(every, now).max(not_before.unwrap_or(now));
            self.standing.lock().next = Some(next);
            if now >= next {
                if self.create(system.clone(), None).await.is_err() {
                    not_before = Some(self.clock.now().plus(RETRY.min(every)));
                }
                continue;
            }
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.stopping.cancelled() => return Ok(()),
            }
        }
    }

    /// When the next one is due: `every` after the last one, also when an operator asked for that, and
    /// `now` when there is none.
    fn due(&self, every: Duration, now: Timestamp) -> Timestamp {
        let standing = self.standing.lock();
        let last = standing.last.as_ref();
        last.map_or(now, |it| it.whole.manifest.created_at.plus(every))
    }
}
