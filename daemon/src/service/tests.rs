//! The service on a model of a store: what must hold whatever the interfaces do.

mod lifecycle;

use std::collections::BTreeMap;
use std::time::Duration;

use agentidp_shared::agent::Transition;
use agentidp_shared::token::TokenRequest;
use agentidp_shared::{ActorKind, Code, CredentialStatus, Via};
use zeroize::Zeroizing;

use super::authenticate::Presented;
use super::bearer::Origin;
use super::credential::{Issued, Proof, Rotation};
use super::health::Condition;
use super::tier::TierLimits;
use super::token::{IssueRequest, IssuedToken};
use super::*;
use crate::clock::System;
use crate::store::EntryFilter;
use crate::store::model::ModelStore;

mod abandoned;
mod ageing;
mod assertions;
mod bulk;
mod evidence;
mod hashing;
mod jumps;
mod power;
mod retention;
mod review;
mod tokens;

/// A clock that stands until it is moved, and how much time has passed whatever was done to it.
struct Hands(parking_lot::Mutex<Timestamp>, parking_lot::Mutex<Duration>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }

    fn passed(&self) -> Duration {
        *self.1.lock()
    }
}

struct Bench {
    service: Arc<Service>,
    store: Arc<ModelStore>,
    clock: Arc<Hands>,
}

const AGENT: &str = "screener@demo.example";

impl Bench {
    async fn new() -> Self {
        let store = Arc::new(ModelStore::new());
        let begin = Timestamp::from_millis(1_800_000_000_000);
        let clock = Arc::new(Hands(
            parking_lot::Mutex::new(begin),
            parking_lot::Mutex::default(),
        ));
        let sealer = || Sealer::new(&[7; 32]).unwrap();
        let first = init::first_commit(
            store.status().id,
            &sealer(),
            &System::default(),
            clock.now(),
        )
        .unwrap()
        .0;
        store.commit(first).await.unwrap();
        let service = Arc::new(Self::open(&store, &clock).await);
        service.seed_demo().await.unwrap();
        Self {
            service,
            store,
            clock,
        }
    }

    /// The daemon's product, started on `store`.
    async fn open<S: Store>(store: &Arc<S>, clock: &Arc<Hands>) -> Service {
        let sealer = Sealer::new(&[7; 32]).unwrap();
        let settings = Settings {
            issuer: "https://id.example".to_owned(),
            default_audience: "https://id.example".to_owned(),
            token_lifetime: Duration::from_mins(15),
            algorithm: SigningAlgorithm::EdDsa,
            jwks_max_age: Duration::from_mins(5),
            warn_before: vec![Duration::from_hours(48), Duration::from_hours(24)],
            log_readers: Vec::new(),
            tiers: Tiers {
                limits: BTreeMap::from([("free".parse().unwrap(), TierLimits::default())]),
                default: "free".parse().unwrap(),
            },
            rotation_period: None,
            limits: RequestLimits::default(),
            retention: Retention::default(),
        };
        let service = Service::open(
            settings,
            Arc::clone(store) as _,
            Arc::clone(clock) as _,
            Arc::new(System::default()),
            sealer,
            CancellationToken::new(),
        );
        service.await.unwrap()
    }

    /// The same on the same store, started anew.
    async fn restart(self) -> Self {
        Self {
            service: Arc::new(Self::open(&self.store, &self.clock).await),
            store: self.store,
            clock: self.clock,
        }
    }

    /// What its configuration says, to be changed.
    fn settings(&mut self) -> &mut Settings {
        &mut Arc::get_mut(&mut self.service).unwrap().settings
    }

    /// Time passes, and the clock goes with it.
    fn pass(&self, duration: Duration) {
        self.set_ahead(duration);
        *self.clock.1.lock() += duration;
    }

    /// Somebody sets the clock, or it goes on while the daemon does not run.
    fn set_ahead(&self, duration: Duration) {
        let mut now = self.clock.0.lock();
        *now = now.plus(duration);
    }

    fn operator(&self) -> Caller {
        let actor = Actor {
            kind: ActorKind::Operator,
            name: Some("alice".to_owned()),
            via: Via::Socket,
            ..Actor::system()
        };
        Caller {
            actor,
            request_id: self.service.new_request_id(),
            reach: Reach::Installation,
            ceiling: None,
            idempotency: None,
        }
    }

    async fn credential(&self) -> Issued {
        self.service
            .issue_credential(&self.operator(), AGENT, Proof::ClientSecret, None)
            .await
            .unwrap()
    }

    fn request(&self, issued: &Issued) -> IssueRequest {
        IssueRequest {
            client: Presented::Secret {
                client_id: issued.credential.agent_id.to_string(),
                client_secret: Zeroizing::new(issued.secret.as_ref().unwrap().expose().to_owned()),
            },
            token: TokenRequest::default(),
            origin: Origin {
                address: [127, 0, 0, 1].into(),
                request_id: self.service.new_request_id(),
            },
        }
    }

    async fn token(&self, issued: &Issued) -> Result<IssuedToken, Code> {
        let request = self.request(issued);
        self.service
            .issue(&request)
            .await
            .map(|issued| issued.value)
            .map_err(|error| error.code)
    }

    async fn transition(&self, transition: Transition) -> Result<Changed<Agent>, Code> {
        let reason = Some("for the test".parse().unwrap());
        let changed = self
            .service
            .transition_agent(&self.operator(), AGENT, transition, reason, 0)
            .await;
        changed.map_err(|error| error.code)
    }

    fn log(&self) -> Vec<(Action, Outcome, Option<Code>)> {
        let page = self
            .store
            .entries_before(None, &EntryFilter::default(), 1_000)
            .unwrap();
        let entries = page
            .entries
            .iter()
            .rev()
            .map(|it| serde_json::from_slice::<Entry>(&it.json).unwrap());
        entries
            .map(|entry| (entry.action, entry.outcome, entry.code))
            .collect()
    }
}

#[tokio::test]
async fn no_token_leaves_when_its_entry_cannot_be_written() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    assert!(bench.token(&issued).await.is_ok());
    bench.store.fail("the disk is full");
    assert_eq!(
        bench.token(&issued).await.err(),
        Some(Code::StoreUnavailable)
    );
    assert_eq!(
        bench.service.not_ready_reason().as_deref(),
        Some("the disk is full")
    );
}

#[tokio::test]
async fn every_part_is_healthy_until_it_is_not() {
    let bench = Bench::new().await;
    let state = |health: &health::Health, name| {
        let part = health.parts.iter().find(|part| part.name == name);
        part.map(|part| part.state).unwrap()
    };
    let health = bench.service.health().await;
    assert_eq!(health.state, Condition::Healthy, "{health:?}");
    assert_eq!(health.parts.len(), 8);
    let failed = Err("/etc/full.crt: is of another key".to_owned());
    bench.service.note_certificate(failed);
    bench
        .service
        .note_delivery("file", 1, Some("/srv/full".to_owned()));
    bench.store.fail("the disk is full");
    bench.pass(Duration::from_hours(1));
    let health = bench.service.health().await;
    assert_eq!(state(&health, "store"), Condition::Unreachable);
    assert_eq!(state(&health, "clock"), Condition::Degraded);
    assert_eq!(state(&health, "checkpoints"), Condition::Degraded);
    assert_eq!(state(&health, "certificate"), Condition::Degraded);
    assert_eq!(state(&health, "index"), Condition::Healthy);
    assert_eq!(health.state, Condition::Unreachable);
    let written = serde_json::to_string(&health).unwrap();
    assert!(
        !written.contains("full"),
        "the cause is for operators: {written}"
    );
}

#[tokio::test]
async fn a_key_that_is_not_moved_on_in_time_shows() {
    let mut bench = Bench::new().await;
    bench.settings().algorithm = SigningAlgorithm::Es256;
    key::prepare(
        bench.store.as_ref(),
        &bench.service.sealer,
        bench.service.random.as_ref(),
        &bench.service.settings,
        bench.clock.now(),
    )
    .await
    .unwrap();
    let keys = async |bench: &Bench| {
        let health = bench.service.health().await;
        let part = health
            .parts
            .into_iter()
            .find(|it| it.name == "signing_keys");
        part.unwrap().state
    };
    assert_eq!(keys(&bench).await, Condition::Healthy);
    bench.pass(Duration::from_mins(12));
    assert_eq!(keys(&bench).await, Condition::Degraded);
    bench.service.advance_signing_keys().await.unwrap();
    assert_eq!(keys(&bench).await, Condition::Healthy);
}

#[tokio::test]
async fn a_suspended_agent_gets_no_token_and_a_resumed_one_does() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    let first = bench.transition(Transition::Suspend).await.unwrap();
    assert_eq!(bench.token(&issued).await.err(), Some(Code::AgentSuspended));
    // Doing it twice is answered with the first time.
    assert_eq!(
        bench
            .transition(Transition::Suspend)
            .await
            .unwrap()
            .audit_seq,
        first.audit_seq
    );
    bench.transition(Transition::Resume).await.unwrap();
    assert!(bench.token(&issued).await.is_ok());
    let denied = (
        Action::TokenIssue,
        Outcome::Denied,
        Some(Code::AgentSuspended),
    );
    assert_eq!(
        bench.log().iter().filter(|entry| **entry == denied).count(),
        1
    );
}

#[tokio::test]
async fn ending_an_agent_revokes_every_credential_in_the_same_commit() {
    let bench = Bench::new().await;
    let (one, two) = (bench.credential().await, bench.credential().await);
    bench.transition(Transition::Revoke).await.unwrap();
    for issued in [&one, &two] {
        let stored = bench
            .store
            .credential(issued.credential.id)
            .unwrap()
            .unwrap();
        assert_eq!(stored.record.credential.status, CredentialStatus::Revoked);
    }
    assert_eq!(
        bench.transition(Transition::Resume).await.err(),
        Some(Code::InvalidState)
    );
    let issue = bench
        .service
        .issue_credential(&bench.operator(), AGENT, Proof::ClientSecret, None)
        .await;
    assert_eq!(
        issue.err().map(|error| error.code),
        Some(Code::InvalidState)
    );
    let log = bench.log();
    let ended = [
        (Action::AgentRevoke, Outcome::Success, None),
        (Action::CredentialRevoke, Outcome::Success, None),
        (Action::CredentialRevoke, Outcome::Success, None),
    ];
    assert!(log.windows(3).any(|window| window == ended), "{log:?}");
}

#[tokio::test]
async fn a_rotated_credential_works_until_its_grace_is_over() {
    let bench = Bench::new().await;
    let old = bench.credential().await;
    let grace = Some(Duration::from_hours(1));
    let new = bench
        .service
        .rotate_credential(
            &bench.operator(),
            old.credential.id,
            Rotation {
                grace,
                ..Rotation::default()
            },
        )
        .await
        .unwrap();
    assert!(bench.token(&old).await.is_ok() && bench.token(&new).await.is_ok());
    bench.pass(Duration::from_hours(1));
    assert_eq!(bench.token(&old).await.err(), Some(Code::CredentialExpired));
    assert!(bench.token(&new).await.is_ok());
    let again = bench
        .service
        .rotate_credential(
            &bench.operator(),
            old.credential.id,
            Rotation {
                grace,
                ..Rotation::default()
            },
        )
        .await;
    assert_eq!(
        again.err().map(|error| error.code),
        Some(Code::InvalidState)
    );
}

#[tokio::test]
async fn a_rotation_without_grace_cuts_the_old_one_off_though_it_was_remembered() {
    let bench = Bench::new().await;
    let old = bench.credential().await;
    assert!(bench.token(&old).await.is_ok());
    let grace = Some(Duration::ZERO);
    bench
        .service
        .rotate_credential(
            &bench.operator(),
            old.credential.id,
            Rotation {
                grace,
                ..Rotation::default()
            },
        )
        .await
        .unwrap();
    assert_eq!(bench.token(&old).await.err(), Some(Code::CredentialRevoked));
}

#[tokio::test]
async fn a_change_made_for_a_revision_that_is_gone_is_refused() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    let reason = || Some("for the test".parse().unwrap());
    let id = issued.credential.id;
    let stale = bench
        .service
        .revoke_credential(&bench.operator(), id, reason(), 9)
        .await;
    assert_eq!(
        stale.err().map(|error| error.code),
        Some(Code::RevisionConflict)
    );
    assert!(
        bench
            .service
            .revoke_credential(&bench.operator(), id, reason(), 1)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_token_decided_on_before_a_suspension_is_not_committed_after_it() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    let request = bench.request(&issued);
    let now = bench.clock.now();
    let Ok(Ok(client)) = bench.service.authenticate(&request.client, now).await else {
        panic!("the agent is not let in");
    };
    // Between what the request read and what it commits.
    bench.transition(Transition::Suspend).await.unwrap();
    let late = bench.service.issue_to(&request, &client, now).await;
    assert_eq!(
        late.err().map(|error| error.code),
        Some(Code::RevisionConflict)
    );
    assert!(
        !bench
            .log()
            .contains(&(Action::TokenIssue, Outcome::Success, None))
    );
}
