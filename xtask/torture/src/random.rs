//! Random choices that a seed repeats.

/// A generator of random numbers: `SplitMix64`, which is enough to make choices by.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The generator that begins with a seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another generator, for another purpose: what one draws changes nothing for the other.
    pub(crate) const fn fork(&self, purpose: u64) -> Self {
        Self(mix(self.0 ^ mix(purpose.wrapping_add(1))))
    }

    /// Any number.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below a limit; 0 when the limit is.
    pub(crate) const fn below(&mut self, limit: u64) -> u64 {
        let number = self.next();
        match number.checked_rem(limit) {
            Some(rest) => rest,
            None => 0,
        }
    }

    /// True as often as `percent` says.
    pub(crate) const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of those given.
    pub(crate) fn one_of<'a, T>(&mut self, among: &'a [T]) -> Option<&'a T> {
        among.get(self.index(among.len()))
    }

    /// A place among `count`.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        let place = self.below(u64::try_from(count).unwrap_or(u64::MAX));
        usize::try_from(place).unwrap_or(0)
    }

    /// Random bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.next().to_le_bytes();
            chunk
                .iter_mut()
                .zip(drawn)
                .for_each(|(to, from)| *to = from);
        }
        bytes
    }
}

const fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_seed_repeats_its_choices_and_a_fork_makes_others() {
        let draw = |mut random: Random| [(); 8].map(|()| random.below(1_000));
        assert_eq!(draw(Random::new(7)), draw(Random::new(7)));
        assert_ne!(draw(Random::new(7)), draw(Random::new(8)));
        assert_ne!(draw(Random::new(7).fork(1)), draw(Random::new(7).fork(2)));
    }

    #[test]
    fn nothing_is_chosen_out_of_nothing() {
        assert_eq!(Random::new(1).one_of::<u8>(&[]), None);
        assert_eq!(Random::new(1).below(0), 0);
    }
}
