//! The screen of signing keys.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::duration;
use crate::tui::state::{Link, State};
use crate::tui::style::{faint, key_symbol};

use super::agents::time;
use super::canvas::{Canvas, Column};

pub(super) fn render(state: &State, canvas: &mut Canvas<'_>, body: Rect) {
    list(state, canvas, body, true);
}

/// The list of keys; where it is the screen's own, with its cursor.
pub(super) fn list(state: &State, canvas: &mut Canvas<'_>, body: Rect, has_cursor: bool) {
    let columns = [
        ("KID", if body.width < 120 { 27 } else { 43 }),
        ("ALG", 6),
        ("STATE", 10),
        ("MADE", 10),
        ("NEXT", 16),
    ]
    .map(|(heading, width)| Column { heading, width });
    canvas.headings(2, body.y, &columns);
    let rows = state.keys.rows.as_deref().unwrap_or_default();
    // The last line is for the whole id of the selected key.
    let around = if has_cursor { 2 } else { 1 };
    let height = usize::from(body.height.saturating_sub(around));
    let selected = state.keys.index();
    let top = selected.saturating_sub(height.saturating_sub(1));
    for (row, (index, scheduled)) in (1..).zip(rows.iter().enumerate().skip(top).take(height)) {
        let y = body.y + row;
        let key = &scheduled.key;
        let next = match scheduled.next {
            None => "-".to_owned(),
            Some(next) => {
                let left = duration::short(next.at.since(state.now));
                format!("{} in {left}", next.state)
            }
        };
        let plain = Style::new();
        let cells = [
            (key.kid.clone(), plain),
            (key.algorithm.to_string(), plain),
            (
                format!("{} {}", key_symbol(key.state), key.state),
                canvas.palette.signing_key(key.state),
            ),
            (time(state, Some(key.created_at)), plain),
            (next, plain),
        ];
        canvas.row(2, y, &columns, &cells);
        if has_cursor && index == selected {
            canvas.text(0, y, ">", plain);
            canvas.highlight(Rect::new(0, y, body.width, 1));
        }
    }
    if has_cursor && let Some(selected) = state.keys.selected() {
        let y = body.bottom().saturating_sub(1);
        let x = canvas.text(2, y, "kid  ", faint());
        canvas.text(x, y, &selected.key.kid, Style::new());
    }
    if rows.is_empty() {
        let text = match (&state.keys.failed, &state.keys.rows) {
            (Some(why), _) => why.as_str(),
            (None, None) if state.link != Link::Live => "not connected",
            (None, None) => "loading",
            (None, Some(_)) => "no signing keys",
        };
        canvas.text(3, body.y + 2, text, faint());
    }
}
