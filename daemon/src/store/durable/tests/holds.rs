//! Legal holds: what they keep, whatever is written behind the daemon's back, and how the check names it.

use std::ops::Range;

use agentidp_shared::{Entry, Organization, Pruned};

use super::pruning::{forge, lose, pretend_a_crash, read};
use super::*;
use crate::store::suite::{organization, prune};

/// The organization that is under legal hold in these tests.
const HELD: u64 = 1;

/// Puts the organization under legal hold, or releases it.
fn hold(is_held: bool, revision: u64) -> Commit {
    let action = if is_held {
        Action::OrganizationHold
    } else {
        Action::OrganizationRelease
    };
    changed(action, is_held, revision)
}

/// A change of the organization's record.
fn changed(action: Action, is_held: bool, revision: u64) -> Commit {
    let record = Organization {
        is_held,
        ..organization(HELD, "held", revision)
    };
    let mut it = entry(action);
    it.organization_id = Some(record.id);
    Commit::new(it).put(Record::Organization(record))
}

/// Says that all of `places` were pruned.
pub(super) fn prune_all(places: Range<u64>) -> Commit {
    let mut it = entry(Action::AuditPrune);
    it.count = Some(places.end - places.start);
    it.pruned = Some(Pruned::new(places, &[]).unwrap());
    Commit::new(it)
}

/// Commits entries of the organization.
async fn fill(store: &JournaledStore, count: u64) {
    for _ in 0..count {
        let mut one = entry(Action::TokenIssue);
        one.organization_id = Some(organization(HELD, "held", 1).id);
        store.commit(Commit::new(one)).await.unwrap();
    }
}

/// The places of the organization's entries before `end`.
fn theirs(entries: &[StoredEntry], end: u64) -> Vec<u64> {
    let id = Some(organization(HELD, "held", 1).id);
    let before = entries.iter().filter(|it| it.seq < end);
    let read = before.map(|it| serde_json::from_slice::<Entry>(&it.json).unwrap());
    let own = read.filter(|it| it.organization_id == id);
    own.map(|it| it.seq).collect()
}

#[tokio::test]
async fn what_is_under_legal_hold_stays_whatever_an_entry_says_and_the_check_names_it() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    let store = JournaledStore::open(&options).unwrap();
    let id = organization(HELD, "held", 1).id;
    store.commit(hold(true, 1)).await.unwrap();
    for number in 0..600 {
        let mut one = entry(Action::TokenIssue);
        one.organization_id = Some(organization(number % 2, "some", 1).id);
        store.commit(Commit::new(one)).await.unwrap();
    }
    store.shutdown();
    drop(store);
    forge(&options, prune_all(0..512));
    pretend_a_crash(&options);
    for _ in 0..2 {
        let there = read(&options).into_iter().filter(|it| it.seq < 512);
        let there: Vec<_> = there.map(|it| it.seq).collect();
        let expected: Vec<_> = (1..512).filter(|seq| seq % 2 == 1).collect();
        assert_eq!(there, expected, "theirs, and nobody else's");
        let said = format!(
            "journal: entry 602: it says that 256 entries of organization {id} went, which was under legal hold"
        );
        let problems = expected.iter().map(|seq| {
            format!("index: entry {seq}: it is there, and the log says that it was pruned: it was put back, or the log was made to say so of what is under legal hold")
        });
        let problems: Vec<_> = [said].into_iter().chain(problems).collect();
        assert_eq!(found(&options), problems);
        // Once more, with an index that is made from the journal.
        fs::remove_dir_all(options.path.join("index")).unwrap();
    }
    let store = JournaledStore::open(&options).unwrap();
    let theirs = EntryFilter {
        organizations: Some([id].into()),
        ..EntryFilter::default()
    };
    let page = store.entries_before(None, &theirs, 1_000).unwrap();
    assert_eq!(page.entries.len(), 301);
}

#[tokio::test]
async fn a_hold_that_came_after_a_prune_brings_nothing_back_at_a_replay() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    let store = JournaledStore::open(&options).unwrap();
    for _ in 0..600 {
        let mut one = entry(Action::TokenIssue);
        one.organization_id = Some(organization(HELD, "held", 1).id);
        store.commit(Commit::new(one)).await.unwrap();
    }
    store.commit(prune(&store, 0, 512, 99)).await.unwrap();
    store.commit(hold(true, 1)).await.unwrap();
    let there = store.entries_from(0, usize::MAX).unwrap();
    assert_eq!(there[0].seq, 512);
    // The index is durable, and its mark is not.
    let index = &store.state.index;
    index.trees().sync(index.database.folder()).unwrap();
    drop(store);
    assert_eq!(read(&options), there);
    assert_eq!(found(&options), Vec::<String>::new());
}

#[tokio::test]
async fn what_was_spared_for_a_legal_hold_stays_at_every_later_start_whatever_becomes_of_the_record()
 {
    for next in [
        hold(true, 2),
        hold(false, 2),
        changed(Action::OrganizationSuspend, true, 2),
    ] {
        let root = tempfile::tempdir().unwrap();
        let options = create(root.path());
        let store = JournaledStore::open(&options).unwrap();
        store.commit(hold(true, 1)).await.unwrap();
        fill(&store, 600).await;
        store.shutdown();
        drop(store);
        forge(&options, prune_all(0..512));
        pretend_a_crash(&options);
        let spared = theirs(&read(&options), 512);
        assert_eq!(spared.len(), 511, "but for what the store began with");
        let named = found(&options);
        assert_eq!(named.len(), 512);
        let store = JournaledStore::open(&options).unwrap();
        store.commit(next).await.unwrap();
        store.shutdown();
        drop(store);
        for _ in 0..2 {
            assert_eq!(theirs(&read(&options), 512), spared);
            assert_eq!(found(&options), named);
        }
        // Nor when the index is made anew.
        fs::remove_dir_all(options.path.join("index")).unwrap();
        assert_eq!(theirs(&read(&options), 512), spared);
        assert_eq!(found(&options), named);
    }
}

#[tokio::test]
async fn a_hold_that_another_action_lifted_and_what_was_pruned_then_are_named() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    let store = JournaledStore::open(&options).unwrap();
    store.commit(hold(true, 1)).await.unwrap();
    fill(&store, 600).await;
    store.shutdown();
    drop(store);
    forge(&options, changed(Action::OrganizationUpdate, false, 2));
    forge(&options, prune_all(256..512));
    forge(&options, changed(Action::OrganizationUpdate, false, 3));
    pretend_a_crash(&options);
    assert_eq!(theirs(&read(&options), 512).len(), 255, "it is done");
    let id = organization(HELD, "held", 1).id;
    let named = [
        format!(
            "journal: organization {id} (entry 602): the record says that it is not under legal hold any more, and no organization.release of the log does"
        ),
        format!(
            "journal: entry 603: it says that 256 entries of organization {id} went, which was under legal hold"
        ),
    ];
    assert_eq!(found(&options), named);
    // Whoever releases it then, as is right, takes nothing of that back.
    let store = JournaledStore::open(&options).unwrap();
    store.commit(hold(false, 4)).await.unwrap();
    let report = store.check_in_use(Timestamp::from_millis(1)).unwrap();
    let told: Vec<_> = report
        .unwrap()
        .findings
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(told, named);
    store.shutdown();
    drop(store);
    assert_eq!(found(&options), named);
}

#[tokio::test]
async fn a_prune_that_the_index_was_made_to_agree_with_is_named_for_what_a_hold_kept() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    let store = JournaledStore::open(&options).unwrap();
    fill(&store, 300).await;
    store.commit(hold(true, 1)).await.unwrap();
    fill(&store, 300).await;
    store.shutdown();
    drop(store);
    forge(&options, prune_all(0..256));
    pretend_a_crash(&options);
    drop(read(&options));
    lose(&options, |seq| (1..256).contains(&seq));
    let id = organization(HELD, "held", 1).id;
    let said = format!(
        "journal: entry 602: it says that 255 entries of organization {id} went, which was under legal hold"
    );
    assert_eq!(found(&options), [said]);
}

#[tokio::test]
async fn holds_that_are_put_and_lifted_as_they_should_be_are_no_finding_whatever_was_pruned() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    let store = JournaledStore::open(&options).unwrap();
    store
        .commit(changed(Action::OrganizationCreate, false, 1))
        .await
        .unwrap();
    fill(&store, 300).await;
    // What went before a hold is named again behind it.
    store.commit(prune(&store, 0, 256, 99)).await.unwrap();
    store.commit(hold(true, 2)).await.unwrap();
    store.commit(hold(true, 3)).await.unwrap();
    store
        .commit(changed(Action::OrganizationUpdate, true, 4))
        .await
        .unwrap();
    fill(&store, 300).await;
    store.commit(prune(&store, 0, 512, HELD)).await.unwrap();
    let there = theirs(&store.entries_from(0, usize::MAX).unwrap(), 512);
    assert!(there.len() > 200, "{there:?}");
    store.commit(hold(false, 5)).await.unwrap();
    store
        .commit(changed(Action::OrganizationSuspend, false, 6))
        .await
        .unwrap();
    store.commit(prune(&store, 0, 512, 99)).await.unwrap();
    let left = store.entries_from(0, usize::MAX).unwrap();
    assert_eq!(theirs(&left, 512), Vec::<u64>::new());
    assert_eq!(
        store
            .check_in_use(Timestamp::from_millis(1))
            .unwrap()
            .unwrap()
            .findings,
        []
    );
    // By a crash, and from the journal.
    drop(store);
    for _ in 0..2 {
        assert_eq!(theirs(&read(&options), 512), Vec::<u64>::new());
        assert_eq!(found(&options), Vec::<String>::new());
        fs::remove_dir_all(options.path.join("index")).unwrap();
    }
}
