//! Text from outside, made inert: what could command a terminal, or pass for other text, is shown
//! as an escape instead. The command line's tables and the screens both go through here.

use std::borrow::Cow;
use std::fmt::Write as _;

pub(crate) use agentidp_shared::count::{counted, it_or_them, mebibytes, thousands};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How many marks without a width of their own one cell may have: no script needs more.
const HEAP: usize = 8;

/// From which likeness on, of at most 1, a word may be meant by another.
const ALIKE: f64 = 0.8;

/// What stands for the rest of a text that was cut.
const CUT: &str = "..";

/// Whether `c` acts on a terminal, or is not seen where it stands: control characters,
/// bidirectional controls, zero-width characters, tags and variation selectors.
pub(crate) fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Tells which characters of a text are shown as they are.
#[derive(Debug, Default)]
struct Sieve {
    /// How many marks have been heaped upon the cell at hand.
    heaped: usize,
}

impl Sieve {
    fn lets_through(&mut self, c: char) -> bool {
        if is_active(c) {
            self.heaped = 0;
            return false;
        }
        if c.width() != Some(0) {
            self.heaped = 0;
            return true;
        }
        self.heaped += 1;
        self.heaped <= HEAP
    }
}

/// `text` with every active character as a visible escape such as `\u{1b}`, and likewise every mark
/// beyond the first few that are heaped upon one cell.
pub(crate) fn inert(text: &str) -> Cow<'_, str> {
    let mut sieve = Sieve::default();
    if text.chars().all(|c| sieve.lets_through(c)) {
        return Cow::Borrowed(text);
    }
    let mut sieve = Sieve::default();
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if sieve.lets_through(c) {
            shown.push(c);
        } else {
            shown.extend(c.escape_unicode());
        }
    }
    Cow::Owned(shown)
}

/// The beginning of `text`, enough to fill `cells` cells and one more: what is beyond is not seen, so
/// that a text of any length costs no more to show than a short one.
pub(crate) fn head(text: &str, cells: usize) -> &str {
    let most = cells.saturating_add(2).saturating_mul(HEAP + 1);
    if text.len() <= most {
        return text;
    }
    match text.char_indices().nth(most) {
        Some((at, _)) => text.get(..at).unwrap_or_default(),
        None => text,
    }
}

/// The same JSON with every active character that JSON lets stand in a string as its `\uXXXX`.
///
/// JSON escapes control characters up to U+001F itself. The others stand only inside strings,
/// where the escape means the same.
pub(crate) fn inert_json(json: &str) -> Cow<'_, str> {
    let must_escape = |c: char| is_active(c) && !matches!(c, '\n' | ' ');
    if !json.contains(must_escape) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if must_escape(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// How many cells `text` takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// `text` made inert and brought to exactly `cells` cells, by cutting it or by spaces.
pub(crate) fn fit(text: &str, cells: usize) -> String {
    let text = inert(head(text, cells));
    let mut shown = if text.width() <= cells {
        text.into_owned()
    } else {
        let room = cells.saturating_sub(CUT.len());
        let mut kept = String::new();
        let mut used = 0;
        for c in text.chars() {
            used += c.width().unwrap_or(0);
            if used > room {
                break;
            }
            kept.push(c);
        }
        kept.extend(CUT.chars().take(cells));
        kept
    };
    let missing = cells.saturating_sub(shown.width());
    shown.extend(std::iter::repeat_n(' ', missing));
    shown
}

/// Breaks an inert `text` at spaces, and where a word is too long, behind a mark in it, or else anywhere.
pub(crate) fn wrap(text: &str, room: usize) -> Vec<String> {
    // Of a word that is longer only the next line is looked at, or a long one would cost its square.
    let most = room.saturating_add(1).saturating_mul(4 * (HEAP + 1));
    let fits = |word: &str, room: Option<usize>| {
        room.is_some_and(|room| word.len() <= most && width(word) <= room)
    };
    let mut lines = Vec::new();
    let (mut line, mut used) = (String::new(), 0);
    for mut word in text.split(' ') {
        loop {
            let gap = usize::from(!line.is_empty());
            if fits(word, room.checked_sub(used + gap)) {
                line.extend(std::iter::repeat_n(' ', gap));
                line.push_str(word);
                used += gap + width(word);
                break;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
                used = 0;
                continue;
            }
            let (first, rest) = word.split_at(end_of(word, room));
            if first.is_empty() || rest.is_empty() {
                line.push_str(word);
                used = width(word);
                break;
            }
            lines.push(first.to_owned());
            word = rest;
        }
    }
    lines.push(line);
    lines
}

/// At most `room` cells of `text`, from the cell `from` on.
pub(crate) fn part(text: &str, from: usize, room: usize) -> String {
    let mut at = 0;
    let mut shown = String::new();
    for c in text.chars() {
        let cells = c.width().unwrap_or(0);
        if at >= from && at + cells <= from + room {
            shown.push(c);
        }
        at += cells;
    }
    shown
}

/// The length in bytes of the longest beginning of `word` that takes at most `room` cells.
fn end_of(word: &str, room: usize) -> usize {
    let mut used = 0;
    let is_beyond = |(_, c): &(usize, char)| {
        used += c.width().unwrap_or(0);
        used > room
    };
    let beyond = word.char_indices().find(is_beyond);
    let end = beyond.map_or(word.len(), |(at, _)| at);
    // An e-mail or a path is not broken within its words, unless that would leave most of a line empty.
    let begins = word.get(..end).unwrap_or_default();
    let is_mark = |c: char| matches!(c, '@' | '.' | '-' | '_' | '/' | ':' | ',' | '=');
    match begins.rfind(is_mark) {
        Some(at) if end < word.len() && at >= end / 2 => at + 1,
        _ => end,
    }
}

/// Of `words` the one that may be meant by `text`, which is none of them.
pub(crate) fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let alike = |word: &'a str| (strsim::jaro(text, word), word);
    let (likeness, word) = words
        .map(alike)
        .max_by(|one, other| one.0.total_cmp(&other.0))?;
    (likeness > ALIKE).then_some(word)
}

/// `text` as one word of a POSIX shell's command line.
pub(crate) fn shell_word(text: &str) -> Cow<'_, str> {
    let is_plain = !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"@%+=:,./_-".contains(&b));
    if is_plain {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_shown_and_never_obeyed() {
        for (text, shown) in [
            ("plain", "plain"),
            ("équipe-a 組", "équipe-a 組"),
            ("\u{1b}[31mred", r"\u{1b}[31mred"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("a\u{202e}b", r"a\u{202e}b"),
            ("a\u{200b}b\u{feff}", r"a\u{200b}b\u{feff}"),
            (
                "line\nnext\ttab\rback\u{7}",
                r"line\u{a}next\u{9}tab\u{d}back\u{7}",
            ),
            ("tag\u{e0041}", r"tag\u{e0041}"),
        ] {
            assert_eq!(inert(text), shown);
        }
    }

    #[test]
    fn marks_that_are_heaped_upon_one_cell_are_bounded() {
        let few = format!("a{}b", "\u{301}".repeat(HEAP));
        assert_eq!(inert(&few), few);
        let many = format!("a{}b", "\u{301}".repeat(1 << 20));
        let shown = inert(&many);
        let cell = shown.split('\\').next().unwrap();
        assert_eq!(cell.chars().count(), 1 + HEAP);
        let cut = format!("a{}{}..", "\u{301}".repeat(HEAP), r"\u{301");
        assert_eq!(fit(&many, 9), cut);
    }

    #[test]
    fn a_text_of_a_mebibyte_is_shown_as_soon_as_a_short_one() {
        for unit in [
            "x",
            "組",
            "\u{1b}",
            "a\u{301}\u{302}",
            "\u{301}",
            "x ",
            "\u{202e}y ",
        ] {
            let text = unit.repeat((1 << 20) / unit.len());
            let lines = wrap(&inert(&text), 72);
            assert!(lines.iter().all(|it| width(it) <= 72), "{unit:?}");
            let all: String = lines.concat();
            assert_eq!(
                all.replace(' ', ""),
                inert(&text).replace(' ', ""),
                "{unit:?}"
            );
            assert_eq!(width(&fit(&text, 18)), 18, "{unit:?}");
            assert!(fit(&text, 18).len() < 1_000, "{unit:?}");
        }
    }

    #[test]
    fn inert_json_means_the_same() {
        let value = serde_json::json!({"a": "x\u{9b}31m\u{202e}\u{e0041}\u{7f}"});
        let json = serde_json::to_string_pretty(&value).unwrap();
        let shown = inert_json(&json);
        assert!(!shown.replace('\n', "").contains(is_active), "{shown}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
    }

    #[test]
    fn a_fitted_text_takes_exactly_its_cells() {
        for (text, cells, shown) in [
            ("abc", 5, "abc  "),
            ("abcdef", 5, "abc.."),
            ("組組組", 5, "組.. "),
            ("abc", 0, ""),
            ("abc", 1, "."),
            ("\u{1b}", 10, r"\u{1b}    "),
        ] {
            assert_eq!(fit(text, cells), shown);
            assert_eq!(width(&fit(text, cells)), cells);
        }
    }

    #[test]
    fn a_word_that_is_mistyped_is_known_by_its_likeness() {
        let words = || ["token.issue", "token.revoke", "agent.register"].into_iter();
        assert_eq!(nearest("token.isue", words()), Some("token.issue"));
        assert_eq!(nearest("agent.regster", words()), Some("agent.register"));
        assert_eq!(nearest("xyz", words()), None);
    }

    #[test]
    fn a_shell_word_survives_the_shell() {
        assert_eq!(shell_word("a@acme.example"), "a@acme.example");
        assert_eq!(shell_word("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn a_part_is_cut_out_by_cells() {
        assert_eq!(part("abcdef", 2, 3), "cde");
        assert_eq!(part("abcdef", 4, 9), "ef");
        assert_eq!(part("abcdef", 9, 9), "");
        assert_eq!(part("組組組", 2, 3), "組");
    }

    #[test]
    fn text_is_broken_at_spaces_and_long_words_anywhere() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("abcdefgh ij", 5), ["abcde", "fgh", "ij"]);
        let lines = ["is", "screener-018@globex-", "international.example"];
        assert_eq!(
            wrap("is screener-018@globex-international.example", 24),
            lines
        );
        assert_eq!(wrap("a-bcdefghijk", 8), ["a-bcdefg", "hijk"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("組組組", 5), ["組組", "組"]);
    }
}
