//! Exports of the log: files that are verified without the daemon.
//!
//! An export is NDJSON: a first line that says what it holds, with the log's checkpoint; a line for
//! each entry, with the entry as it is stored; a last line that closes it. There is one way to write
//! each line, and any other is refused, so that every bit counts.
//!
//! A *complete* export has every entry from one place to another: the tree is computed over them,
//! so none can be missing. One of an *organization* has that organization's entries, each with its
//! inclusion proof: none can be wrong, but that none is missing cannot be proved.

mod feed;
mod holes;
mod line;
mod resume;
mod verify;
mod write;

#[cfg(test)]
mod tests;

pub use feed::{ExportVerifier, VerifyError, verify_export};
pub use line::{EntryHead, Fault, Header};
pub use resume::ResumedExport;
pub use verify::Report;
pub use write::ExportWriter;
