//! Keys in the dialog of a secret that is shown once.

use std::path::PathBuf;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_input::Input;

use crate::tui::event::Effect;
use crate::tui::input;
use crate::tui::state::State;
use crate::tui::state::dialog::{DEAF, Dialog, REVEALED, SecretDialog};

/// Shows the secret that came next, unless one is being shown. Whatever else is open gives way.
pub(super) fn show_next(state: &mut State) {
    if matches!(state.dialog, Some(Dialog::Secret(_))) {
        return;
    }
    if let Some(mut next) = state.secrets.pop_front() {
        next.opened = state.now;
        state.dialog = Some(Dialog::Secret(Box::new(next)));
        state.prompt = None;
        state.menu = None;
    }
}

/// Hides the secret: its cells are about to be left behind.
pub(super) fn mask(state: &mut State) {
    if let Some(Dialog::Secret(dialog)) = &mut state.dialog {
        dialog.revealed_until = None;
    }
}

/// Hides the secret when it was revealed for long enough.
pub(super) fn mask_when_due(state: &mut State) {
    if let Some(Dialog::Secret(dialog)) = &mut state.dialog
        && dialog
            .revealed_until
            .is_some_and(|until| until <= state.now)
    {
        dialog.revealed_until = None;
    }
}

/// A key while the dialog is open.
pub(super) fn press(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    let now = state.now;
    let Some(Dialog::Secret(dialog)) = &mut state.dialog else {
        return Vec::new();
    };
    if now.since(dialog.opened) < DEAF {
        return Vec::new();
    }
    if dialog.path.is_some() {
        return press_in_path(dialog, key);
    }
    dialog.note = None;
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => close(state),
        _ if key.modifiers.contains(KeyModifiers::CONTROL) => {}
        KeyCode::Char('v') => {
            dialog.revealed_until = match dialog.revealed_until {
                Some(_) => None,
                None => Some(now.plus(REVEALED)),
            };
        }
        KeyCode::Char('y') => return vec![Effect::Copy(dialog.issued.client_secret.clone())],
        KeyCode::Char('w') => {
            let path = dialog.suggested_path().display().to_string();
            dialog.path = Some(Input::new(path));
            dialog.is_pipe = false;
        }
        KeyCode::Char('|') => {
            dialog.path = Some(Input::default());
            dialog.is_pipe = true;
        }
        KeyCode::Char(' ') => dialog.is_stored = !dialog.is_stored,
        KeyCode::Enter | KeyCode::Esc => close(state),
        _ => {}
    }
    Vec::new()
}

/// Closing loses the secret for good, so it takes the operator's word that it is stored.
fn close(state: &mut State) {
    if let Some(Dialog::Secret(dialog)) = &mut state.dialog {
        if dialog.is_stored {
            state.dialog = None;
            state.say("the secret is forgotten here");
            show_next(state);
        } else {
            dialog.note = Some("store it first, then say so with the space bar".to_owned());
        }
    }
}

fn press_in_path(dialog: &mut SecretDialog, key: KeyEvent) -> Vec<Effect> {
    let Some(path) = &mut dialog.path else {
        return Vec::new();
    };
    let is_cancel = key.code == KeyCode::Esc
        || (key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL));
    if is_cancel {
        dialog.path = None;
    } else if key.code == KeyCode::Enter {
        let typed = path.value().trim().to_owned();
        let to = PathBuf::from(path.value());
        dialog.path = None;
        if dialog.is_pipe && !typed.is_empty() {
            dialog.note = Some("the command has it, and runs".to_owned());
            return vec![Effect::PipeSecret(
                typed,
                dialog.issued.client_secret.clone(),
            )];
        }
        if !dialog.is_pipe && !to.as_os_str().is_empty() {
            return vec![Effect::WriteSecret(to, dialog.issued.client_secret.clone())];
        }
    } else {
        input::edit(path, key);
    }
    Vec::new()
}

/// The command that the secret was piped to has ended, or could not be started.
pub(super) fn piped(state: &mut State, result: Result<(), String>) {
    match (&mut state.dialog, result) {
        (Some(Dialog::Secret(dialog)), Ok(())) => {
            dialog.is_stored = true;
            dialog.note = Some("the command took it and ended well".to_owned());
        }
        (Some(Dialog::Secret(dialog)), Err(error)) => dialog.note = Some(error),
        (_, Ok(())) => state.say("the command took the secret and ended well"),
        (_, Err(error)) => state.complain(error),
    }
}

/// The secret was written to a file, or could not be.
pub(super) fn written(state: &mut State, result: Result<PathBuf, String>) {
    match &mut state.dialog {
        Some(Dialog::Secret(dialog)) => match result {
            Ok(path) => {
                dialog.is_stored = true;
                dialog.note = Some(format!("written to {}", path.display()));
            }
            Err(error) => dialog.note = Some(error),
        },
        _ => match result {
            Ok(path) => state.say(format!("the secret is in {}", path.display())),
            Err(error) => state.complain(error),
        },
    }
}

/// The secret was handed to the clipboard, or could not be.
pub(super) fn copied(state: &mut State, result: Result<&'static str, String>) {
    // Whether a terminal takes it, nobody is told: so this never says "copied".
    let text = result.map(|to| format!("sent to {to}: check that it arrived"));
    match (&mut state.dialog, text) {
        (Some(Dialog::Secret(dialog)), Ok(text)) => dialog.note = Some(text),
        (Some(Dialog::Secret(dialog)), Err(error)) => dialog.note = Some(error),
        (_, Ok(text)) => state.say(text),
        (_, Err(error)) => state.complain(error),
    }
}
