//! Primes for a question: which numbers of those that a receiver has drawn are prime.
//!
//! A forger cannot know them before his message is taken, so he cannot make it agree with a sent one (LEDGER 3). The
//! test is Miller's and Rabin's; the first twelve primes as bases leave no doubt below 2^64 (Sorenson and Webster,
//! 2015). Left to others: the drawing, by a secret that gives the same numbers for the same message.

/// Bases that suffice for 64 bits; divided by first, since most numbers end there.
const BASES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];

/// The first prime among numbers drawn, each with its top bit and its last one set first. One in twenty-two is one.
pub fn first_prime(mut drawn: impl Iterator<Item = u64>) -> Option<u64> {
    drawn.find_map(|number| {
        let number = number | 1 << 63 | 1;
        is_prime(number).then_some(number)
    })
}

/// Whether a number is prime.
pub fn is_prime(number: u64) -> bool {
    if number < 2 {
        return false;
    }
    for base in BASES {
        if number.is_multiple_of(base) {
            return number == base;
        }
    }
    let less = number.wrapping_sub(1);
    let twos = less.trailing_zeros();
    BASES.iter().all(|base| {
        let mut power = raise(*base, less >> twos, number);
        if power == 1 {
            return true;
        }
        for _ in 0..twos {
            if power == less {
                return true;
            }
            power = multiply(power, power, number);
        }
        false
    })
}

/// A power modulo `modulus`.
fn raise(base: u64, exponent: u64, modulus: u64) -> u64 {
    let (mut base, mut exponent, mut power) = (base, exponent, 1);
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = multiply(power, base, modulus);
        }
        base = multiply(base, base, modulus);
        exponent >>= 1;
    }
    power
}

/// A product modulo `modulus`, which is not 0.
fn multiply(one: u64, other: u64, modulus: u64) -> u64 {
    let product = u128::from(one).wrapping_mul(u128::from(other));
    let rest = product.checked_rem(u128::from(modulus));
    u64::try_from(rest.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_are_told_as_a_sieve_has_them() {
        let mut composite = [false; 5000];
        for number in 2..composite.len() {
            let is_composite = composite[number];
            assert_eq!(is_prime(number as u64), !is_composite, "{number}");
            composite
                .iter_mut()
                .skip(number * 2)
                .step_by(number)
                .for_each(|mark| *mark = true);
        }
        assert!(!is_prime(0) && !is_prime(1));
    }

    #[test]
    fn large_numbers_are_told() {
        for prime in [
            u64::MAX - 58,
            u64::MAX - 82,
            (1 << 63) + 29,
            (1 << 61) - 1,
            (1 << 32) - 5,
        ] {
            assert!(is_prime(prime), "{prime}");
        }
        for composite in [
            u64::MAX,
            (1 << 63) + 1,
            // A strong pseudoprime to the first nine bases, and to the first eleven.
            3_825_123_056_546_413_051,
            // Squares of primes, Carmichael numbers.
            4_294_967_291 * 4_294_967_291,
            1_618_206_745_921,
            9_746_347_772_161,
        ] {
            assert!(!is_prime(composite), "{composite}");
        }
    }

    #[test]
    fn the_first_prime_drawn_is_taken() {
        assert_eq!(
            first_prime([0, 4, 28, 29].into_iter()),
            Some((1 << 63) + 29)
        );
        assert_eq!(first_prime([0, u64::MAX].into_iter()), None);
    }
}
