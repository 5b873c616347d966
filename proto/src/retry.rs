//! When to try again: a pure function of policy, history and time (RFC 5321 §4.5.4.1).
//!
//! Waits double from [`Policy::first`] to [`Policy::longest`], each lengthened by up to a quarter
//! by chance, so that what failed together does not come back together. Two moments cut a wait
//! short: the delay notice, because the sender is to hear of the delay when it is due and not at
//! the next turn of a long wait (a `delayed` report within six hours, DESIGN §2), and the expiry,
//! at which one last attempt is made.
//!
//! That a destination cannot be reached at all is not a message's matter: [`Reach`] holds back
//! whatever waits for it.

mod reach;

pub use reach::{Passage, Reach};

use core::time::Duration;

use crate::time::Wall;

/// The schedule, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Wait after the first failed attempt.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// A `delayed` report is due this long after arrival.
    pub delay_notice: Duration,
    /// Given up this long after arrival.
    pub expire: Duration,
}

/// The schedule where nothing is configured.
impl Default for Policy {
    fn default() -> Self {
        Self {
            // RFC 5321 §4.5.4.1 has 30 minutes, from days when a retry was dear. Greylisting,
            // today's commonest reason, lets go after 5.
            first: Duration::from_mins(5),
            longest: Duration::from_hours(1),
            // Two hours are left for the attempt itself within the promise of six.
            delay_notice: Duration::from_hours(4),
            // RFC 5321 §4.5.4.1: "at least 4-5 days".
            expire: Duration::from_hours(5 * 24),
        }
    }
}

impl Policy {
    /// When a sender is to hear, as far as this policy says.
    pub const fn horizon(&self) -> Horizon {
        Horizon {
            delay_notice: self.delay_notice,
            expire: self.expire,
        }
    }
}

/// By when the sender of a message hears of it, whatever holds it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Of its delay, this long after arrival.
    pub delay_notice: Duration,
    /// Of its failure, this long after arrival.
    pub expire: Duration,
}

impl Horizon {
    /// The moment at which something is to be said of a message, if nothing was before: of its
    /// delay, or, once that was reported, of its failure; of either no later than at a `deadline`
    /// that the sender has set and has not been told of.
    pub fn wake(&self, arrived: Wall, delay_reported: bool, deadline: Option<Wall>) -> Wall {
        let after = if delay_reported {
            self.expire
        } else {
            self.delay_notice.min(self.expire)
        };
        let wake = arrived.plus(after);
        deadline.map_or(wake, |deadline| wake.min(deadline))
    }
}

/// What has been tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// When we took custody.
    pub arrived: Wall,
    /// Attempts made, the last included.
    pub attempts: u32,
    /// The `delayed` report has been made.
    pub delay_reported: bool,
}

/// What follows an attempt that ended in something transient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again then; whether the `delayed` report is due now.
    Retry {
        /// When.
        at: Wall,
        /// Make the `delayed` report in the same step.
        report_delay: bool,
    },
    /// Time is up: report `failed`.
    Expire,
}

/// What follows; `jitter` is any number from the driver's random source.
pub fn next(policy: &Policy, history: &History, jitter: u32, now: Wall) -> Next {
    let expiry = history.arrived.plus(policy.expire);
    if now >= expiry {
        return Next::Expire;
    }
    let notice = history.arrived.plus(policy.delay_notice);
    let report_delay = !history.delay_reported && now >= notice;
    let mut at = now.plus(wait(policy, history.attempts, jitter)).min(expiry);
    if !history.delay_reported && !report_delay {
        at = at.min(notice);
    }
    Next::Retry { at, report_delay }
}

/// True when the sender of a message that is overdue ([`Horizon`]) can wait no longer for it to
/// have its turn. Half an hour is for a queue to be worked off after a standstill of our own, in
/// which mail is late that will arrive in a moment; never longer than the longest wait, by which
/// the promise of six hours is reckoned.
pub fn is_pressing(policy: &Policy, history: &History, now: Wall) -> bool {
    let wake = policy
        .horizon()
        .wake(history.arrived, history.delay_reported, None);
    wake.plus(RESPITE.min(policy.longest)) <= now
}

/// The wait after so many attempts.
fn wait(policy: &Policy, attempts: u32, jitter: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(31);
    let wait = policy
        .first
        .saturating_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX))
        .min(policy.longest)
        .max(SHORTEST);
    // At most a quarter: wait / 4 * (jitter / 2^32).
    let quarter = wait.as_millis() / 4;
    let more = quarter.saturating_mul(u128::from(jitter)) >> u32::BITS;
    wait.saturating_add(Duration::from_millis(u64::try_from(more).unwrap_or(0)))
}

/// How long an overdue message may wait for its turn.
const RESPITE: Duration = Duration::from_mins(30);

/// The shortest wait, whatever is configured: a policy of zeros must not make a busy loop.
const SHORTEST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_hours(1);

    /// Runs a message that never gets through, attempts taking no time: minutes after arrival of
    /// each attempt, and at which of them the delay was reported.
    fn run(policy: &Policy, jitter: u32) -> (Vec<u64>, Vec<u64>) {
        let arrived = Wall::from_secs(1_795_256_100);
        let (mut now, mut attempts, mut delay_reported) = (arrived, 0, false);
        let (mut tried, mut reported) = (vec![], vec![]);
        loop {
            attempts += 1;
            let minute = now.since(arrived).as_secs() / 60;
            tried.push(minute);
            let history = History {
                arrived,
                attempts,
                delay_reported,
            };
            match next(policy, &history, jitter, now) {
                Next::Expire => return (tried, reported),
                Next::Retry { at, report_delay } => {
                    if report_delay {
                        reported.push(minute);
                        delay_reported = true;
                    }
                    assert!(at > now);
                    now = at;
                }
            }
        }
    }

    #[test]
    fn the_default_schedule() {
        let (tried, reported) = run(&Policy::default(), 0);
        assert_eq!(tried[..9], [0, 5, 15, 35, 75, 135, 195, 240, 300]);
        assert_eq!(reported, [240]);
        assert_eq!(tried.last(), Some(&(5 * 24 * 60)));
        let (tried, reported) = run(&Policy::default(), u32::MAX);
        assert_eq!(tried[..7], [0, 6, 18, 43, 93, 168, 240]);
        assert_eq!(reported, [240]);
    }

    #[test]
    fn a_delay_is_reported_in_time_though_waits_are_longer() {
        let policy = Policy {
            first: 12 * HOUR,
            longest: 48 * HOUR,
            ..Policy::default()
        };
        let (tried, reported) = run(&policy, 0);
        assert_eq!(tried[..3], [0, 240, 240 + 24 * 60]);
        assert_eq!(reported, [240]);
    }

    #[test]
    fn a_service_that_was_down_reports_at_once() {
        let arrived = Wall::from_secs(1_795_256_100);
        let history = History {
            arrived,
            attempts: 2,
            delay_reported: false,
        };
        let Next::Retry { report_delay, .. } =
            next(&Policy::default(), &history, 0, arrived.plus(30 * HOUR))
        else {
            panic!("expired too early");
        };
        assert!(report_delay);
    }

    fn duration() -> impl Strategy<Value = Duration> {
        prop_oneof![
            Just(Duration::ZERO),
            Just(Duration::MAX),
            (0u64..1_000_000_000).prop_map(Duration::from_millis),
        ]
    }

    proptest! {
        #[test]
        fn never_in_the_past_never_behind_the_expiry(
            first in duration(), longest in duration(), delay_notice in duration(),
            expire in duration(), arrived in any::<u64>(), now in any::<u64>(),
            attempts: u32, delay_reported: bool, jitter: u32,
        ) {
            let policy = Policy { first, longest, delay_notice, expire };
            let history =
                History { arrived: Wall::from_millis(arrived), attempts, delay_reported };
            let now = Wall::from_millis(now);
            let expiry = history.arrived.plus(expire);
            match next(&policy, &history, jitter, now) {
                Next::Expire => prop_assert!(now >= expiry),
                Next::Retry { at, report_delay } => {
                    prop_assert!(at > now && at <= expiry);
                    prop_assert!(!(report_delay && delay_reported));
                    let wait = at.since(now);
                    let longest = longest.max(SHORTEST);
                    prop_assert!(wait <= longest.saturating_add(longest / 4));
                }
            }
        }

        #[test]
        fn waits_only_grow(first in duration(), longest in duration(), jitter: u32) {
            let policy = Policy { first, longest, ..Policy::default() };
            let waits: Vec<_> = (1..80).map(|attempts| wait(&policy, attempts, jitter)).collect();
            prop_assert!(waits.is_sorted());
        }

        #[test]
        fn the_sender_hears_within_six_hours(
            first in 1u64..200_000, longest in 1u64..400_000, notice in 0u64..=4 * 3600,
            jitter: u32, took in 0u64..=3600,
        ) {
            let policy = Policy {
                first: Duration::from_secs(first.max(300)),
                longest: Duration::from_secs(longest.max(300)),
                delay_notice: Duration::from_secs(notice),
                ..Policy::default()
            };
            let arrived = Wall::from_secs(1_795_256_100);
            let (mut due, mut attempts) = (arrived, 0);
            let heard = loop {
                attempts += 1;
                let history = History { arrived, attempts, delay_reported: false };
                let now = due.plus(Duration::from_secs(took));
                match next(&policy, &history, jitter, now) {
                    Next::Expire
                    | Next::Retry { report_delay: true, .. } => break now,
                    Next::Retry { at, .. } => due = at,
                }
            };
            prop_assert!(heard.since(arrived) <= 6 * HOUR);
        }
    }
}
