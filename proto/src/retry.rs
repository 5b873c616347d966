//! When to try again: a pure function of policy, history and time (RFC 5321 §4.5.4.1).

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
    let _ = (policy, history, jitter, now);
    Next::Expire
}
