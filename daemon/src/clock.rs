//! The one place that reads a clock. Everything else is handed the time.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use vouchsafe_proto::time::{Mono, Now, Wall};

/// Where [`Mono`]'s zero lies: the first reading of this process.
static START: OnceLock<Instant> = OnceLock::new();

/// Both clocks, now.
pub fn now() -> Now {
    Now {
        mono: mono(),
        wall: Wall::from_millis(u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)),
    }
}

/// The wall clock alone, as exactly as there is one: for the log.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn since_1970() -> Duration {
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The clock of durations alone, for whoever asks often and needs no date.
pub fn mono() -> Mono {
    moment(since_start())
}

/// The moment of a reading of [`since_start`].
pub fn moment(since_start: Duration) -> Mono {
    Mono::from_millis(u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX))
}

/// The same in nanoseconds, to measure what lasts less than [`Mono`] can tell.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn since_start() -> Duration {
    START.get_or_init(Instant::now).elapsed()
}

/// The runtime's instant for a moment of [`Mono`], to sleep until.
pub fn instant(at: Mono) -> tokio::time::Instant {
    let start = START.get_or_init(
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        Instant::now,
    );
    tokio::time::Instant::from_std(*start + Duration::from_millis(at.as_millis()))
}
