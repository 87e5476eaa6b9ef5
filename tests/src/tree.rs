//! What a folder holds, to see whether it was touched and whether a secret is in it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Everything below a folder: the mode of each file and folder, and the contents of each file.
#[derive(Clone, PartialEq, Eq)]
pub struct Tree(BTreeMap<PathBuf, (u32, Vec<u8>)>);

impl Tree {
    /// Reads the folder, which may be missing.
    #[must_use]
    pub fn read(folder: &Path) -> Self {
        let mut tree = BTreeMap::new();
        walk(folder, &mut |path, metadata| {
            let contents = if metadata.is_file() {
                fs::read(path).unwrap_or_default()
            } else {
                Vec::new()
            };
            let name = path.strip_prefix(folder).unwrap_or(path).to_owned();
            tree.insert(name, (metadata.permissions().mode(), contents));
        });
        Self(tree)
    }

    /// The tree without what is below `folder`.
    #[must_use]
    pub fn without(mut self, folder: &str) -> Self {
        self.0.retain(|path, _| !path.starts_with(folder));
        self
    }

    /// Fails the test, naming what changed, when `after` is another.
    pub fn assert_untouched(&self, after: &Self) {
        let names = self.0.keys().chain(after.0.keys());
        let changed: Vec<_> = names
            .filter(|path| self.0.get(*path) != after.0.get(*path))
            .collect();
        assert!(changed.is_empty(), "touched: {changed:?}");
    }
}

/// The files below `folder` whose contents or names hold `needle`.
#[must_use]
pub fn find_in_files(folder: &Path, needle: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut files = 0;
    walk(folder, &mut |path, metadata| {
        let contents = if metadata.is_file() {
            fs::read(path).expect("the file can be read")
        } else {
            Vec::new()
        };
        files += 1;
        let named = path.to_string_lossy().contains(needle);
        if named
            || contents
                .windows(needle.len())
                .any(|window| window == needle.as_bytes())
        {
            found.push(path.to_owned());
        }
    });
    assert!(files > 0, "nothing to look at in {}", folder.display());
    found
}

fn walk(folder: &Path, visit: &mut impl FnMut(&Path, &fs::Metadata)) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        // What a running daemon removes meanwhile is not there.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        visit(&entry.path(), &metadata);
        if metadata.is_dir() {
            walk(&entry.path(), visit);
        }
    }
}
