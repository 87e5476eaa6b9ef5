//! What the daemon counts while it works. docs/reference/metrics.md is the specification.
//!
//! Only what has to be counted at the moment that it happens is counted here; what the daemon can
//! be asked for later (sizes, states, the process) is read when someone scrapes. Counting is an
//! atomic addition on a handle that was made when the daemon started, so that it costs a request
//! next to nothing. Every label has a fixed set of values: none comes from a request.
//!
//! The library is Prometheus's own for Rust: fixed buckets, so that nothing has to be tidied up in
//! the background; counters of fractions; and families that are only made when they are asked for.
//!
//! To add a family: a field in the struct of its part, a line in that struct's `register`, a row in
//! the specification; a test compares the two. `scrape` writes them all out.

pub(crate) mod denial;
pub(crate) mod http;
pub(crate) mod lookups;
pub(crate) mod minute;
pub(crate) mod process;
pub(crate) mod rpc;
pub(crate) mod store;
pub(crate) mod token;

use prometheus_client::registry::Registry;

use denial::DenialMetrics;
use http::HttpMetrics;
use rpc::RpcMetrics;
use token::TokenMetrics;

/// The labels of one time series: names and values that the program itself spells.
pub(crate) type Labels<const N: usize> = [(&'static str, &'static str); N];

/// What is counted about requests, for every interface.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// The token endpoint.
    pub(crate) tokens: TokenMetrics,
    /// The agents' interface.
    pub(crate) http: HttpMetrics,
    /// The operators' interface.
    pub(crate) rpc: RpcMetrics,
    /// Refusals.
    pub(crate) denials: DenialMetrics,
}

impl Metrics {
    /// Puts every family into `registry`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        self.tokens.register(registry);
        self.http.register(registry);
        self.rpc.register(registry);
        self.denials.register(registry);
    }
}

/// Fails a test unless the specification lists these values of a label, and says which row it needs.
#[cfg(test)]
pub(crate) fn assert_specified<'a>(label: &str, values: impl IntoIterator<Item = &'a str>) {
    let values: Vec<_> = values.into_iter().map(|it| format!("`{it}`")).collect();
    let row = format!("| `{label}` | {} |", values.join(", "));
    assert!(
        include_str!("../../../docs/reference/metrics.md")
            .lines()
            .any(|line| line == row),
        "docs/reference/metrics.md needs this row under Labels:\n{row}"
    );
}

#[cfg(test)]
mod tests {
    use agentidp_shared::{Code, KeyState};

    use super::*;
    use crate::service::health::Condition;

    #[test]
    fn the_specification_lists_every_cause_and_every_state() {
        assert_specified("code", Code::ALL.iter().map(|it| it.as_str()));
        assert_specified("key_state", KeyState::ALL.iter().map(|it| it.as_str()));
        assert_specified("state", Condition::ALL.iter().map(|it| it.as_str()));
    }
}
