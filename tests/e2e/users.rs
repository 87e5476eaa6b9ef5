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
        };
        installation.config.roles = vec![
            role("admin", &["root"], &[]),
            role("operator", &[], &[OPERATOR_GROUP]),
            role("auditor", &[AUDITOR], &[]),
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
            refused.stderr().contains(STRANGER),
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
