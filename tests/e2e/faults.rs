//! What the daemon does when the machine fails it: a disk that is full, one that takes nothing more, a
//! store that somebody else has open. docs/operations.md tells operators to do what is done here.

use std::fs;
use std::process::Command;

use agentidp_tests::{
    Client, Installation, MountNamespace, Process, Registration, TestDaemon, free_address,
};
use serde_json::Value;

const JWKS: &str = "/.well-known/jwks.json";

fn wait_for_log(daemon: &TestDaemon, text: &str) {
    daemon.process.wait_for(text, |seen| {
        let log = String::from_utf8_lossy(&seen.stderr);
        log.contains(text).then_some(())
    });
}

fn status(daemon: &TestDaemon) -> Value {
    daemon.cli().json(&["status", "-o", "json"])
}

/// A store on a disk of its own, of 32 MiB, of which 8 are kept.
fn on_a_small_disk() -> (Installation, MountNamespace) {
    let mut installation = Installation::new();
    let disk = installation.directory().join("disk");
    fs::create_dir(&disk).unwrap();
    installation.config.store = disk.join("store");
    installation.config.reserve = Some("8MiB");
    installation.config.metrics = Some(free_address());
    let namespace = MountNamespace::new(&format!(
        "mount -t tmpfs -o size=32m,mode=700 tmpfs {}",
        disk.display()
    ));
    installation.by_way_of = namespace.by_way_of();
    // Who starts it without being root is root in there.
    installation.config.roles[0].users.push("root".to_owned());
    installation.init();
    (installation, namespace)
}

fn assert_issues_nothing(daemon: &TestDaemon, client: &Client) {
    let refused = client.token(&[]);
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.json()["error"], "temporarily_unavailable");
    assert_eq!(refused.header("retry-after"), Some("60"));
    let arguments = Registration::new("late@acme.example");
    let late = daemon.cli().run(&arguments.arguments()).failing_with(1);
    assert!(late.stderr().contains("STORAGE_LOW"), "{}", late.stderr());
    assert!(late.stderr().contains("make room"), "{}", late.stderr());
}

/// docs/operations.md, "When the disk is full".
#[test]
fn on_a_full_disk_nothing_is_issued_and_everything_can_be_revoked_until_there_is_room_again() {
    let (installation, namespace) = on_a_small_disk();
    let daemon = installation.start();
    daemon.organization("acme");
    let enrol = |name: &str| {
        daemon.enrol(&Registration::new(&format!("{name}@acme.example")).capability("tokens:read"))
    };
    let [client, suspended, rid, doomed] = ["a", "b", "c", "d"].map(enrol);
    let (token, revoked) = (client.token(&[]).token(), client.token(&[]).token());
    assert_eq!(status(&daemon)["store"]["is_low_on_space"], false);

    // To the last byte: what dd cannot write any more is what it is for.
    let filler = daemon.installation.directory().join("disk/filler");
    namespace.run(&format!(
        "dd if=/dev/zero of={} bs=4096 2>/dev/null || true",
        filler.display()
    ));
    // At this very moment, and not only when the daemon has noticed.
    daemon.change("suspend", &suspended.id);
    wait_for_log(&daemon, "the store is low on space");
    assert_issues_nothing(&daemon, &client);

    daemon.change("revoke", &doomed.id);
    assert_eq!(client.introspect(&revoked).json()["active"], true);
    assert_eq!(client.revoke(&revoked).status, 200);
    assert_eq!(client.introspect(&revoked).json()["active"], false);
    let cli = daemon.cli();
    let reason = ["--reason", "leaked", "--yes", "-o", "json"];
    let revoke = ["credential", "revoke", &rid.credential];
    for command in [&revoke[..], &["key", "rotate", "--emergency"]] {
        let _ = cli.run(&[command, &reason].concat()).ok();
    }
    // The emergency took the tokens along.
    assert_eq!(client.introspect(&token).json()["active"], false);
    assert_eq!(daemon.http().get(JWKS).status, 200);
    assert_eq!(daemon.http().get("/health/ready").status, 200);

    let shown = status(&daemon);
    assert_eq!(shown["ready"], true);
    assert_eq!(shown["store"]["is_low_on_space"], true, "{shown}");
    let warning = shown["warnings"][0].as_str().unwrap();
    assert!(warning.contains("low on space"), "{warning}");
    assert!(warning.contains("make room"), "{warning}");
    let metrics = daemon.metrics().get("/metrics").text();
    assert!(
        metrics.contains("agentidp_store_low_on_space 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("agentidp_part_state{part=\"disk\",state=\"degraded\"} 1"),
        "{metrics}"
    );

    namespace.run(&format!("rm {}", filler.display()));
    wait_for_log(&daemon, "the store has room again");
    assert_eq!(client.token(&[]).status, 200, "nothing was restarted");
    daemon.register(&Registration::new("late@acme.example"));
    let warnings = status(&daemon)["warnings"].to_string();
    assert!(!warnings.contains("low on space"), "{warnings}");

    // What was acknowledged on the full disk is there after a kill.
    let daemon = daemon.kill().start();
    for (client, status) in [
        (&client, 200),
        (&suspended, 401),
        (&rid, 401),
        (&doomed, 401),
    ] {
        assert_eq!(client.token(&[]).status, status);
    }
    daemon.stop().0.check_store();
}

/// docs/operations.md, "When the disk fails". A file that may not grow stands for a disk that takes no
/// more: that needs no privilege, and the journal is told so by the same call.
#[test]
fn after_a_write_that_failed_nothing_is_acknowledged_and_a_restart_has_all_that_was() {
    let mut installation = Installation::initialized();
    let way = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    installation.by_way_of = way.map(str::to_owned).to_vec();
    let daemon = installation.start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example").capability("tokens:read"));
    let token = client.token(&[]).token();

    let journal = daemon.installation.config.store.join("journal");
    let segments = fs::read_dir(journal).unwrap().map(|it| it.unwrap().path());
    let segment = segments.max().unwrap();
    let limit = fs::metadata(&segment).unwrap().len() + 10;
    let mut prlimit = Command::new("prlimit");
    let pid = format!("--pid={}", daemon.process.pid());
    prlimit.args([&pid, &format!("--fsize={limit}:")]);
    assert_eq!(Process::spawn(prlimit).wait().code(), Some(0));

    for _ in 0..2 {
        let refused = client.token(&[]);
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert_eq!(refused.header("retry-after"), Some("10"));
    }
    assert_eq!(daemon.http().get("/health/ready").status, 503);
    assert_eq!(daemon.http().get("/health/live").status, 200);
    assert_eq!(daemon.http().get(JWKS).status, 200);
    assert_eq!(client.introspect(&token).json()["active"], true);
    let shown = status(&daemon);
    assert_eq!(shown["ready"], false);
    let why = shown["not_ready_reason"].as_str().unwrap();
    for part in [
        "write to",
        segment.to_str().unwrap(),
        "os error 27",
        "LimitFSIZE",
        "restart the daemon",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }

    let daemon = daemon.kill().start();
    assert_eq!(client.token(&[]).status, 200);
    assert_eq!(client.introspect(&token).json()["active"], true);
    daemon.stop().0.check_store();
}

#[test]
fn a_store_that_a_daemon_has_open_is_no_other_process_s() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let mut second = Installation::new();
    second.config.store = daemon.installation.config.store.clone();
    second.config.key_encryption_key = daemon.installation.config.key_encryption_key.clone();
    let store = second.config.store.to_str().unwrap();
    let line = second.refusal();
    assert!(line.contains("another daemon has the store in"), "{line}");
    assert!(line.contains(store), "{line}");
    for command in ["init", "store check", "store accept --reason test"] {
        let refused = second.run(command);
        assert_ne!(refused.code(), Some(0), "{command}");
        assert!(refused.stderr.contains(store), "{}", refused.stderr);
    }
    // The first is none the worse for it.
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    assert_eq!(client.token(&[]).status, 200);
    daemon.stop().0.check_store();
}
