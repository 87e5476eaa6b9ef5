//! What the console reacts to, and what it asks to be done: the two faces of the reducer.

use std::path::PathBuf;

use agentidp_shared::agent::Transition;
use agentidp_shared::{Agent, AgentId, Credential, CredentialId, Organization, ScheduledKey};
use crossterm::event::KeyEvent;
use std::time::Duration;
use zeroize::Zeroizing;

use crate::client::{AgentQuery, Changed, DaemonStatus, Issued, ListedAgent, Page};

use super::state::audit::AuditRow;

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A key was pressed.
    Key(KeyEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has another size now.
    Resize(u16, u16),
    /// A second passed, or the program came back from being stopped.
    Tick,
    /// The connection has something to say.
    Net(NetEvent),
    /// A secret was written to a file, or could not be.
    SecretWritten(Result<PathBuf, String>),
    /// A secret was handed to the clipboard, or could not be: how.
    Copied(Result<&'static str, String>),
    /// The system asks the program to end.
    Terminate,
}

/// What the connection tells.
#[derive(Debug)]
pub(crate) enum NetEvent {
    /// The daemon answers.
    Connected(Box<Welcome>),
    /// The daemon does not answer.
    Lost(String),
    /// One page of agents.
    Agents {
        ticket: u64,
        page: usize,
        result: Result<Page<ListedAgent>, String>,
    },
    /// One agent as it is now.
    Agent(Result<Box<ListedAgent>, String>),
    /// An agent with all that its screen shows.
    Detail(AgentId, Result<Box<DetailData>, String>),
    /// The signing keys.
    Keys(Result<Vec<ScheduledKey>, String>),
    /// A change was made, or refused.
    Changed(Box<ChangeResult>),
    /// The log went on.
    Audit(AuditRow),
}

/// What a fresh connection knows.
#[derive(Debug)]
pub(crate) struct Welcome {
    pub(crate) status: DaemonStatus,
    pub(crate) socket: String,
    pub(crate) organizations: Vec<Organization>,
    /// The end of the log, oldest first; none when the stream goes on where it broke off.
    pub(crate) history: Option<Vec<AuditRow>>,
}

/// What an agent's screen shows.
#[derive(Debug)]
pub(crate) struct DetailData {
    pub(crate) agent: Agent,
    pub(crate) credentials: Vec<Credential>,
    /// Oldest first.
    pub(crate) entries: Vec<AuditRow>,
}

/// A change that an operator confirmed, with what it was pinned to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Transition {
        transition: Transition,
        agent: AgentId,
        reason: String,
        revision: u64,
    },
    Issue {
        agent: AgentId,
        expires_in: Option<Duration>,
    },
    Rotate {
        credential: CredentialId,
        grace: Option<Duration>,
        revision: u64,
    },
    RevokeCredential {
        credential: CredentialId,
        reason: String,
        revision: u64,
    },
}

/// How a change ended.
#[derive(Debug)]
pub(crate) struct ChangeResult {
    pub(crate) change: Change,
    pub(crate) outcome: Result<ChangeDone, String>,
}

/// What a change that was made gave.
#[derive(Debug)]
pub(crate) enum ChangeDone {
    Agent(Changed<Agent>),
    Credential(Changed<Credential>),
    Secret(Issued),
}

/// What the connection is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Agents {
        ticket: u64,
        page: usize,
        query: Box<AgentQuery>,
        token: String,
    },
    Agent(AgentId),
    Detail(AgentId),
    Keys,
    Change(Change),
}

/// What the reducer asks to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Ask the daemon.
    Send(Command),
    /// Leave the console.
    Quit,
    /// Draw everything anew.
    Redraw,
    /// Stop the program until the shell continues it.
    Stop,
    /// Hand a secret to the clipboard.
    Copy(Zeroizing<String>),
    /// Write a secret to a new file.
    WriteSecret(PathBuf, Zeroizing<String>),
}
