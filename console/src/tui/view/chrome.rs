//! What stands around every screen: header, crumbs, messages, hints and the typed line.

use agentidp_shared::agent::Transition;
use ratatui::layout::Position;
use ratatui::style::{Modifier, Style};

use crate::duration;
use crate::text::{counted, fit, inert, thousands, width, wrap};
use crate::tui::completion::Completion;
use crate::tui::state::{Link, PromptKind, Screen, State, Tone};
use crate::tui::style::{faint, focus, heading};

use super::canvas::{Canvas, cells};
use super::{credentials, detail, health};

/// How many lines a message may take.
const MESSAGE_LINES: usize = 3;

/// How to get to the other screens, in as many words as there is room for.
const SCREENS: [&str; 2] = [
    "1 health 2 agents 3 credentials 5 audit 6 keys",
    "1-6 screen",
];

/// From this width on, the offer of an undo shows the whole of an agent's name.
const WIDE: u16 = 160;

/// How much of it there is below that.
const UNDO_NAME: usize = 16;

/// How much of a user's name is shown, and of a role's.
const NAME: usize = 20;

/// The two lines on top.
pub(super) fn header(state: &State, canvas: &mut Canvas<'_>) {
    let columns = canvas.area().width;
    let (badge, style) = match &state.link {
        Link::Live => ("LIVE".to_owned(), canvas.palette.good()),
        Link::Connecting(None) => ("CONNECTING".to_owned(), faint()),
        Link::Connecting(Some(_)) => ("NOT CONNECTED".to_owned(), canvas.palette.bad()),
        Link::Stale(since, _) => {
            let age = duration::short(state.now.since(*since));
            (format!("STALE {age}"), canvas.palette.bad())
        }
    };
    let clock = if state.shows_clock {
        let text = state.now.to_string();
        format!(" {}Z", text.get(11..19).unwrap_or_default())
    } else {
        String::new()
    };
    let badge = format!("{badge}{clock}");
    let who = state.status.as_ref().map_or_else(String::new, |status| {
        let role = if state.is_read_only {
            "read-only"
        } else {
            status.caller.role.as_str()
        };
        let others = match state.others {
            0 => String::new(),
            count => format!("  +{count} connected"),
        };
        let name = fit(&status.caller.name, NAME);
        let role = fit(role, NAME);
        let only = state.only_of().map_or_else(String::new, |it| {
            format!(" of {} only", fit(&it, NAME).trim_end())
        });
        format!("{} {}{only}{others}  ", name.trim_end(), role.trim_end())
    });
    let end = columns.saturating_sub(1);
    canvas.right(end, 0, &badge, style);
    let left = end.saturating_sub(cells(badge.len()));
    canvas.right(left, 0, &who, Style::new());
    let room = left.saturating_sub(cells(width(&who)) + 1);
    let x = canvas.text(1, 0, "agentidp", heading());
    let issuer = state.status.as_ref().map_or("", |it| it.issuer.as_str());
    let place = format!("  {issuer}  {}", state.socket_path);
    canvas.clipped(x, 0, place.trim_end(), room.saturating_sub(x), Style::new());
    crumbs(state, canvas);
}

fn crumbs(state: &State, canvas: &mut Canvas<'_>) {
    match state.screen {
        Screen::Agents => agents_crumbs(state, canvas),
        Screen::Detail => {
            if let Some(shown) = &state.detail {
                detail::crumbs(shown, canvas);
            }
        }
        Screen::Audit => audit_crumbs(state, canvas),
        Screen::Health => health::crumbs(state, canvas),
        Screen::Credentials => credentials::crumbs(state, canvas),
        Screen::Approvals => title(canvas, "Approvals"),
        Screen::Keys => title(canvas, "Signing keys"),
    }
}

fn title(canvas: &mut Canvas<'_>, text: &str) {
    canvas.text(1, 1, text, heading());
}

/// Says how many rows there are and which of them are shown, and never more than is known.
fn agents_crumbs(state: &State, canvas: &mut Canvas<'_>) {
    let agents = &state.agents;
    let (known, is_complete) = agents.extent();
    let known = thousands(known as u64);
    let count = match (agents.total, is_complete, agents.loaded().next()) {
        (Some(total), ..) => thousands(total),
        (None, true, _) => known,
        (None, false, Some(_)) => format!("{known}+"),
        (None, false, None) => String::new(),
    };
    let count = match agents.of {
        Some(of) if !agents.filter.pairs.is_empty() => format!("{count}/{}", thousands(of)),
        _ => count,
    };
    let x = canvas.text(1, 1, "Agents ", heading());
    let mut x = canvas.text(x, 1, &count, Style::new());
    let filter = &agents.filter;
    if !filter.text.is_empty() {
        x = canvas.text(x + 2, 1, &format!("/{}", filter.text), canvas.palette.key());
    }
    if !filter.words.is_empty() {
        let shown = thousands(agents.rows().count() as u64);
        let of = thousands(agents.loaded().count() as u64);
        let whole = if is_complete { "" } else { " loaded" };
        x = canvas.text(
            x + 2,
            1,
            &format!("{shown} of {of}{whole} match"),
            Style::new(),
        );
    }
    if agents.has_new {
        x = canvas.text(x + 2, 1, "new ones: ^r", canvas.palette.warn());
    }
    if agents.loading.is_some() {
        x = canvas.text(x + 2, 1, "loading", faint());
    }
    let marked = match agents.marks.len() {
        0 => String::new(),
        count => format!("{} marked   ", thousands(count as u64)),
    };
    let row = agents.place().map_or_else(String::new, |row| {
        format!("row {}   ", thousands(row as u64))
    });
    let right = format!("{marked}{row}sort:{}", agents.order.label());
    let end = canvas.area().width.saturating_sub(1);
    if x + cells(right.len()) < end {
        canvas.right(end, 1, &right, Style::new());
    } else if !marked.is_empty() {
        canvas.right(end, 1, &format!("  {}", marked.trim_end()), Style::new());
    }
}

fn audit_crumbs(state: &State, canvas: &mut Canvas<'_>) {
    let audit = &state.audit;
    let x = canvas.text(1, 1, "Audit ", heading());
    let mut x = match audit.held_back() {
        None => canvas.text(x + 1, 1, "FOLLOW", canvas.palette.good()),
        Some(0) => canvas.text(x + 1, 1, "FROZEN", canvas.palette.warn()),
        Some(more) => {
            let text = format!("FROZEN +{}", thousands(more as u64));
            canvas.text(x + 1, 1, &text, canvas.palette.warn())
        }
    };
    let kept = thousands(audit.kept() as u64);
    if audit.filter.text.is_empty() {
        x = canvas.text(x + 2, 1, &format!("last {kept}"), Style::new());
    } else {
        let text = format!("/{}", audit.filter.text);
        x = canvas.text(x + 2, 1, &text, canvas.palette.key());
        let shown = audit.shown(|id| state.agent_name(id)).len();
        let text = format!("{} of {kept} kept", thousands(shown as u64));
        x = canvas.text(x + 2, 1, &text, Style::new());
    }
    if audit.gaps > 0 {
        x = canvas.text(
            x + 2,
            1,
            &format!("gaps {}", audit.gaps),
            canvas.palette.warn(),
        );
    }
    let ten = state.health.rates.entries_in_ten_seconds(state.now);
    if ten > 0 {
        let text = format!("{}.{}/s", thousands(ten / 10), ten % 10);
        x = canvas.text(x + 2, 1, &text, Style::new());
    }
    x = canvas.text(x + 2, 1, state.audit_times.word(), faint());
    if !audit.search.is_empty() {
        let text = format!("search: {}", audit.search);
        canvas.text(x + 2, 1, &text, canvas.palette.key());
    }
}

/// The keys that were pressed last, on the rule at the top, for whoever looks on: messages and hints stand at
/// the bottom.
pub(super) fn demo(state: &State, canvas: &mut Canvas<'_>) {
    let Some(demo) = &state.demo else {
        return;
    };
    let area = canvas.area();
    let keys: Vec<_> = demo.keys().map(|key| format!(" {key} ")).collect();
    let text = keys.join("");
    if !text.is_empty() {
        let style = focus().remove_modifier(Modifier::DIM);
        canvas.right(area.width.saturating_sub(1), 2, &text, style);
    }
}

/// The three lines at the bottom.
pub(super) fn footer(state: &State, canvas: &mut Canvas<'_>) {
    let area = canvas.area();
    canvas.rule(area.height.saturating_sub(3));
    message(state, canvas, area.height.saturating_sub(2));
    let mut x = 1;
    let y = area.height.saturating_sub(1);
    for binding in state.key_map.hints(state.places()) {
        let key = binding.first_key();
        let end = cells(key.len() + binding.hint.len() + 1);
        if x + end > area.width {
            break;
        }
        x = canvas.text(x, y, key, canvas.palette.key());
        x = canvas.text(x + 1, y, binding.hint, Style::new()) + 2;
    }
    // Where their names have no room, that there are others still does.
    let end = area.width.saturating_sub(1);
    let is_room = |it: &&&str| x.saturating_sub(1) + cells(it.len()) <= end;
    if let Some(screens) = SCREENS.iter().find(is_room) {
        canvas.right(end, y, screens, faint());
    }
}

fn message(state: &State, canvas: &mut Canvas<'_>, y: u16) {
    let mut end = canvas.area().width.saturating_sub(1);
    if let Some(undo) = &state.undo {
        let left = undo.until.since(state.now).as_millis().div_ceil(1_000);
        let name = match undo.agents.as_slice() {
            [agent] => {
                let local = agent.email.split('@').next().unwrap_or_default();
                if canvas.area().width < WIDE {
                    format!("{}@..", fit(local, UNDO_NAME).trim_end())
                } else {
                    agent.email.clone()
                }
            }
            many => counted(many.len() as u64, "agent"),
        };
        let verb = match undo.transition {
            Transition::Suspend => "suspend",
            Transition::Resume => "resume",
            Transition::Revoke => "revoke",
            Transition::Decommission => "decommission",
            Transition::Archive => "archive",
        };
        let text = format!("U {verb} {name}  {left}s");
        canvas.right(end, y, &text, canvas.palette.key());
        end = end.saturating_sub(cells(width(&text)) + 2);
    }
    let (word, text, style) = match (&state.message, &state.link) {
        (Some(message), _) => {
            let (word, style) = match message.tone {
                Tone::Done => ("ok", canvas.palette.good()),
                Tone::Neutral => ("--", faint()),
                Tone::Failed => ("!!", canvas.palette.bad()),
            };
            (word, message.text.as_str(), style)
        }
        (None, Link::Stale(_, why) | Link::Connecting(Some(why))) => {
            ("!!", why.as_str(), canvas.palette.bad())
        }
        (None, _) => return,
    };
    let from = cells(word.len()) + 3;
    let room = end.saturating_sub(from);
    if width(&inert(text)) <= usize::from(room) {
        canvas.text(1, y, word, style);
        canvas.clipped(from, y, text, room, Style::new());
        return;
    }
    // A long one takes the rule's place too, and a very long one the line above that: what to do
    // about it stands at its end.
    let lines = wrap(&inert(text), usize::from(room));
    let count = lines.len().min(MESSAGE_LINES);
    let top = y.saturating_sub(cells(count.saturating_sub(1)));
    let (first, rest) = lines.split_at(count.saturating_sub(1));
    let rest = rest.join(" ");
    let blank = " ".repeat(usize::from(canvas.area().width));
    let lines = first.iter().map(String::as_str).chain([rest.as_str()]);
    for (row, line) in (top..).zip(lines) {
        if row < y {
            canvas.text(0, row, &blank, Style::reset());
        }
        canvas.clipped(from, row, line, room, Style::new());
    }
    canvas.text(1, top, word, style);
}

/// What the line may go on with, in one line around the one that stands in it.
fn candidates(completion: &Completion, canvas: &mut Canvas<'_>, y: u16) {
    let area = canvas.area();
    canvas.text(0, y, &" ".repeat(usize::from(area.width)), Style::reset());
    // Some before the one that was chosen, so that one sees where one is.
    let from = completion.at.unwrap_or(0).saturating_sub(1);
    let mut x = 1;
    for (index, candidate) in completion.candidates.iter().enumerate().skip(from) {
        let width = cells(width(&inert(candidate)));
        let rest = completion.candidates.len() - index;
        let more = format!("{rest} more");
        let room = if rest > 1 { cells(more.len()) + 2 } else { 0 };
        if x + width + room + 1 > area.width && index > from {
            canvas.text(x, y, &more, faint());
            break;
        }
        let style = if completion.at == Some(index) {
            focus()
        } else {
            Style::new()
        };
        x = canvas.text(x, y, candidate, style) + 2;
    }
}

/// The line that is being typed, over the hints; gives where its cursor is.
pub(super) fn prompt(state: &State, canvas: &mut Canvas<'_>) -> Option<Position> {
    let prompt = state.prompt.as_ref()?;
    let area = canvas.area();
    let y = area.height.saturating_sub(1);
    canvas.text(0, y, &" ".repeat(usize::from(area.width)), Style::reset());
    let sign = match prompt.kind {
        PromptKind::Command => ":",
        PromptKind::Filter => "/",
        PromptKind::Search => "search: ",
        PromptKind::Export => "write to a new file: ",
    };
    if let Some(completion) = &prompt.completion {
        candidates(completion, canvas, y.saturating_sub(1));
    }
    let x = canvas.text(1, y, sign, canvas.palette.key());
    Some(canvas.input(x, y, area.width.saturating_sub(x + 1), &prompt.input))
}
