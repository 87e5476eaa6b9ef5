//! Tokens that have fooled verifiers, or might, by their form, header or signature; as assertions,
//! each beside one that is in order.

use serde_json::json;

use super::super::assertion::AssertionError;
use super::super::jwt::JsonError;
use super::super::{ClientAssertion, JwtError};
use super::corpus_assertion::{HEADER, refused, verify, verify_with, with_claims};
use super::support::{ED25519, P256, RSA, Server, assertion_claims, encode};

/// What comes of this header with claims that are in order.
fn with_header(header: &str) -> Result<(), AssertionError> {
    let token = P256.token("ES256", header, &assertion_claims().to_string());
    verify(&token).map(drop)
}

#[test]
fn the_algorithm_is_the_key_s_and_never_the_header_s() {
    let claims = assertion_claims().to_string();
    for (key, alg, signed_as) in [
        (&P256, "none", "none"),
        (&P256, "None", "ES256"),
        (&P256, "HS256", "HS256"),
        (&RSA, "HS256", "HS256"),
        (&ED25519, "HS256", "HS256"),
        (&P256, "ES384", "ES256"),
        (&P256, "es256", "ES256"),
        (&P256, "EdDSA", "ES256"),
        (&P256, "RS256", "ES256"),
        (&P256, "", "ES256"),
        (&RSA, "PS384", "PS384"),
        (&RSA, "ES256", "RS256"),
        (&ED25519, "Ed448", "EdDSA"),
    ] {
        let header = json!({"alg": alg, "typ": "JWT"}).to_string();
        let expected = if signed_as == "none" {
            JwtError::NotCompact
        } else {
            JwtError::Algorithm
        };
        let token = key.token(signed_as, &header, &claims);
        assert_eq!(
            verify_with(key, &token),
            Err(AssertionError::Jwt(expected)),
            "{alg} {signed_as}"
        );
    }
    // The header names another algorithm of the key than the one that signed.
    for (alg, signed_as) in [("RS256", "RS384"), ("RS256", "PS256"), ("PS256", "RS256")] {
        let header = json!({"alg": alg}).to_string();
        let token = RSA.token(signed_as, &header, &claims);
        let refused = Err(AssertionError::Jwt(JwtError::Signature));
        assert_eq!(verify_with(&RSA, &token), refused, "{alg} {signed_as}");
    }
}

#[test]
fn a_signature_has_one_form_and_one_key() {
    let header = encode(HEADER);
    let claims = encode(assertion_claims().to_string());
    let signed = format!("{header}.{claims}");
    let signature = P256.signature("ES256", &signed);
    let with = |signature: &[u8]| verify(&format!("{signed}.{}", encode(signature))).map(drop);
    assert_eq!(with(&signature), Ok(()));

    let wrong = refused(JwtError::Signature);
    assert_eq!(with(&P256.signature("DER", &signed)), wrong);
    assert_eq!(with(&signature[..63]), wrong);
    assert_eq!(with(&[signature.as_slice(), &[0]].concat()), wrong);
    assert_eq!(with(&[&[0], signature.as_slice()].concat()), wrong);
    assert_eq!(with(&[0; 64]), wrong);
    assert_eq!(with(&[0xff; 64]), wrong);
    let (r, s) = signature.split_at(32);
    assert_eq!(with(&[s, r].concat()), wrong);

    // Ed25519: s + the order of the group is the same number, and was once accepted.
    let token = ED25519.token(
        "EdDSA",
        r#"{"alg":"EdDSA"}"#,
        &assertion_claims().to_string(),
    );
    assert!(verify_with(&ED25519, &token).is_ok());
    let (signed, _) = token.rsplit_once('.').unwrap();
    let mut signature = ED25519.signature("EdDSA", signed);
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, addend) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + addend + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    let malleable = format!("{signed}.{}", encode(&signature));
    assert_eq!(
        verify_with(&ED25519, &malleable),
        Err(AssertionError::Jwt(JwtError::Signature))
    );

    // Another key of the same kind.
    let server = Server::new();
    let token = server.key.token(
        "EdDSA",
        r#"{"alg":"EdDSA"}"#,
        &assertion_claims().to_string(),
    );
    assert_eq!(
        verify_with(&ED25519, &token),
        Err(AssertionError::Jwt(JwtError::Signature))
    );
}

#[test]
fn a_token_has_three_parts_in_canonical_base64url() {
    let good = P256.token("ES256", HEADER, &assertion_claims().to_string());
    assert!(verify(&good).is_ok());
    let parts: Vec<_> = good.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else {
        panic!("{good}");
    };
    // The 64 bytes of the signature leave four bits of its last character unused.
    let last = signature.chars().last().unwrap();
    let next = char::from(u8::try_from(last).unwrap() + 1);
    let beyond = format!("{}{next}", &signature[..signature.len() - 1]);
    for (token, expected) in [
        (String::new(), JwtError::NotCompact),
        (".".to_owned(), JwtError::NotCompact),
        ("..".to_owned(), JwtError::NotCompact),
        ("...".to_owned(), JwtError::NotCompact),
        (format!("{header}.{claims}"), JwtError::NotCompact),
        (format!("{header}.{claims}."), JwtError::NotCompact),
        (
            format!("{header}..{signature}"),
            JwtError::Claims(JsonError::NotAnObject),
        ),
        (
            format!(".{claims}.{signature}"),
            JwtError::Header(JsonError::NotAnObject),
        ),
        (format!("{good}."), JwtError::NotCompact),
        (format!(".{good}"), JwtError::NotCompact),
        (format!("{good}.{signature}"), JwtError::NotCompact),
        (
            format!("{header}.a.{claims}.b.{signature}"),
            JwtError::NotCompact,
        ),
        (format!("{good}="), JwtError::Encoding),
        (format!("{good}=="), JwtError::Encoding),
        (
            format!("{header}=.{claims}.{signature}"),
            JwtError::Encoding,
        ),
        (format!("{header}.{claims}.{beyond}"), JwtError::Encoding),
        (format!("{good}A"), JwtError::Signature),
        (format!(" {good}"), JwtError::Encoding),
        (format!("{good}\n"), JwtError::Encoding),
        (format!("{good}\0"), JwtError::Encoding),
        (format!("{header}.{claims}.\u{e9}"), JwtError::Encoding),
        (format!("{header}.+/+/.{signature}"), JwtError::Encoding),
        (format!("Bearer {good}"), JwtError::Encoding),
        (
            format!("{header}.{}.{signature}", "A".repeat(8_192)),
            JwtError::TooLarge,
        ),
        (".".repeat(1_000_000), JwtError::TooLarge),
    ] {
        let refused = Err(AssertionError::Jwt(expected));
        assert_eq!(verify(&token), refused, "{token:.200}");
    }
    let json = json!({"protected": header, "payload": claims, "signature": signature});
    assert_eq!(
        verify(&json.to_string()),
        Err(AssertionError::Jwt(JwtError::NotCompact))
    );
}

#[test]
fn a_header_that_asks_for_more_is_refused_and_one_that_brings_a_key_is_not_believed() {
    let own = json!({
        "alg": "ES256", "jwk": P256.jwk(), "jku": "https://evil.example/jwks.json",
        "x5u": "https://evil.example/cert.pem", "x5c": ["AAAA"], "kid": "../../etc/passwd",
    });
    assert_eq!(with_header(&own.to_string()), Ok(()));
    let attacker = Server::new().key;
    let brought = json!({"alg": "ES256", "jwk": attacker.jwk()}).to_string();
    let token = attacker.token("EdDSA", &brought, &assertion_claims().to_string());
    let wrong = Err(AssertionError::Jwt(JwtError::Signature));
    assert_eq!(verify(&token), wrong);

    let long = format!(r#"{{"alg":"ES256","x":"{}"}}"#, "a".repeat(1_024));
    let kid = |kid: &str| format!(r#"{{"alg":"ES256","kid":{kid}}}"#);
    let member = JwtError::Header(JsonError::Member);
    for (header, expected) in [
        (r#"{"alg":"ES256","crit":["exp"]}"#, JwtError::Extension),
        (r#"{"alg":"ES256","crit":[]}"#, JwtError::Extension),
        (r#"{"alg":"ES256","crit":null}"#, JwtError::Extension),
        (
            r#"{"alg":"ES256","b64":false,"crit":["b64"]}"#,
            JwtError::Extension,
        ),
        (r#"{"alg":"ES256","b64":true}"#, JwtError::Extension),
        (r#"{"alg":"ES256","zip":"DEF"}"#, JwtError::Extension),
        (r#"{"alg":"ES256","enc":"A128GCM"}"#, JwtError::Extension),
        (r#"{"typ":"JWT"}"#, member),
        (r#"{"alg":null}"#, member),
        (r#"{"alg":["ES256"]}"#, member),
        (r#"{"alg":"ES256","typ":null}"#, member),
        (r#"{"alg":"ES256","typ":["JWT"]}"#, member),
        (&kid("null"), member),
        (&kid("7"), member),
        (&kid(r#""""#), member),
        (&kid(r#""a\u0000b""#), member),
        (&kid(&format!(r#""{}""#, "k".repeat(257))), member),
        (
            r#"{"alg":"ES256","alg":"ES256"}"#,
            JwtError::Header(JsonError::DuplicateName),
        ),
        (
            r#"{"alg":"none","\u0061lg":"ES256"}"#,
            JwtError::Header(JsonError::DuplicateName),
        ),
        (
            r#"["ES256","k","JWT"]"#,
            JwtError::Header(JsonError::NotAnObject),
        ),
        (
            r#"{"alg":"ES256"}{}"#,
            JwtError::Header(JsonError::NotAnObject),
        ),
        (&long, JwtError::TooLarge),
    ] {
        assert_eq!(with_header(header), refused(expected), "{header:.200}");
    }
}

#[test]
fn only_an_assertion_is_taken_for_an_assertion() {
    for typ in [
        "JWT",
        "jwt",
        "application/jwt",
        "client-authentication+jwt",
        "application/Client-Authentication+JWT",
    ] {
        let header = json!({"alg": "ES256", "typ": typ}).to_string();
        assert_eq!(with_header(&header), Ok(()), "{typ}");
    }
    assert_eq!(with_header(r#"{"alg":"ES256"}"#), Ok(()));
    for typ in [
        "at+jwt",
        "application/at+jwt",
        "",
        "JWT ",
        "application/",
        "text/JWT",
        "dpop+jwt",
        "application/application/JWT",
        "logout+jwt",
    ] {
        let header = json!({"alg": "ES256", "typ": typ}).to_string();
        assert_eq!(with_header(&header), refused(JwtError::Type), "{typ}");
    }
    // An access token of this server.
    let server = Server::new();
    let token = server.keyring.active().sign(&Server::claims()).unwrap();
    assert_eq!(
        ClientAssertion::peek(&token).map(drop),
        refused(JwtError::Type)
    );
}

#[test]
fn claims_are_one_object_that_can_be_read_in_one_way() {
    let claims = assertion_claims().to_string();
    let with = |more: &str| with_claims(&claims.replacen('{', &format!("{{{more},"), 1));
    assert_eq!(with(r#""x":{"a":[1]}"#), Ok(()));
    let deep = format!(r#""x":{}{}"#, "[".repeat(8), "]".repeat(8));
    let very_deep = format!(r#""x":{}{}"#, "[".repeat(1_000), "]".repeat(1_000));
    for (more, expected) in [
        (r#""sub":"x""#, JsonError::DuplicateName),
        (r#""\u0073ub":"x""#, JsonError::DuplicateName),
        (r#""x":{"a":1,"a":2}"#, JsonError::DuplicateName),
        (&deep, JsonError::TooDeep),
        (&very_deep, JsonError::TooDeep),
        (r#""x":1e400"#, JsonError::NotAnObject),
    ] {
        assert_eq!(
            with(more),
            refused(JwtError::Claims(expected)),
            "{more:.80}"
        );
    }
    for text in ["", "[]", "null", "foo", "{", "{}{}", "\u{feff}{}"] {
        let refused = refused(JwtError::Claims(JsonError::NotAnObject));
        assert_eq!(with_claims(text), refused, "{text}");
    }
}
