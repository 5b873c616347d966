//! Puts digests into the order of a segment: by index, those of one index by the whole digest, each once.
//!
//! One pass spreads them over pieces by the top bits of the index, of a size that fits into the processor's cache;
//! there each is sorted by comparison.

use vouchsafe_proto::residue::Digest;

/// A digest as it lies in memory and in files: the number, little-endian.
pub(super) type Raw = [u8; 16];

/// Bits of an index.
pub(super) const INDEX_BITS: u32 = 24;

/// Digests that a piece has, about: as 2 to this power.
const PIECE: u32 = 10;

/// Pieces at most, as 2 to this power: more are written to at once than the processor keeps pages in mind.
const MOST_PIECES: u32 = 12;

/// As it lies in memory.
#[inline]
pub(super) const fn raw(digest: Digest) -> Raw {
    digest.number().to_le_bytes()
}

/// The digest that lies there.
#[inline]
pub(super) const fn digest(raw: Raw) -> Digest {
    Digest::new(u128::from_le_bytes(raw))
}

/// What segments are sorted by, as one number.
#[inline]
pub(super) const fn key(raw: Raw) -> u128 {
    u128::from_le_bytes(raw).rotate_right(INDEX_BITS)
}

/// Sorts them, and takes each but once.
pub(super) fn arrange(digests: Vec<Raw>) -> Vec<Raw> {
    let bits = digests
        .len()
        .checked_ilog2()
        .unwrap_or_default()
        .saturating_sub(PIECE)
        .min(MOST_PIECES);
    let mut sorted = if bits == 0 {
        let mut digests = digests;
        digests.sort_unstable_by_key(|raw| key(*raw));
        digests
    } else {
        spread(&digests, bits)
    };
    sorted.dedup();
    sorted
}

/// Sorts by pieces, 2 to the power of `bits`.
fn spread(digests: &[Raw], bits: u32) -> Vec<Raw> {
    let piece = |raw: &Raw| {
        let index = digest(*raw).index().number();
        (index >> INDEX_BITS.saturating_sub(bits)) as usize
    };
    // Where the next of each piece goes; afterwards, where the piece ends.
    let mut ends = vec![0_usize; 1 << bits];
    for raw in digests {
        if let Some(count) = ends.get_mut(piece(raw)) {
            *count = count.saturating_add(1);
        }
    }
    let mut start = 0_usize;
    for end in &mut ends {
        let count = *end;
        *end = start;
        start = start.saturating_add(count);
    }
    let mut sorted = vec![[0_u8; 16]; digests.len()];
    for raw in digests {
        if let Some(end) = ends.get_mut(piece(raw))
            && let Some(place) = sorted.get_mut(*end)
        {
            *place = *raw;
            *end = end.saturating_add(1);
        }
    }
    let mut start = 0;
    for end in ends {
        if let Some(piece) = sorted.get_mut(start..end) {
            piece.sort_unstable_by_key(|raw| key(*raw));
        }
        start = end;
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_digests_comes_out_sorted_and_each_once() {
        for count in [0_u128, 1, 2, 7, 1000, 5000, 70_000] {
            let digests: Vec<Raw> = (0..count)
                .map(|number| {
                    (number % 60_000).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
                })
                .map(|number| raw(Digest::new(number)))
                .collect();
            let sorted = arrange(digests.clone());
            let mut naive: Vec<_> = digests.iter().map(|raw| digest(*raw)).collect();
            naive.sort_by_key(|digest| (digest.index(), *digest));
            naive.dedup();
            let sorted: Vec<_> = sorted.into_iter().map(digest).collect();
            assert_eq!(sorted, naive, "{count}");
        }
    }

    #[test]
    fn digests_of_one_index_are_sorted_too() {
        let digests: Vec<Raw> = (0..5000_u128)
            .rev()
            .map(|number| raw(Digest::new(number << 24 | 5)))
            .collect();
        assert!(arrange(digests).is_sorted_by_key(|raw| key(*raw)));
    }
}
