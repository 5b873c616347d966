//! Where an operator speaks to the runner, and whoever else knows what it does not.
//!
//! Left to others: what is to be remembered over a restart. The runner only does as it is told.

use std::collections::BTreeSet;

use tokio::sync::{mpsc, oneshot};
use vouchsafe_proto::route::NextHop;
use vouchsafe_spool::Lane;

use super::schedule::HeldBack;

/// What is said.
#[derive(Debug)]
pub(super) enum Word {
    /// Next hops of these lanes are worth a try now.
    LetGo(BTreeSet<Lane>),
    /// This next hop has answered somebody else: mostly no news.
    Answers(NextHop),
    /// Nothing goes from these lanes, and from no others that he named before.
    Freeze(BTreeSet<Lane>),
    /// Which lanes are held back, and why?
    Tell(oneshot::Sender<Vec<HeldBack>>),
}

/// Speaks to a runner, or to nobody if it has ended.
#[derive(Clone, Debug)]
pub struct Desk(pub(super) mpsc::Sender<Word>);

impl Desk {
    /// One at which nobody listens: for a queue at rest.
    pub fn empty() -> Self {
        Self(mpsc::channel(1).0)
    }

    /// Whatever was seen of the next hops of these lanes, one message of each goes now.
    pub async fn let_go(&self, lanes: BTreeSet<Lane>) {
        let _ = self.0.send(Word::LetGo(lanes)).await;
    }

    /// A session with this next hop has come to be elsewhere: if it is held back, one message goes now, and
    /// the others when it answers that one.
    pub async fn answers(&self, next_hop: NextHop) {
        let _ = self.0.send(Word::Answers(next_hop)).await;
    }

    /// Nothing goes from these lanes from now on; from all others it does.
    pub async fn freeze(&self, lanes: BTreeSet<Lane>) {
        let _ = self.0.send(Word::Freeze(lanes)).await;
    }

    /// The lanes from which nothing goes now, and why.
    pub async fn held_back(&self) -> Vec<HeldBack> {
        let (reply, told) = oneshot::channel();
        let _ = self.0.send(Word::Tell(reply)).await;
        told.await.unwrap_or_default()
    }
}
