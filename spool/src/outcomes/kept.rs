//! The outcomes that count, in memory: by key, by age, by client.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use vouchsafe_proto::time::Wall;

use super::record::Line;
use super::{OutcomeCaps, OutcomeKey, Remembered};

/// The outcomes.
#[derive(Debug)]
pub(super) struct Kept {
    caps: OutcomeCaps,
    entries: HashMap<Arc<OutcomeKey>, Entry>,
    /// Keys in the order in which they were written last.
    order: BTreeMap<u64, Arc<OutcomeKey>>,
    /// Places in that order, by client.
    clients: HashMap<Box<str>, BTreeSet<u64>>,
    /// The next place.
    next: u64,
    /// Of all lines that count.
    octets: u64,
    newest: Wall,
}

#[derive(Debug)]
struct Entry {
    place: u64,
    len: u64,
    remembered: Remembered,
}

impl Kept {
    /// None yet.
    pub(super) fn new(caps: OutcomeCaps) -> Self {
        Self {
            caps,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            clients: HashMap::new(),
            next: 0,
            octets: 0,
            newest: Wall::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Octets of the lines that count.
    pub(super) const fn octets(&self) -> u64 {
        self.octets
    }

    pub(super) fn get(&self, key: &OutcomeKey) -> Option<&Remembered> {
        self.entries.get(key).map(|entry| &entry.remembered)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&OutcomeKey, &Remembered)> {
        let entries = self.entries.iter();
        entries.map(|(key, entry)| (&**key, &entry.remembered))
    }

    /// What is written anew, the oldest first: read back in that order it comes to the same.
    pub(super) fn lines(&self) -> Vec<Line> {
        let keys = self.order.values();
        keys.filter_map(|key| {
            let entry = self.entries.get(key)?;
            Some(((**key).clone(), Some(entry.remembered)))
        })
        .collect()
    }

    /// Takes a line of so many octets in; the oldest go where there are too many.
    pub(super) fn apply(&mut self, (key, remembered): Line, len: u64) {
        self.remove(&key);
        let Some(remembered) = remembered else {
            return;
        };
        self.newest = self.newest.max(remembered.at);
        let place = self.next;
        self.next = self.next.saturating_add(1);
        self.octets = self.octets.saturating_add(len);
        let client = key.client.clone();
        let key = Arc::new(key);
        self.order.insert(place, Arc::clone(&key));
        let entry = Entry {
            place,
            len,
            remembered,
        };
        self.entries.insert(key, entry);
        let of_client = self.clients.entry(client).or_default();
        of_client.insert(place);
        if of_client.len() > self.caps.per_client
            && let Some(oldest) = of_client.first().copied()
        {
            self.remove_at(oldest);
        }
        while (self.entries.len() > self.caps.total || self.octets > self.caps.octets)
            && let Some((oldest, _)) = self.order.first_key_value()
        {
            self.remove_at(*oldest);
        }
    }

    /// Drops what is over at `now`.
    pub(super) fn expire(&mut self, now: Wall) {
        while let Some((place, key)) = self.order.first_key_value() {
            let is_over = self.get(key).is_none_or(|kept| kept.is_over(now));
            if !is_over {
                break;
            }
            self.remove_at(*place);
        }
    }

    /// The same, at the time of the newest.
    pub(super) fn expire_by_newest(&mut self) {
        self.expire(self.newest);
    }

    fn remove_at(&mut self, place: u64) {
        if let Some(key) = self.order.get(&place).cloned() {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &OutcomeKey) {
        let Some(entry) = self.entries.remove(key) else {
            return;
        };
        self.octets = self.octets.saturating_sub(entry.len);
        self.order.remove(&entry.place);
        if let Some(places) = self.clients.get_mut(&key.client) {
            places.remove(&entry.place);
            if places.is_empty() {
                self.clients.remove(&key.client);
            }
        }
    }
}
