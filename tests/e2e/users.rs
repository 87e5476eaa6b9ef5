//! Who may do what on the operators' socket, with real Unix users.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use agentidp_tests::users::{by_way_of, group, is_root_to_test, user};
use agentidp_tests::{Cli, Installation, Registration, Role, TestDaemon, agentidp};
use serde_json::Value;

/// The group that may reach the socket.
const GROUP: &str = "users";
/// A user without a role.
const STRANGER: &str = "nobody";
/// A user who is an auditor.
const AUDITOR: &str = "games";
/// A group whose members are operators.
const OPERATOR_GROUP: &str = "mail";

/// A user who is an operator of the organization acme only.
const OPERATOR_OF_ACME: &str = "backup";
/// A user who is an admin of the organization acme only.
const ADMIN_OF_ACME: &str = "list";

/// A daemon whose socket is open to the group, and the console's binary where everyone reaches it.
struct Setting {
    daemon: TestDaemon,
    console: PathBuf,
}

impl Setting {
    /// Everyone who is to reach the socket must be in `socket_group`.
    fn new(socket_group: &str) -> Self {
        let mut installation = Installation::new();
        let directory = installation.directory().to_owned();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        let console = directory.join("agentidp");
        fs::copy(agentidp(), &console).unwrap();
        fs::set_permissions(&console, fs::Permissions::from_mode(0o755)).unwrap();
        let role = |role, users: &[&str], groups: &[&str]| Role {
            role,
            users: users.iter().map(ToString::to_string).collect(),
            groups: groups.iter().map(ToString::to_string).collect(),
            organizations: None,
        };
        let of_acme = |role, user: &str| Role {
            role,
            users: vec![user.to_owned()],
            groups: Vec::new(),
            organizations: Some(vec!["acme".to_owned(), "nowhere".to_owned()]),
        };
        installation.config.roles = vec![
            role("admin", &["root"], &[]),
            role("operator", &[], &[OPERATOR_GROUP]),
            role("auditor", &[AUDITOR], &[]),
            of_acme("operator", OPERATOR_OF_ACME),
            of_acme("admin", ADMIN_OF_ACME),
        ];
        installation.init();
        // The folder of the socket, and what the daemon makes in it, belong to the group.
        let folder = installation.config.socket.parent().unwrap().to_owned();
        std::os::unix::fs::chown(folder, None, Some(group(socket_group).gid.as_raw())).unwrap();
        installation.by_way_of = by_way_of("root", socket_group).to_vec();
        Self {
            daemon: installation.start(),
            console,
        }
    }

    fn as_user(&self, name: &str, group: &str) -> Cli {
        let words = by_way_of(name, group);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        self.daemon
            .cli()
            .with_program(&self.console)
            .by_way_of(&words)
    }
}

#[test]
fn a_user_without_a_role_is_refused_and_the_refusal_stands_in_the_log() {
    if !is_root_to_test("a second user without a role is refused") {
        return;
    }
    let setting = Setting::new(GROUP);
    let tail = setting
        .daemon
        .cli()
        .spawn(&["audit", "tail", "--from", "0", "-o", "ndjson"]);
    let stranger = setting.as_user(STRANGER, GROUP);
    for (action, arguments) in [
        ("agent.list", &["agent", "list"][..]),
        ("organization.create", &["org", "create", "mine"]),
        ("audit.list", &["audit", "list"]),
        ("status.show", &["status"]),
    ] {
        let refused = stranger.run(arguments).failing_with(4);
        assert!(
            refused.stdout().is_empty(),
            "{action}: {}",
            refused.stdout()
        );
        assert!(
            refused
                .stderr()
                .contains(&format!("the user {STRANGER} has no role")),
            "says as whom: {}",
            refused.stderr()
        );
        let entry = tail.wait_for_line(action, |line| {
            let entry = serde_json::from_str::<Value>(line).ok()?;
            (entry["outcome"] == "denied" && entry["action"] == action).then_some(entry)
        });
        assert_eq!(entry["code"], "PERMISSION_DENIED");
        assert_eq!(entry["actor"]["kind"], "operator");
        assert_eq!(entry["actor"]["via"], "socket");
        assert_eq!(entry["actor"]["id"], user(STRANGER).uid.to_string());
        assert_eq!(entry["actor"]["name"], STRANGER);
    }
    let organizations = setting
        .daemon
        .cli()
        .ndjson(&["org", "list", "-o", "ndjson"]);
    assert!(organizations.is_empty(), "{organizations:?}");
}

#[test]
fn an_auditor_reads_everything_and_changes_nothing() {
    if !is_root_to_test("an auditor reads everything and changes nothing") {
        return;
    }
    let setting = Setting::new(GROUP);
    setting.daemon.organization("acme");
    let client = setting.daemon.enrol(&Registration::new("a@acme.example"));
    let auditor = setting.as_user(AUDITOR, GROUP);
    assert_eq!(auditor.ndjson(&["agent", "list", "-o", "ndjson"]).len(), 1);
    assert!(
        !auditor
            .ndjson(&["audit", "list", "-o", "ndjson"])
            .is_empty()
    );
    let caller = &auditor.json(&["status", "-o", "json"])["caller"];
    assert_eq!(caller["name"], AUDITOR);
    assert_eq!(caller["role"], "auditor");

    let suspend = [
        "agent",
        "suspend",
        "a@acme.example",
        "--reason",
        "the test says so",
        "--yes",
    ];
    let refused = auditor.run(&suspend).failing_with(4);
    assert!(
        refused.stderr().contains("auditor"),
        "says which role: {}",
        refused.stderr()
    );
    let _ = auditor
        .run(&["credential", "issue", "a@acme.example"])
        .failing_with(4);
    assert_eq!(client.token(&[]).status, 200, "nothing was suspended");
}

#[test]
fn a_role_can_come_from_a_group() {
    if !is_root_to_test("a role that comes from a group") {
        return;
    }
    let setting = Setting::new(OPERATOR_GROUP);
    setting.daemon.organization("acme");
    let client = setting.daemon.enrol(&Registration::new("a@acme.example"));
    let operator = setting.as_user(STRANGER, OPERATOR_GROUP);
    assert_eq!(
        operator.json(&["status", "-o", "json"])["caller"]["role"],
        "operator"
    );
    let suspend = [
        "agent",
        "suspend",
        "a@acme.example",
        "--reason",
        "the test says so",
        "--yes",
    ];
    let _ = operator.run(&suspend).ok();
    assert_eq!(client.token(&[]).status, 401);
    let _ = operator.run(&["org", "create", "mine"]).failing_with(4);
}

#[test]
fn who_is_not_in_the_socket_s_group_does_not_even_reach_it() {
    if !is_root_to_test("a user outside the socket's group") {
        return;
    }
    let setting = Setting::new(GROUP);
    let socket = &setting.daemon.installation.config.socket;
    assert_eq!(
        fs::metadata(socket).unwrap().permissions().mode() & 0o7777,
        0o660
    );
    let outsider = setting.as_user(STRANGER, "nogroup").run(&["agent", "list"]);
    assert!(
        matches!(outsider.code(), Some(4 | 6)),
        "{}",
        outsider.stderr()
    );
    assert!(
        outsider.stderr().contains(socket.to_str().unwrap()),
        "{}",
        outsider.stderr()
    );
}

/// What a command said when it failed, without what differs from one request to the next.
fn said(output: &agentidp_tests::Output) -> (Option<i32>, String) {
    let stderr = output.stderr();
    let (before, request) = stderr.split_once("request ").unwrap_or((stderr, ""));
    let after = request.split_once(')').map_or("", |(_, after)| after);
    (output.code(), format!("{before}{after}"))
}

#[test]
fn for_an_operator_of_one_organization_there_is_no_other() {
    if !is_root_to_test("an operator of one organization") {
        return;
    }
    let setting = Setting::new(GROUP);
    let daemon = &setting.daemon;
    let acme = daemon.organization("acme");
    let globex = daemon.organization("globex");
    daemon.register(&Registration::new("a@acme.example"));
    let foreign = daemon.register(&Registration::new("g@globex.example").of("globex"));
    let operator = setting.as_user(OPERATOR_OF_ACME, GROUP);
    let id = |record: &Value| record["id"].as_str().unwrap().to_owned();
    let (foreign, globex) = (id(&foreign), id(&globex));

    let caller = &operator.json(&["status", "-o", "json"])["caller"];
    assert_eq!(caller["organizations"], serde_json::json!([id(&acme)]));
    let names = |list: Vec<Value>, field: &str| -> Vec<String> {
        let texts = list.iter().map(|it| it[field].as_str().unwrap().to_owned());
        texts.collect()
    };
    let organizations = operator.ndjson(&["org", "list", "-o", "ndjson"]);
    assert_eq!(names(organizations, "name"), ["acme"]);
    let agents = operator.ndjson(&["agent", "list", "-o", "ndjson"]);
    assert_eq!(names(agents, "email"), ["a@acme.example"]);

    // Many at once are those of its organization.
    let reason = ["--reason", "the test says so", "--yes"];
    let bulk = ["agent", "suspend", "--filter", "owner=team-a", "-o", "json"];
    let done = operator.json(&[&bulk[..], &reason].concat());
    assert_eq!((&done["matched"], &done["done"]), (&1.into(), &1.into()));
    assert_eq!(
        daemon
            .cli()
            .json(&["agent", "show", &foreign, "-o", "json"])["status"],
        "active"
    );

    // The log holds what concerns the organization, and nothing of the daemon or of others.
    let entries = operator.ndjson(&["audit", "list", "--limit", "1000", "-o", "ndjson"]);
    assert!(!entries.is_empty());
    for entry in &entries {
        assert_eq!(entry["organization_id"], acme["id"], "{entry}");
    }
    let tail = operator.spawn(&["audit", "tail", "--from", "0", "-o", "ndjson"]);
    tail.wait_for_line("its own", |line| {
        line.contains("agent.suspend").then_some(())
    });
    let seen = tail.seen(|seen| String::from_utf8_lossy(&seen.stdout).into_owned());
    assert!(!seen.contains(&globex), "{seen}");
    assert!(!seen.contains("daemon.start"), "{seen}");
}

#[test]
fn what_is_another_s_is_answered_as_what_is_nobody_s() {
    if !is_root_to_test("an operator of one organization and what is another's") {
        return;
    }
    let setting = Setting::new(GROUP);
    let daemon = &setting.daemon;
    daemon.organization("acme");
    let globex = daemon.organization("globex");
    let foreign = daemon.register(&Registration::new("g@globex.example").of("globex"));
    let credential = daemon.issue("g@globex.example", &[]).credential;
    let operator = setting.as_user(OPERATOR_OF_ACME, GROUP);
    let id = |record: &Value| record["id"].as_str().unwrap().to_owned();
    let (foreign, globex) = (id(&foreign), id(&globex));

    let nobody = "0193f2c4-0000-7000-8000-000000009b20";
    for (words, theirs, none) in [
        ("agent show ID", foreign.as_str(), nobody),
        ("agent show ID", "g@globex.example", "x@globex.example"),
        ("agent suspend ID --reason test --yes", &foreign, nobody),
        ("agent update ID --owner me", &foreign, nobody),
        ("credential list ID", &foreign, nobody),
        ("credential issue ID", &foreign, nobody),
        ("credential show ID", &credential, nobody),
        ("credential rotate ID", &credential, nobody),
        (
            "credential revoke ID --reason test --yes",
            &credential,
            nobody,
        ),
        ("org show ID", &globex, nobody),
        ("org show ID", "globex", "nowhere"),
        ("agent list --org ID", &globex, nobody),
        ("audit list --org ID", &globex, nobody),
        ("audit list --agent ID", &foreign, nobody),
        (
            "token revoke --agent ID --reason test --yes",
            &foreign,
            nobody,
        ),
        ("token revoke --org ID --reason test --yes", &globex, nobody),
    ] {
        let run = |id| {
            let words = words.split(' ');
            let words: Vec<_> = words.map(|it| if it == "ID" { id } else { it }).collect();
            said(&operator.run(&words))
        };
        let of_theirs = run(theirs);
        assert_eq!(of_theirs, run(none), "{words}");
        assert_eq!(of_theirs.0, Some(3), "{words}: {}", of_theirs.1);
    }
}

#[test]
fn what_only_an_admin_may_do_is_about_the_whole_installation() {
    if !is_root_to_test("an admin of one organization") {
        return;
    }
    let setting = Setting::new(GROUP);
    setting.daemon.organization("acme");
    let admin = setting.as_user(ADMIN_OF_ACME, GROUP);
    let _ = admin.json(&Registration::new("a@acme.example").arguments());
    for words in [
        &["org", "create", "mine"][..],
        &["org", "update", "acme", "--tier", "unlimited"],
        &[
            "org",
            "suspend",
            "acme",
            "--reason",
            "for the test",
            "--yes",
        ],
        &["org", "resume", "acme"],
        &["key", "rotate", "--reason", "for the test", "--yes"],
    ] {
        let refused = admin.run(words).failing_with(4);
        let stderr = refused.stderr();
        assert!(
            stderr.contains("some organizations only"),
            "{words:?}: {stderr}"
        );
    }
}
