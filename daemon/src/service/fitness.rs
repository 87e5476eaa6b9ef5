//! Whether the daemon may take on more, and what operators should look at: room on the disk, the
//! machine's clock, and what the store has trouble with.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use agentidp_shared::{Action, Actor, Code, Entry, Outcome};
use parking_lot::Mutex;

use super::bearer::Origin;
use super::{Service, ServiceError};
use crate::clock::{BEHIND_UNSAID, ClockStanding};
use crate::store::Room;

/// How long work on the store may wait for a thread before the daemon counts as not ready.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Since when a thread for work on the store is waited for, by what no clock change moves; `None`: there was
/// one when it was asked for last.
#[derive(Debug, Clone, Default)]
pub(super) struct Turn(Arc<Mutex<Option<Duration>>>);

/// A number of bytes, in words.
fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// That there is little room, and what to do.
fn low(room: Room) -> String {
    let then = if room.space.is_some_and(|it| it.total <= room.reserve) {
        "the disk is smaller than the reserve: lower store.reserve, or use a larger disk"
    } else {
        "make room on its disk, and the daemon goes on by itself"
    };
    format!(
        "store: low on space: {} are free, and {} are kept for revocations, suspensions and keys: no token is issued and nothing registered: {then}",
        mebibytes(room.space.unwrap_or_default().free),
        mebibytes(room.reserve)
    )
}

impl Service {
    /// Whether tokens may be issued.
    ///
    /// # Errors
    ///
    /// `STORAGE_LOW`, `CLOCK_AHEAD`.
    pub(super) fn check_issuing(&self, origin: Origin) -> Result<(), ServiceError> {
        let error = if self.store.is_low_on_space() {
            ServiceError::low_on_space()
        } else if matches!(self.clock_standing(), ClockStanding::Ahead(_)) {
            ServiceError::new(
                Code::ClockAhead,
                "the server's clock is not believed: an administrator has to put it right",
            )
        } else {
            return Ok(());
        };
        // Nobody was looked up, so the entry names nobody; it is one for all of a minute.
        let mut entry = Entry::new(
            self.now(),
            Actor::client(origin.address.to_string()),
            Action::TokenIssue,
            Outcome::Failed,
        );
        entry.code = Some(error.code);
        self.denials.put_back(entry);
        Err(error)
    }

    /// Why the machine's clock keeps the daemon from serving, if it does.
    pub(super) fn clock_ahead(&self) -> Option<String> {
        let ClockStanding::Ahead(by) = self.clock_standing() else {
            return None;
        };
        Some(format!(
            "the system clock says {}, {} days after the audit log's time: no token is issued until it is put right; if it is right, stop the daemon and run `agentidpd store accept --reason TEXT`",
            self.clock.clock().now(),
            by.as_secs() / 86_400
        ))
    }

    /// What operators should look at, each in a sentence that says what to do. It names paths.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let status = self.store.status();
        let mut warnings = Vec::new();
        if status.room.is_low {
            warnings.push(low(status.room));
        }
        warnings.extend(status.troubles);
        warnings.extend(self.clock_ahead());
        warnings.extend(self.certificate_failure.lock().as_ref().map(|failure| {
            format!(
                "certificate: what was put there cannot be used, and the one of before stays in use until it expires: {failure}: put a certificate there with the key that belongs to it"
            )
        }));
        if let ClockStanding::Behind(by) = self.clock_standing()
            && by > BEHIND_UNSAID
        {
            warnings.push(format!(
                "clock: the system clock is {} s behind the audit log: time goes on at half speed until it has caught up, so that nothing which has expired counts again: put the clock right; if it was ahead for long, stop the daemon and run `agentidpd store accept --reason TEXT`",
                by.as_secs()
            ));
        }
        warnings
    }

    /// Asks for a thread as work on the store does, unless one is waited for.
    pub(crate) fn watch_turns(&self) {
        let mut waiting = self.turn.0.lock();
        if waiting.is_none() {
            *waiting = Some(self.clock.clock().passed());
            let turn = self.turn.clone();
            tokio::task::spawn_blocking(move || *turn.0.lock() = None);
        }
    }

    /// That work on the store does not get on, if so.
    pub(super) fn without_turn(&self) -> Option<String> {
        let since = (*self.turn.0.lock())?;
        let waited = self.clock.clock().passed().saturating_sub(since);
        (waited > LONGEST_WAIT).then(|| {
            format!(
                "work on the store has waited for {} s for its turn: the daemon does more at once than it can; its log and agentidp status tell who asks",
                waited.as_secs()
            )
        })
    }

    /// Notes how it went to read the certificate again, which operators are told of until it goes well.
    pub(crate) fn note_certificate(&self, renewed: Result<(), String>) {
        *self.certificate_failure.lock() = renewed.clone().err();
        match renewed {
            Ok(()) => tracing::info!("the certificate has been read again"),
            Err(error) => {
                tracing::error!(%error, "the certificate cannot be read again; the old one stays in use");
            }
        }
    }

    /// Logs, once, that the machine's clock is not the time that the daemon goes by, and once that it is
    /// again.
    pub(crate) fn watch_clock(&self) {
        let standing = self.clock_standing();
        let is_off = match standing {
            ClockStanding::Believed => false,
            ClockStanding::Behind(by) => by > BEHIND_UNSAID,
            ClockStanding::Ahead(_) => true,
        };
        if self.clock_is_off.swap(is_off, Ordering::Relaxed) == is_off {
            return;
        }
        let clock = self.clock.clock().now();
        if is_off {
            tracing::error!(%clock, time = %self.now(), "the system clock is wrong, or was: agentidp status says what to do");
        } else {
            tracing::info!(%clock, "the daemon goes by the system clock again");
        }
    }
}
