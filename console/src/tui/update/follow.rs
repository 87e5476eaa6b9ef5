//! Following the daemon: what is shown stays in line with what the log says, and with what changes.

use agentidp_shared::{Action, ActorKind, AgentId, Entry, Outcome, TargetKind};

use crate::tui::event::{Command, Effect, Record, RecordChange};
use crate::tui::state::State;
use crate::tui::state::audit::{AuditEntry, AuditRow};

pub(super) fn audit(state: &mut State, row: AuditRow) -> Vec<Effect> {
    let effects = match &row {
        AuditRow::Entry(entry) => {
            follow_entry(state, entry);
            Vec::new()
        }
        // Which tokens were issued in a gap is not known, so what is shown of their use is read again.
        AuditRow::Gap { .. } => {
            let want = state.agents.want_again();
            let again = want.map(|want| super::ask(state, want));
            let mut effects: Vec<_> = again.into_iter().collect();
            effects.extend(read_shown_again(state));
            effects
        }
    };
    state.audit.push(row);
    effects
}

/// Takes in what the log says of use. Which records changed, another stream tells.
fn follow_entry(state: &mut State, row: &AuditEntry) {
    let Some(entry) = &row.entry else {
        return;
    };
    state.health.rates.note(entry, state.now);
    if let Some(detail) = &mut state.detail
        && entry.concerns_agent(detail.agent.id)
    {
        detail.push(row);
    }
    if entry.outcome == Outcome::Success && entry.action == Action::TokenIssue {
        note_token(state, entry);
    }
}

/// A record changed: what is shown of it is read again, by its id.
pub(super) fn record(state: &mut State, change: &RecordChange) -> Vec<Effect> {
    match change.record {
        Record::Organization => vec![Effect::Send(Command::Organizations)],
        Record::Key if state.keys.rows.is_some() => vec![Effect::Send(Command::Keys)],
        Record::Key => Vec::new(),
        Record::Agent(id) => {
            state.agents.has_new |= change.is_new;
            let known = state.agents.get(id);
            // The answer to one's own change was here first.
            if known.is_some_and(|agent| agent.revision < change.revision) {
                state.agents.changed.insert(id);
            }
            read_again_if_shown(state, id)
        }
        Record::Credential(agent) => {
            state.credentials.has_changed = true;
            // Its row says how many it has.
            if state.agents.get(agent).is_some() {
                state.agents.changed.insert(agent);
            }
            read_again_if_shown(state, agent)
        }
    }
}

/// More changed than was told: everything that is shown is read again.
pub(super) fn read_all_again(state: &mut State) -> Vec<Effect> {
    let filter = state.agents.filter.clone();
    state.restart_agents(filter);
    state.credentials.has_changed = true;
    let mut effects = read_shown_again(state);
    effects.push(Effect::Send(Command::Organizations));
    if state.keys.rows.is_some() {
        effects.push(Effect::Send(Command::Keys));
    }
    effects
}

fn read_again_if_shown(state: &mut State, id: AgentId) -> Vec<Effect> {
    match &state.detail {
        Some(detail) if detail.agent.id == id => read_detail_again(state, id),
        _ => Vec::new(),
    }
}

pub(super) fn read_shown_again(state: &mut State) -> Vec<Effect> {
    match state.detail.as_ref().map(|detail| detail.agent.id) {
        Some(id) => read_detail_again(state, id),
        None => Vec::new(),
    }
}

/// Asks for the agent's screen again: at most one answer is awaited at a time.
pub(super) fn read_detail_again(state: &mut State, id: AgentId) -> Vec<Effect> {
    let Some(detail) = &mut state.detail else {
        return Vec::new();
    };
    if detail.is_loading {
        detail.is_outdated = true;
        return Vec::new();
    }
    detail.is_loading = true;
    vec![Effect::Send(Command::Detail(id))]
}

fn target_agent(entry: &Entry) -> Option<AgentId> {
    let target = entry.target.as_ref()?;
    (target.kind == TargetKind::Agent)
        .then(|| target.id.parse().ok())
        .flatten()
}

/// A token was issued: its agent and its credential were used.
fn note_token(state: &mut State, entry: &Entry) {
    let of_actor = (entry.actor.kind == ActorKind::Agent)
        .then(|| entry.actor.id.as_ref()?.parse().ok())
        .flatten();
    let Some(id) = entry.agent_id.or(of_actor).or_else(|| target_agent(entry)) else {
        return;
    };
    if let Some(agent) = state.agents.get_mut(id) {
        agent.last_auth_at = agent.last_auth_at.max(Some(entry.time));
    }
    if let Some(detail) = &mut state.detail
        && detail.agent.id == id
    {
        detail.agent.last_auth_at = detail.agent.last_auth_at.max(Some(entry.time));
        let used = detail
            .credentials
            .iter_mut()
            .flatten()
            .find(|it| Some(it.id) == entry.credential_id);
        if let Some(credential) = used {
            credential.last_used_at = credential.last_used_at.max(Some(entry.time));
        }
    }
}
