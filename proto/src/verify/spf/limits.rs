//! What one check may cost. RFC 7208 §4.6.4 sets most of it; the rest bounds memory. Whoever
//! publishes a record decides how much a receiver asks, and whom: each number protects both.

use core::time::Duration;

/// Terms that ask the DNS, over all records of a check (RFC 7208 §4.6.4). One more: permerror.
pub const MAX_LOOKUPS: u32 = 10;

/// Terms whose question found nothing (RFC 7208 §4.6.4): a few are mistakes, more are questions
/// aimed at somebody else's name servers. One more: permerror.
pub const MAX_VOID: u32 = 2;

/// MX records of one `mx` (RFC 7208 §4.6.4). One more: permerror.
pub const MAX_MX: usize = 10;

/// Names of the client that are looked at (RFC 7208 §4.6.4). More are passed over, without an
/// error: the sender's domain does not publish them.
pub const MAX_PTR: usize = 10;

/// Wall time of a whole check: the least that RFC 7208 §4.6.4 wants allowed. Then temperror.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Octets of a record: the longest that are published have some 4000; a DNS message holds 65535.
/// A longer one is permerror, so that no publisher makes us keep a tree of 20,000 terms.
pub const MAX_RECORD: usize = 8192;

/// Octets of a name in text, dots included (RFC 7208 §7.3): of a longer one labels are cut off at
/// the left.
pub const MAX_NAME: usize = 253;

/// Octets of an explanation: it goes into a reply, whose lines have 512 (RFC 5321 §4.5.3.1.5).
pub const MAX_EXPLANATION: usize = 400;

/// Octets of HELO that macros can use: no host name has more (RFC 5321 §4.5.3.1.2).
pub(super) const MAX_HELO: usize = 255;

/// Addresses kept of one answer, those nearest to the client first: no term can need another.
pub(super) const KEPT_ADDRESSES: usize = 20;

/// Texts kept of one answer besides the SPF records, for the report.
pub(super) const KEPT_TEXTS: usize = 4;

/// Octets kept of a text that is no SPF record: more than any explanation has.
pub(super) const KEPT_OCTETS: usize = 1024;
