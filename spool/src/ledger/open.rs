//! Hours that digests are still entered for: chained lists in memory, by the last bits of the index.
//!
//! Any hour has a list once something comes for it, so a late entry is found as any other. A digest that comes twice
//! is there twice, until the segment.

use std::collections::BTreeMap;

use vouchsafe_proto::residue::{Digest, INDEXES, Index, Kind};

use super::prefetch::prefetch;
use super::question::{Entry, Hours, Question};
use super::sort::{Raw, digest, raw};

/// Behind the last of a list.
const NONE: u32 = u32::MAX;

/// Lists that an hour begins with.
const LEAST: usize = 64;

/// One hour's digests, of one kind.
#[derive(Debug)]
pub(super) struct Lists {
    /// The first of each list; as many as a power of two.
    heads: Vec<u32>,
    links: Vec<Link>,
}

/// One digest, and the next of its list.
#[derive(Clone, Copy, Debug)]
struct Link {
    raw: Raw,
    next: u32,
}

impl Default for Lists {
    fn default() -> Self {
        Self {
            heads: vec![NONE; LEAST],
            links: Vec::new(),
        }
    }
}

impl Lists {
    /// Enters a digest; false if there is no number left for it.
    pub(super) fn insert(&mut self, digest: Digest) -> bool {
        let Ok(number) = u32::try_from(self.links.len()) else {
            return false;
        };
        if number == NONE {
            return false;
        }
        // The index has 24 bits: more lists would tell no digests apart.
        if self.links.len() >= self.heads.len() && self.heads.len() < INDEXES as usize {
            self.grow();
        }
        let list = self.list(digest.index());
        if let Some(head) = self.heads.get_mut(list) {
            self.links.push(Link {
                raw: raw(digest),
                next: *head,
            });
            *head = number;
        }
        true
    }

    /// Twice the lists.
    fn grow(&mut self) {
        let lists = self.heads.len().saturating_mul(2);
        self.heads.clear();
        self.heads.resize(lists, NONE);
        let mask = lists.saturating_sub(1);
        for (number, link) in (0..).zip(&mut self.links) {
            let list = digest(link.raw).index().number() as usize & mask;
            if let Some(head) = self.heads.get_mut(list) {
                link.next = *head;
                *head = number;
            }
        }
    }

    /// Where an index belongs.
    #[inline]
    fn list(&self, index: Index) -> usize {
        index.number() as usize & self.heads.len().saturating_sub(1)
    }

    /// Has the head fetched of the list of an index.
    #[inline]
    pub(super) fn fetch_head(&self, index: Index) {
        if let Some(head) = self.heads.get(self.list(index)) {
            prefetch(head);
        }
    }

    /// The number of the first of an index's list, and has it fetched.
    #[inline]
    pub(super) fn fetch_first(&self, index: Index) -> u32 {
        let head = self.heads.get(self.list(index)).copied().unwrap_or(NONE);
        if let Some(link) = self.links.get(head as usize) {
            prefetch(link);
        }
        head
    }

    /// Whether a list that begins with this number has what is asked for.
    #[inline]
    pub(super) fn is_listed(&self, mut number: u32, question: &Question) -> bool {
        while let Some(link) = self.links.get(number as usize) {
            if question.asks_for(digest(link.raw)) {
                return true;
            }
            number = link.next;
        }
        false
    }

    /// All digests, as they came.
    pub(super) fn digests(&self) -> impl ExactSizeIterator<Item = Raw> + Clone {
        self.links.iter().map(|link| link.raw)
    }

    pub(super) const fn len(&self) -> usize {
        self.links.len()
    }
}

/// The lists of all hours that something was entered for.
#[derive(Debug, Default)]
pub(super) struct OpenHours {
    lists: BTreeMap<(Kind, u32), Lists>,
}

impl OpenHours {
    /// Whether there is a number for so many more, were all of one hour.
    pub(super) fn has_room(&self, more: usize) -> bool {
        let there = self.lists.values().map(Lists::len);
        let there = there.fold(more, usize::saturating_add);
        there < NONE as usize
    }

    /// Enters digests; false if an hour is full, and what comes behind is not entered.
    pub(super) fn insert_all(&mut self, entries: &[Entry]) -> bool {
        let mut entries = entries;
        // Neighbours are mostly of one hour, which then is looked up but once.
        while let Some(first) = entries.first() {
            let together = |entry: &&Entry| entry.kind == first.kind && entry.hour == first.hour;
            let run = entries.iter().take_while(together).count();
            let (these, rest) = entries.split_at(run);
            let lists = self.lists.entry((first.kind, first.hour.number()));
            let lists = lists.or_default();
            if !these.iter().all(|entry| lists.insert(entry.digest)) {
                return false;
            }
            entries = rest;
        }
        true
    }

    /// The lists of these hours.
    pub(super) fn of(&self, kind: Kind, hours: Hours) -> impl Iterator<Item = &Lists> {
        let lists = self.lists.range((kind, hours.first())..(kind, hours.end()));
        lists.map(|(_, lists)| lists)
    }

    /// All of them, by kind and hour.
    pub(super) fn all(&self) -> impl Iterator<Item = (Kind, u32, &Lists)> {
        let all = self.lists.iter();
        all.map(|((kind, hour), lists)| (*kind, *hour, lists))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }
}
