//! A change about to be made, and what it takes to confirm it.

use std::time::Duration;

use agentidp_shared::duration::{self, DurationError};
use agentidp_shared::{Agent, AgentId, Credential, SigningKey, Timestamp};
use tui_input::Input;

use crate::audit_text::short_id;
use crate::command_line::{CommandLine, transition};
use crate::tui::event::{Change, Stakes, TokensOf};

pub(crate) use super::act::{Act, Field, Tier};

/// How much of a signing key's name is typed to confirm: as much as the command line asks for.
const KEY_NAME: usize = 8;

/// What it is done to, as it was seen.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    Agent(Box<Agent>),
    /// A credential and whose it is.
    Credential(Box<Agent>, Box<Credential>),
    Key(Box<SigningKey>),
}

/// A change about to be made. It is pinned: whatever the list does below, it is made to this
/// record at this revision or not at all.
#[derive(Debug)]
pub(crate) struct Confirm {
    pub(crate) act: Act,
    pub(crate) subject: Subject,
    pub(crate) reason: Input,
    pub(crate) typed: Input,
    pub(crate) period: Input,
    /// The period is the one that is proposed: what is typed takes its place.
    pub(crate) is_proposed: bool,
    pub(crate) focus: Field,
    pub(crate) opened: Timestamp,
    /// What was asked for, until the answer comes.
    pub(crate) sent: Option<Change>,
    pub(crate) note: Option<String>,
    /// The daemon refused it because the record is at another revision: that stays so.
    pub(crate) is_overtaken: bool,
    /// What hangs on it, once that is known, or why it is not.
    pub(crate) stakes: Option<Result<Box<Stakes>, String>>,
}

impl Confirm {
    /// A dialog that has just opened, with the focus on its first field, or where it has none, on
    /// Cancel.
    pub(crate) fn new(act: Act, subject: Subject, opened: Timestamp) -> Self {
        let period = match act {
            Act::Issue => "90d",
            Act::Rotate => "24h",
            _ => "",
        };
        let focus = act.fields().first().copied().unwrap_or(Field::Cancel);
        Self {
            act,
            subject,
            reason: Input::default(),
            typed: Input::default(),
            period: Input::new(period.to_owned()),
            is_proposed: !period.is_empty(),
            focus,
            opened,
            sent: None,
            note: None,
            is_overtaken: false,
            stakes: None,
        }
    }

    /// The agent as it is now: says so when that is not how it was seen.
    pub(crate) fn seen_again(&mut self, now: &Agent) {
        if let Subject::Agent(pinned) = &self.subject
            && (pinned.id, self.sent.is_some()) == (now.id, false)
            && pinned.revision < now.revision
        {
            let (status, revision) = (now.status, now.revision);
            self.note = Some(format!(
                "meanwhile it is {status}, at revision {revision}: esc, and look at it"
            ));
        }
    }

    /// The field that has the focus, when it is one to type in.
    pub(crate) fn input(&mut self) -> Option<&mut Input> {
        match self.focus {
            Field::Reason => Some(&mut self.reason),
            Field::Typed => Some(&mut self.typed),
            Field::Period => Some(&mut self.period),
            Field::Cancel | Field::Go => None,
        }
    }

    /// Moves the focus by one.
    pub(crate) fn turn(&mut self, is_forward: bool) {
        let fields = self.act.fields();
        let at = fields.iter().position(|it| *it == self.focus).unwrap_or(0);
        let by = if is_forward { 1 } else { fields.len() - 1 };
        if let Some(field) = fields.get((at + by) % fields.len()) {
            self.focus = *field;
        }
    }

    /// The agent that it concerns, if it concerns one.
    pub(crate) fn agent(&self) -> Option<&Agent> {
        match &self.subject {
            Subject::Agent(agent) | Subject::Credential(agent, _) => Some(agent),
            Subject::Key(_) => None,
        }
    }

    /// The credential that it is done to, if it is done to one.
    pub(crate) fn credential(&self) -> Option<&Credential> {
        match &self.subject {
            Subject::Credential(_, credential) => Some(credential),
            Subject::Agent(_) | Subject::Key(_) => None,
        }
    }

    /// The id of what it is done to.
    pub(crate) fn id(&self) -> String {
        match &self.subject {
            Subject::Agent(agent) => agent.id.to_string(),
            Subject::Credential(_, credential) => credential.id.to_string(),
            Subject::Key(key) => key.kid.clone(),
        }
    }

    /// What is typed to confirm: the end of the id, or the beginning of a key's name.
    pub(crate) fn ending(&self) -> String {
        match &self.subject {
            Subject::Key(key) => key.kid.chars().take(KEY_NAME).collect(),
            _ => short_id(&self.id()).to_owned(),
        }
    }

    /// The period as it was typed; none when there is none.
    fn parsed_period(&self) -> Result<Option<Duration>, DurationError> {
        match self.period.value().trim() {
            "" => Ok(None),
            text => duration::parse(text).map(Some),
        }
    }

    /// The first field that keeps it locked; none when nothing that is typed does.
    pub(crate) fn missing(&self) -> Option<Field> {
        let mut fields = self.act.fields().iter().copied();
        fields.find(|field| self.is_missing(*field))
    }

    fn is_missing(&self, field: Field) -> bool {
        match field {
            Field::Reason => self.reason.value().trim().is_empty(),
            Field::Typed => self.typed.value().trim() != self.ending(),
            Field::Period => match self.parsed_period() {
                Err(_) => true,
                Ok(period) => period.is_none() && self.act == Act::Rotate,
            },
            Field::Cancel | Field::Go => false,
        }
    }

    /// What is wrong with what was typed where the focus is; none when nothing was, or nothing is wrong.
    pub(crate) fn wrong(&self) -> Option<String> {
        match self.focus {
            Field::Typed if !self.typed.value().is_empty() && self.is_missing(Field::Typed) => {
                Some(format!("that is not {}: type it again", self.ending()))
            }
            Field::Period => match self.parsed_period() {
                Err(rule) => Some(format!("the duration {rule}")),
                Ok(_) => None,
            },
            _ => None,
        }
    }

    /// Why it cannot be done yet; none when it can.
    pub(crate) fn why_locked(&self) -> Option<String> {
        if self.sent.is_some() {
            return Some("asking the daemon".to_owned());
        }
        if self.is_overtaken {
            return Some("it was changed meanwhile: esc, and open it anew".to_owned());
        }
        Some(match self.missing()? {
            Field::Reason => "a reason is missing".to_owned(),
            Field::Typed => format!("type {} to unlock", self.ending()),
            _ => match self.parsed_period() {
                Err(rule) => format!("the duration {rule}"),
                Ok(_) => "the grace is missing".to_owned(),
            },
        })
    }

    /// The change to ask for; none while it is locked.
    pub(crate) fn change(&self) -> Option<Change> {
        if self.why_locked().is_some() {
            return None;
        }
        let reason = self.reason.value().trim().to_owned();
        match &self.subject {
            Subject::Agent(agent) => self.change_of_agent(agent.id, agent.revision, reason),
            Subject::Credential(_, credential) => match self.act {
                Act::Rotate => Some(Change::Rotate {
                    credential: credential.id,
                    grace: self.parsed_period().ok()?,
                    revision: credential.revision,
                }),
                Act::RevokeCredentialTokens => Some(Change::RevokeTokens {
                    of: TokensOf::Credential(credential.id),
                    reason,
                }),
                _ => Some(Change::RevokeCredential {
                    credential: credential.id,
                    reason,
                    revision: credential.revision,
                }),
            },
            Subject::Key(key) => Some(Change::RotateKey {
                withdrawn: (self.act == Act::WithdrawKey).then(|| key.kid.clone()),
                reason,
            }),
        }
    }

    fn change_of_agent(&self, agent: AgentId, revision: u64, reason: String) -> Option<Change> {
        if let Some(transition) = self.act.transition() {
            return Some(Change::Transition {
                transition,
                agent,
                reason,
                revision,
            });
        }
        if self.act == Act::RevokeTokens {
            let of = TokensOf::Agent(agent);
            return Some(Change::RevokeTokens { of, reason });
        }
        Some(Change::Issue {
            agent,
            expires_in: self.parsed_period().ok()?,
        })
    }

    /// The command line that does the same.
    pub(crate) fn command_line(&self) -> String {
        let reason = self.reason.value().trim();
        // As it was typed: 24h is not told as 1d.
        let period = self.period.value().trim();
        let is_period = matches!(self.parsed_period(), Ok(Some(_)));
        let period = Some(period).filter(|_| is_period);
        let with_reason = |line: CommandLine| line.reason(reason).yes();
        let line = match &self.subject {
            Subject::Agent(agent) => {
                let email = agent.email.as_str();
                if let Some(moved) = self.act.transition() {
                    return transition(moved, email, agent.revision, reason);
                }
                if self.act == Act::RevokeTokens {
                    with_reason(CommandLine::bare("token revoke").word("--agent", email))
                } else {
                    CommandLine::new("credential issue", email).duration("--expires-in", period)
                }
            }
            Subject::Credential(_, credential) => {
                let id = credential.id.to_string();
                match self.act {
                    Act::Rotate => CommandLine::new("credential rotate", &id)
                        .duration("--grace", period)
                        .revision(credential.revision),
                    Act::RevokeCredentialTokens => {
                        with_reason(CommandLine::bare("token revoke").word("--credential", &id))
                    }
                    _ => with_reason(
                        CommandLine::new("credential revoke", &id).revision(credential.revision),
                    ),
                }
            }
            Subject::Key(key) => {
                let line = CommandLine::bare("key rotate");
                with_reason(if self.act == Act::WithdrawKey {
                    line.flag("--emergency").word("--kid", &key.kid)
                } else {
                    line
                })
            }
        };
        line.into_text()
    }
}
