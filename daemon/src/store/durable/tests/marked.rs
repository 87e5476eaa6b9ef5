//! What the index's mark says is believed only as far as the log says it too.

use super::*;
use crate::store::durable::layout::write_json;
use crate::store::durable::tally::Mark;
use crate::store::form;

/// A store with some bundles of entries, closed in good order.
async fn full(root: &Path) -> StoreOptions {
    let options = create(root);
    let store = JournaledStore::open(&options).unwrap();
    for number in 0..300 {
        store.commit(register(number)).await.unwrap();
    }
    store.shutdown();
    options
}

/// What is changed in a mark.
type Change = fn(&mut Mark);

/// Changes the mark of a store that is closed, as anybody can who can write to its disk.
fn mark(options: &StoreOptions, change: impl Fn(&mut Mark)) {
    let folder = options.path.join("index");
    let mut mark = index::Index::read_mark(&folder).unwrap();
    change(&mut mark);
    write_json(&folder.join("mark.json"), &mark).unwrap();
}

#[tokio::test]
async fn a_mark_that_the_log_contradicts_is_named_and_the_index_made_anew() {
    let changes: [(Change, &str); 14] = [
        (|it| it.entries = 0, "what the first 0 entries changed"),
        (|it| it.entries = 255, "what the first 255 entries changed"),
        (|it| it.entries = 302, "what the first 302 entries changed"),
        (|it| it.entries = u64::MAX, "the mark was changed"),
        (|it| it.open_seq = 0, "bundles of the entries before 0"),
        (|it| it.open_seq = 100, "bundles of the entries before 100"),
        (|it| it.open_seq = u64::MAX, "goes on with frame"),
        (
            |it| it.frame = 0,
            "frame 0, says its mark, which the journal has not",
        ),
        (
            |it| it.frame = 1,
            "goes on with frame 1, which has the entries 0 to 0",
        ),
        (|it| it.frame = u64::MAX, "which the journal has not"),
        (|it| it.database = "../x".to_owned(), "names no database"),
        (|it| it.generation = 0, "not what its mark says"),
        (|it| it.records -= 1, "not what its mark says"),
        (|it| it.kept_after = 1_000, "later than the log"),
    ];
    let made = tempfile::tempdir().unwrap();
    assert_eq!(found(&full(made.path()).await), Vec::<String>::new());
    for (number, (change, problem)) in changes.into_iter().enumerate() {
        let root = tempfile::tempdir().unwrap();
        check::copy_folder(made.path(), root.path()).unwrap();
        let options = options(root.path());
        mark(&options, change);
        let findings = found(&options);
        assert!(
            matches!(findings.as_slice(), [only] if only.starts_with("index: it") && only.contains(problem)),
            "{number} {problem}: {findings:?}"
        );
        // A crash makes no difference.
        fs::write(options.path.join("running"), "").unwrap();
        assert_eq!(found(&options), findings, "{number}");
        let store = JournaledStore::open(&options).unwrap();
        assert!(was_set_aside(&options), "{number} {problem}");
        assert_eq!(emails(&store).len(), 300);
        store.shutdown();
        drop(store);
        assert_eq!(found(&options), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_older_mark_is_that_of_a_crash_and_none_of_a_store_that_was_closed_in_good_order() {
    let root = tempfile::tempdir().unwrap();
    let options = full(root.path()).await;
    let before = fs::read(options.path.join("index/mark.json")).unwrap();
    let store = JournaledStore::open(&options).unwrap();
    let changed = Record::Agent(agent(7, "a7@acme.example", 2));
    let change = Commit::new(entry(Action::AgentSuspend)).put(changed);
    store.commit(change).await.unwrap();
    store.shutdown();
    drop(store);
    fs::write(options.path.join("index/mark.json"), &before).unwrap();
    let findings = found(&options);
    assert!(
        matches!(findings.as_slice(), [only] if only.contains("what the first 301 entries changed, says its mark, of 302 entries")),
        "{findings:?}"
    );
    fs::write(options.path.join("running"), "").unwrap();
    assert_eq!(found(&options), Vec::<String>::new());
    let store = JournaledStore::open(&options).unwrap();
    assert!(!was_set_aside(&options));
    let found = store.agent(agent(7, "a@b.example", 1).id).unwrap().unwrap();
    assert_eq!(found.record.revision, 2);
}

#[tokio::test]
async fn a_start_that_is_killed_while_it_reads_the_journal_costs_no_index() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    let store = JournaledStore::open(&options).unwrap();
    store.commit(register(7)).await.unwrap();
    let changed = Record::Agent(agent(7, "a7@acme.example", 2));
    let change = Commit::new(entry(Action::AgentSuspend)).put(changed);
    store.commit(change).await.unwrap();
    store.shutdown();
    drop(store);
    // It had come as far as the first of the two entries, both of which the mark is of.
    let folder = options.path.join("index");
    let mark = index::Index::read_mark(&folder).unwrap();
    let index = index::Index::open(&folder).unwrap();
    assert!(index.verify(&mark).unwrap().is_some());
    let first = Record::Agent(agent(7, "a7@acme.example", 1));
    let stored = form::encode(&first).unwrap();
    index.apply(Some((&first, &stored)), &[], 1).unwrap();
    drop(index);
    fs::write(options.path.join("running"), "").unwrap();
    let store = JournaledStore::open(&options).unwrap();
    assert!(!was_set_aside(&options));
    assert_eq!(emails(&store), ["a7@acme.example"]);
    store.shutdown();
    drop(store);
    assert_eq!(found(&options), Vec::<String>::new());
}
