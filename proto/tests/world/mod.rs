//! A world that answers DNS questions, for tests: zones in the form of zone files, wildcards by
//! RFC 4592, NODATA and NXDOMAIN apart (an empty non-terminal exists), aliases followed through
//! `dns::chase`, zones that fail, and single answers that no name server would give.
//!
//! Names in no zone do not exist, as under a server that also serves an empty root zone.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests; not every test binary uses all of it"
)]

pub mod drive;
pub mod zone_file;

use std::collections::{BTreeMap, BTreeSet};

use vouchsafe_proto::dns::{
    Alias, Answer, Chase, Freshness, Lookup, Name, Question, RecordType, Records, Trouble, chase,
};

use self::zone_file::{Rdata, Record};

/// One zone.
#[derive(Clone, Debug, Default)]
struct Zone {
    /// Records by owner.
    records: BTreeMap<Name, Vec<Record>>,
    /// Every name that exists: owners, and the empty non-terminals above them.
    names: BTreeSet<Name>,
    /// Answered with SERVFAIL, whatever is asked.
    fails: bool,
}

/// Everything there is to ask.
#[derive(Clone, Debug, Default)]
pub struct World {
    zones: BTreeMap<Name, Zone>,
    /// Answers given as they stand, to any question for this name and type.
    fixed: BTreeMap<(Name, RecordType), Answer>,
    /// Answers from a cache: given unless the question wants a fresh one.
    cached: BTreeMap<(Name, RecordType), Answer>,
    /// Names from whose zones answers are secure, with all below them.
    signed: BTreeSet<Name>,
    /// Questions that nobody ever answers.
    silent: BTreeSet<(Name, RecordType)>,
}

impl World {
    /// A world in which nothing exists.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a zone from zone-file lines (`owner ttl type rdata`).
    pub fn zone(&mut self, origin: &str, text: &str) -> &mut Self {
        let origin = Name::parse(origin).unwrap();
        let records = zone_file::parse(&origin, text)
            .unwrap_or_else(|error| panic!("zone {origin}: {error}"));
        for record in records {
            self.record(&origin, record);
        }
        self.zones.entry(origin).or_default();
        self
    }

    /// Adds one record to a zone.
    pub fn record(&mut self, origin: &Name, record: Record) -> &mut Self {
        let zone = self.zones.entry(origin.clone()).or_default();
        let mut at = Some(record.owner.clone());
        while let Some(name) = at.filter(|name| name != origin) {
            at = parent(&name);
            zone.names.insert(name);
        }
        zone.records
            .entry(record.owner.clone())
            .or_default()
            .push(record);
        self
    }

    /// A zone that is configured and not there: SERVFAIL.
    pub fn failing_zone(&mut self, origin: &str) -> &mut Self {
        let origin = Name::parse(origin).unwrap();
        self.zones.entry(origin).or_default().fails = true;
        self
    }

    /// Gives this answer to any such question.
    pub fn fix(&mut self, name: &str, kind: RecordType, answer: Answer) -> &mut Self {
        self.fixed
            .insert((Name::parse(name).unwrap(), kind), answer);
        self
    }

    /// Gives this answer to any such question that a cache may answer.
    pub fn cache(&mut self, name: &str, kind: RecordType, answer: Answer) -> &mut Self {
        self.cached
            .insert((Name::parse(name).unwrap(), kind), answer);
        self
    }

    /// Answers from this name down are secure.
    pub fn sign(&mut self, name: &str) -> &mut Self {
        self.signed.insert(Name::parse(name).unwrap());
        self
    }

    /// Such a question is never answered.
    pub fn silence(&mut self, name: &str, kind: RecordType) -> &mut Self {
        self.silent.insert((Name::parse(name).unwrap(), kind));
        self
    }

    /// A record stands at this very name.
    pub fn owns(&self, name: &Name) -> bool {
        self.zone_of(name)
            .is_some_and(|(_, zone)| zone.records.contains_key(name))
    }

    /// The answer; none where it never comes.
    pub fn answer(&self, question: &Question) -> Option<Answer> {
        let key = (question.name.clone(), question.kind);
        if self.silent.contains(&key) {
            return None;
        }
        if let (Freshness::Cached, Some(answer)) = (question.freshness, self.cached.get(&key)) {
            return Some(answer.clone());
        }
        if let Some(answer) = self.fixed.get(&key) {
            return Some(answer.clone());
        }
        Some(self.look_up(&question.name, question.kind))
    }

    /// Follows aliases from zone to zone, as a resolver does.
    fn look_up(&self, asked: &Name, kind: RecordType) -> Answer {
        let mut answer = Answer::bare(Lookup::NxDomain);
        answer.ttl = u32::MAX;
        answer.secure = true;
        let mut at = asked.clone();
        loop {
            answer.secure &= self.is_signed(&at);
            let (found, ttl) = self.at(&at, kind);
            answer.ttl = answer.ttl.min(ttl);
            let Found::Alias(target) = found else {
                answer.lookup = match found {
                    Found::Lookup(lookup) => lookup,
                    Found::Alias(_) => unreachable!(),
                };
                if let Lookup::Trouble(trouble) = answer.lookup {
                    return Answer {
                        aliases: answer.aliases,
                        ..Answer::trouble(trouble)
                    };
                }
                return answer;
            };
            let alias = [Alias {
                owner: at.clone(),
                target,
            }];
            match chase(&at, &alias, asked, &mut answer.aliases) {
                Chase::At(name) => at = name,
                Chase::AliasLimit => {
                    answer.lookup = Lookup::AliasLimit;
                    return answer;
                }
            }
        }
    }

    /// One server's answer for one name, without following anything; and its TTL.
    fn at(&self, name: &Name, kind: RecordType) -> (Found, u32) {
        let Some((origin, zone)) = self.zone_of(name) else {
            return (Found::Lookup(Lookup::NxDomain), 300);
        };
        if zone.fails {
            return (Found::Lookup(Lookup::Trouble(Trouble::ServFail)), 0);
        }
        let Some(owner) = source_of(origin, zone, name) else {
            return (Found::Lookup(Lookup::NxDomain), 300);
        };
        let records = zone.records.get(&owner).map_or(&[][..], Vec::as_slice);
        for record in records {
            if let Rdata::Cname(target) = &record.rdata {
                return (Found::Alias(target.clone()), record.ttl);
            }
        }
        let of_kind: Vec<_> = records
            .iter()
            .filter(|r| r.rdata.kind() == Some(kind))
            .collect();
        match zone_file::records(kind, &of_kind) {
            Some(found) => {
                let ttl = of_kind.iter().map(|record| record.ttl).min().unwrap_or(0);
                (Found::Lookup(Lookup::Found(found)), ttl)
            }
            None => (Found::Lookup(Lookup::NoData), 300),
        }
    }

    /// The closest zone above or at a name.
    fn zone_of(&self, name: &Name) -> Option<(&Name, &Zone)> {
        let above = self
            .zones
            .iter()
            .filter(|(origin, _)| is_within(name, origin));
        above.max_by_key(|(origin, _)| origin.labels().count())
    }

    /// The name lies at or below one that is signed.
    fn is_signed(&self, name: &Name) -> bool {
        self.signed.iter().any(|signed| is_within(name, signed))
    }
}

/// The name is `above`, or lies below it.
fn is_within(name: &Name, above: &Name) -> bool {
    let rest = name.as_str().strip_suffix(above.as_str());
    above.is_root() || rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// What stands at one name.
enum Found {
    /// An alias of this.
    Alias(Name),
    /// Anything else.
    Lookup(Lookup),
}

/// The owner whose records answer for `name`: itself if it exists, else the wildcard at the
/// closest encloser (RFC 4592 §3.3.1); none if neither exists.
fn source_of(origin: &Name, zone: &Zone, name: &Name) -> Option<Name> {
    let exists = |name: &Name| name == origin || zone.names.contains(name);
    if exists(name) {
        return Some(name.clone());
    }
    let mut encloser = parent(name)?;
    while !exists(&encloser) {
        encloser = parent(&encloser)?;
    }
    let wildcard = encloser.child("*").ok()?;
    exists(&wildcard).then_some(wildcard)
}

/// The name without its first label; none for the root.
pub fn parent(name: &Name) -> Option<Name> {
    let mut labels = name.labels();
    labels.next()?;
    let rest: Vec<_> = labels.collect();
    Some(Name::parse(&rest.join(".")).unwrap())
}

/// The records of an answer in another order.
pub fn reversed(mut answer: Answer) -> Answer {
    if let Lookup::Found(records) = &mut answer.lookup {
        match records {
            Records::A(list) => list.reverse(),
            Records::Aaaa(list) => list.reverse(),
            Records::Mx(list) => list.reverse(),
            Records::Txt(list) => list.reverse(),
            Records::Ptr(list) | Records::Ns(list) => list.reverse(),
            Records::Tlsa(list) => list.reverse(),
        }
    }
    answer
}
