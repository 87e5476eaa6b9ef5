//! What an emergency does to the keys, and to which.

use super::*;

#[tokio::test]
async fn in_an_emergency_every_published_key_is_gone_at_once_and_a_new_one_signs() {
    let bench = Bench::new().await;
    let service = bench.open().await;
    // A key that retires, one that signs, one that waits.
    rotate(&service, &KeyRotation::Planned).await.unwrap();
    bench.pass(&service, PUBLISHED_BEFORE).await;
    rotate(&service, &KeyRotation::Planned).await.unwrap();
    let before = published(&service);
    assert_eq!(before.len(), 3);

    let rotated = rotate(&service, &emergency(None)).await.unwrap();
    let kid = rotated.key.key.kid.clone();
    assert_eq!(signs(&service), kid);
    assert_eq!(published(&service), set([&kid]));
    let revoked: BTreeSet<_> = rotated
        .revoked
        .iter()
        .map(|it| it.key.kid.clone())
        .collect();
    assert_eq!(revoked, before);
    for kid in &revoked {
        let record = bench.record(kid);
        assert_eq!(record.key.state, KeyState::Revoked);
        assert!(service.keyring().verifier(kid).is_none());
        assert_eq!(record.private, Sealed::wiped());
    }
    let log = bench.log();
    let [made, gone @ ..] = &log[log.len() - 4..] else {
        panic!("{log:?}")
    };
    assert_eq!(
        (made.action, made.seq),
        (Action::KeyRotate, rotated.audit_seq)
    );
    for entry in gone {
        assert_eq!(entry.action, Action::KeyRevoke);
        assert_eq!(entry.reason, made.reason);
        assert_eq!(entry.actor.name.as_deref(), Some("alice"));
    }
    // And it stays so.
    let reopened = bench.open().await;
    assert_eq!(signs(&reopened), kid);
}

#[tokio::test]
async fn in_an_emergency_a_named_key_that_no_longer_signs_is_withdrawn_alone() {
    let bench = Bench::new().await;
    let service = bench.open().await;
    let retiring = signs(&service);
    rotate(&service, &KeyRotation::Planned).await.unwrap();
    bench.pass(&service, PUBLISHED_BEFORE).await;
    let active = signs(&service);
    let rotated = rotate(&service, &emergency(Some(&retiring))).await.unwrap();
    assert_eq!(rotated.key.key.kid, active);
    assert_eq!(rotated.revoked.len(), 1);
    assert_eq!(signs(&service), active);
    assert_eq!(published(&service), set([&active]));
    // Doing it twice is answered with the first time.
    let again = rotate(&service, &emergency(Some(&retiring))).await.unwrap();
    assert_eq!(again.audit_seq, rotated.audit_seq);
    assert_eq!(again.revoked, rotated.revoked);
}

#[tokio::test]
async fn in_an_emergency_a_named_key_that_signs_is_replaced_and_the_others_stay() {
    let bench = Bench::new().await;
    let service = bench.open().await;
    let retiring = signs(&service);
    rotate(&service, &KeyRotation::Planned).await.unwrap();
    bench.pass(&service, PUBLISHED_BEFORE).await;
    let active = signs(&service);
    let rotated = rotate(&service, &emergency(Some(&active))).await.unwrap();
    let kid = rotated.key.key.kid;
    assert_eq!(signs(&service), kid);
    assert_eq!(published(&service), set([&kid, &retiring]));
}

#[tokio::test]
async fn a_key_that_is_not_there_or_has_retired_cannot_be_compromised() {
    let bench = Bench::new().await;
    let service = bench.open().await;
    let first = signs(&service);
    let absent = rotate(&service, &emergency(Some("nobody"))).await;
    assert_eq!(absent.err(), Some(Code::KeyNotFound));
    rotate(&service, &KeyRotation::Planned).await.unwrap();
    bench.pass(&service, PUBLISHED_BEFORE).await;
    bench.pass(&service, 2 * DAY).await;
    let retired = rotate(&service, &emergency(Some(&first))).await;
    assert_eq!(retired.err(), Some(Code::InvalidState));
}
