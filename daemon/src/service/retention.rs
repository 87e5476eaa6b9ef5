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

use super::grace::{Epoch, Grace, Standing, Waits};
use super::{Caller, Changed, Reach, Service, ServiceError, to_its_end};
use crate::store::{Bundle, Commit, Store};

/// How many bundles of entries are removed with one commit: others wait meanwhile.
const BUNDLES: u64 = Pruned::MOST / Bundle::ENTRIES;

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
    is_noted: bool,
    /// When nobody asks for it, as which it was found that it may be done.
    epoch: Option<Epoch>,
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
    /// The earliest and the latest time of those that were removed.
    pub(crate) times: Option<(Timestamp, Timestamp)>,
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
    /// Why nothing was removed, though there is nothing wrong; then `progress` says what would have been.
    pub(crate) waits: Option<Waits>,
}

/// What the service remembers of it.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// Held while a step is decided on and done, and while a hold is: so nothing is removed of an
    /// organization whose hold was acknowledged. It has the holds, unless they are to be read anew.
    pub(super) alone: Arc<tokio::sync::Mutex<Option<Holds>>>,
    pub(super) grace: Grace,
    last: Mutex<Option<LastRun>>,
    settled: Mutex<Settled>,
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
    /// By when, as what no clock change moves, this was begun.
    since: Duration,
}

/// How long what is settled is settled: what accounted for a record does so until the record changes.
const SETTLED: Duration = Duration::from_hours(24);

/// The entries of some bundles in a row that are removed together.
#[derive(Debug, Default)]
struct Step {
    from: u64,
    to: u64,
    entries: u64,
    bytes: u64,
    held: u64,
    times: Option<(Timestamp, Timestamp)>,
    /// What stays: of organizations under legal hold, and what accounts for the log or for a record.
    kept: Vec<u64>,
    is_last: bool,
}

impl Step {
    /// What is to be removed from entry `from` on, before `end`.
    fn plan(
        store: &dyn Store,
        from: u64,
        end: u64,
        held: &BTreeSet<OrganizationId>,
    ) -> Result<Self, ServiceError> {
        let mut step = Self {
            from,
            to: from,
            ..Self::default()
        };
        let first = from / Bundle::ENTRIES;
        for number in first..first + BUNDLES {
            let is_due = (number + 1) * Bundle::ENTRIES <= end;
            let due = if is_due { store.bundle(number)? } else { None };
            let Some(bundle) = due else {
                step.is_last = true;
                break;
            };
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
            let Ok(entry) = serde_json::from_slice::<Entry>(&stored.json) else {
                // Of what cannot be read nobody can tell whom it concerns.
                self.kept.push(stored.seq);
                continue;
            };
            let is_held = entry.organization_id.is_some_and(|it| held.contains(&it));
            let accounts = entry.accounts_for_log() || store.is_last_change(&entry)?;
            if is_held || accounts {
                self.kept.push(stored.seq);
                self.held += u64::from(is_held && !accounts);
            } else {
                removed += 1;
                self.times = widened(self.times, Some((entry.time, entry.time)));
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
            is_noted: true,
            epoch: None,
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
        // Not what the time has become since it was found that it may be done; and where the machine's clock
        // was ahead and is put right, time is still ahead, and nothing older for that.
        let now = pruning.entry.time.min(self.clock.clock().now());
        let from = done.next;
        let (end, entries) = self
            .read(move |store| {
                let by_age = age_limit(store, from, keep_for, now)?;
                let end = size_limit(store, keep_bytes)?.max(by_age);
                Ok((end, *store.head().borrow()))
            })
            .await?;
        done.to = entries;
        self.keeping.alone.lock().await.take();
        let (mut stood, mut is_whole) = (BTreeSet::new(), false);
        loop {
            // Within the lock that a hold takes too.
            let mut alone = self.keeping.alone.lock().await;
            let epoch = pruning.epoch.as_ref();
            if epoch.is_some_and(|epoch| *epoch != self.keeping.grace.epoch()) {
                break;
            }
            let holds = match &*alone {
                Some(holds) => Arc::clone(holds),
                None => Arc::clone(alone.insert(self.read(held).await?)),
            };
            stood.extend(holds.iter().copied());
            let from = done.next;
            let step = self
                .read(move |store| Step::plan(store, from, end, &holds))
                .await?;
            if step.entries > 0 && !pruning.is_dry {
                done.audit_seq = Some(self.remove(pruning.entry.clone(), &step).await?);
            }
            done.next = step.to;
            done.entries += step.entries;
            done.bytes += step.bytes;
            done.held += step.held;
            done.times = widened(done.times, step.times);
            is_whole = step.is_last;
            if is_whole || self.stopping.is_cancelled() || progress.is_closed() {
                break;
            }
            // One who has stopped listening stops it; one who is slow only misses something.
            let _ = progress.try_send(*done);
        }
        if pruning.is_noted && pruning.epoch.is_none_or(|_| is_whole) && done.audit_seq.is_none() {
            // Nothing was removed, and yet somebody asked for it, or it is the first look in a while.
            let commit = Commit::new(pruning.entry);
            done.audit_seq = Some(self.commit(commit).await?);
        }
        if is_whole {
            Ok(stood)
        } else {
            Err(cut_off(done, end))
        }
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
        let (time, mut progress) = (self.now(), Progress::default());
        let looked = self.look_for_old(&mut progress).await;
        if looked.is_err() && self.stopping.is_cancelled() {
            // Where it is cut off, the next start goes on.
            return;
        }
        let (waits, failure) = match looked {
            Ok(waits) => (waits, None),
            Err(error) => {
                tracing::error!(%error, "old entries could not be removed from the audit log; it is tried again");
                (None, Some(error.to_string()))
            }
        };
        if let Some(waits) = &waits {
            tracing::info!(until = %waits.until, "no old entries are removed from the audit log: {}", waits.why);
        } else if progress.entries > 0 {
            let entries = progress.entries;
            tracing::info!(entries, "entries of the audit log were old enough to go");
        }
        *self.keeping.last.lock() = Some(LastRun {
            time,
            progress,
            failure,
            waits,
        });
    }

    /// Removes what is old, or where that has to wait, only finds it, and says so.
    async fn look_for_old(&self, progress: &mut Progress) -> Result<Option<Waits>, ServiceError> {
        let (standing, epoch) = self.grace().await?;
        let action = Action::AuditPrune;
        let pruning = Pruning {
            retention: self.settings.retention,
            entry: Entry::new(self.now(), Actor::system(), action, Outcome::Success),
            is_dry: matches!(standing, Standing::Waits(_)),
            is_noted: standing == Standing::Ends,
            epoch: Some(epoch),
        };
        let is_dry = pruning.is_dry;
        if let Err(error) = self.prune_on(pruning, progress).await {
            if is_dry {
                // Nothing of what was found has gone.
                *progress = Progress::default();
            }
            return Err(error);
        }
        Ok(match standing {
            Standing::Waits(waits) => Some(waits),
            Standing::Ends | Standing::Over => {
                self.keeping.grace.end(epoch);
                None
            }
        })
    }

    /// Goes on from where the last look ended, unless a hold was lifted since that stood in its way, or it is a day
    /// since all was looked at.
    async fn prune_on(
        &self,
        pruning: Pruning,
        progress: &mut Progress,
    ) -> Result<(), ServiceError> {
        let now = self.read(held).await?;
        let mut settled = self.keeping.settled.lock().clone();
        let passed = self.clock.clock().passed();
        let is_over = passed.saturating_sub(settled.since) >= SETTLED;
        if is_over || !settled.holds.is_subset(&now) {
            settled = Settled {
                since: passed,
                ..Settled::default()
            };
        }
        (progress.next, progress.held) = (settled.next, settled.held);
        let is_dry = pruning.is_dry;
        let (unheard, _nobody) = mpsc::channel(1);
        let holds = self.prune_steps(pruning, &unheard, progress).await?;
        if !is_dry {
            *self.keeping.settled.lock() = Settled {
                next: progress.next,
                held: progress.held,
                holds: &settled.holds | &holds,
                since: settled.since,
            };
        }
        Ok(())
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

/// That the daemon's end cut it off; or that time went on at once, or nobody listens any more.
fn cut_off(done: &Progress, end: u64) -> ServiceError {
    let message = format!(
        "it was cut off after {} of {end} entries, of which {} were removed: prune again when the daemon runs again",
        done.next, done.entries
    );
    ServiceError::new(Code::Overloaded, message)
}

/// The earliest and the latest of both.
fn widened(
    one: Option<(Timestamp, Timestamp)>,
    other: Option<(Timestamp, Timestamp)>,
) -> Option<(Timestamp, Timestamp)> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (one, other) => one.or(other),
    }
}

/// The entry before which bundles are to go because all in them are older than `keep` at `now`, as far as these
/// are from `from` on. What is later than now is of a clock that was ahead, and older than what follows it.
fn age_limit(
    store: &dyn Store,
    from: u64,
    keep: Option<Duration>,
    now: Timestamp,
) -> Result<u64, ServiceError> {
    let Some(limit) = keep.map(|keep| now.minus(keep)) else {
        return Ok(0);
    };
    let (mut number, mut end) = (from / Bundle::ENTRIES, 0);
    while let Some(bundle) = store.bundle(number)? {
        number += 1;
        let mut entries = bundle.entries.iter().rev();
        let last = entries.find_map(|it| serde_json::from_slice::<Entry>(&it.json).ok());
        match last.map(|it| it.time) {
            Some(time) if time < limit => end = number * Bundle::ENTRIES,
            Some(time) if time <= now => break,
            // What follows says it.
            Some(_) | None => {}
        }
    }
    Ok(end)
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
