//! The vectors for JSON Web Signatures and Keys that the Wycheproof project publishes.

use std::path::PathBuf;

use serde_json::Value;

use super::super::PublicJwk;
use super::super::jws::Jws;

/// A file of vectors. Without it only CI fails: the vectors are not part of this project.
fn vectors(file: &str) -> Option<Value> {
    let root = std::env::var_os("AGENTIDP_TEST_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let path = root.join("wycheproof").join(file);
    let Ok(text) = std::fs::read(&path) else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "{} is missing",
            path.display()
        );
        eprintln!(
            "not run: no {}; it is from testvectors_v1 of github.com/C2SP/wycheproof",
            path.display()
        );
        return None;
    };
    Some(serde_json::from_slice(&text).unwrap())
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap()
}

/// What is right and yet refused: what no client of this server may use.
fn is_unsupported(jwk: &Value) -> bool {
    jwk["kty"] == "oct"
        || jwk["crv"] == "P-521"
        || ["PS384", "PS512"].iter().any(|alg| jwk["alg"] == **alg)
        || jwk["use"] == "enc"
}

/// Whether the key says `PS256` and the token `PS384`: the vectors call two such valid.
fn is_of_another_algorithm(jwk: &Value) -> bool {
    jwk["alg"] == "PS256" && jwk["kid"] == "bilbo.baggins@hobbiton.example"
}

/// Judges every vector of `file`; how many were accepted and how many refused.
fn judge(file: &str) -> Option<(usize, usize)> {
    let vectors = vectors(file)?;
    let (mut accepted, mut refused) = (0, 0);
    for group in list(&vectors, "testGroups") {
        let published = group.get("public").unwrap_or(&group["private"]);
        let jwks = published.get("keys").map_or_else(
            || vec![published.clone()],
            |it| it.as_array().unwrap().clone(),
        );
        let keys: Vec<_> = jwks
            .iter()
            .filter_map(|jwk| PublicJwk::parse(jwk.to_string().as_bytes()).ok())
            .collect();
        for test in list(group, "tests") {
            let token = test.get("jws").or_else(|| test.get("jwe"));
            let token = token.and_then(Value::as_str).unwrap_or_default();
            let is_accepted = keys.iter().any(|key| {
                Jws::parse(token).is_ok_and(|token| token.verify(key.verifier()).is_ok())
            });
            let is_supported = !jwks.iter().any(is_unsupported);
            let expected = test["result"] == "valid"
                && is_supported
                && !jwks.iter().any(is_of_another_algorithm);
            assert_eq!(
                is_accepted, expected,
                "{file} {} {} {}",
                group["comment"], test["tcId"], test["comment"]
            );
            if is_accepted {
                accepted += 1;
            } else {
                refused += 1;
            }
        }
    }
    Some((accepted, refused))
}

#[test]
fn published_vectors_of_signatures_are_judged_as_they_should_be() {
    if let Some((accepted, refused)) = judge("json_web_signature_test.json") {
        assert!(accepted >= 20 && refused >= 300, "{accepted} {refused}");
    }
    if let Some((accepted, refused)) = judge("json_web_crypto_test.json") {
        assert!(accepted >= 2 && refused >= 70, "{accepted} {refused}");
    }
}

#[test]
fn published_vectors_of_keys_are_judged_as_they_should_be() {
    if let Some((accepted, refused)) = judge("json_web_key_test.json") {
        assert!(accepted >= 1 && refused >= 20, "{accepted} {refused}");
    }
}
