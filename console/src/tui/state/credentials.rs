//! Credentials of all agents that somebody should look after.

use agentidp_shared::CredentialId;

use crate::client::{Page, ReviewedCredential};

/// How many are asked for at once.
pub(crate) const PAGE: u32 = 200;

/// How many are kept: what is beyond that is not looked after one by one.
const KEPT: usize = 2_000;

/// Why they should be looked after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Expiring,
    RetiringUsed,
    NeverUsed,
}

impl Kind {
    /// All of them, in the order that they are gone through.
    pub(crate) const ALL: [Self; 3] = [Self::Expiring, Self::RetiringUsed, Self::NeverUsed];

    /// The word that the daemon knows.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Expiring => "expiring",
            Self::RetiringUsed => "retiring_used",
            Self::NeverUsed => "never_used",
        }
    }

    /// What stands over the list.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Expiring => "Expiring in 7 days",
            Self::RetiringUsed => "Retiring, still used",
            Self::NeverUsed => "Never used",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Expiring => Self::RetiringUsed,
            Self::RetiringUsed => Self::NeverUsed,
            Self::NeverUsed => Self::Expiring,
        }
    }
}

/// The list of one kind.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    pub(crate) kind: Kind,
    pub(crate) rows: Vec<ReviewedCredential>,
    /// What to ask the next page with; none: there is no more. Before the first answer it is empty.
    next: Option<String>,
    pub(crate) is_loading: bool,
    /// Whether anything came yet.
    pub(crate) has_come: bool,
    pub(crate) selected: Option<CredentialId>,
    index: usize,
    pub(crate) top: usize,
    pub(crate) failed: Option<String>,
    /// A credential changed since the list was read.
    pub(crate) has_changed: bool,
    /// Tells the answers to this list from those to another.
    pub(crate) ticket: u64,
}

impl Credentials {
    /// Begins anew, with this kind or the next.
    pub(crate) fn restart(&mut self, is_next: bool) {
        *self = Self {
            kind: if is_next { self.kind.next() } else { self.kind },
            next: Some(String::new()),
            selected: self.selected,
            ticket: self.ticket + 1,
            ..Self::default()
        };
    }

    /// The page to ask for, when the end of what is there comes near.
    pub(crate) fn want(&mut self, height: usize) -> Option<String> {
        let is_near = self.index + height >= self.rows.len();
        if self.is_loading || self.failed.is_some() || !is_near || self.rows.len() >= KEPT {
            return None;
        }
        let token = self.next.clone()?;
        self.is_loading = true;
        Some(token)
    }

    /// Whether there are more than are kept.
    pub(crate) fn is_more(&self) -> bool {
        self.next.is_some()
    }

    /// Takes in a page.
    pub(crate) fn arrived(&mut self, page: Page<ReviewedCredential>) {
        self.is_loading = false;
        self.has_come = true;
        self.next = page.next;
        self.rows.extend(page.items);
        let at = self
            .rows
            .iter()
            .position(|it| Some(it.credential.id) == self.selected);
        self.select(at.unwrap_or(self.index));
    }

    /// The selected one.
    pub(crate) fn selected(&self) -> Option<&ReviewedCredential> {
        self.rows
            .iter()
            .find(|it| Some(it.credential.id) == self.selected)
    }

    fn select(&mut self, index: usize) {
        self.index = index.min(self.rows.len().saturating_sub(1));
        self.selected = self.rows.get(self.index).map(|it| it.credential.id);
    }

    /// Moves the selection, and the screen of `height` rows with it.
    pub(crate) fn step(&mut self, by: isize, height: usize) {
        self.select(self.index.saturating_add_signed(by));
        let lowest = self.index.saturating_sub(height.saturating_sub(1));
        self.top = self.top.clamp(lowest, self.index);
        self.failed = None;
    }
}
