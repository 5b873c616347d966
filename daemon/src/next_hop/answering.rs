//! Which next hops have answered, for whoever holds mail back for them.
//!
//! Promises: whoever notes one does not wait; each is told once, however often it was noted meanwhile, so
//! that there are never more than there are next hops.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use vouchsafe_proto::route::NextHop;

/// Those that have answered and were not told of yet.
#[derive(Debug, Default)]
pub(super) struct Answering {
    untold: Mutex<BTreeSet<NextHop>>,
    news: Notify,
}

impl Answering {
    /// This one has answered.
    pub(super) fn note(&self, next_hop: &NextHop) {
        self.with(|untold| {
            if !untold.contains(next_hop) {
                untold.insert(next_hop.clone());
            }
        });
        self.news.notify_one();
    }

    /// The next one. Only one listens.
    pub(super) async fn next(&self) -> NextHop {
        loop {
            if let Some(next_hop) = self.with(BTreeSet::pop_first) {
                return next_hop;
            }
            self.news.notified().await;
        }
    }

    /// A panic elsewhere cannot leave it half changed, so poison means nothing.
    fn with<T>(&self, does: impl FnOnce(&mut BTreeSet<NextHop>) -> T) -> T {
        does(&mut self.untold.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
