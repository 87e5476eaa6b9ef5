//! Assertions with claims that prove nothing, each beside one that is in order.

use serde_json::{Value, json};

use super::super::assertion::AssertionError;
use super::super::jwt::JsonError;
use super::super::{Assertion, ClientAssertion, JwsAlgorithm, JwtError};
use super::support::{
    ED25519, ISSUER, NOW, P256, P384, RSA, TestKey, agent, assertion_claims, now,
};

pub(super) const HEADER: &str = r#"{"alg":"ES256","typ":"JWT"}"#;

pub(super) fn verify(token: &str) -> Result<Assertion, AssertionError> {
    verify_with(&P256, token)
}

pub(super) fn verify_with(key: &TestKey, token: &str) -> Result<Assertion, AssertionError> {
    ClientAssertion::peek(token)?.verify(&key.verifier(), ISSUER, now())
}

pub(super) fn refused(fault: JwtError) -> Result<(), AssertionError> {
    Err(AssertionError::Jwt(fault))
}

/// What comes of these claims.
pub(super) fn with_claims(claims: &str) -> Result<(), AssertionError> {
    verify(&P256.token("ES256", HEADER, claims)).map(drop)
}

/// What comes of claims in order but for one, which is `text` as JSON, or left out.
fn with_claim(name: &str, text: Option<&str>) -> Result<(), AssertionError> {
    let mut claims = assertion_claims();
    claims.as_object_mut().unwrap().remove(name);
    let rest = claims.to_string();
    match text {
        None => with_claims(&rest),
        // Put in as text: what is tried is often no value that can be held.
        Some(text) => with_claims(&rest.replacen('{', &format!(r#"{{"{name}":{text},"#), 1)),
    }
}

#[test]
fn an_assertion_of_each_algorithm_proves_its_agent() {
    for (key, alg) in [
        (&P256, "ES256"),
        (&P384, "ES384"),
        (&ED25519, "EdDSA"),
        (&RSA, "RS256"),
        (&RSA, "RS384"),
        (&RSA, "RS512"),
        (&RSA, "PS256"),
    ] {
        assert!(JwsAlgorithm::ALL.iter().any(|it| it.as_str() == alg));
        let header = json!({"alg": alg, "typ": "JWT", "kid": "mine"}).to_string();
        let token = key.token(alg, &header, &assertion_claims().to_string());
        let peeked = ClientAssertion::peek(&token).unwrap();
        assert_eq!(peeked.client_id(), agent());
        assert_eq!(peeked.kid(), Some("mine"));
        let assertion = verify_with(key, &token).unwrap();
        assert_eq!(assertion.client_id, agent());
        assert_eq!(assertion.jti, "a-1");
        assert_eq!(assertion.expires_at.as_secs(), NOW + 60);
    }
}

#[test]
fn an_assertion_is_from_the_client_about_itself() {
    let id = agent().to_string();
    for (claim, value) in [
        ("iss", None),
        ("sub", None),
        ("iss", Some(json!("https://evil.example"))),
        ("sub", Some(json!("somebody"))),
        ("sub", Some(json!(format!("{id} ")))),
        ("sub", Some(json!(id.replace('-', "")))),
        ("sub", Some(json!(""))),
    ] {
        let value = value.as_ref().map(Value::to_string);
        let result = with_claim(claim, value.as_deref());
        assert_eq!(result, Err(AssertionError::Client), "{claim} {value:?}");
    }
    let mut claims = assertion_claims();
    for name in ["iss", "sub"] {
        claims[name] = json!(id.to_uppercase());
    }
    assert_eq!(
        with_claims(&claims.to_string()),
        Err(AssertionError::Client)
    );
    for text in ["null", "7", "[]", "{}"] {
        let refused = refused(JwtError::Claims(JsonError::Member));
        assert_eq!(with_claim("sub", Some(text)), refused, "{text}");
    }
}

#[test]
fn an_assertion_is_for_this_server_alone() {
    for aud in [r#""https://id.example""#, r#""https://id.example/""#] {
        assert_eq!(with_claim("aud", Some(aud)), Ok(()), "{aud}");
    }
    for aud in [
        None,
        Some("null"),
        Some("[]"),
        Some("7"),
        Some(r#""""#),
        Some(r#""/""#),
        Some(r#"["https://id.example"]"#),
        Some(r#"["https://id.example","https://evil.example"]"#),
        Some(r#""https://id.example//""#),
        Some(r#""https://id.example/oauth2/token""#),
        Some(r#""https://id.example.evil.example""#),
        Some(r#""HTTPS://ID.EXAMPLE""#),
        Some(r#""http://id.example""#),
        Some(r#""https://id.example:443""#),
        Some(r#""https://id.example\u0000""#),
    ] {
        let refused = Err(AssertionError::Audience);
        assert_eq!(with_claim("aud", aud), refused, "{aud:?}");
    }
}

#[test]
fn an_assertion_that_does_not_say_when_it_was_made_may_not_live_long() {
    let mut claims = assertion_claims();
    claims.as_object_mut().unwrap().remove("iat");
    for (offset, expected) in [(330, Ok(())), (331, Err(AssertionError::ExpiresTooLate))] {
        claims["exp"] = json!(NOW + offset);
        assert_eq!(with_claims(&claims.to_string()), expected, "{offset}");
    }
}

#[test]
fn an_assertion_is_short_lived_and_of_now() {
    let at = |offset: i64| Some((NOW + offset).to_string());
    for (claim, text, expected) in [
        ("exp", at(1), Ok(())),
        ("exp", at(300), Ok(())),
        ("exp", at(330), Ok(())),
        ("exp", Some(format!("{NOW}.5")), Ok(())),
        ("exp", Some("1.795248060e9".to_owned()), Ok(())),
        ("exp", None, Err(AssertionError::NoExpiry)),
        ("exp", at(0), Err(AssertionError::Expired)),
        ("exp", at(-1), Err(AssertionError::Expired)),
        ("exp", Some("0".to_owned()), Err(AssertionError::Expired)),
        // Some clients give every assertion an hour; it is good for five minutes from its iat.
        ("exp", at(3_600), Ok(())),
        ("iat", None, Ok(())),
        ("iat", at(30), Ok(())),
        ("iat", at(-329), Ok(())),
        ("iat", at(31), Err(AssertionError::IssuedInFuture)),
        ("iat", at(-330), Err(AssertionError::TooOld)),
        ("iat", Some("0".to_owned()), Err(AssertionError::TooOld)),
        ("nbf", at(-1_000), Ok(())),
        ("nbf", at(30), Ok(())),
        ("nbf", at(31), Err(AssertionError::NotYetValid)),
    ] {
        let result = with_claim(claim, text.as_deref());
        assert_eq!(result, expected, "{claim} {text:?}");
    }
    for claim in ["exp", "iat", "nbf"] {
        for text in [
            "null",
            "true",
            r#""1795248060""#,
            "[1795248060]",
            "-1",
            "-0.5",
            // Milliseconds.
            "1795248060000",
            "253402300800",
            "253402300800.0",
            "18446744073709551615",
            "99999999999999999999999",
            "1e300",
        ] {
            let refused = refused(JwtError::Claims(JsonError::Member));
            assert_eq!(with_claim(claim, Some(text)), refused, "{claim} {text}");
        }
        for text in ["1e400", "NaN", "Infinity", "0x10", "01", "1_000"] {
            let refused = refused(JwtError::Claims(JsonError::NotAnObject));
            assert_eq!(with_claim(claim, Some(text)), refused, "{claim} {text}");
        }
    }
}

#[test]
fn an_assertion_has_an_id_to_be_remembered_by() {
    let longest = json!("é".repeat(128)).to_string();
    for jti in [r#""x""#, longest.as_str()] {
        assert_eq!(with_claim("jti", Some(jti)), Ok(()), "{jti}");
    }
    let too_long = json!("j".repeat(257)).to_string();
    for jti in [
        None,
        Some(r#""""#),
        Some(too_long.as_str()),
        Some(r#""a\u0000""#),
        Some(r#""a\nb""#),
    ] {
        assert_eq!(with_claim("jti", jti), Err(AssertionError::Id), "{jti:?}");
    }
    for jti in ["null", "7", "[]"] {
        let refused = refused(JwtError::Claims(JsonError::Member));
        assert_eq!(with_claim("jti", Some(jti)), refused, "{jti}");
    }
}
