//! The console in a real pseudo-terminal, against a real daemon.

use agentidp_tests::{DevDaemon, Registration, TestConsole, TestDaemon};
use nix::sys::signal::Signal;

use super::journey::{ESC, demo, secret_in, select, short, wait_for_the_whole_secret};
use super::matrix::rpc::with_role;

#[test]
fn an_operator_sees_an_agent_s_token_and_cuts_the_agent_off() {
    let daemon = DevDaemon::start();
    let (emails, client) = demo(&daemon);
    let mut console = TestConsole::start(&daemon.socket());
    for email in &emails {
        console.wait_for(short(email));
    }
    console.wait_for("LIVE");

    // The issuance arrives by itself.
    console.press("5");
    console.wait_for("FOLLOW");
    assert_eq!(client.token(&[]).status, 200);
    console.wait_for("token.issue");

    // The list is in the order of the daemon; the filter leaves the one agent.
    console.press("2");
    console.wait_for("LAST AUTH");
    select(&mut console, short(&emails[0]));
    console.press("\r");
    console.wait_for(&client.id[..8]);
    console.wait_for("active");
    console.press("as");
    console.wait_for("Reason");
    // A key is not enough: in the reason it is a letter, and without one it does nothing.
    console.press_until("y", "Reason   y");
    console.press("\u{15}\ty");
    console.wait_for("a reason is missing");
    console.press("seen in a log");
    console.wait_for("seen in a log");
    console.press("\ty");
    console.wait_for("~ suspended");
    assert_eq!(
        client.token(&[]).error(),
        (401, "invalid_client".to_owned())
    );

    console.press("5");
    console.wait_for("agent.suspend");
    console.wait_for("DENIED");
    assert!(!console.screen().contains(&client.secret));
    console.press(":q\r");
    let restored = console.wait_for_end();
    assert!(restored.status.success(), "{:?}", restored.status);
}

#[test]
fn a_terminal_may_change_its_size() {
    let daemon = DevDaemon::start();
    let (emails, _) = demo(&daemon);
    let mut console = TestConsole::start(&daemon.socket());
    console.wait_for(short(&emails[0]));
    console.resize(40, 120);
    console.wait_until("40 rows", |screen| screen.lines().count() == 40);
    console.wait_for(short(&emails[0]));
    console.resize(10, 40);
    console.wait_for("80");
    console.resize(24, 80);
    for email in &emails {
        console.wait_for(short(email));
    }
    console.press(":q\r");
    assert!(console.wait_for_end().status.success());
}

#[test]
fn q_goes_back_and_never_quits() {
    let daemon = DevDaemon::start();
    let (emails, _) = demo(&daemon);
    let mut console = TestConsole::start(&daemon.socket());
    console.wait_for(short(&emails[0]));
    console.press("qqq");
    console.press("5");
    console.wait_for("FOLLOW");
    console.press(":q\r");
    assert!(console.wait_for_end().status.success());
}

#[test]
fn cancelling_the_dialog_changes_nothing() {
    let daemon = DevDaemon::start();
    let (emails, client) = demo(&daemon);
    let mut console = TestConsole::start(&daemon.socket());
    console.wait_for(short(&emails[0]));
    select(&mut console, short(&emails[0]));
    console.press("as");
    console.wait_for("Reason");
    console.press_until("y", "Reason   y");
    console.press("no");
    console.press(ESC);
    console.wait_until("no dialog", |screen| !screen.contains("Reason"));
    assert_eq!(client.token(&[]).status, 200);
    console.press(":q\r");
    assert!(console.wait_for_end().status.success());
}

#[test]
fn the_rows_stay_when_the_daemon_goes_and_live_on_when_it_is_back() {
    let daemon = DevDaemon::start();
    let (emails, _) = demo(&daemon);
    let mut console = TestConsole::start(&daemon.socket());
    console.wait_for("LIVE");
    console.wait_for(short(&emails[0]));
    let stopped = daemon.stop();
    console.wait_for("STALE");
    assert!(console.screen().contains(short(&emails[0])));
    let _daemon = stopped.start();
    console.wait_for("LIVE");
    console.press(":q\r");
    assert!(console.wait_for_end().status.success());
}

#[test]
fn without_a_terminal_that_can_do_it_the_console_says_what_to_do_instead() {
    let daemon = DevDaemon::start();
    let console = TestConsole::start_with(&daemon.socket(), &[("TERM", "dumb")]);
    let restored = console.wait_for_end();
    assert_eq!(restored.status.exit_code(), 2, "{}", restored.screen);
    assert!(
        restored.screen.contains("agentidp agent list"),
        "{}",
        restored.screen
    );
    assert!(
        !restored.written.contains(&0x1b),
        "nothing that such a terminal cannot show"
    );
}

#[test]
fn without_colour_the_screen_says_the_same() {
    let daemon = DevDaemon::start();
    let (emails, _) = demo(&daemon);
    let environment = [("TERM", "xterm-256color"), ("NO_COLOR", "1")];
    let mut console = TestConsole::start_with(&daemon.socket(), &environment);
    console.wait_for(short(&emails[0]));
    console.wait_for("active");
    console.press(":q\r");
    let restored = console.wait_for_end();
    let written = String::from_utf8_lossy(&restored.written);
    for colour in [
        "\u{1b}[31",
        "\u{1b}[32",
        "\u{1b}[33",
        "\u{1b}[34",
        "\u{1b}[36",
        "\u{1b}[38;",
        "\u{1b}[48;",
    ] {
        assert!(!written.contains(colour), "{colour:?} in {written:?}");
    }
}

#[test]
fn a_secret_is_masked_until_it_is_revealed_and_is_gone_afterwards() {
    let daemon = DevDaemon::start();
    let (emails, client) = demo(&daemon);
    let mut console = TestConsole::start(&daemon.socket());
    console.wait_for(short(&emails[0]));
    select(&mut console, short(&emails[0]));
    console.press("ai");
    console.wait_for("[ Issue ]");
    console.press_until("\t", "y/N");
    console.press_until_screen("y", "the answer", |screen| !screen.contains("[ Issue ]"));
    wait_for_the_whole_secret(&mut console);
    assert_eq!(secret_in(&console.written()), None, "it is masked");

    console.press_until_screen("v", "the secret", |screen| secret_in(screen).is_some());
    let secret = secret_in(&console.screen()).unwrap();
    assert_eq!(client.with_secret(&secret).token(&[]).status, 200);
    console.press("v");
    console.wait_until("the mask", |screen| secret_in(screen).is_none());

    console.press("\r");
    console.wait_for("store it first");
    console.press(" \r");
    console.wait_until("no dialog", |screen| !screen.contains("SHOWN ONCE"));
    console.press(":q\r");
    let restored = console.wait_for_end();
    assert!(restored.status.success());
    assert_eq!(secret_in(&restored.screen), None);
}

#[test]
fn what_is_for_good_takes_a_reason_and_the_end_of_the_id() {
    let daemon = DevDaemon::start();
    let (emails, client) = demo(&daemon);
    let mut console = TestConsole::start(&daemon.socket());
    console.wait_for(short(&emails[0]));
    select(&mut console, short(&emails[0]));
    console.press("ax");
    console.wait_for("IRREVERSIBLE");
    console.press_until("y", "Reason   y");
    console.press("\u{15}\t\ty");
    console.wait_for("a reason is missing");
    console.press("leaked\t");
    console.wait_for("leaked");
    console.press("nonsense\ty");
    console.wait_for("to unlock");
    assert_eq!(client.token(&[]).status, 200, "nothing was done");
    let id = &client.id;
    // The field has the focus again; what was typed is cleared.
    console.press("\u{15}");
    console.press(&id[id.len() - 6..]);
    console.wait_for("[ Revoke ]");
    console.press("\t\t\r");
    console.wait_for("x revoked");
    assert_eq!(client.token(&[]).status, 401);
    console.press(":q\r");
    assert!(console.wait_for_end().status.success());
}

#[test]
fn a_hang_up_ends_the_console_and_leaves_the_terminal_as_it_was() {
    let daemon = DevDaemon::start();
    let (emails, _) = demo(&daemon);
    let mut console = TestConsole::start(&daemon.socket());
    console.wait_for(short(&emails[0]));
    console.signal(Signal::SIGHUP);
    let _ = console.wait_for_end();
}

#[test]
fn many_agents_are_suspended_after_their_count_and_a_typed_command_is_answered() {
    let daemon = DevDaemon::start();
    let (emails, client) = demo(&daemon);
    assert_eq!(client.token(&[]).status, 200);
    let mut console = TestConsole::start(&daemon.socket());
    console.wait_for(short(&emails[0]));
    console.press("/owner=demo-team\r");
    console.wait_for("3/3");
    console.press("As");
    console.wait_for("of 3 agents 3 would change");
    console.press_until("i", "Reason   i");
    console.press("ncident\r3\t\t");
    console.wait_for("[ Suspend ]");
    console.press("\r");
    console.wait_for("3 of 3 agents done");
    console.wait_for(" OVER ");
    assert_eq!(client.token(&[]).status, 401);
    console.press("\r:agent list --status suspended -o json\r");
    console.wait_for("\"status\": \"suspended\"");
    console.press("q:q\r");
    assert!(console.wait_for_end().status.success());
}

/// What of each agent an undo must bring back, by e-mail; the revision counts the changes.
fn statuses(daemon: &DevDaemon) -> Vec<(String, String, u64)> {
    let words = ["agent", "list", "--limit", "1000", "-o", "ndjson"];
    let agents = daemon.cli().ndjson(&words);
    let text = |it: &serde_json::Value| it.as_str().unwrap().to_owned();
    let mut all: Vec<_> = agents
        .iter()
        .map(|it| {
            let revision = it["revision"].as_u64().unwrap();
            (text(&it["email"]), text(&it["status"]), revision)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn what_a_filter_suspended_is_taken_back_and_what_was_so_before_stays_so() {
    let daemon = DevDaemon::start();
    let (emails, client) = demo(&daemon);
    let cli = daemon.cli();
    let words = [
        "agent", "suspend", &emails[2], "--reason", "before", "--yes",
    ];
    let _ = cli.run(&words).ok();
    let before = statuses(&daemon);
    let token = client.token(&[]);
    assert_eq!(token.status, 200);

    let mut console = TestConsole::start(&daemon.socket());
    console.wait_for(short(&emails[0]));
    console.press("/owner=demo-team\r");
    console.wait_for("3/3");
    console.press("As");
    console.wait_for("of 3 agents 2 would change");
    console.press_until("i", "Reason   i");
    console.press("ncident\r2\t\t");
    console.wait_for("[ Suspend ]");
    console.press("\r");
    console.wait_for("2 of 3 agents done");
    console.wait_for(" OVER ");
    assert_eq!(client.token(&[]).status, 401);
    console.press("\r");
    console.wait_for("U resume 2 agents");
    console.press("U");
    console.wait_until("the agents as before", |screen| {
        screen.matches("* active").count() == 2
            && screen.matches("~ suspended").count() == 1
            && screen.contains("2 agents are as they were")
    });
    assert_eq!(client.token(&[]).status, 200);

    let after = statuses(&daemon);
    for ((email, status, revision), (_, status_now, revision_now)) in before.iter().zip(&after) {
        assert_eq!(status_now, status, "{email}");
        let changes = if *email == emails[2] { 0 } else { 2 };
        assert_eq!(*revision_now, revision + changes, "{email}");
    }
    // What was undone is not offered to be done again.
    assert!(!console.screen().contains("U suspend"));
    console.press("5");
    for (action, count) in [("agent.suspend", 3), ("agent.resume", 2)] {
        console.press(&format!("/action={action}\r"));
        console.wait_for(&format!("/action={action}  {count} of "));
        console.press(ESC);
        console.wait_until("all of the log", |screen| !screen.contains("/action"));
    }
    console.press(":q\r");
    assert!(console.wait_for_end().status.success());
}

/// So many agents that a change of them takes more than a few frames.
const FLEET: usize = 600;

/// How many agents the dialog says are done.
fn done(screen: &str) -> usize {
    let words: Vec<_> = screen.split_whitespace().collect();
    let at = words
        .windows(3)
        .position(|it| it == [&FLEET.to_string(), "agents", "done,"]);
    at.map_or(0, |at| words[at - 2].parse().unwrap())
}

#[test]
fn what_a_change_of_many_did_before_it_was_stopped_is_taken_back() {
    let daemon = DevDaemon::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agents.ndjson");
    let lines = (0..FLEET).map(|number| {
        format!(
            r#"{{"email":"bot-{number}@demo.example","agent_type":"custom","version":"1.0.0","capabilities":["a:b"],"owner":"fleet","deployment_env":"staging"}}"#
        )
    });
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let path = path.to_str().unwrap();
    let words = ["agent", "register-many", path, "--org", "demo"];
    let _ = daemon.cli().run(&words).ok();

    let mut console = TestConsole::start(&daemon.socket());
    let all = format!("Agents {}", FLEET + 3);
    console.wait_for(&all);
    console.press("/owner=fleet\r");
    console.wait_until("those of the fleet", |screen| {
        screen.contains("/owner=fleet") && !screen.contains(&all)
    });
    console.press("As");
    console.wait_for(&format!("of {FLEET} agents {FLEET} would change"));
    console.press_until("i", "Reason   i");
    console.press(&format!("ncident\r{FLEET}\t\t"));
    console.wait_for("[ Suspend ]");
    console.press("\r");
    console.wait_until("that some are done", |screen| done(screen) > 0);
    console.press(ESC);
    // The title is drawn before the sums, and the note after them: it says the same.
    console.wait_until("the sums that it was stopped at", |screen| {
        screen.contains(" OVER ")
            && screen.contains(&format!("stays; U takes back {}", done(screen)))
    });
    let told = done(&console.screen());
    console.press("\r");
    console.wait_for(&format!("U resume {told} agents"));
    console.press("U");
    console.wait_for(&format!("{told} agents are as they were"));
    let all = statuses(&daemon);
    let taken_back = all.iter().filter(|it| it.1 == "active" && it.2 == 3);
    assert_eq!(taken_back.count(), told);
    console.press(":q\r");
    assert!(console.wait_for_end().status.success());
}

#[test]
fn what_an_agent_got_by_the_hour_and_within_which_time_is_seen() {
    let daemon = DevDaemon::start();
    let (emails, client) = demo(&daemon);
    for _ in 0..3 {
        assert_eq!(client.token(&[]).status, 200);
    }
    for _ in 0..2 {
        let refused = client.token(&[("scope", "ledger:write")]);
        assert_eq!(refused.error(), (400, "invalid_scope".to_owned()));
    }
    let mut console = TestConsole::start(&daemon.socket());
    console.wait_for(short(&emails[0]));
    console.press(&format!("/email={}\r", short(&emails[0])));
    console.wait_for("1/3");
    console.press("\r");
    console.wait_until("what it got and was refused", |screen| {
        let line = screen.lines().find(|it| it.contains("peak 3"));
        let denied = line.and_then(|it| it.split("denied/h").nth(1));
        // The hour may have changed meanwhile, and before the daemon nobody counted.
        denied.is_some_and(|it| matches!(it.trim(), "2" | ".2" | "2." | "11"))
    });
    console.press("1");
    console.wait_for("p99 ");
    console.wait_for("3 peak  p99 ");
    console.press(":q\r");
    assert!(console.wait_for_end().status.success());
}

#[test]
fn an_operator_of_one_organization_is_told_no_rate_of_all() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("bot@acme.example"));
    assert_eq!(client.token(&[]).status, 200);
    let (installation, _) = daemon.stop();
    let daemon = with_role(installation, "auditor", Some("acme"));
    let mut console = TestConsole::start(&daemon.installation.config.socket);
    console.wait_for("bot@acme");
    console.press("1");
    // The line of the rates, and the one below it.
    console.wait_until("its own agents and rates", |screen| {
        ["active 1", "ISSUED/s", "DENIED/s"]
            .iter()
            .all(|it| screen.contains(it))
    });
    assert!(!console.screen().contains("p99"), "{}", console.screen());
    console.press("2\r");
    console.wait_for("issued/h");
    console.press(":q\r");
    assert!(console.wait_for_end().status.success());
}
