//! The help, made from the table of keys.

use ratatui::layout::Position;
use ratatui::style::Style;

use crate::text::counted;
use crate::tui::state::dialog::{Help, HelpLine};
use crate::tui::style::{faint, heading};

use super::canvas::Canvas;

/// Where the explanations begin.
const WHAT: u16 = 23;

pub(super) fn render(help: &Help, canvas: &mut Canvas<'_>) -> Option<Position> {
    let area = canvas.area();
    let size = (area.width.min(78), area.height.saturating_sub(2));
    let inner = canvas.window(size, "Help", "");
    let mut cursor = None;
    if help.is_typing || !help.filter.value().is_empty() {
        let x = canvas.text(inner.x, inner.y, "/", canvas.palette.key());
        let room = inner.right().saturating_sub(x);
        let at = canvas.input(x, inner.y, room, &help.filter);
        cursor = help.is_typing.then_some(at);
    }
    let lines = help.lines();
    let height = Help::height((area.width, area.height));
    let top = help.top.min(lines.len().saturating_sub(height));
    for (y, line) in (inner.y + 1..).zip(lines.iter().skip(top).take(height)) {
        match line {
            HelpLine::Title(title) => {
                canvas.text(inner.x, y, title, heading());
            }
            HelpLine::Key(key, what) => {
                canvas.text(inner.x + 1, y, key, canvas.palette.key());
                let room = inner.width.saturating_sub(WHAT);
                canvas.clipped(inner.x + WHAT, y, what, room, Style::new());
            }
        }
    }
    let shown = (top + height).min(lines.len());
    let keys = if help.is_typing {
        "up down move   enter keep   esc close"
    } else {
        "j k move   / filter   esc close"
    };
    let text = format!(
        "{shown} of {}   {keys}",
        counted(lines.len() as u64, "line")
    );
    canvas.text(inner.x, inner.bottom().saturating_sub(1), &text, faint());
    cursor
}
