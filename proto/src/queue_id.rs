//! The name of one message in custody: printable, sortable by arrival, not to be guessed.
//!
//! Twenty characters of Crockford's base 32: 48 bits of
//! arrival time in milliseconds, then 52 bits from the driver's random source. The name stands in
//! replies and `Received` fields, so it must tell a stranger nothing that lets him name another
//! message. Made in the spool, which has clock and chance; only its form lives here.

use core::fmt;
use core::str::FromStr;

use crate::time::Wall;

/// How many characters a queue id has.
pub const LENGTH: usize = 20;

const RANDOM_BITS: u32 = 52;
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The name of one message in custody. Sorts by arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(u128);

impl QueueId {
    /// The id of a message that arrived at `arrived`; of `random` the low 52 bits count.
    pub fn new(arrived: Wall, random: u64) -> Self {
        let time = u128::from(arrived.as_millis() & ((1 << 48) - 1));
        let random = u128::from(random & ((1 << RANDOM_BITS) - 1));
        Self((time << RANDOM_BITS) | random)
    }

    /// The moment of arrival that the id carries.
    pub fn arrived(self) -> Wall {
        Wall::from_millis(u64::try_from(self.0 >> RANDOM_BITS).unwrap_or(u64::MAX))
    }

    /// The id as a number below 2^100, for keys that sort by arrival.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The id of that number; `None` from 2^100 on.
    pub const fn from_u128(number: u128) -> Option<Self> {
        if number >> 100 == 0 {
            Some(Self(number))
        } else {
            None
        }
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'0'; LENGTH];
        let mut left = self.0;
        for place in text.iter_mut().rev() {
            let index = usize::try_from(left & 31).unwrap_or(0);
            *place = ALPHABET.get(index).copied().unwrap_or(b'0');
            left >>= 5;
        }
        f.write_str(core::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no queue id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseQueueIdError {
    /// Not of twenty characters.
    #[error("a queue id has {LENGTH} characters")]
    Length,
    /// A character outside the alphabet, at this place counted from 0.
    #[error("character {0} does not belong in a queue id")]
    Character(usize),
}

impl FromStr for QueueId {
    type Err = ParseQueueIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != LENGTH {
            return Err(ParseQueueIdError::Length);
        }
        let mut number = 0u128;
        for (at, byte) in text.bytes().enumerate() {
            let digit = ALPHABET
                .iter()
                .position(|letter| *letter == byte.to_ascii_uppercase())
                .and_then(|digit| u128::try_from(digit).ok())
                .ok_or(ParseQueueIdError::Character(at))?;
            number = (number << 5) | digit;
        }
        Ok(Self(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn text_and_number_go_both_ways_and_sort_by_arrival() {
        let early = QueueId::new(Wall::from_secs(1_795_256_100), u64::MAX);
        let late = QueueId::new(Wall::from_millis(1_795_256_100_001), 0);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse::<QueueId>().unwrap(), early);
        assert_eq!(early.arrived(), Wall::from_secs(1_795_256_100));
        assert_eq!(QueueId::from_u128(early.as_u128()), Some(early));
        assert_eq!(QueueId::from_u128(1 << 100), None);
    }

    #[test]
    fn other_texts_are_refused() {
        assert_eq!("x".parse::<QueueId>(), Err(ParseQueueIdError::Length));
        assert_eq!(
            "0123456789ABCDEFGHJU".parse::<QueueId>(),
            Err(ParseQueueIdError::Character(19))
        );
    }
}
