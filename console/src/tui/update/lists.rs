//! Moving in lists.

use crate::tui::event::{Command, Effect};
use crate::tui::keys::Deed;
use crate::tui::state::audit::AuditRow;
use crate::tui::state::detail::{Detail, Tab};
use crate::tui::state::dialog::{Dialog, Reader};
use crate::tui::state::order::Order;
use crate::tui::state::{Link, Screen, State};

/// Does what a list's key asks for.
pub(super) fn perform(state: &mut State, deed: Deed) -> Vec<Effect> {
    let half = isize::try_from(state.list_height() / 2).unwrap_or(1).max(1);
    match deed {
        Deed::Down => step(state, 1),
        Deed::Up => step(state, -1),
        Deed::PageDown => step(state, half),
        Deed::PageUp => step(state, -half),
        Deed::Top if state.screen == Screen::Agents => {
            let height = state.list_height();
            state.agents.go_first(height);
        }
        Deed::Bottom if state.screen == Screen::Agents => {
            let height = state.list_height();
            state.agents.go_last(height);
        }
        Deed::Top => step(state, isize::MIN),
        Deed::Bottom => step(state, isize::MAX),
        Deed::Mark | Deed::Range | Deed::Unmark => mark(state, deed),
        Deed::Sort => reorder(state, state.agents.order.next()),
        Deed::Reverse => reorder(state, state.agents.order.reversed()),
        Deed::Open => return open(state),
        Deed::Reload => return reload(state),
        Deed::NextTab | Deed::TabBefore => {
            if let Some(detail) = &mut state.detail {
                detail.tab = match (detail.tab, deed) {
                    (Tab::Credentials, Deed::NextTab) | (Tab::Audit, Deed::TabBefore) => {
                        Tab::Grants
                    }
                    (Tab::Grants, Deed::NextTab) | (Tab::Credentials, _) => Tab::Audit,
                    _ => Tab::Credentials,
                };
            }
        }
        Deed::NextKind => state.credentials.restart(true),
        Deed::Freeze if state.audit.is_frozen() => state.audit.follow(),
        Deed::Freeze => freeze(state),
        Deed::Follow => state.audit.follow(),
        _ => {}
    }
    Vec::new()
}

fn mark(state: &mut State, deed: Deed) {
    let height = state.list_height();
    let result = match deed {
        Deed::Mark => state.agents.mark(height),
        Deed::Range => state.agents.mark_range(),
        _ if state.agents.marks.len() == 0 && state.agents.marks.anchor.is_none() => {
            return state.remark("no agent is marked");
        }
        _ => {
            state.agents.marks.clear();
            Ok(())
        }
    };
    if let Err(why) = result {
        state.complain(why);
    }
}

fn reorder(state: &mut State, order: Order) {
    state.agents.reorder(order);
}

fn step(state: &mut State, by: isize) {
    let height = state.list_height();
    match state.screen {
        Screen::Agents => {
            state.agents.step(by, height);
            // A page that could not be read is asked for again when the operator moves.
            state.agents.failed = None;
        }
        Screen::Detail => {
            if let Some(detail) = &mut state.detail {
                detail.step(by);
            }
        }
        Screen::Keys => state.keys.step(by),
        Screen::Audit => step_audit(state, by),
        Screen::Credentials => state.credentials.step(by, height),
        Screen::Health | Screen::Approvals => {}
    }
}

/// The sequence numbers of the rows that are shown.
fn shown(state: &State) -> Vec<u64> {
    let rows = state.audit.shown(|id| state.agent_name(id));
    rows.iter().map(|row| row.seq()).collect()
}

/// Moving the cursor in a log that runs would be aiming at a moving row, so it freezes first.
fn step_audit(state: &mut State, by: isize) {
    if !state.audit.is_frozen() {
        if by > 0 {
            return;
        }
        freeze(state);
    }
    let shown = shown(state);
    let last = shown.len().saturating_sub(1);
    let at = state
        .audit
        .selected
        .and_then(|seq| shown.iter().position(|it| *it == seq))
        .unwrap_or(last);
    let to = at.saturating_add_signed(by).min(last);
    state.audit.selected = shown.get(to).copied();
    let lowest = to.saturating_sub(state.list_height().saturating_sub(1));
    state.audit.top = state.audit.top.clamp(lowest, to);
}

/// Moves the cursor to an entry of the frozen log.
pub(super) fn show_entry(state: &mut State, seq: u64) {
    let shown = shown(state);
    let Some(to) = shown.iter().position(|it| *it == seq) else {
        return;
    };
    state.audit.selected = Some(seq);
    let lowest = to.saturating_sub(state.list_height().saturating_sub(1));
    state.audit.top = state.audit.top.clamp(lowest, to);
}

/// Stops the log at what is there now.
pub(super) fn freeze(state: &mut State) {
    if state.audit.is_frozen() {
        return;
    }
    state.audit.freeze();
    let shown = shown(state);
    state.audit.selected = shown.last().copied();
    state.audit.top = shown.len().saturating_sub(state.list_height());
}

fn open(state: &mut State) -> Vec<Effect> {
    match state.screen {
        Screen::Agents => {
            let Some(agent) = state.agents.selected().cloned() else {
                return Vec::new();
            };
            let id = agent.id;
            state.detail = Some(Detail::new(agent));
            state.screen = Screen::Detail;
            state.message = None;
            return load_detail(state, id);
        }
        Screen::Credentials => {
            if let Some(reviewed) = state.credentials.selected() {
                let agent = reviewed.credential.agent_id;
                state.opening = Some((agent, reviewed.credential.id));
                return vec![Effect::Send(Command::Detail(agent))];
            }
        }
        Screen::Detail => {
            if let Some(detail) = &state.detail
                && detail.tab == Tab::Audit
                && let Some(entry) = detail.entries.get(detail.entry)
            {
                state.dialog = Some(Dialog::Reader(Box::new(Reader::entry(entry))));
            }
        }
        Screen::Audit => {
            let was_following = !state.audit.is_frozen();
            freeze(state);
            let rows = state.audit.shown(|id| state.agent_name(id));
            let row = rows
                .iter()
                .find(|row| Some(row.seq()) == state.audit.selected);
            if let Some(AuditRow::Entry(entry)) = row {
                let mut reader = Reader::entry(entry);
                reader.was_following = was_following;
                state.dialog = Some(Dialog::Reader(Box::new(reader)));
            } else if was_following {
                state.audit.follow();
            }
        }
        _ => {}
    }
    Vec::new()
}

fn load_detail(state: &mut State, id: agentidp_shared::AgentId) -> Vec<Effect> {
    if let Some(detail) = &mut state.detail {
        detail.is_loading = state.link == Link::Live;
        if detail.is_loading {
            return vec![Effect::Send(Command::Detail(id))];
        }
    }
    Vec::new()
}

fn reload(state: &mut State) -> Vec<Effect> {
    if state.link != Link::Live {
        state.complain("not connected");
        return Vec::new();
    }
    match state.screen {
        Screen::Agents => {
            let filter = state.agents.filter.clone();
            state.restart_agents(filter);
            Vec::new()
        }
        Screen::Detail => match state.detail.as_ref().map(|detail| detail.agent.id) {
            Some(id) => load_detail(state, id),
            None => Vec::new(),
        },
        Screen::Keys => vec![Effect::Send(Command::Keys)],
        Screen::Health => super::ask_for_health(state),
        Screen::Credentials => {
            state.credentials.restart(false);
            Vec::new()
        }
        _ => Vec::new(),
    }
}
