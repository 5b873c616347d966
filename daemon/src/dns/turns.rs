//! Whose question is asked next: turns, of which there are only so many, and a share for each client.
//!
//! Promises: no more questions are open than [`MAX_OPEN`], and on account of one client no more
//! than [`MAX_OPEN_FOR_CLIENT`]. Who wants more waits in its own line, so that a client which
//! names slow domains delays nobody but itself. A wait that is dropped is passed over.
//!
//! Left to others: how long anyone waits, and what a turn is used for (the stub).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::limits::counted_as;

/// Questions open to servers at one time. Each may hold a socket or two, if not on a line (`line`); a flood of mail
/// from a thousand domains must not use up the descriptors that sessions need.
pub const MAX_OPEN: usize = 512;

/// Questions open on account of one client: the thirty hosts that one check may look up find room.
/// It takes sixteen such clients to use up all turns.
pub const MAX_OPEN_FOR_CLIENT: usize = 32;

/// The turns of one resolver. One lock for all of it: most questions wait for nobody, and are done with it at once.
#[derive(Debug, Default)]
pub struct Turns(Mutex<Counts>);

/// What is given out, and who waits.
#[derive(Debug, Default)]
struct Counts {
    all: Share,
    /// Those of the clients that have any, or wait.
    clients: BTreeMap<IpAddr, Share>,
}

/// What may be had of so many.
#[derive(Debug, Default)]
struct Share {
    given: usize,
    /// In their order. Those who have gone are passed over.
    waiting: VecDeque<oneshot::Sender<Part>>,
}

/// Whose share.
#[derive(Clone, Copy, Debug)]
enum Of {
    Client(IpAddr),
    All,
}

/// A part of a share; giving it back is dropping it.
#[derive(Debug)]
struct Part {
    turns: Arc<Turns>,
    of: Of,
}

/// The right to have a question open; giving it back is dropping it.
#[derive(Debug)]
#[must_use = "a turn that is dropped counts no question"]
pub struct Turn {
    /// Of the client's, if it is for one.
    _of_client: Option<Part>,
    _of_all: Part,
}

impl Turns {
    /// A turn, if there is one without waiting.
    pub fn take_now(self: &Arc<Self>, client: Option<IpAddr>) -> Option<Turn> {
        let client = client.map(|client| Of::Client(counted_as(client)));
        let mut counts = self.counts();
        if counts.all.given >= MAX_OPEN || client.is_some_and(|client| !counts.take(client)) {
            return None;
        }
        counts.take(Of::All);
        Some(Turn {
            _of_client: client.map(|client| self.part(client)),
            _of_all: self.part(Of::All),
        })
    }

    /// Waits for a turn: in the client's own line first, if it is for one, then in that of all.
    pub async fn take(self: &Arc<Self>, client: Option<IpAddr>) -> Turn {
        let of_client = match client {
            Some(client) => Some(self.take_part(Of::Client(counted_as(client))).await),
            None => None,
        };
        Turn {
            _of_client: of_client,
            _of_all: self.take_part(Of::All).await,
        }
    }

    /// Waits for a part of a share.
    async fn take_part(self: &Arc<Self>, of: Of) -> Part {
        loop {
            let given = {
                let mut counts = self.counts();
                if counts.take(of) {
                    return self.part(of);
                }
                let (give, given) = oneshot::channel();
                counts.share(of).waiting.push_back(give);
                given
            };
            // An error cannot come about: whoever waits stays in line until given to.
            if let Ok(part) = given.await {
                return part;
            }
        }
    }

    /// A part that is counted as given.
    fn part(self: &Arc<Self>, of: Of) -> Part {
        Part {
            turns: Arc::clone(self),
            of,
        }
    }

    /// The counts. A panic elsewhere cannot leave them half changed, so poison means nothing.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Of {
    /// How many there are.
    const fn most(self) -> usize {
        match self {
            Self::Client(_) => MAX_OPEN_FOR_CLIENT,
            Self::All => MAX_OPEN,
        }
    }
}

impl Counts {
    /// Takes a part, if there is one.
    fn take(&mut self, of: Of) -> bool {
        let share = self.share(of);
        let is_left = share.given < of.most();
        share.given += usize::from(is_left);
        is_left
    }

    /// A share.
    fn share(&mut self, of: Of) -> &mut Share {
        match of {
            Of::Client(client) => self.clients.entry(client).or_default(),
            Of::All => &mut self.all,
        }
    }

    /// Who is given to next; nobody, and the part is back.
    fn give_back(&mut self, of: Of) -> Option<oneshot::Sender<Part>> {
        match of {
            Of::All => self.all.give_back(),
            Of::Client(client) => {
                let Entry::Occupied(mut share) = self.clients.entry(client) else {
                    return None;
                };
                let next = share.get_mut().give_back();
                if share.get().given == 0 {
                    share.remove();
                }
                next
            }
        }
    }
}

impl Share {
    /// Who is given to next; nobody, and the part is back.
    fn give_back(&mut self) -> Option<oneshot::Sender<Part>> {
        let mut waiting = std::iter::from_fn(|| self.waiting.pop_front());
        let next = waiting.find(|next| !next.is_closed());
        if next.is_none() {
            self.given = self.given.saturating_sub(1);
        }
        next
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let next = self.turns.counts().give_back(self.of);
        if let Some(next) = next {
            // To one who has gone just now it is not given: it comes back, and is dropped, which gives it to the next.
            let _ = next.send(self.turns.part(self.of));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// What a wait has come to, without waiting.
    fn now<F: Future<Output = Turn>>(wait: F) -> Option<Turn> {
        match pin!(wait).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_client_has_its_share_and_no_more() {
        let turns: Arc<Turns> = Arc::default();
        let ip = |text: &str| Some(text.parse().expect("an address"));
        let mut held: Vec<_> = (0..MAX_OPEN_FOR_CLIENT)
            .map(|at| now(turns.take(ip(&format!("2001:db8::{at:x}")))).expect("a turn"))
            .collect();
        assert!(now(turns.take(ip("2001:db8::ffff"))).is_none());
        assert!(now(turns.take(ip("2001:db8:0:1::1"))).is_some());
        assert!(now(turns.take(None)).is_some());
        held.pop();
        held.push(now(turns.take(ip("2001:db8::ffff"))).expect("a turn"));
        assert!(now(turns.take(ip("2001:db8::1"))).is_none());
        assert_eq!(turns.counts().clients.len(), 1);
        drop(held);
        assert!(turns.counts().clients.is_empty());
        assert_eq!(turns.counts().all.given, 0);
    }

    #[test]
    fn who_has_gone_is_passed_over() {
        let turns: Arc<Turns> = Arc::default();
        let client = Some([192, 0, 2, 1].into());
        let mut held: Vec<_> = (0..MAX_OPEN_FOR_CLIENT)
            .map(|_| now(turns.take(client)).expect("a turn"))
            .collect();
        let context = &mut Context::from_waker(Waker::noop());
        let mut gone: Vec<_> = (0..10_000).map(|_| Box::pin(turns.take(client))).collect();
        for wait in &mut gone {
            assert!(wait.as_mut().poll(context).is_pending());
        }
        let mut there = pin!(turns.take(client));
        assert!(there.as_mut().poll(context).is_pending());
        drop(gone);
        held.pop();
        let Poll::Ready(turn) = there.as_mut().poll(context) else {
            panic!("its turn has come");
        };
        drop((held, turn));
        assert!(turns.counts().clients.is_empty());
        assert_eq!(turns.counts().all.given, 0);
    }

    #[test]
    fn all_together_have_no_more_than_there_are() {
        let turns: Arc<Turns> = Arc::default();
        let held: Vec<_> = (0..MAX_OPEN)
            .map(|_| now(turns.take(None)).expect("a turn"))
            .collect();
        assert!(now(turns.take(None)).is_none());
        assert!(now(turns.take(Some([192, 0, 2, 1].into()))).is_none());
        assert!(turns.counts().clients.is_empty());
        drop(held);
        assert!(now(turns.take(Some([192, 0, 2, 1].into()))).is_some());
    }
}
