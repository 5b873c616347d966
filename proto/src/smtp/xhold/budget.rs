//! Time and hops on the way: relative seconds come in, moments hold inside, and relative seconds go out,
//! less what was used here and a guard.
//!
//! The guard is what a hop keeps of each wait to give its own reply in, so that the one before it has it
//! before its own patience ends. All hops of a path so give up from its far end on, and every one of them hears
//! why.
//!
//! What is honest when nothing is left: no reply is to be had in the time there is, and nobody was asked. It
//! is as if the next hop were silent: the 250 rule says what is done, and in strict mode it is never
//! storing ([`Mode::allows`]). With no hop left a strict path cannot be had however often it is tried.

use core::time::Duration;

use super::{MAX_HOPS, MAX_SECONDS, Mode, Terms, Wish};
use crate::cutthrough::Ruling;
use crate::reply::Reply;
use crate::time::Mono;

/// What each hop keeps of each wait for itself.
pub const GUARD: Duration = Duration::from_secs(5);

/// The same in seconds.
const GUARD_SECONDS: u32 = 5;

/// What one transaction may use, as moments of our own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    mode: Mode,
    /// What each RCPT has.
    recipient: u32,
    /// By when the one in hand wants its reply.
    recipient_until: Mono,
    /// What the end of the content has.
    last: u32,
    hops: u8,
}

/// What has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spent {
    /// There is no time in which the next hop could answer.
    Time,
    /// No hop may follow.
    Hops,
}

impl Spent {
    /// What is said in strict mode. In the other one it is as if the next hop gave no reply
    /// ([`crate::cutthrough::Ahead::Silent`]).
    pub fn reply(self) -> Reply {
        match self {
            // RFC 3463 X.4.7: another time it may be quicker.
            Self::Time => Reply::new(451, (4, 4, 7), "no time left to ask the host ahead"),
            // X.4.6; it is as far another time.
            Self::Hops => Reply::new(554, (5, 4, 6), "more hosts ahead than may be held"),
        }
    }
}

impl Mode {
    /// What the 250 rule has come to, where the sender has said how the path is to be held: a strict one
    /// keeps what no reply is to be had for.
    #[must_use]
    pub const fn allows(self, ruling: Ruling) -> Ruling {
        match (self, ruling) {
            (Self::Strict, Ruling::Store) => Ruling::Defer,
            (_, ruling) => ruling,
        }
    }
}

impl Budget {
    /// MAIL came at `now`, with this wish; these are the terms that were offered. No more than those is
    /// used, whatever was asked; with less than they ask nothing is tried.
    pub fn begin(wish: Wish, own: Terms, now: Mono) -> Result<Self, Spent> {
        if wish.recipient < own.min || wish.last < own.min {
            return Err(Spent::Time);
        }
        let recipient = wish.recipient.min(own.max);
        Ok(Self {
            mode: wish.mode,
            recipient,
            recipient_until: now.plus(seconds(recipient)),
            last: wish.last.min(own.max),
            hops: wish.hops.min(own.hops).min(MAX_HOPS),
        })
    }

    /// The same where the path is opened at `now`, the content having `ended`: what is left for the end
    /// is for the recipient and for the last word.
    #[must_use]
    pub fn late(&self, ended: Mono, now: Mono) -> Self {
        let left = seconds(self.last).saturating_sub(now.since(ended)) / 2;
        let half = u32::try_from(left.as_secs()).unwrap_or(0);
        Self {
            recipient: half,
            recipient_until: now.plus(left),
            last: half,
            ..*self
        }
    }

    /// What may be done where no reply is to be had.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// One more RCPT came at `now`, behind the reply to the one before it.
    pub fn next_recipient(&mut self, now: Mono) {
        self.recipient_until = now.plus(seconds(self.recipient));
    }

    /// How long the next hop's reply to RCPT may be waited for at `now`.
    pub fn for_recipient(&self, now: Mono) -> Result<Duration, Spent> {
        left(self.recipient_until.since(now))
    }

    /// How long its last word may be waited for at `now`, the content having ended at `ended`.
    pub fn for_last_word(&self, ended: Mono, now: Mono) -> Result<Duration, Spent> {
        left(seconds(self.last).saturating_sub(now.since(ended)))
    }

    /// What is said in MAIL at `now` to a next hop that offers to hold on these terms: whole seconds, each
    /// of them less than came in by what was used and the guard at least.
    pub fn onward(&self, now: Mono, next: Terms) -> Result<Wish, Spent> {
        let hops = self.hops.checked_sub(1).ok_or(Spent::Hops)?;
        let recipient = self.for_recipient(now)?.as_secs();
        let most = next.max.min(MAX_SECONDS);
        let recipient = u32::try_from(recipient).unwrap_or(most).min(most);
        let last = self.last.saturating_sub(GUARD_SECONDS).min(most);
        let floor = next.min.max(1);
        if recipient < floor || last < floor {
            return Err(Spent::Time);
        }
        Ok(Wish {
            mode: self.mode,
            recipient,
            last,
            hops: hops.min(next.hops),
        })
    }
}

/// What is left behind the guard, if it is anything.
fn left(until: Duration) -> Result<Duration, Spent> {
    let left = until.checked_sub(GUARD).filter(|left| !left.is_zero());
    left.ok_or(Spent::Time)
}

/// So many of them.
fn seconds(count: u32) -> Duration {
    Duration::from_secs(count.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TERMS: Terms = Terms {
        min: 5,
        max: 600,
        hops: 8,
    };

    fn wish(recipient: u32, last: u32, hops: u8) -> Wish {
        Wish {
            mode: Mode::Strict,
            recipient,
            last,
            hops,
        }
    }

    const fn at(millis: u64) -> Mono {
        Mono::from_millis(millis)
    }

    #[test]
    fn each_hop_takes_off_what_it_used_and_a_guard() {
        let budget = Budget::begin(wish(60, 120, 3), TERMS, at(1_000)).unwrap();
        assert_eq!(budget.onward(at(1_000), TERMS), Ok(wish(55, 115, 2)));
        assert_eq!(budget.onward(at(3_001), TERMS), Ok(wish(52, 115, 2)));
        let wait = budget.for_recipient(at(3_001)).unwrap();
        assert_eq!(wait, Duration::from_millis(52_999));
        let wait = budget.for_last_word(at(9_000), at(10_000)).unwrap();
        assert_eq!(wait, Duration::from_secs(114));
        let mut later = budget;
        later.next_recipient(at(70_000));
        assert_eq!(budget.for_recipient(at(70_000)), Err(Spent::Time));
        let wait = later.for_recipient(at(70_000)).unwrap();
        assert_eq!(wait, Duration::from_secs(55));
    }

    #[test]
    fn terms_bound_what_is_asked_on_both_sides() {
        let budget = Budget::begin(wish(86_400, 86_400, 16), TERMS, at(0)).unwrap();
        assert_eq!(budget.onward(at(0), TERMS), Ok(wish(595, 595, 7)));
        let short = Terms {
            min: 1,
            max: 20,
            hops: 2,
        };
        assert_eq!(budget.onward(at(0), short), Ok(wish(20, 20, 2)));
        for (recipient, last) in [(4, 60), (60, 4)] {
            let begun = Budget::begin(wish(recipient, last, 1), TERMS, at(0));
            assert_eq!(begun, Err(Spent::Time));
        }
    }

    #[test]
    fn nobody_is_asked_with_nothing_left() {
        let budget = Budget::begin(wish(15, 60, 0), TERMS, at(0)).unwrap();
        assert_eq!(budget.onward(at(0), TERMS), Err(Spent::Hops));
        let budget = Budget::begin(wish(15, 60, 1), TERMS, at(0)).unwrap();
        assert_eq!(budget.onward(at(5_000), TERMS), Ok(wish(5, 55, 0)));
        assert_eq!(budget.onward(at(5_001), TERMS), Err(Spent::Time));
        let any = Terms { min: 0, ..TERMS };
        assert_eq!(budget.onward(at(9_000), any), Ok(wish(1, 55, 0)));
        assert_eq!(budget.onward(at(9_001), any), Err(Spent::Time));
        assert!(budget.for_recipient(at(9_999)).is_ok());
        assert_eq!(budget.for_recipient(at(10_000)), Err(Spent::Time));
        assert_eq!(budget.for_last_word(at(0), at(55_000)), Err(Spent::Time));
    }

    #[test]
    fn strict_keeps_what_prefer_stores_and_neither_changes_a_reply() {
        for ruling in [
            Ruling::Accept,
            Ruling::Defer,
            Ruling::Refuse,
            Ruling::PassBack(crate::reply::ReplyClass::Permanent),
        ] {
            assert_eq!(Mode::Strict.allows(ruling), ruling);
            assert_eq!(Mode::Prefer.allows(ruling), ruling);
        }
        assert_eq!(Mode::Strict.allows(Ruling::Store), Ruling::Defer);
        assert_eq!(Mode::Prefer.allows(Ruling::Store), Ruling::Store);
        assert_eq!(Spent::Time.reply().code(), 451);
        assert_eq!(Spent::Hops.reply().code(), 554);
    }

    #[test]
    fn a_path_that_is_opened_late_shares_what_is_left_for_the_end() {
        let budget = Budget::begin(wish(60, 120, 3), TERMS, at(0)).unwrap();
        let late = budget.late(at(90_000), at(110_000));
        assert_eq!(late.onward(at(110_000), TERMS), Ok(wish(45, 45, 2)));
        let wait = late.for_recipient(at(120_000)).unwrap();
        assert_eq!(wait, Duration::from_secs(35));
        let late = budget.late(at(90_000), at(206_000));
        assert_eq!(late.onward(at(206_000), TERMS), Err(Spent::Time));
    }

    fn terms() -> impl Strategy<Value = Terms> {
        (any::<u32>(), any::<u32>(), any::<u8>()).prop_map(|(min, max, hops)| Terms {
            min: min % 40,
            max,
            hops,
        })
    }

    proptest! {
        /// Whatever is asked, offered and used, however far the clock is.
        #[test]
        fn never_more_goes_out_than_came_in_less_the_guard(
            recipient in 0..=MAX_SECONDS, last in 0..=MAX_SECONDS, hops: u8,
            own in terms(), next in terms(), began: u64, used in 0_u64..200_000,
        ) {
            let wish = wish(recipient, last, hops);
            let now = at(began.saturating_add(used));
            let Ok(budget) = Budget::begin(wish, own, at(began)) else {
                prop_assert!(recipient < own.min || last < own.min);
                return Ok(());
            };
            let spent = now.since(at(began));
            if let Ok(wait) = budget.for_recipient(now) {
                prop_assert!(wait + GUARD + spent <= seconds(recipient));
            }
            if let Ok(wait) = budget.for_last_word(at(began), now) {
                prop_assert!(wait + GUARD + spent <= seconds(last));
            }
            if let Ok(out) = budget.onward(now, next) {
                prop_assert!(seconds(out.recipient) + GUARD + spent <= seconds(recipient));
                prop_assert!(seconds(out.last) + GUARD <= seconds(last));
                prop_assert!(out.hops < wish.hops && out.hops <= MAX_HOPS);
                prop_assert!(out.recipient.min(out.last) >= next.min.max(1));
                prop_assert!(out.recipient.max(out.last) <= next.max);
                prop_assert_eq!(out.mode, wish.mode);
            }
        }

        /// Every path ends, whoever is on it.
        #[test]
        fn a_path_of_such_hops_ends(start in terms(), steps in prop::collection::vec(0_u64..9_000, 40)) {
            let own = Terms { min: 0, max: MAX_SECONDS, hops: start.hops };
            let mut wish = wish(MAX_SECONDS, MAX_SECONDS, MAX_HOPS);
            let mut count = 0;
            for used in steps {
                let Ok(budget) = Budget::begin(wish, own, at(0)) else { break };
                let Ok(onward) = budget.onward(at(used), own) else { break };
                prop_assert!(onward.recipient < wish.recipient && onward.last < wish.last);
                wish = onward;
                count += 1;
            }
            prop_assert!(count <= usize::from(MAX_HOPS));
        }
    }
}
