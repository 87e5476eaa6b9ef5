//! The command line as scripts rely on it.

use agentidp_tests::{Cli, Registration, TestDaemon};

#[test]
fn records_come_out_with_the_names_that_they_have_everywhere() {
    let daemon = TestDaemon::start();
    let organization = daemon.organization("acme");
    assert_eq!(organization["name"], "acme");
    assert_eq!(organization["status"], "active");
    let agent = daemon.cli().json(&[
        "agent",
        "register",
        "--org",
        "acme",
        "--email",
        "a@acme.example",
        "--type",
        "screener",
        "--version",
        "1.0.0",
        "--capability",
        "resume:read",
        "--capability",
        "resume:write",
        "--owner",
        "team-a",
        "--env",
        "production",
        "--audience",
        "https://mcp.example/",
        "--metadata",
        "cost-centre=42",
        "-o",
        "json",
    ]);
    for (name, value) in [
        ("organization_id", organization["id"].clone()),
        ("email", "a@acme.example".into()),
        ("agent_type", "screener".into()),
        ("version", "1.0.0".into()),
        ("capabilities", vec!["resume:read", "resume:write"].into()),
        ("owner", "team-a".into()),
        ("deployment_env", "production".into()),
        ("status", "active".into()),
        ("audiences", vec!["https://mcp.example/"].into()),
        ("metadata", serde_json::json!({"cost-centre": "42"})),
        ("revision", 1.into()),
    ] {
        assert_eq!(agent[name], value, "{name}");
    }
    assert!(agent["created_at"].as_str().unwrap().ends_with('Z'));
    let by_id = daemon
        .cli()
        .json(&["agent", "show", agent["id"].as_str().unwrap(), "-o", "json"]);
    let by_email = daemon
        .cli()
        .json(&["agent", "show", "a@acme.example", "-o", "json"]);
    assert_eq!(by_id, agent);
    assert_eq!(by_email, agent);
}

#[test]
fn listings_page_by_themselves_and_are_filtered_by_the_daemon() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    for number in 0..12 {
        daemon.register(&Registration::new(&format!("agent-{number}@acme.example")));
    }
    daemon.change("suspend", "agent-3@acme.example");
    let list = |filter: &[&str]| {
        daemon
            .cli()
            .ndjson(&[&["agent", "list", "-o", "ndjson"], filter].concat())
    };
    assert_eq!(list(&[]).len(), 12);
    assert_eq!(list(&["--limit", "5"]).len(), 5);
    assert_eq!(list(&["--limit", "5000"]).len(), 12);
    assert_eq!(
        list(&["--status", "suspended"])[0]["email"],
        "agent-3@acme.example"
    );
    assert_eq!(list(&["--status", "suspended"]).len(), 1);
    assert_eq!(list(&["--owner", "team-a"]).len(), 12);
    assert_eq!(list(&["--owner", "team-b"]).len(), 0);
    assert_eq!(list(&["--org", "acme"]).len(), 12);
    assert_eq!(
        list(&[])[0]["email"],
        "agent-11@acme.example",
        "newest first"
    );
}

#[test]
fn what_went_wrong_is_in_the_exit_code_and_on_standard_error() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    daemon.register(&Registration::new("a@acme.example"));
    let nothing = "0193f2c4-0000-7000-8000-000000009b20";
    let again = [
        "agent",
        "register",
        "--org",
        "acme",
        "--email",
        "a@acme.example",
        "--type",
        "screener",
        "--version",
        "1.0.0",
        "--capability",
        "resume:read",
        "--owner",
        "team-a",
        "--env",
        "production",
    ];
    let with = |name: &str, value: &'static str| {
        let at = again.iter().position(|it| *it == name).unwrap();
        let mut changed = again;
        changed[5] = "b@acme.example";
        changed[at + 1] = value;
        changed
    };
    for (code, arguments) in [
        (2, &["agent", "nonsense"][..]),
        (2, &["agent", "show"]),
        (2, &["agent", "list", "-o", "xml"]),
        (3, &["agent", "show", "nobody@acme.example"]),
        (3, &["agent", "show", nothing]),
        (
            3,
            &[
                "credential",
                "revoke",
                nothing,
                "--reason",
                "the test says so",
                "--yes",
            ],
        ),
        (3, &["agent", "list", "--org", "nowhere"]),
        (5, &["org", "create", "acme"]),
        (5, &again),
        (2, &with("--email", "no e-mail")),
        (2, &with("--type", "spy")),
        (2, &with("--version", "1")),
        (2, &with("--capability", "everything")),
        (2, &with("--env", "moon")),
        (2, &with("--owner", "")),
        (2, &["org", "create", "Not A Slug"]),
        (
            2,
            &[
                "agent",
                "suspend",
                "a@acme.example",
                "--reason",
                "",
                "--yes",
            ],
        ),
    ] {
        let output = daemon.cli().run(arguments).failing_with(code);
        assert!(
            output.stdout().is_empty(),
            "{arguments:?}: {}",
            output.stdout()
        );
        assert!(!output.stderr().is_empty(), "{arguments:?}");
        assert!(
            !output.stderr().contains("panicked"),
            "{arguments:?}: {}",
            output.stderr()
        );
    }
    let agents = daemon.cli().ndjson(&["agent", "list", "-o", "ndjson"]);
    assert_eq!(agents.len(), 1, "nothing was changed: {agents:?}");
    assert_eq!(agents[0]["status"], "active");
}

#[test]
fn what_cannot_be_undone_is_not_done_without_a_yes() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let refused = daemon.cli().run(&[
        "agent",
        "revoke",
        "a@acme.example",
        "--reason",
        "the test says so",
    ]);
    assert_eq!(refused.code(), Some(2), "{}", refused.stderr());
    assert!(refused.stderr().contains("--yes"), "{}", refused.stderr());
    assert_eq!(client.token(&[]).status, 200);
}

#[test]
fn a_daemon_that_is_not_there_has_an_exit_code_of_its_own() {
    let daemon = TestDaemon::start();
    let socket = daemon.installation.config.socket.clone();
    let cli = daemon.cli();
    let _ = daemon.stop();
    let output = cli.run(&["status"]).failing_with(6);
    assert!(
        output.stderr().contains(socket.to_str().unwrap()),
        "{}",
        output.stderr()
    );
    let elsewhere = Cli::new(&socket.with_file_name("nothing.sock"));
    let _ = elsewhere
        .run(&["agent", "list", "-o", "ndjson"])
        .failing_with(6);
}

#[test]
fn the_output_of_a_command_can_be_cut_off() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let mut command = std::process::Command::new("sh");
    command.env("AGENTIDP_SOCKET", &daemon.installation.config.socket);
    command.env("AGENTIDP", agentidp_tests::agentidp());
    // The reader is gone before the first line is written.
    command.args([
        "-c",
        r#"exec 3>&1; { "$AGENTIDP" audit list -o ndjson; echo "code $?" >&3; } | true"#,
    ]);
    let finished = agentidp_tests::Process::spawn(command).wait();
    assert_eq!(finished.stdout, "code 0\n", "{}", finished.stderr);
}

#[test]
fn an_output_that_takes_no_more_is_a_failure() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let mut command = std::process::Command::new("sh");
    command.env("AGENTIDP_SOCKET", &daemon.installation.config.socket);
    command.env("AGENTIDP", agentidp_tests::agentidp());
    command.args(["-c", r#"exec "$AGENTIDP" org list > /dev/full"#]);
    let finished = agentidp_tests::Process::spawn(command).wait();
    assert_eq!(finished.code(), Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("make room"), "{}", finished.stderr);
}

#[test]
fn text_from_outside_is_inert_in_tables() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let escape = "note=\u{1b}[31mred\u{1b}]0;title\u{7}\u{202e}";
    let _ = daemon.cli().json(&[
        "agent",
        "register",
        "--org",
        "acme",
        "--email",
        "a@acme.example",
        "--type",
        "custom",
        "--version",
        "1.0.0",
        "--capability",
        "resume:read",
        "--owner",
        "team-a",
        "--env",
        "production",
        "--metadata",
        escape,
        "-o",
        "json",
    ]);
    let shown = daemon.cli().run(&["agent", "show", "a@acme.example"]).ok();
    for forbidden in ['\u{1b}', '\u{7}', '\u{202e}'] {
        assert!(!shown.stdout().contains(forbidden), "{:?}", shown.stdout());
    }
}
