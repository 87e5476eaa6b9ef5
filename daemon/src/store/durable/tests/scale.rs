//! What is kept for a time, counted and searched, through flushes, crashes and losses.

use std::path::Path;

use agentidp_shared::{Action, Timestamp};

use super::*;
use crate::store::suite::{agent, entry, keep, newest, token};

fn keeps(store: &JournaledStore) -> usize {
    store.state.index.kept.all().count()
}

fn kept_key(number: u8) -> TemporaryKey {
    TemporaryKey::Idempotency([number; 32])
}

/// A store that keeps two hundred things, of which fifty have not expired, whose log has `more`
/// entries after that, and that was shut down.
async fn keeping(root: &Path, more: usize) -> StoreOptions {
    let options = create(root);
    let store = JournaledStore::open(&options).unwrap();
    for number in 0..200 {
        let until = if number < 150 { 5_000 } else { 900_000 };
        store
            .commit(keep(number, b"body", 1_000, until))
            .await
            .unwrap();
    }
    for _ in 0..more {
        store.commit(Commit::new(token(2, 3, 1_000))).await.unwrap();
    }
    store.shutdown();
    options
}

#[tokio::test]
async fn what_has_expired_leaves_the_index_and_a_replay_does_not_keep_it() {
    let root = tempfile::tempdir().unwrap();
    let options = keeping(root.path(), 0).await;
    let store = JournaledStore::open(&options).unwrap();
    assert_eq!(keeps(&store), 200);
    let now = Timestamp::from_millis(500_000);
    store
        .commit(keep(255, b"", 500_000, 900_000))
        .await
        .unwrap();
    store.state.flush(store.id).unwrap();
    assert_eq!(keeps(&store), 51);
    // A crash: the entries are applied again, and with them what they kept.
    drop(store);
    let store = JournaledStore::open(&options).unwrap();
    assert!(!was_set_aside(&options));
    assert_eq!(store.temporary(&kept_key(0), now).unwrap(), None);
    let kept = store.temporary(&kept_key(199), now).unwrap().unwrap();
    assert_eq!(kept.body, b"body");
    store
        .commit(keep(254, b"", 500_000, 900_000))
        .await
        .unwrap();
    store.state.flush(store.id).unwrap();
    assert_eq!(keeps(&store), 52);
    store.shutdown();
    drop(store);
    assert_eq!(found(&options), Vec::<String>::new());
}

#[tokio::test]
async fn an_index_that_has_lost_what_it_kept_is_noticed_and_made_anew() {
    let root = tempfile::tempdir().unwrap();
    let options = keeping(root.path(), 100).await;
    let db = sled::open(options.path.join("index").join("sled")).unwrap();
    let tree = db.open_tree("kept").unwrap();
    let (key, _) = tree.last().unwrap().unwrap();
    tree.remove(key).unwrap();
    db.flush().unwrap();
    drop((tree, db));
    let findings = found(&options);
    assert!(
        matches!(findings.as_slice(), [only] if only.starts_with("index: idempotency_key ") && only.ends_with("it is not there")),
        "{findings:?}"
    );
    let store = JournaledStore::open(&options).unwrap();
    assert!(was_set_aside(&options));
    let now = Timestamp::from_millis(500_000);
    assert!(store.temporary(&kept_key(199), now).unwrap().is_some());
}

#[tokio::test]
async fn uses_are_counted_once_however_often_they_are_written_and_replayed() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 3).await;
    let store = JournaledStore::open(&options).unwrap();
    let mut count = 0;
    for written in 0..4 {
        for _ in 0..90 {
            count += 1;
            store
                .commit(Commit::new(token(2, 3, 1_000 + count)))
                .await
                .unwrap();
        }
        match written {
            0 => store.state.flush(store.id).unwrap(),
            1 | 2 => store.state.uses.write(&store.state.index).unwrap(),
            _ => {}
        }
        let agent = RecordKey::Agent(agent(2, "a@b.example", 1).id);
        assert_eq!(store.usage(&agent).unwrap().count, count.cast_unsigned());
    }
    drop(store);
    let store = JournaledStore::open(&options).unwrap();
    assert!(!was_set_aside(&options));
    let agent = RecordKey::Agent(agent(2, "a@b.example", 1).id);
    let usage = store.usage(&agent).unwrap();
    assert_eq!(
        (usage.count, usage.last),
        (360, Some(Timestamp::from_millis(1_360)))
    );
}

#[tokio::test]
async fn a_search_for_text_gives_up_a_page_that_would_take_long_and_goes_on_with_the_next() {
    let (store, _root) = fresh();
    for hundred in 0..21_u64 {
        let mut agents = (hundred * 100..).take(100);
        let first = register(agents.next().unwrap());
        let commit = agents.fold(first, |commit, number| {
            let agent = agent(number, &format!("a{number}@acme.example"), 1);
            let commit = commit.and(entry(Action::AgentRegister));
            commit.put(Record::Agent(agent))
        });
        store.commit(commit).await.unwrap();
    }
    let mut query = newest(None, 10);
    query.filter.text = Some("A7@acme".to_owned());
    let page = store.agents(&query).unwrap();
    assert!(page.agents.is_empty() && page.total.is_none());
    query.after = Some(page.next.unwrap());
    let page = store.agents(&query).unwrap();
    let emails: Vec<_> = page
        .agents
        .iter()
        .map(|it| it.record.email.as_str())
        .collect();
    assert_eq!(emails, ["a7@acme.example"]);
    assert_eq!(page.next, None);
}
