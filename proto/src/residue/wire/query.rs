//! Reads a datagram that may be a query.

use core::ops::Range;

use super::{HEADER, kind};

/// A query: one question, and perhaps an OPT record.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    octets: &'a [u8],
    /// Where the question's name ends.
    name_end: usize,
    edns: Option<Edns<'a>>,
}

/// What an OPT record says (RFC 6891 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns<'a> {
    /// Octets of a datagram that the asker takes.
    pub size: u16,
    /// The version; only 0 is known.
    pub version: u8,
    /// The cookie, client's and server's together (RFC 7873 §4); of a length that cookies have.
    pub cookie: Option<&'a [u8]>,
}

/// Why a datagram is no query that can be answered as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Too short, or a response: nothing may be said to it, or two servers could go on for ever.
    Silence,
    /// FORMERR is said to it, by its header alone.
    Malformed,
    /// NOTIMP, likewise: it is no query but something else that DNS has.
    OtherOpcode,
}

/// The code of the COOKIE option.
const COOKIE: u16 = 10;

/// Octets of a label that points elsewhere have these bits; a question's name has no such.
const POINTS: u8 = 0xc0;

/// Octets of a name.
const LONGEST_NAME: usize = 255;

impl<'a> Query<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// It is no query, or none that can be read.
    pub fn read(octets: &'a [u8]) -> Result<Self, Unread> {
        let header = octets.first_chunk::<HEADER>().ok_or(Unread::Silence)?;
        let [_, _, flags, _, q0, q1, a0, a1, n0, n1, m0, m1] = *header;
        if flags & 0x80 != 0 {
            return Err(Unread::Silence);
        }
        if flags & 0x78 != 0 {
            return Err(Unread::OtherOpcode);
        }
        let count = |high, low| u16::from_be_bytes([high, low]);
        if count(q0, q1) != 1 || count(a0, a1) != 0 || count(n0, n1) != 0 {
            return Err(Unread::Malformed);
        }
        let name_end = end_of_name(octets).ok_or(Unread::Malformed)?;
        let question_end = name_end.saturating_add(4);
        let rest = octets.get(question_end..).ok_or(Unread::Malformed)?;
        Ok(Self {
            octets,
            name_end,
            edns: read_edns(rest, count(m0, m1))?,
        })
    }

    /// The labels of the question's name, each with the place of its length.
    pub(super) fn labels(&self) -> impl Iterator<Item = (usize, &'a [u8])> {
        let octets = self.octets;
        let mut at = HEADER;
        core::iter::from_fn(move || {
            let length = usize::from(*octets.get(at)?);
            let start = at.saturating_add(1);
            let label = octets.get(start..start.saturating_add(length))?;
            let place = core::mem::replace(&mut at, start.saturating_add(length));
            (length > 0).then_some((place, label))
        })
    }

    /// The name from this place on, as it stands on the wire.
    pub(super) fn name_from(&self, place: usize) -> &'a [u8] {
        self.octets.get(place..self.name_end).unwrap_or_default()
    }

    /// The type that is asked for.
    pub(super) fn kind(&self) -> u16 {
        self.number(self.name_end..self.name_end.saturating_add(2))
    }

    /// The class.
    pub(super) fn class(&self) -> u16 {
        let start = self.name_end.saturating_add(2);
        self.number(start..start.saturating_add(2))
    }

    fn number(&self, place: Range<usize>) -> u16 {
        let octets = self
            .octets
            .get(place)
            .and_then(|octets| octets.first_chunk());
        octets.map_or(0, |octets| u16::from_be_bytes(*octets))
    }

    /// What its OPT record says.
    pub const fn edns(&self) -> Option<Edns<'a>> {
        self.edns
    }

    /// The question as it stands there.
    pub(super) fn question(&self) -> &'a [u8] {
        let end = self.name_end.saturating_add(4);
        self.octets.get(HEADER..end).unwrap_or_default()
    }

    /// All of it.
    pub(super) const fn octets(&self) -> &'a [u8] {
        self.octets
    }
}

/// Where the question's name ends, behind its last octet.
fn end_of_name(octets: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        let length = *octets.get(at)?;
        if length & POINTS != 0 {
            return None;
        }
        at = at.saturating_add(1).saturating_add(usize::from(length));
        if length == 0 {
            let is_name = at.saturating_sub(HEADER) <= LONGEST_NAME;
            return is_name.then_some(at);
        }
    }
}

/// Reads the additional section: nothing, or one OPT record.
fn read_edns(octets: &[u8], records: u16) -> Result<Option<Edns<'_>>, Unread> {
    if records == 0 && octets.is_empty() {
        return Ok(None);
    }
    let (fields, data) = octets.split_first_chunk::<11>().ok_or(Unread::Malformed)?;
    let [root, k0, k1, s0, s1, _, version, _, _, l0, l1] = *fields;
    let is_opt = root == 0 && u16::from_be_bytes([k0, k1]) == kind::OPT;
    let is_whole = data.len() == usize::from(u16::from_be_bytes([l0, l1]));
    if records != 1 || !is_opt || !is_whole {
        return Err(Unread::Malformed);
    }
    Ok(Some(Edns {
        size: u16::from_be_bytes([s0, s1]),
        version,
        cookie: read_cookie(data)?,
    }))
}

/// The cookie among the options (RFC 7873 §5.2.2).
fn read_cookie(options: &[u8]) -> Result<Option<&[u8]>, Unread> {
    let mut rest = options;
    let mut cookie = None;
    while !rest.is_empty() {
        let (head, data) = rest.split_first_chunk::<4>().ok_or(Unread::Malformed)?;
        let [c0, c1, l0, l1] = *head;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let (data, behind) = data.split_at_checked(length).ok_or(Unread::Malformed)?;
        if u16::from_be_bytes([c0, c1]) == COOKIE && cookie.is_none() {
            let has_length = matches!(data.len(), 8 | 16..=40);
            cookie = Some(has_length.then_some(data).ok_or(Unread::Malformed)?);
        }
        rest = behind;
    }
    Ok(cookie)
}
