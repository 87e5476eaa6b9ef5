//! Refusals, also those that the audit log only counts.

use agentidp_shared::Code;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::Labels;

/// What is counted of refusals.
#[derive(Debug, Default)]
pub(crate) struct DenialMetrics {
    denials: Family<Labels<2>, Counter>,
}

impl DenialMetrics {
    /// An agent, or who gave its id, was refused.
    pub(crate) fn agent(&self, code: Code) {
        self.count("agent", code);
    }

    /// An operator was refused, or the call came to nothing.
    pub(crate) fn operator(&self, code: Code) {
        self.count("operator", code);
    }

    /// Someone who is nobody known was refused.
    pub(crate) fn stranger(&self, code: Code) {
        self.count("stranger", code);
    }

    fn count(&self, caller: &'static str, code: Code) {
        let labels = [("caller", caller), ("code", code.as_str())];
        self.denials.get_or_create(&labels).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "agentidp_denials",
            "Refusals, by who was refused and why; each is in the audit log, as an entry or counted in one",
            self.denials.clone(),
        );
    }
}
