//! The daemon among processes: what its service manager hears, which signals end it, and what must
//! not leave its memory.

use std::io;
use std::time::Duration;

use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

/// How much longer a start that makes progress may take, in microseconds.
const START_MORE: u32 = 30_000_000;

/// Tells the service manager how the daemon is (`sd_notify(3)`). Without one it does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Notifier(());

impl Notifier {
    /// Speaks to the service manager that the environment names in `NOTIFY_SOCKET`.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }

    /// The daemon serves.
    pub fn ready(&self) {
        notify(&[NotifyState::Ready]);
        notify(&[NotifyState::Status("")]);
    }

    /// The daemon is still starting, and does `what`.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        clippy::unused_self,
        reason = "it is a method like its neighbours, which others use as such"
    )]
    pub(crate) fn starting(&self, what: &str) {
        notify(&[
            NotifyState::ExtendTimeoutUsec(START_MORE),
            NotifyState::Status(what),
        ]);
    }

    /// The daemon is about to end.
    pub fn stopping(&self) {
        notify(&[NotifyState::Stopping]);
    }

    /// Begins to feed the watchdog, if the service manager has one for this process, until the task
    /// is aborted or its runtime ends.
    ///
    /// The feeding runs among the tasks that serve: if they can no longer run, neither can it, and
    /// the service manager starts the daemon anew. Half of the limit leaves room for a late turn
    /// (`sd_watchdog_enabled(3)`).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, when there is a watchdog.
    #[must_use]
    pub fn feed_watchdog(&self) -> Option<JoinHandle<()>> {
        // An interval of nothing would not be one.
        let limit =
            sd_notify::watchdog_enabled().filter(|limit| *limit >= Duration::from_millis(2))?;
        Some(tokio::spawn(async move {
            let mut turns = tokio::time::interval(limit / 2);
            loop {
                turns.tick().await;
                notify(&[NotifyState::Watchdog]);
            }
        }))
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// From here on SIGTERM and SIGINT do not kill the process but resolve the future that is returned, with
/// the signal's name. SIGHUP ends nothing either: a terminal that closes does not end a daemon. Who has
/// something to read again listens for it as well.
///
/// A signal that comes before the future is first polled is not lost.
///
/// # Errors
///
/// When the handlers cannot be installed.
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn shutdown_signal() -> io::Result<impl Future<Output = &'static str> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => return "SIGTERM",
                _ = interrupt.recv() => return "SIGINT",
                _ = hangup.recv() => tracing::info!("SIGHUP"),
            }
        }
    })
}

/// From here on, what this process writes is for its own user alone. Call it before any thread is
/// started.
pub fn keep_files_private() {
    umask(Mode::from_bits_truncate(0o077));
}

/// Lets this process open as many files, connections among them, as it is allowed at all.
///
/// The limit that counts is mostly 1,024 to begin with, for the sake of programs that use
/// `select(2)`; this one does not.
///
/// # Errors
///
/// When the operating system refuses.
pub fn raise_open_files_limit() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(())
}

/// How many files this process may have open at once.
///
/// # Errors
///
/// When the operating system does not tell.
pub(crate) fn open_files_limit() -> io::Result<u64> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.0)
}

/// Keeps keys and secrets out of core dumps, and other processes of the same user out of this one's
/// memory.
///
/// Both ways, because neither does alone: the limit does not hold for core dumps that are piped to a
/// program, such as systemd-coredump (`core(5)`). That the process is not dumpable also gives its
/// files in `/proc` to root; what the daemon reads there of its own and of others stays readable.
///
/// # Errors
///
/// When the operating system refuses.
pub fn forbid_core_dumps() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    set_dumpable(false)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use nix::sys::prctl::get_dumpable;
    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[test]
    fn memory_is_not_dumped_and_proc_stays_readable() {
        forbid_core_dumps().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
        assert!(!get_dumpable().unwrap());
        for name in ["stat", "status", "statm", "loginuid"] {
            assert!(
                std::fs::read(format!("/proc/self/{name}")).is_ok(),
                "{name}"
            );
        }
    }

    #[test]
    fn as_many_files_may_be_open_as_are_allowed_at_all() {
        raise_open_files_limit().unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!((soft, hard), (open_files_limit().unwrap(), soft));
    }

    // One test for all signals: they reach every listener in the process.
    #[tokio::test]
    async fn sigterm_and_sigint_end_the_wait_even_when_they_come_early_and_sighup_does_not() {
        use futures_util::FutureExt as _;

        for (sent, name) in [(Signal::SIGTERM, "SIGTERM"), (Signal::SIGINT, "SIGINT")] {
            let mut ended = Box::pin(shutdown_signal().unwrap());
            let mut hangup = signal(SignalKind::hangup()).unwrap();
            raise(Signal::SIGHUP).unwrap();
            hangup.recv().await;
            assert!(ended.as_mut().now_or_never().is_none(), "SIGHUP ended it");
            raise(sent).unwrap();
            assert_eq!(ended.await, name);
        }
    }

    #[tokio::test]
    async fn without_a_service_manager_nothing_is_said() {
        let notifier = Notifier::new();
        notifier.ready();
        notifier.stopping();
        assert!(notifier.feed_watchdog().is_none());
    }
}
