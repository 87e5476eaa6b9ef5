//! The one place that asks for the time of day.

use agentidp_shared::Timestamp;

/// The time by this machine's clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}
