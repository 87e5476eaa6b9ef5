//! Signing keys on a model of a store, under a clock that is moved by hand.

mod emergency;
mod interrupted;
mod rewrap;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use agentidp_shared::key_schedule::DEFAULT_JWKS_MAX_AGE as JWKS_MAX_AGE;
use agentidp_shared::token::MAX_LIFETIME;
use agentidp_shared::{OrganizationId, RequestId, RequestLimits, Via};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use tokio_util::sync::CancellationToken;

use super::rotate::Rotated;
use super::*;
use crate::clock::{Clock, System, random};
use crate::service::tier::TierLimits;
use crate::service::{Caller, IdempotencyKey, Reach, Tiers, init};
use crate::store::EntryFilter;
use crate::store::model::ModelStore;

/// How long a key is published before it signs.
const PUBLISHED_BEFORE: Duration = Duration::from_mins(10);
const DAY: Duration = Duration::from_hours(24);

/// A clock that stands until it is moved.
struct Hands(parking_lot::Mutex<Timestamp>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }

    fn passed(&self) -> Duration {
        Duration::ZERO
    }
}

struct Bench {
    store: Arc<ModelStore>,
    clock: Arc<Hands>,
    algorithm: SigningAlgorithm,
    rotation_period: Option<Duration>,
    key: u8,
    previous: Option<u8>,
}

impl Bench {
    async fn new() -> Self {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let it = Self {
            store: Arc::new(ModelStore::new()),
            clock: Arc::new(Hands(parking_lot::Mutex::new(now))),
            algorithm: SigningAlgorithm::EdDsa,
            rotation_period: Some(30 * DAY),
            key: 7,
            previous: None,
        };
        let first = init::first_commit(it.store.status().id, &it.sealer(), &System::default(), now)
            .unwrap()
            .0;
        it.store.commit(first).await.unwrap();
        it
    }

    fn sealer(&self) -> Sealer {
        let sealer = Sealer::new(&[self.key; 32]).unwrap();
        match self.previous {
            Some(previous) => sealer.with_previous(&[previous; 32]).unwrap(),
            None => sealer,
        }
    }

    async fn try_open(&self) -> Result<Service, ServiceError> {
        let settings = Settings {
            issuer: "https://id.example".to_owned(),
            default_audience: "https://id.example".to_owned(),
            token_lifetime: Duration::from_mins(15),
            algorithm: self.algorithm,
            rotation_period: self.rotation_period,
            jwks_max_age: JWKS_MAX_AGE,
            warn_before: Vec::new(),
            log_readers: Vec::new(),
            tiers: Tiers {
                limits: BTreeMap::from([("free".parse().unwrap(), TierLimits::default())]),
                default: "free".parse().unwrap(),
            },
            limits: RequestLimits::default(),
            retention: crate::service::retention::Retention::default(),
        };
        Service::open(
            settings,
            Arc::clone(&self.store) as _,
            Arc::clone(&self.clock) as _,
            Arc::new(System::default()),
            self.sealer(),
            CancellationToken::new(),
        )
        .await
    }

    async fn open(&self) -> Arc<Service> {
        Arc::new(self.try_open().await.unwrap())
    }

    async fn pass(&self, service: &Service, duration: Duration) {
        let now = self.clock.now().plus(duration);
        *self.clock.0.lock() = now;
        service.advance_signing_keys().await.unwrap();
    }

    /// Actions on keys and on what else is sealed, in their order, by whom.
    fn log(&self) -> Vec<Entry> {
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
            .filter(|it| it.action.as_str().starts_with("key."))
            .collect()
    }

    fn actions(&self) -> Vec<Action> {
        self.log().iter().map(|entry| entry.action).collect()
    }

    fn record(&self, kid: &str) -> SigningKeyRecord {
        let keys = Keys(self.store.signing_keys().unwrap());
        keys.find(kid).unwrap().clone()
    }
}

fn caller() -> Caller {
    Caller {
        actor: Actor {
            name: Some("alice".to_owned()),
            via: Via::Socket,
            ..Actor::system()
        },
        request_id: RequestId::new(Timestamp::from_millis(0), random(&System::default())),
        reach: Reach::Installation,
        ceiling: None,
        idempotency: None,
    }
}

async fn rotate(service: &Arc<Service>, rotation: &KeyRotation) -> Result<Rotated, Code> {
    let reason = Some("for the test".parse().unwrap());
    service
        .rotate_signing_keys(&caller(), rotation.clone(), reason)
        .await
        .map_err(|error| error.code)
}

fn emergency(kid: Option<&str>) -> KeyRotation {
    KeyRotation::Emergency {
        kid: kid.map(str::to_owned),
    }
}

fn signs(service: &Service) -> String {
    service.keyring().active().kid().to_owned()
}

/// The kids of the JWKS.
fn published(service: &Service) -> BTreeSet<String> {
    let set: serde_json::Value = serde_json::from_slice(&service.keyring().jwks()).unwrap();
    let keys = set["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

fn states(service: &Service) -> Vec<KeyState> {
    let keys = service.list_signing_keys().unwrap();
    keys.iter().map(|it| it.key.state).collect()
}

fn set<const N: usize>(kids: [&str; N]) -> BTreeSet<String> {
    kids.map(str::to_owned).into()
}

#[tokio::test]
async fn a_key_is_replaced_at_the_end_of_its_period_with_its_successor_in_the_jwks_before() {
    let bench = Bench::new().await;
    let service = bench.open().await;
    let first = signs(&service);
    bench
        .pass(&service, 29 * DAY + Duration::from_mins(23 * 60 + 50))
        .await;
    assert_eq!(signs(&service), first);
    let both = published(&service);
    assert_eq!(both.len(), 2);
    bench.pass(&service, PUBLISHED_BEFORE).await;
    let second = signs(&service);
    assert_ne!(second, first);
    assert_eq!(published(&service), both, "nothing that a copy lacks");
    bench.pass(&service, DAY).await;
    assert_eq!(published(&service), both, "its last token may be a day old");
    bench.pass(&service, JWKS_MAX_AGE).await;
    assert_eq!(published(&service), set([&second]));
    assert_eq!(states(&service), [KeyState::Active, KeyState::Retired]);
    assert_eq!(bench.record(&first).private, Sealed::wiped());
    assert_eq!(
        bench.actions(),
        [
            Action::KeyCreate,
            Action::KeyCreate,
            Action::KeyActivate,
            Action::KeyRetire,
            Action::KeyWithdraw
        ]
    );
}

#[tokio::test]
async fn another_algorithm_comes_to_sign_after_it_was_published_and_not_when_it_is_taken_back() {
    let mut bench = Bench::new().await;
    let service = bench.open().await;
    let first = signs(&service);
    bench.pass(&service, DAY).await;
    bench.algorithm = SigningAlgorithm::Es256;
    let service = bench.open().await;
    assert_eq!(
        (signs(&service), published(&service).len()),
        (first.clone(), 2)
    );
    // Back, while the new one still waits, and then for good.
    bench.algorithm = SigningAlgorithm::EdDsa;
    let service = bench.open().await;
    assert_eq!(published(&service), set([&first]));
    assert_eq!(states(&service), [KeyState::Retired, KeyState::Active]);
    bench.algorithm = SigningAlgorithm::Es256;
    let service = bench.open().await;
    bench.pass(&service, PUBLISHED_BEFORE).await;
    assert_ne!(signs(&service), first);
}

#[tokio::test]
async fn a_period_that_is_configured_mid_way_holds_for_the_key_that_signs() {
    let mut bench = Bench::new().await;
    bench.rotation_period = None;
    let service = bench.open().await;
    let first = signs(&service);
    bench.pass(&service, 300 * DAY).await;
    assert_eq!(published(&service), set([&first]));
    assert_eq!(service.list_signing_keys().unwrap()[0].next, None);
    bench.rotation_period = Some(DAY);
    let service = bench.open().await;
    assert_eq!(
        (signs(&service), published(&service).len()),
        (first.clone(), 2)
    );
    bench.pass(&service, PUBLISHED_BEFORE).await;
    assert_ne!(signs(&service), first);
}

#[tokio::test]
async fn an_operator_s_rotation_publishes_first_and_asked_twice_it_is_one() {
    let bench = Bench::new().await;
    let service = bench.open().await;
    let first = signs(&service);
    let one = rotate(&service, &KeyRotation::Planned).await.unwrap();
    assert_eq!(one.key.key.state, KeyState::Pending);
    assert_eq!(signs(&service), first);
    assert_eq!(published(&service), set([&first, &one.key.key.kid]));
    let two = rotate(&service, &KeyRotation::Planned).await.unwrap();
    assert_eq!((&two.key.key, two.audit_seq), (&one.key.key, one.audit_seq));
    let next = one.key.next.unwrap();
    assert_eq!(next.state, KeyState::Active);
    bench.pass(&service, next.at.since(bench.clock.now())).await;
    assert_eq!(signs(&service), one.key.key.kid);

    let log = bench.log();
    let asked = log
        .iter()
        .find(|it| it.action == Action::KeyRotate)
        .unwrap();
    assert_eq!(asked.actor.name.as_deref(), Some("alice"));
    assert_eq!(asked.reason.as_ref().unwrap().as_str(), "for the test");
    assert_eq!(asked.target.as_ref().unwrap().id, one.key.key.kid);
    assert_eq!(asked.seq, one.audit_seq);
}

#[tokio::test]
async fn a_rotation_needs_a_reason() {
    let bench = Bench::new().await;
    let service = bench.open().await;
    for rotation in [KeyRotation::Planned, emergency(None)] {
        let refused = service.rotate_signing_keys(&caller(), rotation, None).await;
        let code = refused.err().map(|error| error.code);
        assert_eq!(code, Some(Code::InvalidArgument));
    }
    assert_eq!(bench.actions(), [Action::KeyCreate]);
}

#[tokio::test]
async fn whoever_reaches_one_organization_only_does_not_rotate_the_keys_of_all() {
    let bench = Bench::new().await;
    let service = bench.open().await;
    let caller = Caller {
        reach: Reach::only(OrganizationId::from_bytes([1; 16])),
        ..caller()
    };
    let reason = || Some("for the test".parse().unwrap());
    for rotation in [KeyRotation::Planned, emergency(None)] {
        let refused = service
            .rotate_signing_keys(&caller, rotation, reason())
            .await;
        let code = refused.err().map(|error| error.code);
        assert_eq!(code, Some(Code::PermissionDenied));
    }
    assert_eq!(bench.actions(), [Action::KeyCreate]);
}

#[tokio::test]
async fn nothing_changes_when_a_rotation_cannot_be_written() {
    let bench = Bench::new().await;
    let service = bench.open().await;
    let (first, before) = (signs(&service), published(&service));
    bench.store.fail("the disk is full");
    for rotation in [KeyRotation::Planned, emergency(None)] {
        assert_eq!(
            rotate(&service, &rotation).await.err(),
            Some(Code::StoreUnavailable)
        );
    }
    assert_eq!((signs(&service), published(&service)), (first, before));
}

#[tokio::test]
async fn of_ten_thousand_tokens_none_is_refused_by_those_who_cache_the_jwks_as_long_as_they_may() {
    let bench = Bench::new().await;
    let service = bench.open().await;
    let verify = |token: &str, jwks: &[u8]| {
        let set: JwkSet = serde_json::from_slice(jwks).unwrap();
        let kid = decode_header(token).unwrap().kid.unwrap();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        let key = set
            .find(&kid)
            .map(|key| DecodingKey::from_jwk(key).unwrap());
        key.is_some_and(|key| decode::<serde_json::Value>(token, &key, &validation).is_ok())
    };
    // Copies of the JWKS, each until it is as old as it may get, and tokens with the longest life,
    // each until it expires.
    let (mut copies, mut tokens) = (VecDeque::new(), VecDeque::new());
    let mut kids = BTreeSet::new();
    for turn in 0..10_000_u64 {
        if turn % 500 == 0 {
            rotate(&service, &KeyRotation::Planned).await.unwrap();
        }
        let now = bench.clock.now();
        kids.insert(signs(&service));
        let claims = serde_json::json!({ "jti": turn });
        let token = service.keyring().active().sign(&claims).unwrap();
        copies.push_back((now, service.keyring().jwks()));
        while copies
            .front()
            .is_some_and(|(at, _)| now.since(*at) > JWKS_MAX_AGE)
        {
            copies.pop_front();
        }
        let (oldest, newest) = (&copies[0].1, &copies[copies.len() - 1].1);
        assert!(verify(&token, oldest), "token {turn}, as it is issued");
        tokens.push_back((now, token));
        while let Some((_, token)) = tokens.pop_front_if(|(at, _)| now.since(*at) >= MAX_LIFETIME) {
            assert!(verify(&token, newest), "a token as it expires, {turn}");
        }
        bench.pass(&service, Duration::from_secs(40)).await;
    }
    assert_eq!(kids.len(), 21, "the first, and one for each rotation");
}

#[tokio::test]
async fn a_rotation_that_is_repeated_is_answered_with_what_the_first_one_made() {
    let bench = Bench::new().await;
    let service = bench.open().await;
    let compromised = signs(&service);
    let rotate = async |rotation: &KeyRotation, named: &str| {
        let caller = Caller {
            idempotency: Some(IdempotencyKey::new("alice", named, &[])),
            ..caller()
        };
        let reason = Some("for the test".parse().unwrap());
        let rotated = service.rotate_signing_keys(&caller, rotation.clone(), reason);
        let rotated = rotated.await.unwrap();
        let kids = rotated.revoked.iter().map(|it| it.key.kid.clone());
        (
            rotated.key.key.kid.clone(),
            kids.collect::<Vec<_>>(),
            rotated.audit_seq,
        )
    };
    let first = rotate(&emergency(None), "one").await;
    assert_eq!((&first.0, &first.1), (&signs(&service), &vec![compromised]));
    let (log, before) = (bench.log().len(), published(&service));
    assert_eq!(rotate(&emergency(None), "one").await, first);
    assert_eq!((bench.log().len(), published(&service)), (log, before));
    assert_ne!(rotate(&emergency(None), "two").await.0, first.0);

    let planned = rotate(&KeyRotation::Planned, "three").await;
    bench.pass(&service, PUBLISHED_BEFORE).await;
    assert_eq!(signs(&service), planned.0);
    let again = rotate(&KeyRotation::Planned, "three").await;
    assert_eq!(again.0, planned.0);
    assert_eq!(published(&service).len(), 2, "no other was made");
}
