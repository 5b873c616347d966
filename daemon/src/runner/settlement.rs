//! The record of an attempt: its log lines, its reports, and the settlement that makes all of it
//! durable in one step.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use vouchsafe_proto::addr::{Domain, ForwardPath};
use vouchsafe_proto::dsn::{
    self, Action, Addressee, Concerned, Kind, MAX_HEADER, MAX_RETURNED, Returned,
};
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::{Entry, Lane, Lease, Progress, Report, SettleError, Settlement, Spool};

use super::Environment;
use super::conclusion::{Conclusion, Tally};
use super::deadline;
use crate::current::InForce;
use crate::log::Peer;
use crate::metrics::figures;
use crate::{chance, clock};

/// What is to be recorded.
#[derive(Debug)]
pub(super) enum Record {
    /// An attempt's conclusion, whose reports are to be made.
    New(Conclusion),
    /// What could not be recorded before.
    Again(Kept),
}

/// A settlement that outlives a failed try.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// All recipients' progress.
    progress: Vec<Progress>,
    /// Attempts made.
    attempts: u32,
    /// The next attempt.
    due: Option<Wall>,
    /// Lanes that are due later.
    later: Vec<(Lane, Wall)>,
    /// The `delayed` report has been made.
    delay_reported: bool,
    /// That the time set by the sender is over has been reported.
    deadline_reported: bool,
    /// Reports: envelope and content.
    reports: Vec<(Envelope, Bytes)>,
}

/// How a settlement ended.
#[derive(Debug)]
pub(super) struct Settled {
    /// The message.
    pub(super) id: QueueId,
    /// The spool takes no more.
    pub(super) closed: bool,
    /// What was not recorded, to be recorded when the message is leased again: without it,
    /// recipients that have the message would get it once more.
    pub(super) unrecorded: Option<Record>,
}

impl Record {
    /// True if something may have to be told about it: that is made first, and may take a while.
    pub(super) fn tells(&self) -> bool {
        match self {
            Self::New(conclusion) => {
                !conclusion.failed.is_empty() || !conclusion.delayed.is_empty()
            }
            Self::Again(kept) => !kept.reports.is_empty(),
        }
    }
}

/// Records, all together.
pub(super) async fn settle(
    environment: Arc<Environment>,
    records: Vec<(Lease, Record)>,
) -> Vec<Settled> {
    let mut all = Vec::with_capacity(records.len());
    let mut kept = Vec::with_capacity(records.len());
    for (lease, record) in records {
        let what = match record {
            Record::Again(kept) => kept,
            Record::New(conclusion) => to_be_kept(&environment, &lease, conclusion).await,
        };
        let id = lease.entry().id;
        all.push((lease, what.settlement()));
        kept.push((id, what));
    }
    let settled = environment.spool.settle_all(all).await;
    let settled = kept.into_iter().zip(settled);
    settled
        .map(|((id, kept), result)| Settled::of(id, kept, result))
        .collect()
}

/// What is to be recorded of a conclusion, with its reports.
async fn to_be_kept(environment: &Environment, lease: &Lease, conclusion: Conclusion) -> Kept {
    let in_force = environment.current.take();
    let reports = make_reports(&*environment.spool, &in_force, lease.entry(), &conclusion).await;
    Kept {
        progress: conclusion.progress,
        attempts: conclusion.attempts,
        due: conclusion.due,
        later: conclusion.later,
        delay_reported: conclusion.delay_reported,
        deadline_reported: conclusion.deadline_reported,
        reports,
    }
}

impl Settled {
    /// What it means that a settlement ended so.
    fn of(id: QueueId, kept: Kept, result: Result<(), SettleError>) -> Self {
        let Err(error) = result else {
            return Self {
                id,
                closed: false,
                unrecorded: None,
            };
        };
        tracing::error!(
            queue_id = %id,
            error = %crate::log::chain(&error),
            "the outcome cannot be recorded"
        );
        let closed = matches!(error, SettleError::Poisoned);
        // Gone, or not as we think it is: to insist would not help.
        let void = matches!(
            error,
            SettleError::Unknown(_) | SettleError::Recipients { .. }
        );
        Self {
            id,
            closed,
            unrecorded: (!closed && !void).then_some(Record::Again(kept)),
        }
    }
}

impl Kept {
    /// As the spool wants it.
    fn settlement(&self) -> Settlement {
        let reports = self.reports.iter().map(|(envelope, content)| Report {
            envelope: envelope.clone(),
            content: content.clone(),
        });
        Settlement {
            progress: self.progress.clone(),
            attempts: self.attempts,
            due: self.due,
            later: self.later.clone(),
            delay_reported: self.delay_reported,
            deadline_reported: self.deadline_reported,
            reports: reports.collect(),
        }
    }
}

/// The reports that a conclusion asks for. Where nobody may be told there is none, only a line in
/// the log that has all of it.
async fn make_reports(
    spool: &dyn Spool,
    in_force: &InForce,
    entry: &Entry,
    conclusion: &Conclusion,
) -> Vec<(Envelope, Bytes)> {
    let requests = &entry.envelope.requests;
    let until = deadline::until(requests, entry.arrived, in_force.config.retry.expire);
    let mut reports = Vec::new();
    let mut message = None;
    for (kind, ended) in [
        (Kind::Failed, &conclusion.failed),
        (Kind::Delayed { until }, &conclusion.delayed),
        (Kind::Succeeded, &conclusion.succeeded),
    ] {
        let (hostname, operator) = (&in_force.config.hostname, &in_force.config.postmaster);
        let site = (hostname, operator.as_ref());
        let Some((to, recipients)) = concerned(entry, kind, ended, site) else {
            continue;
        };
        if message.is_none() {
            message = Some(read_message(spool, entry).await);
        }
        let request = dsn::Request {
            kind,
            hostname,
            operator: operator.as_ref(),
            envelope: &entry.envelope,
            queue_id: entry.id,
            arrived: entry.arrived,
            now: clock::now().wall,
            recipients: &recipients,
            message: match &message {
                Some((octets, true)) => Returned::Whole(octets),
                Some((octets, false)) => Returned::Beginning(octets),
                None => Returned::Beginning(&[]),
            },
            chance: [chance::number(), chance::number()],
        };
        // Built of what peers sent. Nothing is left behind by half a report.
        let report = catch_unwind(AssertUnwindSafe(|| dsn::build(&request)));
        let report = report.unwrap_or_else(|_| {
            tracing::error!(queue_id = %entry.id, "making a report broke down");
            None
        });
        match report {
            Some(report) => {
                figures()
                    .deliveries
                    .reports
                    .count([action(kind, &recipients)]);
                tracing::info!(
                    queue_id = %entry.id,
                    reverse_path = %Peer(&entry.envelope.reverse_path),
                    action = action(kind, &recipients),
                    recipients = recipients.len(),
                    "{}",
                    match to {
                        Addressee::ReversePath(_) => "report to the reverse-path",
                        Addressee::Operator(_) => "report to the operator",
                    }
                );
                reports.push((report.envelope, Bytes::from(report.content)));
            }
            None => {
                for concerned in &recipients {
                    log_unreported(entry, kind, *concerned);
                }
            }
        }
    }
    reports
}

/// The reports that the removal of a message by the operator asks for: everybody who still waited has
/// not got it.
pub(crate) async fn removal_reports(
    spool: &dyn Spool,
    in_force: &InForce,
    entry: &Entry,
) -> Vec<Report> {
    let text = "the operator of this server removed the message";
    let waiting = entry.progress.iter().enumerate();
    let waiting = waiting.filter(|(_, progress)| progress.is_waiting());
    let failed = waiting.map(|(index, _)| (index, Outcome::local((5, 3, 0), None, text)));
    let conclusion = Conclusion {
        failed: failed.collect(),
        ..Conclusion::before(entry)
    };
    let reports = make_reports(spool, in_force, entry, &conclusion).await;
    let reports = reports.into_iter();
    let reports = reports.map(|(envelope, content)| Report { envelope, content });
    reports.collect()
}

/// Who is in a report, and to whom it goes; `None` if nobody is. Those of whom nobody is told are in
/// the log.
pub(super) fn concerned<'a>(
    entry: &'a Entry,
    kind: Kind,
    ended: &'a [(usize, Outcome)],
    (hostname, operator): (&Domain, Option<&ForwardPath>),
) -> Option<(Addressee, Vec<Concerned<'a>>)> {
    let mut to = None;
    let mut all = Vec::new();
    for (index, outcome) in ended {
        let Some(recipient) = entry.envelope.recipients.get(*index) else {
            continue;
        };
        let each = Concerned { recipient, outcome };
        match Addressee::of(kind, &entry.envelope, each, hostname, operator) {
            Some(addressee) => {
                to = Some(addressee);
                all.push(each);
            }
            None => log_unreported(entry, kind, each),
        }
    }
    to.map(|to| (to, all))
}

/// The first octets of the message, enough for its header; or all of it, and then true, where the
/// sender wants it back and it is small enough. One that cannot be read is reported on without.
async fn read_message(spool: &dyn Spool, entry: &Entry) -> (Vec<u8>, bool) {
    let id = entry.id;
    let bound = u64::try_from(MAX_RETURNED).unwrap_or(u64::MAX);
    let wants_all = entry.envelope.requests.returns_all() && entry.size <= bound;
    let mut beginning = Vec::new();
    let mut whole = false;
    let read = async {
        let mut content = spool.content(id).await?;
        while wants_all || beginning.len() < MAX_HEADER {
            let Some(piece) = content.next().await? else {
                whole = true;
                break;
            };
            beginning.extend_from_slice(&piece);
            if !wants_all && beginning.windows(4).any(|octets| octets == b"\r\n\r\n") {
                break;
            }
        }
        Ok::<_, vouchsafe_spool::ContentError>(())
    };
    if let Err(error) = read.await {
        tracing::error!(
            queue_id = %id,
            error = %crate::log::chain(&error),
            "content cannot be read for a report"
        );
    }
    (beginning, whole)
}

/// What nobody is told, the log is: all that is known. A success that nobody asked about is none
/// of that.
fn log_unreported(entry: &Entry, kind: Kind, concerned: Concerned<'_>) {
    if kind == Kind::Succeeded {
        return;
    }
    let Concerned { recipient, outcome } = concerned;
    tracing::warn!(
        queue_id = %entry.id,
        reverse_path = %Peer(&entry.envelope.reverse_path),
        verdict = %entry.envelope.verdict,
        origin = %entry.envelope.origin.describe(),
        arrived = %entry.arrived,
        size = entry.size,
        recipient = %Peer(recipient),
        action = Action::of(kind, outcome).as_str(),
        status = %outcome.status,
        diagnostic = %Peer(outcome.diagnostic.text()),
        "nobody to report to"
    );
}

/// What a report is counted and logged as: what it says of the first.
fn action(kind: Kind, recipients: &[Concerned<'_>]) -> &'static str {
    let first = recipients.first();
    first.map_or("-", |first| Action::of(kind, first.outcome).as_str())
}

/// One line for each recipient that was tried.
pub(super) fn log_attempt(entry: &Entry, tallies: &[Tally], conclusion: &Conclusion, now: Wall) {
    let recipients = entry.envelope.recipients.iter().zip(&conclusion.progress);
    for ((recipient, progress), tally) in recipients.zip(tallies) {
        let (outcome, next_hop) = match tally {
            Tally::Tried { outcome, next_hop } | Tally::Unreached { outcome, next_hop } => {
                (outcome, next_hop.as_ref())
            }
            Tally::Untouched | Tally::Postponed(_) => continue,
        };
        let remote = outcome.remote.as_ref();
        let end = match progress {
            Progress::Waiting(_) => "deferred",
            Progress::Done(end) => match end.class {
                vouchsafe_proto::outcome::OutcomeClass::Delivered => "delivered",
                _ if end.class != outcome.class => "expired",
                _ => "failed",
            },
        };
        figures().deliveries.ended.count([end]);
        let delay = now.since(entry.arrived);
        if end == "delivered" {
            figures().deliveries.delay.observe(delay.as_secs_f64());
        }
        let due = conclusion.due.filter(|_| progress.is_waiting());
        tracing::info!(
            queue_id = %entry.id,
            reverse_path = %Peer(&entry.envelope.reverse_path),
            recipient = %Peer(recipient),
            next_hop = %OrNone(next_hop),
            remote = %Peer(remote.map_or("-", |remote| remote.name.as_str())),
            address = %OrNone(remote.and_then(|remote| remote.address)),
            outcome = end,
            status = %outcome.status,
            diagnostic = %Peer(outcome.diagnostic.text()),
            attempts = conclusion.attempts,
            delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            due = %OrNone(due),
            "delivery"
        );
    }
}

/// What there is, or a dash.
struct OrNone<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for OrNone<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(shown) => shown.fmt(f),
            None => f.write_str("-"),
        }
    }
}
