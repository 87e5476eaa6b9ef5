//! What the connection tells.

use agentidp_shared::{AgentId, Timestamp};

use super::bulk;
use super::follow::{audit, read_all_again, read_detail_again, read_shown_again, record};
use crate::client::{ListedAgent, Page, ReviewedCredential};
use crate::tui::event::{
    ChangeDone, ChangeResult, Command, DetailData, Doubt, Effect, NetEvent, Welcome,
};
use crate::tui::state::detail::Detail;
use crate::tui::state::dialog::{Dialog, SecretDialog};
use crate::tui::state::log::{AnswerTo, Ending};
use crate::tui::state::marks::Pinned;
use crate::tui::state::{Link, Screen, State, Undo, Undoing};

/// How a daemon is told of that takes connections and says nothing.
const SILENT: &str =
    "no word from the daemon since then: it hangs, or was stopped; agentidp diagnose tells more";

/// Takes in what the connection tells.
pub(super) fn take_in(state: &mut State, event: NetEvent) -> Vec<Effect> {
    match event {
        NetEvent::Connected(welcome) => return connected(state, *welcome),
        NetEvent::Lost(why) => lost(state, state.now, why),
        NetEvent::Silent(long) => lost(state, state.now.minus(long), SILENT.to_owned()),
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
            if let Some(Dialog::Confirm(confirm)) = &mut state.dialog {
                confirm.seen_again(&listed.agent);
            }
            state.agents.patch(*listed);
            let height = state.list_height();
            state.agents.settle(height);
        }
        NetEvent::Detail(id, result) => return detail(state, id, result),
        NetEvent::Named(name, Ok(id)) => state.audit.name(name, id),
        NetEvent::Named(name, Err(why)) => {
            state.complain(format!("agent={name}: {why}"));
        }
        NetEvent::Activity(id, result) => {
            let detail = state.detail.as_mut().filter(|it| it.agent.id == id);
            // What could not be read stays as it was, and is asked for again.
            if let (Some(detail), Ok(activity)) = (detail, result) {
                detail.activity = Some(activity);
            }
        }
        NetEvent::Credentials(ticket, result) if ticket == state.credentials.ticket => {
            credentials(state, result);
        }
        // What could not be read stays as it was; the next change or connection asks again. And a
        // list that is not shown any more is of no use.
        NetEvent::Agent(Err(_)) | NetEvent::Credentials(..) | NetEvent::Organizations(Err(_)) => {}
        NetEvent::Health(Ok(health)) => {
            // As of now, where the stream of changes tells it now and then.
            let others = health.status.connections.iter().filter(|it| !it.own);
            state.others = u32::try_from(others.count()).unwrap_or(u32::MAX);
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
        } => bulk::progressed(state, ticket, *sums, over, moved),
        NetEvent::Stakes(id, result) => {
            if let Some(Dialog::Confirm(confirm)) = &mut state.dialog
                && confirm.agent().is_some_and(|agent| agent.id == id)
                && confirm.act.has_stakes()
            {
                confirm.stakes = Some(result);
            }
        }
        NetEvent::Audit(row) => return audit(state, row),
        NetEvent::Record(change) => return record(state, &change),
        NetEvent::ChangesLost => return read_all_again(state),
        NetEvent::Others(count) => state.others = count,
        NetEvent::Organizations(Ok(all)) => state.organizations = all,
    }
    Vec::new()
}

fn detail(state: &mut State, id: AgentId, result: Result<Box<DetailData>, String>) -> Vec<Effect> {
    if let Some((_, credential)) = state.opening.take_if(|(agent, _)| *agent == id) {
        match &result {
            Ok(data) => {
                let mut detail = Detail::new(data.agent.clone());
                detail.from = Screen::Credentials;
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
    state.link = Link::Live;
    state.socket_path = welcome.socket;
    state.organizations = welcome.organizations;
    state.status = Some(welcome.status);
    state.agents.loading = None;
    state.agents.failed = None;
    if let Some(history) = welcome.history {
        state.audit.restart(history);
    }
    if welcome.is_other_store {
        let filter = state.agents.filter.clone();
        state.restart_agents(filter);
        state.agents.marks.clear();
        state.detail = None;
        state.keys.rows = None;
        state.undo = None;
        if state.screen == Screen::Detail {
            state.screen = Screen::Agents;
        }
        state.complain("the store is another than before: everything was read again");
    } else if was_lost {
        state.say("connected");
    }
    let mut effects = Vec::new();
    if let Some(want) = state.agents.want_again() {
        effects.push(super::ask(state, want));
    }
    effects.extend(read_shown_again(state));
    match state.screen {
        Screen::Keys => effects.push(Effect::Send(Command::Keys)),
        Screen::Health => effects.push(Effect::Send(Command::Health)),
        Screen::Credentials => state.credentials.restart(false),
        _ => {}
    }
    effects
}

/// The daemon was heard for the last time `at` then.
fn lost(state: &mut State, at: Timestamp, why: String) {
    state.link = match (&state.link, &state.status) {
        (Link::Stale(since, _), _) => Link::Stale(*since, why),
        (_, Some(_)) => Link::Stale(at, why),
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
    let ending = match &result.outcome {
        Ok(_) => Ending::Done,
        Err(not) => Ending::from(not),
    };
    state
        .log
        .end(&AnswerTo::Change(result.change.clone()), ending);
    // Another dialog may have been opened since.
    let its_dialog = match &mut state.dialog {
        Some(Dialog::Confirm(confirm)) if confirm.sent.as_ref() == Some(&result.change) => {
            Some(confirm)
        }
        _ => None,
    };
    let done = match (result.outcome, its_dialog) {
        (Ok(done), Some(_)) => {
            state.dialog = None;
            done
        }
        (Ok(done), None) => done,
        (Err(not), Some(confirm)) => {
            confirm.sent = None;
            confirm.is_overtaken = not.is == Doubt::Overtaken;
            confirm.note = Some(not.why);
            return Vec::new();
        }
        (Err(not), None) => {
            state.complain(not.why);
            return Vec::new();
        }
    };
    match done {
        ChangeDone::Agent(changed) => {
            let agent = changed.record;
            state.say(format!(
                "{} is {} (audit {})",
                agent.email, agent.status, changed.audit_seq
            ));
            state.undo = Undo::of(vec![Pinned::new(&agent)], state.now).filter(|_| !is_undo);
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
            state
                .secrets
                .push_back(SecretDialog::new(issued, email, state.now));
            super::secret::show_next(state);
        }
        ChangeDone::Tokens(revoked) => state.say(format!(
            "every token issued until now is dead{}",
            revoked.in_log()
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
