//! A change about to be made, and what it takes to confirm it.

use std::time::Duration;

use agentidp_shared::agent::Transition;
use agentidp_shared::{Agent, Credential, Timestamp};
use tui_input::Input;

use crate::audit_text::short_id;
use crate::command_line::{CommandLine, transition};
use crate::duration;
use crate::tui::event::{Change, Stakes};

/// What is to be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Suspend,
    Resume,
    Revoke,
    Decommission,
    Archive,
    Issue,
    Rotate,
    RevokeCredential,
}

/// How much it takes to confirm it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// It can be taken back: y is enough.
    Reversible,
    /// It cannot: a reason, and the end of the id typed.
    Irreversible,
}

impl Act {
    /// What stands on the button.
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Self::Suspend => "Suspend",
            Self::Resume => "Resume",
            Self::Revoke | Self::RevokeCredential => "Revoke",
            Self::Decommission => "Decommission",
            Self::Archive => "Archive",
            Self::Issue => "Issue",
            Self::Rotate => "Rotate",
        }
    }

    /// What stands over the dialog.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Suspend => "Suspend agent",
            Self::Resume => "Resume agent",
            Self::Revoke => "Revoke agent",
            Self::Decommission => "Decommission agent",
            Self::Archive => "Archive agent",
            Self::Issue => "Issue client secret",
            Self::Rotate => "Rotate credential",
            Self::RevokeCredential => "Revoke credential",
        }
    }

    /// How much it takes.
    pub(crate) const fn tier(self) -> Tier {
        match self {
            Self::Suspend | Self::Resume | Self::Issue | Self::Rotate => Tier::Reversible,
            Self::Revoke | Self::Decommission | Self::Archive | Self::RevokeCredential => {
                Tier::Irreversible
            }
        }
    }

    /// What it does, in a sentence or two.
    pub(crate) const fn consequence(self) -> &'static str {
        match self {
            Self::Suspend => {
                "It gets no token until it is resumed. Those it has introspect inactive at once; \
                 resource servers that verify by JWKS alone accept them until they expire."
            }
            Self::Resume => "It may ask for tokens again. Those from before stay dead.",
            Self::Revoke => {
                "An incident: its credentials end now, for good. Its tokens introspect inactive at \
                 once; resource servers that verify by JWKS alone accept them until they expire."
            }
            Self::Decommission => {
                "End of life: its credentials end now, for good. Its tokens introspect inactive at \
                 once; resource servers that verify by JWKS alone accept them until they expire."
            }
            Self::Archive => {
                "It is hidden from lists that do not ask for it, for good. Its record and its \
                 entries in the log stay."
            }
            Self::Issue => "A new client secret, shown once. Those it has stay as they are.",
            Self::Rotate => {
                "A new client secret, shown once. The old one is accepted until its grace is over."
            }
            Self::RevokeCredential => {
                "It is accepted no more, for good. Tokens it got introspect inactive at once; \
                 resource servers that verify by JWKS alone accept them until they expire."
            }
        }
    }

    /// The change of an agent's status that it is; none when it is about a credential.
    pub(crate) const fn transition(self) -> Option<Transition> {
        match self {
            Self::Suspend => Some(Transition::Suspend),
            Self::Resume => Some(Transition::Resume),
            Self::Revoke => Some(Transition::Revoke),
            Self::Decommission => Some(Transition::Decommission),
            Self::Archive => Some(Transition::Archive),
            Self::Issue | Self::Rotate | Self::RevokeCredential => None,
        }
    }

    /// The fields and buttons, in the order that Tab goes through them: as they stand.
    pub(crate) const fn fields(self) -> &'static [Field] {
        match self {
            Self::Suspend => &[Field::Reason, Field::Cancel, Field::Go],
            Self::Resume => &[Field::Cancel, Field::Go],
            Self::Revoke | Self::Decommission | Self::RevokeCredential => {
                &[Field::Reason, Field::Typed, Field::Cancel, Field::Go]
            }
            Self::Archive => &[Field::Typed, Field::Cancel, Field::Go],
            Self::Issue | Self::Rotate => &[Field::Period, Field::Cancel, Field::Go],
        }
    }
}

/// What has the focus in a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Cancel,
    Reason,
    Typed,
    Period,
    Go,
}

/// A change about to be made. It is pinned: whatever the list does below, it is made to this
/// record at this revision or not at all.
#[derive(Debug)]
pub(crate) struct Confirm {
    pub(crate) act: Act,
    pub(crate) agent: Agent,
    pub(crate) credential: Option<Credential>,
    pub(crate) reason: Input,
    pub(crate) typed: Input,
    pub(crate) period: Input,
    pub(crate) focus: Field,
    pub(crate) opened: Timestamp,
    /// It was asked for, and the answer has not come.
    pub(crate) is_sent: bool,
    pub(crate) note: Option<String>,
    /// What hangs on it, once that is known, or why it is not.
    pub(crate) stakes: Option<Result<Box<Stakes>, String>>,
}

impl Confirm {
    /// A dialog that has just opened, with the focus on the reason, or where none is needed, on
    /// Cancel.
    pub(crate) fn new(
        act: Act,
        agent: Agent,
        credential: Option<Credential>,
        opened: Timestamp,
    ) -> Self {
        let period = match act {
            Act::Issue => "90d",
            Act::Rotate => "24h",
            _ => "",
        };
        let focus = match act.fields().first() {
            Some(field @ (Field::Reason | Field::Typed)) => *field,
            _ => Field::Cancel,
        };
        Self {
            act,
            agent,
            credential,
            reason: Input::default(),
            typed: Input::default(),
            period: Input::new(period.to_owned()),
            focus,
            opened,
            is_sent: false,
            note: None,
            stakes: None,
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

    /// The id of what it is done to.
    pub(crate) fn id(&self) -> String {
        match &self.credential {
            Some(credential) => credential.id.to_string(),
            None => self.agent.id.to_string(),
        }
    }

    /// The revision that was seen.
    pub(crate) fn revision(&self) -> u64 {
        match &self.credential {
            Some(credential) => credential.revision,
            None => self.agent.revision,
        }
    }

    /// The end of the id, which is typed to confirm.
    pub(crate) fn ending(&self) -> String {
        short_id(&self.id()).to_owned()
    }

    /// The period as it was typed; none when there is none.
    fn parsed_period(&self) -> Result<Option<Duration>, String> {
        match self.period.value().trim() {
            "" => Ok(None),
            text => duration::parse(text).map(Some),
        }
    }

    /// The first field that keeps it locked; none when nothing that is typed does.
    pub(crate) fn missing(&self) -> Option<Field> {
        self.act.fields().iter().copied().find(|field| match field {
            Field::Reason => self.reason.value().trim().is_empty(),
            Field::Typed => self.typed.value() != self.ending(),
            Field::Period => match self.parsed_period() {
                Err(_) => true,
                Ok(period) => period.is_none() && self.act == Act::Rotate,
            },
            Field::Cancel | Field::Go => false,
        })
    }

    /// Why it cannot be done yet; none when it can.
    pub(crate) fn why_locked(&self) -> Option<String> {
        if self.is_sent {
            return Some("asking the daemon".to_owned());
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
        let revision = self.revision();
        if let Some(transition) = self.act.transition() {
            return Some(Change::Transition {
                transition,
                agent: self.agent.id,
                reason,
                revision,
            });
        }
        let credential = self.credential.as_ref().map(|it| it.id);
        match self.act {
            Act::Issue => Some(Change::Issue {
                agent: self.agent.id,
                expires_in: self.parsed_period().ok()?,
            }),
            Act::Rotate => Some(Change::Rotate {
                credential: credential?,
                grace: self.parsed_period().ok()?,
                revision,
            }),
            _ => Some(Change::RevokeCredential {
                credential: credential?,
                reason,
                revision,
            }),
        }
    }

    /// The command line that does the same.
    pub(crate) fn command_line(&self) -> String {
        let email = self.agent.email.as_str();
        let id = self.id();
        let revision = self.revision();
        let reason = self.reason.value().trim();
        // As it was typed: 24h is not told as 1d.
        let period = self.period.value().trim();
        let is_period = matches!(self.parsed_period(), Ok(Some(_)));
        let period = Some(period).filter(|_| is_period);
        if let Some(moved) = self.act.transition() {
            return transition(moved, email, revision, reason);
        }
        let line = match self.act {
            Act::Issue => {
                CommandLine::new("credential issue", email).duration("--expires-in", period)
            }
            Act::Rotate => CommandLine::new("credential rotate", &id)
                .duration("--grace", period)
                .revision(revision),
            _ => CommandLine::new("credential revoke", &id)
                .revision(revision)
                .reason(reason)
                .yes(),
        };
        line.into_text()
    }

    /// Whether it ends something that agents may be using now.
    pub(crate) const fn has_stakes(&self) -> bool {
        matches!(
            self.act,
            Act::Suspend | Act::Revoke | Act::Decommission | Act::Rotate | Act::RevokeCredential
        )
    }

    /// What hangs on it, in a sentence or two.
    pub(crate) fn stakes_text(&self) -> String {
        let stakes = match &self.stakes {
            None => return "Reading what hangs on it.".to_owned(),
            Some(Err(why)) => return format!("What hangs on it is not known: {why}"),
            Some(Ok(stakes)) => stakes,
        };
        let concerned = |id| self.credential.as_ref().is_none_or(|it| it.id == id);
        let more = if stakes.is_more { " or more" } else { "" };
        let by: Vec<_> = stakes
            .tokens
            .iter()
            .filter(|(id, _)| concerned(**id))
            .collect();
        let count: u64 = by.iter().map(|(_, count)| **count).sum();
        let mut text = match count {
            0 => format!(
                "No live tokens{}.",
                if stakes.is_more {
                    " in the entries read"
                } else {
                    ""
                }
            ),
            1 => format!("1{more} live token"),
            _ => format!("{count}{more} live tokens"),
        };
        if self.credential.is_none() && by.len() > 1 {
            let by = by
                .iter()
                .map(|(id, count)| format!("{count} by {}", short_id(&id.to_string())));
            text.extend([format!(" ({})", by.collect::<Vec<_>>().join(", "))]);
        }
        if count > 0 {
            text.push('.');
        }
        let addresses: std::collections::BTreeSet<_> = stakes
            .addresses
            .iter()
            .filter(|(id, _)| concerned(**id))
            .flat_map(|(_, addresses)| addresses)
            .collect();
        match addresses.len() {
            0 => text.push_str(" Not used in 24h."),
            1 => text.push_str(" Used in 24h from 1 address"),
            count => text.extend([format!(" Used in 24h from {count} addresses")]),
        }
        if !addresses.is_empty() {
            let some: Vec<_> = addresses.iter().take(2).map(|it| it.as_str()).collect();
            let rest = if addresses.len() > 2 { ", .." } else { "" };
            text.extend([format!(" ({}{rest}).", some.join(", "))]);
        }
        if let Some(credential) = &self.credential {
            let others = stakes.accepted.iter().filter(|id| **id != credential.id);
            match others.count() {
                0 => text.push_str(" No replacement exists."),
                1 => text.push_str(" 1 other credential is accepted."),
                count => text.extend([format!(" {count} other credentials are accepted.")]),
            }
        }
        text
    }
}
