//! The zones `_sent.<domain>` that are answered for, and what a query asks of them.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{IN, Query, kind};
use crate::addr::Domain;
use crate::dns::Name;
use crate::residue::{Offer, Question};

/// What is said of a zone besides answers.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Whose ledger it is.
    pub domain: Domain,
    /// What is offered.
    pub offer: Offer,
    /// Hosts that answer for it, the first of them the primary; on the wire.
    hosts: Vec<Box<[u8]>>,
    /// The zone's owner's mailbox; on the wire.
    mailbox: Box<[u8]>,
}

/// All zones, sorted by their domains' names, which are in lower case.
#[derive(Clone, Debug, Default)]
pub struct Zones(Vec<(Box<[u8]>, Zone)>);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// Whether this was sent.
    Sent(&'a Zone, Question),
    /// What the zone offers.
    Offer(&'a Zone),
    /// Where it begins.
    Soa(&'a Zone),
    /// Who answers for it.
    Hosts(&'a Zone),
    /// Something of a name that there is, and that has no such record. With it, where the zone's name stands.
    NoData(&'a Zone, usize),
    /// A name that is none. With it, where the zone's name stands.
    NoName(&'a Zone, usize),
    /// A question that is none.
    Malformed,
    /// Something of another zone or class.
    Refused,
    /// Something by a version of EDNS that is not known here.
    OtherVersion,
}

impl Zone {
    /// The zone of a domain's ledger; `None` without a host to answer for it.
    pub fn new(domain: Domain, offer: Offer, hosts: &[Name], mailbox: &Name) -> Option<Self> {
        let hosts: Vec<_> = hosts.iter().map(on_wire).collect();
        (!hosts.is_empty()).then(|| Self {
            domain,
            offer,
            hosts,
            mailbox: on_wire(mailbox),
        })
    }

    /// Hosts that answer for it, on the wire.
    pub(super) fn hosts(&self) -> &[Box<[u8]>] {
        &self.hosts
    }

    /// The mailbox, on the wire.
    pub(super) fn mailbox(&self) -> &[u8] {
        &self.mailbox
    }
}

impl FromIterator<Zone> for Zones {
    fn from_iter<I: IntoIterator<Item = Zone>>(zones: I) -> Self {
        let key = |zone: Zone| {
            let mut name = on_wire(&Name::from(&zone.domain));
            name.make_ascii_lowercase();
            (name, zone)
        };
        let mut zones: Vec<_> = zones.into_iter().map(key).collect();
        zones.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self(zones)
    }
}

impl Zones {
    /// What a query asks.
    pub fn find(&self, query: &Query<'_>) -> Asked<'_> {
        if query.edns().is_some_and(|edns| edns.version != 0) {
            return Asked::OtherVersion;
        }
        if query.class() != IN {
            return Asked::Refused;
        }
        let mut before: [&[u8]; 2] = [&[], &[]];
        let mut count = 0_usize;
        for (place, label) in query.labels() {
            if label.eq_ignore_ascii_case(b"_sent") {
                let behind = place.saturating_add(1).saturating_add(label.len());
                return match self.zone(query.name_from(behind)) {
                    Some(zone) => asked(zone, query.kind(), (count, before), place),
                    None => Asked::Refused,
                };
            }
            if let Some(one) = before.get_mut(count) {
                *one = label;
            }
            count = count.saturating_add(1);
        }
        Asked::Refused
    }

    /// The zone of a domain, by its name on the wire, in any case.
    fn zone(&self, name: &[u8]) -> Option<&Zone> {
        let name = || name.iter().map(u8::to_ascii_lowercase);
        let at = self
            .0
            .binary_search_by(|(own, _)| own.iter().copied().cmp(name()));
        self.0.get(at.ok()?).map(|(_, zone)| zone)
    }
}

/// What is asked of a zone that stands at `place`, behind so many labels.
fn asked<'a>(
    zone: &'a Zone,
    kind: u16,
    (count, before): (usize, [&[u8]; 2]),
    place: usize,
) -> Asked<'a> {
    match (count, before, kind) {
        (0, _, kind::TXT | kind::ANY) => Asked::Offer(zone),
        (0, _, kind::SOA) => Asked::Soa(zone),
        (0, _, kind::NS) => Asked::Hosts(zone),
        (0, ..) => Asked::NoData(zone, place),
        // A branch, which is there because questions are below it (RFC 8020): who minimises names asks for it first.
        (1, [x, _], _) if is_branch(x) => Asked::NoData(zone, place),
        (2, [q, x], kind::TXT | kind::ANY) => match Question::from_labels(q, x) {
            Ok(question) => Asked::Sent(zone, question),
            Err(_) => Asked::Malformed,
        },
        (2, [_, x], _) if is_branch(x) => Asked::NoData(zone, place),
        _ => Asked::NoName(zone, place),
    }
}

/// Whether a label is one character of base32hex.
const fn is_branch(label: &[u8]) -> bool {
    matches!(label, [b'0'..=b'9' | b'a'..=b'v' | b'A'..=b'V'])
}

/// A name on the wire.
fn on_wire(name: &Name) -> Box<[u8]> {
    let mut octets = Vec::with_capacity(name.wire_length());
    for label in name.labels() {
        let start = octets.len();
        octets.push(0);
        let mut rest = label.as_bytes();
        while let Some((octet, behind)) = rest.split_first() {
            rest = behind;
            // `\DDD` stands for an octet.
            if let (b'\\', Some((digits, behind))) = (octet, behind.split_first_chunk::<3>()) {
                let digit = |digit: &u8| digit.wrapping_sub(b'0');
                octets.push(digits.iter().fold(0_u8, |number, one| {
                    number.wrapping_mul(10).wrapping_add(digit(one))
                }));
                rest = behind;
            } else {
                octets.push(*octet);
            }
        }
        // A label of a name has at most 63.
        let length = octets.len().saturating_sub(start).saturating_sub(1);
        if let Some(place) = octets.get_mut(start) {
            *place = u8::try_from(length).unwrap_or_default();
        }
    }
    octets.push(0);
    octets.into_boxed_slice()
}
