//! `agentidp key`.

use std::io::Write;

use agentidp_shared::{KeyState, ScheduledKey};
use serde::Serialize;

use crate::args::{KeyCommand, KeyRotateArgs};
use crate::client::{Client, RotatedKeys};
use crate::duration;
use crate::error::{Error, Refusal};
use crate::text::{counted, inert};

use super::output::{Output, Record};
use super::record::moment;
use super::watch::{self, Look, Shape};
use super::{consent, dry, tell};

pub(super) async fn run(
    command: KeyCommand,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    match command {
        KeyCommand::List { watch } => {
            let client = connect().await?;
            let Some(interval) = watch.watch else {
                return output.all(&client.keys().await?);
            };
            let look = async |client: &Client| {
                Ok(Look {
                    records: client.keys().await?,
                    note: None,
                })
            };
            watch::run(interval, Shape::List, &client, output, look).await
        }
        KeyCommand::Show { kid, watch } => {
            let client = connect().await?;
            let find = async |client: &Client| {
                let keys = client.keys().await?;
                keys.into_iter()
                    .find(|it| it.key.kid == kid)
                    .ok_or_else(|| not_found(&kid))
            };
            let Some(interval) = watch.watch else {
                return output.one(&find(&client).await?);
            };
            let look = async |client: &Client| Ok(Look::one(find(client).await?));
            watch::run(interval, Shape::One, &client, output, look).await
        }
        KeyCommand::Rotate(args) => rotate(args, connect, output).await,
    }
}

/// That no signing key has this kid, as the daemon says it.
fn not_found(kid: &str) -> Error {
    Error::Refused(Refusal {
        grpc: tonic::Code::NotFound,
        code: Some("KEY_NOT_FOUND".to_owned()),
        message: format!("no signing key has the kid {}", inert(kid)),
        request_id: None,
    })
}

async fn rotate(
    args: KeyRotateArgs,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    if args.dry.dry_run {
        return tell_of_rotation(&args, &connect().await?, output).await;
    }
    let reason = consent::reason(args.reason.as_deref(), args.yes)?;
    let client = connect().await?;
    if !args.yes {
        let (question, name) = question(&args, &client.keys().await?)?;
        consent::confirm_name(&question, &name)?;
    }
    let rotated = client
        .rotate_keys(args.emergency, args.kid.unwrap_or_default(), reason)
        .await?;
    output.one(&Answer::of(&rotated))?;
    tell(&said(&rotated));
    Ok(())
}

/// Shows the keys that a rotation would be about, and tells what would become of them.
async fn tell_of_rotation(
    args: &KeyRotateArgs,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let mut keys = client.keys().await?;
    keys.retain(|it| match (&args.kid, args.emergency) {
        (Some(kid), _) => it.key.kid == *kid,
        (None, true) => it.key.state.is_published(),
        (None, false) => it.key.state == KeyState::Active,
    });
    if let (Some(kid), true) = (&args.kid, keys.is_empty()) {
        return Err(not_found(kid));
    }
    output.all(&keys)?;
    dry::would(if args.emergency {
        "these would leave the JWKS at once, and a new key would sign; the tokens that they signed \
         would be dead"
    } else {
        "this one would be replaced by a new key, which is published ten minutes before it signs"
    });
    Ok(())
}

/// What is about to happen, and the name that has to be typed for it: that of the key that it
/// happens to, as short as the screens show it.
fn question(args: &KeyRotateArgs, keys: &[ScheduledKey]) -> Result<(String, String), Error> {
    let find = |wanted: &dyn Fn(&ScheduledKey) -> bool| keys.iter().find(|key| wanted(key));
    let concerned = match &args.kid {
        Some(kid) => find(&|it| it.key.kid == *kid).ok_or_else(|| not_found(kid))?,
        None => find(&|it| it.key.state == KeyState::Active)
            .ok_or_else(|| Error::usage("no key signs now", "look at agentidp key list"))?,
    };
    let name: String = concerned.key.kid.chars().take(8).collect();
    let count = keys.iter().filter(|it| it.key.state.is_published()).count();
    let question = match (args.emergency, &args.kid) {
        (false, _) => format!("Replace the key {name}, which signs now, by a new one?"),
        (true, None) => format!(
            "EMERGENCY: withdraw all of the JWKS ({}, {name} among them), and sign with a new one at once? \
             Every token that they signed is dead, and agents have to ask anew.",
            counted(count as u64, "key")
        ),
        (true, Some(_)) => format!(
            "EMERGENCY: withdraw the key {name} ({}) at once? Every token that it signed is dead, and agents \
             have to ask anew.",
            concerned.key.state
        ),
    };
    Ok((question, inert(&name).into_owned()))
}

fn said(rotated: &RotatedKeys) -> String {
    let (key, seq) = (&rotated.key, rotated.audit_seq);
    match (rotated.revoked.len(), key.next) {
        (0, Some(next)) => format!(
            "{} is published, and signs from {} on (audit {seq})",
            key.key.kid,
            moment(next.at)
        ),
        (0, None) => format!("{} is {} (audit {seq})", key.key.kid, key.key.state),
        (count, _) => format!(
            "withdrawn: {}; {} signs (audit {seq}); whoever has cached the JWKS may go by that copy for up to {}",
            counted(count as u64, "key"),
            key.key.kid,
            duration::short(rotated.jwks_max_age)
        ),
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    key: &'a ScheduledKey,
    revoked: &'a [ScheduledKey],
    audit_seq: u64,
    /// In seconds.
    jwks_max_age: u64,
}

impl<'a> Answer<'a> {
    const fn of(rotated: &'a RotatedKeys) -> Self {
        Self {
            key: &rotated.key,
            revoked: rotated.revoked.as_slice(),
            audit_seq: rotated.audit_seq,
            jwks_max_age: rotated.jwks_max_age.as_secs(),
        }
    }
}

impl Record for Answer<'_> {
    const HEADINGS: &'static [&'static str] = &[];

    fn cells(&self) -> Vec<String> {
        Vec::new()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("key", self.key.key.kid.clone()),
            ("algorithm", self.key.key.algorithm.to_string()),
            ("state", self.key.key.state.to_string()),
        ];
        if let Some(next) = self.key.next {
            fields.push(("next", format!("{} {}", next.state, next.at)));
        }
        for revoked in self.revoked {
            fields.push(("revoked", revoked.key.kid.clone()));
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use agentidp_shared::{NextChange, SigningAlgorithm, SigningKey, Timestamp};

    use super::*;
    use crate::args::DryRun;

    fn key(kid: &str, state: KeyState, next: Option<KeyState>) -> ScheduledKey {
        let time = Timestamp::from_millis(1_800_000_000_000);
        ScheduledKey {
            key: SigningKey {
                kid: kid.to_owned(),
                algorithm: SigningAlgorithm::Es256,
                state,
                created_at: time,
                activated_at: None,
                retires_at: None,
                revision: 1,
            },
            next: next.map(|state| NextChange { state, at: time }),
        }
    }

    fn args(emergency: bool, kid: Option<&str>) -> KeyRotateArgs {
        KeyRotateArgs {
            emergency,
            kid: kid.map(str::to_owned),
            reason: None,
            dry: DryRun::default(),
            yes: false,
        }
    }

    #[test]
    fn the_question_names_the_key_that_it_happens_to() {
        let keys = [
            key("pending-key", KeyState::Pending, None),
            key("active-key", KeyState::Active, None),
            key("revoked-key", KeyState::Revoked, None),
        ];
        let asked = |emergency, kid| question(&args(emergency, kid), &keys).unwrap();
        let (planned, name) = asked(false, None);
        assert_eq!(name, "active-k");
        assert!(planned.contains("active-k") && !planned.contains("EMERGENCY"));
        let (all, name) = asked(true, None);
        assert_eq!(name, "active-k");
        assert!(all.contains("(2 keys, active-k among them)"), "{all}");
        let (one, name) = asked(true, Some("pending-key"));
        assert_eq!(name, "pending-");
        assert!(one.contains("(pending)"), "{one}");
        assert!(question(&args(true, Some("pending-")), &keys).is_err());
    }

    #[test]
    fn the_answer_says_from_when_on_and_for_how_long() {
        let rotated = |state, next, revoked: &[ScheduledKey]| RotatedKeys {
            key: key("new", state, next),
            revoked: revoked.to_vec(),
            audit_seq: 7,
            jwks_max_age: Duration::from_mins(5),
        };
        let planned = rotated(KeyState::Pending, Some(KeyState::Active), &[]);
        assert_eq!(
            said(&planned),
            "new is published, and signs from 2027-01-15T08:00:00Z on (audit 7)"
        );
        let old = key("old", KeyState::Revoked, None);
        let emergency = said(&rotated(KeyState::Active, None, &[old.clone(), old]));
        assert!(
            emergency.starts_with("withdrawn: 2 keys; new signs (audit 7)"),
            "{emergency}"
        );
        assert!(emergency.ends_with("up to 5m"), "{emergency}");
    }
}
