//! `agentidp diagnose` against daemons that are well, ill and away.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use agentidp_tests::users::{by_way_of, is_root_to_test};
use agentidp_tests::{Cli, Installation, Registration, TestDaemon, agentidp};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;

const CHECKS: [&str; 10] = [
    "socket",
    "permissions",
    "daemon",
    "clock",
    "store",
    "keys",
    "backups",
    "disk",
    "certificate",
    "versions",
];

/// What it finds, after a look at what holds whatever it finds.
fn diagnosed(cli: &Cli) -> (Option<i32>, Vec<Value>) {
    let output = cli.run(&["diagnose", "-o", "json"]);
    let findings = output.json();
    let findings = findings.as_array().unwrap();
    let names: Vec<_> = findings.iter().map(|it| it["check"].clone()).collect();
    assert_eq!(names, CHECKS, "every check is there, whatever is wrong");
    let mut is_well = true;
    for finding in findings {
        let is_bad = ["warning", "failed"].contains(&finding["verdict"].as_str().unwrap());
        is_well &= !is_bad;
        assert_eq!(finding["next"].is_string(), is_bad, "{finding}");
        assert!(!finding["found"].as_str().unwrap().is_empty(), "{finding}");
    }
    assert_eq!(output.code() == Some(0), is_well, "{findings:?}");
    (output.code(), findings.clone())
}

fn verdict<'a>(findings: &'a [Value], check: &str) -> (&'a str, &'a str) {
    let finding = findings.iter().find(|it| it["check"] == check).unwrap();
    let text = |name: &str| finding[name].as_str().unwrap();
    (text("verdict"), text("found"))
}

#[test]
fn of_a_daemon_that_is_well_everything_is_told_and_nothing_secret() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let (_, findings) = diagnosed(&daemon.cli());
    for check in [
        "socket",
        "permissions",
        "daemon",
        "store",
        "keys",
        "versions",
    ] {
        assert_eq!(verdict(&findings, check).0, "ok", "{check}: {findings:?}");
    }
    assert!(verdict(&findings, "permissions").1.contains("role admin"));
    assert!(verdict(&findings, "store").1.contains("audit entries"));
    assert_eq!(verdict(&findings, "certificate").0, "skipped");
    let text = daemon.cli().run(&["diagnose"]);
    assert!(!text.stdout().contains(&client.secret));
    assert!(
        text.stdout().starts_with("ok       socket"),
        "{}",
        text.stdout()
    );
}

#[test]
fn without_a_daemon_it_says_what_can_be_said() {
    let daemon = TestDaemon::start();
    let cli = daemon.cli();
    // Killed, it leaves its socket behind.
    let installation = daemon.kill();
    let (code, findings) = diagnosed(&cli);
    assert_eq!(code, Some(6));
    let (word, found) = verdict(&findings, "socket");
    assert!(word == "failed" && found.contains("left behind"), "{found}");
    assert_eq!(verdict(&findings, "store").0, "skipped");

    fs::remove_file(&installation.config.socket).unwrap();
    let (code, findings) = diagnosed(&cli);
    assert_eq!(code, Some(6));
    assert!(verdict(&findings, "socket").1.contains("No such file"));

    fs::write(&installation.config.socket, "").unwrap();
    let (code, findings) = diagnosed(&cli);
    assert_eq!(code, Some(6));
    assert!(verdict(&findings, "socket").1.contains("is no socket"));
}

#[test]
fn a_user_who_is_kept_out_learns_by_what() {
    if !is_root_to_test("a diagnosis by a user without permissions") {
        return;
    }
    let installation = Installation::initialized();
    let folder = installation.directory().to_owned();
    let run = installation.config.socket.parent().unwrap().to_owned();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let console = folder.join("agentidp");
    fs::copy(agentidp(), &console).unwrap();
    let daemon = installation.start();
    let words = by_way_of("nobody", "nogroup");
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let nobody = daemon.cli().with_program(&console).by_way_of(&words);

    let (code, findings) = diagnosed(&nobody);
    assert_eq!(code, Some(4));
    let (word, found) = verdict(&findings, "socket");
    assert!(
        word == "failed" && found.contains("root:root 0750"),
        "{found}"
    );

    // With a way in and no role.
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(
        &daemon.installation.config.socket,
        fs::Permissions::from_mode(0o666),
    )
    .unwrap();
    let (code, findings) = diagnosed(&nobody);
    assert_eq!(code, Some(4));
    let (word, found) = verdict(&findings, "permissions");
    assert!(word == "failed" && found.contains("nobody"), "{found}");
    let finding = findings.iter().find(|it| it["check"] == "permissions");
    let next = finding.and_then(|it| it["next"].as_str()).unwrap();
    assert!(
        next.contains("agentidp-operator nobody") && next.contains("[[operator.roles]]"),
        "{next}"
    );
    assert_eq!(verdict(&findings, "daemon").0, "ok");
    // And every other command leads there.
    let refused = nobody.run(&["status"]).failing_with(4);
    assert!(
        refused.stderr().contains("hint:  agentidp diagnose"),
        "{}",
        refused.stderr()
    );
}

#[test]
fn a_certificate_is_told_by_its_end() {
    let key = KeyPair::generate().unwrap();
    for (year, word) in [(4_000, "ok"), (2_020, "failed")] {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2_019, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let mut installation = Installation::new();
        let folder = installation.directory();
        let files = (folder.join("tls.crt"), folder.join("tls.key"));
        fs::write(&files.0, params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&files.1, key.serialize_pem()).unwrap();
        fs::set_permissions(&files.1, fs::Permissions::from_mode(0o600)).unwrap();
        installation.config.tls = Some(files);
        installation.init();
        let daemon = installation.start();
        let (_, findings) = diagnosed(&daemon.cli());
        let (verdict, found) = verdict(&findings, "certificate");
        assert_eq!(verdict, word, "{found}");
        assert!(found.contains(&format!("{year}-01-01")), "{found}");
    }
}
