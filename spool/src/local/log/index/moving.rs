//! Which segments are to be emptied, what is in them, and where it is when it was moved.
//!
//! The rule is in docs/queue.md: what is dead must outweigh what counts several times, so that what is
//! moved is little beside what comes back. Whoever moves is `compact.rs`.

use std::collections::{BTreeMap, BTreeSet};

use vouchsafe_proto::queue_id::QueueId;

use super::{Index, Item, Usage, from};

impl Index {
    /// Up to `limit` messages behind `after` that have anything in these segments, and how far that
    /// is; nothing, if there are none behind.
    pub(in crate::local) fn in_segments(
        &self,
        segments: &BTreeSet<u32>,
        after: Option<QueueId>,
        limit: usize,
    ) -> Option<(Vec<QueueId>, QueueId)> {
        let range = self.items.range((from(after), std::ops::Bound::Unbounded));
        let mut found = Vec::new();
        let mut last = None;
        for (id, item) in range.take(limit) {
            last = Some(*id);
            if item
                .shares()
                .any(|(segment, _)| segments.contains(&segment))
            {
                found.push(*id);
            }
        }
        Some((found, last?))
    }

    /// A message begins to be moved. False if it is not there.
    pub(in crate::local) fn begin_move(&mut self, id: QueueId) -> bool {
        let is_there = self.items.contains_key(&id);
        if is_there {
            self.moving.insert(id);
        }
        is_there
    }

    /// It was not moved after all.
    pub(in crate::local) fn end_move(&mut self, id: QueueId) {
        self.moving.remove(&id);
    }

    /// It was moved: the copy is durable, and has all that was known of the message when it had
    /// this state. What has become of the message since counts.
    pub(in crate::local) fn moved(&mut self, id: QueueId, state: u64, mut to: Item) {
        self.moving.remove(&id);
        let Some(old) = self.items.remove(&id) else {
            return self.say_again(id, None, to.body.segment);
        };
        let mut about = vec![old.body.segment];
        if old.state > state {
            to.state = old.state;
            to.progress = old.progress;
        } else {
            about.extend(old.progress.map(|progress| progress.segment));
        }
        if let Some(rest) = &mut to.rest {
            rest.older = old.older().to_vec();
        }
        for segment in about {
            self.segments.note_older(&mut to, segment);
        }
        self.segments.count(&to);
        for (segment, octets) in old.shares() {
            self.segments.forget(segment, octets);
        }
        self.items.insert(id, to);
    }

    /// Octets that count in a segment.
    pub(in crate::local) fn live(&self, segment: u32) -> u64 {
        self.segments
            .all
            .get(&segment)
            .map_or(0, |usage| usage.live)
    }

    /// The full segments of these, with the octets of each, that are to be emptied, the emptiest
    /// first (docs/queue.md): as many as it takes for the log to be no more than twice as large as
    /// what counts in it, and `slack` besides. Without a slack the disk has no room: any of which so
    /// little counts that it is well worth what is kept for outcomes, and that is then free at once.
    pub(in crate::local) fn victims(&self, sizes: &[(u32, u64)], slack: Option<u64>) -> Vec<u32> {
        let mut order: Vec<_> = sizes
            .iter()
            .filter_map(|(segment, size)| Some((self.segments.all.get(segment)?, *segment, *size)))
            .collect();
        order.sort_unstable_by_key(|(usage, ..)| usage.nth);
        // What will be used again in any case, one behind the other.
        let mut free = BTreeSet::new();
        for (usage, segment, _) in &order {
            if usage.live == 0 && usage.first.is_subset(&free) {
                free.insert(*segment);
            }
        }
        order.retain(|(_, segment, _)| !free.contains(segment));
        let live: u64 = order.iter().map(|(usage, ..)| usage.live).sum();
        let mut total: u64 = order.iter().map(|(.., size)| size).sum();
        let most = slack.map_or(0, |slack| live.saturating_mul(2).saturating_add(slack));
        let mut victims = Vec::new();
        for (segment, weight) in Self::candidates(&order, &free) {
            if total <= most {
                break;
            }
            let waits = |usage: &Usage| usage.live > weight / 8 || !usage.first.is_subset(&free);
            if slack.is_none() && self.segments.all.get(&segment).is_some_and(waits) {
                continue;
            }
            total = total.saturating_sub(weight);
            victims.push(segment);
        }
        victims
    }

    /// Segments of which less than a quarter counts, with what each is to blame for: its own octets,
    /// and those of empty ones that wait for it.
    fn candidates(
        order: &[(&Usage, u32, u64)],
        free: &BTreeSet<u32>,
    ) -> impl Iterator<Item = (u32, u64)> {
        let mut burden: BTreeMap<u32, u64> = BTreeMap::new();
        let mut found = Vec::new();
        for (usage, segment, size) in order.iter().rev() {
            let weight = size.saturating_add(burden.remove(segment).unwrap_or(0));
            if usage.live == 0 {
                let first: Vec<_> = usage.first.difference(free).collect();
                let count = u64::try_from(first.len()).unwrap_or(u64::MAX).max(1);
                for older in first {
                    *burden.entry(*older).or_default() += weight / count;
                }
            } else if usage.full && usage.live < weight / 4 {
                let share = usage.live.saturating_mul(1000) / weight.max(1);
                found.push((share, usage.nth, *segment, weight));
            }
        }
        found.sort_unstable();
        found
            .into_iter()
            .map(|(.., segment, weight)| (segment, weight))
    }
}
