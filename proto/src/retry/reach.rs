//! Whether a destination is to be tried now: a pure function of policy, what was seen, and time.
//!
//! That no session comes to be is a destination's matter and no message's: all that waits for it
//! is held back together. Then one goes first, and the others follow when a session with it has
//! come to be. The waits are those of [`super::Policy`], and begin anew once it has answered. Where it has
//! answered somebody else meanwhile, one goes before its time.
//!
//! It is in memory only: after a restart one attempt finds out anew.

use core::time::Duration;

use super::{Policy, wait};
use crate::time::Mono;

/// What is known of one destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Not tried, or not lately: one goes first.
    #[default]
    Unknown,
    /// A session has come to be: all may go.
    Stands,
    /// No session came to be: nothing goes before `until`, and then one first.
    Held {
        /// Attempts that failed, one after the other.
        failures: u32,
        /// When the next may be made.
        until: Mono,
        /// When one was last let go because it had answered somebody else.
        early: Option<Mono>,
    },
}

/// Who may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// All.
    Open,
    /// One, to see.
    One,
    /// Nobody.
    Shut,
}

impl Reach {
    /// A session has come to be.
    pub const fn stands(&mut self) {
        *self = Self::Stands;
    }

    /// Somebody says that it is worth a try: one may go.
    pub const fn forget(&mut self) {
        *self = Self::Unknown;
    }

    /// No session could be had. Gives the moment at which the next may be tried; `jitter` is any
    /// number.
    pub fn failed(&mut self, policy: &Policy, jitter: u32, now: Mono) -> Mono {
        let (before, early) = match self {
            Self::Held {
                failures, early, ..
            } => (*failures, *early),
            Self::Unknown | Self::Stands => (0, None),
        };
        let failures = before.saturating_add(1);
        let until = now.plus(wait(policy, failures, jitter));
        *self = Self::Held {
            failures,
            until,
            early,
        };
        until
    }

    /// It has answered somebody else. True if one may go now who had to wait; that is once in a while, so
    /// that a destination which answers others and not us is not tried over and over.
    pub fn answers_others(&mut self, now: Mono) -> bool {
        match self {
            Self::Held { until, early, .. }
                if now < *until && early.is_none_or(|last| now.since(last) >= EARLY) =>
            {
                (*until, *early) = (now, Some(now));
                true
            }
            _ => false,
        }
    }

    /// When the next may be tried, while nobody may go.
    pub fn shut_until(&self, now: Mono) -> Option<Mono> {
        match self {
            Self::Held { until, .. } if now < *until => Some(*until),
            _ => None,
        }
    }

    /// Who may go at `now`.
    pub fn passage(&self, now: Mono) -> Passage {
        match self {
            Self::Stands => Passage::Open,
            Self::Held { until, .. } if now < *until => Passage::Shut,
            Self::Unknown | Self::Held { .. } => Passage::One,
        }
    }

    /// True once nothing of it need be remembered: it has not been tried for the longest wait.
    pub fn is_stale(&self, policy: &Policy, now: Mono) -> bool {
        match self {
            Self::Unknown | Self::Stands => true,
            Self::Held { until, .. } => until.plus(policy.longest) <= now,
        }
    }
}

/// The least time between two that go before their time.
const EARLY: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn minute(minute: u64) -> Mono {
        Mono::from_millis(minute * 60_000)
    }

    #[test]
    fn one_goes_first_and_waits_double_until_it_answers() {
        let policy = Policy::default();
        let mut reach = Reach::default();
        assert_eq!(reach.passage(minute(0)), Passage::One);
        let mut at = minute(0);
        let mut waits = alloc::vec::Vec::new();
        for _ in 0..6 {
            let until = reach.failed(&policy, 0, at);
            waits.push(until.since(at).as_secs() / 60);
            assert_eq!(reach.passage(at), Passage::Shut);
            assert_eq!(reach.passage(until), Passage::One);
            at = until;
        }
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
        assert!(!reach.is_stale(&policy, at));
        assert!(reach.is_stale(&policy, at.plus(policy.longest)));
        assert_eq!(reach.failed(&policy, 0, at), at.plus(policy.longest));
        assert_eq!(reach.shut_until(at), Some(at.plus(policy.longest)));
        reach.forget();
        assert_eq!(
            (reach.passage(at), reach.shut_until(at)),
            (Passage::One, None)
        );
        reach.stands();
        assert_eq!(reach.passage(at), Passage::Open);
        assert_eq!(
            reach.failed(&policy, 0, at).since(at),
            Duration::from_mins(5)
        );
    }

    #[test]
    fn who_answers_others_is_tried_before_its_time_once_in_a_while() {
        let policy = Policy::default();
        let second = |second: u64| Mono::from_millis(second * 1_000);
        let mut reach = Reach::default();
        assert!(!reach.answers_others(second(0)), "one may go as it is");
        reach.failed(&policy, 0, second(0));
        assert!(reach.answers_others(second(1)));
        assert_eq!(reach.passage(second(1)), Passage::One);
        assert!(!reach.answers_others(second(1)), "it may go already");
        // In vain: the waits go on growing.
        assert_eq!(reach.failed(&policy, 0, second(2)), second(2 + 600));
        assert!(!reach.answers_others(second(60)));
        assert_eq!(reach.passage(second(60)), Passage::Shut);
        assert!(reach.answers_others(second(61)));
        reach.stands();
        assert!(!reach.answers_others(second(200)));
        reach.failed(&policy, 0, second(200));
        assert!(reach.answers_others(second(201)), "another time");
    }

    proptest! {
        #[test]
        fn it_is_held_back_for_no_longer_than_the_policy_says(
            first in 0u64..1_000_000, longest in 0u64..10_000_000, times in 1usize..40,
            jitter: u32, now in 0u64..1 << 40,
        ) {
            let policy = Policy {
                first: Duration::from_millis(first),
                longest: Duration::from_millis(longest),
                ..Policy::default()
            };
            let (mut reach, now) = (Reach::default(), Mono::from_millis(now));
            for _ in 0..times {
                let until = reach.failed(&policy, jitter, now);
                let wait = until.since(now);
                let most = policy.longest.max(Duration::from_secs(1));
                prop_assert!(wait >= Duration::from_secs(1) && wait <= most + most / 4);
                prop_assert_eq!(reach.passage(until), Passage::One);
            }
        }
    }
}
