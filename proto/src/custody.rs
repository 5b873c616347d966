//! Custody: the proof that someone else than the sender now answers for a message.
//!
//! A positive reply to the end of a message needs one (DESIGN §2). Two places make it: the spool,
//! after content and envelope are durable, and the held path, after every next hop's final 2xx, or where this
//! very copy was taken before and that is remembered ([`Earlier`]).
//! A clippy ban keeps the constructors out of every other file, and [`Custody::spend`] and
//! [`Custody::spend_for_each`] are the only code that writes a 250 to the end of a message.

use alloc::format;
use alloc::vec::Vec;
use core::iter;

use crate::outcome::{Outcome, OutcomeClass};
use crate::queue_id::QueueId;
use crate::reply::{Reply, ReplyClass};

/// Proof that somebody answers for a message, which has this name here. Made once, spent once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "custody is what a 250 stands for; dropping it unsaid wastes a message that somebody has"]
pub struct Custody {
    queue_id: QueueId,
    place: Place,
}

/// What is said to the end of a message whose recipients are answered one by one
/// ([`Custody::spend_for_each`]).
#[derive(Debug, PartialEq, Eq)]
pub struct Answers {
    /// In the order of the recipients; empty where one reply stands for all.
    pub each: Vec<Reply>,
    /// For the message as a whole.
    pub last: Reply,
}

/// Where the message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// On stable storage of ours.
    Storage,
    /// With the next hops.
    Onward,
    /// Where it has been since it came before.
    Before(Whither),
}

/// Where a message went that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whither {
    /// To stable storage of ours.
    Storage,
    /// To the next hops.
    Onward,
}

/// What is remembered of a message that was taken: all that its 250 said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Earlier {
    /// Its name here.
    pub queue_id: QueueId,
    /// Where it went.
    pub whither: Whither,
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

    /// To be called by the held path alone, for a copy whose client, XTID, reverse-path, recipient and content are
    /// those of one that was taken, by what is durably remembered of that (PROTOCOLS C).
    pub const fn of_repetition(earlier: Earlier) -> Self {
        Self {
            queue_id: earlier.queue_id,
            place: Place::Before(earlier.whither),
        }
    }

    /// The name under which the message is known here.
    pub const fn queue_id(&self) -> QueueId {
        self.queue_id
    }

    /// True if nothing is stored by this transaction: the next hops have it, or it was taken before.
    pub const fn is_onward(&self) -> bool {
        !matches!(self.place, Place::Storage)
    }

    /// True if it was taken before, and nothing has come of this copy.
    pub const fn is_repetition(&self) -> bool {
        matches!(self.place, Place::Before(_))
    }

    /// The same proof for each of so many recipients for whom somebody answers together.
    pub fn for_each_of(self, recipients: usize) -> impl Iterator<Item = Self> {
        let Self { queue_id, place } = self;
        iter::repeat_n((), recipients).map(move |()| Self { queue_id, place })
    }

    /// Gives the proofs for the replies to the end of a message with these recipients
    /// (draft-hall-prdr-00 §4.5). The last one is positive only if somebody answers for the message to one
    /// of them at least, and transient if one of them may have it later (§4.5.3). Where all end in the
    /// same way it stands alone, as the draft would have it (§4.4, §4.7).
    #[must_use = "the sender is still waiting for it"]
    pub fn spend_for_each(ends: Vec<Result<Self, Reply>>) -> Answers {
        let all = ends.len();
        let taken = ends.iter().flatten().count();
        // Where some are kept here and some are not, it is the first that is said.
        let mut proofs: Vec<_> = ends.iter().flatten().collect();
        proofs.sort_by_key(|proof| proof.is_onward());
        let named = proofs.first().map(|proof| proof.queue_id);
        let whole = proofs.first().map(|proof| proof.words());
        let each: Vec<_> = (ends.into_iter())
            .map(|end| end.map_or_else(|refusal| refusal, Self::spend))
            .collect();
        let last = match (whole, named) {
            (Some(words), _) if taken == all => words,
            (_, Some(id)) => {
                let text = format!("taken for {taken} of {all} recipients as {id}");
                Reply::new(250, (2, 0, 0), text)
            }
            (_, None) => {
                let is_later = |reply: &&Reply| reply.class() == ReplyClass::Transient;
                let later = each.iter().find(is_later).or_else(|| each.first());
                let none = || Reply::new(451, (4, 3, 0), "local error in processing");
                later.cloned().unwrap_or_else(none)
            }
        };
        let are_same = taken == all || taken == 0 && each.iter().all(|reply| *reply == last);
        Answers {
            each: if are_same { Vec::new() } else { each },
            last,
        }
    }

    /// Gives the proof for the reply that it stands for (RFC 5321 §4.2.5).
    #[must_use = "the sender is still waiting for it"]
    pub fn spend(self) -> Reply {
        self.words()
    }

    fn words(&self) -> Reply {
        let id = self.queue_id;
        let text = match self.place {
            Place::Storage | Place::Before(Whither::Storage) => format!("queued as {id}"),
            Place::Onward | Place::Before(Whither::Onward) => format!("delivered onward as {id}"),
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
    fn a_repetition_says_what_was_said_before() {
        let queue_id = QueueId::new(Wall::from_secs(0), 7);
        let yes = Outcome::local((2, 0, 0), None, "");
        for (whither, custody) in [
            (Whither::Storage, Custody::of_durable_message(queue_id)),
            (
                Whither::Onward,
                Custody::of_held_path(queue_id, [&yes]).unwrap(),
            ),
        ] {
            let again = Custody::of_repetition(Earlier { queue_id, whither });
            assert!(again.is_onward() && again.is_repetition() && !custody.is_repetition());
            assert_eq!(again.spend(), custody.spend());
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "what is tested")]
    fn for_each_recipient_its_own_and_for_all_what_they_come_to() {
        let id = QueueId::new(Wall::from_secs(0), 7);
        let yes = Outcome::local((2, 0, 0), None, "");
        let end = |what: char| match what {
            'q' => Ok(Custody::of_durable_message(id)),
            'o' => Ok(Custody::of_held_path(id, [&yes]).unwrap()),
            'l' => Err(Reply::new(450, (4, 2, 2), "later")),
            _ => Err(Reply::new(550, (5, 6, 0), "never")),
        };
        for (ends, each, last) in [
            ("", 0, "451 4.3.0 local error in processing"),
            ("o", 0, "250 2.0.0 delivered onward as 00000000000000000007"),
            (
                "oo",
                0,
                "250 2.0.0 delivered onward as 00000000000000000007",
            ),
            ("oq", 0, "250 2.0.0 queued as 00000000000000000007"),
            (
                "on",
                2,
                "250 2.0.0 taken for 1 of 2 recipients as 00000000000000000007",
            ),
            (
                "nlq",
                3,
                "250 2.0.0 taken for 1 of 3 recipients as 00000000000000000007",
            ),
            ("nn", 0, "550 5.6.0 never"),
            ("nln", 3, "450 4.2.2 later"),
            ("ll", 0, "450 4.2.2 later"),
        ] {
            let answers = Custody::spend_for_each(ends.chars().map(end).collect());
            assert_eq!(answers.last.to_string(), last, "{ends}");
            assert_eq!(answers.each.len(), each, "{ends}");
            for (what, reply) in ends.chars().zip(&answers.each) {
                assert_eq!(reply.is_positive(), "oq".contains(what), "{ends}");
            }
        }
        assert_eq!(Custody::of_durable_message(id).for_each_of(3).count(), 3);
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
