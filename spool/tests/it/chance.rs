//! Chance with a seed.

/// Numbers that look random, the same for the same seed.
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
    random: bool,
}

impl Chance {
    /// Seed 0 is for whoever needs no chance.
    pub const fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            random: seed != 0,
        }
    }

    /// False for seed 0.
    pub const fn is_random(&self) -> bool {
        self.random
    }

    pub const fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        // Its low bits alone are not random enough.
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    /// One of `0..end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of these.
    pub fn of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.below(choice.len())]
    }
}
