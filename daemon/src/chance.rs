//! Chance: octets that nobody can foresee, drawn from the system a few hundred at a time.
//!
//! A query takes some ten of them for its id and the case of its letters (RFC 5452 §4.4); a system
//! call for each would cost more than writing the query does.

use std::sync::{Mutex, PoisonError};

/// Octets drawn at a time.
const DRAWN: usize = 512;

/// What is left of the last draw.
struct Drawn {
    octets: [u8; DRAWN],
    /// The next to be given out; none is given twice.
    next: usize,
}

static LEFT: Mutex<Drawn> = Mutex::new(Drawn {
    octets: [0; DRAWN],
    next: DRAWN,
});

/// So many octets; none if the system has none, which is its trouble and not to be papered over.
pub fn octets<const COUNT: usize>() -> Option<[u8; COUNT]> {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    if left.next > DRAWN - COUNT {
        // Should the draw fail half way, what is there counts as used up.
        left.next = DRAWN;
        getrandom::fill(&mut left.octets).ok()?;
        left.next = 0;
    }
    let next = left.next;
    let octets = *left.octets.get(next..)?.first_chunk()?;
    left.next = next + COUNT;
    Some(octets)
}

/// A number that nobody can foresee; 0 where there is no chance, which only makes for less spread.
pub fn number() -> u64 {
    octets().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::octets;

    #[test]
    fn nothing_is_given_out_twice() {
        let all: HashSet<_> = (0..1000).filter_map(|_| octets::<16>()).collect();
        assert_eq!(all.len(), 1000);
    }
}
