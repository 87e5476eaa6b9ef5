//! The operators' interface: calls by method and by gRPC's code.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::Labels;

/// What is counted of gRPC.
#[derive(Debug, Default)]
pub(crate) struct RpcMetrics {
    calls: Family<Labels<2>, Counter>,
}

impl RpcMetrics {
    /// A call of `method` was answered with `code`.
    pub(crate) fn called(&self, method: &'static str, code: &'static str) {
        let labels = [("method", method), ("grpc_code", code)];
        self.calls.get_or_create(&labels).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "agentidp_rpc_calls",
            "Calls of operators, by method and gRPC status; a stream counts when it begins",
            self.calls.clone(),
        );
    }
}
