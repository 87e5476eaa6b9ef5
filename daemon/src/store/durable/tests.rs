//! The suite on this store, and what only this one does: surviving.

use std::fs;
use std::path::{Path, PathBuf};

use agentidp_shared::merkle::{Checkpoint, LogKey};
use agentidp_shared::{Action, StoreId, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::store::model::ModelStore;
use crate::store::suite::queries::{assert_answered_alike, queries};
use crate::store::suite::steps::{assert_alike, do_to_both, steps};
use crate::store::suite::{agent, entry, every_store, newest};

mod faults;
mod flips;
mod holds;
mod integrity;
mod marked;
pub(crate) mod pruning;
mod scale;

fn options(root: &Path) -> StoreOptions {
    let now = Timestamp::from_millis(1_795_258_900_735);
    StoreOptions {
        reserve: 1 << 20,
        ..StoreOptions::new(root.join("store"), root.join("head"), now)
    }
}

fn create(root: &Path) -> StoreOptions {
    let options = options(root);
    let (id, now) = (StoreId::from_bytes([7; 16]), Timestamp::from_millis(1));
    let first = Commit::new(entry(Action::StoreInit));
    JournaledStore::create(&options, id, now, first, &log_key()).unwrap();
    options
}

/// What signs the logs of these stores.
pub(crate) fn log_key() -> LogKey {
    LogKey::from_seed("log".to_owned(), &[1; 32]).unwrap()
}

impl JournaledStore {
    /// Closes it in good order, as the daemon does: with a checkpoint of all that it has.
    pub(crate) fn shutdown(&self) {
        self.finish();
        let tree = self.tree();
        let checkpoint = Checkpoint::new("log".to_owned(), tree.size(), tree.root());
        let note = checkpoint.sign(&log_key()).unwrap().to_string();
        self.keep_checkpoint(&note).unwrap();
        self.end();
    }
}

fn fresh() -> (JournaledStore, tempfile::TempDir) {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    (JournaledStore::open(&options).unwrap(), root)
}

every_store!(fresh());

/// Has a store take no more writes, as after an error of its disk.
pub(crate) fn fail(store: &JournaledStore, cause: &str) {
    *store.state.failure.write() = Some(cause.to_owned());
}

fn register(number: u64) -> Commit {
    let agent = agent(number, &format!("a{number}@acme.example"), 1);
    Commit::new(entry(Action::AgentRegister)).put(Record::Agent(agent))
}

/// A store of `count` agents, each in a frame of its own, left as a crash leaves it.
async fn crashed(root: &Path, count: u64) -> StoreOptions {
    let options = create(root);
    let store = JournaledStore::open(&options).unwrap();
    for number in 0..count {
        store.commit(register(number)).await.unwrap();
    }
    options
}

fn segment(options: &StoreOptions) -> PathBuf {
    options
        .path
        .join("journal")
        .join("00000000000000000001.journal")
}

fn open_error(options: &StoreOptions) -> String {
    JournaledStore::open(options)
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

/// What a check finds, in words.
fn found(options: &StoreOptions) -> Vec<String> {
    let report = check(options).unwrap();
    report.findings.iter().map(ToString::to_string).collect()
}

/// Whether an index was set aside.
fn was_set_aside(options: &StoreOptions) -> bool {
    let names = fs::read_dir(&options.path).unwrap();
    names
        .map(|entry| entry.unwrap().file_name())
        .any(|name| name.to_string_lossy().starts_with(care::ASIDE))
}

fn emails(store: &JournaledStore) -> Vec<String> {
    store
        .agents(&newest(None, 1_000))
        .unwrap()
        .agents
        .iter()
        .map(|stored| stored.record.email.to_string())
        .collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_the_model_does_also_after_a_crash_and_without_its_index(
        parts in prop::collection::vec(steps(), 4),
        queries in prop::collection::vec(queries(), 40),
    ) {
        let root = tempfile::tempdir().unwrap();
        let options = create(root.path());
        let model = ModelStore::new();
        let is_like = |store: &JournaledStore, model: &ModelStore| {
            assert_alike(store, model);
            for query in &queries {
                assert_answered_alike(store, query, model);
            }
        };
        runtime().block_on(async {
            model.commit(Commit::new(entry(Action::StoreInit))).await.unwrap();
            let store = JournaledStore::open(&options).unwrap();
            do_to_both(&store, &parts[0], &model).await;
            is_like(&store, &model);
            // A crash some time after the index was marked.
            store.state.flush(store.id).unwrap();
            do_to_both(&store, &parts[1], &model).await;
            drop(store);
            let store = JournaledStore::open(&options).unwrap();
            assert!(!was_set_aside(&options), "the index was made anew");
            is_like(&store, &model);
            do_to_both(&store, &parts[2], &model).await;
            store.shutdown();
            drop(store);
            assert_eq!(found(&options), Vec::<String>::new());
            let store = JournaledStore::open(&options).unwrap();
            assert!(!was_set_aside(&options), "the index was made anew");
            is_like(&store, &model);
            do_to_both(&store, &parts[3], &model).await;
            is_like(&store, &model);
            drop(store);
            fs::remove_dir_all(options.path.join("index")).unwrap();
            let store = JournaledStore::open(&options).unwrap();
            is_like(&store, &model);
            store.shutdown();
        });
        prop_assert_eq!(found(&options), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_write_cut_off_at_any_byte_loses_nothing_before_it() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 3).await;
    let whole = fs::read(segment(&options)).unwrap();
    // The head of before the last write: what is cut off had not been acknowledged.
    let head = fs::read(&options.head_file).unwrap();
    let store = JournaledStore::open(&options).unwrap();
    store.commit(register(3)).await.unwrap();
    drop(store);
    let longer = fs::read(segment(&options)).unwrap();
    fs::remove_dir_all(options.path.join("index")).unwrap();
    for length in (whole.len()..longer.len()).step_by(7) {
        fs::write(segment(&options), &longer[..length]).unwrap();
        fs::write(&options.head_file, &head).unwrap();
        let store = JournaledStore::open(&options).unwrap();
        assert_eq!(
            emails(&store),
            ["a2@acme.example", "a1@acme.example", "a0@acme.example"],
            "{length}"
        );
        drop(store);
        assert_eq!(fs::read(segment(&options)).unwrap().len(), whole.len());
    }
}

#[tokio::test]
async fn zeros_behind_the_last_frame_are_a_write_that_never_was() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 2).await;
    let whole = fs::read(segment(&options)).unwrap();
    for count in [1, 8, 100, 4_096] {
        fs::write(segment(&options), [whole.clone(), vec![0; count]].concat()).unwrap();
        assert_eq!(open_error(&options), "", "{count} zeros");
        assert_eq!(fs::read(segment(&options)).unwrap(), whole);
    }
}

#[tokio::test]
async fn a_journal_without_its_first_segment_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 2).await;
    let folder = options.path.join("journal");
    // It begins after all that the head file can name, however far that had got.
    fs::rename(
        segment(&options),
        folder.join("00000000000000000099.journal"),
    )
    .unwrap();
    let error = open_error(&options);
    assert!(
        error.contains("the segments before it are missing"),
        "{error}"
    );
}

#[tokio::test]
async fn a_check_finds_a_bundle_of_the_log_that_says_something_else() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    let store = JournaledStore::open(&options).unwrap();
    for number in 0..600 {
        store.commit(register(number)).await.unwrap();
    }
    let mut forged = store.entries_from(256, 256).unwrap();
    store.shutdown();
    drop(store);
    assert_eq!(found(&options), Vec::<String>::new());
    forged[3].json = forged[4].json.clone();
    let index = index::Index::open(&options.path.join("index")).unwrap();
    let packed = bundle::pack(1, &forged).unwrap();
    let summary = index.summary(1).unwrap();
    let summary = bundle::Summary::from_bytes(&summary);
    index.put_bundle(1, &packed, &summary).unwrap();
    drop(index);
    let findings = found(&options);
    assert!(
        matches!(findings.as_slice(), [only] if only == "index: entry 259: it is not the entry that was written"),
        "{findings:?}"
    );
}

#[tokio::test]
async fn an_index_of_an_earlier_form_hides_no_entry() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    let store = JournaledStore::open(&options).unwrap();
    let organization = OrganizationId::from_bytes([3; 16]);
    for _ in 0..300 {
        let mut entry = entry(Action::AgentRegister);
        entry.organization_id = Some(organization);
        store.commit(Commit::new(entry)).await.unwrap();
    }
    let packed = store.state.index.bundle(0).unwrap();
    store.shutdown();
    drop(store);
    let folder = options.path.join("index");
    let index = index::Index::open(&folder).unwrap();
    index
        .put_bundle(0, &packed, &bundle::Summary::new())
        .unwrap();
    drop(index);
    // Marks had no form before there was a second one.
    let path = folder.join("mark.json");
    let mut mark: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    mark.as_object_mut().unwrap().remove("form");
    fs::write(&path, mark.to_string()).unwrap();

    let store = JournaledStore::open(&options).unwrap();
    let filter = EntryFilter {
        organizations: Some([organization].into()),
        ..EntryFilter::default()
    };
    let page = store.entries_before(None, &filter, 1_000).unwrap();
    assert_eq!(page.entries.len(), 300);
}

#[tokio::test]
async fn damage_anywhere_in_the_index_never_turns_a_record_back() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    let store = JournaledStore::open(&options).unwrap();
    for number in 0..300 {
        store.commit(register(number)).await.unwrap();
    }
    store.state.flush(store.id).unwrap();
    for number in 0..300 {
        let changed = agent(number, &format!("a{number}@acme.example"), 2);
        let commit = Commit::new(entry(Action::AgentSuspend)).put(Record::Agent(changed));
        store.commit(commit).await.unwrap();
    }
    store.shutdown();
    drop(store);
    let index = options.path.join("index");
    let sound = tempfile::tempdir().unwrap();
    check::copy_folder(&index, sound.path()).unwrap();
    let db = index.join("sled").join("db");
    let whole = fs::read(&db).unwrap();
    let step = whole.len() / 40;
    for at in (0..whole.len()).step_by(step) {
        fs::remove_dir_all(&index).unwrap();
        fs::create_dir(&index).unwrap();
        check::copy_folder(sound.path(), &index).unwrap();
        let mut changed = whole.clone();
        changed[at] ^= 4;
        changed.truncate(if at / step % 4 == 3 { at } else { whole.len() });
        fs::write(&db, changed).unwrap();
        let store = JournaledStore::open(&options).unwrap();
        let agents = store.agents(&newest(None, 1_000)).unwrap().agents;
        assert_eq!(agents.len(), 300, "byte {at}");
        assert!(
            agents.iter().all(|stored| stored.record.revision == 2),
            "byte {at}"
        );
        drop(store);
    }
}

#[test]
fn an_init_that_was_cut_off_can_be_made_again() {
    let root = tempfile::tempdir().unwrap();
    let options = options(root.path());
    fs::create_dir_all(options.path.join("journal")).unwrap();
    create(root.path());
    fs::remove_file(options.path.join("store.json")).unwrap();
    create(root.path());
    assert_eq!(open_error(&options), "");
}

#[tokio::test]
async fn an_init_that_comes_second_harms_nothing() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 2).await;
    let store = JournaledStore::open(&options).unwrap();
    let first = Commit::new(entry(Action::StoreInit));
    let again = JournaledStore::create(
        &options,
        StoreId::from_bytes([8; 16]),
        Timestamp::from_millis(1),
        first,
        &log_key(),
    );
    assert!(again.is_err());
    store.commit(register(2)).await.unwrap();
    drop(store);
    assert_eq!(emails(&JournaledStore::open(&options).unwrap()).len(), 3);
}

#[tokio::test]
async fn a_flipped_bit_before_the_end_is_found_and_named() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 3).await;
    let whole = fs::read(segment(&options)).unwrap();
    // The last frame alone could be a torn write.
    for byte in (0..whole.len() * 2 / 3).step_by(13) {
        let mut changed = whole.clone();
        changed[byte] ^= 0x10;
        fs::write(segment(&options), &changed).unwrap();
        let error = open_error(&options);
        assert!(
            error.contains("00000000000000000001.journal is damaged at byte"),
            "byte {byte}: {error}"
        );
        assert_eq!(
            fs::read(segment(&options)).unwrap(),
            changed,
            "it was not left as it was"
        );
    }
    fs::write(segment(&options), &whole).unwrap();
    assert_eq!(open_error(&options), "");
}

#[tokio::test]
async fn a_store_put_back_from_yesterday_is_refused_with_both_heads() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 2).await;
    let yesterday = fs::read(segment(&options)).unwrap();
    let store = JournaledStore::open(&options).unwrap();
    store.commit(register(2)).await.unwrap();
    let before = store.entries_from(0, 4).unwrap();
    store.shutdown();
    drop(store);
    fs::write(segment(&options), yesterday).unwrap();
    let error = open_error(&options);
    let [then, now] = [3, 4].map(|entries| root_after(&before[..entries]));
    for part in [
        format!("at frame 4, 4 entries, the last with seq 3, root {now}"),
        format!("at frame 3, 3 entries, the last with seq 2, root {then}"),
    ] {
        assert!(error.contains(&part), "{part}: {error}");
    }
    let findings = found(&options);
    assert!(
        findings.contains(&format!("head file: {error}")),
        "{findings:?}"
    );
}

fn root_after(entries: &[StoredEntry]) -> NodeHash {
    let mut tree = agentidp_shared::merkle::Frontier::default();
    for entry in entries {
        tree.push(NodeHash::of_leaf(&entry.json));
    }
    tree.root()
}

/// A test of another store's head would say nothing of the root: the frame's hash says as much. So
/// the root alone is changed.
#[tokio::test]
async fn a_head_file_whose_root_is_not_the_log_s_is_contradicted() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    let store = JournaledStore::open(&options).unwrap();
    for number in 0..300 {
        store.commit(register(number)).await.unwrap();
    }
    let mut tree = store.headed();
    tree.wait_for(|edge| edge.size() > 1).await.unwrap();
    store.shutdown();
    store.keep_checkpoint("no note").unwrap();
    let (size, sound) = (tree.borrow().size(), tree.borrow().root().to_string());
    assert_eq!(size, 301, "the last head is of everything");
    drop(store);
    let head = fs::read_to_string(&options.head_file).unwrap();
    assert!(head.contains(&sound), "{head}");
    let other = NodeHash::of_leaf(b"other").to_string();
    // As one would who knows of the checksum.
    let (head, _check) = head.split_once(",\"check\"").unwrap();
    fs::write(&options.head_file, head.replace(&sound, &other) + "}").unwrap();
    let error = open_error(&options);
    assert!(error.contains(&sound) && error.contains(&other), "{error}");
    let findings = found(&options);
    assert!(
        matches!(findings.as_slice(), [note, root] if note.contains("checkpoint cannot be read")
            && root.contains("the head file says") && root.contains(&other)),
        "{findings:?}"
    );
}

#[tokio::test]
async fn a_store_that_is_accepted_has_no_new_head_before_the_entry_that_says_so() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 1).await;
    fs::remove_file(&options.head_file).unwrap();
    let store = JournaledStore::open_accepting(&options).unwrap();
    drop(store);
    JournaledStore::open_accepting(&options).unwrap().shutdown();
    assert!(!options.head_file.exists());
    let store = JournaledStore::open_accepting(&options).unwrap();
    store
        .commit(Commit::new(entry(Action::StoreAccept)))
        .await
        .unwrap();
    store.shutdown();
    drop(store);
    assert_eq!(open_error(&options), "");
}

#[test]
fn flushes_at_the_same_time_do_not_disturb_each_other() {
    let (store, root) = fresh();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..20).for_each(|_| store.state.flush(store.id).unwrap()));
        }
    });
    drop(store);
    let mark = index::Index::read_mark(&options(root.path()).path.join("index"));
    assert!(mark.is_some());
}

#[tokio::test]
async fn a_store_without_its_head_file_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 1).await;
    fs::remove_file(&options.head_file).unwrap();
    assert!(matches!(
        JournaledStore::open(&options),
        Err(OpenError::NoHead)
    ));
}

#[tokio::test]
async fn an_index_that_is_ahead_of_the_journal_is_made_anew() {
    let root = tempfile::tempdir().unwrap();
    let options = crashed(root.path(), 2).await;
    let (journal, head) = (
        fs::read(segment(&options)).unwrap(),
        fs::read(&options.head_file).unwrap(),
    );
    let store = JournaledStore::open(&options).unwrap();
    for number in 2..400 {
        store.commit(register(number)).await.unwrap();
    }
    store.shutdown();
    drop(store);
    fs::write(segment(&options), journal).unwrap();
    fs::write(&options.head_file, head).unwrap();
    // As it was when the two were copied.
    fs::write(options.path.join("running"), "").unwrap();
    let store = JournaledStore::open(&options).unwrap();
    assert_eq!(emails(&store).len(), 2);
    assert_eq!(store.entries_from(0, 1_000).unwrap().len(), 3);
}

#[tokio::test]
async fn the_largest_records_come_back_and_need_no_files_of_their_own() {
    let (store, root) = fresh();
    let store = Arc::new(store);
    let value = "x".repeat(2_048);
    let metadata: std::collections::BTreeMap<_, _> = (0..100)
        .map(|name| (format!("m{name}"), value.clone()))
        .collect();
    let large = |number: u64| {
        let mut agent = agent(number, &format!("a{number}@acme.example"), 1);
        agent.metadata = metadata.clone().try_into().unwrap();
        agent
    };
    let commits = (0..60).map(|number| {
        let (store, agent) = (Arc::clone(&store), large(number));
        tokio::spawn(async move {
            store
                .commit(Commit::new(entry(Action::AgentRegister)).put(Record::Agent(agent)))
                .await
        })
    });
    for commit in commits.collect::<Vec<_>>() {
        commit.await.unwrap().unwrap();
    }
    assert_eq!(
        store.agents(&newest(None, 1)).unwrap().agents[0].record,
        large(59)
    );
    store.shutdown();
    let blobs = root
        .path()
        .join("store")
        .join("index")
        .join("sled")
        .join("blobs");
    assert_eq!(fs::read_dir(blobs).unwrap().count(), 0);
    assert!(check(&options(root.path())).is_err(), "the lock is held");
    drop(store);
    assert_eq!(found(&options(root.path())), Vec::<String>::new());
}

#[tokio::test]
async fn only_one_process_has_it_open() {
    let (store, root) = fresh();
    assert!(matches!(
        JournaledStore::open(&options(root.path())),
        Err(OpenError::Locked(_))
    ));
    drop(store);
}

#[test]
fn what_is_no_store_is_not_made_one_by_opening_it() {
    let root = tempfile::tempdir().unwrap();
    let options = options(root.path());
    assert!(matches!(
        JournaledStore::open(&options),
        Err(OpenError::Missing(_))
    ));
    fs::create_dir(&options.path).unwrap();
    assert!(matches!(
        JournaledStore::open(&options),
        Err(OpenError::Missing(_))
    ));
    assert_eq!(fs::read_dir(&options.path).unwrap().count(), 0);
}

#[test]
fn a_store_is_not_made_over_another() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    let before = fs::read(segment(&options)).unwrap();
    let first = Commit::new(entry(Action::StoreInit));
    let again = JournaledStore::create(
        &options,
        StoreId::from_bytes([8; 16]),
        Timestamp::from_millis(1),
        first,
        &log_key(),
    );
    assert!(matches!(again, Err(OpenError::Exists(_))));
    assert_eq!(fs::read(segment(&options)).unwrap(), before);
}

#[test]
fn a_newer_format_is_refused_untouched() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    let found = layout::FORMAT + 1;
    let newer = format!(r#"{{"format":{found},"anything":"else"}}"#);
    fs::write(options.path.join("store.json"), newer).unwrap();
    assert!(matches!(
        JournaledStore::open(&options),
        Err(OpenError::Format { found: it, .. }) if it == found
    ));
    assert!(!options.path.join("index").exists());
}

#[test]
fn a_disk_that_refuses_is_named_with_its_reason_and_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    let identity = options.path.join("store.json");
    fs::remove_file(&identity).unwrap();
    fs::create_dir(&identity).unwrap();
    let said = open_error(&options);
    let begin = format!("{}: Is a directory (os error 21); ", identity.display());
    assert!(said.starts_with(&begin), "{said}");
    assert!(said.ends_with("then try again"), "{said}");
}

#[test]
fn a_store_of_a_pre_release_is_refused_untouched_and_says_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    fs::write(options.path.join("store.json"), r#"{"format":1}"#).unwrap();
    let error = open_error(&options);
    assert!(
        error.contains("pre-release") && error.contains("agentidpd init"),
        "{error}"
    );
    assert!(!options.path.join("index").exists());
}

#[tokio::test]
async fn an_index_that_is_damaged_is_set_aside_and_made_anew() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    let store = JournaledStore::open(&options).unwrap();
    for number in 0..300 {
        store.commit(register(number)).await.unwrap();
    }
    let before = emails(&store);
    store.shutdown();
    drop(store);
    let db = options.path.join("index").join("sled").join("db");
    let size = fs::metadata(&db).unwrap().len();
    fs::write(&db, vec![0xff; usize::try_from(size).unwrap()]).unwrap();
    let store = JournaledStore::open(&options).unwrap();
    assert_eq!(emails(&store), before);
}

#[tokio::test]
async fn a_check_finds_an_index_that_says_something_else() {
    let root = tempfile::tempdir().unwrap();
    let options = create(root.path());
    let store = JournaledStore::open(&options).unwrap();
    for number in 0..300 {
        store.commit(register(number)).await.unwrap();
    }
    store.shutdown();
    drop(store);
    assert_eq!(found(&options), Vec::<String>::new());
    let index = index::Index::open(&options.path.join("index")).unwrap();
    let forged = Record::Agent(agent(5, "a5@acme.example", 9));
    let encoded = crate::store::form::encode(&forged).unwrap();
    index.apply(Some((&forged, &encoded)), &[], 6).unwrap();
    drop(index);
    let findings = found(&options);
    assert!(
        matches!(findings.as_slice(), [only] if only.starts_with("index: agent ")
            && only.contains("(entry 6): the record was changed")),
        "{findings:?}"
    );
}
