//! What was so already: the daemon answers it with the entry that made it so, which is from before the call.

use crate::client::Client;
use crate::error::Error;

/// How far the log was before a call.
pub(super) struct Before(u64);

impl Before {
    /// Looked up right before the call: an entry that somebody else makes in between passes for the call's own.
    pub(super) async fn call(client: &Client) -> Result<Self, Error> {
        Ok(Self::of(client.status().await?.store.entries))
    }

    /// Before a log of so many entries grew.
    pub(super) const fn of(entries: u64) -> Self {
        Self(entries)
    }

    /// Whether the entry was there: then the call did nothing.
    pub(super) const fn has(&self, seq: u64) -> bool {
        seq < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_was_there_before_the_call_is_not_its_own() {
        let before = Before::of(7);
        assert!(before.has(0) && before.has(6));
        assert!(!before.has(7) && !before.has(8));
    }
}
