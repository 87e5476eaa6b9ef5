//! The documents that clients and resource servers find their way by.

use agentidp_tests::{Installation, Request, TestDaemon};
use serde_json::{Value, json};

#[test]
fn both_metadata_documents_say_what_clients_need_to_know() {
    let daemon = TestDaemon::start();
    let issuer = daemon.installation.config.issuer();
    let answer = daemon.http().get("/.well-known/oauth-authorization-server");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let document = answer.json();
    assert_eq!(
        document["issuer"], issuer,
        "exact to the byte (RFC 8414, section 3.3)"
    );
    for (name, path) in [
        ("token_endpoint", "/oauth2/token"),
        ("jwks_uri", "/.well-known/jwks.json"),
    ] {
        assert_eq!(document[name], format!("{issuer}{path}"));
    }
    let has = |name: &str, value: &str| {
        let list = document[name]
            .as_array()
            .unwrap_or_else(|| panic!("no {name}: {document}"));
        assert!(list.contains(&Value::from(value)), "{name}: {list:?}");
    };
    has("grant_types_supported", "client_credentials");
    has("response_types_supported", "code");
    has("code_challenge_methods_supported", "S256");
    has(
        "token_endpoint_auth_methods_supported",
        "client_secret_basic",
    );
    has(
        "token_endpoint_auth_methods_supported",
        "client_secret_post",
    );
    assert!(
        document["authorization_endpoint"]
            .as_str()
            .unwrap()
            .starts_with(&issuer),
        "MCP clients require one"
    );

    let empty = document.as_object().unwrap().iter();
    let empty: Vec<_> = empty.filter(|(_, value)| **value == json!([])).collect();
    assert_eq!(empty, [], "RFC 8414, section 3.2: they are left out");

    let other = daemon.http().get("/.well-known/openid-configuration");
    assert_eq!(other.json(), document);
}

#[test]
fn an_issuer_with_a_path_is_found_wherever_clients_look() {
    let mut installation = Installation::new();
    installation.config.issuer_path = "/tenant";
    installation.init();
    let daemon = installation.start();
    let issuer = daemon.installation.config.issuer();
    for path in [
        "/.well-known/oauth-authorization-server/tenant",
        "/.well-known/openid-configuration/tenant",
        "/tenant/.well-known/openid-configuration",
    ] {
        let answer = daemon.http().get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.json()["issuer"], issuer, "{path}");
    }
}

#[test]
fn the_authorization_endpoint_says_that_there_is_no_interactive_authorization() {
    let daemon = TestDaemon::start();
    let document = daemon
        .http()
        .get("/.well-known/oauth-authorization-server")
        .json();
    let endpoint = document["authorization_endpoint"].as_str().unwrap();
    let path = endpoint
        .strip_prefix(&daemon.installation.config.issuer())
        .unwrap();
    let answer = daemon.http().get(&format!(
        "{path}?response_type=code&client_id=x&state=%3Cscript%3E"
    ));
    assert_eq!(answer.status, 400);
    assert!(!answer.text().contains("<script>"));
}

#[test]
fn the_key_set_holds_public_keys_only_and_can_be_cached() {
    for (algorithm, parts) in [
        ("ES256", json!({"kty": "EC", "crv": "P-256"})),
        ("EdDSA", json!({"kty": "OKP", "crv": "Ed25519"})),
        ("RS256", json!({"kty": "RSA"})),
    ] {
        let mut installation = Installation::new();
        installation.config.algorithm = algorithm;
        installation.init();
        let daemon = installation.start();
        let answer = daemon.http().get("/.well-known/jwks.json");
        let keys = answer.json()["keys"].as_array().unwrap().clone();
        assert!(!keys.is_empty());
        let listed = daemon.cli().ndjson(&["key", "list", "-o", "ndjson"]);
        for key in &keys {
            assert_eq!(key["alg"], algorithm);
            assert_eq!(key["use"], "sig");
            assert!(listed.iter().any(|it| it["kid"] == key["kid"]), "{key}");
            for (name, value) in parts.as_object().unwrap() {
                assert_eq!(&key[name], value);
            }
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(key.get(private).is_none(), "{algorithm}: {private}");
            }
        }
        assert!(answer.header("cache-control").unwrap().contains("max-age="));
        let tag = answer.header("etag").unwrap();
        let again = daemon
            .http()
            .send(&Request::new("GET", "/.well-known/jwks.json").header("if-none-match", tag));
        assert_eq!((again.status, again.body.len()), (304, 0));
    }
}

#[test]
fn health_is_one_word() {
    let daemon = TestDaemon::start();
    for path in ["/health/live", "/health/ready"] {
        let answer = daemon.http().get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(
            answer.text().split_whitespace().count(),
            1,
            "{path}: {}",
            answer.text()
        );
    }
}
