//! Numbers that look like chance and are not: the same seed is the same world.

/// A stream of them.
#[derive(Clone, Debug)]
pub struct Chance(pub u64);

impl Chance {
    /// One below `of`.
    pub fn draw(&mut self, of: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % of
    }

    /// Another stream.
    pub fn fork(&mut self) -> Self {
        Self(self.draw(u64::MAX))
    }
}
