//! `cargo xtask torture`: the daemon under signals, power cuts and failing disks.
//!
//! Done by a program of its own, `agentidp-torture`, for the same reasons as `bench`.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;

use crate::project::{self, Profile};

/// What follows `cargo xtask torture`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How to torture: see `cargo xtask torture --help`.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "WORD"
    )]
    words: Vec<String>,
}

/// Builds the programs and becomes the one that tortures.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let profile = if arguments.words.iter().any(|word| word == "--release") {
        Profile::Release
    } else {
        Profile::Debug
    };
    project::build_programs(profile)?;
    let error = Command::new(project::program(profile, "agentidp-torture"))
        .args(&arguments.words)
        .exec();
    Err(error).context("cannot run agentidp-torture")
}
