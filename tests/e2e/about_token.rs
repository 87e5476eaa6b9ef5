//! Requests about a token, to introspect it and to revoke it, that are not as they should be.

use agentidp_tests::{Client, Registration, Request, Response, TestDaemon};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;

use crate::assertion::JWT_BEARER;
use crate::counted::assert_counted;

pub(super) const INTROSPECT: &str = "/oauth2/introspect";
pub(super) const REVOKE: &str = "/oauth2/revoke";
const PATHS: [&str; 2] = [INTROSPECT, REVOKE];
const FORM: &str = "application/x-www-form-urlencoded";

/// A daemon, and an agent that may ask about the tokens of its organization and revoke them.
pub(super) fn daemon_with_server() -> (TestDaemon, Client) {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let registration = Registration::new("api@acme.example")
        .capability("tokens:read")
        .capability("tokens:write");
    let server = daemon.enrol(&registration);
    (daemon, server)
}

/// Asserts that an answer is an error of RFC 6749, section 5.2, and none of the server's fault.
pub(super) fn assert_refused(what: &str, answer: &Response, status: u16, error: &str) {
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
pub(super) fn assert_does_not_count(what: &str, path: &str, answer: &Response) {
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

    let mut refused = 0;
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
            refused += 1;
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
    for entry in assert_counted(daemon, refused) {
        for told in [&server.secret, &token] {
            assert!(!entry.to_string().contains(told), "{entry}");
        }
    }
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
