//! The dialog of a secret that is shown once.

use agentidp_shared::Timestamp;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

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
    let key = canvas.palette.key();
    if let Some(path) = &dialog.path {
        // A file's name stands there already, which not everybody wants.
        let keys = [
            ("enter", key),
            (" do it   ", plain),
            ("^u", key),
            (" empty the line   ", plain),
            ("esc", key),
            (" back", plain),
        ];
        canvas.pieces(inner.x, y + 1, &keys);
        let what = if dialog.is_pipe {
            "pipe to a command: "
        } else {
            "write to a new file: "
        };
        let x = canvas.text(inner.x, y, what, plain);
        return Some(canvas.input(x, y, inner.right().saturating_sub(x), path));
    }
    let reveal = if dialog.revealed_until.is_some() {
        " hide   "
    } else {
        " reveal   "
    };
    canvas.pieces(
        inner.x,
        y,
        &[
            ("v", key),
            (reveal, plain),
            ("y", key),
            (" copy   ", plain),
            ("w", key),
            (" write to a 0600 file   ", plain),
            ("|", key),
            (" pipe to a command", plain),
        ],
    );
    y += 1;
    let mark = if dialog.is_stored { "[x]" } else { "[ ]" };
    canvas.pieces(
        inner.x,
        y,
        &[
            (mark, plain),
            (" I have stored it (", plain),
            ("space", key),
            (")    ", plain),
            ("enter", key),
            (" close: it can never be shown again", plain),
        ],
    );
    y += 1;
    if let Some(note) = &dialog.note {
        let room = inner.bottom().saturating_sub(y);
        let place = Rect::new(inner.x, y, inner.width, room);
        canvas.wrapped(place, note, canvas.palette.warn());
    }
    None
}
