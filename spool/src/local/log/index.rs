//! Where everything lies: for each message its newest frames, for each segment what keeps it.
//!
//! All in memory, and built anew at start. With all that is known of how it waits a message costs the
//! process some 700 octets (docs/performance.md).
//!
//! A segment may be used again when nothing in it counts any more, and when nothing in it keeps
//! something dead that lies in another: a frame that says a message left must outlive every frame
//! that says it came or was tried. So each message knows the segments with older frames about it, and when
//! it leaves, the segment that says so waits for them, and for those with its last frames. One
//! only ever waits for those taken into use before it, so there is always one that waits for none.
//! Where a message is moved while it leaves, what says that it left may lie before what says that it
//! came. Then it must be said once more (`unsaid`); until it is, the segment that says it stays.
//!
//! What is moved, and what becomes of it, is `moving.rs`.

mod moving;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use vouchsafe_proto::queue_id::QueueId;

use super::body::{Place, size};

/// A segment in one of its uses: its number, and how many were taken into use before.
type Use = (u32, u64);

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
    near: u32,
    /// What most messages do not have.
    rest: Option<Box<Rest>>,
}

/// What most messages do not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rest {
    /// Octets of its content in other segments.
    far: Vec<(u32, u32)>,
    /// Segments that may have older frames about it.
    older: Vec<Use>,
    /// How often it was moved.
    copy: u32,
}

impl Item {
    /// One that was just taken, or moved for the `copy`th time.
    pub(in crate::local) fn new(
        body: Place,
        state: u64,
        copy: u32,
        content: &[(u32, u32)],
    ) -> Self {
        let is_near = |(segment, _): &&(u32, u32)| *segment == body.segment;
        let far: Vec<_> = content
            .iter()
            .filter(|each| !is_near(each))
            .copied()
            .collect();
        let older = Vec::new();
        let rest = (!far.is_empty() || copy > 0).then(|| Box::new(Rest { far, older, copy }));
        Self {
            body,
            progress: None,
            state,
            near: content
                .iter()
                .filter(is_near)
                .map(|(_, octets)| octets)
                .sum(),
            rest,
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
        let far = self.rest.iter().flat_map(|rest| rest.far.iter());
        let far = far.map(|(segment, octets)| (*segment, u64::from(*octets)));
        std::iter::once(near).chain(progress).chain(far)
    }

    /// How often it was moved.
    pub(in crate::local) fn copy(&self) -> u32 {
        self.rest.as_ref().map_or(0, |rest| rest.copy)
    }

    /// Segments that may have older frames about it.
    fn older(&self) -> &[Use] {
        self.rest.as_ref().map_or(&[], |rest| &rest.older)
    }
}

/// What keeps a segment.
#[derive(Debug, Default)]
struct Usage {
    /// Which use of all of all segments this is, in the order in which they were taken into use.
    nth: u64,
    /// Octets that count.
    live: u64,
    /// Nothing will be added any more.
    full: bool,
    /// Segments that must be used again before this one, all taken into use before it.
    first: BTreeSet<u32>,
}

/// A message that left, which must be said once more.
#[derive(Debug, Default)]
struct Unsaid {
    /// The segment that says so until then.
    said_in: Option<u32>,
    /// Segments with frames about it that may outlive that one.
    behind: Vec<Use>,
}

/// Where everything lies.
#[derive(Debug, Default)]
pub(in crate::local) struct Index {
    items: BTreeMap<QueueId, Item>,
    segments: Segments,
    /// Messages that are being moved.
    moving: BTreeSet<QueueId>,
    unsaid: BTreeMap<QueueId, Unsaid>,
}

/// What keeps each segment.
#[derive(Debug, Default)]
struct Segments {
    all: BTreeMap<u32, Usage>,
    /// How many were taken into use.
    opened: u64,
    /// A full segment has become one in which nothing counts.
    emptied: bool,
    /// Octets that count no more, since this was last asked.
    faded: u64,
}

impl Segments {
    /// What keeps a segment, which is taken into use if it was not.
    fn usage(&mut self, segment: u32) -> &mut Usage {
        let opened = &mut self.opened;
        self.all.entry(segment).or_insert_with(|| {
            *opened += 1;
            Usage {
                nth: *opened,
                ..Usage::default()
            }
        })
    }

    /// Its present use.
    fn present(&self, segment: u32) -> Option<Use> {
        self.all.get(&segment).map(|usage| (segment, usage.nth))
    }

    /// True if a use is the present one.
    fn is_present(&self, of: Use) -> bool {
        self.present(of.0) == Some(of)
    }

    /// `newer` has a frame without which one in `older` would count again.
    fn outlives(&mut self, newer: u32, older: u32) {
        if newer != older && self.all.contains_key(&older) {
            self.usage(newer).first.insert(older);
        }
    }

    /// A message's octets count in these segments.
    fn count(&mut self, item: &Item) {
        for (segment, octets) in item.shares() {
            self.usage(segment).live += octets;
        }
    }

    /// So many octets count no more.
    fn forget(&mut self, segment: u32, octets: u64) {
        if let Some(usage) = self.all.get_mut(&segment) {
            usage.live = usage.live.saturating_sub(octets);
            self.faded = self.faded.saturating_add(octets);
            self.emptied |= usage.full && usage.live == 0;
        }
    }

    /// Notes that a segment has an older frame about a message.
    fn note_older(&self, item: &mut Item, segment: u32) {
        let Some(of) = self.present(segment) else {
            return;
        };
        let counts = item.progress.map(|progress| progress.segment);
        if segment == item.body.segment || Some(segment) == counts {
            return;
        }
        let older = &mut item.rest.get_or_insert_default().older;
        if !older.contains(&of) {
            older.retain(|each| self.is_present(*each));
            older.push(of);
        }
    }
}

impl Index {
    /// One message.
    pub(in crate::local) fn get(&self, id: QueueId) -> Option<&Item> {
        self.items.get(&id)
    }

    /// Up to `limit` messages behind `after`, by id.
    pub(in crate::local) fn behind(&self, after: Option<QueueId>, limit: usize) -> Vec<QueueId> {
        let range = self.items.range((from(after), std::ops::Bound::Unbounded));
        range.map(|(id, _)| *id).take(limit).collect()
    }

    /// A segment that has or may get frames.
    pub(in crate::local) fn open(&mut self, segment: u32) {
        self.segments.usage(segment);
    }

    /// A message that was taken.
    pub(in crate::local) fn insert(&mut self, id: QueueId, item: Item) {
        self.segments.count(&item);
        self.items.insert(id, item);
    }

    /// A segment has an older frame about a message.
    pub(in crate::local) fn note_older(&mut self, id: QueueId, segment: u32) {
        if let Some(item) = self.items.get_mut(&id) {
            self.segments.note_older(item, segment);
        }
    }

    /// A message that was tried, with where that is written.
    pub(in crate::local) fn settle(&mut self, id: QueueId, state: u64, progress: Place) {
        let Some(item) = self.items.get_mut(&id) else {
            // It left before this was known: nobody has waited for it.
            self.say_again(id, None, progress.segment);
            return;
        };
        if item.state >= state {
            return self.segments.note_older(item, progress.segment);
        }
        item.state = state;
        let old = item.progress.replace(progress);
        self.segments.usage(progress.segment).live += u64::from(progress.len);
        if let Some(old) = old {
            self.segments.note_older(item, old.segment);
            self.segments.forget(old.segment, u64::from(old.len));
        }
    }

    /// A message that left, with the segment in which that is written.
    pub(in crate::local) fn remove(&mut self, id: QueueId, said_in: u32) {
        let Some(item) = self.items.remove(&id) else {
            return;
        };
        let older = item.older().iter();
        let older = older.filter(|of| self.segments.is_present(**of));
        let mut about: Vec<u32> = older.map(|(segment, _)| *segment).collect();
        about.push(item.body.segment);
        about.extend(item.progress.map(|progress| progress.segment));
        if self.moving.contains(&id) {
            self.unsaid.entry(id).or_default().said_in = Some(said_in);
        }
        for segment in about {
            self.left(id, said_in, segment);
        }
        for (segment, octets) in item.shares() {
            self.segments.forget(segment, octets);
        }
    }

    /// `said_in` says that a message left, of which there is a frame in `segment`.
    fn left(&mut self, id: QueueId, said_in: u32, segment: u32) {
        let nth = |segment| self.segments.present(segment).map(|(_, nth)| nth);
        if nth(segment) > nth(said_in) {
            self.say_again(id, Some(said_in), segment);
        } else {
            self.segments.outlives(said_in, segment);
        }
    }

    /// That a message left must be said once more, behind a segment that has a frame about it; until
    /// then the segment that says it must stay.
    pub(in crate::local) fn say_again(&mut self, id: QueueId, said_in: Option<u32>, segment: u32) {
        let unsaid = self.unsaid.entry(id).or_default();
        unsaid.said_in = unsaid.said_in.or(said_in);
        unsaid.behind.extend(self.segments.present(segment));
    }

    /// A message of which it must be said once more that it left, if there is one that is not being
    /// moved.
    pub(in crate::local) fn unsaid(&self) -> Option<QueueId> {
        let mut unsaid = self.unsaid.keys();
        unsaid.find(|id| !self.moving.contains(id)).copied()
    }

    /// It was, in this segment.
    pub(in crate::local) fn said(&mut self, id: QueueId, said_in: u32) {
        let Some(unsaid) = self.unsaid.remove(&id) else {
            return;
        };
        for of in unsaid.behind {
            if self.segments.is_present(of) {
                self.segments.outlives(said_in, of.0);
            }
        }
    }

    /// `newer` has a frame without which one in `older` would count again.
    pub(in crate::local) fn outlives(&mut self, newer: u32, older: u32) {
        self.segments.outlives(newer, older);
    }

    /// Nothing will be added to a segment any more.
    pub(in crate::local) fn close(&mut self, segment: u32) {
        self.segments.usage(segment).full = true;
    }

    /// True if a full segment has become one in which nothing counts, since this was last asked.
    pub(in crate::local) fn take_emptied(&mut self) -> bool {
        std::mem::take(&mut self.segments.emptied)
    }

    /// True if so many octets have come to count no more since this was last true.
    pub(in crate::local) fn take_faded(&mut self, octets: u64) -> bool {
        let enough = self.segments.faded >= octets;
        if enough {
            self.segments.faded = 0;
        }
        enough
    }

    /// True if the segment may be used again.
    pub(in crate::local) fn is_free(&self, segment: u32) -> bool {
        let mut unsaid = self.unsaid.values();
        unsaid.all(|unsaid| unsaid.said_in != Some(segment))
            && self
                .segments
                .all
                .get(&segment)
                .is_none_or(|usage| usage.live == 0 && usage.first.is_empty())
    }

    /// A segment whose frames are none any more, durably.
    pub(in crate::local) fn free(&mut self, segment: u32) {
        self.segments.all.remove(&segment);
        for usage in self.segments.all.values_mut() {
            usage.first.remove(&segment);
        }
    }
}

/// Behind a message, or from the first on.
fn from(after: Option<QueueId>) -> std::ops::Bound<QueueId> {
    after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded)
}

/// Octets of a place, to be read.
pub(in crate::local) fn octets(place: Place) -> Vec<u8> {
    vec![0; size(place.len)]
}
