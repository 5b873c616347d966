//! The mailbox in a `From` field, if it holds just one (RFC 5322 §3.4).
//!
//! Strict where it matters: what is read as the address must stand there in one piece, and a field
//! with several mailboxes, a group, or anything that two readers could read in two ways has no
//! author. Comments, folding, display names with dots in them and octets beyond ASCII are taken.

use alloc::vec::Vec;

use crate::addr::Mailbox;

/// Octets of a field that are read; a From field of one mailbox is a few dozen.
const MAX_VALUE: usize = 4096;

/// The author, if there is exactly one.
pub fn author(value: &[u8]) -> Option<Mailbox> {
    if value.len() > MAX_VALUE {
        return None;
    }
    let mut scan = Scan::default();
    for octet in value {
        scan.read(*octet)?;
    }
    scan.finish()
}

/// What has been read.
#[derive(Debug, Default)]
struct Scan {
    /// Where the scan is.
    place: Place,
    /// Open comments, when inside one.
    comments: u32,
    /// The octet before was a backslash that quotes this one.
    escaped: bool,
    /// What stands before the angle bracket, or all there is; quoted strings whole.
    plain: Vec<u8>,
    /// What stands between the brackets.
    angle: Option<Vec<u8>>,
}

/// Where the scan is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Outside of brackets and quotes.
    #[default]
    Plain,
    /// Inside a quoted string outside of brackets.
    Quoted,
    /// Inside the brackets.
    Angle,
    /// Inside a quoted string inside the brackets.
    AngleQuoted,
    /// Behind the brackets, where only comments may stand.
    Behind,
}

impl Scan {
    /// Takes one octet; none if the field has no one author.
    fn read(&mut self, octet: u8) -> Option<()> {
        // What is folded stands on one line.
        let octet = if b"\r\n\t".contains(&octet) {
            b' '
        } else {
            octet
        };
        if octet < b' ' || octet == 0x7f {
            return None;
        }
        if self.comments > 0 {
            self.read_comment(octet);
            return Some(());
        }
        match self.place {
            Place::Plain => self.read_plain(octet)?,
            Place::Quoted => {
                self.plain.push(octet);
                if self.closes_quote(octet) {
                    self.place = Place::Plain;
                }
            }
            Place::Angle => match octet {
                b'>' => self.place = Place::Behind,
                b'(' => self.open_comment(),
                b'"' => {
                    self.push_angle(octet);
                    self.place = Place::AngleQuoted;
                }
                octet => self.push_angle(octet),
            },
            Place::AngleQuoted => {
                self.push_angle(octet);
                if self.closes_quote(octet) {
                    self.place = Place::Angle;
                }
            }
            Place::Behind => match octet {
                b' ' => {}
                b'(' => self.open_comment(),
                _ => return None,
            },
        }
        Some(())
    }

    /// One octet outside of brackets and quotes.
    fn read_plain(&mut self, octet: u8) -> Option<()> {
        match octet {
            b'(' => self.open_comment(),
            b'<' => {
                self.angle = Some(Vec::new());
                self.place = Place::Angle;
            }
            b'"' => {
                self.plain.push(octet);
                self.place = Place::Quoted;
            }
            // A list, a group, or what belongs nowhere here.
            b',' | b';' | b')' | b'>' | b'\\' => return None,
            octet => self.plain.push(octet),
        }
        Some(())
    }

    /// One octet of a comment.
    fn read_comment(&mut self, octet: u8) {
        match octet {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'(' => self.comments = self.comments.saturating_add(1),
            b')' => self.comments = self.comments.saturating_sub(1),
            _ => {}
        }
    }

    /// A comment counts as a blank.
    fn open_comment(&mut self) {
        self.comments = 1;
        match self.place {
            Place::Angle => self.push_angle(b' '),
            _ => self.plain.push(b' '),
        }
    }

    /// True if this octet of a quoted string is its end.
    fn closes_quote(&mut self, octet: u8) -> bool {
        if self.escaped {
            self.escaped = false;
            return false;
        }
        self.escaped = octet == b'\\';
        octet == b'"'
    }

    /// One octet between the brackets.
    fn push_angle(&mut self, octet: u8) {
        if let Some(angle) = &mut self.angle {
            angle.push(octet);
        }
    }

    /// The author, if all that was opened is closed again.
    fn finish(self) -> Option<Mailbox> {
        if self.comments > 0 {
            return None;
        }
        match (self.place, self.angle) {
            (Place::Plain, None) => mailbox(&self.plain),
            // An address that only looks like one, in the name: two readers, two authors.
            (Place::Behind, Some(_))
                if unquoted(&self.plain).any(|octet| b"@[]:".contains(&octet)) =>
            {
                None
            }
            (Place::Behind, Some(angle)) => mailbox(&angle),
            _ => None,
        }
    }
}

/// The octets of a phrase outside of its quoted strings.
fn unquoted(phrase: &[u8]) -> impl Iterator<Item = u8> {
    let (mut quoted, mut escaped) = (false, false);
    phrase.iter().copied().filter(move |octet| {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        !quoted
    })
}

/// An address in one piece, without a source route.
fn mailbox(text: &[u8]) -> Option<Mailbox> {
    let text = core::str::from_utf8(text.trim_ascii()).ok()?;
    if text.starts_with('@') {
        return None;
    }
    Mailbox::parse(text).ok()
}
