//! One agent's screen.

use agentidp_shared::{Action, Agent, Credential, CredentialStatus, Outcome, Timestamp};
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::audit_text::short_id;
use crate::client::HOURS;
use crate::duration;
use crate::text::thousands;
use crate::tui::state::Screen;
use crate::tui::state::State;
use crate::tui::state::detail::{Detail, Tab};
use crate::tui::state::times::Times;
use crate::tui::style::{agent_symbol, credential_symbol, faint, heading};

use super::agents::time;
use super::audit;
use super::canvas::{Canvas, Column, cells};
use super::spark;

/// From this width on, there is room for the whole day.
const WIDE: u16 = 120;

/// How many hours there is room for on the smallest terminal.
const NARROW: usize = 16;

pub(super) fn render(state: &State, canvas: &mut Canvas<'_>, body: Rect) {
    let Some(detail) = &state.detail else {
        return;
    };
    facts(state, canvas, &detail.agent, body);
    activity(state, canvas, detail, body);
    let below = body.y + 6;
    canvas.rule(below);
    let list = Rect::new(
        0,
        below + 1,
        body.width,
        body.bottom().saturating_sub(below + 1),
    );
    match detail.tab {
        Tab::Credentials => credentials(state, canvas, detail, list),
        Tab::Grants => grants(state, canvas, detail, list),
        Tab::Audit => entries(state, canvas, detail, list),
    }
}

/// Whose agent it is, and beside it the tabs, which a long name does not touch.
pub(super) fn crumbs(detail: &Detail, canvas: &mut Canvas<'_>) {
    let tabs = match detail.tab {
        Tab::Credentials => "[Credentials]  Grants   Audit ",
        Tab::Grants => " Credentials  [Grants]  Audit ",
        Tab::Audit => " Credentials   Grants  [Audit]",
    };
    let end = canvas.area().width.saturating_sub(1);
    canvas.right(end, 1, tabs, heading());
    let from = match detail.from {
        Screen::Credentials => "Credentials > ",
        _ => "Agents > ",
    };
    let x = canvas.text(1, 1, from, Style::new());
    let room = end.saturating_sub(cells(tabs.len()) + 1 + x);
    canvas.clipped(x, 1, detail.agent.email.as_str(), room, heading());
}

fn facts(state: &State, canvas: &mut Canvas<'_>, agent: &Agent, body: Rect) {
    let status = format!("{} {}", agent_symbol(agent.status), agent.status);
    let plain = Style::new();
    let style = canvas.palette.agent(agent.status);
    let right = 52.max(body.width / 2);
    let mut fact = |x: u16, row: u16, name: &str, value: &str, style: Style| {
        canvas.text(x, body.y + row, name, faint());
        let end = if x < right { right - 1 } else { body.width };
        let from = x + 7;
        canvas.clipped(from, body.y + row, value, end.saturating_sub(from), style);
    };
    fact(1, 0, "id", &agent.id.to_string(), plain);
    fact(right, 0, "status", &status, style);
    fact(
        1,
        1,
        "org",
        &state.organization(agent.organization_id),
        plain,
    );
    fact(right, 1, "env", agent.deployment_env.as_str(), plain);
    fact(1, 2, "owner", agent.owner.as_str(), plain);
    let kind = format!("{} {}", agent.agent_type, agent.version);
    fact(right, 2, "type", &kind, plain);
    let used = format!(
        "{}  rev {}",
        time(state, agent.last_auth_at),
        agent.revision
    );
    fact(1, 3, "scopes", &agent.capabilities.to_string(), plain);
    fact(right, 3, "auth", &used, plain);
    let audiences: Vec<_> = agent.audiences.iter().map(ToString::to_string).collect();
    let notes: Vec<_> = agent
        .metadata
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let for_whom = if audiences.is_empty() {
        "the issuer's default".to_owned()
    } else {
        audiences.join(" ")
    };
    fact(1, 4, "aud", &for_whom, plain);
    fact(right, 4, "notes", &notes.join(" "), plain);
}

/// What the agent got and was refused, an hour a cell; of hours that nobody counted, nothing.
fn activity(state: &State, canvas: &mut Canvas<'_>, detail: &Detail, body: Rect) {
    let (y, right) = (body.y + 5, 52.max(body.width / 2));
    canvas.text(1, y, "issued/h", faint());
    canvas.text(right, y, "denied/h", faint());
    let Some(activity) = &detail.activity else {
        return;
    };
    let room = if body.width < WIDE { NARROW } else { HOURS };
    let hour = |time: Timestamp| time.as_secs().div_euclid(3_600);
    let known = hour(state.now).saturating_sub(hour(activity.since)) + 1;
    let known = usize::try_from(known).unwrap_or_default();
    let unknown = " ".repeat(room.saturating_sub(known));
    let shown = |counts| spark::last(counts, room.min(known));
    let (issued, denied) = (shown(&activity.issued), shown(&activity.denied));
    let plain = Style::new();
    let x = canvas.text(10, y, &format!("{unknown}{}", spark::bars(issued)), plain);
    let peak = issued.iter().copied().max().unwrap_or_default();
    canvas.text(x + 2, y, &format!("peak {}", thousands(peak)), plain);
    let style = if denied.iter().any(|it| *it > 0) {
        canvas.palette.warn()
    } else {
        plain
    };
    let text = format!("{unknown}{}", spark::digits(denied));
    canvas.text(right + 9, y, &text, style);
}

fn credentials(state: &State, canvas: &mut Canvas<'_>, detail: &Detail, list: Rect) {
    let (issued, ends) = match state.times {
        Times::Age => (17, 6),
        // A day takes more room than how long it is until then.
        _ if list.width < WIDE => (10, 10),
        _ => (17, 10),
    };
    let columns = [
        ("CREDENTIAL", 10),
        ("KIND", 13),
        ("STATUS", 10),
        ("ISSUED", issued),
        ("USED", 10),
        ("ENDS", ends),
    ]
    .map(|(heading, width)| Column { heading, width });
    let plain = Style::new();
    canvas.headings(3, list.y, &columns);
    let rows = detail.credentials.as_deref().unwrap_or_default();
    // The last line is for the whole id: the command line takes no shorter one.
    let height = usize::from(list.height.saturating_sub(2));
    let selected = rows.iter().position(|it| Some(it.id) == detail.selected);
    let top = selected
        .unwrap_or(0)
        .saturating_sub(height.saturating_sub(1));
    for (row, credential) in (1..).zip(rows.iter().skip(top).take(height)) {
        let y = list.y + row;
        let cells = credential_cells(state, canvas, credential, issued);
        canvas.row(3, y, &columns, &cells);
        if Some(credential.id) == detail.selected {
            canvas.text(1, y, ">", plain);
            canvas.highlight(Rect::new(0, y, list.width, 1));
        }
    }
    if let Some(credential) = detail.credential() {
        let y = list.bottom().saturating_sub(1);
        let x = canvas.text(3, y, "credential id  ", faint());
        canvas.text(x, y, &credential.id.to_string(), plain);
    }
    if rows.is_empty() {
        let text = match (&detail.failed, detail.is_loading) {
            (Some(why), _) => why.as_str(),
            (None, true) => "loading",
            (None, false) if detail.credentials.is_none() => "not connected",
            (None, false) if detail.agent.status.is_final() => "no credentials",
            (None, false) => "no credentials: a i issues a client secret",
        };
        canvas.text(3, list.y + 2, text, faint());
    }
}

fn credential_cells(
    state: &State,
    canvas: &Canvas<'_>,
    credential: &Credential,
    room: u16,
) -> Vec<(String, Style)> {
    let plain = Style::new();
    let status = credential.status_at(state.now);
    // Beside its age in use, the day that it was issued on.
    let times = match state.times {
        Times::Age => Times::Utc,
        times => times,
    };
    let zone = if times == Times::Utc { "Z" } else { "" };
    let issued = if room < 17 {
        state.clock().short(times, credential.created_at)
    } else {
        let minute = state.clock().minute(times, credential.created_at);
        format!("{minute}{zone}")
    };
    let end = match (credential.retires_at, credential.expires_at) {
        (Some(retires), Some(expires)) => Some(retires.min(expires)),
        (one, other) => one.or(other),
    };
    let ends = match end {
        _ if status == CredentialStatus::Revoked => "-".to_owned(),
        None => "never".to_owned(),
        Some(end) if end <= state.now => "over".to_owned(),
        Some(end) if state.times == Times::Age => duration::short(end.since(state.now)),
        Some(end) => state.clock().short(state.times, end),
    };
    vec![
        (short_id(&credential.id.to_string()).to_owned(), plain),
        (credential.kind.to_string(), plain),
        (
            format!("{} {status}", credential_symbol(status)),
            canvas.palette.credential(status),
        ),
        (issued, plain),
        (time(state, credential.last_used_at), plain),
        (ends, plain),
    ]
}

/// What the agent may ask for, and when it last got it, as far as its entries here tell.
fn grants(state: &State, canvas: &mut Canvas<'_>, detail: &Detail, list: Rect) {
    let agent = &detail.agent;
    let issued = || {
        let entries = detail.entries.iter().filter_map(|it| it.entry.as_ref());
        entries.filter(|it| it.action == Action::TokenIssue && it.outcome == Outcome::Success)
    };
    let of_scope = |scope: &str| {
        issued()
            .find(|it| {
                it.scope
                    .iter()
                    .flat_map(|it| it.split(' '))
                    .any(|it| it == scope)
            })
            .map(|it| it.time)
    };
    let of_audience = |audience: &str| {
        let found = issued().find(|it| it.audience.iter().any(|it| it == audience));
        found.map(|it| it.time)
    };
    let scopes = agent
        .capabilities
        .iter()
        .map(|it| ("scope", it.to_string(), of_scope(it.as_str())));
    let audiences = agent.audiences.iter().map(|it| {
        let text = it.to_string();
        let time = of_audience(&text);
        ("audience", text, time)
    });
    let default = agent.audiences.is_empty().then(|| {
        let newest = issued().next().map(|it| it.time);
        ("audience", "the issuer's default".to_owned(), newest)
    });
    let columns = [
        ("GRANT", 9),
        ("VALUE", list.width.saturating_sub(31)),
        ("LAST", 10),
    ]
    .map(|(heading, width)| Column { heading, width });
    canvas.headings(3, list.y, &columns);
    let height = usize::from(list.height.saturating_sub(2));
    let rows: Vec<_> = scopes.chain(audiences).chain(default).collect();
    let top = detail.grant.min(rows.len().saturating_sub(height));
    for (y, (kind, value, time)) in (list.y + 1..).zip(rows.iter().skip(top).take(height)) {
        let time = time.map_or_else(|| "-".to_owned(), |it| state.clock().short(state.times, it));
        let plain = Style::new();
        let cells = [
            ((*kind).to_owned(), plain),
            (value.clone(), plain),
            (time, plain),
        ];
        canvas.row(3, y, &columns, &cells);
    }
    let count = detail.entries.len();
    let text = match rows.len().saturating_sub(top + height) {
        0 => {
            format!("LAST: in the agent's newest {count} entries; a token gets no scope but these")
        }
        more => format!("{more} more below: j and k move.  LAST: in its newest {count} entries"),
    };
    let y = list.bottom().saturating_sub(1);
    canvas.clipped(3, y, &text, list.width.saturating_sub(4), faint());
}

fn entries(state: &State, canvas: &mut Canvas<'_>, detail: &Detail, list: Rect) {
    let height = usize::from(list.height);
    let top = detail.entry.saturating_sub(height.saturating_sub(1));
    for (row, (index, entry)) in (0..).zip(detail.entries.iter().enumerate().skip(top).take(height))
    {
        let y = list.y + row;
        audit::entry(state, canvas, entry, y, true);
        if index == detail.entry {
            canvas.text(0, y, ">", Style::new());
            canvas.highlight(Rect::new(0, y, list.width, 1));
        }
    }
    if detail.entries.is_empty() {
        let text = if detail.is_loading {
            "loading"
        } else {
            "nothing in the log yet"
        };
        canvas.text(3, list.y + 1, text, faint());
    }
}
