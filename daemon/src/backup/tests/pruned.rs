//! Backups of a store whose log was pruned, and a journal that has let go of what was.

use super::*;
use crate::store::StoredEntry;
use crate::store::durable::check;
use crate::store::durable::tests::pruning::{hide, lose, put_back, put_record, take_record};
use crate::store::suite::{organization, prune};

/// The organization under legal hold.
const HELD: u64 = 9;
/// How many entries it has, the first of the log but for one.
const KEPT: u64 = 10;
/// The first entry of the log that accounts for a record: that of an agent.
const FIRST: u64 = 211;
/// The number of this agent.
const AGENT: u64 = 1_000;

fn problems(place: &Place) -> Vec<String> {
    let report = check(&place.options("store")).unwrap();
    report.findings.iter().map(ToString::to_string).collect()
}

/// A store with a journal that has only its end, before which the first bundle was pruned: of that there
/// is what is under legal hold, and what accounts for agents. Its backup, and the bundle as it was.
fn trimmed(place: &Place) -> (Whole, Vec<StoredEntry>) {
    let store = place.open("store");
    for number in 1..FIRST {
        let mut one = entry(Action::AgentShow);
        one.organization_id = (number <= KEPT).then(|| organization(HELD, "held", 1).id);
        let commit = store.commit(Commit::new(one));
        place.runtime.block_on(commit).unwrap();
    }
    fill_a_segment(place, &store, AGENT);
    (100..400).for_each(|number| place.register(&store, number));
    let before = store.entries_from(0, 256).unwrap();
    let commit = store.commit(prune(&store, 0, 256, HELD));
    place.runtime.block_on(commit).unwrap();
    let backup = place.back_up(&store, &Sealing::Open, 1);
    assert!(store.trim_journal(&[&backup.manifest.cut]).unwrap() > 0);
    store.shutdown();
    (backup, before)
}

/// The places of what is left of the log before `end`.
fn left(entries: &[StoredEntry], end: u64) -> Vec<u64> {
    let places = entries.iter().map(|it| it.seq);
    places.take_while(|seq| *seq < end).collect()
}

fn agent_of(number: u64, email: &str, revision: u64) -> Record {
    Record::Agent(agent(number, email, revision))
}

#[test]
fn the_index_is_made_anew_without_what_was_pruned() {
    let place = Place::new();
    let (backup, _) = trimmed(&place);
    assert_eq!(problems(&place), Vec::<String>::new());
    let store = place.open("store");
    // What the backup has and what the journal has are both pruned further: of what changed meanwhile, not what
    // accounts for it any more.
    for number in AGENT..AGENT + 60 {
        let changed = agent_of(number, &format!("a{number}@acme.example"), 2);
        let commit = Commit::new(entry(Action::AgentSuspend)).put(changed);
        place.runtime.block_on(store.commit(commit)).unwrap();
    }
    let commit = store.commit(prune(&store, 0, 512, HELD));
    place.runtime.block_on(commit).unwrap();
    let there = store.entries_from(0, usize::MAX).unwrap();
    let expected: Vec<_> = (1..=KEPT).chain(FIRST + 60..600).collect();
    assert_eq!(left(&there, 600), expected);
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
    let expected: Vec<_> = (1..=KEPT).chain(FIRST..600).collect();
    assert_eq!(left(&again, 600), expected);
}

#[test]
fn what_vanished_from_before_the_journal_is_found() {
    let place = Place::new();
    drop(trimmed(&place));
    lose(&place.options("store"), |seq| seq == 5 || seq == 300);
    let problem = "it is not there, and no entry says that it was pruned";
    let problems = problems(&place);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(
        problems[0].contains("(entry 300): the record was put there: no entry accounts for it")
    );
    assert_eq!(
        problems[1..],
        [5, 300].map(|seq| format!("index: entry {seq}: {problem}"))
    );
}

#[test]
fn an_entry_that_was_put_back_makes_up_for_none_that_is_lost() {
    let place = Place::new();
    let (_, before) = trimmed(&place);
    let options = place.options("store");
    lose(&options, |seq| seq == 5);
    put_back(&options, &before[50]);
    assert_eq!(before[50].seq, 50);
    assert_eq!(
        problems(&place),
        [
            "index: entry 5: it is not there, and no entry says that it was pruned",
            "index: entry 50: it is there, and the log says that it was pruned: it was put back, or the log was made to say so of what is under legal hold",
        ]
    );
}

#[test]
fn records_of_long_ago_are_held_against_the_log_whatever_was_pruned() {
    let place = Place::new();
    drop(trimmed(&place));
    let options = place.options("store");
    let report = check(&options).unwrap();
    assert_eq!((report.records, report.findings), (660, Vec::new()));
    let changed = agent_of(AGENT, "other@acme.example", 1);
    put_record(&options, &changed, FIRST);
    let lost = agent_of(AGENT + 1, "a@acme.example", 1);
    take_record(&options, &lost);
    // As if an entry that was pruned had registered it.
    let invented = agent_of(9_999, "stranger@acme.example", 1);
    put_record(&options, &invented, 50);
    let id_of = |record: &Record| record.key().target().1;
    let mut problems = problems(&place);
    problems.sort();
    let mut expected = [
        format!(
            "index: agent {} (entry {FIRST}): the record was changed: it is not the one that entry {FIRST} names",
            id_of(&changed)
        ),
        format!(
            "index: agent {} (entry {}): the record is not there",
            id_of(&lost),
            FIRST + 1
        ),
        format!(
            "index: agent {} (entry 50): the record was put there: no entry accounts for it",
            id_of(&invented)
        ),
    ];
    expected.sort();
    assert_eq!(problems, expected);
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

/// A store whose first bundle was pruned, and that was restored without its journal: what it has of that begins
/// after the bundle.
fn restored(place: &Place) -> (StoreOptions, [Whole; 2]) {
    let store = place.open("store");
    let first = place.back_up(&store, &Sealing::Open, 1);
    (0..300).for_each(|number| place.register(&store, number));
    let commit = store.commit(prune(&store, 0, 256, HELD));
    place.runtime.block_on(commit).unwrap();
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
