//! What the daemon has acknowledged, kept outside of it, and held against what it says after a restart.
//!
//! Every operation is noted before it is asked for and settled when it is answered. What is settled has
//! to be there for ever; what was under way when the daemon went may be there or not, as a whole; nothing
//! else may be there. Operations on the operators' socket are known in the audit log by the request id
//! that they bring, tokens by their `jti`.
//!
//! - [`log`] is what the audit log says of it all.
//! - [`verify`] holds log, records, tokens and secrets against what was acknowledged.

pub(crate) mod log;
pub(crate) mod record;
pub(crate) mod verify;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use agentidp_shared::{Action, AgentId, CredentialId, RequestId, Timestamp, TokenId};

use crate::http::{Client, Token};
use crate::random::Random;
use log::Log;
use record::Record;

/// How many tokens are remembered word for word, to be asked about later.
const TOKENS: usize = 4_000;

/// How many of the newest secrets are in use.
const RECENT: usize = 40;

/// What an operation is to do.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    /// The action of its first audit entry.
    pub(crate) action: Action,
    /// The id of what it is done to; `None` when it makes something.
    pub(crate) target: Option<String>,
    /// What the record has to say afterwards.
    pub(crate) wants: Wants,
}

/// What a record has to say after an operation.
#[derive(Debug, Clone)]
pub(crate) enum Wants {
    /// An organization of this name.
    Name(String),
    /// An agent with this e-mail address.
    Email(String),
    /// An agent of this version.
    Version(String),
    /// This status.
    Status(&'static str),
    /// An organization whose credentials may have this age, in seconds.
    MaxAge(i64),
    /// A credential of this agent.
    Of(String),
    /// That tokens until some moment are dead.
    RevokedUntil,
    /// Nothing: there is no record.
    Nothing,
}

/// What came of an operation.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// Nobody knows yet.
    Unknown,
    /// It was acknowledged, with the number of its audit entry and the records that it left.
    Acknowledged {
        /// The entry.
        seq: u64,
        /// The records.
        records: Vec<Record>,
    },
    /// It was not acknowledged, and a restart found it done.
    Found,
    /// The daemon refused it, or a restart found nothing of it.
    Nothing,
}

/// An operation on the operators' socket.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) intent: Intent,
    pub(crate) outcome: Outcome,
}

/// A token that an agent has in hand.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) agent: AgentId,
    pub(crate) credential: CredentialId,
    /// The token itself, as long as it is remembered.
    pub(crate) text: Option<String>,
}

/// How much there was.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Figures {
    /// Changes that were acknowledged on the operators' socket.
    pub(crate) changes: u64,
    /// Tokens that were given out.
    pub(crate) tokens: u64,
    /// Tokens that were revoked by themselves.
    pub(crate) revocations: u64,
    /// Requests for a token that were refused as they had to be.
    pub(crate) refusals: u64,
    /// Operations and requests whose answer did not come.
    pub(crate) unknown: u64,
    /// Of these, the ones that a restart found done.
    pub(crate) found: u64,
    /// How often everything was held against what was acknowledged.
    pub(crate) verified: u64,
}

impl Figures {
    /// How many acknowledgements there were.
    pub(crate) const fn acknowledged(&self) -> u64 {
        self.changes + self.tokens + self.revocations
    }

    /// Adds those of another run.
    pub(crate) const fn add(&mut self, other: Self) {
        self.changes += other.changes;
        self.tokens += other.tokens;
        self.revocations += other.revocations;
        self.refusals += other.refusals;
        self.unknown += other.unknown;
        self.found += other.found;
        self.verified += other.verified;
    }
}

#[derive(Default, Clone)]
pub(crate) struct Ledger {
    pub(crate) operations: HashMap<RequestId, Operation>,
    /// Those of them that the log has not been held against yet.
    pub(crate) fresh: Vec<RequestId>,
    pub(crate) tokens: HashMap<TokenId, Held>,
    /// Tokens of `tokens` that the log has not been held against yet.
    pub(crate) fresh_tokens: Vec<TokenId>,
    /// Tokens of `tokens` that are remembered word for word.
    pub(crate) remembered: Vec<TokenId>,
    /// How many requests for a token have no answer, by client.
    pub(crate) unanswered: HashMap<AgentId, u64>,
    /// Tokens whose revocation was asked for by themselves, and whether it was acknowledged.
    pub(crate) revocations: HashMap<TokenId, bool>,
    /// Every secret that was acknowledged.
    pub(crate) clients: HashMap<CredentialId, Client>,
    /// Whose they are, oldest first.
    pub(crate) secrets: Vec<CredentialId>,
    pub(crate) log: Log,
    pub(crate) figures: Figures,
    /// Ids that were given to operations, so that none is given twice.
    ids: HashSet<[u8; 10]>,
}

/// How far a cut of power has got.
///
/// ext4 may let an `fdatasync` that meets its shutdown succeed, though nothing was written: when the commit
/// that it waits for is aborted before it looks, it takes that for done. So what was under way at that moment
/// and is acknowledged after it counts as if it had not been. What was acknowledged before counts, and so does
/// what is asked for afterwards: that must not be acknowledged at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Power {
    /// There is power.
    On,
    /// It is being cut.
    Going,
    /// There is none.
    Off,
}

/// What was known when, in microseconds since 1970.
pub(crate) type History = Vec<(i64, Ledger)>;

/// The ledger, shared by everyone who makes load.
#[derive(Default)]
pub(crate) struct Oracle {
    ledger: Mutex<Ledger>,
    power: AtomicU8,
    history: Mutex<Option<History>>,
}

impl Oracle {
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that knows this.
    pub(crate) fn of(ledger: Ledger) -> Self {
        Self {
            ledger: Mutex::new(ledger),
            ..Self::default()
        }
    }

    /// Another one that knows the same.
    pub(crate) fn copy(&self) -> Self {
        Self::of(self.ledger().clone())
    }

    /// From here on remembers after each change what it knew.
    pub(crate) fn begin_history(&self) {
        *self.history() = Some(History::new());
    }

    /// Ends that, and gives it.
    pub(crate) fn end_history(&self) -> History {
        self.history().take().unwrap_or_default()
    }

    fn history(&self) -> MutexGuard<'_, Option<History>> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes something.
    fn note<T>(&self, note: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut ledger = self.ledger();
        let noted = note(&mut ledger);
        if let Some(history) = self.history().as_mut() {
            history.push((now(), ledger.clone()));
        }
        noted
    }

    /// Notes how far a cut of power has got.
    pub(crate) fn set_power(&self, power: Power) {
        self.power.store(power as u8, Ordering::SeqCst);
    }

    /// How far a cut of power has got.
    pub(crate) fn power(&self) -> Power {
        match self.power.load(Ordering::SeqCst) {
            0 => Power::On,
            1 => Power::Going,
            _ => Power::Off,
        }
    }

    /// Whether an answer counts that comes now, to what was asked when the power was as `asked` says.
    pub(crate) fn counts(&self, asked: Power) -> bool {
        asked == Power::Off || self.power() == Power::On
    }

    /// How much there was.
    pub(crate) fn figures(&self) -> Figures {
        self.ledger().figures
    }

    /// Notes an operation before it is asked for, and names its request.
    pub(crate) fn begin(&self, random: &mut Random, intent: Intent) -> RequestId {
        self.note(|ledger| {
            let id = loop {
                let bytes = random.bytes();
                if ledger.ids.insert(bytes) {
                    // The time in it says nothing: runs with the same seed have the same ids.
                    break RequestId::new(Timestamp::from_millis(1_800_000_000_000), bytes);
                }
            };
            let outcome = Outcome::Unknown;
            ledger.operations.insert(id, Operation { intent, outcome });
            ledger.fresh.push(id);
            id
        })
    }

    /// Notes what came of an operation.
    pub(crate) fn settle(&self, id: RequestId, outcome: Outcome) {
        self.note(|ledger| {
            match outcome {
                Outcome::Acknowledged { .. } => ledger.figures.changes += 1,
                Outcome::Unknown => ledger.figures.unknown += 1,
                Outcome::Found | Outcome::Nothing => {}
            }
            if let Some(operation) = ledger.operations.get_mut(&id) {
                operation.outcome = outcome;
            }
        });
    }

    /// Notes a secret that was acknowledged.
    pub(crate) fn knows(&self, client: Client) {
        self.note(|ledger| {
            ledger.secrets.push(client.credential);
            ledger.clients.insert(client.credential, client);
        });
    }

    /// Notes that a token is asked for.
    pub(crate) fn asks(&self, client: &Client) {
        self.note(|ledger| *ledger.unanswered.entry(client.id).or_default() += 1);
    }

    /// Notes that a request for a token was answered, with a token or without.
    pub(crate) fn answered(&self, client: &Client, token: Option<&Token>, random: &mut Random) {
        self.note(|ledger| {
            if let Some(count) = ledger.unanswered.get_mut(&client.id) {
                *count -= 1;
            }
            let Some(token) = token else {
                ledger.figures.refusals += 1;
                return;
            };
            ledger.figures.tokens += 1;
            let held = Held {
                agent: client.id,
                credential: client.credential,
                text: Some(token.text.clone()),
            };
            ledger.tokens.insert(token.jti, held);
            ledger.fresh_tokens.push(token.jti);
            ledger.remember(token.jti, random);
        });
    }

    /// Notes that a request for a token has no answer.
    pub(crate) fn unanswered(&self) {
        self.note(|ledger| ledger.figures.unknown += 1);
    }

    /// Some token that nobody has asked to be revoked yet; now somebody has.
    pub(crate) fn doom_a_token(
        &self,
        random: &mut Random,
        may_be: impl Fn(&Held) -> bool,
    ) -> Option<(TokenId, String, Held)> {
        self.note(|ledger| {
            let jti = *random.one_of(&ledger.remembered)?;
            let held = ledger.tokens.get(&jti).filter(|held| may_be(held))?.clone();
            if ledger.revocations.contains_key(&jti) {
                return None;
            }
            ledger.revocations.insert(jti, false);
            Some((jti, held.text.clone()?, held))
        })
    }

    /// Notes that the revocation of a token was acknowledged.
    pub(crate) fn revoked(&self, jti: TokenId) {
        self.note(|ledger| {
            ledger.revocations.insert(jti, true);
            ledger.figures.revocations += 1;
        });
    }

    /// One of the secrets that were acknowledged last, whatever became of its credential since.
    pub(crate) fn some_client(&self, random: &mut Random) -> Option<Client> {
        let ledger = self.ledger();
        let newest = ledger.secrets.len().saturating_sub(RECENT);
        let id = *random.one_of(ledger.secrets.get(newest..)?)?;
        ledger.clients.get(&id).cloned()
    }
}

/// The time, as strace tells it.
#[expect(
    clippy::disallowed_methods,
    reason = "it is held against the times of another program"
)]
fn now() -> i64 {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    time.map_or(0, |time| i64::try_from(time.as_micros()).unwrap_or(0))
}

impl Ledger {
    /// Remembers a token word for word, instead of some other when there are too many.
    fn remember(&mut self, jti: TokenId, random: &mut Random) {
        if self.remembered.len() < TOKENS {
            self.remembered.push(jti);
            return;
        }
        let place = random.index(TOKENS);
        if let Some(slot) = self.remembered.get_mut(place) {
            let forgotten = std::mem::replace(slot, jti);
            if let Some(held) = self.tokens.get_mut(&forgotten) {
                held.text = None;
            }
        }
    }
}
