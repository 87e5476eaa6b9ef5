//! Counts calls, by method and gRPC's code.

use http::Response;
use tonic::Code;
use tonic::body::Body;

use super::table::rule_of;
use crate::metrics::rpc::RpcMetrics;

/// Counts a call of `path` that was answered with `response`.
pub(super) fn called(metrics: &RpcMetrics, path: &str, response: &Response<Body>) {
    // An error stands in the header. A call that begins well has its code at its end only.
    let code = response.headers().get("grpc-status");
    let code = code.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
    metrics.called(method(path), name(code));
}

/// Counts a call of `path` that nobody waited for any more.
pub(super) fn abandoned(metrics: &RpcMetrics, path: &str) {
    metrics.called(method(path), name(Code::Cancelled));
}

fn method(path: &str) -> &'static str {
    rule_of(path).map_or("other", |rule| rule.path.trim_start_matches('/'))
}

/// The name of a code in gRPC's specification.
const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::assert_specified;
    use crate::rpc::table::RULES;

    #[test]
    fn the_specification_lists_every_method_and_every_code() {
        let methods = RULES
            .iter()
            .map(|rule| rule.path.trim_start_matches('/'))
            .chain(["other"]);
        assert_specified("method", methods);
        let codes = (0..=16).map(|code| name(Code::from(code)));
        assert_specified("grpc_code", codes);
    }
}
