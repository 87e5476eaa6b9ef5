//! SIGKILL right after an answer. Load, and kills at any moment of it: `cargo xtask torture kill`.

use std::fs;

use agentidp_tests::{Client, Registration, TestDaemon};

#[test]
fn a_daemon_that_is_killed_right_after_an_answer_still_knows_what_it_answered() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let jti = Client::claims(&client.token(&[]).token())["jti"].clone();
    let daemon = daemon.kill().start();
    let issued = daemon
        .cli()
        .ndjson(&["audit", "list", "--action", "token.issue", "-o", "ndjson"]);
    assert_eq!(
        issued.iter().map(|it| &it["jti"]).collect::<Vec<_>>(),
        [&jti]
    );
    // The start says that the end was unclean, and how much of the log nobody had signed.
    let starts = ["audit", "list", "--action", "daemon.start", "-o", "ndjson"];
    let starts = daemon.cli().ndjson(&starts);
    let counts: Vec<_> = starts.iter().map(|it| it["count"].as_u64()).collect();
    assert!(matches!(counts[..], [Some(_), None]), "{starts:?}");
    daemon.change("suspend", "a@acme.example");
    let daemon = daemon.kill().start();
    assert_eq!(client.token(&[]).status, 401);
    assert_eq!(daemon.http().get("/health/ready").status, 200);
}

#[test]
fn what_no_checkpoint_was_of_is_counted_and_verified_after_an_end_in_good_order_too() {
    let daemon = TestDaemon::start();
    let (installation, _) = daemon.stop();
    installation.check_store();
    let checkpoint = installation.config.store.join("checkpoint");
    let before = fs::read(&checkpoint).unwrap();
    let daemon = installation.start();
    daemon.organization("acme");
    let (installation, _) = daemon.stop();
    installation.check_store();
    // The head file says the same as the log, as it would if something had been added to both; the newest
    // checkpoint is the one thing that takes a key.
    fs::write(&checkpoint, before).unwrap();
    let checked = installation.run("store check");
    assert_eq!(checked.code(), Some(4), "{}", checked.stdout);
    let problem = "the log goes on beyond the newest checkpoint by 3 entries";
    assert!(checked.stdout.contains(problem), "{}", checked.stdout);
    let daemon = installation.start();
    daemon
        .process
        .wait_for("the whole store was verified", |seen| {
            let told = String::from_utf8_lossy(&seen.stderr);
            told.contains("the whole store was verified").then_some(())
        });
    let starts = ["audit", "list", "--action", "daemon.start", "-o", "ndjson"];
    let starts = daemon.cli().ndjson(&starts);
    let counts: Vec<_> = starts.iter().map(|it| it["count"].as_u64()).collect();
    assert_eq!(counts, [Some(3), None, None], "{starts:?}");
    daemon.stop().0.check_store();
}
