//! What the product does, between the interfaces and the store.
//!
//! Every function here takes parsed values, decides with the rules of `agentidp-shared`, and makes
//! one [`Commit`] whose entry accounts for it. `http` and `rpc` turn requests
//! into calls and answers into bytes; nothing of either is known here.
//!
//! The token path: [`Service::issue`] → [`authenticate`] → the grant
//! (`agentidp_shared::token::grant`) → [`Signer::sign`](crate::crypto::Signer::sign) → one commit.

pub(crate) mod about;
mod activity;
pub(crate) mod agent;
pub(crate) mod audit;
pub(crate) mod authenticate;
pub(crate) mod bearer;
pub(crate) mod bulk;
pub(crate) mod changes;
pub(crate) mod credential;
mod credential_age;
mod cursor;
mod demo;
pub(crate) mod denial;
pub(crate) mod error;
mod expiry;
mod fitness;
pub(crate) mod grace;
pub(crate) mod health;
mod idempotency;
pub(crate) mod init;
pub(crate) mod introspect;
pub(crate) mod key;
pub(crate) mod limits;
pub(crate) mod listed;
mod live;
pub(crate) mod log;
pub(crate) mod organization;
pub(crate) mod reach;
mod reads;
pub(crate) mod retention;
pub(crate) mod review;
pub(crate) mod revocation;
pub(crate) mod tier;
pub(crate) mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use agentidp_shared::{
    Action, Actor, Agent, AgentId, Code, Email, Entry, Organization, OrganizationId,
    OrganizationName, Outcome, RequestId, RequestLimits, Scope, ScopeSet, SigningAlgorithm,
    Timestamp,
};
use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::clock::{Clock, ClockStanding, Random, Steady, random};
use crate::crypto::{CursorKey, Keyring, Sealer, SecretHasher};
use crate::metrics::Metrics;
use crate::store::{Commit, EntryFilter, ReadError, Store, Stored};
use activity::Activity;
use denial::Denials;
pub(crate) use error::ServiceError;
pub(crate) use idempotency::IdempotencyKey;
use limits::Limits;
use live::VerifiedTokens;
pub(crate) use reach::Reach;
use reads::Reads;
use retention::Retention;
pub(crate) use tier::{TierUsage, Tiers};

/// How often a change is decided anew when another came in between.
const ATTEMPTS: usize = 5;

/// What the configuration says about tokens and keys.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The issuer, exactly as the metadata spells it.
    pub(crate) issuer: String,
    /// The audience of a token for which none is asked.
    pub(crate) default_audience: String,
    /// How long a token lives.
    pub(crate) token_lifetime: Duration,
    /// What new signing keys sign with.
    pub(crate) algorithm: SigningAlgorithm,
    /// How long the JWKS may be cached.
    pub(crate) jwks_max_age: Duration,
    /// How long before a credential expires that is said; each once.
    pub(crate) warn_before: Vec<Duration>,
    /// The agents that may read the whole log, whatever their organization.
    pub(crate) log_readers: Vec<AgentId>,
    /// What organizations may have.
    pub(crate) tiers: Tiers,
    /// How long a signing key signs; `None`: until an operator replaces it.
    pub(crate) rotation_period: Option<Duration>,
    /// How often agents may ask.
    pub(crate) limits: RequestLimits,
    /// What the audit log keeps.
    pub(crate) retention: Retention,
}

/// Who asks, and under which id.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Who asks, as the audit log names them.
    pub(crate) actor: Actor,
    /// The request.
    pub(crate) request_id: RequestId,
    /// Which organizations there are for the caller.
    pub(crate) reach: Reach,
    /// What the caller may give to others of the power over this server; absent: all of it.
    pub(crate) ceiling: Option<ScopeSet>,
    /// Under which key the caller may repeat the request and have it done once.
    pub(crate) idempotency: Option<IdempotencyKey>,
}

/// When the newest entry of the log of `store` was made; `None` when there is none.
fn newest_time(store: &dyn Store) -> Result<Option<Timestamp>, ReadError> {
    let newest = store.entries_before(None, &EntryFilter::default(), 1)?;
    let newest = newest.entries.first();
    let newest = newest.and_then(|it| serde_json::from_slice::<Entry>(&it.json).ok());
    Ok(newest.map(|entry| entry.time))
}

/// The time by which a command dates what it puts into the log of `store`, which no daemon has open: the
/// daemon's own rule, made of `clock`.
///
/// # Errors
///
/// When the store cannot be read.
pub(crate) fn time_of(store: &dyn Store, clock: Arc<dyn Clock>) -> Result<Steady, ReadError> {
    Ok(Steady::new(clock, newest_time(store)?))
}

/// The product, on a store.
pub(crate) struct Service {
    settings: Settings,
    store: Arc<dyn Store>,
    clock: Arc<Steady>,
    random: Arc<dyn Random>,
    sealer: Sealer,
    /// Seals what is remembered for a minute, under a key that is nowhere but in memory.
    reply_sealer: Sealer,
    secrets: SecretHasher,
    cursors: CursorKey,
    keyring: ArcSwap<Keyring>,
    log: log::Log,
    keeping: retention::Keeping,
    verified_tokens: VerifiedTokens,
    denials: Denials,
    activity: Activity,
    reads: Reads,
    limits: Limits,
    /// The latest time that a token was dated with, in milliseconds since 1970.
    last_issued: AtomicI64,
    /// Held while the signing keys are looked at and changed, until the keyring is made anew.
    signing_keys: tokio::sync::Mutex<()>,
    /// Held while an agent's set of credentials is looked at and changed: no revision stands for
    /// the set. See [`Self::change_credentials`].
    credentials: Arc<tokio::sync::Mutex<()>>,
    /// Ends what lasts: streams and timers.
    stopping: CancellationToken,
    metrics: Metrics,
    /// Whether it has been said that the machine's clock is not what the daemon goes by.
    clock_is_off: AtomicBool,
    /// Whether work on the store gets its turn.
    turn: fitness::Turn,
    /// Why the certificate that is on the disk is not the one in use.
    certificate_failure: parking_lot::Mutex<Option<String>>,
    /// When it began, by the machine's clock and by what no clock change moves.
    begun: (Timestamp, Instant),
}

impl Service {
    /// The product on a store whose first commit was [`init::first_commit`].
    ///
    /// # Errors
    ///
    /// When the store's keys cannot be read or opened.
    pub(crate) async fn open(
        settings: Settings,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        sealer: Sealer,
        stopping: CancellationToken,
    ) -> Result<Self, ServiceError> {
        let check_key = init::secret_check_key(store.as_ref(), &sealer)?;
        let newest = newest_time(store.as_ref())?;
        let clock = Arc::new(Steady::new(clock, newest));
        // Before anything else has the new time.
        grace::note_leap(store.as_ref(), &clock).await?;
        let keyring = key::prepare(
            store.as_ref(),
            &sealer,
            random.as_ref(),
            &settings,
            clock.now(),
        )
        .await?;
        let reply_sealer = Sealer::new(&zeroize::Zeroizing::new(crate::clock::random(
            random.as_ref(),
        )))?;
        let log = log::Log::new(log::LogKeys::open(store.as_ref(), &sealer)?);
        let begun = (clock.clock().now(), Instant::now());
        let last_issued = newest.map_or(0, Timestamp::as_millis);
        Ok(Self {
            log,
            limits: Limits::new(&settings.limits),
            settings,
            store,
            clock,
            random,
            reply_sealer,
            sealer,
            secrets: SecretHasher::new(&check_key),
            cursors: CursorKey::new(&check_key),
            keyring: ArcSwap::from_pointee(keyring),
            verified_tokens: VerifiedTokens::default(),
            denials: Denials::default(),
            activity: Activity::new(begun.0),
            reads: Reads::default(),
            last_issued: AtomicI64::new(last_issued),
            signing_keys: tokio::sync::Mutex::default(),
            credentials: Arc::default(),
            keeping: retention::Keeping::default(),
            stopping,
            metrics: Metrics::default(),
            clock_is_off: AtomicBool::new(false),
            turn: fitness::Turn::default(),
            certificate_failure: parking_lot::Mutex::default(),
            begun,
        })
    }

    /// What the configuration says.
    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The store, to be asked for its state.
    pub(crate) fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// What is counted.
    pub(crate) const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What verifies client secrets, to be asked for its state.
    pub(crate) const fn secrets(&self) -> &SecretHasher {
        &self.secrets
    }

    /// When it began to serve.
    pub(crate) const fn begun_at(&self) -> Timestamp {
        self.begun.0
    }

    /// The keys in use.
    pub(crate) fn keyring(&self) -> arc_swap::Guard<Arc<Keyring>> {
        self.keyring.load()
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Notes that a token is dated with `time`, before it is committed.
    fn note_issue(&self, time: Timestamp) {
        self.last_issued
            .fetch_max(time.as_millis(), Ordering::SeqCst);
    }

    /// A time that no token is dated later than which hangs on a record whose earlier tokens ended at
    /// `said`: now, or later still. A token can be ahead of the clock, by the millisecond that keeps it
    /// apart from a revocation before it ([`issue_time`](agentidp_shared::token::issue_time)), or
    /// because the clock has gone back.
    fn after_every_token(&self, said: Option<Timestamp>) -> Timestamp {
        let last = Timestamp::from_millis(self.last_issued.load(Ordering::SeqCst));
        let after_said = said.map_or(last, |said| said.plus(Duration::from_millis(1)));
        self.now().max(last).max(after_said)
    }

    /// What tells the time, for the parts of the daemon that date entries beside the service.
    pub(crate) fn clock(&self) -> Arc<Steady> {
        Arc::clone(&self.clock)
    }

    /// A name for a request that brought none.
    pub(crate) fn new_request_id(&self) -> RequestId {
        RequestId::new(self.now(), random(self.random.as_ref()))
    }

    /// How the machine's clock stands to the time that the daemon goes by.
    pub(crate) fn clock_standing(&self) -> ClockStanding {
        self.clock.standing()
    }

    /// Why the daemon cannot serve, if it cannot.
    pub(crate) fn not_ready_reason(&self) -> Option<String> {
        if self.stopping.is_cancelled() {
            return Some("the daemon is stopping".to_owned());
        }
        let failure = self.store.failure();
        let failure = failure.or_else(|| self.clock_ahead());
        failure.or_else(|| self.without_turn())
    }

    /// Puts an entry of the daemon's own into the log.
    pub(crate) async fn record(&self, action: Action) -> Result<(), ServiceError> {
        let entry = Entry::new(self.now(), Actor::system(), action, Outcome::Success);
        self.store.commit(Commit::new(entry)).await?;
        Ok(())
    }

    /// Puts into the log that the daemon starts; with how many entries the newest signed checkpoint was not of, if
    /// there were any or the end before was unclean.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub(crate) async fn record_start(&self, unsigned: Option<u64>) -> Result<(), ServiceError> {
        let (actor, action) = (Actor::system(), Action::DaemonStart);
        let mut entry = Entry::new(self.now(), actor, action, Outcome::Success);
        entry.count = unsigned;
        self.store.commit(Commit::new(entry)).await?;
        Ok(())
    }

    /// Puts into the log that work on the store is asked for; gives the entry's place.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED` to whoever does not reach the whole installation; when the store cannot be
    /// written.
    pub(crate) async fn ask_for_store_work(
        &self,
        caller: &Caller,
        action: Action,
    ) -> Result<u64, ServiceError> {
        if caller.reach != Reach::Installation {
            return Err(ServiceError::new(
                Code::PermissionDenied,
                "the store belongs to the whole installation, and you reach some organizations only",
            ));
        }
        let mut entry = Entry::new(self.now(), caller.actor.clone(), action, Outcome::Success);
        entry.request_id = Some(caller.request_id);
        let committed = self.store.commit(Commit::new(entry)).await?;
        Ok(committed.seq)
    }

    /// Reads what may take long, where it holds up nobody else.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let store = Arc::clone(&self.store);
        let reading = tokio::task::spawn_blocking(move || read(store.as_ref()));
        reading.await.map_err(|error| {
            ServiceError::new(Code::Internal, format!("reading the store failed: {error}"))
        })?
    }

    /// Whether the caller may give `capabilities` to an agent that has `held`, or act in the name of
    /// one that has them: nobody hands on more of the power over this server than they have
    /// themselves, nor takes it by way of another agent. Taking power away counts too: it could be done to
    /// issue that agent a credential, and wait until it has its power again.
    ///
    /// # Errors
    ///
    /// `SCOPE_NOT_ALLOWED` when not.
    fn check_power(
        caller: &Caller,
        capabilities: &ScopeSet,
        held: Option<&ScopeSet>,
    ) -> Result<(), ServiceError> {
        let Some(ceiling) = &caller.ceiling else {
            return Ok(());
        };
        let has = |set: &ScopeSet, scope: &Scope| set.iter().any(|it| it == scope);
        let given = capabilities
            .iter()
            .filter(|scope| held.is_none_or(|held| !has(held, scope)));
        let taken = held
            .into_iter()
            .flat_map(ScopeSet::iter)
            .filter(|scope| !has(capabilities, scope));
        let beyond = given
            .chain(taken)
            .filter(|scope| scope.is_management())
            .find(|scope| !has(ceiling, scope));
        match beyond {
            None => Ok(()),
            Some(scope) => Err(ServiceError::new(
                Code::ScopeNotAllowed,
                format!("{scope} is beyond what the caller may give, take or use itself"),
            )
            .with("scope", scope)),
        }
    }

    /// Makes a commit; gives the place of its first entry.
    async fn commit(&self, commit: Commit) -> Result<u64, ServiceError> {
        Ok(self.store.commit(commit).await?.seq)
    }

    /// An entry of `action` by `caller`, now.
    fn entry(&self, caller: &Caller, action: Action, outcome: Outcome) -> Entry {
        let mut entry = Entry::new(self.now(), caller.actor.clone(), action, outcome);
        entry.request_id = Some(caller.request_id);
        entry
    }

    fn require_organization(
        &self,
        caller: &Caller,
        id: OrganizationId,
    ) -> Result<Arc<Stored<Organization>>, ServiceError> {
        self.store
            .organization(id)?
            .filter(|it| caller.reach.has(it.record.id))
            .ok_or_else(ServiceError::organization_not_found)
    }

    fn require_agent(
        &self,
        caller: &Caller,
        id: AgentId,
    ) -> Result<Arc<Stored<Agent>>, ServiceError> {
        self.store
            .agent(id)?
            .filter(|it| caller.reach.has(it.record.organization_id))
            .ok_or_else(ServiceError::agent_not_found)
    }

    /// Finds an organization by id or name.
    ///
    /// # Errors
    ///
    /// `ORGANIZATION_NOT_FOUND`.
    pub(crate) fn find_organization(
        &self,
        caller: &Caller,
        text: &str,
    ) -> Result<Arc<Stored<Organization>>, ServiceError> {
        let id = self.organization_id(text)?;
        self.require_organization(caller, id.ok_or_else(ServiceError::organization_not_found)?)
    }

    /// The id that `text` is, or that the organization of this name has.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) fn organization_id(
        &self,
        text: &str,
    ) -> Result<Option<OrganizationId>, ServiceError> {
        Ok(match text.parse::<OrganizationId>() {
            Ok(id) => Some(id),
            Err(_) => match text.parse::<OrganizationName>() {
                Ok(name) => self.store.organization_by_name(&name)?,
                Err(_) => None,
            },
        })
    }

    /// Finds an agent by id or e-mail.
    ///
    /// # Errors
    ///
    /// `AGENT_NOT_FOUND`.
    pub(crate) fn find_agent(
        &self,
        caller: &Caller,
        text: &str,
    ) -> Result<Arc<Stored<Agent>>, ServiceError> {
        let id = match text.parse::<AgentId>() {
            Ok(id) => Some(id),
            Err(_) => match text.parse::<Email>() {
                Ok(email) => self.store.agent_by_email(&email)?,
                Err(_) => None,
            },
        };
        self.require_agent(caller, id.ok_or_else(ServiceError::agent_not_found)?)
    }
}

impl Service {
    /// Whether a caller who saw revision `seen` may be answered with a change that has been made
    /// already: it was theirs, as far as they can tell.
    fn check_done_already(
        &self,
        seen: u64,
        current: u64,
        audit_seq: u64,
    ) -> Result<(), ServiceError> {
        if seen.checked_add(1) == Some(current) {
            return Ok(());
        }
        self.check_revision(seen, current, audit_seq)
    }

    /// Whether the caller saw the revision that the record has, whose last change is the entry
    /// `audit_seq`. 0 stands for any.
    fn check_revision(&self, seen: u64, current: u64, audit_seq: u64) -> Result<(), ServiceError> {
        if seen == 0 || seen == current {
            return Ok(());
        }
        // It may have been pruned.
        let entry = self.store.entry(audit_seq)?;
        let entry: Option<Entry> =
            entry.and_then(|stored| serde_json::from_slice(&stored.json).ok());
        Err(ServiceError::revision_conflict(
            seen,
            current,
            entry.as_ref(),
        ))
    }
}

/// Does `work` to its end though whoever asked for it goes away: what holds a lock until its commit is made must
/// not let go of it while the commit is on its way.
///
/// # Errors
///
/// Those of `work`; `INTERNAL` when it panicked.
pub(crate) fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
) -> impl Future<Output = Result<T, ServiceError>> + Send {
    let working = tokio::spawn(work.in_current_span());
    async {
        working.await.unwrap_or_else(|error| {
            let message = format!("the daemon gave up on it: {error}; its log says more");
            Err(ServiceError::new(Code::Internal, message))
        })
    }
}

/// What was decided on records as they were.
enum Decided<T> {
    /// It is so already, since the change that this entry tells of.
    Already(T, u64),
    /// It becomes so by this commit.
    Now(T, Commit),
}

impl Service {
    /// Decides by `decide`, and anew when a record changed before that was durable. What others did decides
    /// what is left to do: a caller who named the revision that they saw is told of it then.
    ///
    /// # Errors
    ///
    /// Those of `decide`; `OVERLOADED` when the records change all the time.
    async fn decided_anew<T>(
        &self,
        mut decide: impl FnMut() -> Result<Decided<T>, ServiceError>,
    ) -> Result<Changed<T>, ServiceError> {
        for _ in 0..ATTEMPTS {
            let (record, commit) = match decide()? {
                Decided::Already(record, audit_seq) => return Ok(Changed { record, audit_seq }),
                Decided::Now(record, commit) => (record, commit),
            };
            match self.commit(commit).await {
                Err(error) if error.code == Code::RevisionConflict => {}
                done => {
                    let audit_seq = done?;
                    return Ok(Changed { record, audit_seq });
                }
            }
        }
        Err(ServiceError::new(
            Code::Overloaded,
            "the record keeps changing: try again in a second",
        ))
    }
}

/// A record after an operator's action, and the audit entry that says so.
#[derive(Debug, Clone)]
pub(crate) struct Changed<T> {
    /// The record.
    pub(crate) record: T,
    /// The entry.
    pub(crate) audit_seq: u64,
}

#[cfg(test)]
mod tests;
