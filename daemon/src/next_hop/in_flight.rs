//! Held transactions by reverse-path and recipient: how a loop is found through hosts that do not speak
//! XHOLD, and so pass no token of ours on.
//!
//! While a path is held its message has been taken by nobody. A path that comes back to us is the same
//! reverse-path and recipient once more, while the first is still open: the second may be chance (two messages of
//! one sender to one mailbox), the third at once is refused for now. Chance is over when it comes again; a
//! loop ends, since the refusal goes back all the way to its beginning.
//!
//! Promises: a [`Passage`] is held for each pair for as long as its transaction lives, so the counts are exact
//! whatever ends it; a pair that nobody holds has no entry; there are never more than [`MOST_PAIRS`]. What
//! is not counted because of that is not refused: caps on transactions hold all the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::reply::Reply;

/// Transactions of one pair at the same time; one more is a loop.
const AT_ONCE: usize = 2;

/// Pairs that are counted: some megabytes.
const MOST_PAIRS: usize = 20_000;

/// Who sends, and to whom.
type Pair = (ReversePath, ForwardPath);

/// Who counts them; clones are the same.
#[derive(Clone, Debug)]
pub struct InFlight {
    counts: Arc<Mutex<HashMap<Arc<Pair>, usize>>>,
    most: usize,
}

impl Default for InFlight {
    fn default() -> Self {
        Self {
            counts: Arc::default(),
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
    /// None where there were too many to be counted.
    pair: Option<Arc<Pair>>,
}

impl InFlight {
    /// Leave to hold one more transaction of this pair, or not.
    pub fn pass(
        &self,
        reverse_path: &ReversePath,
        recipient: &ForwardPath,
    ) -> Result<Passage, Looping> {
        let pair = (reverse_path.clone(), recipient.clone());
        let mut counts = self.counts();
        let known = counts.get_key_value(&pair);
        let pair = match known.map(|(pair, count)| (Arc::clone(pair), *count)) {
            Some((_, count)) if count >= AT_ONCE => return Err(Looping),
            Some((pair, count)) => {
                counts.insert(Arc::clone(&pair), count.saturating_add(1));
                Some(pair)
            }
            None if counts.len() >= self.most => None,
            None => {
                let pair = Arc::new(pair);
                counts.insert(Arc::clone(&pair), 1);
                Some(pair)
            }
        };
        drop(counts);
        Ok(Passage {
            in_flight: self.clone(),
            pair,
        })
    }

    /// The counts. A panic elsewhere cannot leave them half changed, so poison means nothing.
    fn counts(&self) -> MutexGuard<'_, HashMap<Arc<Pair>, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let Some(pair) = &self.pair else {
            return;
        };
        let mut counts = self.in_flight.counts();
        if let Some(count) = counts.get_mut(pair) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(pair);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(in_flight: &InFlight, from: &str, to: &str) -> Result<Passage, Looping> {
        let from = ReversePath::parse_inside(from).unwrap();
        in_flight.pass(&from, &ForwardPath::parse_inside(to).unwrap())
    }

    #[test]
    fn the_third_at_once_is_a_loop_until_one_of_the_others_ends() {
        let in_flight = InFlight::default();
        let (ann, bob) = ("ann@example.org", "bob@example.net");
        let first = pass(&in_flight, ann, bob).unwrap();
        // The same, however its domain is written.
        let _second = pass(&in_flight, "ann@EXAMPLE.org", "bob@Example.NET").unwrap();
        assert_eq!(pass(&in_flight, ann, bob).err(), Some(Looping));
        assert!(Looping::reply().to_string().starts_with("451 4.4.6 "));
        let _others = [
            ("", bob),
            (ann, "postmaster"),
            (bob, ann),
            (ann, "Bob@example.net"),
        ]
        .map(|(from, to)| pass(&in_flight, from, to).unwrap());
        drop(first);
        let third = pass(&in_flight, ann, bob).unwrap();
        assert_eq!(pass(&in_flight, ann, bob).err(), Some(Looping));
        drop(third);
    }

    #[test]
    fn nothing_is_kept_of_what_has_ended() {
        let in_flight = InFlight::default();
        let held: Vec<_> = (0..2)
            .map(|_| pass(&in_flight, "", "bob@example.net").unwrap())
            .collect();
        assert_eq!(pass(&in_flight, "", "bob@example.net").err(), Some(Looping));
        drop(held);
        assert!(in_flight.counts().is_empty());
    }

    #[test]
    fn what_cannot_be_counted_is_not_refused() {
        let in_flight = InFlight {
            most: 1,
            ..InFlight::default()
        };
        let bob = "bob@example.net";
        let _counted = pass(&in_flight, "ann@example.org", bob).unwrap();
        let _more: Vec<_> = (0..3).map(|_| pass(&in_flight, "", bob).unwrap()).collect();
        assert_eq!(in_flight.counts().len(), 1);
        let _second = pass(&in_flight, "ann@example.org", bob).unwrap();
        assert_eq!(
            pass(&in_flight, "ann@example.org", bob).err(),
            Some(Looping)
        );
    }

    #[test]
    fn a_transaction_that_unwinds_gives_its_passage_back() {
        let in_flight = InFlight::default();
        let held = in_flight.clone();
        let thread = std::thread::spawn(move || {
            let _passage = pass(&held, "", "bob@example.net").unwrap();
            panic!("on purpose");
        });
        assert!(thread.join().is_err());
        assert!(in_flight.counts().is_empty());
    }
}
