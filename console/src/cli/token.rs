//! `agentidp token`. A token is never taken from the command line, where other users could read it.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write};
use std::path::Path;

use agentidp_proto::v1;
use zeroize::Zeroizing;

use crate::args::{RevokeTokenArgs, TokenCommand, WhichTokens};
use crate::client::{Client, InspectedToken, RevokedTokens};
use crate::error::Error;
use crate::text::inert;

use super::named::Named;
use super::output::{Output, Record};
use super::{consent, dry, of_input, tell};

/// The longest token that is read.
const MAX_TOKEN: u64 = 64 << 10;

pub(super) async fn run(
    command: TokenCommand,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    match command {
        TokenCommand::Inspect { file } => {
            let token = read(&file)?;
            let client = connect().await?;
            let inspected = client.inspect_token(token.to_string()).await?;
            let claims = inspected.claims.as_ref();
            let organization = claims.map(|it| it.organization_id.clone());
            output.one(&Named::of(inspected, organization, &client, output.format()).await?)
        }
        TokenCommand::Revoke(args) => revoke(args, connect, output).await,
    }
}

async fn revoke(
    args: RevokeTokenArgs,
    connect: impl AsyncFnOnce() -> Result<Client, Error>,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let agreed = args.consent();
    let which = args.which;
    if args.dry.dry_run {
        return tell_of_revocation(which, &connect().await?, output).await;
    }
    let is_one = which.file.is_some() || which.jti.is_some();
    let revoked = if which.file.is_some() || which.jti.is_some() {
        // Read before anything is asked: standard input is the token's then.
        let token = which.file.as_deref().map(read).transpose()?;
        let what = which.jti.as_deref().map_or("this token".into(), inert);
        let reason = consent::obtain(&agreed, &format!("Revoke {what} for good?"))?;
        let request = v1::RevokeTokenRequest {
            token: token.map(|token| token.to_string()).unwrap_or_default(),
            jti: which.jti.unwrap_or_default(),
            reason,
        };
        connect().await?.revoke_token(request).await?
    } else {
        let named = [&which.agent, &which.credential, &which.org];
        let whose = named.into_iter().flatten().next();
        let whose = inert(whose.map_or("", String::as_str));
        let question = format!("Revoke every token issued until now for {whose}?");
        let request = v1::RevokeIssuedTokensRequest {
            reason: consent::obtain(&agreed, &question)?,
            agent: which.agent.unwrap_or_default(),
            credential_id: which.credential.unwrap_or_default(),
            organization: which.org.unwrap_or_default(),
        };
        connect().await?.revoke_issued_tokens(request).await?
    };
    output.one(&revoked)?;
    let (what, them) = if is_one {
        ("the token is revoked", "it until it expires")
    } else {
        (
            "every token issued until now is revoked",
            "them until they expire",
        )
    };
    tell(&format!(
        "{what} (audit {}); resource servers that verify by JWKS alone accept {them}",
        revoked.audit_seq
    ));
    Ok(())
}

/// Shows the token, or whose tokens, would be revoked.
async fn tell_of_revocation(
    which: WhichTokens,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    if let Some(file) = which.file {
        let token = read(&file)?;
        let token = client.inspect_token(token.to_string()).await?;
        output.one(&token)?;
        if token.claims.is_none() {
            let why = "it is no token of this server";
            return Err(dry::refused("INVALID_TOKEN", why));
        }
    } else if let Some(jti) = which.jti {
        // Tokens are not stored: whether there is one of this id, nobody knows.
        dry::would(&format!("the token {} would be revoked", inert(&jti)));
        return Ok(());
    } else if let Some(agent) = which.agent {
        output.one(&client.agent(agent).await?)?;
    } else if let Some(credential) = which.credential {
        output.one(&client.credential(credential).await?)?;
    } else if let Some(organization) = which.org {
        output.one(&client.organization(organization).await?)?;
    }
    dry::would("what was issued until now would be revoked for good");
    Ok(())
}

/// Reads a token from a file, or from standard input that is not a terminal.
fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let mut text = Zeroizing::new(String::new());
    if path == Path::new("-") {
        let stdin = io::stdin().lock();
        if stdin.is_terminal() {
            return Err(Error::usage(
                "there is no token on standard input",
                "agentidp token inspect < FILE",
            ));
        }
        stdin.take(MAX_TOKEN).read_to_string(&mut text)
    } else if is_token(path) {
        return Err(Error::usage(
            "a token stands on the command line, where other users may have read it",
            "it is read from a file or from standard input: agentidp token inspect < FILE",
        ));
    } else {
        File::open(path).and_then(|file| file.take(MAX_TOKEN).read_to_string(&mut text))
    }
    .map_err(Error::io(format!("cannot read {}", of_input(path))))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(Error::usage(
            format!("{} holds no token", of_input(path)),
            "agentidp token inspect < FILE",
        ));
    }
    Ok(Zeroizing::new(token.to_owned()))
}

/// Whether `path` is a token that was given in place of a file: the header of every JWT is a JSON object
/// that begins with a name.
fn is_token(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.starts_with("eyJ")) && !path.exists()
}

impl Record for InspectedToken {
    const HEADINGS: &'static [&'static str] = &[];

    fn cells(&self) -> Vec<String> {
        Vec::new()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let active = if self.active {
            "yes".to_owned()
        } else {
            format!("no: {}", self.code)
        };
        let mut fields = vec![("active", active)];
        if let Some(claims) = &self.claims {
            fields.extend([
                ("jti", claims.jti.clone()),
                ("agent_id", claims.agent_id.clone()),
                ("organization_id", claims.organization_id.clone()),
                ("credential_id", claims.credential_id.clone()),
                ("scope", claims.scope.clone()),
                ("audience", claims.audience.join(" ")),
            ]);
            let times = [
                ("issued_at", claims.issued_at),
                ("expires_at", claims.expires_at),
            ];
            for (name, time) in times {
                fields.extend(time.map(|time| (name, time.to_string())));
            }
        }
        fields
    }
}

impl Record for RevokedTokens {
    const HEADINGS: &'static [&'static str] = &[];

    fn cells(&self) -> Vec<String> {
        Vec::new()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let until = self.revoked_until;
        let until = until.map(|time| ("revoked_until", time.to_string()));
        until
            .into_iter()
            .chain([("audit_seq", self.audit_seq.to_string())])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_place_of_its_file_is_not_repeated() {
        let error = read(Path::new("eyJhbGciOiJFUzI1NiJ9.e30.c2ln")).unwrap_err();
        let said = format!("{error} {}", error.hint().unwrap());
        assert_eq!(error.exit_code(), 2);
        assert!(
            !said.contains("eyJ") && said.contains("standard input"),
            "{said}"
        );
    }
}
