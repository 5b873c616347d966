//! Which next hops did not answer a moment ago: they are not waited for again at once.
//!
//! Promises: after it was asked in vain a next hop is down for a second, within which nobody
//! waits for it; then one at a time may ask it again, and each time in vain doubles the pause, up to
//! half a minute; an answer ends it. Whoever asks and gives up half-way leaves the asking to the next; and
//! so does, some seconds later, who has a session and no answer over it: what it asks may be what there is no
//! answer to. The table is bounded, and forgets who has not been asked for.
//!
//! A host that refuses for good is not down: it answers, and quickly.
//!
//! Left to others: the clock; what is said to those who are not to wait.

use std::collections::HashMap;
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
    probed: HashMap<NextHop, Probe>,
    /// Whoever asks again next has this number.
    next_probe: u64,
    /// When each has last answered, to within [`NOTED_EACH`].
    answered: Bounded<NextHop, Mono>,
}

/// Somebody who is asking one that is down.
#[derive(Clone, Copy, Debug)]
struct Probe {
    number: u64,
    /// From then on others may ask, too; none while there is no session.
    until: Option<Mono>,
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

/// The leave to ask a next hop. Dropped without a word it says nothing of it.
#[derive(Debug)]
#[must_use = "what comes of it is to be told"]
pub(super) struct Asking<'a> {
    health: &'a Health,
    next_hop: &'a NextHop,
    /// It was down: nobody else asks until this is over. The number of the probe.
    probing: Option<u64>,
}

impl Health {
    /// Nobody is down; the first pause will be so long.
    pub(super) fn new(shortest: Duration) -> Self {
        let bounds = || Bounds {
            entries: KNOWN_AT_MOST,
            octets: usize::MAX,
        };
        Self {
            known: Mutex::new(Known {
                down: Bounded::new(bounds()),
                probed: HashMap::new(),
                next_probe: 0,
                answered: Bounded::new(bounds()),
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
        let is_probed = || {
            let probe = known.probed.get(next_hop);
            probe.is_some_and(|probe| probe.until.is_none_or(|until| now < until))
        };
        if let Some(down) = down
            && (now < down.until || is_probed())
        {
            return Err(down.outcome.clone());
        }
        let probing = down.is_some().then_some(known.next_probe);
        if let Some(number) = probing {
            known.next_probe = number.wrapping_add(1);
            let probe = Probe {
                number,
                until: None,
            };
            known.probed.insert(next_hop.clone(), probe);
        }
        Ok(Asking {
            health: self,
            next_hop,
            probing,
        })
    }

    /// It has answered somebody.
    pub(super) fn has_answered(&self, next_hop: &NextHop, now: Mono) {
        let answered = &mut self.known().answered;
        let before = answered.peek(next_hop, now);
        if before.is_none_or(|(at, _)| now.since(*at) >= NOTED_EACH) {
            answered.keep(next_hop.clone(), now, ANSWERS_REMEMBERED, 0, now);
        }
    }

    /// True if it has answered anybody since then.
    pub(super) fn answers_since(&self, next_hop: &NextHop, since: Mono) -> bool {
        let known = self.known();
        let answered = known.answered.peek(next_hop, since);
        answered.is_some_and(|(at, _)| *at >= since)
    }

    /// A panic elsewhere cannot leave it half changed, so poison means nothing.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking<'_> {
    /// A session has come to be, over which an answer is waited for.
    pub(super) fn stands(&mut self, now: Mono) {
        if let Some(number) = self.probing
            && let Some(probe) = self.health.known().probed.get_mut(self.next_hop)
            && probe.number == number
        {
            probe.until = Some(now.plus(ANSWER));
        }
    }

    /// It has answered.
    pub(super) fn answered(self) {
        self.health.known().down.remove(self.next_hop);
    }

    /// It has not.
    pub(super) fn failed(self, outcome: &Outcome, now: Mono) {
        if outcome.class != OutcomeClass::Transient {
            return self.answered();
        }
        let mut known = self.health.known();
        let before = known.down.peek(self.next_hop, now).map(|(down, _)| down);
        let pause = match before {
            None => self.health.shortest,
            Some(down) if self.probing.is_some() => down.pause.saturating_mul(2).min(LONGEST),
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
        if let Some(number) = self.probing {
            let probed = &mut self.health.known().probed;
            if probed
                .get(self.next_hop)
                .is_some_and(|probe| probe.number == number)
            {
                probed.remove(self.next_hop);
            }
        }
    }
}

/// The first pause: what a next hop that restarts is away for. In the meantime nobody pays a
/// connect timeout for what is known.
pub(super) const SHORTEST: Duration = Duration::from_secs(1);

/// The longest: for so long mail waits, or is refused for now, though its next hop is back.
const LONGEST: Duration = Duration::from_secs(30);

/// How long one who asks again, and has a session, keeps others from asking: one that is well answers a
/// recipient within this.
const ANSWER: Duration = Duration::from_secs(10);

/// How exactly it is known when a next hop has answered: nobody notes it for each message.
const NOTED_EACH: Duration = Duration::from_secs(1);

/// How long it is known that a next hop has answered: longer than anybody waits for an answer.
const ANSWERS_REMEMBERED: Duration = Duration::from_mins(5);

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
    fn who_waits_for_an_answer_over_a_session_does_not_keep_others_from_asking() {
        let (health, hop) = (fresh(), hop("a.example"));
        health
            .ask(&hop, at(0))
            .unwrap()
            .failed(&silence("x"), at(0));
        let mut probe = health.ask(&hop, at(1)).unwrap();
        assert!(health.ask(&hop, at(40)).is_err(), "it has no session yet");
        probe.stands(at(40));
        assert!(health.ask(&hop, at(49)).is_err());
        let mut second = health.ask(&hop, at(50)).unwrap();
        // What the first comes to is no end of the second one's asking.
        drop(probe);
        assert!(health.ask(&hop, at(50)).is_err());
        second.stands(at(50));
        second.answered();
        assert!(health.ask(&hop, at(50)).is_ok());
    }

    #[test]
    fn it_is_known_who_has_answered_since() {
        let (health, hop, other) = (fresh(), hop("a.example"), hop("b.example"));
        assert!(!health.answers_since(&hop, at(0)));
        for second in [10, 60, 61] {
            health.has_answered(&hop, at(second));
        }
        assert!(health.answers_since(&hop, at(61)));
        assert!(!health.answers_since(&hop, at(62)) && !health.answers_since(&other, at(0)));
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
