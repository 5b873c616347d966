//! The header of a message that begins its way here: a Date and a Message-ID are added where there are none
//! (RFC 6409 §8.1, §8.2; PROTOCOLS B.1), since nobody can be asked about a message that has no date.
//!
//! Promises: what comes goes on octet by octet as it came, however it is split; what is added stands at the end of the
//! header, in lines of its own; nothing is added to a header with a line that is no field, for some readers take that
//! and all below for the body. Left to others: whose messages are to be completed.

use alloc::format;
use alloc::vec::Vec;

use crate::addr::Domain;
use crate::queue_id::QueueId;
use crate::time::Wall;

/// What is added.
#[derive(Clone, Debug)]
pub struct Missing {
    date: Vec<u8>,
    message_id: Vec<u8>,
}

impl Missing {
    /// To a message of this name, which came to this host at that moment. The name has 52 bits of chance.
    pub fn new(id: QueueId, host: &Domain, at: Wall) -> Self {
        Self {
            date: format!("Date: {}\r\n", at.to_rfc5322()).into_bytes(),
            message_id: format!("Message-ID: <{id}@{}>\r\n", host.as_ascii()).into_bytes(),
        }
    }
}

/// The header of one message.
#[derive(Clone, Debug)]
pub struct Completion {
    /// None once the header is over.
    missing: Option<Missing>,
    place: Place,
    has_date: bool,
    has_message_id: bool,
}

/// Where in the header it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A line begins; or no more is read of it than the first octets of a name.
    Name(Name),
    /// Behind such a name, in blanks that may stand before the colon (RFC 5322 §4.5).
    Blank(Name),
    /// In a line of which no more needs to be known.
    Rest,
    /// Behind a CR that began a line, which is held.
    EmptyLine,
}

/// The beginning of a line, in small letters; of a name that is longer than all that are looked for, as much as that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Name {
    octets: [u8; MOST],
    len: usize,
}

/// Octets that tell the names that are looked for from all others.
const MOST: usize = 11;

const DATE: &[u8] = b"date";
const MESSAGE_ID: &[u8] = b"message-id";

impl Name {
    fn push(&mut self, octet: u8) {
        if let Some(place) = self.octets.get_mut(self.len) {
            *place = octet.to_ascii_lowercase();
            self.len = self.len.saturating_add(1);
        }
    }

    fn text(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

impl Completion {
    /// Of a message that lacks this if it has none.
    pub const fn new(missing: Missing) -> Self {
        Self {
            missing: Some(missing),
            place: Place::Name(Name {
                octets: [0; MOST],
                len: 0,
            }),
            has_date: false,
            has_message_id: false,
        }
    }

    /// Takes the next octets of the content, and gives those that go on.
    pub fn pass(&mut self, octets: Vec<u8>) -> Vec<u8> {
        if self.missing.is_none() {
            return octets;
        }
        let mut passed = Vec::with_capacity(octets.len().saturating_add(ADDED));
        let mut rest = octets.as_slice();
        while self.missing.is_some()
            && let Some((octet, behind)) = rest.split_first()
        {
            self.read(*octet, &mut passed);
            rest = behind;
        }
        passed.extend_from_slice(rest);
        passed
    }

    /// At the end of the content, what goes on behind it: it may have been nothing but a header.
    pub fn finish(&mut self) -> Vec<u8> {
        match self.place {
            Place::Name(Name { len: 0, .. }) => self.take_missing(),
            Place::EmptyLine if self.missing.is_some() => b"\r".to_vec(),
            _ => Vec::new(),
        }
    }

    /// One octet of the header.
    fn read(&mut self, octet: u8, passed: &mut Vec<u8>) {
        match (self.place, octet) {
            (Place::Name(Name { len: 0, .. }), b'\r') => {
                self.place = Place::EmptyLine;
                return;
            }
            (Place::EmptyLine, b'\n') => {
                passed.append(&mut self.take_missing());
                passed.extend_from_slice(b"\r\n");
                return;
            }
            (Place::EmptyLine, _) => {
                passed.push(b'\r');
                self.missing = None;
            }
            (Place::Name(Name { len: 0, .. }), b' ' | b'\t') => self.place = Place::Rest,
            (Place::Name(name) | Place::Blank(name), b':') if name.len > 0 => self.note(name),
            (Place::Name(name) | Place::Blank(name), b' ' | b'\t') => {
                self.place = Place::Blank(name);
            }
            (Place::Name(mut name), b'!'..=b'~') if octet != b':' => {
                name.push(octet);
                self.place = Place::Name(name);
            }
            // No field.
            (Place::Name(_) | Place::Blank(_), _) => self.missing = None,
            (Place::Rest, b'\n') => self.place = Place::Name(Name::default()),
            (Place::Rest, _) => {}
        }
        passed.push(octet);
    }

    /// A field of this name is there.
    fn note(&mut self, name: Name) {
        self.has_date |= name.text() == DATE;
        self.has_message_id |= name.text() == MESSAGE_ID;
        self.place = Place::Rest;
    }

    fn take_missing(&mut self) -> Vec<u8> {
        let mut added = Vec::new();
        if let Some(missing) = self.missing.take() {
            if !self.has_date {
                added.extend(missing.date);
            }
            if !self.has_message_id {
                added.extend(missing.message_id);
            }
        }
        added
    }
}

/// Octets that are added, mostly.
const ADDED: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;

    fn complete(content: &str, cuts: &[usize]) -> String {
        let id = QueueId::from_u128(5).unwrap();
        let host = Domain::parse("mx.example").unwrap();
        let missing = Missing::new(id, &host, Wall::from_secs(1_795_256_100));
        let mut completion = Completion::new(missing);
        let mut passed = Vec::new();
        let mut rest = content.as_bytes();
        for cut in cuts {
            let (piece, behind) = rest.split_at((*cut).min(rest.len()));
            passed.extend(completion.pass(piece.to_vec()));
            rest = behind;
        }
        passed.extend(completion.pass(rest.to_vec()));
        passed.extend(completion.finish());
        String::from_utf8(passed).unwrap()
    }

    const D: &str = "Date: Sat, 21 Nov 2026 10:15:00 +0000\r\n";
    const M: &str = "Message-ID: <00000000000000000005@mx.example>\r\n";

    #[test]
    fn what_is_missing_stands_at_the_end_of_the_header() {
        for (content, before, behind, added) in [
            ("", "", "", [D, M].concat()),
            ("\r\nbody\r\n", "", "\r\nbody\r\n", [D, M].concat()),
            ("From: a\r\n", "From: a\r\n", "", [D, M].concat()),
            ("dAtE : x\r\n\r\n", "dAtE : x\r\n", "\r\n", M.into()),
            (
                "Message-Id:\r\n x\r\n\r\nDate: y",
                "Message-Id:\r\n x\r\n",
                "\r\nDate: y",
                D.into(),
            ),
            (
                "Dates: x\r\n Date: y\r\n\r\n",
                "Dates: x\r\n Date: y\r\n",
                "\r\n",
                [D, M].concat(),
            ),
            (
                "Message-IDs: x\r\nDate: y\r\n\r\n",
                "Message-IDs: x\r\nDate: y\r\n",
                "\r\n",
                M.into(),
            ),
            // What is whole, and what is no header.
            (
                "Date: x\r\nMessage-ID: y\r\n\r\nz",
                "Date: x\r\nMessage-ID: y\r\n\r\nz",
                "",
                String::new(),
            ),
            (
                "From: a\r\nhello\r\n\r\n",
                "From: a\r\nhello\r\n\r\n",
                "",
                String::new(),
            ),
            (
                "From: a\r\n\rx\r\n\r\n",
                "From: a\r\n\rx\r\n\r\n",
                "",
                String::new(),
            ),
            ("From: a", "From: a", "", String::new()),
        ] {
            let expected = [before, &added, behind].concat();
            assert_eq!(complete(content, &[]), expected);
            let each: Vec<_> = content.bytes().map(|_| 1).collect();
            assert_eq!(complete(content, &each), expected, "octet by octet");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_came_is_changed(
            content in "([a-cDateMsgid: \\-]{0,12}\r\n){0,6}(\r\n)?[a-z\r\n]{0,9}",
            cuts in prop::collection::vec(0_usize..20, 0..8),
        ) {
            let passed = complete(&content, &cuts);
            prop_assert_eq!(&passed, &complete(&content, &[]));
            prop_assert_eq!(passed.replacen(D, "", 1).replacen(M, "", 1), content);
        }
    }
}
