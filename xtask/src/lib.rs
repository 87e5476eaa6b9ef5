//! What the project's chores share: where its programs are, how they are built, and how a daemon is
//! started and ended.

pub mod daemon;
pub mod project;
pub mod signals;
