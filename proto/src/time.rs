//! The time, as the driver hands it in: one reading of two clocks.
//!
//! Timers run on [`Mono`], which never steps; everything that is written down or survives a
//! restart (dates in fields, due times, expiry) is [`Wall`]. Nothing in this crate reads a clock.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

/// Both clocks, read together by the driver for one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For timers.
    pub mono: Mono,
    /// For what is written down.
    pub wall: Wall,
}

/// Milliseconds on a clock that never steps; its zero means nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(u64);

impl Mono {
    /// The moment `millis` after the clock's zero.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the clock's zero.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment `after` later; the last one there is if that lies beyond it.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(millis(after)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Milliseconds of civil time since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(u64);

impl Wall {
    /// The moment `millis` after 1970.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The moment `seconds` after 1970.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The moment `after` later; the last one there is if that lies beyond it.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(millis(after)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// `Sat, 21 Nov 2026 10:15:00 +0000`, as trace fields and reports want it (RFC 5322 §3.3).
    pub fn to_rfc5322(self) -> String {
        self.timestamp()
            .and_then(|at| {
                jiff::fmt::rfc2822::to_string(&at.to_zoned(jiff::tz::TimeZone::UTC)).ok()
            })
            .unwrap_or_else(|| String::from("Thu, 1 Jan 1970 00:00:00 +0000"))
    }

    fn timestamp(self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::from_millisecond(i64::try_from(self.0).ok()?).ok()
    }
}

/// `2026-11-21T10:15:00Z`, for logs and listings.
impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timestamp() {
            Some(at) => write!(f, "{at:.0}"),
            None => f.write_str("beyond the calendar"),
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn dates_are_written_as_fields_and_listings_want_them() {
        let at = Wall::from_secs(1_795_256_100);
        assert_eq!(at.to_rfc5322(), "Sat, 21 Nov 2026 10:15:00 +0000");
        assert_eq!(at.to_string(), "2026-11-21T10:15:00Z");
        assert_eq!(
            Wall::from_millis(u64::MAX).to_string(),
            "beyond the calendar"
        );
    }

    #[test]
    fn spans_do_not_go_below_zero_or_past_the_end() {
        let (a, b) = (Mono::from_millis(5), Mono::from_millis(9));
        assert_eq!(a.since(b), Duration::ZERO);
        assert_eq!(b.since(a), Duration::from_millis(4));
        assert_eq!(
            Mono::from_millis(u64::MAX).plus(Duration::MAX).as_millis(),
            u64::MAX
        );
    }
}
