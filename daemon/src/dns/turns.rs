//! Whose question is asked next: turns, of which there are only so many, and a share for each client.
//!
//! Promises: no more questions are open than [`MAX_OPEN`], and on account of one client no more
//! than [`MAX_OPEN_FOR_CLIENT`]. Who wants more waits in its own line, so that a client which
//! names slow domains delays nobody but itself. A wait that is dropped leaves the line.
//!
//! Left to others: how long anyone waits, and what a turn is used for (the stub).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::counted_as;

/// Questions open to servers at one time. Each holds a socket or two; a flood of mail from a
/// thousand domains must not use up the descriptors that sessions need.
pub const MAX_OPEN: usize = 512;

/// Questions open on account of one client: the thirty hosts that one check may look up find room.
/// It takes sixteen such clients to use up all turns.
pub const MAX_OPEN_FOR_CLIENT: usize = 32;

/// The turns of one resolver.
#[derive(Debug)]
pub struct Turns {
    /// Over all.
    total: Arc<Semaphore>,
    /// By client; a client without questions has no entry. In order, since they are few at a time:
    /// each question comes by twice, and hashing an address costs more than finding it.
    shares: Mutex<BTreeMap<IpAddr, Share>>,
}

/// What one client may have.
#[derive(Debug)]
struct Share {
    /// Its turns.
    turns: Arc<Semaphore>,
    /// How many have a turn or wait for one.
    users: usize,
}

/// The right to have a question open; giving it back is dropping it.
#[derive(Debug)]
#[must_use = "a turn that is dropped counts no question"]
pub struct Turn {
    /// Of the client's, if it is for one.
    _of_client: Option<(OwnedSemaphorePermit, InLine)>,
    /// Of all. `None` cannot come about: the turns are never closed.
    _of_all: Option<OwnedSemaphorePermit>,
}

/// A client's share, in use.
#[derive(Debug)]
struct InLine {
    /// Where it is counted.
    turns: Arc<Turns>,
    /// Whose it is.
    client: IpAddr,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            total: Arc::new(Semaphore::new(MAX_OPEN)),
            shares: Mutex::default(),
        }
    }
}

impl Turns {
    /// A turn, if there is one without waiting.
    pub fn take_now(self: &Arc<Self>, client: Option<IpAddr>) -> Option<Turn> {
        let of_client = match client {
            Some(client) => {
                let (turns, in_line) = self.line_up(counted_as(client));
                Some((turns.try_acquire_owned().ok()?, in_line))
            }
            None => None,
        };
        Some(Turn {
            _of_client: of_client,
            _of_all: Some(Arc::clone(&self.total).try_acquire_owned().ok()?),
        })
    }

    /// Waits for a turn: in the client's own line first, if it is for one, then in that of all.
    pub async fn take(self: &Arc<Self>, client: Option<IpAddr>) -> Turn {
        let of_client = match client {
            Some(client) => {
                let (turns, in_line) = self.line_up(counted_as(client));
                turns.acquire_owned().await.ok().zip(Some(in_line))
            }
            None => None,
        };
        Turn {
            _of_client: of_client,
            _of_all: Arc::clone(&self.total).acquire_owned().await.ok(),
        }
    }

    /// The client's turns, and the sign that they are in use.
    fn line_up(self: &Arc<Self>, client: IpAddr) -> (Arc<Semaphore>, InLine) {
        let mut shares = self.shares();
        let share = shares.entry(client).or_insert_with(|| Share {
            turns: Arc::new(Semaphore::new(MAX_OPEN_FOR_CLIENT)),
            users: 0,
        });
        share.users = share.users.saturating_add(1);
        let in_line = InLine {
            turns: Arc::clone(self),
            client,
        };
        (Arc::clone(&share.turns), in_line)
    }

    /// The shares. A panic elsewhere cannot leave them half changed, so poison means nothing.
    fn shares(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Share>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        let mut shares = self.turns.shares();
        if let Entry::Occupied(mut share) = shares.entry(self.client) {
            let users = &mut share.get_mut().users;
            *users = users.saturating_sub(1);
            if *users == 0 {
                share.remove();
            }
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
        assert_eq!(turns.shares().len(), 1);
        drop(held);
        assert!(turns.shares().is_empty());
        assert_eq!(turns.total.available_permits(), MAX_OPEN);
    }

    #[test]
    fn all_together_have_no_more_than_there_are() {
        let turns: Arc<Turns> = Arc::default();
        let held: Vec<_> = (0..MAX_OPEN)
            .map(|_| now(turns.take(None)).expect("a turn"))
            .collect();
        assert!(now(turns.take(None)).is_none());
        assert!(now(turns.take(Some([192, 0, 2, 1].into()))).is_none());
        assert!(turns.shares().is_empty());
        drop(held);
        assert!(now(turns.take(Some([192, 0, 2, 1].into()))).is_some());
    }
}
