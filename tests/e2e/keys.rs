//! Signing keys: rotated in peace and in an emergency, and sealed under another key.

use std::collections::BTreeSet;
use std::fs;

use agentidp_tests::{Client, Registration, Request, Response, TestConsole, TestDaemon};
use jsonwebtoken::decode_header;
use serde_json::{Value, json};

const JWKS: &str = "/.well-known/jwks.json";
/// How long a copy of the JWKS is good for, in seconds.
const MAX_AGE: u64 = 300;

fn daemon() -> (TestDaemon, Client) {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    (daemon, client)
}

/// The key that signs for `client` now.
fn signs(client: &Client) -> String {
    decode_header(client.token(&[]).token())
        .unwrap()
        .kid
        .unwrap()
}

fn kids(jwks: &Response) -> BTreeSet<String> {
    let keys = jwks.json()["keys"].as_array().unwrap().clone();
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

fn set<const N: usize>(kids: [&str; N]) -> BTreeSet<String> {
    kids.map(str::to_owned).into()
}

fn rotate(daemon: &TestDaemon, options: &[&str]) -> Value {
    let mut arguments = vec!["key", "rotate", "--reason", "drill", "--yes", "-o", "json"];
    arguments.extend(options);
    daemon.cli().json(&arguments)
}

fn kid(answer: &Value) -> &str {
    answer["key"]["kid"].as_str().unwrap()
}

#[test]
fn a_rotation_publishes_the_new_key_and_lets_the_old_one_sign_until_every_copy_knows_it() {
    let (daemon, client) = daemon();
    let old = signs(&client);
    let before = daemon.http().get(JWKS);
    assert_eq!(kids(&before), set([&old]));

    let rotated = rotate(&daemon, &[]);
    let new = kid(&rotated);
    assert_eq!(rotated["key"]["state"], "pending");
    assert_eq!(rotated["key"]["next"]["state"], "active");
    assert_eq!(rotated["jwks_max_age"], MAX_AGE);
    assert_eq!(kids(&daemon.http().get(JWKS)), set([&old, new]));
    assert_eq!(signs(&client), old);
    let again = rotate(&daemon, &[]);
    assert_eq!(kid(&again), new);
    assert_eq!(again["audit_seq"], rotated["audit_seq"]);
    let listed = daemon.cli().ndjson(&["key", "list", "-o", "ndjson"]);
    let states: Vec<_> = listed
        .iter()
        .map(|key| {
            (
                key["state"].as_str().unwrap(),
                key["next"]["state"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        states,
        [("pending", Some("active")), ("active", Some("retiring"))]
    );

    let log = ["audit", "list", "--action", "key.rotate", "-o", "ndjson"];
    let entries = daemon.cli().ndjson(&log);
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["seq"], rotated["audit_seq"]);
    assert_eq!(entries[0]["reason"], "drill");
    assert_eq!(entries[0]["actor"]["kind"], "operator");
    assert_eq!(entries[0]["target"]["id"], new);
}

#[test]
fn the_jwks_is_fetched_again_only_when_it_has_changed() {
    let (daemon, _) = daemon();
    let fetch = |method: &str, tag: Option<&str>| {
        let mut request = Request::new(method, JWKS);
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        daemon.http().send(&request)
    };
    let policy = format!("public, max-age={MAX_AGE}");
    let first = fetch("GET", None);
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "strong: {tag}");
    assert_eq!(first.header("cache-control"), Some(policy.as_str()));
    let head = fetch("HEAD", None);
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["etag", "cache-control", "content-type", "content-length"] {
        assert_eq!(head.header(name), first.header(name), "{name}");
    }
    let several = format!("\"other\", {tag}");
    for method in ["GET", "HEAD"] {
        for known in [tag.as_str(), several.as_str(), "*"] {
            let again = fetch(method, Some(known));
            assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
            assert_eq!(again.header("etag"), Some(tag.as_str()));
            assert_eq!(again.header("cache-control"), Some(policy.as_str()));
        }
    }

    rotate(&daemon, &[]);
    let changed = fetch("GET", Some(&tag));
    assert_eq!(changed.status, 200);
    let new = changed.header("etag").unwrap();
    assert_ne!(new, tag);
    assert_eq!(fetch("GET", Some(new)).status, 304);
    // The same keys are the same bytes after a restart too.
    let new = new.to_owned();
    let (installation, _) = daemon.stop();
    let daemon = installation.start();
    assert_eq!(daemon.http().get(JWKS).header("etag"), Some(new.as_str()));
}

#[test]
fn a_connection_goes_on_after_answers_that_have_no_body() {
    let (daemon, _) = daemon();
    let mut connection = daemon.http().keep_alive();
    let first = connection.exchange(&Request::new("GET", JWKS));
    let tag = first.header("etag").unwrap();
    let unchanged = Request::new("GET", JWKS).header("if-none-match", tag);
    assert_eq!(connection.exchange(&unchanged).status, 304);
    assert_eq!(connection.exchange(&Request::new("HEAD", JWKS)).status, 200);
    let again = connection.exchange(&Request::new("GET", JWKS));
    assert_eq!((again.status, again.body), (200, first.body));
}

#[test]
fn in_an_emergency_the_old_keys_are_gone_and_a_new_one_signs_at_once() {
    let (daemon, client) = daemon();
    let old = signs(&client);
    let pending = rotate(&daemon, &[]);
    let answer = rotate(&daemon, &["--emergency"]);
    let new = kid(&answer).to_owned();
    let revoked: BTreeSet<String> = answer["revoked"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(revoked, set([&old, kid(&pending)]));
    assert_eq!(kids(&daemon.http().get(JWKS)), set([&new]));
    assert_eq!(signs(&client), new);

    // Also after the daemon was killed.
    let daemon = daemon.kill().start();
    assert_eq!(kids(&daemon.http().get(JWKS)), set([&new]));
    let listed = daemon.cli().ndjson(&["key", "list", "-o", "ndjson"]);
    for key in listed.iter().filter(|key| key["kid"] != new.as_str()) {
        assert_eq!(
            (&key["state"], &key["next"]),
            (&json!("revoked"), &json!(null))
        );
    }
    let log = ["audit", "list", "--action", "key.revoke", "-o", "ndjson"];
    assert_eq!(daemon.cli().ndjson(&log).len(), 2);
    daemon.stop().0.check_store();
}

#[test]
fn a_rotation_is_not_made_by_chance() {
    let (daemon, client) = daemon();
    let old = signs(&client);
    for (arguments, code, word) in [
        (&["--reason", "drill"][..], 2, "--yes"),
        (&["--yes"], 2, "--reason"),
        (
            &["--reason", "drill", "--yes", "--kid", "k"],
            2,
            "--emergency",
        ),
        (
            &["--reason", "drill", "--yes", "--emergency", "--kid", "k"],
            3,
            "agentidp key list",
        ),
    ] {
        let words: Vec<_> = ["key", "rotate"].iter().chain(arguments).copied().collect();
        let refused = daemon.cli().run(&words).failing_with(code);
        assert!(refused.stderr().contains(word), "{}", refused.stderr());
    }
    assert_eq!(kids(&daemon.http().get(JWKS)), set([&old]));
}

#[test]
fn a_person_has_to_type_the_name_of_the_key() {
    let (daemon, client) = daemon();
    let old = signs(&client);
    let name = &old[..8];
    for (typed, is_done) in [("y", false), (name, true)] {
        let socket = &daemon.installation.config.socket;
        let mut terminal = TestConsole::command(socket, &["key", "rotate"]);
        terminal.wait_for("Reason, for the audit log:");
        terminal.press("drill\r");
        terminal.wait_for(&format!("Type {name} to do it:"));
        terminal.press(&format!("{typed}\r"));
        assert_eq!(terminal.wait_for_end().status.success(), is_done, "{typed}");
        let count = kids(&daemon.http().get(JWKS)).len();
        assert_eq!(count, 1 + usize::from(is_done), "{typed}");
    }
}

#[test]
fn only_an_admin_rotates() {
    let (daemon, client) = daemon();
    let old = signs(&client);
    let (mut installation, _) = daemon.stop();
    installation.config.roles[0].role = "operator";
    let daemon = installation.start();
    for emergency in [&[][..], &["--emergency"]] {
        let mut words = vec!["key", "rotate", "--reason", "drill", "--yes"];
        words.extend(emergency);
        let refused = daemon.cli().run(&words).failing_with(4);
        assert!(refused.stderr().contains("admin"), "{}", refused.stderr());
    }
    assert_eq!(kids(&daemon.http().get(JWKS)), set([&old]));
    let log = ["audit", "list", "--action", "key.rotate", "-o", "ndjson"];
    let entries = daemon.cli().ndjson(&log);
    assert!(!entries.is_empty());
    assert!(entries.iter().all(|entry| entry["outcome"] == "denied"));
}

#[test]
fn the_key_encryption_key_can_be_changed_with_two_restarts() {
    const PREVIOUS: &str = "AGENTIDP_KEYS_PREVIOUS_KEY_ENCRYPTION_KEY_FILE";
    let (daemon, client) = daemon();
    let signed_with = signs(&client);
    let (mut installation, _) = daemon.stop();
    let old = installation.config.key_encryption_key.clone();
    let new = old.with_extension("new");
    // With its mode, 600.
    fs::copy(&old, &new).unwrap();
    fs::write(&new, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
    installation.config.key_encryption_key.clone_from(&new);

    // The new key alone opens nothing, and the daemon says what is missing.
    let line = installation.refusal();
    assert!(
        line.contains("keys.previous_key_encryption_key_file"),
        "{line}"
    );

    let name = old.to_str().unwrap().to_owned();
    installation.environment = vec![(PREVIOUS.to_owned(), name)];
    let daemon = installation.start();
    // Its secret is checked with a key that was sealed, too.
    assert_eq!(signs(&client), signed_with);
    let log = ["audit", "list", "--action", "key.rewrap", "-o", "ndjson"];
    assert_eq!(daemon.cli().ndjson(&log).len(), 3);

    let (mut installation, _) = daemon.stop();
    installation.environment.clear();
    fs::remove_file(&old).unwrap();
    let daemon = installation.start();
    assert_eq!(signs(&client), signed_with);
    assert_eq!(daemon.cli().ndjson(&log).len(), 3, "nothing was left to do");
    daemon.stop().0.check_store();
}
