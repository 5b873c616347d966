//! How the queues of honest senders try again: proto's own retry times, under the policies that
//! are met with on the Internet.

use std::time::Duration;

use vouchsafe_proto::retry::{History, Next, Policy, next};
use vouchsafe_proto::time::Wall;

/// How many policies there are.
pub const POLICIES: usize = 5;

/// The policy of this number: ours, and what other senders are known to do. All give up after five
/// days (RFC 5321 §4.5.4.1).
pub fn policy(number: usize) -> Policy {
    let (first, longest) = match number {
        // RFC 5321 §4.5.4.1's advice: half an hour, then every two or three.
        1 => (Duration::from_mins(30), Duration::from_hours(3)),
        // The same wait each time.
        2 => (Duration::from_mins(15), Duration::from_mins(15)),
        // Patient: from ten minutes to more than an hour.
        3 => (Duration::from_mins(10), Duration::from_mins(70)),
        // The slowest that still tries several times a day.
        4 => (Duration::from_hours(1), Duration::from_hours(6)),
        _ => return Policy::default(),
    };
    Policy {
        first,
        longest,
        ..Policy::default()
    }
}

/// A message in a queue.
#[derive(Clone, Copy, Debug)]
pub struct Queued {
    /// Which policy it is under.
    pub policy: usize,
    /// What has been tried.
    pub history: History,
}

impl Queued {
    /// A message that has just come in.
    pub const fn new(policy: usize, arrived: Wall) -> Self {
        Self {
            policy,
            history: History {
                arrived,
                attempts: 0,
                delay_reported: false,
            },
        }
    }

    /// When to try again after an attempt that ended in something transient; `None` if time is up.
    pub fn again(&mut self, jitter: u32, now: Wall) -> Option<Wall> {
        match next(&policy(self.policy), &self.history, jitter, now) {
            Next::Retry { at, report_delay } => {
                self.history.delay_reported |= report_delay;
                Some(at)
            }
            Next::Expire => None,
        }
    }
}
