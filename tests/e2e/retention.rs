//! What the audit log keeps no longer goes, what is under legal hold stays, and what is left proves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Instant;

use agentidp_tests::{Cli, DEADLINE, Registration, TestDaemon};
use serde_json::Value;

use super::independent::entries_in;

/// Everything that there is when it is asked for.
const ALL: [&str; 4] = ["audit", "prune", "--older-than", "0s"];

fn prune(daemon: &TestDaemon, options: &[&str]) -> Value {
    let arguments = [&ALL[..], &["-o", "json"], options].concat();
    daemon.cli().run(&arguments).ok().json()
}

/// The log, oldest first.
fn log(daemon: &TestDaemon, options: &[&str]) -> Vec<Value> {
    let arguments = ["audit", "list", "--limit", "100000", "-o", "ndjson"];
    let mut log = daemon.cli().ndjson(&[&arguments, options].concat());
    log.reverse();
    log
}

/// The places of the entries that account for records as they are after this much of the log.
fn accounts(log: &[Value]) -> BTreeSet<u64> {
    let of_records = log.iter().filter(|it| !it["target"]["digest"].is_null());
    let last = of_records.filter_map(|it| {
        let target = (&it["target"]["kind"], &it["target"]["id"]);
        Some((format!("{target:?}"), it["seq"].as_u64()?))
    });
    let last: BTreeMap<_, _> = last.collect();
    last.into_values().collect()
}

fn verified(daemon: &TestDaemon) -> Value {
    daemon.cli().json(&["audit", "verify", "-o", "json"])
}

/// A daemon with entries of two organizations, of which `acme` is under legal hold.
fn held() -> TestDaemon {
    let daemon = TestDaemon::start();
    let clients = ["acme", "other"].map(|name| {
        daemon.organization(name);
        daemon.enrol(&Registration::new(&format!("a@{name}.example")).of(name))
    });
    for _ in 0..300 {
        for client in &clients {
            let _ = client.token(&[]).token();
        }
    }
    let command = ["org", "hold", "acme", "--reason", "a case", "--yes"];
    let ask = || daemon.cli().run(&[&command[..], &["-o", "json"]].concat());
    let held = ask().ok();
    assert_eq!(held.json()["is_held"], true);
    let says = held.stderr();
    assert!(says.contains("acme is under legal hold now"), "{says}");
    // Whoever asks for it once more has an entry of their own.
    let again = ask().ok();
    let says = again.stderr();
    assert!(says.contains("acme is under legal hold now"), "{says}");
    assert_ne!(says, held.stderr());
    daemon
}

#[test]
fn what_is_pruned_is_gone_for_good_and_the_rest_of_the_log_still_proves() {
    let daemon = held();
    let before = (log(&daemon, &[]), log(&daemon, &["--org", "acme"]));
    let first = verified(&daemon);
    let told = prune(&daemon, &["--dry-run"]);
    assert_eq!(told["is_dry_run"], true);
    let said = log(&daemon, &["--action", "audit.prune"]).remove(0);
    assert_eq!(said["reason"], "dry run");
    assert_eq!(
        log(&daemon, &[])[..before.0.len()],
        before.0,
        "nothing is done"
    );
    let done = prune(&daemon, &["--reason", "for the test", "--yes"]);
    assert_eq!(
        (&done["entries"], &done["held"]),
        (&told["entries"], &told["held"])
    );
    assert!(done["entries"].as_u64() > Some(250) && done["held"].as_u64() > Some(250));

    let after = log(&daemon, &[]);
    let said = after
        .iter()
        .find(|it| it["seq"] == done["audit_seq"])
        .unwrap();
    assert_eq!(
        (&said["action"], &said["count"]),
        (&Value::from("audit.prune"), &done["entries"])
    );
    assert_eq!(said["reason"], "for the test");
    let acme = daemon.cli().json(&["org", "show", "acme", "-o", "json"]);
    let to = said["pruned"]["to"].as_u64().unwrap();
    let accounts_for = accounts(&before.0);
    let is_left = |it: &&Value| {
        let seq = it["seq"].as_u64().unwrap();
        seq >= to || it["organization_id"] == acme["id"] || accounts_for.contains(&seq)
    };
    let first_gone = before.0.iter().find(|it| !is_left(it)).unwrap();
    let first_gone = first_gone["seq"].to_string();
    let expected: Vec<_> = before.0.iter().filter(is_left).cloned().collect();
    assert_eq!(after[..expected.len()], expected);
    assert_eq!(log(&daemon, &["--org", "acme"])[..before.1.len()], before.1);

    let online = verified(&daemon);
    assert_eq!(online["since"], first["size"], "it begins with what it was");
    assert_eq!(online["pruned"], done["entries"]);
    assert_eq!(online["unexplained"], 0);
    for command in ["show", "prove"] {
        let refused = daemon.cli().run(&["audit", command, &first_gone]);
        let says = refused.failing_with(3).stderr().to_owned();
        assert!(says.contains("was pruned"), "{command}: {says}");
        assert!(says.contains("--action audit.prune"), "{command}: {says}");
    }

    // Also after a kill, without the index, and by the check.
    let daemon = daemon.kill().start();
    assert_eq!(log(&daemon, &[])[..after.len()], after);
    let (installation, _) = daemon.stop();
    installation.check_store();
    fs::remove_dir_all(installation.config.store.join("index")).unwrap();
    let daemon = installation.start();
    assert_eq!(log(&daemon, &[])[..after.len()], after);
    assert_eq!(verified(&daemon)["pruned"], done["entries"]);

    let release = ["org", "release", "acme", "--reason", "it is over", "--yes"];
    let _ = daemon.cli().run(&release).ok();
    let rest = prune(&daemon, &["--reason", "for the test", "--yes"]);
    assert!(rest["entries"].as_u64() >= done["held"].as_u64(), "{rest}");
    assert_eq!(rest["held"], 0);
    let left = log(&daemon, &["--org", "acme"]);
    let accounts_for = accounts(&log(&daemon, &[]));
    assert!(left.iter().all(|it| {
        let seq = it["seq"].as_u64().unwrap();
        seq >= to || accounts_for.contains(&seq)
    }));
    assert_eq!(verified(&daemon)["unexplained"], 0);
    let (installation, _) = daemon.stop();
    installation.check_store();
}

#[test]
fn an_export_of_a_pruned_log_is_verified_elsewhere_and_no_hole_can_be_made_in_it() {
    let daemon = held();
    let key = daemon.cli().run(&["audit", "key"]).ok();
    let key = key.stdout().trim_end().to_owned();
    let done = prune(&daemon, &["--reason", "for the test", "--yes"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("export");
    let file = path.to_str().unwrap();
    let elsewhere = Cli::new(Path::new("/nonexistent/operator.sock"));
    let verify = || elsewhere.run(&["audit", "verify", file, "--key", &key, "-o", "json"]);

    let limit = "ulimit -f 64; exec \"$@\"";
    let interrupted = daemon.cli().by_way_of(&["sh", "-c", limit, "sh"]);
    let export = ["audit", "export", file];
    assert_eq!(interrupted.run(&export).code(), None);
    let _ = daemon.cli().run(&export).ok();
    let report = verify().ok().json();
    assert_eq!(
        (&report["pruned"], &report["unexplained"]),
        (&done["entries"], &Value::from(0))
    );
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(entries_in(text.as_bytes(), &key), report["to"].as_u64());

    // A hole with another hash, and an entry that somebody took out.
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let hole = lines
        .iter()
        .position(|it| it.ends_with("\"entry\":null}"))
        .unwrap();
    let first = if lines[hole].starts_with("{\"hash\":\"A") {
        'B'
    } else {
        'A'
    };
    let mut other = lines.clone();
    other[hole].replace_range(9..10, &first.to_string());
    fs::write(&path, other.join("\n") + "\n").unwrap();
    let refused = verify().failing_with(1);
    assert!(refused.stderr().contains("line "), "{}", refused.stderr());
    assert_eq!(entries_in(&fs::read(&path).unwrap(), &key), None);
    let there = lines
        .iter()
        .rposition(|it| it.contains("\"token.issue\""))
        .unwrap();
    let (hash, _) = lines[there].split_once(",\"entry\":").unwrap();
    lines[there] = format!("{hash},\"entry\":null}}");
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let refused = verify().failing_with(1);
    assert!(refused.stderr().contains("line "), "{}", refused.stderr());
}

#[test]
fn the_daemon_keeps_what_it_is_told_to_and_says_so() {
    let daemon = TestDaemon::start();
    let status = daemon.cli().json(&["status", "-o", "json"]);
    let retention = &status["retention"];
    assert_eq!(retention["keep_for_seconds"], 90 * 86_400);
    assert!(retention["failure"].is_null(), "{retention}");
    // It looks when it starts.
    let deadline = Instant::now() + DEADLINE;
    while daemon.cli().json(&["status", "-o", "json"])["retention"]["ran_at"].is_null() {
        assert!(Instant::now() < deadline, "it did not look");
    }
    let line = daemon.cli().run(&["status"]).ok();
    let said = line.stdout().contains("entries are kept for 90d");
    assert!(said, "{}", line.stdout());
    // Nothing to do, and no reason to do it for.
    let nothing = ["audit", "prune", "--reason", "none", "--yes"];
    let nothing = daemon.cli().run(&nothing).ok();
    assert!(
        nothing.stderr().contains("nothing to remove"),
        "{}",
        nothing.stderr()
    );
    assert_eq!(nothing.stdout(), "", "a sentence says it all");
    let dry = ["audit", "prune", "--dry-run"];
    let dry = daemon.cli().run(&dry).ok();
    assert!(
        dry.stderr().contains("nothing to remove"),
        "{}",
        dry.stderr()
    );
    let record = ["audit", "prune", "--dry-run", "-o", "json"];
    assert_eq!(daemon.cli().json(&record)["entries"], 0);
    let refused = daemon.cli().run(&["audit", "prune", "--yes"]);
    assert!(refused.failing_with(2).stderr().contains("--reason"));
    let hidden = daemon
        .cli()
        .run(&["--read-only", "audit", "prune", "--reason", "x", "--yes"]);
    assert_eq!(hidden.ok().code(), Some(0), "there is nothing to do");
    let refused = daemon.cli().run(&[
        "--read-only",
        "org",
        "hold",
        "acme",
        "--reason",
        "x",
        "--yes",
    ]);
    let _ = refused.failing_with(4);
}
