//! Bytes from anywhere, as keys and as tokens.

use super::super::{ClientAssertion, PublicJwk};
use super::support::{ED25519, ISSUER, P256, RSA, encode, now};

#[test]
fn whatever_bytes_a_key_is_made_of_it_is_one_public_key_or_refused() {
    let keys = [&P256, &ED25519, &RSA].map(|key| key.jwk().to_string().into_bytes());
    crate::fuzz::throw("jwk", keys.to_vec(), |bytes| {
        let Ok(key) = PublicJwk::parse(bytes) else {
            return;
        };
        let json = key.to_json();
        let again = PublicJwk::parse(json.as_bytes()).unwrap();
        assert_eq!(
            (again.to_json(), again.thumbprint()),
            (json, key.thumbprint())
        );
    });
}

/// Before the line feed the header, after it the claims; or both encoded already.
#[test]
fn whatever_bytes_an_assertion_is_made_of_a_key_that_did_not_sign_it_refuses_it() {
    let key = P256.verifier();
    crate::fuzz::throw("assertion", Vec::new(), |bytes| {
        let mut halves = bytes.splitn(2, |byte| *byte == b'\n').map(encode);
        let header = halves.next().unwrap_or_default();
        let claims = halves.next().unwrap_or_default();
        let signature = encode([0x5a; 64]);
        let tokens = [
            String::from_utf8_lossy(bytes).into_owned(),
            format!("{header}.{claims}.{signature}"),
            format!("{header}.{claims}."),
        ];
        for token in tokens {
            if let Ok(assertion) = ClientAssertion::peek(&token) {
                assert!(assertion.verify(&key, ISSUER, now()).is_err(), "{token}");
            }
        }
    });
}
