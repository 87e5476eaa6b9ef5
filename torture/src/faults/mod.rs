//! Single calls to the store that fail.

use crate::Common;

/// Runs faults.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(_arguments: &Arguments) -> anyhow::Result<()> {
    Ok(())
}
