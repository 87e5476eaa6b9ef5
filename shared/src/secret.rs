//! The text of a client secret.
//!
//! `aidp_<credential id, 22 base62 digits>_<256 random bits, 43 digits><checksum, 6 digits>`: a
//! prefix that secret scanners can know, the credential found in one look-up, and a CRC-32 that
//! tells a typing error from a guess before any key is touched (that of gzip and PNG, so that a
//! scanner can check it).

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::base62;
use crate::error::FieldError;
use crate::id::CredentialId;

/// What every client secret starts with.
pub const PREFIX: &str = "aidp_";

const ID_DIGITS: usize = 22;
const RANDOM_DIGITS: usize = 43;
const CHECKSUM_DIGITS: usize = 6;

/// The length of a client secret in bytes.
pub const LENGTH: usize = PREFIX.len() + ID_DIGITS + 1 + RANDOM_DIGITS + CHECKSUM_DIGITS;

/// Whether `text` holds what looks like a client secret, even one with a typing error or without its end, or
/// like a signed JSON Web Token (RFC 7515, section 7.1). Such a text is not for what is kept and shown.
#[must_use]
pub fn is_told_in(text: &str) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric();
    let is_secret = |rest: &str| {
        let (id, random) = rest.split_once('_').unwrap_or_default();
        id.len() == ID_DIGITS
            && id.bytes().all(|byte| is_digit(&byte))
            && random.bytes().take_while(is_digit).count() >= RANDOM_DIGITS / 2
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_token = |word: &str| {
        let parts: Vec<_> = word.split('.').collect();
        // `{"` in base64url.
        let is_object = |part: &str| part.starts_with("eyJ");
        parts.windows(3).any(|part| {
            matches!(part, [header, claims, signature]
                if is_object(header) && is_object(claims) && signature.len() >= 16)
        })
    };
    text.split(PREFIX).skip(1).any(is_secret) || text.split(|c| !is_word(c)).any(is_token)
}

/// A well-formed client secret. Wiped from memory when dropped; never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ClientSecret {
    text: String,
    #[zeroize(skip)]
    credential_id: CredentialId,
}

impl ClientSecret {
    /// The secret of credential `credential_id` made from 256 random bits.
    #[must_use]
    pub fn new(credential_id: CredentialId, random: &[u8; 32]) -> Self {
        let mut text = String::with_capacity(LENGTH);
        text.push_str(PREFIX);
        base62::encode(credential_id.as_bytes(), ID_DIGITS, &mut text);
        text.push('_');
        base62::encode(random, RANDOM_DIGITS, &mut text);
        let checksum = crc32fast::hash(text.as_bytes());
        base62::encode(&checksum.to_be_bytes(), CHECKSUM_DIGITS, &mut text);
        Self {
            text,
            credential_id,
        }
    }

    /// Reads a secret.
    ///
    /// # Errors
    ///
    /// [`FieldError`] when the text is not of the form above or its checksum is wrong.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        const RULE: FieldError =
            FieldError::new("client_secret", "is not a client secret of this server");
        if text.len() != LENGTH || !text.is_ascii() {
            return Err(RULE);
        }
        let (body, checksum) = text
            .split_at_checked(LENGTH - CHECKSUM_DIGITS)
            .ok_or(RULE)?;
        let checksum = base62::decode(checksum).ok_or(RULE)?;
        if checksum != u128::from(crc32fast::hash(body.as_bytes())) {
            return Err(RULE);
        }
        let (id, random) = body
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('_'))
            .ok_or(RULE)?;
        let id = Some(id)
            .filter(|id| id.len() == ID_DIGITS)
            .and_then(base62::decode)
            .ok_or(RULE)?;
        // The number itself is never needed: the text is what is hashed and compared.
        if !random.bytes().all(|digit| digit.is_ascii_alphanumeric()) {
            return Err(RULE);
        }
        Ok(Self {
            text: text.to_owned(),
            credential_id: CredentialId::from_bytes(id.to_be_bytes()),
        })
    }

    /// The credential that the secret says it belongs to.
    #[must_use]
    pub const fn credential_id(&self) -> CredentialId {
        self.credential_id
    }

    /// The secret itself. For hashing it, and for showing it once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientSecret({}, …)", self.credential_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> ClientSecret {
        ClientSecret::new(CredentialId::from_bytes([0xab; 16]), &[0xcd; 32])
    }

    #[test]
    fn a_secret_names_its_credential() {
        let secret = secret();
        assert_eq!(secret.expose().len(), LENGTH);
        let parsed = ClientSecret::parse(secret.expose()).unwrap();
        assert_eq!(parsed.credential_id(), CredentialId::from_bytes([0xab; 16]));
    }

    #[test]
    fn any_one_changed_character_is_noticed() {
        let text = secret().expose().to_owned();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(ClientSecret::parse(&changed).is_err(), "{at}");
        }
    }

    #[test]
    fn secrets_and_tokens_are_recognised_in_a_text_and_what_names_them_is_not() {
        let secret = secret().expose().to_owned();
        let typo = secret.replace('_', "_x").replacen("_x", "_", 1);
        let token = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJlc2lnbmF0dXJl";
        for told in [
            secret.clone(),
            format!("it leaked: {secret}!"),
            typo,
            secret[..LENGTH - 20].to_owned(),
            format!("Bearer {token}"),
            format!("token={token}."),
        ] {
            assert!(is_told_in(&told), "{told}");
        }
        let named = &secret[..PREFIX.len() + ID_DIGITS];
        for harmless in [
            "",
            "case 4711",
            "aidp_ is the prefix",
            named,
            "aidp_aidp_aidp_",
            "eyJhbGciOiJFZERTQSJ9",
            "https://id.example/a.b.c?d=eyJ.eyJ.eyJ",
        ] {
            assert!(!is_told_in(harmless), "{harmless}");
        }
    }

    #[test]
    fn debug_output_does_not_hold_the_secret() {
        let secret = secret();
        let random = &secret.expose()[PREFIX.len() + ID_DIGITS..];
        assert!(!format!("{secret:?}").contains(random));
    }
}
