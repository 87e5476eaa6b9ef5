//! When nothing is removed from the audit log unasked: until the daemon has served for a day, in one go, after
//! a restore, after another store was accepted, and after time went on at once. So legal holds that an older
//! store lacks can be put again, and a clock that is wrong can be put right, before anything is gone for good.
//!
//! What begins it is in the log: `store.restore`, `store.accept`, and an `audit.prune` of the daemon's own that
//! failed. What ends it is there too: the first look after the day is, whether it removed anything or not.

use std::time::Duration;

use agentidp_shared::{Action, Actor, ActorKind, Code, Entry, Outcome, Timestamp};
use parking_lot::Mutex;

use super::{Service, ServiceError};
use crate::clock::{Leap, Steady};
use crate::store::{Commit, CommitError, EntryFilter, ReadError, Store};

/// For how long.
const GRACE: Duration = Duration::from_hours(24);

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Restored(Timestamp),
    Accepted(Timestamp),
    /// To this time.
    Leapt(Timestamp),
}

/// Why, and since when by what no clock change moves.
#[derive(Debug, Clone, Copy)]
struct Begun {
    cause: Cause,
    since: Duration,
}

/// Which time of grace it is, or that there is none.
pub(super) type Epoch = Option<Duration>;

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Grace(Mutex<Known>);

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// Whether the log has been asked.
    is_looked_up: bool,
    begun: Option<Begun>,
}

/// That nothing is removed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waits {
    /// Why, and what to do meanwhile.
    pub(crate) why: String,
    /// Until then, if the daemon goes on serving.
    pub(crate) until: Timestamp,
}

/// How it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing keeps from removing what is old.
    Over,
    /// Nor does anything any more, which the log has yet to say.
    Ends,
    /// It is to be waited.
    Waits(Waits),
}

/// Puts into the log that time went on at once, if it did and nobody has noted it, so that a daemon that is
/// started anew knows it as well: to it the time looks right.
///
/// # Errors
///
/// When the store cannot be written.
pub(crate) async fn note_leap(
    store: &dyn Store,
    time: &Steady,
) -> Result<Option<Leap>, CommitError> {
    let Some(leap) = time.leapt() else {
        return Ok(None);
    };
    let days = leap.by.as_secs() / 86_400;
    let mut entry = Entry::new(
        leap.to,
        Actor::system(),
        Action::AuditPrune,
        Outcome::Failed,
    );
    entry.code = Some(Code::InvalidState);
    entry.reason = format!("time went on by {days} days at once").parse().ok();
    store.commit(Commit::new(entry)).await?;
    time.note(leap);
    Ok(Some(leap))
}

impl Service {
    /// Takes note when time goes on at once.
    ///
    /// # Errors
    ///
    /// When the store cannot be written. Then it is tried again.
    pub(crate) async fn watch_leaps(&self) -> Result<(), ServiceError> {
        let Some(leap) = self.clock.leapt() else {
            return Ok(());
        };
        // Nothing is removed meanwhile, or after it by one who has found before it that it may be.
        let _alone = self.keeping.alone.lock().await;
        self.keeping.grace.begin(leap);
        if note_leap(self.store.as_ref(), &self.clock).await?.is_some() {
            tracing::warn!(time = %leap.to, by = ?leap.by, "time went on at once: nothing is removed from the audit log unasked until the daemon has served for a day; see that the clock is right");
        }
        Ok(())
    }

    /// Whether what is old may be removed though nobody asks for it, as long as it is this epoch.
    pub(super) async fn grace(&self) -> Result<(Standing, Epoch), ServiceError> {
        self.watch_leaps().await?;
        let is_looked_up = self.keeping.grace.0.lock().is_looked_up;
        if !is_looked_up {
            let cause = self.read(|store| Ok(last_cause(store)?)).await?;
            let since = self.clock.clock().passed();
            let begun = cause.map(|cause| Begun { cause, since });
            self.keeping.grace.look_up(begun);
        }
        let begun = self.keeping.grace.0.lock().begun;
        let Some(Begun { cause, since }) = begun else {
            return Ok((Standing::Over, None));
        };
        let served = self.clock.clock().passed().saturating_sub(since);
        let standing = match GRACE.checked_sub(served) {
            None | Some(Duration::ZERO) => Standing::Ends,
            Some(rest) => Standing::Waits(Waits {
                why: cause.told(),
                until: self.now().plus(rest),
            }),
        };
        Ok((standing, Some(since)))
    }
}

impl Grace {
    /// The log says this, which counts unless it has begun anew since.
    fn look_up(&self, begun: Option<Begun>) {
        let mut known = self.0.lock();
        if !known.is_looked_up {
            known.is_looked_up = true;
            known.begun = begun;
        }
    }

    /// It begins, or anew.
    fn begin(&self, leap: Leap) {
        let mut known = self.0.lock();
        let cause = known.begun.map(|it| it.cause);
        known.is_looked_up = true;
        known.begun = Some(Begun {
            cause: cause.unwrap_or(Cause::Leapt(leap.to)),
            since: leap.when,
        });
    }

    /// Which it is.
    pub(super) fn epoch(&self) -> Epoch {
        self.0.lock().begun.map(|it| it.since)
    }

    /// It is over, and the log says so, if it is still the one that it was.
    pub(super) fn end(&self, epoch: Epoch) {
        let mut known = self.0.lock();
        if epoch == known.begun.map(|it| it.since) {
            known.begun = None;
        }
    }
}

impl Cause {
    fn told(self) -> String {
        match self {
            Self::Restored(time) => format!(
                "the store was restored at {time}: put again the legal holds that the backup lacks"
            ),
            Self::Accepted(time) => format!(
                "another store was accepted at {time}: put again the legal holds that it lacks"
            ),
            Self::Leapt(time) => format!(
                "time went on to {time} at once: see that the clock is right, because what is removed cannot be brought back"
            ),
        }
    }
}

/// What began it, as far as the log has not said that it ended.
fn last_cause(store: &dyn Store) -> Result<Option<Cause>, ReadError> {
    let is_own = |entry: &Entry| entry.actor.kind == ActorKind::System;
    let ended = last(store, Action::AuditPrune, |entry| {
        is_own(entry) && entry.outcome == Outcome::Success
    })?;
    let of = |action, outcome| {
        let begun = last(store, action, |entry| entry.outcome == outcome)?;
        let begun = begun.filter(|it| ended.as_ref().is_none_or(|ended| ended.seq < it.seq));
        Ok::<_, ReadError>(begun)
    };
    let restored = of(Action::StoreRestore, Outcome::Success)?;
    let accepted = of(Action::StoreAccept, Outcome::Success)?;
    let leapt = last(store, Action::AuditPrune, is_own)?;
    let leapt = leapt.filter(|it| it.outcome != Outcome::Success);
    // Who restored an older store has holds to put again, even if it was started days later.
    Ok(match (restored, accepted, leapt) {
        (Some(restored), Some(accepted), _) if accepted.seq > restored.seq => {
            Some(Cause::Accepted(accepted.time))
        }
        (Some(restored), _, _) => Some(Cause::Restored(restored.time)),
        (None, Some(accepted), _) => Some(Cause::Accepted(accepted.time)),
        (None, None, leapt) => leapt.map(|it| Cause::Leapt(it.time)),
    })
}

/// The newest entry of `action` that `is_meant`.
fn last(
    store: &dyn Store,
    action: Action,
    is_meant: impl Fn(&Entry) -> bool,
) -> Result<Option<Entry>, ReadError> {
    let filter = EntryFilter {
        action: Some(action),
        ..EntryFilter::default()
    };
    let mut before = None;
    loop {
        let page = store.entries_before(before, &filter, 16)?;
        let entries = page.entries.iter();
        let mut entries = entries.filter_map(|it| serde_json::from_slice::<Entry>(&it.json).ok());
        if let Some(found) = entries.find(&is_meant) {
            return Ok(Some(found));
        }
        if page.next_before.is_none() {
            return Ok(None);
        }
        before = page.next_before;
    }
}
