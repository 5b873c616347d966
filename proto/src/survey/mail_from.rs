//! Everything behind `MAIL-FROM.<domain>`: each set, host and address, as a check would meet them
//! for any client whatever.
//!
//! The walk is the check's (PROTOCOLS A.2 steps 3 and 4), level by level and within the same
//! budgets, but that both families are asked for and nothing ends it early. A property test holds
//! the two together: an address is in [`MailFrom::cover`] if and only if the check authorises it.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::dns::{Answer, Lookup, Mx, Name, RecordType, Records};
use crate::verify::TroubleAt;
use crate::verify::mail_from::budget::{MAX_DEPTH, MAX_HOSTS, MAX_RECORDS, MAX_SETS, MAX_VOID};
use crate::verify::mail_from::{Budget, LABEL, is_sentinel};

use super::View;
use super::cover::Cover;

/// Hosts looked at in one level, though the budgets are gone over already.
const MAX_LEVEL_HOSTS: usize = MAX_SETS * MAX_RECORDS;

/// What stands at the owner of the root set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// No MX at all.
    Unpublished,
    /// An MX without preference 0: made for something else.
    Ordinary,
    /// A sole `0 .`: the domain never sends.
    Never,
    /// Border relays.
    Set,
    /// Not to be known now.
    Trouble,
    /// Too many aliases, or a loop of them.
    Aliases,
}

/// One MX set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its owner.
    pub owner: Name,
    /// The aliases followed from there.
    pub aliases: Vec<Name>,
    /// The root's is 1.
    pub level: u8,
    /// Its records, sorted.
    pub records: Vec<Mx>,
    /// Seconds.
    pub ttl: u32,
    /// A validating resolver vouches for it.
    pub secure: bool,
}

/// One listed host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: Name,
    /// The set in which it was met first.
    pub listed_at: Name,
    /// The answer to A.
    pub four: Answer,
    /// The answer to AAAA.
    pub six: Answer,
}

impl Host {
    /// Its addresses, IPv4 first.
    pub fn addresses(&self) -> Vec<IpAddr> {
        addresses(&self.four)
            .into_iter()
            .chain(addresses(&self.six))
            .collect()
    }

    /// The addresses were not to be had, of one family at least.
    pub fn is_trouble(&self) -> bool {
        [&self.four, &self.six]
            .into_iter()
            .any(|answer| matches!(answer.lookup, Lookup::Trouble(_)))
    }

    /// The name is an alias of another.
    pub fn alias_of(&self) -> Option<&Name> {
        self.four.aliases.last().or_else(|| self.six.aliases.last())
    }

    /// One of the answers went over the budget of aliases.
    pub fn is_endless(&self) -> bool {
        self.four.lookup == Lookup::AliasLimit || self.six.lookup == Lookup::AliasLimit
    }
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailFrom {
    /// `mail-from.<domain>`.
    pub owner: Name,
    /// What stands there.
    pub root: Root,
    /// The answer to MX at the owner.
    pub answer: Option<Answer>,
    /// A TXT there says that the set is meant; none if that could not be asked.
    pub deliberate: Option<bool>,
    /// The texts there.
    pub texts: Vec<Vec<u8>>,
    /// The sets, level by level.
    pub sets: Vec<Set>,
    /// The hosts, level by level.
    pub hosts: Vec<Host>,
    /// Groups met again that were entered already.
    pub again: Vec<Name>,
    /// Names that lead nowhere.
    pub void: Vec<Name>,
    /// Budgets gone over.
    pub over: Vec<Budget>,
    /// Names whose aliases do not end, and what was asked of them.
    pub trouble: Vec<TroubleAt>,
    /// Every address of every host.
    pub cover: Cover,
}

impl MailFrom {
    /// True if a set of border relays stands there.
    pub fn is_set(&self) -> bool {
        self.root == Root::Set
    }

    /// Groups that the root set names, in order.
    pub fn groups(&self) -> impl Iterator<Item = &Name> {
        let root = self.sets.first().into_iter();
        root.flat_map(|set| exchanges(&set.records))
            .filter(|name| is_group(name))
    }
}

/// True for the name of a set, not of a host.
pub fn is_group(name: &Name) -> bool {
    name.labels().next() == Some(LABEL)
}

/// What the records name: hosts and groups, and not the root.
pub fn exchanges(records: &[Mx]) -> impl Iterator<Item = &Name> {
    records
        .iter()
        .map(|mx| &mx.exchange)
        .filter(|exchange| !exchange.is_root())
}

/// The addresses of an answer.
pub fn addresses(answer: &Answer) -> Vec<IpAddr> {
    match &answer.lookup {
        Lookup::Found(Records::A(list)) => list.iter().copied().map(IpAddr::V4).collect(),
        Lookup::Found(Records::Aaaa(list)) => list.iter().copied().map(IpAddr::V6).collect(),
        _ => Vec::new(),
    }
}

/// What an MX answer says as a MAIL-FROM set.
pub fn root_of(answer: &Answer) -> Root {
    match &answer.lookup {
        Lookup::Found(Records::Mx(list)) => match list.as_slice() {
            [only] if only.preference == 0 && only.exchange.is_root() => Root::Never,
            list if list
                .iter()
                .any(|mx| mx.preference == 0 && !mx.exchange.is_root()) =>
            {
                Root::Set
            }
            _ => Root::Ordinary,
        },
        Lookup::Found(_) | Lookup::NoData | Lookup::NxDomain => Root::Unpublished,
        Lookup::AliasLimit => Root::Aliases,
        Lookup::Trouble(_) => Root::Trouble,
    }
}

/// Walks the set at this owner, as far as the answers lead.
pub fn walk(view: &mut View<'_>, owner: &Name) -> MailFrom {
    let mut walk = Walk {
        found: MailFrom {
            owner: owner.clone(),
            root: Root::Unpublished,
            answer: None,
            deliberate: None,
            texts: Vec::new(),
            sets: Vec::new(),
            hosts: Vec::new(),
            again: Vec::new(),
            void: Vec::new(),
            over: Vec::new(),
            trouble: Vec::new(),
            cover: Cover::default(),
        },
        seen_sets: BTreeSet::new(),
        seen_hosts: BTreeSet::new(),
        void: BTreeSet::new(),
        over: BTreeSet::new(),
    };
    walk.root(view, owner);
    let mut found = walk.found;
    found.void = walk.void.into_iter().collect();
    found.over = walk.over.into_iter().collect();
    found.cover = found.hosts.iter().flat_map(Host::addresses).collect();
    found
}

/// A walk on its way.
struct Walk {
    found: MailFrom,
    /// Where the records of each set entered really stand.
    seen_sets: BTreeSet<Name>,
    seen_hosts: BTreeSet<Name>,
    void: BTreeSet<Name>,
    over: BTreeSet<Budget>,
}

/// A set that is to be entered, with its answer.
type Entering<'a> = (Name, &'a Answer);

impl Walk {
    /// The root set, and all behind it.
    fn root(&mut self, view: &mut View<'_>, owner: &Name) {
        let (mx, texts) = (
            view.want(owner, RecordType::Mx),
            view.want(owner, RecordType::Txt),
        );
        let (Some(mx), Some(texts)) = (mx, texts) else {
            return;
        };
        self.note_trouble(owner, RecordType::Mx, mx);
        self.found.root = root_of(mx);
        self.found.answer = Some(mx.clone());
        self.note_texts(owner, texts);
        match self.found.root {
            Root::Set => self.descend(view, owner, mx),
            Root::Never => self.enter(owner, mx, 1),
            Root::Aliases => {
                self.over.insert(Budget::Aliases);
            }
            Root::Unpublished | Root::Ordinary | Root::Trouble => {}
        }
    }

    /// What the texts beside the root set say.
    fn note_texts(&mut self, owner: &Name, answer: &Answer) {
        match &answer.lookup {
            Lookup::Found(Records::Txt(list)) => {
                self.found.texts = list.iter().map(|text| text.to_vec()).collect();
                self.found.deliberate = Some(list.iter().any(|text| is_sentinel(text)));
            }
            Lookup::Trouble(_) => self.note_trouble(owner, RecordType::Txt, answer),
            _ => self.found.deliberate = Some(false),
        }
    }

    /// Level by level, breadth first.
    fn descend(&mut self, view: &mut View<'_>, owner: &Name, root: &Answer) {
        self.seen_sets.insert(end_of(owner, root).clone());
        let mut sets = vec![(owner.clone(), root)];
        let mut level = 1;
        while !sets.is_empty() {
            let (hosts, groups) = self.open_level(&sets, level);
            if !self.addresses_of(view, &hosts) {
                return;
            }
            self.look_at_budgets();
            if !self.over.is_empty() {
                return;
            }
            let Some(behind) = self.behind(view, &hosts, &groups) else {
                return;
            };
            sets = behind;
            self.look_at_budgets();
            if level >= MAX_DEPTH && !sets.is_empty() {
                self.over.insert(Budget::Depth);
            }
            if !self.over.is_empty() {
                return;
            }
            level = level.saturating_add(1);
        }
    }

    /// Enters the sets, and tells new hosts (with the set that lists them) from groups.
    fn open_level(
        &mut self,
        sets: &[Entering<'_>],
        level: u8,
    ) -> (Vec<(Name, Name)>, BTreeSet<Name>) {
        let (mut hosts, mut groups) = (Vec::new(), BTreeSet::new());
        for (owner, answer) in sets {
            self.enter(owner, answer, level);
            let Lookup::Found(Records::Mx(list)) = &answer.lookup else {
                continue;
            };
            for exchange in exchanges(list) {
                if is_group(exchange) {
                    groups.insert(exchange.clone());
                } else if hosts.len() < MAX_LEVEL_HOSTS && self.seen_hosts.insert(exchange.clone())
                {
                    hosts.push((exchange.clone(), owner.clone()));
                }
            }
        }
        (hosts, groups)
    }

    /// Notes a set.
    fn enter(&mut self, owner: &Name, answer: &Answer, level: u8) {
        if let Lookup::Found(Records::Mx(list)) = &answer.lookup {
            self.found.sets.push(Set {
                owner: owner.clone(),
                aliases: answer.aliases.clone(),
                level,
                records: list.clone(),
                ttl: answer.ttl,
                secure: answer.secure,
            });
        }
    }

    /// Both families of each host; false if an answer is lacking.
    fn addresses_of(&mut self, view: &mut View<'_>, hosts: &[(Name, Name)]) -> bool {
        let mut complete = true;
        for (host, listed_at) in hosts {
            let four = view.want(host, RecordType::A);
            let six = view.want(host, RecordType::Aaaa);
            let (Some(four), Some(six)) = (four, six) else {
                complete = false;
                continue;
            };
            for (kind, answer) in [(RecordType::A, four), (RecordType::Aaaa, six)] {
                self.note_trouble(host, kind, answer);
            }
            let gone = |answer: &Answer| matches!(answer.lookup, Lookup::NoData | Lookup::NxDomain);
            if four.lookup == Lookup::NxDomain || (gone(four) && gone(six)) {
                self.void.insert(host.clone());
            }
            self.found.hosts.push(Host {
                name: host.clone(),
                listed_at: listed_at.clone(),
                four: four.clone(),
                six: six.clone(),
            });
        }
        complete
    }

    /// The sets of the groups, and those that hosts have of their own; none if an answer is lacking.
    fn behind<'a>(
        &mut self,
        view: &mut View<'a>,
        hosts: &[(Name, Name)],
        groups: &BTreeSet<Name>,
    ) -> Option<Vec<Entering<'a>>> {
        let probes = hosts.iter().filter_map(|(host, _)| host.child(LABEL).ok());
        let owners: BTreeSet<Name> = probes.chain(groups.iter().cloned()).collect();
        let answers: Vec<_> = owners
            .into_iter()
            .map(|owner| {
                let answer = view.want(&owner, RecordType::Mx);
                (owner, answer)
            })
            .collect();
        let mut sets = Vec::new();
        for (owner, answer) in answers {
            let answer = answer?;
            self.note_trouble(&owner, RecordType::Mx, answer);
            match root_of(answer) {
                Root::Set => {
                    if self.seen_sets.insert(end_of(&owner, answer).clone()) {
                        sets.push((owner, answer));
                    } else if groups.contains(&owner) {
                        self.found.again.push(owner);
                    }
                }
                Root::Aliases | Root::Trouble => {}
                Root::Unpublished | Root::Ordinary | Root::Never => {
                    if groups.contains(&owner) {
                        self.void.insert(owner);
                    }
                }
            }
        }
        Some(sets)
    }

    /// Notes what could not be known, and aliases without end.
    fn note_trouble(&mut self, name: &Name, kind: RecordType, answer: &Answer) {
        match answer.lookup {
            Lookup::Trouble(trouble) => self.found.trouble.push(TroubleAt {
                name: name.clone(),
                kind,
                trouble,
            }),
            Lookup::AliasLimit => {
                self.over.insert(Budget::Aliases);
            }
            Lookup::Found(_) | Lookup::NoData | Lookup::NxDomain => {}
        }
    }

    /// Notes every budget that is gone over by now.
    fn look_at_budgets(&mut self) {
        let long = |set: &Set| set.records.len() > MAX_RECORDS;
        let over = [
            (Budget::Sets, self.seen_sets.len() > MAX_SETS),
            (Budget::Hosts, self.seen_hosts.len() > MAX_HOSTS),
            (Budget::Records, self.found.sets.iter().any(long)),
            (Budget::Void, self.void.len() > MAX_VOID),
        ];
        self.over.extend(
            over.into_iter()
                .filter(|(_, over)| *over)
                .map(|(budget, _)| budget),
        );
    }
}

/// Where the records of a set really stand.
fn end_of<'a>(owner: &'a Name, answer: &'a Answer) -> &'a Name {
    answer.aliases.last().unwrap_or(owner)
}
