//! Answers that may still be used, positive and negative, each for no longer than its TTL.
//!
//! Trouble is never kept: the next question may find it gone. What is kept is the answer at the
//! end of the aliases, under the name that was asked. Bounds and ends are [`crate::bounded`]'s.

use std::time::Duration;

use vouchsafe_proto::dns::{Answer, Lookup, Question, Records};
use vouchsafe_proto::time::Mono;

use super::filed::{ByNumber, Filed};
use crate::bounded::{Bounded, Bounds, Figures};

/// Answers kept: some 20,000 domains with the questions that one check asks of each. An answer can
/// hold 64 KiB, so entries alone bound nothing; octets are reckoned as in [`weight`].
pub const BOUNDS: Bounds = Bounds {
    entries: 100_000,
    octets: 32 << 20,
};

/// The cache. An answer is filed under its question, as one that a kept answer will do for.
#[derive(Debug)]
pub struct Cache(Bounded<Filed, Answer, ByNumber>);

impl Cache {
    /// An empty cache with these bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self(Bounded::new(bounds))
    }

    /// The answer, its TTL counted down and its age told, if it may still be used. None for a
    /// question that wants a fresh one.
    pub fn find(&mut self, question: &Filed, now: Mono) -> Option<Answer> {
        let (answer, given) = self.0.find(question, now)?;
        Some(aged(answer, given, now))
    }

    /// The same for whoever has looked already, and is counted.
    pub fn find_again(&self, question: &Filed, now: Mono) -> Option<Answer> {
        let (answer, given) = self.0.peek(question, now)?;
        Some(aged(answer, given, now))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What has come of it so far.
    pub fn figures(&self) -> Figures {
        self.0.figures()
    }

    /// Keeps an answer that a server has just given, in place of an older one. Trouble leaves the
    /// older one where it is: a server that fails now takes nothing back.
    pub fn keep(&mut self, question: &Filed, answer: &Answer, now: Mono) {
        if matches!(answer.lookup, Lookup::Trouble(_)) {
            return;
        }
        let key = question.cached();
        let (time, octets) = (
            Duration::from_secs(answer.ttl.into()),
            weight(key.question(), answer),
        );
        self.0.keep(key, answer.clone(), time, octets, now);
    }
}

/// The answer as it is after a while: the TTL is what is left in whole seconds, so that nothing
/// made from it outlives it.
fn aged(answer: &Answer, given: Mono, now: Mono) -> Answer {
    let millis = now.as_millis().saturating_sub(given.as_millis());
    let seconds = |millis: u64| u32::try_from(millis).unwrap_or(u32::MAX);
    Answer {
        ttl: answer.ttl.saturating_sub(seconds(millis.div_ceil(1000))),
        age: seconds(millis / 1000),
        ..answer.clone()
    }
}

/// About what an entry takes: its names twice (both maps), its records, and the maps' own part.
fn weight(question: &Question, answer: &Answer) -> usize {
    256 + 2 * question.name.as_str().len() + content_weight(answer)
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
        Lookup::Found(Records::Ptr(all) | Records::Ns(all)) => {
            all.iter().map(|name| 16 + name.as_str().len()).sum()
        }
        Lookup::Found(Records::Tlsa(all)) => all.iter().map(|tlsa| 24 + tlsa.data.len()).sum(),
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
    use std::sync::LazyLock;

    use super::*;
    use crate::dns::filed::Filing;
    use vouchsafe_proto::dns::{Freshness, Name, RecordType, Trouble};

    /// Each with a number of its own; what counts is that the same text has the same.
    fn key(text: &str) -> Filed {
        static FILING: LazyLock<Filing> = LazyLock::new(Filing::default);
        FILING.file(Question {
            name: Name::parse(text).expect("a name"),
            kind: RecordType::A,
            freshness: Freshness::Cached,
        })
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
        let mut cache = Cache::new(BOUNDS);
        let found = Lookup::Found(Records::A(vec![Ipv4Addr::LOCALHOST]));
        cache.keep(&key("a.example"), &answer(found.clone(), 77), at(10));
        let later = cache.find(&key("a.example"), at(12)).unwrap();
        assert_eq!((later.ttl, later.age, later.lookup), (75, 2, found));
        let later = cache.find(&key("a.example"), Mono::from_millis(12_001));
        let later = later.map(|answer| (answer.ttl, answer.age));
        assert_eq!(later, Some((74, 2)));
        assert!(cache.find(&key("a.example"), at(86)).is_some());
        assert!(cache.find(&key("a.example"), at(87)).is_none());
        assert!(cache.find(&key("b.example"), at(12)).is_none());
    }

    #[test]
    fn trouble_is_not_kept_and_a_ttl_of_zero_puts_out_the_old() {
        let mut cache = Cache::new(BOUNDS);
        let trouble = answer(Lookup::Trouble(Trouble::ServFail), 60);
        cache.keep(&key("a.example"), &trouble, at(0));
        assert!(cache.find(&key("a.example"), at(0)).is_none());
        cache.keep(&key("a.example"), &answer(Lookup::NxDomain, 60), at(0));
        cache.keep(&key("a.example"), &trouble, at(1));
        assert!(cache.find(&key("a.example"), at(1)).is_some());
        cache.keep(&key("a.example"), &answer(Lookup::NoData, 0), at(1));
        assert!(cache.find(&key("a.example"), at(1)).is_none());
    }

    #[test]
    fn an_answer_weighs_what_it_holds() {
        let mut cache = Cache::new(Bounds {
            entries: 10,
            octets: 1000,
        });
        let text = Lookup::Found(Records::Txt(vec![vec![0; 500].into()]));
        for name in ["a.example", "b.example"] {
            cache.keep(&key(name), &answer(text.clone(), 60), at(0));
        }
        assert!(cache.find(&key("a.example"), at(0)).is_none());
        assert!(cache.find(&key("b.example"), at(0)).is_some());
    }
}
