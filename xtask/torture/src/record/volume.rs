//! A file system as a cut of power may leave it: what was synced is there, what was not may be.
//!
//! The rules are those of a journaling file system that keeps the order of its names, such as ext4:
//!
//! - Written data stay when the file was synced after it. Before that each block of 4 KiB may be there or not,
//!   by itself; where a later one is and an earlier one is not, there are zeros or what was there before.
//! - Names (of new files, renames, removals) come in their order, so some first part of those that were not
//!   committed is there. They are committed by a sync of a folder, and by the sync of a file that is new or
//!   has another size: these commit the journal, which holds them all.
//! - `sync_file_range` commits nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, bail};

use super::trace::Event;
use crate::random::Random;

/// What reaches a disk as a whole.
const BLOCK: usize = 4_096;

/// A file's content.
#[derive(Debug, Clone, Default)]
struct File {
    /// As programs see it.
    seen: Vec<u8>,
    /// As it was synced.
    synced: Vec<u8>,
    /// What was done since then.
    since: Vec<Change>,
    /// Whether a sync has to commit the journal.
    is_new: bool,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(content, *offset, bytes),
            Self::Resize(length) => content.resize(*length, 0),
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Folder,
    File(usize),
}

#[derive(Debug, Clone)]
enum Naming {
    Put(String, Named),
    Move(String, String),
    Remove(String),
}

type Names = BTreeMap<String, Named>;

impl Naming {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Put(name, what) => drop(names.insert(name.clone(), *what)),
            Self::Remove(name) => drop(names.remove(name)),
            Self::Move(from, to) => {
                let below = format!("{from}/");
                let moved: Vec<String> = names
                    .keys()
                    .filter(|name| *name == from || name.starts_with(&below))
                    .cloned()
                    .collect();
                for name in moved {
                    if let Some(what) = names.remove(&name) {
                        let rest = name.strip_prefix(from.as_str()).unwrap_or_default();
                        names.insert(format!("{to}{rest}"), what);
                    }
                }
            }
        }
    }
}

/// How much of what was not synced a cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing.
    Nothing,
    /// Some, by chance.
    Some,
    /// All.
    All,
}

/// The file system.
#[derive(Debug, Clone, Default)]
pub(super) struct Volume {
    files: Vec<File>,
    names: Names,
    committed: Names,
    uncommitted: Vec<Naming>,
}

impl Volume {
    /// What is in a folder, all of it synced.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut volume = Self::default();
        volume.read_below(folder, "")?;
        volume.committed = volume.names.clone();
        Ok(volume)
    }

    fn read_below(&mut self, folder: &Path, prefix: &str) -> anyhow::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().context("a name that is no text")?;
            let name = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                self.names.insert(name.clone(), Named::Folder);
                self.read_below(&entry.path(), &format!("{name}/"))?;
            } else {
                let content = fs::read(entry.path())?;
                let file = self.new_file(content);
                self.names.insert(name, file);
            }
        }
        Ok(())
    }

    fn new_file(&mut self, content: Vec<u8>) -> Named {
        self.files.push(File {
            seen: content.clone(),
            synced: content,
            ..File::default()
        });
        Named::File(self.files.len() - 1)
    }

    fn file(&mut self, name: &str) -> anyhow::Result<&mut File> {
        let Some(Named::File(number)) = self.names.get(name).copied() else {
            bail!("no file {name}");
        };
        self.files.get_mut(number).context("no such file")
    }

    /// How long a file is.
    pub(super) fn length(&mut self, name: &str) -> anyhow::Result<usize> {
        Ok(self.file(name)?.seen.len())
    }

    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.uncommitted.push(naming);
    }

    fn change(&mut self, name: &str, change: Change) -> anyhow::Result<()> {
        let file = self.file(name)?;
        change.apply(&mut file.seen);
        file.since.push(change);
        Ok(())
    }

    fn commit(&mut self) {
        self.committed.clone_from(&self.names);
        self.uncommitted.clear();
    }

    /// Does what an event says.
    pub(super) fn apply(&mut self, event: &Event) -> anyhow::Result<()> {
        match event {
            Event::Create(name) => {
                if !self.names.contains_key(name) {
                    let file = self.new_file(Vec::new());
                    if let Named::File(number) = file
                        && let Some(file) = self.files.get_mut(number)
                    {
                        file.is_new = true;
                    }
                    self.name(Naming::Put(name.clone(), file));
                }
            }
            Event::Folder(name) => self.name(Naming::Put(name.clone(), Named::Folder)),
            Event::Rename(from, to) => self.name(Naming::Move(from.clone(), to.clone())),
            Event::Remove(name) => self.name(Naming::Remove(name.clone())),
            Event::Write {
                name,
                offset,
                bytes,
            } => self.change(
                name,
                Change::Write {
                    offset: *offset,
                    bytes: bytes.clone(),
                },
            )?,
            Event::Resize(name, length) => self.change(name, Change::Resize(*length))?,
            Event::Sync(name) => self.sync(name)?,
        }
        Ok(())
    }

    fn sync(&mut self, name: &str) -> anyhow::Result<()> {
        if name.is_empty() || self.names.get(name) == Some(&Named::Folder) {
            self.commit();
            return Ok(());
        }
        let file = self.file(name)?;
        let commits = file.is_new || file.synced.len() != file.seen.len();
        file.synced.clone_from(&file.seen);
        file.since.clear();
        file.is_new = false;
        if commits {
            self.commit();
        }
        Ok(())
    }

    /// Writes what a cut of power leaves into an empty folder.
    pub(super) fn leave(
        &self,
        folder: &Path,
        left: Left,
        random: &mut Random,
    ) -> anyhow::Result<()> {
        let mut names = self.committed.clone();
        let count = match left {
            Left::Nothing => 0,
            Left::Some => random.index(self.uncommitted.len() + 1),
            Left::All => self.uncommitted.len(),
        };
        for naming in self.uncommitted.iter().take(count) {
            naming.apply(&mut names);
        }
        // A folder stands before what is in it.
        for (name, what) in &names {
            let path = folder.join(name);
            match what {
                Named::Folder => fs::DirBuilder::new().mode(0o700).create(&path)?,
                Named::File(number) => {
                    let file = self.files.get(*number).context("no such file")?;
                    let content = file.left(left, random);
                    let mut options = fs::OpenOptions::new();
                    let options = options.write(true).create_new(true).mode(0o600);
                    std::io::Write::write_all(&mut options.open(&path)?, &content)?;
                }
            }
        }
        Ok(())
    }
}

impl File {
    fn left(&self, left: Left, random: &mut Random) -> Vec<u8> {
        if left == Left::All {
            return self.seen.clone();
        }
        let mut content = self.synced.clone();
        if left == Left::Nothing {
            return content;
        }
        // Sizes come in their order, like names; a block is there or is not.
        let sized = random.index(self.since.len() + 1);
        for (number, change) in self.since.iter().enumerate() {
            match change {
                Change::Resize(_) if number < sized => change.apply(&mut content),
                Change::Resize(_) => {}
                Change::Write { offset, bytes } => {
                    let end = offset + bytes.len();
                    let mut at = *offset;
                    while at < end {
                        let next = ((at / BLOCK + 1) * BLOCK).min(end);
                        if random.chance(60)
                            && (number < sized || next <= content.len())
                            && let Some(part) = bytes.get(at - offset..next - offset)
                        {
                            put(&mut content, at, part);
                        }
                        at = next;
                    }
                    if number < sized && content.len() < end {
                        content.resize(end, 0);
                    }
                }
            }
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Left, Volume};
    use crate::random::Random;
    use crate::record::trace::Event;

    fn left(events: &[Event], left: Left) -> Vec<(String, Vec<u8>)> {
        let mut volume = Volume::default();
        for event in events {
            volume.apply(event).unwrap();
        }
        let folder = std::env::temp_dir().join(format!(
            "agentidp-volume-{}-{:?}-{left:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        fs::create_dir(&folder).unwrap();
        volume.leave(&folder, left, &mut Random::new(1)).unwrap();
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            found.push((name, fs::read(path).unwrap()));
        }
        fs::remove_dir_all(folder).unwrap();
        found
    }

    fn write(name: &str, bytes: &[u8]) -> Event {
        Event::Write {
            name: name.to_owned(),
            offset: 0,
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn what_was_not_synced_may_be_gone() {
        let events = [Event::Create("a".to_owned()), write("a", b"1")];
        assert_eq!(left(&events, Left::Nothing), []);
        assert_eq!(left(&events, Left::All), [("a".to_owned(), b"1".to_vec())]);
    }

    #[test]
    fn a_sync_keeps_a_file_and_its_name_and_not_its_renaming() {
        let mut events = vec![
            Event::Create("a.new".to_owned()),
            write("a.new", b"1"),
            Event::Sync("a.new".to_owned()),
            Event::Rename("a.new".to_owned(), "a".to_owned()),
        ];
        let one = |name: &str| [(name.to_owned(), b"1".to_vec())];
        assert_eq!(left(&events, Left::Nothing), one("a.new"));
        events.push(Event::Sync(String::new()));
        assert_eq!(left(&events, Left::Nothing), one("a"));
    }

    #[test]
    fn a_file_that_is_renamed_before_it_is_synced_may_be_empty() {
        let events = [
            Event::Create("a.new".to_owned()),
            write("a.new", b"1"),
            Event::Rename("a.new".to_owned(), "a".to_owned()),
            Event::Sync(String::new()),
        ];
        let empty = [("a".to_owned(), Vec::new())];
        assert_eq!(left(&events, Left::Nothing), empty);
    }
}
