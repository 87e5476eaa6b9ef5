//! Client assertions that are not as they should be, at every endpoint that takes one.

use agentidp_tests::{Client, Http, Registration, Request, Response, TestDaemon};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::{Value, json};

use crate::about_token::{
    INTROSPECT, REVOKE, assert_does_not_count, assert_refused, daemon_with_server,
};
use crate::counted::assert_counted;

pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const TOKEN: &str = "/oauth2/token";

/// An agent that proves itself by a key, which it names.
struct Keyed {
    http: Http,
    id: String,
    kid: String,
    key: KeyPair,
    issuer: String,
}

impl Keyed {
    fn new(daemon: &TestDaemon, email: &str) -> Self {
        let registration = Registration::new(email)
            .capability("tokens:read")
            .capability("tokens:write");
        let agent = daemon.register(&registration);
        let keyed = Self {
            http: daemon.http(),
            id: agent["id"].as_str().unwrap().to_owned(),
            kid: format!("the key of {email}"),
            key: KeyPair::generate_for(&PKCS_ED25519).unwrap(),
            issuer: daemon.installation.config.issuer(),
        };
        daemon.issue_public_key(email, &keyed.jwk());
        keyed
    }

    fn jwk(&self) -> Value {
        let x = BASE64_URL_SAFE_NO_PAD.encode(self.key.public_key_raw());
        json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.kid })
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
        self.sign_as(Some("JWT"), None, claims)
    }

    /// Signs claims under a header of this type, which names this key.
    fn sign_as(&self, typ: Option<&str>, kid: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = typ.map(str::to_owned);
        header.kid = kid.map(str::to_owned);
        let key = EncodingKey::from_ed_der(&self.key.serialize_der());
        encode(&header, claims, &key).unwrap()
    }

    /// Asks an endpoint for what it is there for; about `token` where it is about one.
    fn ask(&self, path: &str, token: &str, (kind, assertion): (&str, &str)) -> Response {
        let wanted = match path {
            TOKEN => ("grant_type", "client_credentials"),
            _ => ("token", token),
        };
        let parameters = [
            wanted,
            ("client_assertion_type", kind),
            ("client_assertion", assertion),
        ];
        self.http.send(&Request::form(path, &parameters))
    }

    fn assert_lets_in(&self, what: &str, path: &str, assertion: &str) {
        let answer = self.ask(path, "x", (JWT_BEARER, assertion));
        match path {
            TOKEN => assert_eq!(Client::claims(&answer.token())["sub"], *self.id, "{what}"),
            _ => assert_does_not_count(what, path, &answer),
        }
    }
}

/// A JWT whose integrity is a MAC with what everybody knows, and one that has none.
fn confused(keyed: &Keyed, claims: &Value) -> [(&'static str, String); 4] {
    let mac = |secret: &[u8]| {
        let key = EncodingKey::from_secret(secret);
        encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
    };
    let unsigned = |algorithm: &str| {
        let parts = [json!({ "alg": algorithm, "typ": "JWT" }), claims.clone()];
        let [header, claims] = parts.map(|it| BASE64_URL_SAFE_NO_PAD.encode(it.to_string()));
        format!("{header}.{claims}.")
    };
    [
        ("no algorithm", unsigned("none")),
        ("no algorithm in other letters", unsigned("nOnE")),
        ("a MAC with the public key", mac(keyed.key.public_key_raw())),
        (
            "a MAC with the key as it is published",
            mac(keyed.jwk().to_string().as_bytes()),
        ),
    ]
}

/// Assertions with claims or a header that are not as they should be, for `path`.
fn deviating(keyed: &Keyed, other: &Keyed, path: &str) -> Vec<(&'static str, String)> {
    let now = get_current_timestamp();
    let claims = |others: Value| keyed.claims("never used", &others);
    let with = |others: Value| keyed.sign(&claims(others));
    let good = claims(json!({}));
    let endpoint = format!("{}{path}", keyed.issuer);
    vec![
        (
            "another audience",
            with(json!({ "aud": "https://other.example" })),
        ),
        (
            "the endpoint as the audience",
            with(json!({ "aud": endpoint })),
        ),
        (
            "two audiences",
            with(json!({ "aud": [keyed.issuer, "https://other.example"] })),
        ),
        ("no audience", with(json!({ "aud": null }))),
        (
            "expired",
            with(json!({ "iat": now - 120, "exp": now - 60 })),
        ),
        ("no end", with(json!({ "exp": null }))),
        ("an end that is text", with(json!({ "exp": "soon" }))),
        (
            "made in an hour",
            with(json!({ "iat": now + 3_600, "exp": now + 3_660 })),
        ),
        ("made an hour ago", with(json!({ "iat": now - 3_600 }))),
        (
            "good for an hour",
            with(json!({ "iat": null, "exp": now + 3_600 })),
        ),
        ("good in an hour", with(json!({ "nbf": now + 3_600 }))),
        ("no id", with(json!({ "jti": null }))),
        ("an empty id", with(json!({ "jti": "" }))),
        ("a long id", with(json!({ "jti": "x".repeat(10_000) }))),
        ("another subject", with(json!({ "sub": other.id }))),
        ("another issuer", with(json!({ "iss": other.id }))),
        (
            "the type of an access token",
            keyed.sign_as(Some("at+jwt"), None, &good),
        ),
        ("a type of our own", keyed.sign_as(Some("x"), None, &good)),
        (
            "another's kid",
            keyed.sign_as(Some("JWT"), Some(&other.kid), &good),
        ),
        (
            "a kid that nobody has",
            keyed.sign_as(Some("JWT"), Some("../../dev/null"), &good),
        ),
        ("another's key", other.sign(&good)),
        (
            "another's key and kid",
            other.sign_as(Some("JWT"), Some(&other.kid), &good),
        ),
        (
            "another's key and one's own kid",
            other.sign_as(Some("JWT"), Some(&keyed.kid), &good),
        ),
        ("no JWT", "x".to_owned()),
    ]
}

#[test]
fn an_assertion_that_is_not_as_it_should_be_gets_the_standard_s_error() {
    let (daemon, server) = daemon_with_server();
    let keyed = Keyed::new(&daemon, "keyed@acme.example");
    let other = Keyed::new(&daemon, "other@acme.example");
    let token = server.token(&[]).token();
    let mut count = 0;
    for path in [TOKEN, INTROSPECT, REVOKE] {
        let jti = format!("good at {path}");
        let claims = keyed.claims(&jti, &json!({}));
        let good = keyed.sign(&claims);
        keyed.assert_lets_in("a good assertion", path, &good);
        let later = json!({ "exp": get_current_timestamp() + 120 });
        let mut refused = vec![
            ("used before", good),
            ("an id used before", keyed.sign(&keyed.claims(&jti, &later))),
            ("an access token", token.clone()),
        ];
        refused.extend(confused(&keyed, &keyed.claims("never used", &json!({}))));
        refused.extend(deviating(&keyed, &other, path));
        for (what, assertion) in refused {
            count += 1;
            let answer = keyed.ask(path, &token, (JWT_BEARER, &assertion));
            assert_refused(&format!("{what} at {path}"), &answer, 401, "invalid_client");
        }
        let next = keyed.claims(&format!("next at {path}"), &json!({}));
        let next = keyed.sign_as(None, Some(&keyed.kid), &next);
        for (what, pair) in [
            ("another type", ("urn:x", next.as_str())),
            ("no type", ("", next.as_str())),
            ("a type alone", (JWT_BEARER, "")),
        ] {
            count += 1;
            let answer = keyed.ask(path, &token, pair);
            let what = format!("{what} at {path}");
            assert_refused(&what, &answer, 400, "invalid_request");
        }
        keyed.assert_lets_in("what was not accepted is not used up", path, &next);
        // That there was nothing to revoke is in the log too, for each of the two good ones.
        count += if path == REVOKE { 2 } else { 0 };
    }
    assert_eq!(server.introspect(&token).json()["active"], true);
    assert_counted(daemon, count);
}
