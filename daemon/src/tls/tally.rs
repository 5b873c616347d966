//! How TLS with the hosts of each domain goes, counted for each day of UTC: what a report by RFC 8460
//! would say. Nothing is sent to anybody yet; the counts are said in the log when a day is over, and
//! at the stop.
//!
//! They are kept for today and yesterday, in memory: a restart begins anew. Without the domains, which
//! anybody can make up, they are among the figures too.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::time::Wall;
use vouchsafe_proto::tls_policy::report::{Ended, Kind};

use crate::metrics::figures;

/// The counts.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<Day, Counts>>);

/// A day, as days since 1970.
pub type Day = u64;

/// Sessions of one day.
pub type Counts = BTreeMap<(Domain, Kind, Ended), u64>;

/// The day of a moment.
pub const fn day_of(now: Wall) -> Day {
    now.as_secs() / 86_400
}

impl Tally {
    /// One more session, or one more trouble with a policy, of a domain.
    pub fn count(&self, domain: &Domain, kind: Kind, ended: Ended, now: Wall) {
        let tls = &figures().sessions.tls_policies;
        tls.count([kind.as_str(), ended.as_str()]);
        let today = day_of(now);
        let mut days = self.lock();
        if !days.contains_key(&today) {
            if let Some((day, counts)) = days.last_key_value() {
                say(*day, counts);
            }
            // Yesterday stays, for whoever asks after midnight.
            days.retain(|day, _| day.abs_diff(today) <= 1);
        }
        let counts = days.entry(today).or_default();
        let key = (domain.clone(), kind, ended);
        if counts.len() < MAX_COUNTS || counts.contains_key(&key) {
            let count = counts.entry(key).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// What was counted on a day; nothing for one that is not kept.
    pub fn of(&self, day: Day) -> Counts {
        self.lock().get(&day).cloned().unwrap_or_default()
    }

    /// Says in the log what the last day has come to.
    pub fn say(&self) {
        let last = self.lock().keys().next_back().copied();
        if let Some(day) = last {
            say(day, &self.of(day));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Day, Counts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line for each count.
fn say(day: Day, counts: &Counts) {
    let day = Wall::from_secs(day.saturating_mul(86_400)).to_rfc5322();
    for ((domain, kind, ended), sessions) in counts {
        tracing::info!(
            %domain,
            policy = kind.as_str(),
            result = ended.as_str(),
            sessions,
            day,
            "TLS of the day"
        );
    }
}

/// Counts of one day: a hundred octets or so each. What comes beyond is not counted.
const MAX_COUNTS: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_is_counted_by_itself_and_two_are_kept() {
        let tally = Tally::default();
        let domain = |name| Domain::parse(name).unwrap();
        let at = |day: u64, second: u64| Wall::from_secs(day * 86_400 + second);
        let count = |name, ended, now| tally.count(&domain(name), Kind::Sts, ended, now);
        count("a.example", Ended::Success, at(10, 0));
        count("a.example", Ended::Success, at(10, 86_399));
        count("a.example", Ended::CertificateExpired, at(10, 5));
        count("b.example", Ended::Success, at(10, 5));
        count("a.example", Ended::Success, at(11, 0));
        let of = |day, name, ended| {
            let key = (domain(name), Kind::Sts, ended);
            tally.of(day).get(&key).copied()
        };
        assert_eq!(of(10, "a.example", Ended::Success), Some(2));
        assert_eq!(of(10, "a.example", Ended::CertificateExpired), Some(1));
        assert_eq!(of(10, "b.example", Ended::Success), Some(1));
        assert_eq!(of(11, "a.example", Ended::Success), Some(1));
        assert_eq!(tally.of(11).len(), 1);
        count("a.example", Ended::Success, at(12, 0));
        assert!(tally.of(10).is_empty() && tally.of(11).len() == 1);
    }
}
