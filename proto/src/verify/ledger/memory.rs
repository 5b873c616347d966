//! What was said of messages that may come again: so that "not sent" can be confirmed, that no message is held up for
//! longer than it may be, and that what was answered is not asked again.
//!
//! A table in memory, bounded, without a clock. A restart forgets it, and a message that was told 451 is asked about from
//! the beginning: a delay, and no other outcome. Messages are known by a number that follows from their digests, whichever
//! host of the sender brings them; but each counts for the network that brought it first.
//!
//! When it is full the entry that says the least goes, and of those the one least recently heard of. A flood of forgeries
//! that are tried once drives out itself; and one network has room for [`MAX_PER_NETWORK`]. It is remembered for how long
//! there has not been room for what a network brings, since its messages could otherwise be put off again and again.

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use core::time::Duration;

use ipnet::IpNet;

use super::{Denial, Finding};
use crate::residue::inquiry::Meaning;
use crate::time::Mono;
use crate::verify::lasting::network_of;

/// Messages in all, about 300 octets each.
pub const MAX_ENTRIES: usize = 16_384;

/// Messages of one client network: no single one can drive out the others'.
pub const MAX_PER_NETWORK: usize = 256;

/// What was found stands for as long as the answer "sent" may be kept (PROTOCOLS B.4).
const STANDS: Duration = Duration::from_hours(1);

/// Silence after which a message is forgotten: longer than any sender waits between two tries.
const FORGET_AFTER: Duration = Duration::from_hours(24);

/// Networks of which it is remembered that there was no room for all of theirs. Each has filled its share at some time of
/// the last day, or the whole table was full.
const MAX_CROWDED: usize = 1_024;

/// What was said of a message at earlier tries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// Questions that it has cost.
    pub asked: usize,
    /// What they came to, if that still stands.
    pub meaning: Option<Meaning>,
    /// How often the domain has said that it did not send it: not, once, or again.
    pub denied: u32,
    /// Time since it said so first.
    pub since_first: Duration,
    /// Time since it said so last.
    pub since_last: Duration,
    /// Of a message that is not remembered: for how long there has been no room for all that its network brings, so
    /// that it may have been.
    pub crowded: Duration,
}

impl Before {
    /// What is left of it once the domain has said that it sent the message: it had denied it too early.
    #[must_use]
    pub fn retracted(self) -> Self {
        Self {
            asked: self.asked,
            ..Self::default()
        }
    }
}

/// What is remembered.
#[derive(Debug, Default)]
pub struct Memory {
    entries: BTreeMap<u128, Entry>,
    /// The messages by how soon they go when room is needed.
    order: BTreeMap<Rank, u128>,
    /// How many each network has, and by how soon they go.
    networks: BTreeMap<(IpNet, Rank), u128>,
    /// Networks of which something was forgotten that was denied: since when, and when last.
    crowded: BTreeMap<IpNet, (Mono, Mono)>,
    /// Tells entries apart that were made at the same moment.
    serial: u64,
}

/// (how often it was denied, when it was last heard of, serial number): the least goes first.
type Rank = (u32, Mono, u64);

#[derive(Debug)]
struct Entry {
    network: IpNet,
    rank: Rank,
    asked: usize,
    first: Mono,
    meaning: Option<Meaning>,
}

impl Memory {
    /// What was said of a message, which this client brings.
    pub fn before(&self, (message, client): (u128, IpAddr), now: Mono) -> Before {
        let known = self.entries.get(&message);
        let Some(entry) = known.filter(|entry| now.since(entry.rank.1) <= FORGET_AFTER) else {
            return Before {
                crowded: self.crowded(client, now),
                ..Before::default()
            };
        };
        let (denied, last, _) = entry.rank;
        let since_last = now.since(last);
        let stands = since_last <= STANDS;
        Before {
            asked: if denied == 0 && !stands {
                0
            } else {
                entry.asked
            },
            meaning: entry.meaning.clone().filter(|_| stands),
            denied,
            since_first: if denied == 0 {
                Duration::ZERO
            } else {
                now.since(entry.first)
            },
            since_last,
            crowded: Duration::ZERO,
        }
    }

    /// For how long there has been no room for all that a network brings.
    fn crowded(&self, client: IpAddr, now: Mono) -> Duration {
        let network = network_of(client);
        match network.and_then(|network| self.crowded.get(&network)) {
            Some((since, last)) if now.since(*last) <= FORGET_AFTER => now.since(*since),
            _ => Duration::ZERO,
        }
    }

    /// Takes note of what has come of asking about a message, which has cost so many questions by now.
    pub fn note(
        &mut self,
        (message, client): (u128, IpAddr),
        finding: &Finding,
        asked: usize,
        now: Mono,
    ) {
        let (denied, meaning) = match finding {
            Finding::Denied(Denial::Once) => (1, None),
            Finding::Denied(Denial::Twice | Denial::Overdue) => (2, None),
            Finding::Answered(
                meaning @ (Meaning::Sent
                | Meaning::SentToSome
                | Meaning::SentElsewhere(_)
                | Meaning::Altered),
            ) => (0, Some(meaning.clone())),
            // It is not so sure any more: what was said twice was said once.
            Finding::Answered(Meaning::Unknown) if self.is_denied_twice(message) => (1, None),
            // Nothing new; but of a message that was denied each question counts.
            _ => {
                if let Some(entry) = self.entries.get_mut(&message) {
                    entry.asked = entry.asked.max(asked);
                }
                return;
            }
        };
        self.forget_silent(now);
        let old = self.remove(message);
        let Some(network) = old
            .as_ref()
            .map_or_else(|| network_of(client), |old| Some(old.network))
        else {
            return;
        };
        if old.is_none() {
            self.make_room(network, now);
        }
        // What was said before does not become another witness by being looked at again.
        let last = match &old {
            Some(old) if old.rank.0 == denied && old.asked == asked => old.rank.1,
            _ => now,
        };
        let was_denied = old.as_ref().filter(|old| old.rank.0 > 0);
        self.serial = self.serial.saturating_add(1);
        let rank = (denied, last, self.serial);
        let entry = Entry {
            network,
            rank,
            asked,
            first: was_denied.map_or(now, |old| old.first),
            meaning,
        };
        self.order.insert(rank, message);
        self.networks.insert((network, rank), message);
        self.entries.insert(message, entry);
    }

    fn is_denied_twice(&self, message: u128) -> bool {
        let known = self.entries.get(&message);
        known.is_some_and(|entry| entry.rank.0 > 1)
    }

    /// Messages that are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Drops the network's own least entry if it has its share, else the least of all if full.
    fn make_room(&mut self, network: IpNet, now: Mono) {
        let least: Rank = (0, Mono::default(), 0);
        let own = self
            .networks
            .range((network, least)..)
            .take_while(|((of, _), _)| *of == network);
        let first = own.clone().next().map(|(_, message)| *message);
        let gone = if own.count() >= MAX_PER_NETWORK {
            first
        } else if self.entries.len() >= MAX_ENTRIES {
            self.order.values().next().copied()
        } else {
            None
        };
        let gone = gone.and_then(|message| self.remove(message));
        if let Some(entry) = gone.filter(|entry| entry.rank.0 > 0) {
            self.note_crowded(entry.network, now);
        }
    }

    /// What was said of a message of this network is forgotten before its time.
    fn note_crowded(&mut self, network: IpNet, now: Mono) {
        let is_over = |last: &Mono| now.since(*last) > FORGET_AFTER;
        if self.crowded.len() >= MAX_CROWDED && !self.crowded.contains_key(&network) {
            self.crowded.retain(|_, (_, last)| !is_over(last));
            let longest = self.crowded.iter().min_by_key(|(_, (_, last))| *last);
            if let Some(longest) = longest.map(|(network, _)| *network)
                && self.crowded.len() >= MAX_CROWDED
            {
                self.crowded.remove(&longest);
            }
        }
        let (since, last) = self.crowded.entry(network).or_insert((now, now));
        if is_over(last) {
            *since = now;
        }
        *last = now;
    }

    /// Drops entries of which nothing was heard for long.
    fn forget_silent(&mut self, now: Mono) {
        for denied in 0..=2 {
            loop {
                let mut ranked = self.order.range((denied, Mono::default(), 0)..);
                let found = ranked.next().map(|(rank, message)| (*rank, *message));
                match found {
                    Some(((of, last, _), message))
                        if of == denied && now.since(last) > FORGET_AFTER =>
                    {
                        self.remove(message);
                    }
                    _ => break,
                }
            }
        }
    }

    fn remove(&mut self, message: u128) -> Option<Entry> {
        let entry = self.entries.remove(&message)?;
        self.order.remove(&entry.rank);
        self.networks.remove(&(entry.network, entry.rank));
        Some(entry)
    }
}
