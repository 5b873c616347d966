//! The parser of SPF records (RFC 7208 §12): text to [`Record`], or the first thing that is wrong.
//!
//! A syntax error anywhere makes the whole record worthless (RFC 7208 §4.6), so there is no going
//! on after one. Errors say what and at which octet, for `lint` and the report.

use core::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use super::limits::MAX_RECORD;
use super::macro_string::{Grammar, MacroString};
use super::record::{Directive, DualCidr, Mechanism, Qualifier, Record, UnknownModifier, VERSION};

/// What is wrong with a record, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{kind} at octet {at}")]
pub struct SyntaxError {
    /// Octets of the text in front of it.
    pub at: usize,
    /// What it is.
    pub kind: SyntaxErrorKind,
}

/// What can be wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxErrorKind {
    /// It does not begin with `v=spf1` and a blank.
    #[error("no v=spf1")]
    Version,
    /// More octets than a record may have here.
    #[error("a record longer than 8192 octets")]
    TooLong,
    /// A control character, or one that is not ASCII.
    #[error("a character that does not belong in a record")]
    Character,
    /// A mechanism that there is not.
    #[error("an unknown mechanism")]
    UnknownMechanism,
    /// Nothing behind a `:` or `=`, or no `:` where there must be one.
    #[error("no domain where there must be one")]
    EmptyDomain,
    /// Something behind a mechanism that takes nothing, or not that.
    #[error("something behind a mechanism that does not belong there")]
    Argument,
    /// No IP address, or not of that family.
    #[error("no address of that family")]
    Address,
    /// A prefix length that is no number, too great, or has a zero in front.
    #[error("a bad prefix length")]
    PrefixLength,
    /// A name that does not end in a dot and a top label of letters, or in a macro.
    #[error("a name without a proper last label")]
    TopLabel,
    /// A percent sign that begins no macro, or a macro that does not end.
    #[error("a bad macro")]
    Macro,
    /// A macro letter that there is not, or not here.
    #[error("a macro letter that does not belong here")]
    MacroLetter,
    /// A second `redirect=`.
    #[error("a second redirect=")]
    DuplicateRedirect,
    /// A second `exp=`.
    #[error("a second exp=")]
    DuplicateExp,
}

/// Reads a record.
pub(super) fn parse(text: &[u8]) -> Result<Record, SyntaxError> {
    if !Record::is_spf(text) {
        return Err(SyntaxErrorKind::Version.at(0));
    }
    if text.len() > MAX_RECORD {
        return Err(SyntaxErrorKind::TooLong.at(MAX_RECORD));
    }
    let text = printable(text)?;
    let mut record = Record::default();
    let mut at = VERSION.len();
    let terms = text.get(at..).unwrap_or_default();
    for term in terms.split(' ') {
        if !term.is_empty() {
            read_term(&mut record, term, at)?;
        }
        at = at.saturating_add(term.len()).saturating_add(1);
    }
    Ok(record)
}

/// The text, if it is ASCII without control characters.
pub(super) fn printable(text: &[u8]) -> Result<&str, SyntaxError> {
    let wrong = |octet: &u8| !matches!(octet, b' '..=b'~');
    if let Some(at) = text.iter().position(wrong) {
        return Err(SyntaxErrorKind::Character.at(at));
    }
    core::str::from_utf8(text).map_err(|error| SyntaxErrorKind::Character.at(error.valid_up_to()))
}

impl SyntaxErrorKind {
    /// This, at that octet.
    const fn at(self, at: usize) -> SyntaxError {
        SyntaxError { at, kind: self }
    }
}

/// Reads one term, which starts at octet `at`, into the record.
fn read_term(record: &mut Record, term: &str, at: usize) -> Result<(), SyntaxError> {
    if let Some((name, value)) = split_modifier(term) {
        return read_modifier(record, name, value, at);
    }
    record.directives.push(read_directive(term, at)?);
    Ok(())
}

/// `name=value`, if the term is one: anything else with a `=` in it is a directive.
fn split_modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let mut octets = name.bytes();
    let is_name = octets.next()?.is_ascii_alphabetic()
        && octets.all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet));
    is_name.then_some((name, value))
}

/// Reads a modifier; of the two known ones there may be one each (RFC 7208 §6).
fn read_modifier(
    record: &mut Record,
    name: &str,
    value: &str,
    at: usize,
) -> Result<(), SyntaxError> {
    let value_at = at.saturating_add(name.len()).saturating_add(1);
    let known = if name.eq_ignore_ascii_case("redirect") {
        Some((&mut record.redirect, SyntaxErrorKind::DuplicateRedirect))
    } else if name.eq_ignore_ascii_case("exp") {
        Some((&mut record.exp, SyntaxErrorKind::DuplicateExp))
    } else {
        None
    };
    if let Some((slot, duplicate)) = known {
        if slot.is_some() {
            return Err(duplicate.at(at));
        }
        *slot = Some(MacroString::parse(value, value_at, Grammar::DomainSpec)?);
    } else {
        record.unknown.push(UnknownModifier {
            name: name.into(),
            value: MacroString::parse(value, value_at, Grammar::Modifier)?,
        });
    }
    Ok(())
}

/// Reads a qualifier and a mechanism.
fn read_directive(term: &str, at: usize) -> Result<Directive, SyntaxError> {
    let (qualifier, rest) = match term.as_bytes().first() {
        Some(b'+') => (Qualifier::Pass, term.get(1..)),
        Some(b'-') => (Qualifier::Fail, term.get(1..)),
        Some(b'~') => (Qualifier::SoftFail, term.get(1..)),
        Some(b'?') => (Qualifier::Neutral, term.get(1..)),
        _ => (Qualifier::Pass, Some(term)),
    };
    let rest = rest.unwrap_or_default();
    let at = at.saturating_add(term.len().saturating_sub(rest.len()));
    Ok(Directive {
        qualifier,
        mechanism: read_mechanism(rest, at)?,
    })
}

/// Reads a mechanism: its name up to a `:` or `/`, and what is behind it.
fn read_mechanism(text: &str, at: usize) -> Result<Mechanism, SyntaxError> {
    let end = text.find([':', '/']).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let rest = Argument {
        text: rest,
        at: at.saturating_add(end),
    };
    match name.to_ascii_lowercase().as_str() {
        "all" if rest.text.is_empty() => Ok(Mechanism::All),
        "all" => Err(SyntaxErrorKind::Argument.at(rest.at)),
        "include" => rest.domain().map(Mechanism::Include),
        "exists" => rest.domain().map(Mechanism::Exists),
        "a" => {
            let (domain, cidr) = rest.domain_and_cidr()?;
            Ok(Mechanism::A { domain, cidr })
        }
        "mx" => {
            let (domain, cidr) = rest.domain_and_cidr()?;
            Ok(Mechanism::Mx { domain, cidr })
        }
        "ptr" if rest.text.is_empty() => Ok(Mechanism::Ptr(None)),
        "ptr" => rest.domain().map(|domain| Mechanism::Ptr(Some(domain))),
        "ip4" => rest.ip4(),
        "ip6" => rest.ip6(),
        _ => Err(SyntaxErrorKind::UnknownMechanism.at(at)),
    }
}

/// What stands behind a mechanism's name, its `:` or `/` included.
#[derive(Clone, Copy)]
struct Argument<'a> {
    text: &'a str,
    at: usize,
}

impl Argument<'_> {
    /// `:domain-spec`, which must be there.
    fn domain(self) -> Result<MacroString, SyntaxError> {
        let Some(text) = self.text.strip_prefix(':') else {
            let kind = if self.text.is_empty() {
                SyntaxErrorKind::EmptyDomain
            } else {
                SyntaxErrorKind::Argument
            };
            return Err(kind.at(self.at));
        };
        MacroString::parse(text, self.at.saturating_add(1), Grammar::DomainSpec)
    }

    /// `[:domain-spec][/bits][//bits]`. Slashes may stand in a domain-spec too, so prefix lengths
    /// are what looks like them at the end.
    fn domain_and_cidr(self) -> Result<(Option<MacroString>, DualCidr), SyntaxError> {
        let mut cidr = DualCidr::default();
        let mut rest = self;
        if let Some((before, bits)) = rest.split_bits("//") {
            cidr.v6 = Some(bits.bits(128)?);
            rest = before;
        }
        if let Some((before, bits)) = rest.split_bits("/") {
            cidr.v4 = Some(bits.bits(32)?);
            rest = before;
        }
        if rest.text.is_empty() {
            return Ok((None, cidr));
        }
        if rest.text.starts_with('/') {
            return Err(SyntaxErrorKind::PrefixLength.at(rest.at));
        }
        rest.domain().map(|domain| (Some(domain), cidr))
    }

    /// Cuts `<slashes><digits>` off the end, if it is there.
    fn split_bits(self, slashes: &str) -> Option<(Self, Self)> {
        let before = self
            .text
            .trim_end_matches(|digit: char| digit.is_ascii_digit());
        let digits = self
            .text
            .get(before.len()..)
            .filter(|text| !text.is_empty())?;
        let kept = before.strip_suffix(slashes)?;
        Some((
            Argument {
                text: kept,
                at: self.at,
            },
            Argument {
                text: digits,
                at: self.at.saturating_add(before.len()),
            },
        ))
    }

    /// A prefix length without a zero in front, up to `most`.
    fn bits(self, most: u8) -> Result<u8, SyntaxError> {
        let digits = !self.text.is_empty() && self.text.bytes().all(|octet| octet.is_ascii_digit());
        let zero = self.text.len() > 1 && self.text.starts_with('0');
        let bits = self.text.parse::<u8>().ok();
        bits.filter(|bits| digits && !zero && *bits <= most)
            .ok_or(SyntaxErrorKind::PrefixLength.at(self.at))
    }

    /// `:address[/bits]`: the two, the second as it stands.
    fn network(self) -> Result<(Self, Option<Self>), SyntaxError> {
        let Some(text) = self.text.strip_prefix(':') else {
            return Err(SyntaxErrorKind::Address.at(self.at));
        };
        let at = self.at.saturating_add(1);
        Ok(match text.split_once('/') {
            None => (Argument { text, at }, None),
            Some((address, bits)) => {
                let bits_at = at.saturating_add(address.len()).saturating_add(1);
                (
                    Argument { text: address, at },
                    Some(Argument {
                        text: bits,
                        at: bits_at,
                    }),
                )
            }
        })
    }

    /// `:address[/bits]` of IPv4.
    fn ip4(self) -> Result<Mechanism, SyntaxError> {
        let (address, bits) = self.network()?;
        let parsed = address.text.parse::<Ipv4Addr>();
        let parsed = parsed.map_err(|_| SyntaxErrorKind::Address.at(address.at))?;
        let length = bits.map_or(Ok(32), |bits| bits.bits(32))?;
        let net = Ipv4Net::new(parsed, length);
        net.map(Mechanism::Ip4)
            .map_err(|_| SyntaxErrorKind::PrefixLength.at(address.at))
    }

    /// `:address[/bits]` of IPv6.
    fn ip6(self) -> Result<Mechanism, SyntaxError> {
        let (address, bits) = self.network()?;
        let parsed = address.text.parse::<Ipv6Addr>();
        let parsed = parsed.map_err(|_| SyntaxErrorKind::Address.at(address.at))?;
        let length = bits.map_or(Ok(128), |bits| bits.bits(128))?;
        let net = Ipv6Net::new(parsed, length);
        net.map(Mechanism::Ip6)
            .map_err(|_| SyntaxErrorKind::PrefixLength.at(address.at))
    }
}
