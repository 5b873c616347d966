//! The fields that are covered, in relaxed form (RFC 6376 §3.4.2), found in a header as it streams by; and what the
//! Date and Message-ID fields say.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

use jiff::fmt::rfc2822::DateTimeParser;

use super::Hour;

/// The covered fields, in the order in which they are hashed.
const NAMES: [&str; 13] = [
    "from",
    "sender",
    "reply-to",
    "date",
    "message-id",
    "subject",
    "to",
    "cc",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
];
const DATE: usize = 3;
const MESSAGE_ID: usize = 4;

/// Octets of the longest of them.
const LONGEST: usize = 25;

/// Octets of covered fields that are held, since they are hashed in another order than they come in. A few thousand
/// recipients in `To` fit.
pub const MOST_HELD: usize = 128 * 1024;

/// What holding one field costs besides its value, so that no number of empty ones passes the limit.
const EACH: usize = 32;

/// Why a message has no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDigest {
    /// There are more covered fields than are held.
    #[error("the covered fields have more than {MOST_HELD} octets")]
    TooLarge,
    /// A line of the header is no field: some readers take it and all below for the body, and nobody could say what
    /// is covered.
    #[error("a line of the header is no field")]
    Malformed,
}

/// Why a message is filed under no hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoHour {
    /// There is none.
    #[error("no Date field")]
    Missing,
    /// There are more than one.
    #[error("several Date fields")]
    Several,
    /// It is no date of the grammar in docs/ledger.md (RFC 5322 §3.3 and most of §4.3), or none between 1970 and 2089.
    #[error("unreadable Date field")]
    Unreadable,
}

/// The covered fields of a header.
#[derive(Debug)]
pub(super) struct Fields {
    /// All of them, in their order and form.
    pub(super) canonical: Vec<u8>,
    /// When it was written.
    pub(super) hour: Result<Hour, NoHour>,
    /// The Message-ID, if there is just one.
    pub(super) message_id: Option<Box<[u8]>>,
}

/// The header being read.
#[derive(Debug, Default)]
pub(super) struct Header {
    place: Place,
    /// The field that is being held, or was until the last line end; the next line may belong to it.
    field: Option<Value>,
    /// Values in relaxed form, one behind the other.
    held: Vec<u8>,
    /// Which of [`NAMES`], and where in `held`.
    values: Vec<(usize, Range<usize>)>,
    /// A field came, covered or not, which the next line may belong to.
    any: bool,
    /// What each Date field says, also where there is no digest.
    dated: Dated,
    fault: Option<NoDigest>,
}

/// When a message says that it was written, however often and oddly it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dated {
    hours: Vec<Hour>,
    unreadable: bool,
}

/// Date fields of a message that are told apart; more are as good as one that cannot be read.
const MOST_DATES: usize = 8;

impl Dated {
    /// The hours that its Date fields name, if all of them can be read, and there is one.
    pub fn hours(&self) -> Option<&[Hour]> {
        let is_known = !self.unreadable && !self.hours.is_empty();
        is_known.then_some(self.hours.as_slice())
    }

    fn add(&mut self, value: &[u8]) {
        match hour_of(value) {
            Ok(hour) if self.hours.len() < MOST_DATES => self.hours.push(hour),
            _ => self.unreadable = true,
        }
    }
}

/// Where in the header the reader is.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// A line begins.
    #[default]
    Start,
    /// Behind a CR that began a line.
    Empty,
    /// In what may be the name of a covered field.
    Name(Name),
    /// In the name of another field. Blanks came behind it, or not.
    Other(bool),
    /// In the value of a covered field.
    Value,
    /// In a line of which no more needs to be known.
    Rest,
    /// In the body.
    Body,
}

/// The beginning of a line, in small letters.
#[derive(Clone, Copy, Debug, Default)]
struct Name {
    octets: [u8; LONGEST],
    len: usize,
    /// Blanks came behind it; they may stand before the colon (RFC 5322 §4.5).
    blank: bool,
}

/// A value that is being held.
#[derive(Clone, Copy, Debug)]
struct Value {
    /// Which of [`NAMES`].
    name: usize,
    /// Where in `held` it begins.
    start: usize,
    /// Blanks wait for what stands behind them.
    blank: bool,
    /// A CR waits for what stands behind it.
    cr: bool,
}

impl Name {
    /// One octet further; `None` if this is no name of a covered field.
    fn and(mut self, octet: u8) -> Option<Self> {
        match octet {
            b' ' | b'\t' => self.blank = true,
            _ if self.blank => return None,
            _ => {
                *self.octets.get_mut(self.len)? = octet.to_ascii_lowercase();
                self.len = self.len.saturating_add(1);
            }
        }
        Some(self)
    }

    /// Which of [`NAMES`] it is.
    fn known(&self) -> Option<usize> {
        let name = self.octets.get(..self.len)?;
        NAMES.iter().position(|known| known.as_bytes() == name)
    }
}

impl Header {
    /// Takes the next octets of the content, and gives those that are the body's.
    pub(super) fn read<'a>(&mut self, octets: &'a [u8]) -> &'a [u8] {
        let mut rest = octets;
        while !matches!(self.place, Place::Body) {
            if matches!(self.place, Place::Rest) {
                let Some(at) = memchr::memchr(b'\n', rest) else {
                    return &[];
                };
                rest = rest.get(at..).unwrap_or_default();
            }
            let Some((octet, behind)) = rest.split_first() else {
                return &[];
            };
            self.place = self.next(*octet);
            rest = behind;
        }
        rest
    }

    /// Where one octet leads.
    fn next(&mut self, octet: u8) -> Place {
        match (self.place, octet) {
            (Place::Start, b'\r') => Place::Empty,
            (Place::Start | Place::Empty, b'\n') => {
                self.end_field();
                Place::Body
            }
            (Place::Start, b' ' | b'\t') if self.field.is_some() => self.take(octet),
            (Place::Start, b' ' | b'\t') if self.any => Place::Rest,
            (Place::Start, _) => {
                self.end_field();
                self.any = true;
                self.name(Name::default(), octet)
            }
            (Place::Name(name), b':') if name.len > 0 => self.begin_field(&name),
            (Place::Name(name), _) => self.name(name, octet),
            (Place::Other(_), b':') => Place::Rest,
            (Place::Other(blank), _) => self.other(blank, octet),
            (Place::Value, _) => self.take(octet),
            (Place::Rest, b'\n') => Place::Start,
            // A CR alone begins no field.
            (Place::Empty, _) => self.give_up(NoDigest::Malformed),
            (Place::Rest | Place::Body, _) => self.place,
        }
    }

    /// One octet of what may be the name of a covered field.
    fn name(&mut self, name: Name, octet: u8) -> Place {
        match name.and(octet) {
            Some(name) if is_of_name(octet) => Place::Name(name),
            _ => self.other(name.blank, octet),
        }
    }

    /// One octet of the name of another field (RFC 5322 §3.6.8, §4.5).
    fn other(&mut self, blank: bool, octet: u8) -> Place {
        match octet {
            b' ' | b'\t' => Place::Other(true),
            _ if !blank && is_of_name(octet) && octet != b':' => Place::Other(false),
            _ => self.give_up(NoDigest::Malformed),
        }
    }

    /// A colon came behind a name.
    fn begin_field(&mut self, name: &Name) -> Place {
        let is_wanted = |name: &usize| self.fault.is_none() || *name == DATE;
        let Some(name) = name.known().filter(is_wanted) else {
            return Place::Rest;
        };
        self.field = Some(Value {
            name,
            start: self.held.len(),
            blank: false,
            cr: false,
        });
        Place::Value
    }

    /// One octet of a value.
    fn take(&mut self, octet: u8) -> Place {
        let Some(value) = &mut self.field else {
            return Place::Rest;
        };
        value.take(octet, &mut self.held);
        if octet == b'\n' {
            return Place::Start;
        }
        if self.held.len() > MOST_HELD {
            self.give_up(NoDigest::TooLarge)
        } else {
            Place::Value
        }
    }

    /// The field that was being held is over.
    fn end_field(&mut self) {
        if let Some(value) = self.field.take() {
            if value.name == DATE {
                let octets = self.held.get(value.start..).unwrap_or_default();
                self.dated.add(octets);
            }
            if self.fault.is_some() {
                self.held.clear();
                return;
            }
            self.values.push((value.name, value.start..self.held.len()));
            let each = self.values.len().saturating_mul(EACH);
            if self.held.len().saturating_add(each) > MOST_HELD {
                self.give_up(NoDigest::TooLarge);
            }
        }
    }

    /// There will be no digest: the rest goes by, but for what it says of its date.
    fn give_up(&mut self, fault: NoDigest) -> Place {
        self.fault.get_or_insert(fault);
        self.dated.unreadable |= self.field.is_some_and(|value| value.name == DATE);
        self.field = None;
        self.held = Vec::new();
        self.values = Vec::new();
        Place::Rest
    }

    /// When it says that it was written, as far as it has come.
    pub(super) fn dated(&mut self) -> Dated {
        self.end_field();
        self.dated.clone()
    }

    /// The content is over.
    pub(super) fn finish(mut self) -> Result<Fields, NoDigest> {
        self.end_field();
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut canonical = Vec::with_capacity(self.held.len().saturating_add(ORDINARY));
        for (number, name) in NAMES.iter().enumerate() {
            let before = canonical.len();
            for value in self.of(number).rev() {
                canonical.extend_from_slice(name.as_bytes());
                canonical.push(b':');
                canonical.extend_from_slice(value);
                canonical.extend_from_slice(b"\r\n");
            }
            if canonical.len() == before {
                canonical.extend_from_slice(name.as_bytes());
                canonical.extend_from_slice(b"\r\n");
            }
        }
        Ok(Fields {
            hour: self.hour(),
            message_id: self.only(MESSAGE_ID).ok().map(Box::from),
            canonical,
        })
    }

    /// The values of one field, from the top.
    fn of(&self, number: usize) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.values
            .iter()
            .filter(move |(name, _)| *name == number)
            .filter_map(|(_, place)| self.held.get(place.clone()))
    }

    /// The value of a field of which there is just one, and which is not empty.
    fn only(&self, number: usize) -> Result<&[u8], NoHour> {
        let mut values = self.of(number);
        let first = values.next().ok_or(NoHour::Missing)?;
        match values.next() {
            Some(_) => Err(NoHour::Several),
            None if first.is_empty() => Err(NoHour::Unreadable),
            None => Ok(first),
        }
    }

    /// When the message was written, by its Date field.
    fn hour(&self) -> Result<Hour, NoHour> {
        hour_of(self.only(DATE)?)
    }
}

/// The hour that a Date field's value lies in.
fn hour_of(value: &[u8]) -> Result<Hour, NoHour> {
    let text = core::str::from_utf8(value).map_err(|_| NoHour::Unreadable)?;
    let parser = DateTimeParser::new().relaxed_weekday(true);
    let at = parser
        .parse_timestamp(text)
        .map_err(|_| NoHour::Unreadable)?;
    let hour = u32::try_from(at.as_second().div_euclid(3600)).ok();
    hour.and_then(Hour::new).ok_or(NoHour::Unreadable)
}

/// Whether a field's name may have this octet, or blanks behind it.
const fn is_of_name(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | 33..=126)
}

/// Octets of the names of all covered fields, with their line ends.
const ORDINARY: usize = 256;

/// The value of a field as it stands in a header, or was taken out of one, in the form in which it is held.
pub(super) fn relaxed(value: &[u8]) -> Vec<u8> {
    let mut held = Vec::with_capacity(value.len());
    let mut state = Value {
        name: 0,
        start: 0,
        blank: false,
        cr: false,
    };
    for octet in value {
        state.take(*octet, &mut held);
    }
    held
}

impl Value {
    /// Any octet.
    fn take(&mut self, octet: u8, held: &mut Vec<u8>) {
        if core::mem::take(&mut self.cr) && octet != b'\n' {
            self.push(b'\r', held);
        }
        match octet {
            b'\n' => {}
            b'\r' => self.cr = true,
            b' ' | b'\t' => self.blank = true,
            _ => self.push(octet, held),
        }
    }

    /// An octet that is no blank and no line end.
    fn push(&mut self, octet: u8, held: &mut Vec<u8>) {
        if core::mem::take(&mut self.blank) && held.len() > self.start {
            held.push(b' ');
        }
        held.push(octet);
    }
}
