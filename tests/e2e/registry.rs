//! The registry as operators keep it: organizations, agents by the hundred, keys and tokens.

use std::fmt::Write as _;
use std::path::PathBuf;

use agentidp_tests::{Cli, Installation, Output, Registration, TestDaemon};
use serde_json::{Value, json};

/// The public key of RFC 7517, appendix A.1.
const JWK: &str = r#"{"kty":"EC","crv":"P-256","use":"sig","kid":"1",
    "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#;

const REASON: [&str; 3] = ["--reason", "the test says so", "--yes"];

fn daemon() -> TestDaemon {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    daemon
}

/// A file in the daemon's folder.
fn file(daemon: &TestDaemon, name: &str, content: &str) -> PathBuf {
    let path = daemon.installation.directory().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn lines(from: usize, to: usize, owner: &str) -> String {
    (from..to).fold(String::new(), |mut text, number| {
        let line = json!({
            "email": format!("bot-{number:04}@acme.example"), "agent_type": "screener",
            "version": "1.0.0", "capabilities": ["resume:read"], "owner": owner,
            "deployment_env": "production", "metadata": {"number": number.to_string()},
        });
        writeln!(text, "{line}").unwrap();
        text
    })
}

fn register_many(daemon: &TestDaemon, text: &str) -> Output {
    let path = file(daemon, "agents.ndjson", text);
    let words = [
        "agent",
        "register-many",
        path.to_str().unwrap(),
        "--org",
        "acme",
        "-o",
        "ndjson",
    ];
    daemon.cli().run(&words)
}

fn emails(list: &[Value]) -> Vec<&str> {
    list.iter()
        .map(|it| it["email"].as_str().unwrap())
        .collect()
}

fn list(cli: &Cli, words: &[&str]) -> Vec<Value> {
    cli.ndjson(&[&["agent", "list", "-o", "ndjson"], words].concat())
}

#[test]
fn an_organization_is_shown_changed_suspended_and_resumed() {
    let daemon = daemon();
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let cli = daemon.cli();
    let org = |words: &[&str]| cli.json(&[&["org"], words, &["-o", "json"]].concat());
    let shown = org(&["show", "acme"]);
    assert_eq!(shown, org(&["show", shown["id"].as_str().unwrap()]));

    let updated = org(&[
        "update",
        "acme",
        "--tier",
        "free",
        "--max-credential-age",
        "90d",
    ]);
    assert_eq!(updated["tier"], "free");
    assert_eq!(updated["revision"], 2);
    let table = cli.run(&["org", "show", "acme"]).ok();
    assert!(
        table.stdout().contains("max_credential_age    90d"),
        "{}",
        table.stdout()
    );
    let without = org(&["update", "acme", "--max-credential-age", "none"]);
    assert!(without["max_credential_age"].is_null());
    assert_eq!(without["tier"], "free", "what is not named stays");

    let suspended = org(&[&["suspend", "acme"], &REASON[..]].concat());
    assert_eq!(suspended["status"], "suspended");
    assert_eq!(client.token(&[]).status, 401);
    assert_eq!(org(&["resume", "acme"])["status"], "active");
    assert_eq!(client.token(&[]).status, 200);

    let refused = cli
        .run(&["org", "update", "acme", "--tier", "gold"])
        .failing_with(2);
    assert!(
        refused
            .stderr()
            .contains("organizations.tiers in the configuration: free, unlimited")
    );
    let _ = cli.run(&["org", "update", "acme"]).failing_with(2);
    let _ = cli.run(&["org", "show", "nowhere"]).failing_with(3);
    let _ = cli
        .run(&["org", "suspend", "acme", "--reason", "x"])
        .failing_with(2);
}

#[test]
fn an_agent_s_record_changes_where_it_is_asked_to_and_nowhere_else() {
    let daemon = daemon();
    let before =
        daemon.register(&Registration::new("a@acme.example").audience("https://a.example/"));
    let cli = daemon.cli();
    let update = |words: &[&str]| {
        cli.json(&[&["agent", "update", "a@acme.example", "-o", "json"], words].concat())
    };
    let after = update(&[
        "--version",
        "2.0.0",
        "--owner",
        "team-b",
        "--capability",
        "x:read",
    ]);
    assert_eq!(after["version"], "2.0.0");
    assert_eq!(after["owner"], "team-b");
    assert_eq!(after["capabilities"], json!(["x:read"]));
    assert_eq!(after["audiences"], before["audiences"]);
    assert_eq!(after["revision"], 2);
    assert_eq!(update(&["--no-audiences"])["audiences"], json!([]));
    assert_eq!(
        update(&["--metadata", "k=v"])["metadata"],
        json!({"k": "v"})
    );
    assert_eq!(update(&["--no-metadata"])["metadata"], json!({}));
    assert_eq!(
        update(&["--owner", "team-b"])["revision"],
        5,
        "nothing was to be changed"
    );
    let _ = cli
        .run(&["agent", "update", "a@acme.example"])
        .failing_with(2);
    let _ = cli
        .run(&["agent", "update", "a@acme.example", "--env", "moon"])
        .failing_with(2);
}

#[test]
fn a_stale_revision_is_a_conflict_that_says_what_changed() {
    let daemon = daemon();
    daemon.register(&Registration::new("a@acme.example"));
    let cli = daemon.cli();
    let of = |change: &[&str]| {
        let change = ["agent", "update", "a@acme.example"].iter().chain(change);
        cli.run(&change.copied().collect::<Vec<_>>())
    };
    let _ = of(&["--owner", "team-b", "--env", "staging"]).ok();
    let refused = of(&["--owner", "x", "--revision", "1"]).failing_with(5);
    let stderr = refused.stderr();
    assert!(
        stderr.contains(
            "revision 2 now, not 1; the last change is agent.update of owner, deployment_env by"
        ),
        "{stderr}"
    );
    daemon.change("suspend", "a@acme.example");
    let stale = [
        "agent",
        "update",
        "a@acme.example",
        "--owner",
        "x",
        "--revision",
        "1",
    ];
    let refused = daemon.cli().run(&stale).failing_with(5);
    let stderr = refused.stderr();
    assert!(stderr.contains("revision 3 now, not 1"), "{stderr}");
    assert!(
        stderr.contains("the last of 2 changes since then is agent.suspend by"),
        "{stderr}"
    );
    assert!(stderr.contains("REVISION_CONFLICT"), "{stderr}");
}

#[test]
fn agents_are_registered_by_the_file() {
    let daemon = daemon();
    let registered = register_many(&daemon, &lines(0, 250, "team-a")).ok();
    let agents = registered.ndjson();
    assert_eq!(agents.len(), 250);
    assert_eq!(agents[249]["email"], "bot-0249@acme.example");
    assert_eq!(agents[249]["metadata"]["number"], "249");
    let all = daemon.cli().run(&["agent", "list", "--limit", "5"]).ok();
    assert!(
        all.stderr().contains("250 agents in all"),
        "{}",
        all.stderr()
    );

    // A line at fault is found before the first is registered.
    let wrong = lines(300, 420, "team-a").replace("bot-0419@acme.example", "nobody");
    let refused = register_many(&daemon, &wrong).failing_with(2);
    assert!(
        refused.stderr().contains("line 120: email"),
        "{}",
        refused.stderr()
    );
    assert_eq!(list(&daemon.cli(), &["--email-prefix", "bot-03"]).len(), 0);

    // What only the daemon can find spoils its batch, and no other.
    let taken = lines(300, 420, "team-a").replace("bot-0419@", "bot-0000@");
    let refused = register_many(&daemon, &taken).failing_with(5);
    let said = refused.stderr();
    for part in [
        "100 of 120",
        "before line 101",
        "bot-0000@acme.example is taken",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(refused.ndjson().len(), 100);
    assert_eq!(
        list(&daemon.cli(), &["--email-prefix", "bot-03"]).len(),
        100
    );
    assert_eq!(list(&daemon.cli(), &["--email-prefix", "bot-04"]).len(), 0);
}

#[test]
fn an_organization_has_no_more_agents_than_its_tier_allows() {
    let mut installation = Installation::new();
    installation.config.default_tier = "free";
    installation.init();
    let daemon = installation.start();
    daemon.organization("acme");
    let _ = register_many(&daemon, &lines(0, 100, "team-a")).ok();
    let one_more = Registration::new("a@acme.example");
    let refused = daemon.cli().run(&one_more.arguments()).failing_with(1);
    assert!(
        refused.stderr().contains("QUOTA_EXCEEDED"),
        "{}",
        refused.stderr()
    );
    // One that has ended makes room.
    daemon.change("revoke", "bot-0000@acme.example");
    daemon.register(&one_more);
    let _ = daemon
        .cli()
        .run(&["org", "update", "acme", "--tier", "unlimited"])
        .ok();
    let _ = register_many(&daemon, &lines(100, 110, "team-a")).ok();
}

#[test]
fn lists_are_filtered_and_ordered_by_the_daemon_over_all_pages() {
    let daemon = daemon();
    let _ = register_many(&daemon, &lines(0, 6, "team-a")).ok();
    let _ = register_many(&daemon, &lines(6, 9, "team-b")).ok();
    let client = daemon.issue("bot-0003@acme.example", &["--expires-in", "1h"]);
    let _ = daemon.issue("bot-0007@acme.example", &["--expires-in", "2h"]);
    let _ = daemon.issue("bot-0007@acme.example", &[]);
    daemon.change("suspend", "bot-0005@acme.example");
    assert_eq!(client.token(&[]).status, 200);
    let cli = daemon.cli();

    assert_eq!(list(&cli, &["--owner", "team-b"]).len(), 3);
    assert_eq!(list(&cli, &["--owner", "!team-b"]).len(), 6);
    assert_eq!(list(&cli, &["--owner", "team-a,team-b"]).len(), 9);
    assert_eq!(
        list(&cli, &["--filter", "owner=team-a status!=suspended"]).len(),
        5
    );
    assert_eq!(list(&cli, &["--type", "router"]).len(), 0);
    assert_eq!(list(&cli, &["--env", "!production"]).len(), 0);
    assert_eq!(list(&cli, &["--capability", "resume:read"]).len(), 9);
    assert_eq!(list(&cli, &["--email-prefix", "bot-0007"]).len(), 1);
    assert_eq!(list(&cli, &["--text", "BOT-0007"]).len(), 1);
    let soon = list(&cli, &["--expires-within", "90m"]);
    assert_eq!(emails(&soon), ["bot-0003@acme.example"]);

    let by_email = list(&cli, &["--sort", "email"]);
    assert_eq!(by_email[0]["email"], "bot-0000@acme.example");
    assert_eq!(
        list(&cli, &["--sort", "email", "--order", "desc"])[0]["email"],
        "bot-0008@acme.example"
    );
    let expiring = list(&cli, &["--sort", "expires", "--limit", "2"]);
    assert_eq!(
        emails(&expiring),
        ["bot-0003@acme.example", "bot-0007@acme.example"]
    );
    assert_eq!(expiring[1]["credentials"], 2);
    assert!(expiring[1]["expires_at"].is_string());
    let used = list(&cli, &["--sort", "last-auth", "--limit", "1"]);
    assert_eq!(emails(&used), ["bot-0003@acme.example"]);

    let _ = cli
        .run(&["agent", "list", "--status", "happy"])
        .failing_with(2);
    let _ = cli
        .run(&["agent", "list", "--filter", "happy"])
        .failing_with(2);
}

#[test]
fn a_long_list_goes_on_where_it_was_in_every_order() {
    let daemon = daemon();
    for from in [0, 600] {
        let _ = register_many(&daemon, &lines(from, from + 600, "team-a")).ok();
    }
    for order in ["created", "email", "last-auth", "expires"] {
        for direction in ["asc", "desc"] {
            let words = ["--sort", order, "--order", direction, "--limit", "5000"];
            let all = list(&daemon.cli(), &words);
            let mut seen = emails(&all);
            assert_eq!(seen.len(), 1_200, "{order} {direction}");
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 1_200, "{order} {direction}: none comes twice");
        }
    }
}

#[test]
fn many_agents_are_moved_by_a_filter_after_it_is_told_how_many() {
    let daemon = daemon();
    let _ = register_many(&daemon, &lines(0, 120, "team-a")).ok();
    let _ = register_many(&daemon, &lines(120, 130, "team-b")).ok();
    daemon.change("suspend", "bot-0001@acme.example");
    daemon.change("revoke", "bot-0002@acme.example");
    let cli = daemon.cli();
    let filter = ["--filter", "owner=team-a", "-o", "json"];

    let dry = cli.json(&[&["agent", "suspend", "--dry-run"], &filter[..]].concat());
    assert_eq!(dry["matched"], 120);
    assert_eq!(dry["done"], 118);
    assert_eq!(dry["unchanged"], 1);
    assert_eq!(dry["refused"][0]["email"], "bot-0002@acme.example");
    assert_eq!(dry["refused"][0]["code"], "INVALID_STATE");
    assert_eq!(dry["dry_run"], true);
    assert_eq!(
        list(&cli, &["--status", "suspended"]).len(),
        1,
        "nothing was done"
    );

    // What a mistyped filter is about is nothing, and said to be.
    let nothing = ["agent", "suspend", "--filter", "owner=team-aa"];
    let said = cli.run(&[&nothing[..], &REASON].concat()).ok();
    assert!(
        said.stderr().contains("lets no agent through"),
        "{}",
        said.stderr()
    );

    // Without a yes, and nobody to ask, nothing happens.
    let _ = cli
        .run(&[&["agent", "suspend"], &filter[..], &REASON[..2]].concat())
        .failing_with(2);
    let _ = cli
        .run(&[&["agent", "suspend", "--yes"], &filter[..]].concat())
        .failing_with(2);
    assert_eq!(list(&cli, &["--status", "suspended"]).len(), 1);

    // One that refuses holds up no other, and is told of.
    let output = cli.run(&[&["agent", "suspend"], &filter[..], &REASON].concat());
    let output = output.failing_with(1);
    let done = output.json();
    assert_eq!(
        (&done["done"], &done["unchanged"]),
        (&118.into(), &1.into())
    );
    assert!(output.stderr().contains("1 of 120"), "{}", output.stderr());
    assert_eq!(
        list(&cli, &["--status", "suspended", "--limit", "1000"]).len(),
        119
    );
    let words = [
        "audit",
        "list",
        "--action",
        "agent.suspend",
        "--limit",
        "1000",
        "-o",
        "ndjson",
    ];
    let entries = cli.ndjson(&words);
    assert_eq!(entries.len(), 119, "each has an entry of its own");
    assert!(
        entries
            .iter()
            .all(|entry| entry["reason"] == "the test says so")
    );

    let resumed = cli.json(&[
        "agent",
        "resume",
        "--filter",
        "status=suspended",
        "--yes",
        "-o",
        "json",
    ]);
    assert_eq!(resumed["done"], 119);
    let _ = cli
        .run(&["agent", "suspend", "--filter", "", "--yes", "--reason", "x"])
        .failing_with(2);
}

#[test]
fn an_ended_agent_is_archived_and_still_found_when_it_is_asked_for() {
    let daemon = daemon();
    daemon.register(&Registration::new("a@acme.example"));
    let cli = daemon.cli();
    let _ = cli
        .run(&["agent", "archive", "a@acme.example"])
        .failing_with(5);
    let dry = cli
        .run(&["agent", "decommission", "a@acme.example", "--dry-run"])
        .ok();
    assert!(
        dry.stderr().contains("would be decommissioned"),
        "{}",
        dry.stderr()
    );
    daemon.change("decommission", "a@acme.example");
    let archived = cli.json(&["agent", "archive", "a@acme.example", "-o", "json"]);
    assert_eq!(archived["status"], "archived");
    assert_eq!(list(&cli, &[]).len(), 0);
    assert_eq!(list(&cli, &["--status", "archived"]).len(), 1);
}

#[test]
fn an_agent_can_have_a_public_key_instead_of_a_secret() {
    let daemon = daemon();
    daemon.register(&Registration::new("a@acme.example"));
    let cli = daemon.cli();
    let key = file(&daemon, "key.jwk", JWK);
    let issue = [
        "credential",
        "issue",
        "a@acme.example",
        "--public-key",
        key.to_str().unwrap(),
    ];
    let issued = cli.json(&[&issue[..], &["-o", "json"]].concat());
    assert!(issued["client_secret"].is_null(), "{issued}");
    let credential = &issued["credential"];
    assert_eq!(credential["kind"], "public_key");
    // Appendix A.1 of RFC 7517 names the key; its thumbprint is by RFC 7638.
    let thumbprint = credential["public_key"]["thumbprint"].as_str().unwrap();
    assert_eq!(thumbprint.len(), 43);
    let id = credential["id"].as_str().unwrap();
    let shown = cli.json(&["credential", "show", id, "-o", "json"]);
    assert_eq!(shown["public_key"]["thumbprint"], thumbprint);
    let _ = cli.run(&issue).failing_with(5);

    // The successor of a key is a key that is given.
    let _ = cli.run(&["credential", "rotate", id]).failing_with(2);
    let private = file(
        &daemon,
        "private.jwk",
        &JWK.replace("\"kid\"", "\"d\":\"AAAA\",\"kid\""),
    );
    let rotate = [
        "credential",
        "rotate",
        id,
        "--public-key",
        private.to_str().unwrap(),
    ];
    let refused = cli.run(&rotate).failing_with(2);
    assert!(refused.stderr().contains("private"), "{}", refused.stderr());
}

#[test]
fn the_use_of_a_credential_is_shown_before_it_is_cut_off() {
    let daemon = daemon();
    let old = daemon.enrol(&Registration::new("a@acme.example"));
    assert_eq!(old.token(&[]).status, 200);
    assert_eq!(old.token(&[]).status, 200);
    let cli = daemon.cli();
    let listed = cli.ndjson(&["credential", "list", "a@acme.example", "-o", "ndjson"]);
    assert_eq!(listed[0]["use_count"], 2);
    assert!(listed[0]["last_used_at"].is_string());
    let rotated = cli.run(&["credential", "rotate", &old.credential]).ok();
    assert!(
        rotated.stderr().contains("the old one was still used"),
        "{}",
        rotated.stderr()
    );
    let revoke = [&["credential", "revoke", &old.credential], &REASON[..]].concat();
    let revoked = cli.run(&revoke).ok();
    let stderr = revoked.stderr();
    assert!(stderr.starts_with("it was still used"), "{stderr}");
    assert!(stderr.contains("2 times in all"), "{stderr}");
}

#[test]
fn a_token_is_inspected_and_revoked_without_being_on_a_command_line() {
    let daemon = daemon();
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let cli = daemon.cli();
    let token = || client.token(&[]).token();
    let inspect = |token: &str| {
        let path = file(&daemon, "token", token);
        cli.json(&["token", "inspect", path.to_str().unwrap(), "-o", "json"])
    };
    let revoke = |words: &[&str]| {
        cli.run(&[&["token", "revoke"], words, &REASON].concat())
            .ok()
    };

    let first = token();
    let seen = inspect(&first);
    assert_eq!(seen["active"], true);
    assert_eq!(seen["agent_id"], client.id);
    assert_eq!(seen["credential_id"], client.credential);
    let path = file(&daemon, "token", &first);
    let told = cli.run(&["token", "inspect", path.to_str().unwrap()]).ok();
    let line = told
        .stdout()
        .lines()
        .find(|it| it.starts_with("organization "));
    assert!(
        line.is_some_and(|it| it.ends_with(" acme")),
        "{}",
        told.stdout()
    );
    let path = file(&daemon, "token", "nothing");
    let nothing = ["token", "inspect", path.to_str().unwrap(), "-o", "json"];
    let nothing = cli.run(&nothing).failing_with(3);
    let told = nothing.json();
    assert_eq!(
        (&told["active"], &told["jti"]),
        (&false.into(), &Value::Null)
    );
    let says = nothing.stderr();
    assert!(
        says.starts_with("error: it is no token of this server"),
        "{says}"
    );

    // By itself.
    let path = file(&daemon, "first", &first);
    let dry = ["token", "revoke", path.to_str().unwrap(), "--dry-run"];
    let told = cli.run(&dry).ok().stderr().to_owned();
    for what in [
        seen["jti"].as_str().unwrap(),
        " of a@acme.example would be revoked",
        seen["expires_at"].as_str().unwrap(),
        "nothing was done",
    ] {
        assert!(told.contains(what), "{what}: {told}");
    }
    assert_eq!(inspect(&first)["active"], true);
    let told = revoke(&[path.to_str().unwrap()]);
    assert!(told.stderr().contains("JWKS"), "{}", told.stderr());
    let seen = inspect(&first);
    assert_eq!(seen["active"], false);
    assert!(seen["code"].is_string(), "{seen}");
    let told = cli.run(&dry).ok().stderr().to_owned();
    assert!(told.contains("is revoked already"), "{told}");
    let again = revoke(&[path.to_str().unwrap()]);
    assert!(
        again.stderr().contains("was revoked already (audit "),
        "{}",
        again.stderr()
    );
    // By its id.
    let second = token();
    let jti = inspect(&second)["jti"].as_str().unwrap().to_owned();
    let _ = revoke(&["--jti", &jti]);
    assert_eq!(inspect(&second)["active"], false);
    // By whose it is.
    let acme = ["--org", "acme"];
    for whose in [
        ["--credential", &client.credential],
        ["--agent", &client.id],
        acme,
    ] {
        let token = token();
        assert_eq!(inspect(&token)["active"], true, "{whose:?}");
        let _ = revoke(&whose);
        assert_eq!(inspect(&token)["active"], false, "{whose:?}");
    }

    let nobody = "0193f2c4-0000-7000-8000-000000009b20";
    let _ = cli
        .run(&[&["token", "revoke", "--agent", nobody], &REASON[..]].concat())
        .failing_with(3);
    let _ = cli
        .run(&[&["token", "revoke", "--jti", nobody], &REASON[..]].concat())
        .failing_with(3);
}

#[test]
fn a_token_comes_by_standard_input() {
    let daemon = daemon();
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let token = client.token(&[]).token();
    let path = file(&daemon, "token", &token);
    let mut command = std::process::Command::new("sh");
    command
        .env("AGENTIDP_SOCKET", &daemon.installation.config.socket)
        .env("AGENTIDP", agentidp_tests::agentidp())
        .env("TOKEN", &path)
        .args(["-c", r#""$AGENTIDP" token inspect -o json < "$TOKEN""#]);
    let finished = agentidp_tests::Process::spawn(command).wait();
    let seen: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(seen["active"], true, "{}", finished.stderr);
}
