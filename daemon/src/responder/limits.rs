//! How much of one network is answered (PROTOCOLS B.4).
//!
//! A datagram's sender may be anybody, so what is sent to a network in answer is held to a rate: within it, it is
//! answered; beyond it, asked to come over TCP, as often again; beyond that, left unanswered. Askers with a cookie of
//! ours are where they say, and have more.
//!
//! Promises: no network is answered more than its rate, and four seconds' worth at once, whatever is asked in whose
//! name; memory does not grow. Networks that fall on one place share its rate: which do, nobody can tell, since places
//! are given by a keyed hash; and a flood in the names of all networks leaves TCP and cookies.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::schema::LedgerRates;

/// Whose rate something is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purse {
    /// Questions of those whose address nothing shows to be true.
    Stranger,
    /// Questions of those whose address is their own.
    Known,
    /// Whatever else is asked of a zone, and what is malformed.
    Zone,
}

/// What is done with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It is answered.
    Answer,
    /// It is told to come over TCP.
    Truncate,
    /// Nothing.
    Drop,
}

/// The rates, and how far each network has used them up.
#[derive(Debug)]
pub struct Limits {
    places: RandomState,
    purses: [Table; 3],
}

/// One rate.
#[derive(Debug)]
struct Table {
    /// Nanoseconds that pay for one.
    interval: AtomicU64,
    slots: Box<[Slot]>,
}

/// Until when one place's rate is used up, in nanoseconds of the clock: for answers, and for requests to come over TCP.
#[derive(Debug, Default)]
struct Slot {
    answered: AtomicU64,
    truncated: AtomicU64,
}

/// Places of each rate: a megabyte.
const SLOTS: usize = 1 << 16;
/// Nanoseconds for which a network may be ahead of its rate: four seconds' worth at once.
const AHEAD: u64 = 4 * SECOND;
/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

impl Limits {
    /// These rates, none of them used.
    pub fn new(rates: LedgerRates) -> Self {
        let table = || Table {
            interval: AtomicU64::new(SECOND),
            slots: std::iter::repeat_with(Slot::default).take(SLOTS).collect(),
        };
        let limits = Self {
            places: RandomState::new(),
            purses: [table(), table(), table()],
        };
        limits.set(rates);
        limits
    }

    /// Other rates from now on.
    pub fn set(&self, rates: LedgerRates) {
        let [strangers, known, zone] = &self.purses;
        for (table, rate) in [
            (strangers, rates.strangers),
            (known, rates.with_cookie),
            (zone, rates.zone),
        ] {
            let interval = SECOND.checked_div(rate.into()).unwrap_or(SECOND);
            table.interval.store(interval, Ordering::Relaxed);
        }
    }

    /// What is done with a datagram from there that costs so much.
    pub fn take(&self, purse: Purse, from: IpAddr, cost: u64, now: Duration) -> Leave {
        let [strangers, known, zone] = &self.purses;
        let table = match purse {
            Purse::Stranger => strangers,
            Purse::Known => known,
            Purse::Zone => zone,
        };
        let place = self.places.hash_one(network(from));
        let place = usize::try_from(place % SLOTS as u64).unwrap_or_default();
        let Some(slot) = table.slots.get(place) else {
            return Leave::Drop;
        };
        let interval = table.interval.load(Ordering::Relaxed);
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        if pay(&slot.answered, interval.saturating_mul(cost), now) {
            Leave::Answer
        } else if pay(&slot.truncated, interval, now) {
            Leave::Truncate
        } else {
            Leave::Drop
        }
    }
}

/// Uses up a rate by so much, if that does not go too far ahead of it.
fn pay(until: &AtomicU64, price: u64, now: u64) -> bool {
    let next = |until: u64| {
        let next = until.max(now).saturating_add(price);
        (next <= now.saturating_add(AHEAD)).then_some(next)
    };
    until
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        .is_ok()
}

/// The network of an address: /24 of IPv4, /56 of IPv6. An IPv4-mapped address counts as IPv4.
pub fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits() >> 8),
        // A network has 56 bits; the highest of all tells it from one of IPv4.
        IpAddr::V6(address) => {
            let bits = u64::try_from(address.to_bits() >> 72).unwrap_or_default();
            bits | 1 << 63
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::new(LedgerRates {
            strangers: 10,
            with_cookie: 100,
            zone: 1,
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_is_answered_then_sent_to_tcp_then_dropped() {
        let limits = limits();
        let from = address("192.0.2.1");
        let start = Duration::from_secs(100);
        let count = |now, wanted| {
            let all = (0..1000).map(|_| limits.take(Purse::Stranger, from, 1, now));
            all.filter(|leave| *leave == wanted).count()
        };
        assert_eq!(count(start, Leave::Answer), 40);
        assert_eq!(count(start, Leave::Drop), 1000);
        let later = start + Duration::from_secs(1);
        assert_eq!(count(later, Leave::Truncate), 10);
        let later = start + Duration::from_secs(2);
        assert_eq!(count(later, Leave::Answer), 10, "what was not used");
    }

    #[test]
    fn costs_and_purses_are_told_apart() {
        let limits = limits();
        let (from, now) = (address("2001:db8::1"), Duration::from_secs(1));
        assert_eq!(limits.take(Purse::Zone, from, 5, now), Leave::Truncate);
        assert_eq!(limits.take(Purse::Zone, from, 4, now), Leave::Answer);
        assert_eq!(limits.take(Purse::Zone, from, 1, now), Leave::Truncate);
        assert_eq!(limits.take(Purse::Known, from, 400, now), Leave::Answer);
        assert_eq!(limits.take(Purse::Stranger, from, 1, now), Leave::Answer);
        limits.set(LedgerRates {
            strangers: 10,
            with_cookie: 100,
            zone: 1000,
        });
        let later = Duration::from_secs(2);
        assert_eq!(limits.take(Purse::Zone, from, 900, later), Leave::Answer);
    }

    #[test]
    fn networks_are_24_and_56_bits_wide() {
        let same = |one, other| network(address(one)) == network(address(other));
        assert!(same("192.0.2.1", "192.0.2.255") && same("192.0.2.1", "::ffff:192.0.2.7"));
        assert!(!same("192.0.2.1", "192.0.3.1"));
        assert!(same("2001:db8:0:1ff::1", "2001:db8:0:100::2"));
        assert!(!same("2001:db8:0:1ff::1", "2001:db8:0:200::1"));
    }
}
