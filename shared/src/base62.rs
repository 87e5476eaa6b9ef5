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

/// Reads digits as a number; `None` for another character or a number of more than 128 bits.
#[must_use]
pub fn decode(digits: &str) -> Option<u128> {
    digits.bytes().try_fold(0_u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            b'a'..=b'z' => digit - b'a' + 36,
            _ => return None,
        };
        number.checked_mul(62)?.checked_add(u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widths_hold_the_largest_numbers() {
        let mut text = String::new();
        encode(&[0xff; 16], 22, &mut text);
        assert_eq!(decode(&text), Some(u128::MAX));
        text.clear();
        encode(&[0xff; 32], 43, &mut text);
        assert_ne!(text.as_bytes().first(), Some(&b'0'));
        text.clear();
        encode(&[0xff; 4], 6, &mut text);
        assert_eq!(decode(&text), Some(u128::from(u32::MAX)));
    }

    #[test]
    fn what_is_no_number_of_128_bits_is_refused() {
        for digits in ["zzzzzzzzzzzzzzzzzzzzzz", "00000-", "0000é"] {
            assert_eq!(decode(digits), None, "{digits}");
        }
    }
}
