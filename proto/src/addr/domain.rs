//! What stands right of the `@`: a name the DNS can be asked about, an address literal, or neither.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ParsePathError;

/// A domain name that the DNS can be asked about.
#[derive(Clone)]
pub struct Domain {
    text: Arc<str>,
    /// The same, shared, where that is how it came.
    ascii: Arc<str>,
}

/// Why a text is no domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseDomainError {
    /// Nothing there, or an empty label.
    #[error("empty label in the domain")]
    EmptyLabel,
    /// A character no domain has, at this octet.
    #[error("character at octet {0} does not belong in a domain")]
    Character(usize),
    /// IDNA does not allow it, or a label or the whole is too long for the DNS.
    #[error("domain is not one the DNS can hold")]
    Unusable,
}

impl Domain {
    /// Reads A-labels, U-labels or a mix; one dot at the end is taken and dropped.
    pub fn parse(text: &str) -> Result<Self, ParseDomainError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        check_domain_characters(text)?;
        let ascii = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::EMPTY)
            .map_err(|_| ParseDomainError::Unusable)?;
        let labels_fit = ascii
            .split('.')
            .all(|label| (1..=63).contains(&label.len()));
        if !labels_fit || ascii.len() > 253 || check_domain_characters(&ascii).is_err() {
            return Err(ParseDomainError::Unusable);
        }
        let ascii: Arc<str> = Arc::from(&*ascii);
        let text = if *text == *ascii {
            Arc::clone(&ascii)
        } else {
            Arc::from(text)
        };
        Ok(Self { text, ascii })
    }

    /// A-labels in lower case, no dot at the end: what the DNS is asked.
    pub fn as_ascii(&self) -> &str {
        &self.ascii
    }

    /// The same, shared.
    pub(crate) fn shared_ascii(&self) -> Arc<str> {
        Arc::clone(&self.ascii)
    }

    /// The text as it came, but for a dot at the end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Two labels or more: the form a host's own name must have (RFC 5321 §2.3.5).
    pub fn is_fully_qualified(&self) -> bool {
        self.ascii.contains('.')
    }
}

/// Domain characters and no empty label; says nothing of length or IDNA.
pub(super) fn check_domain_characters(text: &str) -> Result<(), ParseDomainError> {
    for (at, character) in text.char_indices() {
        let fits =
            !character.is_ascii() || character.is_ascii_alphanumeric() || "-_.".contains(character);
        if !fits {
            return Err(ParseDomainError::Character(at));
        }
    }
    if text.split('.').any(str::is_empty) {
        Err(ParseDomainError::EmptyLabel)
    } else {
        Ok(())
    }
}

impl PartialEq for Domain {
    fn eq(&self, other: &Self) -> bool {
        self.ascii == other.ascii
    }
}
impl Eq for Domain {}
impl PartialOrd for Domain {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Domain {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.ascii.cmp(&other.ascii)
    }
}
impl Hash for Domain {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ascii.hash(state);
    }
}
impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What stands right of the `@`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MailDomain {
    /// A name.
    Name(Domain),
    /// `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3).
    Literal(IpAddr),
    /// Well-formed characters that the DNS cannot hold (invalid IDNA, a label too long): good for
    /// an unknown reverse-path, for nothing else.
    Unusable(Box<str>),
}

impl MailDomain {
    pub(super) fn parse(text: &str) -> Result<Self, ParsePathError> {
        if let Some(inside) = text.strip_prefix('[') {
            let literal = inside.strip_suffix(']').and_then(parse_literal);
            return literal.map(Self::Literal).ok_or(ParsePathError::Literal);
        }
        match Domain::parse(text) {
            Ok(domain) => Ok(Self::Name(domain)),
            Err(ParseDomainError::Unusable) => Ok(Self::Unusable(text.into())),
            Err(error) => Err(ParsePathError::Domain(error)),
        }
    }

    /// The name, if it is one.
    pub fn name(&self) -> Option<&Domain> {
        if let Self::Name(domain) = self {
            Some(domain)
        } else {
            None
        }
    }
}

fn parse_literal(inside: &str) -> Option<IpAddr> {
    match inside.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("ipv6:") => {
            address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        _ => inside.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

impl fmt::Display for MailDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(domain) => domain.fmt(f),
            Self::Literal(IpAddr::V4(address)) => write!(f, "[{address}]"),
            Self::Literal(IpAddr::V6(address)) => write!(f, "[IPv6:{address}]"),
            Self::Unusable(text) => f.write_str(text),
        }
    }
}
