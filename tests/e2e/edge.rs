//! Where requests arrive: whose they are, how many may be asked, and what every answer says.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use agentidp_tests::{Client, DEADLINE, Installation, Registration, Request, Response, TestDaemon};
use serde_json::Value;

use crate::counted::assert_counted;

const ORIGIN: &str = "https://app.example";

/// A daemon with one agent, whose configuration has these lines in `[http]` and these rates.
fn daemon_with(http: &[&str], limits: &[(&'static str, &'static str)]) -> (TestDaemon, Client) {
    let mut installation = Installation::new();
    installation.config.http = http.iter().map(ToString::to_string).collect();
    installation.config.limits = limits.to_vec();
    installation.init();
    let daemon = installation.start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    (daemon, client)
}

/// Waits until a refusal for this reason stands in the log, and gives all refusals, newest first.
fn denials(daemon: &TestDaemon, code: &str) -> Vec<Value> {
    let follow = ["audit", "tail", "--from", "0", "-o", "ndjson"];
    let tail = daemon.cli().spawn(&follow);
    tail.wait_for_line(code, |line| {
        let entry = serde_json::from_str::<Value>(line).ok()?;
        (entry["code"] == code).then_some(())
    });
    daemon
        .cli()
        .ndjson(&["audit", "list", "--outcome", "denied", "-o", "ndjson"])
}

fn from(client: &Client, address: &str) -> Response {
    let request = client.basic(&[]).header("x-forwarded-for", address);
    client.http.send(&request)
}

fn number(response: &Response, header: &str) -> u32 {
    let value = response.header(header);
    let value = value.unwrap_or_else(|| panic!("no {header}: {:?}", response.headers));
    value.parse().unwrap()
}

#[test]
fn a_listed_proxy_is_believed_and_anyone_else_is_not() {
    for (lines, expected) in [
        (&["trusted_proxies = [\"127.0.0.0/8\"]"][..], "203.0.113.9"),
        (&["trusted_proxies = [\"192.0.2.1\"]"], "127.0.0.1"),
        (&[], "127.0.0.1"),
        (
            &[
                "trusted_proxies = [\"127.0.0.1\"]",
                "forwarded_header = \"forwarded\"",
            ],
            "127.0.0.1",
        ),
    ] {
        let (daemon, client) = daemon_with(lines, &[]);
        assert_eq!(from(&client.with_secret("x"), "203.0.113.9").status, 401);
        let denial = &denials(&daemon, "MALFORMED_SECRET")[0];
        assert_eq!(denial["actor"]["address"], expected, "{lines:?} {denial}");
    }
}

#[test]
fn an_address_that_asks_too_often_is_told_when_to_ask_again() {
    let (daemon, client) = daemon_with(
        &["trusted_proxies = [\"127.0.0.1\"]"],
        &[("token.per_address", "2/m burst 3")],
    );
    for remaining in [2, 1, 0] {
        let answer = from(&client, "203.0.113.9");
        assert_eq!(answer.status, 200, "{}", answer.text());
        for family in ["", "x-"] {
            assert_eq!(number(&answer, &format!("{family}ratelimit-limit")), 3);
            let left = number(&answer, &format!("{family}ratelimit-remaining"));
            assert_eq!(left, remaining);
            assert!((1..=90).contains(&number(&answer, &format!("{family}ratelimit-reset"))));
        }
    }
    let refused = from(&client, "203.0.113.9");
    let error = (429, "temporarily_unavailable".to_owned());
    assert_eq!(refused.error(), error);
    assert!((1..=30).contains(&number(&refused, "retry-after")));
    for name in ["ratelimit-remaining", "x-ratelimit-remaining"] {
        assert_eq!(number(&refused, name), 0);
    }
    // Whatever is asked of the endpoint counts, and other addresses and other kinds have their own.
    let nonsense = Request::new("GET", "/oauth2/token").header("x-forwarded-for", "203.0.113.9");
    assert_eq!(daemon.http().send(&nonsense).status, 429);
    assert_eq!(from(&client, "203.0.113.10").status, 200);
    let keys =
        Request::new("GET", "/.well-known/jwks.json").header("x-forwarded-for", "203.0.113.9");
    assert_eq!(daemon.http().send(&keys).status, 200);

    let denials = denials(&daemon, "RATE_LIMITED");
    assert_eq!(denials.len(), 1, "the second one is counted: {denials:?}");
    assert_eq!(denials[0]["code"], "RATE_LIMITED");
    assert_eq!(denials[0]["action"], "token.issue");
    assert_eq!(denials[0]["actor"]["address"], "203.0.113.0/24");
}

#[test]
fn an_agent_that_asks_too_often_is_refused_and_its_colleagues_are_not() {
    let (daemon, client) = daemon_with(&[], &[("token.per_agent", "2/m")]);
    let other = daemon.enrol(&Registration::new("b@acme.example"));
    // Who only pretends to be the agent takes nothing from it.
    for _ in 0..5 {
        assert_eq!(client.with_secret("x").token(&[]).status, 401);
    }
    for remaining in [1, 0] {
        let answer = client.token(&[]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(number(&answer, "ratelimit-remaining"), remaining);
    }
    let refused = client.token(&[]);
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!((1..=30).contains(&number(&refused, "retry-after")));
    assert_eq!(number(&refused, "ratelimit-limit"), 2);
    assert_eq!(client.with_secret("x").token(&[]).status, 401);
    assert_eq!(other.token(&[]).status, 200);

    let denials = denials(&daemon, "RATE_LIMITED");
    let limited = denials.iter().find(|it| it["code"] == "RATE_LIMITED");
    let limited = limited.expect("the refusal is in the log");
    assert_eq!(limited["actor"]["id"], client.id);
    assert_eq!(
        limited["request_id"],
        refused.header("x-request-id").unwrap()
    );
}

#[test]
fn an_organization_has_a_limit_for_all_its_agents_together() {
    let (daemon, client) = daemon_with(&[], &[("token.per_organization", "3/m")]);
    let colleague = daemon.enrol(&Registration::new("b@acme.example"));
    daemon.organization("other");
    let stranger = daemon.enrol(&Registration::new("a@other.example").of("other"));
    assert_eq!(client.token(&[]).status, 200);
    assert_eq!(colleague.token(&[]).status, 200);
    assert_eq!(client.token(&[]).status, 200);
    assert_eq!(colleague.token(&[]).status, 429);
    assert_eq!(client.token(&[]).status, 429);
    assert_eq!(stranger.token(&[]).status, 200);
}

#[test]
fn reading_is_limited_and_health_is_not() {
    let (daemon, _) = daemon_with(
        &[],
        &[("read.per_address", "2/m"), ("write.per_address", "1/m")],
    );
    let http = daemon.http();
    assert_eq!(http.get("/.well-known/jwks.json").status, 200);
    assert_eq!(http.get("/nothing").status, 404);
    assert_eq!(http.get("/.well-known/jwks.json").status, 429);
    let post = Request::new("POST", "/nothing");
    assert_eq!(http.send(&post).status, 404);
    assert_eq!(http.send(&post).status, 429);
    for _ in 0..10 {
        assert_eq!(http.get("/health/ready").status, 200);
    }
    let actions: Vec<_> = denials(&daemon, "RATE_LIMITED")
        .iter()
        .map(|it| it["action"].clone())
        .collect();
    assert_eq!(actions, ["http.refuse"]);
}

#[test]
fn what_is_refused_unread_has_an_entry_that_tells_nothing_of_it() {
    use std::io::{Read as _, Write as _};

    let (daemon, client) = daemon_with(&[], &[]);
    let query = format!("client_id={}&client_secret={}", client.id, client.secret);
    let mut ids = Vec::new();
    for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"] {
        let answer = daemon.http().get(&format!("{path}?{query}"));
        assert_eq!(answer.status, 405, "{path}");
        ids.push(answer.header("x-request-id").unwrap().to_owned());
    }
    let request = format!(
        "GET /oauth2/token?{query} HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n"
    );
    let mut stream = std::net::TcpStream::connect(daemon.http().address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");

    let denied = assert_counted(daemon, 4);
    let codes: BTreeSet<_> = denied.iter().map(|it| it["code"].as_str()).collect();
    let expected = ["INVALID_REQUEST", "METHOD_NOT_ALLOWED"].map(Some);
    assert_eq!(codes, BTreeSet::from(expected));
    let first = denied.iter().find(|it| it["request_id"] == *ids[0]);
    assert!(first.is_some(), "the first is told at once: {denied:?}");
    for entry in &denied {
        assert_eq!(entry["action"], "http.refuse", "{entry}");
        assert_eq!(entry["actor"]["address"], "127.0.0.0/24", "{entry}");
        for told in [&client.id, &client.secret, "client_secret"] {
            assert!(!entry.to_string().contains(told), "{entry}");
        }
    }
}

#[test]
fn who_introspects_too_often_is_refused_by_token_and_by_secret_alike() {
    let (daemon, _) = daemon_with(&[], &[("read.per_agent", "2/m")]);
    let registration = Registration::new("api@acme.example").capability("tokens:read");
    let api = daemon.enrol(&registration);
    let token = api.token(&[("scope", "tokens:read")]).token();
    let ask = |authorization: &str| {
        let request = Request::form("/oauth2/introspect", &[("token", &token)]);
        api.http
            .send(&request.header("authorization", authorization))
    };
    let (bearer, basic) = (format!("Bearer {token}"), api.basic_header());
    assert_eq!(ask(&bearer).json()["active"], true);
    assert_eq!(ask(&basic).json()["active"], true);
    for authorization in [&bearer, &basic] {
        let refused = ask(authorization);
        assert_eq!(refused.status, 429, "{}", refused.text());
        assert!((1..=30).contains(&number(&refused, "retry-after")));
    }
    let denials = denials(&daemon, "RATE_LIMITED");
    assert_eq!(denials[0]["action"], "token.introspect");
    assert_eq!(api.token(&[]).status, 200, "tokens are counted apart");
}

/// Limits of one kind of bucket, so low that it is empty before the others.
const TIGHTEST: [[(&str, &str); 2]; 3] = [
    [("read.per_address", "20/h"), ("write.per_address", "20/h")],
    [("read.per_agent", "20/h"), ("write.per_agent", "20/h")],
    [
        ("read.per_organization", "20/h"),
        ("write.per_organization", "20/h"),
    ],
];

#[test]
fn every_success_tells_of_the_bucket_that_will_be_empty_first() {
    for limits in TIGHTEST {
        let (daemon, _) = daemon_with(&[], &limits);
        let scopes = "tokens:read agents:read agents:write health:read";
        let registration = Registration::new("api@acme.example");
        let api = daemon.enrol(
            &scopes
                .split(' ')
                .fold(registration, Registration::capability),
        );
        let token = api.token(&[("scope", scopes)]).token();
        let bearer = |request: Request| {
            let request = request.header("authorization", &format!("Bearer {token}"));
            api.http.send(&request)
        };
        let agents = |body: &str| {
            let request = Request::new("POST", "/api/v1/agents")
                .header("content-type", "application/json")
                .body(body.as_bytes().to_vec());
            bearer(request)
        };
        let agent = r#"{"email": "b@acme.example", "agent_type": "screener", "version": "1.0.0",
            "owner": "team-a", "deployment_env": "production"}"#;
        let about = Request::form("/oauth2/introspect", &[("token", &token)]);
        for (what, answer, status, remaining) in [
            ("introspection by secret", api.introspect(&token), 200, 19),
            ("by token", bearer(about), 200, 18),
            ("of nothing", api.introspect("x"), 200, 17),
            (
                "a list",
                bearer(Request::new("GET", "/api/v1/agents")),
                200,
                16,
            ),
            (
                "health",
                bearer(Request::new("GET", "/health/detailed")),
                200,
                15,
            ),
            ("a change", agents(agent), 201, 19),
            ("a revocation of nothing", api.revoke("x"), 200, 18),
            ("a revocation", api.revoke(&token), 200, 17),
        ] {
            assert_eq!(answer.status, status, "{what}: {}", answer.text());
            for family in ["", "x-"] {
                let told = ["limit", "remaining"]
                    .map(|name| number(&answer, &format!("{family}ratelimit-{name}")));
                assert_eq!(told, [20, remaining], "{what}, {limits:?}");
                assert!(number(&answer, &format!("{family}ratelimit-reset")) > 0);
            }
        }
    }
}

#[test]
fn what_is_beyond_the_daemon_s_strength_is_refused_at_once() {
    let (_daemon, client) = daemon_with(&["max_requests = 1"], &[]);
    assert_eq!(client.token(&[]).status, 200);
    let (enough, started) = (AtomicBool::new(false), Instant::now());
    let ask = || {
        while !enough.load(Ordering::Relaxed) {
            let answer = client.token(&[]);
            if answer.status == 503 {
                assert_eq!(answer.error().1, "temporarily_unavailable");
                assert_eq!(answer.header("retry-after"), Some("1"));
                enough.store(true, Ordering::Relaxed);
            } else {
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
            assert!(started.elapsed() < DEADLINE, "nothing was refused");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(ask);
        }
    });
    assert_eq!(client.token(&[]).status, 200, "it serves again");
}

#[test]
fn who_does_not_send_his_body_keeps_nobody_out() {
    use std::io::{Read as _, Write as _};

    let (daemon, client) = daemon_with(&["max_requests = 1"], &[]);
    // The server says when it waits for the body.
    let head = "POST /oauth2/token HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\
                content-type: application/x-www-form-urlencoded\r\ncontent-length: 10\r\n\r\n";
    let waiting = [(); 3].map(|()| {
        let mut stream = std::net::TcpStream::connect(daemon.installation.config.listen).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100");
        stream
    });
    assert_eq!(client.token(&[]).status, 200);
    drop(waiting);
}

#[test]
fn pages_of_listed_origins_may_read_the_answers_and_no_others() {
    let (daemon, client) = daemon_with(&["cors_origins = [\"https://app.example\"]"], &[]);
    let http = daemon.http();
    let preflight = |origin| {
        let request = Request::new("OPTIONS", "/oauth2/token")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization");
        http.send(&request)
    };
    let answer = preflight(ORIGIN);
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
    let headers = answer.header("access-control-allow-headers").unwrap();
    assert!(headers.contains("authorization"), "{headers}");
    let methods = answer.header("access-control-allow-methods").unwrap();
    assert!(methods.contains("POST"), "{methods}");

    let answer = http.send(&client.basic(&[]).header("origin", ORIGIN));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
    assert_eq!(answer.header("vary"), Some("origin"));
    let exposed = answer.header("access-control-expose-headers").unwrap();
    let exposed: Vec<_> = exposed.split(", ").collect();
    let rates = answer.headers.iter().map(|(name, _)| name.as_str());
    let rates: Vec<_> = rates.filter(|it| it.contains("ratelimit")).collect();
    assert_eq!(rates.len(), 6, "{rates:?}");
    for name in rates {
        assert!(exposed.contains(&name), "{name}: {exposed:?}");
    }

    for answer in [
        preflight("https://evil.example"),
        http.send(&client.basic(&[]).header("origin", "https://evil.example")),
        http.send(&client.basic(&[])),
    ] {
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.header("vary"), Some("origin"));
    }
    let health = Request::new("GET", "/health/ready").header("origin", ORIGIN);
    assert_eq!(
        http.send(&health).header("access-control-allow-origin"),
        None
    );
}

#[test]
fn without_listed_origins_no_page_may_read_anything() {
    let (daemon, _) = daemon_with(&[], &[]);
    let request = Request::new("OPTIONS", "/oauth2/token")
        .header("origin", ORIGIN)
        .header("access-control-request-method", "POST");
    let answer = daemon.http().send(&request);
    assert_eq!(answer.status, 405);
    let told = |(name, _): &&(String, String)| name.starts_with("access-control") || name == "vary";
    assert_eq!(answer.headers.iter().find(told), None);
}

#[test]
fn every_answer_says_how_it_may_be_used() {
    let (daemon, client) = daemon_with(&[], &[("write.per_address", "1/h")]);
    let http = daemon.http();
    for (answer, status) in [
        (client.token(&[]), 200),
        (client.with_secret("x").token(&[]), 401),
        (http.get("/.well-known/jwks.json"), 200),
        (http.get("/oauth2/authorize"), 400),
        (http.get("/oauth2/token"), 405),
        (http.send(&Request::new("POST", "/nothing")), 404),
        (http.send(&Request::new("POST", "/nothing")), 429),
        (http.get("/health/live"), 200),
    ] {
        assert_eq!(answer.status, status);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{status}");
        }
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(
            answer.header("cache-control").is_some() && answer.header("x-request-id").is_some()
        );
        // The issuer is not https here.
        assert_eq!(answer.header("strict-transport-security"), None);
    }
}

#[test]
fn who_reaches_the_issuer_by_https_is_to_stay_with_it() {
    let mut installation = Installation::initialized();
    let issuer = (
        "AGENTIDP_ISSUER".to_owned(),
        "https://id.example".to_owned(),
    );
    installation.environment.push(issuer);
    let daemon = installation.start();
    let answer = daemon.http().get("/.well-known/jwks.json");
    let policy = answer.header("strict-transport-security");
    assert_eq!(policy, Some("max-age=31536000"));
}
