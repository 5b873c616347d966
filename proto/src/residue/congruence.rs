//! Whether a digest leaves the remainders that are asked for, by multiplication alone.
//!
//! `H ≡ r (mod m)` holds for an odd m, where `H ≥ r`, exactly if `(H − r) · m⁻¹ mod 2^128` is no more than
//! `(2^128 − 1) / m`: the multiples of m are what the inverse takes to the small numbers, and it is a bijection
//! (Granlund and Montgomery, PLDI 1994, §9). The inverse is found once for a question (Newton's iteration), so a
//! candidate costs one multiplication of 128 bits.
//!
//! Left to others: that moduli are of one width and coprime, which the question's grammar asks for.

use super::Digest;

/// A modulus and the remainder that a digest leaves for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Residue {
    modulus: u64,
    remainder: u64,
}

impl Residue {
    /// The pair; `None` unless the modulus is odd and above the remainder.
    pub const fn new(modulus: u64, remainder: u64) -> Option<Self> {
        if modulus % 2 == 1 && remainder < modulus {
            Some(Self { modulus, remainder })
        } else {
            None
        }
    }

    /// What `digest` leaves for a modulus; `None` if that is even.
    pub const fn of(digest: Digest, modulus: u64) -> Option<Self> {
        if modulus.is_multiple_of(2) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "less than the modulus")]
        #[expect(
            clippy::arithmetic_side_effects,
            reason = "the modulus is odd, so it is not 0"
        )]
        let remainder = (digest.number() % modulus as u128) as u64;
        Some(Self { modulus, remainder })
    }

    /// What is divided by: odd.
    pub const fn modulus(self) -> u64 {
        self.modulus
    }

    /// What is left, below the modulus.
    pub const fn remainder(self) -> u64 {
        self.remainder
    }
}

/// Most residues in a question.
pub const MOST: usize = 4;

/// One to four residues, made ready to test candidates by.
#[derive(Clone, Copy, Debug)]
pub struct Congruences {
    /// What nearly all candidates fail.
    first: Congruence,
    others: [Option<Congruence>; MOST - 1],
}

/// One residue, made ready.
#[derive(Clone, Copy, Debug)]
struct Congruence {
    remainder: u64,
    /// Of the modulus, modulo 2^128.
    inverse: u128,
    /// The largest multiple there can be.
    most: u128,
}

impl Congruences {
    /// Makes residues ready; `None` if there are none, or more than four.
    pub fn of(residues: &[Residue]) -> Option<Self> {
        let (first, rest) = residues.split_first()?;
        let mut others = [None; MOST - 1];
        if rest.len() > others.len() {
            return None;
        }
        for (other, residue) in others.iter_mut().zip(rest) {
            *other = Some(*residue);
        }
        Some(Self::with(*first, others))
    }

    /// Makes one residue ready, and others.
    pub(super) fn with(first: Residue, others: [Option<Residue>; MOST - 1]) -> Self {
        Self {
            first: Congruence::of(first),
            others: others.map(|other| other.map(Congruence::of)),
        }
    }

    /// Whether `digest` leaves all of these remainders.
    #[inline]
    pub fn holds(&self, digest: Digest) -> bool {
        self.first.holds(digest.number())
            && self
                .others
                .iter()
                .flatten()
                .all(|other| other.holds(digest.number()))
    }
}

impl Congruence {
    /// Finds the inverse.
    fn of(residue: Residue) -> Self {
        let modulus = u128::from(residue.modulus);
        // Right in the lowest three bits, since the square of an odd number is 1 modulo 8; each step doubles them.
        let mut inverse = modulus;
        for _ in 0..6 {
            inverse = inverse.wrapping_mul(2_u128.wrapping_sub(modulus.wrapping_mul(inverse)));
        }
        Self {
            remainder: residue.remainder,
            inverse,
            most: u128::MAX.checked_div(modulus).unwrap_or_default(),
        }
    }

    /// Whether a number leaves the remainder.
    #[inline]
    fn holds(&self, number: u128) -> bool {
        number
            .checked_sub(u128::from(self.remainder))
            .is_some_and(|rest| rest.wrapping_mul(self.inverse) <= self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn holds(number: u128, residues: &[(u64, u64)]) -> bool {
        let residues: Option<alloc::vec::Vec<_>> = residues
            .iter()
            .map(|(modulus, remainder)| Residue::new(*modulus, *remainder))
            .collect();
        Congruences::of(&residues.unwrap())
            .unwrap()
            .holds(Digest::new(number))
    }

    /// What a division leaves.
    fn rest(number: u128, modulus: u64) -> u64 {
        u64::try_from(number % u128::from(modulus)).unwrap()
    }

    #[test]
    fn the_edges_come_out_as_a_division_has_them() {
        let moduli = [
            1,
            3,
            (1 << 31) + 1,
            (1 << 32) - 5,
            (1 << 63) + 1,
            (1 << 63) + 29,
            u64::MAX - 58,
            u64::MAX,
        ];
        for modulus in moduli {
            let wide = u128::from(modulus);
            for number in [
                0,
                1,
                wide - 1,
                wide,
                wide + 1,
                wide * wide,
                u128::MAX,
                u128::MAX - 1,
                u128::MAX / wide * wide,
                (u128::MAX / wide * wide).wrapping_sub(1),
            ] {
                let remainder = rest(number, modulus);
                assert!(holds(number, &[(modulus, remainder)]), "{number} {modulus}");
                for near in [
                    remainder.wrapping_sub(1),
                    remainder.wrapping_add(1),
                    0,
                    modulus - 1,
                ] {
                    if near != remainder && near < modulus {
                        assert!(
                            !holds(number, &[(modulus, near)]),
                            "{number} {modulus} {near}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_residue_is_not_made() {
        assert_eq!(Residue::new(4, 1), None);
        assert_eq!(Residue::new(0, 0), None);
        assert_eq!(Residue::new(5, 5), None);
        assert_eq!(Residue::of(Digest::new(7), 0), None);
        assert!(Congruences::of(&[]).is_none());
        let residue = Residue::new(3, 1).unwrap();
        assert!(Congruences::of(&[residue; 4]).is_some());
        assert!(Congruences::of(&[residue; 5]).is_none());
    }

    proptest! {
        #[test]
        fn it_is_what_a_division_says(number: u128, moduli in proptest::collection::vec(any::<u64>(), 1..=4), wrong in 0..8_usize) {
            let moduli: alloc::vec::Vec<u64> = moduli.iter().map(|modulus| modulus | 1).collect();
            let mut residues: alloc::vec::Vec<_> = moduli
                .iter()
                .map(|modulus| (*modulus, rest(number, *modulus)))
                .collect();
            prop_assert!(holds(number, &residues));
            if let Some((modulus, remainder)) = residues.get_mut(wrong) && *modulus > 1 {
                *remainder = (*remainder + 1) % *modulus;
                prop_assert!(!holds(number, &residues));
            }
        }
    }
}
