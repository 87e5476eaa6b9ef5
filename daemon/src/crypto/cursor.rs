//! Cursors: places in a list, which a client carries from page to page and cannot forge.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How many bytes of the HMAC a cursor carries.
const TAG: usize = 16;
/// The longest cursor that is looked at, in characters.
const MAX_CURSOR: usize = 1_024;

/// Makes cursors, and knows those that it has made.
pub(crate) struct CursorKey(hmac::Key);

impl CursorKey {
    /// A key of its own, derived from a secret of the server: cursors outlive a restart.
    pub(crate) fn new(server_secret: &[u8]) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, server_secret);
        let derived = hmac::sign(&secret, b"agentidp cursor");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    fn tag(&self, list: &[&[u8]], position: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in list.iter().chain([&position]) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign()
    }

    /// A cursor to `position` in the list that `list` describes.
    pub(crate) fn seal(&self, list: &[&[u8]], position: &[u8]) -> String {
        let tag = self.tag(list, position);
        let mut bytes: Vec<u8> = tag.as_ref().iter().copied().take(TAG).collect();
        bytes.extend_from_slice(position);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position that a cursor was made for, if it was made here and for this list.
    pub(crate) fn open(&self, list: &[&[u8]], cursor: &str) -> Option<Vec<u8>> {
        if cursor.len() > MAX_CURSOR {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (tag, position) = bytes.split_at_checked(TAG)?;
        let expected = self.tag(list, position);
        let expected = expected.as_ref().get(..TAG)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(tag, expected).ok()?;
        Some(position.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_only_as_it_was_made_and_for_its_list() {
        let key = CursorKey::new(&[1; 32]);
        let list: [&[u8]; 2] = [b"agents", b"owner=a"];
        let cursor = key.seal(&list, b"position");
        assert_eq!(key.open(&list, &cursor).as_deref(), Some(&b"position"[..]));
        assert_eq!(key.open(&[b"agents", b"owner=b"], &cursor), None);
        assert_eq!(key.open(&[b"agentsowner=a"], &cursor), None);
        assert_eq!(CursorKey::new(&[2; 32]).open(&list, &cursor), None);
        for at in 0..cursor.len() {
            let mut bytes = cursor.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(key.open(&list, &changed), None, "{changed}");
            assert_eq!(key.open(&list, &cursor[..at]), None);
        }
        assert_eq!(key.open(&list, &"A".repeat(1 << 20)), None);
    }

    #[test]
    fn whatever_bytes_a_cursor_is_made_of_it_is_one_that_was_made_or_refused() {
        let key = CursorKey::new(&[1; 32]);
        let list: [&[u8]; 2] = [b"agents", b"owner=a"];
        let positions: [&[u8]; 3] = [b"", &[0xff; 8], b"0123456789abcdefa@acme.example"];
        let made = positions.map(|position| key.seal(&list, position));
        let seeds = made.iter().map(|cursor| cursor.clone().into_bytes());
        crate::fuzz::throw("cursor", seeds.collect(), |bytes| {
            // As they are, and as what the text of a cursor stands for.
            let texts = [
                String::from_utf8_lossy(bytes).into_owned(),
                URL_SAFE_NO_PAD.encode(bytes),
            ];
            for text in texts {
                let position = key.open(&list, &text);
                let origin = made.iter().position(|cursor| *cursor == text);
                let expected = origin.and_then(|at| positions.get(at).copied());
                assert_eq!(position.as_deref(), expected, "{text}");
            }
        });
    }

    #[test]
    fn whatever_bytes_a_position_has_its_cursor_brings_it_back() {
        let key = CursorKey::new(&[1; 32]);
        let list: [&[u8]; 1] = [b"agents"];
        crate::fuzz::throw("cursor", vec![Vec::new()], |position| {
            let cursor = key.seal(&list, position);
            let fits = cursor.len() <= MAX_CURSOR;
            let opened = key.open(&list, &cursor);
            assert_eq!(opened.as_deref(), fits.then_some(position));
            assert_eq!(key.open(&[b"audit"], &cursor), None);
        });
    }
}
