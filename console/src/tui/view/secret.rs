//! The dialog of a secret that is shown once.

use agentidp_shared::Timestamp;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use tui_input::Input;

use crate::audit_text::short_id;
use crate::tui::state::dialog::SecretDialog;
use crate::tui::style::{faint, heading};

use super::canvas::Canvas;

pub(super) fn render(
    dialog: &SecretDialog,
    now: Timestamp,
    canvas: &mut Canvas<'_>,
) -> Option<Position> {
    let issued = &dialog.issued;
    let id = issued.credential.id.to_string();
    let title = match &issued.retiring {
        Some(old) => format!(
            "Rotated {} > {}",
            short_id(&old.id.to_string()),
            short_id(&id)
        ),
        None => format!("Issued {}", short_id(&id)),
    };
    let badge = match dialog.revealed_until {
        None => "SHOWN ONCE".to_owned(),
        Some(until) => {
            let left = until.since(now).as_secs();
            format!("SHOWN ONCE -- {}:{:02}", left / 60, left % 60)
        }
    };
    let inner = canvas.window((80, 14), &title, &badge);
    let plain = Style::new();
    let mut y = inner.y;
    let validity = match (&issued.retiring, issued.credential.expires_at) {
        (Some(old), _) if old.retires_at.is_some() => format!(
            "The old secret works until {}",
            old.retires_at
                .map_or_else(String::new, |time| time.to_string())
        ),
        (Some(_), _) => "The old secret does not work any more".to_owned(),
        (None, Some(time)) => format!("It works until {time}"),
        (None, None) => "It works until it is revoked".to_owned(),
    };
    canvas.clipped(inner.x, y, &validity, inner.width, plain);
    y += 2;
    canvas.text(inner.x, y, "for", faint());
    canvas.clipped(inner.x + 10, y, &dialog.email, inner.width - 10, plain);
    y += 1;
    canvas.text(inner.x, y, "client_id", faint());
    canvas.clipped(inner.x + 10, y, &issued.client_id, inner.width - 10, plain);
    y += 1;
    canvas.text(inner.x, y, "request", faint());
    canvas.clipped(
        inner.x + 10,
        y,
        &issued.request_id,
        inner.width - 10,
        faint(),
    );
    y += 2;
    // A secret is one cell wider than the inside with its margin, and must stay on one line to be
    // marked with a mouse.
    canvas.clipped(inner.x - 1, y, &dialog.shown(), inner.width + 2, heading());
    y += 2;
    let below = Rect::new(inner.x, y, inner.width, inner.bottom().saturating_sub(y));
    if let Some(path) = &dialog.path {
        return Some(path_line(path, dialog.is_pipe, below, canvas));
    }
    what_can_be_done(dialog, below, canvas);
    None
}

/// Where the secret is to go, as it is being typed; gives where the cursor is.
fn path_line(path: &Input, is_pipe: bool, area: Rect, canvas: &mut Canvas<'_>) -> Position {
    let (key, plain) = (canvas.palette.key(), Style::new());
    // A file's name stands there already, which not everybody wants.
    let keys = [
        ("enter", key),
        (" do it   ", plain),
        ("^u", key),
        (" empty the line   ", plain),
        ("esc", key),
        (" back", plain),
    ];
    canvas.pieces(area.x, area.y + 1, &keys);
    let what = if is_pipe {
        "pipe to a command: "
    } else {
        "write to a new file: "
    };
    let x = canvas.text(area.x, area.y, what, plain);
    canvas.input(x, area.y, area.right().saturating_sub(x), path)
}

/// The keys, and what came of the last.
fn what_can_be_done(dialog: &SecretDialog, area: Rect, canvas: &mut Canvas<'_>) {
    let (key, plain) = (canvas.palette.key(), Style::new());
    let reveal = if dialog.revealed_until.is_some() {
        " hide   "
    } else {
        " reveal   "
    };
    let ways = [
        ("v", key),
        (reveal, plain),
        ("y", key),
        (" copy   ", plain),
        ("w", key),
        (" write to a 0600 file   ", plain),
        ("|", key),
        (" pipe to a command", plain),
    ];
    canvas.pieces(area.x, area.y, &ways);
    let mark = if dialog.is_stored { "[x]" } else { "[ ]" };
    let end = [
        (mark, plain),
        (" I have stored it (", plain),
        ("space", key),
        (")    ", plain),
        ("enter", key),
        (" close: it can never be shown again", plain),
    ];
    canvas.pieces(area.x, area.y + 1, &end);
    if let Some(note) = &dialog.note {
        let height = area.height.saturating_sub(2);
        let place = Rect::new(area.x, area.y + 2, area.width, height);
        canvas.wrapped(place, note, canvas.palette.warn());
    }
}
