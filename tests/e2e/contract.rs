//! The contract in `/openapi.json`, held against the running daemon by schemathesis with all its
//! checks; what stands for one of them where records outlive their DELETE, the configuration says.

use std::process::Command;
use std::time::Duration;

use agentidp_tests::{Process, Registration, Request, TestDaemon, project_root};

use crate::clients::installed;
use crate::matrix::MANAGEMENT;

/// How many requests are made up for each operation and phase.
const EXAMPLES: &str = "25";
/// A machine may be busy; alone it takes a fifth of this.
const LIMIT: Duration = Duration::from_mins(3);

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
    // As a file: it leaves out the operation that it has had the contract from.
    let contract = daemon.http().get("/openapi.json");
    let file = daemon.installation.directory().join("openapi.json");
    std::fs::write(&file, &contract.body).unwrap();
    let mut command = Command::new(installed("schemathesis"));
    command
        .current_dir(daemon.installation.directory())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("CALLER", &client.id)
        .env("SECRET", &client.secret)
        .env("TOKEN", &token)
        .env(
            "SCHEMATHESIS_HOOKS",
            project_root().join("tests/clients/schemathesis_hooks.py"),
        )
        .arg("--config-file")
        .arg(project_root().join("tests/clients/schemathesis.toml"))
        // All checks are on by themselves; to ask for all here would make nothing of what the file says.
        .args(["run", "--mode", "all"])
        .args(["--max-examples", EXAMPLES])
        // The same requests every time, and nothing remembered from another time.
        .arg("--generation-deterministic")
        .args(["--continue-on-failure", "--no-color", "--warnings", "off"])
        .args(["--header", &format!("Authorization: {bearer}")])
        .args(["--url", &daemon.installation.config.issuer()])
        .arg(&file);
    let finished = Process::spawn(command).wait_within(LIMIT);
    assert_eq!(
        finished.code(),
        Some(0),
        "{}\n{}{}",
        finished.command,
        finished.stdout,
        finished.stderr
    );
    // Nothing is left out.
    let document = contract.json();
    let operations = document["paths"].as_object().unwrap().values();
    let operations: usize = operations.map(|it| it.as_object().unwrap().len()).sum();
    let whole = format!("Selected: {operations}/{operations}\n  Tested: {operations}\n");
    assert!(
        finished.stdout.contains(&whole),
        "not {whole}: {}",
        finished.stdout
    );
    // It has not ended its own agent on the way, after which everything is refused as it should be.
    let request = Request::new("GET", "/api/v1/agents").header("authorization", &bearer);
    assert_eq!(daemon.http().send(&request).status, 200);
}
