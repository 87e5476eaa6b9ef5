//! What looks after the store while the daemon serves: the whole check, and compaction.

use std::sync::Arc;
use std::time::Duration;

use agentidp_shared::{Action, Actor, Code, Entry, Outcome, Timestamp};
use tokio::sync::Notify;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::rpc::StoreWork;
use crate::service::Service;
use crate::store::durable::{JournaledStore, OpenError, Report};
use crate::store::{Commit, Store as _, Upkeep};

/// How long after the start what is due is looked at for the first time.
const FIRST_LOOK: Duration = Duration::from_mins(1);
/// How often after that.
const LOOK: Duration = Duration::from_hours(1);
/// The size from which on an index is compacted.
const LARGE: u64 = 256 * 1_024 * 1_024;
/// The part of it that must be of no use for that.
const MOSTLY_USELESS: f64 = 0.75;

/// Looks after `store` until `stopping`. `is_in_doubt`: it was not closed in good order, or has what nobody signed.
pub(crate) async fn look_after(
    store: Arc<JournaledStore>,
    service: Arc<Service>,
    is_in_doubt: bool,
    check_every: Option<Duration>,
    asked: StoreWork,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    // One after the other, whoever it is for: what is asked for meanwhile is done after that.
    let checks = async {
        if is_in_doubt {
            check(&store, &service).await;
        }
        let mut looks = looks();
        loop {
            if !is_asked(&asked.check, &mut looks).await {
                let checked = store.status().upkeep.checked.map(|it| it.time);
                if !is_due(checked, service.now(), check_every) {
                    continue;
                }
            }
            check(&store, &service).await;
        }
    };
    let compactions = async {
        let mut looks = looks();
        loop {
            if is_asked(&asked.compaction, &mut looks).await
                || is_worth_compacting(&store.status().upkeep)
            {
                compact(&store).await;
            }
        }
    };
    // What is cut off ends when the store is closed.
    let all = async { tokio::join!(checks, compactions) };
    stopping.run_until_cancelled(all).await;
    Ok(())
}

/// When it is looked whether something is due.
fn looks() -> Interval {
    let mut looks = tokio::time::interval_at(Instant::now() + FIRST_LOOK, LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// Waits until it is asked for, or time to look; whether it is asked for.
async fn is_asked(asked: &Notify, looks: &mut Interval) -> bool {
    tokio::select! {
        () = asked.notified() => true,
        _ = looks.tick() => false,
    }
}

/// Whether a check is due at `now` after the `last` one. One that is dated later was made while the clock was
/// ahead, and says nothing.
fn is_due(last: Option<Timestamp>, now: Timestamp, every: Option<Duration>) -> bool {
    let Some(every) = every else { return false };
    last.is_none_or(|last| last > now || now.since(last) >= every)
}

fn is_worth_compacting(upkeep: &Upkeep) -> bool {
    upkeep.index_bytes > LARGE
        && upkeep.content_bytes > 0
        && upkeep.fragmentation() > MOSTLY_USELESS
}

/// Verifies all of the store, tells what was found, and puts it into the audit log.
async fn check(store: &Arc<JournaledStore>, service: &Service) {
    let (checked, now) = (Arc::clone(store), service.now());
    let checking = tokio::task::spawn_blocking(move || checked.check_in_use(now));
    let report = match checking.await {
        // The daemon ends.
        Ok(None | Some(Err(OpenError::Interrupted))) => return,
        Ok(Some(Ok(report))) => report,
        Ok(Some(Err(error))) => {
            tracing::error!(%error, "the store could not be verified; it is tried again");
            return;
        }
        Err(error) => {
            tracing::error!(%error, "verifying the store ended early");
            return;
        }
    };
    let mut entry = Entry::new(
        service.now(),
        Actor::system(),
        Action::StoreCheck,
        Outcome::Success,
    );
    let mut is_made_anew = false;
    if !report.is_sound() {
        entry.outcome = Outcome::Failed;
        entry.code = Some(Code::Internal);
        entry.count = Some(report.findings.len() as u64 + report.more_findings);
        if report.is_index_only() {
            is_made_anew = store.distrust_index().unwrap_or_else(|error| {
                tracing::error!(%error, "the index could not be marked as damaged");
                false
            });
        }
    }
    if let Err(error) = store.commit(Commit::new(entry)).await {
        tracing::error!(%error, "the end of the check could not be put into the audit log");
    }
    tell(&report, is_made_anew);
}

fn tell(report: &Report, is_made_anew: bool) {
    for finding in &report.findings {
        tracing::error!(%finding, "the store is not as it should be");
    }
    if report.is_sound() {
        tracing::info!(
            entries = report.entries,
            records = report.records,
            root = report.root,
            "the whole store was verified"
        );
    } else if is_made_anew {
        tracing::error!("the index is damaged: the next start makes it anew from the journal");
    } else if report.is_index_only() {
        tracing::error!(
            "the index is damaged: stop the daemon and make it anew with `agentidpd store rebuild`"
        );
    } else {
        tracing::error!(
            "the journal or the head file is damaged: stop the daemon, keep the store, and restore the newest backup that verifies"
        );
    }
}

async fn compact(store: &Arc<JournaledStore>) {
    let compacted = Arc::clone(store);
    let compacting = tokio::task::spawn_blocking(move || compacted.compact());
    match compacting.await {
        Ok(None) => {}
        Ok(Some(Ok((before, after)))) => {
            tracing::info!(before, after, "the index was compacted");
        }
        Ok(Some(Err(error))) => {
            tracing::error!(%error, "the index could not be compacted; it is tried again");
        }
        Err(error) => tracing::error!(%error, "compacting the index ended early"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_is_dated_ahead_does_not_put_off_the_next() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let day = Duration::from_hours(24);
        let is_due = |last| is_due(last, now, Some(day));
        assert!(is_due(None));
        assert!(is_due(Some(now.minus(day))));
        assert!(!is_due(Some(now.minus(day / 2))));
        assert!(is_due(Some(now.plus(60 * day))));
    }
}
