//! Third parties' clients, unmodified: one of ours would prove nothing.
//!
//! Each is a script in `tests/clients`, run with the interpreter in `.venv`.

use std::process::Command;

use agentidp_tests::{Client, Installation, Process, Registration, TestDaemon, project_root};
use serde_json::Value;

/// Runs a script and gives the JSON that it prints: the claims it verified.
fn run(script: &str, daemon: &TestDaemon, client: &Client, more: &[(&str, &str)]) -> Value {
    let root = project_root();
    let python = root.join(".venv/bin/python");
    assert!(
        python.is_file(),
        "{} is missing: run `python3 -m venv .venv && .venv/bin/pip install -r tests/clients/requirements.txt`",
        python.display()
    );
    let config = &daemon.installation.config;
    let mut command = Command::new(python);
    command
        .arg("-I")
        .arg(root.join("tests/clients").join(script));
    command
        .env("ISSUER", config.issuer())
        .env("ALGORITHM", config.algorithm);
    command
        .env("CLIENT_ID", &client.id)
        .env("CLIENT_SECRET", &client.secret);
    command.envs(more.iter().copied());
    let finished = Process::spawn(command).wait();
    assert_eq!(
        finished.code(),
        Some(0),
        "{}\n{}{}",
        finished.command,
        finished.stdout,
        finished.stderr
    );
    serde_json::from_str(&finished.stdout).expect("the claims")
}

fn daemon_signing_with(algorithm: &'static str) -> TestDaemon {
    let mut installation = Installation::new();
    installation.config.algorithm = algorithm;
    installation.init();
    let daemon = installation.start();
    daemon.organization("acme");
    daemon
}

fn authlib_and_pyjwt(algorithm: &'static str) {
    let daemon = daemon_signing_with(algorithm);
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    for method in ["client_secret_basic", "client_secret_post"] {
        let claims = run("authlib_client.py", &daemon, &client, &[("METHOD", method)]);
        assert_eq!(claims["sub"], client.id);
        assert_eq!(claims["scope"], "resume:read");
    }
}

#[test]
fn authlib_gets_a_token_by_discovery_and_pyjwt_verifies_it_with_es256() {
    authlib_and_pyjwt("ES256");
}

#[test]
fn authlib_gets_a_token_by_discovery_and_pyjwt_verifies_it_with_eddsa() {
    authlib_and_pyjwt("EdDSA");
}

#[test]
fn authlib_gets_a_token_by_discovery_and_pyjwt_verifies_it_with_rs256() {
    authlib_and_pyjwt("RS256");
}

#[test]
fn authlib_finds_an_issuer_that_has_a_path() {
    let mut installation = Installation::new();
    installation.config.issuer_path = "/tenant";
    installation.init();
    let daemon = installation.start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let more = [("METHOD", "client_secret_basic")];
    let claims = run("authlib_client.py", &daemon, &client, &more);
    assert_eq!(claims["iss"], daemon.installation.config.issuer());
}

#[test]
fn requests_oauthlib_gets_a_token() {
    let daemon = daemon_signing_with("ES256");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let claims = run("requests_oauthlib_client.py", &daemon, &client, &[]);
    assert_eq!(claims["sub"], client.id);
}

#[test]
fn the_mcp_sdk_gets_a_token_for_a_resource() {
    let daemon = daemon_signing_with("ES256");
    let port = agentidp_tests::free_address().port().to_string();
    let resource = format!("http://127.0.0.1:{port}/mcp");
    let client = daemon.enrol(&Registration::new("a@acme.example").audience(&resource));
    for method in ["client_secret_basic", "client_secret_post"] {
        for scopes in ["resume:read", ""] {
            let more = [
                ("RESOURCE_PORT", port.as_str()),
                ("METHOD", method),
                ("RESOURCE_SCOPES", scopes),
            ];
            let claims = run("mcp_client.py", &daemon, &client, &more);
            assert_eq!(claims["aud"], resource);
            assert_eq!(claims["sub"], client.id);
        }
    }
}

#[test]
fn the_mcp_sdk_does_not_get_a_token_for_a_resource_that_the_agent_may_not_use() {
    let daemon = daemon_signing_with("ES256");
    let port = agentidp_tests::free_address().port().to_string();
    let client =
        daemon.enrol(&Registration::new("a@acme.example").audience("https://mcp.example/"));
    let more = [
        ("RESOURCE_PORT", port.as_str()),
        ("METHOD", "client_secret_basic"),
        ("EXPECT", "invalid_target"),
    ];
    let error = run("mcp_client.py", &daemon, &client, &more);
    assert!(
        error["error"].as_str().unwrap().contains("invalid_target"),
        "{error}"
    );
}
