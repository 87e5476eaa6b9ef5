//! `agentidp audit export FILE` and what else is written to a new file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use agentidp_proto::v1;

use crate::client::Client;
use crate::error::Error;

use super::tell;

/// From this many entries on, how far it is is told.
const LARGE: u64 = 100_000;

pub(super) async fn run(
    client: &Client,
    path: &Path,
    request: v1::ExportAuditRequest,
) -> Result<(), Error> {
    let from = request.from;
    let mut stream = client.audit_export(request).await?;
    let mut file = create(path)?;
    let mut told = 0;
    let result = async {
        while let Some(chunk) = stream.message().await? {
            file.write_all(&chunk.data).map_err(unwritten(path))?;
            let all = chunk.to.saturating_sub(from);
            let tenths = chunk.next.saturating_sub(from) * 10 / all.max(1);
            if all >= LARGE && tenths > told {
                told = tenths;
                tell(&format!("exported {} %", tenths * 10));
            }
        }
        file.sync_all().map_err(unwritten(path))
    };
    let result = result.await;
    if result.is_err() {
        // Half an export is none.
        let _ = std::fs::remove_file(path);
    }
    result
}

/// Writes a new file.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = create(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(unwritten(path))
}

fn create(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    file.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::usage(
            format!("{} is there already", path.display()),
            "name a file that does not exist: evidence never overwrites any",
        ),
        _ => Error::io(format!("cannot make {}", path.display()))(source),
    })
}

fn unwritten(path: &Path) -> impl FnOnce(io::Error) -> Error {
    Error::io(format!("cannot write {}", path.display()))
}
