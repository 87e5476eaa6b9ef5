//! What the connection tells.

use agentidp_shared::agent::Transition;
use agentidp_shared::{Action, ActorKind, AgentId, Entry, Outcome, TargetKind};

use super::bulk;
use crate::client::{ListedAgent, Page, ReviewedCredential};
use crate::tui::event::{Change, ChangeDone, ChangeResult, Command, Effect, NetEvent, Welcome};
use crate::tui::state::audit::{AuditEntry, AuditRow};
use crate::tui::state::detail::Detail;
use crate::tui::state::dialog::{Dialog, SecretDialog};
use crate::tui::state::log::Asked;
use crate::tui::state::marks::Pinned;
use crate::tui::state::{Link, Screen, State, UNDO, Undo, Undoing};

/// Takes in what the connection tells.
pub(super) fn take_in(state: &mut State, event: NetEvent) -> Vec<Effect> {
    match event {
        NetEvent::Connected(welcome) => return connected(state, *welcome),
        NetEvent::Lost(why) => lost(state, why),
        NetEvent::Agents {
            ticket,
            page,
            result,
        } => {
            if ticket == state.agents.ticket {
                let height = state.list_height();
                match result {
                    Ok(rows) => state.agents.arrived(page, rows, height),
                    Err(why) => {
                        state.agents.loading = None;
                        if state.link == Link::Live {
                            state.agents.failed = Some(why.clone());
                            state.complain(why);
                        }
                    }
                }
            }
        }
        NetEvent::Agent(Ok(listed)) => {
            if let Some(detail) = &mut state.detail
                && detail.agent.id == listed.agent.id
                && detail.agent.revision <= listed.agent.revision
            {
                detail.agent = listed.agent.clone();
            }
            state.agents.patch(*listed);
            let height = state.list_height();
            state.agents.settle(height);
        }
        NetEvent::Detail(id, result) => {
            if let Some((_, credential)) = state.opening.take_if(|(agent, _)| *agent == id) {
                match &result {
                    Ok(data) => {
                        let mut detail = Detail::new(data.agent.clone());
                        detail.selected = Some(credential);
                        state.detail = Some(detail);
                        state.screen = Screen::Detail;
                    }
                    Err(why) => state.complain(why.clone()),
                }
            }
            let Some(detail) = state.detail.as_mut().filter(|it| it.agent.id == id) else {
                return Vec::new();
            };
            detail.is_loading = false;
            match result {
                Ok(data) => {
                    let listed = ListedAgent::new(data.agent.clone(), &data.credentials);
                    state.agents.patch(listed);
                    detail.arrived(*data);
                }
                Err(why) => detail.failed = Some(why),
            }
            if std::mem::take(&mut detail.is_outdated) {
                return read_detail_again(state, id);
            }
        }
        NetEvent::Credentials(ticket, result) if ticket == state.credentials.ticket => {
            credentials(state, result);
        }
        // What could not be read stays as it was; the next change or connection asks again. And a
        // list that is not shown any more is of no use.
        NetEvent::Agent(Err(_)) | NetEvent::Credentials(..) => {}
        NetEvent::Health(Ok(health)) => {
            state.status = Some(health.status);
            state.health.counts = Some(health.counts);
            state.health.failed = None;
            state.keys.rows = Some(health.keys);
        }
        NetEvent::Health(Err(why)) => state.health.failed = Some(why),
        NetEvent::Keys(Ok(rows)) => {
            state.keys.rows = Some(rows);
            state.keys.failed = None;
        }
        NetEvent::Keys(Err(why)) => state.keys.failed = Some(why),
        NetEvent::Changed(result) => return changed(state, *result),
        NetEvent::Bulk {
            ticket,
            sums,
            over,
            moved,
        } => bulk::progressed(state, ticket, *sums, over, &moved),
        NetEvent::Stakes(id, result) => {
            if let Some(Dialog::Confirm(confirm)) = &mut state.dialog
                && confirm.agent().is_some_and(|agent| agent.id == id)
                && confirm.act.has_stakes()
            {
                confirm.stakes = Some(result);
            }
        }
        NetEvent::Audit(row) => return audit(state, row),
    }
    Vec::new()
}

fn credentials(state: &mut State, result: Result<Page<ReviewedCredential>, String>) {
    match result {
        Ok(page) => state.credentials.arrived(page),
        Err(why) => {
            state.credentials.is_loading = false;
            state.credentials.failed = Some(why);
        }
    }
}

fn connected(state: &mut State, welcome: Welcome) -> Vec<Effect> {
    let was_lost = state.link != Link::Connecting(None);
    let is_other_store = state
        .status
        .as_ref()
        .is_some_and(|status| status.store.id != welcome.status.store.id);
    state.link = Link::Live;
    state.socket_path = welcome.socket;
    state.organizations = welcome.organizations;
    state.status = Some(welcome.status);
    state.agents.loading = None;
    state.agents.failed = None;
    if let Some(history) = welcome.history {
        state.audit.restart(history);
    }
    if is_other_store {
        let filter = state.agents.filter.clone();
        state.restart_agents(filter);
        state.agents.marks.clear();
        state.detail = None;
        state.keys.rows = None;
        state.undo = None;
        if state.screen == Screen::Detail {
            state.screen = Screen::Agents;
        }
        state.complain("this is another store than before: everything was read again");
    } else if was_lost {
        state.say("connected");
    }
    let mut effects = Vec::new();
    if let Some(want) = state.agents.want_again() {
        effects.push(super::ask(state, want));
    }
    if let Some(id) = state.detail.as_ref().map(|detail| detail.agent.id) {
        effects.extend(read_detail_again(state, id));
    }
    match state.screen {
        Screen::Keys => effects.push(Effect::Send(Command::Keys)),
        Screen::Health => effects.push(Effect::Send(Command::Health)),
        Screen::Credentials => state.credentials.restart(false),
        _ => {}
    }
    effects
}

fn lost(state: &mut State, why: String) {
    state.link = match (&state.link, &state.status) {
        (Link::Stale(since, _), _) => Link::Stale(*since, why),
        (_, Some(_)) => Link::Stale(state.now, why),
        (_, None) => Link::Connecting(Some(why)),
    };
    state.agents.loading = None;
    if let Some(detail) = &mut state.detail {
        detail.is_loading = false;
    }
}

fn changed(state: &mut State, result: ChangeResult) -> Vec<Effect> {
    let is_undo = state.undoing == Some(Undoing::One(result.change.clone()));
    if is_undo {
        state.undoing = None;
    }
    let ending = result.outcome.as_ref().map(|_| ()).map_err(Clone::clone);
    state.log.end(&Asked::Change(result.change.clone()), ending);
    let done = match result.outcome {
        Ok(done) => done,
        Err(why) => {
            match &mut state.dialog {
                Some(Dialog::Confirm(confirm)) if confirm.is_sent => {
                    confirm.is_sent = false;
                    confirm.note = Some(why);
                }
                _ => state.complain(why),
            }
            return Vec::new();
        }
    };
    if matches!(&state.dialog, Some(Dialog::Confirm(confirm)) if confirm.is_sent) {
        state.dialog = None;
    }
    match done {
        ChangeDone::Agent(changed) => {
            let agent = changed.record;
            state.say(format!(
                "{} is {} (audit {})",
                agent.email, agent.status, changed.audit_seq
            ));
            let opposite = match result.change {
                _ if is_undo => None,
                Change::Transition {
                    transition: Transition::Suspend,
                    ..
                } => Some(Transition::Resume),
                Change::Transition {
                    transition: Transition::Resume,
                    ..
                } => Some(Transition::Suspend),
                _ => None,
            };
            state.undo = opposite.map(|transition| Undo {
                transition,
                agents: vec![Pinned::new(&agent)],
                until: state.now.plus(UNDO),
            });
            if let Some(detail) = &mut state.detail
                && detail.agent.id == agent.id
            {
                detail.agent = agent.clone();
            }
            state.agents.patch_record(agent);
            let height = state.list_height();
            state.agents.settle(height);
        }
        ChangeDone::Credential(changed) => {
            let id = changed.record.id.to_string();
            state.say(format!(
                "credential {} is {} (audit {})",
                crate::audit_text::short_id(&id),
                changed.record.status,
                changed.audit_seq
            ));
        }
        ChangeDone::Secret(issued) => {
            let email = state.agent_name(&issued.credential.agent_id.to_string());
            let verb = if issued.retiring.is_some() {
                "rotated"
            } else {
                "issued"
            };
            state.say(format!("{verb} for {email} (audit {})", issued.audit_seq));
            // Whatever is open gives way: this is shown once.
            state.dialog = Some(Dialog::Secret(Box::new(SecretDialog::new(
                issued, email, state.now,
            ))));
            state.prompt = None;
            state.menu = None;
        }
        ChangeDone::Tokens(revoked) => state.say(format!(
            "every token issued until now is dead (audit {})",
            revoked.audit_seq
        )),
        ChangeDone::Keys(rotated) => {
            let kid: String = rotated.key.key.kid.chars().take(8).collect();
            let (is, seq) = (rotated.key.key.state, rotated.audit_seq);
            state.say(match rotated.revoked.len() {
                0 => format!("the signing key {kid} is {is} (audit {seq})"),
                count => format!("{count} withdrawn; the signing key {kid} is {is} (audit {seq})"),
            });
            return vec![Effect::Send(Command::Keys)];
        }
    }
    Vec::new()
}

fn audit(state: &mut State, row: AuditRow) -> Vec<Effect> {
    let effects = match &row {
        AuditRow::Entry(entry) => follow_entry(state, entry),
        // What happened in a gap is not known, so what is shown is read again.
        AuditRow::Gap { .. } => {
            let want = state.agents.want_again();
            let mut effects: Vec<_> = want
                .map(|want| super::ask(state, want))
                .into_iter()
                .collect();
            if let Some(id) = state.detail.as_ref().map(|detail| detail.agent.id) {
                effects.extend(read_detail_again(state, id));
            }
            effects
        }
    };
    state.audit.push(row);
    effects
}

/// Keeps what is shown in line with what the log says.
fn follow_entry(state: &mut State, row: &AuditEntry) -> Vec<Effect> {
    let Some(entry) = &row.entry else {
        return Vec::new();
    };
    state.health.rates.note(entry, state.now);
    let shown = state.detail.as_ref().map(|detail| detail.agent.id);
    let concerns_shown = shown.is_some_and(|id| entry.concerns_agent(id));
    if let Some(detail) = &mut state.detail
        && concerns_shown
    {
        detail.push(row);
    }
    if entry.outcome != Outcome::Success {
        return Vec::new();
    }
    match entry.action {
        Action::TokenIssue => {
            note_token(state, entry);
            Vec::new()
        }
        Action::AgentRegister => {
            state.agents.has_new = true;
            Vec::new()
        }
        Action::AgentUpdate
        | Action::AgentSuspend
        | Action::AgentResume
        | Action::AgentRevoke
        | Action::AgentDecommission
        | Action::AgentArchive => {
            let mut effects = Vec::new();
            if let Some(id) = target_agent(entry)
                && let Some(agent) = state.agents.get(id)
            {
                let seen = entry.target.as_ref().and_then(|target| target.revision);
                // The answer to one's own change was here first.
                if seen.is_none_or(|revision| revision > agent.revision) {
                    state.agents.changed.insert(id);
                }
            }
            if let Some(id) = shown.filter(|_| concerns_shown) {
                effects.extend(read_detail_again(state, id));
            }
            effects
        }
        Action::CredentialIssue
        | Action::CredentialRotate
        | Action::CredentialRetire
        | Action::CredentialRevoke => {
            // Its row says how many it has.
            if let Some(id) = entry.agent_id
                && state.agents.get(id).is_some()
            {
                state.agents.changed.insert(id);
            }
            match shown.filter(|_| concerns_shown) {
                Some(id) => read_detail_again(state, id),
                None => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

/// Asks for the agent's screen again: at most one answer is awaited at a time.
fn read_detail_again(state: &mut State, id: AgentId) -> Vec<Effect> {
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
