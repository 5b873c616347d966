//! An SPF record as a tree: what the evaluator walks, `publish` builds and `lint` looks at.
//!
//! [`Record::parse`] takes exactly the grammar of RFC 7208 §12, and [`core::fmt::Display`] writes a
//! record that parses to the same tree again, with its directives first and in order. Case, doubled
//! blanks, a `+` and prefix lengths that say nothing are not kept.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use ipnet::{Ipv4Net, Ipv6Net};

use super::SpfResult;
use super::macro_string::MacroString;
use super::syntax::{self, SyntaxError};

/// The first word of every record.
pub(super) const VERSION: &str = "v=spf1";

/// A whole record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    /// The directives from the left: the first that matches decides.
    pub directives: Vec<Directive>,
    /// `redirect=`: whose record to go on with if none matches.
    pub redirect: Option<MacroString>,
    /// `exp=`: where the explanation of a fail stands.
    pub exp: Option<MacroString>,
    /// Modifiers that this version does not know, which mean nothing (RFC 7208 §6).
    pub unknown: Vec<UnknownModifier>,
}

/// A mechanism and what follows if it matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Directive {
    /// What follows.
    pub qualifier: Qualifier,
    /// What is looked at.
    pub mechanism: Mechanism,
}

/// What follows from a match (RFC 7208 §4.6.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qualifier {
    /// `+`, or none.
    #[default]
    Pass,
    /// `-`
    Fail,
    /// `~`
    SoftFail,
    /// `?`
    Neutral,
}

/// What is looked at (RFC 7208 §5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// `all`: matches every client.
    All,
    /// `include:`: matches if that domain's record gives pass.
    Include(MacroString),
    /// `a`: the addresses of a name.
    A {
        /// The name; the record's own domain if none.
        domain: Option<MacroString>,
        /// How much of the address counts.
        cidr: DualCidr,
    },
    /// `mx`: the addresses of a domain's mail exchanges.
    Mx {
        /// The domain; the record's own if none.
        domain: Option<MacroString>,
        /// How much of the address counts.
        cidr: DualCidr,
    },
    /// `ptr`: the client's name lies within a domain; the record's own if none is given.
    Ptr(Option<MacroString>),
    /// `ip4:`, with host bits as they were written.
    Ip4(Ipv4Net),
    /// `ip6:`, with host bits as they were written.
    Ip6(Ipv6Net),
    /// `exists:`: the name has an A record.
    Exists(MacroString),
}

/// The kinds of mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MechanismKind {
    /// `all`
    All,
    /// `include`
    Include,
    /// `a`
    A,
    /// `mx`
    Mx,
    /// `ptr`
    Ptr,
    /// `ip4`
    Ip4,
    /// `ip6`
    Ip6,
    /// `exists`
    Exists,
}

/// `/24//64`: how many bits of an address count, for either family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DualCidr {
    /// For IPv4; 32 if not said.
    pub v4: Option<u8>,
    /// For IPv6; 128 if not said.
    pub v6: Option<u8>,
}

/// A modifier that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnknownModifier {
    /// Left of the `=`, as it was written.
    pub name: Box<str>,
    /// Right of it.
    pub value: MacroString,
}

impl Record {
    /// True if a TXT record's text is an SPF record, good or bad (RFC 7208 §4.5): the version, in
    /// either case, and then a blank or the end.
    pub fn is_spf(text: &[u8]) -> bool {
        text.split_at_checked(VERSION.len())
            .is_some_and(|(version, rest)| {
                version.eq_ignore_ascii_case(VERSION.as_bytes())
                    && matches!(rest.first(), None | Some(b' '))
            })
    }

    /// Reads a record's text.
    pub fn parse(text: &[u8]) -> Result<Self, SyntaxError> {
        syntax::parse(text)
    }
}

impl Qualifier {
    /// The result that it stands for.
    pub const fn result(self) -> SpfResult {
        match self {
            Self::Pass => SpfResult::Pass,
            Self::Fail => SpfResult::Fail,
            Self::SoftFail => SpfResult::SoftFail,
            Self::Neutral => SpfResult::Neutral,
        }
    }

    /// How a record writes it; pass is not written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "",
            Self::Fail => "-",
            Self::SoftFail => "~",
            Self::Neutral => "?",
        }
    }
}

impl Mechanism {
    /// Which it is.
    pub const fn kind(&self) -> MechanismKind {
        match self {
            Self::All => MechanismKind::All,
            Self::Include(_) => MechanismKind::Include,
            Self::A { .. } => MechanismKind::A,
            Self::Mx { .. } => MechanismKind::Mx,
            Self::Ptr(_) => MechanismKind::Ptr,
            Self::Ip4(_) => MechanismKind::Ip4,
            Self::Ip6(_) => MechanismKind::Ip6,
            Self::Exists(_) => MechanismKind::Exists,
        }
    }

    /// The name behind it, if one is written.
    pub const fn domain(&self) -> Option<&MacroString> {
        match self {
            Self::All | Self::Ip4(_) | Self::Ip6(_) => None,
            Self::Include(domain) | Self::Exists(domain) => Some(domain),
            Self::A { domain, .. } | Self::Mx { domain, .. } | Self::Ptr(domain) => domain.as_ref(),
        }
    }
}

impl MechanismKind {
    /// Its name in a record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Include => "include",
            Self::A => "a",
            Self::Mx => "mx",
            Self::Ptr => "ptr",
            Self::Ip4 => "ip4",
            Self::Ip6 => "ip6",
            Self::Exists => "exists",
        }
    }

    /// True if it asks the DNS, and so counts against the limit (RFC 7208 §4.6.4).
    pub const fn asks(self) -> bool {
        !matches!(self, Self::All | Self::Ip4 | Self::Ip6)
    }
}

impl DualCidr {
    /// Bits that count of an IPv4 address.
    pub fn v4_bits(self) -> u8 {
        self.v4.unwrap_or(32)
    }

    /// Bits that count of an IPv6 address.
    pub fn v6_bits(self) -> u8 {
        self.v6.unwrap_or(128)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(VERSION)?;
        for directive in &self.directives {
            write!(f, " {directive}")?;
        }
        if let Some(redirect) = &self.redirect {
            write!(f, " redirect={redirect}")?;
        }
        if let Some(exp) = &self.exp {
            write!(f, " exp={exp}")?;
        }
        for UnknownModifier { name, value } in &self.unknown {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.qualifier.as_str(), self.mechanism)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().as_str())?;
        if let Some(domain) = self.domain() {
            write!(f, ":{domain}")?;
        }
        match self {
            Self::A { cidr, .. } | Self::Mx { cidr, .. } => cidr.fmt(f),
            Self::Ip4(net) if net.prefix_len() == 32 => write!(f, ":{}", net.addr()),
            Self::Ip4(net) => write!(f, ":{net}"),
            Self::Ip6(net) if net.prefix_len() == 128 => write!(f, ":{}", net.addr()),
            Self::Ip6(net) => write!(f, ":{net}"),
            Self::All | Self::Include(_) | Self::Ptr(_) | Self::Exists(_) => Ok(()),
        }
    }
}

impl fmt::Display for MechanismKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for DualCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(v4) = self.v4 {
            write!(f, "/{v4}")?;
        }
        if let Some(v6) = self.v6 {
            write!(f, "//{v6}")?;
        }
        Ok(())
    }
}
