//! The Health screen: what the daemon says of itself, and what its log brings.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::client::SECONDS;
use crate::duration;
use crate::text::{counted, fit, mebibytes, thousands};
use crate::tui::state::{Link, State};
use crate::tui::style::{faint, heading};

use super::canvas::Canvas;
use super::{keys, spark};

/// From this width on, there is room for the whole minute.
const WIDE: u16 = 120;

/// From this height on there is room for more connections.
const TALL: u16 = 40;
/// How many lines connections take at most.
const ROWS: usize = 8;
/// The same on a terminal that is not tall.
const FEW: usize = 3;

/// Whether it is well, in a line.
pub(super) fn crumbs(state: &State, canvas: &mut Canvas<'_>) {
    let mut x = canvas.text(1, 1, "Health  ", heading());
    let (word, style) = match (&state.link, &state.status) {
        (Link::Live, Some(status)) if status.ready => ("OK", canvas.palette.good()),
        (Link::Live, Some(_)) => ("NOT READY", canvas.palette.bad()),
        _ => ("NOT KNOWN", canvas.palette.bad()),
    };
    x = canvas.text(x, 1, word, style) + 3;
    // What it says of itself is of now, and while it is away nobody says it.
    let Some(status) = state.status.as_ref().filter(|_| state.link == Link::Live) else {
        return;
    };
    let store = if status.ready { "rw" } else { "ro" };
    let ten = state.health.rates.entries_in_ten_seconds(state.now);
    let text = format!(
        "daemon {}  up {}   store {store}   stream {}.{}/s   gaps {}",
        fit(&status.version, 16).trim_end(),
        duration::short(state.now.since(status.started_at)),
        thousands(ten / 10),
        ten % 10,
        state.audit.gaps,
    );
    canvas.text(x, 1, &text, Style::new());
}

/// Whose the rates are, where they are not of all.
fn of_whom(state: &State) -> Option<String> {
    let only = state.only_of()?;
    Some(format!("of {only} only"))
}

pub(super) fn render(state: &State, canvas: &mut Canvas<'_>, body: Rect) {
    let mut y = body.y;
    if let Some(status) = &state.status
        && !status.ready
    {
        let text = format!("NOT READY  {}", status.not_ready_reason);
        canvas.text(1, y, &text, canvas.palette.bad());
        y += 1;
    }
    if let Some(why) = &state.health.failed {
        canvas.text(1, y, &format!("not read: {why}"), canvas.palette.bad());
        y += 1;
    }
    counts(state, canvas, y);
    rates(state, canvas, y + 1);
    canvas.rule(y + 3);
    let Some(status) = &state.status else {
        return;
    };
    let store = &status.store;
    let facts = [
        ("ISSUER", status.issuer.clone()),
        ("AGENTS AT", status.http_address.clone()),
        ("SOCKET", state.socket_path.clone()),
        (
            "STORE",
            format!("{}  format {}  {}", store.path, store.format, store.id),
        ),
        (
            "LOG",
            format!(
                "{}, journal of {} in {}",
                counted(store.entries, "entry"),
                mebibytes(store.journal_bytes),
                counted(store.journal_segments, "segment")
            ),
        ),
    ];
    y += 4;
    let fact = |canvas: &mut Canvas<'_>, y: u16, rows: u16, name: &str, value: &str| {
        canvas.text(1, y, name, heading());
        let place = Rect::new(13, y, body.width.saturating_sub(14), rows);
        canvas.wrapped(place, value, Style::new())
    };
    for (name, value) in facts {
        y = fact(canvas, y, 2, name, &value);
    }
    // It may tell what is to be done, and what follows leaves some room: those connected, a rule, the keys.
    let keys = state.keys.rows.as_ref().map_or(0, Vec::len);
    let below = u16::try_from(FEW + 2 + keys.max(1)).unwrap_or(u16::MAX);
    let rows = body.bottom().saturating_sub(y).saturating_sub(below).max(2);
    y = fact(canvas, y, rows, "RETENTION", &status.retention.to_string());
    y = connections(state, canvas, y);
    canvas.rule(y);
    canvas.text(1, y, " SIGNING KEYS ", heading());
    let rest = Rect::new(0, y + 1, body.width, body.bottom().saturating_sub(y + 1));
    keys::list(state, canvas, rest, false);
}

/// Who is connected, a line for each as far as there is room; gives the line after them.
fn connections(state: &State, canvas: &mut Canvas<'_>, y: u16) -> u16 {
    let open = state.status.iter().flat_map(|it| &it.connections);
    let (own, others): (Vec<_>, Vec<_>) = open.partition(|it| it.own);
    let seen: Vec<_> = others
        .into_iter()
        .chain(own)
        .map(|it| {
            let age = duration::short(state.now.since(it.since));
            let own = if it.own { ", this one" } else { "" };
            format!("{} for {age}{own}", it.who())
        })
        .collect();
    canvas.text(1, y, "CONNECTED", heading());
    if state.link != Link::Live {
        canvas.text(13, y, "not known while the daemon is away", faint());
        return y + 1;
    }
    let rows = if canvas.area().height < TALL {
        FEW
    } else {
        ROWS
    };
    let shown = if seen.len() > rows {
        rows - 1
    } else {
        seen.len()
    };
    let more = seen.len() - shown;
    let more = (more > 0).then(|| format!("and {more} more: agentidp status"));
    let mut end = y;
    for line in seen.iter().take(shown).chain(&more) {
        canvas.text(13, end, line, Style::new());
        end += 1;
    }
    end.max(y + 1)
}

fn counts(state: &State, canvas: &mut Canvas<'_>, y: u16) {
    canvas.text(1, y, "AGENTS", heading());
    let Some(counts) = &state.health.counts else {
        canvas.text(13, y, "not counted yet", faint());
        return;
    };
    let of = |status: &str| counts.by_status.get(status).copied().unwrap_or_default();
    let mut x = 13;
    let shown: &[_] = if canvas.area().width < WIDE {
        &["active", "suspended", "revoked"]
    } else {
        &[
            "active",
            "suspended",
            "revoked",
            "decommissioned",
            "archived",
        ]
    };
    for status in shown {
        let text = format!("{status} {}", thousands(of(status)));
        x = canvas.text(x, y, &text, Style::new()) + 2;
    }
    let style = if counts.expiring > 0 {
        canvas.palette.warn()
    } else {
        Style::new()
    };
    let text = format!("expiring<7d {}", thousands(counts.expiring));
    canvas.text(x, y, &text, style);
}

fn rates(state: &State, canvas: &mut Canvas<'_>, y: u16) {
    const NAMES: [&str; 2] = ["ISSUED/s", "DENIED/s"];
    if state.link != Link::Live {
        for (y, name) in (y..).zip(NAMES) {
            canvas.text(1, y, name, heading());
            canvas.text(13, y, "not counted while the daemon is away", faint());
        }
        return;
    }
    let seen = &state.health.rates;
    let counts = state.health.counts.as_ref();
    // Counted by the daemon, for whoever may know of all; otherwise by what of its log came here.
    let counted = counts.and_then(|it| it.tokens.as_ref());
    let (issued, denied) = counted.map_or_else(
        || seen.lines(state.now),
        |it| (it.issued.clone(), it.denied.clone()),
    );
    let p99 = counted
        .and_then(|it| it.p99)
        .map(|it| format!("p99 {}/60 s", spark::brief(it)))
        .or_else(|| of_whom(state).filter(|_| counted.is_none()));
    let top = seen.top_denied(state.now).map(|(who, of_hundred)| {
        let name = if who.len() == 36 {
            state.brief_name(who)
        } else {
            who.to_owned()
        };
        format!("{of_hundred}% of 60 s: {name}")
    });
    // On the smallest terminal only the last seconds.
    let room = if canvas.area().width < WIDE {
        24
    } else {
        SECONDS
    };
    let drawn = [
        spark::bars(spark::last(&issued, room)),
        spark::digits(spark::last(&denied, room)),
    ];
    let more = [(p99, Style::new()), (top, canvas.palette.warn())];
    let lines = NAMES.iter().zip([issued, denied]).zip(drawn).zip(more);
    for (y, (((name, counts), drawn), (more, style))) in (y..).zip(lines) {
        canvas.text(1, y, name, heading());
        let x = canvas.text(13, y, &drawn, Style::new());
        let last = counts.last().copied().unwrap_or_default();
        let peak = counts.iter().copied().max().unwrap_or_default();
        let text = format!("{} now  {} peak", thousands(last), thousands(peak));
        let x = canvas.text(x + 2, y, &text, Style::new());
        if let Some(more) = more {
            canvas.text(x + 2, y, &more, style);
        }
    }
}
