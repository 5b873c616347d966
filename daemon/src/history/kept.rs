//! The queue with a memory: each change of custody is noted once it is durable.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use vouchsafe_proto::custody::Custody;
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::{
    Amendment, AppendError, Ask, BeginError, ClaimError, CommitError, Content, ContentError, Draft,
    Entry, Lane, LaneEntry, Lease, LeaseError, Leased, ListError, Pending, Progress, ReadBackError,
    SettleError, Settlement, Spool, ledger,
};

use super::event::{Lines, Note};
use super::writer::Notebook;
use crate::clock;

/// The queue, and where its changes are noted.
pub struct Kept {
    queue: Arc<dyn Spool>,
    notebook: Notebook,
    /// What was recorded of messages whose lease goes on, so that it is noted once.
    recorded: Arc<Mutex<HashMap<QueueId, Vec<Progress>>>>,
}

impl Kept {
    /// Around a queue.
    pub fn new(queue: Arc<dyn Spool>, notebook: Notebook) -> Self {
        Self {
            queue,
            notebook,
            recorded: Arc::default(),
        }
    }

    /// A draft whose end is noted.
    fn noted_draft(&self, draft: Box<dyn Draft>) -> Box<dyn Draft> {
        Box::new(KeptDraft {
            draft,
            size: 0,
            notebook: self.notebook.clone(),
        })
    }

    /// What was recorded of a message since it was leased, if anything was.
    fn noted(&self, id: QueueId) -> Option<Vec<Progress>> {
        // Whoever panicked with the lock has left one record or the other.
        let recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.get(&id).cloned()
    }

    /// Its lease is over.
    fn forget(&self, id: QueueId) {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.remove(&id);
    }
}

impl Spool for Kept {
    fn begin(&self, now: Wall) -> Pending<'_, Result<Box<dyn Draft>, BeginError>> {
        Box::pin(async move { Ok(self.noted_draft(self.queue.begin(now).await?)) })
    }

    fn begin_as(&self, id: QueueId, now: Wall) -> Pending<'_, Result<Box<dyn Draft>, BeginError>> {
        Box::pin(async move { Ok(self.noted_draft(self.queue.begin_as(id, now).await?)) })
    }

    fn lease(&self, now: Wall, ask: Ask) -> Pending<'_, Result<Leased, LeaseError>> {
        self.queue.lease(now, ask)
    }

    fn claim(&self, id: QueueId) -> Pending<'_, Result<Lease, ClaimError>> {
        self.queue.claim(id)
    }

    fn amend(&self, lease: Lease, amendment: Amendment) -> Pending<'_, Result<(), SettleError>> {
        let id = lease.entry().id;
        let notes = Lines::amended(lease.entry(), &amendment, clock::now().wall);
        Box::pin(async move {
            self.queue.amend(lease, amendment).await?;
            self.notebook.note(id, &notes);
            Ok(())
        })
    }

    fn limit(&self, lane: &Lane, leases: Option<usize>) {
        self.queue.limit(lane, leases);
    }

    fn arrived(&self) -> Pending<'_, ()> {
        self.queue.arrived()
    }

    fn content(&self, id: QueueId) -> Pending<'_, Result<Box<dyn Content>, ContentError>> {
        self.queue.content(id)
    }

    fn settle(&self, lease: Lease, settlement: Settlement) -> Pending<'_, Result<(), SettleError>> {
        let (entry, id) = (lease.entry(), lease.entry().id);
        let earlier = self.noted(id);
        let before = earlier.as_deref().unwrap_or(&entry.progress);
        let notes = Lines::settled(entry, before, &settlement, clock::now().wall);
        Box::pin(async move {
            self.queue.settle(lease, settlement).await?;
            self.forget(id);
            self.notebook.note(id, &notes);
            Ok(())
        })
    }

    fn settle_all(
        &self,
        all: Vec<(Lease, Settlement)>,
    ) -> Pending<'_, Vec<Result<(), SettleError>>> {
        let now = clock::now().wall;
        let notes = all.iter().map(|(lease, settlement)| {
            let (entry, id) = (lease.entry(), lease.entry().id);
            let earlier = self.noted(id);
            let before = earlier.as_deref().unwrap_or(&entry.progress);
            (id, Lines::settled(entry, before, settlement, now))
        });
        let notes: Vec<_> = notes.collect();
        Box::pin(async move {
            let settled = self.queue.settle_all(all).await;
            for ((id, notes), settled) in notes.iter().zip(&settled) {
                if settled.is_ok() {
                    self.forget(*id);
                    self.notebook.note(*id, notes);
                }
            }
            settled
        })
    }

    fn record(
        &self,
        lease: &Lease,
        settlement: Settlement,
    ) -> Pending<'static, Result<(), SettleError>> {
        let (entry, id) = (lease.entry(), lease.entry().id);
        let earlier = self.noted(id);
        let before = earlier.as_deref().unwrap_or(&entry.progress);
        let notes = Lines::recorded(entry, before, &settlement, clock::now().wall);
        let progress = settlement.progress.clone();
        let recording = self.queue.record(lease, settlement);
        let (notebook, recorded) = (self.notebook.clone(), Arc::clone(&self.recorded));
        Box::pin(async move {
            recording.await?;
            let mut recorded = recorded.lock().unwrap_or_else(PoisonError::into_inner);
            recorded.insert(id, progress);
            drop(recorded);
            notebook.note(id, &notes);
            Ok(())
        })
    }

    fn list(
        &self,
        after: Option<QueueId>,
        limit: usize,
    ) -> Pending<'_, Result<Vec<Entry>, ListError>> {
        self.queue.list(after, limit)
    }

    fn list_lane(
        &self,
        lane: &Lane,
        after: Option<QueueId>,
        limit: usize,
    ) -> Pending<'_, Result<Vec<Entry>, ListError>> {
        self.queue.list_lane(lane, after, limit)
    }

    fn lanes(&self) -> Vec<LaneEntry> {
        self.queue.lanes()
    }

    fn show(&self, id: QueueId) -> Pending<'_, Result<Option<Entry>, ListError>> {
        self.queue.show(id)
    }

    fn vouch(
        &self,
        now: Wall,
        entries: Vec<ledger::Entry>,
    ) -> Pending<'_, Result<(), CommitError>> {
        self.queue.vouch(now, entries)
    }

    fn miss(&self, now: Wall, missed: ledger::Missed) -> Pending<'_, Result<(), CommitError>> {
        self.queue.miss(now, missed)
    }

    fn is_sound(&self) -> bool {
        self.queue.is_sound()
    }
}

/// A message being received, of which its custody will be noted.
struct KeptDraft {
    draft: Box<dyn Draft>,
    size: u64,
    notebook: Notebook,
}

impl Draft for KeptDraft {
    fn id(&self) -> QueueId {
        self.draft.id()
    }

    fn append(&mut self, piece: Bytes) -> Pending<'_, Result<(), AppendError>> {
        let len = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.size = self.size.saturating_add(len);
        self.draft.append(piece)
    }

    fn read_back(&mut self, at_most: usize) -> Pending<'_, Result<Option<Bytes>, ReadBackError>> {
        self.draft.read_back(at_most)
    }

    fn piece(&mut self, number: usize) -> Pending<'_, Result<Option<Bytes>, ReadBackError>> {
        self.draft.piece(number)
    }

    fn vouch(&mut self, entries: Vec<ledger::Entry>) {
        self.draft.vouch(entries);
    }

    fn commit(
        self: Box<Self>,
        envelope: Envelope,
        due: Wall,
    ) -> Pending<'static, Result<Custody, CommitError>> {
        let Self {
            draft,
            size,
            notebook,
        } = *self;
        let id = draft.id();
        let mut notes = Lines::default();
        notes.push(&Note::accepted(id, id.arrived(), &envelope, size));
        Box::pin(async move {
            let custody = draft.commit(envelope, due).await?;
            notebook.note(id, &notes);
            Ok(custody)
        })
    }
}
