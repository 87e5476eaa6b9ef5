//! Completeness of the audit log: what was done on any route and by any call has its entry, with who
//! did it, to what, and how it ended; what was refused has one, or is counted.
//!
//! The routes are those of `/openapi.json`, the calls those of the definitions. One without an
//! expectation here fails the test, and so does an expectation without a route or call.

use std::collections::{BTreeMap, BTreeSet};

use agentidp_tests::{Client, Registration, Request, TestDaemon};
use serde_json::Value;
use tonic::Code;

use super::expected::Expected::{Change, Public, Read};
use super::expected::{CALLS, Expected, ROUTES};
use super::raw::Operator;
use super::rpc;
use super::{REASON, ROWS, Row, World, calls};

fn log(daemon: &TestDaemon) -> Vec<Value> {
    let list = ["audit", "list", "--limit", "100000", "-o", "ndjson"];
    daemon.cli().ndjson(&list)
}

/// How many entries there are.
fn end(daemon: &TestDaemon) -> u64 {
    let status = daemon.cli().json(&["status", "-o", "json"]);
    status["store"]["entries"].as_u64().unwrap()
}

/// The first entry of an action from entry `from` on, which ended well.
fn done<'a>(log: &'a [Value], from: u64, action: &str) -> Option<&'a Value> {
    let mut entries: Vec<_> = log
        .iter()
        .filter(|it| it["seq"].as_u64() >= Some(from))
        .collect();
    entries.sort_by_key(|it| it["seq"].as_u64());
    let mut of_it = entries.into_iter().filter(|it| it["action"] == action);
    of_it.find(|it| it["outcome"] == "success")
}

/// What every entry of a change has.
fn assert_change(what: &str, entry: &Value, target: &str) {
    for member in [
        "v",
        "seq",
        "time",
        "actor",
        "action",
        "outcome",
        "request_id",
    ] {
        assert!(!entry[member].is_null(), "{what}: {member}: {entry}");
    }
    for member in ["kind", "id", "name", "via"] {
        assert!(
            !entry["actor"][member].is_null(),
            "{what}: {member}: {entry}"
        );
    }
    if !["", "store"].contains(&target) {
        assert_eq!(entry["target"]["kind"], target, "{what}: {entry}");
        assert!(entry["target"]["id"].is_string(), "{what}: {entry}");
    }
    if !["", "token", "store", "backup"].contains(&target) {
        assert!(entry["target"]["revision"].is_u64(), "{what}: {entry}");
        let digest = entry["target"]["digest"].as_str().unwrap_or_default();
        assert_eq!(digest.len(), 64, "{what}: {entry}");
    }
    let is_of_one = entry["action"] != "audit.prune";
    if is_of_one && !["organization", "signing_key", "store", "backup"].contains(&target) {
        assert!(entry["organization_id"].is_string(), "{what}: {entry}");
    }
}

fn full(call: &str) -> String {
    if call.starts_with('/') {
        call.to_owned()
    } else {
        format!("/agentidp.operator.v1.{call}")
    }
}

/// How the calls are refused to one who has `role`: the actions that were, and those that were not.
fn refuse_all(operator: &Operator, subject: &rpc::Subject) -> BTreeSet<&'static str> {
    let mut refused = BTreeSet::new();
    for row in calls::ROWS {
        let answer = operator.call(row.call, (row.request)(subject));
        if answer.code == Code::PermissionDenied {
            refused.insert(row.call);
        }
    }
    refused
}

/// The action of the refusal of a call.
fn refusal_of(call: &str) -> &'static str {
    let (_, expected) = CALLS.iter().find(|(it, _)| full(it) == call).unwrap();
    match expected {
        // Each agent of the many has an entry of its own; the call has one of its own name.
        Change(..) if call.ends_with("/TransitionMany") => "agent.transition_many",
        Change(action, _) | Read(action) => action,
        Public => unreachable!("no call is public"),
    }
}

#[test]
fn every_call_has_its_entry_and_every_refusal_of_it_too() {
    let listed: BTreeSet<String> = CALLS.iter().map(|(call, _)| full(call)).collect();
    let calls: BTreeSet<String> = calls::ROWS.iter().map(|row| row.call.to_owned()).collect();
    assert_eq!(listed, calls, "expectations, and calls");
    let daemon = crate::backup::backed_up().start();
    let organization = daemon.organization("acme");
    let subjects: Vec<_> = calls::ROWS
        .iter()
        .enumerate()
        .map(|(number, row)| {
            let name = format!("it-{number}");
            let subject = rpc::subject(&daemon, &organization, &name);
            if rpc::takes_what_has_ended(row) {
                daemon.change("decommission", &subject.agent);
            }
            subject
        })
        .collect();
    let operator = Operator::connect(&daemon.installation.config.socket);
    let expected = |call: &str| {
        let found = CALLS.iter().find(|(it, _)| full(it) == call);
        found.unwrap().1
    };
    for (row, subject) in calls::ROWS.iter().zip(&subjects) {
        let from = end(&daemon);
        let mut subject = subject.clone();
        if row.call.ends_with("OrganizationService/Create") {
            subject.organization_name = "fresh".to_owned();
        }
        if row.call.ends_with("AgentService/Resume") {
            daemon.change("suspend", &subject.agent);
        }
        let answer = operator.call(row.call, (row.request)(&subject));
        assert_eq!(answer.code, Code::Ok, "{}: {}", row.call, answer.text());
        if let Change(action, target) = expected(row.call) {
            let log = log(&daemon);
            let entry = done(&log, from, action);
            let entry = entry.unwrap_or_else(|| panic!("{} has no entry {action}", row.call));
            assert_change(row.call, entry, target);
            assert_eq!(entry["actor"]["kind"], "operator", "{}", row.call);
            assert_eq!(entry["actor"]["via"], "socket", "{}", row.call);
        }
    }
    drop(operator);

    // Counted reads are written when the daemon stops.
    let (installation, _) = daemon.stop();
    let daemon = rpc::with_role(installation, "auditor", None);
    let read = log(&daemon);
    for (call, expected) in CALLS {
        let Read(action) = expected else { continue };
        let entry = done(&read, 0, action).unwrap_or_else(|| panic!("{call} is not counted"));
        assert!(entry["count"].as_u64() >= Some(1), "{call}: {entry}");
        assert!(entry["actor"]["id"].is_string(), "{call}: {entry}");
    }
    let absent = rpc::Subject {
        organization_name: "fresh-too".to_owned(),
        ..subjects[0].clone()
    };
    let from = end(&daemon);
    let operator = Operator::connect(&daemon.installation.config.socket);
    let mut refused = refuse_all(&operator, &absent);
    drop(operator);

    // One without any role is refused the rest.
    let (mut installation, _) = daemon.stop();
    let roles = installation.config.roles.clone();
    installation.config.roles[0].users = vec!["4294967294".to_owned()];
    let daemon = installation.start();
    let operator = Operator::connect(&daemon.installation.config.socket);
    refused.extend(refuse_all(&operator, &absent));
    drop(operator);
    let all: BTreeSet<_> = calls::ROWS.iter().map(|row| row.call).collect();
    assert_eq!(refused, all, "refused to someone, and all");
    let (mut installation, _) = daemon.stop();
    installation.config.roles = roles;
    let daemon = rpc::with_role(installation, "admin", None);
    let log = log(&daemon);
    for call in all {
        let action = refusal_of(call);
        let of_it = |it: &&Value| {
            it["seq"].as_u64() >= Some(from)
                && it["action"] == action
                && it["outcome"] == "denied"
                && it["code"] == "PERMISSION_DENIED"
        };
        let entry = log.iter().find(of_it);
        let entry = entry.unwrap_or_else(|| panic!("the refusal of {call} has no entry {action}"));
        assert_eq!(entry["actor"]["kind"], "operator", "{entry}");
        assert!(entry["actor"]["id"].is_string(), "{entry}");
    }
}

fn expected_of(row: &Row) -> Expected {
    let found = ROUTES
        .iter()
        .find(|(method, path, _)| (*method, *path) == (row.method, row.path));
    found
        .unwrap_or_else(|| panic!("{} {} has no expectation", row.method, row.path))
        .2
}

/// Does what a row does, and gives the id of the request.
fn do_it(world: &mut World, row: &Row) -> String {
    let (client, own) = world.subject("acme");
    let answer = match row.path {
        "/oauth2/token" => client.token(&[]),
        "/oauth2/introspect" | "/oauth2/revoke" => {
            world.send(Request::form(row.path, &[("token", &own.token)]))
        }
        "/api/v1/agents" if row.method == "post" => {
            let body = serde_json::json!({
                "email": "made@acme.example", "agent_type": "screener", "version": "1.0.0",
                "capabilities": ["resume:read"], "owner": "team-a", "deployment_env": "production",
            });
            let request = Request::new("POST", row.path)
                .header("content-type", "application/json")
                .body(body.to_string().into_bytes());
            world.send(request)
        }
        "/api/v1/agents/{agent_id}/archive" => {
            world.daemon.change("decommission", &client.id);
            world.ask(row, &own)
        }
        "/api/v1/agents/{agent_id}/resume" => {
            world.daemon.change("suspend", &client.id);
            world.ask(row, &own)
        }
        "/audit/log/tile/{path}" => world.send(Request::new(
            "GET",
            &row.path.replace("{path}", "0/000.p/1"),
        )),
        _ => world.ask(row, &own),
    };
    assert!(
        answer.status < 300,
        "{} {}: {}",
        row.method,
        row.path,
        answer.text()
    );
    answer.header("x-request-id").unwrap().to_owned()
}

#[test]
fn every_route_has_its_entry_and_every_refusal_of_it_too() {
    assert_eq!(ROUTES.len(), ROWS.len(), "expectations, and routes");
    let mut world = World::new().with_reader();
    let mut weak = world
        .daemon
        .enrol(&Registration::new("weak@acme.example").capability("resume:read"));
    let token = weak.token(&[]).token();
    for row in ROWS {
        let Change(action, target) = expected_of(row) else {
            if expected_of(row) != Public {
                let _ = do_it(&mut world, row);
            }
            continue;
        };
        let what = format!("{} {}", row.method, row.path);
        let request = do_it(&mut world, row);
        // The entry of a read is not waited for, and this comes after it.
        let _ = world.subject("acme");
        let log = log(&world.daemon);
        let of_it = |it: &&Value| it["request_id"] == request && it["action"] == action;
        let entry = log.iter().find(of_it);
        let entry = entry.unwrap_or_else(|| panic!("{what} has no entry {action}"));
        assert_change(&what, entry, target);
        assert_eq!(entry["outcome"], "success", "{entry}");
        assert_eq!(entry["actor"]["kind"], "agent", "{entry}");
        assert_eq!(entry["actor"]["via"], "http", "{entry}");
        assert_eq!(entry["actor"]["address"], "127.0.0.1", "{entry}");
        let more: &[&str] = match action {
            "token.issue" => &["jti", "credential_id", "audience", "expires_at"],
            "token.revoke" => &["jti", "agent_id", "expires_at"],
            _ => &[],
        };
        for member in more {
            assert!(!entry[*member].is_null(), "{what}: {member}: {entry}");
        }
    }
    refuse_everything(&world, &mut weak, &token);
    let (installation, _) = world.daemon.stop();
    let daemon = installation.start();
    let log = log(&daemon);
    assert_reads_and_refusals(&log, &weak.id);
}

/// Asks for everything without a token, with one that has no scope for it, and as nobody known.
fn refuse_everything(world: &World, weak: &mut Client, token: &str) {
    let own = super::absent();
    for row in ROWS {
        if expected_of(row) == Public {
            continue;
        }
        let what = format!("{} {}", row.method, row.path);
        if row.path.starts_with("/oauth2/") {
            let stranger = weak.with_id(&own.agent);
            let form = [("token", "x"), ("grant_type", "client_credentials")];
            let request = Request::form(row.path, &form);
            let header = stranger.basic_header();
            let answer = world
                .daemon
                .http()
                .send(&request.header("authorization", &header));
            assert_eq!(answer.status, 401, "{what}: {}", answer.text());
            continue;
        }
        let path = row
            .path
            .replace("{agent_id}", &own.agent)
            .replace("{credential_id}", &own.credential)
            .replace("{seq}", "0");
        let request = || {
            Request::new(&row.method.to_uppercase(), &path)
                .header("content-type", "application/json")
                .body(REASON.as_bytes().to_vec())
        };
        assert_eq!(world.daemon.http().send(&request()).status, 401, "{what}");
        let bearer = format!("Bearer {token}");
        let weakly = request().header("authorization", &bearer);
        assert_eq!(world.daemon.http().send(&weakly).status, 403, "{what}");
    }
}

fn assert_reads_and_refusals(log: &[Value], weak: &str) {
    let mut by_kind: BTreeMap<(&str, &str), Vec<&Value>> = BTreeMap::new();
    for entry in log.iter().filter(|it| it["outcome"] == "denied") {
        let kind = (
            entry["action"].as_str().unwrap(),
            entry["code"].as_str().unwrap(),
        );
        by_kind.entry(kind).or_default().push(entry);
    }
    for row in ROWS {
        let what = format!("{} {}", row.method, row.path);
        let (Change(action, _) | Read(action)) = expected_of(row) else {
            continue;
        };
        if let Read(action) = expected_of(row) {
            let counted = log.iter().find(|it| {
                it["action"] == action
                    && it["actor"]["kind"] == "agent"
                    && it["outcome"] == "success"
            });
            let counted = counted.unwrap_or_else(|| panic!("{what} is not counted"));
            assert!(counted["count"].as_u64() >= Some(1), "{counted}");
            assert!(counted["actor"]["id"].is_string(), "{counted}");
        }
        let stranger = if row.path.starts_with("/oauth2/") {
            "UNKNOWN_CLIENT"
        } else {
            let of_agent = by_kind.get(&(action, "INSUFFICIENT_SCOPE"));
            let named = of_agent
                .into_iter()
                .flatten()
                .any(|it| it["actor"]["id"] == weak);
            assert!(
                named,
                "{what}: the refusal for want of a scope has no entry"
            );
            "INVALID_TOKEN"
        };
        // Of strangers there is one entry a minute for each network, and a count.
        let of_stranger = by_kind.get(&(action, stranger));
        let counted = of_stranger
            .into_iter()
            .flatten()
            .any(|it| it["actor"]["address"] == "127.0.0.0/24" && it["actor"]["id"].is_null());
        assert!(counted, "{what}: a stranger's refusal is not counted");
    }
}
