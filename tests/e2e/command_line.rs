//! `--watch`, `--dry-run` and `--read-only`, against a real daemon.

use agentidp_tests::{Cli, Registration, TestConsole, TestDaemon};
use nix::sys::signal::Signal;
use serde_json::Value;

fn daemon() -> TestDaemon {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    daemon
}

/// The number of the last audit entry of something that was done.
fn last_entry(cli: &Cli) -> Value {
    let list = "audit list --outcome success --limit 1 -o ndjson".split(' ');
    cli.ndjson(&list.collect::<Vec<_>>())[0]["seq"].clone()
}

/// Waits for a line of NDJSON with this value under this name.
fn wait_for(process: &agentidp_tests::Process, name: &str, value: &str) {
    process.wait_for_line(&format!("{name} {value}"), |line| {
        let record: Value = serde_json::from_str(line).ok()?;
        (record[name] == value).then_some(())
    });
}

#[test]
fn a_watched_list_tells_what_is_new_what_changed_and_what_left() {
    let daemon = daemon();
    daemon.register(&Registration::new("a@acme.example"));
    daemon.register(&Registration::new("b@acme.example"));
    let watch = ["agent", "list", "--status", "active", "--watch=1s"];
    // No terminal: lines of NDJSON, though none were asked for.
    let watching = daemon.cli().spawn(&watch);
    wait_for(&watching, "email", "b@acme.example");
    let gone = daemon.change("suspend", "a@acme.example");
    wait_for(&watching, "gone", gone["id"].as_str().unwrap());

    // The daemon may go away and come back.
    let installation = daemon.kill();
    watching.wait_for("a word on the daemon", |seen| {
        let said = String::from_utf8_lossy(&seen.stderr);
        said.contains("waiting for it").then_some(())
    });
    let daemon = installation.start();
    daemon.register(&Registration::new("c@acme.example"));
    wait_for(&watching, "email", "c@acme.example");

    watching.signal(Signal::SIGINT);
    let finished = watching.wait();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr);
    assert_eq!(
        finished.stdout.lines().count(),
        4,
        "b, a, gone a, c, and nothing twice: {}",
        finished.stdout
    );
}

#[test]
fn a_watched_record_is_drawn_when_it_is_another_and_the_terminal_is_left_as_it_was() {
    let daemon = daemon();
    daemon.register(&Registration::new("a@acme.example"));
    let socket = &daemon.installation.config.socket;
    let show = ["agent", "show", "a@acme.example", "--watch=1s"];
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut console = TestConsole::command(socket, &show);
        console.wait_until("active", |it| {
            it.contains("status") && it.contains(" active")
        });
        daemon.change("suspend", "a@acme.example");
        console.wait_for("suspended");
        console.signal(signal);
        let restored = console.wait_for_end();
        assert!(restored.status.success(), "{signal}");
        let written = String::from_utf8_lossy(&restored.written).into_owned();
        let frames = written.matches("\u{1b}[H").count();
        assert_eq!(frames, 2, "one a state, whatever time went by: {written:?}");
        let _ = daemon
            .cli()
            .run(&["agent", "resume", "a@acme.example"])
            .ok();
    }
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let daemon = daemon();
    for (code, words) in [
        (2, "agent list --watch -o json"),
        (2, "agent list --watch=0s"),
        (2, "audit list --watch"),
        (3, "agent show nobody@acme.example --watch"),
        (3, "key show nothing --watch"),
    ] {
        let words: Vec<_> = words.split(' ').collect();
        let output = daemon.cli().run(&words).failing_with(code);
        assert!(output.stdout().is_empty(), "{words:?}");
    }
    let away = Cli::new(std::path::Path::new("/nowhere.sock"));
    let _ = away.run(&["status", "--watch"]).failing_with(6);
}

#[test]
fn a_usage_error_names_what_is_missing_and_nothing_of_the_environment() {
    // Which names the socket.
    let cli = Cli::new(std::path::Path::new("/nowhere.sock"));
    for (words, missing) in [
        ("org update acme", "--max-credential-age"),
        ("agent suspend --reason x --yes", "--filter"),
        ("credential list", "<AGENT>"),
        ("agent list --status foo", "--status 'foo': must be one of"),
    ] {
        let words: Vec<_> = words.split(' ').collect();
        let refused = cli.run(&words).failing_with(2);
        let says = refused.stderr();
        assert!(says.contains(missing), "{words:?}: {says}");
        assert!(!says.contains("--socket"), "{words:?}: {says}");
    }
}

#[test]
fn a_dry_run_does_nothing_and_ends_as_the_thing_itself_would() {
    let daemon = daemon();
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    daemon.register(&Registration::new("ended@acme.example"));
    daemon.change("decommission", "ended@acme.example");
    let revoked = daemon.issue("a@acme.example", &[]).credential;
    let reason = ["--reason", "the test says so", "--yes"];
    let cli = daemon.cli();
    let _ = cli.run(&[&["credential", "revoke", &revoked][..], &reason].concat());
    let before = last_entry(&cli);
    let own = client.credential.as_str();
    let register = |email: &str, version: &str| {
        format!(
            "agent register --org acme --email {email} --type screener --version {version} \
             --capability resume:read --owner me --env production"
        )
    };
    for (code, words) in [
        (0, "org create globex".to_owned()),
        (5, "org create acme".to_owned()),
        (2, "org create No_Slug".to_owned()),
        (0, "org update acme --tier unlimited".to_owned()),
        (5, "org update acme --tier unlimited --rev 9".to_owned()),
        (0, "org suspend acme".to_owned()),
        (3, "org suspend nowhere".to_owned()),
        (0, register("b@acme.example", "1.0.0")),
        (5, register("a@acme.example", "1.0.0")),
        (2, register("b@acme.example", "one")),
        (0, "agent update a@acme.example --owner other".to_owned()),
        (
            5,
            "agent update ended@acme.example --owner other".to_owned(),
        ),
        (0, "agent suspend a@acme.example".to_owned()),
        (5, "agent suspend a@acme.example --rev 9".to_owned()),
        (5, "agent suspend ended@acme.example".to_owned()),
        (5, "agent archive a@acme.example".to_owned()),
        (0, "credential issue a@acme.example".to_owned()),
        (5, "credential issue ended@acme.example".to_owned()),
        (0, format!("credential rotate {own} --grace 0s")),
        (2, format!("credential rotate {own} --grace 91d")),
        (5, format!("credential rotate {revoked}")),
        (0, format!("credential revoke {own}")),
        (5, format!("credential revoke {own} --rev 9")),
        (0, "token revoke --agent a@acme.example".to_owned()),
        (3, "token revoke --agent nobody@acme.example".to_owned()),
        (0, "key rotate".to_owned()),
        (0, "key rotate --emergency".to_owned()),
        (3, "key rotate --emergency --kid nothing".to_owned()),
    ] {
        let words: Vec<_> = words.split(' ').chain(["--dry-run"]).collect();
        let output = cli.run(&words).failing_with(code);
        let says = output.stderr();
        assert!(
            code != 0 || says.contains("nothing was done"),
            "{words:?}: {says}"
        );
        assert!(
            code != 5 || says.contains("it would be refused"),
            "{words:?}: {says}"
        );
    }
    assert_eq!(last_entry(&cli), before, "something was done");
    assert_eq!(client.token(&[]).status, 200);
    // To look whether a name is free is not to be refused: only `org suspend nowhere` is.
    let list = "audit list --action organization.show --outcome denied -o ndjson";
    let refused = cli.ndjson(&list.split(' ').collect::<Vec<_>>());
    assert!(refused.len() <= 1, "{refused:?}");
}

#[test]
fn an_agent_and_a_credential_that_are_so_already_are_told_of() {
    let daemon = daemon();
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let cli = daemon.cli();
    let revoke = ["credential", "revoke", &client.credential];
    let revoke = [&revoke[..], &["--reason", "a test", "--yes"]].concat();
    let update = ["agent", "update", "a@acme.example", "--owner", "other"];
    for words in [&update[..], &revoke] {
        let told = cli.run(words).ok();
        assert!(!told.stderr().contains("already"), "{}", told.stderr());
        let before = last_entry(&cli);
        let again = cli.run(words).ok();
        for what in ["already (audit ", "nothing to change, nothing was done"] {
            assert!(again.stderr().contains(what), "{}", again.stderr());
        }
        assert_eq!(last_entry(&cli), before);
        assert_eq!(again.stdout(), told.stdout());
    }
}

#[test]
fn an_organization_that_is_so_already_is_told_of() {
    let daemon = daemon();
    let cli = daemon.cli();
    let words = |verb| ["org", verb, "acme", "--reason", "a test", "--yes"];
    let dry = |verb| {
        let told = cli.run(&["org", verb, "acme", "--dry-run"]).ok();
        told.stderr().to_owned()
    };
    for (verb, state) in [("suspend", "suspended"), ("resume", "active")] {
        let _ = cli.run(&words(verb)).ok();
        let before = last_entry(&cli);
        let told = format!("it is {state} already: nothing would be done");
        assert!(dry(verb).contains(&told), "{}", dry(verb));
        let again = cli.run(&words(verb)).ok();
        let told = format!("acme was {state} already (audit ");
        assert!(again.stderr().contains(&told), "{}", again.stderr());
        assert_eq!(last_entry(&cli), before);
    }
    let _ = cli.run(&words("hold")).ok();
    let told = "it is under legal hold already: the log would tell the reason too";
    assert!(dry("hold").contains(told), "{}", dry("hold"));
}

#[test]
fn in_read_only_mode_nothing_is_changed_whoever_asks() {
    let daemon = daemon();
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let own = client.credential.as_str();
    let cli = daemon.cli();
    let before = last_entry(&cli);
    let file = daemon.installation.directory().join("s.secret");
    let file = file.to_str().unwrap();
    for words in [
        "org create globex".to_owned(),
        "org suspend acme --reason test --yes".to_owned(),
        "agent suspend a@acme.example --reason test --yes".to_owned(),
        "agent suspend --filter owner=team-a --reason test --yes".to_owned(),
        "agent update a@acme.example --owner other".to_owned(),
        format!("credential issue a@acme.example --secret-out {file}"),
        format!("credential rotate {own}"),
        format!("credential revoke {own} --reason test --yes"),
        "token revoke --agent a@acme.example --reason test --yes".to_owned(),
        "key rotate --reason test --yes".to_owned(),
    ] {
        let words: Vec<_> = words.split(' ').chain(["--read-only"]).collect();
        let output = cli.run(&words).failing_with(4);
        let says = output.stderr();
        assert!(says.contains("READ_ONLY"), "{words:?}: {says}");
        assert!(says.contains("without --read-only"), "{words:?}: {says}");
    }
    assert!(!std::path::Path::new(file).exists());
    assert_eq!(last_entry(&cli), before, "something was done");

    let by_variable = cli.by_way_of(&["env", "AGENTIDP_READ_ONLY=1"]);
    let _ = by_variable
        .run(&["org", "create", "globex"])
        .failing_with(4);
    for words in [
        "agent list",
        "agent show a@acme.example",
        "credential list a@acme.example",
        "key list",
        "org list",
        "status",
        "audit list",
        "agent suspend --filter owner=team-a --dry-run",
    ] {
        let words: Vec<_> = words.split(' ').collect();
        let _ = by_variable.run(&words).ok();
    }
    let off = daemon.cli().by_way_of(&["env", "AGENTIDP_READ_ONLY=0"]);
    let _ = off.run(&["org", "create", "globex"]).ok();
}

#[test]
fn an_entry_and_a_key_are_shown_alone() {
    let daemon = daemon();
    let cli = daemon.cli();
    let entries = cli.ndjson(&["audit", "list", "-o", "ndjson"]);
    let seq = entries[1]["seq"].to_string();
    let shown = cli.json(&["audit", "show", &seq, "-o", "json"]);
    assert_eq!(shown, entries[1]);
    // What is not there is not there, however it is asked for.
    for verb in ["show", "prove"] {
        let missing = cli.run(&["audit", verb, "99999"]).failing_with(3);
        let told = missing.stderr();
        assert!(told.contains("there is no entry 99999"), "{told}");
        assert!(told.contains("hint:"), "{told}");
    }
    let keys = cli.ndjson(&["key", "list", "-o", "ndjson"]);
    let kid = keys[0]["kid"].as_str().unwrap();
    assert_eq!(cli.json(&["key", "show", kid, "-o", "json"]), keys[0]);
    let _ = cli.run(&["key", "show", "nothing"]).failing_with(3);
}

#[test]
fn the_log_is_listed_by_time_and_names_organizations() {
    let daemon = daemon();
    daemon.register(&Registration::new("a@acme.example"));
    let cli = daemon.cli();
    let list = |words: &[&str]| {
        let words = [&["audit", "list", "-o", "ndjson"][..], words].concat();
        cli.ndjson(&words)
    };
    // Reading leaves entries too, so what was there before is compared.
    let all = list(&[]);
    let registered = all
        .iter()
        .find(|it| it["action"] == "agent.register")
        .unwrap();
    let time = registered["time"].as_str().unwrap();
    let at = |entries: &[Value]| entries.iter().any(|it| it["seq"] == registered["seq"]);
    let since = list(&["--since", time]);
    assert!(at(&since));
    assert!(since.iter().all(|it| it["time"].as_str().unwrap() >= time));
    let until = list(&["--until", time]);
    assert!(!at(&until));
    assert!(until.iter().all(|it| it["time"].as_str().unwrap() < time));
    assert_eq!(
        until.len(),
        all.iter()
            .filter(|it| it["time"].as_str().unwrap() < time)
            .count()
    );
    let before = ["audit", "list", "--since", time, "--until", "1h"];
    let refused = cli.run(&before).failing_with(2);
    assert!(refused.stderr().contains("nothing is between them"));
    assert!(at(&list(&["--since", "1h", "--action", "agent.register"])));
    let no_moment = ["audit", "list", "--since", "yesterday"];
    let refused = cli.run(&no_moment).failing_with(2);
    assert!(refused.stderr().contains("how long ago"));

    let created = ["audit", "list", "--action", "organization.create"];
    let table = cli.run(&created).ok();
    assert!(table.stdout().contains("organization acme"));
    let tail = ["audit", "tail", "--from", "0"];
    let tailing = cli.spawn(&tail);
    tailing.wait_for_line("the organization's name", |line| {
        let is_it = line.contains("organization.create") && line.contains("organization acme");
        is_it.then_some(())
    });
    tailing.wait_for_line("the agent's e-mail", |line| {
        let is_it = line.contains("agent.register") && line.contains("a@acme.example");
        is_it.then_some(())
    });
    tailing.signal(Signal::SIGINT);
    assert_eq!(tailing.wait().code(), Some(0));
}

#[test]
fn credentials_of_all_agents_that_somebody_should_look_after_are_listed() {
    let daemon = daemon();
    let never = daemon.enrol(&Registration::new("never@acme.example"));
    let used = daemon.enrol(&Registration::new("used@acme.example"));
    assert_eq!(used.token(&[]).status, 200);
    let cli = daemon.cli();
    let review = |kind: &str| {
        let list = cli.ndjson(&["credential", "review", kind, "-o", "ndjson"]);
        let ids = list.iter().map(|it| it["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(
        review("never-used"),
        std::slice::from_ref(&never.credential)
    );
    let table = cli.run(&["credential", "review", "never-used"]).ok();
    assert!(table.stdout().contains("never@acme.example"));
    let soon = ["--expires-in", "20d"];
    let soon = daemon.issue("used@acme.example", &soon).credential;
    assert!(review("expiring").is_empty());
    let within = ["credential", "review", "expiring", "--within", "30d"];
    let table = cli.run(&within).ok();
    assert!(table.stdout().contains(&soon));
    let other = ["credential", "review", "never-used", "--within", "30d"];
    let _ = cli.run(&other).failing_with(2);
}
