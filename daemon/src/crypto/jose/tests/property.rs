//! What holds of every input that chance thinks of.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::{ClientAssertion, PublicJwk, Verifier, verify_access_token};
use super::support::{ED25519, ISSUER, P256, RSA, Server, TestKey, assertion_claims, encode, now};

static SERVER: LazyLock<Server> = LazyLock::new(Server::new);
static ACCESS_TOKEN: LazyLock<String> = LazyLock::new(|| {
    let token = SERVER.keyring.active().sign(&Server::claims()).unwrap();
    token.as_str().to_owned()
});
static ASSERTIONS: LazyLock<Vec<(Verifier, String)>> = LazyLock::new(|| {
    let signed = |key: &TestKey, alg| {
        let header = format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#);
        let token = key.token(alg, &header, &assertion_claims().to_string());
        (key.verifier(), token)
    };
    vec![
        signed(&P256, "ES256"),
        signed(&ED25519, "EdDSA"),
        signed(&RSA, "PS256"),
    ]
});

fn is_access_token(token: &str) -> bool {
    verify_access_token(token, &SERVER.keyring, ISSUER, now()).is_ok()
}

fn is_assertion(key: &Verifier, token: &str) -> bool {
    ClientAssertion::peek(token).is_ok_and(|it| it.verify(key, ISSUER, now()).is_ok())
}

/// `token` with one byte replaced, taken out or put in; [`None`] if that changed nothing.
fn changed(token: &str, at: prop::sample::Index, byte: u8, how: u8) -> Option<String> {
    let mut bytes = token.as_bytes().to_vec();
    let at = at.index(bytes.len());
    match how {
        0 => bytes[at] = byte,
        1 => bytes.insert(at, byte),
        2 => bytes.push(byte),
        _ => drop(bytes.remove(at)),
    }
    String::from_utf8(bytes).ok().filter(|it| it != token)
}

#[test]
fn what_the_changes_start_from_is_in_order() {
    assert!(is_access_token(&ACCESS_TOKEN));
    for (key, token) in ASSERTIONS.iter() {
        assert!(is_assertion(key, token), "{token}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_token_with_one_byte_changed_is_refused(
        at: prop::sample::Index, byte in 0_u8..128, how in 0_u8..4, which in 0_usize..3,
    ) {
        if let Some(token) = changed(&ACCESS_TOKEN, at, byte, how) {
            prop_assert!(!is_access_token(&token), "{token}");
        }
        let (key, token) = &ASSERTIONS[which];
        if let Some(token) = changed(token, at, byte, how) {
            prop_assert!(!is_assertion(key, &token), "{token}");
        }
    }

    #[test]
    fn no_text_makes_a_parser_panic(text: String, header: String, payload: String) {
        let parts = format!("{}.{}.{}", encode(&header), encode(&payload), encode(&text));
        let alg = format!("{}.{}.{}", encode(r#"{"alg":"EdDSA"}"#), encode(&payload), text);
        for token in [&text, &parts, &alg] {
            prop_assert!(!is_access_token(token));
            prop_assert!(!ASSERTIONS.iter().any(|(key, _)| is_assertion(key, token)));
        }
    }

    #[test]
    fn no_bytes_make_the_reader_of_keys_panic(
        bytes: Vec<u8>, x: Vec<u8>, y in prop::collection::vec(any::<u8>(), 0..520),
    ) {
        prop_assert!(PublicJwk::parse(&bytes).is_err());
        let (x, y) = (encode(x), encode(y));
        for jwk in [
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#),
            format!(r#"{{"kty":"EC","crv":"P-384","x":"{y}","y":"{x}"}}"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{y}"}}"#),
            format!(r#"{{"kty":"RSA","e":"AQAB","n":"{y}"}}"#),
            format!(r#"{{"kty":"RSA","e":"{x}","n":"{y}"}}"#),
        ] {
            if let Ok(key) = PublicJwk::parse(jwk.as_bytes()) {
                prop_assert!(!is_assertion(key.verifier(), &ASSERTIONS[1].1));
            }
        }
    }
}
