//! Lines of text that are typed.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_input::{Input, InputRequest};

use crate::text::is_active;

/// The most characters that a line takes.
const MAX: usize = 512;

/// Edits `input` as `key` says; tells whether the key was one for it.
pub(crate) fn edit(input: &mut Input, key: KeyEvent) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    let request = match key.code {
        KeyCode::Char(_) if alt => return false,
        KeyCode::Char('a') if control => InputRequest::GoToStart,
        KeyCode::Char('e') if control => InputRequest::GoToEnd,
        KeyCode::Char('u') if control => InputRequest::DeleteLine,
        KeyCode::Char('k') if control => InputRequest::DeleteTillEnd,
        KeyCode::Char('w') if control => InputRequest::DeletePrevWord,
        KeyCode::Char('h') if control => InputRequest::DeletePrevChar,
        KeyCode::Char(_) if control => return false,
        KeyCode::Char(c) if is_active(c) => return true,
        KeyCode::Char(_) if input.value().chars().count() >= MAX => return true,
        KeyCode::Char(c) => InputRequest::InsertChar(c),
        KeyCode::Backspace => InputRequest::DeletePrevChar,
        KeyCode::Delete => InputRequest::DeleteNextChar,
        KeyCode::Left => InputRequest::GoToPrevChar,
        KeyCode::Right => InputRequest::GoToNextChar,
        KeyCode::Home => InputRequest::GoToStart,
        KeyCode::End => InputRequest::GoToEnd,
        _ => return false,
    };
    input.handle(request);
    true
}

/// Inserts pasted text as one line: what could act is left out, and ends of lines within it are spaces.
pub(crate) fn paste(input: &mut Input, text: &str) {
    let text = text
        .trim_end_matches(['\r', '\n'])
        .replace(['\r', '\n'], " ");
    for c in text.chars().filter(|c| !is_active(*c)).take(MAX) {
        if input.value().chars().count() >= MAX {
            break;
        }
        input.handle(InputRequest::InsertChar(c));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_text_is_one_harmless_line_of_limited_length() {
        let mut input = Input::default();
        paste(&mut input, "a\nb\u{1b}[31mc");
        assert_eq!(input.value(), "a b[31mc");
        paste(&mut input, &"x".repeat(10_000));
        assert_eq!(input.value().len(), MAX);
    }
}
