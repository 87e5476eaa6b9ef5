//! Access tokens that are not ours, not for now, or no access tokens.

use serde_json::{Value, json};

use super::super::jwt::JsonError;
use super::super::{AccessToken, JwtError, verify_access_token};
use super::support::{ISSUER, NOW, P256, RSA, Server, agent, assertion_claims, now};

fn verify(server: &Server, token: &str) -> Result<AccessToken, JwtError> {
    verify_access_token(token, &server.keyring, ISSUER, now())
}

/// What comes of a token that the server's own key signs, with this header and these claims.
fn forged(server: &Server, header: &Value, claims: &Value) -> Result<(), JwtError> {
    let token = server
        .key
        .token("EdDSA", &header.to_string(), &claims.to_string());
    verify(server, &token).map(drop)
}

fn header(server: &Server) -> Value {
    json!({"alg": "EdDSA", "typ": "at+jwt", "kid": server.kid})
}

#[test]
fn a_token_that_the_server_signed_says_what_it_was_signed_with() {
    let server = Server::new();
    let claims = Server::claims();
    let token = server.keyring.active().sign(&claims).unwrap();
    let token = verify(&server, &token).unwrap();
    assert_eq!(token.sub, agent());
    assert_eq!(token.client_id, agent());
    assert_eq!(token.jti.to_string(), claims["jti"]);
    assert_eq!(token.organization_id.to_string(), claims["organization_id"]);
    assert_eq!(token.cid.to_string(), claims["cid"]);
    assert_eq!(token.scope.to_string(), claims["scope"]);
    assert_eq!(token.aud, ["https://mcp.example/"]);
    assert_eq!((token.iat, token.exp), (NOW, NOW + 900));
    assert_eq!(token.agent_type.as_str(), claims["agent_type"]);
    assert_eq!(token.agent_version, claims["agent_version"]);

    let mut claims = claims;
    claims["aud"] = json!(["https://a.example", "https://b.example"]);
    claims["scope"] = json!("");
    let token = server.keyring.active().sign(&claims).unwrap();
    let token = verify(&server, &token).unwrap();
    assert_eq!(token.aud, ["https://a.example", "https://b.example"]);
    assert!(token.scope.is_empty());
}

#[test]
fn only_a_published_key_signs_access_tokens() {
    let server = Server::new();
    let claims = Server::claims();
    let mut right = header(&server);
    assert_eq!(forged(&server, &right, &claims), Ok(()));

    let token = Server::new().keyring.active().sign(&claims).unwrap();
    assert_eq!(verify(&server, &token), Err(JwtError::UnknownKey));

    // Another key under the name of ours, of the same and of other kinds.
    let foreign = Server::new().key;
    let token = foreign.token("EdDSA", &right.to_string(), &claims.to_string());
    assert_eq!(verify(&server, &token), Err(JwtError::Signature));
    for (key, alg) in [(&P256, "ES256"), (&RSA, "RS256"), (&P256, "HS256")] {
        let mut header = right.clone();
        header["alg"] = json!(alg);
        let token = key.token(alg, &header.to_string(), &claims.to_string());
        assert_eq!(verify(&server, &token), Err(JwtError::Algorithm), "{alg}");
    }
    let token = server
        .key
        .token("none", r#"{"alg":"none"}"#, &claims.to_string());
    assert_eq!(verify(&server, &token), Err(JwtError::NotCompact));

    for kid in [json!(""), json!(7), json!(null)] {
        right["kid"] = kid;
        let refused = Err(JwtError::Header(JsonError::Member));
        assert_eq!(forged(&server, &right, &claims), refused);
    }
    right["kid"] = json!(format!("{} ", server.kid));
    assert_eq!(forged(&server, &right, &claims), Err(JwtError::UnknownKey));
    right.as_object_mut().unwrap().remove("kid");
    assert_eq!(forged(&server, &right, &claims), Err(JwtError::UnknownKey));
}

#[test]
fn only_an_access_token_is_taken_for_an_access_token() {
    let server = Server::new();
    for typ in [
        json!("JWT"),
        json!("client-authentication+jwt"),
        json!(""),
        json!("at+jwt "),
        json!("at"),
        json!("text/at+jwt"),
    ] {
        let mut header = header(&server);
        header["typ"] = typ.clone();
        let refused = Err(JwtError::Type);
        assert_eq!(
            forged(&server, &header, &Server::claims()),
            refused,
            "{typ}"
        );
    }
    let mut without = header(&server);
    without.as_object_mut().unwrap().remove("typ");
    let refused = Err(JwtError::Type);
    assert_eq!(forged(&server, &without, &Server::claims()), refused);

    // An assertion of an agent's, as it is, and as an access token by name.
    let assertion = P256.token(
        "ES256",
        r#"{"alg":"ES256","typ":"JWT"}"#,
        &assertion_claims().to_string(),
    );
    assert_eq!(verify(&server, &assertion), Err(JwtError::Type));
    let refused = Err(JwtError::Claims(JsonError::Member));
    assert_eq!(
        forged(&server, &header(&server), &assertion_claims()),
        refused
    );
}

#[test]
fn an_access_token_has_every_claim_and_is_of_this_issuer_and_of_now() {
    let server = Server::new();
    let with = |name: &str, value: Value| {
        let mut claims = Server::claims();
        claims[name] = value;
        forged(&server, &header(&server), &claims)
    };
    for name in Server::claims().as_object().unwrap().keys() {
        let mut claims = Server::claims();
        claims.as_object_mut().unwrap().remove(name);
        let refused = Err(JwtError::Claims(JsonError::Member));
        assert_eq!(
            forged(&server, &header(&server), &claims),
            refused,
            "{name}"
        );
        assert_eq!(with(name, json!(null)), refused, "{name}");
    }
    let member = JwtError::Claims(JsonError::Member);
    for (name, value, expected) in [
        ("unknown", json!({"a": [1]}), Ok(())),
        ("exp", json!(NOW + 1), Ok(())),
        ("exp", json!(NOW), Err(JwtError::Expired)),
        ("exp", json!(-1), Err(JwtError::Expired)),
        ("exp", json!("4000000000"), Err(member)),
        ("exp", json!(4e9), Err(member)),
        ("exp", json!(u64::MAX), Err(member)),
        ("iss", json!("https://id.example/"), Err(JwtError::Issuer)),
        ("iss", json!("https://evil.example"), Err(JwtError::Issuer)),
        (
            "client_id",
            json!("01890000-0000-7000-8000-000000000000"),
            Err(member),
        ),
        ("sub", json!("x"), Err(member)),
        ("jti", json!("x"), Err(member)),
        ("scope", json!("resume"), Err(member)),
        ("aud", json!({}), Err(member)),
        ("aud", json!([7]), Err(member)),
        ("agent_type", json!("ruler"), Err(member)),
    ] {
        assert_eq!(with(name, value.clone()), expected, "{name} {value}");
    }
    let doubled = Server::claims()
        .to_string()
        .replacen('{', r#"{"sub":"x","#, 1);
    let token = server
        .key
        .token("EdDSA", &header(&server).to_string(), &doubled);
    let refused = Err(JwtError::Claims(JsonError::DuplicateName));
    assert_eq!(verify(&server, &token), refused);
}
