//! The Agents screen.

use std::time::Duration;

use agentidp_shared::{Agent, Timestamp};
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::client::ListedAgent;
use crate::duration;
use crate::tui::state::order::By;
use crate::tui::state::times::Times;
use crate::tui::state::{Link, State};
use crate::tui::style::{agent_symbol, faint, heading};

use super::canvas::{Canvas, Column};

/// From this width on, the selected agent is shown beside the list.
const SPLIT_FROM: u16 = 120;

/// How little time a credential may have left before that stands out.
const SOON: Duration = Duration::from_hours(7 * 24);

/// The width of that pane: an id is not broken in two.
const PANE: u16 = 39;

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
    let columns = columns(list.width, state);
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
        _ if !state.agents.filter.words.is_empty() && !state.agents.extent().1 => {
            "no agent of those loaded matches: text=WORD looks through all of them"
        }
        _ if !state.agents.filter.words.is_empty() => "no agent matches",
        _ if !state.agents.filter.pairs.is_empty() => "no agent passes the filter",
        _ => "no agents yet: agentidp agent register --help",
    }
}

/// How far columns grow with the room that is left over, in this order, so that a wider terminal never shows
/// less of one: whom it is about first, then whose it is, then how it is with it.
const GROWTH: [(&str, u16); 8] = [
    ("AGENT", 25),
    ("OWNER", 12),
    ("AGENT", 32),
    ("OWNER", 16),
    ("AGENT", 40),
    ("STATUS", 16),
    ("OWNER", 24),
    ("ORG", 32),
];

/// The columns that there is room for: those that the smallest terminal shows, which grow before the others
/// come. What is in the cells has no say in it: who names an agent would move what is said of others.
fn columns(width: u16, state: &State) -> Vec<Column> {
    // A day takes more room than how long it is until then.
    let expires = if state.times == Times::Age { 7 } else { 10 };
    let first = [
        ("AGENT", 20),
        ("OWNER", 8),
        ("STATUS", 11),
        ("CREDS", 5),
        ("LAST AUTH", 10),
        ("EXPIRES", expires),
    ];
    let more = [("TYPE", 12), ("ENV", 11), ("ORG", 8)];
    let mut room = width.saturating_sub(2);
    let mut columns: Vec<Column> = Vec::new();
    for wished in [&first[..], &more[..]] {
        for &(heading, width) in wished {
            let Some(rest) = room.checked_sub(width + 2) else {
                break;
            };
            room = rest;
            columns.push(Column { heading, width });
        }
        for (heading, most) in GROWTH {
            if let Some(column) = columns.iter_mut().find(|it| it.heading == heading) {
                let more = most.saturating_sub(column.width).min(room);
                column.width += more;
                room -= more;
            }
        }
    }
    let has_all = columns.len() == first.len() + more.len();
    if let Some(agent) = columns.first_mut().filter(|_| has_all) {
        agent.width += room.min(24);
    }
    let order = state.agents.order;
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
            let text = match state.times {
                Times::Age => duration::short(left),
                times => state.clock().short(times, time),
            };
            let style = if left < SOON {
                canvas.palette.warn()
            } else {
                Style::new()
            };
            (text, style)
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

/// Where in it the values stand.
const FIELD: u16 = 11;

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
    canvas.text(inner.x, y, &agent.id.to_string(), Style::new());
    y += 1;
    let fields = [
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
        let room = inner.width.saturating_sub(FIELD);
        let place = Rect::new(inner.x + FIELD, y, room, inner.bottom().saturating_sub(y));
        y = canvas.wrapped(place, &value, Style::new());
    }
    let audiences: Vec<_> = agent.audiences.iter().map(ToString::to_string).collect();
    let audiences = if audiences.is_empty() {
        "the issuer's default".to_owned()
    } else {
        audiences.join(" ")
    };
    let notes: Vec<_> = agent
        .metadata
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    for (name, value) in [
        ("capabilities", agent.capabilities.to_string()),
        ("audiences", audiences),
        ("metadata", notes.join(" ")),
    ] {
        if value.is_empty() {
            continue;
        }
        canvas.text(inner.x, y + 1, name, faint());
        let height = inner.bottom().saturating_sub(y + 2);
        let place = Rect::new(inner.x, y + 2, inner.width, height);
        y = canvas.wrapped(place, &value, Style::new());
    }
}
