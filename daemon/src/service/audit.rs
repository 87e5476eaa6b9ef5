//! Reading the audit log: pages of it, and following it.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use agentidp_shared::{Code, Entry};

use super::{Caller, Service, ServiceError};
use crate::store::EntryPage;
pub(crate) use crate::store::{EntryFilter, StoredEntry};

/// How many entries are read at a time for one who follows.
const BATCH: usize = 256;
/// How long one who follows waits before hearing that nothing happened.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);

/// What one who follows the log is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TailEvent {
    /// The next entry.
    Entry(StoredEntry),
    /// Entries `from` to `to`, inclusive, are skipped, because the reader fell too far behind.
    Gap {
        /// The first that is skipped.
        from: u64,
        /// The last that is skipped.
        to: u64,
    },
    /// Everything before this place has been told.
    Position(u64),
}

impl Service {
    /// A page of the log, newest first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) async fn list_entries(
        &self,
        before: Option<u64>,
        filter: EntryFilter,
        limit: usize,
    ) -> Result<EntryPage, ServiceError> {
        self.read(move |store| Ok(store.entries_before(before, &filter, limit)?))
            .await
    }

    /// The entry at a place in the log, if there is one there for the caller.
    ///
    /// # Errors
    ///
    /// `AUTHORIZATION_ERROR`.
    pub(crate) async fn find_entry(
        &self,
        caller: &Caller,
        seq: u64,
    ) -> Result<StoredEntry, ServiceError> {
        let organizations = caller.reach.narrowed(None);
        self.read(move |store| {
            let found = store.entry(seq)?;
            let is_reached = |stored: &StoredEntry| match &organizations {
                None => true,
                Some(reached) => serde_json::from_slice::<Entry>(&stored.json)
                    .ok()
                    .and_then(|entry| entry.organization_id)
                    .is_some_and(|id| reached.contains(&id)),
            };
            // To one who does not reach all, what others have is as what nobody has.
            let is_pruned = organizations.is_none() && seq < *store.head().borrow();
            found.filter(is_reached).ok_or_else(|| {
                let message = if is_pruned {
                    "this entry was pruned: the log has its hash, and no longer what it said"
                } else if organizations.is_none() {
                    "no entry of the log has this number"
                } else {
                    "no entry of yours has this number: there is none, or it was pruned"
                };
                ServiceError::new(Code::AuthorizationError, message)
            })
        })
        .await
    }

    /// Follows the log from `from` (absent: from the next entry) into `events` until the receiver
    /// is gone or the daemon stops. The log itself is the buffer: a slow reader holds up nobody,
    /// and one that is more than `max_lag` entries behind (0: never) is told of a gap.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) async fn tail(
        &self,
        from: Option<u64>,
        filter: &EntryFilter,
        max_lag: u64,
        events: &mpsc::Sender<TailEvent>,
    ) -> Result<(), ServiceError> {
        let mut head = self.store.head();
        let mut next = from.unwrap_or_else(|| *head.borrow());
        while !self.stopping.is_cancelled() && !events.is_closed() {
            let end = *head.borrow_and_update();
            if max_lag > 0 && end.saturating_sub(next) > max_lag {
                let to = end - max_lag - 1;
                if !self.tell(events, TailEvent::Gap { from: next, to }).await {
                    return Ok(());
                }
                next = to + 1;
            }
            let (batch, after) = self.read_batch(next, filter).await?;
            let caught_up = after == next;
            next = after;
            for entry in batch {
                if !self.tell(events, TailEvent::Entry(entry)).await {
                    return Ok(());
                }
            }
            if caught_up {
                if !self.tell(events, TailEvent::Position(next)).await {
                    return Ok(());
                }
                if !self.await_entries(&mut head, events).await {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Tells `event`, as soon as there is room for it; false when there is nobody left to tell, or the
    /// daemon stops: one who does not read must not hold that up.
    pub(super) async fn tell<T>(&self, events: &mpsc::Sender<T>, event: T) -> bool {
        tokio::select! {
            told = events.send(event) => told.is_ok(),
            () = self.stopping.cancelled() => false,
        }
    }

    /// Waits until the log has grown, or it is time to say that nothing happened; false when there is
    /// nobody left to tell, or the daemon stops.
    pub(super) async fn await_entries<T>(
        &self,
        head: &mut watch::Receiver<u64>,
        events: &mpsc::Sender<T>,
    ) -> bool {
        tokio::select! {
            changed = head.changed() => changed.is_ok(),
            () = tokio::time::sleep(HEARTBEAT) => true,
            () = events.closed() => false,
            () = self.stopping.cancelled() => false,
        }
    }

    /// The entries of the next [`BATCH`] from `from` on that `filter` lets through, and where the
    /// batch after it begins.
    async fn read_batch(
        &self,
        from: u64,
        filter: &EntryFilter,
    ) -> Result<(Vec<StoredEntry>, u64), ServiceError> {
        let filter = filter.clone();
        self.read(move |store| {
            let mut batch = store.entries_from(from, BATCH)?;
            let after = batch.last().map_or(from, |last| last.seq + 1);
            batch.retain(|entry| filter.matches_stored(entry));
            Ok((batch, after))
        })
        .await
    }
}
