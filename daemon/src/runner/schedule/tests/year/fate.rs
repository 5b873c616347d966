//! What became of each recipient of each message, and what must have.

use vouchsafe_proto::addr::ReversePath;
use vouchsafe_proto::envelope::{ByMode, Clearance, Envelope, Notify};
use vouchsafe_proto::outcome::Onward;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;
use vouchsafe_proto::verify::VerdictResult;

use super::peers::{number, onward};
use super::{DAY, DOWN, HOUR, MINUTE};

/// How late a deadline may be acted upon: two attempts that were under way may be long.
const LATE: u64 = 35 * MINUTE;

/// How a recipient ended, as recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Delivered,
    Failed,
    Expired,
}

/// A moment: how long the world has gone, and what had happened to its clock and process by then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) at: u64,
    /// What the clock said.
    pub(super) wall: Wall,
    /// How often the process had been started anew.
    pub(super) starts: u64,
    pub(super) set_back: u64,
}

/// One recipient.
#[derive(Clone, Debug, Default)]
pub(super) struct Fate {
    /// How often the destination took the message.
    pub(super) taken: u32,
    /// How often it did without our knowing for good: the session broke off, or the process died
    /// before it was recorded.
    pub(super) doubted: u32,
    /// How it ended; one exactly.
    pub(super) ends: Vec<(End, Moment)>,
    /// Reports to the reverse-path: failed, delayed, succeeded.
    pub(super) told: [u32; 3],
    /// Reports to the operator.
    pub(super) operator: u32,
    /// When a delay was reported.
    pub(super) delays: Vec<Moment>,
}

/// One message.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) envelope: Envelope,
    pub(super) came: Moment,
    pub(super) fates: Vec<Fate>,
}

/// What all fates come to.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) delivered: u64,
    pub(super) failed: u64,
    pub(super) expired: u64,
    pub(super) told: [u64; 3],
    pub(super) operator: u64,
    pub(super) twice: u64,
    /// The longest that a deadline was not acted upon, in milliseconds, while there was a process.
    pub(super) latest: u64,
    /// The longest that anybody waited for a word, in milliseconds.
    pub(super) longest: u64,
}

impl Letter {
    pub(super) fn new(envelope: Envelope, came: Moment) -> Self {
        let fates = vec![Fate::default(); envelope.recipients.len()];
        Self {
            envelope,
            came,
            fates,
        }
    }

    /// Whom reports go to: the sender, the operator.
    fn hears(&self) -> (bool, bool) {
        let withheld = self.envelope.verdict == VerdictResult::Repudiated
            || self.envelope.clearance == Clearance::Declared;
        let null = self.envelope.reverse_path == ReversePath::Null;
        (!null && !withheld, !null && withheld)
    }

    /// Looks at all of it when all is over.
    pub(super) fn judge(&self, id: QueueId, sums: &mut Sums) {
        for index in 0..self.fates.len() {
            self.judge_one(id, index, sums);
        }
    }

    fn judge_one(&self, id: QueueId, index: usize, sums: &mut Sums) {
        let fate = &self.fates[index];
        let recipient = &self.envelope.recipients[index];
        let requests = &self.envelope.requests;
        let what = format!(
            "{id} {index} {recipient:?} {requests:?} of {:?}: {fate:?}",
            self.came
        );
        let [(end, ended)] = fate.ends[..] else {
            panic!("not one end: {what}");
        };
        let delivered = end == End::Delivered;
        assert_eq!(
            fate.taken,
            fate.doubted + u32::from(delivered),
            "lost, or brought twice: {what}"
        );
        let (success, failure, delay) = match recipient.notify {
            None => (false, true, true),
            Some(Notify::Never) => (false, false, false),
            Some(Notify::On {
                success,
                failure,
                delay,
            }) => (success, failure, delay),
        };
        let (sender, operator) = self.hears();
        let traced = |deadlines: bool| {
            let by = requests.deliver_by;
            recipient.notify != Some(Notify::Never) && by.is_some_and(|by| by.trace || !deadlines)
        };
        let success = match onward(number(&recipient.path)) {
            Onward::Mailbox => success,
            Onward::Relay { reports, deadlines } => (success && !reports) || traced(deadlines),
        };
        let [failed, _, succeeded] = fate.told;
        assert_eq!(failed, u32::from(sender && !delivered && failure), "{what}");
        assert_eq!(
            succeeded,
            u32::from(sender && delivered && success),
            "{what}"
        );
        assert_eq!(fate.operator, u32::from(operator && !delivered), "{what}");
        self.judge_delay(fate, sender && delay, ended, &what, sums);
        let waited = self.since(ended);
        assert!(waited <= 5 * DAY + 6 * HOUR, "ended too late: {what}");
        match end {
            End::Delivered => sums.delivered += 1,
            End::Failed => sums.failed += 1,
            End::Expired => sums.expired += 1,
        }
        for (sum, told) in sums.told.iter_mut().zip(fate.told) {
            *sum += u64::from(told);
        }
        sums.operator += u64::from(fate.operator);
        sums.twice += u64::from(fate.taken > 1);
    }

    /// Whoever wants to hear of a delay hears of it in time, or that it is over: once, and once more
    /// where he has set a time himself; of that time when it is over.
    fn judge_delay(&self, fate: &Fate, wanted: bool, ended: Moment, what: &str, sums: &mut Sums) {
        let delayed = fate.delays.len();
        assert_eq!(usize::try_from(fate.told[1]).unwrap(), delayed, "{what}");
        let by = self.envelope.requests.deliver_by;
        let named = by.filter(|by| by.mode == ByMode::Notify);
        let at_most = usize::from(wanted) * (1 + usize::from(named.is_some()));
        assert!(delayed <= at_most, "told of a delay too often: {what}");
        let set = by.map(|by| (by, self.to(by.deadline)));
        if let Some((_, set)) = set.filter(|(by, _)| by.mode == ByMode::Return) {
            let late = self.running(ended).saturating_sub(set);
            assert!(late <= LATE, "returned {} min late: {what}", late / MINUTE);
            sums.latest = sums.latest.max(late);
        }
        if !wanted {
            return;
        }
        let mut words = fate.delays.iter().copied();
        let heard = words.next().filter(|delay| delay.at < ended.at);
        let heard = self.since(heard.unwrap_or(ended));
        assert!(
            heard <= 6 * HOUR,
            "heard after {} min: {what}",
            heard / MINUTE
        );
        sums.longest = sums.longest.max(heard);
        if let Some((by, set)) = set.filter(|_| named.is_some()) {
            let mut told = fate.delays.iter();
            let told = told.find(|delay| delay.wall >= by.deadline).copied();
            let late = self.running(told.unwrap_or(ended)).saturating_sub(set);
            assert!(late <= LATE, "told {} min late: {what}", late / MINUTE);
            sums.latest = sums.latest.max(late);
        }
    }

    /// Milliseconds from the arrival to that time.
    fn to(&self, then: Wall) -> u64 {
        u64::try_from(then.since(self.came.wall).as_millis()).unwrap()
    }

    /// The same, without the time in which there was no process.
    fn running(&self, then: Moment) -> u64 {
        let down = (then.starts - self.came.starts) * DOWN;
        self.since(then).saturating_sub(down)
    }

    /// How long after its arrival that is. A clock that is set back forgets that much of a wait.
    fn since(&self, then: Moment) -> u64 {
        let forgotten = then.set_back - self.came.set_back;
        (then.at - self.came.at).saturating_sub(forgotten)
    }
}
