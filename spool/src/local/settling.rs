//! Settlements: encoded, with their reports brought to where only the committer's barrier is missing,
//! then handed to it. What an operator says of a message is one of them.

use std::sync::Arc;

use tokio::sync::oneshot;
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::queue_id::QueueId;

use super::committer::{Failure, New, Operation, Told};
use super::draft::LocalDraft;
use super::record::ProgressRecord;
use super::threads::lock;
use super::{Shared, id};
use crate::{Amendment, Draft, Lease, Orders, Report, SettleError, Settlement};

/// Where the committer's answer will be.
type Answer = oneshot::Receiver<Result<(), Failure>>;

impl Shared {
    /// Ends a lease by an operator's word: a settlement that changes nothing else.
    pub(super) async fn amend(
        self: Arc<Self>,
        lease: Lease,
        amendment: Amendment,
    ) -> Result<(), SettleError> {
        let entry = lease.entry();
        let mut orders = entry.orders.clone();
        let mut settlement = Settlement {
            progress: entry.progress.clone(),
            attempts: entry.attempts,
            due: Some(entry.due),
            later: Vec::new(),
            delay_reported: entry.delay_reported,
            deadline_reported: entry.deadline_reported,
            reports: Vec::new(),
        };
        match amendment {
            Amendment::Hold => orders.held = true,
            Amendment::Release => orders.held = false,
            Amendment::Retry(due) => settlement.due = Some(due),
            Amendment::Reroute { next_hop, due } => {
                orders.next_hop = next_hop;
                settlement.due = Some(due);
            }
            Amendment::Remove(reports) => {
                settlement.due = None;
                settlement.reports = reports;
            }
        }
        self.settle(lease, settlement, orders).await
    }

    /// Prepares a settlement, hands it to the committer and waits for its answer.
    pub(super) async fn settle(
        self: Arc<Self>,
        lease: Lease,
        settlement: Settlement,
        orders: Orders,
    ) -> Result<(), SettleError> {
        let (operation, answer) = self.settlement(lease, settlement, orders).await?;
        self.queue.push(operation);
        Ok(answer.await.unwrap_or(Err(Failure::Poisoned))?)
    }

    /// The same for several, which are handed over together.
    pub(super) async fn settle_all(
        self: Arc<Self>,
        all: Vec<(Lease, Settlement)>,
    ) -> Vec<Result<(), SettleError>> {
        let mut operations = Vec::with_capacity(all.len());
        let mut answers = Vec::with_capacity(all.len());
        for (lease, settlement) in all {
            let orders = lease.entry().orders.clone();
            let prepared = self.settlement(lease, settlement, orders).await;
            answers.push(prepared.map(|(operation, answer)| {
                operations.push(operation);
                answer
            }));
        }
        self.queue.push_all(operations);
        let mut settled = Vec::with_capacity(answers.len());
        for answer in answers {
            settled.push(match answer {
                Ok(answer) => {
                    let answer = answer.await.unwrap_or(Err(Failure::Poisoned));
                    answer.map_err(SettleError::from)
                }
                Err(error) => Err(error),
            });
        }
        settled
    }

    /// Prepares a settlement; with it comes where the committer's answer will be. A lease of which
    /// nothing can be recorded ends here.
    async fn settlement(
        self: &Arc<Self>,
        lease: Lease,
        settlement: Settlement,
        orders: Orders,
    ) -> Result<(Operation, Answer), SettleError> {
        let id = lease.entry().id;
        if !lock(&self.due).is_leased(id) {
            return Err(SettleError::Unknown(id));
        }
        let envelope = &lease.entry().envelope;
        match self.prepare(id, envelope, settlement, orders).await {
            Ok((progress, reports)) => {
                let (reply, answer) = oneshot::channel();
                let operation = Operation::Settle {
                    lease: Box::new(lease),
                    state: self.next_state(),
                    progress,
                    reports,
                    reply,
                };
                Ok((operation, answer))
            }
            Err(error) => {
                lease.end();
                self.postpone(id);
                Err(error)
            }
        }
    }

    /// Prepares what is to be remembered of a leased message, hands it to the committer and waits
    /// for its answer.
    pub(super) async fn record(
        self: Arc<Self>,
        id: QueueId,
        (envelope, orders): (Envelope, Orders),
        settlement: Settlement,
    ) -> Result<(), SettleError> {
        if settlement.due.is_none() || !lock(&self.due).is_leased(id) {
            return Err(SettleError::Unknown(id));
        }
        let (progress, reports) = self.prepare(id, &envelope, settlement, orders).await?;
        let Some(progress) = progress else {
            return Ok(());
        };
        let (reply, answer) = oneshot::channel();
        self.queue.push(Operation::Record {
            id,
            state: self.next_state(),
            progress,
            reports,
            reply,
        });
        Ok(answer.await.unwrap_or(Err(Failure::Poisoned))?)
    }

    /// Encodes a settlement, and brings its reports to where only the committer's barrier is
    /// missing.
    async fn prepare(
        self: &Arc<Self>,
        id: QueueId,
        envelope: &Envelope,
        settlement: Settlement,
        orders: Orders,
    ) -> Result<(Option<Told>, Vec<New>), SettleError> {
        let (found, wanted) = (settlement.progress.len(), envelope.recipients.len());
        if found != wanted {
            return Err(SettleError::Recipients { id, found, wanted });
        }
        let record = settlement.due.map(|due| ProgressRecord {
            progress: settlement.progress,
            attempts: settlement.attempts,
            due,
            delay_reported: settlement.delay_reported,
            deadline_reported: settlement.deadline_reported,
            orders,
        });
        let told = |record: ProgressRecord| {
            let kept = record.waits(envelope);
            Ok(Told {
                record: record.encode(id)?,
                waits: kept.clone().with(&settlement.later),
                kept,
            })
        };
        let progress = record
            .map(told)
            .transpose()
            .map_err(|error: serde_json::Error| SettleError::Write(error.into()))?;
        let mut reports = Vec::with_capacity(settlement.reports.len());
        for report in settlement.reports {
            reports.push(Arc::clone(self).prepare_report(report).await?);
        }
        Ok((progress, reports))
    }

    /// Brings a report to the point where only the committer's barrier is missing.
    async fn prepare_report(self: Arc<Self>, report: Report) -> Result<New, SettleError> {
        if report.envelope.recipients.is_empty() {
            return Err(SettleError::NoRecipients);
        }
        let now = lock(&self.due).now();
        let id = id::draw(now).map_err(SettleError::Random)?;
        let mut draft = LocalDraft::new(self, id, now);
        draft
            .append(report.content)
            .await
            .map_err(|error| match error {
                crate::AppendError::Poisoned => SettleError::Poisoned,
                crate::AppendError::NoSpace => SettleError::NoSpace,
                crate::AppendError::Write(error) => SettleError::Write(error),
            })?;
        Ok(draft.prepare(report.envelope, now)?)
    }
}
