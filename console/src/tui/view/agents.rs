//! The Agents screen.

use std::time::Duration;

use agentidp_shared::{Agent, Timestamp};
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::client::ListedAgent;
use crate::duration;
use crate::tui::state::order::{By, Order};
use crate::tui::state::{Link, State};
use crate::tui::style::{agent_symbol, faint, heading};

use super::canvas::{Canvas, Column};

/// From this width on, the selected agent is shown beside the list.
const SPLIT_FROM: u16 = 120;

/// How little time a credential may have left before that stands out.
const SOON: Duration = Duration::from_hours(7 * 24);

/// The width of that pane.
const PANE: u16 = 42;

pub(super) fn render(state: &State, canvas: &mut Canvas<'_>, body: Rect) {
    let is_split = body.width >= SPLIT_FROM;
    let list = Rect {
        width: if is_split {
            body.width - PANE
        } else {
            body.width
        },
        ..body
    };
    let columns = columns(list.width, state.agents.order);
    canvas.headings(3, list.y, &columns);
    let range = state.agents.range();
    let height = usize::from(list.height.saturating_sub(1));
    let mut count = 0;
    for (row, listed) in (1..).zip(state.agents.rows().skip(state.agents.top).take(height)) {
        let y = list.y + row;
        canvas.row(3, y, &columns, &cells(state, canvas, listed, columns.len()));
        if state.agents.marks.contains(listed.agent.id) {
            canvas.text(0, y, "+", canvas.palette.key());
        } else if range.contains(&listed.agent.id) {
            canvas.text(0, y, ":", canvas.palette.key());
        }
        if Some(listed.agent.id) == state.agents.selected {
            canvas.text(1, y, ">", Style::new());
            canvas.highlight(Rect::new(0, y, list.width.saturating_sub(1), 1));
        }
        count += 1;
    }
    if count == 0 {
        canvas.text(3, list.y + 2, empty(state), faint());
    }
    if is_split && let Some(agent) = state.agents.selected() {
        pane(
            state,
            canvas,
            agent,
            Rect::new(list.right(), body.y, PANE, body.height),
        );
    }
}

/// Why there is nothing to see.
fn empty(state: &State) -> &'static str {
    match &state.link {
        Link::Connecting(None) => "connecting",
        Link::Connecting(Some(_)) => "not connected: trying again, for ever",
        _ if state.agents.failed.is_some() => {
            "the agents could not be read: ^r tries again, / another filter"
        }
        _ if state.agents.loading.is_some() => "loading",
        _ if !state.agents.filter.words.is_empty() => "no agent of those loaded matches",
        _ if !state.agents.filter.pairs.is_empty() => "no agent passes the filter",
        _ => "no agents yet: agentidp agent register --help",
    }
}

/// The columns that there is room for; those at the end are given up first.
fn columns(width: u16, order: Order) -> Vec<Column> {
    const ALL: [(&str, u16); 8] = [
        ("OWNER", 8),
        ("STATUS", 16),
        ("CREDS", 5),
        ("LAST AUTH", 10),
        ("EXPIRES", 7),
        ("TYPE", 12),
        ("ENV", 11),
        ("ORG", 12),
    ];
    const EMAIL: u16 = 18;
    let mut room = width.saturating_sub(4 + EMAIL);
    let mut columns = vec![Column {
        heading: "AGENT",
        width: EMAIL,
    }];
    for (heading, width) in ALL {
        if room < width + 2 {
            break;
        }
        room -= width + 2;
        columns.push(Column { heading, width });
    }
    if let Some(email) = columns.first_mut() {
        email.width += room.min(22);
    }
    // The heading of what it is sorted by says which way.
    for column in &mut columns {
        column.heading = match (column.heading, order.by, order.is_ascending) {
            ("AGENT", By::Email, true) => "AGENT^",
            ("AGENT", By::Email, false) => "AGENTv",
            ("LAST AUTH", By::LastAuth, true) => "LAST AUTH^",
            ("LAST AUTH", By::LastAuth, false) => "LAST AUTHv",
            ("EXPIRES", By::Expires, true) => "EXPIRE^",
            ("EXPIRES", By::Expires, false) => "EXPIREv",
            (heading, ..) => heading,
        };
    }
    columns
}

fn cells(
    state: &State,
    canvas: &Canvas<'_>,
    listed: &ListedAgent,
    count: usize,
) -> Vec<(String, Style)> {
    let plain = Style::new();
    let agent = &listed.agent;
    let status = format!("{} {}", agent_symbol(agent.status), agent.status);
    let mut cells = vec![
        (agent.email.to_string(), plain),
        (agent.owner.to_string(), plain),
        (status, canvas.palette.agent(agent.status)),
        (listed.credentials.to_string(), plain),
        (time(state, agent.last_auth_at), plain),
        expiry(state, canvas, listed.expires_at),
        (agent.agent_type.to_string(), plain),
        (agent.deployment_env.to_string(), plain),
        (state.organization(agent.organization_id), plain),
    ];
    cells.truncate(count);
    cells
}

/// How long the first of an agent's credentials is still accepted; what is near stands out.
pub(super) fn expiry(
    state: &State,
    canvas: &Canvas<'_>,
    time: Option<Timestamp>,
) -> (String, Style) {
    match time {
        None => ("-".to_owned(), Style::new()),
        Some(time) if time <= state.now => ("over".to_owned(), canvas.palette.bad()),
        Some(time) => {
            let left = time.since(state.now);
            let style = if left < SOON {
                canvas.palette.warn()
            } else {
                Style::new()
            };
            (duration::short(left), style)
        }
    }
}

/// A past moment, as the operator wants times.
pub(super) fn time(state: &State, time: Option<Timestamp>) -> String {
    time.map_or_else(
        || "never".to_owned(),
        |time| state.clock().short(state.times, time),
    )
}

/// The selected agent, as far as the list knows it.
fn pane(state: &State, canvas: &mut Canvas<'_>, agent: &Agent, area: Rect) {
    for y in area.top()..area.bottom() {
        canvas.text(area.x, y, "|", faint());
    }
    let inner = Rect::new(
        area.x + 2,
        area.y,
        area.width.saturating_sub(3),
        area.height,
    );
    let mut y = canvas.wrapped(inner, agent.email.as_str(), heading());
    let organization = state.organization(agent.organization_id);
    let fields = [
        ("id", agent.id.to_string()),
        ("org", organization),
        ("owner", agent.owner.to_string()),
        ("status", agent.status.to_string()),
        ("type", format!("{} {}", agent.agent_type, agent.version)),
        ("env", agent.deployment_env.to_string()),
        ("created", agent.created_at.to_string()),
        ("last auth", time(state, agent.last_auth_at)),
        ("revision", agent.revision.to_string()),
    ];
    for (name, value) in fields {
        canvas.text(inner.x, y, name, faint());
        // An id is not broken in two.
        let from = if name == "id" { 3 } else { 11 };
        let room = inner.width.saturating_sub(from);
        let place = Rect::new(inner.x + from, y, room, inner.bottom().saturating_sub(y));
        y = canvas.wrapped(place, &value, Style::new());
    }
    y += 1;
    canvas.text(inner.x, y, "capabilities", faint());
    let place = Rect::new(
        inner.x,
        y + 1,
        inner.width,
        inner.bottom().saturating_sub(y + 1),
    );
    canvas.wrapped(place, &agent.capabilities.to_string(), Style::new());
}
