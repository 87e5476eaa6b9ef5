//! What is kept for a time, where the journal no longer has what kept it: the log still says which tokens were revoked.

use agentidp_shared::{Target, TargetKind, TokenId};

use super::*;
use crate::store::durable::check;
use crate::store::durable::tests::pruning::{put_kept, take_kept};
use crate::store::suite::prune;
use crate::store::{Temporary, TemporaryKey};

/// Revokes a token that expires later.
fn revoke(place: &Place, store: &JournaledStore, number: u8) -> Temporary {
    let (jti, expires_at) = (
        TokenId::from_bytes([number; 16]),
        Timestamp::from_millis(900_000),
    );
    let mut one = entry(Action::TokenRevoke);
    one.jti = Some(jti);
    one.expires_at = Some(expires_at);
    one.target = Some(Target {
        kind: TargetKind::Token,
        id: jti.to_string(),
        revision: None,
        digest: None,
    });
    let kept = Temporary::revoked_token(jti, expires_at);
    let commit = store.commit(Commit::new(one).keep(kept.clone()));
    place.runtime.block_on(commit).unwrap();
    kept
}

/// A store in which a token was revoked, and then restored without its journal, which begins after that. `prunes`: what
/// revoked it was pruned.
fn restored(place: &Place, prunes: bool) -> (StoreOptions, Temporary) {
    let store = place.open("store");
    let revoked = revoke(place, &store, 1);
    let used = keep(2, b"", 1_000, 900_000);
    place.runtime.block_on(store.commit(used)).unwrap();
    (0..300).for_each(|number| place.register(&store, number));
    if prunes {
        let commit = store.commit(prune(&store, 0, 256, 99));
        place.runtime.block_on(commit).unwrap();
    }
    let newest = place.back_up(&store, &Sealing::Open, 1);
    place.restore(&newest, "restored", None, None).unwrap();
    let store = place.open("restored");
    place.register(&store, 300);
    store.shutdown();
    (place.options("restored"), revoked)
}

fn told(options: &StoreOptions) -> (Vec<String>, String) {
    let report = check(options).unwrap();
    let findings = report.findings.iter().map(ToString::to_string);
    (findings.collect(), report.notes.join("\n"))
}

/// Another revocation, which nothing in the log accounts for.
fn invented() -> Temporary {
    Temporary::revoked_token(
        TokenId::from_bytes([9; 16]),
        Timestamp::from_millis(900_000),
    )
}

#[test]
fn a_revoked_token_that_lives_again_is_named_as_long_as_the_log_says_that_it_was_revoked() {
    let place = Place::new();
    let (options, revoked) = restored(&place, false);
    let (findings, notes) = told(&options);
    assert_eq!(findings, Vec::<String>::new());
    let note = "what was kept for a time before entry 256";
    assert!(
        notes.contains(note) && notes.contains("verified from entry 0 on"),
        "{notes}"
    );
    take_kept(&options);
    put_kept(&options, invented(), 5);
    let TemporaryKey::RevokedToken(jti) = revoked.key else {
        panic!("{revoked:?}");
    };
    let other = TokenId::from_bytes([9; 16]);
    assert_eq!(
        told(&options).0,
        [
            format!("index: revoked_token {other} (entry 5): no entry accounts for it"),
            format!("index: revoked_token {jti} (entry 1): it is not there"),
        ]
    );
}

#[test]
fn of_tokens_that_were_revoked_before_what_was_pruned_nobody_knows() {
    let place = Place::new();
    let (options, _) = restored(&place, true);
    let (findings, notes) = told(&options);
    assert_eq!(findings, Vec::<String>::new());
    assert!(!notes.contains("verified from entry 0 on"), "{notes}");
    assert!(
        notes.contains("tokens were revoked was verified from entry "),
        "{notes}"
    );
}
