//! A table of things that may be used until their time ends, bounded in entries and in octets.
//!
//! Promises: nothing is given out at or after its end; never more entries or octets than the
//! bounds, whatever others choose to publish. Over a bound what would end soonest goes first: it
//! costs its owner one question more, never a wrong answer. Each [`Bounded::keep`] also takes out
//! a few that have ended, so that the table holds what is of use and not what was.
//!
//! Leaves to others: the clock, how long and how large a thing is, and what to do without it.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vouchsafe_proto::time::Mono;

/// Ended entries taken out for each one put in: more than one, so that they cannot pile up, and
/// few, so that no single caller pays for all of them.
const SWEPT: usize = 2;

/// How much a table may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Entries.
    pub entries: usize,
    /// Octets, as those who keep things reckon them.
    pub octets: usize,
}

/// What has come of a table so far, and what is in it now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Things looked for and given out.
    pub hits: u64,
    /// Things looked for that were not there, or had ended.
    pub misses: u64,
    /// Things taken out over a bound, though they might still have been used.
    pub evictions: u64,
    /// Entries now; some may have ended.
    pub entries: usize,
    /// Their octets.
    pub octets: usize,
}

impl Figures {
    /// What has come since an earlier reading, and what is there now. A reading that is not
    /// earlier is another table's, which this one has replaced: all is new.
    #[must_use]
    pub fn since(self, earlier: &Self) -> Self {
        let (Some(hits), Some(misses), Some(evictions)) = (
            self.hits.checked_sub(earlier.hits),
            self.misses.checked_sub(earlier.misses),
            self.evictions.checked_sub(earlier.evictions),
        ) else {
            return self;
        };
        Self {
            hits,
            misses,
            evictions,
            ..self
        }
    }
}

/// The table.
#[derive(Debug)]
pub struct Bounded<Key, Value, Hashing = RandomState> {
    entries: HashMap<Key, Entry<Value>, Hashing>,
    /// The keys by the end of their time; the number keeps those of one moment apart.
    ends: BTreeMap<(Mono, u64), Key>,
    serial: u64,
    octets: usize,
    bounds: Bounds,
    hits: u64,
    misses: u64,
    evictions: u64,
}

/// One thing that is kept.
#[derive(Debug)]
struct Entry<Value> {
    value: Value,
    since: Mono,
    end: (Mono, u64),
    octets: usize,
}

impl<Key: Clone + Eq + Hash, Value, Hashing: BuildHasher + Default> Bounded<Key, Value, Hashing> {
    /// An empty table.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            entries: HashMap::default(),
            ends: BTreeMap::new(),
            serial: 0,
            octets: 0,
            bounds,
            hits: 0,
            misses: 0,
            evictions: 0,
        }
    }

    /// What is kept under the key and may still be used, and since when it is kept. Counted.
    pub fn find(&mut self, key: &Key, now: Mono) -> Option<(&Value, Mono)> {
        let found = self.entries.get(key).filter(|entry| entry.end.0 > now);
        // What wraps after 2^64 lookups is a figure in a log.
        let counted = if found.is_some() {
            &mut self.hits
        } else {
            &mut self.misses
        };
        *counted = counted.wrapping_add(1);
        found.map(|entry| (&entry.value, entry.since))
    }

    /// The same, not counted: for whoever looks a second time.
    pub fn peek(&self, key: &Key, now: Mono) -> Option<(&Value, Mono)> {
        let entry = self.entries.get(key)?;
        (entry.end.0 > now).then_some((&entry.value, entry.since))
    }

    /// Keeps a thing of so many octets for so long from now, in place of what is there. One that
    /// has no time, or is larger than the whole table may be, only puts out the old.
    pub fn keep(&mut self, key: Key, value: Value, time: Duration, octets: usize, now: Mono) {
        for _ in 0..SWEPT {
            if self
                .ends
                .first_key_value()
                .is_some_and(|(end, _)| end.0 <= now)
            {
                self.remove_first();
            }
        }
        if time.is_zero() || octets > self.bounds.octets {
            self.remove(&key);
            return;
        }
        self.serial += 1;
        let end = (now.plus(time), self.serial);
        self.ends.insert(end, key.clone());
        self.octets += octets;
        let entry = Entry {
            value,
            since: now,
            end,
            octets,
        };
        if let Some(old) = self.entries.insert(key, entry) {
            self.ends.remove(&old.end);
            self.octets -= old.octets;
        }
        while self.entries.len() > self.bounds.entries || self.octets > self.bounds.octets {
            self.remove_first();
            self.evictions = self.evictions.wrapping_add(1);
        }
    }

    /// Takes everything out; what has come of it so far stays counted.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.ends.clear();
        self.octets = 0;
    }

    /// What has come of it.
    pub fn figures(&self) -> Figures {
        Figures {
            hits: self.hits,
            misses: self.misses,
            evictions: self.evictions,
            entries: self.entries.len(),
            octets: self.octets,
        }
    }

    /// Takes out what ends first.
    fn remove_first(&mut self) {
        if let Some((_, key)) = self.ends.pop_first() {
            self.remove(&key);
        }
    }

    /// Takes a thing out, if it is there.
    pub fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.ends.remove(&entry.end);
            self.octets -= entry.octets;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_millis(seconds * 1000)
    }

    /// A table of numbers under texts.
    struct Table(Bounded<&'static str, u32>);

    impl Table {
        fn new(entries: usize, octets: usize) -> Self {
            Self(Bounded::new(Bounds { entries, octets }))
        }

        fn keep(&mut self, key: &'static str, seconds: u64, octets: usize, now: u64) {
            let time = Duration::from_secs(seconds);
            self.0.keep(key, 7, time, octets, at(now));
            assert_eq!(self.0.entries.len(), self.0.ends.len());
            assert!(self.0.entries.len() <= self.0.bounds.entries);
            let octets: usize = self.0.entries.values().map(|entry| entry.octets).sum();
            assert_eq!(self.0.octets, octets);
            assert!(octets <= self.0.bounds.octets);
        }

        fn holds(&self, now: u64) -> Vec<&'static str> {
            let keys = self.0.entries.keys().copied();
            let mut held: Vec<_> = keys
                .filter(|key| self.0.peek(key, at(now)).is_some())
                .collect();
            held.sort_unstable();
            held
        }
    }

    #[test]
    fn a_thing_is_given_out_until_its_time_ends() {
        let mut table = Table::new(10, 100);
        table.keep("a", 60, 1, 5);
        assert_eq!(table.0.find(&"a", at(64)), Some((&7, at(5))));
        let last = Mono::from_millis(64_999);
        assert!(table.0.find(&"a", last).is_some());
        assert!(table.0.find(&"a", at(65)).is_none());
        assert!(table.0.find(&"b", at(5)).is_none());
    }

    #[test]
    fn the_new_takes_the_place_of_the_old_even_if_it_is_not_kept_itself() {
        let mut table = Table::new(10, 100);
        table.keep("a", 60, 100, 0);
        table.keep("a", 10, 1, 1);
        assert_eq!((table.holds(10), table.0.octets), (vec!["a"], 1));
        assert_eq!(table.holds(11), [""; 0]);
        table.keep("b", 60, 1, 1);
        table.keep("a", 0, 1, 1);
        assert_eq!(table.holds(1), ["b"]);
        table.keep("b", 60, 101, 1);
        assert_eq!((table.holds(1), table.0.octets), (vec![], 0));
    }

    #[test]
    fn over_either_bound_the_soonest_to_end_goes() {
        let mut table = Table::new(2, 100);
        for (key, seconds) in [("a", 30), ("b", 10), ("c", 20)] {
            table.keep(key, seconds, 1, 0);
        }
        assert_eq!(table.holds(0), ["a", "c"]);
        // The newcomer itself, if it is the one.
        table.keep("d", 5, 1, 0);
        assert_eq!(table.holds(0), ["a", "c"]);
        table.keep("e", 40, 99, 0);
        assert_eq!(table.holds(0), ["a", "e"]);
    }

    #[test]
    fn what_has_ended_is_taken_out_by_what_comes() {
        let mut table = Table::new(100, 100);
        let keys = ["a", "b", "c", "d", "e"];
        for key in keys {
            table.keep(key, 10, 1, 0);
        }
        for key in keys {
            table.keep(key, 10, 1, 20);
        }
        assert_eq!(table.0.entries.len(), 5);
        table.keep("f", 10, 1, 40);
        table.keep("g", 10, 1, 40);
        table.keep("h", 10, 1, 40);
        assert_eq!(table.0.entries.len(), 3);
    }

    #[test]
    fn what_comes_of_it_is_counted() {
        let mut table = Table::new(2, 100);
        assert_eq!(table.0.figures(), Figures::default());
        for (key, seconds) in [("a", 30), ("b", 10), ("c", 20)] {
            table.keep(key, seconds, 5, 0);
        }
        for (key, now) in [("a", 0), ("a", 29), ("a", 30), ("b", 0)] {
            table.0.find(&key, at(now));
            table.0.peek(&key, at(now));
        }
        let first = Figures {
            hits: 2,
            misses: 2,
            evictions: 1,
            entries: 2,
            octets: 10,
        };
        assert_eq!(table.0.figures(), first);
        // What has ended is swept, not driven out.
        table.keep("d", 30, 7, 50);
        table.0.find(&"d", at(50));
        let second = table.0.figures();
        let new = Figures {
            hits: 1,
            misses: 0,
            evictions: 0,
            entries: 1,
            octets: 7,
        };
        assert_eq!(second.since(&first), new);
        assert_eq!(first.since(&second), first);
    }
}
