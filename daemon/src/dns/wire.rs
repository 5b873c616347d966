//! Octets to and from messages: a query of ours, and whether a response is one to it.
//!
//! Nothing is taken from a response that does not carry the query's id and question, with the
//! letters in the case we sent them (RFC 5452 §9.1; the case is twenty-odd bits more for a forger
//! to guess). Only NOERROR and NXDOMAIN are definite; what they mean is `interpret`'s.
//!
//! RFC 1035 §4, RFC 6891 (EDNS), RFC 8914 (extended errors).

use hickory_proto::rr;
use vouchsafe_proto::dns::message::{CLASS_IN, HEADER, Layout, Message, OPT, Record, wire_type};
use vouchsafe_proto::dns::{MAX_WIRE_NAME, Name, RecordType, Trouble};

use crate::chance;

/// The largest response taken over UDP: above it paths begin to drop fragments (DNS Flag Day
/// 2020). A larger one comes truncated and is asked for over TCP.
pub const UDP_PAYLOAD: u16 = 1232;

/// Whose servers are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whose {
    /// Ours, which ask others.
    #[default]
    Ours,
    /// The zone's: nobody is to be asked on our account, and only what they speak for is an answer.
    Zones,
}

/// One query as it goes to one server.
#[derive(Clone, Debug)]
pub struct Query {
    octets: Vec<u8>,
    /// Where the question ends.
    end: usize,
    exact_case: bool,
    edns: bool,
}

impl Query {
    /// A query with AD and DO asked for (RFC 6891 §6.1.2), of servers of ours with recursion, too (RFC 1035 §4.1). `exact_case`
    /// mixes the letters' case and asks for it back. Id and case are by chance, of which there may
    /// be none to be had.
    pub fn new(
        (name, kind): (&Name, RecordType),
        whose: Whose,
        exact_case: bool,
        edns: bool,
    ) -> Option<Self> {
        let mut octets = Vec::with_capacity(MAX_QUERY);
        let [i0, i1] = chance::octets::<2>()?;
        // AD asks for the AD bit without the records that make it up (RFC 6840 §5.7).
        let flags = match whose {
            Whose::Ours => RECURSION_DESIRED | AUTHENTIC_DATA,
            Whose::Zones => 0,
        };
        let [f0, f1] = flags.to_be_bytes();
        octets.extend_from_slice(&[i0, i1, f0, f1, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)]);
        push_name(&mut octets, name);
        if exact_case {
            mix_case(octets.get_mut(HEADER..)?)?;
        }
        octets.extend_from_slice(&wire_type(kind).to_be_bytes());
        octets.extend_from_slice(&CLASS_IN.to_be_bytes());
        let end = octets.len();
        if edns {
            let [t0, t1] = OPT.to_be_bytes();
            let [p0, p1] = UDP_PAYLOAD.to_be_bytes();
            // Signatures are wanted for one thing, their labels field, which tells a wildcard's MX
            // from a set of its own (RFC 4034 §3.1.3). Elsewhere they only make answers long.
            let wanted = if kind == RecordType::Mx { DNSSEC_OK } else { 0 };
            let [w0, w1] = wanted.to_be_bytes();
            octets.extend_from_slice(&[0, t0, t1, p0, p1, 0, 0, w0, w1, 0, 0]);
        }
        Some(Self {
            octets,
            end,
            exact_case,
            edns,
        })
    }

    /// What tells it from others.
    pub fn id(&self) -> [u8; 2] {
        self.octets.first_chunk().copied().unwrap_or_default()
    }

    /// The octets to send.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// What a response to it says.
    pub fn read(&self, octets: &[u8]) -> Reading {
        let Some((id, flags)) = split_header(octets) else {
            return Reading::Foreign;
        };
        if self.octets.first_chunk() != Some(&id) || flags & RESPONSE == 0 {
            return Reading::Foreign;
        }
        // A truncated message may end anywhere: only its header is read.
        if flags & TRUNCATED != 0 {
            return Reading::Truncated;
        }
        let Some(layout) = Layout::of(octets) else {
            return Reading::Trouble(Trouble::Unreadable);
        };
        if self.edns && matches!(layout.code, FORMAT_ERROR | NOT_IMPLEMENTED) {
            return Reading::NoEdns;
        }
        let definite = matches!(layout.code, NO_ERROR | NO_SUCH_NAME);
        match self.question_of(octets, &layout) {
            Belongs::ButForCase => return Reading::CaseChanged,
            Belongs::No if definite => return Reading::Foreign,
            // A server in trouble may leave the question out.
            Belongs::Yes | Belongs::No => {}
        }
        if definite {
            Reading::Definite(Response {
                octets: octets.into(),
                layout,
            })
        } else {
            Reading::Trouble(trouble_of(&layout))
        }
    }

    /// The same of a datagram, which was cut if it has more than may come.
    pub fn read_datagram(&self, octets: &[u8]) -> Reading {
        match self.read(octets) {
            Reading::Trouble(Trouble::Unreadable) if octets.len() > usize::from(UDP_PAYLOAD) => {
                Reading::Truncated
            }
            reading => reading,
        }
    }

    /// Whether the response repeats our question.
    fn question_of(&self, octets: &[u8], layout: &Layout) -> Belongs {
        let (ours, theirs) = (
            self.octets.get(HEADER..self.end),
            octets.get(HEADER..self.end),
        );
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            return Belongs::No;
        };
        // Type and class have no letters: what their octets look like in another case is another.
        let name = ours.len().saturating_sub(4);
        if layout.questions != 1
            || layout.flags & OPCODE != 0
            || !theirs.eq_ignore_ascii_case(ours)
            || theirs.get(name..) != ours.get(name..)
        {
            Belongs::No
        } else if self.exact_case && theirs != ours {
            Belongs::ButForCase
        } else {
            Belongs::Yes
        }
    }
}

/// A definite response, gone over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    octets: Box<[u8]>,
    layout: Layout,
}

impl Response {
    /// The AD bit.
    pub const fn is_authentic(&self) -> bool {
        self.layout.flags & AUTHENTIC_DATA != 0
    }

    /// NXDOMAIN.
    pub const fn denies_name(&self) -> bool {
        self.layout.code == NO_SUCH_NAME
    }

    /// The server speaks for the zone.
    pub const fn is_authoritative(&self) -> bool {
        self.layout.flags & AUTHORITATIVE != 0
    }

    /// The server asks others.
    pub const fn recurses(&self) -> bool {
        self.layout.flags & RECURSION_AVAILABLE != 0
    }

    /// The answer section.
    pub fn answers(&self) -> impl Iterator<Item = Record<'_>> {
        Message::new(&self.octets, &self.layout).answers()
    }

    /// The authority section.
    pub fn authorities(&self) -> impl Iterator<Item = Record<'_>> {
        Message::new(&self.octets, &self.layout).authorities()
    }
}

/// What came of one response.
#[derive(Debug)]
pub enum Reading {
    /// Not a response to this query: wait on.
    Foreign,
    /// There is more than fits: ask over TCP.
    Truncated,
    /// The letters came back in another case: a forgery, or a server that keeps none. Ask over TCP.
    CaseChanged,
    /// The server does not know EDNS: ask without.
    NoEdns,
    /// Nothing is known from this server.
    Trouble(Trouble),
    /// NOERROR or NXDOMAIN.
    Definite(Response),
}

enum Belongs {
    Yes,
    ButForCase,
    No,
}

/// What kind of trouble a message that is not definite tells of.
fn trouble_of(layout: &Layout) -> Trouble {
    if layout
        .extended_error
        .is_some_and(|code| BOGUS.contains(&code))
    {
        return Trouble::Bogus;
    }
    match layout.code {
        SERVER_FAILURE => Trouble::ServFail,
        FORMAT_ERROR => Trouble::Unreadable,
        _ => Trouble::Refused,
    }
}

/// Id and flags of a message.
fn split_header(octets: &[u8]) -> Option<([u8; 2], u16)> {
    let [a, b, c, d] = *octets.first_chunk::<4>()?;
    Some(([a, b], u16::from_be_bytes([c, d])))
}

/// Writes a name as it stands on the wire.
fn push_name(into: &mut Vec<u8>, name: &Name) {
    if !name.is_root() && !name.as_str().contains('\\') {
        // As it stands, a length in the place of each dot and one in front: written from the right.
        let start = into.len();
        into.push(b'.');
        into.extend_from_slice(name.as_str().as_bytes());
        let mut length = 0;
        for octet in into.iter_mut().skip(start).rev() {
            if *octet == b'.' {
                *octet = length;
                length = 0;
            } else {
                // A name has labels of 63 octets at most.
                length = length.saturating_add(1);
            }
        }
        into.push(0);
        return;
    }
    for label in name.labels() {
        let length = into.len();
        into.push(0);
        into.extend(unescape(label).unwrap_or_default());
        let octets = into.len() - length - 1;
        if let Some(place) = into.get_mut(length) {
            // A name has labels of 63 octets at most.
            *place = u8::try_from(octets).unwrap_or_default();
        }
    }
    into.push(0);
}

/// Gives each letter of a name one of its two cases. A length of a label is below all letters.
fn mix_case(name: &mut [u8]) -> Option<()> {
    for octets in name.chunks_mut(64) {
        let mut coins = u64::from_be_bytes(chance::octets()?);
        for octet in octets {
            let turned = u8::from(octet.is_ascii_alphabetic()) & u8::from(coins & 1 == 1);
            *octet ^= turned << 5;
            coins >>= 1;
        }
    }
    Some(())
}

/// Our form of a name of the library's.
pub fn from_wire(name: &rr::Name) -> Option<Name> {
    Name::from_labels(name).ok()
}

/// The library's form of a name of ours.
pub fn to_wire(name: &Name) -> Option<rr::Name> {
    let text = name.as_str();
    let mut wire = if text.contains('\\') {
        let labels: Option<Vec<Vec<u8>>> = name.labels().map(unescape).collect();
        rr::Name::from_labels(labels?)
    } else {
        rr::Name::from_labels(name.labels().map(str::as_bytes))
    }
    .ok()?;
    wire.set_fqdn(true);
    Some(wire)
}

/// The octets of a label in presentation form.
fn unescape(label: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(label.len());
    let mut rest = label.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'\\' {
            let digits = [rest.next()?, rest.next()?, rest.next()?];
            octets.push(str::from_utf8(&digits).ok()?.parse().ok()?);
        } else {
            octets.push(byte);
        }
    }
    Some(octets)
}

/// Octets of a query at most: header, name, type and class, OPT record.
const MAX_QUERY: usize = 12 + MAX_WIRE_NAME + 4 + 11;

/// The operation among the flags; a query is 0.
const OPCODE: u16 = 0x7800;

/// The AA bit of the flags.
const AUTHORITATIVE: u16 = 0x0400;

/// The RA bit of the flags.
const RECURSION_AVAILABLE: u16 = 0x0080;

/// The RD bit of the flags.
const RECURSION_DESIRED: u16 = 0x0100;

/// The AD bit of the flags.
const AUTHENTIC_DATA: u16 = 0x0020;

/// The DO bit of EDNS's flags.
const DNSSEC_OK: u16 = 0x8000;

/// The QR bit of the flags.
const RESPONSE: u16 = 0x8000;

/// The TC bit of the flags.
const TRUNCATED: u16 = 0x0200;

/// Response codes (RFC 1035 §4.1.1).
const NO_ERROR: u16 = 0;
const FORMAT_ERROR: u16 = 1;
const SERVER_FAILURE: u16 = 2;
const NO_SUCH_NAME: u16 = 3;
const NOT_IMPLEMENTED: u16 = 4;

/// The extended errors that say that signatures do not hold (RFC 8914 §4.7 to §4.13).
const BOGUS: std::ops::RangeInclusive<u16> = 6..=12;

#[cfg(test)]
mod tests;
