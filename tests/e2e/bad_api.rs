//! Bad requests to every operation of the management interface: each gets the error that stands for it, none is
//! a fault of the server, nothing comes of any, and all are counted.
//!
//! The operations are those of `/openapi.json`, and so are the parameters and members that are sent wrong. One
//! without a row here fails the test, and so does a row without an operation.

mod wrong;

use std::collections::BTreeSet;

use agentidp_tests::{Client, Http, Registration, Request, Response, TestDaemon};
use serde_json::{Value, json};

use self::wrong::{Bad, addresses, bodies, with};
use crate::counted::assert_counted;
use crate::matrix::MANAGEMENT;

const ROOT: &str = "/api/v1";
const JSON: &str = "application/json";
const AGENT: &str = r#"{"email":"b@acme.example","agent_type":"screener","version":"1.0.0",
    "owner":"team-a","deployment_env":"production"}"#;
const REASON: &str = r#"{"reason":"the test says so"}"#;

/// An operation by method and path, and a good body for it; empty for one that has none.
type Row = (&'static str, &'static str, &'static str);

const ROWS: &[Row] = &[
    ("get", "/agents", ""),
    ("post", "/agents", AGENT),
    ("get", "/agents/{agent_id}", ""),
    ("patch", "/agents/{agent_id}", r#"{"owner":"team-b"}"#),
    ("delete", "/agents/{agent_id}", ""),
    ("post", "/agents/{agent_id}/suspend", REASON),
    ("post", "/agents/{agent_id}/resume", REASON),
    ("post", "/agents/{agent_id}/revoke", REASON),
    ("post", "/agents/{agent_id}/decommission", REASON),
    ("post", "/agents/{agent_id}/archive", REASON),
    ("get", "/agents/{agent_id}/credentials", ""),
    ("post", "/agents/{agent_id}/credentials", "{}"),
    ("get", CREDENTIAL, ""),
    ("delete", CREDENTIAL, ""),
    (
        "post",
        "/agents/{agent_id}/credentials/{credential_id}/rotate",
        "{}",
    ),
    ("get", "/audit", ""),
    ("get", "/audit/{seq}", ""),
];
const CREDENTIAL: &str = "/agents/{agent_id}/credentials/{credential_id}";

/// An organization's automation, an agent of its own, and how it was asked so far.
struct World {
    http: Http,
    bearer: String,
    /// The values of the parameters in paths.
    ids: [(&'static str, String); 3],
    /// How many requests were refused by an operation.
    refused: u64,
}

impl World {
    fn new(daemon: &TestDaemon) -> Self {
        daemon.organization("acme");
        let registration = Registration::new("api@acme.example");
        let automation = daemon.enrol(
            &MANAGEMENT
                .into_iter()
                .fold(registration, Registration::capability),
        );
        let token = automation
            .token(&[("scope", &MANAGEMENT.join(" "))])
            .token();
        let agent = daemon.enrol(&Registration::new("a@acme.example"));
        let Client { id, credential, .. } = daemon.issue("a@acme.example", &[]);
        assert_eq!(id, agent.id);
        let list = [
            "audit", "list", "--agent", &id, "--limit", "1", "-o", "ndjson",
        ];
        let seq = daemon.cli().ndjson(&list)[0]["seq"].to_string();
        Self {
            http: daemon.http(),
            bearer: format!("Bearer {token}"),
            ids: [
                ("agent_id", id),
                ("credential_id", credential),
                ("seq", seq),
            ],
            refused: 0,
        }
    }

    /// The path of an operation, with this id in the place of the good one.
    fn path(&self, path: &str, bad: Option<(&str, &str)>) -> String {
        let mut path = format!("{ROOT}{path}");
        for (name, good) in &self.ids {
            let value = bad
                .filter(|(it, _)| it == name)
                .map_or(good.as_str(), |it| it.1);
            path = path.replace(&format!("{{{name}}}"), value);
        }
        path
    }

    fn request(&self, method: &str, path: &str, (media_type, body): (&str, &[u8])) -> Request {
        let request =
            Request::new(&method.to_uppercase(), path).header("authorization", &self.bearer);
        if body.is_empty() {
            return request;
        }
        // The client sends no length with a GET by itself.
        let request = match method {
            "get" => request.header("content-length", &body.len().to_string()),
            _ => request,
        };
        request
            .header("content-type", media_type)
            .body(body.to_vec())
    }

    fn get(&self, path: &str) -> Response {
        let answer = self.http.send(&self.request("get", path, (JSON, b"")));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer
    }

    /// All that could have been changed.
    fn picture(&self) -> [Value; 3] {
        let agent = self.path("/agents/{agent_id}", None);
        [
            format!("{ROOT}/agents"),
            format!("{agent}/credentials"),
            agent,
        ]
        .map(|path| self.get(&path).json())
    }

    fn assert_refused(&mut self, operation: &str, bad: &Bad) {
        let what = format!("{operation}: {}", bad.what);
        let answer = self.http.send(&bad.request);
        let text = answer.text();
        assert_eq!(answer.status, bad.status, "{what}: {text}");
        let error = answer.json();
        let members: Vec<_> = error.as_object().unwrap().keys().collect();
        assert_eq!(
            members,
            ["code", "details", "message", "request_id"],
            "{what}"
        );
        assert_eq!(error["code"], bad.code, "{what}: {text}");
        assert_eq!(
            error["request_id"].as_str(),
            answer.header("x-request-id"),
            "{what}"
        );
        let field = error["details"]["field"].as_str();
        assert_eq!(field, bad.field.as_deref(), "{what}: {text}");
        self.refused += 1;
    }
}

/// The operations of the contract, by method and path.
fn operations(contract: &Value) -> BTreeSet<(&str, &str)> {
    let mut all = BTreeSet::new();
    for (path, methods) in contract["paths"].as_object().unwrap() {
        let Some(path) = path.strip_prefix(ROOT) else {
            continue;
        };
        let methods = methods.as_object().unwrap().keys();
        all.extend(methods.map(|method| (method.as_str(), path)));
    }
    all
}

/// The schema of an operation's body; null where it has none.
fn schema<'a>(contract: &'a Value, operation: &'a Value) -> &'a Value {
    let body = &operation["requestBody"]["content"][JSON]["schema"];
    let named = body["$ref"].as_str().and_then(|it| it.strip_prefix('#'));
    named.map_or(body, |pointer| contract.pointer(pointer).unwrap())
}

#[test]
fn a_bad_request_to_any_operation_gets_its_error_and_changes_nothing() {
    let daemon = TestDaemon::start();
    let contract = daemon.http().get("/openapi.json").json();
    let rows = ROWS.iter().map(|(method, path, _)| (*method, *path));
    assert_eq!(
        rows.collect::<BTreeSet<_>>(),
        operations(&contract),
        "rows, and operations"
    );
    let mut world = World::new(&daemon);
    let before = world.picture();
    for row @ (method, path, good) in ROWS.iter().copied() {
        let operation = &contract["paths"][format!("{ROOT}{path}")][method];
        let parameters = operation["parameters"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let schema = schema(&contract, operation);
        assert_eq!(
            schema.is_null(),
            good.is_empty(),
            "{method} {path} has a body, or none"
        );
        let mut all = bodies(&world, row, schema);
        all.extend(addresses(&world, row, &parameters));
        for bad in &all {
            world.assert_refused(&format!("{method} {path}"), bad);
        }
        assert_eq!(world.picture(), before, "after {method} {path}");
    }
    assert_counted(daemon, world.refused);
}

/// It is refused before anyone knows what it is for, and before all of it is read.
#[test]
fn an_id_of_a_megabyte_is_refused() {
    let daemon = TestDaemon::start();
    let world = World::new(&daemon);
    let large = "9".repeat(1_000_000);
    for (method, path, good) in ROWS {
        for (name, _) in &world.ids {
            if path.contains(&format!("{{{name}}}")) {
                let path = world.path(path, Some((name, &large)));
                let request = world.request(method, &path, (JSON, good.as_bytes()));
                let status = world.http.send(&request).status;
                assert!(
                    (400..500).contains(&status),
                    "{method} {path:.80}: {status}"
                );
            }
        }
    }
}

#[test]
fn an_organization_that_a_body_names_is_not_where_anything_goes() {
    let daemon = TestDaemon::start();
    let world = World::new(&daemon);
    let other = daemon.organization("other")["id"].clone();
    for (method, path, good) in ROWS.iter().filter(|(_, _, good)| !good.is_empty()) {
        let is_final = ["/revoke", "/decommission", "/archive"]
            .iter()
            .any(|it| path.ends_with(it));
        for name in ["organization_id", "organizationId"]
            .iter()
            .filter(|_| !is_final)
        {
            let mut body = with(good, name, other.clone());
            if *path == "/agents" {
                let email = format!("{}@acme.example", name.to_lowercase().replace('_', "-"));
                body = with(std::str::from_utf8(&body).unwrap(), "email", json!(email));
            }
            let path = world.path(path, None);
            let answer = world
                .http
                .send(&world.request(method, &path, (JSON, &body)));
            assert!(
                answer.status < 300 || answer.status == 409,
                "{path}: {}",
                answer.text()
            );
            assert!(
                !answer.text().contains(other.as_str().unwrap()),
                "{}",
                answer.text()
            );
        }
    }
    let listed = ["agent", "list", "--org", "other", "-o", "ndjson"];
    assert!(daemon.cli().ndjson(&listed).is_empty());
}
