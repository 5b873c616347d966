//! What is recorded: conclusions and reports, durable a little later, heard of later still; and now
//! and then not at all.

use std::time::Duration;

use vouchsafe_proto::dsn::{self, Addressee, Kind};
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::outcome::OutcomeClass;
use vouchsafe_spool::{Entry, Waits};

use super::fate::End;
use super::world::{Event, News, World, waits};
use crate::runner::conclusion::{Conclusion, conclude, conclude_part};
use crate::runner::deadline;
use crate::runner::schedule::*;
use crate::runner::settlement::concerned;

/// What is being recorded of one message.
#[derive(Clone, Debug)]
pub(super) struct Recording {
    id: QueueId,
    /// The message's state with it, and how it waits; `None` if it leaves.
    after: Option<(Entry, Waits)>,
    /// What became of each recipient.
    progress: Vec<Progress>,
    /// Recipients that the time has run out for.
    expired: Vec<usize>,
    reports: Vec<Told>,
    /// A part of a message: nobody's lease ends with it.
    pub(super) part: bool,
    /// It could not be made durable.
    failed: bool,
}

/// A report.
#[derive(Clone, Debug)]
struct Told {
    envelope: Envelope,
    /// Failed, delayed, succeeded.
    what: usize,
    operator: bool,
    about: Vec<usize>,
}

impl World {
    /// What of a message is known is recorded while the rest is tried.
    pub(super) fn record_part(&mut self, id: QueueId) {
        let (lease, tallies) = self.schedule.part(id).unwrap();
        let Some(progress) = conclude_part(lease.entry(), tallies) else {
            let heard = self.now + self.a_while();
            return self.at(heard, Event::News(News::Recorded(id)));
        };
        let entry = Entry {
            progress: progress.clone(),
            ..lease.entry().clone()
        };
        let waits = waits(&entry);
        self.record(Recording {
            id,
            after: Some((entry, waits)),
            progress,
            expired: Vec::new(),
            reports: Vec::new(),
            part: true,
            failed: false,
        });
    }

    /// A message's attempt is over.
    pub(super) fn finish(&mut self, lease: &Lease, tallies: &[Tally], given: &Given<'_>) {
        let entry = lease.entry();
        let (retry, wall) = (&given.terms.retry, given.now.wall);
        let Some(end) = conclude(entry, tallies, retry, given.chance, wall) else {
            self.rung |= self.index.release(entry.id, None);
            return;
        };
        let reports = self.reports(entry, &end, given);
        let after = end.due.map(|due| {
            let after = Entry {
                progress: end.progress.clone(),
                attempts: end.attempts,
                due,
                delay_reported: end.delay_reported,
                deadline_reported: end.deadline_reported,
                ..entry.clone()
            };
            let waits = waits(&after).with(&end.later);
            (after, waits)
        });
        let expired = end.failed.iter();
        let expired = expired.filter(|(_, outcome)| {
            outcome.class == OutcomeClass::Transient || outcome.status == deadline::PASSED
        });
        let expired: Vec<_> = expired.map(|(index, _)| *index).collect();
        let until = deadline::until(&entry.envelope.requests, entry.arrived, retry.expire);
        assert!(expired.is_empty() || wall >= until);
        self.record(Recording {
            id: entry.id,
            after,
            progress: end.progress,
            expired,
            reports,
            part: false,
            failed: false,
        });
    }

    fn reports(&self, entry: &Entry, end: &Conclusion, given: &Given<'_>) -> Vec<Told> {
        let retry = &given.terms.retry;
        let until = deadline::until(&entry.envelope.requests, entry.arrived, retry.expire);
        let site = (&self.hostname, Some(&self.operator));
        let mut reports = Vec::new();
        for (what, kind, ended) in [
            (0, Kind::Failed, &end.failed),
            (1, Kind::Delayed { until }, &end.delayed),
            (2, Kind::Succeeded, &end.succeeded),
        ] {
            let Some((to, recipients)) = concerned(entry, kind, ended, site) else {
                continue;
            };
            let request = dsn::Request {
                kind,
                hostname: &self.hostname,
                operator: Some(&self.operator),
                envelope: &entry.envelope,
                queue_id: entry.id,
                arrived: entry.arrived,
                now: given.now.wall,
                recipients: &recipients,
                message: dsn::Returned::Beginning(b"Subject: x\r\n\r\n"),
                chance: [1, 2],
            };
            let report = dsn::build(&request).unwrap();
            let all = entry.envelope.recipients.iter();
            let about = all.enumerate().filter(|(_, recipient)| {
                let mut recipients = recipients.iter();
                recipients.any(|concerned| std::ptr::eq(concerned.recipient, *recipient))
            });
            reports.push(Told {
                envelope: report.envelope,
                what,
                operator: matches!(to, Addressee::Operator(_)),
                about: about.map(|(index, _)| index).collect(),
            });
        }
        reports
    }

    /// Begins to make it durable.
    pub(super) fn record(&mut self, recording: Recording) {
        if !recording.part {
            self.settling.insert(recording.id);
        }
        self.drawn += 1;
        let ticket = self.drawn;
        self.recordings.insert(ticket, recording);
        let durable = self.now + self.a_while();
        self.at(durable, Event::Durable(ticket));
    }

    /// It is durable, or the disk was full.
    pub(super) fn durable(&mut self, ticket: u64) {
        let Some(mut recording) = self.recordings.remove(&ticket) else {
            return;
        };
        self.counts.records += 1;
        let (id, part) = (recording.id, recording.part);
        if self.one_in(400) {
            recording.failed = true;
            if !part {
                let until = self.index.now().plus(PAUSE);
                self.rung |= self.index.put_apart(id, until);
            }
        } else {
            self.note(&recording);
            if let Some((entry, waits)) = recording.after.clone() {
                self.store.insert(id, entry);
                if !part {
                    self.rung |= self.index.release(id, Some(waits));
                }
            } else {
                self.store.remove(&id);
                self.rung |= self.index.remove(id);
            }
            for told in std::mem::take(&mut recording.reports) {
                self.take(told.envelope);
            }
        }
        let heard = self.now + self.a_while();
        let news = if part {
            self.recordings.remove(&ticket);
            News::Recorded(id)
        } else {
            self.recordings.insert(ticket, recording);
            News::Settled(ticket)
        };
        self.at(heard, Event::News(news));
    }

    /// What has become true by it.
    fn note(&mut self, recording: &Recording) {
        let now = self.moment();
        let before = &self.store[&recording.id].progress;
        let letter = self.letters.get_mut(&recording.id).unwrap();
        let all = before.iter().zip(&recording.progress).enumerate();
        for (index, (before, after)) in all {
            let (true, Progress::Done(outcome)) = (before.is_waiting(), after) else {
                continue;
            };
            let end = match outcome.class {
                OutcomeClass::Delivered => End::Delivered,
                _ if recording.expired.contains(&index) => End::Expired,
                _ => End::Failed,
            };
            letter.fates[index].ends.push((end, now));
        }
        for told in &recording.reports {
            for index in &told.about {
                let fate = &mut letter.fates[*index];
                if told.operator {
                    fate.operator += 1;
                    assert_eq!(told.what, 0, "the operator hears of failures only");
                    continue;
                }
                fate.told[told.what] += 1;
                if told.what == 1 {
                    fate.delays.push(now);
                    let early = fate.ends.iter().any(|(_, ended)| *ended != now);
                    assert!(!early, "a delay of what is over: {fate:?}");
                }
            }
        }
    }

    /// The dispatcher hears how a settlement ended.
    pub(super) fn settled(&mut self, ticket: u64) {
        let Some(recording) = self.recordings.remove(&ticket) else {
            return;
        };
        let id = recording.id;
        self.settling.remove(&id);
        if recording.failed {
            self.counts.unrecorded += 1;
            let again = Recording {
                failed: false,
                ..recording
            };
            self.unrecorded.insert(id, again);
        }
        if let Some(lease) = self.early.remove(&id) {
            self.admit(lease);
        }
    }
}

/// How long a message stands apart whose settlement could not be recorded.
const PAUSE: Duration = Duration::from_mins(1);
