//! Where everything lies: for each message its newest frames, for each segment what keeps it.
//!
//! All in memory, and built anew at start. An entry takes about a hundred octets; with its due
//! time a message costs about two hundred.
//!
//! A segment may be used again when nothing in it counts any more, and when nothing in it keeps
//! something dead that lies in an older segment: a frame that says a message left must outlive the frame
//! that says it came. So each segment has a list of older ones that must go first. The
//! list always points from the segment with the newer frame to the older one, so there is always
//! a segment that waits for none.

use std::collections::{BTreeMap, BTreeSet};

use vouchsafe_proto::queue_id::QueueId;

use super::body::{Place, size};

/// Where a message lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::local) struct Item {
    /// Its body.
    pub(in crate::local) body: Place,
    /// Its progress record, where that is newer than the one in the body.
    pub(in crate::local) progress: Option<Place>,
    /// The number of its last settlement.
    pub(in crate::local) state: u64,
    /// Octets of its content in the body's segment.
    pub(in crate::local) near: u32,
    /// And in others.
    pub(in crate::local) far: Option<Box<[(u32, u32)]>>,
}

impl Item {
    /// One that was just taken.
    pub(in crate::local) fn new(body: Place, state: u64, content: &[(u32, u32)]) -> Self {
        let is_near = |(segment, _): &&(u32, u32)| *segment == body.segment;
        let far: Vec<_> = content
            .iter()
            .filter(|each| !is_near(each))
            .copied()
            .collect();
        Self {
            body,
            progress: None,
            state,
            near: content
                .iter()
                .filter(is_near)
                .map(|(_, octets)| octets)
                .sum(),
            far: (!far.is_empty()).then(|| far.into()),
        }
    }

    /// What it takes in all.
    pub(in crate::local) fn octets(&self) -> u64 {
        self.shares().map(|(_, octets)| octets).sum()
    }

    /// What it takes of each segment. One may come more than once.
    pub(in crate::local) fn shares(&self) -> impl Iterator<Item = (u32, u64)> {
        let near = (
            self.body.segment,
            u64::from(self.body.len) + u64::from(self.near),
        );
        let progress = self.progress.map(|at| (at.segment, u64::from(at.len)));
        let far = self.far.iter().flat_map(|far| far.iter());
        let far = far.map(|(segment, octets)| (*segment, u64::from(*octets)));
        std::iter::once(near).chain(progress).chain(far)
    }
}

/// What keeps a segment.
#[derive(Debug, Default)]
struct Usage {
    /// Octets that count.
    live: u64,
    /// Nothing will be added any more.
    full: bool,
    /// Older segments that must be used again before this one.
    first: BTreeSet<u32>,
}

/// Where everything lies.
#[derive(Debug, Default)]
pub(in crate::local) struct Index {
    items: BTreeMap<QueueId, Item>,
    segments: BTreeMap<u32, Usage>,
    /// A full segment has become one in which nothing counts.
    emptied: bool,
}

impl Index {
    /// One message.
    pub(in crate::local) fn get(&self, id: QueueId) -> Option<&Item> {
        self.items.get(&id)
    }

    /// Up to `limit` messages behind `after`, by id.
    pub(in crate::local) fn behind(&self, after: Option<QueueId>, limit: usize) -> Vec<QueueId> {
        let from = match after {
            Some(id) => std::ops::Bound::Excluded(id),
            None => std::ops::Bound::Unbounded,
        };
        let range = self.items.range((from, std::ops::Bound::Unbounded));
        range.map(|(id, _)| *id).take(limit).collect()
    }

    /// A segment that has or may get frames.
    pub(in crate::local) fn open(&mut self, segment: u32) {
        self.segments.entry(segment).or_default();
    }

    /// A message that was taken.
    pub(in crate::local) fn insert(&mut self, id: QueueId, item: Item) {
        for (segment, octets) in item.shares() {
            self.segments.entry(segment).or_default().live += octets;
        }
        self.items.insert(id, item);
    }

    /// A message that was tried, with where that is written.
    pub(in crate::local) fn settle(&mut self, id: QueueId, state: u64, progress: Place) {
        let Some(item) = self.items.get_mut(&id).filter(|item| item.state < state) else {
            return;
        };
        item.state = state;
        let (body, old) = (item.body, item.progress.replace(progress));
        let segment = self.segments.entry(progress.segment).or_default();
        segment.live += u64::from(progress.len);
        self.outlives(progress.segment, body.segment);
        if let Some(old) = old {
            self.outlives(progress.segment, old.segment);
            self.forget(old.segment, u64::from(old.len));
        }
    }

    /// A message that left, with the segment in which that is written.
    pub(in crate::local) fn remove(&mut self, id: QueueId, said_in: u32) {
        let Some(item) = self.items.remove(&id) else {
            return;
        };
        self.outlives(said_in, item.body.segment);
        if let Some(progress) = item.progress {
            self.outlives(said_in, progress.segment);
        }
        for (segment, octets) in item.shares() {
            self.forget(segment, octets);
        }
    }

    /// `newer` has a frame without which one in `older` would count again.
    pub(in crate::local) fn outlives(&mut self, newer: u32, older: u32) {
        if newer != older && self.segments.contains_key(&older) {
            self.segments.entry(newer).or_default().first.insert(older);
        }
    }

    /// So many octets count no more.
    fn forget(&mut self, segment: u32, octets: u64) {
        if let Some(usage) = self.segments.get_mut(&segment) {
            usage.live = usage.live.saturating_sub(octets);
            self.emptied |= usage.full && usage.live == 0;
        }
    }

    /// Nothing will be added to a segment any more.
    pub(in crate::local) fn close(&mut self, segment: u32) {
        self.segments.entry(segment).or_default().full = true;
    }

    /// True if a full segment has become one in which nothing counts, since this was last asked.
    pub(in crate::local) fn take_emptied(&mut self) -> bool {
        std::mem::take(&mut self.emptied)
    }

    /// True if the segment may be used again.
    pub(in crate::local) fn is_free(&self, segment: u32) -> bool {
        self.segments
            .get(&segment)
            .is_none_or(|usage| usage.live == 0 && usage.first.is_empty())
    }

    /// A segment whose frames are none any more, durably.
    pub(in crate::local) fn free(&mut self, segment: u32) {
        self.segments.remove(&segment);
        for usage in self.segments.values_mut() {
            usage.first.remove(&segment);
        }
    }
}

/// Octets of a place, to be read.
pub(in crate::local) fn octets(place: Place) -> Vec<u8> {
    vec![0; size(place.len)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(segment: u32, len: u32) -> Place {
        let offset = 12_288;
        Place {
            segment,
            offset,
            len,
        }
    }

    #[test]
    fn what_says_that_a_message_left_outlives_what_says_that_it_came() {
        let id = QueueId::from_u128(1).unwrap();
        let mut index = Index::default();
        for segment in 1..=4 {
            index.open(segment);
        }
        index.insert(id, Item::new(place(2, 100), 0, &[(1, 50), (2, 7)]));
        assert!(!index.is_free(1) && !index.is_free(2) && index.is_free(3));
        index.settle(id, 7, place(3, 10));
        index.settle(id, 9, place(4, 20));
        index.settle(id, 8, place(4, 30));
        assert_eq!(index.get(id).unwrap().state, 9);
        assert!(!index.is_free(3), "it outlives 2, which came first");
        index.remove(id, 4);
        assert!(index.is_free(1), "content alone brings nothing back");
        assert!(index.is_free(2) && !index.is_free(3) && !index.is_free(4));
        index.free(2);
        assert!(index.is_free(3) && !index.is_free(4));
        index.free(3);
        assert!(index.is_free(4));
    }
}
