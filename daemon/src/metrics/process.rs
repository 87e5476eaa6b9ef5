//! What the kernel knows of this process.

use std::fs;
use std::io;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use crate::lifecycle::open_files_limit;

/// The process's use of the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Processor time, of user and system together, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Memory that is in RAM, in bytes.
    pub(crate) resident_bytes: u64,
    /// Open files, sockets included.
    pub(crate) open_files: u64,
    /// How many there may be.
    pub(crate) most_open_files: u64,
}

impl Usage {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// When `/proc` is not there, or not as `proc(5)` says.
    pub(crate) fn read() -> io::Result<Self> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let micros = usage.user_time() + usage.system_time();
        let micros = u64::try_from(micros.num_microseconds()).unwrap_or_default();
        // This listing has itself open, too.
        let open = fs::read_dir("/proc/self/fd")?.count().saturating_sub(1);
        Ok(Self {
            cpu_seconds: std::time::Duration::from_micros(micros).as_secs_f64(),
            resident_bytes: resident(&fs::read_to_string("/proc/self/status")?)
                .ok_or_else(|| io::Error::other("/proc/self/status has no VmRSS"))?,
            open_files: u64::try_from(open).unwrap_or(u64::MAX),
            most_open_files: open_files_limit()?,
        })
    }
}

/// The line `VmRSS:   1234 kB`, in bytes.
fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_what_this_process_uses() {
        let usage = Usage::read().unwrap();
        assert!(usage.resident_bytes > 100_000, "{usage:?}");
        assert!(usage.open_files >= 3, "{usage:?}");
        assert!(usage.most_open_files >= usage.open_files, "{usage:?}");
        assert!(usage.cpu_seconds >= 0.0, "{usage:?}");
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(
            resident("Name:\tagentidpd\nVmRSS:\t    1234 kB\n"),
            Some(1_263_616)
        );
        assert_eq!(resident("Name:\tagentidpd\n"), None);
    }
}
