//! One backup as a file: made, read back, and read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use age::stream::StreamWriter;
use age::{DecryptError, Decryptor, Encryptor, IdentityFile};
use agentidp_shared::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::content::{self, Failed};
use super::envelope::{self, damaged, of};
use super::folder::{file_name, partial_name};
use super::{BackupError, Encryption, Manifest, Summary};
use crate::store::durable::{Inspector, JournaledStore, Sink};
use crate::store::form::hex;

/// zstd's fastest ordinary level: a backup must not take the processor from what serves.
const LEVEL: i32 = 1;

/// To whom backups are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sealing {
    /// To these recipients, in age's form.
    To(Vec<String>),
    /// To nobody: they are not encrypted.
    Open,
}

impl Sealing {
    fn recipients(&self) -> &[String] {
        match self {
            Self::To(recipients) => recipients,
            Self::Open => &[],
        }
    }

    const fn encryption(&self) -> Encryption {
        match self {
            Self::To(_) => Encryption::Age,
            Self::Open => Encryption::None,
        }
    }
}

/// A backup that is whole.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What it says of itself.
    pub(crate) manifest: Manifest,
    /// How many bytes the file has.
    pub(crate) bytes: u64,
    /// The SHA-256 of the file without its last 32 bytes, which say the same; in hex.
    pub(crate) sha256: String,
}

impl Whole {
    /// The file's name.
    pub(crate) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// What encrypts, or does not.
enum Layer {
    Age(StreamWriter<envelope::Writer>),
    Open(envelope::Writer),
}

impl Layer {
    fn begin(sealing: &Sealing, out: envelope::Writer) -> io::Result<Self> {
        let Sealing::To(recipients) = sealing else {
            return Ok(Self::Open(out));
        };
        let recipients = recipients
            .iter()
            .map(|it| it.parse::<age::x25519::Recipient>())
            .collect::<Result<Vec<_>, _>>()
            .map_err(io::Error::other)?;
        let encryptor = Encryptor::with_recipients(recipients.iter().map(|it| it as _))
            .map_err(io::Error::other)?;
        Ok(Self::Age(encryptor.wrap_output(out)?))
    }

    fn finish(self) -> io::Result<envelope::Writer> {
        match self {
            Self::Age(writer) => writer.finish(),
            Self::Open(writer) => Ok(writer),
        }
    }
}

impl Write for Layer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Age(writer) => writer.write(bytes),
            Self::Open(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Age(writer) => writer.flush(),
            Self::Open(writer) => writer.flush(),
        }
    }
}

/// Makes a backup of `store` in `folder`, reads it back, and only then gives it its name. It goes on for
/// as long as `goes_on` says so of what it has so far; when it fails, it leaves nothing.
///
/// # Errors
///
/// [`BackupError`].
pub(crate) fn create(
    store: &JournaledStore,
    folder: &Path,
    sealing: &Sealing,
    now: Timestamp,
    goes_on: impl FnMut(&Summary) -> bool,
) -> Result<(Whole, Duration), BackupError> {
    let begun = Instant::now();
    let partial = folder.join(partial_name(now, store.id()));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)
        .map_err(BackupError::io(&partial))?;
    let made = write(store, file, &partial, sealing, now, goes_on).and_then(|digest| {
        let read = verify(&partial)?;
        if read.sha256 != digest {
            return Err(damaged(
                &partial,
                None,
                "it was read back otherwise than it was written",
            ));
        }
        let path = folder.join(file_name(now, read.manifest.cut.entries));
        rename(&partial, &path).map_err(BackupError::io(&path))?;
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        if synced.is_err() {
            // Its name may not last: it would be counted on, and be gone after a cut of power.
            let _ = fs::remove_file(&path);
        }
        synced.map_err(BackupError::io(folder))?;
        Ok(Whole { path, ..read })
    });
    if made.is_err() {
        // What cannot be removed now, the next one removes.
        let _ = fs::remove_file(&partial);
    }
    Ok((made?, begun.elapsed()))
}

fn write(
    store: &JournaledStore,
    file: File,
    path: &Path,
    sealing: &Sealing,
    now: Timestamp,
    goes_on: impl FnMut(&Summary) -> bool,
) -> Result<String, BackupError> {
    let begin = || -> io::Result<_> {
        let out = Layer::begin(sealing, envelope::Writer::begin(file)?)?;
        let mut out = zstd::Encoder::new(out, LEVEL)?;
        out.include_checksum(true)?;
        Ok(out)
    };
    let mut content = content::Writer::new(begin().map_err(BackupError::io(path))?, goes_on);
    let cut = store.write_image(&mut content)?;
    let end = || -> io::Result<String> {
        let (out, content) = content.finish()?;
        let manifest = Manifest {
            created_at: now,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cut,
            encryption: sealing.encryption(),
            recipients: sealing.recipients().to_vec(),
            content,
        };
        let digest = out.finish()?.finish()?.finish(&manifest)?;
        Ok(hex(&digest))
    };
    end().map_err(BackupError::io(path))
}

/// Gives a file its name, unless another has it.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let flags = RenameFlags::RENAME_NOREPLACE;
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, flags) {
        // A file system that cannot do it in one step.
        Err(Errno::EINVAL | Errno::ENOSYS) if !to.exists() => fs::rename(from, to),
        other => Ok(other?),
    }
}

/// Reads all of a file and verifies its checksums, for which nothing need be decrypted.
///
/// # Errors
///
/// [`BackupError`] when it is not what was written.
pub(crate) fn verify(path: &Path) -> Result<Whole, BackupError> {
    let (manifest, bytes, digest) = envelope::Reader::open(path)?.finish()?;
    Ok(Whole {
        path: path.to_owned(),
        manifest,
        bytes,
        sha256: hex(&digest),
    })
}

/// Reads the content of a file that was [verified](verify) into `sink`.
///
/// # Errors
///
/// [`BackupError`] when it cannot be decrypted, or is not what was written.
pub(crate) fn read(
    path: &Path,
    manifest: &Manifest,
    identity: Option<&Path>,
    sink: &mut dyn Sink,
) -> Result<(), BackupError> {
    let file = envelope::Reader::open(path)?;
    let plain: Box<dyn Read> = match manifest.encryption {
        Encryption::None => Box::new(file),
        Encryption::Age => {
            let identity = identity.ok_or_else(|| BackupError::Encrypted(path.to_owned()))?;
            Box::new(decrypt(path, manifest, file, identity)?)
        }
    };
    let mut plain = zstd::Decoder::new(plain).map_err(|error| of(path, error))?;
    let content = content::read(&mut plain, sink).map_err(|failed| match failed {
        Failed::Content(error) => of(path, error),
        Failed::Sink(error) => error.into(),
    })?;
    if content != manifest.content {
        let cause = "its content is not the one that its manifest names";
        return Err(damaged(path, None, cause));
    }
    Ok(())
}

fn decrypt(
    path: &Path,
    manifest: &Manifest,
    file: envelope::Reader,
    identity: &Path,
) -> Result<impl Read + 'static, BackupError> {
    let unreadable = |cause: String| BackupError::Identity {
        path: identity.to_owned(),
        cause,
    };
    let name = identity.to_string_lossy().into_owned();
    let identities = IdentityFile::from_file(name)
        .map_err(|error| unreadable(error.to_string()))?
        .into_identities()
        .map_err(|error| unreadable(error.to_string()))?;
    if identities.is_empty() {
        return Err(unreadable(
            "it has no identity (AGE-SECRET-KEY-1…)".to_owned(),
        ));
    }
    let decryptor = Decryptor::new(file).map_err(|error| of(path, io::Error::other(error)))?;
    decryptor
        .decrypt(identities.iter().map(|it| &**it as &dyn age::Identity))
        .map_err(|error| match error {
            DecryptError::NoMatchingKeys => BackupError::WrongIdentity {
                path: path.to_owned(),
                identity: identity.to_owned(),
                recipients: manifest.recipients.join(", "),
            },
            error => of(path, io::Error::other(error)),
        })
}

/// Reads all of a file's content, puts it nowhere, and looks whether it can be put back.
///
/// # Errors
///
/// [`BackupError`] when it cannot be read, or could not be put back.
pub(crate) fn inspect(
    path: &Path,
    manifest: &Manifest,
    identity: Option<&Path>,
) -> Result<u64, BackupError> {
    let mut inspector = Inspector::default();
    read(path, manifest, identity, &mut inspector)?;
    let fits = inspector.finish(&manifest.cut);
    fits.map_err(|error| damaged(path, None, &error.to_string()))?;
    Ok(inspector.records)
}
