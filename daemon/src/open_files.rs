//! The limit on open files, raised at start as far as the system allows.
//!
//! A session holds a socket, and another one down a path that it holds; a delivery holds one, and a file while
//! it reads a large message. The usual soft limit of 1,024 would end that at five hundred sessions, with the hard limit far
//! above. What is still missing then is said, and nothing else: fewer sessions are no failure.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::dns::MAX_OPEN;

/// Descriptors that are neither a session's nor a delivery's nor a question's: the store, listeners,
/// the log, the control socket and the monitor's connections.
const HOUSE: usize = 100;

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

/// Two for each session and each delivery, and a socket for each question to the DNS.
fn needed(sessions: usize, deliveries: usize) -> u64 {
    let pairs = sessions.saturating_add(deliveries).saturating_mul(2);
    let needed = pairs.saturating_add(MAX_OPEN).saturating_add(HOUSE);
    u64::try_from(needed).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_meets_the_hard_one() {
        raise(10, 10);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert_eq!(needed(10_000, 200), 21_012);
    }
}
