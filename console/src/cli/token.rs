//! `agentidp token`. A token is never taken from the command line, where other users could read it.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write};
use std::path::Path;

use agentidp_proto::v1;
use zeroize::Zeroizing;

use crate::args::{RevokeTokenArgs, TokenCommand, WhichTokens};
use crate::client::{Client, InspectedToken, RevokedTokens, TokenClaims};
use crate::error::Error;
use crate::text::inert;

use super::already::Before;
use super::named::Named;
use super::output::{Output, Record};
use super::{consent, dry, of_input, tell};

/// Why nothing can be told of a token: which of it holds, the daemon tells nobody.
const NO_TOKEN: &str =
    "it is no token of this server, has expired, or is of an organization that is not yours to see";

/// Who does not hear of a revocation.
const BY_JWKS: &str = "resource servers that verify by JWKS alone accept";

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
            let is_token = claims.is_some();
            output.one(&Named::of(inspected, organization, &client, output.format()).await?)?;
            if is_token { Ok(()) } else { Err(no_token()) }
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
    let told = if which.file.is_some() || which.jti.is_some() {
        // Read before anything is asked: standard input is the token's then.
        let token = which.file.as_deref().map(read).transpose()?;
        let what = which.jti.as_deref().map_or("this token".into(), inert);
        let reason = consent::obtain(&agreed, &format!("Revoke {what} for good?"))?;
        let request = v1::RevokeTokenRequest {
            token: token.map(|token| token.to_string()).unwrap_or_default(),
            jti: which.jti.unwrap_or_default(),
            reason,
        };
        let client = connect().await?;
        let before = Before::call(&client).await?;
        let revoked = client.revoke_token(request).await?;
        output.one(&revoked)?;
        one_done(&revoked, &before)
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
        let revoked = connect().await?.revoke_issued_tokens(request).await?;
        output.one(&revoked)?;
        let at = revoked.in_log();
        format!("every token issued until now is revoked{at}; {BY_JWKS} them until they expire")
    };
    tell(&told);
    Ok(())
}

/// What is told of the revocation of one token.
fn one_done(revoked: &RevokedTokens, before: &Before) -> String {
    let at = revoked.in_log();
    let done = if revoked.audit_seq.is_none_or(|seq| before.has(seq)) {
        format!("the token was revoked already{at}: nothing was done")
    } else {
        format!("the token is revoked{at}")
    };
    format!("{done}; {BY_JWKS} it until it expires")
}

/// That what was given cannot be told anything about.
fn no_token() -> Error {
    Error::Told {
        what: NO_TOKEN.to_owned(),
        hint: "give it whole, as it was issued; agentidp audit list --action token.issue shows \
               what was"
            .to_owned(),
        code: 3,
    }
}

/// Shows the token, or whose tokens, would be revoked.
async fn tell_of_revocation(
    which: WhichTokens,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let whose = if let Some(file) = which.file {
        return tell_of_one(&read(&file)?, client, output).await;
    } else if let Some(jti) = which.jti {
        // Tokens are not stored: whether there is one of this id, nobody knows.
        dry::would(&format!(
            "the token {} would be revoked for good, if it was issued here and has not expired",
            inert(&jti)
        ));
        return Ok(());
    } else if let Some(agent) = which.agent {
        let agent = client.agent(agent).await?;
        output.one(&agent)?;
        agent.email.to_string()
    } else if let Some(credential) = which.credential {
        let credential = client.credential(credential).await?;
        output.one(&credential)?;
        format!("the credential {}", credential.id)
    } else {
        let organization = which.org.unwrap_or_default();
        let organization = client.organization(organization).await?;
        output.one(&organization)?;
        format!("agents of {}", organization.name)
    };
    dry::would(&format!(
        "every token issued until now for {} would be revoked for good",
        inert(&whose)
    ));
    Ok(())
}

/// Shows a token, and tells what its revocation would end.
async fn tell_of_one(
    token: &str,
    client: &Client,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let token = client.inspect_token(token.to_owned()).await?;
    output.one(&token)?;
    let Some(claims) = &token.claims else {
        return Err(dry::refused("INVALID_TOKEN", NO_TOKEN));
    };
    let agent = dry::if_found(client.agent(claims.agent_id.clone()).await)?;
    let whose = agent.map_or_else(|| claims.agent_id.clone(), |it| it.email.to_string());
    dry::would(&doom(&token, claims, &whose));
    Ok(())
}

/// What the revocation of a token of `whose` would end.
fn doom(token: &InspectedToken, claims: &TokenClaims, whose: &str) -> String {
    let it = format!("the token {} of {}", inert(&claims.jti), inert(whose));
    let end = claims
        .expires_at
        .map_or_else(|| "it expires".to_owned(), |time| time.to_string());
    match token.code.as_str() {
        _ if token.active => {
            format!("{it} would be revoked for good; without that it is accepted until {end}")
        }
        // What is suspended may be resumed.
        code @ ("AGENT_SUSPENDED" | "ORGANIZATION_SUSPENDED") => format!(
            "{it} would be revoked for good; it is not accepted now ({code}), and without that could \
             be until {end}"
        ),
        // By itself, which is not done twice, or with all that were issued until then.
        "TOKEN_REVOKED" => format!("{it} is revoked already, for good"),
        code => format!(
            "{it} is dead for good already ({}); it would be revoked by itself too, which changes nothing \
             for it",
            inert(code)
        ),
    }
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
        let seq = self.audit_seq.map(|seq| ("audit_seq", seq.to_string()));
        until.into_iter().chain(seq).collect()
    }
}

#[cfg(test)]
mod tests {
    use agentidp_shared::Timestamp;

    use super::*;

    #[test]
    fn a_dry_run_names_the_token_its_agent_and_its_end() {
        let claims = TokenClaims {
            jti: "0193f2c5".to_owned(),
            agent_id: "0193f2c4".to_owned(),
            organization_id: String::new(),
            credential_id: String::new(),
            scope: String::new(),
            audience: Vec::new(),
            issued_at: None,
            expires_at: Some(Timestamp::from_millis(0)),
        };
        let told = |active, code: &str| {
            let token = InspectedToken {
                active,
                code: code.to_owned(),
                claims: Some(claims.clone()),
            };
            doom(&token, &claims, "a@acme.example")
        };
        insta::assert_snapshot!(told(true, ""), @"the token 0193f2c5 of a@acme.example would be revoked for good; without that it is accepted until 1970-01-01T00:00:00.000Z");
        insta::assert_snapshot!(told(false, "AGENT_SUSPENDED"), @"the token 0193f2c5 of a@acme.example would be revoked for good; it is not accepted now (AGENT_SUSPENDED), and without that could be until 1970-01-01T00:00:00.000Z");
        let for_now = told(false, "ORGANIZATION_SUSPENDED");
        assert!(for_now.contains("without that could be until"), "{for_now}");
        insta::assert_snapshot!(told(false, "TOKEN_REVOKED"), @"the token 0193f2c5 of a@acme.example is revoked already, for good");
        for code in ["AGENT_ENDED", "CREDENTIAL_REVOKED"] {
            assert_eq!(
                told(false, code),
                format!(
                    "the token 0193f2c5 of a@acme.example is dead for good already ({code}); it would be \
                     revoked by itself too, which changes nothing for it"
                )
            );
        }
    }

    #[test]
    fn a_token_that_was_revoked_already_is_told_of_with_the_entry_that_is_still_there() {
        let told = |audit_seq| {
            let answer = v1::TokenChange {
                audit_seq,
                ..v1::TokenChange::default()
            };
            let revoked = RevokedTokens::from(answer);
            let fields = revoked.fields().len();
            (one_done(&revoked, &Before::of(7)), fields)
        };
        let jwks = "; resource servers that verify by JWKS alone accept it until it expires";
        for (seq, is, fields) in [
            (7, "the token is revoked (audit 7)", 1),
            (
                6,
                "the token was revoked already (audit 6): nothing was done",
                1,
            ),
            (0, "the token was revoked already: nothing was done", 0),
        ] {
            assert_eq!(told(seq), (format!("{is}{jwks}"), fields));
        }
    }

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
