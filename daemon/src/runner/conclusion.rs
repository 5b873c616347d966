//! What follows from one attempt at one message: a pure function of its history and what was seen.

use std::collections::BTreeMap;

use vouchsafe_proto::envelope::Notify;
use vouchsafe_proto::outcome::{Onward, Outcome, OutcomeClass};
use vouchsafe_proto::retry::{self, History, Next, Policy};
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::{Entry, Lane, Progress};

use super::deadline;

/// What this lease did for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tally {
    /// Nothing: done before, or we are stopping.
    Untouched,
    /// Put off without a try: it broke its worker.
    Postponed(Wall),
    /// Its next hop cannot be reached, or the operator holds it. That is no attempt of the message's:
    /// it waits, with its lane.
    Unreached {
        /// What was seen.
        outcome: Outcome,
        /// Where; `None` if it is held.
        next_hop: Option<NextHop>,
    },
    /// Tried.
    Tried {
        /// With this end.
        outcome: Outcome,
        /// Where; `None` without a route.
        next_hop: Option<NextHop>,
    },
}

/// What is to be recorded, and whom to report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conclusion {
    /// All recipients' progress.
    pub(super) progress: Vec<Progress>,
    /// Attempts made, this one included if it was one.
    pub(super) attempts: u32,
    /// The next attempt; none when nobody is waiting any more.
    pub(super) due: Option<Wall>,
    /// Lanes that are due later than that.
    pub(super) later: Vec<(Lane, Wall)>,
    /// The `delayed` report has been made, or is by this conclusion.
    pub(super) delay_reported: bool,
    /// So has the one that a sender wants when the time he has set is over.
    pub(super) deadline_reported: bool,
    /// Recipients that this attempt has ended for good, without success; with the outcome as it
    /// was, transient where time is up.
    pub(super) failed: Vec<(usize, Outcome)>,
    /// Recipients whose delay is to be reported now.
    pub(super) delayed: Vec<(usize, Outcome)>,
    /// Recipients that have the message now, of which a report may be wanted.
    pub(super) succeeded: Vec<(usize, Outcome)>,
}

impl Conclusion {
    /// How the message stood.
    pub(super) fn before(entry: &Entry) -> Self {
        Self {
            progress: entry.progress.clone(),
            attempts: entry.attempts,
            due: None,
            later: Vec::new(),
            delay_reported: entry.delay_reported,
            deadline_reported: entry.deadline_reported,
            failed: Vec::new(),
            delayed: Vec::new(),
            succeeded: Vec::new(),
        }
    }
}

/// Draws the conclusion; `jitter` is any number. `None` if nothing was done of what there is to do,
/// so that there is nothing to record.
pub(super) fn conclude(
    entry: &Entry,
    tallies: &[Tally],
    policy: &Policy,
    jitter: u32,
    now: Wall,
) -> Option<Conclusion> {
    let tried = tallies
        .iter()
        .any(|tally| matches!(tally, Tally::Tried { .. }));
    let mut conclusion = Conclusion::before(entry);
    conclusion.attempts = conclusion.attempts.saturating_add(u32::from(tried));
    // Where the clock was set back this would be yet to come, and a notice with it: no wait,
    // however long, is to outlast the time of a notice.
    let arrived = entry.arrived.min(now);
    let (policy, delay_reported) = deadline::applied(entry, policy, arrived);
    let history = History {
        arrived,
        attempts: conclusion.attempts,
        delay_reported,
    };
    let next = retry::next(&policy, &history, jitter, now);
    let waits = entry.progress.iter().any(Progress::is_waiting);
    let untouched = tallies.iter().all(|tally| *tally == Tally::Untouched);
    // A message nobody waits for leaves: given back, it would be leased again at once for ever. One
    // whose sender is to hear waits for a turn, but not for long; where he has named the time, not
    // at all.
    let pressing =
        retry::is_pressing(&policy, &history, now) || deadline::is_to_be_told(entry, now);
    if waits && untouched && !pressing {
        return None;
    }
    let mut lanes: BTreeMap<Lane, Wall> = BTreeMap::new();
    for (index, progress) in conclusion.progress.iter_mut().enumerate() {
        if !progress.is_waiting() {
            continue;
        }
        let (outcome, waits_until) = match tallies.get(index) {
            Some(Tally::Tried { outcome, .. }) => (Some(outcome.clone()), None),
            Some(Tally::Unreached { outcome, .. }) => (Some(outcome.clone()), Some(now)),
            Some(Tally::Postponed(until)) => (None, Some(*until)),
            Some(Tally::Untouched) | None => (None, Some(entry.due.min(now))),
        };
        // Time is up for those too who were not tried now: what was seen last is their end.
        let outcome = match (outcome, &*progress) {
            (None, Progress::Waiting(last)) if next == Next::Expire => {
                Some(last.clone().unwrap_or_else(never_tried))
            }
            (outcome, _) => outcome,
        };
        let mut due = waits_until;
        if let Some(outcome) = outcome {
            let (told, at) = tell(&outcome, next);
            let told = deadline::named(entry, told, now);
            match &told {
                Progress::Done(end) if end.class == OutcomeClass::Delivered => {
                    conclusion.succeeded.push((index, outcome));
                }
                // What the deadline ended says so; otherwise the last attempt's own word.
                Progress::Done(end) if end.status == deadline::PASSED => {
                    conclusion.failed.push((index, end.clone()));
                }
                Progress::Done(_) => conclusion.failed.push((index, outcome)),
                Progress::Waiting(_) => {}
            }
            due = at.map(|at| waits_until.unwrap_or(at));
            *progress = told;
        }
        // Whether the delay was reported is remembered for the message, so whoever waits now is in
        // the report, tried or not.
        if is_delay_due(next)
            && let Progress::Waiting(last) = progress
        {
            let outcome = last.clone().unwrap_or_else(never_tried);
            conclusion.delayed.push((index, outcome));
        }
        if let (Some(due), Some(recipient)) = (due, entry.envelope.recipients.get(index)) {
            let earliest = lanes.entry(Lane::of(&recipient.path)).or_insert(due);
            *earliest = due.min(*earliest);
        }
    }
    conclusion.due = lanes.values().min().copied();
    conclusion.later = lanes
        .into_iter()
        .filter(|(_, due)| Some(*due) != conclusion.due)
        .collect();
    let told = !conclusion.delayed.is_empty();
    conclusion.delay_reported |= told;
    conclusion.deadline_reported |= told && deadline::is_to_be_told(entry, now);
    Some(conclusion)
}

/// What of a message can be recorded while other recipients are still being tried: who has it, so
/// that nobody gets it twice. Whose sender wants to be told of that is left for the conclusion, which
/// makes the report with it. `None` if there is nothing.
pub(super) fn conclude_part(entry: &Entry, tallies: &[Tally]) -> Option<Vec<Progress>> {
    let by = entry.envelope.requests.deliver_by;
    let mut progress = entry.progress.clone();
    let mut delivered = false;
    let recipients = entry.envelope.recipients.iter().zip(tallies);
    for ((recipient, tally), progress) in recipients.zip(&mut progress) {
        let reported = matches!(recipient.notify, Some(Notify::On { success: true, .. }));
        if let Tally::Tried { outcome, .. } = tally
            && !by.is_some_and(|by| by.trace || leaves_the_deadline(outcome))
            && outcome.class == OutcomeClass::Delivered
            && progress.is_waiting()
            && !reported
        {
            *progress = Progress::Done(outcome.clone());
            delivered = true;
        }
    }
    delivered.then_some(progress)
}

/// True if the next hop has taken the message and keeps no deadline, of which a sender who has set
/// one is told.
const fn leaves_the_deadline(outcome: &Outcome) -> bool {
    matches!(
        outcome.onward,
        Onward::Relay {
            deadlines: false,
            ..
        }
    )
}

/// True when the `delayed` report belongs to this attempt.
const fn is_delay_due(next: Next) -> bool {
    matches!(
        next,
        Next::Retry {
            report_delay: true,
            ..
        }
    )
}

/// What is said of a recipient whose turn has not come (RFC 3463 §3.5: mail system congestion).
fn never_tried() -> Outcome {
    let text = "not tried yet: other mail for the same next hop has to go first";
    Outcome::local((4, 4, 5), None, text)
}

/// What an outcome makes of its recipient, and when that one is due again.
fn tell(outcome: &Outcome, next: Next) -> (Progress, Option<Wall>) {
    match (outcome.class, next) {
        (OutcomeClass::Transient, Next::Retry { at, .. }) => {
            (Progress::Waiting(Some(outcome.clone())), Some(at))
        }
        (OutcomeClass::Transient, Next::Expire) => {
            // Final all the same, with the last attempt's status: it tells more than "time is up"
            // (RFC 3463 §3.5, on X.4.7).
            let expired = Outcome {
                class: OutcomeClass::Permanent,
                ..outcome.clone()
            };
            (Progress::Done(expired), None)
        }
        (OutcomeClass::Delivered | OutcomeClass::Permanent, _) => {
            (Progress::Done(outcome.clone()), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use vouchsafe_proto::addr::{ForwardPath, ReversePath};
    use vouchsafe_proto::envelope::{ByMode, DeliverBy, Envelope, Origin};
    use vouchsafe_proto::queue_id::QueueId;
    use vouchsafe_proto::verify::VerdictResult;

    const ARRIVED: Wall = Wall::from_secs(1_795_256_100);

    fn entry(recipients: usize) -> Entry {
        let recipient = ForwardPath::parse_inside("b@example.org").unwrap();
        Entry {
            id: QueueId::new(ARRIVED, 1),
            envelope: Envelope::plain(
                ReversePath::Null,
                VerdictResult::Unknown,
                Origin::Ourselves,
                vec![recipient; recipients],
            ),
            arrived: ARRIVED,
            size: 1,
            progress: vec![Progress::Waiting(None); recipients],
            attempts: 0,
            due: ARRIVED,
            delay_reported: false,
            orders: vouchsafe_spool::Orders::default(),
            deadline_reported: false,
            active: true,
        }
    }

    fn policy() -> Policy {
        Policy {
            first: Duration::from_mins(5),
            longest: Duration::from_hours(1),
            delay_notice: Duration::from_hours(4),
            expire: Duration::from_hours(24),
        }
    }

    fn tried(status: (u8, u16, u16)) -> Tally {
        Tally::Tried {
            outcome: Outcome::local(status, None, "so it was"),
            next_hop: None,
        }
    }

    #[test]
    fn each_recipient_goes_its_own_way() {
        let entry = entry(4);
        let tallies = [
            tried((2, 0, 0)),
            tried((5, 1, 1)),
            tried((4, 2, 0)),
            Tally::Untouched,
        ];
        let end = conclude(&entry, &tallies, &policy(), 0, ARRIVED).unwrap();
        let failed: Vec<_> = end.failed.iter().map(|(index, _)| *index).collect();
        assert_eq!(failed, [1]);
        assert_eq!((end.attempts, end.delayed.len()), (1, 0));
        assert_eq!(end.due, Some(ARRIVED), "the untouched one is due at once");
        let waiting: Vec<_> = end.progress.iter().map(Progress::is_waiting).collect();
        assert_eq!(waiting, [false, false, true, true]);
    }

    #[test]
    fn nothing_done_is_nothing_recorded_and_postponing_is_no_attempt() {
        let entry = entry(2);
        let untouched = [Tally::Untouched, Tally::Untouched];
        assert_eq!(conclude(&entry, &untouched, &policy(), 0, ARRIVED), None);
        let later = ARRIVED.plus(Duration::from_mins(1));
        let postponed = [Tally::Postponed(later), Tally::Postponed(later)];
        let end = conclude(&entry, &postponed, &policy(), 0, ARRIVED).unwrap();
        assert_eq!((end.attempts, end.due), (0, Some(later)));
        assert_eq!(end.progress, entry.progress);
    }

    #[test]
    fn time_up_keeps_the_last_attempts_reason() {
        let entry = entry(1);
        let late = ARRIVED.plus(Duration::from_hours(25));
        let end = conclude(&entry, &[tried((4, 4, 1))], &policy(), 0, late).unwrap();
        assert_eq!((end.failed.len(), end.due), (1, None));
        assert_eq!(
            end.failed[0].1.class,
            OutcomeClass::Transient,
            "the report is to tell"
        );
        let Progress::Done(outcome) = &end.progress[0] else {
            panic!("still waiting");
        };
        assert_eq!(outcome.class, OutcomeClass::Permanent);
        assert_eq!(outcome.status.to_string(), "4.4.1");
        assert_eq!(outcome.diagnostic.text(), "so it was");
    }

    #[test]
    fn an_arrival_yet_to_come_is_taken_for_now() {
        let mut entry = entry(1);
        entry.attempts = 9;
        let policy = Policy {
            longest: Duration::from_hours(12),
            ..policy()
        };
        let early = Wall::from_secs(1_000_000_000);
        let end = conclude(&entry, &[tried((4, 4, 1))], &policy, 0, early).unwrap();
        assert_eq!(end.due, Some(early.plus(policy.delay_notice)));
    }

    #[test]
    fn a_delay_is_reported_once() {
        let mut entry = entry(2);
        let late = ARRIVED.plus(Duration::from_hours(5));
        let tallies = [tried((4, 4, 1)), tried((2, 0, 0))];
        let end = conclude(&entry, &tallies, &policy(), 0, late).unwrap();
        assert_eq!((end.delayed.len(), end.delay_reported), (1, true));
        assert_eq!(end.delayed[0].0, 0);
        entry.delay_reported = true;
        let end = conclude(&entry, &tallies, &policy(), 0, late).unwrap();
        assert!(end.delayed.is_empty() && end.delay_reported);
    }

    #[test]
    fn whoever_waits_hears_of_the_delay_tried_or_not() {
        let entry = entry(4);
        let late = ARRIVED.plus(Duration::from_hours(5));
        let soon = late.plus(Duration::from_mins(1));
        let tallies = [
            tried((4, 2, 0)),
            Tally::Postponed(soon),
            Tally::Untouched,
            tried((5, 1, 1)),
        ];
        let end = conclude(&entry, &tallies, &policy(), 0, late).unwrap();
        let told: Vec<_> = end
            .delayed
            .iter()
            .map(|(index, outcome)| (*index, outcome.status.to_string()))
            .collect();
        let told: Vec<_> = told.iter().map(|(at, what)| (*at, what.as_str())).collect();
        assert_eq!(told, [(0, "4.2.0"), (1, "4.4.5"), (2, "4.4.5")]);
        assert!(end.delay_reported);
        let postponed = [const { Tally::Untouched }; 3];
        let all: Vec<_> = [Tally::Postponed(soon)]
            .into_iter()
            .chain(postponed)
            .collect();
        let end = conclude(&entry, &all, &policy(), 0, late).unwrap();
        assert_eq!((end.delayed.len(), end.attempts), (4, 0));
    }

    fn by(entry: &mut Entry, mode: ByMode, hours: u64) {
        entry.envelope.requests.deliver_by = Some(DeliverBy {
            deadline: ARRIVED.plus(Duration::from_hours(hours)),
            mode,
            trace: false,
        });
    }

    /// Its destination is held back, so it is due at the very moment at which it is reported.
    #[test]
    fn a_deadline_is_reported_once_though_the_message_stays_due() {
        let mut entry = entry(1);
        by(&mut entry, ByMode::Notify, 6);
        let unreached = [Tally::Unreached {
            outcome: Outcome::local((4, 4, 1), None, "no answer"),
            next_hop: Some(NextHop::parse("smtp://192.0.2.1:25").unwrap()),
        }];
        let mut told = Vec::new();
        for hour in [4, 5, 6, 6, 7] {
            let now = ARRIVED.plus(Duration::from_hours(hour));
            let end = conclude(&entry, &unreached, &policy(), 0, now).unwrap();
            assert_eq!(end.due, Some(now));
            told.push(end.delayed.len());
            entry.due = now;
            entry.delay_reported = end.delay_reported;
            entry.deadline_reported = end.deadline_reported;
        }
        assert_eq!(told, [1, 0, 1, 0, 0]);
    }

    #[test]
    fn a_deadline_that_is_over_waits_for_no_turn() {
        let mut entry = entry(1);
        by(&mut entry, ByMode::Notify, 1);
        let untouched = [Tally::Untouched];
        let at = |minutes| ARRIVED.plus(Duration::from_mins(minutes));
        assert_eq!(conclude(&entry, &untouched, &policy(), 0, at(59)), None);
        let end = conclude(&entry, &untouched, &policy(), 0, at(60)).unwrap();
        assert_eq!((end.delayed.len(), end.deadline_reported), (1, true));
    }

    /// The sender is owed a word that a next hop keeps no deadlines; it comes with the conclusion.
    #[test]
    fn what_is_to_be_reported_is_not_recorded_in_part() {
        let onto = |deadlines| Tally::Tried {
            outcome: Outcome {
                onward: Onward::Relay {
                    reports: true,
                    deadlines,
                },
                ..Outcome::local((2, 0, 0), None, "taken")
            },
            next_hop: None,
        };
        let mut entry = entry(2);
        let tallies = [onto(false), onto(true)];
        let done = |entry: &Entry| {
            let progress = conclude_part(entry, &tallies).unwrap();
            let done = progress.iter().map(|progress| !progress.is_waiting());
            done.collect::<Vec<_>>()
        };
        assert_eq!(done(&entry), [true, true]);
        by(&mut entry, ByMode::Notify, 6);
        assert_eq!(done(&entry), [false, true]);
    }

    #[test]
    fn a_message_nobody_waits_for_leaves() {
        let mut entry = entry(1);
        let done = Outcome::local((2, 0, 0), None, "delivered");
        entry.progress = vec![Progress::Done(done)];
        let end = conclude(&entry, &[Tally::Untouched], &policy(), 0, ARRIVED).unwrap();
        assert_eq!((end.due, end.attempts), (None, 0));
        assert!(end.failed.is_empty() && end.delayed.is_empty());
    }
}
