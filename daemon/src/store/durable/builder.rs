//! Making an index from the sections of an image.

use std::path::Path;
use std::sync::Arc;

use sled::{Batch, Tree};

use super::database::{Trees, damaged, failed};
use super::glance::Glance;
use super::image::{Cut, ImageError, section};
use super::index::{Index, bundle_key};
use super::memory::ask_again;
use super::places::ORGANIZATION;
use super::records::{HEADER, Header, MAX_VALUE, glance, part_key};
use super::tally::{Past, Tally};

/// How many pairs go to sled at once.
const BATCH: usize = 512;

/// An index that is made from the sections of an image.
pub(super) struct Builder {
    index: Index,
    trees: Arc<Trees>,
    tally: Tally,
    /// The section that is being taken.
    pub(super) section: String,
    tree: Option<Tree>,
    batch: Batch,
    pending: usize,
    /// How many bytes of values went to sled, or will with the batch, since it was asked for one again.
    bytes: usize,
}

impl Builder {
    /// Begins in a folder, which is made.
    pub(super) fn begin(folder: &Path) -> Result<Self, ImageError> {
        std::fs::create_dir_all(folder)?;
        let index = Index::open(folder)?;
        Ok(Self {
            trees: index.trees(),
            index,
            tally: Tally::default(),
            section: String::new(),
            tree: None,
            batch: Batch::default(),
            pending: 0,
            bytes: 0,
        })
    }

    /// Begins a section.
    pub(super) fn section(&mut self, name: &str) -> Result<(), ImageError> {
        self.flush()?;
        self.tree = match name {
            section::RECORDS => Some(self.trees.records.clone()),
            section::USAGE => Some(self.trees.usage.clone()),
            section::BUNDLES => Some(self.trees.bundles.clone()),
            section::SUMMARIES => Some(self.trees.summaries.clone()),
            section::KEPT | section::FRAMES => None,
            other => match other.strip_prefix(section::TREE) {
                Some(tree) => Some(self.trees.db.open_tree(tree).map_err(failed)?),
                None => {
                    return Err(ImageError::Content(format!(
                        "it has a section {other} that this version does not know: use the version of the daemon that made it"
                    )));
                }
            },
        };
        name.clone_into(&mut self.section);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ImageError> {
        if let (Some(tree), true) = (&self.tree, self.pending > 0) {
            tree.apply_batch(std::mem::take(&mut self.batch))
                .map_err(failed)?;
        }
        self.pending = 0;
        Ok(())
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>) -> Result<(), ImageError> {
        self.bytes += value.len();
        self.batch.insert(key, value);
        self.pending += 1;
        if self.pending == BATCH {
            self.flush()?;
            if let Some(tree) = &self.tree {
                ask_again(tree, key, std::mem::take(&mut self.bytes))?;
            }
        }
        Ok(())
    }

    /// Takes a pair of it.
    pub(super) fn pair(&mut self, key: &[u8], value: &[u8]) -> Result<(), ImageError> {
        match self.section.as_str() {
            section::RECORDS => self.record(key, value),
            section::KEPT => Ok(self.index.kept.put_pair(&mut self.tally, key, value)?),
            section::BUNDLES => {
                let number = key.try_into().map_err(|_error| damaged())?;
                let number = u64::from_be_bytes(number);
                self.tally.resize(0, value.len());
                for (part, chunk) in value.chunks(MAX_VALUE).enumerate() {
                    self.put(&bundle_key(number, part), chunk.to_vec())?;
                }
                Ok(())
            }
            section::SUMMARIES => {
                self.tally.resize(0, value.len());
                self.put(key, value.to_vec())
            }
            _ => self.put(key, value.to_vec()),
        }
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), ImageError> {
        let (seq, stored) = value.split_first_chunk::<8>().ok_or_else(damaged)?;
        let seq = u64::from_be_bytes(*seq);
        let mut whole = Vec::with_capacity(HEADER + stored.len().min(MAX_VALUE));
        Header::write(Past::new(seq), stored.len(), &mut whole);
        if stored.len() <= MAX_VALUE {
            whole.extend_from_slice(stored);
        } else {
            for (part, chunk) in stored.chunks(MAX_VALUE).enumerate() {
                let place = part_key(key, part);
                let parts = &self.trees.parts;
                parts.insert(&place, chunk).map_err(failed)?;
                ask_again(parts, &place, chunk.len())?;
            }
        }
        self.tally.records.add(key, seq);
        self.tally.resize(0, key.len() + HEADER + stored.len());
        if let Some((&ORGANIZATION, id)) = key.split_first()
            && let Glance::Organization(it) = glance(stored)?
        {
            self.trees.names.insert(it.name, id).map_err(failed)?;
        }
        self.put(key, whole)
    }

    /// Makes it durable, as the index of the moment `cut`.
    pub(super) fn finish(mut self, cut: &Cut) -> Result<(), ImageError> {
        self.flush()?;
        *self.index.tally.lock() = Tally {
            entries: cut.entries,
            ..self.tally
        };
        let Cut {
            store_id,
            first_frame,
            open_seq,
            ..
        } = *cut;
        Ok(self.index.flush(store_id, first_frame, open_seq)?)
    }
}
