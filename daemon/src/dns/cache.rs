//! Answers that may still be used, positive and negative, each for no longer than its TTL.
//!
//! Trouble is never kept: the next question may find it gone. What is kept is the answer at the
//! end of the aliases, under the name that was asked. Bounded in entries and in octets; over
//! either bound the answers that would end soonest go first. They cost one question more, never a
//! wrong verdict.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use vouchsafe_proto::dns::{Answer, Lookup, Name, RecordType, Records};
use vouchsafe_proto::time::Mono;

/// Answers kept: some 20,000 domains with the questions that one check asks of each.
pub const MAX_ENTRIES: usize = 100_000;

/// Octets kept, reckoned as in [`weight`]. An answer can hold 64 KiB, so entries alone bound nothing.
pub const MAX_OCTETS: usize = 32 << 20;

/// What an answer is filed under.
pub type Key = (Name, RecordType);

/// The cache.
#[derive(Debug)]
pub struct Cache {
    entries: HashMap<Key, Entry>,
    /// The keys by the end of their time; the number keeps those of one moment apart.
    ends: BTreeMap<(Mono, u64), Key>,
    serial: u64,
    octets: usize,
    max_entries: usize,
    max_octets: usize,
}

#[derive(Debug)]
struct Entry {
    answer: Answer,
    given: Mono,
    end: (Mono, u64),
    octets: usize,
}

impl Cache {
    /// An empty cache with these bounds.
    pub fn new(max_entries: usize, max_octets: usize) -> Self {
        Self {
            entries: HashMap::new(),
            ends: BTreeMap::new(),
            serial: 0,
            octets: 0,
            max_entries,
            max_octets,
        }
    }

    /// The answer, its TTL counted down and its age told, if it may still be used.
    pub fn find(&self, key: &Key, now: Mono) -> Option<Answer> {
        let entry = self.entries.get(key)?;
        if entry.end.0 <= now {
            return None;
        }
        let age = seconds_between(entry.given, now);
        let mut answer = entry.answer.clone();
        answer.ttl = answer.ttl.saturating_sub(age);
        answer.age = age;
        Some(answer)
    }

    /// Keeps an answer that a server has just given, in place of an older one. Trouble leaves the
    /// older one where it is: a server that fails now takes nothing back.
    pub fn keep(&mut self, key: Key, answer: &Answer, now: Mono) {
        if matches!(answer.lookup, Lookup::Trouble(_)) {
            return;
        }
        self.remove(&key);
        let octets = weight(&key, answer);
        if answer.ttl == 0 || octets > self.max_octets {
            return;
        }
        self.serial += 1;
        let end = (
            now.plus(Duration::from_secs(answer.ttl.into())),
            self.serial,
        );
        self.ends.insert(end, key.clone());
        self.octets += octets;
        let answer = answer.clone();
        self.entries.insert(
            key,
            Entry {
                answer,
                given: now,
                end,
                octets,
            },
        );
        while self.entries.len() > self.max_entries || self.octets > self.max_octets {
            let Some((_, key)) = self.ends.pop_first() else {
                return;
            };
            self.remove(&key);
        }
    }

    /// Takes an answer out.
    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.ends.remove(&entry.end);
            self.octets -= entry.octets;
        }
    }
}

/// Whole seconds from one moment to a later one.
fn seconds_between(from: Mono, to: Mono) -> u32 {
    let millis = to.as_millis().saturating_sub(from.as_millis());
    u32::try_from(millis / 1000).unwrap_or(u32::MAX)
}

/// About what an entry takes: its names twice (both maps), its records, and the maps' own part.
fn weight((name, _): &Key, answer: &Answer) -> usize {
    256 + 2 * name.as_str().len() + content_weight(answer)
}

/// About what an answer's records and aliases take.
pub fn content_weight(answer: &Answer) -> usize {
    let records = match &answer.lookup {
        Lookup::Found(Records::A(all)) => all.len() * 4,
        Lookup::Found(Records::Aaaa(all)) => all.len() * 16,
        Lookup::Found(Records::Mx(all)) => {
            all.iter().map(|mx| 32 + mx.exchange.as_str().len()).sum()
        }
        Lookup::Found(Records::Txt(all)) => all.iter().map(|text| 16 + text.len()).sum(),
        Lookup::Found(Records::Ptr(all)) => all.iter().map(|name| 16 + name.as_str().len()).sum(),
        Lookup::NoData | Lookup::NxDomain | Lookup::AliasLimit | Lookup::Trouble(_) => 0,
    };
    let aliases: usize = answer
        .aliases
        .iter()
        .map(|name| 16 + name.as_str().len())
        .sum();
    records + aliases
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use vouchsafe_proto::dns::Trouble;

    fn key(text: &str) -> Key {
        (Name::parse(text).expect("a name"), RecordType::A)
    }

    fn answer(lookup: Lookup, ttl: u32) -> Answer {
        Answer {
            ttl,
            ..Answer::bare(lookup)
        }
    }

    fn at(seconds: u64) -> Mono {
        Mono::from_millis(seconds * 1000)
    }

    #[test]
    fn an_answer_ages_and_ends_with_its_ttl() {
        let mut cache = Cache::new(10, 1 << 20);
        let found = Lookup::Found(Records::A(vec![Ipv4Addr::LOCALHOST]));
        cache.keep(key("a.example"), &answer(found.clone(), 77), at(10));
        let later = cache.find(&key("a.example"), at(12)).unwrap();
        assert_eq!((later.ttl, later.age, later.lookup), (75, 2, found));
        assert!(cache.find(&key("a.example"), at(86)).is_some());
        assert!(cache.find(&key("a.example"), at(87)).is_none());
        assert!(cache.find(&key("b.example"), at(12)).is_none());
    }

    #[test]
    fn trouble_is_not_kept_and_a_ttl_of_zero_puts_out_the_old() {
        let mut cache = Cache::new(10, 1 << 20);
        let trouble = answer(Lookup::Trouble(Trouble::ServFail), 60);
        cache.keep(key("a.example"), &trouble, at(0));
        assert!(cache.find(&key("a.example"), at(0)).is_none());
        cache.keep(key("a.example"), &answer(Lookup::NxDomain, 60), at(0));
        cache.keep(key("a.example"), &trouble, at(1));
        assert!(cache.find(&key("a.example"), at(1)).is_some());
        cache.keep(key("a.example"), &answer(Lookup::NoData, 0), at(1));
        assert!(cache.find(&key("a.example"), at(1)).is_none());
        assert_eq!((cache.octets, cache.ends.len()), (0, 0));
    }

    #[test]
    fn over_a_bound_the_soonest_to_end_goes() {
        let mut cache = Cache::new(2, 1 << 20);
        for (name, ttl) in [("a.example", 30), ("b.example", 10), ("c.example", 20)] {
            cache.keep(key(name), &answer(Lookup::NxDomain, ttl), at(0));
        }
        assert!(cache.find(&key("b.example"), at(0)).is_none());
        assert!(cache.find(&key("a.example"), at(0)).is_some());
        assert!(cache.find(&key("c.example"), at(0)).is_some());

        let mut cache = Cache::new(10, 1000);
        let text = Lookup::Found(Records::Txt(vec![vec![0; 500].into()]));
        for name in ["a.example", "b.example"] {
            cache.keep(key(name), &answer(text.clone(), 60), at(0));
        }
        assert_eq!(cache.entries.len(), 1);
        assert!(cache.octets <= 1000);
    }
}
