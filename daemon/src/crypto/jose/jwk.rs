//! Public keys that others bring: JSON Web Keys (RFC 7517).

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value};

use super::json::{self, JsonError};
use super::roca::is_roca;
use super::{JwsAlgorithm, Verifier};

/// The longest key that is looked at. An RSA key of 4096 bits needs 750 bytes.
const MAX_JWK: usize = 4 * 1_024;

/// The members that only the owner of the key may know (RFC 7518, section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why something was not taken for a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwkError {
    /// It is longer than 4 KiB.
    #[error("the JWK is longer than 4 KiB")]
    TooLarge,
    /// It is not a JSON object that can be read in one way.
    #[error("the JWK {0}")]
    Json(JsonError),
    /// It has a private member: the key is not a secret any more.
    #[error(
        "the JWK has the private member {0}: a private key that has been sent is no secret any more; \
         make a new key and send its public half"
    )]
    Private(&'static str),
    /// A member that must be there is not, or is not text of the form that its standard gives.
    #[error("the JWK's member {0} is missing or not what its standard says")]
    Member(&'static str),
    /// The key's type or curve is not one that is verified with here.
    #[error("the JWK is not of kty EC with crv P-256 or P-384, OKP with crv Ed25519, or RSA")]
    UnsupportedType,
    /// The numbers are not a key of its type: the wrong length, no point of the curve, an even
    /// modulus.
    #[error("the JWK's numbers are not a key of its type")]
    NotAKey,
    /// The key is one that others can sign with, because of its form or of how it was made.
    #[error("the JWK is a weak key; make a new one")]
    Weak,
    /// The RSA key's length is not supported.
    #[error("the JWK's RSA modulus has less than 2048 or more than 4096 bits")]
    RsaLength,
    /// The RSA key's exponent is not supported.
    #[error("the JWK's RSA exponent is not an odd number from 65537 to 4294967295")]
    RsaExponent,
    /// `use` or `key_ops` say that the key is not for signatures.
    #[error("the JWK's use is not sig, or its key_ops are without verify")]
    Purpose,
    /// `alg` is not supported, or not with such a key.
    #[error("the JWK's alg is not supported, or not one for a key of its type")]
    Algorithm,
}

/// A public key with which signatures can be verified.
#[derive(Debug, Clone)]
pub(crate) struct PublicJwk {
    parameters: Parameters,
    algorithm: Option<JwsAlgorithm>,
    kid: Option<String>,
    verifier: Verifier,
}

/// The members that make the key (RFC 7518, section 6; RFC 8037, section 2), encoded.
#[derive(Debug, Clone)]
enum Parameters {
    Ec {
        crv: &'static str,
        x: String,
        y: String,
    },
    Okp {
        x: String,
    },
    Rsa {
        n: String,
        e: String,
    },
}

/// A JWK as it is written here: in alphabetical order, so that one key has one form.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
    kty: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<&'a str>,
}

impl PublicJwk {
    /// Reads a key that comes from outside. Members without a meaning here are ignored (RFC 7517,
    /// section 4).
    pub(crate) fn parse(json: &[u8]) -> Result<Self, JwkError> {
        if json.len() > MAX_JWK {
            return Err(JwkError::TooLarge);
        }
        let members = Members(json::object(json).map_err(JwkError::Json)?);
        if let Some(name) = PRIVATE.iter().find(|name| members.0.contains_key(**name)) {
            return Err(JwkError::Private(name));
        }
        members.check_purpose()?;
        let alg = members.text("alg")?;
        let (parameters, verifier) = match members.required("kty")? {
            "EC" => members.ec()?,
            "OKP" => members.okp()?,
            "RSA" => members.rsa(alg)?,
            _ => return Err(JwkError::UnsupportedType),
        };
        let algorithm = match alg {
            None => None,
            Some(alg) => Some(
                verifier
                    .algorithms()
                    .find(|algorithm| algorithm.as_str() == alg)
                    .ok_or(JwkError::Algorithm)?,
            ),
        };
        let kid = members.text("kid")?;
        if !kid.is_none_or(json::is_name) {
            return Err(JwkError::Member("kid"));
        }
        Ok(Self {
            parameters,
            algorithm,
            kid: kid.map(str::to_owned),
            verifier,
        })
    }

    /// The name that its owner gave the key.
    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The key, ready to verify.
    pub(crate) const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The key, ready to verify, and nothing else of it.
    pub(crate) fn into_verifier(self) -> Verifier {
        self.verifier
    }

    /// The key's thumbprint with SHA-256 in base64url (RFC 7638).
    pub(crate) fn thumbprint(&self) -> String {
        let required = json_of(&self.written());
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, required.as_bytes()))
    }

    /// The key as JSON, to be stored and shown: what makes the key, `alg` and `kid`, in alphabetical
    /// order and without white space.
    pub(crate) fn to_json(&self) -> String {
        json_of(&Written {
            alg: self.algorithm.map(JwsAlgorithm::as_str),
            kid: self.kid(),
            ..self.written()
        })
    }

    /// The members that make the key and no other, which is what the thumbprint is of.
    fn written(&self) -> Written<'_> {
        let none = Written {
            alg: None,
            crv: None,
            e: None,
            kid: None,
            kty: "",
            n: None,
            x: None,
            y: None,
        };
        match &self.parameters {
            Parameters::Ec { crv, x, y } => Written {
                crv: Some(crv),
                kty: "EC",
                x: Some(x),
                y: Some(y),
                ..none
            },
            Parameters::Okp { x } => Written {
                crv: Some("Ed25519"),
                kty: "OKP",
                x: Some(x),
                ..none
            },
            Parameters::Rsa { n, e } => Written {
                e: Some(e),
                kty: "RSA",
                n: Some(n),
                ..none
            },
        }
    }
}

/// A struct of texts has a JSON form, whatever they are.
fn json_of(written: &Written<'_>) -> String {
    serde_json::to_string(written).unwrap_or_default()
}

/// The members of a JWK as they came.
struct Members(Map<String, Value>);

impl Members {
    fn text(&self, name: &'static str) -> Result<Option<&str>, JwkError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(JwkError::Member(name)),
        }
    }

    fn required(&self, name: &'static str) -> Result<&str, JwkError> {
        self.text(name)?.ok_or(JwkError::Member(name))
    }

    /// A number and the text that it stands as.
    fn number(&self, name: &'static str) -> Result<(&str, Vec<u8>), JwkError> {
        let text = self.required(name)?;
        // The engine refuses padding, white space and bits beyond the last byte.
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_error| JwkError::Member(name))?;
        Ok((text, bytes))
    }

    /// Checks `use` and `key_ops` (RFC 7517, sections 4.2 and 4.3).
    fn check_purpose(&self) -> Result<(), JwkError> {
        if self.text("use")?.is_some_and(|purpose| purpose != "sig") {
            return Err(JwkError::Purpose);
        }
        match self.0.get("key_ops") {
            None => Ok(()),
            Some(Value::Array(operations)) if operations.iter().any(|it| it == "verify") => Ok(()),
            Some(Value::Array(_)) => Err(JwkError::Purpose),
            Some(_) => Err(JwkError::Member("key_ops")),
        }
    }

    fn ec(&self) -> Result<(Parameters, Verifier), JwkError> {
        let (crv, algorithm, length) = match self.required("crv")? {
            "P-256" => ("P-256", JwsAlgorithm::Es256, 32),
            "P-384" => ("P-384", JwsAlgorithm::Es384, 48),
            _ => return Err(JwkError::UnsupportedType),
        };
        let ((x, x_bytes), (y, y_bytes)) = (self.number("x")?, self.number("y")?);
        if x_bytes.len() != length || y_bytes.len() != length {
            return Err(JwkError::NotAKey);
        }
        // The library finds out whether the point is on the curve.
        let point = [&[4], x_bytes.as_slice(), y_bytes.as_slice()].concat();
        let verifier = Verifier::from_point(algorithm, &point).ok_or(JwkError::NotAKey)?;
        let (x, y) = (x.to_owned(), y.to_owned());
        Ok((Parameters::Ec { crv, x, y }, verifier))
    }

    fn okp(&self) -> Result<(Parameters, Verifier), JwkError> {
        if self.required("crv")? != "Ed25519" {
            return Err(JwkError::UnsupportedType);
        }
        let (x, bytes) = self.number("x")?;
        let key: [u8; 32] = bytes.try_into().map_err(|_bytes| JwkError::NotAKey)?;
        check_ed25519(key)?;
        let verifier = Verifier::from_point(JwsAlgorithm::EdDsa, &key).ok_or(JwkError::NotAKey)?;
        Ok((Parameters::Okp { x: x.to_owned() }, verifier))
    }

    fn rsa(&self, alg: Option<&str>) -> Result<(Parameters, Verifier), JwkError> {
        let ((n, modulus), (e, exponent)) = (self.number("n")?, self.number("e")?);
        // Without leading zeros (RFC 7518, section 6.3.1), so that one number has one form.
        for (name, bytes) in [("n", &modulus), ("e", &exponent)] {
            if bytes.first().is_none_or(|first| *first == 0) {
                return Err(JwkError::Member(name));
            }
        }
        let is_odd = |bytes: &[u8]| bytes.last().is_some_and(|last| last % 2 == 1);
        let leading = modulus.first().map_or(0, |first| first.leading_zeros());
        let bits = (modulus.len() * 8).saturating_sub(leading as usize);
        if !(2_048..=4_096).contains(&bits) {
            return Err(JwkError::RsaLength);
        }
        let is_large = exponent.len() == 4 || (exponent.len() == 3 && exponent >= vec![1, 0, 1]);
        if !is_large || !is_odd(&exponent) {
            return Err(JwkError::RsaExponent);
        }
        if !is_odd(&modulus) {
            return Err(JwkError::NotAKey);
        }
        if is_roca(&modulus) {
            return Err(JwkError::Weak);
        }
        // A key that names its algorithm is prepared for that one alone.
        let named: Vec<_> = JwsAlgorithm::RSA
            .iter()
            .copied()
            .filter(|algorithm| alg.is_none_or(|alg| alg == algorithm.as_str()))
            .collect();
        let verifier = Verifier::from_rsa(&named, &modulus, &exponent).ok_or(JwkError::NotAKey)?;
        let (n, e) = (n.to_owned(), e.to_owned());
        Ok((Parameters::Rsa { n, e }, verifier))
    }
}

/// The y coordinates, little-endian, of the eight points of small order.
const SMALL_ORDER: [[u8; 32]; 5] = [
    from_ends(0, 0, 0),
    from_ends(1, 0, 0),
    from_ends(0xec, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

const fn from_ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// Refuses what the library takes for an Ed25519 key until it verifies: a coordinate that is not
/// reduced, and the points of small order, for which anybody can make signatures.
///
/// That 32 bytes are no point at all shows only when they verify nothing: the library offers no
/// other check.
fn check_ed25519(mut key: [u8; 32]) -> Result<(), JwkError> {
    // The last bit is the sign of x; the rest is y (RFC 8032, section 5.1.2), which is less than
    // 2^255 - 19.
    key[31] &= 0x7f;
    let last = from_ends(0xec, 0xff, 0x7f);
    if key.iter().rev().gt(last.iter().rev()) {
        return Err(JwkError::NotAKey);
    }
    if SMALL_ORDER.contains(&key) {
        return Err(JwkError::Weak);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, ParsedPublicKey};

    use super::*;

    #[test]
    fn for_a_point_of_small_order_a_signature_needs_no_private_key() {
        // The neutral element and the number 0.
        let signature = [from_ends(1, 0, 0), [0; 32]].concat();
        for point in SMALL_ORDER {
            let key = ParsedPublicKey::new(&ED25519, point).unwrap();
            let forged = (0_u8..=255).filter(|it| key.verify_sig(&[*it], &signature).is_ok());
            assert!(forged.count() > 10, "{point:?}");
            assert_eq!(check_ed25519(point), Err(JwkError::Weak));
        }
    }
}
