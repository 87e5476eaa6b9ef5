//! Keys that are shown to those who look on.

use std::collections::VecDeque;
use std::time::Duration;

use agentidp_shared::Timestamp;

/// The keys that were pressed last, for whoever looks on.
#[derive(Debug, Default)]
pub(crate) struct Demo(VecDeque<(String, Timestamp)>);

impl Demo {
    /// How many keys are shown, and for how long.
    const KEYS: usize = 12;
    const SHOWN: Duration = Duration::from_secs(3);

    /// Notes a key.
    pub(crate) fn press(&mut self, key: String, now: Timestamp) {
        self.0.push_back((key, now));
        if self.0.len() > Self::KEYS {
            self.0.pop_front();
        }
    }

    /// Lets go of what was shown for long enough.
    pub(crate) fn pass(&mut self, now: Timestamp) {
        self.0.retain(|(_, at)| now.since(*at) < Self::SHOWN);
    }

    /// The keys, oldest first.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }
}
