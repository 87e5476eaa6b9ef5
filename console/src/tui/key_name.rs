//! How keys are written, in the help and in files.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A key with what is held down beside it.
pub(super) type Key = (KeyCode, KeyModifiers);

/// A key without what terminals tell or do not: that a capital needed the shift key.
pub(super) fn plain(key: KeyEvent) -> Key {
    (
        key.code,
        key.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT),
    )
}

/// The keys that are written as words.
const NAMED: &[(&str, KeyCode)] = &[
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("backtab", KeyCode::BackTab),
    ("space", KeyCode::Char(' ')),
    ("backspace", KeyCode::Backspace),
    ("del", KeyCode::Delete),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pgup", KeyCode::PageUp),
    ("pgdn", KeyCode::PageDown),
];

/// Reads a key as it is written.
pub(super) fn parse(text: &str) -> Option<Key> {
    if let Some((_, code)) = NAMED.iter().find(|(name, _)| *name == text) {
        return Some((*code, KeyModifiers::NONE));
    }
    let number = text.strip_prefix('f').and_then(|it| it.parse().ok());
    if let Some(number @ 1..=12) = number {
        return Some((KeyCode::F(number), KeyModifiers::NONE));
    }
    let (rest, modifiers) = match text.strip_prefix('^') {
        Some(rest) if !rest.is_empty() => (rest, KeyModifiers::CONTROL),
        _ => (text, KeyModifiers::NONE),
    };
    let mut characters = rest.chars();
    match (characters.next(), characters.next()) {
        (Some(c), None) if !crate::text::is_active(c) => Some((KeyCode::Char(c), modifiers)),
        _ => None,
    }
}

/// How a key is written.
pub(super) fn label((code, modifiers): Key) -> String {
    let text = match (code, NAMED.iter().find(|(_, it)| *it == code)) {
        (_, Some((name, _))) => (*name).to_owned(),
        (KeyCode::Char(c), None) => c.to_string(),
        (KeyCode::F(number), None) => format!("f{number}"),
        _ => return String::new(),
    };
    if modifiers.contains(KeyModifiers::CONTROL) {
        format!("^{text}")
    } else {
        text
    }
}

/// How a pressed key is written; empty for one that has no name here.
pub(super) fn pressed(key: KeyEvent) -> String {
    label(plain(key))
}
