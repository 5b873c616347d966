//! Idle sessions with next hops, kept for the next transaction.
//!
//! Promises: the one that was used last is given out first, so that those which are too many grow old;
//! all are watched, and one whose peer has left or spoken is gone at once; none is given out after its
//! time; each is left with QUIT, except where the peer was first; at most so many are kept. With nothing
//! kept nothing runs.
//!
//! Not promised: that a session which is given out still stands. Its peer may leave at that very moment,
//! which shows with the first command (`Action::Unstarted` of the deliver machine).
//!
//! Left to others: how a session comes to be.

use std::collections::{HashMap, VecDeque};
use std::future::Future as _;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet, unconstrained};
use tokio::time::timeout_at;
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::time::Mono;

use crate::clock;
use crate::smtp_out::Connection;

/// How many are kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping {
    /// How long one may be idle.
    pub(super) idle: Duration,
    /// How long one may be used at all.
    pub(super) age: Duration,
    /// At one next hop.
    pub(super) per_next_hop: usize,
    /// In all.
    pub(super) total: usize,
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            idle: IDLE,
            age: AGE,
            per_next_hop: PER_NEXT_HOP,
            total: TOTAL,
        }
    }
}

/// A session that is idle, or the one that was.
pub(super) struct Idle {
    /// The session.
    pub(super) connection: Connection,
    /// When it came to be.
    pub(super) opened: Mono,
    /// Transactions it was given out for.
    pub(super) used: u32,
    /// Recipients refused since a message was taken.
    pub(super) refused: usize,
}

/// The idle sessions.
pub(super) struct Pool {
    keeping: Keeping,
    inside: Mutex<Inside>,
    /// Told when one of them stirs, by its waker.
    stirred: Arc<Stirred>,
    watch: Waker,
}

/// What is in the pool.
#[derive(Default)]
struct Inside {
    /// By next hop, each with the end of its time; the oldest first. None is empty.
    kept: HashMap<NextHop, VecDeque<(Mono, Idle)>>,
    /// How many there are in all.
    count: usize,
    /// Watches them; runs while there are any.
    watcher: Option<JoinHandle<()>>,
    /// Those that are being left.
    leaving: JoinSet<()>,
    /// Nothing is kept any more.
    closed: bool,
}

impl Pool {
    /// Nothing is kept yet.
    pub(super) fn new(keeping: Keeping) -> Self {
        let stirred = Arc::new(Stirred::default());
        Self {
            keeping,
            inside: Mutex::default(),
            watch: Waker::from(Arc::clone(&stirred)),
            stirred,
        }
    }

    /// The session that was used last, of those that still stand as far as can be known.
    pub(super) fn take(&self, next_hop: &NextHop) -> Option<Idle> {
        let now = clock::mono();
        let mut inside = self.inside();
        loop {
            let (until, mut idle) = inside.take(next_hop)?;
            if until <= now {
                inside.leave(idle.connection);
            } else if !has_stirred(&mut idle.connection, Waker::noop()) {
                return Some(idle);
            }
        }
    }

    /// Keeps a session; the oldest goes if there are too many. One that has been used for long is left.
    pub(super) fn put(self: &Arc<Self>, next_hop: NextHop, mut idle: Idle) {
        let now = clock::mono();
        // First of all, so that the watcher, should it be told of this one at once, finds it here.
        let mut inside = self.inside();
        if has_stirred(&mut idle.connection, &self.watch) {
            return;
        }
        let aged = now.since(idle.opened) >= self.keeping.age;
        if aged || inside.closed || inside.count >= self.keeping.total {
            return inside.leave(idle.connection);
        }
        let there = inside.kept.entry(next_hop).or_default();
        there.push_back((now.plus(self.keeping.idle), idle));
        let oldest = (there.len() > self.keeping.per_next_hop)
            .then(|| there.pop_front())
            .flatten();
        match oldest {
            Some((_, oldest)) => inside.leave(oldest.connection),
            None => inside.count = inside.count.saturating_add(1),
        }
        if inside.watcher.is_none() {
            let watching = watch(Arc::downgrade(self), Arc::clone(&self.stirred));
            inside.watcher = Some(tokio::spawn(watching));
        }
    }

    /// Leaves a session that is not to be used again.
    pub(super) fn leave(&self, connection: Connection) {
        self.inside().leave(connection);
    }

    /// Leaves all of them; what comes after is left at once. Returns when they have been left.
    pub(super) async fn close(&self) {
        let mut leaving = {
            let mut inside = self.inside();
            inside.closed = true;
            inside.count = 0;
            for (_, idle) in std::mem::take(&mut inside.kept).into_values().flatten() {
                inside.leave(idle.connection);
            }
            if let Some(watcher) = inside.watcher.take() {
                watcher.abort();
            }
            std::mem::take(&mut inside.leaving)
        };
        while leaving.join_next().await.is_some() {}
    }

    /// What is in it. A panic elsewhere cannot leave it half changed, so poison means nothing.
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(watcher) = self.inside().watcher.take() {
            watcher.abort();
        }
    }
}

impl Inside {
    /// Takes the one out that was put in last.
    fn take(&mut self, next_hop: &NextHop) -> Option<(Mono, Idle)> {
        let there = self.kept.get_mut(next_hop)?;
        let taken = there.pop_back();
        if there.is_empty() {
            self.kept.remove(next_hop);
        }
        self.count = self.count.saturating_sub(usize::from(taken.is_some()));
        taken
    }

    /// Leaves a session, in a task of its own: nobody waits for its farewell.
    fn leave(&mut self, connection: Connection) {
        while self.leaving.try_join_next().is_some() {}
        self.leaving.spawn(connection.quit());
    }

    /// Drops those that have stirred and leaves those whose time is over; says when the next one's will
    /// be, if there is one.
    fn sweep(&mut self, now: Mono, watch: &Waker) -> Option<Mono> {
        let (mut ended, mut next, mut count) = (Vec::new(), None, 0);
        self.kept.retain(|_, there| {
            there.retain_mut(|(_, idle)| !has_stirred(&mut idle.connection, watch));
            while let Some((_, idle)) = there.pop_front_if(|(until, _)| *until <= now) {
                ended.push(idle.connection);
            }
            count += there.len();
            let soonest = there.front().map(|(until, _)| *until);
            next = next.into_iter().chain(soonest).min();
            soonest.is_some()
        });
        self.count = count;
        for connection in ended {
            self.leave(connection);
        }
        next
    }
}

/// Told when an idle session stirs.
#[derive(Default)]
struct Stirred(Notify);

impl Wake for Stirred {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Drops sessions as they stir, and leaves them as their time ends, until there are none.
async fn watch(pool: Weak<Pool>, stirred: Arc<Stirred>) {
    loop {
        let next = {
            let Some(pool) = pool.upgrade() else { return };
            let mut inside = pool.inside();
            let next = inside.sweep(clock::mono(), &pool.watch);
            if next.is_none() {
                inside.watcher = None;
            }
            next
        };
        let Some(next) = next else { return };
        // The end of the first one's time, or somebody has stirred: all are looked at.
        let _ = timeout_at(clock::instant(next), stirred.0.notified()).await;
    }
}

/// True if the peer of an idle session is known to have left, or said something; else the waker is told
/// when it does, until another looks.
fn has_stirred(connection: &mut Connection, waker: &Waker) -> bool {
    // A task that has done much in its turn would be told that nothing is there to be read.
    let stirs = pin!(unconstrained(connection.stirs()));
    stirs.poll(&mut Context::from_waker(waker)).is_ready()
}

/// How long a session is kept that nobody uses: longer than a pause in a stream of mail, and much shorter
/// than what any next hop waits for a command (RFC 5321 §4.5.3.2.7: five minutes; under pressure,
/// Postfix's ten seconds).
const IDLE: Duration = Duration::from_secs(8);

/// How long a session is used at all: what the DNS, policies and the configuration say of a next hop, and
/// a better host that is back, are heeded after this at the latest.
const AGE: Duration = Duration::from_mins(5);

/// Sessions kept at one next hop: as many as would be held at the same time to one that is fast. Each
/// is a place of that next hop, which has other clients too.
const PER_NEXT_HOP: usize = 50;

/// Sessions kept in all: some 10 KiB and a descriptor each, several times that with TLS.
const TOTAL: usize = 400;
