//! Writing an export.

use std::io::{self, Write};

use aws_lc_rs::digest::{Context, SHA256};

use super::line::{End, EntryLine, Evidence, Header, PRUNED, to_line};
use super::verify::hex;
use crate::merkle::NodeHash;

/// Writes an export, line by line.
pub struct ExportWriter<W> {
    out: W,
    digest: Context,
    entries: u64,
}

impl<W: Write> ExportWriter<W> {
    /// Writes the first line.
    ///
    /// # Errors
    ///
    /// When `out` takes no more.
    pub fn begin(out: W, header: &Header) -> io::Result<Self> {
        let mut writer = Self {
            out,
            digest: Context::new(&SHA256),
            entries: 0,
        };
        writer.line(&to_line(header))?;
        Ok(writer)
    }

    /// Where it writes to.
    pub const fn out(&mut self) -> &mut W {
        &mut self.out
    }

    /// Writes the next entry of a complete export.
    ///
    /// # Errors
    ///
    /// When `out` takes no more.
    pub fn entry(&mut self, entry: &[u8]) -> io::Result<()> {
        self.one(entry, Evidence::Hash(NodeHash::of_leaf(entry)))
    }

    /// Writes in a complete export that the next entry, which has this leaf hash, was pruned.
    ///
    /// # Errors
    ///
    /// When `out` takes no more.
    pub fn pruned(&mut self, hash: NodeHash) -> io::Result<()> {
        let entry = PRUNED;
        let evidence = Evidence::Hash(hash);
        self.line(&EntryLine { entry, evidence }.to_line())
    }

    /// Writes an entry of an organization's export with its inclusion proof.
    ///
    /// # Errors
    ///
    /// When `out` takes no more.
    pub fn proved_entry(&mut self, entry: &[u8], proof: Vec<NodeHash>) -> io::Result<()> {
        self.one(entry, Evidence::Proof(proof))
    }

    /// Writes the last line, and gives back where everything was written to. In a complete export
    /// `proof` leads from its end to the checkpoint; else there is none.
    ///
    /// # Errors
    ///
    /// When `out` takes no more.
    pub fn end(mut self, proof: Vec<NodeHash>) -> io::Result<W> {
        let end = End {
            entries: self.entries,
            proof,
            sha256: hex(self.digest.clone()),
        };
        self.line(&end.to_line())?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn one(&mut self, entry: &[u8], evidence: Evidence) -> io::Result<()> {
        self.line(&EntryLine { entry, evidence }.to_line())?;
        self.entries += 1;
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.digest.update(line);
        self.out.write_all(line)
    }
}
