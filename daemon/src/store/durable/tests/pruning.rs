//! Entries that were pruned: they stay away whatever happens, and nothing else may be missing.

use super::*;
use crate::store::suite::{organization, prune};

/// The organization that is under legal hold in these tests.
const HELD: u64 = 1;

/// A store of some bundles, in which every other entry is of the organization under legal hold.
async fn full(root: &Path) -> StoreOptions {
    let options = create(root);
    let store = JournaledStore::open(&options).unwrap();
    for number in 0..900 {
        let mut one = entry(Action::TokenIssue);
        one.organization_id = Some(organization(number % 2, "some", 1).id);
        store.commit(Commit::new(one)).await.unwrap();
    }
    store.shutdown();
    options
}

/// Prunes some of its entries, as the daemon does; gives what is left. `is_closed`: not by a crash.
async fn pruned(options: &StoreOptions, to: u64, is_closed: bool) -> Vec<StoredEntry> {
    let store = JournaledStore::open(options).unwrap();
    store
        .commit(counted(&store, prune(0, to, HELD)))
        .await
        .unwrap();
    if is_closed {
        store.shutdown();
    }
    store.entries_from(0, usize::MAX).unwrap()
}

/// The commit of a pruning with the number of entries that it removes, as the service counts them.
pub(crate) fn counted(store: &JournaledStore, commit: Commit) -> Commit {
    let mut entry = commit.into_items().remove(0).entry;
    let pruned = entry.pruned.clone().unwrap();
    let before = store.entries_from(0, usize::MAX).unwrap();
    let gone = before
        .iter()
        .map(|it| serde_json::from_slice(&it.json).unwrap());
    entry.count = Some(gone.filter(|it| pruned.removes(it)).count() as u64);
    Commit::new(entry)
}

/// Takes entries out of the index of a store that is closed, and no entry says so.
pub(crate) fn lose(options: &StoreOptions, is_lost: impl Fn(u64) -> bool) {
    let index = index::Index::open(&options.path.join("index")).unwrap();
    for number in 0.. {
        let packed = index.bundle(number).unwrap();
        if packed.is_empty() {
            return;
        }
        let mut entries = bundle::unpack(number, &packed).unwrap();
        entries.retain(|it| !is_lost(it.seq));
        let packed = bundle::pack(number, &entries).unwrap();
        let summary = index.summary(number).unwrap();
        index.replace_bundle(number, &packed, &summary).unwrap();
    }
}

/// Has queries pass over a bundle of a store that is closed.
pub(crate) fn hide(options: &StoreOptions, number: u64) {
    let index = index::Index::open(&options.path.join("index")).unwrap();
    let packed = index.bundle(number).unwrap();
    index
        .replace_bundle(number, &packed, bundle::PRUNED)
        .unwrap();
}

fn read(options: &StoreOptions) -> Vec<StoredEntry> {
    let store = JournaledStore::open(options).unwrap();
    let entries = store.entries_from(0, usize::MAX).unwrap();
    store.shutdown();
    entries
}

#[tokio::test]
async fn what_was_pruned_stays_pruned_after_a_crash_and_without_the_index() {
    let root = tempfile::tempdir().unwrap();
    let options = full(root.path()).await;
    let before = read(&options);
    let there = pruned(&options, 768, false).await;
    assert_eq!(there.len(), 902 - 385);
    assert_eq!(read(&options), there);
    let report = check(&options).unwrap();
    assert_eq!(report.findings, Vec::new());
    assert_eq!(report.pruned, 385);
    assert_eq!(report.entries, before.len() as u64 + 1);
    // Made anew from a journal that has them all.
    fs::remove_dir_all(options.path.join("index")).unwrap();
    assert_eq!(read(&options), there);
    assert_eq!(found(&options), Vec::<String>::new());
    JournaledStore::compact_closed(&options).unwrap();
    assert_eq!(read(&options), there);
    assert_eq!(found(&options), Vec::<String>::new());
}

#[tokio::test]
async fn a_store_in_use_is_sound_while_it_is_pruned() {
    let root = tempfile::tempdir().unwrap();
    let options = full(root.path()).await;
    let store = JournaledStore::open(&options).unwrap();
    for to in [256, 512, 768] {
        store
            .commit(counted(&store, prune(0, to, HELD)))
            .await
            .unwrap();
        let report = store.check_in_use(Timestamp::from_millis(1)).unwrap();
        let report = report.unwrap();
        assert_eq!(report.findings, Vec::new());
        assert_eq!(report.pruned, to / 2 + 1);
    }
}

#[tokio::test]
async fn what_a_crash_came_before_is_pruned_by_the_next_start() {
    let root = tempfile::tempdir().unwrap();
    let options = full(root.path()).await;
    let (index, copy) = (options.path.join("index"), root.path().join("copy"));
    fs::create_dir(&copy).unwrap();
    check::copy_folder(&index, &copy).unwrap();
    let there = pruned(&options, 768, false).await;
    // The journal has it, and the index is as it was before.
    fs::remove_dir_all(&index).unwrap();
    fs::rename(&copy, &index).unwrap();
    let known = index::Index::open(&index).unwrap();
    let first = bundle::unpack(0, &known.bundle(0).unwrap()).unwrap();
    assert_eq!(first.len(), 256);
    drop(known);
    assert_eq!(read(&options), there);
    assert!(!was_set_aside(&options));
    assert_eq!(found(&options), Vec::<String>::new());
}

#[tokio::test]
async fn an_entry_that_vanished_is_named_unless_the_log_says_that_it_was_pruned() {
    let root = tempfile::tempdir().unwrap();
    let options = full(root.path()).await;
    let lost = |seq: u64| {
        format!("index: entry {seq}: it is not there, and no entry says that it was pruned")
    };
    lose(&options, |seq| seq == 300);
    assert_eq!(found(&options), [lost(300)]);
    // The whole of a bundle, before anything was pruned.
    lose(&options, |seq| (256..512).contains(&seq));
    let all: Vec<_> = (256..512).map(lost).collect();
    assert_eq!(found(&options), all);
}

#[tokio::test]
async fn what_is_missing_beyond_what_was_pruned_and_what_was_under_legal_hold_is_named() {
    let root = tempfile::tempdir().unwrap();
    let options = full(root.path()).await;
    let there = pruned(&options, 512, true).await;
    let problem = "it is not there, and no entry says that it was pruned";
    // Behind what the entry says, and before that one that it says is held.
    let beyond = there.iter().find(|it| it.seq >= 600).unwrap().seq;
    let held = there.first().unwrap().seq;
    lose(&options, |seq| seq == beyond || seq == held);
    assert_eq!(
        found(&options),
        [held, beyond].map(|seq| format!("index: entry {seq}: {problem}"))
    );
}

#[tokio::test]
async fn an_entry_that_says_what_was_pruned_is_never_pruned() {
    let root = tempfile::tempdir().unwrap();
    let options = full(root.path()).await;
    let store = JournaledStore::open(&options).unwrap();
    let said = store.commit(prune(0, 256, HELD)).await.unwrap().seq;
    for _ in 0..300 {
        store
            .commit(Commit::new(entry(Action::TokenIssue)))
            .await
            .unwrap();
    }
    let again = store.commit(prune(0, 1_024, HELD)).await.unwrap().seq;
    let left = store.entries_from(said, 2).unwrap();
    assert_eq!(left[0].seq, said);
    assert!(left[1].seq >= 1_024, "all around it went");
    assert!(again > said);
}

#[tokio::test]
async fn one_who_asks_for_what_was_pruned_reads_nothing_of_what_was_pruned_after_it() {
    let root = tempfile::tempdir().unwrap();
    let options = full(root.path()).await;
    let nobody = Commit::new({
        let mut it = entry(Action::AuditPrune);
        it.pruned = Some(agentidp_shared::Pruned {
            from: 0,
            to: 768,
            held: Vec::new(),
        });
        it
    });
    let store = JournaledStore::open(&options).unwrap();
    store.commit(counted(&store, nobody)).await.unwrap();
    // Whoever reads one of these fails.
    for number in 1..3 {
        let index = &store.state.index;
        let put = index.replace_bundle(number, b"nonsense", bundle::PRUNED);
        put.unwrap();
        assert!(store.bundle_entries(number).is_err());
    }
    assert_eq!(store.entry(0).unwrap(), None);
    assert_eq!(store.entry(255).unwrap(), None);
    assert_eq!(store.entries_from(0, 1).unwrap()[0].seq, 768);
    let all = EntryFilter::default();
    let page = store.entries_before(Some(770), &all, 10).unwrap();
    let seqs: Vec<_> = page.entries.iter().map(|it| it.seq).collect();
    assert_eq!((seqs, page.next_before), (vec![769, 768], None));
}
