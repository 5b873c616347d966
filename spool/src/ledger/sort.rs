//! Puts digests into the order of a segment: by index, those of one index by the whole digest, each once.
//!
//! One pass spreads them over pieces by the top bits of the index, of a size that fits into the processor's cache;
//! there a second one spreads each over groups of a few by the next bits, and these are sorted by comparison.

use vouchsafe_proto::residue::Digest;

use super::large::advise;

/// A digest as it lies in memory and in files: the number, little-endian.
pub(super) type Raw = [u8; 16];

/// Bits of an index.
pub(super) const INDEX_BITS: u32 = 24;

/// Digests that a piece has, about: as 2 to this power.
const PIECE: u32 = 13;

/// Pieces at most, as 2 to this power: a processor does not keep many more places in mind to write to.
const MOST_PIECES: u32 = 10;

/// Digests that a group has, about: as 2 to this power.
const GROUP: u32 = 1;

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

/// Sorts them, and takes each but once. They are gone through twice.
pub(super) fn arrange(digests: impl ExactSizeIterator<Item = Raw> + Clone) -> Vec<Raw> {
    let bits = bits_for(digests.len(), PIECE).min(MOST_PIECES);
    let mut sorted = vec![[0_u8; 16]; digests.len()];
    advise(&mut sorted);
    let (mut ends, mut group_ends) = (Vec::new(), Vec::new());
    spread(digests, &mut sorted, 0, bits, &mut ends);
    let mut scratch: Vec<Raw> = Vec::new();
    for piece in pieces(&mut sorted, &ends) {
        scratch.clear();
        scratch.extend_from_slice(piece);
        let more = bits_for(piece.len(), GROUP).min(INDEX_BITS.saturating_sub(bits));
        spread(scratch.iter().copied(), piece, bits, more, &mut group_ends);
        for group in pieces(piece, &group_ends) {
            group.sort_unstable_by_key(|raw| key(*raw));
        }
    }
    sorted.dedup();
    sorted
}

/// By how many bits so many come apart into parts of this size.
fn bits_for(count: usize, size: u32) -> u32 {
    let bits = count.checked_ilog2().unwrap_or_default();
    bits.saturating_sub(size)
}

/// Puts digests into the order of `bits` bits of the index, behind the top `above`; gives where each part ends.
fn spread(
    digests: impl Iterator<Item = Raw> + Clone,
    into: &mut [Raw],
    above: u32,
    bits: u32,
    ends: &mut Vec<u32>,
) {
    let shift = INDEX_BITS.saturating_sub(above).saturating_sub(bits);
    let mask = (1_u32 << bits).saturating_sub(1);
    let part = |raw: Raw| (digest(raw).index().number() >> shift & mask) as usize;
    ends.clear();
    ends.resize(1 << bits, 0);
    for raw in digests.clone() {
        if let Some(count) = ends.get_mut(part(raw)) {
            *count = count.saturating_add(1);
        }
    }
    let mut start = 0_u32;
    for end in ends.iter_mut() {
        let count = *end;
        *end = start;
        start = start.saturating_add(count);
    }
    // Each is where the next goes, until it is where its part ends.
    for raw in digests {
        if let Some(end) = ends.get_mut(part(raw))
            && let Some(place) = into.get_mut(*end as usize)
        {
            *place = raw;
            *end = end.saturating_add(1);
        }
    }
}

/// The parts that end there.
fn pieces<'a>(mut of: &'a mut [Raw], ends: &'a [u32]) -> impl Iterator<Item = &'a mut [Raw]> {
    let mut start = 0_u32;
    ends.iter().map_while(move |end| {
        let piece = of.split_off_mut(..end.saturating_sub(start) as usize)?;
        start = *end;
        Some(piece)
    })
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
            let sorted = arrange(digests.iter().copied());
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
        assert!(arrange(digests.iter().copied()).is_sorted_by_key(|raw| key(*raw)));
    }
}
