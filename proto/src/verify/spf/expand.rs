//! Filling in macros (RFC 7208 §7): a `domain-spec` becomes a name that the DNS can be asked for,
//! an explanation becomes text. Both are bounded, whatever the record and the client say.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt::Write;
use core::net::{IpAddr, Ipv6Addr};

use crate::dns::Name;

use super::limits::{MAX_EXPLANATION, MAX_NAME};
use super::macro_string::{Letter, Macro, MacroString, Part};

/// What stands for the client's name where none is confirmed, and for ours where it is not known
/// (RFC 7208 §7.3).
pub(super) const UNKNOWN: &str = "unknown";

/// Whose record is evaluated: a name to ask for, and the text that `%{d}` gives.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The name.
    pub name: Name,
    /// As it was written or came. Shared, since each walk makes its targets anew.
    pub text: Arc<str>,
}

/// What the macros of one check stand for.
#[derive(Debug)]
pub(super) struct Values {
    /// `%{l}`
    pub local_part: Box<str>,
    /// `%{o}`
    pub sender_domain: Arc<str>,
    /// The client, IPv4 wherever it is one.
    pub client: IpAddr,
    /// `%{h}`
    pub helo: Box<str>,
    /// `%{r}`
    pub receiver: Box<str>,
    /// `%{t}`: seconds since 1970.
    pub time: u64,
    /// Something was asked for or said in which the sender's local-part, HELO or the time stands:
    /// what came of it holds for nobody else.
    pub personal: Cell<bool>,
}

impl Target {
    /// The target that a text means, if it is a name of two labels or more (RFC 7208 §4.3).
    pub(super) fn of(text: &str) -> Option<Self> {
        let text = fitted(text.strip_suffix('.').unwrap_or(text));
        let name = name_of(text)?;
        text.contains('.').then(|| Self {
            name,
            text: text.into(),
        })
    }
}

impl Values {
    /// The target-name of a `domain-spec` in the record of `domain`; none if it is no name.
    pub(super) fn target(&self, spec: &MacroString, domain: &str, name: &str) -> Option<Target> {
        if let [Part::Literal(text)] = spec.parts() {
            return Target::of(text);
        }
        let mut pieces: Vec<Cow<'_, str>> = Vec::new();
        let mut length = 0_usize;
        // From the right, and no further than a name can reach: the rest would be cut off.
        for part in spec.parts().iter().rev() {
            let piece = self.piece(part, domain, name);
            length = length.saturating_add(piece.len());
            pieces.push(piece);
            if length > MAX_NAME.saturating_add(1) {
                break;
            }
        }
        pieces.reverse();
        Target::of(&pieces.concat())
    }

    /// The text of an explanation, cut, and printable ASCII whatever the sender is called.
    pub(super) fn explanation(&self, text: &MacroString, domain: &str, name: &str) -> String {
        let mut said = String::new();
        for part in text.parts() {
            for character in self.piece(part, domain, name).chars() {
                if said.len() >= MAX_EXPLANATION {
                    return said;
                }
                let printable = matches!(character, ' '..='~');
                said.push(if printable { character } else { '?' });
            }
        }
        said
    }

    /// One part, filled in.
    fn piece<'a>(&self, part: &'a Part, domain: &str, name: &str) -> Cow<'a, str> {
        match part {
            Part::Literal(text) => Cow::Borrowed(text),
            Part::Percent => Cow::Borrowed("%"),
            Part::Blank => Cow::Borrowed(" "),
            Part::UrlBlank => Cow::Borrowed("%20"),
            Part::Expand(found) => {
                Cow::Owned(transformed(found, &self.value(found.letter, domain, name)))
            }
        }
    }

    /// What a letter stands for (RFC 7208 §7.2).
    fn value<'a>(&'a self, letter: Letter, domain: &'a str, name: &'a str) -> Cow<'a, str> {
        if let Letter::Sender | Letter::LocalPart | Letter::Helo | Letter::Time = letter {
            self.personal.set(true);
        }
        match letter {
            Letter::Sender => format!("{}@{}", self.local_part, self.sender_domain).into(),
            Letter::LocalPart => (&*self.local_part).into(),
            Letter::SenderDomain => (&*self.sender_domain).into(),
            Letter::Domain => domain.into(),
            Letter::Ip => dotted(self.client).into(),
            Letter::ValidatedName => name.into(),
            Letter::Version => reverse_zone(self.client).into(),
            Letter::Helo => (&*self.helo).into(),
            Letter::ClientAddress => self.client.to_string().into(),
            Letter::Receiver => (&*self.receiver).into(),
            Letter::Time => self.time.to_string().into(),
        }
    }
}

/// The name under which the client's names stand; it has the form of one, so there is one.
pub(super) fn reverse_name(client: IpAddr) -> Option<Name> {
    let forward = dotted(client);
    let mut labels: Vec<_> = forward.split('.').collect();
    labels.reverse();
    Name::parse(&format!(
        "{}.{}.arpa",
        labels.join("."),
        reverse_zone(client)
    ))
    .ok()
}

/// `in-addr` or `ip6`.
const fn reverse_zone(client: IpAddr) -> &'static str {
    match client {
        IpAddr::V4(_) => "in-addr",
        IpAddr::V6(_) => "ip6",
    }
}

/// The address with dots: between the four numbers, or between all 32 hexadecimal digits.
fn dotted(client: IpAddr) -> String {
    match client {
        IpAddr::V4(client) => client.to_string(),
        IpAddr::V6(client) => nibbles(client),
    }
}

/// All 32 hexadecimal digits, a dot between them.
fn nibbles(client: Ipv6Addr) -> String {
    let mut text = String::with_capacity(63);
    for octet in client.octets() {
        let mark = if text.is_empty() { "" } else { "." };
        // Writing to a String cannot fail.
        let _ = write!(text, "{mark}{:x}.{:x}", octet >> 4, octet & 15);
    }
    text
}

/// The name that a text means: each dot separates, every other octet stands for itself. None if
/// it is none: an empty label, one of more than 63 octets, nothing at all.
pub(super) fn name_of(text: &str) -> Option<Name> {
    let text = text.strip_suffix('.').unwrap_or(text);
    Name::from_labels(text.split('.').map(str::as_bytes)).ok()
}

/// Labels are cut off at the left until the rest fits (RFC 7208 §7.3).
fn fitted(mut text: &str) -> &str {
    while text.len() > MAX_NAME {
        text = text.split_once('.').map_or("", |(_, rest)| rest);
    }
    text
}

/// A value split, turned round and cut as the macro says (RFC 7208 §7.3).
fn transformed(found: &Macro, value: &str) -> String {
    let is_delimiter = |character: char| {
        if found.delimiters.is_empty() {
            character == '.'
        } else {
            found.delimiters.contains(character)
        }
    };
    let mut pieces: Vec<&str> = value.split(is_delimiter).collect();
    if found.reverse {
        pieces.reverse();
    }
    let keep = found.keep.map_or(usize::MAX, |keep| {
        usize::try_from(keep).unwrap_or(usize::MAX)
    });
    let skip = pieces.len().saturating_sub(keep);
    let text = pieces.get(skip..).unwrap_or_default().join(".");
    if found.url { url_encoded(&text) } else { text }
}

/// All but the unreserved characters of RFC 3986 §2.3 as `%XX`.
fn url_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            encoded.push(char::from(octet));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{octet:02X}");
        }
    }
    encoded
}
