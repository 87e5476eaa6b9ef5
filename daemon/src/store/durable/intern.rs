//! Texts that many rows have, each kept once.

use std::collections::HashMap;
use std::sync::Arc;

/// Texts under numbers. A text that no row has any more goes, and its number is given out again.
#[derive(Debug, Default)]
pub(super) struct Interned {
    /// Each text with how many rows have it.
    texts: Vec<(Arc<str>, u32)>,
    numbers: HashMap<Arc<str>, u32>,
    free: Vec<u32>,
    generation: u64,
}

impl Interned {
    /// The number of `text`, for one more row.
    pub(super) fn take(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            if let Some((_, rows)) = self.texts.get_mut(*number as usize) {
                *rows += 1;
            }
            return *number;
        }
        self.generation += 1;
        let text: Arc<str> = text.into();
        let number = match self.free.pop() {
            Some(number) => number,
            None => u32::try_from(self.texts.len()).unwrap_or(u32::MAX),
        };
        match self.texts.get_mut(number as usize) {
            Some(slot) => *slot = (Arc::clone(&text), 1),
            None => self.texts.push((Arc::clone(&text), 1)),
        }
        self.numbers.insert(text, number);
        number
    }

    /// Takes back what [`take`](Self::take) gave to one row.
    pub(super) fn give_back(&mut self, number: u32) {
        let Some((text, rows)) = self.texts.get_mut(number as usize) else {
            return;
        };
        *rows = rows.saturating_sub(1);
        if *rows == 0 {
            self.numbers.remove(text);
            *text = Arc::from("");
            self.free.push(number);
        }
    }

    /// For each number, whether its text is as `is_wanted` says.
    pub(super) fn wanted(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<bool> {
        let texts = self.texts.iter();
        texts.map(|(text, _)| is_wanted(text)).collect()
    }

    /// Changes whenever a number gets a text.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_number_for_as_long_as_a_row_has_it() {
        let mut texts = Interned::default();
        let (one, other) = (texts.take("one"), texts.take("other"));
        assert_ne!(one, other);
        assert_eq!(texts.take("one"), one);
        texts.give_back(one);
        assert_eq!(texts.take("one"), one);
        texts.give_back(one);
        texts.give_back(one);
        let before = texts.generation();
        assert_eq!(texts.take("third"), one);
        assert_ne!(texts.generation(), before);
        assert_eq!(texts.wanted(|text| text == "third"), [true, false]);
    }
}
