//! The limit on open files, raised at start as far as the system allows.
//!
//! A session holds a socket, and a file while a large message comes; a delivery the same. The
//! usual soft limit of 1,024 would end that at five hundred sessions, with the hard limit far
//! above. What is still missing then is said, and nothing else: fewer sessions are no failure.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Descriptors that are neither a session's nor a delivery's: the store, listeners, the log.
const HOUSE: u64 = 100;

/// Raises the soft limit to the hard one, and warns if that is too few for `sessions` sessions
/// and `deliveries` deliveries at the same time.
pub fn raise(sessions: usize, deliveries: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "cannot raise the limit on open files");
    }
    let needed = needed(sessions, deliveries);
    // None is no limit.
    if let Some(allowed) = getrlimit(Resource::Nofile).current
        && allowed < needed
    {
        warn!(
            allowed,
            needed, "fewer open files allowed than [limits] and [delivery] may take"
        );
    }
}

/// Two for each session and each delivery.
fn needed(sessions: usize, deliveries: usize) -> u64 {
    let pairs = u64::try_from(sessions.saturating_add(deliveries)).unwrap_or(u64::MAX);
    pairs.saturating_mul(2).saturating_add(HOUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_meets_the_hard_one() {
        raise(10, 10);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert_eq!(needed(2000, 100), 4300);
    }
}
