//! Checks, compaction, and care for sled.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use agentidp_shared::{Action, OrganizationId};

use super::*;
use crate::store::suite::{agent, credential, entry, keep, organization, token};

/// A store with some of everything, with several bundles of entries, that was shut down.
async fn full(root: &Path) -> StoreOptions {
    let options = create(root);
    let store = JournaledStore::open(&options).unwrap();
    fill(&store, 0, 300).await;
    store.shutdown();
    options
}

async fn fill(store: &JournaledStore, from: u64, count: u64) {
    for number in from..from + count {
        store.commit(register(number)).await.unwrap();
        if number % 10 == 0 {
            let secret = Record::Credential(credential(number, number, 1));
            let issue = Commit::new(entry(Action::CredentialIssue)).put(secret);
            store.commit(issue).await.unwrap();
            let seq = i64::try_from(number).unwrap();
            let issued = token(number, number, 1_000 + seq);
            store.commit(Commit::new(issued)).await.unwrap();
        }
        if number % 50 == 0 {
            let number = u8::try_from(number / 50).unwrap();
            store
                .commit(keep(number, b"body", 1_000, 900_000))
                .await
                .unwrap();
        }
    }
}

fn id_of(number: u64) -> String {
    agent(number, "a@b.example", 1).id.to_string()
}

#[tokio::test]
async fn a_changed_a_lost_and_a_rolled_back_record_are_named() {
    let root = tempfile::tempdir().unwrap();
    let options = full(root.path()).await;
    let store = JournaledStore::open(&options).unwrap();
    let seq_of = |number| {
        let stored = store.agent(agent(number, "a@b.example", 1).id).unwrap();
        stored.unwrap().audit_seq
    };
    let (lost, seq, theirs) = (seq_of(5), seq_of(7), seq_of(9));
    let suspended = agent(7, "a7@acme.example", 2);
    let change = Commit::new(entry(Action::AgentSuspend)).put(Record::Agent(suspended));
    let changed = store.commit(change).await.unwrap().seq;
    store.shutdown();
    drop(store);
    assert_eq!(found(&options), Vec::<String>::new());

    // As someone would who can write the index's files.
    let index = index::Index::open(&options.path.join("index")).unwrap();
    let trees = index.trees();
    let key = |number| places::key_of(&Record::Agent(agent(number, "a@b.example", 1)));
    trees.records.remove(key(5)).unwrap();
    let old = Record::Agent(agent(7, "a7@acme.example", 1));
    // What is there of a later entry stays.
    trees.records.remove(key(7)).unwrap();
    index
        .apply(
            Some((&old, &crate::store::form::encode(&old).unwrap())),
            &[],
            seq,
        )
        .unwrap();
    let forged = Record::Agent(agent(9, "other@acme.example", 1));
    index
        .apply(
            Some((&forged, &crate::store::form::encode(&forged).unwrap())),
            &[],
            theirs,
        )
        .unwrap();
    let stranger = Record::Agent(agent(9_999, "stranger@acme.example", 1));
    index
        .apply(
            Some((&stranger, &crate::store::form::encode(&stranger).unwrap())),
            &[],
            3,
        )
        .unwrap();
    drop((trees, index));

    let findings = found(&options).join("\n");
    for expected in [
        format!("agent {} (entry {lost}): the record is not there", id_of(5)),
        format!(
            "agent {} (entry {changed}): the record was put back: it is as entry {seq} left it",
            id_of(7)
        ),
        format!(
            "agent {} (entry {theirs}): the record was changed",
            id_of(9)
        ),
        format!("agent {} (entry 3): the record was put there", id_of(9_999)),
    ] {
        assert!(findings.contains(&expected), "{expected}: {findings}");
    }
    assert_eq!(findings.lines().count(), 4, "{findings}");

    JournaledStore::rebuild(&options).unwrap();
    assert!(was_set_aside(&options));
    assert_eq!(found(&options), Vec::<String>::new());
}

#[tokio::test]
async fn lost_and_invented_uses_tiles_and_names_are_found() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    let store = JournaledStore::open(&options).unwrap();
    fill(&store, 0, 300).await;
    let acme = Record::Organization(organization(1, "acme", 1));
    let made = Commit::new(entry(Action::OrganizationCreate)).put(acme);
    store.commit(made).await.unwrap();
    store.shutdown();
    drop(store);
    let index = index::Index::open(&options.path.join("index")).unwrap();
    let trees = index.trees();
    let (key, _) = trees.usage.first().unwrap().unwrap();
    trees.usage.remove(key).unwrap();
    let (key, _) = trees.usage.last().unwrap().unwrap();
    trees.usage.insert(key, &[1; 24]).unwrap();
    let (key, _) = trees.tiles.first().unwrap().unwrap();
    trees.tiles.insert(key, vec![7; 32 * 256]).unwrap();
    trees.names.remove("acme").unwrap();
    let nobody = OrganizationId::from_bytes([9; 16]);
    trees.names.insert("other", nobody.as_bytes()).unwrap();
    let summary = bundle::Summary::new();
    trees
        .summaries
        .insert(0_u64.to_be_bytes(), summary.as_bytes())
        .unwrap();
    drop((trees, index));
    let findings = found(&options).join("\n");
    for expected in [
        "its uses are not counted",
        "and the log says something else",
        "index: tile 0/0: it is not there",
        "it is not found by its name, acme",
        "index: name other: the name is that of no organization",
        "what finds the entries 0 to 255 is not theirs",
    ] {
        assert!(findings.contains(expected), "{expected}: {findings}");
    }
}

#[tokio::test]
async fn a_store_in_use_is_checked_while_it_is_written() {
    let root = tempfile::tempdir().unwrap();
    let options = full(root.path()).await;
    let store = Arc::new(JournaledStore::open(&options).unwrap());
    let is_over = Arc::new(AtomicBool::new(false));
    let (checked, over) = (Arc::clone(&store), Arc::clone(&is_over));
    let checking = tokio::task::spawn_blocking(move || {
        let now = Timestamp::from_millis(2_000);
        let reports: Vec<_> = (0..3)
            .map(|_| checked.check_in_use(now).unwrap().unwrap())
            .collect();
        over.store(true, Ordering::Relaxed);
        reports
    });
    let mut from = 1_000;
    while !is_over.load(Ordering::Relaxed) && from < 3_000 {
        fill(&store, from, 10).await;
        tokio::task::yield_now().await;
        from += 10;
    }
    for report in checking.await.unwrap() {
        assert!(report.is_sound(), "{:?}", report.findings);
        assert!(report.entries > 300);
    }
    let last = store.status().upkeep.checked.unwrap();
    assert_eq!((last.findings, last.first), (0, None));

    let trees = store.state.index.trees();
    let key = places::key_of(&Record::Agent(agent(5, "a@b.example", 1)));
    trees.records.remove(key).unwrap();
    let report = store
        .check_in_use(Timestamp::from_millis(3_000))
        .unwrap()
        .unwrap();
    assert!(report.is_index_only() && report.findings.len() == 1);
    assert_eq!(report.findings[0].id, Some(id_of(5)));
    store.distrust_index().unwrap();
    store.shutdown();
    drop((trees, store));
    // The next start made it anew.
    let store = JournaledStore::open(&options).unwrap();
    assert!(
        store
            .agent(agent(5, "a@b.example", 1).id)
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn what_had_expired_before_the_clock_was_set_back_is_not_missed() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    for (key, time) in [(1, 1_000), (2, 500_000), (3, 2_000)] {
        let store = JournaledStore::open(&options).unwrap();
        let kept = keep(key, b"body", time, time + 30_000);
        store.commit(kept).await.unwrap();
        store.shutdown();
    }
    assert_eq!(found(&options), Vec::<String>::new());
}

#[tokio::test]
async fn compaction_loses_nothing_of_what_is_written_meanwhile_and_takes_room_back() {
    let root = tempfile::tempdir().unwrap();
    let options = full(root.path()).await;
    let store = Arc::new(JournaledStore::open(&options).unwrap());
    let is_over = Arc::new(AtomicBool::new(false));
    let (compacted, over) = (Arc::clone(&store), Arc::clone(&is_over));
    let compacting = tokio::task::spawn_blocking(move || {
        for _ in 0..4 {
            compacted.compact().unwrap().unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
    let mut from = 1_000;
    while !is_over.load(Ordering::Relaxed) && from < 5_000 {
        fill(&store, from, 10).await;
        tokio::task::yield_now().await;
        from += 10;
    }
    compacting.await.unwrap();
    let report = store
        .check_in_use(Timestamp::from_millis(2_000))
        .unwrap()
        .unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    let (bytes, used) = store.state.index.sizes();
    assert!(used > 0 && used <= bytes, "{used} of {bytes}");
    let folder = options.path.join("index");
    let databases = database::NAMES
        .iter()
        .filter(|name| folder.join(name).exists());
    assert_eq!(databases.count(), 1);
    // A crash, a check, and a start in order.
    let before = emails(&store);
    drop(store);
    assert_eq!(found(&options), Vec::<String>::new());
    let store = JournaledStore::open(&options).unwrap();
    assert!(!was_set_aside(&options));
    assert_eq!(emails(&store), before);
    store.shutdown();
    drop(store);
    JournaledStore::compact_closed(&options).unwrap();
    assert_eq!(found(&options), Vec::<String>::new());
    let store = JournaledStore::open(&options).unwrap();
    assert!(!was_set_aside(&options));
    assert_eq!(emails(&store), before);
}

#[tokio::test]
async fn a_copy_that_was_cut_off_is_removed_and_the_old_index_used() {
    let root = tempfile::tempdir().unwrap();
    let options = full(root.path()).await;
    let store = JournaledStore::open(&options).unwrap();
    let before = emails(&store);
    let disk = &store.state.disk;
    store.state.index.copy(&Progress::default(), disk).unwrap();
    // A crash between the copy and its use.
    drop(store);
    let folder = options.path.join("index");
    assert!(folder.join(database::NAMES[1]).exists());
    let store = JournaledStore::open(&options).unwrap();
    assert!(!folder.join(database::NAMES[1]).exists());
    assert!(!was_set_aside(&options));
    assert_eq!(emails(&store), before);
}

#[tokio::test]
async fn an_index_that_kills_whoever_opens_it_is_set_aside_after_an_unclean_end() {
    let root = tempfile::tempdir().unwrap();
    let mut options = crashed(root.path(), 3).await;
    options.trial = Some(|_| {
        let mut command = Command::new("sh");
        command.args(["-c", "kill -ABRT $$"]);
        Ok(command)
    });
    let store = JournaledStore::open(&options).unwrap();
    assert!(store.was_unclean && was_set_aside(&options));
    assert_eq!(emails(&store).len(), 3);
    store.shutdown();
    drop(store);
    // In order it was closed, and is opened at once.
    let store = JournaledStore::open(&options).unwrap();
    assert!(!store.was_unclean);
}

#[tokio::test]
async fn half_a_snapshot_is_removed() {
    let root = tempfile::tempdir().unwrap();
    let options = full(root.path()).await;
    let half = options
        .path
        .join("index/sled/snap.0000000000000001.generating");
    fs::write(&half, b"half a snapshot").unwrap();
    let store = JournaledStore::open(&options).unwrap();
    assert!(!was_set_aside(&options) && !half.exists());
    assert_eq!(emails(&store).len(), 300);
}

#[tokio::test]
async fn a_journal_cut_off_at_any_byte_of_its_last_frames_opens_with_all_that_was_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 3).await;
    let head = fs::read(&options.head_file).unwrap();
    let mut ends = vec![fs::metadata(segment(&options)).unwrap().len()];
    for number in 3..6 {
        let store = JournaledStore::open(&options).unwrap();
        store.commit(register(number)).await.unwrap();
        drop(store);
        ends.push(fs::metadata(segment(&options)).unwrap().len());
    }
    let whole = fs::read(segment(&options)).unwrap();
    let index = options.path.join("index");
    for length in ends[0]..ends[3] {
        let length = usize::try_from(length).unwrap();
        fs::write(segment(&options), &whole[..length]).unwrap();
        fs::write(&options.head_file, &head).unwrap();
        let _ = fs::remove_dir_all(&index);
        let store = JournaledStore::open(&options).unwrap();
        let acknowledged = ends.iter().filter(|end| **end <= length as u64).count();
        assert_eq!(emails(&store).len(), 2 + acknowledged, "{length}");
    }
}

#[tokio::test]
async fn one_flipped_bit_in_the_last_frame_is_not_taken_for_a_torn_write() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 3).await;
    let before = fs::metadata(segment(&options)).unwrap().len();
    let head = fs::read(&options.head_file).unwrap();
    let store = JournaledStore::open(&options).unwrap();
    store.commit(register(3)).await.unwrap();
    drop(store);
    let whole = fs::read(segment(&options)).unwrap();
    fs::write(&options.head_file, head).unwrap();
    for bit in usize::try_from(before).unwrap() * 8..whole.len() * 8 {
        let mut changed = whole.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        fs::write(segment(&options), &changed).unwrap();
        let error = open_error(&options);
        assert!(error.contains("is damaged at byte"), "bit {bit}: {error}");
        assert!(error.contains("one bit"), "bit {bit}: {error}");
        assert_eq!(fs::read(segment(&options)).unwrap(), changed);
    }
}

#[test]
fn what_shrinks_leaves_nothing_of_the_larger_one_behind() {
    let root = tempfile::tempdir().unwrap();
    let index = index::Index::open(root.path()).unwrap();
    let summary = bundle::Summary::new();
    for (number, length) in [50_000, 20_000, 6_145, 6_144, 100].into_iter().enumerate() {
        let packed = vec![u8::try_from(number).unwrap(); length];
        index.put_bundle(3, &packed, &summary).unwrap();
        assert_eq!(index.bundle(3).unwrap(), packed, "{length}");
    }
    let sized = |count: usize, revision| {
        let mut agent = agent(1, "a1@acme.example", revision);
        let metadata: std::collections::BTreeMap<_, _> = (0..count)
            .map(|name| (format!("m{name}"), "x".repeat(2_000)))
            .collect();
        agent.metadata = metadata.try_into().unwrap();
        Record::Agent(agent)
    };
    let key = places::key_of(&sized(0, 1));
    for (seq, count) in (0..).zip([20, 9, 1, 30, 0]) {
        let record = sized(count, seq + 1);
        let stored = crate::store::form::encode(&record).unwrap();
        let parts = match stored.len() {
            0..=6_144 => 0,
            length => length.div_ceil(6_144),
        };
        index.apply(Some((&record, &stored)), &[], seq).unwrap();
        assert_eq!(index.trees().parts.len(), parts, "{count}");
        assert_eq!(index.get(&key).unwrap().unwrap().record, record, "{count}");
    }
}

#[tokio::test]
async fn a_check_that_would_take_what_is_kept_for_revocations_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let options = full(root.path()).await;
    assert_eq!(found(&options), Vec::<String>::new());
    let reserve = u64::MAX / 2;
    let greedy = StoreOptions {
        reserve,
        ..options.clone()
    };
    let error = check(&greedy).unwrap_err().to_string();
    assert!(error.contains("no room for a copy of the index"), "{error}");
    let left = fs::read_dir(&options.path).unwrap().flatten();
    let copies = left.filter(|it| it.file_name().to_string_lossy().starts_with(Layout::COPY));
    assert_eq!(copies.count(), 0);
}

/// A sink that tells which sections it is given.
struct Sections(std::sync::mpsc::Sender<String>);

impl image::Sink for Sections {
    fn section(&mut self, name: &str) -> Result<(), image::ImageError> {
        let _ = self.0.send(name.to_owned());
        Ok(())
    }

    fn pair(&mut self, _: &[u8], _: &[u8]) -> Result<(), image::ImageError> {
        Ok(())
    }
}

#[tokio::test]
async fn an_image_ends_with_no_frame_of_which_it_has_only_a_part() {
    /// How long the image goes on, if it does, while a frame is being applied.
    const WHILE: std::time::Duration = std::time::Duration::from_millis(300);
    let root = tempfile::tempdir().unwrap();
    let store = JournaledStore::open(&create(root.path())).unwrap();
    fill(&store, 0, 3).await;
    // With it the keeper has nothing to do any more that would wait for a frame too.
    let (sender, _ignored) = std::sync::mpsc::channel();
    store.write_image(&mut Sections(sender)).unwrap();
    let (sender, sections) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        // As while a frame is applied.
        let being_applied = store.state.tree.lock();
        let making = scope.spawn(|| store.write_image(&mut Sections(sender)));
        let is_frames = |name: String| name == image::section::FRAMES;
        while let Ok(name) = sections.recv_timeout(WHILE) {
            assert!(!is_frames(name), "it did not wait for the frame");
        }
        drop(being_applied);
        assert!(making.join().unwrap().is_ok());
        assert!(sections.iter().any(is_frames));
    });
}
