//! Base 62: digits, upper case, lower case; most significant digit first, fixed width.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Writes the big-endian number in `bytes` with `width` digits onto `out`. What does not fit is
/// dropped from the front: 16 bytes want 22 digits, 32 bytes want 43, 4 bytes want 6.
pub fn encode(bytes: &[u8], width: usize, out: &mut String) {
    let mut number = bytes.to_vec();
    let mut digits = vec![b'0'; width];
    for slot in digits.iter_mut().rev() {
        let mut remainder = 0_u32;
        for byte in &mut number {
            let value = remainder << 8 | u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(0);
            remainder = value % 62;
        }
        if let Some(&digit) = ALPHABET.get(remainder as usize) {
            *slot = digit;
        }
    }
    out.extend(digits.iter().map(|&digit| char::from(digit)));
    zeroize::Zeroize::zeroize(&mut number);
    zeroize::Zeroize::zeroize(&mut digits);
}

/// Reads digits as a big-endian number of `N` bytes; `None` for another character or a number
/// that does not fit.
#[must_use]
pub fn decode<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut number = [0_u8; N];
    for digit in digits.bytes() {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            b'a'..=b'z' => digit - b'a' + 36,
            _ => return None,
        };
        let mut carry = u32::from(value);
        for byte in number.iter_mut().rev() {
            let product = u32::from(*byte) * 62 + carry;
            *byte = u8::try_from(product & 0xff).unwrap_or(0);
            carry = product >> 8;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widths_hold_the_largest_numbers() {
        let mut text = String::new();
        encode(&[0xff; 16], 22, &mut text);
        assert_eq!(decode::<16>(&text), Some([0xff; 16]));
        text.clear();
        encode(&[0xff; 32], 43, &mut text);
        assert_eq!(decode::<32>(&text), Some([0xff; 32]));
        text.clear();
        encode(&[0xff; 4], 6, &mut text);
        assert_eq!(decode::<4>(&text), Some([0xff; 4]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(decode::<4>("zzzzzz"), None);
        assert_eq!(decode::<4>("00000-"), None);
    }
}
