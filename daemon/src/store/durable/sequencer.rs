//! The one writer: takes what is waiting, decides on each in turn, writes one frame, syncs it,
//! applies it, and answers all.
//!
//! It is a thread of its own, because it waits for the disk. While it syncs, the next batch
//! gathers in its queue; under load a sync is shared by as many commits as came in during the one
//! before.

use std::collections::HashMap;
use std::sync::Arc;

use agentidp_shared::audit::MAX_ENTRY_BYTES;
use agentidp_shared::{AgentId, Email, OrganizationId, OrganizationName, Timestamp};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::frame::FrameItem;
use super::journal::Journal;
use super::state::{Applied, State};
use crate::store::check::{Current, check};
use crate::store::{
    Commit, CommitError, Committed, Item, ReadError, Record, RecordKey, TemporaryKey, form,
};

/// How many commits are taken up at once.
const BATCH: usize = 1_024;
/// The size from which on a frame takes no further commit.
const FRAME_BYTES: usize = 4 * 1_024 * 1_024;

/// A commit that waits for its turn.
pub(super) struct Waiting {
    /// The commit.
    pub(super) commit: Commit,
    /// Where the answer goes; `None` when nobody waits for it.
    pub(super) answer: Answer,
}

type Answer = Option<oneshot::Sender<Result<Committed, CommitError>>>;

fn refuse(answer: Answer, error: CommitError) {
    if let Some(answer) = answer {
        // Whoever asked may have gone away.
        drop(answer.send(Err(error)));
    } else {
        tracing::warn!(%error, "an audit entry that nobody waits for was not written");
    }
}

/// The writer.
pub(super) struct Sequencer {
    /// Where commits come from; it ends when that is closed.
    pub(super) queue: mpsc::Receiver<Waiting>,
    /// Where they go.
    pub(super) journal: Journal,
    /// The time of the newest entry; the next is not earlier.
    pub(super) latest: Option<Timestamp>,
    /// What readers see.
    pub(super) state: Arc<State>,
}

/// What the batch under way will have changed, on top of the state.
struct Overlay<'a> {
    state: &'a State,
    revisions: HashMap<RecordKey, u64>,
    names: HashMap<OrganizationName, OrganizationId>,
    emails: HashMap<Email, AgentId>,
    kept: HashMap<TemporaryKey, Timestamp>,
    registered: HashMap<OrganizationId, u64>,
}

impl Current for Overlay<'_> {
    fn revision(&self, key: &RecordKey) -> Result<Option<u64>, ReadError> {
        if let Some(revision) = self.revisions.get(key) {
            return Ok(Some(*revision));
        }
        self.state.revision(key)
    }

    fn organization_by_name(
        &self,
        name: &OrganizationName,
    ) -> Result<Option<OrganizationId>, ReadError> {
        match self.names.get(name) {
            Some(id) => Ok(Some(*id)),
            None => self.state.index.organization_by_name(name),
        }
    }

    fn agent_by_email(&self, email: &Email) -> Result<Option<AgentId>, ReadError> {
        match self.emails.get(email) {
            Some(id) => Ok(Some(*id)),
            None => Ok(self.state.directory.agent_by_email(email)),
        }
    }

    fn kept_until(&self, key: &TemporaryKey) -> Result<Option<Timestamp>, ReadError> {
        match self.kept.get(key) {
            Some(until) => Ok(Some(*until)),
            None => Ok(self.state.index.kept.until(key)),
        }
    }

    fn living_agents(&self, organization: OrganizationId) -> Result<u64, ReadError> {
        let registered = self.registered.get(&organization).copied().unwrap_or(0);
        Ok(self.state.directory.living_agents(organization) + registered)
    }
}

impl Overlay<'_> {
    fn note(&mut self, item: &Item) {
        for temporary in &item.kept {
            self.kept.insert(temporary.key, temporary.expires_at);
        }
        let Some(record) = &item.change else { return };
        self.revisions.insert(record.key(), record.revision());
        match record {
            Record::Organization(it) => drop(self.names.insert(it.name.clone(), it.id)),
            Record::Agent(it) => {
                if it.revision == 1 {
                    *self.registered.entry(it.organization_id).or_default() += 1;
                }
                self.emails.insert(it.email.clone(), it.id);
            }
            Record::Credential(_) | Record::SigningKey(_) | Record::ServerSecret(_) => {}
        }
    }
}

/// Dates no entry before `latest`, which becomes the time of the last one: requests that are under way
/// together took their time before they got in line.
fn keep_time(items: &mut [Item], latest: &mut Option<Timestamp>) {
    for Item { entry, .. } in items {
        entry.time = latest.map_or(entry.time, |latest| entry.time.max(latest));
        *latest = Some(entry.time);
    }
}

/// Completes the entries of a commit from `seq` on, and brings them and the records into their
/// stored form.
pub(super) fn seal(items: &mut [Item], seq: u64) -> Result<Vec<FrameItem>, CommitError> {
    let mut sealed = Vec::with_capacity(items.len());
    for (
        Item {
            entry,
            change,
            kept,
        },
        seq,
    ) in items.iter_mut().zip(seq..)
    {
        entry.seq = seq;
        let stored = match change {
            Some(record) => {
                let stored = form::encode(record)
                    .map_err(|error| CommitError::Unavailable(error.to_string()))?;
                if let Some(target) = &mut entry.target {
                    target.revision = Some(record.revision());
                    target.digest = Some(form::digest(&stored));
                }
                Some(Bytes::from(stored))
            }
            None => None,
        };
        let mut json = Vec::with_capacity(512);
        serde_json::to_writer(&mut json, entry)
            .map_err(|error| CommitError::Unavailable(error.to_string()))?;
        if json.len() > MAX_ENTRY_BYTES {
            return Err(CommitError::TooLarge);
        }
        sealed.push(FrameItem {
            entry: json.into(),
            change: stored,
            kept: if kept.is_empty() {
                None
            } else {
                let stored = form::encode(kept)
                    .map_err(|error| CommitError::Unavailable(error.to_string()))?;
                Some(Bytes::from(stored))
            },
        });
    }
    Ok(sealed)
}

impl Sequencer {
    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let _says_so = SaysWhenItPanics(Arc::clone(&self.state));
        let mut batch = Vec::new();
        let mut are_many = false;
        while let Some(first) = self.queue.blocking_recv() {
            batch.push(first);
            if are_many {
                // Those who are about to hand in come first, where they share a core with this thread: a write, a
                // sync and what they wake cost the same for more of them. One alone does not wait for anybody.
                std::thread::yield_now();
            }
            while batch.len() < BATCH {
                let Ok(next) = self.queue.try_recv() else {
                    break;
                };
                batch.push(next);
            }
            are_many = batch.len() > 1;
            let mut waiting = std::mem::take(&mut batch).into_iter();
            while waiting.len() > 0 {
                self.commit(&mut waiting);
            }
        }
    }

    /// Commits as many of those that wait as one frame takes.
    fn commit(&mut self, waiting: &mut std::vec::IntoIter<Waiting>) {
        let failure = self.state.failure.read().clone();
        if let Some(cause) = failure {
            waiting.for_each(|waiting| {
                refuse(waiting.answer, CommitError::Unavailable(cause.clone()));
            });
            return;
        }
        let first_seq = self.journal.position().entries;
        let mut overlay = Overlay {
            state: &self.state,
            revisions: HashMap::new(),
            names: HashMap::new(),
            emails: HashMap::new(),
            kept: HashMap::new(),
            registered: HashMap::new(),
        };
        let mut frame: Vec<FrameItem> = Vec::with_capacity(waiting.len());
        let mut items: Vec<Item> = Vec::with_capacity(waiting.len());
        let mut accepted = Vec::with_capacity(waiting.len());
        let (mut bytes, mut latest) = (0, self.latest);
        while bytes < FRAME_BYTES {
            let Some(Waiting { commit, answer }) = waiting.next() else {
                break;
            };
            let seq = first_seq + frame.len() as u64;
            let sealed = admit(&commit, &overlay).and_then(|()| {
                let mut own = commit.into_items();
                let mut then = latest;
                keep_time(&mut own, &mut then);
                seal(&mut own, seq).map(|sealed| {
                    latest = then;
                    (own, sealed)
                })
            });
            match sealed {
                Ok((mut own, sealed)) => {
                    for item in &own {
                        overlay.note(item);
                    }
                    bytes += sealed.iter().map(FrameItem::size).sum::<usize>();
                    frame.extend(sealed);
                    items.append(&mut own);
                    accepted.push((answer, seq));
                }
                Err(error) => refuse(answer, error),
            }
        }
        if frame.is_empty() {
            return;
        }
        self.latest = latest;
        let result = self.write(&frame, &items);
        if result.is_ok() {
            let took = self.journal.synced_in();
            self.state.metrics.written(accepted.len(), took);
        }
        for (answer, seq) in accepted {
            if let Some(answer) = answer {
                drop(answer.send(result.clone().map(|()| Committed { seq })));
            }
        }
    }

    /// Makes a frame durable and visible.
    fn write(&mut self, frame: &[FrameItem], items: &[Item]) -> Result<(), CommitError> {
        let position = match self.journal.append(frame) {
            Ok(position) => position,
            Err(error) => {
                return Err(self.fail(format!("{error}; nothing that was acknowledged is lost")));
            }
        };
        let mut tree = self.state.tree.lock();
        for (sealed, item) in frame.iter().zip(items) {
            let applied = Applied {
                entry: &item.entry,
                json: sealed.entry.clone(),
                change: item.change.as_ref().zip(sealed.change.as_deref()),
                kept: &item.kept,
            };
            if let Err(error) = self.state.apply(position.frame, applied, &mut tree) {
                // It is durable in the journal; what cannot be trusted any more is what is read.
                return Err(self.fail(format!(
                    "{error}; the journal has everything that was acknowledged: restart the daemon, which makes the index good again from it"
                )));
            }
        }
        *self.state.journal.lock() = (position, self.journal.size());
        self.state.head.send_replace(position.entries);
        drop(tree);
        Ok(())
    }

    fn fail(&self, cause: String) -> CommitError {
        tracing::error!(%cause, "the store takes no more writes");
        *self.state.failure.write() = Some(cause.clone());
        CommitError::Unavailable(cause)
    }
}

/// Without the sequencer nothing is written any more, and the daemon must not say that it is ready.
struct SaysWhenItPanics(Arc<State>);

impl Drop for SaysWhenItPanics {
    fn drop(&mut self) {
        if std::thread::panicking() {
            *self.0.failure.write() = Some(
                "the writer ended by an error of the program's own or of the index (the daemon's log has the panic); the journal has everything that was acknowledged: restart the daemon, which makes the index good again from it".to_owned(),
            );
        }
    }
}

fn admit(commit: &Commit, overlay: &Overlay<'_>) -> Result<(), CommitError> {
    match check(commit, overlay) {
        Ok(fits) => Ok(fits?),
        Err(error) => Err(CommitError::Unavailable(error.to_string())),
    }
}
