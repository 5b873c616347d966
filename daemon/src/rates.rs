//! How well the caches serve: for the log every ten minutes and at the stop, and for the control
//! socket at any time.
//!
//! One line a cache, and none for a cache that nobody used meanwhile. The field names are fixed:
//! `cache`, `hits`, `misses` and `evictions` since the line before, `entries` and `octets` now.
//! Counting is the caches' own work ([`crate::bounded`]).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::info;

use crate::bounded::Figures;
use crate::clock;

/// Between two lines of one cache: often enough to see a rate change with the hour, seldom enough
/// to be read.
const INTERVAL: Duration = Duration::from_mins(10);

/// Reads a cache's figures.
type Reading = Box<dyn Fn() -> Figures + Send + Sync>;

/// The caches, and what was last said of them.
#[derive(Default)]
pub struct Rates {
    caches: Vec<(&'static str, Reading)>,
    said: Mutex<BTreeMap<&'static str, Figures>>,
}

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.totals()).finish()
    }
}

impl Rates {
    /// Of no cache yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// And of this one.
    #[must_use]
    pub fn and(
        mut self,
        name: &'static str,
        read: impl Fn() -> Figures + Send + Sync + 'static,
    ) -> Self {
        self.caches.push((name, Box::new(read)));
        self
    }

    /// Each cache's figures since the start.
    pub fn totals(&self) -> BTreeMap<&'static str, Figures> {
        self.caches
            .iter()
            .map(|(name, read)| (*name, read()))
            .collect()
    }

    /// What has come since this was last asked, for the caches that were used.
    fn news(&self) -> Vec<(&'static str, Figures)> {
        let totals = self.totals();
        // Whoever panicked with the lock has left one reading or the other.
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let news = totals.iter().map(|(name, total)| {
            let before = said.get(name).copied().unwrap_or_default();
            (*name, total.since(&before))
        });
        let news = news
            .filter(|(_, new)| (new.hits, new.misses, new.evictions) != (0, 0, 0))
            .collect();
        *said = totals;
        news
    }

    /// Writes the news to the log.
    pub fn say(&self) {
        for (cache, new) in self.news() {
            // These names are an interface.
            info!(
                cache,
                hits = new.hits,
                misses = new.misses,
                evictions = new.evictions,
                entries = new.entries,
                octets = new.octets,
                "cache"
            );
        }
    }

    /// Writes them again and again.
    pub async fn keep_saying(&self) {
        loop {
            let next = clock::now().mono.plus(INTERVAL);
            tokio::time::sleep_until(clock::instant(next)).await;
            self.say();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_is_new_is_said_once_and_nothing_of_a_cache_that_nobody_used() {
        let figures = Arc::new(Mutex::new(Figures::default()));
        let read = Arc::clone(&figures);
        let rates = Rates::new()
            .and("idle", Figures::default)
            .and("busy", move || *read.lock().unwrap());
        assert_eq!(rates.news(), []);
        let total = Figures {
            hits: 7,
            misses: 3,
            evictions: 1,
            entries: 2,
            octets: 99,
        };
        *figures.lock().unwrap() = total;
        assert_eq!(rates.news(), [("busy", total)]);
        assert_eq!(rates.news(), []);
        *figures.lock().unwrap() = Figures {
            hits: 17,
            entries: 1,
            octets: 50,
            ..total
        };
        let new = Figures {
            hits: 10,
            misses: 0,
            evictions: 0,
            entries: 1,
            octets: 50,
        };
        assert_eq!(rates.news(), [("busy", new)]);
        assert_eq!(rates.totals().get("busy").unwrap().hits, 17);
    }
}
