//! Keys in the dialog that confirms a change.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::tui::event::{Command, Effect};
use crate::tui::input;
use crate::tui::state::State;
use crate::tui::state::confirm::{Field, Tier};
use crate::tui::state::dialog::{DEAF, Dialog};
use crate::tui::state::log::AnswerTo;

/// A key while the dialog is open.
pub(super) fn press(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    let now = state.now;
    let why_not = match &state.dialog {
        Some(Dialog::Confirm(confirm)) => state.why_not(confirm.act.role()),
        _ => None,
    };
    let Some(Dialog::Confirm(confirm)) = &mut state.dialog else {
        return Vec::new();
    };
    if now.since(confirm.opened) < DEAF {
        return Vec::new();
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let is_cancel = key.code == KeyCode::Esc || (control && key.code == KeyCode::Char('c'));
    if is_cancel {
        cancel(state);
        return Vec::new();
    }
    confirm.note = None;
    let on_button = !confirm.focus.is_typed();
    match key.code {
        KeyCode::Tab | KeyCode::Down => confirm.turn(true),
        KeyCode::BackTab | KeyCode::Up => confirm.turn(false),
        KeyCode::Left | KeyCode::Right if on_button => {
            confirm.focus = match confirm.focus {
                Field::Go => Field::Cancel,
                _ => Field::Go,
            };
        }
        KeyCode::Enter => match confirm.focus {
            Field::Cancel => cancel(state),
            Field::Go => return go(state, why_not),
            // The end of the id is typed: that is no accident, and the button takes one key more.
            Field::Typed if confirm.why_locked().is_none() => confirm.focus = Field::Go,
            // Whoever mistypes goes on typing: the next key must not land on a button.
            _ => match confirm.wrong() {
                Some(why) => confirm.note = Some(why),
                None => confirm.turn(true),
            },
        },
        KeyCode::Char('n') if on_button && !control => cancel(state),
        KeyCode::Char('y') if on_button && !control => {
            let is_reversible = confirm.act.tier() == Tier::Reversible;
            // What is missing is asked for first; what is for good needs more than one key.
            match confirm.why_locked() {
                Some(why) => {
                    confirm.note = Some(why);
                    confirm.focus = confirm.missing().unwrap_or(confirm.focus);
                }
                None if is_reversible => return go(state, why_not),
                None => confirm.focus = Field::Go,
            }
        }
        KeyCode::Char(_) if on_button && !control => {
            if confirm.act.fields().iter().any(|it| it.is_typed()) {
                confirm.note = Some("tab goes to the field that this may be for".to_owned());
            }
        }
        _ => {
            let is_proposed =
                confirm.focus == Field::Period && std::mem::take(&mut confirm.is_proposed);
            if is_proposed && matches!(key.code, KeyCode::Char(_)) && !control {
                confirm.period.reset();
            }
            if let Some(input) = confirm.input() {
                input::edit(input, key);
            }
        }
    }
    Vec::new()
}

fn cancel(state: &mut State) {
    let was_sent =
        matches!(&state.dialog, Some(Dialog::Confirm(confirm)) if confirm.sent.is_some());
    state.dialog = None;
    if was_sent {
        state.remark("asked for already: the answer will stand here");
    } else {
        state.remark("nothing was done");
    }
}

fn go(state: &mut State, why_not: Option<String>) -> Vec<Effect> {
    let Some(Dialog::Confirm(confirm)) = &mut state.dialog else {
        return Vec::new();
    };
    if let Some(why) = why_not.or_else(|| confirm.why_locked()) {
        confirm.note = Some(why);
        return Vec::new();
    }
    let Some(change) = confirm.change() else {
        return Vec::new();
    };
    confirm.sent = Some(change.clone());
    let asked = AnswerTo::Change(change.clone());
    state
        .log
        .begin(state.now, asked, vec![confirm.command_line()]);
    vec![Effect::Send(Command::Change(change))]
}

/// What is confirmed is typed: a paste may hold anything.
pub(super) fn refuse_paste(state: &mut State) {
    if let Some(Dialog::Confirm(confirm)) = &mut state.dialog {
        confirm.note = Some("pasting is refused here: type it".to_owned());
    }
}
