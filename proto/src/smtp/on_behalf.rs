//! The arguments of XCLIENT and XFORWARD: for whom a host in front of us speaks. The form and the
//! attributes are Postfix's (its `XCLIENT_README` and `XFORWARD_README`), which other proxies use too.
//!
//! Each argument is `name=value`, the value in xtext (RFC 3461 §4). Only what is of use here is
//! kept: the client's address and port, what it called itself, and whether the mail began at the
//! host in front. The other attributes are read and dropped; one that nobody knows is refused.
//!
//! Who may say it, when, and what comes of it is the session's.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What one of the commands says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnBehalf {
    /// ADDR, IPv4-mapped already unmapped.
    pub address: Said<IpAddr>,
    /// PORT.
    pub port: Said<u16>,
    /// HELO. Characters that could end or hide a line stand as `?`.
    pub helo: Said<Box<str>>,
    /// PROTO: ESMTP, not SMTP.
    pub extended: Said<bool>,
    /// SOURCE: the mail began at the host in front, and has no client.
    pub local: Said<bool>,
}

/// What is said of one attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Said<T> {
    /// Nothing: what was said before holds.
    #[default]
    Nothing,
    /// The host in front does not know it (`[UNAVAILABLE]`, `[TEMPUNAVAIL]`).
    Unknown,
    /// This.
    Is(T),
}

impl<T> Said<T> {
    /// The value, if there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Nothing | Self::Unknown => None,
        }
    }
}

/// Why the arguments cannot be obeyed. Nothing of such a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseOnBehalfError {
    /// No attribute at all.
    #[error("no attribute")]
    Empty,
    /// An argument without `=`.
    #[error("argument that is no attribute")]
    NoAttribute,
    /// An attribute that the command does not have.
    #[error("unknown attribute")]
    UnknownAttribute,
    /// A value that is not in xtext.
    #[error("value is not xtext")]
    Xtext,
    /// A value that the attribute does not take.
    #[error("value of another form")]
    Value,
}

impl OnBehalf {
    /// XCLIENT's arguments.
    pub fn parse_xclient(argument: &str) -> Result<Self, ParseOnBehalfError> {
        Self::parse(argument, XCLIENT)
    }

    /// XFORWARD's arguments.
    pub fn parse_xforward(argument: &str) -> Result<Self, ParseOnBehalfError> {
        Self::parse(argument, XFORWARD)
    }

    /// Arguments of which each is one of `known`. The last of several values holds, as with
    /// Postfix.
    fn parse(argument: &str, known: &[(&str, Attribute)]) -> Result<Self, ParseOnBehalfError> {
        let mut words = argument.split([' ', '\t']).filter(|word| !word.is_empty());
        let mut said = Self::default();
        let first = words.next().ok_or(ParseOnBehalfError::Empty)?;
        for word in core::iter::once(first).chain(words) {
            let (name, value) = word
                .split_once('=')
                .ok_or(ParseOnBehalfError::NoAttribute)?;
            let attribute = known
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, attribute)| *attribute)
                .ok_or(ParseOnBehalfError::UnknownAttribute)?;
            said.set(attribute, &decoded(value)?)?;
        }
        Ok(said)
    }

    /// Takes one value in.
    fn set(&mut self, attribute: Attribute, value: &str) -> Result<(), ParseOnBehalfError> {
        match attribute {
            Attribute::Address => self.address = said(value, address)?,
            Attribute::Port => self.port = said(value, |text| text.parse().ok())?,
            Attribute::Helo => self.helo = said(value, |text| Some(harmless(text)))?,
            Attribute::Protocol => self.extended = said(value, |text| word(text, "ESMTP", "SMTP"))?,
            Attribute::Source => self.local = said(value, |text| word(text, "LOCAL", "REMOTE"))?,
            Attribute::Unused => {}
        }
        Ok(())
    }
}

/// The attributes, as far as they are told apart.
#[derive(Clone, Copy, Debug)]
enum Attribute {
    Address,
    Port,
    Helo,
    Protocol,
    Source,
    /// Read and dropped.
    Unused,
}

/// XCLIENT's. LOGIN is not believed: a login is ours to check. NAME is not used: what an address
/// calls itself in the DNS proves nothing here. DESTADDR and DESTPORT are of no use.
const XCLIENT: &[(&str, Attribute)] = &[
    ("NAME", Attribute::Unused),
    ("ADDR", Attribute::Address),
    ("PORT", Attribute::Port),
    ("PROTO", Attribute::Protocol),
    ("HELO", Attribute::Helo),
    ("LOGIN", Attribute::Unused),
    ("DESTADDR", Attribute::Unused),
    ("DESTPORT", Attribute::Unused),
];

/// XFORWARD's. IDENT is the message's name at the host in front, which its own log has.
const XFORWARD: &[(&str, Attribute)] = &[
    ("NAME", Attribute::Unused),
    ("ADDR", Attribute::Address),
    ("PORT", Attribute::Port),
    ("PROTO", Attribute::Protocol),
    ("HELO", Attribute::Helo),
    ("SOURCE", Attribute::Source),
    ("IDENT", Attribute::Unused),
];

/// What a decoded value says, `parse` reading those that say something. An empty one is unknown,
/// as with Postfix.
fn said<T>(
    value: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Said<T>, ParseOnBehalfError> {
    let unknown = ["", "[UNAVAILABLE]", "[TEMPUNAVAIL]"];
    if unknown.iter().any(|word| word.eq_ignore_ascii_case(value)) {
        return Ok(Said::Unknown);
    }
    parse(value).map(Said::Is).ok_or(ParseOnBehalfError::Value)
}

/// An address: IPv4, or IPv6 behind its prefix, as in a literal but without brackets.
fn address(text: &str) -> Option<IpAddr> {
    const PREFIX: &str = "IPV6:";
    let v6 = text
        .split_at_checked(PREFIX.len())
        .filter(|(prefix, _)| prefix.eq_ignore_ascii_case(PREFIX));
    match v6 {
        Some((_, rest)) => {
            let address: Ipv6Addr = rest.parse().ok()?;
            Some(IpAddr::V6(address).to_canonical())
        }
        None => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// True for `yes`, false for `no`, in any case.
fn word(text: &str, yes: &str, no: &str) -> Option<bool> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    (is(yes) || is(no)).then(|| is(yes))
}

/// Undoes xtext (RFC 3461 §4). Lenient about the characters that stand for themselves, since not
/// every proxy encodes all it should; a `+` without its two digits is refused, because such a
/// value could be read in two ways.
fn decoded(value: &str) -> Result<String, ParseOnBehalfError> {
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => {
                let digit = |digit: Option<u8>| char::from(digit?).to_digit(16);
                let pair = digit(rest.next()).zip(digit(rest.next()));
                let (high, low) = pair.ok_or(ParseOnBehalfError::Xtext)?;
                u8::try_from(high.saturating_mul(16).saturating_add(low))
                    .map_err(|_| ParseOnBehalfError::Xtext)?
            }
            other => other,
        });
    }
    String::from_utf8(octets).map_err(|_| ParseOnBehalfError::Xtext)
}

/// What a client called itself, without what could end or hide a line.
fn harmless(text: &str) -> Box<str> {
    let shown = |c: char| {
        if c.is_control() || c.is_whitespace() {
            '?'
        } else {
            c
        }
    };
    text.chars().map(shown).collect::<String>().into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address_of(argument: &str) -> Option<IpAddr> {
        let said = OnBehalf::parse_xclient(argument);
        said.expect(argument).address.value()
    }

    #[test]
    fn what_proxies_send_is_understood() {
        let said = OnBehalf::parse_xforward(
            "NAME=spike.porcupine.org ADDR=168.100.189.2 PORT=2525 PROTO=ESMTP \
             HELO=spike+2Eporcupine.org IDENT=4Bx SOURCE=REMOTE",
        );
        let expected = OnBehalf {
            address: Said::Is([168, 100, 189, 2].into()),
            port: Said::Is(2525),
            helo: Said::Is("spike.porcupine.org".into()),
            extended: Said::Is(true),
            local: Said::Is(false),
        };
        assert_eq!(said, Ok(expected));
        for (argument, expected) in [
            ("addr=IPV6:2001:db8::1", "2001:db8::1"),
            ("ADDR=ipv6:::ffff:192.0.2.1", "192.0.2.1"),
            (
                "ADDR=192.0.2.1\tLOGIN=x+40y DESTADDR=10.0.0.1 DESTPORT=25",
                "192.0.2.1",
            ),
            ("ADDR=192.0.2.1 ADDR=192.0.2.2", "192.0.2.2"),
        ] {
            assert_eq!(address_of(argument), expected.parse().ok(), "{argument}");
        }
    }

    #[test]
    fn not_known_is_not_the_same_as_not_said() {
        let parse = |text| OnBehalf::parse_xclient(text).expect("well-formed");
        assert_eq!(parse("NAME=x").address, Said::Nothing);
        for text in ["ADDR=[UNAVAILABLE]", "ADDR=[tempunavail]", "ADDR="] {
            assert_eq!(parse(text).address, Said::Unknown, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_whole() {
        use ParseOnBehalfError::{Empty, NoAttribute, UnknownAttribute, Value, Xtext};
        for (argument, expected) in [
            ("", Empty),
            ("ADDR", NoAttribute),
            ("ADDR=192.0.2.1 x", NoAttribute),
            ("COLOUR=red", UnknownAttribute),
            ("SOURCE=LOCAL", UnknownAttribute),
            ("ADDR=+", Xtext),
            ("HELO=+4", Xtext),
            ("HELO=+zz", Xtext),
            ("HELO=+C3+28", Xtext),
            ("ADDR=192.0.2", Value),
            ("ADDR=2001:db8::1", Value),
            ("ADDR=[192.0.2.1]", Value),
            ("PORT=65536", Value),
            ("PORT=-1", Value),
            ("PROTO=UUCP", Value),
        ] {
            assert_eq!(
                OnBehalf::parse_xclient(argument),
                Err(expected),
                "{argument}"
            );
        }
    }

    #[test]
    fn a_helo_name_cannot_break_a_line() {
        let said = OnBehalf::parse_xclient("HELO=a+0D+0Ab+00c+20d+C3+A9").expect("well-formed");
        assert_eq!(said.helo, Said::Is("a??b?c?dé".into()));
    }
}
