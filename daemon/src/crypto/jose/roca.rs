//! RSA keys that can be factored because of how they were made.

/// The odd primes below 168. The products of primes that the faulty generator started from begin
/// with these, whatever the length of the key.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Whether `modulus`, big-endian, looks like one of CVE-2017-15361: its remainder by each of the
/// primes is a power of 65537. Chip cards and security modules made such keys for years; another
/// key looks like one with a chance of less than one in a hundred million.
pub(super) fn is_roca(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|prime| {
        let remainder = modulus
            .iter()
            .fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let powers = std::iter::successors(Some(1), |power| {
            let next = power * (65_537 % prime) % prime;
            (next != 1).then_some(next)
        });
        // A multiple of the prime is no power; the chain ends, as 65537 is prime to all of them.
        powers.into_iter().any(|power| power == remainder)
    })
}
