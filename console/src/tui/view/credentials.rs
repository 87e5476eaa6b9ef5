//! The screen of credentials of all agents that somebody should look after.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::client::ReviewedCredential;
use crate::tui::state::credentials::Kind;
use crate::tui::state::times::Times;
use crate::tui::state::{Link, State};
use crate::tui::style::{credential_symbol, faint, heading};

use super::agents::{expiry, time};
use super::canvas::{Canvas, Column, cells};
use crate::audit_text::short_id;
use crate::text::thousands;

/// Which lists there are, and which one this is.
pub(super) fn crumbs(state: &State, canvas: &mut Canvas<'_>) {
    let mut x = canvas.text(1, 1, "Credentials", heading()) + 2;
    for kind in Kind::ALL {
        let is_shown = kind == state.credentials.kind;
        let (text, style) = if is_shown {
            (format!("[{}]", kind.title()), heading())
        } else {
            (format!(" {} ", kind.title()), Style::new())
        };
        x = canvas.text(x, 1, &text, style);
    }
    let list = &state.credentials;
    let more = if list.is_more() { "+" } else { "" };
    let count = if list.has_come {
        format!(" {}{more}", thousands(list.rows.len() as u64))
    } else {
        String::new()
    };
    let end = canvas.area().width.saturating_sub(1);
    let changed = "  changed: ^r";
    if list.has_changed && x + cells(changed.len()) < end {
        canvas.right(end, 1, changed, canvas.palette.warn());
    } else if x + cells(count.len()) < end {
        canvas.right(end, 1, &count, Style::new());
    }
}

pub(super) fn render(state: &State, canvas: &mut Canvas<'_>, body: Rect) {
    let columns = columns(body.width, state);
    canvas.headings(3, body.y, &columns);
    let list = &state.credentials;
    let height = usize::from(body.height.saturating_sub(1));
    for (y, reviewed) in (body.y + 1..).zip(list.rows.iter().skip(list.top).take(height)) {
        let mut row = cells_of(state, canvas, reviewed);
        row.truncate(columns.len());
        canvas.row(3, y, &columns, &row);
        if Some(reviewed.credential.id) == list.selected {
            canvas.text(1, y, ">", Style::new());
            canvas.highlight(Rect::new(0, y, body.width, 1));
        }
    }
    if list.rows.is_empty() {
        let text = match (&list.failed, &state.link) {
            (Some(why), _) => why.as_str(),
            (None, Link::Live) if list.is_loading => "loading",
            (None, Link::Live) => match list.kind {
                Kind::Expiring => "no credential expires in the next 7 days",
                Kind::RetiringUsed => "no credential that was replaced is still used",
                Kind::NeverUsed => "every credential was used",
            },
            _ => "not connected",
        };
        canvas.text(3, body.y + 2, text, faint());
    }
}

/// The columns that there is room for; those at the end are given up first, and what is left over is first
/// the agent's and then the owner's.
fn columns(width: u16, state: &State) -> Vec<Column> {
    const AGENT: u16 = 20;
    let ends = if state.times == Times::Age { 7 } else { 10 };
    let all = [
        ("CREDENTIAL", 10),
        ("STATUS", 10),
        ("USED", 10),
        ("ENDS", ends),
        ("ISSUED", 10),
        ("OWNER", 16),
    ];
    let mut room = width.saturating_sub(4 + AGENT);
    let mut columns = vec![Column {
        heading: "AGENT",
        width: AGENT,
    }];
    for (heading, width) in all {
        if room < width + 2 {
            break;
        }
        room -= width + 2;
        columns.push(Column { heading, width });
    }
    for (heading, most) in [("AGENT", 64), ("OWNER", 32)] {
        if let Some(column) = columns.iter_mut().find(|it| it.heading == heading) {
            let more = room.min(most - column.width);
            column.width += more;
            room -= more;
        }
    }
    columns
}

fn cells_of(
    state: &State,
    canvas: &Canvas<'_>,
    reviewed: &ReviewedCredential,
) -> Vec<(String, Style)> {
    let plain = Style::new();
    let credential = &reviewed.credential;
    let status = credential.status_at(state.now);
    let end = match (credential.retires_at, credential.expires_at) {
        (Some(retires), Some(expires)) => Some(retires.min(expires)),
        (one, other) => one.or(other),
    };
    vec![
        (reviewed.agent_email.clone(), plain),
        (short_id(&credential.id.to_string()).to_owned(), plain),
        (
            format!("{} {status}", credential_symbol(status)),
            canvas.palette.credential(status),
        ),
        (time(state, credential.last_used_at), plain),
        expiry(state, canvas, end),
        (time(state, Some(credential.created_at)), plain),
        (reviewed.owner.clone(), plain),
    ]
}
