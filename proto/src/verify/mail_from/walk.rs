//! The walk: what follows from the answers at hand, or which answers it cannot do without.
//!
//! PROTOCOLS A.2 steps 2 to 6 in their order. A function of the plan and the answers, run again
//! from the start whenever answers have come in: nothing is carried from one run to the next.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::dns::{Lookup, Mx, Name, RecordType, Records};

use super::answers::{Answers, Known, Wanted, holds};
use super::subject::Plan;
use super::{Budget, Host, PublishedSet, Reason, TroubleAt, levels, wildcard};

/// How far a walk came, and what it saw on the way.
pub(super) struct Walked {
    /// How far it came.
    pub progress: Progress,
    /// Sets entered.
    pub sets: Vec<PublishedSet>,
    /// Hosts listed.
    pub hosts: Vec<Host>,
    /// Names that lead nowhere.
    pub void: Vec<Name>,
    /// Budgets gone over.
    pub over: Vec<Budget>,
    /// What was not to be known.
    pub trouble: Vec<TroubleAt>,
}

/// How far a walk came.
pub(super) enum Progress {
    /// To its end.
    End(Reason),
    /// To these questions.
    Ask(Vec<Wanted>),
}

/// An answer is missing, and the question is noted in [`Trail`].
pub(super) struct Open;

/// Walks as far as the answers lead.
pub(super) fn walk(plan: &Plan, answers: &Answers) -> Walked {
    let mut trail = Trail {
        answers,
        client: plan.client,
        wanted: Vec::new(),
        sets: Vec::new(),
        hosts: Vec::new(),
        void: BTreeSet::new(),
        over: BTreeSet::new(),
        trouble: Vec::new(),
    };
    let progress = match from_the_root(&mut trail, plan) {
        Ok(reason) => Progress::End(reason),
        Err(Open) => Progress::Ask(trail.wanted),
    };
    Walked {
        progress,
        sets: trail.sets,
        hosts: trail.hosts,
        void: trail.void.into_iter().collect(),
        over: trail.over.into_iter().collect(),
        trouble: trail.trouble,
    }
}

/// Steps 2 and 3: the HELO host, then the root set.
fn from_the_root(trail: &mut Trail<'_>, plan: &Plan) -> Result<Reason, Open> {
    if let Some(host) = &plan.helo_host {
        let known = trail.need(host, trail.family())?;
        if holds(&known.answer, plan.client) {
            trail.note_host(host, 1);
            return Ok(Reason::HeloHost);
        }
    }
    let Some(owner) = &plan.owner else {
        return Ok(Reason::TooLong);
    };
    let root = trail.need(owner, RecordType::Mx)?;
    if let Some(stopped) = trail.settled(owner, RecordType::Mx, root) {
        return Ok(stopped);
    }
    match Publication::of(root) {
        Publication::None => Ok(Reason::Unpublished),
        Publication::Ordinary => Ok(Reason::OrdinaryMx),
        Publication::Never => never_sends(trail, plan, owner),
        Publication::Set => levels::descend(trail, plan, owner),
    }
}

/// A sole `0 .`. The HELO host counts as one of the set's names: its trouble is not passed over.
fn never_sends(trail: &mut Trail<'_>, plan: &Plan, owner: &Name) -> Result<Reason, Open> {
    trail.enter(owner, 1);
    if let Some(host) = &plan.helo_host {
        let family = trail.family();
        let known = trail.need(host, family)?;
        trail.note_host(host, 1);
        if let Some(stopped) = trail.settled(host, family, known) {
            return Ok(stopped);
        }
    }
    wildcard::test(trail, plan, owner, Reason::NeverSends)
}

/// What an MX set says as a MAIL-FROM set (step 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Publication {
    /// There is none.
    None,
    /// There is one, made for something else: no host of it has preference 0.
    Ordinary,
    /// Only `0 .`.
    Never,
    /// Border relays.
    Set,
}

impl Publication {
    /// Reads a definite answer; any other publishes nothing.
    pub(super) fn of(known: &Known) -> Self {
        let Lookup::Found(Records::Mx(list)) = &known.answer.lookup else {
            return Self::None;
        };
        match list.as_slice() {
            [only] if only.preference == 0 && only.exchange.is_root() => Self::Never,
            list if exchanges(list).any(|mx| mx.preference == 0) => Self::Set,
            _ => Self::Ordinary,
        }
    }
}

/// The records that name a host or a group: `.` names none.
pub(super) fn exchanges(list: &[Mx]) -> impl Iterator<Item = &Mx> {
    list.iter().filter(|mx| !mx.exchange.is_root())
}

/// What a walk has seen so far.
pub(super) struct Trail<'a> {
    answers: &'a Answers,
    client: IpAddr,
    wanted: Vec<Wanted>,
    pub sets: Vec<PublishedSet>,
    pub hosts: Vec<Host>,
    pub void: BTreeSet<Name>,
    pub over: BTreeSet<Budget>,
    pub trouble: Vec<TroubleAt>,
}

impl<'a> Trail<'a> {
    /// The address type of the client's family.
    pub(super) const fn family(&self) -> RecordType {
        match self.client {
            IpAddr::V4(_) => RecordType::A,
            IpAddr::V6(_) => RecordType::Aaaa,
        }
    }

    /// The other address type.
    pub(super) const fn other_family(&self) -> RecordType {
        match self.client {
            IpAddr::V4(_) => RecordType::Aaaa,
            IpAddr::V6(_) => RecordType::A,
        }
    }

    /// The answer, if it is in.
    pub(super) fn known(&self, name: &Name, kind: RecordType) -> Option<&'a Known> {
        self.answers.of(name, kind)
    }

    /// The answer; noted as wanted if it is not in.
    pub(super) fn want(&mut self, name: &Name, kind: RecordType) -> Option<&'a Known> {
        let known = self.known(name, kind);
        if known.is_none() {
            self.wanted.push((name.clone(), kind));
        }
        known
    }

    /// The answer without which there is no going on.
    pub(super) fn need(&mut self, name: &Name, kind: RecordType) -> Result<&'a Known, Open> {
        self.want(name, kind).ok_or(Open)
    }

    /// Every answer that was wanted is in.
    pub(super) fn nothing_open(&self) -> Result<(), Open> {
        if self.wanted.is_empty() {
            Ok(())
        } else {
            Err(Open)
        }
    }

    /// Notes trouble and aliases over their budget; where the walk hangs on this one answer, this
    /// is its end.
    pub(super) fn settled(
        &mut self,
        name: &Name,
        kind: RecordType,
        known: &Known,
    ) -> Option<Reason> {
        match known.answer.lookup {
            Lookup::Trouble(trouble) => {
                let at = TroubleAt {
                    name: name.clone(),
                    kind,
                    trouble,
                };
                if !self.trouble.contains(&at) {
                    self.trouble.push(at);
                }
                Some(Reason::Temporary)
            }
            Lookup::AliasLimit => {
                self.over.insert(Budget::Aliases);
                Some(Reason::Limits)
            }
            Lookup::Found(_) | Lookup::NoData | Lookup::NxDomain => None,
        }
    }

    /// Notes a set as entered, and gives its records.
    pub(super) fn enter(&mut self, owner: &Name, level: u8) -> &'a [Mx] {
        let Some(known) = self.known(owner, RecordType::Mx) else {
            return &[];
        };
        let Lookup::Found(Records::Mx(list)) = &known.answer.lookup else {
            return &[];
        };
        self.sets.push(PublishedSet {
            owner: owner.clone(),
            aliases: known.answer.aliases.clone(),
            level,
            records: list.clone(),
            count: known.records,
            secure: known.answer.secure,
        });
        list
    }

    /// Notes a host with the addresses that are known; true if the client's is among them.
    pub(super) fn note_host(&mut self, name: &Name, level: u8) -> bool {
        let mut host = Host {
            name: name.clone(),
            level,
            addresses: Vec::new(),
            matched: false,
            secure: true,
        };
        for kind in [self.family(), self.other_family()] {
            if let Some(known) = self.known(name, kind) {
                host.secure &= known.answer.secure;
                match &known.answer.lookup {
                    Lookup::Found(Records::A(list)) => {
                        host.addresses.extend(list.iter().copied().map(IpAddr::V4));
                    }
                    Lookup::Found(Records::Aaaa(list)) => {
                        host.addresses.extend(list.iter().copied().map(IpAddr::V6));
                    }
                    _ => {}
                }
            }
        }
        host.matched = host.addresses.contains(&self.client);
        let matched = host.matched;
        self.hosts.push(host);
        matched
    }
}
