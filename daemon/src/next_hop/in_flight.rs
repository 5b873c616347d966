//! Held transactions by reverse-path and recipient: how a loop is found through hosts that do not speak
//! XHOLD, and so pass no token of ours on (decision 28).
//!
//! While a path is held its message has been taken by nobody. A path that comes back to us is the same
//! reverse-path and recipient once more, from another client, while the first is still open. The first time that may be
//! chance (two messages of one sender to one mailbox, by two hosts); the next one is refused for now. Chance is over when it
//! comes again; a loop ends, since the refusal goes back all the way to its beginning.
//!
//! The client of the oldest in flight is never refused, and counts once: a sender may have many sessions. All
//! others together may have one.
//!
//! Promises: a [`Passage`] is held for each pair for as long as its transaction lives, so the counts are exact
//! whatever ends it; a pair that nobody holds has no entry; there are never more than [`MOST_PAIRS`]. What
//! is not counted because of that is not refused: caps on transactions hold all the same.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::reply::Reply;

/// Transactions of one pair, at the same time, by others than the client of the oldest; one more is a loop.
const OTHERS: usize = 1;

/// Pairs that are counted: some megabytes.
const MOST_PAIRS: usize = 20_000;

/// Who sends, and to whom.
type Pair = (ReversePath, ForwardPath);

/// The clients of one pair, each with its passage's number, the oldest in flight first.
type Clients = VecDeque<(u64, IpAddr)>;

/// Who counts them; clones are the same.
#[derive(Clone, Debug)]
pub struct InFlight {
    clients: Arc<Mutex<HashMap<Arc<Pair>, Clients>>>,
    /// Passages so far.
    given: Arc<AtomicU64>,
    most: usize,
}

impl Default for InFlight {
    fn default() -> Self {
        Self {
            clients: Arc::default(),
            given: Arc::default(),
            most: MOST_PAIRS,
        }
    }
}

/// As many transactions of one pair are held as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many held transactions of this sender to this recipient as there may be")]
pub struct Looping;

impl Looping {
    /// To RCPT (RFC 3463 X.4.6).
    pub fn reply() -> Reply {
        Reply::new(
            451,
            (4, 4, 6),
            "this sender and recipient are in hand already, try again later",
        )
    }
}

/// One pair of a held transaction; giving it back is dropping it.
#[derive(Debug)]
#[must_use = "a passage that is dropped counts nothing"]
pub struct Passage {
    in_flight: InFlight,
    number: u64,
    /// None where there were too many to be counted.
    pair: Option<Arc<Pair>>,
}

impl InFlight {
    /// Leave to hold one more transaction of this pair for this client, or not.
    pub fn pass(
        &self,
        reverse_path: &ReversePath,
        recipient: &ForwardPath,
        client: IpAddr,
    ) -> Result<Passage, Looping> {
        let pair = (reverse_path.clone(), recipient.clone());
        let client = client.to_canonical();
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        let mut pairs = self.clients();
        let known = pairs.get_key_value(&pair).map(|(pair, _)| Arc::clone(pair));
        let pair = match known {
            Some(pair) => {
                let clients = pairs.entry(Arc::clone(&pair)).or_default();
                let oldest = clients.front().map(|(_, client)| *client);
                let others = clients.iter().filter(|(_, one)| Some(*one) != oldest);
                if oldest != Some(client) && others.count() >= OTHERS {
                    return Err(Looping);
                }
                clients.push_back((number, client));
                Some(pair)
            }
            None if pairs.len() >= self.most => None,
            None => {
                let pair = Arc::new(pair);
                pairs.insert(Arc::clone(&pair), VecDeque::from([(number, client)]));
                Some(pair)
            }
        };
        drop(pairs);
        Ok(Passage {
            in_flight: self.clone(),
            number,
            pair,
        })
    }

    /// By pairs. A panic elsewhere cannot leave them half changed, so poison means nothing.
    fn clients(&self) -> MutexGuard<'_, HashMap<Arc<Pair>, Clients>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let Some(pair) = &self.pair else {
            return;
        };
        let mut pairs = self.in_flight.clients();
        if let Some(clients) = pairs.get_mut(pair) {
            clients.retain(|(number, _)| *number != self.number);
            if clients.is_empty() {
                pairs.remove(pair);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOB: &str = "bob@example.net";

    fn pass(
        in_flight: &InFlight,
        client: u8,
        (from, to): (&str, &str),
    ) -> Result<Passage, Looping> {
        let from = ReversePath::parse_inside(from).unwrap();
        let to = ForwardPath::parse_inside(to).unwrap();
        in_flight.pass(&from, &to, IpAddr::from([192, 0, 2, client]))
    }

    #[test]
    fn the_second_of_others_is_a_loop_until_the_first_of_them_ends() {
        let in_flight = InFlight::default();
        let pair = ("ann@example.org", BOB);
        let _first = pass(&in_flight, 1, pair).unwrap();
        // The same, however its domain is written.
        let second = pass(&in_flight, 2, ("ann@EXAMPLE.org", "bob@Example.NET")).unwrap();
        for client in [2, 3] {
            assert_eq!(pass(&in_flight, client, pair).err(), Some(Looping));
        }
        assert!(Looping::reply().to_string().starts_with("451 4.4.6 "));
        let _others = [
            ("", BOB),
            ("ann@example.org", "postmaster"),
            (BOB, "ann@example.org"),
            ("ann@example.org", "Bob@example.net"),
        ]
        .map(|pair| pass(&in_flight, 2, pair).unwrap());
        drop(second);
        let _third = pass(&in_flight, 3, pair).unwrap();
        assert_eq!(pass(&in_flight, 2, pair).err(), Some(Looping));
    }

    #[test]
    fn one_client_with_many_sessions_is_never_refused() {
        let in_flight = InFlight::default();
        let held: Vec<_> = (0..50)
            .map(|_| pass(&in_flight, 1, ("", BOB)).unwrap())
            .collect();
        let other = pass(&in_flight, 2, ("", BOB)).unwrap();
        assert_eq!(pass(&in_flight, 2, ("", BOB)).err(), Some(Looping));
        let more = pass(&in_flight, 1, ("", BOB)).unwrap();
        drop((held, more));
        // Now the other is the oldest.
        let _its = [(); 3].map(|()| pass(&in_flight, 2, ("", BOB)).unwrap());
        drop(other);
    }

    #[test]
    fn nothing_is_kept_of_what_has_ended() {
        let in_flight = InFlight::default();
        let held = [1, 1, 2].map(|client| pass(&in_flight, client, ("", BOB)).unwrap());
        assert_eq!(pass(&in_flight, 3, ("", BOB)).err(), Some(Looping));
        drop(held);
        assert!(in_flight.clients().is_empty());
    }

    #[test]
    fn what_cannot_be_counted_is_not_refused() {
        let in_flight = InFlight {
            most: 1,
            ..InFlight::default()
        };
        let ann = ("ann@example.org", BOB);
        let _counted = pass(&in_flight, 1, ann).unwrap();
        let _more = [1, 2, 3].map(|client| pass(&in_flight, client, ("", BOB)).unwrap());
        assert_eq!(in_flight.clients().len(), 1);
        let _second = pass(&in_flight, 2, ann).unwrap();
        assert_eq!(pass(&in_flight, 3, ann).err(), Some(Looping));
    }

    #[test]
    fn a_transaction_that_unwinds_gives_its_passage_back() {
        let in_flight = InFlight::default();
        let held = in_flight.clone();
        let thread = std::thread::spawn(move || {
            let _passage = pass(&held, 1, ("", BOB)).unwrap();
            panic!("on purpose");
        });
        assert!(thread.join().is_err());
        assert!(in_flight.clients().is_empty());
    }
}
