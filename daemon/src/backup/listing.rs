//! `agentidpd backup list`.

use std::io::{self, Write};

use agentidp_shared::count::{mebibytes, thousands};
use agentidp_shared::{StoreId, Timestamp};
use anyhow::bail;
use serde::Serialize;

use super::folder::{self, Listed};
use super::{Encryption, Manifest};
use crate::args::Output;
use crate::config::Config;

/// A backup in the folder, by what it says of itself.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    path: String,
    /// Absent when it cannot be read.
    #[serde(flatten)]
    said: Option<Said>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

#[derive(Debug, Serialize)]
struct Said {
    /// The moment that it is of.
    time: Timestamp,
    size_bytes: u64,
    /// How many audit entries it has.
    entries: u64,
    store_id: StoreId,
    encryption: Encryption,
    recipients: Vec<String>,
}

impl Row {
    fn of(listed: &Listed) -> Self {
        let (said, failure) = match &listed.manifest {
            Ok((manifest, bytes)) => (Some(Said::of(manifest, *bytes)), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            name: listed.name(),
            path: listed.path.display().to_string(),
            said,
            failure,
        }
    }

    /// What a person is shown; the last column may be long.
    fn cells(&self) -> [String; 6] {
        match (&self.said, &self.failure) {
            (Some(it), _) => [
                self.name.clone(),
                it.time.to_string(),
                mebibytes(it.size_bytes),
                thousands(it.entries),
                it.store_id.to_string(),
                match it.encryption {
                    Encryption::Age => it.recipients.join(" "),
                    Encryption::None => "NOT encrypted".to_owned(),
                },
            ],
            (None, failure) => [
                self.name.clone(),
                "cannot be read".to_owned(),
                "-".to_owned(),
                "-".to_owned(),
                "-".to_owned(),
                failure.clone().unwrap_or_default(),
            ],
        }
    }
}

impl Said {
    fn of(manifest: &Manifest, size_bytes: u64) -> Self {
        Self {
            time: manifest.cut.time,
            size_bytes,
            entries: manifest.cut.entries,
            store_id: manifest.cut.store_id,
            encryption: manifest.encryption,
            recipients: manifest.recipients.clone(),
        }
    }
}

/// Lists the backups in the configured folder, newest first, by what they say of themselves.
///
/// # Errors
///
/// When no backups are configured, or the folder cannot be read.
pub fn list_backups(config: &Config, output: Output) -> anyhow::Result<()> {
    let Some(settings) = &config.backup else {
        bail!("no backups are configured: set backup.folder and backup.recipients");
    };
    let rows: Vec<_> = folder::list(&settings.folder)?
        .iter()
        .map(Row::of)
        .collect();
    let mut out = io::stdout().lock();
    match output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut out, &rows)?;
            writeln!(out)?;
        }
        Output::Text => print(&mut out, &rows)?,
    }
    Ok(())
}

fn print(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    let headings = ["NAME", "OF", "SIZE", "ENTRIES", "STORE", "ENCRYPTED TO"].map(str::to_owned);
    let lines: Vec<_> = std::iter::once(headings)
        .chain(rows.iter().map(Row::cells))
        .collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..5).map(width).collect();
    for line in &lines {
        for (cell, width) in line.iter().zip(&widths) {
            write!(out, "{cell:width$}  ")?;
        }
        writeln!(out, "{}", line.last().map_or("", String::as_str))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let said = Said {
            time: Timestamp::from_millis(1_763_700_000_000),
            size_bytes: 9_411_072,
            entries: 88_102,
            store_id: "0193f2c4-0000-7000-8000-000000000001".parse().unwrap(),
            encryption: Encryption::Age,
            recipients: vec!["age1abc".to_owned()],
        };
        let row = |name: &str, said, failure| Row {
            name: name.to_owned(),
            path: format!("/b/{name}"),
            said,
            failure,
        };
        vec![
            row("agentidp-2.backup", Some(said), None),
            row("agentidp-1.backup", None, Some("it is damaged".to_owned())),
        ]
    }

    #[test]
    fn people_get_columns_with_headings() {
        let mut bytes = Vec::new();
        print(&mut bytes, &rows()).unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "\
NAME               OF                        SIZE     ENTRIES  STORE                                 ENCRYPTED TO
agentidp-2.backup  2025-11-21T04:40:00.000Z  8.9 MiB  88,102   0193f2c4-0000-7000-8000-000000000001  age1abc
agentidp-1.backup  cannot be read            -        -        -                                     it is damaged
"
        );
    }

    #[test]
    fn programs_get_an_object_for_each_with_sizes_in_bytes() {
        let json = serde_json::to_value(rows()).unwrap();
        assert_eq!(
            json,
            serde_json::json!([
                {
                    "name": "agentidp-2.backup", "path": "/b/agentidp-2.backup",
                    "time": "2025-11-21T04:40:00.000Z", "size_bytes": 9_411_072, "entries": 88_102,
                    "store_id": "0193f2c4-0000-7000-8000-000000000001", "encryption": "age",
                    "recipients": ["age1abc"],
                },
                {
                    "name": "agentidp-1.backup", "path": "/b/agentidp-1.backup",
                    "failure": "it is damaged",
                },
            ])
        );
    }
}
