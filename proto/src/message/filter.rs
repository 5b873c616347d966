//! The header of what comes in, on its way into the spool: what others have written in our name is
//! taken out (RFC 8601 §5).
//!
//! Promises: every `Authentication-Results` field that claims our authserv-id is removed, whole; all
//! else goes on octet by octet as it came, however it is split. What is held meanwhile is bounded: a
//! field that has not said whom it claims to come from within [`MOST_HELD`] octets is removed too.
//! The header ends at the first empty line; until then every line is looked at, well-formed or not.
//!
//! On the way it notes whether there is a signature, so that nobody looks for one in vain.

use alloc::vec::Vec;
use core::mem;

use super::authserv_id::AuthservId;
use crate::addr::Domain;

/// Octets of one field that are held while it is not known whose it is. An id has at most 255, and
/// before it stand comments that nobody writes at length; it is a quarter of what a session buffers.
pub const MOST_HELD: usize = 4096;

/// The filter of one message.
#[derive(Clone, Debug, Default)]
pub struct HeaderFilter {
    /// Where in the header it is.
    place: Place,
    /// Octets of this line that are not given on yet.
    held: Vec<u8>,
    /// A signature field was there.
    signed: bool,
    /// Fields removed.
    removed: usize,
}

/// Where in the header the filter is.
#[derive(Clone, Debug, Default)]
enum Place {
    /// In a name that may still become one of [`KNOWN`]; at the start, a line begins. All is held.
    #[default]
    Name,
    /// Behind such a name, before its colon: blanks and folds may stand there. All is held.
    Blank(&'static Known),
    /// In the first part of an `Authentication-Results` field, behind a colon at this place of what
    /// is held.
    Claim(AuthservId, usize),
    /// In a line of which no more needs to be known.
    Rest,
    /// In a line that is removed.
    Removed,
    /// Behind the end of such a line: the next one may belong to its field.
    BehindRemoved,
    /// Behind a CR that began a line.
    EmptyLine,
    /// In the body.
    Body,
}

/// A field whose name is looked for.
#[derive(Debug)]
struct Known {
    /// In small letters.
    name: &'static [u8],
    /// What it is looked for.
    what: What,
}

/// What a field is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// It may claim to be ours.
    Results,
    /// That it is there.
    Signature,
}

/// The fields that are looked for.
const KNOWN: [Known; 3] = [
    Known {
        name: b"authentication-results",
        what: What::Results,
    },
    Known {
        name: b"dkim-signature",
        what: What::Signature,
    },
    Known {
        name: b"arc-seal",
        what: What::Signature,
    },
];

impl Known {
    /// Whether this is its name, in any case.
    const fn is(&self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.name)
    }

    /// Whether its name begins so.
    fn may_become(&self, beginning: &[u8]) -> bool {
        let prefix = self.name.get(..beginning.len());
        prefix.is_some_and(|prefix| beginning.eq_ignore_ascii_case(prefix))
    }
}

impl HeaderFilter {
    /// Takes the next octets of the content, and gives those that go on. `ours` is the authserv-id
    /// that nobody else may claim.
    pub fn pass(&mut self, octets: Vec<u8>, ours: &Domain) -> Vec<u8> {
        if matches!(self.place, Place::Body) {
            return octets;
        }
        let mut passed = Vec::with_capacity(octets.len().saturating_add(self.held.len()));
        let mut rest = octets.as_slice();
        while let Some((octet, behind)) = rest.split_first() {
            match self.place {
                Place::Body => {
                    passed.extend_from_slice(rest);
                    break;
                }
                // The content of this machine has no bare LF, so an LF ends the line.
                Place::Rest => rest = self.pass_line(rest, &mut passed),
                Place::Removed => rest = self.remove_line(rest),
                _ => {
                    self.read_octet(*octet, ours, &mut passed);
                    rest = behind;
                }
            }
        }
        passed
    }

    /// At the end of the content, what is still held and goes on.
    pub fn finish(&mut self, ours: &Domain) -> Vec<u8> {
        let mut passed = Vec::new();
        self.end_field(ours, &mut passed);
        passed
    }

    /// Whether a `DKIM-Signature` or an `ARC-Seal` has been seen.
    pub const fn is_signed(&self) -> bool {
        self.signed
    }

    /// Fields that were removed.
    pub const fn removed(&self) -> usize {
        self.removed
    }

    /// The rest of a line goes on.
    fn pass_line<'a>(&mut self, rest: &'a [u8], passed: &mut Vec<u8>) -> &'a [u8] {
        let (line, behind) = split_line(rest);
        passed.extend_from_slice(line);
        if line.ends_with(b"\n") {
            self.place = Place::default();
        }
        behind
    }

    /// The rest of a line does not.
    fn remove_line<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let (line, behind) = split_line(rest);
        if line.ends_with(b"\n") {
            self.place = Place::BehindRemoved;
        }
        behind
    }

    /// One octet further, where each one counts.
    fn read_octet(&mut self, octet: u8, ours: &Domain, passed: &mut Vec<u8>) {
        if matches!(self.place, Place::BehindRemoved) {
            if is_blank(octet) {
                self.place = Place::Removed;
                return;
            }
            self.place = Place::default();
        }
        // A line that begins without a blank ends the field that is held.
        if self.held.ends_with(b"\n") && !is_blank(octet) {
            self.end_field(ours, passed);
        }
        match mem::replace(&mut self.place, Place::Rest) {
            Place::Name => self.read_name(octet, passed),
            Place::Blank(known) => self.read_blank(known, octet, passed),
            Place::Claim(id, colon) => self.read_claim(id, colon, octet, ours, passed),
            Place::EmptyLine if octet == b'\n' => {
                passed.push(octet);
                self.place = Place::Body;
            }
            _ => {
                passed.push(octet);
                if octet == b'\n' {
                    self.place = Place::default();
                }
            }
        }
    }

    /// An octet where a name may be.
    fn read_name(&mut self, octet: u8, passed: &mut Vec<u8>) {
        if self.held.is_empty() && octet == b'\r' {
            passed.push(octet);
            self.place = Place::EmptyLine;
            return;
        }
        if matches!(octet, b':' | b' ' | b'\t' | b'\r')
            && let Some(known) = KNOWN.iter().find(|known| known.is(&self.held))
        {
            return self.read_blank(known, octet, passed);
        }
        self.held.push(octet);
        if KNOWN.iter().any(|known| known.may_become(&self.held)) {
            self.place = Place::Name;
            return;
        }
        self.let_go(passed);
        if octet == b'\n' {
            self.place = Place::Name;
        }
    }

    /// An octet between a name and its colon.
    fn read_blank(&mut self, known: &'static Known, octet: u8, passed: &mut Vec<u8>) {
        self.held.push(octet);
        let full = self.held.len() >= MOST_HELD;
        match (octet, known.what) {
            (_, What::Results) if full => self.remove_at(octet),
            (b':', What::Results) => {
                self.place = Place::Claim(AuthservId::default(), self.held.len());
            }
            (b' ' | b'\t' | b'\r' | b'\n', _) if !full => self.place = Place::Blank(known),
            (b':', What::Signature) => {
                self.signed = true;
                self.let_go(passed);
            }
            // No colon: no field.
            _ => {
                self.let_go(passed);
                if octet == b'\n' {
                    self.place = Place::Name;
                }
            }
        }
    }

    /// An octet of the part that says whose field it is.
    fn read_claim(
        &mut self,
        mut id: AuthservId,
        colon: usize,
        octet: u8,
        ours: &Domain,
        passed: &mut Vec<u8>,
    ) {
        self.held.push(octet);
        let ends = id.read(octet);
        if self.held.len() >= MOST_HELD {
            return self.remove_at(octet);
        }
        self.place = Place::Claim(id, colon);
        if ends && !self.judge(ours, passed) {
            self.place = Place::Removed;
        }
    }

    /// The field that is held is complete; a line begins, or nothing comes any more.
    fn end_field(&mut self, ours: &Domain, passed: &mut Vec<u8>) {
        self.judge(ours, passed);
        self.place = Place::default();
    }

    /// Gives on what is held, or removes it. True if it goes on.
    fn judge(&mut self, ours: &Domain, passed: &mut Vec<u8>) -> bool {
        if let Place::Claim(id, colon) = &self.place {
            let body = self.held.get(*colon..).unwrap_or_default();
            if id.claims(body, ours) {
                self.remove();
                return false;
            }
        }
        self.let_go(passed);
        self.place = Place::Rest;
        true
    }

    /// What is held goes on.
    fn let_go(&mut self, passed: &mut Vec<u8>) {
        passed.append(&mut self.held);
    }

    /// What is held does not, and neither does the rest of its field behind this octet.
    fn remove_at(&mut self, octet: u8) {
        self.remove();
        self.place = if octet == b'\n' {
            Place::BehindRemoved
        } else {
            Place::Removed
        };
    }

    /// What is held does not go on.
    fn remove(&mut self) {
        self.held.clear();
        self.removed = self.removed.saturating_add(1);
    }
}

/// Up to the end of the line, and what follows.
fn split_line(octets: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\n', octets).map_or(octets.len(), |at| at.saturating_add(1));
    octets.split_at_checked(end).unwrap_or((octets, &[]))
}

/// What a line begins with that continues the one before.
const fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

#[cfg(test)]
mod tests;
