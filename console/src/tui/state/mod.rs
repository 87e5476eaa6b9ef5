//! What the console knows and shows. Plain data and small questions about it: how it changes
//! stands in `update`, how it looks in `view`.

pub(crate) mod act;
pub(crate) mod agents;
mod at_stake;
pub(crate) mod audit;
pub(crate) mod bulk;
pub(crate) mod confirm;
pub(crate) mod credentials;
mod demo;
pub(crate) mod detail;
pub(crate) mod dialog;
pub(crate) mod filter;
pub(crate) mod health;
mod keys;
pub(crate) mod log;
pub(crate) mod marks;
mod names;
pub(crate) mod order;
pub(crate) mod times;

use std::collections::VecDeque;
use std::time::Duration;

use agentidp_shared::agent::Transition;
use agentidp_shared::{AgentId, AgentStatus, CredentialId, Organization, Role, Timestamp};
use jiff::tz::TimeZone;
use tui_input::Input;

use crate::client::DaemonStatus;

use super::completion::Completion;
use super::event::Change;
use super::keys::{KeyMap, Place};
use super::style::Palette;

use self::agents::Agents;
use self::audit::Audit;
use self::credentials::Credentials;
use self::detail::Detail;
use self::dialog::{Dialog, SecretDialog};
use self::filter::Filter;
use self::health::Health;
use self::log::CommandLog;
use self::marks::Pinned;
use self::times::{Clock, Times};

pub(crate) use self::demo::Demo;
pub(crate) use self::keys::Keys;

/// The smallest terminal that shows everything.
pub(crate) const SMALLEST: (u16, u16) = (80, 24);

/// How long an undo is offered.
const UNDO: Duration = Duration::from_secs(30);

/// Everything the console knows.
#[derive(Debug)]
pub(crate) struct State {
    /// When the event at hand happened.
    pub(crate) now: Timestamp,
    pub(crate) size: (u16, u16),
    pub(crate) palette: Palette,
    /// The path that the connection uses, once there is one.
    pub(crate) socket_path: String,
    pub(crate) link: Link,
    pub(crate) status: Option<DaemonStatus>,
    pub(crate) organizations: Vec<Organization>,
    /// How many other connections of operators there are.
    pub(crate) others: u32,
    pub(crate) screen: Screen,
    pub(crate) agents: Agents,
    pub(crate) detail: Option<Detail>,
    pub(crate) audit: Audit,
    pub(crate) credentials: Credentials,
    pub(crate) health: Health,
    /// The agent that is to be opened once it is known, at this credential.
    pub(crate) opening: Option<(AgentId, CredentialId)>,
    /// The keys that were pressed last, when they are to be seen.
    pub(crate) demo: Option<Demo>,
    pub(crate) keys: Keys,
    pub(crate) dialog: Option<Dialog>,
    /// Secrets that came while another was shown: each is shown once, one after the other.
    pub(crate) secrets: VecDeque<SecretDialog>,
    pub(crate) prompt: Option<Prompt>,
    /// The actions that are being chosen from.
    pub(crate) menu: Option<Menu>,
    pub(crate) message: Option<Message>,
    pub(crate) undo: Option<Undo>,
    /// The undo that was asked for last: it is not offered to be undone.
    pub(crate) undoing: Option<Undoing>,
    /// The number of the last change of many.
    pub(crate) bulk_ticket: u64,
    /// What was done here.
    pub(crate) log: CommandLog,
    /// The commands that were typed, oldest first.
    pub(crate) history: Vec<String>,
    /// The command of the command line that runs: its number, and the line.
    pub(crate) running: Option<(u64, String)>,
    pub(crate) runs: u64,
    /// How times are shown in lists, and in the audit log.
    pub(crate) times: Times,
    pub(crate) audit_times: Times,
    /// The zone that the operator's environment names.
    pub(crate) zone: TimeZone,
    pub(crate) key_map: KeyMap,
    /// Whether this console asks for no change.
    pub(crate) is_read_only: bool,
    /// Whether the clock is shown. It writes to the terminal each second, so it is asked for.
    pub(crate) shows_clock: bool,
}

/// How the connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not yet there; why, when an attempt failed.
    Connecting(Option<String>),
    /// There.
    Live,
    /// Lost since then.
    Stale(Timestamp, String),
}

/// Which screen is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Screen {
    Health,
    Agents,
    Detail,
    Credentials,
    Approvals,
    Audit,
    Keys,
}

/// A line that is being typed below the screen.
#[derive(Debug)]
pub(crate) struct Prompt {
    pub(crate) kind: PromptKind,
    pub(crate) input: Input,
    /// What it may go on with, while Tab goes through it.
    pub(crate) completion: Option<Completion>,
    /// The line of before that is shown, counted from the newest; and what was typed instead.
    pub(crate) recalled: Option<(usize, String)>,
}

/// What the line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PromptKind {
    Command,
    Filter,
    /// A text to look for in the audit log.
    Search,
    /// The file to write what is shown to.
    Export,
}

/// A sentence for the operator, about what was last done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) tone: Tone,
    pub(crate) text: String,
}

/// How a sentence is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It was done.
    Done,
    /// Nothing was done, and nothing went wrong.
    Neutral,
    /// It went wrong.
    Failed,
}

/// What the actions are to be done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Menu {
    /// The agent that is selected or open.
    One,
    /// The marked agents.
    Marked,
    /// All that the filter lets through.
    All,
}

/// A change that can be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Undo {
    /// What takes it back.
    pub(crate) transition: Transition,
    /// The agents at the revisions that the change led to: a later change of someone else stays.
    pub(crate) agents: Vec<Pinned>,
    pub(crate) until: Timestamp,
}

impl Undo {
    /// What takes the last change of `agents` back, offered from `now` on; none for what stays.
    pub(crate) fn of(agents: Vec<Pinned>, now: Timestamp) -> Option<Self> {
        let transition = match agents.first()?.status {
            AgentStatus::Suspended => Transition::Resume,
            AgentStatus::Active => Transition::Suspend,
            _ => return None,
        };
        Some(Self {
            transition,
            agents,
            until: now.plus(UNDO),
        })
    }
}

/// An undo that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Undoing {
    One(Change),
    Many(u64),
}

impl State {
    /// A console that knows nothing yet.
    pub(crate) fn new(now: Timestamp, size: (u16, u16), palette: Palette) -> Self {
        Self {
            now,
            size,
            palette,
            socket_path: String::new(),
            link: Link::Connecting(None),
            status: None,
            organizations: Vec::new(),
            others: 0,
            screen: Screen::Agents,
            agents: Agents::default(),
            detail: None,
            audit: Audit::default(),
            credentials: Credentials::default(),
            health: Health::default(),
            opening: None,
            demo: None,
            keys: Keys::default(),
            dialog: None,
            secrets: VecDeque::new(),
            prompt: None,
            menu: None,
            message: None,
            undo: None,
            undoing: None,
            bulk_ticket: 0,
            log: CommandLog::default(),
            history: Vec::new(),
            running: None,
            runs: 0,
            times: Times::Age,
            audit_times: Times::Utc,
            zone: TimeZone::UTC,
            key_map: KeyMap::default(),
            is_read_only: false,
            shows_clock: false,
        }
    }

    /// The places whose keys work now, the nearest first.
    pub(crate) const fn places(&self) -> &'static [Place] {
        match self.screen {
            Screen::Agents => &[Place::Agents, Place::List, Place::Anywhere],
            Screen::Detail => &[Place::Detail, Place::List, Place::Anywhere],
            Screen::Audit => &[Place::Audit, Place::List, Place::Anywhere],
            Screen::Keys => &[Place::Keys, Place::List, Place::Anywhere],
            Screen::Credentials => &[Place::Credentials, Place::List, Place::Anywhere],
            Screen::Health => &[Place::Health, Place::Anywhere],
            Screen::Approvals => &[Place::Anywhere],
        }
    }

    /// Whether the terminal is large enough.
    pub(crate) const fn fits(&self) -> bool {
        self.size.0 >= SMALLEST.0 && self.size.1 >= SMALLEST.1
    }

    /// How many rows a list has below its heading.
    pub(crate) fn list_height(&self) -> usize {
        let around = match self.screen {
            Screen::Detail => 14,
            Screen::Audit => 6,
            _ => 7,
        };
        usize::from(self.size.1.saturating_sub(around)).max(1)
    }

    /// What time it is, and where.
    pub(crate) fn clock(&self) -> Clock {
        Clock {
            now: self.now,
            zone: self.zone.clone(),
        }
    }

    /// The same for the log, whose times may be shown in another way.
    pub(crate) fn audit_clock(&self) -> Clock {
        let zone = match self.audit_times {
            Times::Local => self.zone.clone(),
            Times::Age | Times::Utc => TimeZone::UTC,
        };
        Clock {
            now: self.now,
            zone,
        }
    }

    /// From when on and until when the log is shown, as its filter was understood; none for all of it.
    pub(crate) fn audit_span(&self) -> Option<String> {
        let (clock, span) = (self.audit_clock(), self.audit.span);
        let told = |word: &str, time: Option<Timestamp>| {
            let time = clock.minute(Times::Local, time?);
            Some(format!("{word} {time}"))
        };
        let told: Vec<_> = [told("since", span.0), told("until", span.1)]
            .into_iter()
            .flatten()
            .collect();
        let zone = match self.audit_times {
            Times::Local => "in local time",
            Times::Age | Times::Utc => "UTC",
        };
        (!told.is_empty()).then(|| format!("{} {zone}", told.join(" ")))
    }

    /// Why a change cannot be asked for now; none when it can.
    pub(crate) fn why_read_only(&self) -> Option<String> {
        self.why_not(Role::Operator)
    }

    /// Why a change that takes a role cannot be asked for now; none when it can.
    pub(crate) fn why_not(&self, needed: Role) -> Option<String> {
        if self.is_read_only {
            return Some("this console is read-only".to_owned());
        }
        match &self.link {
            Link::Live => {}
            Link::Connecting(_) => return Some("not connected yet".to_owned()),
            Link::Stale(..) => return Some("not connected: what is shown may be old".to_owned()),
        }
        let caller = &self.status.as_ref()?.caller;
        match caller.role.parse::<Role>() {
            // What is about the installation as a whole takes one who reaches all of it.
            Ok(role) if role >= needed && needed == Role::Admin => caller
                .organizations
                .is_some()
                .then(|| "needs the role admin for all organizations".to_owned()),
            Ok(role) if role >= needed => None,
            _ => Some(format!("needs the role {needed}; yours is {}", caller.role)),
        }
    }

    /// Whether a secret can be read on the screen.
    pub(crate) fn shows_secret(&self) -> bool {
        matches!(&self.dialog, Some(Dialog::Secret(dialog)) if dialog.revealed_until.is_some())
    }

    /// Reads the list of agents anew with `filter`; one that the daemon would refuse is complained of.
    pub(crate) fn restart_agents(&mut self, filter: Filter) {
        if let Err(rule) = self.agents.restart(filter, self.now) {
            self.complain(rule);
        }
    }

    /// Says what was done.
    pub(crate) fn say(&mut self, text: impl Into<String>) {
        self.tell(Tone::Done, text.into());
    }

    /// Says something about which nothing was done: it must not look like success.
    pub(crate) fn remark(&mut self, text: impl Into<String>) {
        self.tell(Tone::Neutral, text.into());
    }

    /// Says what went wrong.
    pub(crate) fn complain(&mut self, text: impl Into<String>) {
        self.tell(Tone::Failed, text.into());
    }

    fn tell(&mut self, tone: Tone, text: String) {
        self.message = Some(Message { tone, text });
    }
}
