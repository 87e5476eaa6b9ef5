//! Keys that nobody should be known by, each beside one that is in order.

use serde_json::{Value, json};

use super::super::jwk::JwkError;
use super::super::jwt::JsonError;
use super::super::{JwsAlgorithm, PublicJwk};
use super::support::{ED25519, P256, P384, RSA, TestKey, encode};

fn parse(jwk: &Value) -> Result<(), JwkError> {
    PublicJwk::parse(jwk.to_string().as_bytes()).map(drop)
}

/// What comes of the key's JWK with another value for one member; null: without it.
fn with(key: &TestKey, name: &str, value: Value) -> Result<(), JwkError> {
    let mut jwk = key.jwk();
    if value.is_null() {
        jwk.as_object_mut().unwrap().remove(name);
    } else {
        jwk[name] = value;
    }
    parse(&jwk)
}

fn algorithms(jwk: &Value) -> Vec<&'static str> {
    let key = PublicJwk::parse(jwk.to_string().as_bytes()).unwrap();
    let names = key.verifier().algorithms().map(JwsAlgorithm::as_str);
    names.collect()
}

#[test]
fn a_key_verifies_with_its_own_algorithms_or_the_one_that_it_names() {
    assert_eq!(algorithms(&P256.jwk()), ["ES256"]);
    assert_eq!(algorithms(&P384.jwk()), ["ES384"]);
    assert_eq!(algorithms(&ED25519.jwk()), ["EdDSA"]);
    let rsa = ["RS256", "RS384", "RS512", "PS256"];
    assert_eq!(algorithms(&RSA.jwk()), rsa);
    for alg in rsa {
        let mut jwk = RSA.jwk();
        jwk["alg"] = json!(alg);
        assert_eq!(algorithms(&jwk), [alg]);
    }
    for (key, alg) in [
        (&P256, "ES384"),
        (&P256, "none"),
        (&P256, "HS256"),
        (&P256, "ECDH-ES"),
        (&P256, ""),
        (&P384, "ES256"),
        (&ED25519, "ES256"),
        (&RSA, "ES256"),
        (&RSA, "PS384"),
        (&RSA, "RSA-OAEP"),
    ] {
        let refused = Err(JwkError::Algorithm);
        assert_eq!(with(key, "alg", json!(alg)), refused, "{alg}");
    }
    assert_eq!(
        with(&P256, "alg", json!(["ES256"])),
        Err(JwkError::Member("alg"))
    );
}

#[test]
fn a_key_is_written_in_one_form_and_has_the_thumbprint_of_the_standard() {
    // RFC 7638, section 3.1.
    let n = concat!(
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP",
        "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY",
        "368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0f",
        "M4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    );
    let jwk = json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
    let key = PublicJwk::parse(jwk.to_string().as_bytes()).unwrap();
    assert_eq!(
        key.thumbprint(),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
    assert_eq!(key.kid(), Some("2011-04-29"));
    // RFC 8037, appendix A.3.
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
    let key = PublicJwk::parse(jwk.to_string().as_bytes()).unwrap();
    assert_eq!(
        key.thumbprint(),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );

    for (key, order) in [
        (&P256, ["alg", "crv", "kid", "kty", "x", "y"].as_slice()),
        (&P384, &["alg", "crv", "kid", "kty", "x", "y"]),
        (&ED25519, &["alg", "crv", "kid", "kty", "x"]),
        (&RSA, &["alg", "e", "kid", "kty", "n"]),
    ] {
        let mut jwk = key.jwk();
        jwk["alg"] = json!(algorithms(&jwk)[0]);
        jwk["kid"] = json!("k\"1");
        let essential = jwk.clone();
        jwk["use"] = json!("sig");
        jwk["key_ops"] = json!(["verify"]);
        jwk["x5t"] = json!("AAAA");
        jwk["ext"] = json!(true);
        let parsed = PublicJwk::parse(format!("\n{jwk:#}\n").as_bytes()).unwrap();
        let written = parsed.to_json();
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), essential);
        let places = order
            .iter()
            .map(|name| written.find(&format!("\"{name}\":")));
        assert!(places.is_sorted(), "{written}");
        let again = PublicJwk::parse(written.as_bytes()).unwrap();
        assert_eq!(again.to_json(), written);
        assert_eq!(again.thumbprint(), parsed.thumbprint());
    }
}

#[test]
fn a_private_key_is_refused_by_the_name_of_what_it_gives_away() {
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        for key in [&P256, &ED25519, &RSA] {
            let refused = Err(JwkError::Private(name));
            assert_eq!(with(key, name, json!("AQAB")), refused, "{name}");
        }
    }
}

#[test]
fn a_key_is_one_object_that_can_be_read_in_one_way() {
    let jwk = P256.jwk().to_string();
    let more = |more: &str| jwk.replacen('{', &format!("{{{more},"), 1);
    assert!(PublicJwk::parse(more(r#""x5c":[]"#).as_bytes()).is_ok());
    for (text, expected) in [
        (String::new(), JwkError::Json(JsonError::NotAnObject)),
        ("[]".to_owned(), JwkError::Json(JsonError::NotAnObject)),
        (format!("[{jwk}]"), JwkError::Json(JsonError::NotAnObject)),
        (
            format!("{jwk}{jwk}"),
            JwkError::Json(JsonError::NotAnObject),
        ),
        (format!("{jwk}\0"), JwkError::Json(JsonError::NotAnObject)),
        (
            json!({"keys": [P256.jwk()]}).to_string(),
            JwkError::Member("kty"),
        ),
        (
            more(r#""kty":"EC""#),
            JwkError::Json(JsonError::DuplicateName),
        ),
        (
            more(r#""\u0078":"AA""#),
            JwkError::Json(JsonError::DuplicateName),
        ),
        (
            more(r#""z":{"a":1,"a":1}"#),
            JwkError::Json(JsonError::DuplicateName),
        ),
        (
            more(&format!(r#""z":{}1{}"#, "[".repeat(200), "]".repeat(200))),
            JwkError::Json(JsonError::TooDeep),
        ),
        (
            more(&format!(r#""z":"{}""#, "z".repeat(4_096))),
            JwkError::TooLarge,
        ),
    ] {
        let refused = Err(expected);
        assert_eq!(
            PublicJwk::parse(text.as_bytes()).map(drop),
            refused,
            "{text:.99}"
        );
    }
}

#[test]
fn a_key_is_for_signatures() {
    assert_eq!(with(&P256, "use", json!("sig")), Ok(()));
    assert_eq!(with(&P256, "key_ops", json!(["sign", "verify"])), Ok(()));
    for (name, value) in [
        ("use", json!("enc")),
        ("use", json!("")),
        ("use", json!("SIG")),
        ("key_ops", json!([])),
        ("key_ops", json!(["sign"])),
        ("key_ops", json!(["encrypt", "deriveKey"])),
    ] {
        let refused = Err(JwkError::Purpose);
        assert_eq!(with(&P256, name, value.clone()), refused, "{name} {value}");
    }
    for (name, value) in [("use", json!(["sig"])), ("key_ops", json!("verify"))] {
        assert_eq!(with(&P256, name, value), Err(JwkError::Member(name)));
    }
}

#[test]
fn a_key_is_of_a_type_that_is_known() {
    for kty in ["oct", "ec", "", "AKP"] {
        let refused = Err(JwkError::UnsupportedType);
        assert_eq!(with(&P256, "kty", json!(kty)), refused, "{kty}");
    }
    for crv in ["P-521", "secp256k1", "p-256", "Ed25519", ""] {
        let refused = Err(JwkError::UnsupportedType);
        assert_eq!(with(&P256, "crv", json!(crv)), refused, "{crv}");
    }
    for crv in ["X25519", "Ed448", "P-256"] {
        let refused = Err(JwkError::UnsupportedType);
        assert_eq!(with(&ED25519, "crv", json!(crv)), refused, "{crv}");
    }
    for (key, name) in [
        (&P256, "kty"),
        (&P256, "crv"),
        (&P256, "x"),
        (&P256, "y"),
        (&ED25519, "crv"),
        (&ED25519, "x"),
        (&RSA, "n"),
        (&RSA, "e"),
    ] {
        assert_eq!(with(key, name, json!(null)), Err(JwkError::Member(name)));
        assert_eq!(with(key, name, json!(7)), Err(JwkError::Member(name)));
    }
    for kid in [json!(""), json!(7), json!("a\u{0}"), json!("k".repeat(257))] {
        assert_eq!(with(&P256, "kid", kid), Err(JwkError::Member("kid")));
    }
}

#[test]
fn the_numbers_of_a_key_have_one_form_and_are_a_key() {
    let text = |key: &TestKey, name: &str| key.jwk()[name].as_str().unwrap().to_owned();
    let x = text(&P256, "x");
    for bad in [
        format!("{x}="),
        format!(" {x}"),
        format!("{x}\n"),
        x.replacen(|_| true, "+", 1),
        x.replacen(|_| true, "/", 1),
        x.replacen(|_| true, "\u{0}", 1),
    ] {
        assert_eq!(
            with(&P256, "x", json!(bad)),
            Err(JwkError::Member("x")),
            "{bad:?}"
        );
    }
    let of = |bytes: &[u8]| json!(encode(bytes));
    for (key, name, value) in [
        (&P256, "x", of(&[])),
        (&P256, "x", of(&[1; 31])),
        (&P256, "x", of(&[1; 33])),
        (&P256, "x", of(&[0; 32])),
        (&P256, "y", of(&[0xff; 32])),
        (&P256, "y", json!(x)),
        (&P384, "x", json!(x)),
        (&P384, "y", of(&[1; 48])),
        (&ED25519, "x", of(&[9; 31])),
        (&ED25519, "x", of(&[9; 33])),
        // p and 2^255 - 1: not reduced.
        (
            &ED25519,
            "x",
            of(&[&[0xed][..], &[0xff; 30], &[0x7f]].concat()),
        ),
        (&ED25519, "x", of(&[0xff; 32])),
    ] {
        let refused = Err(JwkError::NotAKey);
        assert_eq!(with(key, name, value.clone()), refused, "{name} {value}");
    }
    // 1, with and without the sign; 0; -1.
    for weak in [
        [&[1][..], &[0; 31]].concat(),
        [&[1][..], &[0; 30], &[0x80]].concat(),
        vec![0; 32],
        [&[0xec][..], &[0xff; 30], &[0x7f]].concat(),
    ] {
        assert_eq!(
            with(&ED25519, "x", of(&weak)),
            Err(JwkError::Weak),
            "{weak:?}"
        );
    }
}

#[test]
fn an_rsa_key_is_neither_short_nor_long_nor_of_a_strange_exponent() {
    let of = |bytes: &[u8]| json!(encode(bytes));
    let odd = |bits: usize| {
        let mut bytes = vec![0xff; bits.div_ceil(8)];
        bytes[0] >>= bytes.len() * 8 - bits;
        bytes
    };
    for bits in [2_048, 2_049, 3_072, 4_096] {
        assert_eq!(with(&RSA, "n", of(&odd(bits))), Ok(()), "{bits}");
    }
    for bits in [1, 1_024, 2_047, 4_097, 16_384] {
        let refused = Err(JwkError::RsaLength);
        assert_eq!(with(&RSA, "n", of(&odd(bits))), refused, "{bits}");
    }
    let mut even = odd(2_048);
    even[255] = 0xfe;
    assert_eq!(with(&RSA, "n", of(&even)), Err(JwkError::NotAKey));
    for (name, zero) in [
        ("n", [&[0], odd(2_048).as_slice()].concat()),
        ("e", vec![0, 1, 0, 1]),
    ] {
        assert_eq!(with(&RSA, name, of(&zero)), Err(JwkError::Member(name)));
        assert_eq!(with(&RSA, name, of(&[])), Err(JwkError::Member(name)));
    }
    for e in [[1, 0, 1].as_slice(), &[1, 0, 3], &[0xff; 4]] {
        assert_eq!(with(&RSA, "e", of(e)), Ok(()), "{e:?}");
    }
    for e in [
        [1].as_slice(),
        &[3],
        &[0xff, 0xff],
        &[1, 0, 0],
        &[1, 0, 2],
        &[1, 0, 0, 0, 1],
    ] {
        let refused = Err(JwkError::RsaExponent);
        assert_eq!(with(&RSA, "e", of(e)), refused, "{e:?}");
    }
}

#[test]
fn an_rsa_key_of_the_faulty_generator_is_refused() {
    // A power of 65537 leaves powers of 65537, whatever it is divided by.
    let mut modulus = vec![1_u8];
    while modulus.len() < 257 {
        let shifted = [modulus.as_slice(), &[0, 0]].concat();
        let mut carry = 0;
        let sum = shifted.iter().rev().enumerate().map(|(place, byte)| {
            let own = modulus.iter().rev().nth(place).copied().unwrap_or(0);
            let sum = u16::from(*byte) + u16::from(own) + carry;
            carry = sum >> 8;
            u8::try_from(sum & 0xff).unwrap()
        });
        let mut sum: Vec<_> = sum.collect();
        sum.reverse();
        modulus = sum;
    }
    let of = |bytes: &[u8]| json!(encode(bytes));
    assert_eq!(with(&RSA, "n", of(&modulus)), Err(JwkError::Weak));
    modulus[256] ^= 2;
    assert_eq!(with(&RSA, "n", of(&modulus)), Ok(()));
}
