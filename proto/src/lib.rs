//! The operators' interface on the wire: generated messages, clients and servers of
//! `agentidp.operator.v1`, and the conversions between messages and domain types.
//!
//! `From` leads from the domain to the wire and cannot fail; `TryFrom` leads back and refuses what
//! the domain refuses. To change the interface: edit `operator/v1/operator.proto`, run
//! `BLESS=1 cargo test -p agentidp-proto`, and follow the compiler.

pub mod convert;

/// What the generator made of `operator/v1/operator.proto`.
#[expect(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code; the documentation is in the definitions"
)]
pub mod v1 {
    include!("generated/agentidp.operator.v1.rs");
}

/// The definitions, encoded, for the reflection service and for tests that walk every call.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/operator.v1.bin");

/// The metadata key of the error code that goes with a gRPC status.
pub const CODE_METADATA: &str = "agentidp-code";

/// The metadata key of the request's id, in both directions.
pub const REQUEST_ID_METADATA: &str = "agentidp-request-id";

/// The metadata key by which a caller says that it changes nothing; its value means nothing. It is for
/// those who look at who is connected: it takes away no right.
pub const READ_ONLY_METADATA: &str = "agentidp-read-only";
