//! What can be done to an agent and its credentials: the menu behind `a`, and undo.

use agentidp_shared::agent::Transition;
use agentidp_shared::{AgentStatus, CredentialKind, CredentialStatus};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::bulk;
use crate::command_line::transition;
use crate::text::counted;
use crate::tui::event::{BulkOrder, Change, Command, Effect};
use crate::tui::state::bulk::Many;
use crate::tui::state::confirm::{Act, Confirm, Subject};
use crate::tui::state::detail::Tab;
use crate::tui::state::dialog::Dialog;
use crate::tui::state::log::AnswerTo;
use crate::tui::state::{Menu, Screen, State, Undoing};

/// One line of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) key: char,
    pub(crate) act: Act,
    pub(crate) label: &'static str,
    /// Why it cannot be done now; none when it can.
    pub(crate) why_not: Option<String>,
}

/// The menu that is open.
pub(crate) fn menu(state: &State) -> Vec<Action> {
    match state.menu {
        Some(Menu::Marked | Menu::All) => menu_of_many(state),
        _ if state.screen == Screen::Keys => menu_of_keys(state),
        Some(Menu::One) | None => menu_of_one(state),
    }
}

/// What can be done to many agents at once.
fn menu_of_many(state: &State) -> Vec<Action> {
    let read_only = state.why_read_only();
    [
        ('s', Act::Suspend, "suspend them"),
        ('u', Act::Resume, "resume them"),
        ('x', Act::Revoke, "revoke them"),
        ('d', Act::Decommission, "decommission them"),
        (
            'h',
            Act::Archive,
            "archive them: hide those that have ended",
        ),
    ]
    .map(|(key, act, label)| Action {
        key,
        act,
        label,
        why_not: read_only.clone(),
    })
    .into()
}

/// What can be done to signing keys.
fn menu_of_keys(state: &State) -> Vec<Action> {
    let Some(selected) = state.keys.selected().map(|it| &it.key) else {
        return Vec::new();
    };
    let action = |key, act: Act, label, why_not: Option<String>| Action {
        key,
        act,
        label,
        why_not: state.why_not(act.role()).or(why_not),
    };
    let is_signing = state.keys.active().is_some();
    let unsigned = (!is_signing).then(|| "no key signs now".to_owned());
    let is_out = !selected.state.is_published();
    let out = is_out.then(|| format!("the key is {}, and not in the JWKS", selected.state));
    let (rotate, withdraw) = (
        "rotate: replace the key that signs",
        "withdraw the selected key: it is compromised",
    );
    vec![
        action('r', Act::RotateKey, rotate, unsigned),
        action('x', Act::WithdrawKey, withdraw, out),
    ]
}

/// What can be done to the agent that is selected or open, and to its credential.
fn menu_of_one(state: &State) -> Vec<Action> {
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
    let suspended = ended().or(already(AgentStatus::Suspended));
    let resumed = ended().or(already(AgentStatus::Active));
    let mut menu = vec![
        action('s', Act::Suspend, "suspend", suspended),
        action('u', Act::Resume, "resume", resumed),
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
        let label = "revoke the credential's tokens";
        let act = Act::RevokeCredentialTokens;
        menu.push(action('k', act, label, credential.2));
    }
    let label = "revoke the agent's tokens";
    menu.push(action('t', Act::RevokeTokens, label, ended()));
    menu.push(action('x', Act::Revoke, "revoke the agent", ended()));
    let label = "decommission the agent";
    menu.push(action('d', Act::Decommission, label, ended()));
    if status.is_final() {
        let why_not = already(AgentStatus::Archived);
        menu.push(action('h', Act::Archive, "archive the agent", why_not));
    }
    menu
}

/// Why the selected credential cannot be rotated, why it cannot be revoked, and why its tokens cannot.
fn credential_actions(state: &State) -> (Option<String>, Option<String>, Option<String>) {
    let detail = state
        .detail
        .as_ref()
        .filter(|it| it.tab == Tab::Credentials);
    let Some(credential) = detail.and_then(|detail| detail.credential()) else {
        let why = Some("no credential is selected".to_owned());
        return (why.clone(), why.clone(), why);
    };
    let status = credential.status;
    let why = Some(format!("the credential is {status}"));
    match status {
        CredentialStatus::Active if credential.kind == CredentialKind::PublicKey => {
            let why = "the agent makes its new key: agentidp credential rotate --public-key";
            (Some(why.to_owned()), None, None)
        }
        CredentialStatus::Active => (None, None, None),
        CredentialStatus::Retiring => (why, None, None),
        // What it got before it expired may live on.
        CredentialStatus::Expired => (why.clone(), why, None),
        CredentialStatus::Revoked => (why.clone(), why.clone(), why),
    }
}

/// Opens the menu, when there is something to act on: the marked agents, or else the selected one.
pub(super) fn open_menu(state: &mut State) {
    state.message = None;
    let is_marked = state.screen == Screen::Agents && state.agents.marks.len() > 0;
    state.menu = Some(if is_marked { Menu::Marked } else { Menu::One });
    if menu(state).is_empty() {
        state.menu = None;
        state.say("nothing is selected");
    }
}

/// Opens the menu of what can be done to all that the filter lets through.
pub(super) fn open_menu_of_all(state: &mut State) {
    state.message = None;
    let filter = &state.agents.filter;
    if !filter.words.is_empty() {
        state.complain(
            "words are matched in this console alone: write text=WORD, and A acts on all that match",
        );
    } else if filter.pairs.is_empty() {
        state.complain("filter first: A acts on all agents that the filter lets through");
    } else {
        state.menu = Some(Menu::All);
    }
}

/// A key while the menu is open.
pub(super) fn choose(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    let actions = menu(state);
    let Some(menu) = state.menu.take() else {
        return Vec::new();
    };
    let KeyCode::Char(c) = key.code else {
        return Vec::new();
    };
    if key
        .modifiers
        .intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
    {
        return Vec::new();
    }
    let Some(action) = actions.into_iter().find(|it| it.key == c) else {
        return Vec::new();
    };
    if let Some(why_not) = action.why_not {
        state.complain(format!("cannot {}: {why_not}", action.label));
        return Vec::new();
    }
    match menu {
        Menu::One => confirm_one(state, action.act),
        Menu::Marked => bulk::open(state, action.act, Many::Marked(state.agents.marks.pinned())),
        Menu::All => {
            let filter = &state.agents.filter;
            let many = Many::Filter(filter.text.clone(), Box::new(state.agents.asked().clone()));
            bulk::open(state, action.act, many)
        }
    }
}

fn confirm_one(state: &mut State, act: Act) -> Vec<Effect> {
    let Some(subject) = subject(state, act) else {
        return Vec::new();
    };
    let confirm = Confirm::new(act, subject, state.now);
    let concerned = confirm.agent().map(|agent| agent.id);
    state.dialog = Some(Dialog::Confirm(Box::new(confirm)));
    match concerned {
        Some(id) if act.has_stakes() => vec![Effect::Send(Command::Stakes(id))],
        _ => Vec::new(),
    }
}

/// What an act would be done to.
fn subject(state: &State, act: Act) -> Option<Subject> {
    if state.screen == Screen::Keys {
        let key = match act {
            Act::RotateKey => state.keys.active(),
            _ => state.keys.selected(),
        };
        return key.map(|it| Subject::Key(Box::new(it.key.clone())));
    }
    if state.screen != Screen::Detail {
        let agent = state.agents.selected()?.clone();
        return Some(Subject::Agent(Box::new(agent)));
    }
    let detail = state.detail.as_ref()?;
    let agent = Box::new(detail.agent.clone());
    if !act.is_of_credential() {
        return Some(Subject::Agent(agent));
    }
    let credential = detail.credential()?.clone();
    Some(Subject::Credential(agent, Box::new(credential)))
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
    let reason = match undo.transition {
        Transition::Suspend => "undo of a resume",
        _ => "undo of a suspend",
    };
    if let [agent] = undo.agents.as_slice() {
        state.say(format!("undoing the change of {}", agent.email));
        let line = transition(undo.transition, &agent.email, agent.revision, reason);
        let change = Change::Transition {
            transition: undo.transition,
            agent: agent.id,
            reason: reason.to_owned(),
            revision: agent.revision,
        };
        state.undoing = Some(Undoing::One(change.clone()));
        let asked = AnswerTo::Change(change.clone());
        state.log.begin(state.now, asked, vec![line]);
        return vec![Effect::Send(Command::Change(change))];
    }
    state.say(format!(
        "undoing the change of {}",
        counted(undo.agents.len() as u64, "agent")
    ));
    state.bulk_ticket += 1;
    let order = BulkOrder {
        ticket: state.bulk_ticket,
        transition: undo.transition,
        reason: reason.to_owned(),
        many: Many::Marked(undo.agents),
        expected: None,
        is_dry_run: false,
    };
    state.undoing = Some(Undoing::Many(order.ticket));
    let asked = AnswerTo::Bulk(order.ticket);
    state.log.begin(state.now, asked, order.command_lines());
    vec![Effect::Send(Command::Bulk(Box::new(order)))]
}
