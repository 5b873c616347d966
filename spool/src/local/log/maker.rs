//! Makes the log's files: new ones, old ones for a new use, and room in both.
//!
//! Room is written with zeros before anything else may be written there. What is made is durable
//! when it is handed out, with its name. When and how much is made is the keeper's to say.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::bell::Bell;
use super::body;
use super::segment::{FIRST, FOLDER, Header, Segment, name, renew};
use crate::fs::{Disk, DiskFile};
use crate::local::soundness::Soundness;

/// Makes and prepares segments.
pub(super) struct Maker<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) soundness: &'a Soundness,
    pub(super) bell: &'a Arc<Bell>,
    pub(super) number: u32,
    pub(super) generation: u64,
}

impl Maker<'_> {
    /// The next header.
    fn header(&mut self) -> io::Result<Header> {
        self.generation += 1;
        Ok(Header {
            generation: self.generation,
            nonce: random()?,
        })
    }

    /// A new file, of so many octets.
    pub(super) fn make(&mut self, len: u32) -> io::Result<Arc<Segment>> {
        self.number += 1;
        let (number, header) = (self.number, self.header()?);
        let file = self.disk.create(&name(number))?;
        let made = self.fill_new(&*file, number, header, len);
        if let Err(error) = made {
            // Nothing in it counts; if it stays, it is used at the next start.
            let _ = self.disk.remove(&name(number));
            return Err(error);
        }
        Ok(Arc::new(Segment::new(number, header, file, self.bell)?))
    }

    /// Brings a new file and its name to the disk.
    fn fill_new(
        &self,
        file: &dyn DiskFile,
        number: u32,
        header: Header,
        len: u32,
    ) -> io::Result<()> {
        fill(file, FIRST, len)?;
        renew(file, number, header, self.soundness)?;
        self.disk
            .sync_dir(FOLDER)
            .inspect_err(|_| self.soundness.poison())
    }

    /// A file that is there, for a new use.
    pub(super) fn reuse(
        &mut self,
        number: u32,
        file: Arc<dyn DiskFile>,
    ) -> io::Result<Arc<Segment>> {
        let header = self.header()?;
        renew(&*file, number, header, self.soundness)?;
        Ok(Arc::new(Segment::new(number, header, file, self.bell)?))
    }

    /// Writes zeros up to `len`, where nobody has written yet.
    pub(super) fn prepare(&self, segment: &Segment, len: u32) -> io::Result<()> {
        let prepared = segment.prepared();
        if prepared >= len {
            return Ok(());
        }
        fill(&*segment.file, prepared, len)?;
        self.soundness.flush(&*segment.file)?;
        segment.prepared.store(len, Ordering::Release);
        Ok(())
    }
}

/// Writes zeros.
fn fill(file: &dyn DiskFile, from: u32, to: u32) -> io::Result<()> {
    let zeros = vec![0; CHUNK];
    let mut at = from;
    while at < to {
        let piece = zeros
            .get(..body::size(to - at).min(CHUNK))
            .unwrap_or(&zeros);
        file.write_at(u64::from(at), piece)?;
        at = at.saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
    }
    Ok(())
}

/// A number that nobody can guess.
pub(super) fn random() -> io::Result<u64> {
    let mut octets = [0; 8];
    getrandom::fill(&mut octets).map_err(io::Error::other)?;
    Ok(u64::from_le_bytes(octets))
}

/// Octets of zeros written at once.
const CHUNK: usize = 256 * 1024;
