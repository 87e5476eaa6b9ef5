//! What the console reacts to, and what it asks to be done: the two faces of the reducer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use agentidp_proto::v1::watch_changes_response;
use agentidp_shared::agent::Transition;
use agentidp_shared::{Agent, AgentId, Credential, CredentialId, Organization, ScheduledKey};
use crossterm::event::KeyEvent;
use std::time::Duration;
use zeroize::Zeroizing;

use crate::client::{
    AgentActivity, AgentCounts, AgentQuery, Changed, DaemonStatus, Issued, ListedAgent, Page,
    ReviewedCredential, RevokedTokens, RotatedKeys,
};

use crate::error::Error;

use super::run::Output;
use super::serve::sentence;
use super::state::audit::AuditRow;
use super::state::bulk::{Many, Sums};
use super::state::credentials::Kind;
use super::state::marks::Pinned;

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
    /// The command that a secret was piped to ended well, or why not.
    SecretPiped(Result<(), String>),
    /// A command of the command line ended: its number, and with what.
    Ran(u64, Box<Output>),
    /// A text was written to a file, or could not be.
    Exported(Result<PathBuf, String>),
    /// A secret or an id was handed to the clipboard, or could not be: how.
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
    /// The daemon is there, and has said nothing for so long.
    Silent(Duration),
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
    /// Which agent the audit log's filter names, or why it names none.
    Named(String, Result<AgentId, String>),
    /// What an agent got lately.
    Activity(AgentId, Result<AgentActivity, String>),
    /// Credentials that somebody should look after: which list, and a page of it.
    Credentials(u64, Result<Page<ReviewedCredential>, String>),
    /// How the daemon is.
    Health(Result<Box<HealthData>, String>),
    /// The signing keys.
    Keys(Result<Vec<ScheduledKey>, String>),
    /// A change was made, or refused.
    Changed(Box<ChangeResult>),
    /// How far a change of many is: which, what it came to so far, and when it is over, how.
    Bulk {
        ticket: u64,
        sums: Box<Sums>,
        over: Option<Result<(), String>>,
        /// When it is over: those that were moved, as they are after it; none when they are more than
        /// can be taken back.
        moved: Vec<Pinned>,
    },
    /// What hangs on an agent and its credentials.
    Stakes(AgentId, Result<Box<Stakes>, String>),
    /// The log went on.
    Audit(AuditRow),
    /// A record changed.
    Record(RecordChange),
    /// More changed than was told one by one.
    ChangesLost,
    /// How many other connections of operators there are.
    Others(u32),
    /// The organizations.
    Organizations(Result<Vec<Organization>, String>),
}

/// A record that changed, and its revision then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordChange {
    pub(crate) record: Record,
    pub(crate) revision: u64,
    pub(crate) is_new: bool,
}

/// Which record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    Organization,
    Agent(AgentId),
    /// A credential of this agent.
    Credential(AgentId),
    Key,
}

impl RecordChange {
    /// As the daemon tells it; none for a kind of record that is not shown anywhere.
    pub(crate) fn of(change: &watch_changes_response::Change) -> Option<Self> {
        let record = match change.kind.as_str() {
            "organization" => Record::Organization,
            "agent" => Record::Agent(change.id.parse().ok()?),
            "credential" => Record::Credential(change.agent_id.parse().ok()?),
            "signing_key" => Record::Key,
            _ => return None,
        };
        Some(Self {
            record,
            revision: change.revision,
            is_new: change.revision == 1,
        })
    }
}

/// What a fresh connection knows.
#[derive(Debug)]
pub(crate) struct Welcome {
    pub(crate) status: DaemonStatus,
    /// The store is another than before, or one of an earlier time: nothing that was read of it counts.
    pub(crate) is_other_store: bool,
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

/// How the daemon is.
#[derive(Debug)]
pub(crate) struct HealthData {
    pub(crate) status: DaemonStatus,
    pub(crate) counts: AgentCounts,
    pub(crate) keys: Vec<ScheduledKey>,
}

/// What hangs on an agent's credentials: what a change that ends them would hit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stakes {
    /// Tokens that were issued and have not expired, by the credential that proved the agent.
    pub(crate) tokens: BTreeMap<CredentialId, u64>,
    /// Where the credentials were used from lately.
    pub(crate) addresses: BTreeMap<CredentialId, BTreeSet<String>>,
    /// The log was not read to its end: there may be more of both.
    pub(crate) is_more: bool,
    /// The credentials that are accepted now.
    pub(crate) accepted: Vec<CredentialId>,
}

/// A change of many agents, as the connection is asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BulkOrder {
    pub(crate) ticket: u64,
    pub(crate) transition: Transition,
    pub(crate) reason: String,
    pub(crate) many: Many,
    /// How many agents are meant; the daemon refuses another number.
    pub(crate) expected: Option<u64>,
    pub(crate) is_dry_run: bool,
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
    /// Every token that was issued until now.
    RevokeTokens { of: TokensOf, reason: String },
    /// A new key to sign with; in an emergency in place of the one that is withdrawn.
    RotateKey {
        withdrawn: Option<String>,
        reason: String,
    },
}

/// Whose tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokensOf {
    Agent(AgentId),
    Credential(CredentialId),
}

/// How a change ended.
#[derive(Debug)]
pub(crate) struct ChangeResult {
    pub(crate) change: Change,
    pub(crate) outcome: Result<ChangeDone, NotDone>,
}

/// Why it is not known that a change was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotDone {
    pub(crate) why: String,
    pub(crate) is: Doubt,
}

/// What is known of a change that did not come back as made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It was not made.
    Refused,
    /// It was not made, and never will be as it was asked for: the record is at another revision by now.
    Overtaken,
    /// No answer came: it may have been made.
    Unanswered,
}

impl From<String> for NotDone {
    fn from(why: String) -> Self {
        let is = Doubt::Refused;
        Self { why, is }
    }
}

impl From<Error> for NotDone {
    fn from(error: Error) -> Self {
        match &error {
            Error::Refused(refusal) if refusal.code.as_deref() == Some("REVISION_CONFLICT") => {
                Self {
                    why: format!("{error}; esc closes this: open it anew"),
                    is: Doubt::Overtaken,
                }
            }
            Error::Unreachable { .. } => Self {
                why: sentence(error),
                is: Doubt::Unanswered,
            },
            _ => sentence(error).into(),
        }
    }
}

/// What a change that was made gave.
#[derive(Debug)]
pub(crate) enum ChangeDone {
    Agent(Changed<Agent>),
    Credential(Changed<Credential>),
    Secret(Issued),
    Tokens(RevokedTokens),
    Keys(Box<RotatedKeys>),
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
    /// Which agent is of this id or e-mail.
    Name(String),
    Activity(AgentId),
    Keys,
    Organizations,
    Credentials {
        ticket: u64,
        kind: Kind,
        token: String,
    },
    Health,
    Change(Change),
    Bulk(Box<BulkOrder>),
    /// Stops the change of many that is under way; what was done stays.
    StopBulk,
    Stakes(AgentId),
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
    /// Give a secret to a command of the shell, on its standard input.
    PipeSecret(String, Zeroizing<String>),
    /// Run a command of the command line, by its number.
    Run(u64, Vec<String>),
    /// End the command that runs.
    StopRun,
    /// Write a text to a new file.
    Export(PathBuf, String),
}
