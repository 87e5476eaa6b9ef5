//! Dry runs: what would be done is told, with the exit code that doing it would have, as far as that
//! can be known from outside.

use std::fmt::Display;

use tonic::Code;

use crate::error::{Error, Refusal};

use super::tell;

/// Tells what would be done.
pub(super) fn would(what: &str) {
    tell(&format!("{what}; nothing was done"));
}

/// That the daemon would refuse it, with its code for that.
pub(super) fn refused(code: &str, why: impl Display) -> Error {
    Error::Refused(Refusal {
        grpc: Code::FailedPrecondition,
        code: Some(code.to_owned()),
        message: format!("it would be refused: {why}"),
        request_id: None,
    })
}

/// Refuses when the revision that the caller saw is not the record's. `seen` 0 is any.
pub(super) fn check_revision(seen: u64, now: u64) -> Result<(), Error> {
    if seen == 0 || seen == now {
        return Ok(());
    }
    Err(refused(
        "REVISION_CONFLICT",
        format!("the revision is {now}, not {seen}"),
    ))
}

/// Whether what was looked for is there: that it is not is no error here.
pub(super) fn if_found<T>(looked_for: Result<T, Error>) -> Result<Option<T>, Error> {
    match looked_for {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.exit_code() == 3 => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_ends_as_the_thing_itself_would() {
        assert!(check_revision(0, 7).is_ok());
        assert!(check_revision(7, 7).is_ok());
        assert_eq!(check_revision(6, 7).unwrap_err().exit_code(), 5);
        assert_eq!(refused("INVALID_STATE", "no").exit_code(), 5);
        assert_eq!(refused("ALREADY_EXISTS", "no").exit_code(), 5);
    }
}
