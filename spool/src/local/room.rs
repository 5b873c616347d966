//! Whether there is room for new messages.
//!
//! Promises: no message is begun while less is free than the reserve, and once that was so, none until
//! an eighth more is free: clients that are told 452 in one second and 250 in the next come again all
//! at once. What was accepted is never in question here; half of the reserve is for what was begun in
//! time, the rest for outcomes.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::fs::Disk;

/// The room for new messages.
#[derive(Debug)]
pub(super) struct Room {
    /// Octets that are kept free.
    reserve: u64,
    /// There was too little when it was last looked at.
    short: AtomicBool,
}

impl Room {
    /// With a reserve in octets.
    pub(super) const fn new(reserve: u64) -> Self {
        Self {
            reserve,
            short: AtomicBool::new(false),
        }
    }

    /// True if a message may be begun.
    pub(super) fn for_a_message(&self, disk: &dyn Disk) -> bool {
        let wanted = if self.short.load(Ordering::Relaxed) {
            self.reserve.saturating_add(self.reserve / 8)
        } else {
            self.reserve
        };
        let enough = is_free(disk, wanted);
        self.short.store(!enough, Ordering::Relaxed);
        enough
    }

    /// True if the log may grow by this for what is moved: what is free then is still the reserve.
    pub(super) fn for_moving(&self, disk: &dyn Disk, octets: u64) -> bool {
        is_free(disk, self.reserve.saturating_add(octets))
    }

    /// True if more of a message may be written that was begun.
    pub(super) fn for_its_content(&self, disk: &dyn Disk) -> bool {
        is_free(disk, self.reserve / 2)
    }
}

/// True if `wanted` octets are free. The kernel keeps these counts in memory: no disk is waited for.
/// Not to know is no reason to refuse mail.
fn is_free(disk: &dyn Disk, wanted: u64) -> bool {
    disk.free().map_or(true, |free| free >= wanted)
}
