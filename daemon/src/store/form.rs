//! The stored form of records: a version byte, then postcard.
//!
//! The digest of a record in the audit log is that of these bytes.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of the form that this code writes.
const VERSION: u8 = 1;

/// Bytes are not of the stored form, or a value cannot be brought into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored value is not of a form that this version knows")]
pub(crate) struct FormError;

/// The stored form of a value.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, FormError> {
    postcard::to_extend(value, vec![VERSION]).map_err(|_error| FormError)
}

/// A value that a stored form begins with, whatever comes after it.
pub(crate) fn decode_front<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, FormError> {
    match bytes.split_first() {
        Some((&VERSION, body)) => {
            let (value, _rest) = postcard::take_from_bytes(body).map_err(|_error| FormError)?;
            Ok(value)
        }
        _ => Err(FormError),
    }
}

/// The value of a stored form.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FormError> {
    match bytes.split_first() {
        Some((&VERSION, body)) => {
            let (value, rest) = postcard::take_from_bytes(body).map_err(|_error| FormError)?;
            if rest.is_empty() {
                Ok(value)
            } else {
                Err(FormError)
            }
        }
        _ => Err(FormError),
    }
}

/// The digest of a stored form: SHA-256 in hex.
pub(crate) fn digest(stored: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, stored).as_ref())
}

/// Bytes in hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}
