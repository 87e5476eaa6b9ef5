//! Which entries of the audit log were removed, place by place.

use std::collections::BTreeMap;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::error::FieldError;

/// Entries that are removed from the log together. Their hashes stay, so whatever remains still proves.
///
/// An entry is not there any more if, and only if, a later entry says so here. What stays is said by a bit
/// for each place, eight in a byte, the lowest bit first; none of them at all when nothing stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct Pruned {
    places: Range<u64>,
    kept: Vec<u8>,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    from: u64,
    to: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
}

/// The bytes that have a bit for each of `places`, of which there are some and not too many.
fn bytes_for(places: &Range<u64>) -> Result<usize, FieldError> {
    let span = places.end.saturating_sub(places.start);
    if !(1..=Pruned::MOST).contains(&span) {
        let rule = "must be of at least one place, and of no more than 4,096";
        return Err(FieldError::new("pruned", rule));
    }
    Ok(usize::try_from(span.div_ceil(8)).unwrap_or(usize::MAX))
}

/// Where the bit of the place is that comes `after` the first: its byte, and it in that.
fn bit(after: u64) -> (usize, u8) {
    let byte = usize::try_from(after / 8).unwrap_or(usize::MAX);
    (byte, 1 << (after % 8))
}

impl Pruned {
    /// The most places that one is about.
    pub const MOST: u64 = 4_096;

    /// What is removed: all of `places` but for those that are `kept`.
    ///
    /// # Errors
    ///
    /// [`FieldError`] when there are no places or too many, or one that is kept is none of them.
    pub fn new(places: Range<u64>, kept: &[u64]) -> Result<Self, FieldError> {
        let mut bits = vec![0; bytes_for(&places)?];
        for place in kept {
            let slot = place.checked_sub(places.start).map(bit);
            let slot = slot.filter(|_| places.contains(place));
            match slot.and_then(|(byte, bit)| Some((bits.get_mut(byte)?, bit))) {
                Some((byte, bit)) => *byte |= bit,
                None => return Err(FieldError::new("kept", "must be among the places")),
            }
        }
        if kept.is_empty() {
            bits.clear();
        }
        Ok(Self { places, kept: bits })
    }

    /// The places that it is about.
    #[must_use]
    pub fn places(&self) -> Range<u64> {
        self.places.clone()
    }

    /// Whether all that it is about comes before the entry `seq`.
    #[must_use]
    pub const fn is_before(&self, seq: u64) -> bool {
        self.places.end <= seq
    }

    /// Whether the entry at `place` is one of those that are removed.
    #[must_use]
    pub fn removes(&self, place: u64) -> bool {
        let (byte, bit) = bit(place.saturating_sub(self.places.start));
        let stays = self.kept.get(byte).is_some_and(|byte| byte & bit != 0);
        self.places.contains(&place) && !stays
    }

    /// The places of those that are removed.
    pub fn removed(&self) -> impl Iterator<Item = u64> + '_ {
        self.places().filter(|place| self.removes(*place))
    }

    /// How many stay.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.kept.iter().map(|it| u64::from(it.count_ones())).sum()
    }
}

impl TryFrom<Form> for Pruned {
    type Error = FieldError;

    fn try_from(form: Form) -> Result<Self, FieldError> {
        let invalid = |rule| Err(FieldError::new("kept", rule));
        let places = form.from..form.to;
        let length = bytes_for(&places)?;
        let Some(text) = form.kept else {
            return Ok(Self {
                places,
                kept: Vec::new(),
            });
        };
        let Ok(kept) = URL_SAFE_NO_PAD.decode(text) else {
            return invalid("must be base64url without padding");
        };
        if kept.len() != length {
            return invalid("must have a bit for each place, and no more bytes than these take");
        }
        let pruned = Self { places, kept };
        let inside = pruned.places().filter(|place| !pruned.removes(*place));
        match inside.count() as u64 {
            0 => invalid("must be left out when nothing stays"),
            stay if stay == pruned.kept() => Ok(pruned),
            _ => invalid("must have no bit set behind the last place"),
        }
    }
}

impl From<Pruned> for Form {
    fn from(pruned: Pruned) -> Self {
        let Pruned { places, kept } = pruned;
        Self {
            from: places.start,
            to: places.end,
            kept: (!kept.is_empty()).then(|| URL_SAFE_NO_PAD.encode(kept)),
        }
    }
}

/// How many places are together in one block.
const BLOCK: u64 = 4_096;
/// How many bits a word has.
const BITS: u64 = 64;
/// How many words a block has.
const WORDS: usize = 64;

/// A set of places in the log. It takes a bit for each place of the blocks that it has any of.
#[derive(Debug, Clone, Default)]
pub struct Places(BTreeMap<u64, Box<[u64; WORDS]>>);

/// Where a place is: its block, the word in that, and its bit in that.
fn slot(place: u64) -> (u64, usize, u64) {
    let word = usize::try_from(place % BLOCK / BITS).unwrap_or_default();
    (place / BLOCK, word, 1 << (place % BITS))
}

impl Places {
    /// Whether `place` is one of them.
    #[must_use]
    pub fn contains(&self, place: u64) -> bool {
        let (block, word, bit) = slot(place);
        let words = self.0.get(&block).and_then(|words| words.get(word));
        words.is_some_and(|word| word & bit != 0)
    }

    /// How many they are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.without(&Self::default())
    }

    /// How many of them are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> u64 {
        let blocks = self.0.iter().map(|(block, own)| {
            let theirs = other.0.get(block);
            let theirs = theirs.into_iter().flat_map(|words| words.iter().copied());
            let pairs = own.iter().zip(theirs.chain(std::iter::repeat(0)));
            pairs
                .map(|(own, theirs)| u64::from((own & !theirs).count_ones()))
                .sum::<u64>()
        });
        blocks.sum()
    }
}

impl Extend<u64> for Places {
    fn extend<T: IntoIterator<Item = u64>>(&mut self, places: T) {
        for place in places {
            let (block, word, bit) = slot(place);
            let words = self.0.entry(block).or_insert_with(|| Box::new([0; WORDS]));
            if let Some(word) = words.get_mut(word) {
                *word |= bit;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Pruned, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn what_stays_is_a_bit_for_each_place_and_written_in_one_way() {
        let some = Pruned::new(256..276, &[256, 265, 275]).unwrap();
        let text = r#"{"from":256,"to":276,"kept":"AQII"}"#;
        assert_eq!(serde_json::to_string(&some).unwrap(), text);
        assert_eq!(read(text), Ok(some.clone()));
        let stay: Vec<_> = (0..300).filter(|it| !some.removes(*it)).collect();
        let expected = (0..257).chain([265]).chain(275..300);
        assert_eq!(stay, expected.collect::<Vec<_>>());
        assert_eq!((some.removed().count(), some.kept()), (17, 3));
        let all = Pruned::new(0..4_096, &[]).unwrap();
        let text = r#"{"from":0,"to":4096}"#;
        assert_eq!(serde_json::to_string(&all).unwrap(), text);
        assert_eq!(read(text), Ok(all.clone()));
        assert_eq!(all.removed().count(), 4_096);
    }

    #[test]
    fn what_does_not_say_exactly_what_stays_is_refused() {
        for (text, why) in [
            (r#"{"from":0,"to":0}"#, "at least one place"),
            (r#"{"from":9,"to":3}"#, "at least one place"),
            (r#"{"from":0,"to":4097}"#, "no more than 4,096"),
            (r#"{"from":0,"to":18446744073709551615}"#, "no more than"),
            (r#"{"from":0,"to":20,"kept":"AQ"}"#, "a bit for each place"),
            (r#"{"from":0,"to":20,"kept":"AQIIAA"}"#, "a bit for each"),
            (r#"{"from":0,"to":20,"kept":"AQIY"}"#, "behind the last"),
            (r#"{"from":0,"to":20,"kept":"AAAA"}"#, "must be left out"),
            (r#"{"from":0,"to":20,"kept":""}"#, "a bit for each place"),
            (r#"{"from":0,"to":16,"kept":"AQI="}"#, "without padding"),
            (r#"{"from":0,"to":16,"kept":"AQJ"}"#, "without padding"),
            // As builds before the first release wrote it.
            (r#"{"from":0,"to":16,"held":[]}"#, "unknown field"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(Pruned::new(3..5, &[2]).is_err() && Pruned::new(3..5, &[5]).is_err());
        let some = Pruned::new(3..5, &[]).unwrap();
        assert!(some.is_before(5) && !some.is_before(4));
    }

    #[test]
    fn places_are_counted_with_and_without_others() {
        let mut some = Places::default();
        some.extend([0, 63, 64, 4_095, 4_096, 1 << 60, 64]);
        let mut others = Places::default();
        others.extend([63, 4_096, 5_000]);
        assert_eq!((some.count(), some.without(&others)), (6, 4));
        assert_eq!(others.without(&some), 1);
        assert!(some.contains(1 << 60) && !some.contains(65) && !some.contains(8_192));
        // However far apart they are, each takes one block.
        assert_eq!(some.0.len(), 3);
    }
}
