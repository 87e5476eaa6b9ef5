//! What an agent gets for its credentials, and what it does not.

use agentidp_tests::{Client, Installation, Registration, Request, Response, TestDaemon};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use crate::assertion::JWT_BEARER;
use crate::counted::assert_counted;

fn daemon_with_client() -> (TestDaemon, Client) {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    (daemon, client)
}

/// The claims, after the checks of a resource server.
fn verified(daemon: &TestDaemon, token: &str, audience: &str) -> Value {
    let keys: JwkSet =
        serde_json::from_value(daemon.http().get("/.well-known/jwks.json").json()).unwrap();
    let header = decode_header(token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("at+jwt"));
    let key = keys
        .find(header.kid.as_deref().unwrap())
        .expect("the key is published");
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[daemon.installation.config.issuer()]);
    validation.leeway = 0;
    decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &validation)
        .unwrap()
        .claims
}

#[test]
fn an_agent_gets_a_verifiable_token_with_the_claims_of_rfc_9068() {
    let (daemon, client) = daemon_with_client();
    let answer = client.token(&[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("application/json")
    );
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 900);
    assert_eq!(body["scope"], "resume:read resume:write");

    let issuer = daemon.installation.config.issuer();
    let claims = verified(&daemon, &answer.token(), &issuer);
    let agent = daemon
        .cli()
        .json(&["agent", "show", "a@acme.example", "-o", "json"]);
    assert_eq!(claims["iss"], issuer);
    assert_eq!(claims["sub"], agent["id"]);
    assert_eq!(claims["client_id"], agent["id"]);
    assert_eq!(claims["client_id"], client.id);
    assert_eq!(claims["aud"], issuer);
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        900
    );
    assert_eq!(claims["scope"], "resume:read resume:write");
    assert_eq!(claims["organization_id"], agent["organization_id"]);
    assert_eq!(claims["agent_type"], "screener");
    assert_eq!(claims["agent_version"], "1.0.0");
    assert_eq!(claims["cid"], client.credential);
    assert_eq!(claims["jti"].as_str().unwrap().len(), 36);
    assert_eq!(
        claims.as_object().unwrap().len(),
        12,
        "no claim that nobody decided on: {claims}"
    );
}

#[test]
fn an_agent_may_send_its_secret_in_the_body() {
    let (daemon, client) = daemon_with_client();
    let token = client.token_by_post(&[]).token();
    let claims = verified(&daemon, &token, &daemon.installation.config.issuer());
    assert_eq!(claims["sub"], client.id);
}

#[test]
fn every_token_has_an_id_of_its_own() {
    let (_daemon, client) = daemon_with_client();
    let [first, second] = [(); 2].map(|()| Client::claims(&client.token(&[]).token()));
    assert_ne!(first["jti"], second["jti"]);
}

#[test]
fn an_agent_gets_the_scopes_it_asks_for_and_never_more_than_its_capabilities() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example").capability("agents:read"));
    let scope = |asked: &[(&str, &str)]| {
        client.token(asked).json()["scope"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        scope(&[]),
        "resume:read resume:write",
        "management scopes are granted only by name"
    );
    assert_eq!(scope(&[("scope", "agents:read")]), "agents:read");
    assert_eq!(
        scope(&[("scope", "resume:write resume:read")]),
        "resume:read resume:write"
    );
    assert_eq!(
        scope(&[("scope", "")]),
        "resume:read resume:write",
        "empty is as if left out (RFC 6749, 3.2)"
    );

    for beyond in ["ledger:write", "resume:read ledger:write"] {
        assert_eq!(
            client.token(&[("scope", beyond)]).error(),
            (400, "invalid_scope".to_owned())
        );
    }
}

#[test]
fn the_audience_of_a_token_is_the_resource_that_was_asked_for() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let issuer = daemon.installation.config.issuer();
    let none = daemon.enrol(&Registration::new("none@acme.example"));
    let one = daemon.enrol(&Registration::new("one@acme.example").audience("https://mcp.example/"));
    let two = Registration::new("two@acme.example")
        .audience("https://mcp.example/")
        .audience("https://b.example/x");
    let two = daemon.enrol(&two);
    let audience = |client: &Client, asked: &[&str]| {
        let asked: Vec<_> = asked.iter().map(|it| ("resource", *it)).collect();
        let answer = client.token(&asked);
        match answer.status {
            200 => Client::claims(&answer.token())["aud"].clone(),
            _ => Value::from(answer.error().1),
        }
    };
    assert_eq!(audience(&none, &[]), issuer.as_str());
    assert_eq!(audience(&none, &[&issuer]), issuer.as_str());
    assert_eq!(audience(&none, &["https://mcp.example/"]), "invalid_target");
    assert_eq!(audience(&one, &[]), "https://mcp.example/");
    assert_eq!(
        audience(&one, &["https://mcp.example"]),
        "https://mcp.example",
        "as the client spells it"
    );
    assert_eq!(audience(&one, &[&issuer]), "invalid_target");
    assert_eq!(audience(&two, &[]), "invalid_target", "it must say which");
    let both = ["https://b.example/x", "https://mcp.example/"];
    assert_eq!(audience(&two, &both), Value::from(both.to_vec()));
    for malformed in [
        "mcp.example",
        "https://mcp.example/#part",
        "ftp://mcp.example/",
        "https://u:p@mcp.example/",
    ] {
        assert_eq!(
            audience(&one, &[malformed]),
            "invalid_target",
            "{malformed}"
        );
    }
}

#[test]
fn the_default_audience_can_be_configured() {
    let mut installation = Installation::new();
    installation.config.default_audience = Some("https://api.example/");
    installation.init();
    let daemon = installation.start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let claims = Client::claims(&client.token(&[]).token());
    assert_eq!(claims["aud"], "https://api.example/");
    assert_eq!(claims["iss"], daemon.installation.config.issuer());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn bad_input_gets_the_standard_s_error_and_never_a_fault_of_the_server() {
    let (daemon, client) = daemon_with_client();
    let http = daemon.http();
    let form = |parameters: &[(&str, &str)]| Request::form("/oauth2/token", parameters);
    let authenticated = |request: Request| request.header("authorization", &client.basic_header());
    let raw = |body: &[u8]| {
        let request = Request::new("POST", "/oauth2/token").body(body.to_vec());
        authenticated(request.header("content-type", "application/x-www-form-urlencoded"))
    };
    let grant = ("grant_type", "client_credentials");
    let id = ("client_id", client.id.as_str());
    let secret = ("client_secret", client.secret.as_str());
    let query = format!("client_id={}&client_secret={}", id.1, secret.1);
    let with_query = |method: &str| {
        let path = format!("/oauth2/token?grant_type=client_credentials&{query}");
        Request::new(method, &path)
    };
    let assertion = [
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", "x"),
    ];
    let large = "x".repeat(1_000_000);
    let long_scope = "resume:read ".repeat(2_000);
    let many_scopes = (0..100)
        .map(|n| format!("s{n}:read"))
        .collect::<Vec<_>>()
        .join(" ");

    let cases: Vec<(&str, Request, u16, &str)> = vec![
        (
            "no grant type",
            authenticated(form(&[])),
            400,
            "invalid_request",
        ),
        (
            "an empty grant type",
            authenticated(form(&[("grant_type", "")])),
            400,
            "invalid_request",
        ),
        (
            "a doubled grant type",
            authenticated(form(&[grant, grant])),
            400,
            "invalid_request",
        ),
        (
            "another grant",
            authenticated(form(&[("grant_type", "password")])),
            400,
            "unsupported_grant_type",
        ),
        (
            "a code",
            authenticated(form(&[("grant_type", "authorization_code")])),
            400,
            "unsupported_grant_type",
        ),
        (
            "a doubled scope",
            client.basic(&[("scope", "resume:read"), ("scope", "resume:read")]),
            400,
            "invalid_request",
        ),
        (
            "a doubled client id",
            form(&[grant, id, id, secret]),
            400,
            "invalid_request",
        ),
        (
            "a doubled secret",
            form(&[grant, id, secret, secret]),
            400,
            "invalid_request",
        ),
        (
            "two ways to authenticate",
            client.basic(&[id, secret]),
            400,
            "invalid_request",
        ),
        (
            "a secret in the header and an assertion",
            client.basic(&assertion),
            400,
            "invalid_request",
        ),
        (
            "a secret in the form and an assertion",
            form(&[grant, id, secret, assertion[0], assertion[1]]),
            400,
            "invalid_request",
        ),
        (
            "a doubled assertion",
            form(&[grant, assertion[0], assertion[1], assertion[1]]),
            400,
            "invalid_request",
        ),
        (
            "a doubled header",
            authenticated(client.basic(&[])),
            400,
            "invalid_request",
        ),
        ("no authentication", form(&[grant]), 401, "invalid_client"),
        ("an id alone", form(&[grant, id]), 401, "invalid_client"),
        (
            "another way to authenticate",
            form(&[grant]).header("authorization", "Bearer x"),
            401,
            "invalid_client",
        ),
        (
            "no base64",
            form(&[grant]).header("authorization", "Basic ***"),
            400,
            "invalid_request",
        ),
        (
            "no colon",
            form(&[grant]).header("authorization", "Basic YWJj"),
            400,
            "invalid_request",
        ),
        (
            "a client id of a megabyte",
            form(&[grant, ("client_id", &large), secret]),
            413,
            "invalid_request",
        ),
        (
            "a client id as long as a body may be",
            form(&[grant, ("client_id", &large[..60_000]), secret]),
            401,
            "invalid_client",
        ),
        (
            "scopes with two spaces",
            client.basic(&[("scope", "resume:read  resume:write")]),
            400,
            "invalid_scope",
        ),
        (
            "a scope with a line feed",
            client.basic(&[("scope", "resume:read\nx:y")]),
            400,
            "invalid_request",
        ),
        (
            "a scope in capitals",
            client.basic(&[("scope", "RESUME:READ")]),
            400,
            "invalid_scope",
        ),
        (
            "a long scope",
            client.basic(&[("scope", &long_scope)]),
            400,
            "invalid_scope",
        ),
        (
            "many scopes",
            client.basic(&[("scope", &many_scopes)]),
            400,
            "invalid_scope",
        ),
        (
            "a resource with a NUL",
            client.basic(&[("resource", "\u{0}")]),
            400,
            "invalid_request",
        ),
        (
            "a NUL as it is",
            raw(b"grant_type=client_credentials&scope=a\x00b"),
            400,
            "invalid_request",
        ),
        (
            "an encoding that ends early",
            raw(b"grant_type=client_credentials&scope=a%4"),
            400,
            "invalid_request",
        ),
        (
            "an encoding that is none",
            raw(b"grant_type=client_credentials&scope=%zz"),
            400,
            "invalid_request",
        ),
        (
            "bytes that are no text",
            raw(b"grant_type=client_credentials&scope=%ff%fe"),
            400,
            "invalid_request",
        ),
        ("only bytes", raw(b"\xff\xfe\x00"), 400, "invalid_request"),
        ("nothing", raw(b""), 400, "invalid_request"),
        (
            "JSON",
            authenticated(Request::new("POST", "/oauth2/token"))
                .header("content-type", "application/json")
                .body(br#"{"grant_type":"client_credentials"}"#.to_vec()),
            400,
            "invalid_request",
        ),
        (
            "another character set",
            authenticated(Request::new("POST", "/oauth2/token"))
                .header(
                    "content-type",
                    "application/x-www-form-urlencoded; charset=utf-16",
                )
                .body(b"grant_type=client_credentials".to_vec()),
            400,
            "invalid_request",
        ),
        (
            "no content type",
            authenticated(Request::new("POST", "/oauth2/token"))
                .body(b"grant_type=client_credentials".to_vec()),
            400,
            "invalid_request",
        ),
        (
            "everything in the query",
            with_query("POST").header("content-type", "application/x-www-form-urlencoded"),
            400,
            "invalid_request",
        ),
        (
            "a secret in the query beside a good request",
            authenticated(with_query("POST"))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(b"grant_type=client_credentials".to_vec()),
            400,
            "invalid_request",
        ),
        (
            "a GET with everything in the query",
            with_query("GET"),
            405,
            "invalid_request",
        ),
    ];
    let refused = u64::try_from(cases.len()).unwrap();
    for (what, request, status, error) in cases {
        let answer = http.send(&request);
        assert_eq!(
            answer.error(),
            (status, error.to_owned()),
            "{what}: {}",
            answer.text()
        );
        assert!(answer.header("x-request-id").is_some(), "{what}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
        assert!(
            !answer.text().contains(&client.secret),
            "{what}: the secret comes back"
        );
    }
    assert_eq!(client.token(&[]).status, 200, "the daemon still serves");
    for entry in assert_counted(daemon, refused) {
        assert!(!entry.to_string().contains(&client.secret), "{entry}");
    }
}

#[test]
fn a_client_may_name_itself_in_the_body_beside_basic_authentication_but_not_as_another() {
    let (_daemon, client) = daemon_with_client();
    assert_eq!(client.token(&[("client_id", &client.id)]).status, 200);
    let other = client.token(&[("client_id", "0193f2c4-0000-7000-8000-000000009b20")]);
    assert!(matches!(other.status, 400 | 401), "{}", other.text());
}

#[test]
fn an_unknown_parameter_is_ignored() {
    let (_daemon, client) = daemon_with_client();
    assert_eq!(
        client.token(&[("foo", "bar"), ("foo", "bar")]).status,
        200,
        "RFC 6749, section 3.2"
    );
}

#[test]
fn requests_that_are_no_token_requests_are_refused_by_their_form() {
    let (daemon, client) = daemon_with_client();
    let http = daemon.http();
    let get = http.get("/oauth2/token");
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    assert_eq!(http.get("/nothing/here").status, 404);
    let too_large = client.basic(&[("scope", &"x".repeat(65 * 1_024))]);
    assert_eq!(http.send(&too_large).status, 413);
    let large_header = http.send(&client.basic(&[]).header("x-large", &"x".repeat(64 * 1_024)));
    assert!(
        matches!(large_header.status, 400 | 431),
        "{}",
        large_header.status
    );
    for answer in [
        get,
        http.get("/nothing/here"),
        http.send(&too_large),
        http.get("/health/live"),
    ] {
        assert!(answer.header("x-request-id").is_some(), "{}", answer.status);
    }
    assert_eq!(client.token(&[]).status, 200, "the daemon still serves");
}

/// What an answer says, apart from what names the one request.
fn without_request(answer: &Response) -> (u16, Vec<(String, String)>, String) {
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| name != "x-request-id" && name != "date");
    (answer.status, headers, answer.text())
}

#[test]
fn every_failed_authentication_looks_alike() {
    let (daemon, client) = daemon_with_client();
    let other = daemon.enrol(&Registration::new("b@acme.example"));
    let revoked = daemon.issue("a@acme.example", &[]);
    let reason = ["--reason", "the test says so", "--yes"];
    let revocation = [&["credential", "revoke", &revoked.credential], &reason[..]].concat();
    let _ = daemon.cli().run(&revocation).ok();
    let replaced = daemon.issue("a@acme.example", &[]);
    let _ = daemon.rotate(&replaced.credential, &["--grace", "0s"]);
    let ended = ["suspend", "revoke", "decommission"].map(|verb| {
        let email = format!("{verb}@acme.example");
        let client = daemon.enrol(&Registration::new(&email));
        daemon.change(verb, &email);
        client
    });
    let mistyped = format!("{}x", &client.secret[..client.secret.len() - 1]);

    let unknown = client
        .with_id("0193f2c4-0000-7000-8000-000000009b20")
        .token(&[]);
    assert_eq!(unknown.error(), (401, "invalid_client".to_owned()));
    assert!(
        unknown
            .header("www-authenticate")
            .unwrap()
            .starts_with("Basic")
    );
    let [suspended, revoked_agent, decommissioned] = &ended;
    for (what, answer) in [
        (
            "a client that is no UUID",
            client.with_id("nobody").token(&[]),
        ),
        (
            "a wrong secret",
            client.with_secret(&other.secret).token(&[]),
        ),
        (
            "a mistyped secret",
            client.with_secret(&mistyped).token(&[]),
        ),
        ("an empty secret", client.with_secret("").token(&[])),
        (
            "a secret of another form",
            client.with_secret("hunter2").token(&[]),
        ),
        (
            "a long secret",
            client.with_secret(&"x".repeat(4_000)).token(&[]),
        ),
        ("a revoked credential", revoked.token(&[])),
        ("a replaced credential", replaced.token(&[])),
        ("a suspended agent", suspended.token(&[])),
        ("a revoked agent", revoked_agent.token(&[])),
        ("a decommissioned agent", decommissioned.token(&[])),
        ("an unknown client, in the body", unknown_by_post(&client)),
        (
            "a wrong secret, in the body",
            client.with_secret(&other.secret).token_by_post(&[]),
        ),
    ] {
        assert_eq!(
            without_request(&answer),
            without_request(&unknown),
            "{what}"
        );
    }
}

fn unknown_by_post(client: &Client) -> Response {
    client
        .with_id("0193f2c4-0000-7000-8000-000000009b20")
        .token_by_post(&[])
}
