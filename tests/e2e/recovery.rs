//! The runbook docs/recovery.md, every step of which is done here on a real store.

mod runbook;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use agentidp_shared::merkle::{Checkpoint, Note, VerifierKey};
use agentidp_tests::{
    Client, Installation, MountNamespace, Process, Registration, TestDaemon, one_line_of_refusal,
};

use super::backup::{IDENTITY, RECIPIENT};
use super::store::{entries, listings, occupy};
use runbook::{BEFORE, Drill, runbook};

/// Makes a test of each section, and the list of the sections that have one.
macro_rules! sections {
    ($($test:ident: $section:literal),+ $(,)?) => {
        const SECTIONS: &[&str] = &[$($section),+];
        mod each {
            $(
                #[test]
                fn $test() {
                    super::$test($section);
                }
            )+
        }
    };
}

sections! {
    a_lost_server: "The server is lost",
    a_damaged_index: "The index is damaged",
    an_index_that_only_backups_and_the_journal_make: "The index is damaged",
    a_lost_identity: "`store.json` is missing or damaged",
    a_log_that_was_verified_before: "`audit verify` says that the log is another than before",
    a_damaged_journal: "The journal is damaged",
    a_journal_that_is_damaged_behind_the_index: "The journal is damaged",
    a_store_put_back: "The store is not the one that its head file remembers",
    a_lost_head_file: "The head file is lost",
    a_wrong_key_encryption_key: "The key-encryption key is not the right one",
    a_lost_key_encryption_key: "No copy of the key-encryption key is left",
    a_full_disk: "The disk is full",
    a_power_cut: "The power failed",
    a_damaged_backup: "A backup is damaged",
    back_to_a_moment: "Back to a moment",
    a_known_log_key: "The log's key may be known to someone",
}

#[test]
fn every_section_of_the_runbook_is_done_by_a_test() {
    let written: BTreeSet<_> = runbook().into_iter().map(|(title, _)| title).collect();
    let tested = SECTIONS.iter().chain([&BEFORE]);
    assert_eq!(written, tested.map(ToString::to_string).collect());
}

/// An installation that makes encrypted backups when it is asked to.
fn installation() -> Installation {
    let mut installation = Installation::initialized();
    let folder = installation.directory().join("backups");
    fs::create_dir(&folder).unwrap();
    fs::write(installation.directory().join("identity.txt"), IDENTITY).unwrap();
    installation.config.backup = vec![
        format!("folder = {folder:?}"),
        format!("recipients = [{RECIPIENT:?}]"),
        "every = \"off\"".to_owned(),
    ];
    installation
}

fn back_up(daemon: &TestDaemon) {
    let made = daemon.installation.run("backup create");
    assert_eq!(made.code(), Some(0), "{}", made.stderr);
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_dir() {
            copy_files(&file.path(), &to.join(file.file_name()));
        } else {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

/// All that operators can list of the first `count` entries, from the daemon that a drill has started.
fn listed(drill: &Drill, count: usize) -> Vec<String> {
    listings(&drill.cli(), count)
}

fn assert_issues(client: &Client) {
    assert_eq!(client.token(&[]).status, 200);
}

fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
}

fn a_lost_server(section: &str) {
    let daemon = installation().start();
    let client = occupy(&daemon);
    back_up(&daemon);
    let later = daemon.enrol(&Registration::new("later@acme.example"));
    assert_issues(&later);
    let count = entries(&daemon);
    let before = listings(&daemon.cli(), count);
    let vkey = daemon.cli().run(&["audit", "key"]).ok();
    let vkey = vkey.stdout().to_owned();
    let installation = daemon.kill();
    let at = |name: &str| installation.directory().join(name);
    let (store, key) = (
        installation.config.store.clone(),
        installation.config.key_encryption_key.clone(),
    );
    fs::create_dir_all(at("kept")).unwrap();
    fs::rename(&key, at("kept/key-encryption-key")).unwrap();
    fs::write(at("kept/log.vkey"), vkey).unwrap();
    copy_files(&store.join("journal"), &at("rescued/journal"));
    fs::remove_dir_all(&store).unwrap();

    let mut drill = Drill::begin(section, installation);
    let _ = drill.step("Put the key-encryption key back");
    let said = drill.step("Choose the newest backup that is whole");
    assert_says(&said, &["the file is whole", "its content is whole"]);
    let said = drill.step("Restore it");
    assert_says(&said, &[&format!("restored {count} audit entries"), " s; "]);
    let _ = writeln!(std::io::stdout(), "{said}");
    let said = drill.step("Verify the store and give it to the daemon");
    assert_says(&said, &["the store is sound"]);
    assert_says(&drill.step("Start"), &["ready"]);
    let said = drill.step("Verify the log with the key that was kept");
    assert_says(&said, &["the server was lost"]);
    assert_eq!(
        listed(&drill, count),
        before,
        "every record and every entry"
    );
    assert_issues(&client);
    assert_issues(&later);
    drill.finish();
}

fn a_damaged_index(section: &str) {
    let daemon = installation().start();
    let client = occupy(&daemon);
    back_up(&daemon);
    let count = entries(&daemon);
    let before = listings(&daemon.cli(), count);
    let (installation, _) = daemon.stop();
    let index = installation.config.store.join("index");
    let database = index.join("sled/db");
    let length = fs::metadata(&database).unwrap().len();
    fs::write(&database, vec![0x5a; usize::try_from(length).unwrap()]).unwrap();

    let mut drill = Drill::begin(section, installation);
    let said = drill.step("See that it is the index alone");
    assert_says(&said, &["NOT sound", "exit code 3"]);
    let said = drill.step("Make it anew from the journal");
    let made = said.split_once("anew from ").unwrap().1;
    let made: usize = made.split(' ').next().unwrap().parse().unwrap();
    assert!(made > count, "{said}");
    drill.skip("Or make it anew from the newest backup and the journal");
    let said = drill.step("Verify it and start again");
    assert_says(&said, &["the store is sound", "ready"]);
    assert_eq!(listed(&drill, count), before);
    assert_issues(&client);
    let _ = drill.step("Remove the damaged one");
    let store = &drill.installation.config.store;
    let mut names = fs::read_dir(store)
        .unwrap()
        .map(|it| it.unwrap().file_name());
    assert!(!names.any(|it| it.to_string_lossy().contains("broken")));
    drill.finish();
}

/// Restores the newest backup, without a journal, into the place of the store.
const RESTORE: &str = r#"
    rm -rf "$STORE"
    NEWEST=$(ls "$BACKUPS"/*.backup | tail -n 1)
    agentidpd backup restore "$NEWEST" --into "$STORE" --identity "$IDENTITY" --reason test
"#;

fn an_index_that_only_backups_and_the_journal_make(section: &str) {
    let daemon = installation().start();
    let client = occupy(&daemon);
    back_up(&daemon);
    let (installation, _) = daemon.stop();
    let index = installation.config.store.join("index");
    let mut drill = Drill::begin(section, installation);
    // Which leaves a journal that does not go back to the first entry.
    drill.before(RESTORE);
    drill.before("systemctl start agentidpd; agentidp org create later");
    let status = drill.cli().json(&["status", "-o", "json"]);
    let count = usize::try_from(status["store"]["entries"].as_u64().unwrap()).unwrap();
    let before = listed(&drill, count);
    drill.before("systemctl stop agentidpd");
    fs::remove_dir_all(&index).unwrap();

    let said = drill.step("See that it is the index alone");
    assert_says(&said, &["exit code 3", "store rebuild --backup"]);
    for misleading in ["head file:", "journal:", "the next start makes", "restore"] {
        assert!(!said.contains(misleading), "{misleading:?} is in:\n{said}");
    }
    drill.skip("Make it anew from the journal");
    let said = drill.step("Or make it anew from the newest backup and the journal");
    assert_says(&said, &["anew from"]);
    let said = drill.step("Verify it and start again");
    assert_says(&said, &["the store is sound", "ready"]);
    assert_eq!(listed(&drill, count), before, "nothing is lost");
    assert_issues(&client);
    let _ = drill.step("Remove the damaged one");
    drill.finish();
}

fn a_lost_identity(section: &str) {
    let daemon = installation().start();
    let client = occupy(&daemon);
    back_up(&daemon);
    let later = daemon.enrol(&Registration::new("later@acme.example"));
    let count = entries(&daemon);
    let before = listings(&daemon.cli(), count);
    let (installation, _) = daemon.stop();
    fs::remove_file(installation.config.store.join("store.json")).unwrap();
    for command in ["run", "store check", "init"] {
        let refused = one_line_of_refusal(&installation.run(command));
        let said = "has a journal and no store.json";
        assert!(refused.contains(said), "{command}: {refused}");
    }

    let mut drill = Drill::begin(section, installation);
    let said = drill.step("See what is missing");
    assert_says(&said, &["has a journal and no store.json"]);
    let _ = drill.step("Keep what there is");
    let _ = drill.step("Restore a backup with its journal");
    let said = drill.step("Verify the restored store and start");
    assert_says(&said, &["the store is sound", "ready"]);
    assert_eq!(listed(&drill, count), before);
    assert_issues(&client);
    assert_issues(&later);
    drill.finish();
}

fn a_log_that_was_verified_before(section: &str) {
    let daemon = installation().start();
    back_up(&daemon);
    daemon.organization("acme");
    let (installation, _) = daemon.stop();
    let mut drill = Drill::begin(section, installation);
    drill.before("systemctl start agentidpd; agentidp audit verify; systemctl stop agentidpd");
    drill.before(RESTORE);
    drill.before("systemctl start agentidpd");

    let said = drill.step("See that it was meant");
    assert_says(&said, &["exit code 1", "does not verify", "store.restore"]);
    let file = said.split_once("then delete ").unwrap().1;
    let file = file.split_once(", and verify again").unwrap().0.to_owned();
    drill.set("REMEMBERED", &file);
    let said = drill.step("Forget what was verified before");
    assert_says(&said, &["verified"]);
    drill.finish();
}

/// Damages the frame of the organization `lost-0`.
fn damage_the_journal(store: &Path) {
    let segment = store.join("journal/00000000000000000001.journal");
    let mut bytes = fs::read(&segment).unwrap();
    let place = bytes.windows(6).position(|it| it == b"lost-0").unwrap();
    bytes[place] ^= 1;
    bytes[place + 1] ^= 1;
    fs::write(&segment, &bytes).unwrap();
}

/// Has the frame that a start reads the journal from begin a segment of its own, as one would after 64 MiB
/// (docs/reference/store-format.md, "The journal").
fn part_the_journal(store: &Path) {
    const HEADER: usize = 80;
    let path = |frame: u64| store.join(format!("journal/{frame:020}.journal"));
    let bytes = fs::read(path(1)).unwrap();
    let body = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let next = |at: &usize| Some(at + 8 + body(*at)).filter(|next| *next < bytes.len());
    let frames: Vec<_> = std::iter::successors(Some(HEADER), next).collect();
    let mark = fs::read(store.join("index/mark.json")).unwrap();
    let mark: serde_json::Value = serde_json::from_slice(&mark).unwrap();
    let from = usize::try_from(mark["frame"].as_u64().unwrap()).unwrap();
    let at = frames[from - 1];
    let (number, first_seq) = (&bytes[at + 8..][..8], &bytes[at + 16..][..8]);
    let mut header = [&bytes[..28], number, first_seq, &bytes[at - 32..at]].concat();
    header.extend(crc32c::crc32c(&header).to_le_bytes());
    assert_eq!(header.len(), HEADER);
    fs::write(path(from as u64), [&header, &bytes[at..]].concat()).unwrap();
    fs::write(path(1), &bytes[..at]).unwrap();
}

fn a_damaged_journal(section: &str) {
    let daemon = installation().start();
    daemon.organization("acme");
    back_up(&daemon);
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    daemon.organization("lost-0");
    // More than a bundle: a start goes back to where the one that is not full begins.
    for _ in 0..300 {
        assert_issues(&client);
    }
    daemon.organization("rescued");
    let (installation, _) = daemon.stop();
    part_the_journal(&installation.config.store);
    damage_the_journal(&installation.config.store);

    let mut drill = Drill::begin(section, installation);
    let said = drill.step("See what is damaged");
    assert_says(&said, &["exit code 4", "00000000000000000001.journal"]);
    let said = drill.step("Start it all the same");
    assert!(!said.contains("it does not start"), "{said}");
    let _ = drill.step("Keep the store as it is");
    let _ = drill.step("Restore the backup that was just made");
    drill.skip("Or cut a copy of its journal off before the damage");
    drill.skip("And restore the newest backup with it");
    let said = drill.step("Verify what was restored and start");
    assert_says(&said, &["the store is sound", "store.restore"]);
    let organizations = drill.cli().ndjson(&["org", "list", "-o", "ndjson"]);
    assert_eq!(organizations.len(), 3, "nothing is lost: {organizations:?}");
    assert_issues(&client);
    drill.finish();
}

fn a_journal_that_is_damaged_behind_the_index(section: &str) {
    let daemon = installation().start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    back_up(&daemon);
    daemon.organization("rescued");
    let whole = entries(&daemon);
    for number in 0..20 {
        daemon.organization(&format!("lost-{number}"));
    }
    let installation = daemon.kill();
    damage_the_journal(&installation.config.store);

    let mut drill = Drill::begin(section, installation);
    let said = drill.step("See what is damaged");
    assert_says(&said, &["exit code 4", "00000000000000000001.journal"]);
    assert_says(&said, &[&format!("entries from {whole} on")]);
    let byte = said.split_once("is damaged at byte ").unwrap().1;
    let byte = byte.split(':').next().unwrap().to_owned();
    drill.set("SEGMENT", "00000000000000000001.journal");
    drill.set("BYTE", &byte);
    let said = drill.step("Start it all the same");
    assert_says(&said, &["it does not start"]);
    let _ = drill.step("Keep the store as it is");
    drill.skip("Restore the backup that was just made");
    let _ = drill.step("Or cut a copy of its journal off before the damage");
    let said = drill.step("And restore the newest backup with it");
    assert_says(&said, &[&format!("restored {whole} audit entries")]);
    let said = drill.step("Verify what was restored and start");
    assert_says(&said, &["the store is sound", "store.restore"]);
    let organizations = drill.cli().ndjson(&["org", "list", "-o", "ndjson"]);
    assert_eq!(organizations.len(), 2, "{organizations:?}");
    assert_issues(&client);
    drill.finish();
}

fn a_store_put_back(section: &str) {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let (installation, _) = daemon.stop();
    let store = installation.config.store.clone();
    let yesterday = installation.directory().join("yesterday");
    copy_files(&store, &yesterday);
    let daemon = installation.start();
    daemon.organization("other");
    let (installation, _) = daemon.stop();
    let head = fs::read_to_string(store.join("head")).unwrap();
    fs::remove_dir_all(&store).unwrap();
    fs::rename(&yesterday, &store).unwrap();
    let older = fs::read_to_string(store.join("head")).unwrap();
    fs::write(store.join("head"), &head).unwrap();

    let mut drill = Drill::begin(section, installation);
    let said = drill.step("See both heads");
    let roots = [&head, &older].map(|it| {
        let head: serde_json::Value = serde_json::from_str(it).unwrap();
        head["root"].as_str().unwrap().to_owned()
    });
    assert_says(
        &said,
        &["Job for agentidpd.service failed", &roots[0], &roots[1]],
    );
    let said = drill.step("Accept what there is");
    assert_says(&said, &["accepted as it is"]);
    let said = drill.step("Start on it");
    assert_says(&said, &["the snapshot of yesterday"]);
    let list = ["audit", "list", "--action", "store.accept", "-o", "ndjson"];
    let entry = drill.cli().ndjson(&list).remove(0);
    let head: serde_json::Value = serde_json::from_str(&head).unwrap();
    for name in ["store_id", "entries", "root"] {
        assert_eq!(entry["refused_head"][name], head[name], "{entry}");
    }
    assert_issues(&client);
    drill.finish();
}

fn a_lost_head_file(section: &str) {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let (installation, _) = daemon.stop();
    let head = installation.config.store.join("head");
    fs::remove_file(&head).unwrap();

    let mut drill = Drill::begin(section, installation);
    let said = drill.step("See that it is missing");
    assert_says(&said, &["head file (store.head_file) is missing"]);
    let _ = drill.step("Accept the store without it");
    assert!(head.is_file());
    let said = drill.step("Start with the new one");
    assert_says(&said, &["the disk with the head file was lost"]);
    assert_issues(&client);
    drill.finish();
}

fn a_wrong_key_encryption_key(section: &str) {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let (installation, _) = daemon.stop();
    let key = installation.config.key_encryption_key.clone();
    let kept = installation.directory().join("kept");
    fs::create_dir(&kept).unwrap();
    fs::rename(&key, kept.join("key-encryption-key")).unwrap();
    let other = Installation::initialized();
    fs::copy(&other.config.key_encryption_key, &key).unwrap();

    let mut drill = Drill::begin(section, installation);
    let said = drill.step("See which key is meant");
    assert_says(&said, &["cannot be opened", "sealed under another"]);
    let _ = drill.step("Put the copy back");
    assert_issues(&client);
    drill.finish();
}

fn a_lost_key_encryption_key(section: &str) {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let (installation, _) = daemon.stop();
    fs::remove_file(&installation.config.key_encryption_key).unwrap();

    let mut drill = Drill::begin(section, installation);
    let _ = drill.step("Set the old store aside");
    let _ = drill.step("Make a new key and a new store");
    let said = drill.step("Start with nothing");
    assert_says(&said, &["acme"]);
    assert_eq!(client.token(&[]).status, 401);
    let [kept, key] = ["kept/key-encryption-key", "key-encryption-key"]
        .map(|it| fs::read(drill.installation.directory().join(it)).unwrap());
    assert_eq!(kept, key);
    drill.finish();
}

fn a_full_disk(section: &str) {
    let mut installation = Installation::new();
    let disk = installation.directory().join("disk");
    fs::create_dir(&disk).unwrap();
    installation.config.store = disk.join("store");
    installation.config.reserve = Some("8MiB");
    let mount = format!(
        "mount -t tmpfs -o size=32m,mode=700 tmpfs {}",
        disk.display()
    );
    let namespace = MountNamespace::new(&mount);
    installation.by_way_of = namespace.by_way_of();
    installation.config.roles[0].users.push("root".to_owned());
    installation.init();
    let mut drill = Drill::begin(section, installation);
    let store = drill.installation.config.store.clone();
    drill.before("systemctl start agentidpd; agentidp org create acme");
    let registration = Registration::new("a@acme.example");
    let _ = drill.cli().json(&registration.arguments());
    let issue = ["credential", "issue", "a@acme.example", "-o", "json"];
    let issued = drill.cli().json(&issue);
    let text = |name: &str| issued[name].as_str().unwrap().to_owned();
    let client = Client {
        http: agentidp_tests::Http {
            address: drill.installation.config.listen,
        },
        id: text("client_id"),
        secret: text("client_secret"),
        credential: String::new(),
    };
    let broken = store.join("index.broken-20261121T110000.000Z");
    // dd fails when the disk is full, which is what it is for.
    namespace.run(&format!(
        "mkdir {0} && dd if=/dev/zero of={0}/db bs=4096 2>/dev/null || true",
        broken.display()
    ));
    let refused = std::iter::repeat_with(|| client.token(&[]))
        .take(100_000)
        .find(|answer| answer.status != 200);
    assert_eq!(refused.map(|it| it.status), Some(503));

    let said = drill.step("See how full it is");
    assert_says(&said, &["100%", "low on space"]);
    let said = drill.step("Make room");
    assert!(!said.contains("100%"), "{said}");
    let said = drill.step("See that it goes on");
    assert_says(&said, &["ready"]);
    assert_issues(&client);
    drill.finish();
}

fn a_power_cut(section: &str) {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let count = entries(&daemon);
    let before = listings(&daemon.cli(), count);
    let installation = daemon.kill();
    let segment = installation
        .config
        .store
        .join("journal/00000000000000000001.journal");
    let mut journal = fs::OpenOptions::new().append(true).open(segment).unwrap();
    // A length, a checksum, and not all of the body.
    journal
        .write_all(&[200, 0, 0, 0, 1, 2, 3, 4, 5, 6])
        .unwrap();

    let mut drill = Drill::begin(section, installation);
    let said = drill.step("Start and look");
    assert_says(&said, &["cut off before it was acknowledged"]);
    let said = drill.step("See how the check ended");
    assert_says(&said, &["integrity"]);
    let status = drill.cli().json(&["status", "-o", "json"]);
    assert_eq!(status["store"]["checked"]["findings"], 0, "{status}");
    assert_eq!(listed(&drill, count), before);
    assert_issues(&client);
    drill.finish();
}

fn a_damaged_backup(section: &str) {
    let daemon = installation().start();
    back_up(&daemon);
    daemon.organization("acme");
    let folder = daemon.installation.directory().join("backups");
    let first = fs::read_dir(&folder).unwrap().next().unwrap();
    let first = first.unwrap().path();
    let mut bytes = fs::read(&first).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&first, bytes).unwrap();
    let (installation, _) = daemon.stop();

    let mut drill = Drill::begin(section, installation);
    let said = drill.step("Find the damaged one");
    assert_says(&said, &[&format!("damaged: {}", first.display())]);
    assert_says(&drill.step("Make another"), &["it was read back"]);
    let said = drill.step("Remove it");
    // Headings, and the one that is left.
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(!first.exists());
    drill.finish();
}

fn back_to_a_moment(section: &str) {
    let daemon = installation().start();
    back_up(&daemon);
    daemon.organization("right");
    let last = (entries(&daemon) - 1).to_string();
    daemon.organization("mistake");
    let (installation, _) = daemon.stop();

    let mut drill = Drill::begin(section, installation);
    drill.before("systemctl start agentidpd");
    let said = drill.step("Find the moment");
    assert_says(&said, &[&format!("{last} "), "organization.create"]);
    drill.set("UNTIL", &last);
    let _ = drill.step("Stop and keep the store");
    let said = drill.step("Restore up to the moment");
    assert_says(&said, &["restored"]);
    let said = drill.step("Start from there");
    assert_says(&said, &["the store is sound", "store.restore"]);
    let organizations = drill.cli().ndjson(&["org", "list", "-o", "ndjson"]);
    assert_eq!(organizations.len(), 1);
    assert_eq!(organizations[0]["name"], "right");
    drill.finish();
}

fn a_known_log_key(section: &str) {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let old = daemon.cli().run(&["audit", "key"]).ok();
    let first: VerifierKey = old.stdout().trim_end().parse().unwrap();
    let (installation, _) = daemon.stop();
    // A change that was planned, after which the first key signs for a month more.
    let mut planned = installation.command("store rotate-log-key");
    planned.args(["--reason", "yearly"]);
    assert_eq!(Process::spawn(planned).wait().code(), Some(0));
    let daemon = installation.start();
    let old = daemon.cli().run(&["audit", "key"]).ok();
    let old: VerifierKey = old.stdout().trim_end().parse().unwrap();
    let (installation, _) = daemon.stop();
    let kept = installation.directory().join("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("log.vkey"), format!("{old}\n")).unwrap();

    let mut drill = Drill::begin(section, installation);
    let said = drill.step("Change it");
    assert_says(&said, &["another key", "Both have signed this checkpoint"]);
    let said = drill.step("Start and take down what there is");
    assert_says(&said, &[&old.to_string(), "FROM SIZE"]);
    let new = fs::read_to_string(kept.join("log.vkey")).unwrap();
    let new: VerifierKey = new.trim_end().parse().unwrap();
    assert_ne!(new, old);
    let said = drill.step("Verify with the new key");
    assert_says(&said, &["verified"]);
    let handover = fs::read_to_string(kept.join("handover")).unwrap();
    let note = handover.split_once("kept.\n\n").unwrap().1;
    let note = note.strip_suffix('\n').unwrap_or(note);
    let note = Note::from_bytes(note.as_bytes()).unwrap();
    let of_old = Checkpoint::verified(&note, &old).unwrap();
    assert_eq!(Checkpoint::verified(&note, &new).unwrap(), of_old);
    let keys = drill
        .cli()
        .ndjson(&["audit", "key", "--all", "-o", "ndjson"]);
    assert_eq!(keys[2]["from"].as_u64(), Some(of_old.size));
    // It has signed nothing since.
    let newest = drill.cli().run(&["audit", "checkpoint"]).ok();
    let newest = Note::from_bytes(newest.stdout().as_bytes()).unwrap();
    assert!(Checkpoint::verified(&newest, &new).unwrap().size > of_old.size);
    for ended in [&first, &old] {
        assert!(Checkpoint::verified(&newest, ended).is_err());
    }
    drill.finish();
}
