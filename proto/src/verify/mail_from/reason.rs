//! Why the check came to its result: one stable word for each way through PROTOCOLS A.2.

use core::fmt;

use crate::verify::VerdictResult;

/// The way by which the result was reached. Each belongs to one result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Authorised: a listed host has the client's address.
    Host,
    /// Authorised: null reverse-path, and the HELO name itself has the client's address.
    HeloHost,
    /// Repudiated: a set is published, and no host of it has the client's address.
    NotListed,
    /// Repudiated: the domain says that it never appears in MAIL FROM (a sole `0 .`).
    NeverSends,
    /// Tempfail: something was not to be known in time.
    Temporary,
    /// Unknown: the domain publishes no set.
    Unpublished,
    /// Unknown: an MX set without a preference 0, which was not made for this.
    OrdinaryMx,
    /// Unknown: over a budget.
    Limits,
    /// Unknown: no listed host has any address.
    Empty,
    /// Unknown: a wildcard made the set.
    Wildcard,
    /// Unknown: tempfail that lasts ([`crate::verify::lasting`]).
    Dns,
    /// Unknown: the client is inside our perimeter; the test moves outward.
    Perimeter,
    /// Unknown: null reverse-path, and a HELO argument that is no full host name.
    Null,
    /// Unknown: an address literal stands where a domain would.
    Literal,
    /// Unknown: a local-part alone.
    NoDomain,
    /// Unknown: a domain that the DNS cannot hold.
    Unusable,
    /// Unknown: `MAIL-FROM.<domain>` is longer than a name can be.
    TooLong,
}

impl Reason {
    /// The result that it stands for.
    pub const fn result(self) -> VerdictResult {
        match self {
            Self::Host | Self::HeloHost => VerdictResult::Authorised,
            Self::NotListed | Self::NeverSends => VerdictResult::Repudiated,
            Self::Temporary => VerdictResult::Tempfail,
            Self::Unpublished
            | Self::OrdinaryMx
            | Self::Limits
            | Self::Empty
            | Self::Wildcard
            | Self::Dns
            | Self::Perimeter
            | Self::Null
            | Self::Literal
            | Self::NoDomain
            | Self::Unusable
            | Self::TooLong => VerdictResult::Unknown,
        }
    }

    /// The stable word, for logs and `check`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::HeloHost => "helo_host",
            Self::NotListed => "not_listed",
            Self::NeverSends => "never_sends",
            Self::Temporary => "temporary",
            Self::Unpublished => "unpublished",
            Self::OrdinaryMx => "ordinary_mx",
            Self::Limits => "limits",
            Self::Empty => "empty",
            Self::Wildcard => "wildcard",
            Self::Dns => "dns",
            Self::Perimeter => "perimeter",
            Self::Null => "null",
            Self::Literal => "literal",
            Self::NoDomain => "no_domain",
            Self::Unusable => "unusable",
            Self::TooLong => "too_long",
        }
    }

    /// True where the reverse-path would be refused for good.
    pub(super) const fn is_rejection(self) -> bool {
        matches!(self.result(), VerdictResult::Repudiated)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
