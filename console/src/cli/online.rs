//! `agentidp audit verify` without a file: the daemon's whole log is read and verified, and that it
//! begins with what it was before.

use std::io::Write;
use std::path::{Path, PathBuf};

use agentidp_proto::v1;
use agentidp_shared::merkle::export::{ExportVerifier, Report, VerifyError};
use agentidp_shared::merkle::{
    Checkpoint, MAX_NOTE_BYTES, NodeHash, Note, VerifierKey, verify_consistency,
};

use crate::client::Client;
use crate::error::Error;
use crate::text::{counted, thousands};

use super::export::LARGE;
use super::output::Output;
use super::progress::Progress;
use super::remembered::{self, Remembered};
use super::tell;
use super::verify::{Verified, unproved};
use super::wanted::Wanted;

/// What is asked of the daemon's log.
pub(super) struct LogQuery {
    /// The key that the daemon's must be.
    pub(super) key: Option<VerifierKey>,
    /// A file with a checkpoint that the log must begin with.
    pub(super) since: Option<PathBuf>,
    /// The organization whose entries are read; empty: everything.
    pub(super) organization: String,
}

pub(super) async fn run(
    client: &Client,
    asked: LogQuery,
    output: &mut Output<impl Write>,
) -> Result<(), Error> {
    let current = client.audit_key().await?;
    let memory = remembered::path(client.socket());
    let before = memory
        .as_deref()
        .map(Remembered::read)
        .transpose()?
        .flatten();
    let trusted = (asked.key.as_ref())
        .or(before.as_ref().map(|it| &it.key))
        .unwrap_or(&current);
    if *trusted != current {
        let remembered_in = memory.as_deref().filter(|_| asked.key.is_none());
        still_signs(client, trusted, &current, remembered_in).await?;
    }
    let asked_since = asked.since.as_deref().map(read_note).transpose()?;
    let report = read_all(client, trusted, asked.organization).await?;
    let mut since = None;
    if let Some(note) = asked_since {
        let old = Checkpoint::verified(&note, trusted)
            .or_else(|_error| Checkpoint::verified(&note, &current))
            .map_err(|error| {
                not_verified(format!("the checkpoint that it must begin with: {error}"))
            })?;
        let kept = "checkpoints that were kept from after that moment are of another log";
        grown(client, &old, &report.checkpoint, kept).await?;
        since = Some(old.size);
    }
    if let Some(Remembered { key, note }) = &before {
        let old = Checkpoint::verified(note, key)
            .map_err(|error| not_verified(format!("what is remembered of it: {error}")))?;
        let forget = memory.as_deref().map_or_else(String::new, |it| {
            format!("then delete {}, and verify again", it.display())
        });
        grown(client, &old, &report.checkpoint, &forget).await?;
        since = since.or(Some(old.size));
    }
    let note = report.note.clone();
    let key = match Checkpoint::verified(&note, &current) {
        Ok(_) => current,
        Err(_) => trusted.clone(),
    };
    match memory {
        Some(path) => Remembered { key, note }.write(&path)?,
        None => tell("nothing is remembered for the next time: HOME is not set"),
    }
    output.one(&Verified::online(report, since))
}

/// A key that is not the trusted one is believed only where that one signs too, as it does for a while
/// after the log's key was changed.
async fn still_signs(
    client: &Client,
    trusted: &VerifierKey,
    current: &VerifierKey,
    memory: Option<&Path>,
) -> Result<(), Error> {
    let note = client.audit_checkpoint().await?;
    let note = Note::from_bytes(note.as_bytes())
        .map_err(|error| not_verified(format!("its checkpoint: {error}")))?;
    if Checkpoint::verified(&note, trusted).is_ok() {
        tell(&format!(
            "the log's key was changed: it is {current}, and {trusted} still signs too"
        ));
        return Ok(());
    }
    let another_store = memory.map_or_else(String::new, |memory| {
        format!(
            ". If this is another store on purpose, delete {}",
            memory.display()
        )
    });
    Err(not_verified(format!(
        "it signs with {current}, and not with {trusted}. If the log's key was changed on purpose, \
         ask whoever changed it for the new one and give that with --key{another_store}"
    )))
}

/// What is verified, in words.
const LOG: &str = "the daemon's log";

fn not_verified(why: String) -> Error {
    let file = LOG.to_owned();
    Error::NotVerified { file, why }
}

/// The checkpoint in a file.
fn read_note(path: &Path) -> Result<Note, Error> {
    let bytes =
        std::fs::read(path).map_err(Error::io(format!("cannot read {}", path.display())))?;
    // One empty line may follow, as in the file that the daemon appends checkpoints to.
    let bytes = bytes
        .strip_suffix(b"\n\n")
        .map_or_else(|| bytes.clone(), |note| [note, b"\n"].concat());
    let bytes = bytes
        .get(..bytes.len().min(MAX_NOTE_BYTES))
        .unwrap_or_default();
    Note::from_bytes(bytes).map_err(|error| {
        Error::usage(
            format!("{} holds no checkpoint: {error}", path.display()),
            "it must hold one, as agentidp audit checkpoint prints it",
        )
    })
}

/// Verifies that the log of `new` begins with that of `old`. `then` is what to do when it does not, and is
/// not meant to.
async fn grown(
    client: &Client,
    old: &Checkpoint,
    new: &Checkpoint,
    then: &str,
) -> Result<(), Error> {
    let (from, to) = (old.size, new.size);
    let another = |why: String| Error::Told {
        what: format!("the daemon's log does not verify: {why}"),
        code: 1,
        hint: format!(
            "after a restore that left something out this is as it should be: agentidp audit list --action \
             store.restore (or store.accept) has it, if it was meant; {then}"
        ),
    };
    if from > to {
        return Err(another(format!(
            "it has {}, and had {} before: it was put back or cut short",
            counted(to, "entry"),
            thousands(from)
        )));
    }
    if from == 0 {
        return Ok(());
    }
    let answer = client.audit_consistency(from, to).await?;
    let proof: Vec<NodeHash> = answer
        .iter()
        .map(|hash| hash.parse())
        .collect::<Result<_, _>>()?;
    verify_consistency(from, to, &old.root, &new.root, &proof).map_err(|error| {
        another(format!(
            "it does not begin with the {} that it had: {error}",
            counted(from, "entry")
        ))
    })
}

/// Reads and verifies every entry.
async fn read_all(
    client: &Client,
    key: &VerifierKey,
    organization: String,
) -> Result<Report, Error> {
    let request = v1::ExportAuditRequest {
        organization,
        ..v1::ExportAuditRequest::default()
    };
    let wanted = Wanted::of(client, &request).await?;
    let mut stream = client.audit_export(request).await?;
    let mut verifier = ExportVerifier::new(key.clone());
    let mut progress = Progress::new("verified", LARGE);
    let refused = |error: VerifyError| not_verified(error.to_string());
    while let Some(chunk) = stream.message().await? {
        verifier.push(&chunk.data).map_err(refused)?;
        progress.at(chunk.next, chunk.to);
    }
    let report = verifier.finish().map_err(refused)?;
    if let Some(why) = wanted.not_met(&report) {
        return Err(not_verified(why));
    }
    unproved(LOG, &report)?.map_or(Ok(report), Err)
}
