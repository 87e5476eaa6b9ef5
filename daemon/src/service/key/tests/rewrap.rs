//! Another key-encryption key.

use agentidp_shared::TargetKind;

use super::*;
use crate::store::ServerSecretName;

#[tokio::test]
async fn everything_is_sealed_again_under_another_key_encryption_key_once() {
    let mut bench = Bench::new().await;
    let service = bench.open().await;
    rotate(&service, &KeyRotation::Planned).await.unwrap();
    let before = (signs(&service), published(&service));
    (bench.key, bench.previous) = (8, Some(7));
    let service = bench.open().await;
    assert_eq!((signs(&service), published(&service)), before);
    let log = bench.log();
    let rewraps: Vec<_> = log
        .iter()
        .filter(|entry| entry.action == Action::KeyRewrap)
        .map(|entry| entry.target.as_ref().unwrap())
        .collect();
    let kinds: Vec<_> = rewraps.iter().map(|target| target.kind).collect();
    assert_eq!(
        kinds,
        [
            TargetKind::SigningKey,
            TargetKind::SigningKey,
            TargetKind::Store,
            TargetKind::Store
        ]
    );
    assert_eq!(rewraps[2].id, ServerSecretName::SecretCheck.as_str());
    // Once more with both, and then without the old one.
    bench.open().await;
    assert_eq!(bench.log(), log);
    bench.previous = None;
    let service = bench.open().await;
    assert_eq!((signs(&service), published(&service)), before);
    bench.key = 7;
    let error = bench.try_open().await.err().unwrap();
    assert!(
        error
            .message
            .contains("keys.previous_key_encryption_key_file"),
        "{error}"
    );
}

#[tokio::test]
async fn a_change_of_the_key_encryption_key_that_was_cut_off_is_finished_by_the_next_start() {
    let mut bench = Bench::new().await;
    let service = bench.open().await;
    rotate(&service, &KeyRotation::Planned).await.unwrap();
    let before = (signs(&service), published(&service));
    (bench.key, bench.previous) = (8, Some(7));
    for cut_off_after in [1, 2] {
        let (sealer, source) = (bench.sealer(), System::default());
        let tools = Tools {
            store: bench.store.as_ref(),
            sealer: &sealer,
            source: &source,
        };
        let outdated = tools.outdated().unwrap();
        assert_eq!(outdated.len(), 5 - cut_off_after);
        let first = outdated.into_iter().next().unwrap();
        let entry = system_entry(Action::KeyRewrap, bench.clock.now());
        let commit = Commit::new(entry).put(first);
        bench.store.commit(commit).await.unwrap();
        for only in [7, 8] {
            let alone = Bench {
                store: Arc::clone(&bench.store),
                clock: Arc::clone(&bench.clock),
                key: only,
                previous: None,
                ..bench
            };
            assert!(alone.try_open().await.is_err(), "{only} opens one part");
        }
    }
    let service = bench.open().await;
    assert_eq!((signs(&service), published(&service)), before);
    bench.previous = None;
    bench.open().await;
}

#[tokio::test]
async fn when_neither_key_opens_a_secret_nothing_is_changed() {
    let mut bench = Bench::new().await;
    bench.open().await;
    let log = bench.log();
    (bench.key, bench.previous) = (8, Some(9));
    let error = bench.try_open().await.err().unwrap();
    assert!(error.message.contains("neither"), "{error}");
    assert_eq!(bench.log(), log);
}

#[tokio::test]
async fn with_a_wrong_key_encryption_key_nothing_is_changed_though_something_is_due() {
    let mut bench = Bench::new().await;
    bench.open().await;
    let log = bench.log();
    (bench.key, bench.algorithm) = (8, SigningAlgorithm::Es256);
    assert!(bench.try_open().await.is_err());
    assert_eq!(bench.log(), log);
}
