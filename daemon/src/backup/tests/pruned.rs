//! Backups of a store whose log was pruned, and a journal that has let go of what was.

use super::*;
use crate::store::durable::check;
use crate::store::durable::tests::pruning::{counted, hide, lose};
use crate::store::suite::{organization, prune};

/// The organization under legal hold.
const HELD: u64 = 9;
/// How many entries it has, all of them in the first bundle.
const KEPT: usize = 10;

fn problems(place: &Place) -> Vec<String> {
    let report = check(&place.options("store")).unwrap();
    report.findings.iter().map(ToString::to_string).collect()
}

/// A store with a journal that has only its end, before which the first bundle was pruned; and its backup.
fn trimmed(place: &Place) -> Whole {
    let store = place.open("store");
    for _ in 0..KEPT {
        let mut one = entry(Action::AgentShow);
        one.organization_id = Some(organization(HELD, "held", 1).id);
        place
            .runtime
            .block_on(store.commit(Commit::new(one)))
            .unwrap();
    }
    fill_a_segment(place, &store, 1_000);
    (100..400).for_each(|number| place.register(&store, number));
    let commit = counted(&store, prune(0, 256, HELD));
    place.runtime.block_on(store.commit(commit)).unwrap();
    let backup = place.back_up(&store, &Sealing::Open, 1);
    assert!(store.trim_journal(&[&backup.manifest.cut]).unwrap() > 0);
    store.shutdown();
    backup
}

#[test]
fn the_index_is_made_anew_without_what_was_pruned() {
    let place = Place::new();
    let backup = trimmed(&place);
    assert_eq!(problems(&place), Vec::<String>::new());
    let store = place.open("store");
    // What the backup has and what the journal has are both pruned further.
    let commit = counted(&store, prune(0, 512, HELD));
    place.runtime.block_on(store.commit(commit)).unwrap();
    let there = store.entries_from(0, usize::MAX).unwrap();
    assert_eq!(there[KEPT].seq, 512);
    let root = store.tree().root();
    store.shutdown();
    drop(store);
    assert_eq!(problems(&place), Vec::<String>::new());
    fs::remove_dir_all(place.path("store").join("index")).unwrap();
    rebuild_from_newest(&place.options("store"), &place.folder()).unwrap();
    let store = place.open("store");
    assert_eq!(store.entries_from(0, usize::MAX).unwrap(), there);
    assert_eq!(store.tree().root(), root);
    store.shutdown();
    drop(store);
    assert_eq!(problems(&place), Vec::<String>::new());

    // The backup alone has what was pruned before it, and no more.
    place.restore(&backup, "again", None, None).unwrap();
    let again = place.open("again").entries_from(0, usize::MAX).unwrap();
    assert_eq!(again[KEPT].seq, 256);
}

#[test]
fn what_vanished_from_before_the_journal_is_found() {
    let place = Place::new();
    drop(trimmed(&place));
    lose(&place.options("store"), |seq| seq == 300);
    assert_eq!(
        problems(&place),
        ["index: entry 300: it is not there, and no entry says that it was pruned"]
    );
}

#[test]
fn what_hides_the_rest_of_a_pruned_bundle_is_found() {
    let place = Place::new();
    drop(trimmed(&place));
    let whole = problems(&place);
    assert_eq!(whole, Vec::<String>::new());
    hide(&place.options("store"), 0);
    assert_eq!(
        problems(&place),
        ["index: what finds the entries 0 to 255 is not theirs"]
    );
}

#[test]
fn what_was_kept_of_what_was_pruned_is_counted() {
    let place = Place::new();
    let store = place.open("store");
    fill_a_segment(&place, &store, 1_000);
    (100..400).for_each(|number| place.register(&store, number));
    // As if half of it had been under legal hold.
    let mut entry = prune(0, 256, HELD).into_items().remove(0).entry;
    entry.count = Some(255);
    place
        .runtime
        .block_on(store.commit(Commit::new(entry)))
        .unwrap();
    let backup = place.back_up(&store, &Sealing::Open, 1);
    assert!(store.trim_journal(&[&backup.manifest.cut]).unwrap() > 0);
    store.shutdown();
    drop(store);
    assert_eq!(
        problems(&place),
        ["index: missing: 256 entries, and the log says that 255 were pruned"]
    );
}
