//! The management interface: REST below `/api/v1`, with an access token.

use std::io::{Read as _, Write as _};

use agentidp_tests::{Client, Http, Registration, Request, Response, TestDaemon};
use serde_json::{Value, json};

const AGENTS: &str = "/api/v1/agents";
const MANAGEMENT: [&str; 4] = [
    "agents:read",
    "agents:write",
    "credentials:write",
    "audit:read",
];

/// An organization's automation: a token, and the way to the server.
struct Automation {
    http: Http,
    token: String,
}

impl Automation {
    /// An agent of `organization` with every scope of the management interface.
    fn of(daemon: &TestDaemon, organization: &str) -> Self {
        daemon.organization(organization);
        let mut registration =
            Registration::new(&format!("automation@{organization}.example")).of(organization);
        for scope in MANAGEMENT {
            registration = registration.capability(scope);
        }
        Self::with(&daemon.enrol(&registration), &MANAGEMENT.join(" "))
    }

    fn with(client: &Client, scope: &str) -> Self {
        Self {
            http: client.http,
            token: client.token(&[("scope", scope)]).token(),
        }
    }

    fn request(&self, method: &str, path: &str) -> Request {
        Request::new(method, path).header("authorization", &format!("Bearer {}", self.token))
    }

    fn get(&self, path: &str) -> Response {
        self.http.send(&self.request("GET", path))
    }

    fn delete(&self, path: &str) -> Response {
        self.http.send(&self.request("DELETE", path))
    }

    fn json(&self, method: &str, path: &str, body: &Value) -> Request {
        self.request(method, path)
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes())
    }

    fn post(&self, path: &str, body: &Value) -> Response {
        self.http.send(&self.json("POST", path, body))
    }

    fn patch(&self, path: &str, body: &Value) -> Response {
        self.http.send(&self.json("PATCH", path, body))
    }

    /// Registers an agent and gives its record.
    fn register(&self, email: &str) -> Value {
        let answer = self.post(AGENTS, &registration(email));
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }
}

fn registration(email: &str) -> Value {
    json!({
        "email": email,
        "agent_type": "screener",
        "version": "1.0.0",
        "owner": "team-a",
        "deployment_env": "production",
        "capabilities": ["resume:read"],
    })
}

fn id(record: &Value) -> &str {
    record["id"].as_str().unwrap()
}

fn path_of(agent: &Value) -> String {
    format!("{AGENTS}/{}", id(agent))
}

fn code(answer: &Response) -> (u16, String) {
    let json = answer.json();
    let members: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["code", "details", "message", "request_id"]);
    assert_eq!(
        json["request_id"].as_str(),
        answer.header("x-request-id"),
        "{json}"
    );
    (answer.status, json["code"].as_str().unwrap().to_owned())
}

fn field(answer: &Response) -> String {
    assert_eq!(code(answer), (400, "INVALID_ARGUMENT".to_owned()));
    answer.json()["details"]["field"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// What an answer says, apart from what names the one request.
fn without_request(answer: &Response) -> (u16, Vec<(String, String)>, String) {
    let request = answer.header("x-request-id").unwrap().to_owned();
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| name != "x-request-id" && name != "date");
    (answer.status, headers, answer.text().replace(&request, ""))
}

#[test]
fn an_agent_lives_its_life_over_rest() {
    let daemon = TestDaemon::start();
    let acme = Automation::of(&daemon, "acme");

    let registered = acme.post(AGENTS, &registration("screener@acme.example"));
    assert_eq!(registered.status, 201, "{}", registered.text());
    let agent = registered.json();
    let path = path_of(&agent);
    assert_eq!(registered.header("location"), Some(path.as_str()));
    assert_eq!(registered.header("etag"), Some("\"1\""));
    assert_eq!(registered.header("cache-control"), Some("no-store"));
    assert_eq!(agent["status"], "active");
    assert_eq!(acme.get(&path).json(), agent);

    let updated = acme.patch(
        &path,
        &json!({ "version": "1.1.0", "metadata": { "a": "b" } }),
    );
    assert_eq!(updated.status, 200, "{}", updated.text());
    assert_eq!(updated.header("etag"), Some("\"2\""));
    assert_eq!(updated.json()["version"], "1.1.0");
    assert_eq!(updated.json()["owner"], "team-a", "what is absent stays");

    let credentials = format!("{path}/credentials");
    let issued = acme.http.send(&acme.request("POST", &credentials));
    assert_eq!(issued.status, 201, "{}", issued.text());
    let client = client(&acme, &issued.json());
    assert_eq!(client.token(&[]).status, 200);

    let suspend = format!("{path}/suspend");
    assert_eq!(field(&acme.post(&suspend, &json!({}))), "reason");
    let suspended = acme.post(&suspend, &json!({ "reason": "a test" }));
    assert_eq!(suspended.json()["status"], "suspended");
    assert_eq!(client.token(&[]).status, 401);
    let resumed = acme
        .http
        .send(&acme.request("POST", &format!("{path}/resume")));
    assert_eq!(resumed.json()["status"], "active", "{}", resumed.text());
    assert_eq!(client.token(&[]).status, 200);

    let listed = acme.get(&credentials).json();
    assert_eq!(listed["total"], 1);
    let credential = listed["items"][0].clone();
    assert_eq!(credential["use_count"], 2);
    assert!(
        !listed.to_string().contains("aidp_"),
        "a secret is shown once"
    );
    let one = format!("{credentials}/{}", id(&credential));
    assert_eq!(acme.get(&one).json()["id"], credential["id"]);
    let rotated = acme.post(&format!("{one}/rotate"), &json!({ "grace": 0 }));
    assert_eq!(rotated.status, 201, "{}", rotated.text());
    assert_eq!(
        rotated.header("location").unwrap(),
        format!("{credentials}/{}", id(&rotated.json()["credential"]))
    );
    assert_eq!(client.token(&[]).status, 401, "its grace was zero");
    let successor = self::client(&acme, &rotated.json());
    assert_eq!(successor.token(&[]).status, 200);
    let revoked = acme.delete(&format!("{credentials}/{}", successor.credential));
    assert_eq!(revoked.json()["status"], "revoked", "{}", revoked.text());
    assert_eq!(successor.token(&[]).status, 401);

    let archive = format!("{path}/archive");
    assert_eq!(
        code(&acme.post(&archive, &json!({}))),
        (409, "INVALID_STATE".to_owned())
    );
    let ended = acme.delete(&format!("{path}?reason=its+work+is+done"));
    assert_eq!(ended.json()["status"], "decommissioned", "{}", ended.text());
    assert_eq!(acme.delete(&path).status, 200, "it has happened already");
    assert_eq!(
        code(&acme.post(&suspend, &json!({ "reason": "a test" }))),
        (409, "INVALID_STATE".to_owned())
    );
    assert_eq!(acme.post(&archive, &json!({})).json()["status"], "archived");

    let log = acme
        .get(&format!("/api/v1/audit?agent_id={}&limit=100", id(&agent)))
        .json();
    let actions: Vec<_> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["actor"]["name"] == "automation@acme.example")
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "agent.archive",
            "agent.decommission",
            "credential.revoke",
            "credential.issue",
            "credential.rotate",
            "agent.resume",
            "agent.suspend",
            "credential.issue",
            "agent.update",
            "agent.register",
        ]
    );
    let entry = &log["items"][1];
    assert_eq!(entry["reason"], "its work is done");
    let proved = acme.get(&format!("/api/v1/audit/{}", entry["seq"])).json();
    assert_eq!(proved["entry"], *entry);
    assert_eq!(proved["index"], entry["seq"]);
}

fn client(automation: &Automation, issued: &Value) -> Client {
    let text = |pointer| {
        issued
            .pointer(pointer)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    };
    Client {
        http: automation.http,
        id: text("/client_id"),
        secret: text("/client_secret"),
        credential: text("/credential/id"),
    }
}

#[test]
fn a_request_without_a_token_that_counts_is_refused_and_told_why() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let registration = Registration::new("a@acme.example")
        .capability("agents:read")
        .audience("https://api.example/")
        .audience(&daemon.installation.config.issuer());
    let client = daemon.enrol(&registration);
    let issuer = daemon.installation.config.issuer();
    let token = |resource: &str| {
        let parameters = [("scope", "agents:read"), ("resource", resource)];
        client.token(&parameters).token()
    };
    let http = daemon.http();
    let ask =
        |header: &str| http.send(&Request::new("GET", AGENTS).header("authorization", header));

    let good = token(&issuer);
    assert_eq!(ask(&format!("Bearer {good}")).status, 200);
    assert_eq!(ask(&format!("bearer {good}")).status, 200);
    for (what, answer) in [
        ("nothing", http.get(AGENTS)),
        ("another scheme", ask(&client.basic_header())),
        (
            "two headers",
            http.send(
                &Request::new("GET", AGENTS)
                    .header("authorization", &format!("Bearer {good}"))
                    .header("authorization", &format!("Bearer {good}")),
            ),
        ),
        (
            "a token in the query",
            http.get(&format!("{AGENTS}?access_token={good}")),
        ),
    ] {
        assert_eq!(code(&answer), (401, "INVALID_TOKEN".to_owned()), "{what}");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"agentidp\""),
            "{what}"
        );
    }
    let mut forged = good.clone();
    forged.replace_range(good.len() - 10..good.len() - 6, "AAAA");
    for (what, header) in [
        ("an empty token", "Bearer ".to_owned()),
        ("no token", "Bearer x".to_owned()),
        ("a forged token", format!("Bearer {forged}")),
        (
            "a token for another resource",
            format!("Bearer {}", token("https://api.example/")),
        ),
    ] {
        let answer = ask(&header);
        assert_eq!(code(&answer), (401, "INVALID_TOKEN".to_owned()), "{what}");
        let says_resource = answer.json()["message"]
            .as_str()
            .is_some_and(|message| message.contains("ask for one with resource="));
        assert_eq!(says_resource, what == "a token for another resource");
    }
    let refused = ask(&format!("Bearer {forged}"));
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .contains("error=\"invalid_token\"")
    );

    let write = http.send(
        &Request::new("POST", AGENTS)
            .header("authorization", &format!("Bearer {good}"))
            .header("content-type", "application/json")
            .body(
                self::registration("b@acme.example")
                    .to_string()
                    .into_bytes(),
            ),
    );
    assert_eq!(code(&write), (403, "INSUFFICIENT_SCOPE".to_owned()));
    assert_eq!(
        write.header("www-authenticate"),
        Some("Bearer realm=\"agentidp\", error=\"insufficient_scope\", scope=\"agents:write\"")
    );

    daemon.change("suspend", "a@acme.example");
    assert_eq!(
        code(&ask(&format!("Bearer {good}"))),
        (401, "INVALID_TOKEN".to_owned())
    );
}

#[test]
fn what_another_organization_has_is_as_absent_as_what_nobody_has() {
    let daemon = TestDaemon::start();
    let (acme, umbrella) = (
        Automation::of(&daemon, "acme"),
        Automation::of(&daemon, "umbrella"),
    );
    let theirs = umbrella.register("theirs@umbrella.example");
    let issued = umbrella.post(&format!("{}/credentials", path_of(&theirs)), &json!({}));
    let credential = issued.json()["credential"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let entry = umbrella.get("/api/v1/audit?limit=1").json()["items"][0]["seq"].clone();
    let ours = acme.register("ours@acme.example");
    let nobody = "0193f2c4-0000-7000-8000-000000009b20";
    let reason = json!({ "reason": "a test" });

    let ask = |method: &str, path: String, body: &Value| match method {
        "GET" | "DELETE" => acme.http.send(&acme.request(method, &path)),
        _ => acme.http.send(&acme.json(method, &path, body)),
    };
    let agents: [(&str, &str, Value); 10] = [
        ("GET", "", json!({})),
        ("PATCH", "", json!({ "owner": "team-b" })),
        ("DELETE", "", json!({})),
        ("POST", "/suspend", reason.clone()),
        ("POST", "/resume", reason.clone()),
        ("POST", "/revoke", reason.clone()),
        ("POST", "/decommission", reason.clone()),
        ("POST", "/archive", reason.clone()),
        ("POST", "/credentials", json!({})),
        ("GET", "/credentials", json!({})),
    ];
    for (method, rest, body) in &agents {
        let foreign = ask(method, format!("{AGENTS}/{}{rest}", id(&theirs)), body);
        let absent = ask(method, format!("{AGENTS}/{nobody}{rest}"), body);
        assert_eq!(
            code(&foreign),
            (403, "AUTHORIZATION_ERROR".to_owned()),
            "{method} {rest}"
        );
        assert_eq!(
            without_request(&foreign),
            without_request(&absent),
            "{method} {rest}"
        );
    }
    for (method, rest) in [("GET", ""), ("POST", "/rotate"), ("DELETE", "")] {
        let answers = [
            (id(&theirs), credential.as_str()),
            (id(&theirs), nobody),
            (id(&ours), credential.as_str()),
            (id(&ours), nobody),
        ]
        .map(|(agent, credential)| {
            let path = format!("{AGENTS}/{agent}/credentials/{credential}{rest}");
            ask(method, path, &json!({}))
        });
        for answer in &answers {
            assert_eq!(
                code(answer),
                (403, "AUTHORIZATION_ERROR".to_owned()),
                "{method} {rest}"
            );
            assert_eq!(
                without_request(answer),
                without_request(&answers[0]),
                "{method} {rest}"
            );
        }
    }
    let foreign = acme.get(&format!("/api/v1/audit/{entry}"));
    let absent = acme.get("/api/v1/audit/9007199254740991");
    assert_eq!(code(&foreign), (403, "AUTHORIZATION_ERROR".to_owned()));
    assert_eq!(without_request(&foreign), without_request(&absent));

    let listed = acme.get(AGENTS).text();
    assert!(!listed.contains("umbrella"), "{listed}");
    let log = acme.get("/api/v1/audit?limit=100").text();
    assert!(
        !log.contains(id(&theirs)) && !log.contains("umbrella"),
        "{log}"
    );
    assert_eq!(
        umbrella.get(&path_of(&theirs)).json(),
        theirs,
        "nothing was done to it"
    );
    let mut smuggled = registration("smuggled@acme.example");
    smuggled["organization_id"] = theirs["organization_id"].clone();
    let smuggled = acme.post(AGENTS, &smuggled).json();
    assert_eq!(smuggled["organization_id"], ours["organization_id"]);
}

#[test]
fn what_automation_may_not_do_is_in_the_log() {
    let daemon = TestDaemon::start();
    let (acme, umbrella) = (
        Automation::of(&daemon, "acme"),
        Automation::of(&daemon, "umbrella"),
    );
    let theirs = umbrella.register("theirs@umbrella.example");
    let refused = acme.get(&path_of(&theirs));
    assert_eq!(code(&refused), (403, "AUTHORIZATION_ERROR".to_owned()));
    // Nobody waits for the entry of a refusal; it is there when what was asked for after it is.
    acme.register("later@acme.example");
    let log = acme.get("/api/v1/audit?outcome=denied&limit=10").json();
    let entry = &log["items"][0];
    assert_eq!(entry["action"], "agent.show");
    assert_eq!(entry["code"], "AUTHORIZATION_ERROR");
    assert_eq!(entry["actor"]["name"], "automation@acme.example");
}

#[test]
fn a_request_names_one_host() {
    let daemon = TestDaemon::start();
    for (hosts, status) in [
        ("", "400"),
        ("host: a\r\n", "200"),
        ("host: a\r\nhost: b\r\n", "400"),
    ] {
        let request = format!("GET /health/live HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        let mut stream = std::net::TcpStream::connect(daemon.http().address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{hosts:?}: {answer}"
        );
    }
}

#[test]
fn a_list_is_read_page_by_page_with_cursors_that_nobody_can_make() {
    let daemon = TestDaemon::start();
    let acme = Automation::of(&daemon, "acme");
    let umbrella = Automation::of(&daemon, "umbrella");
    for number in 0..5 {
        let _ = acme.register(&format!("agent-{number}@acme.example"));
    }
    let read = |query: &str| {
        let mut emails = Vec::new();
        let mut cursor = None;
        loop {
            let page = match &cursor {
                None => acme.get(&format!("{AGENTS}?{query}")),
                Some(cursor) => acme.get(&format!("{AGENTS}?{query}&cursor={cursor}")),
            };
            assert_eq!(page.status, 200, "{}", page.text());
            let page = page.json();
            for agent in page["items"].as_array().unwrap() {
                emails.push(agent["email"].as_str().unwrap().to_owned());
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return emails,
            }
        }
    };
    let named = |numbers: [u8; 5]| numbers.map(|number| format!("agent-{number}@acme.example"));
    let newest_first = named([4, 3, 2, 1, 0]);
    assert_eq!(read("email_prefix=agent&limit=2"), newest_first);
    assert_eq!(
        read("limit=2&email_prefix=agent&sort=email&order=asc"),
        named([0, 1, 2, 3, 4])
    );
    assert_eq!(read("text=AGENT-&limit=2"), newest_first);
    assert_eq!(read("owner=team-b"), [""; 0]);
    assert_eq!(read("status=suspended&limit=1"), [""; 0]);
    assert_eq!(
        read(
            "capability=resume:read&agent_type=screener&deployment_env=production&owner=team-a&email_prefix=agent"
        ),
        newest_first
    );

    let first = acme.get(&format!("{AGENTS}?limit=2&owner=team-a")).json();
    assert_eq!(first["total"], 6);
    let cursor = first["next_cursor"].as_str().unwrap();
    let mut tampered = cursor.to_owned();
    tampered.replace_range(30..31, if &cursor[30..31] == "A" { "B" } else { "A" });
    let foreign = umbrella.get(&format!("{AGENTS}?limit=2&owner=team-a&cursor={cursor}"));
    assert_eq!(field(&foreign), "cursor", "{}", foreign.text());
    for query in [
        format!("limit=2&cursor={cursor}"),
        format!("limit=2&owner=team-b&cursor={cursor}"),
        format!("limit=2&owner=team-a&order=asc&cursor={cursor}"),
        format!("limit=2&owner=team-a&cursor={tampered}"),
        "owner=team-a&cursor=".to_owned(),
        "owner=team-a&cursor=AAAA".to_owned(),
        format!("cursor={}", "A".repeat(4_000)),
    ] {
        let answer = acme.get(&format!("{AGENTS}?{query}"));
        assert_eq!(field(&answer), "cursor", "{query:.80}");
    }
    assert_eq!(
        field(&acme.get(&format!("/api/v1/audit?cursor={cursor}"))),
        "cursor"
    );
    let page = acme.get("/api/v1/audit?limit=3").json();
    let next = page["next_cursor"].as_str().unwrap();
    let second = acme
        .get(&format!("/api/v1/audit?limit=3&cursor={next}"))
        .json();
    let seq = |page: &Value, index: usize| page["items"][index]["seq"].as_u64().unwrap();
    assert!(seq(&page, 2) > seq(&second, 0));
}

#[test]
fn a_request_that_is_repeated_under_its_key_is_done_once() {
    let daemon = TestDaemon::start();
    let acme = Automation::of(&daemon, "acme");
    let body = registration("once@acme.example");
    let keyed = |path: &str, body: &Value| {
        let request = acme.json("POST", path, body);
        acme.http
            .send(&request.header("idempotency-key", "a-key-of-ours"))
    };
    let first = keyed(AGENTS, &body);
    assert_eq!(first.status, 201, "{}", first.text());
    let second = keyed(AGENTS, &body);
    assert_eq!((second.status, second.json()), (201, first.json()));
    assert_eq!(
        code(&keyed(AGENTS, &registration("other@acme.example"))),
        (409, "IDEMPOTENCY_CONFLICT".to_owned())
    );
    assert_eq!(
        code(&acme.post(AGENTS, &body)),
        (409, "ALREADY_EXISTS".to_owned())
    );
    let credentials = format!("{}/credentials", path_of(&first.json()));
    let issue = |key: &str| {
        let request = acme.json("POST", &credentials, &json!({}));
        acme.http
            .send(&request.header("idempotency-key", key))
            .json()
    };
    assert_eq!(issue("one")["client_secret"], issue("one")["client_secret"]);
    assert_ne!(issue("one")["client_secret"], issue("two")["client_secret"]);
    let spaced = acme
        .json("POST", AGENTS, &body)
        .header("idempotency-key", "a key");
    assert_eq!(field(&acme.http.send(&spaced)), "idempotency-key");
}

#[test]
fn a_rotation_tells_how_the_old_credential_was_used_also_when_it_is_repeated() {
    let daemon = TestDaemon::start();
    let acme = Automation::of(&daemon, "acme");
    let credentials = format!("{}/credentials", path_of(&acme.register("a@acme.example")));
    let old = client(&acme, &acme.post(&credentials, &json!({})).json());
    let rotate = || {
        let path = format!("{credentials}/{}/rotate", old.credential);
        let request = acme.json("POST", &path, &json!({}));
        let request = request.header("idempotency-key", "a-rotation");
        let answer = acme.http.send(&request);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    };
    let shown = || {
        acme.get(&format!("{credentials}/{}", old.credential))
            .json()
    };
    for _ in 0..2 {
        assert_eq!(old.token(&[]).status, 200);
    }
    let first = rotate();
    assert_eq!(first["retiring"], shown());
    assert_eq!(first["retiring"]["use_count"], 2);
    assert!(first["retiring"]["last_used_at"].is_string(), "{first}");
    // What has happened meanwhile is told as well.
    assert_eq!(old.token(&[]).status, 200);
    let new = client(&acme, &first);
    assert_eq!(new.token(&[]).status, 200);
    let again = rotate();
    assert_eq!(again["retiring"], shown());
    assert_eq!(again["retiring"]["use_count"], 3);
    assert_eq!(again["credential"]["id"], first["credential"]["id"]);
    assert_eq!(again["credential"]["use_count"], 1);
}

#[test]
fn a_revocation_tells_how_the_credential_was_used_also_when_it_is_repeated() {
    let daemon = TestDaemon::start();
    let acme = Automation::of(&daemon, "acme");
    let credentials = format!("{}/credentials", path_of(&acme.register("a@acme.example")));
    let client = client(&acme, &acme.post(&credentials, &json!({})).json());
    assert_eq!(client.token(&[]).status, 200);
    let one = format!("{credentials}/{}", client.credential);
    for key in ["one", "one", "two"] {
        let request = acme.request("DELETE", &one).header("idempotency-key", key);
        let revoked = acme.http.send(&request);
        assert_eq!(revoked.status, 200, "{}", revoked.text());
        assert_eq!(revoked.json()["use_count"], 1, "{key}");
        assert_eq!(revoked.json(), acme.get(&one).json(), "{key}");
    }
}

#[test]
fn a_change_of_what_has_changed_meanwhile_is_refused() {
    let daemon = TestDaemon::start();
    let acme = Automation::of(&daemon, "acme");
    let path = path_of(&acme.register("a@acme.example"));
    let change = |tag: &str, owner: &str| {
        let request = acme.json("PATCH", &path, &json!({ "owner": owner }));
        acme.http.send(&request.header("if-match", tag))
    };
    assert_eq!(change("\"1\"", "team-b").header("etag"), Some("\"2\""));
    let stale = change("\"1\"", "team-c");
    assert_eq!(code(&stale), (412, "REVISION_CONFLICT".to_owned()));
    let details = stale.json()["details"].clone();
    assert_eq!(
        (&details["revision"], &details["action"]),
        (&json!("2"), &json!("agent.update"))
    );
    assert_eq!(details["changed"], "owner");
    assert_eq!(change("*", "team-d").header("etag"), Some("\"3\""));
    for malformed in ["3", "W/\"3\"", "\"3\", \"4\"", "\"\"", "\"x\""] {
        assert_eq!(
            field(&change(malformed, "team-e")),
            "if-match",
            "{malformed}"
        );
    }
    let delete = acme.request("DELETE", &path).header("if-match", "\"2\"");
    assert_eq!(code(&acme.http.send(&delete)).0, 412);
    let suspend = acme.json(
        "POST",
        &format!("{path}/suspend"),
        &json!({ "reason": "a test" }),
    );
    assert_eq!(
        code(&acme.http.send(&suspend.header("if-match", "\"2\""))).0,
        412
    );
    assert_eq!(acme.get(&path).json()["status"], "active");
}

#[test]
fn bad_input_is_refused_with_the_field_and_the_rule() {
    let daemon = TestDaemon::start();
    let acme = Automation::of(&daemon, "acme");
    let path = path_of(&acme.register("a@acme.example"));
    let raw = |body: &[u8], media_type: &str| {
        let request = acme
            .request("POST", AGENTS)
            .header("content-type", media_type);
        acme.http.send(&request.body(body.to_vec()))
    };
    let json = "application/json";
    let good = registration("b@acme.example").to_string();
    for (what, body) in [
        ("nothing", Vec::new()),
        ("no JSON", b"email=a".to_vec()),
        ("a list", b"[]".to_vec()),
        (
            "a doubled member",
            good.replacen('{', "{\"owner\":\"x\",", 1).into_bytes(),
        ),
        ("two objects", format!("{good}{good}").into_bytes()),
        ("deep JSON", "[".repeat(60_000).into_bytes()),
        ("no text", b"{\"email\":\"\xff\"}".to_vec()),
    ] {
        assert_eq!(field(&raw(&body, json)), "body", "{what}");
    }
    for media_type in ["", "text/plain", "application/json; charset=utf-16"] {
        assert_eq!(
            code(&raw(good.as_bytes(), media_type)),
            (415, "UNSUPPORTED_MEDIA_TYPE".to_owned()),
            "{media_type}"
        );
    }
    let large = format!("{{\"owner\":\"{}\"}}", "x".repeat(64 * 1_024));
    assert_eq!(
        code(&raw(large.as_bytes(), json)),
        (413, "BODY_TOO_LARGE".to_owned())
    );
    let with_body = acme
        .json("GET", AGENTS, &json!({}))
        .header("content-length", "2");
    assert_eq!(field(&acme.http.send(&with_body)), "body");
    for (query, name) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=1&limit=1", "limit"),
        ("organization_id=x", "organization_id"),
        ("owner=%zz", "query"),
        ("owner=%00", "query"),
        ("sort=owner", "sort"),
    ] {
        assert_eq!(
            field(&acme.get(&format!("{AGENTS}?{query}"))),
            name,
            "{query}"
        );
    }
    for (bad, name) in [
        ("x", "agent_id"),
        ("%zz", "path"),
        ("%ff", "path"),
        ("a@acme.example", "agent_id"),
        (&"9".repeat(4_000), "agent_id"),
    ] {
        assert_eq!(
            field(&acme.get(&format!("{AGENTS}/{bad}"))),
            name,
            "{bad:.20}"
        );
    }
    assert_eq!(field(&acme.get("/api/v1/audit/x")), "seq");
    let key = json!({ "public_key": { "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" } });
    assert_eq!(
        field(&acme.post(&format!("{path}/credentials"), &key)),
        "public_key"
    );
    let forever = json!({ "expires_in": 0 });
    assert_eq!(
        field(&acme.post(&format!("{path}/credentials"), &forever)),
        "expires_in"
    );

    for nothing in [
        "/api",
        "/api/v2/agents",
        "/api/v1/agents/a/b/c",
        "/docs/nothing",
    ] {
        assert_eq!(
            code(&acme.get(nothing)),
            (404, "ROUTE_NOT_FOUND".to_owned()),
            "{nothing}"
        );
    }
    let put = acme.http.send(&acme.json("PUT", &path, &json!({})));
    assert_eq!(code(&put), (405, "METHOD_NOT_ALLOWED".to_owned()));
    let mut allowed: Vec<_> = put.header("allow").unwrap().split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD", "PATCH"]);
}

#[test]
fn an_agent_s_own_key_is_a_credential_too() {
    let daemon = TestDaemon::start();
    let acme = Automation::of(&daemon, "acme");
    let credentials = format!("{}/credentials", path_of(&acme.register("a@acme.example")));
    // Of RFC 8037, appendix A.2.
    let jwk = json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    let issued = acme.post(
        &credentials,
        &json!({ "public_key": jwk, "expires_in": 3600 }),
    );
    assert_eq!(issued.status, 201, "{}", issued.text());
    let issued = issued.json();
    assert_eq!(issued["client_secret"], Value::Null);
    assert_eq!(issued["credential"]["kind"], "public_key");
    assert_eq!(
        issued["credential"]["public_key"]["thumbprint"],
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
    assert_eq!(issued["credential"]["public_key"]["jwk"], jwk);
    let again = acme.post(&credentials, &json!({ "public_key": jwk }));
    assert_eq!(code(&again), (409, "ALREADY_EXISTS".to_owned()));
}

#[test]
fn the_contract_and_its_page_are_served_to_anyone_from_the_binary() {
    let daemon = TestDaemon::start();
    let http = daemon.http();
    let contract = http.get("/openapi.json");
    assert_eq!(contract.header("content-type"), Some("application/json"));
    assert_eq!(contract.json()["openapi"], "3.1.0");
    let committed = agentidp_tests::project_root().join("docs/reference/openapi.json");
    assert_eq!(contract.body, std::fs::read(committed).unwrap());

    let folder = http.get("/docs/");
    assert_eq!(
        (folder.status, folder.header("location")),
        (308, Some("../docs"))
    );
    let page = http.get("/docs");
    assert_eq!(page.status, 200);
    for name in page.text().split("\"docs/").skip(1) {
        let name = name.split('"').next().unwrap();
        assert_eq!(http.get(&format!("/docs/{name}")).status, 200, "{name}");
    }
}

#[test]
fn the_daemon_s_health_is_shown_in_parts_to_one_who_may_see_it() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example").capability("health:read"));
    let automation = Automation::with(&client, "health:read");
    let health = automation.get("/health/detailed");
    assert_eq!(health.status, 200, "{}", health.text());
    let parts = health.json()["parts"].clone();
    for part in parts.as_array().unwrap() {
        assert!(part["latency_ms"].as_f64() >= Some(0.0), "{part}");
    }
    let names = parts
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].clone());
    assert_eq!(
        names.collect::<Vec<_>>(),
        [
            "store",
            "index",
            "signing_keys",
            "disk",
            "clock",
            "secret_verification",
            "checkpoints",
            "certificate"
        ]
    );
    assert_eq!(
        code(&daemon.http().get("/health/detailed")),
        (401, "INVALID_TOKEN".to_owned())
    );
    assert_eq!(
        code(&automation.get(AGENTS)),
        (403, "INSUFFICIENT_SCOPE".to_owned())
    );
}
