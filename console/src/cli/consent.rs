//! Asking before something is done that is hard to undo.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::args::Consent;
use crate::error::Error;
use crate::text::it_or_them;

/// Makes sure that there is a reason and a yes; asks for what is missing on a terminal. Gives the
/// reason. `what` is the question, such as "Suspend a@acme.example?".
pub(super) fn obtain(consent: &Consent, what: &str) -> Result<String, Error> {
    obtain_from(consent, what, &mut Terminal)
}

/// Someone who can be asked.
trait Person {
    fn is_there(&self) -> bool;
    fn ask(&mut self, question: &str) -> Result<String, Error>;
}

struct Terminal;

impl Person for Terminal {
    fn is_there(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    fn ask(&mut self, question: &str) -> Result<String, Error> {
        let failed = || Error::io("cannot ask");
        let mut stderr = io::stderr().lock();
        stderr
            .write_all(question.as_bytes())
            .and_then(|()| stderr.flush())
            .map_err(failed())?;
        let mut answer = String::new();
        io::stdin()
            .lock()
            .read_line(&mut answer)
            .map_err(failed())?;
        Ok(answer.trim().to_owned())
    }
}

/// Makes sure that there is a reason, and a yes or somebody to ask for it by [`confirm_name`]. Gives
/// the reason.
pub(super) fn reason(given: Option<&str>, yes: bool) -> Result<String, Error> {
    reason_from(given, yes, &mut Terminal)
}

/// Makes sure that whoever is at the terminal means it: they have to type `name`.
pub(super) fn confirm_name(what: &str, name: &str) -> Result<(), Error> {
    confirm_name_from(what, name, &mut Terminal)
}

fn confirm_name_from(what: &str, name: &str, person: &mut impl Person) -> Result<(), Error> {
    let answer = person.ask(&format!("{what}\nType {name} to do it: "))?;
    if answer == name {
        return Ok(());
    }
    let hint = format!("type {name} to do it");
    Err(Error::usage("nothing was done", hint))
}

fn obtain_from(consent: &Consent, what: &str, person: &mut impl Person) -> Result<String, Error> {
    let reason = reason_from(consent.reason.as_deref(), consent.yes, person)?;
    if consent.yes {
        return Ok(reason);
    }
    let answer = person.ask(&format!("{what} [y/N] "))?;
    if matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes") {
        Ok(reason)
    } else {
        Err(Error::usage("nothing was done", "answer y to do it"))
    }
}

/// Refuses at once what could not be agreed to later: when something is missing and there is nobody
/// to ask.
pub(super) fn check_can_be_had(consent: &Consent, takes_reason: bool) -> Result<(), Error> {
    if Terminal.is_there() {
        return Ok(());
    }
    if takes_reason {
        reason_from(consent.reason.as_deref(), consent.yes, &mut Terminal)?;
    }
    check_somebody_is_there(consent.yes, &Terminal)
}

/// As [`obtain`] for what is done to `count` records at once: the number is typed.
pub(super) fn obtain_count(
    consent: &Consent,
    takes_reason: bool,
    count: u64,
    verb: &str,
) -> Result<String, Error> {
    obtain_count_from(consent, takes_reason, count, verb, &mut Terminal)
}

fn obtain_count_from(
    consent: &Consent,
    takes_reason: bool,
    count: u64,
    verb: &str,
    person: &mut impl Person,
) -> Result<String, Error> {
    let reason = if takes_reason {
        reason_from(consent.reason.as_deref(), consent.yes, person)?
    } else {
        consent.reason.clone().unwrap_or_default()
    };
    check_somebody_is_there(consent.yes, person)?;
    if consent.yes {
        return Ok(reason);
    }
    let answer = person.ask(&format!(
        "Type {count} to have {} {verb}: ",
        it_or_them(count)
    ))?;
    if answer == count.to_string() {
        Ok(reason)
    } else {
        Err(Error::usage(
            "nothing was done",
            format!("type the number, {count}, to do it"),
        ))
    }
}

fn reason_from(given: Option<&str>, yes: bool, person: &mut impl Person) -> Result<String, Error> {
    let reason = match given {
        Some(reason) => reason.to_owned(),
        None if person.is_there() => person.ask("Reason, for the audit log: ")?,
        None => {
            return Err(Error::usage(
                "this needs a reason for the audit log",
                "add --reason TEXT",
            ));
        }
    };
    if reason.trim().is_empty() {
        return Err(Error::usage(
            "the reason is empty",
            "say in a few words why, for whoever reads the audit log",
        ));
    }
    check_somebody_is_there(yes, person)?;
    Ok(reason)
}

fn check_somebody_is_there(yes: bool, person: &impl Person) -> Result<(), Error> {
    if yes || person.is_there() {
        return Ok(());
    }
    Err(Error::usage(
        "this asks before it does anything, and there is no terminal to ask on",
        "add --yes to do it without asking",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Revision;

    struct Fake(Option<Vec<&'static str>>);

    impl Person for Fake {
        fn is_there(&self) -> bool {
            self.0.is_some()
        }

        fn ask(&mut self, _: &str) -> Result<String, Error> {
            Ok(self.0.as_mut().unwrap().remove(0).to_owned())
        }
    }

    fn obtained(
        reason: Option<&str>,
        yes: bool,
        answers: Option<&[&'static str]>,
    ) -> Result<String, u8> {
        let consent = Consent {
            reason: reason.map(str::to_owned),
            revision: Revision::default(),
            yes,
        };
        let mut person = Fake(answers.map(<[_]>::to_vec));
        obtain_from(&consent, "Suspend?", &mut person).map_err(|error| error.exit_code())
    }

    #[test]
    fn a_script_says_both_or_is_refused() {
        assert_eq!(obtained(Some("leak"), true, None), Ok("leak".to_owned()));
        assert_eq!(obtained(None, true, None), Err(2));
        assert_eq!(obtained(Some("leak"), false, None), Err(2));
        assert_eq!(obtained(Some(" "), true, None), Err(2));
    }

    #[test]
    fn a_person_is_asked_for_what_is_missing() {
        assert_eq!(obtained(None, true, Some(&["leak"])), Ok("leak".to_owned()));
        assert_eq!(
            obtained(None, false, Some(&["leak", "Y"])),
            Ok("leak".to_owned())
        );
        assert_eq!(
            obtained(Some("leak"), false, Some(&["yes"])),
            Ok("leak".to_owned())
        );
    }

    #[test]
    fn anything_but_yes_is_no() {
        for answer in ["", "n", "yy", "suspend"] {
            assert_eq!(obtained(Some("leak"), false, Some(&[answer])), Err(2));
        }
    }

    #[test]
    fn a_name_has_to_be_typed_as_it_is() {
        let confirmed = |typed| {
            let mut person = Fake(Some(vec![typed]));
            confirm_name_from("Rotate?", "NzbLsXh8", &mut person).is_ok()
        };
        assert!(confirmed("NzbLsXh8"));
        for other in ["", "y", "nzblsxh8", "NzbLsXh"] {
            assert!(!confirmed(other), "{other}");
        }
    }

    #[test]
    fn many_at_once_are_agreed_to_by_their_number() {
        let obtained = |takes_reason, answers: Option<&[&'static str]>| {
            let consent = Consent {
                reason: None,
                revision: Revision::default(),
                yes: false,
            };
            let mut person = Fake(answers.map(<[_]>::to_vec));
            obtain_count_from(&consent, takes_reason, 12, "suspended", &mut person)
                .map_err(|error| error.exit_code())
        };
        assert_eq!(obtained(true, Some(&["leak", "12"])), Ok("leak".to_owned()));
        assert_eq!(obtained(false, Some(&["12"])), Ok(String::new()));
        for answer in ["", "y", "yes", "11", "012"] {
            assert_eq!(obtained(false, Some(&[answer])), Err(2), "{answer}");
        }
        assert_eq!(obtained(false, None), Err(2));
    }
}
