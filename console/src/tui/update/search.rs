//! Looking for a text in the audit log, and writing what is shown of it to a file.

use std::path::PathBuf;

use crate::tui::event::Effect;
use crate::tui::state::State;
use crate::tui::state::audit::AuditRow;

use super::lists;

/// Looks for `text`, upwards from the cursor; for nothing new, goes on with what was looked for.
pub(super) fn begin(state: &mut State, text: &str) {
    if text.is_empty() {
        return go(state, false);
    }
    text.clone_into(&mut state.audit.search);
    lists::freeze(state);
    find(state, false, true);
}

/// Goes to the next entry that has the text, or to the one before.
pub(super) fn go(state: &mut State, is_down: bool) {
    if state.audit.search.is_empty() {
        return state.remark("nothing to look for: s says what");
    }
    lists::freeze(state);
    find(state, is_down, false);
}

fn find(state: &mut State, is_down: bool, is_here_too: bool) {
    let text = state.audit.search.to_lowercase();
    let has = |row: &&AuditRow| match row {
        AuditRow::Entry(entry) => {
            let mut of_agents = entry.agents().into_iter().map(|id| state.agent_name(&id));
            entry.json.to_lowercase().contains(&text)
                || of_agents.any(|it| it.to_lowercase().contains(&text))
        }
        AuditRow::Gap { .. } => false,
    };
    let rows = state.audit.shown(|id| state.agent_name(id));
    let at = state.audit.selected.unwrap_or(u64::MAX);
    let found = if is_down {
        rows.into_iter().find(|row| row.seq() > at && has(row))
    } else {
        let is_before = |row: &&AuditRow| row.seq() < at || (is_here_too && row.seq() == at);
        rows.into_iter()
            .rev()
            .find(|row| is_before(row) && has(row))
    };
    let Some(seq) = found.map(AuditRow::seq) else {
        let way = if is_down { "below" } else { "above" };
        let text = state.audit.search.clone();
        return state.remark(format!("no entry {way} has {text}"));
    };
    state.message = None;
    lists::show_entry(state, seq);
}

/// What is shown, as NDJSON, to be written to a new file.
pub(super) fn export(state: &State, path: &str) -> Vec<Effect> {
    let mut text = String::new();
    for row in state.audit.shown(|id| state.agent_name(id)) {
        match row {
            AuditRow::Entry(entry) => text.push_str(&entry.json),
            // As the command line writes it.
            AuditRow::Gap { from, to } => {
                text.extend([format!("{{\"gap\":{{\"from\":{from},\"to\":{to}}}}}")]);
            }
        }
        text.push('\n');
    }
    vec![Effect::Export(PathBuf::from(path), text)]
}
