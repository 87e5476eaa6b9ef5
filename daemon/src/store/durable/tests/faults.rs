//! Disks that fail or are full, and times that go back.

use std::os::unix::fs::MetadataExt as _;

use super::*;
use crate::store::durable::frame::FrameItem;
use crate::store::durable::journal::{self, Journal, Position, SEGMENT_BYTES};
use crate::store::durable::output::Output;

/// A disk that fails, with an error of the operating system, when it is written to or synced.
struct Failing {
    append: Option<i32>,
    sync: Option<i32>,
}

fn result(errno: Option<i32>) -> std::io::Result<()> {
    errno.map_or(Ok(()), |it| Err(std::io::Error::from_raw_os_error(it)))
}

impl Output for Failing {
    fn append(&mut self, _bytes: &[u8]) -> std::io::Result<()> {
        result(self.append)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        result(self.sync)
    }
}

/// A disk that claims no room, because it has none.
struct Full(fs::File);

impl Output for Full {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        Output::append(&mut self.0, bytes)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        Output::sync(&mut self.0)
    }

    fn claim(&mut self, disk: &room::Disk, _from: u64, _to: u64) -> bool {
        disk.ran_out();
        true
    }
}

#[tokio::test]
async fn each_call_that_may_fail_is_named_with_its_file_its_error_and_what_to_do() {
    let segment = "00000000000000000001.journal";
    for (errno, word) in [
        (5, "sound disk"),
        (28, "make room"),
        (30, "read-only"),
        (27, "LimitFSIZE"),
    ] {
        for (append, sync, call) in [
            (Some(errno), None, "write to"),
            (None, Some(errno), "fdatasync of"),
        ] {
            let root = tempfile::tempdir().unwrap();
            let options = crashed(root.path(), 1).await;
            let store = JournaledStore::open_with(&options, open::Trust::HeadFile, |journal| {
                journal.set_output(Box::new(Failing { append, sync }));
            })
            .unwrap();
            assert!(store.commit(register(1)).await.is_err());
            let failure = store.status().failure.unwrap();
            let os_error = format!("os error {errno}");
            for part in [call, segment, &os_error, word, "restart the daemon"] {
                assert!(failure.contains(part), "{part}: {failure}");
            }
            store.shutdown();
        }
    }
}

#[tokio::test]
async fn a_disk_that_has_no_block_left_takes_nothing_that_grows_and_what_takes_power_away() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 1).await;
    let file = fs::File::options()
        .append(true)
        .open(segment(&options))
        .unwrap();
    let store = JournaledStore::open_with(&options, open::Trust::HeadFile, |journal| {
        journal.set_output(Box::new(Full(file)));
        journal.keep_room(Arc::new(room::Disk::new(1 << 20)));
    })
    .unwrap();
    // The journal has its own disk here: what the store knows of is not low.
    assert!(!store.is_low_on_space());
    // The keeper looks too, and may find in between that there is room.
    let mut count = 1;
    let refused = loop {
        store.state.disk.ran_out();
        match store.commit(register(count)).await {
            Ok(_) if count < 100 => count += 1,
            outcome => break outcome,
        }
    };
    assert!(matches!(refused, Err(CommitError::LowOnSpace)));
    for action in [
        Action::AgentSuspend,
        Action::CredentialRevoke,
        Action::KeyRevoke,
    ] {
        store.commit(Commit::new(entry(action))).await.unwrap();
    }
    store.state.disk.look(&options.path).unwrap();
    store.commit(register(count)).await.unwrap();
    drop(store);
    let found = emails(&JournaledStore::open(&options).unwrap()).len();
    assert_eq!(found as u64, count + 1);
}

#[tokio::test]
async fn an_index_is_not_copied_into_room_that_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 1).await;
    // More than any disk has.
    let reserve = 1 << 60;
    let low = StoreOptions {
        reserve,
        ..options.clone()
    };
    let store = JournaledStore::open(&low).unwrap();
    assert!(matches!(
        store.commit(Commit::new(entry(Action::StoreCompact))).await,
        Err(CommitError::LowOnSpace)
    ));
    let refused = store.compact().unwrap();
    assert!(refused.unwrap_err().to_string().contains("make room"));
    assert!(!options.path.join("index").join(database::NAMES[1]).exists());
    let revoke = Commit::new(entry(Action::KeyRevoke));
    store.commit(revoke).await.unwrap();
    store.shutdown();
    drop(store);
    JournaledStore::compact_closed(&options).unwrap();
    assert_eq!(emails(&JournaledStore::open(&options).unwrap()).len(), 1);
}

#[tokio::test]
async fn a_head_file_that_cannot_be_written_is_told_and_holds_nothing_up() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 1).await;
    let store = JournaledStore::open(&options).unwrap();
    // The keeper begins with writing it.
    let mut headed = store.headed();
    headed.wait_for(|edge| edge.size() > 0).await.unwrap();
    // What is written aside first is in the way.
    let aside = options.head_file.with_extension("new");
    // The keeper may be writing it at this moment; then it has its name soon.
    while fs::create_dir(&aside).is_err() {
        std::thread::yield_now();
    }
    let troubles = |store: &JournaledStore| store.status().troubles;
    while troubles(&store).is_empty() {
        store
            .commit(Commit::new(entry(Action::TokenIssue)))
            .await
            .unwrap();
    }
    let told = troubles(&store);
    assert!(
        told[0].contains("head file") && told[0].contains("/head failed"),
        "{told:?}"
    );
    fs::remove_dir(&aside).unwrap();
    while !troubles(&store).is_empty() {
        store
            .commit(Commit::new(entry(Action::TokenIssue)))
            .await
            .unwrap();
    }
    store.shutdown();
}

#[tokio::test]
async fn entries_are_dated_in_their_order() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 0).await;
    let dated = |millis| {
        let mut entry = entry(Action::TokenIssue);
        entry.time = Timestamp::from_millis(millis);
        Commit::new(entry)
    };
    let times = |store: &JournaledStore| {
        let entries = store.entries_from(1, 100).unwrap();
        let time = |it: &StoredEntry| {
            let entry: agentidp_shared::Entry = serde_json::from_slice(&it.json).unwrap();
            entry.time.as_millis()
        };
        entries.iter().map(time).collect::<Vec<_>>()
    };
    let later = 4_000_000_000_000;
    for (number, millis) in [later, later - 5, later + 1].into_iter().enumerate() {
        let store = JournaledStore::open(&options).unwrap();
        store.commit(dated(millis)).await.unwrap();
        assert_eq!(times(&store).len(), number + 1);
        store.shutdown();
    }
    // An operator who accepts the store as it is says that its times were wrong.
    let store = JournaledStore::open_accepting(&options).unwrap();
    store.commit(dated(later - 9)).await.unwrap();
    assert_eq!(times(&store), [later, later, later + 1, later - 9]);
    store.shutdown();
}

#[tokio::test]
async fn after_a_failed_write_nothing_is_acknowledged_and_reading_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 2).await;
    let store = JournaledStore::open_with(&options, open::Trust::HeadFile, |journal| {
        let (append, sync) = (Some(28), None);
        journal.set_output(Box::new(Failing { append, sync }));
    })
    .unwrap();
    for number in 2..4 {
        let refused = store.commit(register(number)).await;
        assert!(
            matches!(&refused, Err(CommitError::Unavailable(cause)) if cause.contains("No space")),
            "{refused:?}"
        );
    }
    assert!(store.status().failure.is_some());
    assert_eq!(emails(&store), ["a1@acme.example", "a0@acme.example"]);
    drop(store);
    assert_eq!(emails(&JournaledStore::open(&options).unwrap()).len(), 2);
}

/// A journal by itself, with room claimed ahead of its end.
struct Alone {
    root: tempfile::TempDir,
    journal: Journal,
}

const ALONE: StoreId = StoreId::from_bytes([7; 16]);
/// What is claimed ahead: a quarter of the reserve.
const CLAIM: u64 = 8 << 20;

impl Alone {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        Journal::create(&root.path().join("journal"), ALONE).unwrap();
        Self {
            journal: Self::open(root.path()),
            root,
        }
    }

    fn open(root: &Path) -> Journal {
        let folder = root.join("journal");
        let end = journal::scan(&folder, ALONE, 1, &mut |_| Ok(())).unwrap();
        let mut journal = Journal::open(&folder, ALONE, &end).unwrap();
        journal.keep_room(Arc::new(room::Disk::new(4 * CLAIM)));
        journal
    }

    fn segments(&self) -> Vec<PathBuf> {
        let found = journal::segments(&self.root.path().join("journal")).unwrap();
        found.into_iter().map(|(_, path)| path).collect()
    }

    /// Appends until the present segment takes no more.
    fn fill(&mut self) {
        let large = FrameItem {
            entry: vec![b'x'; 4 << 20].into(),
            change: None,
            kept: None,
        };
        for _ in 0..SEGMENT_BYTES / (4 << 20) {
            self.journal.append(std::slice::from_ref(&large)).unwrap();
        }
    }

    fn append(&mut self) -> Position {
        let small = FrameItem {
            entry: "{}".into(),
            change: None,
            kept: None,
        };
        self.journal.append(&[small]).unwrap()
    }

    /// How many bytes a file has on the disk beyond its length.
    fn beyond(path: &Path) -> u64 {
        let found = fs::metadata(path).unwrap();
        (found.blocks() * 512).saturating_sub(found.len())
    }
}

#[test]
fn a_full_segment_gives_back_the_room_that_was_claimed_behind_it() {
    let mut it = Alone::new();
    it.fill();
    let [first] = it.segments().try_into().unwrap();
    assert!(Alone::beyond(&first) >= CLAIM / 2);
    it.append();
    assert_eq!(it.segments().len(), 2);
    assert!(
        Alone::beyond(&first) < CLAIM / 8,
        "{}",
        Alone::beyond(&first)
    );
    // Where a crash came before that, the next start does it.
    let length = fs::metadata(&first).unwrap().len();
    let file = fs::File::options().write(true).open(&first).unwrap();
    assert!(room::Disk::new(4 * CLAIM).claim_in(&file, length, length + CLAIM));
    drop(file);
    assert!(Alone::beyond(&first) >= CLAIM);
    let whole = fs::read(&first).unwrap();
    it.journal = Alone::open(it.root.path());
    assert!(
        Alone::beyond(&first) < CLAIM / 8,
        "{}",
        Alone::beyond(&first)
    );
    assert!(fs::read(&first).unwrap() == whole);
}

#[test]
fn where_no_new_segment_can_be_made_the_present_one_takes_more() {
    let mut it = Alone::new();
    it.fill();
    let next = it.journal.position().frame + 1;
    // What the new one is made as, before it has its name, is in the way.
    let folder = it.root.path().join("journal");
    let aside = folder.join(format!("{next:020}.new"));
    fs::create_dir(&aside).unwrap();
    it.append();
    assert_eq!(it.segments().len(), 1);
    fs::remove_dir(&aside).unwrap();
    let last = it.append();
    assert_eq!(it.segments().len(), 2);
    let end = journal::scan(&folder, ALONE, 1, &mut |_| Ok(())).unwrap();
    assert_eq!(end.position, last);
}
