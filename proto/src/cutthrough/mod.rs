//! The held path (PROTOCOLS C): joins one receive transaction with the deliver sessions of its next
//! hops, and decides who is told 250, and when.
//!
//! A next hop of the transaction has one *branch*: a session with a transaction open at the same
//! time as ours. It is open, then *prepared* (all is sent but the octets that complete the message), then
//! *completed*, and has ended when each of its recipients has its last word. Nothing completes before every
//! branch that is left is prepared; until then a failure leaves nothing behind.
//!
//! # Promises
//!
//! 1. Custody is given only by the last word of the next hops for every recipient, or by the spool for
//!    those that have none.
//! 2. A reply of a next hop is passed back by its code, and nothing is stored for it, but where one of
//!    our replies must stand for several ends: then what was not delivered is stored, and its
//!    failure reported to a sender who is known.
//! 3. Where no reply is to be had, the 250 rule ([`rule()`]) says whether the message is stored. Who is
//!    not proven and would be deferred has nothing stored, so that no report can follow.
//! 4. What the next hop has said before ([`Memory`]) is used only where it says nothing now.
//! 5. What has come before and was taken ([`Input::Repeated`]) goes nowhere again, and hears what was said then.
//! 6. Where the client hears each recipient's end (PRDR), promises 1 to 3 hold for each of them by itself: what
//!    was refused so is neither stored nor reported, and one that ends badly keeps no other from its end.
//! 7. Each question of the receive session ([`Input::Recipient`], [`Input::Begin`], [`Input::End`]) has
//!    exactly one answer, however late it comes.
//!
//! Machine under the drain contract. Left to the driver: sessions, which branches get what comes of the
//! content (all that are told to proceed, and have not ended), the draft, and whose turn it is.
//!
//! Files: what comes in and goes out here; `rule` the 250 rule; `recipients` RCPT; `content` from DATA
//! to the last octet; `ending` the last words, and what is made of them; `each` the same where each recipient has an
//! answer (PRDR); `repeated` what has come before; `replies` what is said; `memory`
//! what next hops have said of recipients.

mod content;
mod each;
mod ending;
mod memory;
mod recipients;
mod repeated;
mod replies;
mod rule;
#[cfg(test)]
mod tests;

pub use memory::{ACCEPTED_FOR, Bounds, Memory, REFUSED_FOR, Room};
pub use rule::{Ahead, Ruling, Sender, rule};

use alloc::vec::Vec;

use crate::custody::{Custody, Earlier};
use crate::outcome::Outcome;
use crate::queue_id::QueueId;
use crate::reply::Reply;
use crate::route::{NextHop, WhenUnproven};
use crate::smtp::xhold::Mode;

/// Names one branch of a transaction: the first is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BranchId(pub usize);

/// A recipient's way on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through the queue.
    Stored,
    /// Held open.
    Held {
        /// To this next hop.
        next_hop: NextHop,
        /// It gives a last word for each recipient by itself (LMTP).
        answers_each: bool,
        /// What is done where no reply is to be had.
        when_unproven: WhenUnproven,
        /// What the next hop has said of a recipient that it refused, if that is remembered
        /// ([`Memory::refusal`]): it is refused again where no reply is to be had.
        remembered: Option<Outcome>,
        /// When it is opened.
        opens: Opens,
    },
}

/// When the path is opened for a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opens {
    /// At RCPT, whose answer is the next hop's.
    Now,
    /// At the end of the content, by which the verdict is known that waits for it (PROTOCOLS A.3): until
    /// then the message lies in the draft, and nothing behind us hears of it.
    AfterVerdict,
    /// In the same way, unless the content is that which has come for this recipient before, under the same XTID, and
    /// was taken (PROTOCOLS C); which it will be.
    UnlessRepeated,
}

/// What a branch says of a recipient that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// RCPT was taken.
    Accepted,
    /// It was refused: by a reply, or since the next hop cannot take such a message.
    Refused(Outcome),
    /// There is no reply to be had: no session came to be, or it ended.
    Lost(Outcome),
    /// It was not asked, by a limit of ours, and may well answer others.
    NotAsked(Outcome),
}

/// What advances the transaction.
#[derive(Debug)]
pub enum Input {
    /// RCPT, with nothing against it here. Answered by [`Action::Recipient`].
    Recipient(Way),
    /// The verdict has come to this, before [`Input::End`].
    Judged(Sender),
    /// To [`Action::Open`] and [`Action::Ask`].
    Said(BranchId, Said),
    /// The content may prove the reverse-path, so that the message may come to be stored after all.
    MayProve,
    /// The content begins: no recipient comes any more. Answered by [`Action::Begin`].
    Begin(QueueId),
    /// A branch has ended before it was told to complete. Its recipients in the order in which it was
    /// asked for them, those that were refused included; each with its end.
    Broke(BranchId, Vec<(usize, Outcome)>),
    /// The draft could not take content, and this is what its loss is worth.
    DraftLost(Reply),
    /// These recipients, by their places, have been given this very copy before, which was taken: nothing is to
    /// come of it for them any more. Before [`Input::End`].
    Repeated(Vec<(usize, Earlier)>),
    /// The content has ended, it is sound, and nothing speaks against it. Answered by [`Action::End`].
    End,
    /// To [`Action::Replay`].
    Replayed,
    /// To [`Action::Prepare`]; a branch that could not says [`Input::Broke`].
    Prepared(BranchId),
    /// To [`Action::Complete`]: the last words.
    Completed(BranchId, Vec<(usize, Outcome)>),
    /// To [`Action::Store`].
    Stored(Result<Custody, Reply>),
    /// The transaction is given up: the peer left, RSET, or the content is not to be had.
    Abandon,
}

/// What the driver does, in order. All branches that are told to do something in one step may do it at the
/// same time.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a session with this next hop, and a transaction with the recipient in this place: among those
    /// accepted so far, or, behind them, the one that was given last.
    Open(BranchId, NextHop, usize),
    /// Ask a branch for the recipient in this place.
    Ask(BranchId, usize),
    /// The answer to RCPT.
    Recipient(Result<(), Reply>),
    /// From now on a branch gets the content.
    Proceed(BranchId),
    /// The content may come, and is written to the draft as well (true), or is not to come.
    Begin(Result<bool, Reply>),
    /// Give the branches that were told to proceed the content, from the draft.
    Replay,
    /// Send all but what completes the message.
    Prepare(BranchId),
    /// Send that.
    Complete(BranchId),
    /// Give a branch up: nothing of it may be delivered.
    Abandon(BranchId),
    /// Take the message into the spool for these recipients, by their place among those accepted.
    Store(Vec<usize>),
    /// The draft is of no use any more.
    DropDraft,
    /// The answer to the end of the message.
    End(Result<Custody, Reply>),
    /// The same for each recipient, by its place among those accepted; only of a path that answers so
    /// ([`Path::for_each_recipient`]).
    EndForEach(Vec<Result<Custody, Reply>>),
}

/// One transaction.
#[derive(Debug)]
pub struct Path {
    sender: Sender,
    /// What its sender lets be done where no reply is to be had.
    mode: Mode,
    /// Those accepted, in order.
    recipients: Vec<Recipient>,
    branches: Vec<Branch>,
    stage: Stage,
    /// Its name, once the content begins.
    queue_id: QueueId,
    draft: Draft,
    /// The content may prove the reverse-path.
    may_prove: bool,
    /// The client hears each recipient's end.
    for_each: bool,
}

/// Where the transaction stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Recipients come.
    Envelope,
    /// A new one waits for its branch.
    Asked(BranchId, Silence),
    /// Content flows.
    Content,
    /// The verdict is there: paths are opened, and the recipient in this place waits for its branch.
    Late(BranchId, usize),
    /// The branches get the content from the draft.
    Replaying,
    /// The branches that are left prepare, and then complete.
    Ending,
    /// The spool was asked.
    Storing,
    /// Answered, or given up.
    Over,
}

/// What holds for a recipient where no reply is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Silence {
    when_unproven: WhenUnproven,
    /// How it was refused before.
    remembered: Option<Outcome>,
}

/// Whether there is a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Draft {
    /// Nothing can come to be stored.
    None,
    /// It gets the content.
    Written,
    /// It could not take it, and that is said for this reason.
    Lost(Reply),
}

/// A recipient that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Recipient {
    /// Its branch, and its place among those that were asked for there.
    branch: Option<(BranchId, usize)>,
    /// What is done if no reply is to be had; none for one that goes through the queue.
    when_unproven: Option<WhenUnproven>,
    /// How it was refused before; of use until its branch was asked.
    remembered: Option<Outcome>,
    /// It has come before, and most likely will end as it did.
    has_come_before: bool,
    fate: Fate,
}

/// What is known of one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// Its branch has its last word still to say.
    Open,
    /// It goes through the queue: it never had a branch, or that is lost and no reply to be had.
    Silent,
    /// The next hop has it.
    Delivered(Outcome),
    /// The next hop has refused it, or cannot take it.
    Refused(Outcome),
    /// It was taken when it came before.
    Repeated(Earlier),
}

/// A branch.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Branch {
    next_hop: NextHop,
    /// Recipients it was asked for.
    asked: usize,
    answers_each: bool,
    /// It was lost by a limit of ours: the next hop is not silent.
    not_asked: bool,
    stage: BranchStage,
}

/// Where a branch stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum BranchStage {
    /// Nothing is begun before the verdict.
    Waiting,
    /// Open.
    Open,
    /// All is sent but the completing octets.
    Prepared,
    /// Those are sent: the next hop may have the message.
    Completing,
    /// It has ended, and cannot be asked any more.
    Over,
}

impl Path {
    /// A transaction of this sender, without recipients yet.
    pub fn new(sender: Sender, name: QueueId) -> Self {
        Self {
            sender,
            mode: Mode::Prefer,
            recipients: Vec::new(),
            branches: Vec::new(),
            stage: Stage::Envelope,
            queue_id: name,
            draft: Draft::None,
            may_prove: false,
            for_each: false,
        }
    }

    /// The same where the client hears each recipient's end (PRDR): any recipient may come in it.
    #[must_use]
    pub fn for_each_recipient(self) -> Self {
        Self {
            for_each: true,
            ..self
        }
    }

    /// True if next hops should give a last word for each recipient, where they can: somebody hears of ends
    /// that differ. Where nobody does, one word for all is better.
    pub fn wants_each(&self) -> bool {
        self.for_each || self.hears_reports()
    }

    /// The same in this mode: in the strict one nothing is stored of what has a path.
    #[must_use]
    pub fn held(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// Advances by one input; actions are appended. What the stage has no use for is of no effect.
    pub fn step(&mut self, input: Input, actions: &mut Vec<Action>) {
        match input {
            Input::Recipient(way) => self.recipient(way, actions),
            Input::Said(branch, said) => self.said(branch, said, actions),
            Input::MayProve => self.may_prove = true,
            Input::Begin(queue_id) => self.begin(queue_id, actions),
            Input::Broke(branch, ends) => self.broke(branch, &ends, actions),
            Input::DraftLost(reply) => self.draft_lost(reply),
            Input::Judged(sender) => self.sender = sender,
            Input::Repeated(earlier) => self.repeated(&earlier, actions),
            Input::End => self.end(actions),
            Input::Replayed => self.replayed(actions),
            Input::Prepared(branch) => self.prepared(branch, actions),
            Input::Completed(branch, ends) => self.completed(branch, &ends, actions),
            Input::Stored(answer) => self.stored(answer, actions),
            Input::Abandon => self.abandon(actions),
        }
    }

    /// Recipients accepted so far.
    pub fn accepted(&self) -> usize {
        self.recipients.len()
    }

    /// Those accepted, by their places, whose last word says that the next hop has the message.
    pub fn delivered(&self) -> impl Iterator<Item = usize> + '_ {
        let numbered = self.recipients.iter().enumerate();
        numbered
            .filter(|(_, one)| matches!(one.fate, Fate::Delivered(_)))
            .map(|(place, _)| place)
    }

    fn branch_mut(&mut self, id: BranchId) -> Option<&mut Branch> {
        self.branches.get_mut(id.0)
    }

    /// True if a recipient is stored where no reply is to be had.
    fn is_stored(&self, recipient: &Recipient) -> bool {
        recipient
            .when_unproven
            .is_none_or(|when| self.may_store(when))
    }

    /// The rule, where no reply is to be had.
    fn may_store(&self, when_unproven: WhenUnproven) -> bool {
        let ruling = rule(Ahead::Silent, self.sender, when_unproven);
        self.mode.allows(ruling) == Ruling::Store
    }

    /// One reply may stand for several ends: what it does not tell is stored, and reported.
    fn hears_reports(&self) -> bool {
        self.mode == Mode::Prefer && self.sender.hears_reports()
    }

    /// The branches that were opened and have not ended.
    fn open_branches(&self) -> impl Iterator<Item = BranchId> + '_ {
        let numbered = self.branches.iter().enumerate();
        numbered
            .filter(|(_, branch)| !matches!(branch.stage, BranchStage::Over | BranchStage::Waiting))
            .map(|(number, _)| BranchId(number))
    }

    /// True if some recipient of a branch has no end yet.
    fn is_needed(&self, id: BranchId) -> bool {
        self.recipients.iter().any(|recipient| {
            let its = recipient.branch.is_some_and(|(branch, _)| branch == id);
            its && recipient.fate == Fate::Open
        })
    }

    /// Gives up every branch that has not ended.
    fn abandon_branches(&mut self, actions: &mut Vec<Action>) {
        let open: Vec<_> = self.open_branches().collect();
        for id in open {
            self.give_up(id, actions);
        }
    }

    /// Gives up one.
    fn give_up(&mut self, id: BranchId, actions: &mut Vec<Action>) {
        self.is_over(id);
        actions.push(Action::Abandon(id));
    }

    /// A branch has ended.
    fn is_over(&mut self, id: BranchId) {
        if let Some(branch) = self.branch_mut(id) {
            branch.stage = BranchStage::Over;
        }
    }

    /// The transaction is given up.
    fn abandon(&mut self, actions: &mut Vec<Action>) {
        if self.stage == Stage::Over {
            return;
        }
        self.abandon_branches(actions);
        self.drop_draft(actions);
        self.stage = Stage::Over;
    }

    fn drop_draft(&mut self, actions: &mut Vec<Action>) {
        if self.draft == Draft::Written {
            self.draft = Draft::None;
            actions.push(Action::DropDraft);
        }
    }
}
