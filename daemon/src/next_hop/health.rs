//! Which next hops did not answer a moment ago: they are not waited for again at once.
//!
//! Promises: after an opening that failed for now a next hop is down for a second, within which nobody
//! waits for it; then one at a time may ask it again, and each time in vain doubles the pause, up to
//! half a minute; a session that comes to be ends it. Whoever asks and gives up half-way leaves the
//! asking to the next. The table is bounded, and forgets who has not been asked for.
//!
//! A host that refuses for good is not down: it answers, and quickly.
//!
//! Left to others: the clock; what is said to those who are not to wait.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vouchsafe_proto::outcome::{Outcome, OutcomeClass};
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::time::Mono;

use crate::bounded::{Bounded, Bounds};

/// What is known of all next hops.
#[derive(Debug)]
pub(super) struct Health {
    known: Mutex<Known>,
    /// The first pause, which others double.
    shortest: Duration,
}

/// Those that are down.
#[derive(Debug)]
struct Known {
    down: Bounded<NextHop, Down>,
    /// Those of them that somebody is asking again.
    probed: HashSet<NextHop>,
}

/// One that is down.
#[derive(Clone, Debug)]
struct Down {
    /// What it came to when it was last asked.
    outcome: Outcome,
    /// Nobody asks it before.
    until: Mono,
    /// How long that pause is.
    pause: Duration,
}

/// The leave to ask a next hop for a session. Dropped without a word it says nothing of it.
#[derive(Debug)]
#[must_use = "what comes of it is to be told"]
pub(super) struct Asking<'a> {
    health: &'a Health,
    next_hop: &'a NextHop,
    /// It was down: nobody else asks until this is over.
    probing: bool,
}

impl Health {
    /// Nobody is down; the first pause will be so long.
    pub(super) fn new(shortest: Duration) -> Self {
        let bounds = Bounds {
            entries: KNOWN_AT_MOST,
            octets: usize::MAX,
        };
        Self {
            known: Mutex::new(Known {
                down: Bounded::new(bounds),
                probed: HashSet::new(),
            }),
            shortest,
        }
    }

    /// Leave to ask it now; if it is down and this is not the moment, or somebody else is asking, what
    /// it came to the last time.
    pub(super) fn ask<'a>(
        &'a self,
        next_hop: &'a NextHop,
        now: Mono,
    ) -> Result<Asking<'a>, Outcome> {
        let mut known = self.known();
        let down = known.down.peek(next_hop, now).map(|(down, _)| down);
        if let Some(down) = down
            && (now < down.until || known.probed.contains(next_hop))
        {
            return Err(down.outcome.clone());
        }
        let probing = down.is_some();
        if probing {
            known.probed.insert(next_hop.clone());
        }
        Ok(Asking {
            health: self,
            next_hop,
            probing,
        })
    }

    /// A panic elsewhere cannot leave it half changed, so poison means nothing.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking<'_> {
    /// A session has come to be.
    pub(super) fn answered(self) {
        self.health.known().down.remove(self.next_hop);
    }

    /// None has.
    pub(super) fn failed(self, outcome: &Outcome, now: Mono) {
        if outcome.class != OutcomeClass::Transient {
            return self.answered();
        }
        let mut known = self.health.known();
        let before = known.down.peek(self.next_hop, now).map(|(down, _)| down);
        let pause = match before {
            None => self.health.shortest,
            Some(down) if self.probing => down.pause.saturating_mul(2).min(LONGEST),
            // Many may have been waiting when it went down: together they are one failure.
            Some(_) => return,
        };
        let down = Down {
            outcome: outcome.clone(),
            until: now.plus(pause),
            pause,
        };
        let time = pause.saturating_add(REMEMBERED);
        known.down.keep(self.next_hop.clone(), down, time, 0, now);
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if self.probing {
            self.health.known().probed.remove(self.next_hop);
        }
    }
}

/// The first pause: what a next hop that restarts is away for. In the meantime nobody pays a
/// connect timeout for what is known.
pub(super) const SHORTEST: Duration = Duration::from_secs(1);

/// The longest: for so long mail waits, or is refused for now, though its next hop is back.
const LONGEST: Duration = Duration::from_secs(30);

/// How long behind its pause a next hop that nobody has asked for is still known to be down. One that
/// is asked for in vain never gets there.
const REMEMBERED: Duration = Duration::from_mins(1);

/// Next hops that can be down at the same time, some 1 KiB each: with more, the one that would be asked
/// again soonest is asked at once, and costs one wait more.
const KNOWN_AT_MOST: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_millis(seconds * 1_000)
    }

    fn hop(name: &str) -> NextHop {
        NextHop::parse(&format!("smtp://{name}:25")).unwrap()
    }

    fn silence(text: &str) -> Outcome {
        Outcome::local((4, 4, 1), None, text)
    }

    fn fresh() -> Health {
        Health::new(SHORTEST)
    }

    #[test]
    fn the_pause_grows_to_its_longest_and_an_answer_ends_it() {
        let (health, hop) = (fresh(), hop("a.example"));
        let mut now = 100;
        for (nth, pause) in [1, 2, 4, 8, 16, 30, 30].into_iter().enumerate() {
            let outcome = silence(&format!("{nth}"));
            health.ask(&hop, at(now)).unwrap().failed(&outcome, at(now));
            let before = Mono::from_millis(at(now + pause).as_millis() - 1);
            assert_eq!(health.ask(&hop, before).unwrap_err(), outcome);
            now += pause;
        }
        health.ask(&hop, at(now)).unwrap().answered();
        let (_one, _other) = (
            health.ask(&hop, at(now)).unwrap(),
            health.ask(&hop, at(now)).unwrap(),
        );
    }

    #[test]
    fn one_at_a_time_asks_again() {
        let (health, hop, other) = (fresh(), hop("a.example"), hop("b.example"));
        health
            .ask(&hop, at(0))
            .unwrap()
            .failed(&silence("x"), at(0));
        let probe = health.ask(&hop, at(1)).unwrap();
        assert_eq!(health.ask(&hop, at(1)).unwrap_err(), silence("x"));
        let _of_another = health.ask(&other, at(1)).unwrap();
        // Given up half-way: the next may ask.
        drop(probe);
        let probe = health.ask(&hop, at(1)).unwrap();
        assert!(health.ask(&hop, at(50)).is_err());
        probe.answered();
        assert!(health.ask(&hop, at(50)).is_ok());
    }

    #[test]
    fn many_that_waited_together_are_one_failure() {
        let (health, hop) = (fresh(), hop("a.example"));
        let waiting: Vec<_> = (0..10).map(|_| health.ask(&hop, at(0)).unwrap()).collect();
        for asking in waiting {
            asking.failed(&silence("x"), at(5));
        }
        assert!(health.ask(&hop, at(5)).is_err());
        assert!(health.ask(&hop, at(6)).is_ok());
    }

    #[test]
    fn who_refuses_for_good_is_not_down() {
        let (health, hop) = (fresh(), hop("a.example"));
        let refusal = Outcome::local((5, 4, 4), None, "x");
        health.ask(&hop, at(0)).unwrap().failed(&refusal, at(0));
        assert!(health.ask(&hop, at(0)).is_ok());
    }

    #[test]
    fn whom_nobody_asks_for_is_forgotten() {
        let (health, long_ago) = (fresh(), hop("a.example"));
        health
            .ask(&long_ago, at(0))
            .unwrap()
            .failed(&silence("x"), at(0));
        // Known to be down: one may ask.
        let probe = health.ask(&long_ago, at(60)).unwrap();
        assert!(health.ask(&long_ago, at(60)).is_err());
        drop(probe);
        // No longer: all may.
        let _both =
            [health.ask(&long_ago, at(61)), health.ask(&long_ago, at(61))].map(Result::unwrap);

        for nth in 0..2 * KNOWN_AT_MOST {
            let hop = hop(&format!("h{nth}.example"));
            health
                .ask(&hop, at(100))
                .unwrap()
                .failed(&silence("x"), at(100));
        }
        let known = health.known();
        assert_eq!(known.down.figures().entries, KNOWN_AT_MOST);
        assert!(known.probed.is_empty());
    }
}
