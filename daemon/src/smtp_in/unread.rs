//! What was read of a session's octets and its machine has not had.
//!
//! Promises: the machine is given little at once, and space is kept only while there is something in it. Leaves to others:
//! reading.

/// What one read brought. It has space only while there is something in it: most sessions of a busy
/// host wait for their peer.
#[derive(Default)]
pub(super) struct Unread {
    pub(super) octets: Vec<u8>,
    /// Where the part begins that the machine has not had.
    from: usize,
}

impl Unread {
    /// The machine has had all of it.
    pub(super) const fn is_empty(&self) -> bool {
        self.from >= self.octets.len()
    }

    /// Gives back the space of what the machine has had.
    pub(super) fn give_back(&mut self) {
        *self = Self::default();
    }

    /// The next octets for the machine.
    pub(super) fn take_slice(&mut self) -> &[u8] {
        let from = self.from;
        self.from = from.saturating_add(SLICE_MAX).min(self.octets.len());
        self.octets.get(from..self.from).unwrap_or(&[])
    }

    /// Drops what is left, and says how much that was.
    pub(super) fn forget(&mut self) -> usize {
        let left = self.octets.len().saturating_sub(self.from);
        self.give_back();
        left
    }
}

/// Octets that the machine is given at once. The shortest command is six octets and its reply can
/// be ten times that, so what a peer can make us queue in one step is bounded by this.
const SLICE_MAX: usize = 2 * 1024;
