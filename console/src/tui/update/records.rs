//! The record of what is selected: copied by its id, shown as JSON.

use serde::Serialize;

use crate::tui::event::Effect;
use crate::tui::state::audit::AuditRow;
use crate::tui::state::detail::Tab;
use crate::tui::state::dialog::{Dialog, Reader};
use crate::tui::state::{Screen, State};

/// Copies what names the thing that is selected.
pub(super) fn copy(state: &mut State) -> Vec<Effect> {
    let text = match state.screen {
        Screen::Agents => state.agents.selected().map(|it| it.id.to_string()),
        Screen::Detail => state.detail.as_ref().and_then(|detail| match detail.tab {
            Tab::Credentials => detail.credential().map(|it| it.id.to_string()),
            Tab::Grants => Some(detail.agent.id.to_string()),
            Tab::Audit => detail.entries.get(detail.entry).map(|it| it.json.clone()),
        }),
        Screen::Keys => state.keys.selected().map(|it| it.key.kid.clone()),
        Screen::Audit => {
            let rows = state.audit.shown(|id| state.agent_name(id));
            let selected = rows
                .iter()
                .find(|row| Some(row.seq()) == state.audit.selected);
            match selected {
                Some(AuditRow::Entry(entry)) => Some(entry.json.clone()),
                _ => None,
            }
        }
        Screen::Credentials => state
            .credentials
            .selected()
            .map(|it| it.credential.id.to_string()),
        Screen::Health | Screen::Approvals => None,
    };
    let Some(text) = text else {
        state.remark("nothing is selected");
        return Vec::new();
    };
    vec![Effect::Copy(text.into())]
}

/// Shows the record of what is selected as JSON.
pub(super) fn show(state: &mut State) {
    let shown = match state.screen {
        Screen::Agents => state
            .agents
            .selected()
            .map(|agent| (format!("Agent {}", agent.email), json(agent))),
        Screen::Detail => state.detail.as_ref().map(|detail| {
            let credential = detail
                .credential()
                .filter(|_| detail.tab == Tab::Credentials);
            match credential {
                Some(credential) => (format!("Credential {}", credential.id), json(credential)),
                None => (format!("Agent {}", detail.agent.email), json(&detail.agent)),
            }
        }),
        Screen::Keys => state
            .keys
            .selected()
            .map(|it| (format!("Signing key {}", it.key.kid), json(&it.key))),
        Screen::Credentials => state.credentials.selected().map(|it| {
            let id = it.credential.id;
            (format!("Credential {id}"), json(it))
        }),
        Screen::Audit | Screen::Health | Screen::Approvals => None,
    };
    match shown {
        Some((title, json)) => {
            state.dialog = Some(Dialog::Reader(Box::new(Reader::json(title, &json))));
        }
        None => state.remark("nothing is selected"),
    }
}

fn json(record: &impl Serialize) -> String {
    // Records are plain data: writing one does not fail.
    serde_json::to_string(record).unwrap_or_default()
}
