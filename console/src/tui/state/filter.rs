//! Filters: `key=value`, `key!=value` and words, each with `!` before it to mean the opposite.

use std::borrow::Cow;

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
        let parts: Vec<_> = text
            .split_whitespace()
            .map(|part| named(part, keys))
            .collect();
        let mut filter = Self {
            text: parts.join(" "),
            ..Self::default()
        };
        for part in parts.iter().map(AsRef::as_ref) {
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

/// What `part` means: an e-mail that was pasted names an agent, which the daemon finds among any number.
fn named<'a>(part: &'a str, keys: &[&str]) -> Cow<'a, str> {
    let has_both = |(local, domain): (&str, &str)| !local.is_empty() && !domain.is_empty();
    let is_email =
        !part.starts_with('!') && !part.contains('=') && part.split_once('@').is_some_and(has_both);
    if is_email && keys.contains(&"email") {
        Cow::Owned(format!("email={}", part.to_lowercase()))
    } else {
        Cow::Borrowed(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_e_mail_is_looked_for_by_the_daemon() {
        let keys = &["email", "status"];
        let filter = Filter::parse("status=active Bot-1@acme.example", keys).unwrap();
        assert_eq!(filter.text, "status=active email=bot-1@acme.example");
        assert!(filter.words.is_empty());
        assert_eq!(filter.pairs[1].value, "bot-1@acme.example");
        // Half of one, its opposite, and where nobody looks for e-mails, it is a word.
        for (text, keys) in [
            ("@acme.example", &["email"]),
            ("bot@", &["email"]),
            ("!bot@acme.example", &["email"]),
            ("bot@acme.example", &["agent"]),
        ] {
            let filter = Filter::parse(text, keys).unwrap();
            assert_eq!((filter.text.as_str(), filter.words.len()), (text, 1));
        }
    }

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
