//! The old store's file, only to be read: what redb writes to repair it after a crash stays in memory.
//!
//! Nothing is locked: the data folder has a lock of its own, taken before the store is opened.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

use crate::fs::DiskFile;
use crate::local::threads::lock;

/// Octets of a page of the overlay.
const PAGE: u64 = 4096;

/// The store's file, only to be read: what redb writes to repair it after a crash stays in memory.
#[derive(Debug)]
pub(super) struct OverlayBackend {
    file: Arc<dyn DiskFile>,
    overlay: Mutex<Overlay>,
}

/// What would have been written.
#[derive(Debug)]
struct Overlay {
    len: u64,
    /// How much of the file still counts: a cut forgets what lay behind it.
    file_len: u64,
    pages: HashMap<u64, Vec<u8>>,
}

impl OverlayBackend {
    /// Nothing written yet.
    pub(super) fn new(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self {
            file,
            overlay: Mutex::new(Overlay {
                len,
                file_len: len,
                pages: HashMap::new(),
            }),
        })
    }

    /// A page as it would be on disk.
    fn page(&self, overlay: &Overlay, number: u64) -> io::Result<Vec<u8>> {
        if let Some(page) = overlay.pages.get(&number) {
            return Ok(page.clone());
        }
        let mut page = vec![0; usize::try_from(PAGE).unwrap_or(4096)];
        let start = number.saturating_mul(PAGE);
        let there = overlay.file_len.saturating_sub(start).min(PAGE);
        if let Some(part) = page.get_mut(..usize::try_from(there).unwrap_or(0)) {
            self.file.read_at(start, part)?;
        }
        Ok(page)
    }
}

/// Calls `each` with page number, place in the page, and place in the piece, for every page that
/// `len` octets at `offset` touch.
fn pages(
    offset: u64,
    len: usize,
    mut each: impl FnMut(u64, std::ops::Range<usize>, std::ops::Range<usize>) -> io::Result<()>,
) -> io::Result<()> {
    let mut done = 0usize;
    while done < len {
        let at = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
        let within = usize::try_from(at % PAGE).unwrap_or(0);
        let step = usize::try_from(PAGE)
            .unwrap_or(4096)
            .saturating_sub(within)
            .min(len.saturating_sub(done));
        let end = done.saturating_add(step);
        each(at / PAGE, within..within.saturating_add(step), done..end)?;
        done = end;
    }
    Ok(())
}

impl StorageBackend for OverlayBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.overlay).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let overlay = lock(&self.overlay);
        let end = offset.saturating_add(u64::try_from(out.len()).unwrap_or(u64::MAX));
        if end > overlay.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        pages(offset, out.len(), |number, in_page, in_piece| {
            let page = self.page(&overlay, number)?;
            if let (Some(from), Some(to)) = (page.get(in_page), out.get_mut(in_piece)) {
                to.copy_from_slice(from);
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut overlay = lock(&self.overlay);
        if len < overlay.len {
            // The page that is cut through keeps its first part only.
            let mut last = self.page(&overlay, len / PAGE)?;
            if let Some(behind) = last.get_mut(usize::try_from(len % PAGE).unwrap_or(0)..) {
                behind.fill(0);
            }
            overlay.pages.retain(|number, _| *number < len / PAGE);
            overlay.pages.insert(len / PAGE, last);
            overlay.file_len = overlay.file_len.min(len);
        }
        overlay.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut overlay = lock(&self.overlay);
        pages(offset, data.len(), |number, in_page, in_piece| {
            let mut page = self.page(&overlay, number)?;
            if let (Some(to), Some(from)) = (page.get_mut(in_page), data.get(in_piece)) {
                to.copy_from_slice(from);
            }
            overlay.pages.insert(number, page);
            Ok(())
        })
    }
}
