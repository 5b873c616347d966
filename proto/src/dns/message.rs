//! A DNS message as it comes off the wire, read in place.
//!
//! [`Layout::of`] goes over all of it once: every name, and every record of a type that means
//! something here. What it has passed can be looked at again and again without an error, and
//! nothing is copied that nobody asks for. A message in which anything of this is wrong is none.
//!
//! Promises: no octets make it panic, loop or look outside the message; a name's pointers lead
//! backwards only. Leaves to others: whether the message belongs to a question, and what it means.
//!
//! RFC 1035 §4, RFC 3597 (types not known here are passed over), RFC 6891 §6.1 (OPT).

use core::iter;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use super::{MAX_WIRE_NAME, Name, RecordType};

/// Octets of the header (RFC 1035 §4.1.1).
pub const HEADER: usize = 12;

/// Class IN.
pub const CLASS_IN: u16 = 1;

/// CNAME.
const CNAME: u16 = 5;

/// NS.
const NS: u16 = 2;

/// SOA.
const SOA: u16 = 6;

/// OPT (RFC 6891 §6.1.1).
pub const OPT: u16 = 41;

/// RRSIG (RFC 4034 §3).
const RRSIG: u16 = 46;

/// The option of extended errors (RFC 8914 §2).
const EXTENDED_ERROR: u16 = 15;

/// What a message turned out to be made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The flags of the header.
    pub flags: u16,
    /// The response code, with the eight bits that an OPT record adds above the header's four.
    pub code: u16,
    /// The code of the first extended error in the OPT record (RFC 8914).
    pub extended_error: Option<u16>,
    /// Questions.
    pub questions: u16,
    answers: Section,
    authorities: Section,
}

/// Where a section begins, and how many records are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Section {
    at: usize,
    count: u16,
}

/// A message that has been gone over.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    octets: &'a [u8],
    layout: &'a Layout,
}

/// One record.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    octets: &'a [u8],
    owner: usize,
    kind: u16,
    /// The class.
    pub class: u16,
    /// The TTL, as it stands there.
    pub ttl: u32,
    data: Range<usize>,
}

/// What a record says, of the types that mean something here.
#[derive(Clone, Debug)]
pub enum Data<'a> {
    /// IPv4 address.
    A(Ipv4Addr),
    /// IPv6 address.
    Aaaa(Ipv6Addr),
    /// Mail exchange: preference and host.
    Mx(u16, WireName<'a>),
    /// The character-strings, each with its length in front.
    Txt(&'a [u8]),
    /// The name that an address stands for.
    Ptr(WireName<'a>),
    /// Keys of a service: usage, selector and matching type, and the data (RFC 6698 §2.1).
    Tlsa([u8; 3], &'a [u8]),
    /// An alias of this name.
    Cname(WireName<'a>),
    /// A zone's server.
    Ns(WireName<'a>),
    /// The end of a zone: seconds for which "there is none" may be kept.
    Soa(u32),
    /// A signature: the type it is over, and its labels field.
    Rrsig(u16, u8),
    /// Anything else.
    Other,
}

/// A name in a message that has been gone over.
#[derive(Clone, Copy, Debug)]
pub struct WireName<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Layout {
    /// Goes over a message; none if it is not one.
    pub fn of(octets: &[u8]) -> Option<Self> {
        let mut layout = Self {
            flags: u16_at(octets, 2)?,
            code: u16_at(octets, 2)? & 15,
            extended_error: None,
            questions: u16_at(octets, 4)?,
            answers: Section {
                at: 0,
                count: u16_at(octets, 6)?,
            },
            authorities: Section {
                at: 0,
                count: u16_at(octets, 8)?,
            },
        };
        let more = u16_at(octets, 10)?;
        let mut at = HEADER;
        for _ in 0..layout.questions {
            // Type and class follow the name.
            at = end_of_name(octets, at)?.checked_add(4)?;
        }
        layout.answers.at = at;
        for _ in 0..layout.answers.count {
            at = end_of_record(octets, at)?.0;
        }
        layout.authorities.at = at;
        for _ in 0..layout.authorities.count {
            at = end_of_record(octets, at)?.0;
        }
        let mut edns = false;
        for _ in 0..more {
            let (end, record) = end_of_record(octets, at)?;
            if record.kind == OPT {
                // RFC 6891 §6.1.1: one at most.
                if core::mem::replace(&mut edns, true) {
                    return None;
                }
                layout.take_options(&record)?;
            }
            at = end;
        }
        (at <= octets.len()).then_some(layout)
    }

    /// Reads an OPT record.
    fn take_options(&mut self, record: &Record<'_>) -> Option<()> {
        // RFC 6891 §6.1.3: the first octet of what is a TTL elsewhere.
        self.code |= u16::try_from(record.ttl >> 24).ok()? << 4;
        let mut rest = record.octets.get(record.data.clone())?;
        while !rest.is_empty() {
            let (code, length) = (u16_at(rest, 0)?, usize::from(u16_at(rest, 2)?));
            let option = rest.get(4..)?.get(..length)?;
            if code == EXTENDED_ERROR && self.extended_error.is_none() {
                self.extended_error = u16_at(option, 0);
            }
            rest = rest.get(4..)?.get(length..)?;
        }
        Some(())
    }
}

impl<'a> Message<'a> {
    /// The message with this layout, which must be its own.
    pub const fn new(octets: &'a [u8], layout: &'a Layout) -> Self {
        Self { octets, layout }
    }

    /// Its layout.
    pub const fn layout(&self) -> &'a Layout {
        self.layout
    }

    /// The answer section.
    pub fn answers(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        self.section(self.layout.answers)
    }

    /// The authority section.
    pub fn authorities(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        self.section(self.layout.authorities)
    }

    fn section(
        &self,
        Section { at, count }: Section,
    ) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let octets = self.octets;
        let mut at = at;
        (0..count).map_while(move |_| {
            let record = Record::at(octets, at, end_of_read_name)?;
            at = record.data.end;
            Some(record)
        })
    }
}

impl<'a> Record<'a> {
    /// The record that begins there, whatever it says; its owner's end is found so.
    fn at(
        octets: &'a [u8],
        owner: usize,
        end_of_owner: impl Fn(&[u8], usize) -> Option<usize>,
    ) -> Option<Self> {
        let at = end_of_owner(octets, owner)?;
        let fields = octets.get(at..)?.first_chunk::<10>()?;
        let [k0, k1, c0, c1, t0, t1, t2, t3, l0, l1] = *fields;
        let start = at.checked_add(fields.len())?;
        let end = start.checked_add(usize::from(u16::from_be_bytes([l0, l1])))?;
        (end <= octets.len()).then_some(Self {
            octets,
            owner,
            kind: u16::from_be_bytes([k0, k1]),
            class: u16::from_be_bytes([c0, c1]),
            ttl: u32::from_be_bytes([t0, t1, t2, t3]),
            data: start..end,
        })
    }

    /// Its owner.
    pub const fn owner(&self) -> WireName<'a> {
        WireName {
            octets: self.octets,
            at: self.owner,
        }
    }

    /// True if it is of this type.
    pub const fn is_of(&self, kind: RecordType) -> bool {
        self.kind == wire_type(kind)
    }

    /// True if it is an alias.
    pub const fn is_alias(&self) -> bool {
        self.kind == CNAME
    }

    /// True if it is a signature.
    pub const fn is_signature(&self) -> bool {
        self.kind == RRSIG
    }

    /// True if it is the end of a zone.
    pub const fn is_end_of_zone(&self) -> bool {
        self.kind == SOA
    }

    /// What it says; none if that is not what its type says.
    pub fn data(&self) -> Option<Data<'a>> {
        let (from, octets) = (self.data.start, self.octets.get(self.data.clone())?);
        Some(match self.kind {
            1 => Data::A(<[u8; 4]>::try_from(octets).ok()?.into()),
            28 => Data::Aaaa(<[u8; 16]>::try_from(octets).ok()?.into()),
            15 => Data::Mx(u16_at(octets, 0)?, self.sole_name(from.checked_add(2)?)?),
            16 => Data::Txt(whole_strings(octets)?),
            12 => Data::Ptr(self.sole_name(from)?),
            52 => octets
                .split_first_chunk()
                .map(|(numbers, data)| Data::Tlsa(*numbers, data))?,
            CNAME => Data::Cname(self.sole_name(from)?),
            NS => Data::Ns(self.sole_name(from)?),
            SOA => Data::Soa(self.minimum()?),
            RRSIG => {
                // Eighteen octets of fields, the signer's name, the signature (RFC 4034 §3.1).
                let signer = end_of_name(self.octets, from.checked_add(18)?)?;
                if signer > self.data.end {
                    return None;
                }
                Data::Rrsig(u16_at(octets, 0)?, *octets.get(3)?)
            }
            _ => Data::Other,
        })
    }

    /// The name that begins there and is the last of the record's data.
    fn sole_name(&self, at: usize) -> Option<WireName<'a>> {
        let end = end_of_name(self.octets, at)?;
        (end == self.data.end).then_some(WireName {
            octets: self.octets,
            at,
        })
    }

    /// The MINIMUM field of an SOA: the last of the five numbers behind its two names.
    fn minimum(&self) -> Option<u32> {
        let numbers = end_of_name(self.octets, end_of_name(self.octets, self.data.start)?)?;
        let octets = self.octets.get(numbers..self.data.end)?;
        let [.., a, b, c, d] = *<&[u8; 20]>::try_from(octets).ok()?;
        Some(u32::from_be_bytes([a, b, c, d]))
    }
}

impl<'a> WireName<'a> {
    /// Its labels from the left.
    pub fn labels(self) -> impl Iterator<Item = &'a [u8]> {
        let mut at = self.at;
        iter::from_fn(move || {
            let (label, next) = label_at(self.octets, at)?;
            at = next;
            Some(label)
        })
    }

    /// True if it is this name; letters of either case are the same.
    pub fn is(self, name: &Name) -> bool {
        self.is_text(name.as_str())
    }

    /// True if it is this name, or this name lies below it.
    pub fn holds(self, name: &Name) -> bool {
        let Some(last) = self.labels().count().checked_sub(1) else {
            return true;
        };
        let text = name.as_str();
        let start = text.rmatch_indices('.').nth(last);
        self.is_text(start.map_or(text, |(dot, _)| {
            text.get(dot.saturating_add(1)..).unwrap_or_default()
        }))
    }

    /// True if this is its presentation form. Octet by octet, since nearly every record of an answer
    /// is compared with the name that was asked for; where that fails, and an octet of a label may
    /// stand in another form, it is written out.
    fn is_text(self, text: &str) -> bool {
        let mut rest = Some(text.as_bytes());
        for (at, label) in self.labels().enumerate() {
            let dotted = rest.and_then(|rest| match at {
                0 => Some(rest),
                _ => rest.strip_prefix(b"."),
            });
            let parts = dotted.and_then(|rest| rest.split_at_checked(label.len()));
            // A dot or backslash within a label never stands for itself.
            let same = |(own, octet): (&u8, &u8)| {
                own.eq_ignore_ascii_case(octet) && !matches!(own, b'.' | b'\\')
            };
            match parts {
                Some((first, after)) if label.iter().zip(first).all(same) => rest = Some(after),
                _ => return self.is_written_as(text),
            }
        }
        rest.is_some_and(<[u8]>::is_empty)
    }

    /// The same for a name whose labels may hold any octet.
    fn is_written_as(self, text: &str) -> bool {
        let plain = |octet: &u8| octet.is_ascii_graphic() && !b".\\".contains(octet);
        !self.labels().all(|label| label.iter().all(plain))
            && self.to_name().is_some_and(|own| own.as_str() == text)
    }

    /// Our form of it; there always is one.
    pub fn to_name(self) -> Option<Name> {
        Name::from_labels(self.labels()).ok()
    }
}

/// The type on the wire.
pub const fn wire_type(kind: RecordType) -> u16 {
    match kind {
        RecordType::A => 1,
        RecordType::Aaaa => 28,
        RecordType::Mx => 15,
        RecordType::Txt => 16,
        RecordType::Ptr => 12,
        RecordType::Ns => NS,
        RecordType::Tlsa => 52,
    }
}

/// The character-strings of a TXT record that has been gone over, from the left.
pub fn strings(mut octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    iter::from_fn(move || {
        let (string, rest) = split_string(octets)?;
        octets = rest;
        Some(string)
    })
}

/// The octets, if they are character-strings, at least one (RFC 1035 §3.3.14).
fn whole_strings(octets: &[u8]) -> Option<&[u8]> {
    let mut rest = split_string(octets)?.1;
    while !rest.is_empty() {
        rest = split_string(rest)?.1;
    }
    Some(octets)
}

/// The first character-string, and what follows it.
fn split_string(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// A record that has been gone over, and where it ends.
fn end_of_record(octets: &[u8], at: usize) -> Option<(usize, Record<'_>)> {
    let record = Record::at(octets, at, end_of_name)?;
    record.data()?;
    Some((record.data.end, record))
}

/// Where the octet after a name stands, once it is known that all of the name can be read.
fn end_of_name(octets: &[u8], from: usize) -> Option<usize> {
    let (mut at, mut length, mut end) = (from, 1_usize, None);
    // Where pointers may still lead to: each further back than the one before it.
    let mut before = from;
    loop {
        let first = *octets.get(at)?;
        match first {
            0 => return end.or_else(|| at.checked_add(1)),
            1..=63 => {
                let label = usize::from(first).checked_add(1)?;
                length = length.checked_add(label)?;
                if length > MAX_WIRE_NAME {
                    return None;
                }
                at = at.checked_add(label)?;
            }
            0xc0.. => {
                end = end.or(at.checked_add(2));
                at = pointer_at(octets, at)?;
                if at >= before {
                    return None;
                }
                before = at;
            }
            _ => return None,
        }
    }
}

/// Where the octet after a name stands that has been gone over: what a pointer leads to is in order.
fn end_of_read_name(octets: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let first = *octets.get(at)?;
        match first {
            0 => return at.checked_add(1),
            1..=63 => at = at.checked_add(usize::from(first))?.checked_add(1)?,
            _ => return at.checked_add(2),
        }
    }
}

/// The label that a name which has been gone over has there, and where its next stands.
fn label_at(octets: &[u8], mut at: usize) -> Option<(&[u8], usize)> {
    loop {
        match *octets.get(at)? {
            0 => return None,
            length @ 1..=63 => {
                let start = at.checked_add(1)?;
                let end = start.checked_add(usize::from(length))?;
                return Some((octets.get(start..end)?, end));
            }
            _ => {
                // It leads backwards, or there would be no such name; so this ends.
                let next = pointer_at(octets, at)?;
                if next >= at {
                    return None;
                }
                at = next;
            }
        }
    }
}

/// Where a pointer leads (RFC 1035 §4.1.4).
fn pointer_at(octets: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16_at(octets, at)? & 0x3fff))
}

/// The number that stands there.
fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    let octets = octets.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*octets))
}

#[cfg(test)]
mod tests;
