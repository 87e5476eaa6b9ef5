//! `cargo xtask bench`: figures of the release build.
//!
//! They are taken by a program of their own, `agentidp-bench`: it speaks the operators' interface, which
//! is more than the other chores should wait for, and what makes the load should be optimised as well.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;

use crate::project::{self, Profile};

/// What follows `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to measure and how: see `cargo xtask bench --help`.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "WORD"
    )]
    words: Vec<String>,
}

/// Builds the programs and becomes the one that measures.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    project::build_programs(Profile::Release)?;
    let error = Command::new(project::program(Profile::Release, "agentidp-bench"))
        .args(&arguments.words)
        .exec();
    Err(error).context("cannot run agentidp-bench")
}
