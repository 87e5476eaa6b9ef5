//! Requests about a token, to introspect it and to revoke it, that are not as they should be.

use agentidp_tests::{Client, Http, Registration, Request, Response, TestDaemon};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::{Value, json};

const INTROSPECT: &str = "/oauth2/introspect";
const REVOKE: &str = "/oauth2/revoke";
const PATHS: [&str; 2] = [INTROSPECT, REVOKE];
const FORM: &str = "application/x-www-form-urlencoded";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A daemon, and an agent that may ask about the tokens of its organization and revoke them.
fn daemon_with_server() -> (TestDaemon, Client) {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let registration = Registration::new("api@acme.example")
        .capability("tokens:read")
        .capability("tokens:write");
    let server = daemon.enrol(&registration);
    (daemon, server)
}

/// Asserts that an answer is an error of RFC 6749, section 5.2, and none of the server's fault.
fn assert_refused(what: &str, answer: &Response, status: u16, error: &str) {
    assert_eq!(
        answer.error(),
        (status, error.to_owned()),
        "{what}: {}",
        answer.text()
    );
    assert!(answer.header("x-request-id").is_some(), "{what}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
}

/// Asserts that an answer is the one about a token that does not count: that of RFC 7662, section 2.2, or
/// that of RFC 7009, section 2.2.
fn assert_does_not_count(what: &str, path: &str, answer: &Response) {
    let expected = match path {
        INTROSPECT => r#"{"active":false}"#,
        _ => "",
    };
    assert_eq!(
        (answer.status, answer.text()),
        (200, expected.to_owned()),
        "{what} at {path}"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn bad_input_gets_the_standard_s_error_and_never_a_fault_of_the_server() {
    let (daemon, server) = daemon_with_server();
    let http = daemon.http();
    let token = server.token(&[]).token();
    let about = ("token", token.as_str());
    let id = ("client_id", server.id.as_str());
    let secret = ("client_secret", server.secret.as_str());
    let hint = ("token_type_hint", "access_token");
    let large = "x".repeat(1_000_000);
    let many: Vec<_> = (0..100).map(|n| (format!("p{n}"), "x")).collect();
    let many: Vec<_> = many.iter().map(|(name, x)| (name.as_str(), *x)).collect();
    let bearer = format!("Bearer {token}");

    for path in PATHS {
        let form = |parameters: &[(&str, &str)]| Request::form(path, parameters);
        let basic = |request: Request| request.header("authorization", &server.basic_header());
        let raw = |body: &[u8]| {
            let request = Request::new("POST", path).header("content-type", FORM);
            basic(request.body(body.to_vec()))
        };
        let with_query = |method: &str| {
            let query = format!("client_id={}&client_secret={}", id.1, secret.1);
            Request::new(method, &format!("{path}?{query}&token={token}"))
        };
        let cases: Vec<(&str, Request, u16, &str)> = vec![
            ("no token", basic(form(&[])), 400, "invalid_request"),
            (
                "an empty token",
                basic(form(&[("token", "")])),
                400,
                "invalid_request",
            ),
            (
                "a doubled token",
                basic(form(&[about, about])),
                400,
                "invalid_request",
            ),
            (
                "a token and an empty one",
                basic(form(&[about, ("token", "")])),
                400,
                "invalid_request",
            ),
            (
                "a doubled hint",
                basic(form(&[about, hint, hint])),
                400,
                "invalid_request",
            ),
            (
                "a doubled client id",
                form(&[about, id, id, secret]),
                400,
                "invalid_request",
            ),
            (
                "a doubled secret",
                form(&[about, id, secret, secret]),
                400,
                "invalid_request",
            ),
            (
                "a doubled header",
                basic(basic(form(&[about]))),
                400,
                "invalid_request",
            ),
            (
                "a secret in the header and in the form",
                basic(form(&[about, id, secret])),
                400,
                "invalid_request",
            ),
            (
                "a secret in the header and an assertion",
                basic(form(&[
                    about,
                    ("client_assertion_type", JWT_BEARER),
                    ("client_assertion", "x"),
                ])),
                400,
                "invalid_request",
            ),
            (
                "a token in the header and a secret in the form",
                form(&[about, id, secret]).header("authorization", &bearer),
                400,
                "invalid_request",
            ),
            (
                "a token and a secret in two headers",
                basic(form(&[about])).header("authorization", &bearer),
                400,
                "invalid_request",
            ),
            (
                "another client id in the form than in the header",
                basic(form(&[about, ("client_id", "another")])),
                400,
                "invalid_request",
            ),
            ("no authentication", form(&[about]), 401, "invalid_client"),
            ("an id alone", form(&[about, id]), 401, "invalid_client"),
            (
                "a wrong secret",
                form(&[about, id, ("client_secret", "x")]),
                401,
                "invalid_client",
            ),
            (
                "a header that is no token",
                form(&[about]).header("authorization", "Bearer x"),
                401,
                "invalid_token",
            ),
            (
                "another way to authenticate",
                form(&[about]).header("authorization", "Digest username=x"),
                401,
                "invalid_client",
            ),
            (
                "no base64",
                form(&[about]).header("authorization", "Basic ***"),
                400,
                "invalid_request",
            ),
            (
                "no colon",
                form(&[about]).header("authorization", "Basic YWJj"),
                400,
                "invalid_request",
            ),
            (
                "an encoding that ends early",
                raw(b"token=abc%4"),
                400,
                "invalid_request",
            ),
            (
                "an encoding that is none",
                raw(b"token=%zz"),
                400,
                "invalid_request",
            ),
            (
                "bytes that are no text",
                raw(b"token=%ff%fe"),
                400,
                "invalid_request",
            ),
            ("only bytes", raw(b"\xff\xfe\x00"), 400, "invalid_request"),
            ("nothing", raw(b""), 400, "invalid_request"),
            (
                "a NUL",
                basic(form(&[("token", "\u{0}")])),
                400,
                "invalid_request",
            ),
            (
                "a NUL as it is",
                raw(b"token=a\x00b"),
                400,
                "invalid_request",
            ),
            (
                "the end of a line",
                basic(form(&[("token", "a\r\nb")])),
                400,
                "invalid_request",
            ),
            (
                "a token of a megabyte",
                basic(form(&[("token", &large)])),
                413,
                "invalid_request",
            ),
            (
                "a hint of a megabyte",
                basic(form(&[about, ("token_type_hint", &large)])),
                413,
                "invalid_request",
            ),
            (
                "many parameters",
                basic(form(&many)),
                400,
                "invalid_request",
            ),
            (
                "JSON",
                basic(Request::new("POST", path))
                    .header("content-type", "application/json")
                    .body(json!({ "token": token }).to_string().into_bytes()),
                400,
                "invalid_request",
            ),
            (
                "another character set",
                basic(Request::new("POST", path))
                    .header("content-type", &format!("{FORM}; charset=utf-16"))
                    .body(format!("token={token}").into_bytes()),
                400,
                "invalid_request",
            ),
            (
                "no content type",
                basic(Request::new("POST", path)).body(format!("token={token}").into_bytes()),
                400,
                "invalid_request",
            ),
            (
                "everything in the query",
                with_query("POST").header("content-type", FORM),
                400,
                "invalid_request",
            ),
            (
                "a GET with everything in the query",
                with_query("GET"),
                405,
                "invalid_request",
            ),
            (
                "a GET of an authenticated client",
                basic(Request::new("GET", path)),
                405,
                "invalid_request",
            ),
        ];
        for (what, request, status, error) in cases {
            let what = format!("{what} at {path}");
            let answer = http.send(&request);
            assert_refused(&what, &answer, status, error);
            if status == 405 {
                assert_eq!(answer.header("allow"), Some("POST"), "{what}");
            }
            for told in [&server.secret, &token] {
                assert!(!answer.text().contains(told), "{what}: it comes back");
            }
        }
    }
    assert_eq!(
        server.introspect(&token).json()["active"],
        true,
        "nothing of it revoked the token"
    );
}

#[test]
fn what_the_standards_let_a_client_send_is_no_error() {
    let (_daemon, server) = daemon_with_server();
    let basic = |path: &str, parameters: &[(&str, &str)]| {
        let request = Request::form(path, parameters);
        let request = request.header("authorization", &server.basic_header());
        server.http.send(&request)
    };
    for extra in [
        ("token_type_hint", "access_token"),
        ("token_type_hint", "refresh_token"),
        ("token_type_hint", "a-type-of-our-own"),
        ("token_type_hint", ""),
        ("foo", "bar"),
        ("client_id", &server.id),
    ] {
        let token = server.token(&[]).token();
        let parameters = [("token", token.as_str()), extra];
        let found = basic(INTROSPECT, &parameters);
        assert_eq!(found.status, 200, "{extra:?}: {}", found.text());
        assert_eq!(found.json()["active"], true, "{extra:?}");
        assert_eq!(basic(REVOKE, &parameters).status, 200, "{extra:?}");
        let found = basic(INTROSPECT, &parameters);
        assert_does_not_count(&format!("{extra:?}"), INTROSPECT, &found);
    }
}

#[test]
fn what_is_no_token_or_a_dead_one_is_answered_as_one_that_does_not_count() {
    let (daemon, server) = daemon_with_server();
    daemon.organization("other");
    let stranger = daemon.enrol(&Registration::new("a@other.example").of("other"));
    let [live, revoked] = [(); 2].map(|()| server.token(&[]).token());
    let strange = stranger.token(&[]).token();
    assert_eq!(server.revoke(&revoked).status, 200);
    let [header, claims, signature] = live.split('.').collect::<Vec<_>>()[..] else {
        panic!("a JWT has three parts");
    };
    let none = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
    let other = strange.split('.').next_back().unwrap();
    let more = BASE64_URL_SAFE_NO_PAD.encode(
        Client::claims(&live)
            .to_string()
            .replace("resume:read", "resume:burn"),
    );

    for (what, token) in [
        ("a revoked token", revoked.clone()),
        ("another organization's", strange.clone()),
        ("a word", "x".to_owned()),
        ("spaces", "  ".to_owned()),
        ("other letters", "\u{5bbd}\u{202e}\u{1f469}".to_owned()),
        ("dots", "..".to_owned()),
        ("two parts", format!("{header}.{claims}")),
        ("four parts", format!("{live}.{signature}")),
        ("no signature", format!("{header}.{claims}.")),
        ("another's signature", format!("{header}.{claims}.{other}")),
        ("other claims", format!("{header}.{more}.{signature}")),
        ("no algorithm", format!("{none}.{claims}.")),
        (
            "no algorithm, and a signature",
            format!("{none}.{claims}.{signature}"),
        ),
        ("padding", format!("{live}=")),
        ("a space behind it", format!("{live} ")),
        ("as long as it may be", "x".repeat(60_000)),
    ] {
        assert_does_not_count(what, INTROSPECT, &server.introspect(&token));
        assert_does_not_count(what, REVOKE, &server.revoke(&token));
    }
    assert_eq!(server.introspect(&live).json()["active"], true);
}

#[test]
fn who_lacks_the_scope_gets_the_standard_s_error() {
    let (daemon, server) = daemon_with_server();
    let agent = daemon.enrol(&Registration::new("a@acme.example"));
    let (own, other) = (agent.token(&[]).token(), server.token(&[]).token());
    for (what, answer) in [
        ("introspection", agent.introspect(&own)),
        ("a revocation of another's", agent.revoke(&other)),
    ] {
        assert_refused(what, &answer, 403, "insufficient_scope");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains("insufficient_scope"), "{challenge}");
    }
    assert_eq!(server.introspect(&other).json()["active"], true);
    assert_eq!(agent.revoke(&own).status, 200);
    assert_does_not_count("its own", INTROSPECT, &server.introspect(&own));
}

/// An agent that proves itself by a key.
struct Keyed {
    http: Http,
    id: String,
    key: EncodingKey,
    issuer: String,
}

fn key() -> (EncodingKey, Value) {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let x = BASE64_URL_SAFE_NO_PAD.encode(pair.public_key_raw());
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
    (EncodingKey::from_ed_der(&pair.serialize_der()), jwk)
}

impl Keyed {
    fn new(daemon: &TestDaemon, email: &str) -> Self {
        let registration = Registration::new(email)
            .capability("tokens:read")
            .capability("tokens:write");
        let agent = daemon.register(&registration);
        let (key, jwk) = key();
        daemon.issue_public_key(email, &jwk);
        Self {
            http: daemon.http(),
            id: agent["id"].as_str().unwrap().to_owned(),
            key,
            issuer: daemon.installation.config.issuer(),
        }
    }

    /// The claims of a good assertion, with these in their place.
    fn claims(&self, jti: &str, others: &Value) -> Value {
        let now = get_current_timestamp();
        let mut claims = json!({
            "iss": self.id, "sub": self.id, "aud": self.issuer,
            "iat": now, "exp": now + 60, "jti": jti,
        });
        for (name, value) in others.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    fn sign(&self, claims: &Value) -> String {
        encode(&Header::new(Algorithm::EdDSA), claims, &self.key).unwrap()
    }

    fn ask(&self, path: &str, token: &str, (kind, assertion): (&str, &str)) -> Response {
        let parameters = [
            ("token", token),
            ("client_assertion_type", kind),
            ("client_assertion", assertion),
        ];
        self.http.send(&Request::form(path, &parameters))
    }
}

#[test]
fn an_assertion_that_is_not_as_it_should_be_gets_the_standard_s_error() {
    let (daemon, server) = daemon_with_server();
    let keyed = Keyed::new(&daemon, "keyed@acme.example");
    let token = server.token(&[]).token();
    let now = get_current_timestamp();
    for path in PATHS {
        let good = keyed.sign(&keyed.claims(&format!("good at {path}"), &json!({})));
        let answer = keyed.ask(path, "x", (JWT_BEARER, &good));
        assert_does_not_count("a good assertion", path, &answer);
        let forged = Keyed {
            key: key().0,
            id: keyed.id.clone(),
            issuer: keyed.issuer.clone(),
            ..keyed
        };
        let claims = |others: Value| keyed.claims("never used", &others);
        let none = [json!({ "alg": "none" }), claims(json!({}))]
            .map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
        let refused = [
            ("used before", good),
            ("no algorithm", format!("{}.{}.", none[0], none[1])),
            ("another's key", forged.sign(&claims(json!({})))),
            (
                "another audience",
                keyed.sign(&claims(json!({ "aud": "https://other.example" }))),
            ),
            (
                "the endpoint as the audience",
                keyed.sign(&claims(json!({ "aud": format!("{}{path}", keyed.issuer) }))),
            ),
            (
                "two audiences",
                keyed.sign(&claims(
                    json!({ "aud": [keyed.issuer, "https://other.example"] }),
                )),
            ),
            (
                "expired",
                keyed.sign(&claims(json!({ "iat": now - 120, "exp": now - 60 }))),
            ),
            ("no end", keyed.sign(&claims(json!({ "exp": null })))),
            ("no id", keyed.sign(&claims(json!({ "jti": null })))),
            (
                "another subject",
                keyed.sign(&claims(json!({ "sub": server.id }))),
            ),
            ("an access token", token.clone()),
            ("no JWT", "x".to_owned()),
        ];
        for (what, assertion) in refused {
            let answer = keyed.ask(path, &token, (JWT_BEARER, &assertion));
            assert_refused(&format!("{what} at {path}"), &answer, 401, "invalid_client");
        }
        let next = keyed.sign(&keyed.claims(&format!("next at {path}"), &json!({})));
        for (what, pair) in [
            ("another type", ("urn:x", next.as_str())),
            ("no type", ("", next.as_str())),
            ("a type alone", (JWT_BEARER, "")),
        ] {
            let answer = keyed.ask(path, &token, pair);
            assert_refused(
                &format!("{what} at {path}"),
                &answer,
                400,
                "invalid_request",
            );
        }
        let answer = keyed.ask(path, "x", (JWT_BEARER, &next));
        assert_does_not_count("what was not accepted is not used up", path, &answer);
    }
    assert_eq!(server.introspect(&token).json()["active"], true);
}
