//! A typed line as words, as a shell would divide it.

/// The words of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    /// What stands before the last word.
    pub(crate) before: Vec<String>,
    /// The word that is being typed; empty after a space.
    pub(crate) last: String,
    /// Where that begins, in bytes.
    pub(crate) last_at: usize,
    /// A quote that was opened is not closed.
    pub(crate) is_open: bool,
}

impl Words {
    /// Divides a line: at spaces, but not between quotes or after a backslash.
    pub(crate) fn divide(line: &str) -> Self {
        let mut words = Self {
            before: Vec::new(),
            last: String::new(),
            last_at: line.len(),
            is_open: false,
        };
        let mut quote = None;
        let mut is_escaped = false;
        let mut is_word = false;
        for (at, c) in line.char_indices() {
            if !is_word && !c.is_whitespace() {
                is_word = true;
                words.last_at = at;
            }
            match (quote, c) {
                _ if is_escaped => {
                    is_escaped = false;
                    words.last.push(c);
                }
                (None | Some('"'), '\\') => is_escaped = true,
                (Some(open), _) if c == open => quote = None,
                (None, '\'' | '"') => quote = Some(c),
                (None, _) if c.is_whitespace() => {
                    if is_word {
                        words.before.push(std::mem::take(&mut words.last));
                    }
                    is_word = false;
                    words.last_at = line.len();
                }
                _ => words.last.push(c),
            }
        }
        words.is_open = quote.is_some() || is_escaped;
        // What is quoted may be empty and still is a word.
        if !is_word {
            words.last_at = line.len();
        }
        words
    }

    /// All words of a line that is whole.
    pub(crate) fn all(line: &str) -> Result<Vec<String>, String> {
        let words = Self::divide(line);
        if words.is_open {
            return Err("a quote is not closed".to_owned());
        }
        let mut all = words.before;
        if words.last_at < line.len() {
            all.push(words.last);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_divided_as_a_shell_does() {
        for (line, words) in [
            ("agent list", &["agent", "list"][..]),
            ("  agent   list  ", &["agent", "list"]),
            (
                "agent suspend a --reason 'odd  requests'",
                &["agent", "suspend", "a", "--reason", "odd  requests"],
            ),
            (r#"x "a 'b' \" c" d\ e"#, &["x", "a 'b' \" c", "d e"]),
            ("x ''", &["x", ""]),
            (r"'it'\''s'", &["it's"]),
            ("", &[]),
        ] {
            assert_eq!(Words::all(line).unwrap(), words, "{line}");
        }
        assert!(Words::all("x 'open").is_err());
    }

    #[test]
    fn the_word_that_is_being_typed_is_known_by_its_place() {
        for (line, before, last, at) in [
            ("agent li", 1, "li", 6),
            ("agent ", 1, "", 6),
            ("", 0, "", 0),
            ("a --reason 'odd r", 2, "odd r", 11),
        ] {
            let words = Words::divide(line);
            assert_eq!(words.before.len(), before, "{line}");
            assert_eq!((words.last.as_str(), words.last_at), (last, at), "{line}");
        }
    }
}
