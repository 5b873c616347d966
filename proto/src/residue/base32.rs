//! base32hex without padding (RFC 4648 §7), in either case; one encoding for any octets.

use alloc::string::String;

/// Bits of a digit.
const BITS: u32 = 5;

/// The digit of the five low bits.
pub(super) const fn digit(value: u8) -> char {
    let value = value & 0x1f;
    match value {
        0..=9 => b'0'.saturating_add(value) as char,
        _ => b'a'.saturating_add(value.saturating_sub(10)) as char,
    }
}

/// What a digit stands for.
pub(super) const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'v' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
        b'A'..=b'V' => Some(digit.wrapping_sub(b'A').wrapping_add(10)),
        _ => None,
    }
}

/// Octets as text.
pub(super) fn encode(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().saturating_mul(2));
    let (mut bits, mut count) = (0_u16, 0_u32);
    for octet in octets {
        bits = bits << 8 | u16::from(*octet);
        count = count.saturating_add(8);
        while let Some(rest) = count.checked_sub(BITS) {
            text.push(digit(low(bits >> rest)));
            count = rest;
        }
    }
    if count > 0 {
        text.push(digit(low(bits << BITS.saturating_sub(count))));
    }
    text
}

/// Octets of a text, written to `into`, and how many; `None` if it is not the text that octets have, or they are more
/// than that holds.
pub(super) fn decode(text: &[u8], into: &mut [u8]) -> Option<usize> {
    let mut written = 0_usize;
    // Eight digits are five octets: a question is read for every datagram.
    for digits in text.chunks(8) {
        let (mut bits, mut count) = (0_u64, 0_u32);
        let mut seen = 0;
        for digit in digits {
            let value = VALUES.get(usize::from(*digit)).copied().unwrap_or(NONE);
            seen |= value;
            bits = bits << BITS | u64::from(value);
            count = count.saturating_add(BITS);
        }
        // What fills the last digit up is zeros, and no digit is there only for them.
        let filled = count % 8;
        let filling = bits & 1_u64.unbounded_shl(filled).wrapping_sub(1);
        if seen & NONE != 0 || filled >= BITS || filling != 0 {
            return None;
        }
        let octets = bits
            .unbounded_shl(u64::BITS.saturating_sub(count))
            .to_be_bytes();
        let octets = octets.get(..(count / 8) as usize)?;
        let end = written.saturating_add(octets.len());
        into.get_mut(written..end)?.copy_from_slice(octets);
        written = end;
    }
    Some(written)
}

/// What is no digit.
const NONE: u8 = 0x80;

/// What each octet stands for.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let (mut rest, mut octet) = (values.as_mut_slice(), 0_u8);
    while let Some((place, behind)) = rest.split_first_mut() {
        if let Some(value) = value(octet) {
            *place = value;
        }
        rest = behind;
        octet = octet.wrapping_add(1);
    }
    values
};

/// The low octet.
const fn low(bits: u16) -> u8 {
    bits.to_be_bytes()[1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn decode(text: &[u8]) -> Option<Vec<u8>> {
        let mut octets = [0; 64];
        let count = super::decode(text, &mut octets)?;
        Some(octets[..count].to_vec())
    }

    #[test]
    fn no_more_is_written_than_there_is_room() {
        let mut two = [0; 2];
        assert_eq!(super::decode(b"cpng", &mut two), Some(2));
        assert_eq!(super::decode(b"cpnmu", &mut two), None);
    }

    #[test]
    fn it_is_that_of_the_standard() {
        for (octets, text) in [
            ("", ""),
            ("f", "co"),
            ("fo", "cpng"),
            ("foo", "cpnmu"),
            ("foob", "cpnmuog"),
            ("fooba", "cpnmuoj1"),
            ("foobar", "cpnmuoj1e8"),
        ] {
            assert_eq!(encode(octets.as_bytes()), text);
            assert_eq!(
                decode(text.to_uppercase().as_bytes()).unwrap(),
                octets.as_bytes()
            );
        }
        for wrong in [
            "c",
            "cp",
            "cpn",
            "cpnmuo",
            "cw",
            "c=",
            "co======",
            "c o",
            "cpnmuoj1e",
        ] {
            assert_eq!(decode(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(octets in proptest::collection::vec(any::<u8>(), 0..=64)) {
            prop_assert_eq!(decode(encode(&octets).as_bytes()), Some(octets));
        }

        #[test]
        fn there_is_one_encoding(text in "[0-9a-v]{0,64}") {
            if let Some(octets) = decode(text.as_bytes()) {
                prop_assert_eq!(encode(&octets), text);
            }
        }
    }
}
