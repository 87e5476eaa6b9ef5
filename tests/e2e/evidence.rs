//! What is exported from the log is verified elsewhere, without the daemon.

use std::fs;
use std::path::Path;

use agentidp_tests::{Cli, Registration, TestDaemon};

/// The command line where there is no daemon.
fn elsewhere() -> Cli {
    Cli::new(Path::new("/nonexistent/operator.sock"))
}

fn key_of(daemon: &TestDaemon) -> String {
    let answer = daemon.cli().run(&["audit", "key"]).ok();
    answer.stdout().trim_end().to_owned()
}

#[test]
fn an_export_verifies_without_the_daemon_also_after_restarts_and_a_crash() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    // More than one bundle, so that there are full tiles.
    for _ in 0..300 {
        let _ = client.token(&[]).token();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let key = key_of(&daemon);
    let export = |daemon: &TestDaemon, name: &str, options: &[&str]| {
        let file = path(name);
        let arguments = [&["audit", "export", &file], options].concat();
        let _ = daemon.cli().run(&arguments).ok();
        file
    };
    let verify = |file: &str| {
        let arguments = ["audit", "verify", file, "--key", &key, "-o", "json"];
        elsewhere().run(&arguments).ok().json()
    };
    let whole = verify(&export(&daemon, "whole", &[]));
    assert!(whole["entries"].as_u64().unwrap() > 300, "{whole}");
    let acme = verify(&export(&daemon, "acme", &["--org", "acme"]));
    assert!(acme["organization_id"].is_string());
    assert!(acme["entries"].as_u64().unwrap() > 300, "{acme}");

    let (installation, _) = daemon.stop();
    let daemon = installation.start();
    assert_eq!(key_of(&daemon), key);
    let from = whole["to"].to_string();
    let rest = verify(&export(&daemon, "rest", &["--from", &from]));
    assert_eq!(rest["from"], whole["to"]);
    let daemon = daemon.kill().start();
    let again = verify(&export(&daemon, "again", &[]));
    assert!(again["size"].as_u64() > rest["size"].as_u64());

    let proof = path("proof");
    let prove = ["audit", "prove", "299", "--out", &proof];
    let _ = daemon.cli().run(&prove).ok();
    assert_eq!(verify(&proof)["from"], 299);
    let (installation, _) = daemon.stop();
    installation.check_store();
}

#[test]
fn an_export_that_was_changed_is_refused_and_the_line_is_named() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.ndjson");
    let name = file.to_str().unwrap();
    let _ = daemon.cli().run(&["audit", "export", name]).ok();
    let key = key_of(&daemon);

    let again = daemon.cli().run(&["audit", "export", name]);
    let again = again.failing_with(2);
    assert!(
        again.stderr().contains("is there already"),
        "{}",
        again.stderr()
    );

    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("store.init", "store.Init")).unwrap();
    let refused = elsewhere().run(&["audit", "verify", name, "--key", &key]);
    let refused = refused.failing_with(1);
    assert!(
        refused.stderr().contains("line 2: "),
        "{}",
        refused.stderr()
    );
}
