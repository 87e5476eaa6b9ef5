//! The help, made from the table of keys.

use ratatui::layout::Position;
use ratatui::style::Style;

use crate::tui::keys::BINDINGS;
use crate::tui::state::dialog::Help;
use crate::tui::style::{faint, heading};

use super::canvas::Canvas;

/// What the table of keys does not have.
const MORE: [(&str, &str); 5] = [
    (":q", "quit"),
    (":agents :audit :keys", "go to a screen"),
    (
        ":clock",
        "show the clock, which writes to the terminal each second",
    ),
    (
        "a, then a letter",
        "actions; one that cannot be done now says why",
    ),
    ("tab, y, n, esc", "in a dialog: next field, yes, no, cancel"),
];

pub(super) fn render(help: &Help, canvas: &mut Canvas<'_>) -> Position {
    let area = canvas.area();
    let size = (area.width.min(78), area.height.saturating_sub(2));
    let inner = canvas.window(size, "Help", "");
    let x = canvas.text(inner.x, inner.y, "filter: ", faint());
    let room = inner.right().saturating_sub(x);
    let cursor = canvas.input(x, inner.y, room, &help.filter);
    let lines = lines(help.filter.value());
    let height = usize::from(inner.height.saturating_sub(2));
    let top = help.top.min(lines.len().saturating_sub(height));
    for (row, line) in (1..).zip(lines.iter().skip(top).take(height)) {
        let y = inner.y + row;
        match line {
            Line::Title(title) => {
                canvas.text(inner.x, y, title, heading());
            }
            Line::Key(key, what) => {
                canvas.text(inner.x + 1, y, key, canvas.palette.key());
                canvas.clipped(inner.x + 23, y, what, inner.width - 23, Style::new());
            }
        }
    }
    let shown = (top + height).min(lines.len());
    let text = format!(
        "{shown} of {} lines   up down move   esc close",
        lines.len()
    );
    canvas.text(inner.x, inner.bottom().saturating_sub(1), &text, faint());
    cursor
}

enum Line {
    Title(&'static str),
    Key(&'static str, &'static str),
}

fn lines(filter: &str) -> Vec<Line> {
    let filter = filter.trim().to_lowercase();
    let passes = |key: &str, what: &str| {
        filter.is_empty() || format!("{key} {what}").to_lowercase().contains(&filter)
    };
    let mut lines = Vec::new();
    let mut title = "";
    for binding in BINDINGS {
        if !passes(binding.label, binding.help) {
            continue;
        }
        if title != binding.place.title() {
            title = binding.place.title();
            lines.push(Line::Title(title));
        }
        lines.push(Line::Key(binding.label, binding.help));
    }
    let mut more = MORE
        .iter()
        .filter(|(key, what)| passes(key, what))
        .peekable();
    if more.peek().is_some() {
        lines.push(Line::Title("More"));
    }
    lines.extend(more.map(|(key, what)| Line::Key(key, what)));
    lines
}
