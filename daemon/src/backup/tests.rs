//! Backups taken while the store changes, put back, damaged, and asked for with wrong keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use age::secrecy::ExposeSecret as _;
use agentidp_shared::{Action, Actor, Entry, StoreId, Timestamp};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::backup::file::{Sealing, Whole};
use crate::backup::job::Asked;
use crate::backup::job::Backups;
use crate::clock::Clock;
use crate::config;
use crate::service::time_of;
use crate::store::durable::tests::log_key;
use crate::store::durable::{JournaledStore, Restorer, Until};
use crate::store::model::ModelStore;
use crate::store::suite::queries::{assert_answered_alike, queries};
use crate::store::suite::steps::{Step, assert_alike, do_to_both, steps};
use crate::store::suite::{agent, entry, keep};
use crate::store::{Commit, Record, Store as _};

mod job;
mod kept;
mod pruned;

/// A folder with a store, and one for backups.
struct Place {
    root: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let it = Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap(),
            root,
        };
        fs::create_dir(it.folder()).unwrap();
        let (id, now) = (StoreId::from_bytes([7; 16]), Timestamp::from_millis(1));
        let first = Commit::new(entry(Action::StoreInit));
        JournaledStore::create(&it.options("store"), id, now, first, &log_key()).unwrap();
        it
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn folder(&self) -> PathBuf {
        self.path("backups")
    }

    fn settings(&self) -> config::Backup {
        config::Backup {
            folder: self.folder(),
            every: None,
            keep: 2,
            keep_days: 0,
            recipients: Vec::new(),
            unencrypted: true,
            places: config::BackupPlaces {
                folder: config::Place::Named(String::new()),
                unencrypted: config::Place::Named(String::new()),
            },
        }
    }

    fn options(&self, name: &str) -> StoreOptions {
        let (path, now) = (self.path(name), Timestamp::from_millis(1));
        StoreOptions::new(path.clone(), path.join("head"), now)
    }

    fn open(&self, name: &str) -> JournaledStore {
        let options = self.options(name);
        let is_restored = !options.head_file.exists();
        let opened = if is_restored {
            JournaledStore::open_accepting(&options)
        } else {
            JournaledStore::open(&options)
        };
        opened.unwrap()
    }

    fn register(&self, store: &JournaledStore, number: u64) {
        let agent = agent(number, &format!("a{number}@acme.example"), 1);
        let commit = Commit::new(entry(Action::AgentRegister)).put(Record::Agent(agent));
        self.runtime.block_on(store.commit(commit)).unwrap();
    }

    fn back_up(&self, store: &JournaledStore, sealing: &Sealing, number: i64) -> Whole {
        let now = Timestamp::from_millis(1_000 * number);
        file::create(store, &self.folder(), sealing, now, |_| true)
            .unwrap()
            .0
    }

    fn restore(
        &self,
        whole: &Whole,
        into: &str,
        journal: Option<&Path>,
        until: Option<Until>,
    ) -> Result<u64, BackupError> {
        let cut = &whole.manifest.cut;
        let mut restorer = Restorer::begin(&self.options(into), cut, journal, until)?;
        file::read(&whole.path, &whole.manifest, None, &mut restorer)?;
        Ok(restorer.finish()?)
    }
}

/// What the steps make of an empty store, as far as the entry `end`.
async fn model_of(steps: &[Step], end: u64) -> ModelStore {
    let (model, same) = (ModelStore::new(), ModelStore::new());
    let first = || Commit::new(entry(Action::StoreInit));
    model.commit(first()).await.unwrap();
    same.commit(first()).await.unwrap();
    for step in steps {
        if *model.head().borrow() == end {
            break;
        }
        do_to_both(&same, std::slice::from_ref(step), &model).await;
    }
    assert_eq!(
        *model.head().borrow(),
        end,
        "the moment is between two steps"
    );
    model
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_backup_under_load_is_of_one_moment_and_the_journal_goes_on_from_it(
        before in steps(),
        meanwhile in steps(),
        after in steps(),
        every in 1..9_usize,
        queries in prop::collection::vec(queries(), 20),
    ) {
        let place = Place::new();
        let store = place.open("store");
        let model = ModelStore::new();
        place.runtime.block_on(async {
            model.commit(Commit::new(entry(Action::StoreInit))).await.unwrap();
            do_to_both(&store, &before, &model).await;
        });
        // After every few pairs that it has written, something else happens to the store.
        let (mut pairs, mut rest) = (0, meanwhile.iter());
        let goes_on = |_: &Summary| {
            pairs += 1;
            if pairs % every == 0 && let Some(step) = rest.next() {
                let both = do_to_both(&store, std::slice::from_ref(step), &model);
                place.runtime.block_on(both);
            }
            true
        };
        let now = Timestamp::from_millis(1);
        let (whole, _) = file::create(&store, &place.folder(), &Sealing::Open, now, goes_on).unwrap();
        place.runtime.block_on(async {
            for step in rest {
                do_to_both(&store, std::slice::from_ref(step), &model).await;
            }
            do_to_both(&store, &after, &model).await;
        });
        file::inspect(&whole.path, &whole.manifest, None).unwrap();

        let entries = place.restore(&whole, "of-the-moment", None, None).unwrap();
        prop_assert_eq!(entries, whole.manifest.cut.entries);
        let all: Vec<_> = before.iter().chain(&meanwhile).chain(&after).cloned().collect();
        let then = place.runtime.block_on(model_of(&all, entries));
        let restored = place.open("of-the-moment");
        assert_alike(&restored, &then);
        for query in &queries {
            assert_answered_alike(&restored, query, &then);
        }

        // The machine is lost; the journal was copied, as it was without warning.
        drop(store);
        let journal = place.path("store").join("journal");
        place.restore(&whole, "of-the-end", Some(&journal), None).unwrap();
        let restored = place.open("of-the-end");
        assert_alike(&restored, &model);
        let says_so = Commit::new(entry(Action::StoreRestore));
        place.runtime.block_on(restored.commit(says_so)).unwrap();
        restored.shutdown();
        drop(restored);
        let report = crate::store::durable::check(&place.options("of-the-end")).unwrap();
        prop_assert_eq!(report.findings, Vec::new());
    }
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_backup_is_found() {
    let place = Place::new();
    let store = place.open("store");
    let whole = place.back_up(&store, &Sealing::Open, 1);
    let bytes = fs::read(&whole.path).unwrap();
    let damaged = place.path("damaged");
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        fs::write(&damaged, changed).unwrap();
        assert!(file::verify(&damaged).is_err(), "bit {bit}");
    }
    for length in 0..bytes.len() {
        fs::write(&damaged, &bytes[..length]).unwrap();
        assert!(file::verify(&damaged).is_err(), "cut to {length}");
    }
    fs::write(&damaged, [&bytes[..], b"x"].concat()).unwrap();
    assert!(file::verify(&damaged).is_err(), "something was appended");
}

#[test]
fn a_backup_of_a_newer_form_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let store = place.open("store");
    let whole = place.back_up(&store, &Sealing::Open, 1);
    let mut bytes = fs::read(&whole.path).unwrap();
    bytes[8] = 2;
    fs::write(&whole.path, &bytes).unwrap();
    let error = file::verify(&whole.path).unwrap_err();
    assert!(
        matches!(error, BackupError::Newer { found: 2, .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("the version of the daemon that made it")
    );
    assert_eq!(fs::read(&whole.path).unwrap(), bytes);
    fs::write(&whole.path, b"something else").unwrap();
    let error = file::verify(&whole.path).unwrap_err();
    assert!(matches!(error, BackupError::NotOne(_)), "{error}");
}

#[test]
fn only_the_identity_of_a_recipient_opens_a_backup() {
    let place = Place::new();
    let store = place.open("store");
    place.register(&store, 1);
    let (ours, second, other) = (
        age::x25519::Identity::generate(),
        age::x25519::Identity::generate(),
        age::x25519::Identity::generate(),
    );
    let identity = |name: &str, identity: &age::x25519::Identity| {
        let path = place.path(name);
        fs::write(&path, identity.to_string().expose_secret()).unwrap();
        path
    };
    let to = [&ours, &second].map(|it| it.to_public().to_string());
    let whole = place.back_up(&store, &Sealing::To(to.to_vec()), 1);
    assert_eq!(whole.manifest.recipients, to);
    let look = |identity: Option<&Path>| file::inspect(&whole.path, &whole.manifest, identity);
    assert_eq!(look(Some(&identity("ours", &ours))).unwrap(), 1);
    assert_eq!(look(Some(&identity("second", &second))).unwrap(), 1);
    let error = look(Some(&identity("other", &other))).unwrap_err();
    assert!(
        matches!(error, BackupError::WrongIdentity { .. }),
        "{error}"
    );
    let error = look(None).unwrap_err();
    assert!(matches!(error, BackupError::Encrypted(_)), "{error}");
    let empty = place.path("empty");
    fs::write(&empty, "# nothing\n").unwrap();
    let error = look(Some(&empty)).unwrap_err();
    assert!(matches!(error, BackupError::Identity { .. }), "{error}");
    let text = String::from_utf8_lossy(&fs::read(&whole.path).unwrap()).into_owned();
    assert!(
        !text.contains("acme.example"),
        "nothing can be read in the file"
    );
    // Whole without an identity, and found not to be what its manifest says with one.
    file::verify(&whole.path).unwrap();
    let mut manifest = whole.manifest.clone();
    manifest.content.sha256 = "0".repeat(64);
    let ours = place.path("ours");
    let error = file::inspect(&whole.path, &manifest, Some(&ours)).unwrap_err();
    assert!(matches!(error, BackupError::Damaged { .. }), "{error}");
}

#[test]
fn a_backup_that_is_stopped_leaves_nothing_and_one_that_was_cut_off_is_removed() {
    let place = Place::new();
    let store = place.open("store");
    let stopped = file::create(
        &store,
        &place.folder(),
        &Sealing::Open,
        Timestamp::from_millis(1),
        |_| false,
    );
    assert!(matches!(
        stopped,
        Err(BackupError::Image(ImageError::Stopped))
    ));
    let files = || fs::read_dir(place.folder()).unwrap().count();
    assert_eq!(files(), 0);
    // What another store's daemon may be writing in the same folder stays.
    let other = StoreId::from_bytes([9; 16]);
    for of in [store.id(), other] {
        let name = folder::partial_name(Timestamp::from_millis(1), of);
        fs::write(place.folder().join(name), b"half").unwrap();
    }
    fs::write(place.folder().join("else.partial"), b"not ours").unwrap();
    folder::sweep(&place.folder(), store.id()).unwrap();
    assert_eq!(files(), 2);
    // Nor is one ever written over.
    let whole = place.back_up(&store, &Sealing::Open, 1);
    let before = fs::read(&whole.path).unwrap();
    let now = whole.manifest.created_at;
    let again = file::create(&store, &place.folder(), &Sealing::Open, now, |_| true);
    assert!(matches!(again, Err(BackupError::Io { .. })));
    assert_eq!(fs::read(&whole.path).unwrap(), before);
}

#[test]
fn a_restore_ends_where_it_is_told_to_and_refuses_what_would_not_be_honest() {
    let place = Place::new();
    let store = place.open("store");
    for number in 0..10 {
        place.register(&store, number);
    }
    let whole = place.back_up(&store, &Sealing::Open, 1);
    for number in 10..20 {
        place.register(&store, number);
    }
    drop(store);
    let journal = place.path("store").join("journal");
    let restore = |into: &str, until| place.restore(&whole, into, Some(&journal), Some(until));
    assert_eq!(restore("to-15", Until::Seq(15)).unwrap(), 16);
    let restored = place.open("to-15");
    assert_eq!(*restored.head().borrow(), 16);
    // It goes on from there, in a journal of its own.
    place.register(&restored, 40);
    drop(restored);
    let other = place.path("to-15").join("journal");
    let refused = |result: Result<u64, BackupError>, part: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(restore("to-5", Until::Seq(5)), "choose an earlier backup");
    refused(
        restore("to-past", Until::Time(Timestamp::from_millis(0))),
        "choose an earlier backup",
    );
    let late = Until::Time(Timestamp::from_millis(i64::MAX / 2));
    assert_eq!(restore("to-now", late).unwrap(), 21);

    fs::create_dir(place.path("full")).unwrap();
    fs::write(place.path("full").join("something"), b"of value").unwrap();
    refused(restore("full", late), "is not empty");
    assert_eq!(fs::read_dir(place.path("full")).unwrap().count(), 1);
    assert!(!place.path("to-5").exists());

    // A backup of one fork, and the journal of another.
    let store = place.open("store");
    let newer = place.back_up(&store, &Sealing::Open, 2);
    refused(
        place
            .restore(&newer, "fork", Some(&other), None)
            .map(|_| 0)
            .and_then(|_| {
                // The other journal is shorter; made longer, it is found to be another.
                let restored = place.open("to-15");
                (50..60).for_each(|number| place.register(&restored, number));
                drop(restored);
                place.restore(&newer, "fork-2", Some(&other), None)
            }),
        "is not the one that goes on after the backup",
    );
}

/// Makes the journal longer by more than one segment.
fn fill_a_segment(place: &Place, store: &JournaledStore, from: u64) {
    let metadata: std::collections::BTreeMap<_, _> = (0..100)
        .map(|number| (format!("key-{number}"), "x".repeat(2_000)))
        .collect();
    for number in from..from + 360 {
        let mut agent = agent(number, &format!("a{number}@acme.example"), 1);
        agent.metadata = metadata.clone().try_into().unwrap();
        let commit = Commit::new(entry(Action::AgentRegister)).put(Record::Agent(agent));
        place.runtime.block_on(store.commit(commit)).unwrap();
    }
}

#[test]
fn the_index_is_made_anew_from_a_backup_and_what_is_left_of_the_journal() {
    let place = Place::new();
    let store = place.open("store");
    fill_a_segment(&place, &store, 1_000);
    // A backup has the frames from where the bundle began that was not full.
    (100..400).for_each(|number| place.register(&store, number));
    let first = place.back_up(&store, &Sealing::Open, 1);
    assert_eq!(store.status().journal_segments, 2);
    // Not for a backup of what this store would have become.
    let mut other = first.manifest.cut.clone();
    other.hash = "0".repeat(64);
    let freed = |cuts: &[&_]| store.trim_journal(cuts).unwrap();
    assert_eq!(freed(&[&first.manifest.cut, &other]), 0);
    let freed = freed(&[&first.manifest.cut]);
    assert!(freed > 64 * 1_024 * 1_024, "{freed}");
    let status = store.status();
    assert_eq!(status.journal_segments, 1);
    assert!(status.journal_bytes < 64 * 1_024 * 1_024);
    place.register(&store, 2);
    let agents = |store: &JournaledStore| {
        let query = crate::store::suite::newest(None, 2_000);
        store.agents(&query).unwrap().agents
    };
    let (before, entries) = (agents(&store), store.entries_from(0, usize::MAX).unwrap());
    store.shutdown();
    drop(store);

    // What the journal has let go of, the index has.
    let report = crate::store::durable::check(&place.options("store")).unwrap();
    assert_eq!(report.findings, Vec::new());
    assert_eq!(report.entries, entries.len() as u64);

    // It starts as ever, and when its index is lost it says what to do and leaves things as they are.
    drop(place.open("store"));
    let index = place.path("store").join("index");
    fs::remove_dir_all(&index).unwrap();
    let error = JournaledStore::open(&place.options("store")).err().unwrap();
    assert!(
        error.to_string().contains("from the newest backup"),
        "{error}"
    );
    assert!(!index.exists());
    rebuild_from_newest(&place.options("store"), &place.folder()).unwrap();
    let store = place.open("store");
    assert_eq!(agents(&store), before);
    assert_eq!(store.entries_from(0, usize::MAX).unwrap(), entries);
    drop(store);

    // The backup and the journal that is left make the store too.
    let journal = place.path("store").join("journal");
    place
        .restore(&first, "again", Some(&journal), None)
        .unwrap();
    let store = place.open("again");
    assert_eq!(agents(&store), before);
    assert_eq!(store.entries_from(0, usize::MAX).unwrap(), entries);
}

#[test]
fn what_is_beyond_what_is_kept_goes_and_what_is_another_store_s_stays() {
    let place = Place::new();
    let store = place.open("store");
    for number in 1..=5 {
        place.back_up(&store, &Sealing::Open, number);
    }
    let listed = folder::list(&place.folder()).unwrap();
    let times = |listed: Vec<&folder::Listed>| -> Vec<i64> {
        let time = |it: &&folder::Listed| it.of(store.id()).unwrap().created_at.as_secs();
        listed.iter().map(time).collect()
    };
    assert_eq!(times(listed.iter().collect()), [5, 4, 3, 2, 1]);
    let now = Timestamp::from_millis(6_000);
    let surplus = |keep, seconds, id| {
        let at_least = std::time::Duration::from_secs(seconds);
        folder::surplus(&listed, id, keep, at_least, now, |_| false)
    };
    assert_eq!(times(surplus(3, 0, store.id())), [2, 1]);
    assert_eq!(times(surplus(3, 5, store.id())), [1]);
    assert_eq!(times(surplus(9, 0, store.id())), [0_i64; 0]);
    let other = StoreId::from_bytes([9; 16]);
    assert!(surplus(3, 0, other).is_empty());
    // The fifth and the third are of a history that was given up: what they would take the place of stays.
    let is_other = |it: &folder::Listed| [5, 3].contains(&times(vec![it])[0]);
    let at_once = std::time::Duration::ZERO;
    let beyond = folder::surplus(&listed, store.id(), 2, at_once, now, is_other);
    assert_eq!(times(beyond), [1]);
}

#[test]
fn nothing_of_a_store_that_was_found_damaged_is_given_up_for_a_new_backup() {
    let place = Place::new();
    let store = Arc::new(place.open("store"));
    for number in 1..=3 {
        place.back_up(&store, &Sealing::Open, number);
    }
    let settings = place.settings();
    let job = Arc::new(Backups::new(
        Arc::clone(&store),
        Some(settings.clone()),
        Arc::new(time_of(store.as_ref(), Arc::new(At(10_000))).unwrap()),
        CancellationToken::new(),
    ));
    let tidied = || {
        place.runtime.block_on(job.tidy(settings.clone()));
        fs::read_dir(place.folder()).unwrap().count()
    };
    let check = || {
        let report = store.check_in_use(Timestamp::from_millis(1));
        report.unwrap().unwrap().is_sound()
    };
    // The head file is suddenly that of another store.
    let (other, now) = (place.options("other"), Timestamp::from_millis(1));
    let first = Commit::new(entry(Action::StoreInit));
    JournaledStore::create(&other, StoreId::from_bytes([9; 16]), now, first, &log_key()).unwrap();
    fs::copy(other.head_file, place.options("store").head_file).unwrap();
    assert!(!check());
    assert_eq!(tidied(), 3);
    // The next commit puts the head file right.
    place.register(&store, 1);
    fs::remove_file(place.back_up(&store, &Sealing::Open, 4).path).unwrap();
    assert!(check());
    assert_eq!(tidied(), 2);
}

/// A clock that is wrong.
struct At(i64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0)
    }

    fn passed(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn a_backup_while_the_clock_is_far_ahead_leaves_the_log_s_time_and_forgets_nothing() {
    const IN_2099: i64 = 4_070_908_800_000;
    let place = Place::new();
    let store = Arc::new(place.open("store"));
    let kept = keep(1, b"body", 1_000, 900_000);
    let key = kept.items()[0].kept[0].key;
    place.runtime.block_on(store.commit(kept)).unwrap();
    let job = Arc::new(Backups::new(
        Arc::clone(&store),
        Some(place.settings()),
        Arc::new(time_of(store.as_ref(), Arc::new(At(IN_2099))).unwrap()),
        CancellationToken::new(),
    ));
    let asked = Asked {
        actor: Actor::system(),
        reason: None,
        request_id: None,
    };
    let made = place.runtime.block_on(job.create(asked, None)).unwrap();
    assert_eq!(made.whole.manifest.created_at.as_millis(), 1_000);
    let said = store.entries_from(made.audit_seq.unwrap(), 1).unwrap();
    let said: Entry = serde_json::from_slice(&said[0].json).unwrap();
    assert_eq!(said.time.as_millis(), 1_000);
    drop(job);
    store.shutdown();
    drop(store);
    let now = Timestamp::from_millis(1_000);
    let store = place.open("store");
    assert!(store.temporary(&key, now).unwrap().is_some());
}
