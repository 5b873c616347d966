//! Trouble that lasts: a domain with broken DNS that never adopted anything must not lose its
//! mail, so tempfail for the same domain and client network ends in unknown (PROTOCOLS A.2 step 5).
//!
//! A table in memory, bounded, without a clock: the driver tells it of every verdict and the time.
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
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use ipnet::IpNet;

use crate::dns::{Lookup, Question};
use crate::time::Mono;

use super::{Evidence, Verdict, VerdictResult};

/// Tempfail for this long is no passing failure: a sender has had its warning time (RFC 5321
/// §4.5.4.1 retries within it many times over), and its user would soon be told.
pub const LASTING: Duration = Duration::from_hours(4);

/// Tries within that time; fewer could be two unlucky moments.
pub const MIN_TRIES: u32 = 3;

/// Trouble that was at another question each time: some answers are lost by chance, and the check
/// has many. It ends too, but a forger who tries again for four hours must gain nothing by it.
pub const LASTING_MIXED: Duration = Duration::from_hours(24);

/// Tries within that time. A walk of twenty questions of which one in twenty is lost ends in
/// tempfail two times out of three; sixteen times in a row, once in a thousand.
pub const MIN_TRIES_MIXED: u32 = 16;

/// Failed questions that are kept of a try, in the order in which they were asked.
const KEPT_FAILURES: usize = 8;

/// Silence after which an entry is forgotten: as long as a queue keeps a message (RFC 5321
/// §4.5.4.1). A large sender's next try comes from another of its networks, and days may pass until
/// it comes from this one again.
pub const FORGET_AFTER: Duration = Duration::from_hours(5 * 24);

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
    /// Since when, and at how many tries, anything at all has failed.
    any: Run,
    /// Since when, and at how many tries, the same question has.
    same: Run,
    /// The questions that failed at each try of `same`.
    failed: Failed,
    /// Its tries are counted up to [`MIN_TRIES`].
    rank: Rank,
}

/// Tries without a definite result between them.
#[derive(Clone, Copy, Debug)]
struct Run {
    since: Mono,
    tries: u32,
}

impl Run {
    /// The first try.
    const fn begin(now: Mono) -> Self {
        Self {
            since: now,
            tries: 1,
        }
    }

    /// One try more.
    const fn and_one(self) -> Self {
        Self {
            tries: self.tries.saturating_add(1),
            ..self
        }
    }

    /// True if it is so long, in time and in tries.
    fn is(self, long: Duration, tries: u32, now: Mono) -> bool {
        self.tries >= tries && now.since(self.since) >= long
    }
}

impl Entry {
    /// True if this is no passing failure.
    fn has_lasted(&self, now: Mono) -> bool {
        self.same.is(LASTING, MIN_TRIES, now) || self.any.is(LASTING_MIXED, MIN_TRIES_MIXED, now)
    }
}

impl Lasting {
    /// Takes note of a verdict, and gives it back: as it was, or as unknown in place of a tempfail
    /// that has lasted. A definite one forgets the entry: the DNS has recovered. Only for what is
    /// known at MAIL: who signs a message chooses himself where his key should be, and must gain
    /// nothing by its never being there.
    pub fn settle(&mut self, verdict: Verdict, now: Mono) -> Verdict {
        // Most verdicts come while nothing is in trouble, and there is nothing to look for.
        if self.is_empty() && verdict.result() != VerdictResult::Tempfail {
            return verdict;
        }
        let Some(key) = key_of(&verdict) else {
            return verdict;
        };
        self.forget_silent(now);
        if verdict.result() != VerdictResult::Tempfail {
            // Where nothing was asked nothing has recovered.
            if verdict.questions() > 0 {
                self.remove(&key);
            }
            return verdict;
        }
        if self.tried(key, &failures(&verdict), now).has_lasted(now) {
            verdict.lasting()
        } else {
            verdict
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

    /// Counts a try, at which these questions failed.
    fn tried(&mut self, key: Key, failures: &[u64], now: Mono) -> Entry {
        let before = self.remove(&key);
        if before.is_none() {
            self.make_room(&key.0);
        }
        let tries = before.map_or(0, |entry| entry.rank.0).saturating_add(1);
        self.serial = self.serial.saturating_add(1);
        let again = before.map(|entry| (entry.same, entry.failed.among(failures)));
        let (same, failed) = match again {
            Some((same, failed)) if !failed.is_empty() => (same.and_one(), failed),
            _ => (Run::begin(now), Failed::of(failures)),
        };
        let entry = Entry {
            any: before.map_or(Run::begin(now), |entry| entry.any.and_one()),
            same,
            failed,
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

/// Some failed questions, each by its number ([`number_of`]).
#[derive(Clone, Copy, Debug, Default)]
struct Failed([Option<u64>; KEPT_FAILURES]);

impl Failed {
    /// The first of them.
    fn of(failures: &[u64]) -> Self {
        let mut kept = Self::default();
        for (place, number) in kept.0.iter_mut().zip(failures) {
            *place = Some(*number);
        }
        kept
    }

    /// Those that failed now too.
    fn among(self, failures: &[u64]) -> Self {
        let again = |number: Option<u64>| number.filter(|number| failures.contains(number));
        Self(self.0.map(again))
    }

    /// True if there is none.
    fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// The questions that a verdict had no answer to. Trouble without any is this host's own, and
/// counts as one that is always the same.
fn failures(verdict: &Verdict) -> Vec<u64> {
    let steps = verdict.evidence().iter().flat_map(Evidence::steps);
    let failed = steps.filter(|step| {
        let answer = step.answer.as_ref();
        answer.is_none_or(|answer| matches!(answer.lookup, Lookup::Trouble(_)))
    });
    let numbers: Vec<u64> = failed.map(|step| number_of(&step.question)).collect();
    if numbers.is_empty() { vec![0] } else { numbers }
}

/// A number for a question (FNV-1a over its name and type): an entry must not grow with the names
/// that a publisher chooses, and two with one number would only end trouble early.
fn number_of(question: &Question) -> u64 {
    let name = question.name.as_str().bytes();
    name.chain([question.kind as u8])
        .fold(0xcbf2_9ce4_8422_2325, |sum, octet| {
            (sum ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
        })
}

/// The domain that was asked, and the client's network.
fn key_of(verdict: &Verdict) -> Option<Key> {
    let report = verdict.mail_from()?;
    let network = network_of(report.client)?;
    Some((network, report.domain.as_ref()?.as_ascii().into()))
}

/// A client's network.
pub(in crate::verify) fn network_of(client: IpAddr) -> Option<IpNet> {
    let prefix = match client {
        IpAddr::V4(_) => PREFIX_V4,
        IpAddr::V6(_) => PREFIX_V6,
    };
    Some(IpNet::new(client, prefix).ok()?.trunc())
}

#[cfg(test)]
mod tests {
    use super::{FORGET_AFTER, Lasting, MAX_ENTRIES, MAX_PER_NETWORK};
    use crate::addr::Domain;
    use crate::dns::{Answer, Freshness, Name, Question, RecordType, Trouble};
    use crate::time::Mono;
    use crate::verify::mail_from::{Identity, Reason, Report};
    use crate::verify::{Evidence, Step, Verdict};
    use alloc::format;
    use alloc::sync::Arc;

    fn verdict(report: Report) -> Verdict {
        Verdict::of(Evidence::MailFrom(Arc::new(report)), [])
    }

    fn report(reason: Reason, domain: &str, client: &str) -> Report {
        Report {
            domain: Domain::parse(domain).ok(),
            questions: 1,
            ..Report::unasked(reason, client.parse().unwrap(), Identity::ReversePath)
        }
    }

    /// What a tempfail at this minute comes out as.
    fn tempfail(table: &mut Lasting, domain: &str, client: &str, minute: u64) -> Reason {
        let now = Mono::from_millis(minute * 60_000);
        let given = verdict(report(Reason::Temporary, domain, client));
        let settled = table.settle(given, now);
        let report = settled.mail_from().unwrap();
        assert_eq!(settled.result(), report.reason.result());
        report.reason
    }

    #[test]
    fn four_hours_and_three_tries_make_it_unknown() {
        let (d, c) = ("a.example", "192.0.2.1");
        let table = &mut Lasting::default();
        assert_eq!(tempfail(table, d, c, 0), Reason::Temporary);
        assert_eq!(tempfail(table, d, "192.0.2.200", 239), Reason::Temporary);
        assert_eq!(tempfail(table, d, c, 240), Reason::Dns);
        assert_eq!(tempfail(table, d, c, 241), Reason::Dns);
        let table = &mut Lasting::default();
        assert_eq!(tempfail(table, d, c, 0), Reason::Temporary);
        assert_eq!(tempfail(table, d, c, 300), Reason::Temporary, "two tries");
        assert_eq!(tempfail(table, d, c, 301), Reason::Dns);
        assert_eq!(
            tempfail(table, d, "192.0.3.1", 302),
            Reason::Temporary,
            "network"
        );
        assert_eq!(
            tempfail(table, "b.example", c, 302),
            Reason::Temporary,
            "domain"
        );
    }

    /// The same of a try at which these names got no answer.
    fn failing(table: &mut Lasting, names: &[&str], minute: u64) -> Reason {
        let step = |name: &&str| Step {
            pass: 1,
            question: Question {
                name: Name::parse(name).unwrap(),
                kind: RecordType::A,
                freshness: Freshness::Cached,
            },
            answer: Some(Arc::new(Answer::trouble(Trouble::ServFail))),
        };
        let report = Report {
            steps: names.iter().map(step).collect(),
            ..report(Reason::Temporary, "a.example", "192.0.2.1")
        };
        let settled = table.settle(verdict(report), Mono::from_millis(minute * 60_000));
        settled.mail_from().unwrap().reason
    }

    #[test]
    fn the_same_question_must_fail_each_time() {
        let table = &mut Lasting::default();
        assert_eq!(failing(table, &["a", "b", "c"], 0), Reason::Temporary);
        assert_eq!(failing(table, &["d", "c"], 120), Reason::Temporary);
        assert_eq!(failing(table, &["c", "a"], 240), Reason::Dns);
        let table = &mut Lasting::default();
        assert_eq!(failing(table, &["a", "b"], 0), Reason::Temporary);
        assert_eq!(failing(table, &["b", "c"], 120), Reason::Temporary);
        assert_eq!(failing(table, &["c", "a"], 240), Reason::Temporary);
        assert_eq!(failing(table, &["c"], 300), Reason::Temporary);
        assert_eq!(failing(table, &["c"], 480), Reason::Dns, "c since 240");
    }

    #[test]
    fn trouble_at_another_question_each_time_ends_after_a_day() {
        let mut names = (0..100).map(|n| format!("q{n}"));
        let mut one_more = |table: &mut Lasting, minute| {
            let name = names.next().unwrap();
            failing(table, &[&name], minute)
        };
        let table = &mut Lasting::default();
        for minute in (0..24 * 60).step_by(60) {
            assert_eq!(one_more(table, minute), Reason::Temporary, "{minute}");
        }
        assert_eq!(one_more(table, 24 * 60), Reason::Dns);
        let table = &mut Lasting::default();
        for hour in (0..30).step_by(2) {
            assert_eq!(one_more(table, hour * 60), Reason::Temporary, "{hour}");
        }
        assert_eq!(one_more(table, 30 * 60), Reason::Dns, "the 16th try");
    }

    #[test]
    fn ipv6_networks_are_as_wide_as_a_site() {
        let table = &mut Lasting::default();
        for (minute, client) in [(0, "2001:db8:0:1::1"), (9, "2001:db8:0:ff::1")] {
            assert_eq!(
                tempfail(table, "a.example", client, minute),
                Reason::Temporary
            );
        }
        assert_eq!(table.len(), 1);
        assert_eq!(
            tempfail(table, "a.example", "2001:db8:0:100::1", 240),
            Reason::Temporary
        );
        assert_eq!(
            tempfail(table, "a.example", "2001:db8::1", 240),
            Reason::Dns
        );
    }

    #[test]
    fn a_definite_result_forgets_the_entry() {
        let (d, c) = ("a.example", "192.0.2.1");
        for reason in [Reason::Host, Reason::Unpublished, Reason::NotListed] {
            let table = &mut Lasting::default();
            tempfail(table, d, c, 0);
            tempfail(table, d, c, 1);
            let definite = verdict(report(reason, d, c));
            assert_eq!(
                table.settle(definite.clone(), Mono::from_millis(2)),
                definite
            );
            assert!(table.is_empty());
            assert_eq!(tempfail(table, d, c, 300), Reason::Temporary);
        }
        let table = &mut Lasting::default();
        tempfail(table, d, c, 0);
        let unasked = Report {
            questions: 0,
            ..report(Reason::Perimeter, d, c)
        };
        table.settle(verdict(unasked), Mono::from_millis(2));
        assert_eq!(
            table.len(),
            1,
            "nothing was asked, so nothing has recovered"
        );
    }

    #[test]
    fn silence_forgets_the_entry() {
        let (d, c) = ("a.example", "192.0.2.1");
        let table = &mut Lasting::default();
        for minute in [0, 1, 2, 240] {
            tempfail(table, d, c, minute);
        }
        let long = 240 + FORGET_AFTER.as_secs() / 60;
        assert_eq!(tempfail(table, d, c, long), Reason::Dns);
        assert_eq!(tempfail(table, d, c, long * 2 + 1), Reason::Temporary);
    }

    #[test]
    fn a_flood_drives_out_itself() {
        let table = &mut Lasting::default();
        for minute in [0, 1] {
            tempfail(table, "a.example", "192.0.2.1", minute);
        }
        for at in 0..MAX_ENTRIES + 500 {
            let client = format!("10.{}.{}.1", at / 256 % 256, at % 256);
            tempfail(table, &format!("f{}.example", at / 65_536), &client, 2);
        }
        assert_eq!(table.len(), MAX_ENTRIES);
        assert_eq!(table.order.len(), MAX_ENTRIES);
        assert_eq!(tempfail(table, "a.example", "192.0.2.1", 240), Reason::Dns);
    }

    #[test]
    fn one_network_drives_out_only_its_own() {
        let table = &mut Lasting::default();
        tempfail(table, "a.example", "192.0.2.1", 0);
        for at in 0..MAX_PER_NETWORK * 2 {
            tempfail(table, &format!("f{at}.example"), "10.0.0.1", 1);
        }
        assert_eq!(table.len(), MAX_PER_NETWORK + 1);
        tempfail(table, "a.example", "192.0.2.1", 2);
        assert_eq!(tempfail(table, "a.example", "192.0.2.1", 240), Reason::Dns);
    }
}
