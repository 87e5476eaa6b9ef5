//! The store: the journal is the truth, and its index can be made again.

use std::fs;
use std::thread;

use agentidp_tests::{Cli, Client, Installation, Process, Registration, TestDaemon};

/// Everything that operators can list, byte for byte. The log's part ends at entry `entries`, so
/// that two listings compare though the daemon was started in between.
pub(super) fn listings(cli: &Cli, entries: usize) -> Vec<String> {
    let list = |arguments: &[&str]| cli.run(arguments).ok().stdout().to_owned();
    let mut listings = vec![
        list(&["org", "list", "-o", "ndjson"]),
        list(&["key", "list", "-o", "ndjson"]),
        list(&["agent", "list", "-o", "ndjson"]),
    ];
    for agent in cli.ndjson(&["agent", "list", "-o", "ndjson"]) {
        listings.push(list(&[
            "credential",
            "list",
            agent["id"].as_str().unwrap(),
            "-o",
            "ndjson",
        ]));
    }
    for filter in [
        &[][..],
        &["--action", "token.issue"],
        &["--agent", "a@acme.example"],
        &["--outcome", "denied"],
    ] {
        let log = list(
            &[
                &["audit", "list", "--limit", "100000", "-o", "ndjson"],
                filter,
            ]
            .concat(),
        );
        let old = log.split_inclusive('\n').filter(|line| seq(line) < entries);
        listings.push(old.collect());
    }
    listings
}

fn seq(line: &str) -> usize {
    let entry: serde_json::Value = serde_json::from_str(line).unwrap();
    usize::try_from(entry["seq"].as_u64().unwrap()).unwrap()
}

/// A daemon with every kind of record, and several bundles of entries.
fn busy_daemon() -> (TestDaemon, Client) {
    let daemon = TestDaemon::start();
    let client = occupy(&daemon);
    (daemon, client)
}

/// Gives a daemon every kind of record, and several bundles of entries.
pub(super) fn occupy(daemon: &TestDaemon) -> Client {
    daemon.organization("acme");
    daemon.organization("other");
    let [a, b, c, d] = ["a", "b", "c", "d"]
        .map(|it| daemon.enrol(&Registration::new(&format!("{it}@acme.example"))));
    let renewed = daemon.rotate(&a.credential, &["--grace", "1h"]);
    daemon.change("suspend", "b@acme.example");
    daemon.change("decommission", "c@acme.example");
    assert_eq!(b.token(&[]).status, 401);
    assert_eq!(c.token(&[]).status, 401);
    assert_eq!(d.token(&[("scope", "ledger:write")]).status, 400);
    thread::scope(|scope| {
        for client in [&a, &renewed, &d] {
            scope.spawn(|| (0..250).for_each(|_| assert_eq!(client.token(&[]).status, 200)));
        }
    });
    a
}

/// How many entries the log has, once nothing is left to write.
pub(super) fn entries(daemon: &TestDaemon) -> usize {
    let status = daemon.cli().json(&["status", "-o", "json"]);
    usize::try_from(status["store"]["entries"].as_u64().unwrap()).unwrap()
}

#[test]
fn the_index_is_rebuilt_from_the_journal_and_is_equal() {
    let (daemon, client) = busy_daemon();
    let (installation, _) = daemon.stop();
    let daemon = installation.start();
    let count = entries(&daemon);
    let before = listings(&daemon.cli(), count);
    let log_lines = before.iter().map(|it| it.lines().count()).max();
    assert_eq!(log_lines, Some(count), "the listing is whole");

    let (installation, _) = daemon.stop();
    fs::remove_dir_all(installation.config.store.join("index")).unwrap();
    let daemon = installation.start();
    assert_eq!(
        listings(&daemon.cli(), count),
        before,
        "rebuilt after a stop"
    );
    assert_eq!(client.token(&[]).status, 200);

    let installation = daemon.kill();
    fs::remove_dir_all(installation.config.store.join("index")).unwrap();
    let daemon = installation.start();
    let after = listings(&daemon.cli(), count);
    // The token in between was used by one agent and by one credential of it.
    let differing = after
        .iter()
        .zip(&before)
        .filter(|(after, before)| after != before)
        .count();
    assert_eq!(differing, 2, "rebuilt after a kill");
    daemon.stop().0.check_store();
}

#[test]
fn leftovers_of_an_interrupted_index_do_not_keep_the_daemon_from_starting() {
    let (daemon, client) = busy_daemon();
    let installation = daemon.kill();
    let index = installation.config.store.join("index/sled");
    fs::write(
        index.join("snap.0000000000000001.generating"),
        b"half a snapshot",
    )
    .unwrap();
    let daemon = installation.start();
    assert_eq!(client.token(&[]).status, 200);
    daemon.stop().0.check_store();
}

#[test]
fn a_damaged_index_is_set_aside_and_rebuilt() {
    let (daemon, client) = busy_daemon();
    let (installation, _) = daemon.stop();
    let database = installation.config.store.join("index/sled/db");
    let length = fs::metadata(&database).unwrap().len();
    fs::write(&database, vec![0x5a; usize::try_from(length).unwrap()]).unwrap();
    let daemon = installation.start();
    assert_eq!(client.token(&[]).status, 200);
    let agents = daemon.cli().ndjson(&["agent", "list", "-o", "ndjson"]);
    assert_eq!(agents.len(), 4);
    daemon.stop().0.check_store();
}

#[test]
fn an_emptied_index_is_noticed() {
    let (daemon, client) = busy_daemon();
    let (installation, _) = daemon.stop();
    fs::write(installation.config.store.join("index/sled/db"), b"").unwrap();
    let daemon = installation.start();
    assert_eq!(client.token(&[]).status, 200);
    assert_eq!(
        daemon
            .cli()
            .ndjson(&["agent", "list", "-o", "ndjson"])
            .len(),
        4
    );
}

#[test]
fn a_torn_end_of_the_journal_is_cut_off_and_a_damaged_middle_is_refused() {
    let (daemon, client) = busy_daemon();
    let installation = daemon.kill();
    let segment = newest_segment(&installation);
    let mut bytes = fs::read(&segment).unwrap();
    let whole = bytes.clone();
    bytes.extend_from_slice(&[0xff; 37]);
    fs::write(&segment, &bytes).unwrap();
    let daemon = installation.start();
    assert_eq!(
        client.token(&[]).status,
        200,
        "half a frame was never acknowledged"
    );

    let installation = daemon.kill();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[whole.len() / 2] ^= 0x01;
    fs::write(&segment, &bytes).unwrap();
    fs::remove_dir_all(installation.config.store.join("index")).unwrap();
    let check = installation.run("store check");
    assert!(
        check.code().is_some_and(|code| code != 0),
        "{}{}",
        check.stdout,
        check.stderr
    );
    let line = installation.refusal();
    assert!(line.contains("journal"), "{line}");
    assert_eq!(
        fs::read(&segment).unwrap(),
        bytes,
        "what is damaged is left for whoever looks into it"
    );
}

fn newest_segment(installation: &Installation) -> std::path::PathBuf {
    let segments = fs::read_dir(installation.config.store.join("journal")).unwrap();
    segments.map(|it| it.unwrap().path()).max().unwrap()
}

#[test]
fn damage_to_what_was_written_last_is_not_taken_for_a_torn_end() {
    let (daemon, client) = busy_daemon();
    let (installation, _) = daemon.stop();
    let segment = newest_segment(&installation);
    let before = fs::read(&segment).unwrap().len();
    let daemon = installation.start();
    for _ in 0..5 {
        assert_eq!(client.token(&[]).status, 200);
    }
    // The head file, which is written now and then, knows nothing of these.
    let installation = daemon.kill();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[before + 100] ^= 0x01;
    fs::write(&segment, &bytes).unwrap();
    let line = installation.refusal();
    assert!(line.contains("damaged"), "{line}");
    assert_eq!(
        fs::read(&segment).unwrap(),
        bytes,
        "what was acknowledged is not cut off"
    );
}

#[test]
fn a_store_that_is_older_than_its_head_is_refused_until_an_operator_accepts_it() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let (installation, _) = daemon.stop();
    let segment = newest_segment(&installation);
    let old = fs::read(&segment).unwrap();
    let daemon = installation.start();
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    assert_eq!(client.token(&[]).status, 200);
    let (installation, _) = daemon.stop();
    // A volume from before, with the head that was kept beside it.
    fs::write(&segment, old).unwrap();
    fs::remove_dir_all(installation.config.store.join("index")).unwrap();
    let line = installation.refusal();
    assert!(line.contains("head"), "{line}");

    let mut accept = installation.command("store accept");
    accept.args(["--reason", "put back after a fire"]);
    let accepted = Process::spawn(accept).wait();
    assert_eq!(accepted.code(), Some(0), "{}", accepted.stderr);
    let daemon = installation.start();
    let log = daemon.cli().ndjson(&["audit", "list", "-o", "ndjson"]);
    let entry = log
        .iter()
        .find(|it| it["action"] == "store.accept")
        .unwrap();
    assert_eq!(entry["reason"], "put back after a fire");
    assert_eq!(
        client.token(&[]).status,
        401,
        "what came after the backup is gone"
    );
    daemon.stop().0.check_store();
}

#[test]
fn a_check_says_with_its_exit_code_what_is_wrong_and_a_rebuild_mends_the_index() {
    let (daemon, client) = busy_daemon();
    let check = daemon.installation.run("store check");
    assert_eq!(check.code(), Some(1));
    assert!(
        check.stderr.contains("another daemon has the store"),
        "{}",
        check.stderr
    );
    let (installation, _) = daemon.stop();
    let report = |code: i32| {
        let check = installation.run("store check -o json");
        assert_eq!(check.code(), Some(code), "{}{}", check.stdout, check.stderr);
        serde_json::from_str::<serde_json::Value>(&check.stdout).unwrap()
    };
    let sound = report(0);
    assert_eq!(sound["sound"], true);
    assert!(sound["entries"].as_u64().unwrap() > 750, "{sound}");

    let mark = installation.config.store.join("index/mark.json");
    fs::write(&mark, b"{}").unwrap();
    let found = report(3);
    assert_eq!(found["findings"][0]["part"], "index");
    let rebuilt = installation.run("store rebuild");
    assert_eq!(rebuilt.code(), Some(0), "{}", rebuilt.stderr);
    assert_eq!(report(0)["root"], sound["root"]);
    let compacted = installation.run("store compact");
    assert_eq!(compacted.code(), Some(0), "{}", compacted.stderr);
    assert_eq!(report(0)["root"], sound["root"]);

    let segment = newest_segment(&installation);
    let whole = fs::read(&segment).unwrap();
    let mut bytes = whole.clone();
    bytes[whole.len() / 2] ^= 0x08;
    fs::write(&segment, bytes).unwrap();
    let found = report(4);
    let problem = found["findings"][0]["problem"].as_str().unwrap();
    let place = format!("bit 3 of byte {}", whole.len() / 2);
    assert!(
        problem.contains(&place) && problem.contains("with the entries from"),
        "{problem}"
    );
    fs::write(&segment, whole).unwrap();
    assert_eq!(client_of(installation.start(), &client), 200);
}

/// Waits until the daemon has logged `message`.
fn logs(daemon: &TestDaemon, message: &str) {
    daemon.process.wait_for(message, |seen| {
        String::from_utf8_lossy(&seen.stderr)
            .contains(message)
            .then_some(())
    });
}

fn client_of(daemon: TestDaemon, client: &Client) -> u16 {
    let status = client.token(&[]).status;
    daemon.stop().0.check_store();
    status
}

#[test]
fn a_daemon_that_serves_checks_and_compacts_its_store_when_an_admin_asks() {
    let (daemon, client) = busy_daemon();
    let cli = daemon.cli();
    let log = |action: &str| cli.ndjson(&["audit", "list", "--action", action, "-o", "ndjson"]);
    let asked = cli.json(&["store", "check", "-o", "json"]);
    assert!(asked["audit_seq"].as_u64().is_some(), "{asked}");
    logs(&daemon, "the whole store was verified");
    // The one that says who asked, and the one that says how it ended.
    assert_eq!(log("store.check").len(), 2);
    let status = cli.json(&["status", "-o", "json"]);
    assert_eq!(status["store"]["checked"]["findings"], 0, "{status}");
    let _ = cli.run(&["store", "compact"]).ok();
    logs(&daemon, "the index was compacted");
    let second = daemon.installation.config.store.join("index/sled.2");
    assert!(second.exists() && !second.with_file_name("sled").exists());
    assert_eq!(client.token(&[]).status, 200);
    assert_eq!(log("store.compact").len(), 1);
    daemon.stop().0.check_store();
}

#[test]
fn a_store_that_was_killed_is_checked_while_the_daemon_serves_again() {
    let (daemon, client) = busy_daemon();
    let daemon = daemon.kill().start();
    assert_eq!(client.token(&[]).status, 200);
    let cli = daemon.cli();
    logs(&daemon, "the whole store was verified");
    let log = cli.ndjson(&["audit", "list", "--action", "store.check", "-o", "ndjson"]);
    assert_eq!(log[0]["outcome"], "success");
    let status = cli.json(&["status", "-o", "json"]);
    assert_eq!(status["store"]["was_unclean"], true);
    assert_eq!(status["store"]["checked"]["findings"], 0, "{status}");
    daemon.stop().0.check_store();
}

#[test]
fn the_files_of_the_store_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let mut folders = vec![daemon.installation.config.store.clone()];
    while let Some(folder) = folders.pop() {
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o077,
            0,
            "{}",
            folder.display()
        );
        folders.extend(
            fs::read_dir(&folder)
                .unwrap()
                .map(|it| it.unwrap().path())
                .filter(|it| it.is_dir()),
        );
    }
}
