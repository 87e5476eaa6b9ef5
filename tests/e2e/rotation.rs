//! Rotation under load: a fleet of agents replaces its credentials itself, an operator replaces
//! signing keys, and nobody notices.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use agentidp_tests::{
    Client, Connection, DEADLINE, Http, Installation, Registration, Request, Response, TestDaemon,
};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

const FLEET: usize = 8;
/// How many requests are answered over HTTP, at least. To verify a token by a cached key is none.
const REQUESTS: usize = 10_000;
/// How often the operator replaces the signing key meanwhile.
const KEY_ROTATIONS: usize = 3;
/// How often each agent replaces its credential meanwhile, at least.
const CREDENTIAL_ROTATIONS: usize = 3;
/// How many tokens an agent takes before it replaces its credential.
const TOKENS_A_CREDENTIAL: usize = 100;
/// How many of those it takes with the credential before, which is still good for a while.
const OVERLAP: usize = 20;

/// What all of them see.
#[derive(Default)]
struct Shared {
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Default)]
struct Progress {
    requests: usize,
    /// How often the JWKS was fetched.
    fetches: usize,
    /// The keys that tokens were signed with.
    kids: BTreeSet<String>,
    key_rotations: usize,
    failed: bool,
}

impl Shared {
    fn note<T>(&self, note: impl FnOnce(&mut Progress) -> T) -> T {
        let value = note(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
        value
    }

    /// Whether enough has happened.
    fn is_done(&self) -> bool {
        self.note(|it| it.failed || (it.requests >= REQUESTS && it.key_rotations >= KEY_ROTATIONS))
    }

    /// Waits until `has_happened`, or somebody fails.
    fn wait_until(&self, what: &str, has_happened: impl Fn(&Progress) -> bool) {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(progress, DEADLINE, |it| !it.failed && !has_happened(it));
        let (_progress, result) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!result.timed_out(), "{what}: it never happens");
    }
}

/// Says so when whoever holds it fails, so that nobody waits for what does not come.
struct Alarm<'a>(&'a Shared);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.note(|it| it.failed = true);
        }
    }
}

/// A resource server that keeps the JWKS for exactly as long as it may, and asks for no key that it
/// does not know before that.
struct ResourceServer<'a> {
    http: Http,
    shared: &'a Shared,
    issuer: String,
    keys: HashMap<String, Jwk>,
    tag: String,
    stale_at: Instant,
}

impl<'a> ResourceServer<'a> {
    fn new(daemon: &TestDaemon, shared: &'a Shared) -> Self {
        Self {
            http: daemon.http(),
            shared,
            issuer: daemon.installation.config.issuer(),
            keys: HashMap::new(),
            tag: "\"\"".to_owned(),
            stale_at: Instant::now(),
        }
    }

    fn fetch(&mut self) {
        let request = Request::new("GET", "/.well-known/jwks.json");
        // Before it is asked for, as RFC 9111, section 4.2.3, counts the age.
        let asked = Instant::now();
        // On a connection of its own: between two of these a server may end one that is idle.
        let answer = self.http.send(&request.header("if-none-match", &self.tag));
        self.shared.note(|it| {
            it.requests += 1;
            it.fetches += 1;
        });
        let policy = answer.header("cache-control").unwrap();
        let age = policy.split("max-age=").nth(1).unwrap().parse().unwrap();
        self.stale_at = asked + Duration::from_secs(age);
        if answer.status == 304 {
            return;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("etag").unwrap().clone_into(&mut self.tag);
        let set: JwkSet = serde_json::from_slice(&answer.body).unwrap();
        let named = |key: Jwk| (key.common.key_id.clone().unwrap(), key);
        self.keys = set.keys.into_iter().map(named).collect();
    }

    /// Verifies a token; gives the key's name.
    fn verify(&mut self, token: &str) -> String {
        if Instant::now() >= self.stale_at {
            self.fetch();
        }
        let kid = decode_header(token).unwrap().kid.unwrap();
        let key = self.keys.get(&kid);
        let key = key.unwrap_or_else(|| panic!("{kid} signs, and a fresh copy does not have it"));
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[&self.issuer]);
        validation.set_issuer(&[&self.issuer]);
        decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap();
        kid
    }
}

/// An agent of the fleet.
struct Member<'a> {
    client: Client,
    /// The credential before.
    before: Option<Client>,
    connection: Connection,
    resources: ResourceServer<'a>,
    server: &'a Client,
    shared: &'a Shared,
}

impl Member<'_> {
    fn run(mut self) {
        let _alarm = Alarm(self.shared);
        // Signed with a key that others follow, it holds for as long as it says.
        let oldest = self.exchange(&self.client.basic(&[])).token();
        let mut rotations = 0;
        while rotations < CREDENTIAL_ROTATIONS || !self.shared.is_done() {
            for number in 0..TOKENS_A_CREDENTIAL {
                self.use_a_token(number);
            }
            self.resources.verify(&oldest);
            self.rotate();
            rotations += 1;
        }
    }

    /// Asks on a connection that is kept.
    fn exchange(&mut self, request: &Request) -> Response {
        let answer = self.connection.exchange(request);
        self.shared.note(|it| it.requests += 1);
        answer
    }

    fn use_a_token(&mut self, number: usize) {
        let client = match &self.before {
            Some(before) if number < OVERLAP && number.is_multiple_of(2) => before,
            _ => &self.client,
        };
        let token = self.exchange(&client.basic(&[])).token();
        let kid = self.resources.verify(&token);
        let answer = self.exchange(&self.server.about(&token));
        assert_eq!(answer.json()["active"], true, "{}", answer.text());
        self.shared.note(|it| it.kids.insert(kid));
    }

    /// Replaces the credential, and cuts off the one before the last.
    fn rotate(&mut self) {
        let scope = [("scope", "credentials:write")];
        let token = self.exchange(&self.client.basic(&scope)).token();
        let bearer = format!("Bearer {token}");
        let credentials = format!("/api/v1/agents/{}/credentials", self.client.id);
        if let Some(old) = self.before.take() {
            let path = format!("{credentials}/{}?reason=replaced", old.credential);
            let request = Request::new("DELETE", &path).header("authorization", &bearer);
            let answer = self.exchange(&request);
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let path = format!("{credentials}/{}/rotate", self.client.credential);
        let request = Request::new("POST", &path)
            .header("authorization", &bearer)
            .header("content-type", "application/json")
            .body(br#"{"grace":3600}"#.to_vec());
        let answer = self.exchange(&request);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let issued = answer.json();
        let next = Client {
            secret: issued["client_secret"].as_str().unwrap().to_owned(),
            credential: issued["credential"]["id"].as_str().unwrap().to_owned(),
            ..self.client.clone()
        };
        self.before = Some(std::mem::replace(&mut self.client, next));
    }
}

#[test]
fn nobody_notices_when_credentials_and_signing_keys_are_replaced() {
    let mut installation = Installation::new();
    // Short, so that copies go stale, and a new key signs, several times in a run.
    installation.config.jwks_max_age = Some("2s");
    installation.init();
    let daemon = installation.start();
    daemon.organization("acme");
    let reads = Registration::new("api@acme.example").capability("tokens:read");
    let server = daemon.enrol(&reads);
    let clients: Vec<_> = (0..FLEET)
        .map(|number| {
            let email = format!("agent-{number}@acme.example");
            daemon.enrol(&Registration::new(&email).capability("credentials:write"))
        })
        .collect();
    let shared = Shared::default();
    thread::scope(|scope| {
        for client in clients {
            let member = Member {
                client,
                before: None,
                connection: daemon.http().keep_alive(),
                resources: ResourceServer::new(&daemon, &shared),
                server: &server,
                shared: &shared,
            };
            scope.spawn(move || member.run());
        }
        let _alarm = Alarm(&shared);
        for number in 1..=KEY_ROTATIONS {
            // Right after a copy was made, and each time later after the daemon's last look at its keys:
            // so one comes so shortly before the next look that a daemon which did not wait for copies
            // to go stale would be found out.
            let enough = shared.note(|it| it.fetches) + number * FLEET;
            shared.wait_until("copies are made", |it| it.fetches >= enough);
            let rotate = ["key", "rotate", "--reason", "drill", "--yes", "-o", "json"];
            let rotated = daemon.cli().json(&rotate);
            let kid = rotated["key"]["kid"].as_str().unwrap();
            shared.wait_until("the new key signs", |it| it.kids.contains(kid));
            shared.note(|it| it.key_rotations += 1);
        }
    });
    shared.note(|it| {
        assert!(it.requests >= REQUESTS, "{}", it.requests);
        assert!(it.kids.len() > KEY_ROTATIONS, "{:?}", it.kids);
    });
}
