//! Entries that were pruned: they stay away whatever happens, and nothing else may be missing.

use agentidp_shared::merkle::{Checkpoint, LogKey, Note};
use agentidp_shared::{Outcome, Pruned};

use super::holds::prune_all;
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
    store.commit(prune(&store, 0, to, HELD)).await.unwrap();
    if is_closed {
        store.shutdown();
    }
    store.entries_from(0, usize::MAX).unwrap()
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

/// Puts an entry into the index of a store that is closed, in its place.
pub(crate) fn put_back(options: &StoreOptions, entry: &StoredEntry) {
    let index = index::Index::open(&options.path.join("index")).unwrap();
    let number = entry.seq / bundle::ENTRIES;
    let mut entries = bundle::unpack(number, &index.bundle(number).unwrap()).unwrap();
    entries.push(entry.clone());
    entries.sort_by_key(|it| it.seq);
    let packed = bundle::pack(number, &entries).unwrap();
    let summary = index.summary(number).unwrap();
    index.replace_bundle(number, &packed, &summary).unwrap();
}

/// Puts a record into the index of a store that is closed, as if the entry `seq` had changed it last.
pub(crate) fn put_record(options: &StoreOptions, record: &Record, seq: u64) {
    let index = index::Index::open(&options.path.join("index")).unwrap();
    let stored = crate::store::form::encode(record).unwrap();
    index.apply(Some((record, &stored)), &[], seq).unwrap();
}

/// Takes a record out of the index of a store that is closed.
pub(crate) fn take_record(options: &StoreOptions, record: &Record) {
    let index = index::Index::open(&options.path.join("index")).unwrap();
    let taken = index.trees().records.remove(places::key_of(record));
    assert!(taken.unwrap().is_some());
}

/// Adds a frame to the journal of a store that is closed, as anybody can who can write to its disk.
pub(super) fn forge(options: &StoreOptions, commit: Commit) {
    let (folder, id) = (options.path.join("journal"), StoreId::from_bytes([7; 16]));
    let end = journal::scan(&folder, id, 1, &mut |_| Ok(())).unwrap();
    let mut writer = journal::Journal::open(&folder, id, &end).unwrap();
    let frame = sequencer::seal(&mut commit.into_items(), end.position.entries);
    writer.append(&frame.unwrap()).unwrap();
}

/// Takes all that is kept for a time out of the index of a store that is closed.
pub(crate) fn take_kept(options: &StoreOptions) {
    let index = index::Index::open(&options.path.join("index")).unwrap();
    index.trees().kept.clear().unwrap();
}

/// Keeps something in the index of a store that is closed, as if it had come with the entry `seq`.
pub(crate) fn put_kept(options: &StoreOptions, it: Temporary, seq: u64) {
    let index = index::Index::open(&options.path.join("index")).unwrap();
    index.apply(None, &[it], seq).unwrap();
}

/// Has a store that is closed look like after a crash.
pub(super) fn pretend_a_crash(options: &StoreOptions) {
    fs::write(options.path.join("running"), "").unwrap();
}

/// Has queries pass over a bundle of a store that is closed.
pub(crate) fn hide(options: &StoreOptions, number: u64) {
    let index = index::Index::open(&options.path.join("index")).unwrap();
    let packed = index.bundle(number).unwrap();
    index
        .replace_bundle(number, &packed, bundle::PRUNED)
        .unwrap();
}

/// What a start finds of the log.
pub(super) fn read(options: &StoreOptions) -> Vec<StoredEntry> {
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
        store.commit(prune(&store, 0, to, HELD)).await.unwrap();
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
    let commit = prune(&store, 0, 256, HELD);
    let said = store.commit(commit).await.unwrap().seq;
    for _ in 0..300 {
        store
            .commit(Commit::new(entry(Action::TokenIssue)))
            .await
            .unwrap();
    }
    let commit = prune(&store, 0, 1_024, HELD);
    let again = store.commit(commit).await.unwrap().seq;
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
        it.pruned = Some(Pruned::new(0..768, &[]).unwrap());
        it
    });
    let store = JournaledStore::open(&options).unwrap();
    store.commit(nobody).await.unwrap();
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

#[tokio::test]
async fn what_cannot_prune_or_miscounts_is_named() {
    let root = tempfile::tempdir().unwrap();
    let options = full(root.path()).await;
    let end = read(&options).len() as u64;
    let says = |action, outcome| {
        let mut it = entry(action);
        it.outcome = outcome;
        it.count = Some(256);
        it.pruned = Some(Pruned::new(0..256, &[]).unwrap());
        Commit::new(it)
    };
    let others = [
        prune_all(0..end + 1),
        prune_all(end..end + 1_000),
        prune_all(256..end + 3),
        says(Action::TokenIssue, Outcome::Success),
        says(Action::AuditPrune, Outcome::Denied),
    ];
    let mut named = Vec::new();
    for (seq, commit) in (end..).zip(others) {
        forge(&options, commit);
        pretend_a_crash(&options);
        assert_eq!(read(&options).len() as u64, seq + 1, "nothing went");
        named.push(format!(
            "journal: entry {seq}: it cannot prune what it says that it did: it is no audit.prune that succeeded, or not all of that comes before it"
        ));
        assert_eq!(found(&options), named);
    }
    for _ in 0..2 {
        forge(&options, says(Action::AuditPrune, Outcome::Success));
    }
    named.push(format!(
        "journal: entry {}: it counts 256 that it pruned, and says so of 0 entries",
        end + 6
    ));
    pretend_a_crash(&options);
    assert_eq!(read(&options)[0].seq, 256);
    assert_eq!(found(&options), named);
}

#[tokio::test]
async fn a_journal_that_was_added_to_while_the_store_was_closed_is_refused_and_named() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    let store = JournaledStore::open(&options).unwrap();
    store.commit(register(0)).await.unwrap();
    store.shutdown();
    drop(store);
    assert_eq!(found(&options), Vec::<String>::new());
    let other = Record::Agent(agent(0, "other@acme.example", 2));
    forge(&options, Commit::new(entry(Action::AgentUpdate)).put(other));
    let error = open_error(&options);
    for part in [
        "closed in good order",
        "at frame 2, 2 entries",
        "at frame 3, 3 entries",
        "agentidpd store accept",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let report = check(&options).unwrap();
    assert!(report.is_head_only() && !report.is_sound());
    assert_eq!(found(&options), [format!("head file: {error}")]);
    // Once somebody has found out, or it was a crash, it is taken.
    drop(JournaledStore::open_accepting(&options).unwrap());
    let store = JournaledStore::open(&options).unwrap();
    assert_eq!(emails(&store), ["other@acme.example"]);
}

/// With how many entries a store was opened that no checkpoint of `key` was of.
fn unsigned(store: &JournaledStore, key: &LogKey) -> Option<u64> {
    store.unsigned(|note: &Note| Checkpoint::verified(note, key.verifier()).ok())
}

fn keep_checkpoint(store: &JournaledStore, size: u64, root: NodeHash) {
    let checkpoint = Checkpoint::new("log".to_owned(), size, root);
    let note = checkpoint.sign(&log_key()).unwrap().to_string();
    store.keep_checkpoint(&note).unwrap();
}

#[tokio::test]
async fn what_no_checkpoint_was_of_is_counted_after_an_unclean_end() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 3).await;
    let other = LogKey::from_seed("log".to_owned(), &[2; 32]).unwrap();
    let store = JournaledStore::open(&options).unwrap();
    assert_eq!(unsigned(&store, &log_key()), Some(3), "but the first");
    keep_checkpoint(&store, 3, store.state.root_of(3).unwrap());
    assert_eq!(unsigned(&store, &log_key()), Some(1));
    assert_eq!(unsigned(&store, &other), Some(4), "another has signed it");
    keep_checkpoint(&store, 3, store.tree().root());
    assert_eq!(unsigned(&store, &log_key()), Some(4), "of another log");
    store.shutdown();
    drop(store);
    let store = JournaledStore::open(&options).unwrap();
    assert_eq!(unsigned(&store, &log_key()), None);
}

#[tokio::test]
async fn what_was_added_with_a_head_file_that_says_so_is_counted_and_named() {
    let root = tempfile::tempdir().unwrap();
    let options = full(root.path()).await;
    let store = JournaledStore::open(&options).unwrap();
    assert_eq!(unsigned(&store, &log_key()), None);
    store.shutdown();
    drop(store);
    forge(&options, Commit::new(entry(Action::AuditList)));
    // None of what the head file says takes a key.
    let layout = Layout::new(&options);
    let (folder, id) = (layout.journal(), StoreId::from_bytes([7; 16]));
    let mut tree = agentidp_shared::merkle::Frontier::default();
    let end = journal::scan(&folder, id, 1, &mut |frame| {
        let leaves = frame.items.iter().map(|it| NodeHash::of_leaf(&it.entry));
        leaves.for_each(|leaf| tree.push(leaf));
        Ok(())
    });
    let head = head::Head::new(id, &end.unwrap().position, tree.root());
    layout.write_head(&head).unwrap();
    let findings = found(&options);
    assert!(
        matches!(findings.as_slice(), [only] if only.contains("head file: the log goes on beyond the newest checkpoint by 1 entry, from entry 901 on")),
        "{findings:?}"
    );
    let store = JournaledStore::open(&options).unwrap();
    assert_eq!(unsigned(&store, &log_key()), Some(1));
    // What a command leaves that adds to the log and cannot sign is no finding, and is counted.
    store
        .commit(Commit::new(entry(Action::StoreAccept)))
        .await
        .unwrap();
    store.close().unwrap();
    drop(store);
    assert_eq!(found(&options), Vec::<String>::new());
    let notes = check(&options).unwrap().notes.join("\n");
    assert!(
        notes.contains("2 entries came after the newest checkpoint"),
        "{notes}"
    );
    let store = JournaledStore::open(&options).unwrap();
    assert_eq!(unsigned(&store, &log_key()), Some(2));
    store.give_back();
    drop(store);
    let store = JournaledStore::open(&options).unwrap();
    assert_eq!(unsigned(&store, &log_key()), Some(2), "until it is signed");
    store.shutdown();
    drop(store);
    assert_eq!(found(&options), Vec::<String>::new());
    // Without a checkpoint nobody has signed anything.
    fs::remove_file(layout.checkpoint()).unwrap();
    assert!(found(&options).join("").contains("by 903 entries"));
    let store = JournaledStore::open(&options).unwrap();
    assert_eq!(unsigned(&store, &log_key()), Some(903));
}
