//! The Audit screen.

use agentidp_shared::{OrganizationId, Outcome};
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::audit_text::{actor, details_with};
use crate::text::{counted, fit, inert, width};
use crate::tui::state::State;
use crate::tui::state::audit::{AuditEntry, AuditRow};
use crate::tui::state::times::Times;
use crate::tui::style::faint;

use super::canvas::{Canvas, cells};

/// How much of an organization's name stands before the name of its agent.
const ORGANIZATION: usize = 8;

/// From this width on, e-mails are shown in full.
const WIDE: u16 = 120;

pub(super) fn render(state: &State, canvas: &mut Canvas<'_>, body: Rect) {
    let rows = state.audit.shown(|id| state.agent_name(id));
    let height = usize::from(body.height);
    let newest = rows.len().saturating_sub(height);
    let top = if state.audit.is_frozen() {
        state.audit.top.min(newest)
    } else {
        newest
    };
    for (line, row) in (0..).zip(rows.iter().skip(top).take(height)) {
        let y = body.y + line;
        match row {
            AuditRow::Entry(it) => entry(state, canvas, it, y, false),
            AuditRow::Gap { from, to } => gap(canvas, *from, *to, y),
        }
        if state.audit.is_frozen() && state.audit.selected == Some(row.seq()) {
            canvas.text(0, y, ">", Style::new());
            canvas.highlight(Rect::new(0, y, body.width, 1));
        }
    }
    if rows.is_empty() {
        let text = if state.audit.filter.text.is_empty() {
            "nothing in the log yet"
        } else {
            "no entry of those kept passes the filter"
        };
        canvas.text(3, body.y + 1, text, faint());
    }
}

/// One entry on one line. Beside one agent, the day is shown; in the log, the milliseconds.
pub(super) fn entry(
    state: &State,
    canvas: &mut Canvas<'_>,
    row: &AuditEntry,
    y: u16,
    is_of_agent: bool,
) {
    let plain = Style::new();
    let Some(entry) = &row.entry else {
        // Written by a later version: shown as it is stored.
        canvas.text(1, y, &row.json, plain);
        return;
    };
    let clock = state.clock();
    let (time, time_width) = if is_of_agent {
        let times = match state.times {
            Times::Age => Times::Utc,
            times => times,
        };
        (clock.day(times, entry.time), 14)
    } else {
        (clock.precise(state.audit_times, entry.time), 12)
    };
    let outcome = match entry.outcome {
        Outcome::Success => "ok",
        Outcome::Denied => "DENIED",
        Outcome::Failed => "FAILED",
    };
    let style = canvas.palette.outcome(entry.outcome);
    let mut x = 1;
    // Where there is no room, the part of an e-mail that tells agents of one organization apart, and
    // whose they are where there are others.
    let is_wide = canvas.area().width >= WIDE;
    let organization = entry
        .organization_id
        .filter(|_| !is_of_agent && state.organizations.len() > 1)
        .map(|id| state.organization(id));
    let brief = |name: String| match (name.split_once('@'), &organization) {
        (Some((local, _)), Some(organization)) if !is_wide => {
            format!("{}/{local}", fit(organization, ORGANIZATION).trim_end())
        }
        (Some((local, _)), None) if !is_wide => local.to_owned(),
        _ => name,
    };
    let actor = brief(actor(entry));
    let name_organization = |id: &str| {
        let id: OrganizationId = id.parse().ok()?;
        Some(state.organization(id))
    };
    let name_agent = |id: &str| brief(state.agent_name(id));
    let details = details_with(entry, name_agent, name_organization);
    let mut action_width = 19;
    let mut actor_width = match &organization {
        // Beyond that an e-mail gets half of what there is more.
        _ if is_wide => 36 + ((canvas.area().width - WIDE) / 2).min(28),
        Some(_) => 20,
        None => 16,
    };
    // Where the details of a refusal have no room, the columns before them close up: why and whom
    // it concerns is worth more than the line's shape.
    let used = x + time_width + 6 + action_width + actor_width + 4;
    let room = canvas.area().width.saturating_sub(used);
    let mut missing = match entry.outcome {
        Outcome::Success => 0,
        Outcome::Denied | Outcome::Failed => cells(width(&inert(&details))).saturating_sub(room),
    };
    for (column, text) in [
        (&mut actor_width, actor.as_str()),
        (&mut action_width, entry.action.as_str()),
    ] {
        // One cell more, so that it still reads as a column.
        let spare = column.saturating_sub(cells(width(&inert(text))).saturating_add(1));
        // All of it: a row that is one cell off reads as a slip.
        let taken = if missing > 0 { spare } else { 0 };
        *column -= taken;
        missing = missing.saturating_sub(taken);
    }
    for (text, width, style) in [
        (time.as_str(), time_width, faint()),
        (outcome, 6, style),
        (entry.action.as_str(), action_width, plain),
        (actor.as_str(), actor_width, plain),
    ] {
        canvas.clipped(x, y, text, width, style);
        x += width + 1;
    }
    canvas.text(x, y, &details, style);
}

/// Entries that are not here, so that nobody takes what is here for all.
fn gap(canvas: &mut Canvas<'_>, from: u64, to: u64, y: u16) {
    let count = to.saturating_sub(from).saturating_add(1);
    let text = format!(" {} not shown: {from}-{to} ", counted(count, "entry"));
    let width = usize::from(canvas.area().width).saturating_sub(2);
    let line = format!("{text:~^width$}");
    canvas.text(1, y, &line, canvas.palette.warn());
}
