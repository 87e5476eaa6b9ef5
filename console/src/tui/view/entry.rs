//! One audit entry in full.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::tui::state::dialog::EntryDialog;
use crate::tui::style::faint;

use super::canvas::{Canvas, cells};

pub(super) fn render(dialog: &EntryDialog, canvas: &mut Canvas<'_>) {
    let area = canvas.area();
    let size = (area.width.saturating_sub(4), area.height.saturating_sub(2));
    let title = format!("Audit entry {}", dialog.entry.seq);
    let mut inner = canvas.window(size, &title, "");
    let last = inner.bottom().saturating_sub(1);
    canvas.text(inner.x, last, "j k move   esc close", faint());
    inner.height = inner.height.saturating_sub(1);
    for line in dialog.lines().iter().skip(dialog.top) {
        if inner.height == 0 {
            break;
        }
        let indent = cells(line.len() - line.trim_start().len()).min(inner.width / 2);
        let place = Rect {
            x: inner.x + indent,
            width: inner.width - indent,
            ..inner
        };
        let y = canvas.wrapped(place, line.trim(), Style::new());
        inner.height = inner.bottom().saturating_sub(y);
        inner.y = y;
    }
}
