//! The options of the full-screen console.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// How the full-screen console looks and what it lets one do.
#[derive(Debug, Default, ClapArgs)]
#[command(next_help_heading = "The full-screen console")]
pub struct ScreenArgs {
    /// Show the keys that are pressed, for those who look on
    #[arg(long)]
    pub demo_keys: bool,
    /// Keys, colours and habits [default: ~/.config/agentidp/console.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
