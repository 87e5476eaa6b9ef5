//! Which records change, for those who show them: drawn from the audit log, which has an entry with its
//! target for each. Nothing of it is stored a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agentidp_shared::{Action, AgentId, Entry, OrganizationId, TargetKind};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::audit::HEARTBEAT;
use super::{Service, ServiceError};
use crate::store::StoredEntry;

/// How many entries are read at a time.
const BATCH: usize = 256;
/// How long more is waited for once something has come.
const PACE: Duration = Duration::from_millis(50);
/// What an entry has that accounts for a record, and most others have not: it saves taking apart every
/// token that is issued.
const REVISION: &[u8] = br#""revision":"#;
/// How far one who watches may be behind before everything is to be read again: by then that is less
/// work than to be told one by one.
const MOST_BEHIND: u64 = 10_000;

/// What one who watches is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChangeEvent {
    /// Every change up to this place in the log has been told.
    Revision(u64),
    /// A record changed.
    Changed(RecordChange),
    /// Some changes are not told.
    Lost,
}

/// A record that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordChange {
    pub(crate) kind: TargetKind,
    pub(crate) id: String,
    /// The record's, after the change.
    pub(crate) revision: u64,
    pub(crate) organization: Option<OrganizationId>,
    /// Whose credential it is.
    pub(crate) agent: Option<AgentId>,
    pub(crate) action: Action,
    pub(crate) seq: u64,
}

impl RecordChange {
    /// What an entry says to have changed. Every record is put with an entry that then has its revision.
    fn of(entry: Entry) -> Option<Self> {
        let target = entry.target?;
        let is_record = matches!(
            target.kind,
            TargetKind::Organization
                | TargetKind::Agent
                | TargetKind::Credential
                | TargetKind::SigningKey
        );
        Some(Self {
            kind: target.kind,
            revision: target.revision.filter(|_| is_record)?,
            id: target.id,
            organization: entry.organization_id,
            agent: entry.agent_id,
            action: entry.action,
            seq: entry.seq,
        })
    }
}

impl Service {
    /// Tells `events` of every change after the place `after` in the log (absent: from now on) in the
    /// `organizations` (absent: in all, and of what belongs to none), until the receiver is gone or
    /// the daemon stops. The log itself is the buffer: a slow reader holds up nobody.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) async fn watch_changes(
        &self,
        after: Option<u64>,
        organizations: Option<BTreeSet<OrganizationId>>,
        events: &mpsc::Sender<ChangeEvent>,
    ) -> Result<(), ServiceError> {
        let mut head = self.store.head();
        let mut next = after.unwrap_or_else(|| *head.borrow());
        let mut last_said = None::<Instant>;
        while !self.stopping.is_cancelled() && !events.is_closed() {
            let end = *head.borrow_and_update();
            let mut told = Vec::new();
            if end.saturating_sub(next) > MOST_BEHIND {
                next = end;
                told.push(ChangeEvent::Lost);
            }
            let (changes, after) = self.read_changes(next, organizations.clone()).await?;
            let is_caught_up = after >= end;
            next = after;
            told.extend(changes);
            // A log that grows by tokens alone is no news.
            let is_news = !told.is_empty() || last_said.is_none_or(|at| at.elapsed() >= HEARTBEAT);
            if is_news && is_caught_up {
                told.push(ChangeEvent::Revision(next));
                last_said = Some(Instant::now());
            } else if is_news {
                last_said = None;
            }
            for event in told {
                if !self.tell(events, event).await {
                    return Ok(());
                }
            }
            if is_caught_up {
                if !self.await_entries(&mut head, events).await {
                    return Ok(());
                }
                // What comes at once is looked at once.
                tokio::time::sleep(PACE).await;
            }
        }
        Ok(())
    }

    /// What the next [`BATCH`] of entries from `from` on changed, and where the batch after it begins.
    async fn read_changes(
        &self,
        from: u64,
        organizations: Option<BTreeSet<OrganizationId>>,
    ) -> Result<(Vec<ChangeEvent>, u64), ServiceError> {
        self.read(move |store| {
            let batch = store.entries_from(from, BATCH)?;
            Ok(changes_in(&batch, from, organizations.as_ref()))
        })
        .await
    }
}

/// What a batch changed, the last change of each record alone; and where the next batch begins.
fn changes_in(
    batch: &[StoredEntry],
    from: u64,
    organizations: Option<&BTreeSet<OrganizationId>>,
) -> (Vec<ChangeEvent>, u64) {
    let after = batch.last().map_or(from, |last| last.seq + 1);
    let is_cut_off = batch.first().is_some_and(|first| first.seq > from);
    let mut newest = BTreeMap::new();
    let has_record = |it: &&StoredEntry| it.json.windows(REVISION.len()).any(|it| it == REVISION);
    for stored in batch.iter().filter(has_record) {
        let Some(change) = serde_json::from_slice(&stored.json)
            .ok()
            .and_then(RecordChange::of)
        else {
            continue;
        };
        let is_reached = organizations
            .is_none_or(|reached| change.organization.is_some_and(|id| reached.contains(&id)));
        if is_reached {
            newest.insert((change.kind.as_str(), change.id.clone()), change);
        }
    }
    let mut told: Vec<_> = newest.into_values().collect();
    told.sort_by_key(|it| it.seq);
    let lost = is_cut_off.then_some(ChangeEvent::Lost);
    let changed = told.into_iter().map(ChangeEvent::Changed);
    (lost.into_iter().chain(changed).collect(), after)
}

#[cfg(test)]
mod tests {
    use agentidp_shared::{Actor, Outcome, Target};

    use super::*;

    fn organization(number: u8) -> OrganizationId {
        let text = format!("0193f2c0-0000-7000-8000-0000000000{number:02x}");
        text.parse().unwrap()
    }

    fn entry(seq: u64, kind: TargetKind, id: &str, revision: Option<u64>, of: u8) -> StoredEntry {
        let time = agentidp_shared::Timestamp::from_millis(1_800_000_000_000);
        let mut entry = Entry::new(time, Actor::system(), Action::AgentUpdate, Outcome::Success);
        entry.seq = seq;
        entry.organization_id = Some(organization(of));
        entry.target = Some(Target {
            kind,
            id: id.to_owned(),
            revision,
            digest: None,
        });
        StoredEntry {
            seq,
            json: serde_json::to_vec(&entry).unwrap().into(),
        }
    }

    fn told(batch: &[StoredEntry], from: u64, reach: Option<u8>) -> Vec<String> {
        let reach = reach.map(|it| BTreeSet::from([organization(it)]));
        let (events, _) = changes_in(batch, from, reach.as_ref());
        let words = events.into_iter().map(|event| match event {
            ChangeEvent::Revision(at) => format!("up to {at}"),
            ChangeEvent::Changed(it) => format!("{} {} at {}", it.kind, it.id, it.revision),
            ChangeEvent::Lost => "lost".to_owned(),
        });
        words.collect()
    }

    #[test]
    fn of_a_record_that_changed_twice_the_last_change_is_told_and_only_where_one_reaches() {
        use TargetKind::{Agent, SigningKey, Store, Token};
        let batch = [
            entry(5, Agent, "a", Some(1), 1),
            entry(6, Agent, "b", Some(4), 2),
            entry(7, Token, "t", Some(1), 1),
            entry(8, Agent, "a", Some(2), 1),
            entry(9, Agent, "used", None, 1),
            entry(10, SigningKey, "k", Some(3), 2),
            entry(11, Store, "s", Some(3), 2),
        ];
        assert_eq!(
            told(&batch, 5, None),
            ["agent b at 4", "agent a at 2", "signing_key k at 3"]
        );
        assert_eq!(told(&batch, 5, Some(1)), ["agent a at 2"]);
        assert_eq!(told(&batch, 5, Some(3)), Vec::<String>::new());
    }

    #[test]
    fn where_the_log_does_not_go_back_so_far_something_is_lost() {
        let batch = [entry(5, TargetKind::Agent, "a", Some(1), 1)];
        assert_eq!(told(&batch, 3, None), ["lost", "agent a at 1"]);
    }
}
