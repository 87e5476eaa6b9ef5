//! Which bit of some bytes was flipped, told by their CRC-32C: it is linear, so a flipped bit changes it
//! by a pattern that depends on the bit's place alone.

/// The polynomial of CRC-32C (RFC 3720, section 12.1), reflected.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// What eight steps of the division make of `register`.
const fn step(mut register: u32) -> u32 {
    let mut bit = 0;
    while bit < 8 {
        let is_odd = register & 1 == 1;
        register >>= 1;
        if is_odd {
            register ^= POLYNOMIAL;
        }
        bit += 1;
    }
    register
}

/// The bit of `bytes` whose flip gives them the CRC-32C `crc`, counted from the lowest of the first byte;
/// `None` when there is none. It takes a few nanoseconds a byte.
pub(super) fn flipped_bit(bytes: &[u8], crc: u32) -> Option<usize> {
    let difference = crc32c::crc32c(bytes) ^ crc;
    // What a flip of each bit of a byte changes, seen from the byte that is looked at.
    let mut patterns = [0, 1, 2, 3, 4, 5, 6, 7].map(|bit| step(1 << bit));
    for byte in (0..bytes.len()).rev() {
        if let Some(bit) = patterns.iter().position(|pattern| *pattern == difference) {
            return Some(byte * 8 + bit);
        }
        patterns = patterns.map(step);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_is_found() {
        let bytes: Vec<u8> = (0..200_u8).map(|it| it.wrapping_mul(37)).collect();
        let crc = crc32c::crc32c(&bytes);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(flipped_bit(&changed, crc), Some(bit));
        }
        assert_eq!(flipped_bit(&bytes, crc), None);
    }
}
