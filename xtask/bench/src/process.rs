//! What the operating system says about a process, from `/proc` (see proc(5)).

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// Pins this process, and what it starts from now on, to some cores.
pub(crate) fn pin_to(cores: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set)
        .with_context(|| format!("cannot pin to the cores {cores:?}"))
}

/// Makes sure that there is a core for the server and another for the load.
pub(crate) fn require_two_cores() -> anyhow::Result<()> {
    let cores = sched_getaffinity(Pid::from_raw(0))?;
    ensure!(
        cores.is_set(0)? && cores.is_set(1)?,
        "needs core 0 for the server and core 1 for the load"
    );
    Ok(())
}

/// User and system time that all threads of the process have used.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let text = read(pid, "stat")?;
    let ticks = ticks_in(&text).with_context(|| format!("unexpected content: {text}"))?;
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no clock tick known")?;
    let per_second = u32::try_from(per_second)?;
    Ok(Duration::from_secs(ticks) / per_second)
}

/// Fields 14 and 15 of `/proc/PID/stat`. The second field is a name in parentheses that may itself
/// hold anything, so counting starts behind the last one.
fn ticks_in(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Resident memory now, in KiB.
pub(crate) fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let text = read(pid, "status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next());
    Ok(number.context("VmRSS is missing")?.parse()?)
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
}

#[cfg(test)]
mod tests {
    use super::ticks_in;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 10 20 30 40 55 45 1 2 20 0 3 0 99";
        assert_eq!(ticks_in(stat), Some(100));
    }
}
