//! Custody: the proof that someone else than the sender now answers for a message.
//!
//! A positive reply to the end of a message needs one (DESIGN §2). Two places make it: the spool,
//! after content and envelope are durable, and the held path, after every next hop's final 2xx.
//! A clippy ban keeps the constructor out of every other file.

use crate::queue_id::QueueId;

/// Proof that a message is on stable storage, under this name. Made once, spent once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "custody is what a 250 stands for; dropping it unsaid wastes a stored message"]
pub struct Custody {
    queue_id: QueueId,
}

impl Custody {
    /// To be called by the spool alone, after content and envelope have passed their barrier.
    pub const fn of_durable_message(queue_id: QueueId) -> Self {
        Self { queue_id }
    }

    /// The name under which the message is kept.
    pub const fn queue_id(&self) -> QueueId {
        self.queue_id
    }
}
