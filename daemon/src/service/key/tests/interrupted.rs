//! Changes of the keys that were durable before they were in use.

use std::pin::pin;

use super::*;

/// The kids that the store has as published.
fn published_in(store: &ModelStore) -> BTreeSet<String> {
    let keys = Keys(store.signing_keys().unwrap());
    keys.published()
        .map(|record| record.key.kid.clone())
        .collect()
}

#[tokio::test]
async fn an_emergency_takes_effect_though_whoever_asked_goes_away_as_soon_as_it_is_durable() {
    let bench = Bench::new().await;
    let service = bench.open().await;
    let first = signs(&service);
    let mut head = bench.store.head();
    head.mark_unchanged();
    let asked = emergency(None);
    tokio::select! {
        biased;
        changed = head.changed() => changed.unwrap(),
        answer = rotate(&service, &asked) => panic!("answered: {answer:?}"),
    }
    assert!(!published_in(&bench.store).contains(&first));
    drop(service.signing_keys.lock().await);
    assert_ne!(signs(&service), first);
    assert_eq!(published(&service), published_in(&bench.store));
}

#[tokio::test]
async fn a_rotation_that_is_durable_and_not_in_use_is_put_to_use_by_the_next_look_and_by_a_repetition()
 {
    for kind in ["emergency", "planned"] {
        for is_repeated in [false, true] {
            let bench = Bench::new().await;
            let (one, other) = (bench.open().await, bench.open().await);
            let first = signs(&one);
            let rotation = match kind {
                "planned" => KeyRotation::Planned,
                _ => emergency(Some(&first)),
            };
            let rotated = rotate(&other, &rotation).await.unwrap();
            assert_eq!(published(&one), set([&first]));
            if is_repeated {
                let again = rotate(&one, &rotation).await.unwrap();
                assert_eq!(again.key.key.kid, rotated.key.key.kid);
                assert_eq!(again.revoked.len(), rotated.revoked.len());
            } else {
                bench.pass(&one, Duration::ZERO).await;
            }
            assert_eq!(signs(&one), signs(&other), "{kind}");
            assert_eq!(published(&one), published_in(&bench.store), "{kind}");
        }
    }
}

#[tokio::test]
async fn of_two_steps_that_are_due_the_first_takes_effect_when_the_second_fails() {
    let bench = Bench::new().await;
    let service = bench.open().await;
    rotate(&service, &KeyRotation::Planned).await.unwrap();
    bench.pass(&service, PUBLISHED_BEFORE).await;
    rotate(&service, &KeyRotation::Planned).await.unwrap();
    // A key is to sign and another to leave, and nobody has looked since.
    let later = bench.clock.now().plus(2 * DAY);
    *bench.clock.0.lock() = later;
    let before = (signs(&service), published(&service));
    let mut head = bench.store.head();
    head.mark_unchanged();
    let mut advancing = pin!(service.advance_signing_keys());
    tokio::select! {
        biased;
        changed = head.changed() => changed.unwrap(),
        ended = &mut advancing => panic!("nothing was written: {ended:?}"),
    }
    bench.store.fail("the disk is full");
    let failed = advancing.await;
    assert_eq!(
        failed.err().map(|error| error.code),
        Some(Code::StoreUnavailable)
    );
    assert_ne!((signs(&service), published(&service)), before);
    assert_eq!(published(&service), published_in(&bench.store));
}
