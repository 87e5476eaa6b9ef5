//! What can be done to an agent and its credentials: the menu behind `a`, and undo.

use agentidp_shared::agent::Transition;
use agentidp_shared::{AgentStatus, CredentialKind, CredentialStatus};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::tui::event::{Change, Command, Effect};
use crate::tui::state::confirm::{Act, Confirm};
use crate::tui::state::detail::Tab;
use crate::tui::state::dialog::Dialog;
use crate::tui::state::{Screen, State};

/// One line of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) key: char,
    pub(crate) act: Act,
    pub(crate) label: &'static str,
    /// Why it cannot be done now; none when it can.
    pub(crate) why_not: Option<String>,
}

/// The menu of the screen that is shown.
pub(crate) fn menu(state: &State) -> Vec<Action> {
    let agent = match state.screen {
        Screen::Detail => state.detail.as_ref().map(|detail| &detail.agent),
        _ => state.agents.selected(),
    };
    let Some(agent) = agent else {
        return Vec::new();
    };
    let read_only = state.why_read_only();
    let action = |key, act, label, why_not: Option<String>| Action {
        key,
        act,
        label,
        why_not: read_only.clone().or(why_not),
    };
    let status = agent.status;
    let ended = || {
        status
            .is_final()
            .then(|| format!("the agent is {status}, which is for good"))
    };
    let already =
        |other: AgentStatus| (status == other).then(|| format!("the agent is {status} already"));
    let mut menu = vec![
        action(
            's',
            Act::Suspend,
            "suspend",
            ended().or(already(AgentStatus::Suspended)),
        ),
        action(
            'u',
            Act::Resume,
            "resume",
            ended().or(already(AgentStatus::Active)),
        ),
        action('i', Act::Issue, "issue a client secret", ended()),
    ];
    if state.screen == Screen::Detail {
        let credential = credential_actions(state);
        menu.push(action(
            'r',
            Act::Rotate,
            "rotate the credential",
            ended().or(credential.0),
        ));
        let label = "revoke the credential";
        menu.push(action('c', Act::RevokeCredential, label, credential.1));
    }
    menu.push(action('x', Act::Revoke, "revoke the agent", ended()));
    menu.push(action(
        'd',
        Act::Decommission,
        "decommission the agent",
        ended(),
    ));
    menu
}

/// Why the selected credential cannot be rotated, and why it cannot be revoked.
fn credential_actions(state: &State) -> (Option<String>, Option<String>) {
    let detail = state
        .detail
        .as_ref()
        .filter(|it| it.tab == Tab::Credentials);
    let Some(credential) = detail.and_then(|detail| detail.credential()) else {
        let why = "no credential is selected".to_owned();
        return (Some(why.clone()), Some(why));
    };
    let status = credential.status;
    let why = format!("the credential is {status}");
    match status {
        CredentialStatus::Active if credential.kind == CredentialKind::PublicKey => {
            let why = "the agent makes its new key: agentidp credential rotate --public-key";
            (Some(why.to_owned()), None)
        }
        CredentialStatus::Active => (None, None),
        CredentialStatus::Retiring => (Some(why), None),
        CredentialStatus::Revoked | CredentialStatus::Expired => (Some(why.clone()), Some(why)),
    }
}

/// Opens the menu, when there is something to act on.
pub(super) fn open_menu(state: &mut State) {
    state.message = None;
    if menu(state).is_empty() {
        state.say("no agent is selected");
    } else {
        state.is_menu_open = true;
    }
}

/// A key while the menu is open.
pub(super) fn choose(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    state.is_menu_open = false;
    let KeyCode::Char(c) = key.code else {
        return Vec::new();
    };
    if key
        .modifiers
        .intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
    {
        return Vec::new();
    }
    let Some(action) = menu(state).into_iter().find(|it| it.key == c) else {
        return Vec::new();
    };
    if let Some(why_not) = action.why_not {
        state.complain(format!("cannot {}: {why_not}", action.label));
        return Vec::new();
    }
    let detail = state.detail.as_ref();
    let (agent, credential) = match state.screen {
        Screen::Detail => (
            detail.map(|it| it.agent.clone()),
            detail.and_then(|it| it.credential().cloned()),
        ),
        _ => (state.agents.selected().cloned(), None),
    };
    let credential =
        credential.filter(|_| matches!(action.act, Act::Rotate | Act::RevokeCredential));
    if let Some(agent) = agent {
        let confirm = Confirm::new(action.act, agent, credential, state.now);
        state.dialog = Some(Dialog::Confirm(Box::new(confirm)));
    }
    Vec::new()
}

/// Takes back the last suspend or resume.
pub(super) fn undo(state: &mut State) -> Vec<Effect> {
    let Some(undo) = state.undo.take() else {
        state.say("nothing to undo");
        return Vec::new();
    };
    if let Some(why_not) = state.why_read_only() {
        state.complain(format!("cannot undo: {why_not}"));
        state.undo = Some(undo);
        return Vec::new();
    }
    state.say(format!("undoing the change of {}", undo.email));
    let reason = match undo.transition {
        Transition::Suspend => "undo of a resume",
        _ => "undo of a suspend",
    };
    let change = Change::Transition {
        transition: undo.transition,
        agent: undo.agent,
        reason: reason.to_owned(),
        revision: undo.revision,
    };
    state.undoing = Some(change.clone());
    vec![Effect::Send(Command::Change(change))]
}
