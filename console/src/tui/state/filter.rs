//! Filters: `key=value`, `key!=value` and words, each with `!` before it to mean the opposite.

use crate::agent_filter::Term;
use crate::text::fit;

/// A filter as it was typed, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) text: String,
    /// `key=value` and `key!=value`, in the order they were typed.
    pub(crate) pairs: Vec<Term>,
    pub(crate) words: Vec<Word>,
}

/// A text that a row must, or must not, contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) is_negated: bool,
}

impl Filter {
    /// Takes a filter apart. `keys` are the ones that the list knows.
    pub(crate) fn parse(text: &str, keys: &[&str]) -> Result<Self, String> {
        let mut filter = Self {
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
            ..Self::default()
        };
        for part in text.split_whitespace() {
            match Term::parse(part) {
                Some(term) if keys.contains(&term.key.as_str()) && !term.value.is_empty() => {
                    filter.pairs.push(term);
                }
                Some(term) => {
                    return Err(format!(
                        "no filter {}=X here: use {}=X or a word",
                        fit(&term.key, 16).trim_end(),
                        keys.join("=X "),
                    ));
                }
                None => filter.words.push(Word {
                    text: part.trim_start_matches('!').to_lowercase(),
                    is_negated: part.starts_with('!'),
                }),
            }
        }
        Ok(filter)
    }

    /// Whether a row of this text passes the words.
    pub(crate) fn matches(&self, text: &str) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let text = text.to_lowercase();
        self.words
            .iter()
            .all(|word| text.contains(&word.text) != word.is_negated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_pairs_and_words() {
        let keys = &["status", "owner"];
        let filter = Filter::parse(" status!=active  Poster !eu ", keys).unwrap();
        assert_eq!(filter.text, "status!=active Poster !eu");
        assert_eq!(filter.pairs.len(), 1);
        let pair = &filter.pairs[0];
        assert_eq!(
            (pair.key.as_str(), pair.value.as_str()),
            ("status", "active")
        );
        assert!(pair.is_not);
        assert!(filter.matches("invoice-poster billing"));
        assert!(!filter.matches("invoice-poster-EU billing"));
        assert!(!filter.matches("ledger"));
    }

    #[test]
    fn a_key_that_the_list_does_not_know_is_refused() {
        assert!(Filter::parse("colour=red", &["status"]).is_err());
        assert!(Filter::parse("status=", &["status"]).is_err());
    }
}
