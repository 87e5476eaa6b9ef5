//! `agentidp audit export FILE` and what else is written to a new file.
//!
//! An export grows in `FILE.part` and is verified while it is written; when it is whole it gets its
//! name. One that was interrupted stays there, and the same command goes on with it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use agentidp_proto::v1;
use agentidp_shared::merkle::export::{ExportVerifier, Header, Report, ResumedExport, VerifyError};
use agentidp_shared::merkle::{Checkpoint, Note, VerifierKey};

use crate::client::Client;
use crate::error::Error;
use crate::text::{counted, inert, thousands};

use super::progress::Progress;
use super::tell;
use super::wanted::Wanted;

/// From this many entries on, how far it is is told.
pub(super) const LARGE: u64 = 100_000;
/// How many bytes of a part are read at a time.
const CHUNK: usize = 256 * 1_024;

pub(super) async fn run(
    client: &Client,
    path: &Path,
    request: v1::ExportAuditRequest,
) -> Result<(), Error> {
    if path.symlink_metadata().is_ok() {
        return Err(is_there(path));
    }
    let key = client.audit_key().await?;
    let mut part = Part::open(path)?;
    let begun = part.begun(&key)?;
    let exported = if begun.is_closed() {
        begun.finish().map_err(|error| part.not_verified(&error))
    } else {
        rest(client, &mut part, begun, request).await
    };
    let report = match exported {
        Ok(report) => report,
        Err(error) => {
            if part.is_empty() {
                part.remove();
            } else {
                tell(&format!(
                    "{} has what there is so far: the same command goes on with it",
                    part.path.display()
                ));
            }
            return Err(error);
        }
    };
    part.finish(path)?;
    tell(&done(&report, path));
    Ok(())
}

/// What came of it, and where the next export begins.
fn done(report: &Report, path: &Path) -> String {
    let Report {
        from, to, entries, ..
    } = *report;
    let path = path.display().to_string();
    let (entries, path) = (counted(entries, "entry"), inert(&path));
    let of = match (to.checked_sub(1), report.organization_id) {
        (Some(last), None) if from <= last => format!(", {from} to {last}"),
        (Some(last), Some(_)) if from <= last => format!(" of {from} to {last}"),
        _ => String::new(),
    };
    format!("{entries}{of}, in {path}; --from {to} exports what comes after")
}

/// What the bytes that come are verified by.
enum Taker {
    Whole(ExportVerifier, Wanted),
    Rest(ResumedExport),
}

/// Exports what `part` has not yet.
async fn rest(
    client: &Client,
    part: &mut Part,
    begun: ExportVerifier,
    mut request: v1::ExportAuditRequest,
) -> Result<Report, Error> {
    let from = request.from;
    if let Some((header, next)) = begun.position() {
        check_same(client, part, header, &request).await?;
        let at = thousands(next);
        tell(&format!(
            "going on with {} at entry {at}",
            part.path.display()
        ));
        request.from = next;
        request.to = Some(header.to);
        request.size = Some(size_of(header)?);
    }
    let mut taker = match begun.position() {
        Some(_) => Taker::Rest(ResumedExport::new(begun)),
        None => Taker::Whole(begun, Wanted::of(client, &request).await?),
    };
    let mut stream = client.audit_export(request).await?;
    let mut progress = Progress::new("exported", LARGE);
    while let Some(chunk) = stream.message().await? {
        let verified = match &mut taker {
            Taker::Whole(verifier, _) => verifier.push(&chunk.data).map(|()| chunk.data),
            Taker::Rest(resumed) => resumed.push(&chunk.data),
        };
        part.append(&verified.map_err(|error| part.not_verified(&error))?)?;
        let all = chunk.to.saturating_sub(from);
        progress.at(chunk.next.saturating_sub(from), all);
    }
    match taker {
        Taker::Whole(verifier, wanted) => {
            let report = verifier
                .finish()
                .map_err(|error| part.not_verified(&error))?;
            let Some(why) = wanted.not_met(&report) else {
                return Ok(report);
            };
            part.file.set_len(0).map_err(part.unwritten())?;
            Err(Error::NotVerified {
                file: part.path.display().to_string(),
                why,
            })
        }
        Taker::Rest(resumed) => resumed.finish().map_err(|error| part.not_verified(&error)),
    }
}

/// Refuses to go on with a part of what is not asked for.
async fn check_same(
    client: &Client,
    part: &Part,
    header: &Header,
    request: &v1::ExportAuditRequest,
) -> Result<(), Error> {
    let wanted = Wanted::of(client, request).await?;
    if wanted.is_met_by(header.organization_id, &(header.from..header.to), header.to) {
        return Ok(());
    }
    let of = match header.organization_id {
        Some(id) => format!("of organization {id}"),
        None => "of everything".to_owned(),
    };
    Err(Error::usage(
        format!(
            "{} is a part of another export: {of}, --from {} --to {}",
            part.path.display(),
            header.from,
            header.to
        ),
        "ask for that one to go on with it, or delete it, or name another file",
    ))
}

/// The size of the tree that an export is proved against.
fn size_of(header: &Header) -> Result<u64, Error> {
    // The signature has been verified.
    let note = Note::from_bytes(header.checkpoint.as_bytes())?;
    let checkpoint: Checkpoint = note.text().parse()?;
    Ok(checkpoint.size)
}

/// An export that is not whole: `FILE.part`.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    /// Opens the part of the export `path`, or begins one.
    fn open(path: &Path) -> Result<Self, Error> {
        let mut name = OsString::from(path);
        name.push(".part");
        let path = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let file = match options.clone().create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options
                .custom_flags(nix::libc::O_NOFOLLOW)
                .open(&path)
                .map_err(Error::io(format!("cannot go on with {}", path.display())))?,
            file => file.map_err(Error::io(format!("cannot make {}", path.display())))?,
        };
        file.try_lock().map_err(|_error| {
            Error::usage(
                format!("{} is being written", path.display()),
                "wait for the other export, or name another file",
            )
        })?;
        Ok(Self { path, file })
    }

    /// Verifies what is there, and cuts off what does not hold at its end.
    fn begun(&mut self, key: &VerifierKey) -> Result<ExportVerifier, Error> {
        let unreadable = || Error::io(format!("cannot read {}", self.path.display()));
        let size = self.file.metadata().map_err(unreadable())?.len();
        let mut verifier = ExportVerifier::new(key.clone());
        let mut progress = Progress::new("verified", u64::MAX);
        let mut bytes = vec![0; CHUNK];
        let mut done = 0;
        loop {
            let count = self.file.read(&mut bytes).map_err(unreadable())?;
            let read = bytes.get(..count).unwrap_or_default();
            if read.is_empty() {
                break;
            }
            match verifier.push(read) {
                Ok(()) => {}
                // Whatever is there is not ours to throw away.
                Err(error) if verifier.whole() == 0 => return Err(self.not_verified(&error)),
                // What was written last before a crash.
                Err(_) => break,
            }
            done += u64::try_from(count).unwrap_or(u64::MAX);
            progress.at(done, size);
        }
        let whole = verifier.whole();
        self.file.set_len(whole).map_err(self.unwritten())?;
        self.file
            .seek(SeekFrom::Start(whole))
            .map_err(self.unwritten())?;
        Ok(verifier)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(self.unwritten())
    }

    fn is_empty(&self) -> bool {
        self.file.metadata().is_ok_and(|it| it.len() == 0)
    }

    fn remove(&self) {
        // An empty file in the way is no harm.
        let _ = std::fs::remove_file(&self.path);
    }

    /// Gives the whole export its name, which nothing has.
    fn finish(self, path: &Path) -> Result<(), Error> {
        self.file.sync_all().map_err(self.unwritten())?;
        match std::fs::hard_link(&self.path, path) {
            Ok(()) => {
                self.remove();
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(is_there(path)),
            // Not every file system has links.
            Err(_) => std::fs::rename(&self.path, path).map_err(unwritten(path)),
        }
    }

    fn unwritten(&self) -> impl FnOnce(io::Error) -> Error + use<> {
        unwritten(&self.path)
    }

    fn not_verified(&self, error: &VerifyError) -> Error {
        Error::NotVerified {
            file: self.path.display().to_string(),
            why: format!("{error}. It may be of another log; delete it to begin anew"),
        }
    }
}

/// Writes a new file.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => is_there(path),
        _ => Error::io(format!("cannot make {}", path.display()))(source),
    })?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(unwritten(path))
}

fn is_there(path: &Path) -> Error {
    Error::usage(
        format!("{} is there already", path.display()),
        "name a file that does not exist: evidence never overwrites any",
    )
}

fn unwritten(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    Error::io(format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use agentidp_shared::merkle::NodeHash;

    use super::*;

    #[test]
    fn what_was_exported_is_told_and_where_the_next_export_begins() {
        let hash = NodeHash::of_leaf(b"");
        let checkpoint: Checkpoint = format!("log.example/audit\n111\n{hash}\n").parse().unwrap();
        let note = format!("{checkpoint}\n\u{2014} log.example/audit AAAAAAAA\n");
        let of = |organization_id, from, entries| Report {
            checkpoint: checkpoint.clone(),
            note: Note::from_bytes(note.as_bytes()).unwrap(),
            organization_id,
            from,
            to: 111,
            entries,
            pruned: 0,
            unexplained: 0,
            put_back: 0,
        };
        let told = |report| done(&report, Path::new("audit.ndjson"));
        assert_eq!(
            told(of(None, 0, 111)),
            "111 entries, 0 to 110, in audit.ndjson; --from 111 exports what comes after"
        );
        let organization = agentidp_shared::OrganizationId::from_bytes([1; 16]);
        assert_eq!(
            told(of(Some(organization), 100, 1)),
            "1 entry of 100 to 110, in audit.ndjson; --from 111 exports what comes after"
        );
        assert_eq!(
            told(of(None, 111, 0)),
            "0 entries, in audit.ndjson; --from 111 exports what comes after"
        );
    }
}
