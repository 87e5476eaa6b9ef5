//! The keys that sign the log's checkpoints: the present one, and those of before.
//!
//! They are one sealed secret of the store. One that never had another key has the 32 bytes of its seed
//! there; otherwise the stored form of all keys, the first first. Of a key that signs no more its seed is
//! gone, and what verifies its signatures stays.

use std::time::Duration;

use agentidp_shared::merkle::{Checkpoint, LogKey, Note, SignatureType, VerifierKey};
use agentidp_shared::{Code, Entry, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::clock::{Random, random};
use crate::crypto::Sealer;
use crate::service::{ServiceError, init};
use crate::store::{Commit, Record, ServerSecret, ServerSecretName, Store, form};

const SEED_BYTES: usize = 32;

/// A key as it is kept.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct LogKeyRecord {
    public: [u8; 32],
    /// RFC 8032, section 5.1.5; empty once it signs no more.
    seed: Vec<u8>,
    from: u64,
    /// In milliseconds since 1970.
    until: Option<i64>,
}

/// A key, and what it signs.
pub(crate) struct KnownLogKey {
    /// What verifies its signatures.
    pub(crate) verifier: VerifierKey,
    /// The size of the log from which on it signs.
    pub(crate) from: u64,
    /// Until when it does; `None` for the present key.
    pub(crate) until: Option<Timestamp>,
    /// What signs, unless it does no more.
    key: Option<LogKey>,
}

/// All keys of the log.
pub(crate) struct LogKeys {
    present: LogKey,
    /// With the present one, which is the last.
    all: Vec<KnownLogKey>,
}

impl LogKeys {
    /// The keys of the log of `store`.
    ///
    /// # Errors
    ///
    /// When they cannot be read or opened.
    pub(crate) fn open(store: &dyn Store, sealer: &Sealer) -> Result<Self, ServiceError> {
        let origin = init::log_origin(store);
        let kept = read(store, sealer)?;
        let present = kept.last().ok_or_else(unreadable)?;
        let present = LogKey::from_seed(origin.clone(), &present.seed)?;
        let all = kept.iter().map(|it| known(&origin, it));
        let all = all.collect::<Result<_, _>>()?;
        Ok(Self { present, all })
    }

    /// What verifies the signatures of the present key.
    pub(crate) const fn verifier(&self) -> &VerifierKey {
        self.present.verifier()
    }

    /// Every key that the log has had, the present one last.
    pub(crate) fn all(&self) -> &[KnownLogKey] {
        &self.all
    }

    /// Signs a checkpoint with the present key, and with those of before that are not at their end.
    ///
    /// # Errors
    ///
    /// When it is of another log.
    pub(crate) fn sign(
        &self,
        checkpoint: &Checkpoint,
        now: Timestamp,
    ) -> Result<Note, ServiceError> {
        let mut note = checkpoint.sign(&self.present)?;
        for known in &self.all {
            if let (Some(key), Some(until)) = (&known.key, known.until)
                && now < until
            {
                note.sign_also(key)?;
            }
        }
        Ok(note)
    }
}

/// What a change of the key leads to.
#[derive(Debug)]
pub(crate) struct Handover {
    /// What verifies the new key's signatures.
    pub(crate) verifier: VerifierKey,
    /// Until when the key of before signs too.
    pub(crate) until: Timestamp,
    /// The checkpoint of the size at which the new key begins, signed by both.
    pub(crate) note: Note,
}

/// Gives the log of a store that nobody else writes to another key. `entry` says who does it, when and why;
/// the key of before signs for `overlap` more, and in any case the checkpoint that the new one begins with. Those
/// of before that, which may still sign since an earlier change, sign for no longer either.
///
/// # Errors
///
/// When the keys cannot be read, the store cannot be written, or the head file cannot within `patience`.
pub(crate) async fn rotate(
    store: &dyn Store,
    sealer: &Sealer,
    source: &dyn Random,
    entry: Entry,
    overlap: Duration,
    patience: Duration,
) -> Result<Handover, ServiceError> {
    if let Some(cause) = store.status().head_failure {
        return Err(ServiceError::new(Code::StoreUnavailable, cause));
    }
    let now = entry.time;
    let until = now.plus(overlap);
    let origin = init::log_origin(store);
    let mut kept = read(store, sealer)?;
    let before = kept.last_mut().ok_or_else(unreadable)?;
    let old = LogKey::from_seed(origin.clone(), &before.seed)?;
    before.until = Some(until.as_millis());
    for it in &mut kept {
        // Those before it may be known to whoever knows it: none signs for longer.
        it.until = it.until.map(|end| end.min(until.as_millis()));
        if it.until.is_some_and(|until| until <= now.as_millis()) {
            it.seed.zeroize();
        }
    }
    let seed = Zeroizing::new(random::<SEED_BYTES>(source));
    let new = LogKey::from_seed(origin.clone(), seed.as_slice())?;
    kept.push(LogKeyRecord {
        public: new.verifier().public(),
        seed: seed.to_vec(),
        from: *store.head().borrow() + 1,
        until: None,
    });

    let name = ServerSecretName::LogKey;
    let plain = Zeroizing::new(form::encode(&kept).map_err(|_error| unreadable())?);
    let stored = store.server_secret(name)?.ok_or_else(unreadable)?;
    let record = ServerSecret {
        name,
        secret: sealer.seal(name.as_str(), &plain, source)?,
        revision: stored.record.revision + 1,
    };
    let commit = Commit::new(entry).put(Record::ServerSecret(record));
    let committed = store.commit(commit).await?;

    // Only what the head file has is signed.
    let mut headed = store.headed();
    let edge = headed.wait_for(|edge| edge.size() > committed.seq);
    let edge = tokio::time::timeout(patience, edge).await;
    let edge = edge.map_err(|_elapsed| not_headed())?;
    let edge = edge.map_err(|_closed| not_headed())?.clone();
    let checkpoint = Checkpoint::new(origin, edge.size(), edge.root());
    let mut note = checkpoint.sign(&new)?;
    note.sign_also(&old)?;
    let kept = store.keep_checkpoint(&note.to_string());
    kept.map_err(|error| ServiceError::new(Code::StoreUnavailable, error.to_string()))?;
    Ok(Handover {
        verifier: new.verifier().clone(),
        until,
        note,
    })
}

fn read(store: &dyn Store, sealer: &Sealer) -> Result<Vec<LogKeyRecord>, ServiceError> {
    let plain = init::own_secret(store, sealer, ServerSecretName::LogKey)?;
    if plain.len() != SEED_BYTES {
        return form::decode(&plain).map_err(|_error| unreadable());
    }
    let key = LogKey::from_seed(init::log_origin(store), &plain)?;
    Ok(vec![LogKeyRecord {
        public: key.verifier().public(),
        seed: plain.to_vec(),
        from: 0,
        until: None,
    }])
}

fn known(origin: &str, kept: &LogKeyRecord) -> Result<KnownLogKey, ServiceError> {
    let name = origin.to_owned();
    let is_there = !kept.seed.is_empty();
    let key = is_there.then(|| LogKey::from_seed(name.clone(), &kept.seed));
    Ok(KnownLogKey {
        verifier: VerifierKey::new(name, SignatureType::Ed25519, kept.public)?,
        from: kept.from,
        until: kept.until.map(Timestamp::from_millis),
        key: key.transpose()?,
    })
}

fn unreadable() -> ServiceError {
    ServiceError::new(
        Code::Internal,
        "the keys of the audit log are not of a form that this version knows: use the version that wrote them",
    )
}

fn not_headed() -> ServiceError {
    ServiceError::new(
        Code::StoreUnavailable,
        "the log has another key, but the head file could not be written: see to its disk, and start the daemon",
    )
}
