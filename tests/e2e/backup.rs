//! Backups: made while the daemon works, verified, restored on a machine that has nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use agentidp_tests::{
    Finished, Installation, Process, Registration, TestDaemon, free_address, one_line_of_refusal,
};
use serde_json::Value;

use super::store::{entries, listings, occupy};

// The pair of age's own documentation.
pub(super) const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
pub(super) const IDENTITY: &str =
    "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

/// An installation that backs up into a folder, encrypted.
pub(super) fn backed_up() -> Installation {
    with_backups(&[&encrypted()])
}

/// An installation that backs up into a folder, with more lines of `[backup]`.
fn with_backups(lines: &[&str]) -> Installation {
    let mut installation = Installation::initialized();
    let folder = folder(&installation);
    fs::create_dir(&folder).unwrap();
    let mut all = vec![format!("folder = {:?}", folder.to_str().unwrap())];
    all.extend(lines.iter().map(ToString::to_string));
    installation.config.backup = all;
    installation
}

fn encrypted() -> String {
    format!("recipients = [{RECIPIENT:?}]")
}

fn folder(installation: &Installation) -> PathBuf {
    installation.directory().join("backups")
}

fn identity(installation: &Installation) -> String {
    let path = installation.directory().join("identity.txt");
    fs::write(&path, format!("# kept elsewhere\n{IDENTITY}\n")).unwrap();
    text(&path)
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// The backups in the folder, oldest first.
fn files(installation: &Installation) -> Vec<PathBuf> {
    let files = fs::read_dir(folder(installation)).unwrap();
    let mut files: Vec<_> = files.map(|it| it.unwrap().path()).collect();
    files.sort();
    files
}

/// Runs `agentidpd backup …` with these words; no configuration is needed.
fn backup(installation: &Installation, words: &[&str]) -> Finished {
    let mut command = std::process::Command::new(agentidp_tests::agentidpd());
    command.arg("backup").args(words);
    command.current_dir(installation.directory());
    Process::spawn(command).wait()
}

fn done(finished: Finished) -> String {
    let Finished {
        command,
        stdout,
        stderr,
        ..
    } = &finished;
    assert_eq!(finished.code(), Some(0), "{command}\n{stdout}{stderr}");
    finished.stdout
}

fn create(installation: &Installation) -> String {
    done(installation.run("backup create"))
}

fn of_action(daemon: &TestDaemon, action: &str) -> Vec<Value> {
    let words = ["audit", "list", "--action", action, "-o", "ndjson"];
    daemon.cli().ndjson(&words)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn a_lost_machine_is_restored_from_its_newest_backup_and_the_copied_journal() {
    let daemon = with_backups(&[&encrypted(), "every = \"off\""]).start();
    let client = occupy(&daemon);
    // While the backup is made, tokens are issued and agents change.
    let line = thread::scope(|scope| {
        scope.spawn(|| (0..200).for_each(|_| assert_eq!(client.token(&[]).status, 200)));
        scope.spawn(|| {
            for number in 0..10 {
                daemon.register(&Registration::new(&format!("new-{number}@acme.example")));
            }
        });
        create(&daemon.installation)
    });
    assert!(
        line.contains(RECIPIENT) && line.contains("read back"),
        "{line}"
    );
    let later = daemon.enrol(&Registration::new("later@acme.example"));
    daemon.change("suspend", "d@acme.example");
    let token = later.token(&[]).token();
    assert_eq!(client.token(&[]).status, 200);
    let count = entries(&daemon);
    let before = listings(&daemon.cli(), count);

    let installation = daemon.kill();
    let journal = installation.directory().join("copied-journal");
    copy(&installation.config.store.join("journal"), &journal);
    fs::remove_dir_all(&installation.config.store).unwrap();
    let newest = text(files(&installation).last().unwrap());
    let words = [
        "restore",
        &newest,
        "--into",
        &text(&installation.config.store),
        "--journal",
        &text(&journal),
        "--identity",
        &identity(&installation),
        "--reason",
        "the machine was lost",
    ];
    let line = done(backup(&installation, &words));
    assert!(line.contains("restored"), "{line}");
    installation.check_store();

    let daemon = installation.start();
    assert_eq!(
        listings(&daemon.cli(), count),
        before,
        "every record and every entry"
    );
    let [restored] = &of_action(&daemon, "store.restore")[..] else {
        panic!("one entry says so");
    };
    assert_eq!(restored["seq"], count);
    assert_eq!(restored["reason"], "the machine was lost");
    assert_eq!(restored["target"]["kind"], "backup");
    assert_eq!(client.token(&[]).status, 200);
    assert_eq!(later.token(&[]).status, 200);
    assert!(!token.is_empty());
    println!("{line}");
}

#[test]
fn backups_are_made_by_themselves_and_everyone_can_see_how_they_stand() {
    let mut installation = with_backups(&[&encrypted(), "keep = 2"]);
    installation.config.metrics = Some(free_address());
    let daemon = installation.start();
    daemon.process.wait_for("backup", |seen| {
        let log = String::from_utf8_lossy(&seen.stderr);
        log.contains("a backup was made and read back")
            .then_some(())
    });
    let status = daemon.cli().json(&["status", "-o", "json"]);
    let last = &status["backups"]["last"];
    assert_eq!(last["encrypted"], true);
    assert!(last["size_bytes"].as_u64() > Some(0) && last["seconds"].as_f64() > Some(0.0));
    let (made, next) = (
        last["created_at"].as_str(),
        status["backups"]["next"].as_str(),
    );
    assert!(next > made, "{status}");
    let shown = daemon.cli().run(&["status"]).ok().stdout().to_owned();
    assert!(shown.contains(last["name"].as_str().unwrap()), "{shown}");
    let scraped = daemon.metrics().get("/metrics").text();
    assert!(
        scraped.contains("agentidp_backups_made_total 1\n"),
        "{scraped}"
    );

    let [first] = &files(&daemon.installation)[..] else {
        panic!("one backup");
    };
    let [entry] = &of_action(&daemon, "backup.create")[..] else {
        panic!("one entry");
    };
    assert_eq!(entry["actor"]["kind"], "system");
    assert_eq!(
        entry["target"]["id"],
        first.file_name().unwrap().to_str().unwrap()
    );
    assert!(entry["target"]["digest"].is_string());

    // Two more, of which the first has to go.
    create(&daemon.installation);
    create(&daemon.installation);
    assert_eq!(files(&daemon.installation).len(), 2);
    assert!(!first.exists());
    let [pruned] = &of_action(&daemon, "backup.prune")[..] else {
        panic!("one entry");
    };
    assert_eq!(
        pruned["target"]["id"],
        first.file_name().unwrap().to_str().unwrap()
    );
    let listing = done(daemon.installation.run("backup list"));
    assert_eq!(listing.lines().count(), 3, "{listing}");
    assert!(listing.starts_with("NAME "), "{listing}");
    assert!(listing.contains(RECIPIENT), "{listing}");
}

#[test]
fn a_backup_is_verified_with_and_without_an_identity() {
    let installation = with_backups(&[&encrypted()]);
    create(&installation);
    let file = files(&installation).remove(0);
    let name = text(&file);
    let line = done(backup(&installation, &["verify", &name]));
    assert!(
        line.contains("the file is whole") && line.contains("was not looked at"),
        "{line}"
    );
    let ours = identity(&installation);
    let line = done(backup(
        &installation,
        &["verify", &name, "--identity", &ours],
    ));
    assert!(line.contains("its content is whole"), "{line}");

    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let into = text(&installation.directory().join("restored"));
    for words in [
        &["verify", &name][..],
        &["restore", &name, "--into", &into, "--identity", &ours],
    ] {
        let line = one_line_of_refusal(&backup(&installation, words));
        assert!(
            line.contains("is damaged") && line.contains("use another backup"),
            "{line}"
        );
    }
    assert!(!Path::new(&into).exists());
}

#[test]
fn a_restore_leaves_a_folder_that_is_not_empty_as_it_is() {
    let installation = with_backups(&["unencrypted = true"]);
    let line = create(&installation);
    assert!(line.contains("NOT encrypted"), "{line}");
    let name = text(&files(&installation)[0]);
    let store = installation.config.store.clone();
    let before = fs::read(store.join("store.json")).unwrap();
    let words = ["restore", &name, "--into", &text(&store)];
    let line = one_line_of_refusal(&backup(&installation, &words));
    assert!(line.contains("is not empty"), "{line}");
    assert_eq!(fs::read(store.join("store.json")).unwrap(), before);
    installation.check_store();
}

#[test]
fn a_store_restored_to_a_moment_is_refused_by_a_head_file_that_knows_more() {
    let mut installation = with_backups(&[&encrypted(), "every = \"off\""]);
    let daemon = {
        create(&installation);
        installation.start()
    };
    daemon.organization("acme");
    let moment = entries(&daemon);
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    assert_eq!(client.token(&[]).status, 200);
    (installation, _) = daemon.stop();
    let head = installation.directory().join("kept-head");
    fs::copy(installation.config.store.join("head"), &head).unwrap();
    let lost = installation.directory().join("lost");
    fs::rename(&installation.config.store, &lost).unwrap();
    let name = text(&files(&installation)[0]);
    let until = (moment - 1).to_string();
    let words = [
        "restore",
        &name,
        "--into",
        &text(&installation.config.store),
        "--journal",
        &text(&lost.join("journal")),
        "--until",
        &until,
        "--identity",
        &identity(&installation),
    ];
    let line = done(backup(&installation, &words));
    assert!(
        line.contains(&format!("restored {moment} audit entries")),
        "{line}"
    );
    // The head file that survived on another disk.
    fs::copy(&head, installation.config.store.join("head")).unwrap();
    let line = installation.refusal();
    assert!(line.contains("the head file has"), "{line}");
    let mut accept = installation.command("store accept");
    accept.args(["--reason", "back to before the mistake"]);
    assert_eq!(Process::spawn(accept).wait().code(), Some(0));
    let daemon = installation.start();
    let log = daemon.cli().ndjson(&["audit", "list", "-o", "ndjson"]);
    let at = |action: &str| log.iter().find(|it| it["action"] == action).unwrap()["seq"].clone();
    assert_eq!(at("store.restore"), moment);
    assert_eq!(at("store.accept"), moment + 1);
    assert_eq!(client.token(&[]).status, 401, "it was enrolled later");
}

#[test]
fn a_lost_index_is_made_anew_from_an_encrypted_backup_and_what_came_after_it() {
    let daemon = with_backups(&[&encrypted(), "every = \"off\""]).start();
    let client = occupy(&daemon);
    create(&daemon.installation);
    let later = daemon.enrol(&Registration::new("later@acme.example"));
    assert_eq!(later.token(&[]).status, 200);
    let count = entries(&daemon);
    let before = listings(&daemon.cli(), count);
    let (installation, _) = daemon.stop();
    let index = installation.config.store.join("index");
    fs::remove_dir_all(&index).unwrap();

    let file = text(&files(&installation)[0]);
    let rebuild = |words: &[&str]| {
        let mut command = installation.command("store rebuild");
        command.args(["--backup", &file]).args(words);
        Process::spawn(command).wait()
    };
    let line = one_line_of_refusal(&rebuild(&[]));
    assert!(
        line.contains("encrypted") && line.contains("--identity"),
        "{line}"
    );
    assert!(!index.exists());
    let line = done(rebuild(&["--identity", &identity(&installation)]));
    assert!(line.contains("anew from"), "{line}");
    installation.check_store();

    let daemon = installation.start();
    assert_eq!(listings(&daemon.cli(), count), before);
    assert_eq!(client.token(&[]).status, 200);
    assert_eq!(later.token(&[]).status, 200);
}

#[test]
fn a_backup_that_cannot_be_made_is_told_and_the_daemon_goes_on() {
    let installation = with_backups(&[&encrypted(), "every = \"off\""]);
    fs::remove_dir(folder(&installation)).unwrap();
    let daemon = installation.start();
    let line = one_line_of_refusal(&daemon.installation.run("backup create"));
    assert!(line.contains("No such file or directory"), "{line}");
    let failed = &of_action(&daemon, "backup.create")[0];
    assert_eq!(failed["outcome"], "failed");
    let status = daemon.cli().json(&["status", "-o", "json"]);
    let failure = status["backups"]["failure"].as_str().unwrap();
    assert!(failure.contains("No such file or directory"), "{failure}");
    let diagnosed = daemon.cli().run(&["diagnose", "-o", "json"]).json();
    let mut findings = diagnosed.as_array().unwrap().iter();
    let backups = findings.find(|it| it["check"] == "backups").unwrap();
    assert_eq!(backups["verdict"], "warning", "{backups}");
    daemon.organization("acme");
}
