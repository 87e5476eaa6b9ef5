//! The log: everything that happens is in it, and nothing that must not be.

use std::fs;

use agentidp_tests::{Client, Installation, Registration, TestDaemon, find_in_files};
use serde_json::Value;

/// The whole log, oldest first.
fn log_of(daemon: &TestDaemon) -> Vec<Value> {
    let mut entries = daemon
        .cli()
        .ndjson(&["audit", "list", "--limit", "100000", "-o", "ndjson"]);
    entries.reverse();
    entries
}

fn entry(line: &str) -> Option<Value> {
    serde_json::from_str::<Value>(line)
        .ok()
        .filter(|it| it["action"].is_string())
}

#[test]
fn an_issuance_stands_in_the_log_and_arrives_at_those_who_follow_it() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let from = log_of(&daemon).len().to_string();
    let tail = daemon
        .cli()
        .spawn(&["audit", "tail", "--from", &from, "-o", "ndjson"]);

    let answer = client.token(&[("scope", "resume:read")]);
    let claims = Client::claims(&answer.token());
    let is_it = |it: &Value| it["jti"] == claims["jti"];
    let followed = tail.wait_for_line("the issuance", |line| entry(line).filter(is_it));
    let listed = log_of(&daemon)
        .into_iter()
        .find(is_it)
        .expect("the issuance is listed");
    assert_eq!(followed, listed);

    assert_eq!(listed["action"], "token.issue");
    assert_eq!(listed["outcome"], "success");
    assert_eq!(listed["actor"]["kind"], "agent");
    assert_eq!(listed["actor"]["id"], client.id);
    assert_eq!(listed["actor"]["name"], "a@acme.example");
    assert_eq!(listed["actor"]["via"], "http");
    assert_eq!(listed["organization_id"], claims["organization_id"]);
    assert_eq!(listed["credential_id"], client.credential);
    assert_eq!(listed["scope"], "resume:read");
    assert_eq!(listed["audience"][0], claims["aud"]);
    assert_eq!(listed["request_id"], answer.header("x-request-id").unwrap());
}

#[test]
fn what_an_operator_attempts_in_vain_stands_in_the_log() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let from = log_of(&daemon).len().to_string();
    let tail = daemon
        .cli()
        .spawn(&["audit", "tail", "--from", &from, "-o", "ndjson"]);
    // That there is no such agent for them is a refusal, as it is for automation.
    for (line, action, said) in [
        (
            ["org", "create", "acme"],
            "organization.create",
            ("failed", "ALREADY_EXISTS"),
        ),
        (
            ["agent", "show", "nobody@acme.example"],
            "agent.show",
            ("denied", "AGENT_NOT_FOUND"),
        ),
    ] {
        assert_ne!(daemon.cli().run(&line).code(), Some(0), "{line:?}");
        let attempt = tail.wait_for_line(action, |line| {
            entry(line).filter(|it| it["action"] == action)
        });
        assert_eq!(
            (&attempt["outcome"], &attempt["code"]),
            (&said.0.into(), &said.1.into())
        );
        assert_eq!(attempt["actor"]["kind"], "operator");
    }
}

#[test]
fn a_suspension_and_the_denial_after_it_both_stand_in_the_log() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let from = log_of(&daemon).len().to_string();
    let tail = daemon
        .cli()
        .spawn(&["audit", "tail", "--from", &from, "-o", "ndjson"]);
    daemon.change("suspend", "a@acme.example");
    assert_eq!(client.token(&[]).status, 401);

    let suspension = tail.wait_for_line("the suspension", |line| {
        entry(line).filter(|it| it["action"] == "agent.suspend")
    });
    assert_eq!(suspension["outcome"], "success");
    assert_eq!(suspension["reason"], "the test says so");
    assert_eq!(suspension["actor"]["kind"], "operator");
    assert_eq!(suspension["actor"]["via"], "socket");
    assert_eq!(
        suspension["actor"]["id"],
        nix::unistd::geteuid().to_string()
    );
    assert_eq!(suspension["target"]["id"], client.id);
    assert_eq!(suspension["target"]["revision"], 2);
    let denial = tail.wait_for_line("the denial", |line| {
        entry(line).filter(|it| it["outcome"] == "denied")
    });
    assert_eq!(denial["action"], "token.issue");
    assert_eq!(denial["code"], "AGENT_SUSPENDED");
    assert!(denial["seq"].as_u64() > suspension["seq"].as_u64());
}

#[test]
fn a_denial_of_a_known_agent_says_why() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let other = daemon.enrol(&Registration::new("b@acme.example"));
    let revoked = daemon.issue("a@acme.example", &[]);
    let revoke = [
        "credential",
        "revoke",
        &revoked.credential,
        "--reason",
        "the test says so",
        "--yes",
    ];
    let _ = daemon.cli().run(&revoke).ok();

    let tail = daemon
        .cli()
        .spawn(&["audit", "tail", "--from", "0", "-o", "ndjson"]);
    for (code, answer) in [
        ("WRONG_SECRET", client.with_secret(&other.secret).token(&[])),
        ("CREDENTIAL_REVOKED", revoked.token(&[])),
        (
            "SCOPE_NOT_ALLOWED",
            client.token(&[("scope", "ledger:write")]),
        ),
        (
            "RESOURCE_NOT_ALLOWED",
            client.token(&[("resource", "https://mcp.example/")]),
        ),
    ] {
        let request = answer.header("x-request-id").unwrap();
        let denial = tail.wait_for_line(code, |line| {
            entry(line).filter(|it| it["request_id"] == request)
        });
        assert_eq!(denial["code"], code);
        assert_eq!(denial["outcome"], "denied");
        let list = [
            "audit",
            "list",
            "--agent",
            "a@acme.example",
            "--outcome",
            "denied",
            "-o",
            "ndjson",
        ];
        assert!(daemon.cli().ndjson(&list).contains(&denial), "{denial}");
    }
}

#[test]
fn a_flood_of_strangers_is_counted_whole_in_a_few_entries() {
    const TRIES: u64 = 50;
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let stranger = client.with_id("0193f2c4-0000-7000-8000-000000009b20");
    for _ in 0..TRIES {
        assert_eq!(stranger.token(&[]).status, 401);
    }
    // What was counted and not yet written is written before the daemon ends.
    let (installation, _) = daemon.stop();
    let daemon = installation.start();
    let denied = daemon
        .cli()
        .ndjson(&["audit", "list", "--outcome", "denied", "-o", "ndjson"]);
    let counts = denied.iter().map(|it| it["count"].as_u64().unwrap_or(1));
    assert_eq!(counts.sum::<u64>(), TRIES, "{denied:?}");
    assert!(denied.len() <= 4, "two a minute: {denied:?}");
    assert!(
        denied.iter().all(|it| it["code"] == "UNKNOWN_CLIENT"),
        "{denied:?}"
    );
}

#[test]
fn filters_and_limits_narrow_the_listing() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let [a, b] =
        ["a@acme.example", "b@acme.example"].map(|it| daemon.enrol(&Registration::new(it)));
    for _ in 0..3 {
        assert_eq!(a.token(&[]).status, 200);
    }
    assert_eq!(b.token(&[]).status, 200);
    let count = |filter: &[&str]| {
        let arguments = [&["audit", "list", "-o", "ndjson"], filter].concat();
        daemon.cli().ndjson(&arguments).len()
    };
    assert_eq!(count(&["--action", "token.issue"]), 4);
    assert_eq!(
        count(&["--action", "token.issue", "--agent", "a@acme.example"]),
        3
    );
    assert_eq!(count(&["--action", "token.issue", "--agent", &b.id]), 1);
    assert_eq!(count(&["--action", "token.issue", "--limit", "2"]), 2);
    assert_eq!(
        count(&["--action", "token.issue", "--outcome", "denied"]),
        0
    );
}

#[test]
fn the_log_has_no_gaps_and_tells_the_daemon_s_own_life() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    // More than one bundle holds.
    for _ in 0..300 {
        assert_eq!(client.token(&[]).status, 200);
    }
    let (installation, _) = daemon.stop();
    let daemon = installation.start();
    let log = log_of(&daemon);
    for (index, entry) in log.iter().enumerate() {
        assert_eq!(entry["seq"], index, "{entry}");
        assert_eq!(entry["v"], 1);
    }
    let position = |action: &str| {
        log.iter()
            .position(|it| it["action"] == action)
            .unwrap_or_else(|| panic!("no {action}"))
    };
    assert!(position("store.init") < position("daemon.start"));
    assert!(position("daemon.start") < position("daemon.stop"));
    assert_eq!(log.last().unwrap()["action"], "daemon.start");
}

#[test]
fn a_follower_that_starts_at_the_beginning_sees_every_entry_once_in_order() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    for _ in 0..300 {
        assert_eq!(client.token(&[]).status, 200);
    }
    let expected = log_of(&daemon);
    let tail = daemon
        .cli()
        .spawn(&["audit", "tail", "--from", "0", "-o", "ndjson"]);
    let last = expected.last().unwrap().clone();
    tail.wait_for_line("the last entry", |line| {
        entry(line).filter(|it| *it == last)
    });
    let text = tail.seen(|seen| String::from_utf8_lossy(&seen.stdout).into_owned());
    let followed: Vec<_> = text.lines().filter_map(entry).collect();
    assert_eq!(followed, expected);
}

#[test]
fn no_secret_and_no_token_is_left_on_standard_error_or_in_the_store() {
    assert_no_secret_is_left(false);
}

#[test]
fn no_secret_and_no_token_is_left_in_log_files_or_in_the_store() {
    assert_no_secret_is_left(true);
}

/// Uses secrets and tokens rightly and wrongly, and looks for them wherever the daemon writes.
fn assert_no_secret_is_left(logs_to_files: bool) {
    let mut installation = Installation::new();
    let log_folder = installation.directory().join("log");
    installation.config.log_directory = logs_to_files.then(|| log_folder.clone());
    let level = ("AGENTIDP_LOG_LEVEL".to_owned(), "trace".to_owned());
    installation.environment.push(level);
    installation.init();
    let daemon = installation.start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let successor = daemon.rotate(&client.credential, &["--grace", "1h"]);
    let other = daemon.enrol(&Registration::new("b@acme.example"));
    let wrong = client.with_secret(&other.secret);
    let mut needles = vec![client.basic_header()["Basic ".len()..].to_owned()];
    for secret in [&client.secret, &successor.secret, &other.secret] {
        // The part that is random; what is before it is the credential's id.
        needles.push(secret[secret.len() - 43..].to_owned());
    }
    for answer in [
        client.token(&[]),
        client.token_by_post(&[]),
        successor.token(&[]),
        other.token(&[]),
    ] {
        let token = answer.token();
        needles.push(token.rsplit('.').next().unwrap().to_owned());
        needles.push(token);
    }
    assert_eq!(wrong.token(&[]).status, 401);
    assert_eq!(wrong.token_by_post(&[]).status, 401);
    // Secrets where they do not belong, which is where careless logs pick them up.
    let http = daemon.http();
    let path = format!("/oauth2/token?client_secret={}", client.secret);
    assert_ne!(http.get(&path).status, 200);
    assert_ne!(client.token(&[("scope", &client.secret)]).status, 200);
    assert_ne!(client.token(&[("resource", &client.secret)]).status, 200);
    assert_ne!(client.with_id(&client.secret).token(&[]).status, 200);

    let log = daemon
        .cli()
        .run(&["audit", "list", "--limit", "100000", "-o", "ndjson"])
        .ok();
    let table = daemon.cli().run(&["audit", "list"]).ok();
    let (installation, finished) = daemon.stop();
    let lines = if logs_to_files {
        let files = fs::read_dir(log_folder).unwrap();
        files
            .map(|it| fs::read_to_string(it.unwrap().path()).unwrap())
            .collect()
    } else {
        finished.stderr.clone()
    };
    assert!(lines.contains("TRACE"), "the daemon logs everything it can");
    for needle in needles {
        for (what, text) in [
            ("the audit log", log.stdout()),
            ("the audit table", table.stdout()),
            ("the daemon's standard output", &finished.stdout),
            ("the daemon's standard error", &finished.stderr),
        ] {
            assert!(!text.contains(&needle), "{needle} is in {what}");
        }
        let files = find_in_files(installation.directory(), &needle);
        assert!(files.is_empty(), "{needle} is in {files:?}");
    }
}
