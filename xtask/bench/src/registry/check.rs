//! A check of the whole store, which the daemon makes a minute after the start and every week.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use xtask::signals::Interrupt;

use super::MEMORY;
use crate::figures::judged;
use crate::server::Server;

/// How long lies between two looks at the server.
const LOOK: Duration = Duration::from_millis(50);

/// A check that takes longer than this has not been begun, or goes on for ever.
const DEADLINE: Duration = Duration::from_mins(10);

/// Has the store checked, and prints what that takes. It is over before anything else is measured, which it
/// would be counted to.
pub(super) fn measure(server: &Server, interrupt: &Interrupt) -> anyhow::Result<()> {
    let operator = server.operator();
    let (begun, cpu) = (Instant::now(), server.cpu()?);
    let asked = operator.check_store()?;
    let mut most = server.resident_mib()?;
    let checked = loop {
        ensure!(!interrupt.raised(), "interrupted");
        ensure!(
            begun.elapsed() < DEADLINE,
            "the check was not over after {} s",
            DEADLINE.as_secs()
        );
        thread::sleep(LOOK);
        most = most.max(server.resident_mib()?);
        let store = operator.status()?.store.unwrap_or_default();
        let checked = store.checked.filter(|it| it.entries > asked);
        if let Some(checked) = checked {
            break checked;
        }
    };
    println!(
        "checked: {} entries in {:.1} s, with {:.1} s of CPU",
        checked.entries,
        begun.elapsed().as_secs_f64(),
        server.cpu()?.saturating_sub(cpu).as_secs_f64()
    );
    ensure!(
        checked.findings == 0,
        "the check found that {}",
        checked.first
    );
    let name = "most memory during the check";
    println!("{}", judged(name, most, "MiB", MEMORY));
    Ok(())
}
