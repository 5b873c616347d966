//! Recipients at their next hops, each with something that holds for a time, the oldest out when there
//! are too many.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;

use crate::time::Wall;

/// How many entries there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// In all.
    pub total: usize,
    /// Of one next hop.
    pub per_next_hop: usize,
}

/// Since when an entry holds; the number keeps those of one moment apart.
type Since = (Wall, u64);

/// The table.
#[derive(Debug)]
pub(super) struct Table<Value> {
    room: Room,
    /// How long an entry holds.
    time: Duration,
    /// None is empty.
    hops: BTreeMap<Arc<str>, Hop<Value>>,
    /// All entries, the oldest first.
    ages: BTreeMap<Since, (Arc<str>, Arc<str>)>,
    serial: u64,
}

/// The entries of one next hop.
#[derive(Debug)]
struct Hop<Value> {
    name: Arc<str>,
    entries: BTreeMap<Arc<str>, (Since, Value)>,
    ages: BTreeMap<Since, Arc<str>>,
}

impl<Value> Table<Value> {
    /// An empty one.
    pub(super) const fn new(room: Room, time: Duration) -> Self {
        Self {
            room,
            time,
            hops: BTreeMap::new(),
            ages: BTreeMap::new(),
            serial: 0,
        }
    }

    /// What holds, and since when. What is of a time that is yet to come holds not: the clock was set
    /// back, and how old it is cannot be said.
    pub(super) fn find(&self, hop: &str, recipient: &str, now: Wall) -> Option<(Wall, &Value)> {
        let ((since, _), value) = self.hops.get(hop)?.entries.get(recipient)?;
        self.holds(*since, now).then_some((*since, value))
    }

    /// Keeps this in place of what there is, if it still holds now. Over a bound the oldest goes, which may
    /// be this one.
    pub(super) fn keep(
        &mut self,
        hop: &str,
        recipient: &str,
        value: Value,
        since: Wall,
        now: Wall,
    ) {
        self.remove(hop, recipient);
        self.sweep(now);
        if !self.holds(since, now) {
            return;
        }
        self.serial = self.serial.saturating_add(1);
        let since = (since, self.serial);
        let there = match self.hops.get_mut(hop) {
            Some(there) => there,
            None => self.hops.entry(hop.into()).or_insert_with(|| Hop {
                name: hop.into(),
                entries: BTreeMap::new(),
                ages: BTreeMap::new(),
            }),
        };
        let recipient: Arc<str> = recipient.into();
        there.entries.insert(Arc::clone(&recipient), (since, value));
        there.ages.insert(since, Arc::clone(&recipient));
        let oldest = (there.entries.len() > self.room.per_next_hop)
            .then(|| {
                there
                    .ages
                    .first_key_value()
                    .map(|(_, oldest)| Arc::clone(oldest))
            })
            .flatten();
        self.ages
            .insert(since, (Arc::clone(&there.name), recipient));
        if let Some(oldest) = oldest {
            self.remove(hop, &oldest);
        }
        while self.ages.len() > self.room.total {
            self.remove_first();
        }
    }

    /// Takes one out; true if it was there.
    pub(super) fn remove(&mut self, hop: &str, recipient: &str) -> bool {
        let Some(there) = self.hops.get_mut(hop) else {
            return false;
        };
        let Some((since, _)) = there.entries.remove(recipient) else {
            return false;
        };
        there.ages.remove(&since);
        self.ages.remove(&since);
        if there.entries.is_empty() {
            self.hops.remove(hop);
        }
        true
    }

    /// Entries; some may hold no longer.
    pub(super) fn len(&self) -> usize {
        self.ages.len()
    }

    /// All entries, the oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = (Wall, &str, &str, &Value)> {
        self.ages
            .iter()
            .filter_map(|((since, _), (hop, recipient))| {
                let (_, value) = self.hops.get(hop)?.entries.get(recipient)?;
                Some((*since, &**hop, &**recipient, value))
            })
    }

    fn holds(&self, since: Wall, now: Wall) -> bool {
        since <= now && now.since(since) < self.time
    }

    /// Takes out a few that hold no longer: more than one for each that comes, so that they cannot pile up.
    fn sweep(&mut self, now: Wall) {
        for _ in 0..2 {
            let oldest = self.ages.first_key_value().map(|((since, _), _)| *since);
            if oldest.is_some_and(|since| now.since(since) >= self.time) {
                self.remove_first();
            }
        }
    }

    /// Takes out the oldest.
    fn remove_first(&mut self) {
        let oldest = self.ages.first_key_value();
        if let Some((hop, recipient)) = oldest.map(|(_, entry)| entry.clone()) {
            self.remove(&hop, &recipient);
        }
    }
}
