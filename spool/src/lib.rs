//! What Vouchsafe remembers: the durable queue.
//!
//! The [`Spool`] contract is asynchronous, batch-friendly and names no files, because a second
//! engine (replicated streams) will stand beside the local one. It promises:
//!
//! 1. [`Draft::commit`] gives [`Custody`] only after content and envelope have passed a barrier;
//!    whatever happens to the process after that, the message is found again.
//! 2. A draft that is dropped leaves nothing behind (at the latest after the next start).
//! 3. A lease is exclusive. It ends by [`Spool::settle`]; dropped without that, its message goes
//!    back to the queue, due when it was; and it ends with the process that holds it.
//! 4. What one [`Spool::settle`] or [`Spool::record`] says (outcomes, next due time, reports)
//!    becomes durable as one.
//! 5. Leases are taken from all lanes ([`Lane`]) in turn, so that no number of messages in one
//!    keeps another waiting; and a message whose sender is to hear is leased even where its lane
//!    is held back.
//! 6. What [`Spool::amend`] says of a message is durable when it has ended, and holds until the next
//!    such word, across settlements and restarts.
//! 7. What a message vouches for ([`Draft::vouch`]) is in the ledger, durably, before it is in custody; so it is before
//!    anything of the message can leave.
//! 8. After a failed barrier every operation that would write fails with `Poisoned` until restart.
//!
//! It does not promise that a message is delivered only once: a crash between the next hop's 250
//! and the settlement that records it means one more attempt.

mod error;
mod frozen;
pub mod fs;
mod keys;
mod lane;
pub mod ledger;
pub mod local;
mod orders;
mod outcomes;
mod policies;
mod recipients;
mod whole;

pub use error::{
    AppendError, BeginError, ClaimError, CommitError, ContentError, LeaseError, ListError,
    ReadBackError, SettleError,
};
pub use frozen::Frozen;
pub use keys::{KEY, asking_key, hop_key, kept_asking_key};
pub use lane::{Ask, Lane, LaneEntry, Waits};
pub use local::{Corruption, Finding, Index, LocalSpool, OfflineSpool, OpenError, Options, Taken};
pub use orders::{Amendment, Orders};
pub use outcomes::{
    Ending, KEPT_FOR, OutcomeCaps, OutcomeKey, Outcomes, RememberError, Remembered,
};
pub use policies::Policies;
pub use recipients::Recipients;

use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;

use bytes::Bytes;
use vouchsafe_proto::custody::Custody;
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;

/// What an operation will give; boxed so that an engine is chosen at run time.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The durable queue of one site.
pub trait Spool: Send + Sync {
    /// Begins a message that arrives at `now`.
    fn begin(&self, now: Wall) -> Pending<'_, Result<Box<dyn Draft>, BeginError>>;

    /// The same for a message that has a name already, which was drawn for it alone.
    fn begin_as(&self, id: QueueId, now: Wall) -> Pending<'_, Result<Box<dyn Draft>, BeginError>>;

    /// Leases messages that are due at `now`: from all lanes in turn, in each the longest due
    /// first; and before them those that are overdue. The time given here, to [`Spool::begin`] and to
    /// [`Spool::vouch`] is all an engine knows of it.
    fn lease(&self, now: Wall, ask: Ask) -> Pending<'_, Result<Leased, LeaseError>>;

    /// Leases one message, whatever it waits for and whether or not it is held: for an operator, who
    /// then says what becomes of it ([`Spool::amend`]).
    fn claim(&self, id: QueueId) -> Pending<'_, Result<Lease, ClaimError>>;

    /// Ends a lease by an operator's word, durably: what became of the message so far stays as it
    /// was.
    fn amend(&self, lease: Lease, amendment: Amendment) -> Pending<'_, Result<(), SettleError>>;

    /// At most so many messages of a lane are leased at the same time from now on; 0 holds it back.
    /// `None` forgets what was said, and [`Ask::per_lane`] holds. It ends with the process.
    fn limit(&self, lane: &Lane, leases: Option<usize>);

    /// Resolves when something may have become due, or overdue, earlier than the last [`Leased`]
    /// said.
    fn arrived(&self) -> Pending<'_, ()>;

    /// Opens the content of a message in custody, from the first octet of its trace fields.
    fn content(&self, id: QueueId) -> Pending<'_, Result<Box<dyn Content>, ContentError>>;

    /// Ends a lease: records what became of the message, and takes the reports about it into
    /// custody, all in one step. What an operator has said of it stays.
    fn settle(&self, lease: Lease, settlement: Settlement) -> Pending<'_, Result<(), SettleError>>;

    /// Ends several leases, each as [`Spool::settle`] does, and together where the engine can: what is
    /// durable costs the less the more of it there is. Gives what became of each, in order.
    fn settle_all(
        &self,
        all: Vec<(Lease, Settlement)>,
    ) -> Pending<'_, Vec<Result<(), SettleError>>> {
        Box::pin(async move {
            let mut settled = Vec::with_capacity(all.len());
            for (lease, settlement) in all {
                settled.push(self.settle(lease, settlement).await);
            }
            settled
        })
    }

    /// Records what has become of a leased message so far, and takes the reports about it into
    /// custody, all in one step; the lease goes on. Its end must be waited for before the lease is
    /// settled. [`Lease::entry`] stays as it was.
    fn record(
        &self,
        lease: &Lease,
        settlement: Settlement,
    ) -> Pending<'static, Result<(), SettleError>>;

    /// Up to `limit` messages behind `after`, by arrival.
    fn list(
        &self,
        after: Option<QueueId>,
        limit: usize,
    ) -> Pending<'_, Result<Vec<Entry>, ListError>>;

    /// Up to `limit` messages of one lane behind `after`, by arrival, leased and held ones included. No
    /// other lane's records are read.
    fn list_lane(
        &self,
        lane: &Lane,
        after: Option<QueueId>,
        limit: usize,
    ) -> Pending<'_, Result<Vec<Entry>, ListError>>;

    /// All lanes there are, in no order.
    fn lanes(&self) -> Vec<LaneEntry>;

    /// One message.
    fn show(&self, id: QueueId) -> Pending<'_, Result<Option<Entry>, ListError>>;

    /// Enters these digests into the ledger, durably: of a message that is about to leave without having been in
    /// custody here. For others there is [`Draft::vouch`].
    fn vouch(&self, now: Wall, entries: Vec<ledger::Entry>)
    -> Pending<'_, Result<(), CommitError>>;

    /// A message is about to leave that should be in the ledger, and of which not all can be entered.
    fn miss(&self, now: Wall, missed: ledger::Missed) -> Pending<'_, Result<(), CommitError>>;

    /// False once a barrier has failed.
    fn is_sound(&self) -> bool;
}

/// A message being received.
pub trait Draft: Send {
    /// The name it will have.
    fn id(&self) -> QueueId;

    /// Adds content. Waits while the disk is behind. After an error, or if it is not waited for to
    /// the end, the draft cannot be committed any more.
    fn append(&mut self, piece: Bytes) -> Pending<'_, Result<(), AppendError>>;

    /// What was appended so far, if it is no more than `at_most` octets; else `None`. Nothing of the
    /// draft changes by it, not even by a failure.
    fn read_back(&mut self, at_most: usize) -> Pending<'_, Result<Option<Bytes>, ReadBackError>>;

    /// What was appended so far, a piece of at most 64 KiB at a time, the first numbered 0; `None` behind
    /// the last. Nothing of the draft changes by it, not even by a failure.
    fn piece(&mut self, number: usize) -> Pending<'_, Result<Option<Bytes>, ReadBackError>>;

    /// What the ledger is to say of the message, when it is asked: durable there before [`Draft::commit`] gives custody,
    /// whatever becomes of the message.
    fn vouch(&mut self, entries: Vec<ledger::Entry>);

    /// Makes it durable. `due` is the first attempt's time. If it is not waited for to the end, the
    /// message may be taken or not.
    fn commit(
        self: Box<Self>,
        envelope: Envelope,
        due: Wall,
    ) -> Pending<'static, Result<Custody, CommitError>>;
}

/// The content of a message in custody, behind the trace fields of its envelope.
pub trait Content: Send {
    /// The next piece, of at most 64 KiB; `None` at the end, after an error too. The trace fields
    /// come first. The checksum is known only at the end: who passes content on must not complete it before the `None`.
    fn next(&mut self) -> Pending<'_, Result<Option<Bytes>, ContentError>>;
}

/// A message in custody, and what has become of it so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: QueueId,
    /// Its envelope.
    pub envelope: Envelope,
    /// When we took it.
    pub arrived: Wall,
    /// Octets of the trace fields and the content.
    pub size: u64,
    /// What became of each of the envelope's recipients, in their order.
    pub progress: Vec<Progress>,
    /// Attempts made.
    pub attempts: u32,
    /// When the next is due.
    pub due: Wall,
    /// The `delayed` report has been made.
    pub delay_reported: bool,
    /// What an operator has said of it.
    pub orders: Orders,
    /// The one that the sender wants when the time he has set is over has been made (BY with `N`).
    pub deadline_reported: bool,
    /// Leased at this moment; always false offline.
    pub active: bool,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not done: never tried, or the last attempt ended in something transient.
    Waiting(Option<Outcome>),
    /// Done: delivered, or failed for good.
    Done(Outcome),
}

impl Progress {
    /// True until the recipient is done with.
    pub const fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }
}

/// The exclusive claim on one message. Dropped without [`Spool::settle`], it gives the message
/// back to the queue, due when it was.
#[derive(Debug)]
#[must_use = "a lease that is dropped gives its message back, to be tried again at once"]
pub struct Lease {
    entry: Entry,
    overdue: bool,
    owner: Option<Weak<dyn Release>>,
}

impl Lease {
    /// For engines: a claim they have made exclusive, and which nobody hears the end of.
    pub const fn of(entry: Entry) -> Self {
        Self {
            entry,
            overdue: false,
            owner: None,
        }
    }

    /// For engines: a claim that `owner`, if it is still there, hears the end of.
    pub const fn with_owner(entry: Entry, owner: Weak<dyn Release>) -> Self {
        Self {
            entry,
            overdue: false,
            owner: Some(owner),
        }
    }

    /// For engines: the message is overdue.
    pub const fn set_overdue(&mut self) {
        self.overdue = true;
    }

    /// True if the message was leased because its sender is to hear of it ([`Ask::overdue`]), not
    /// because it was its turn: it may not be due, and its lanes may be held back.
    pub const fn is_overdue(&self) -> bool {
        self.overdue
    }

    /// The message.
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// For engines: ends the claim without giving the message back, because it is settled.
    pub fn end(mut self) {
        self.owner = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.take().and_then(|owner| owner.upgrade()) {
            owner.release(self.entry.id);
        }
    }
}

/// For engines: hears of leases that were dropped unsettled.
pub trait Release: std::fmt::Debug + Send + Sync {
    /// Gives the message back to the queue. Must not block for long.
    fn release(&self, id: QueueId);
}

/// What [`Spool::lease`] found.
#[derive(Debug)]
pub struct Leased {
    /// The messages: first those that are overdue.
    pub leases: Vec<Lease>,
    /// When the next message can be leased that is not, as lanes are held back now; at once, if
    /// more was due than was asked for.
    pub next_due: Option<Wall>,
    /// When the next message is overdue.
    pub next_overdue: Option<Wall>,
    /// Messages that were due and cannot be leased: what is wrong with each.
    pub findings: Vec<Finding>,
}

/// What became of a leased message.
#[derive(Debug)]
pub struct Settlement {
    /// All recipients' progress, in their order.
    pub progress: Vec<Progress>,
    /// Attempts made, this one included.
    pub attempts: u32,
    /// The next attempt; `None` when every recipient is done, and the message leaves the queue.
    pub due: Option<Wall>,
    /// Lanes that are due later than that. Not kept on disk: after a restart all are due at `due`.
    pub later: Vec<(Lane, Wall)>,
    /// The `delayed` report has been made.
    pub delay_reported: bool,
    /// The one that the sender wants when the time he has set is over has been made (BY with `N`).
    pub deadline_reported: bool,
    /// Reports to take into custody, due at once.
    pub reports: Vec<Report>,
}

/// A message of our own.
#[derive(Debug)]
pub struct Report {
    /// Its envelope.
    pub envelope: Envelope,
    /// Header and body.
    pub content: Bytes,
}
