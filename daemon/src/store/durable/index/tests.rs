//! What a crash finds of the index, whichever mark is on the disk.

use std::fs;

use agentidp_shared::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::store::suite::agent;
use crate::store::{Record, Temporary, TemporaryKey, form};

const STORE: StoreId = StoreId::from_bytes([7; 16]);
/// As long as what has expired is kept, in milliseconds.
const MARGIN: i64 = 60_000;

/// What comes to pass, in the order in which it does.
#[derive(Debug, Clone)]
enum Step {
    /// An entry changes this agent, and keeps something for so many margins.
    Change(u64, Option<(u8, i64)>),
    /// So many margins go by.
    Wait(i64),
    /// The index is marked.
    Mark,
    /// A mark is begun, and does not get to the disk.
    Begin,
    /// One that was begun gets there.
    Finish,
    /// The disk does not take a mark.
    Fail,
    /// A crash.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kept = prop::option::of((0..3_u8, 1..4_i64));
    let step = prop_oneof![
        6 => (0..3_u64, kept).prop_map(|(agent, kept)| Step::Change(agent, kept)),
        2 => (1..4_i64).prop_map(Step::Wait),
        2 => Just(Step::Mark),
        2 => Just(Step::Begin),
        1 => Just(Step::Finish),
        2 => Just(Step::Fail),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..24)
}

/// An index that things come to pass with.
struct Watched {
    index: Index,
    folder: tempfile::TempDir,
    seq: u64,
    now: i64,
}

impl Watched {
    fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path()).unwrap();
        index.flush(STORE, 1, 0).unwrap();
        Self {
            index,
            folder,
            seq: 0,
            now: 0,
        }
    }

    fn does(&mut self, step: &Step) {
        match step {
            Step::Change(number, kept) => self.change(*number, *kept),
            Step::Wait(margins) => {
                self.now += margins * MARGIN;
                self.index.kept.note_time(Timestamp::from_millis(self.now));
            }
            Step::Mark => self.index.flush(STORE, 1, 0).unwrap(),
            Step::Begin => {
                let mut marking = self.index.marking.lock();
                // Of one that was begun before, all is known only when that is on the disk.
                if marking.is_on_disk {
                    self.index.begin(&mut marking, (STORE, 1, 0)).unwrap();
                }
            }
            Step::Finish => {
                let mut marking = self.index.marking.lock();
                let trees = self.index.trees();
                self.index.finish(&mut marking, &trees).unwrap();
            }
            Step::Fail => {
                let obstacle = self.folder.path().join("mark.json.new");
                fs::create_dir(&obstacle).unwrap();
                assert!(self.index.flush(STORE, 1, 0).is_err());
                fs::remove_dir(&obstacle).unwrap();
            }
            Step::Crash => self.crash(),
        }
    }

    fn change(&mut self, number: u64, kept: Option<(u8, i64)>) {
        let record = Record::Agent(agent(number, "a@acme.example", self.seq + 1));
        let stored = form::encode(&record).unwrap();
        let kept: Vec<_> = kept
            .into_iter()
            .map(|(key, margins)| Temporary {
                key: TemporaryKey::Idempotency([key; 32]),
                expires_at: Timestamp::from_millis(self.now + margins * MARGIN),
                body: Vec::new(),
            })
            .collect();
        let change = Some((&record, stored.as_slice()));
        self.index.apply(change, &kept, self.seq).unwrap();
        self.seq += 1;
    }

    /// All that sled has got to the disk, and the process ends.
    fn crash(&mut self) {
        let folder = self.folder.path();
        self.index.trees().sync(folder).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        copy(folder, elsewhere.path());
        let mark = Index::read_mark(elsewhere.path()).unwrap();
        let index = Index::open(elsewhere.path()).unwrap();
        assert!(index.verify(&mark).unwrap().is_some());
        index.kept.note_time(Timestamp::from_millis(self.now));
        // Everything from the mark on is applied again by a start, and is there already.
        index.tally.lock().entries = self.seq;
        (self.index, self.folder) = (index, elsewhere);
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whenever_a_crash_comes_the_index_is_what_its_mark_says(steps in steps()) {
        let mut watched = Watched::begin();
        for step in &steps {
            watched.does(step);
        }
        watched.crash();
    }
}

#[test]
fn a_mark_that_the_disk_did_not_take_leaves_the_one_before_it_good() {
    let mut watched = Watched::begin();
    watched.does(&Step::Change(1, None));
    watched.does(&Step::Mark);
    watched.does(&Step::Change(1, None));
    watched.does(&Step::Fail);
    watched.does(&Step::Change(1, None));
    watched.does(&Step::Fail);
    watched.does(&Step::Change(1, None));
    watched.crash();
}

#[test]
fn what_changes_while_a_mark_is_made_leaves_the_one_before_it_good() {
    let mut watched = Watched::begin();
    watched.does(&Step::Change(1, Some((1, 1))));
    watched.does(&Step::Mark);
    watched.does(&Step::Change(1, Some((1, 1))));
    watched.does(&Step::Change(2, None));
    watched.does(&Step::Wait(3));
    watched.does(&Step::Begin);
    watched.does(&Step::Change(1, Some((1, 1))));
    watched.does(&Step::Change(2, None));
    watched.crash();
}
