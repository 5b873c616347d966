//! What a deadline of the sender's (DELIVERBY, RFC 2852) makes of the schedule.
//!
//! A message that is to be returned then has that moment for its expiry, and is not tried behind
//! it. One whose sender is to be told then is reported as delayed at that moment, whether or not
//! the ordinary notice has been given before. The queue knows these moments, and leases a message at
//! its own whatever its lanes are held back for.

use std::time::Duration;

use vouchsafe_proto::envelope::{ByMode, Requests};
use vouchsafe_proto::outcome::{Outcome, OutcomeClass};
use vouchsafe_proto::reply::EnhancedStatus;
use vouchsafe_proto::retry::Policy;
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::{Entry, Progress};

/// Delivery time expired (RFC 3463 §3.5, RFC 2852 §4).
pub(super) const PASSED: EnhancedStatus = EnhancedStatus::new(5, 4, 7);

/// The schedule for this message, and whether the notice of its delay has been given for it.
pub(super) fn applied(entry: &Entry, policy: &Policy, arrived: Wall) -> (Policy, bool) {
    let mut policy = *policy;
    let reported = entry.delay_reported;
    let Some(by) = entry.envelope.requests.deliver_by else {
        return (policy, reported);
    };
    let after = by.deadline.since(arrived);
    match by.mode {
        ByMode::Return => {
            policy.expire = policy.expire.min(after);
            (policy, reported)
        }
        ByMode::Notify if !reported => {
            policy.delay_notice = policy.delay_notice.min(after);
            (policy, false)
        }
        // The ordinary notice came before; this one is to come.
        ByMode::Notify if !entry.deadline_reported => {
            policy.delay_notice = after;
            (policy, false)
        }
        ByMode::Notify => (policy, true),
    }
}

/// True if the sender has named a time that is over, wants to be told of that, and has not been.
pub(super) fn is_to_be_told(entry: &Entry, now: Wall) -> bool {
    let by = entry.envelope.requests.deliver_by;
    let passed = by.is_some_and(|by| by.mode == ByMode::Notify && by.deadline <= now);
    passed && !entry.deadline_reported
}

/// How long the message is tried.
pub(super) fn until(requests: &Requests, arrived: Wall, expire: Duration) -> Wall {
    let last = arrived.plus(expire);
    match requests.deliver_by {
        Some(by) if by.mode == ByMode::Return => last.min(by.deadline),
        _ => last,
    }
}

/// The end of a recipient of a message that is to be returned by now, before another attempt.
pub(super) fn over(entry: &Entry, index: usize, now: Wall) -> Option<Outcome> {
    is_over(&entry.envelope.requests, now).then(|| {
        let last = match entry.progress.get(index) {
            Some(Progress::Waiting(Some(last))) => last.clone(),
            _ => Outcome::local((5, 4, 7), None, "there was no time to try"),
        };
        passed(last)
    })
}

/// What became of a recipient, with the deadline as the reason where that is it.
pub(super) fn named(entry: &Entry, told: Progress, now: Wall) -> Progress {
    match told {
        // Expired: the attempt itself said "later".
        Progress::Done(end)
            if end.class == OutcomeClass::Permanent
                && end.status.class == 4
                && is_over(&entry.envelope.requests, now) =>
        {
            Progress::Done(passed(end))
        }
        told => told,
    }
}

/// True if the message is to be returned by now.
fn is_over(requests: &Requests, now: Wall) -> bool {
    let by = requests.deliver_by;
    by.is_some_and(|by| by.mode == ByMode::Return && by.deadline <= now)
}

/// The same, for the reason that time is up.
fn passed(outcome: Outcome) -> Outcome {
    Outcome {
        class: OutcomeClass::Permanent,
        status: PASSED,
        ..outcome
    }
}
