//! Requests for tokens: what came of them, why not, and how long they took.

use std::time::Instant;

use agentidp_shared::Code;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Labels;
use super::minute::{Minute, Rates};

/// The upper bounds of the durations that are told apart, in seconds: a remembered secret takes
/// less than one of the first, argon2 one of the middle, and an overloaded daemon one of the last.
const SECONDS: [f64; 13] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// What is counted at the token endpoint.
#[derive(Debug)]
pub(crate) struct TokenMetrics {
    requests: Family<Labels<1>, Counter>,
    refusals: Family<Labels<1>, Counter>,
    issued: Counter,
    denied: Counter,
    failed: Counter,
    seconds: Histogram,
    minute: Minute,
    begun: Instant,
}

impl Default for TokenMetrics {
    fn default() -> Self {
        let (requests, refusals) = (Family::default(), Family::default());
        let outcome = |outcome| requests.get_or_create_owned(&[("outcome", outcome)]);
        let (issued, denied, failed) = (outcome("issued"), outcome("denied"), outcome("failed"));
        // All from the start: a series that begins at its first refusal hides that one.
        for code in Code::ALL {
            drop(refusals.get_or_create(&[("code", code.as_str())]));
        }
        Self {
            requests,
            refusals,
            issued,
            denied,
            failed,
            seconds: Histogram::new(SECONDS),
            minute: Minute::default(),
            begun: Instant::now(),
        }
    }
}

impl TokenMetrics {
    /// A request for a token begins.
    pub(crate) fn begin(&self) -> TokenRequest<'_> {
        TokenRequest {
            metrics: self,
            begun: Instant::now(),
        }
    }

    /// What came of the requests of the last minute.
    pub(crate) fn rates(&self) -> Rates {
        self.minute.rates(self.begun.elapsed().as_secs())
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "agentidp_token_requests",
            "Requests for a token that were answered, by what came of them",
            self.requests.clone(),
        );
        registry.register(
            "agentidp_token_refusals",
            "Requests for a token that got none, by the cause",
            self.refusals.clone(),
        );
        registry.register_with_unit(
            "agentidp_token_request_duration",
            "How long requests for a token took, from their header to the answer",
            Unit::Seconds,
            self.seconds.clone(),
        );
    }
}

/// A request for a token under way. One whose client goes away before the answer is not counted.
#[derive(Debug)]
pub(crate) struct TokenRequest<'a> {
    metrics: &'a TokenMetrics,
    begun: Instant,
}

impl TokenRequest<'_> {
    /// It got a token.
    pub(crate) fn issued(self) {
        self.metrics.issued.inc();
        let took = self.begun.elapsed();
        self.metrics.minute.issued(self.second(), took);
        self.ended();
    }

    /// It got none, because of `code`: denied, or failed by a fault of the server's.
    pub(crate) fn refused(self, code: Code) {
        match code {
            Code::Internal
            | Code::Overloaded
            | Code::StoreUnavailable
            | Code::StorageLow
            | Code::ClockAhead => {
                self.metrics.failed.inc();
            }
            _ => {
                self.metrics.denied.inc();
                self.metrics.minute.denied(self.second());
            }
        }
        let label = [("code", code.as_str())];
        self.metrics.refusals.get_or_create(&label).inc();
        self.ended();
    }

    /// The second that it ends in, counted from the daemon's start.
    fn second(&self) -> u64 {
        self.metrics.begun.elapsed().as_secs()
    }

    fn ended(self) {
        self.metrics
            .seconds
            .observe(self.begun.elapsed().as_secs_f64());
    }
}
