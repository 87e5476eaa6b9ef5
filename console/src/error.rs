//! What can go wrong, what it says to a person, and the exit code it ends the program with.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use agentidp_proto::{CODE_METADATA, REQUEST_ID_METADATA};
use agentidp_shared::FieldError;
use tonic::{Code as GrpcCode, Status};

use crate::text::inert;

/// An error of the program, by what its caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The daemon does not answer.
    #[error("cannot reach the daemon: {why}")]
    Unreachable {
        /// What was seen.
        why: String,
        /// What to do next.
        hint: String,
    },
    /// The daemon answered with a refusal or a failure of its own.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The command line asks for something that it cannot mean.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do next.
        hint: String,
    },
    /// Some of what was asked for was done, and some was not.
    #[error("{what}")]
    Partly {
        /// How much was not.
        what: String,
    },
    /// The daemon's answer breaks a rule of the records.
    #[error("the daemon's answer is not understood: {0}")]
    Answer(#[from] FieldError),
    /// A file or the terminal does not do what it should.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// How it failed.
        source: io::Error,
    },
    /// A file is not what the log would have written.
    #[error("{file} does not verify: {why}")]
    NotVerified {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something that has its own next step.
    #[error("{what}")]
    Told {
        /// What it is.
        what: String,
        /// What to do.
        hint: String,
        /// The exit code.
        code: u8,
    },
    /// A file may be what the log would have written, and by itself it does not prove it.
    #[error("{file} verifies in part: {why}")]
    Undecided {
        /// The file.
        file: String,
        /// What cannot be told.
        why: String,
    },
    /// Something that was looked at is not as it should be.
    #[error("{what}")]
    Unwell {
        /// How much is not.
        what: String,
        /// The exit code of the worst.
        code: u8,
    },
    /// Nobody reads the output any more, which is the reader's right.
    #[error("the output is closed")]
    OutputClosed,
}

/// What the daemon said when it did not do what it was asked.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The gRPC code.
    pub grpc: GrpcCode,
    /// The code of the reference's list, when the daemon gave one.
    pub code: Option<String>,
    /// The sentence for people.
    pub message: String,
    /// Names the request in the daemon's log and in the audit log.
    pub request_id: Option<String>,
}

impl Error {
    /// For `map_err` on an [`io::Error`]: says what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            what: what.into(),
            source,
        }
    }

    /// For `map_err` on what writing to the standard output gives.
    pub(crate) fn output(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Io {
                what: "cannot write the output".to_owned(),
                source,
            }
        }
    }

    /// An error of usage.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// Whether trying again later may help, because the daemon did not get the request.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// The exit code: 0 done, 1 failed, 2 usage, 3 not found, 4 not permitted, 5 conflict,
    /// 6 daemon unreachable, 7 verified but for what cannot be told. Output that nobody reads is success.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Io { .. } | Self::Answer(_) | Self::Partly { .. } | Self::NotVerified { .. } => 1,
            Self::Unwell { code, .. } | Self::Told { code, .. } => *code,
            Self::Usage { .. } => 2,
            Self::Unreachable { .. } => 6,
            Self::Undecided { .. } => 7,
            Self::Refused(refusal) => refusal.exit_code(),
        }
    }

    /// What to do next, when there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Unreachable { hint, .. } | Self::Usage { hint, .. } | Self::Told { hint, .. } => {
                Some(hint)
            }
            Self::Answer(_) => Some(
                "the console and the daemon may be of different versions: compare agentidp \
                 --version with agentidp status",
            ),
            Self::Refused(refusal) => refusal.hint(),
            Self::Unwell { .. } => Some("the next steps stand beside what was found"),
            Self::Partly { .. } => Some("the answer says which, and why"),
            Self::NotVerified { .. } => Some(
                "export again and compare; if the fault stays, the log or the key is another than \
                 you think",
            ),
            Self::Undecided { .. } => {
                Some("export to the end of the log: the entries that say so may be behind this end")
            }
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Some("check the path: nothing is there"),
                io::ErrorKind::PermissionDenied => {
                    Some("ls -l shows who may; another file or folder may do as well")
                }
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("make room, or write elsewhere")
                }
                _ => Some("agentidp diagnose shows what else is wrong"),
            },
            Self::OutputClosed => None,
        }
    }
}

impl Refusal {
    fn exit_code(&self) -> u8 {
        match (self.code.as_deref(), self.grpc) {
            (Some("INVALID_ARGUMENT"), _) | (None, GrpcCode::InvalidArgument) => 2,
            (
                Some(
                    "ORGANIZATION_NOT_FOUND"
                    | "AGENT_NOT_FOUND"
                    | "CREDENTIAL_NOT_FOUND"
                    | "KEY_NOT_FOUND"
                    | "INVALID_TOKEN"
                    | "TOKEN_REVOKED",
                ),
                _,
            )
            | (None, GrpcCode::NotFound) => 3,
            (Some("PERMISSION_DENIED" | "READ_ONLY"), _) | (None, GrpcCode::PermissionDenied) => 4,
            (
                Some(
                    "ALREADY_EXISTS"
                    | "REVISION_CONFLICT"
                    | "INVALID_STATE"
                    | "IDEMPOTENCY_CONFLICT",
                ),
                _,
            )
            | (None, GrpcCode::AlreadyExists | GrpcCode::Aborted | GrpcCode::FailedPrecondition) => {
                5
            }
            _ => 1,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        let Some(code) = self.code.as_deref() else {
            return (self.grpc == GrpcCode::NotFound)
                .then_some("look for it with the list command");
        };
        Some(match code {
            "INVALID_ARGUMENT" => "put it right and repeat",
            "INVALID_STATE" => "the show command tells how it stands",
            "LIMIT_REACHED" => "end one that is not needed any more",
            "INVALID_TOKEN" => "give a token that this server issued, whole",
            "TOKEN_REVOKED" => "nothing is left to do",
            "IDEMPOTENCY_CONFLICT" => {
                "nothing was done this time; agentidp audit list shows what was done before"
            }
            "ABANDONED" => "agentidp audit list shows whether it was done; ask again if not",
            "AGENT_NOT_FOUND" => "agentidp agent list shows the agents that you may see",
            "ORGANIZATION_NOT_FOUND" => "agentidp org list shows the organizations",
            "KEY_NOT_FOUND" => "agentidp key list shows the signing keys",
            "CREDENTIAL_NOT_FOUND" => "agentidp credential list AGENT shows an agent's credentials",
            "ALREADY_EXISTS" => "choose another, or look at the one that is there",
            "REVISION_CONFLICT" => "the show command tells the revision to repeat with",
            "QUOTA_EXCEEDED" => {
                "agentidp org show ORG tells the tier; an admin changes it: agentidp org update ORG --tier TIER"
            }
            "PERMISSION_DENIED" => {
                "agentidp diagnose says who you are to the daemon and your role, or what gives one; \
                 agentidp status the organizations that it is for"
            }
            "READ_ONLY" => {
                "start agentidp without --read-only and without AGENTIDP_READ_ONLY to change something"
            }
            "STORE_UNAVAILABLE" => "agentidp status says why nothing can be written",
            "STORAGE_LOW" => "agentidp status says how much room there is and how much is kept",
            "CLOCK_AHEAD" => "agentidp status says what the daemon thinks of its clock",
            "OVERLOADED" | "RATE_LIMITED" => "try again in a moment",
            "INTERNAL" => "the daemon's log says more under the request's id",
            _ => return None,
        })
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let text = |key| {
            let value = status.metadata().get(key)?.to_str().ok()?;
            Some(inert(value).into_owned())
        };
        let code = text(CODE_METADATA);
        // A status that the daemon sent has no source; one that stands for a broken connection or
        // a deadline has.
        if let Some(source) = std::error::Error::source(&status)
            && code.is_none()
        {
            let mut cause: &dyn std::error::Error = source;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            return Self::Unreachable {
                why: format!("the connection ended ({})", inert(&cause.to_string())),
                hint: "what was asked may have been done, which agentidp audit list shows; \
                       agentidp status tells whether it is back"
                    .to_owned(),
            };
        }
        let message = match status.message() {
            "" => format!("the daemon answered {:?}", status.code()),
            message => inert(message).into_owned(),
        };
        Self::Refused(Refusal {
            grpc: status.code(),
            code,
            message,
            request_id: text(REQUEST_ID_METADATA),
        })
    }
}

/// Tells a person about `error` and gives the exit code.
pub(crate) fn report(error: &Error) -> ExitCode {
    if !matches!(error, Error::OutputClosed) {
        // Nothing is left to try when not even this can be written.
        let _ = io::stderr().lock().write_all(describe(error).as_bytes());
    }
    ExitCode::from(error.exit_code())
}

fn describe(error: &Error) -> String {
    // Writing to a string does not fail.
    let mut text = format!("error: {error}\n");
    if let Error::Refused(refusal) = error {
        let code = refusal.code.as_deref().map(|code| format!("code {code}"));
        let request = refusal
            .request_id
            .as_deref()
            .map(|id| format!("request {id}"));
        let both: Vec<_> = [code, request].into_iter().flatten().collect();
        if !both.is_empty() {
            let _ = writeln!(text, "       ({})", both.join(", "));
        }
    }
    if let Some(hint) = error.hint() {
        let _ = writeln!(text, "hint:  {hint}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(grpc: GrpcCode, code: Option<&str>) -> Error {
        let mut status = Status::new(grpc, "a sentence");
        if let Some(code) = code {
            status
                .metadata_mut()
                .insert(CODE_METADATA, code.parse().unwrap());
            status
                .metadata_mut()
                .insert(REQUEST_ID_METADATA, "r-1".parse().unwrap());
        }
        status.into()
    }

    #[test]
    fn every_refusal_has_its_exit_code() {
        for (grpc, code, exit) in [
            (GrpcCode::InvalidArgument, Some("INVALID_ARGUMENT"), 2),
            (GrpcCode::NotFound, Some("AGENT_NOT_FOUND"), 3),
            (GrpcCode::NotFound, Some("ORGANIZATION_NOT_FOUND"), 3),
            (GrpcCode::NotFound, Some("CREDENTIAL_NOT_FOUND"), 3),
            (GrpcCode::NotFound, Some("KEY_NOT_FOUND"), 3),
            (GrpcCode::PermissionDenied, Some("PERMISSION_DENIED"), 4),
            (GrpcCode::AlreadyExists, Some("ALREADY_EXISTS"), 5),
            (GrpcCode::Aborted, Some("REVISION_CONFLICT"), 5),
            (GrpcCode::FailedPrecondition, Some("INVALID_STATE"), 5),
            (GrpcCode::ResourceExhausted, Some("LIMIT_REACHED"), 1),
            (GrpcCode::ResourceExhausted, Some("RATE_LIMITED"), 1),
            (GrpcCode::ResourceExhausted, Some("QUOTA_EXCEEDED"), 1),
            (GrpcCode::Aborted, Some("IDEMPOTENCY_CONFLICT"), 5),
            (GrpcCode::Unauthenticated, Some("INVALID_TOKEN"), 3),
            (GrpcCode::Unavailable, Some("STORE_UNAVAILABLE"), 1),
            (GrpcCode::ResourceExhausted, Some("STORAGE_LOW"), 1),
            (GrpcCode::Unavailable, Some("CLOCK_AHEAD"), 1),
            (GrpcCode::Internal, Some("INTERNAL"), 1),
            (GrpcCode::NotFound, None, 3),
            (GrpcCode::PermissionDenied, None, 4),
            (GrpcCode::Aborted, None, 5),
            (GrpcCode::Unimplemented, None, 1),
            (GrpcCode::Internal, Some("A_CODE_OF_LATER"), 1),
        ] {
            let error = refusal(grpc, code);
            assert_eq!(error.exit_code(), exit, "{grpc:?} {code:?}");
        }
    }

    #[test]
    fn every_refusal_of_an_operator_says_what_to_do_next() {
        // What only agents and their HTTP interface are told.
        const OF_HTTP: &[&str] = &[
            "AUTHORIZATION_ERROR",
            "INSUFFICIENT_SCOPE",
            "ROUTE_NOT_FOUND",
            "METHOD_NOT_ALLOWED",
            "BODY_TOO_LARGE",
            "BODY_TIMEOUT",
            "UNSUPPORTED_MEDIA_TYPE",
        ];
        for code in agentidp_shared::Code::ALL {
            let code = code.as_str();
            // What follows is in the log alone, and told to nobody.
            if code == "UNKNOWN_CLIENT" {
                break;
            }
            let has_hint = refusal(GrpcCode::Unknown, Some(code)).hint().is_some();
            assert_ne!(has_hint, OF_HTTP.contains(&code), "{code}");
        }
    }

    #[test]
    fn a_broken_connection_is_not_a_refusal() {
        let status = Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)));
        assert_eq!(Error::from(status).exit_code(), 6);
    }

    #[test]
    fn output_that_nobody_reads_is_success() {
        let error = Error::output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(error.exit_code(), 0);
        assert_eq!(
            Error::output(io::ErrorKind::StorageFull.into()).exit_code(),
            1
        );
    }

    #[test]
    fn a_refusal_names_code_request_and_what_to_do() {
        let error = refusal(GrpcCode::NotFound, Some("AGENT_NOT_FOUND"));
        assert_eq!(
            describe(&error),
            "error: a sentence\n       (code AGENT_NOT_FOUND, request r-1)\n\
             hint:  agentidp agent list shows the agents that you may see\n"
        );
    }
}
