//! What one check may cost (PROTOCOLS A.2). Whoever publishes decides how much a receiver asks,
//! so each number protects the receiver, and the names that a set points at, from the publisher.
//! Over any of them the result is unknown (limits), never a rejection: the mail goes on.

use core::fmt;
use core::time::Duration;

/// MX sets that are published, the root set included. Enough for a domain that relays through
/// several providers; each set costs a question and leads to more.
pub const MAX_SETS: usize = 10;

/// Hosts, each counted once by name. Each costs up to two address questions and one for its set.
pub const MAX_HOSTS: usize = 30;

/// Records of one set: more do not fit into a small answer, and a provider can use groups.
pub const MAX_RECORDS: usize = 20;

/// Names that lead nowhere. A few are a mistake that mail must survive; more are questions aimed
/// at somebody else's name servers.
pub const MAX_VOID: usize = 4;

/// Levels of sets, the root set's being the first. A site, its provider, and the provider's own
/// second stage need three.
pub const MAX_DEPTH: u8 = 5;

/// Wall time of a whole check, the repeated walk included: the client waits at MAIL, and gives up
/// after 5 minutes (RFC 5321 §4.5.3.2.2); a resolver's own tries fit in.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Seconds: no rejection rests on an answer that lay in the cache for longer. What a domain has
/// just added must not be held against it.
pub const MAX_AGE: u32 = 60;

/// Seconds for which a rejection may be kept (A.2): a set is mended in the meantime.
pub const MAX_REJECTION_TTL: u32 = 60;

/// Hosts asked at one level though the budgets are gone over already: as many as ten sets of
/// twenty records can name. The level that goes over is finished, and nothing within the other
/// budgets needs more; a set of a thousand records does not get a thousand questions.
pub(super) const MAX_LEVEL_HOSTS: usize = MAX_SETS * MAX_RECORDS;

/// Addresses kept of one answer, for the report. The client's own is always among them.
pub(super) const KEPT_ADDRESSES: usize = 20;

/// A budget that a walk went over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Budget {
    /// More than [`MAX_SETS`] sets.
    Sets,
    /// More than [`MAX_HOSTS`] hosts.
    Hosts,
    /// A set of more than [`MAX_RECORDS`] records.
    Records,
    /// More than [`MAX_VOID`] void names.
    Void,
    /// Sets below level [`MAX_DEPTH`].
    Depth,
    /// More than [`crate::dns::MAX_ALIASES`] aliases, or a loop of them, for one question.
    Aliases,
}

impl Budget {
    /// A stable word, for logs and `check`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sets => "sets",
            Self::Hosts => "hosts",
            Self::Records => "records",
            Self::Void => "void",
            Self::Depth => "depth",
            Self::Aliases => "aliases",
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
