//! Keys that do nothing where they are pressed.

use crossterm::event::KeyEvent;

use crate::tui::key_name::pressed;
use crate::tui::keys::{Deed, Place};
use crate::tui::state::{Screen, State, Tone};

/// A key that does nothing here says so, and where it may; but it takes no place from what went wrong.
pub(super) fn nothing(state: &mut State, key: KeyEvent) {
    if state
        .message
        .as_ref()
        .is_some_and(|it| it.tone == Tone::Failed)
    {
        return;
    }
    let of_agents = state.key_map.find(&[Place::Agents], key);
    let what = match of_agents {
        Some(Deed::Menu) if state.screen == Screen::Credentials => {
            "acts where enter leads to: on the agent's screen"
        }
        Some(Deed::Menu) => "acts on an agent: 2 lists them",
        Some(Deed::Filter) => "filters agents, on 2, and the log, on 5",
        Some(Deed::Mark | Deed::Range | Deed::Unmark) => "is for marking agents, on 2",
        _ => "does nothing here: ? shows what does",
    };
    let key = pressed(key);
    let key = if key.is_empty() { "this" } else { key.as_str() };
    state.remark(format!("{key} {what}"));
}
