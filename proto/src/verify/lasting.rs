//! Trouble that lasts: a domain with broken DNS that never adopted anything must not lose its
//! mail, so tempfail for the same domain and client network ends in unknown (PROTOCOLS A.2 step 5).
//!
//! A table in memory, bounded, without a clock: the driver tells it of every report and the time.
//! A restart forgets it, and the four hours begin again; senders try for days (RFC 5321 §4.5.4.1).
//!
//! Networks are /24 and /56, as wide as one site's outgoing hosts usually are: the next try of a
//! message often comes from a neighbour of the host that tried before.
//!
//! When it is full the entry with the fewest tries goes, and of those the one least recently
//! tried. So a flood of domains that are tried once drives out itself; and one network, which has
//! room for [`MAX_PER_NETWORK`] entries, drives out only its own.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::net::IpAddr;
use core::time::Duration;

use ipnet::IpNet;

use crate::time::Mono;

use super::VerdictResult;
use super::mail_from::Report;

/// Tempfail for this long is no passing failure: a sender has had its warning time (RFC 5321
/// §4.5.4.1 retries within it many times over), and its user would soon be told.
pub const LASTING: Duration = Duration::from_hours(4);

/// Tries within that time; fewer could be two unlucky moments.
pub const MIN_TRIES: u32 = 3;

/// Silence after which an entry is forgotten: longer than any sender waits between two tries.
/// Beyond it, nobody knows whether the trouble lasted.
pub const FORGET_AFTER: Duration = Duration::from_hours(24);

/// Entries in all, about 400 octets each at most.
pub const MAX_ENTRIES: usize = 16_384;

/// Entries of one client network: no single one can drive out the others'.
pub const MAX_PER_NETWORK: usize = 256;

/// Prefix length of an IPv4 client's network.
const PREFIX_V4: u8 = 24;

/// Prefix length of an IPv6 client's network: the least that is given to a site.
const PREFIX_V6: u8 = 56;

/// Which (domain, client network) are in tempfail, and since when.
#[derive(Debug, Default)]
pub struct Lasting {
    entries: BTreeMap<Key, Entry>,
    /// The entries by how soon they go when room is needed.
    order: BTreeMap<Rank, Key>,
    /// Tells entries apart that were tried at the same moment.
    serial: u64,
}

/// Network first, so that one network's entries lie side by side.
type Key = (IpNet, Box<str>);

/// (tries, last try, serial number): the least goes first.
type Rank = (u32, Mono, u64);

/// One domain in tempfail for one network.
#[derive(Clone, Copy, Debug)]
struct Entry {
    since: Mono,
    /// Its tries are counted up to [`MIN_TRIES`].
    rank: Rank,
}

impl Lasting {
    /// Takes note of a report, and gives it back: as it was, or as unknown (dns) in place of a
    /// tempfail that has lasted. A definite result forgets the entry: the DNS has recovered.
    pub fn settle(&mut self, report: Report, now: Mono) -> Report {
        let Some(key) = key_of(&report) else {
            return report;
        };
        self.forget_silent(now);
        if report.result != VerdictResult::Tempfail {
            // Where nothing was asked nothing has recovered.
            if report.questions > 0 {
                self.remove(&key);
            }
            return report;
        }
        let entry = self.tried(key, now);
        if entry.rank.0 >= MIN_TRIES && now.since(entry.since) >= LASTING {
            report.lasting()
        } else {
            report
        }
    }

    /// How many (domain, client network) are in tempfail.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Counts a try.
    fn tried(&mut self, key: Key, now: Mono) -> Entry {
        let before = self.remove(&key);
        if before.is_none() {
            self.make_room(&key.0);
        }
        let tries = before.map_or(0, |entry| entry.rank.0).saturating_add(1);
        self.serial = self.serial.saturating_add(1);
        let entry = Entry {
            since: before.map_or(now, |entry| entry.since),
            rank: (tries.min(MIN_TRIES), now, self.serial),
        };
        self.order.insert(entry.rank, key.clone());
        self.entries.insert(key, entry);
        entry
    }

    /// Drops the network's own least entry if it has its share, else the least of all if full.
    fn make_room(&mut self, network: &IpNet) {
        let own = self
            .entries
            .range((*network, Box::from(""))..)
            .take_while(|((of, _), _)| of == network);
        let least = own
            .clone()
            .min_by_key(|(_, entry)| entry.rank)
            .map(|(key, _)| key.clone());
        if own.count() >= MAX_PER_NETWORK {
            if let Some(key) = least {
                self.remove(&key);
            }
        } else if self.entries.len() >= MAX_ENTRIES
            && let Some(key) = self.order.values().next().cloned()
        {
            self.remove(&key);
        }
    }

    /// Drops entries whose last try is long past.
    fn forget_silent(&mut self, now: Mono) {
        for tries in 1..=MIN_TRIES {
            while let Some(key) = self.silent(tries, now) {
                self.remove(&key);
            }
        }
    }

    /// The least recent of the entries with so many tries, if it is to be forgotten.
    fn silent(&self, tries: u32, now: Mono) -> Option<Key> {
        let mut ranked = self.order.range((tries, Mono::default(), 0)..);
        let ((of, last, _), key) = ranked.next()?;
        (*of == tries && now.since(*last) > FORGET_AFTER).then(|| key.clone())
    }

    /// Takes an entry out.
    fn remove(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.order.remove(&entry.rank);
        Some(entry)
    }
}

/// The domain that was asked, and the client's network.
fn key_of(report: &Report) -> Option<Key> {
    let prefix = match report.client {
        IpAddr::V4(_) => PREFIX_V4,
        IpAddr::V6(_) => PREFIX_V6,
    };
    let network = IpNet::new(report.client, prefix).ok()?.trunc();
    Some((network, report.domain.as_ref()?.as_ascii().into()))
}
