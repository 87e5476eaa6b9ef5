//! Tenant isolation, route by route: what belongs to another organization is answered byte for byte
//! like what does not exist.
//!
//! The routes are those of `/openapi.json`. One without a row here fails the test, and so does a row
//! without a route. The calls of the operators' interface are in [`rpc`].

mod calls;
mod entries;
mod expected;
pub(crate) mod raw;
pub(crate) mod rpc;

use std::collections::{BTreeMap, BTreeSet};

use agentidp_tests::{Client, Registration, Request, Response, TestDaemon};
use serde_json::Value;

/// The scopes of the management interface.
pub(crate) const MANAGEMENT: [&str; 7] = [
    "agents:read",
    "agents:write",
    "credentials:write",
    "audit:read",
    "tokens:read",
    "tokens:write",
    "health:read",
];

/// What is asked for, seen from the caller.
#[derive(Debug, Clone)]
struct Subject {
    agent: String,
    credential: String,
    seq: String,
    token: String,
}

/// What a row does with its route.
enum Check {
    /// It names a record in its path: the statuses for the caller's own, and for the caller's own
    /// that has ended.
    Record { own: u16, ended: u16 },
    /// It names a token in its form.
    Token,
    /// It lists what there is: nothing of another organization.
    List,
    /// It makes a record in the caller's organization, whatever the body says.
    Create,
    /// It is of all organizations together, and none has any of it.
    Installation,
    /// It tells nothing of any organization.
    Public,
}

struct Row {
    method: &'static str,
    path: &'static str,
    body: &'static str,
    check: Check,
}

const fn row(method: &'static str, path: &'static str, body: &'static str, check: Check) -> Row {
    Row {
        method,
        path,
        body,
        check,
    }
}

const fn record(own: u16, ended: u16) -> Check {
    Check::Record { own, ended }
}

const REASON: &str = r#"{"reason":"the test says so"}"#;

const ROWS: &[Row] = &[
    row("get", "/.well-known/jwks.json", "", Check::Public),
    row(
        "get",
        "/.well-known/oauth-authorization-server",
        "",
        Check::Public,
    ),
    row(
        "get",
        "/.well-known/openid-configuration",
        "",
        Check::Public,
    ),
    row("get", "/docs", "", Check::Public),
    row("get", "/docs/", "", Check::Public),
    row("get", "/docs/{file}", "", Check::Public),
    row("get", "/health/detailed", "", Check::Public),
    row("get", "/health/live", "", Check::Public),
    row("get", "/health/ready", "", Check::Public),
    row("get", "/oauth2/authorize", "", Check::Public),
    row("get", "/openapi.json", "", Check::Public),
    row("post", "/oauth2/token", "", Check::Public),
    row("post", "/oauth2/introspect", "", Check::Token),
    row("post", "/oauth2/revoke", "", Check::Token),
    row("get", "/api/v1/agents", "", Check::List),
    row("post", "/api/v1/agents", "", Check::Create),
    row("get", "/api/v1/agents/{agent_id}", "", record(200, 200)),
    row(
        "patch",
        "/api/v1/agents/{agent_id}",
        r#"{"owner":"team-b"}"#,
        record(200, 409),
    ),
    row("delete", "/api/v1/agents/{agent_id}", "", record(200, 409)),
    row(
        "post",
        "/api/v1/agents/{agent_id}/suspend",
        REASON,
        record(200, 409),
    ),
    row(
        "post",
        "/api/v1/agents/{agent_id}/resume",
        REASON,
        record(200, 409),
    ),
    row(
        "post",
        "/api/v1/agents/{agent_id}/revoke",
        REASON,
        record(200, 409),
    ),
    row(
        "post",
        "/api/v1/agents/{agent_id}/decommission",
        REASON,
        record(200, 409),
    ),
    row(
        "post",
        "/api/v1/agents/{agent_id}/archive",
        REASON,
        record(409, 200),
    ),
    row(
        "post",
        "/api/v1/agents/{agent_id}/credentials",
        "{}",
        record(201, 409),
    ),
    row(
        "get",
        "/api/v1/agents/{agent_id}/credentials",
        "",
        record(200, 200),
    ),
    row(
        "get",
        "/api/v1/agents/{agent_id}/credentials/{credential_id}",
        "",
        record(200, 200),
    ),
    row(
        "post",
        "/api/v1/agents/{agent_id}/credentials/{credential_id}/rotate",
        "{}",
        record(201, 409),
    ),
    row(
        "delete",
        "/api/v1/agents/{agent_id}/credentials/{credential_id}",
        "",
        record(200, 200),
    ),
    row("get", "/api/v1/audit", "", Check::List),
    row("get", "/api/v1/audit/{seq}", "", record(200, 200)),
    row("get", "/audit/log/checkpoint", "", Check::Installation),
    row("get", "/audit/log/tile/{path}", "", Check::Installation),
];

/// Two organizations, and the automation of the first.
struct World {
    daemon: TestDaemon,
    /// Its automation.
    id: String,
    bearer: String,
    own_organization: Value,
    foreign_organization: Value,
    agents: usize,
}

impl World {
    fn new() -> Self {
        let daemon = TestDaemon::start();
        let own_organization = daemon.organization("acme");
        let foreign_organization = daemon.organization("other");
        let registration = MANAGEMENT
            .iter()
            .fold(Registration::new("api@acme.example"), |it, scope| {
                it.capability(scope)
            });
        let client = daemon.enrol(&registration);
        let token = client.token(&[("scope", &MANAGEMENT.join(" "))]).token();
        Self {
            daemon,
            id: client.id,
            bearer: format!("Bearer {token}"),
            own_organization,
            foreign_organization,
            agents: 0,
        }
    }

    /// The same, and the automation may read the whole log.
    fn with_reader(self) -> Self {
        let (mut installation, _) = self.daemon.stop();
        installation.config.audit = vec![format!("readers = [{:?}]", self.id)];
        Self {
            daemon: installation.start(),
            ..self
        }
    }

    /// A new agent of an organization, with everything that belongs to it.
    fn subject(&mut self, organization: &str) -> (Client, Subject) {
        self.agents += 1;
        let email = format!("agent-{}@{organization}.example", self.agents);
        let client = self
            .daemon
            .enrol(&Registration::new(&email).of(organization));
        let token = client.token(&[]).token();
        let list = [
            "audit", "list", "--agent", &email, "--limit", "1", "-o", "ndjson",
        ];
        let entry = &self.daemon.cli().ndjson(&list)[0];
        let subject = Subject {
            agent: client.id.clone(),
            credential: client.credential.clone(),
            seq: entry["seq"].to_string(),
            token,
        };
        (client, subject)
    }

    /// An agent of the caller's own that has ended and is hidden.
    fn ended(&mut self) -> Subject {
        let (client, subject) = self.subject("acme");
        self.daemon.change("decommission", &client.id);
        self.daemon.change("archive", &client.id);
        subject
    }

    fn ask(&self, row: &Row, subject: &Subject) -> Response {
        let path = row
            .path
            .replace("{agent_id}", &subject.agent)
            .replace("{credential_id}", &subject.credential)
            .replace("{seq}", &subject.seq)
            .replace("{path}", "entries/000.p/1");
        // A reason is asked for where there is no body to say it in.
        let path = match row.method {
            "delete" => format!("{path}?reason=the+test+says+so"),
            _ => path,
        };
        let mut request = Request::new(&row.method.to_uppercase(), &path);
        if !row.body.is_empty() {
            let body = row.body.as_bytes().to_vec();
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        self.send(request)
    }

    fn send(&self, request: Request) -> Response {
        let request = request.header("authorization", &self.bearer);
        self.daemon.http().send(&request)
    }

    /// Fails the test when anything of the other organization is in an answer.
    fn assert_nothing_foreign(&self, what: &str, answer: &Response, foreign: &Subject) {
        let text = answer.text();
        let organization = self.foreign_organization["id"].as_str().unwrap();
        for foreign in [
            organization,
            &foreign.agent,
            &foreign.credential,
            "@other.example",
        ] {
            assert!(!text.contains(foreign), "{what} tells {foreign}: {text}");
        }
    }
}

/// What does not exist, in the form of what does.
fn absent() -> Subject {
    Subject {
        agent: "0193f2c4-0000-7000-8000-000000009b20".to_owned(),
        credential: "0193f2c4-0000-7000-8000-000000009b21".to_owned(),
        seq: "4000000000".to_owned(),
        token: "e30.e30.AA".to_owned(),
    }
}

/// An answer without what differs between any two: when it was given, the request's id, and how
/// many more may follow.
fn comparable(answer: &Response) -> (u16, Vec<(String, String)>, String) {
    let id = answer.header("x-request-id").unwrap_or_default().to_owned();
    assert!(!id.is_empty(), "{answer:?}");
    let headers = answer.headers.iter().map(|(name, value)| {
        let differs = name == "date" || name == "x-request-id" || name.contains("ratelimit");
        let value = if differs { "" } else { value.as_str() };
        (name.clone(), value.to_owned())
    });
    (
        answer.status,
        headers.collect(),
        answer.text().replace(&id, "the request"),
    )
}

#[test]
fn every_route_answers_for_another_organization_s_as_for_what_does_not_exist() {
    let mut world = World::new();
    let document = world.daemon.http().get("/openapi.json").json();
    let mut rows: BTreeMap<_, _> = ROWS.iter().map(|it| ((it.method, it.path), it)).collect();
    let mut missing = BTreeSet::new();
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, _) in methods.as_object().unwrap() {
            if matches!(method.as_str(), "parameters" | "summary" | "description") {
                continue;
            }
            match rows.remove(&(method.as_str(), path.as_str())) {
                Some(row) => routes.push(row),
                None => drop(missing.insert(format!("{method} {path}"))),
            }
        }
    }
    assert!(missing.is_empty(), "routes without a row: {missing:?}");
    assert!(rows.is_empty(), "rows without a route: {:?}", rows.keys());
    for row in routes {
        check(&mut world, row);
    }
}

fn check(world: &mut World, row: &Row) {
    let what = format!("{} {}", row.method, row.path);
    let (_, own) = world.subject("acme");
    let (_, foreign) = world.subject("other");
    match row.check {
        Check::Public => {
            let answer = world.ask(row, &absent());
            world.assert_nothing_foreign(&what, &answer, &foreign);
        }
        Check::Installation => {
            let answer = world.ask(row, &own);
            assert_eq!(answer.status, 403, "{what}: {}", answer.text());
            let path = row.path.replace("{path}", "0/999");
            let none = world.send(Request::new("GET", &path));
            assert_eq!(comparable(&answer), comparable(&none), "{what}");
        }
        Check::List => {
            let answer = world.ask(row, &own);
            assert_eq!(answer.status, 200, "{what}: {}", answer.text());
            assert!(answer.text().contains(&own.agent), "{what} lists one's own");
            world.assert_nothing_foreign(&what, &answer, &foreign);
        }
        Check::Create => create(world, row, &what),
        Check::Token => token(world, row, &what, (&own, &foreign)),
        Check::Record { own: status, ended } => {
            let answer = world.ask(row, &own);
            assert_eq!(answer.status, status, "{what}, own: {}", answer.text());
            world.assert_nothing_foreign(&what, &answer, &foreign);
            let mut none = vec![(foreign.clone(), absent())];
            if row.path.contains("{credential_id}") {
                // One's own agent, and a credential that is not its.
                let (_, mine) = world.subject("acme");
                let with = |credential: &str| Subject {
                    credential: credential.to_owned(),
                    ..mine.clone()
                };
                none.push((with(&foreign.credential), with(&absent().credential)));
            }
            for (foreign, absent) in none {
                let answer = world.ask(row, &foreign);
                assert_eq!(answer.status, 403, "{what}, foreign: {}", answer.text());
                assert_eq!(
                    comparable(&answer),
                    comparable(&world.ask(row, &absent)),
                    "{what}"
                );
            }
            let gone = world.ended();
            let answer = world.ask(row, &gone);
            assert_eq!(answer.status, ended, "{what}, ended: {}", answer.text());
        }
    }
    // Whatever was asked, the other organization's agent is as it was.
    let show = ["agent", "show", &foreign.agent, "-o", "json"];
    let after = world.daemon.cli().json(&show);
    assert_eq!(
        (&after["status"], &after["revision"]),
        (&"active".into(), &1.into()),
        "{what}"
    );
}

fn create(world: &World, row: &Row, what: &str) {
    let body = |email: &str| {
        serde_json::json!({
            "email": email, "agent_type": "screener", "version": "1.0.0",
            "capabilities": ["resume:read"], "owner": "team-a", "deployment_env": "production",
        })
    };
    let post = |body: &Value| {
        let request = Request::new("POST", row.path)
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes());
        world.send(request)
    };
    let made = post(&body("made@acme.example"));
    assert_eq!(made.status, 201, "{what}: {}", made.text());
    let mut other = body("smuggled@acme.example");
    other["organization_id"] = world.foreign_organization["id"].clone();
    let smuggled = post(&other);
    if smuggled.status == 201 {
        let organization = &smuggled.json()["organization_id"];
        assert_eq!(organization, &world.own_organization["id"], "{what}");
    } else {
        assert_eq!(smuggled.status, 400, "{what}: {}", smuggled.text());
    }
}

fn token(world: &mut World, row: &Row, what: &str, (own, foreign): (&Subject, &Subject)) {
    let about = |world: &World, subject: &Subject| {
        world.send(Request::form(row.path, &[("token", &subject.token)]))
    };
    let introspects = row.path.ends_with("introspect");
    let answer = about(world, own);
    assert_eq!(answer.status, 200, "{what}, own: {}", answer.text());
    if introspects {
        assert_eq!(answer.json()["active"], true, "{what}");
    }
    let answer = about(world, foreign);
    let none = about(world, &absent());
    assert_eq!(comparable(&answer), comparable(&none), "{what}");
    let gone = world.ended();
    let answer = about(world, &gone);
    assert_eq!(answer.status, 200, "{what}, ended: {}", answer.text());
    if introspects {
        assert_eq!(comparable(&answer), comparable(&none), "{what}, ended");
    }
}
