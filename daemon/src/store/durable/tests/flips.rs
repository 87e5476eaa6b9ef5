//! Single bits flipped anywhere in a store that was closed in order: each is found, or repaired exactly,
//! or did not matter.
//!
//! `AGENTIDP_FLIPS` is how many (200 without it), `AGENTIDP_FLIPS_SEED` which. What sled does with the
//! index happens in child processes of this test: it may kill them.

use std::collections::BTreeMap;
use std::env;
use std::process::Command;

use agentidp_shared::Action;

use super::*;
use crate::store::ReadError;
use crate::store::suite::{agent, at, credential, entry, keep, organization, prune, token};

const FOLDER: &str = "AGENTIDP_FLIPS_FOLDER";

/// Everything that can be read of a store, in words.
fn contents(store: &JournaledStore) -> Result<String, ReadError> {
    let mut words = Vec::new();
    for stored in store.agents(&newest(None, 1_000))?.agents {
        let id = stored.record.id;
        let usage = store.usage(&RecordKey::Agent(id))?;
        words.push(format!("{stored:?} {usage:?}"));
        for stored in store.credentials_of(id)? {
            let id = stored.record.credential.id;
            let usage = store.usage(&RecordKey::Credential(id))?;
            words.push(format!("{stored:?} {usage:?} {:?}", store.credential(id)?));
        }
    }
    for stored in store.organizations(None, 100)? {
        let (id, name) = (stored.record.id, &stored.record.name);
        let month = store.tokens_issued(id, at(1_000))?;
        let found = store.organization_by_name(name)?;
        words.push(format!("{stored:?} {month} {found:?}"));
    }
    for number in 0..=20 {
        let key = TemporaryKey::Idempotency([number; 32]);
        words.push(format!("{:?}", store.temporary(&key, at(10_000))?));
    }
    for entry in store.entries_from(0, 10_000)? {
        words.push(format!(
            "{} {}",
            entry.seq,
            String::from_utf8_lossy(&entry.json)
        ));
    }
    for filter in [
        EntryFilter {
            agent: Some(agent(30, "a@b.example", 1).id),
            ..EntryFilter::default()
        },
        EntryFilter {
            action: Some(Action::CredentialIssue),
            ..EntryFilter::default()
        },
    ] {
        let page = store.entries_before(None, &filter, 1_000)?;
        words.push(format!(
            "{:?}",
            page.entries.iter().map(|it| it.seq).collect::<Vec<_>>()
        ));
    }
    words.push(format!("{:?} {:?}", store.tree(), store.tile(0, 0)?));
    Ok(words.join("\n"))
}

/// Two starts' worth of some of everything, in six hundred entries.
async fn filled(root: &Path) -> StoreOptions {
    let options = create(root);
    for half in 0..2_u64 {
        let store = JournaledStore::open(&options).unwrap();
        let acme = Record::Organization(organization(half, &format!("acme-{half}"), 1));
        let made = Commit::new(entry(Action::OrganizationCreate)).put(acme);
        store.commit(made).await.unwrap();
        for number in half * 120..(half + 1) * 120 {
            store.commit(register(number)).await.unwrap();
            if number % 4 == 0 {
                let secret = Record::Credential(credential(number, number, 1));
                let issue = Commit::new(entry(Action::CredentialIssue)).put(secret);
                store.commit(issue).await.unwrap();
            }
            for _ in 0..number % 3 {
                let time = 1_000 + i64::try_from(number).unwrap();
                let mut issued = token(number, number, time);
                issued.organization_id = Some(organization(1, "acme-1", 1).id);
                store.commit(Commit::new(issued)).await.unwrap();
            }
            if number % 24 == 0 {
                let kept = u8::try_from(number / 24).unwrap();
                store
                    .commit(keep(kept, b"body", 1_000, 900_000))
                    .await
                    .unwrap();
            }
            if number == 60 {
                store.state.flush(store.id).unwrap();
            }
        }
        if half == 1 {
            // All of the first bundle but what accounts for records, and all but what the organization of the
            // tokens has of the second.
            for (to, held) in [(256, 9), (512, 1)] {
                let pruned = prune(&store, 0, to, held);
                store.commit(pruned).await.unwrap();
            }
        }
        store.shutdown();
    }
    options
}

/// The files of a store, by their places in it.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::metadata(&path).unwrap().len() > 0 {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// What became of a flip.
fn outcome(root: &Path, before: &str) -> &'static str {
    let options = options(root);
    let Ok(report) = check(&options) else {
        return "named by the check, which could not go on";
    };
    let is_sound = report.is_sound();
    let store = match JournaledStore::open(&options) {
        Ok(store) => store,
        Err(error) => {
            assert!(
                !is_sound,
                "the check found nothing, and it does not open: {error}"
            );
            return "named by the check and the start";
        }
    };
    let was_repaired = was_set_aside(&options) || !is_sound;
    match contents(&store) {
        Ok(after) if after == before && was_repaired => "repaired exactly",
        Ok(after) if after == before => "did not matter",
        _ if !is_sound => {
            // What the daemon does with such findings.
            assert!(report.is_index_only(), "{:?}", report.findings);
            store.distrust_index().unwrap();
            store.shutdown();
            drop(store);
            let store = JournaledStore::open(&options).unwrap();
            assert_eq!(contents(&store).unwrap(), before, "made anew");
            "found by the check, repaired exactly by a rebuild"
        }
        _ => "SILENT",
    }
}

/// The child process: says what became of the flip in one store.
#[test]
fn child() {
    let Some(folder) = env::var_os(FOLDER) else {
        return;
    };
    let folder = PathBuf::from(folder);
    let before = fs::read_to_string(folder.join("before")).unwrap();
    let outcome = outcome(&folder, &before);
    fs::write(folder.join("outcome"), outcome).unwrap();
}

/// What became of the flip in the store below `root`, as a child process says; `Err` when that died.
fn outcome_in_child(root: &Path) -> Result<String, String> {
    let name = "store::durable::tests::flips::child";
    let output = Command::new(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(FOLDER, root)
        .output()
        .unwrap();
    fs::read_to_string(root.join("outcome"))
        .map_err(|_error| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Numbers that look like chance and are the same every time (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

#[tokio::test]
async fn no_flipped_bit_is_silent() {
    let sound = tempfile::tempdir().unwrap();
    let options = filled(sound.path()).await;
    let store = JournaledStore::open(&options).unwrap();
    let before = contents(&store).unwrap();
    store.shutdown();
    drop(store);
    assert!(check(&options).unwrap().is_sound());
    fs::write(sound.path().join("before"), &before).unwrap();
    let files: Vec<_> = files(sound.path())
        .into_iter()
        .filter(|path| !path.ends_with("before"))
        .map(|path| path.strip_prefix(sound.path()).unwrap().to_owned())
        .collect();

    let mut random = Random(number("AGENTIDP_FLIPS_SEED").unwrap_or(4));
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..number("AGENTIDP_FLIPS").unwrap_or(200) {
        let root = tempfile::tempdir().unwrap();
        check::copy_folder(sound.path(), root.path()).unwrap();
        let file = &files[random.below(files.len())];
        let path = root.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        let bit = random.below(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, bytes).unwrap();
        let outcome = outcome_in_child(root.path());
        let place = format!("bit {bit} of {}", file.display());
        let outcome = outcome.unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_ne!(outcome, "SILENT", "{place}");
        let folder = file.iter().nth(1).unwrap_or_default();
        let kind = format!("{}: {outcome}", folder.to_string_lossy());
        *outcomes.entry(kind).or_default() += 1;
    }
    for (outcome, count) in outcomes {
        println!("{count:5}  {outcome}");
    }
}
