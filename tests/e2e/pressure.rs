//! Who presses upon the daemon with all his might keeps nobody else out.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use agentidp_tests::{Client, DEADLINE, Installation, Registration, Request, TestDaemon};
use serde_json::{Value, json};

/// An organization's automation, and a token of its own for the management interface.
struct Automation {
    client: Client,
    token: String,
}

impl Automation {
    fn of(daemon: &TestDaemon, organization: &str) -> Self {
        const SCOPES: [&str; 4] = [
            "agents:read",
            "agents:write",
            "credentials:write",
            "audit:read",
        ];
        daemon.organization(organization);
        let email = format!("automation@{organization}.example");
        let mut registration = Registration::new(&email).of(organization);
        for scope in SCOPES {
            registration = registration.capability(scope);
        }
        let client = daemon.enrol(&registration);
        let token = client.token(&[("scope", &SCOPES.join(" "))]).token();
        Self { client, token }
    }

    fn request(&self, method: &str, path: &str) -> Request {
        let path = format!("/api/v1{path}");
        Request::new(method, &path).header("authorization", &format!("Bearer {}", self.token))
    }

    fn status(&self, path: &str) -> u16 {
        self.client.http.send(&self.request("GET", path)).status
    }

    fn json(&self, path: &str) -> Value {
        self.client.http.send(&self.request("GET", path)).json()
    }

    /// Asks so many times on a connection of its own, and reads nothing.
    fn ask(&self, path: &str, times: usize) -> TcpStream {
        let mut stream = TcpStream::connect(self.client.http.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let Self { token, .. } = self;
        let request = format!(
            "GET /api/v1{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.repeat(times).as_bytes()).unwrap();
        stream
    }

    /// Registers agents of which eight fill a page.
    fn register_large(&self, count: usize) {
        let notes = (0..30).map(|number| (format!("note-{number}"), json!("n".repeat(2_000))));
        let metadata: serde_json::Map<_, _> = notes.collect();
        for number in 0..count {
            let agent = json!({
                "email": format!("large-{number}@acme.example"), "agent_type": "screener",
                "version": "1.0.0", "owner": "team-a", "deployment_env": "production",
                "metadata": metadata,
            });
            let request = self.request("POST", "/agents");
            let request = request.header("content-type", "application/json");
            let answer = request.body(agent.to_string().into_bytes());
            assert_eq!(self.client.http.send(&answer).status, 201);
        }
    }
}

/// The status of the answer that arrives, of which no more is read.
fn status(stream: &mut TcpStream) -> u16 {
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    let line = String::from_utf8_lossy(&line).into_owned();
    line.strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap()
}

#[test]
fn a_page_of_large_agents_is_shorter_and_the_next_goes_on() {
    let daemon = TestDaemon::start();
    let automation = Automation::of(&daemon, "acme");
    automation.register_large(12);
    let first = automation.json("/agents?limit=100&sort=email&order=asc");
    let emails = |page: &Value| -> Vec<_> {
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|it| it["email"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut seen = emails(&first);
    assert!((2..=10).contains(&seen.len()), "{}", seen.len());
    assert_eq!(first["total"], 13);
    let cursor = first["next_cursor"].as_str().unwrap();
    let path = format!("/agents?limit=100&sort=email&order=asc&cursor={cursor}");
    let rest = automation.json(&path);
    assert_eq!(rest["next_cursor"], Value::Null);
    seen.extend(emails(&rest));
    assert_eq!(seen.len(), 13);
    assert!(seen.is_sorted());
}

#[test]
fn who_does_not_read_his_answers_gets_no_more_and_keeps_nobody_out() {
    let daemon = TestDaemon::start();
    let greedy = Automation::of(&daemon, "acme");
    let other = Automation::of(&daemon, "globex");
    greedy.register_large(8);
    // More on each connection than the kernel's buffers hold, and on all more than there may be.
    let unread: Vec<_> = (0..24)
        .map(|_| greedy.ask("/agents?limit=100", 12))
        .collect();
    let wait_for = |status| {
        let began = Instant::now();
        while greedy.status("/agents?limit=1") != status {
            assert!(began.elapsed() < DEADLINE, "never {status}");
        }
    };
    wait_for(503);
    assert_eq!(other.status("/agents?limit=100"), 200);
    assert_eq!(
        greedy.client.token(&[]).status,
        200,
        "tokens are counted apart"
    );
    drop(unread);
    wait_for(200);
}

#[test]
fn who_waits_for_a_proof_keeps_nobody_out() {
    const MOST: usize = 4;
    let mut installation = Installation::new();
    installation.config.http = vec![format!("max_requests = {MOST}")];
    installation.init();
    let daemon = installation.start();
    let automation = Automation::of(&daemon, "acme");
    let _ = automation.client.token(&[]).token();
    let page = automation.json("/audit?limit=1");
    let newest = format!("/audit/{}", page["items"][0]["seq"]);
    let mut waiting = Vec::new();
    for _ in 0..4 * MOST {
        waiting.push(automation.ask(&newest, 1));
        // By now it has arrived.
        assert_eq!(daemon.http().get("/health/live").status, 200);
    }
    let proved = waiting.iter_mut().map(status).filter(|it| *it == 200);
    assert!(proved.count() > MOST);
}
