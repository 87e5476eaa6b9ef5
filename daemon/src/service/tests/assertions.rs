//! What becomes of a request that a client assertion came with: one entry, which says that, and the
//! assertion is used up by it.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::tokens::registration;
use super::*;
use crate::service::bearer::Presents;
use crate::service::credential::public_key;

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An agent with a key of its own.
struct Keyed {
    id: AgentId,
    key: Ed25519KeyPair,
}

impl Keyed {
    async fn new(bench: &Bench, email: &str, capabilities: &str) -> Self {
        let operator = bench.operator();
        let registered = bench
            .service
            .register_agent(&operator, "demo", registration(email, capabilities))
            .await
            .unwrap();
        let key = Ed25519KeyPair::generate().unwrap();
        let x = encode(key.public_key().as_ref());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x }).to_string();
        let proof = Proof::PublicKey(public_key(jwk.as_bytes()).unwrap());
        let id = registered.record.id;
        bench
            .service
            .issue_credential(&operator, &id.to_string(), proof, None)
            .await
            .unwrap();
        Self { id, key }
    }

    /// An assertion with the id `jti`.
    fn presents(&self, bench: &Bench, jti: &str) -> Presents {
        let now = bench.service.now().as_secs();
        let claims = json!({
            "iss": self.id.to_string(), "sub": self.id.to_string(), "aud": "https://id.example",
            "exp": now + 60, "iat": now, "jti": jti,
        });
        let header = json!({ "alg": "EdDSA", "typ": "JWT" });
        let signed = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(claims.to_string())
        );
        let signature = encode(self.key.sign(signed.as_bytes()));
        Presents::Client(Presented::Assertion {
            client_id: None,
            client_assertion: Zeroizing::new(format!("{signed}.{signature}")),
        })
    }
}

impl Bench {
    /// The entries of `action` since the first `from`, each as what it says.
    fn said(&self, from: usize, action: Action) -> Vec<(Outcome, Option<Code>)> {
        let log = self.log().split_off(from);
        let of_action = log.into_iter().filter(|(it, ..)| *it == action);
        of_action
            .map(|(_, outcome, code)| (outcome, code))
            .collect()
    }

    async fn introspected(&self, presents: Presents, token: &str) -> Result<bool, Code> {
        let found = self.service.introspect(&presents, token, self.origin());
        found
            .await
            .map(|it| it.value.is_some())
            .map_err(|error| error.code)
    }

    async fn revoked(&self, presents: Presents, token: &str) -> Result<(), Code> {
        let revoked = self
            .service
            .revoke_for_client(&presents, token, self.origin());
        let revoked = revoked.await.map(|it| it.value);
        revoked.map_err(|error| error.code)
    }
}

const DENIED: (Outcome, Option<Code>) = (Outcome::Denied, Some(Code::InsufficientScope));
const REPLAYED: (Outcome, Option<Code>) = (Outcome::Denied, Some(Code::ReplayedAssertion));
const DONE: (Outcome, Option<Code>) = (Outcome::Success, None);

#[tokio::test]
async fn an_introspection_that_is_refused_is_one_refusal_in_the_log_and_uses_up_the_assertion() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    let token = bench.token(&issued).await.ok().unwrap().access_token;
    let weak = Keyed::new(&bench, "weak@demo.example", "data:read").await;
    let from = bench.log().len();
    for expected in [Code::InsufficientScope, Code::ReplayedAssertion] {
        let found = bench.introspected(weak.presents(&bench, "a"), &token);
        assert_eq!(found.await, Err(expected));
    }
    assert_eq!(
        bench.said(from, Action::TokenIntrospect),
        [DENIED, REPLAYED]
    );
}

#[tokio::test]
async fn an_introspection_by_assertion_is_written_and_the_assertion_is_good_once() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    let token = bench.token(&issued).await.ok().unwrap().access_token;
    let reader = Keyed::new(&bench, "reader@demo.example", "tokens:read").await;
    let from = bench.log().len();
    let found = bench.introspected(reader.presents(&bench, "a"), &token);
    assert_eq!(found.await, Ok(true));
    assert!(bench.said(from, Action::TokenIntrospect).contains(&DONE));
    let found = bench.introspected(reader.presents(&bench, "a"), &token);
    assert_eq!(found.await, Err(Code::ReplayedAssertion));
}

#[tokio::test]
async fn a_revocation_by_assertion_is_one_entry_that_says_what_came_of_it() {
    let bench = Bench::new().await;
    let issued = bench.credential().await;
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let token = bench.token(&issued).await.ok().unwrap();
        tokens.push(token.access_token);
    }
    let weak = Keyed::new(&bench, "weak@demo.example", "data:read").await;
    let strong = Keyed::new(&bench, "strong@demo.example", "tokens:write").await;
    let from = bench.log().len();
    let refused = bench.revoked(weak.presents(&bench, "a"), &tokens[0]);
    assert_eq!(refused.await, Err(Code::InsufficientScope));
    // What is no token is answered as if it had been revoked.
    assert_eq!(bench.revoked(weak.presents(&bench, "b"), "x").await, Ok(()));
    let none = (Outcome::Denied, Some(Code::InvalidToken));
    assert_eq!(bench.said(from, Action::TokenRevoke), [DENIED, none]);
    let from = bench.log().len();
    for (jti, expected) in [
        ("a", Ok(())),
        ("a", Err(Code::ReplayedAssertion)),
        // It is revoked already, and the assertion is used up nevertheless.
        ("b", Ok(())),
        ("b", Err(Code::ReplayedAssertion)),
    ] {
        let revoked = bench.revoked(strong.presents(&bench, jti), &tokens[1]);
        assert_eq!(revoked.await, expected, "{jti}");
    }
    assert_eq!(
        bench.said(from, Action::TokenRevoke),
        [DONE, REPLAYED, DONE, REPLAYED]
    );
}

#[tokio::test]
async fn low_on_space_no_refusal_is_written_to_use_up_an_assertion() {
    let bench = Bench::new().await;
    let weak = Keyed::new(&bench, "weak@demo.example", "data:read").await;
    let from = bench.log().len();
    bench.store.set_low(true);
    for _ in 0..3 {
        let found = bench.introspected(weak.presents(&bench, "a"), "x").await;
        assert_eq!(found, Err(Code::StorageLow));
        let revoked = bench.revoked(weak.presents(&bench, "b"), "x").await;
        assert_eq!(revoked, Err(Code::StorageLow));
    }
    assert_eq!(bench.log().len(), from);
}

#[tokio::test]
async fn of_two_who_ask_for_a_token_with_one_assertion_at_once_the_second_is_nobody() {
    let bench = Bench::new().await;
    let asker = Keyed::new(&bench, "asker@demo.example", "data:read").await;
    let request = || {
        let Presents::Client(client) = asker.presents(&bench, "a") else {
            unreachable!("an assertion is a client's");
        };
        IssueRequest {
            client,
            token: TokenRequest::default(),
            origin: bench.origin(),
        }
    };
    let (one, other) = (request(), request());
    bench.store.queue_up();
    let both_wait = async {
        while bench.store.queued() < 2 {
            tokio::task::yield_now().await;
        }
        bench.store.settle();
    };
    let (first, second, ()) = tokio::join!(
        bench.service.issue(&one),
        bench.service.issue(&other),
        both_wait
    );
    assert!(first.is_ok());
    let refused = second.err().unwrap();
    assert_eq!(refused.code, Code::ReplayedAssertion);
    assert_eq!(refused.message, "client authentication failed");
    let newest = bench.store.entries_before(None, &EntryFilter::default(), 1);
    let entry: Entry = serde_json::from_slice(&newest.unwrap().entries[0].json).unwrap();
    assert_eq!(
        (entry.action, entry.code, entry.agent_id),
        (
            Action::TokenIssue,
            Some(Code::ReplayedAssertion),
            Some(asker.id)
        )
    );
    // It has not proved to be the agent.
    assert_eq!((entry.actor.id, entry.actor.name), (None, None));
}
