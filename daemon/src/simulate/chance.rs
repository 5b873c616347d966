//! Chance that can be had again: a stream of numbers that follows from where it starts.
//!
//! Every decision of the made-up world is drawn from a stream named by the seed and by what is
//! decided (this site, this message), never from one stream for all: what happens to one message
//! does not change what another one is, and the same mail is sent at every level of adoption.

/// A stream of numbers (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct Chance(u64);

/// What the state grows by: 2^64 over the golden ratio, odd.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Chance {
    /// The stream of this name.
    pub fn of(parts: &[u64]) -> Self {
        let state = parts.iter().fold(STEP, |state, part| {
            mixed(state.wrapping_add(STEP) ^ mixed(part.wrapping_add(STEP)))
        });
        Self(state)
    }

    /// The next number; all are equally likely.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mixed(self.0)
    }

    /// Thirty-two bits of it.
    pub fn bits(&mut self) -> u32 {
        u32::try_from(self.number() >> 32).unwrap_or(0)
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u128::try_from(end).unwrap_or(0);
        let scaled = (u128::from(self.number()) * end) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }

    /// A number below `end`, small ones the likelier: a hundredth of the names of a world get a
    /// fifth of the draws (the cube of an even number).
    pub fn skewed_below(&mut self, end: usize) -> usize {
        let wide = u128::try_from(end).unwrap_or(0);
        let even = u128::from(self.number() >> 32);
        let cube = (even * even * even) >> 64;
        usize::try_from((cube * wide) >> 32).unwrap_or(0)
    }

    /// True so many times in a thousand.
    pub fn happens(&mut self, per_mille: usize) -> bool {
        self.below(1000) < per_mille
    }

    /// One of them.
    pub fn one_of<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.below(list.len()))
    }
}

/// `SplitMix64`'s finaliser: each bit of the result hangs on all of the number.
const fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// A number for a text, the same in every run and on every machine.
pub fn number_of(text: &str) -> u64 {
    let chunks = text.as_bytes().chunks(8);
    let numbers = chunks.map(|chunk| {
        chunk
            .iter()
            .fold(0_u64, |sum, octet| (sum << 8) | u64::from(*octet))
    });
    numbers.fold(STEP, |state, number| {
        mixed(state.wrapping_add(STEP) ^ number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_even_and_can_be_had_again() {
        let draw = |parts: &[u64]| {
            let mut chance = Chance::of(parts);
            (0..10_000).map(|_| chance.below(10)).collect::<Vec<_>>()
        };
        let first = draw(&[1, 2]);
        assert_eq!(first, draw(&[1, 2]));
        assert_ne!(first, draw(&[2, 1]));
        for value in 0..10 {
            let times = first.iter().filter(|drawn| **drawn == value).count();
            assert!((850..1150).contains(&times), "{value}: {times}");
        }
        assert_eq!(Chance::of(&[]).below(0), 0);
    }

    #[test]
    fn a_few_names_get_much_of_the_mail() {
        let mut chance = Chance::of(&[7]);
        let drawn: Vec<_> = (0..10_000).map(|_| chance.skewed_below(1000)).collect();
        let first = drawn.iter().filter(|at| **at < 10).count();
        assert!((1900..2400).contains(&first), "{first}");
        assert!(drawn.iter().all(|at| *at < 1000));
    }

    #[test]
    fn names_that_differ_have_numbers_that_differ() {
        let texts = ["", "a", "b", "mail-from.d1.example", "mail-from.d2.example"];
        for (at, text) in texts.iter().enumerate() {
            for other in texts.iter().skip(at + 1) {
                assert_ne!(number_of(text), number_of(other), "{text} {other}");
            }
        }
    }
}
