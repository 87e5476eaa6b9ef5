//! The job: when it makes one, what it says of it, and what it lets go.

use std::sync::Arc;
use std::time::Duration;

use agentidp_shared::Code;
use parking_lot::Mutex;

use super::*;
use crate::clock::Steady;
use crate::store::EntryFilter;
use crate::store::durable::tests::fail;

const HOUR: Duration = Duration::from_hours(1);
const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);
/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(30);

/// A clock that is set.
struct Hands(Mutex<Timestamp>);

impl Hands {
    fn pass(&self, time: Duration) {
        let mut now = self.0.lock();
        *now = now.plus(time);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }

    fn passed(&self) -> Duration {
        Duration::ZERO
    }
}

/// A clock on which the store takes no more writes once there is a backup.
struct FailingWith {
    store: Arc<JournaledStore>,
    folder: PathBuf,
}

impl Clock for FailingWith {
    fn now(&self) -> Timestamp {
        if fs::read_dir(&self.folder).is_ok_and(|mut files| {
            files.any(|file| file.unwrap().path().extension() == Some("backup".as_ref()))
        }) {
            fail(&self.store, "the disk is gone");
        }
        NOW
    }

    fn passed(&self) -> Duration {
        Duration::ZERO
    }
}

fn job(place: &Place, store: &Arc<JournaledStore>, clock: Arc<dyn Clock>) -> Arc<Backups> {
    let settings = config::Backup {
        every: Some(6 * HOUR),
        ..place.settings()
    };
    let clock = Steady::new(clock, Some(Timestamp::from_millis(1)));
    let stopping = CancellationToken::new();
    let job = Backups::new(Arc::clone(store), Some(settings), Arc::new(clock), stopping);
    Arc::new(job)
}

fn somebody() -> Asked {
    Asked {
        actor: Actor::system(),
        reason: None,
        request_id: None,
    }
}

impl Place {
    /// The backups there are, and what is no backup yet.
    fn files(&self) -> usize {
        fs::read_dir(self.folder()).unwrap().count()
    }

    fn back_up_at(&self, store: &JournaledStore, time: Timestamp) -> Whole {
        let made = file::create(store, &self.folder(), &Sealing::Open, time, |_| true);
        made.unwrap().0
    }
}

/// How many entries of `action` the log has.
fn said(store: &JournaledStore, action: Action) -> usize {
    let filter = EntryFilter {
        action: Some(action),
        ..EntryFilter::default()
    };
    let page = store.entries_before(None, &filter, 100).unwrap();
    page.entries.len()
}

#[test]
fn backups_dated_ahead_neither_put_off_the_next_nor_push_it_out() {
    let place = Place::new();
    let store = Arc::new(place.open("store"));
    let ahead = NOW.plus(60 * 24 * HOUR);
    for number in 0..3 {
        place.back_up_at(&store, ahead.plus(number * HOUR));
    }
    let hands = Arc::new(Hands(Mutex::new(NOW)));
    let job = job(&place, &store, Arc::clone(&hands) as _);
    assert!(job.standing().last.is_none(), "none was made until now");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let schedule = tokio::spawn(Arc::clone(&job).run_schedule());
        let mut head = store.head();
        let made = |count| {
            let store = Arc::clone(&store);
            move |_: &u64| said(&store, Action::BackupCreate) == count
        };
        let first = tokio::time::timeout(DEADLINE, head.wait_for(made(1))).await;
        drop(first.unwrap().unwrap());
        hands.pass(6 * HOUR);
        let second = tokio::time::timeout(DEADLINE, head.wait_for(made(2))).await;
        drop(second.unwrap().unwrap());
        schedule.abort();
        let _ended = schedule.await;
        hands.pass(HOUR);
        let asked_for = job.create(somebody(), None).await.unwrap();
        assert!(asked_for.whole.path.exists());
        assert_eq!(asked_for.whole.manifest.created_at, NOW.plus(7 * HOUR));
    });
    // Two are kept beside those whose time has not come.
    assert_eq!(place.files(), 5);
    assert_eq!(said(&store, Action::BackupPrune), 1);
}

#[test]
fn a_backup_that_the_log_cannot_be_told_of_is_removed_and_has_failed() {
    let place = Place::new();
    let store = Arc::new(place.open("store"));
    let clock = FailingWith {
        store: Arc::clone(&store),
        folder: place.folder(),
    };
    let job = job(&place, &store, Arc::new(clock));
    let create = || place.runtime.block_on(job.create(somebody(), None));
    let error = create().unwrap_err();
    assert_eq!(error.code, Code::StoreUnavailable);
    assert_eq!(place.files(), 0);
    assert_eq!(job.counts(), (0, 1));
    assert!(job.standing().last.is_none());
    let (_, why) = job.standing().failure.unwrap();
    assert!(why.contains("nothing can be written now"), "{why}");
    // Nor is the next one begun: without its folder it would fail otherwise.
    fs::remove_dir(place.folder()).unwrap();
    assert_eq!(create().unwrap_err().code, Code::StoreUnavailable);
    assert_eq!(job.counts(), (0, 2));
}

#[test]
fn no_backup_goes_while_one_of_the_newest_is_not_whole() {
    let place = Place::new();
    let store = Arc::new(place.open("store"));
    let job = job(&place, &store, Arc::new(At(10_000)));
    let backups = [1, 2, 3].map(|number| place.back_up(&store, &Sealing::Open, number));
    let whole = fs::read(&backups[1].path).unwrap();
    let mut rotten = whole.clone();
    rotten[100] ^= 1;
    fs::write(&backups[1].path, &rotten).unwrap();
    let tidy = || place.runtime.block_on(job.tidy(place.settings()));
    tidy();
    assert_eq!(place.files(), 3);
    fs::write(&backups[1].path, &whole).unwrap();
    tidy();
    assert_eq!(place.files(), 2);
    assert!(!backups[0].path.exists());
    assert_eq!(said(&store, Action::BackupPrune), 1);
}

#[test]
fn a_backup_goes_only_once_the_log_says_so() {
    let place = Place::new();
    let store = Arc::new(place.open("store"));
    let job = job(&place, &store, Arc::new(At(10_000)));
    for number in 1..=3 {
        place.back_up(&store, &Sealing::Open, number);
    }
    fail(&store, "the disk is gone");
    place.runtime.block_on(job.tidy(place.settings()));
    assert_eq!(place.files(), 3);
}
