//! What a process did to the files below a folder, from the lines of strace.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::volume::Volume;

/// The calls that change a file system, or make changes durable.
const CALLS: &str = "openat,creat,write,writev,pwrite64,pwritev,fsync,fdatasync,sync_file_range,lseek,\
rename,renameat,renameat2,ftruncate,truncate,fallocate,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat";

/// A change, by names within the folder. Of a folder itself the name is empty.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Create(String),
    Folder(String),
    Rename(String, String),
    Remove(String),
    Write {
        name: String,
        offset: usize,
        bytes: Vec<u8>,
    },
    Resize(String, usize),
    Sync(String),
}

impl Event {
    /// Whether something is durable by it that was not.
    pub(super) const fn is_sync(&self) -> bool {
        matches!(self, Self::Sync(_))
    }
}

/// A command, with all that it writes recorded.
pub(super) fn record(log: &Path, command: &Command) -> Command {
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-y", "-xx", "-s", "33554432", "-ttt", "-T"])
        .args(["-e", "signal=none", "--seccomp-bpf"])
        .args(["-e", &format!("trace={CALLS}"), "-o"])
        .arg(log)
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null());
    strace
}

/// An open file.
#[derive(Debug, Clone, Copy)]
struct Open {
    position: usize,
    appends: bool,
}

/// Reads the lines of a recording.
pub(super) struct Reader {
    folder: String,
    /// Calls that another thread's interrupted, by thread.
    unfinished: HashMap<String, String>,
    open: HashMap<u32, Open>,
}

/// A call that is complete: its name, its arguments, and what it gave.
struct Call<'a> {
    name: &'a str,
    arguments: &'a str,
    gave: &'a str,
}

impl Reader {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.display().to_string(),
            unfinished: HashMap::new(),
            open: HashMap::new(),
        }
    }

    /// What a line says that happened, and when it had, in microseconds since 1970. `volume` is as it was
    /// left by the lines before.
    ///
    /// # Errors
    ///
    /// When the line is not understood.
    pub(super) fn read(
        &mut self,
        line: &str,
        volume: &mut Volume,
    ) -> anyhow::Result<Option<(i64, Vec<Event>)>> {
        let (thread, rest) = line.split_once(' ').context("no thread")?;
        let (start, rest) = rest.trim_start().split_once(' ').context("no time")?;
        let mut time = micros(start)?;
        let whole;
        let text = if let Some(begin) = rest.strip_suffix(" <unfinished ...>") {
            self.unfinished.insert(thread.to_owned(), begin.to_owned());
            return Ok(None);
        } else if let Some(end) = rest.strip_prefix("<... ") {
            let (_, end) = end.split_once(" resumed>").context("resumed")?;
            let begin = self.unfinished.remove(thread).context("never begun")?;
            whole = begin + end;
            whole.as_str()
        } else {
            if let Some((_, took)) = rest.rsplit_once('<') {
                time += micros(took.trim_end_matches('>')).unwrap_or(0);
            }
            rest
        };
        let Some(call) = parse(text) else {
            return Ok(None);
        };
        // What failed, or never came back, changed nothing that counts.
        if call.gave.starts_with('-') || call.gave.starts_with('?') {
            return Ok(None);
        }
        let events = self
            .events(&call, volume)
            .with_context(|| format!("{}({:.300}", call.name, call.arguments))?;
        Ok((!events.is_empty()).then_some((time, events)))
    }

    fn within(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix(&self.folder)?;
        if rest.is_empty() {
            return Some(String::new());
        }
        rest.strip_prefix('/').map(str::to_owned)
    }

    fn events(&mut self, call: &Call<'_>, volume: &mut Volume) -> anyhow::Result<Vec<Event>> {
        match call.name {
            "openat" | "creat" => self.opened(call, volume),
            "rename" | "renameat" | "renameat2" => {
                let mut paths = quoted(call.arguments)?.into_iter();
                let (from, to) = (paths.next(), paths.next());
                let from = from.and_then(|path| self.within(&path));
                let to = to.and_then(|path| self.within(&path));
                Ok(from
                    .zip(to)
                    .map(|(from, to)| Event::Rename(from, to))
                    .into_iter()
                    .collect())
            }
            "unlink" | "unlinkat" | "rmdir" => self.by_path(call, Event::Remove),
            "mkdir" | "mkdirat" => self.by_path(call, Event::Folder),
            // Room that is claimed behind the end of a file changes nothing that is read.
            "fallocate" if call.arguments.contains("FALLOC_FL_KEEP_SIZE") => Ok(Vec::new()),
            "truncate" | "link" | "linkat" | "writev" | "pwritev" | "fallocate" => {
                let paths = quoted(call.arguments).unwrap_or_default();
                let own = paths.iter().any(|path| self.within(path).is_some());
                if own
                    || self
                        .descriptor(call.arguments)?
                        .is_some_and(|(_, name)| name.is_some())
                {
                    bail!("a call that is not modelled");
                }
                Ok(Vec::new())
            }
            _ => self.by_descriptor(call, volume),
        }
    }

    fn by_path(&self, call: &Call<'_>, event: fn(String) -> Event) -> anyhow::Result<Vec<Event>> {
        let path = quoted(call.arguments)?.into_iter().next();
        let name = path.and_then(|path| self.within(&path));
        Ok(name.map(event).into_iter().collect())
    }

    fn opened(&mut self, call: &Call<'_>, volume: &mut Volume) -> anyhow::Result<Vec<Event>> {
        let Some(path) = quoted(call.arguments)?.into_iter().next() else {
            return Ok(Vec::new());
        };
        let Some(name) = self.within(&path) else {
            return Ok(Vec::new());
        };
        let descriptor = call.gave.split('<').next().unwrap_or_default().parse()?;
        let has = |flag: &str| call.arguments.contains(flag);
        self.open.insert(
            descriptor,
            Open {
                position: 0,
                appends: has("O_APPEND"),
            },
        );
        let mut events = Vec::new();
        if has("O_CREAT") {
            events.push(Event::Create(name.clone()));
        }
        if has("O_TRUNC") && volume.length(&name).is_ok_and(|length| length > 0) {
            events.push(Event::Resize(name, 0));
        }
        Ok(events)
    }

    /// The descriptor that stands first, and the name within the folder, if it has one.
    fn descriptor(&self, arguments: &str) -> anyhow::Result<Option<(u32, Option<String>)>> {
        let Some((number, rest)) = arguments.split_once('<') else {
            return Ok(None);
        };
        let Ok(number) = number.parse() else {
            return Ok(None);
        };
        let (path, _) = rest.split_once('>').context("a descriptor")?;
        let path = unescape(path)?;
        let path = str::from_utf8(&path)?;
        Ok(Some((number, self.within(path))))
    }

    fn by_descriptor(
        &mut self,
        call: &Call<'_>,
        volume: &mut Volume,
    ) -> anyhow::Result<Vec<Event>> {
        let Some((descriptor, Some(name))) = self.descriptor(call.arguments)? else {
            return Ok(Vec::new());
        };
        let gave: usize = call.gave.parse().unwrap_or(0);
        let last = || {
            let text = call.arguments.rsplit(',').next().unwrap_or_default();
            text.trim().trim_end_matches(')').parse::<usize>()
        };
        let open = self.open.get_mut(&descriptor);
        let event = match call.name {
            "fsync" | "fdatasync" => Event::Sync(name),
            "ftruncate" => Event::Resize(name, last()?),
            "lseek" => {
                open.context("never opened")?.position = gave;
                return Ok(Vec::new());
            }
            "pwrite64" => Event::Write {
                name,
                offset: last()?,
                bytes: written(call.arguments, gave)?,
            },
            "write" => {
                let open = open.context("never opened")?;
                let offset = if open.appends {
                    volume.length(&name)?
                } else {
                    open.position
                };
                open.position = offset + gave;
                let bytes = written(call.arguments, gave)?;
                Event::Write {
                    name,
                    offset,
                    bytes,
                }
            }
            // `sync_file_range` commits nothing.
            _ => return Ok(Vec::new()),
        };
        Ok(vec![event])
    }
}

fn parse(text: &str) -> Option<Call<'_>> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, gave) = rest.rsplit_once(" = ")?;
    let gave = gave.split(' ').next().unwrap_or_default();
    Some(Call {
        name,
        arguments: arguments.trim_end().trim_end_matches(')'),
        gave,
    })
}

/// Seconds with a fraction, in microseconds.
fn micros(text: &str) -> anyhow::Result<i64> {
    let (seconds, fraction) = text.split_once('.').context("no time")?;
    Ok(seconds.parse::<i64>()? * 1_000_000 + format!("{fraction:0<6}").parse::<i64>()?)
}

/// What was written: the first text in quotes, as far as it was taken.
fn written(arguments: &str, length: usize) -> anyhow::Result<Vec<u8>> {
    let (_, rest) = arguments.split_once('"').context("nothing written")?;
    let (text, _) = rest.split_once('"').context("an open quote")?;
    let mut bytes = unescape(text)?;
    anyhow::ensure!(bytes.len() >= length, "not all of what was written");
    bytes.truncate(length);
    Ok(bytes)
}

/// The paths in quotes.
fn quoted(arguments: &str) -> anyhow::Result<Vec<String>> {
    let inside = arguments.split('"').skip(1).step_by(2);
    inside
        .map(|text| Ok(String::from_utf8(unescape(text)?)?))
        .collect()
}

/// The bytes of a text that strace wrote with `-xx`: `\x2f` for each, or as they are.
fn unescape(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if let Some(hex) = rest.strip_prefix(b"\\x") {
            let digits = hex.get(..2).context("a byte that is cut off")?;
            bytes.push(u8::from_str_radix(str::from_utf8(digits)?, 16)?);
            rest = hex.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::volume::Volume;
    use super::{Event, Reader};

    #[test]
    fn lines_of_strace_become_events() {
        let mut reader = Reader::new(Path::new("/d"));
        let mut volume = Volume::default();
        let mut seen = Vec::new();
        for line in [
            r#"7 1.000001 openat(AT_FDCWD</>, "\x2f\x64\x2f\x61", O_WRONLY|O_CREAT|O_APPEND, 0600) = 9</d/a> <0.000009>"#,
            r#"7 1.100000 write(9</d/a>, "\x31\x32", 2 <unfinished ...>"#,
            r#"8 1.150000 write(2</e>, "\x31", 1) = 1 <0.000001>"#,
            r"7 1.200000 <... write resumed>) = 2 <0.100000>",
            r"7 1.250000 fallocate(9</d/a>, FALLOC_FL_KEEP_SIZE, 2, 4096) = 0 <0.000100>",
            r"7 1.300000 fdatasync(9</d/a>) = 0 <0.000500>",
            r"7 1.400000 fsync(3</d>) = -1 EIO (Input/output error) <0.000500>",
            r#"7 1.500000 rename("\x2f\x64\x2f\x61", "\x2f\x64\x2f\x62") = 0 <0.000001>"#,
        ] {
            if let Some((time, events)) = reader.read(line, &mut volume).unwrap() {
                for event in events {
                    volume.apply(&event).unwrap();
                    seen.push((time, format!("{event:?}")));
                }
            }
        }
        let write = Event::Write {
            name: "a".to_owned(),
            offset: 0,
            bytes: b"12".to_vec(),
        };
        let expected = [
            (1_000_010, "Create(\"a\")".to_owned()),
            (1_200_000, format!("{write:?}")),
            (1_300_500, "Sync(\"a\")".to_owned()),
            (1_500_001, "Rename(\"a\", \"b\")".to_owned()),
        ];
        assert_eq!(seen, expected);
    }
}
