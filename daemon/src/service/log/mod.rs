//! The log as evidence: checkpoints, proofs and exports (docs/reference/audit-log.md).
//!
//! The store says how far the tree is in its head file, about each second; of that a checkpoint is
//! signed ([`Service::keep_checkpoints`]), and proofs and exports are made under the newest. What
//! carries checkpoints off the machine is in `crate::sink`.

mod export;
mod keys;
mod tiles;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agentidp_shared::merkle::{
    Checkpoint, Edge, Grown, NodeHash, Note, Signature, TileError, TlogProof, VerifierKey,
    prove_consistency, prove_inclusion, root,
};
use agentidp_shared::{Code, FieldError, OrganizationId};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Caller, Service, ServiceError};
use crate::shares::Shares;
use crate::store::{ReadError, StoredEntry};
pub(crate) use export::{ExportChunk, ExportRange};
pub(crate) use keys::{Handover, KnownLogKey, LogKeys, rotate};

/// How long a proof waits for a checkpoint that covers it. There is one each second.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many may wait for such a checkpoint, and how many for one organization.
const WAITING: usize = 256;
/// See [`WAITING`].
pub(super) const WAITING_OF_ONE: usize = 32;

/// What signs checkpoints, and the newest.
pub(super) struct Log {
    keys: LogKeys,
    newest: watch::Sender<Option<Arc<Signed>>>,
    /// Held while the newest is given to the store: each of those who signed it has that done.
    keeping: Arc<Mutex<()>>,
    /// Those who wait for the next, by organization; operators of all of them are one more.
    waiting: Shares<Option<OrganizationId>>,
    /// How far each way off the machine has got.
    deliveries: Mutex<BTreeMap<&'static str, Delivery>>,
}

/// A checkpoint, and the tree that it is of.
pub(crate) struct Signed {
    /// The checkpoint, signed.
    pub(crate) note: Note,
    edge: Edge,
}

impl Signed {
    /// How many entries it is of.
    pub(crate) const fn size(&self) -> u64 {
        self.edge.size()
    }
}

/// How far one way off the machine has got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// How many entries the last checkpoint that got there is of; 0 for none since the start.
    pub(crate) size: u64,
    /// How many did not get there since the start.
    pub(crate) failures: u64,
    /// Why the newest did not get there.
    pub(crate) failure: Option<String>,
}

/// A proof that the log only grew.
#[derive(Debug)]
pub(crate) struct Consistency {
    /// The size of the larger tree.
    pub(crate) to: u64,
    /// The proof, from the tree of the smaller size (RFC 6962, section 2.1.2).
    pub(crate) proof: Vec<NodeHash>,
    /// A checkpoint of that size or a larger one.
    pub(crate) checkpoint: Note,
}

impl Log {
    /// The log whose checkpoints `keys` sign.
    pub(super) fn new(keys: LogKeys) -> Self {
        Self {
            keys,
            newest: watch::Sender::new(None),
            keeping: Arc::default(),
            waiting: Shares::new(WAITING, WAITING_OF_ONE),
            deliveries: Mutex::default(),
        }
    }
}

impl From<TileError<ReadError>> for ServiceError {
    fn from(error: TileError<ReadError>) -> Self {
        match error {
            TileError::Source(error) => error.into(),
            TileError::OutOfRange => {
                FieldError::new("seq", "must be below the size of the log").into()
            }
            error @ TileError::Missing { .. } => Self::new(
                Code::Internal,
                format!("{error}: stop the daemon and delete the index to have it rebuilt"),
            ),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` passes")]
fn not_kept(error: std::io::Error) -> ServiceError {
    let message = format!("the store could not keep the newest checkpoint: {error}");
    ServiceError::new(Code::StoreUnavailable, message)
}

impl Service {
    /// What verifies the log's checkpoints.
    pub(crate) const fn log_verifier(&self) -> &VerifierKey {
        self.log.keys.verifier()
    }

    /// Every key that the log has had, the present one last.
    pub(crate) fn log_keys(&self) -> &[KnownLogKey] {
        self.log.keys.all()
    }

    /// The checkpoints, as they are signed; `None` before the first.
    pub(crate) fn checkpoints(&self) -> watch::Receiver<Option<Arc<Signed>>> {
        self.log.newest.subscribe()
    }

    /// Signs a checkpoint whenever the store's head file has got further, until `ended`.
    pub(crate) async fn keep_checkpoints(&self, ended: CancellationToken) {
        let mut headed = self.store.headed();
        headed.mark_changed();
        loop {
            tokio::select! {
                biased;
                changed = headed.changed() => if changed.is_err() { return },
                () = ended.cancelled() => return,
            }
            let edge = Arc::clone(&headed.borrow_and_update());
            if edge.size() > 0
                && let Err(error) = self.sign_checkpoint(&edge).await
            {
                tracing::error!(%error, "the checkpoint of the audit log is not all that it should be");
            }
        }
    }

    /// Signs the checkpoint of a tree, gives it to the store to keep, and tells it to the system log,
    /// which a log that is rewritten later contradicts.
    pub(super) async fn sign_checkpoint(&self, edge: &Edge) -> Result<(), ServiceError> {
        let origin = self.log_verifier().name().to_owned();
        let checkpoint = Checkpoint::new(origin, edge.size(), edge.root());
        let note = self.log.keys.sign(&checkpoint, self.clock.now())?;
        tracing::info!(target: "audit_checkpoint", size = edge.size(), note = %note, "the audit log has grown");
        let edge = edge.clone();
        self.log
            .newest
            .send_replace(Some(Arc::new(Signed { note, edge })));
        self.keep_newest().await
    }

    /// Gives the newest checkpoint to the store to keep, as it is when its turn has come: what was kept last
    /// is then never an older one, nor one that lacks a signature.
    async fn keep_newest(&self) -> Result<(), ServiceError> {
        let (keeping, newest) = (Arc::clone(&self.log.keeping), self.checkpoints());
        let kept = self.read(move |store| {
            let _alone = keeping.lock();
            let newest = newest.borrow().clone();
            Ok(newest.map_or(Ok(()), |it| store.keep_checkpoint(&it.note.to_string())))
        });
        kept.await?.map_err(not_kept)
    }

    /// The newest checkpoint.
    ///
    /// # Errors
    ///
    /// When there is none yet: for a moment after the start.
    pub(crate) async fn newest_checkpoint(&self) -> Result<Arc<Signed>, ServiceError> {
        self.checkpoint_of(1).await
    }

    /// The newest checkpoint, as soon as it is of at least `size` entries, which the log has.
    ///
    /// # Errors
    ///
    /// When there is none for long, because the head file cannot be written.
    async fn checkpoint_of(&self, size: u64) -> Result<Arc<Signed>, ServiceError> {
        let mut newest = self.checkpoints();
        let covers = |newest: &Option<Arc<Signed>>| {
            newest
                .as_ref()
                .is_some_and(|signed| signed.size() >= size.max(1))
        };
        let signed = tokio::time::timeout(PATIENCE, newest.wait_for(covers)).await;
        let signed = signed.ok().and_then(|found| found.ok()?.clone());
        signed.ok_or_else(|| {
            let message = "no checkpoint of that much of the audit log could be signed: the daemon's log says why";
            ServiceError::new(Code::StoreUnavailable, message)
        })
    }

    /// The checkpoint of the first `size` entries, which `signed` is of too.
    pub(super) async fn checkpoint_at(
        &self,
        signed: &Arc<Signed>,
        size: u64,
    ) -> Result<Note, ServiceError> {
        if size == signed.size() {
            return Ok(signed.note.clone());
        }
        let edge = signed.edge.clone();
        let root = self
            .read(move |full| Ok(root(&Grown { full, edge: &edge }, size)?))
            .await?;
        let origin = self.log_verifier().name().to_owned();
        let checkpoint = Checkpoint::new(origin, size, root);
        self.log.keys.sign(&checkpoint, self.clock.now())
    }

    /// An entry, and the proof that it is in the log.
    ///
    /// # Errors
    ///
    /// When there is no such entry for the caller, or the store cannot be read.
    pub(crate) async fn prove_entry(
        &self,
        caller: &Caller,
        seq: u64,
    ) -> Result<TlogProof, ServiceError> {
        let entry = self.find_entry(caller, seq).await?;
        let signed = self.checkpoint_with(caller, seq).await?;
        self.proof_of(entry, signed).await
    }

    /// The newest checkpoint, as soon as it is of a log with the entry `seq`, which there is. That can take a
    /// second, so only so many may wait.
    ///
    /// # Errors
    ///
    /// `OVERLOADED`, and those of [`newest_checkpoint`](Self::newest_checkpoint).
    pub(crate) async fn checkpoint_with(
        &self,
        caller: &Caller,
        seq: u64,
    ) -> Result<Arc<Signed>, ServiceError> {
        let newest = self.log.newest.borrow().clone();
        if let Some(signed) = newest.filter(|signed| signed.size() > seq) {
            return Ok(signed);
        }
        let place = self.log.waiting.take(caller.reach.single(), 1);
        let _place = place.ok_or_else(|| {
            let message =
                "too many wait for the proof of an entry of this second: ask again in a second";
            ServiceError::new(Code::Overloaded, message)
        })?;
        self.checkpoint_of(seq + 1).await
    }

    /// The proof that `entry` is in the log of a checkpoint.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) async fn proof_of(
        &self,
        entry: StoredEntry,
        signed: Arc<Signed>,
    ) -> Result<TlogProof, ServiceError> {
        self.read(move |store| {
            let (edge, seq) = (&signed.edge, entry.seq);
            Ok(TlogProof {
                entry: entry.json.to_vec(),
                index: seq,
                proof: prove_inclusion(&Grown { full: store, edge }, seq, edge.size())?,
                checkpoint: signed.note.clone(),
            })
        })
        .await
    }

    /// The proof that the log of `to` entries begins with the log of `from`; `None`: with that of the
    /// newest checkpoint.
    ///
    /// # Errors
    ///
    /// When the log was never of such sizes, or the store cannot be read.
    pub(crate) async fn prove_growth(
        &self,
        from: u64,
        to: Option<u64>,
    ) -> Result<Consistency, ServiceError> {
        let end = *self.store.head().borrow();
        if from == 0 {
            return Err(FieldError::new(
                "from",
                "must be at least 1: of an empty log nothing can be proved",
            )
            .into());
        }
        if from > to.unwrap_or(end) {
            let rule = "must not be beyond the end of the log, or of `to`; a store put back from an earlier time has a shorter log";
            return Err(FieldError::new("from", rule).into());
        }
        if to.is_some_and(|to| to > end) {
            return Err(FieldError::new("to", "must not be beyond the end of the log").into());
        }
        let signed = self.checkpoint_of(to.unwrap_or(from)).await?;
        self.read(move |store| {
            let edge = &signed.edge;
            let to = to.unwrap_or(edge.size());
            Ok(Consistency {
                to,
                proof: prove_consistency(&Grown { full: store, edge }, from, to)?,
                checkpoint: signed.note.clone(),
            })
        })
        .await
    }

    /// The proof that the log of a checkpoint begins with that of its first `from` entries: nothing when those
    /// are none or all.
    ///
    /// # Errors
    ///
    /// When the log was never of that size, or the store cannot be read.
    pub(crate) async fn prove_up_to(
        &self,
        from: u64,
        signed: &Signed,
    ) -> Result<Vec<NodeHash>, ServiceError> {
        if from == 0 || from == signed.size() {
            return Ok(Vec::new());
        }
        let edge = signed.edge.clone();
        self.read(move |store| {
            let grown = Grown {
                full: store,
                edge: &edge,
            };
            Ok(prove_consistency(&grown, from, edge.size())?)
        })
        .await
    }

    /// Adds what a witness has signed the checkpoint of `size` entries with, while it is the newest. In any
    /// case the system log has it.
    ///
    /// # Errors
    ///
    /// When it has too many signatures, or the store could not keep it.
    pub(crate) async fn add_cosignature(
        &self,
        size: u64,
        cosignature: Signature,
    ) -> Result<(), ServiceError> {
        let mut added = Ok(false);
        let line = cosignature.to_string();
        // Nobody is told: it is the same checkpoint, and has been delivered, or is being.
        self.log.newest.send_if_modified(|newest| {
            if let Some(signed) = newest.as_ref().filter(|it| it.size() == size) {
                let mut note = signed.note.clone();
                added = note.add(cosignature).map(|()| true);
                if added.is_ok() {
                    let edge = signed.edge.clone();
                    *newest = Some(Arc::new(Signed { note, edge }));
                }
            }
            false
        });
        tracing::info!(target: "audit_checkpoint", size, cosignature = %line, "a witness has signed a checkpoint");
        if added? {
            self.keep_newest().await?;
        }
        Ok(())
    }

    /// Notes that checkpoints are to get to `place`.
    pub(crate) fn expect_deliveries(&self, place: &'static str) {
        self.log.deliveries.lock().entry(place).or_default();
    }

    /// Notes how the delivery of a checkpoint of `size` entries to `place` ended.
    pub(crate) fn note_delivery(&self, place: &'static str, size: u64, failure: Option<String>) {
        let mut deliveries = self.log.deliveries.lock();
        let delivery = deliveries.entry(place).or_default();
        match &failure {
            None => delivery.size = size,
            Some(_) => delivery.failures += 1,
        }
        delivery.failure = failure;
    }

    /// How far each way off the machine has got.
    pub(crate) fn deliveries(&self) -> BTreeMap<&'static str, Delivery> {
        self.log.deliveries.lock().clone()
    }
}
