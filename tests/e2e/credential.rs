//! The life of agents and of their credentials, as their token requests feel it.

use std::time::Instant;

use agentidp_proto::v1::credential_service_client::CredentialServiceClient;
use agentidp_proto::{REQUEST_ID_METADATA, v1};
use agentidp_tests::{Client, DEADLINE, Registration, Request, TestDaemon};
use serde_json::Value;
use tokio::runtime::Runtime;
use tonic::transport::Endpoint;

fn daemon() -> (TestDaemon, Client) {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    (daemon, client)
}

fn status_of(daemon: &TestDaemon, credential: &str) -> String {
    let list = daemon
        .cli()
        .ndjson(&["credential", "list", "a@acme.example", "-o", "ndjson"]);
    let found = list.into_iter().find(|it| it["id"] == credential);
    found.unwrap()["status"].as_str().unwrap().to_owned()
}

#[test]
fn a_suspended_agent_gets_no_token_until_it_is_resumed() {
    let (daemon, client) = daemon();
    assert_eq!(client.token(&[]).status, 200);
    let suspended = daemon.change("suspend", "a@acme.example");
    assert_eq!(suspended["status"], "suspended");
    assert_eq!(
        client.token(&[]).error(),
        (401, "invalid_client".to_owned())
    );
    let resumed = daemon
        .cli()
        .json(&["agent", "resume", "a@acme.example", "--yes", "-o", "json"]);
    assert_eq!(resumed["status"], "active");
    assert_eq!(client.token(&[]).status, 200);
}

#[test]
fn an_agent_that_has_ended_stays_ended() {
    let (daemon, client) = daemon();
    assert_eq!(
        daemon.change("revoke", "a@acme.example")["status"],
        "revoked"
    );
    assert_eq!(client.token(&[]).status, 401);
    assert_eq!(
        status_of(&daemon, &client.credential),
        "revoked",
        "its credentials end with it"
    );
    let resume = daemon
        .cli()
        .run(&["agent", "resume", "a@acme.example", "--yes"]);
    assert_ne!(resume.code(), Some(0));
    assert!(resume.stderr().contains("revoked"), "{}", resume.stderr());
    assert_eq!(client.token(&[]).status, 401);
}

#[test]
fn doing_it_twice_answers_as_the_first_time() {
    let (daemon, _) = daemon();
    let first = daemon.change("suspend", "a@acme.example");
    let second = daemon.change("suspend", "a@acme.example");
    assert_eq!(first, second);
}

#[test]
fn a_revoked_credential_is_dead_at_once_and_the_others_live() {
    let (daemon, client) = daemon();
    let other = daemon.issue("a@acme.example", &[]);
    assert_eq!(client.token(&[]).status, 200);
    let revoke = [
        "credential",
        "revoke",
        &client.credential,
        "--reason",
        "leaked in a log",
        "--yes",
    ];
    let _ = daemon.cli().run(&revoke).ok();
    assert_eq!(
        client.token(&[]).error(),
        (401, "invalid_client".to_owned())
    );
    assert_eq!(other.token(&[]).status, 200);
    assert_eq!(status_of(&daemon, &client.credential), "revoked");
    assert_eq!(status_of(&daemon, &other.credential), "active");
}

#[test]
fn both_secrets_work_during_the_grace_of_a_rotation() {
    let (daemon, old) = daemon();
    let answer = daemon.cli().json(&[
        "credential",
        "rotate",
        &old.credential,
        "--grace",
        "1h",
        "-o",
        "json",
    ]);
    assert_eq!(answer["retiring"]["id"], old.credential);
    assert_eq!(answer["retiring"]["status"], "retiring");
    let new = old.with_secret(answer["client_secret"].as_str().unwrap());
    assert_eq!(new.token(&[]).status, 200);
    assert_eq!(old.token(&[]).status, 200);
    assert_eq!(status_of(&daemon, &old.credential), "retiring");
}

#[test]
fn a_rotation_without_grace_kills_the_old_secret_at_once() {
    let (daemon, old) = daemon();
    assert_eq!(
        old.token(&[]).status,
        200,
        "its hash is remembered, which must not keep it alive"
    );
    let new = daemon.rotate(&old.credential, &["--grace", "0s"]);
    assert_eq!(old.token(&[]).error(), (401, "invalid_client".to_owned()));
    assert_eq!(new.token(&[]).status, 200);
}

#[test]
fn a_credential_is_accepted_until_it_expires_and_never_after() {
    let (daemon, _) = daemon();
    let short = daemon.issue("a@acme.example", &["--expires-in", "2s"]);
    assert_eq!(short.token(&[]).status, 200);
    let deadline = Instant::now() + DEADLINE;
    while short.token(&[]).status == 200 {
        assert!(Instant::now() < deadline, "it never expired");
    }
    assert_eq!(status_of(&daemon, &short.credential), "expired");

    let list = daemon
        .cli()
        .ndjson(&["credential", "list", "a@acme.example", "-o", "ndjson"]);
    let expiry = list.iter().find(|it| it["id"] == short.credential).unwrap()["expires_at"]
        .as_str()
        .unwrap()
        .to_owned();
    let tail = daemon
        .cli()
        .spawn(&["audit", "tail", "--from", "0", "-o", "ndjson"]);
    tail.wait_for_line("the denial", |line| {
        line.contains("CREDENTIAL_EXPIRED").then_some(())
    });
    let text = tail.seen(|seen| String::from_utf8_lossy(&seen.stdout).into_owned());
    let entries = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    for entry in entries.filter(|it| it["action"] == "token.issue") {
        // Times of one form order as text does.
        let in_time = entry["time"].as_str().unwrap() < expiry.as_str();
        assert_eq!(
            entry["outcome"] == "success",
            in_time,
            "expires {expiry}: {entry}"
        );
    }
}

#[test]
fn the_last_use_of_a_credential_is_seen() {
    let (daemon, client) = daemon();
    let list = ["credential", "list", "a@acme.example", "-o", "ndjson"];
    assert!(daemon.cli().ndjson(&list)[0]["last_used_at"].is_null());
    assert_eq!(client.token(&[]).status, 200);
    assert!(daemon.cli().ndjson(&list)[0]["last_used_at"].is_string());
    let agent = daemon
        .cli()
        .json(&["agent", "show", "a@acme.example", "-o", "json"]);
    assert!(agent["last_auth_at"].is_string());
}

#[test]
fn a_rotation_on_the_socket_tells_how_the_old_credential_was_used_also_when_it_is_repeated() {
    let (daemon, old) = daemon();
    let runtime = Runtime::new().unwrap();
    let socket = daemon.installation.config.socket.display().to_string();
    let rotate = || {
        runtime.block_on(async {
            let endpoint = Endpoint::from_shared(format!("unix://{socket}")).unwrap();
            let channel = endpoint.connect().await.unwrap();
            let mut request = tonic::Request::new(v1::RotateCredentialRequest {
                credential_id: old.credential.clone(),
                ..v1::RotateCredentialRequest::default()
            });
            let name = "0193f2c4-0000-7000-8000-000000009b23".parse().unwrap();
            request.metadata_mut().insert(REQUEST_ID_METADATA, name);
            let rotated = CredentialServiceClient::new(channel).rotate(request).await;
            rotated.unwrap().into_inner()
        })
    };
    for uses in 1..=2 {
        assert_eq!(old.token(&[]).status, 200);
        let retiring = rotate().retiring.unwrap();
        assert_eq!(retiring.id, old.credential);
        assert_eq!(retiring.use_count, uses);
        assert!(retiring.last_used_at.is_some());
    }
}

#[test]
fn a_secret_can_go_to_a_file_that_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt;
    let (daemon, client) = daemon();
    let file = daemon.installation.directory().join("secret");
    let issue = [
        "credential",
        "issue",
        "a@acme.example",
        "--secret-out",
        file.to_str().unwrap(),
        "-o",
        "json",
    ];
    let output = daemon.cli().run(&issue).ok();
    let secret = std::fs::read_to_string(&file)
        .unwrap()
        .trim_end()
        .to_owned();
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(client.with_secret(&secret).token(&[]).status, 200);
    assert!(
        !output.stdout().contains(&secret),
        "it stands in the file and nowhere else"
    );
}

#[test]
fn what_is_wrong_with_an_assertion_stands_in_the_log_and_the_assertion_does_not() {
    let (daemon, _) = daemon();
    let assertion = "eyJhbGciOiJub25lIn0.e30.c2lnbmF0dXJl";
    let answer = daemon.http().send(&Request::form(
        "/oauth2/token",
        &[
            ("grant_type", "client_credentials"),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", assertion),
        ],
    ));
    assert_eq!(answer.error(), (401, "invalid_client".to_owned()));
    let (_, finished) = daemon.stop();
    let line = finished
        .stderr
        .lines()
        .find(|line| line.contains("a client assertion was refused"))
        .unwrap();
    let said: Value = serde_json::from_str(line).unwrap();
    assert_eq!(said["level"], "INFO");
    assert_eq!(said["request_id"], answer.header("x-request-id").unwrap());
    assert!(!said["error"].as_str().unwrap().is_empty());
    assert!(!finished.stderr.contains(assertion));
}
