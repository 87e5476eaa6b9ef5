//! SIGKILL right after an answer. Load, and kills at any moment of it: `cargo xtask torture kill`.

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
