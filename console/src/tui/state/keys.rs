//! The signing keys, as the screen lists them.

use agentidp_shared::{KeyState, ScheduledKey};

/// The signing keys.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    pub(crate) rows: Option<Vec<ScheduledKey>>,
    /// By its kid: a new key comes before it.
    selected: Option<String>,
    pub(crate) failed: Option<String>,
}

impl Keys {
    /// Where the selected key stands: the first, until one was chosen.
    pub(crate) fn index(&self) -> usize {
        let rows = self.rows.as_deref().unwrap_or_default();
        let at = rows
            .iter()
            .position(|it| Some(&it.key.kid) == self.selected.as_ref());
        at.unwrap_or(0)
    }

    /// The selected key.
    pub(crate) fn selected(&self) -> Option<&ScheduledKey> {
        self.rows.as_ref()?.get(self.index())
    }

    /// The key that signs.
    pub(crate) fn active(&self) -> Option<&ScheduledKey> {
        let mut rows = self.rows.iter().flatten();
        rows.find(|it| it.key.state == KeyState::Active)
    }

    /// Moves the selection.
    pub(crate) fn step(&mut self, by: isize) {
        let last = self.rows.as_ref().map_or(0, Vec::len).saturating_sub(1);
        let to = self.index().saturating_add_signed(by).min(last);
        let rows = self.rows.as_deref().unwrap_or_default();
        self.selected = rows.get(to).map(|it| it.key.kid.clone());
    }
}
