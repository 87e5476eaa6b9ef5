//! Read-only mode: what the client itself refuses to ask for.
//!
//! The one place that knows about it, so that no screen and no command can forget to look. It keeps
//! hands off; what a user may do at all is the daemon's to say.

use agentidp_proto::{CODE_METADATA, READ_ONLY_METADATA, REQUEST_ID_METADATA};
use agentidp_shared::RequestId;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::{GrpcMethod, Request, Status};

/// The calls that change nothing, by their names, which mean the same in every service.
const READS: &[&str] = &[
    "Count",
    "Get",
    "GetActivity",
    "GetCheckpoint",
    "GetKey",
    "Export",
    "Inspect",
    "List",
    "Prove",
    "ProveConsistency",
    "Review",
    "Tail",
    "Watch",
];

/// Marks a request that changes nothing, though its call can.
#[derive(Debug, Clone, Copy)]
pub(super) struct Harmless;

/// Lets everything through, or what only reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guard {
    pub(super) is_read_only: bool,
    /// What the request is named, when the caller names it.
    pub(super) request_id: Option<RequestId>,
}

impl Interceptor for Guard {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if self.is_read_only {
            // For those who look at who is connected.
            let value = MetadataValue::from_static("1");
            request.metadata_mut().insert(READ_ONLY_METADATA, value);
        }
        let named = self.request_id.map(|id| id.to_string().parse());
        if let Some(Ok(id)) = named {
            request.metadata_mut().insert(REQUEST_ID_METADATA, id);
        }
        let extensions = request.extensions();
        let reads = || {
            let method = extensions.get::<GrpcMethod<'static>>();
            method.is_some_and(|it| READS.contains(&it.method()))
        };
        if !self.is_read_only || extensions.get::<Harmless>().is_some() || reads() {
            return Ok(request);
        }
        let mut refusal = Status::permission_denied("nothing is changed in read-only mode");
        refusal
            .metadata_mut()
            .insert(CODE_METADATA, MetadataValue::from_static("READ_ONLY"));
        Err(refusal)
    }
}

#[cfg(test)]
mod tests {
    use prost_types::FileDescriptorSet;
    use tonic::codegen::Bytes;

    use super::*;
    use crate::error::Error;

    fn asked(method: &'static str, is_read_only: bool, is_harmless: bool) -> Result<(), Status> {
        let mut request = Request::new(());
        request
            .extensions_mut()
            .insert(GrpcMethod::new("agentidp.operator.v1.AnyService", method));
        if is_harmless {
            request.extensions_mut().insert(Harmless);
        }
        let mut guard = Guard {
            is_read_only,
            request_id: None,
        };
        guard.call(request).map(|_| ())
    }

    #[test]
    fn in_read_only_mode_what_is_not_known_to_read_is_refused() {
        for method in ["Rotate", "Suspend", "TransitionMany", "CallOfALaterVersion"] {
            assert!(asked(method, false, false).is_ok(), "{method}");
            let refused = asked(method, true, false).unwrap_err();
            let error = Error::from(refused);
            assert_eq!(error.exit_code(), 4, "{method}");
            assert!(error.hint().unwrap().contains("--read-only"), "{method}");
            assert!(asked(method, true, true).is_ok(), "{method}, dry");
        }
        for method in READS {
            assert!(asked(method, true, false).is_ok(), "{method}");
        }
    }

    #[test]
    fn every_call_that_is_taken_to_read_is_an_auditor_s() {
        // The daemon's table has a test of the same names: what an auditor may call has no effect.
        let set: FileDescriptorSet =
            prost::Message::decode(Bytes::from_static(agentidp_proto::FILE_DESCRIPTOR_SET))
                .unwrap();
        let methods = set.file.iter().flat_map(|file| &file.service);
        let names: Vec<_> = methods
            .flat_map(|service| service.method.iter().map(|it| it.name().to_owned()))
            .collect();
        for read in READS {
            assert!(names.iter().any(|name| name == read), "no call {read}");
        }
    }
}
