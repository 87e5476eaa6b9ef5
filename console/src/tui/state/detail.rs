//! One agent's screen.

use std::time::Duration;

use agentidp_shared::{Agent, Credential, CredentialId, Timestamp};

use crate::client::AgentActivity;
use crate::tui::event::DetailData;

use super::Screen;
use super::audit::{AuditEntry, AuditRow};

/// How many entries of the agent are kept.
pub(crate) const ENTRIES: usize = 200;

/// How often it is asked what the agent got lately.
const ACTIVITY_EVERY: Duration = Duration::from_secs(10);

/// One agent with its credentials and what happened to it lately.
#[derive(Debug)]
pub(crate) struct Detail {
    /// The list that it was opened from, and that one goes back to.
    pub(crate) from: Screen,
    pub(crate) agent: Agent,
    /// None until they have come.
    pub(crate) credentials: Option<Vec<Credential>>,
    /// Newest first.
    pub(crate) entries: Vec<AuditEntry>,
    pub(crate) tab: Tab,
    pub(crate) selected: Option<CredentialId>,
    pub(crate) entry: usize,
    /// The first grant that is shown.
    pub(crate) grant: usize,
    pub(crate) is_loading: bool,
    /// Something changed after the answer that is awaited was asked for.
    pub(crate) is_outdated: bool,
    pub(crate) failed: Option<String>,
    /// None until it has come.
    pub(crate) activity: Option<AgentActivity>,
    /// When it was last asked for.
    pub(crate) activity_asked: Option<Timestamp>,
}

/// What the lower half shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    Credentials,
    Grants,
    Audit,
}

impl Detail {
    /// The screen of an agent of which only the record is known.
    pub(crate) fn new(agent: Agent) -> Self {
        Self {
            from: Screen::Agents,
            agent,
            credentials: None,
            entries: Vec::new(),
            tab: Tab::Credentials,
            selected: None,
            entry: 0,
            grant: 0,
            is_loading: true,
            is_outdated: false,
            failed: None,
            activity: None,
            activity_asked: None,
        }
    }

    /// Whether to ask what the agent got lately.
    pub(crate) fn wants_activity(&self, now: Timestamp) -> bool {
        let is_due = |asked| now.since(asked) >= ACTIVITY_EVERY;
        !self.is_loading && self.activity_asked.is_none_or(is_due)
    }

    /// Takes in what came.
    pub(crate) fn arrived(&mut self, data: DetailData) {
        self.agent = data.agent;
        self.failed = None;
        let newest = self.entries.first().map(|entry| entry.seq);
        let selected = self.entries.get(self.entry).map(|entry| entry.seq);
        let mut entries: Vec<_> = data
            .entries
            .into_iter()
            .rev()
            .filter_map(|row| match row {
                AuditRow::Entry(entry) => Some(*entry),
                AuditRow::Gap { .. } => None,
            })
            .collect();
        // The stream may have brought newer ones meanwhile.
        let from = entries.first().map(|entry| entry.seq);
        if newest > from {
            let mut newer: Vec<_> = std::mem::take(&mut self.entries)
                .into_iter()
                .take_while(|entry| Some(entry.seq) > from)
                .collect();
            newer.append(&mut entries);
            entries = newer;
        }
        self.entries = entries;
        self.entries.truncate(ENTRIES);
        if let Some(seq) = selected {
            let at = self.entries.iter().position(|entry| entry.seq == seq);
            self.entry = at.unwrap_or(0);
        }
        self.credentials = Some(data.credentials);
        self.settle();
    }

    /// Takes in an entry that the stream brought.
    pub(crate) fn push(&mut self, entry: &AuditEntry) {
        if self
            .entries
            .first()
            .is_some_and(|first| first.seq >= entry.seq)
        {
            return;
        }
        self.entries.insert(0, entry.clone());
        self.entries.truncate(ENTRIES);
        // The cursor stays on its entry, unless it is on the newest.
        if self.entry > 0 {
            self.entry = (self.entry + 1).min(self.entries.len().saturating_sub(1));
        }
    }

    fn settle(&mut self) {
        let list = self.credentials.as_deref().unwrap_or_default();
        let is_there = list.iter().any(|it| Some(it.id) == self.selected);
        if !is_there {
            self.selected = list.first().map(|it| it.id);
        }
    }

    /// The selected credential.
    pub(crate) fn credential(&self) -> Option<&Credential> {
        let list = self.credentials.as_deref().unwrap_or_default();
        list.iter().find(|it| Some(it.id) == self.selected)
    }

    /// Moves the cursor of the tab that is shown.
    pub(crate) fn step(&mut self, by: isize) {
        match self.tab {
            // What it may ask for is read, not chosen from: it is shown from this one on.
            Tab::Grants => {
                let count = self.agent.capabilities.iter().count() + self.agent.audiences.len();
                let last = count.saturating_sub(1);
                self.grant = self.grant.saturating_add_signed(by).min(last);
            }
            Tab::Audit => {
                let last = self.entries.len().saturating_sub(1);
                self.entry = self.entry.saturating_add_signed(by).min(last);
            }
            Tab::Credentials => {
                let list = self.credentials.as_deref().unwrap_or_default();
                let at = list.iter().position(|it| Some(it.id) == self.selected);
                let to = at.unwrap_or(0).saturating_add_signed(by);
                let to = to.min(list.len().saturating_sub(1));
                self.selected = list.get(to).map(|it| it.id);
            }
        }
    }
}
