//! How the console looks: pure functions from the state to a buffer of cells.

mod agents;
mod audit;
mod bulk;
mod canvas;
mod chrome;
mod confirm;
mod credentials;
mod detail;
mod health;
mod help;
mod keys;
mod menu;
mod reader;
mod secret;
mod spark;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::state::dialog::Dialog;
use super::state::{SMALLEST, Screen, State};

use self::canvas::Canvas;

/// Paints `state` into `buffer`; gives where the cursor is to be seen.
pub(crate) fn render(state: &State, buffer: &mut Buffer) -> Option<Position> {
    let mut canvas = Canvas::new(buffer, state.palette);
    let area = canvas.area();
    if !state.fits() {
        too_small(state, &mut canvas);
        return chrome::prompt(state, &mut canvas);
    }
    chrome::header(state, &mut canvas);
    canvas.rule(2);
    chrome::demo(state, &mut canvas);
    let body = Rect::new(0, 3, area.width, area.height.saturating_sub(6));
    match state.screen {
        Screen::Agents => agents::render(state, &mut canvas, body),
        Screen::Detail => detail::render(state, &mut canvas, body),
        Screen::Audit => audit::render(state, &mut canvas, body),
        Screen::Keys => keys::render(state, &mut canvas, body),
        Screen::Health => health::render(state, &mut canvas, body),
        Screen::Credentials => credentials::render(state, &mut canvas, body),
        Screen::Approvals => notice(&mut canvas, body),
    }
    chrome::footer(state, &mut canvas);
    let cursor = chrome::prompt(state, &mut canvas);
    if state.menu.is_some() {
        menu::render(state, &mut canvas);
    }
    match &state.dialog {
        None => cursor,
        Some(Dialog::Confirm(confirm)) => confirm::render(confirm, &mut canvas),
        Some(Dialog::Secret(dialog)) => secret::render(dialog, state.now, &mut canvas),
        Some(Dialog::Bulk(bulk)) => bulk::render(bulk, state.undo.is_some(), &mut canvas),
        Some(Dialog::Reader(dialog)) => {
            reader::render(dialog, &mut canvas);
            None
        }
        Some(Dialog::Help(help)) => help::render(help, &mut canvas),
    }
}

fn too_small(state: &State, canvas: &mut Canvas<'_>) {
    let (width, height) = state.size;
    let lines = [
        format!("This terminal is {width}x{height}."),
        format!("The console needs {}x{}.", SMALLEST.0, SMALLEST.1),
        "Enlarge it, or :q".to_owned(),
    ];
    for (row, line) in (0..).zip(&lines) {
        canvas.text(0, row, line, ratatui::style::Style::new());
    }
}

/// Nothing asks for approval in this version, and the screen says so.
fn notice(canvas: &mut Canvas<'_>, body: Rect) {
    let text = "Nothing asks for approval yet: no action of this version needs a second operator. What \
                was done, and by whom, is in the audit log (5).";
    let place = Rect::new(
        1,
        body.y + 1,
        body.width.saturating_sub(2),
        body.height.saturating_sub(1),
    );
    canvas.wrapped(place, text, super::style::faint());
}

#[cfg(test)]
mod tests;
