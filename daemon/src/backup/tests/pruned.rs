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

/// A store whose first bundle was pruned, and that was restored without its journal: what it has of that begins
/// after the bundle.
fn restored(place: &Place) -> (StoreOptions, [Whole; 2]) {
    let store = place.open("store");
    let first = place.back_up(&store, &Sealing::Open, 1);
    (0..300).for_each(|number| place.register(&store, number));
    let commit = counted(&store, prune(0, 256, HELD));
    place.runtime.block_on(store.commit(commit)).unwrap();
    let newest = place.back_up(&store, &Sealing::Open, 2);
    (restore(place, &newest, "restored"), [first, newest])
}

fn restore(place: &Place, whole: &Whole, into: &str) -> StoreOptions {
    place.restore(whole, into, None, None).unwrap();
    let store = place.open(into);
    place.register(&store, 300);
    store.shutdown();
    place.options(into)
}

#[test]
fn records_whose_entries_were_pruned_are_counted_and_said_not_to_be_compared() {
    let place = Place::new();
    let (options, _) = restored(&place);
    let report = check(&options).unwrap();
    assert_eq!(report.findings, Vec::new());
    assert_eq!(report.records, 301);
    let notes = report.notes.join("\n");
    assert!(
        notes.contains("255 of the records cannot be compared"),
        "{notes}"
    );
}

#[test]
fn an_index_that_is_lost_where_the_journal_has_not_its_beginning_is_nothing_but_an_index() {
    let place = Place::new();
    let (options, [_, newest]) = restored(&place);
    let ways: [fn(&Path); 4] = [
        |index| fs::remove_dir_all(index).unwrap(),
        |index| fs::write(index.join("mark.json"), b"{").unwrap(),
        |index| fs::remove_dir_all(index.join("sled")).unwrap(),
        |index| fs::write(index.join("sled/db"), vec![0x5a; 40_000]).unwrap(),
    ];
    for (number, lose) in ways.iter().enumerate() {
        let options = restore(&place, &newest, &number.to_string());
        assert!(check(&options).unwrap().is_sound());
        lose(&options.path.join("index"));
        let report = check(&options).unwrap();
        assert!(
            !report.is_sound() && report.is_index_only(),
            "{number}: {report:?}"
        );
        assert!(report.first_frame > 1);
        let notes = report.notes.join("\n");
        assert!(!notes.contains("the next start makes one"), "{notes}");
    }

    // What of the journal there is was read to its end all the same.
    fs::remove_dir_all(options.path.join("index")).unwrap();
    let segment = fs::read_dir(options.path.join("journal")).unwrap();
    let segment = segment.last().unwrap().unwrap().path();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let report = check(&options).unwrap();
    assert!(!report.is_index_only(), "{report:?}");
}

#[test]
fn a_backup_that_is_too_old_to_make_an_index_is_not_called_damage() {
    let place = Place::new();
    let (options, [first, _]) = restored(&place);
    fs::remove_dir_all(options.path.join("index")).unwrap();
    let error = rebuild_index(&options, &first.path, None).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("choose a newer backup"), "{error}");
    assert!(!error.contains("damaged"), "{error}");
}

#[test]
fn a_restore_up_to_an_entry_that_there_is_not_is_refused() {
    let place = Place::new();
    let (options, [first, newest]) = restored(&place);
    let store = place.open("restored");
    let entries = store.entries_from(0, usize::MAX).unwrap();
    let end = entries.last().unwrap().seq + 1;
    store.shutdown();
    drop(store);
    let journal = options.path.join("journal");
    let until = |backup: &Whole, into, journal: Option<&Path>, seq| {
        place.restore(backup, into, journal, Some(Until::Seq(seq)))
    };
    let refused = |restored: Result<u64, BackupError>| {
        let error = restored.unwrap_err().to_string();
        assert!(error.contains("the log ends with entry"), "{error}");
    };
    refused(until(&newest, "a", Some(&journal), end));
    refused(until(&first, "a", None, 9_999));
    assert!(!place.path("a").exists(), "nothing was changed");
    assert_eq!(until(&newest, "a", Some(&journal), end - 1).unwrap(), end);
}
