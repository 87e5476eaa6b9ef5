//! How long the audit log keeps its entries. What is kept no longer is removed in steps, each of
//! which is a commit whose entry names what it removed; the hashes stay, so the rest still proves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use agentidp_shared::{
    Action, Actor, Code, Entry, Organization, OrganizationId, Outcome, Pruned, Reason, Timestamp,
};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{Caller, Changed, Reach, Service, ServiceError, to_its_end};
use crate::store::{Bundle, Commit, EntryFilter, Store};

/// How many bundles of entries are removed with one commit: others wait meanwhile.
const BUNDLES: u64 = Pruned::MOST / Bundle::ENTRIES;

/// How long after a restore nothing is removed that nobody asks for.
const GRACE: Duration = Duration::from_hours(24);

/// What the log keeps. What is absent keeps everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Entries that are not older.
    pub(crate) keep_for: Option<Duration>,
    /// The newest, about as many as take no more bytes of the index than this.
    pub(crate) keep_bytes: Option<u64>,
}

/// What one who asks for it wants removed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// What stays; when it says nothing, what is configured.
    pub(crate) retention: Retention,
    /// Why, for the log.
    pub(crate) reason: Option<Reason>,
    /// Whether only to tell what would be removed.
    pub(crate) is_dry: bool,
}

/// Entries to be removed.
#[derive(Debug)]
pub(crate) struct Pruning {
    retention: Retention,
    /// What says so, but for what is removed.
    entry: Entry,
    is_dry: bool,
    /// Whether it is noted even when nothing is removed.
    is_asked_for: bool,
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The next entry to be looked at.
    pub(crate) next: u64,
    /// The first that is not.
    pub(crate) to: u64,
    /// How many entries were removed.
    pub(crate) entries: u64,
    /// About how many bytes of the index their bundles took.
    pub(crate) bytes: u64,
    /// How many entries stayed because of a legal hold.
    pub(crate) held: u64,
    /// The last entry that says so.
    pub(crate) audit_seq: Option<u64>,
}

/// How the last look went that nobody asked for.
#[derive(Debug, Clone)]
pub(crate) struct LastRun {
    /// When it began.
    pub(crate) time: Timestamp,
    /// How far it got.
    pub(crate) progress: Progress,
    /// Why it did not get to its end, or did not begin.
    pub(crate) failure: Option<String>,
}

/// What the service remembers of it.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// Held while a step is decided on and done, and while a hold is: so nothing is removed of an
    /// organization whose hold was acknowledged. It has the holds, unless they are to be read anew.
    pub(super) alone: Arc<tokio::sync::Mutex<Option<Holds>>>,
    last: Mutex<Option<LastRun>>,
    settled: Mutex<Settled>,
    /// When the store was last restored.
    restored: tokio::sync::OnceCell<Option<Timestamp>>,
}

/// The organizations under legal hold.
type Holds = Arc<BTreeSet<OrganizationId>>;

/// What nothing is left to be done about.
#[derive(Debug, Clone, Default)]
struct Settled {
    /// The entries before this one.
    next: u64,
    /// How many of them stay.
    held: u64,
    /// Because of these holds.
    holds: BTreeSet<OrganizationId>,
}

/// The entries of some bundles in a row that are removed together.
#[derive(Debug, Default)]
struct Step {
    from: u64,
    to: u64,
    entries: u64,
    bytes: u64,
    held: u64,
    /// What stays: of organizations under legal hold, and what accounts for the log or for a record.
    kept: Vec<u64>,
    is_last: bool,
}

impl Step {
    /// What is to be removed from entry `from` on, before `end` and of what is older than `limit`.
    fn plan(
        store: &dyn Store,
        from: u64,
        (end, limit): (u64, Option<Timestamp>),
        held: &BTreeSet<OrganizationId>,
    ) -> Result<Self, ServiceError> {
        let mut step = Self {
            from,
            to: from,
            ..Self::default()
        };
        let first = from / Bundle::ENTRIES;
        for number in first..first + BUNDLES {
            let is_beyond = (number + 1) * Bundle::ENTRIES > end;
            let Some(bundle) = store.bundle(number)? else {
                step.is_last = true;
                break;
            };
            let mut newest_first = bundle.entries.iter().rev();
            let last = newest_first.find_map(|it| serde_json::from_slice(&it.json).ok());
            let is_old = |limit| last.as_ref().is_none_or(|it: &Entry| it.time < limit);
            if is_beyond && !limit.is_some_and(is_old) {
                step.is_last = true;
                break;
            }
            step.take(store, number, &bundle, held)?;
        }
        Ok(step)
    }

    /// Takes in a bundle.
    fn take(
        &mut self,
        store: &dyn Store,
        number: u64,
        bundle: &Bundle,
        held: &BTreeSet<OrganizationId>,
    ) -> Result<(), ServiceError> {
        let mut removed = 0;
        for stored in &bundle.entries {
            // Of what cannot be read nobody can tell whom it concerns.
            let entry = serde_json::from_slice::<Entry>(&stored.json).ok();
            let holder = entry.as_ref().and_then(|it| it.organization_id);
            let is_held = holder.is_some_and(|it| held.contains(&it));
            let accounts = entry.map_or(Ok(true), |entry| {
                Ok::<_, ServiceError>(entry.pruned.is_some() || store.is_last_change(&entry)?)
            })?;
            if is_held || accounts {
                self.kept.push(stored.seq);
                self.held += u64::from(is_held && !accounts);
            } else {
                removed += 1;
            }
        }
        self.to = (number + 1) * Bundle::ENTRIES;
        self.entries += removed;
        if removed > 0 {
            // What stays takes its part of them.
            self.bytes += bundle.bytes * removed / bundle.entries.len().max(1) as u64;
        }
        Ok(())
    }
}

impl Service {
    /// What is to be done for one who asks for entries to be removed.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED` for one who does not reach every organization; `INVALID_ARGUMENT` when
    /// neither the caller nor the configuration says what is kept, or the reason is missing.
    pub(crate) fn plan_pruning(
        &self,
        caller: &Caller,
        asked: Asked,
    ) -> Result<Pruning, ServiceError> {
        let invalid = |message| Err(ServiceError::new(Code::InvalidArgument, message));
        if caller.reach != Reach::Installation {
            return Err(ServiceError::new(
                Code::PermissionDenied,
                "the log has the entries of every organization, and your role does not reach them all",
            ));
        }
        if asked.reason.is_none() && !asked.is_dry {
            return invalid("reason: must be given, for the audit log");
        }
        let mut retention = asked.retention;
        if retention == Retention::default() {
            retention = self.settings.retention;
        }
        if retention == Retention::default() {
            return invalid(
                "older_than: an age or a size must be given, as the configuration keeps everything",
            );
        }
        let mut entry = self.entry(caller, Action::AuditPrune, Outcome::Success);
        entry.reason = asked.reason;
        if asked.is_dry {
            // It stands in the log as an entry that removed nothing.
            entry.reason = "dry run".parse().ok();
        }
        Ok(Pruning {
            retention,
            entry,
            is_dry: asked.is_dry,
            is_asked_for: true,
        })
    }

    /// Removes what the log keeps no longer, and tells `progress` after each step. Gives how far it got.
    ///
    /// # Errors
    ///
    /// When the store fails. What was removed until then stays removed.
    pub(crate) async fn prune_log(
        &self,
        pruning: Pruning,
        progress: &mpsc::Sender<Progress>,
    ) -> (Progress, Result<(), ServiceError>) {
        let mut done = Progress::default();
        let pruned = self.prune_steps(pruning, progress, &mut done).await;
        if let Err(error) = &pruned {
            // Whoever asked for it may have gone away.
            tracing::error!(%error, entries = done.entries, "the audit log could not be pruned to its end");
        }
        (done, pruned.map(drop))
    }

    /// Does it, and gives the holds that stood in the way of any step.
    async fn prune_steps(
        &self,
        pruning: Pruning,
        progress: &mpsc::Sender<Progress>,
        done: &mut Progress,
    ) -> Result<BTreeSet<OrganizationId>, ServiceError> {
        let Retention {
            keep_for,
            keep_bytes,
        } = pruning.retention;
        let limit = keep_for.map(|it| self.now().minus(it));
        let (end, entries) = self
            .read(move |store| Ok((size_limit(store, keep_bytes)?, *store.head().borrow())))
            .await?;
        done.to = entries;
        self.keeping.alone.lock().await.take();
        let mut stood = BTreeSet::new();
        loop {
            // Within the lock that a hold takes too.
            let mut alone = self.keeping.alone.lock().await;
            let holds = match &*alone {
                Some(holds) => Arc::clone(holds),
                None => Arc::clone(alone.insert(self.read(held).await?)),
            };
            stood.extend(holds.iter().copied());
            let from = done.next;
            let step = self
                .read(move |store| Step::plan(store, from, (end, limit), &holds))
                .await?;
            if step.entries > 0 && !pruning.is_dry {
                done.audit_seq = Some(self.remove(pruning.entry.clone(), &step).await?);
            }
            done.next = step.to;
            done.entries += step.entries;
            done.bytes += step.bytes;
            done.held += step.held;
            if step.is_last || self.stopping.is_cancelled() || progress.is_closed() {
                break;
            }
            // One who has stopped listening stops it; one who is slow only misses something.
            let _ = progress.try_send(*done);
        }
        if pruning.is_asked_for && done.audit_seq.is_none() {
            // Nothing was removed, and yet somebody asked for it.
            let commit = Commit::new(pruning.entry);
            done.audit_seq = Some(self.commit(commit).await?);
        }
        Ok(stood)
    }

    async fn remove(&self, mut entry: Entry, step: &Step) -> Result<u64, ServiceError> {
        entry.time = self.now();
        entry.count = Some(step.entries);
        let pruned = Pruned::new(step.from..step.to, &step.kept);
        entry.pruned = Some(pruned.map_err(|error| {
            ServiceError::new(Code::Internal, format!("what is to be removed: {error}"))
        })?);
        self.commit(Commit::new(entry)).await
    }

    /// Removes what the configuration says that the log keeps no longer.
    pub(crate) async fn enforce_retention(&self) {
        if self.settings.retention == Retention::default() {
            return;
        }
        let (time, retention) = (self.now(), self.settings.retention);
        let pruning = Pruning {
            retention,
            entry: Entry::new(time, Actor::system(), Action::AuditPrune, Outcome::Success),
            is_dry: false,
            is_asked_for: false,
        };
        let mut progress = Progress::default();
        let run = match self.awaits_holds().await {
            Ok(None) => self.prune_on(pruning, &mut progress).await,
            Ok(Some(why)) => {
                tracing::info!("no old entries are removed from the audit log: {why}");
                *self.keeping.last.lock() = Some(LastRun {
                    time,
                    progress,
                    failure: Some(why),
                });
                return;
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &run {
            tracing::error!(%error, "old entries could not be removed from the audit log; it is tried again");
        }
        if progress.entries > 0 {
            let entries = progress.entries;
            tracing::info!(entries, "entries of the audit log were old enough to go");
        }
        *self.keeping.last.lock() = Some(LastRun {
            time,
            progress,
            failure: run.err().map(|error| error.to_string()),
        });
    }

    /// Goes on from where the last look ended, unless a hold was lifted since that stood in its way.
    async fn prune_on(
        &self,
        pruning: Pruning,
        progress: &mut Progress,
    ) -> Result<(), ServiceError> {
        let now = self.read(held).await?;
        let mut settled = self.keeping.settled.lock().clone();
        if !settled.holds.is_subset(&now) {
            settled = Settled::default();
        }
        (progress.next, progress.held) = (settled.next, settled.held);
        let (unheard, _nobody) = mpsc::channel(1);
        let holds = self.prune_steps(pruning, &unheard, progress).await?;
        *self.keeping.settled.lock() = Settled {
            next: progress.next,
            held: progress.held,
            holds: &settled.holds | &holds,
        };
        Ok(())
    }

    /// Until when, and why, nothing is removed for a time after a restore: what a backup does not have of the
    /// legal holds has to be put again first.
    async fn awaits_holds(&self) -> Result<Option<String>, ServiceError> {
        // Once is enough: it is not restored while it is in use.
        let restored = &self.keeping.restored;
        let restored = *restored.get_or_try_init(|| self.read(last_restore)).await?;
        let waiting = restored.filter(|time| self.now() < time.plus(GRACE));
        Ok(waiting.map(|time| {
            format!(
                "it waits until {}, a day after the store was restored, so that legal holds that the backup lacks can be put again",
                time.plus(GRACE)
            )
        }))
    }

    /// What the log keeps, and how the last look for the rest went.
    pub(crate) fn retention(&self) -> (Retention, Option<LastRun>) {
        (self.settings.retention, self.keeping.last.lock().clone())
    }

    /// Puts an organization under legal hold, so that its entries stay, or lifts that. Done to its end though the
    /// caller goes away: nothing is pruned until it is.
    ///
    /// # Errors
    ///
    /// `ORGANIZATION_NOT_FOUND`, `REVISION_CONFLICT`; `INVALID_ARGUMENT` when the reason is missing.
    pub(crate) async fn hold_organization(
        self: &Arc<Self>,
        caller: &Caller,
        organization: &str,
        is_held: bool,
        reason: Option<Reason>,
        seen: u64,
    ) -> Result<Changed<Organization>, ServiceError> {
        if reason.is_none() {
            return Err(ServiceError::new(
                Code::InvalidArgument,
                "reason: must be given, for the audit log",
            ));
        }
        let action = if is_held {
            Action::OrganizationHold
        } else {
            Action::OrganizationRelease
        };
        let (service, caller, organization) =
            (Arc::clone(self), caller.clone(), organization.to_owned());
        let mut alone = Arc::clone(&self.keeping.alone).lock_owned().await;
        to_its_end(async move {
            alone.take();
            let change = |current: &Organization| Organization {
                is_held,
                ..current.clone()
            };
            let action = (action, reason);
            service
                .change_organization(&caller, &organization, action, seen, change)
                .await
        })
        .await
    }
}

/// The organizations under legal hold.
fn held(store: &dyn Store) -> Result<Holds, ServiceError> {
    let all = store.organizations(None, usize::MAX)?;
    let held = all.iter().filter(|it| it.record.is_held);
    Ok(Arc::new(held.map(|it| it.record.id).collect()))
}

/// When the store was last restored from a backup, as far as the log has it.
fn last_restore(store: &dyn Store) -> Result<Option<Timestamp>, ServiceError> {
    let filter = EntryFilter {
        action: Some(Action::StoreRestore),
        ..EntryFilter::default()
    };
    let mut before = None;
    loop {
        let page = store.entries_before(before, &filter, 1)?;
        if let Some(stored) = page.entries.first() {
            let entry: Option<Entry> = serde_json::from_slice(&stored.json).ok();
            return Ok(entry.map(|it| it.time));
        }
        if page.next_before.is_none() {
            return Ok(None);
        }
        before = page.next_before;
    }
}

/// The entry before which bundles are to go so that the others have no more than `keep` bytes.
fn size_limit(store: &dyn Store, keep: Option<u64>) -> Result<u64, ServiceError> {
    let Some(keep) = keep else { return Ok(0) };
    let full = *store.head().borrow() / Bundle::ENTRIES;
    let mut total = 0_u64;
    for number in (0..full).rev() {
        total = total.saturating_add(store.bundle_bytes(number)?);
        if total > keep {
            return Ok((number + 1) * Bundle::ENTRIES);
        }
    }
    Ok(0)
}
