//! The contract in `/openapi.json`, held against the running daemon by schemathesis with all its
//! checks.

use std::process::Command;
use std::time::Duration;

use agentidp_tests::{Process, Registration, Request, TestDaemon, project_root};

use crate::clients::installed;
use crate::matrix::MANAGEMENT;

/// How many requests are made up for each operation and phase.
const EXAMPLES: &str = "25";
/// A machine may be busy; alone it takes a third of this.
const LIMIT: Duration = Duration::from_mins(5);

#[test]
fn schemathesis_finds_nothing() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let registration = MANAGEMENT
        .iter()
        .fold(Registration::new("api@acme.example"), |it, scope| {
            it.capability(scope)
        });
    let client = daemon.enrol(&registration);
    let token = client.token(&[("scope", &MANAGEMENT.join(" "))]).token();
    let bearer = format!("Bearer {token}");
    let mut command = Command::new(installed("schemathesis"));
    command
        .current_dir(daemon.installation.directory())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("CALLER", &client.id)
        .env(
            "SCHEMATHESIS_HOOKS",
            project_root().join("tests/clients/schemathesis_hooks.py"),
        )
        .arg("--config-file")
        .arg(project_root().join("tests/clients/schemathesis.toml"))
        .args(["run", "--checks", "all", "--mode", "all"])
        .args(["--max-examples", EXAMPLES])
        // The same requests every time, and nothing remembered from another time.
        .arg("--generation-deterministic")
        .args(["--continue-on-failure", "--no-color", "--warnings", "off"])
        .args(["--header", &format!("Authorization: {bearer}")])
        .arg(format!(
            "{}/openapi.json",
            daemon.installation.config.issuer()
        ));
    let finished = Process::spawn(command).wait_within(LIMIT);
    assert_eq!(
        finished.code(),
        Some(0),
        "{}\n{}{}",
        finished.command,
        finished.stdout,
        finished.stderr
    );
    // It has not ended its own agent on the way, after which everything is refused as it should be.
    let request = Request::new("GET", "/api/v1/agents").header("authorization", &bearer);
    assert_eq!(daemon.http().send(&request).status, 200);
}
