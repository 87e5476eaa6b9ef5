//! `agentidp credential`.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentidp_shared::{Credential, CredentialId, CredentialKind, CredentialStatus, Timestamp};
use serde::Serialize;

use crate::args::{Consent, CredentialCommand, DryRun, Limit, Review};
use crate::client::{Client, Issued};
use crate::clock;
use crate::duration;
use crate::error::Error;
use crate::secret_file::SecretFile;
use crate::text::{counted, inert};
use crate::tui::read_stakes;

use super::already::Before;
use super::named::Named;
use super::output::{Output, Record};
use super::watch::{self, Look, Shape};
use super::{consent, dry, of_input, pages, tell};

/// The longest JWK that is read; the daemon takes less.
const MAX_KEY: u64 = 64 << 10;
/// How long ago a use is worth a word before its credential is cut off.
const LATELY: Duration = Duration::from_hours(24);

pub(super) async fn run(
    command: CredentialCommand,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    match command {
        CredentialCommand::Issue {
            agent,
            expires_in,
            public_key,
            secret_out,
            dry,
        } => {
            let key = public_key.map(|path| read_key(&path)).transpose()?;
            let client = connect().await?;
            if dry.dry_run {
                return dry::issue(agent, &client, output).await;
            }
            let file = secret_file(secret_out)?;
            let issued = client
                .issue_credential(agent, expires_in, key.unwrap_or_default())
                .await?;
            hand_over(&issued, file, output)
        }
        CredentialCommand::Rotate {
            credential,
            grace,
            public_key,
            revision,
            secret_out,
            dry,
        } => {
            check_id(&credential)?;
            let key = public_key.map(|path| read_key(&path)).transpose()?;
            let client = connect().await?;
            if dry.dry_run {
                return dry::rotation(credential, grace, revision, &client, output).await;
            }
            let file = secret_file(secret_out)?;
            let issued = client
                .rotate_credential(credential, grace, key.unwrap_or_default(), revision.seen())
                .await?;
            hand_over(&issued, file, output)?;
            warn_of_retiring(&client, &issued).await
        }
        CredentialCommand::Revoke {
            credential,
            consent,
            dry,
        } => {
            check_id(&credential)?;
            revoke(credential, &consent, dry, &connect().await?, output).await
        }
        CredentialCommand::List { agent, watch } => {
            let client = connect().await?;
            let Some(interval) = watch.watch else {
                return output.all(&client.credentials(agent).await?);
            };
            let look = async |client: &Client| {
                Ok(Look {
                    records: client.credentials(agent.clone()).await?,
                    note: None,
                })
            };
            watch::run(interval, Shape::List, &client, output, look).await
        }
        CredentialCommand::Review {
            kind,
            within,
            limit,
        } => review(kind, within, limit, connect, output).await,
        CredentialCommand::Show { credential, watch } => {
            check_id(&credential)?;
            let client = connect().await?;
            let format = output.format();
            let look = async |client: &Client| {
                let found = client.credential(credential.clone()).await?;
                let organization = found.organization_id.to_string();
                Named::of(found, Some(organization), client, format).await
            };
            let Some(interval) = watch.watch else {
                return output.one(&look(&client).await?);
            };
            let look = async |client: &Client| look(client).await.map(Look::one);
            watch::run(interval, Shape::One, &client, output, look).await
        }
    }
}

async fn revoke(
    credential: String,
    args: &Consent,
    dry: DryRun,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let current = client.credential(credential.clone()).await?;
    if let Some(warning) = still_used("it", &current, clock::now()) {
        tell(&warning);
    }
    if dry.dry_run {
        output.one(&current)?;
        dry::check_revision(args.revision.seen(), current.revision)?;
        dry::would(match current.status {
            CredentialStatus::Revoked => "it is revoked already",
            _ => "it would be revoked for good, and the tokens that it got would be dead",
        });
        return Ok(());
    }
    if consent::is_asked(args) {
        let stakes = read_stakes(client, current.agent_id).await?;
        tell(&stakes.sentence(Some(current.id), true));
    }
    let question = format!("Revoke credential {} for good?", inert(&credential));
    let reason = consent::obtain(args, &question)?;
    let before = Before::call(client).await?;
    let revoked = client
        .revoke_credential(credential, reason, args.revision.seen())
        .await?;
    output.one(&revoked.record)?;
    let seq = revoked.audit_seq;
    tell(&if before.has(seq) {
        format!("it was revoked already (audit {seq}): nothing to change, nothing was done")
    } else {
        format!("revoked (audit {seq})")
    });
    Ok(())
}

async fn review(
    kind: Review,
    within: Option<Duration>,
    limit: Limit,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    if within.is_some() && kind != Review::Expiring {
        return Err(Error::usage(
            "--within is about credentials that expire",
            "agentidp credential review expiring --within 30d",
        ));
    }
    let client = connect().await?;
    let word = kind.word();
    pages::print(limit.limit, output, async |size, token: Option<String>| {
        let token = token.unwrap_or_default();
        client.review_credentials(word, within, size, token).await
    })
    .await
}

/// Reads a public key's JWK; the daemon says whether it is one.
fn read_key(path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    let name = of_input(path);
    if path == Path::new("-") {
        let stdin = io::stdin().lock();
        stdin.take(MAX_KEY).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(MAX_KEY).read_to_string(&mut text))
    }
    .map_err(Error::io(format!("cannot read {name}")))?;
    if text.trim().is_empty() {
        return Err(Error::usage(
            format!("{name} is empty"),
            "give a JWK (RFC 7517), the public half of the agent's key",
        ));
    }
    // Here and not in the daemon: it may be the private half, which stays where it is.
    if text.trim_start().starts_with("-----BEGIN") {
        return Err(Error::usage(
            format!("{name} is PEM, and a JWK (RFC 7517) is wanted"),
            "docs/reference/authentication.md shows how to make one of it",
        ));
    }
    Ok(text)
}

/// That a credential which is about to be cut off was used of late, if it was. `which` stands for it.
fn still_used(which: &str, credential: &Credential, now: Timestamp) -> Option<String> {
    let is_accepted = matches!(
        credential.status,
        CredentialStatus::Active | CredentialStatus::Retiring
    );
    let age = now.since(credential.last_used_at?);
    (is_accepted && age < LATELY).then(|| {
        format!(
            "{which} was still used {} ago, {} in all",
            duration::short(age),
            counted(credential.use_count, "time")
        )
    })
}

/// Tells of the agent's old credentials that are about to retire and are still in use.
async fn warn_of_retiring(client: &Client, issued: &Issued) -> Result<(), Error> {
    let agent = issued.credential.agent_id.to_string();
    for credential in client.credentials(agent).await? {
        if credential.status == CredentialStatus::Retiring
            && let Some(warning) = still_used("the old one", &credential, clock::now())
        {
            tell(&format!("credential {}: {warning}", credential.id));
        }
    }
    Ok(())
}

/// Refuses what is no credential's id, such as the end of one that the console shows.
fn check_id(credential: &str) -> Result<(), Error> {
    match credential.parse::<CredentialId>() {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::usage(
            format!("{} is not the id of a credential", inert(credential)),
            "give the whole id: agentidp credential list AGENT",
        )),
    }
}

fn secret_file(path: Option<PathBuf>) -> Result<Option<(SecretFile, PathBuf)>, Error> {
    path.map(|path| Ok((SecretFile::create(&path)?, path)))
        .transpose()
}

/// Gives a new credential to whoever asked: the secret goes to the file or to the output, and to
/// one of them only.
fn hand_over(
    issued: &Issued,
    file: Option<(SecretFile, PathBuf)>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let mut answer = Answer {
        credential: &issued.credential,
        retiring: issued.retiring.as_ref(),
        client_id: &issued.client_id,
        client_secret: None,
    };
    if issued.credential.kind == CredentialKind::PublicKey {
        output.one(&answer)?;
        let seq = issued.audit_seq;
        tell(&format!(
            "assertions by this key are accepted (audit {seq})"
        ));
        return Ok(());
    }
    let mut written_to = None;
    match file.map(|(file, path)| (file.write(&issued.client_secret), path)) {
        Some((Ok(()), path)) => written_to = Some(path),
        Some((Err(error), _)) => {
            // A full disk must not cost the secret: it goes where it would have gone without a
            // file, and the failure is told.
            tell(&format!(
                "{error}: the secret follows on the output instead"
            ));
            answer.client_secret = Some(&issued.client_secret);
        }
        None => answer.client_secret = Some(&issued.client_secret),
    }
    output.one(&answer)?;
    match written_to {
        Some(path) => tell(&format!(
            "the secret is in {} (audit {})",
            path.display(),
            issued.audit_seq
        )),
        None => tell(&format!(
            "the secret is shown this once: store it now (audit {})",
            issued.audit_seq
        )),
    }
    Ok(())
}

#[derive(Serialize)]
struct Answer<'a> {
    credential: &'a Credential,
    #[serde(skip_serializing_if = "Option::is_none")]
    retiring: Option<&'a Credential>,
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
}

impl Record for Answer<'_> {
    const HEADINGS: &'static [&'static str] = &[];

    fn cells(&self) -> Vec<String> {
        Vec::new()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![("client_id", self.client_id.to_owned())];
        if let Some(secret) = self.client_secret {
            fields.push(("client_secret", secret.to_owned()));
        }
        fields.push(("credential", self.credential.id.to_string()));
        if let Some(key) = &self.credential.public_key {
            fields.push(("thumbprint", key.thumbprint.clone()));
        }
        if let Some(time) = self.credential.expires_at {
            fields.push(("expires_at", time.to_string()));
        }
        if let Some(retiring) = self.retiring {
            // Without a grace it is over at once.
            let is_over = retiring.status == CredentialStatus::Revoked;
            let what = if is_over { "revoked" } else { "retiring" };
            fields.push((what, retiring.id.to_string()));
            if let Some(time) = retiring.retires_at {
                fields.push(("retires_at", time.to_string()));
            }
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use agentidp_shared::{AgentId, OrganizationId};
    use zeroize::Zeroizing;

    use super::*;
    use crate::args::Format;

    fn issued() -> Issued {
        Issued {
            credential: Credential {
                id: CredentialId::from_bytes([1; 16]),
                agent_id: AgentId::from_bytes([2; 16]),
                organization_id: OrganizationId::from_bytes([3; 16]),
                kind: CredentialKind::ClientSecret,
                status: CredentialStatus::Active,
                created_at: Timestamp::from_millis(0),
                expires_at: None,
                retires_at: None,
                last_used_at: None,
                use_count: 0,
                public_key: None,
                tokens_revoked_until: None,
                revision: 1,
            },
            retiring: None,
            client_id: "client".to_owned(),
            client_secret: Zeroizing::new("aidp_secret".to_owned()),
            audit_seq: 7,
            request_id: String::new(),
        }
    }

    fn printed(format: Format, file: Option<(SecretFile, PathBuf)>) -> String {
        let mut bytes = Vec::new();
        hand_over(&issued(), file, &mut Output::new(format, &mut bytes)).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_end_of_an_id_is_not_enough_and_the_hint_says_where_the_whole_is() {
        let error = check_id("839401").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.hint().unwrap().contains("credential list"));
        assert!(check_id("0193f2c5-1a2b-7c3d-8e4f-50617283c001").is_ok());
    }

    #[test]
    fn a_key_in_pem_is_told_from_a_jwk() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "-----BEGIN PUBLIC KEY-----\n").unwrap();
        let error = read_key(file.path()).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(
            error
                .to_string()
                .ends_with("is PEM, and a JWK (RFC 7517) is wanted")
        );
    }

    #[test]
    fn a_credential_that_is_still_in_use_is_not_cut_off_without_a_word() {
        let mut credential = issued().credential;
        let now = Timestamp::from_millis(86_400_000 * 3);
        let still_used = |credential: &Credential| still_used("it", credential, now);
        assert_eq!(still_used(&credential), None, "it never was");
        credential.status = CredentialStatus::Retiring;
        credential.last_used_at = Some(Timestamp::from_millis(86_400_000 * 3 - 180_000));
        credential.use_count = 1_204;
        assert_eq!(
            still_used(&credential).unwrap(),
            "it was still used 3m ago, 1,204 times in all"
        );
        credential.use_count = 1;
        let once = "it was still used 3m ago, 1 time in all";
        assert_eq!(still_used(&credential).unwrap(), once);
        credential.last_used_at = Some(Timestamp::from_millis(0));
        assert_eq!(still_used(&credential), None, "that was days ago");
        credential.last_used_at = Some(now);
        credential.status = CredentialStatus::Revoked;
        assert_eq!(still_used(&credential), None, "it is cut off already");
    }

    #[test]
    fn a_secret_goes_to_the_output_when_there_is_no_file() {
        let json: serde_json::Value = serde_json::from_str(&printed(Format::Json, None)).unwrap();
        assert_eq!(json["client_id"], "client");
        assert_eq!(json["client_secret"], "aidp_secret");
        assert_eq!(json["credential"]["status"], "active");
        assert!(printed(Format::Table, None).contains("client_secret  aidp_secret"));
    }

    #[test]
    fn a_secret_in_a_file_is_not_shown() {
        for format in [Format::Table, Format::Json, Format::Ndjson] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("secret");
            let file = SecretFile::create(&path).unwrap();
            let text = printed(format, Some((file, path.clone())));
            assert!(
                !text.contains("secret\":\"aidp") && !text.contains("aidp_secret"),
                "{text}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "aidp_secret");
        }
    }
}
