//! A text that is read: a record or an audit entry in full, what a command answered.

use ratatui::style::Style;

use crate::text::{counted, width};
use crate::tui::state::dialog::Reader;
use crate::tui::style::faint;

use super::canvas::{Canvas, cells};

/// How wide it is at least: its line of hints has room.
const LEAST: usize = 70;

pub(super) fn render(dialog: &Reader, canvas: &mut Canvas<'_>) {
    let area = canvas.area();
    let rows = dialog.rows((area.width, area.height));
    let height = Reader::height((area.width, area.height));
    // No wider and no higher than what is read, so that what is below stays in sight.
    let longest = rows
        .iter()
        .map(|(indent, it)| usize::from(*indent) + width(it));
    let longest = longest.chain([width(&dialog.title), LEAST]).max();
    let wide = cells(longest.unwrap_or(LEAST)).saturating_add(6);
    let high = cells(rows.len()).saturating_add(4);
    let most = (area.width.saturating_sub(4), area.height.saturating_sub(2));
    let inner = canvas.window((wide.min(most.0), high.min(most.1)), &dialog.title, "");
    let top = dialog.top.min(rows.len().saturating_sub(height));
    for (y, (indent, text)) in (inner.y..).zip(rows.iter().skip(top).take(height)) {
        canvas.text(inner.x + indent, y, text, Style::new());
    }
    let below = rows.len().saturating_sub(top + height);
    let sideways = if dialog.goes_sideways((area.width, area.height)) {
        "   h l sideways"
    } else {
        ""
    };
    let text = match below {
        0 => format!("y copy   j k move{sideways}   esc close"),
        below => format!(
            "{} more below   y copy   j k G move{sideways}   esc close",
            counted(below as u64, "line")
        ),
    };
    canvas.text(inner.x, inner.bottom().saturating_sub(1), &text, faint());
}
