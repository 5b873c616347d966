//! Custody: the proof that someone else than the sender now answers for a message.
//!
//! A positive reply to the end of a message needs one (DESIGN §2). Two places make it: the spool,
//! after content and envelope are durable, and the held path, after every next hop's final 2xx.
//! A clippy ban keeps the constructor out of every other file, and [`Custody::spend`] is the only
//! code that writes a 250 to the end of a message.

use alloc::format;

use crate::queue_id::QueueId;
use crate::reply::Reply;

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

    /// Gives the proof for the reply that it stands for (RFC 5321 §4.2.5).
    #[must_use = "the sender is still waiting for it"]
    pub fn spend(self) -> Reply {
        Reply::new(250, (2, 0, 0), format!("queued as {}", self.queue_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;
    use alloc::string::ToString;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "what is tested")]
    fn custody_is_said_with_the_name_it_is_kept_under() {
        let custody = Custody::of_durable_message(QueueId::new(Wall::from_secs(0), 7));
        assert_eq!(
            custody.spend().to_string(),
            "250 2.0.0 queued as 00000000000000000007"
        );
    }
}
