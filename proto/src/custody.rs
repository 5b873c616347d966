//! Custody: the proof that someone else than the sender now answers for a message.
//!
//! A positive reply to the end of a message needs one (DESIGN §2). Two places make it: the spool,
//! after content and envelope are durable, and the held path, after every next hop's final 2xx.
//! A clippy ban keeps the constructors out of every other file, and [`Custody::spend`] is the only
//! code that writes a 250 to the end of a message.

use alloc::format;

use crate::outcome::{Outcome, OutcomeClass};
use crate::queue_id::QueueId;
use crate::reply::Reply;

/// Proof that somebody answers for a message, which has this name here. Made once, spent once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "custody is what a 250 stands for; dropping it unsaid wastes a message that somebody has"]
pub struct Custody {
    queue_id: QueueId,
    place: Place,
}

/// Where the message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// On stable storage of ours.
    Storage,
    /// With the next hops.
    Onward,
}

impl Custody {
    /// To be called by the spool alone, after content and envelope have passed their barrier.
    pub const fn of_durable_message(queue_id: QueueId) -> Self {
        Self {
            queue_id,
            place: Place::Storage,
        }
    }

    /// To be called by the held path alone, with the last word of the next hop about every recipient.
    /// `None` unless there is one, and all of them have taken the message.
    pub fn of_held_path<'a>(
        queue_id: QueueId,
        ends: impl IntoIterator<Item = &'a Outcome>,
    ) -> Option<Self> {
        let mut ends = ends.into_iter().peekable();
        ends.peek()?;
        ends.all(|end| end.class == OutcomeClass::Delivered)
            .then_some(Self {
                queue_id,
                place: Place::Onward,
            })
    }

    /// The name under which the message is known here.
    pub const fn queue_id(&self) -> QueueId {
        self.queue_id
    }

    /// True if the next hops have it, and nothing is stored.
    pub const fn is_onward(&self) -> bool {
        matches!(self.place, Place::Onward)
    }

    /// Gives the proof for the reply that it stands for (RFC 5321 §4.2.5).
    #[must_use = "the sender is still waiting for it"]
    pub fn spend(self) -> Reply {
        let id = self.queue_id;
        let text = match self.place {
            Place::Storage => format!("queued as {id}"),
            Place::Onward => format!("delivered onward as {id}"),
        };
        Reply::new(250, (2, 0, 0), text)
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

    #[test]
    #[expect(clippy::disallowed_methods, reason = "what is tested")]
    fn the_path_has_it_only_where_every_last_word_was_yes() {
        let id = QueueId::new(Wall::from_secs(0), 7);
        let end = |status| Outcome::local(status, None, "");
        let made = |ends: &[Outcome]| Custody::of_held_path(id, ends).is_some();
        let (yes, later, never) = (end((2, 0, 0)), end((4, 0, 0)), end((5, 0, 0)));
        assert!(made(core::slice::from_ref(&yes)) && made(&[yes.clone(), yes.clone()]));
        assert!(!made(&[]) && !made(&[yes.clone(), later]) && !made(&[never, yes]));
    }
}
