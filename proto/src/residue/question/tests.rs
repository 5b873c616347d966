//! The question of the vector, round trips, and what is no question.

use super::*;
use alloc::vec;
use proptest::prelude::*;

/// The digest of PROTOCOLS B.1.
const DIGEST: Digest = Digest::new(0x8708_34f1_7f8c_a907_8fdb_a2f6_3449_d26a);
const LARGEST: u64 = u64::MAX - 58;
const VECTOR: &str = "45srv429q9lfvvvvvvvvvvu5lqvtd7kpmj72o.9";

fn question(moduli: &[u64], width: Width) -> Result<Question, Malformed> {
    let residues = Residues::of(DIGEST, width, moduli)?;
    let hours = Hours::From(Hour::new(0x79bf9).unwrap(), 1);
    Question::new(Kind::Message, hours, DIGEST.index(), residues)
}

fn read(labels: &str) -> Result<Question, Malformed> {
    let (q, x) = labels.split_once('.').ok_or(Malformed)?;
    Question::from_labels(q.as_bytes(), x.as_bytes())
}

/// The labels of these octets, with the right branch.
fn labels(octets: &[u8]) -> String {
    let mut labels = base32::encode(octets);
    labels.push('.');
    labels.push(base32::digit(octets.get(4).map_or(0, |octet| octet >> 3)));
    labels
}

/// The octets of the vector.
fn octets() -> Vec<u8> {
    let mut octets = [0; MOST_OCTETS];
    let q = VECTOR.split('.').next().unwrap();
    let count = base32::decode(q.as_bytes(), &mut octets).unwrap();
    octets[..count].to_vec()
}

#[test]
fn the_question_of_the_vector_comes_out_to_the_bit() {
    let question = question(&[LARGEST], Width::Bits64).unwrap();
    assert_eq!(question.to_labels(), VECTOR);
    let residue = question.residues().iter().next().unwrap();
    assert_eq!(residue.remainder(), 0xaebf_d69e_99b4_ce2c);
    assert_eq!(
        octets(),
        [
            0x21, 0x79, 0xbf, 0x90, 0x49, 0xd2, 0x6a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0xc5, 0xae, 0xbf, 0xd6, 0x9e, 0x99, 0xb4, 0xce, 0x2c
        ]
    );
    assert_eq!(read(VECTOR), Ok(question));
    assert_eq!(read(&VECTOR.to_uppercase()), Ok(question));
    assert!(question.residues().congruences().holds(DIGEST));
}

#[test]
fn a_vector_of_small_moduli_is_a_question_too() {
    let moduli = [0x8000_000b, 0x8000_0017, 0xffff_fff3, 0xffff_fffb];
    for (count, length) in [(2, 37), (3, 50), (4, 63)] {
        let question = question(&moduli[..count], Width::Bits32).unwrap();
        let labels = question.to_labels();
        assert_eq!(labels.len(), length + 2);
        assert_eq!(read(&labels), Ok(question));
        assert!(question.residues().congruences().holds(DIGEST));
        let near = Digest::new(DIGEST.number() ^ 1 << 100);
        assert!(!question.residues().congruences().holds(near));
    }
    let two = question(&[(1 << 63) + 29, LARGEST], Width::Bits64).unwrap();
    assert_eq!(two.to_labels().len(), 65);
    assert_eq!(read(&two.to_labels()), Ok(two));
}

#[test]
fn moduli_that_a_question_may_not_have_make_none() {
    use Width::{Bits32, Bits64};
    for (moduli, width) in [
        (vec![], Bits64),
        // Too few bits.
        (vec![0xffff_fffb], Bits32),
        // Even, or without the top bit, or too wide.
        (vec![LARGEST - 1], Bits64),
        (vec![(1 << 62) + 1], Bits64),
        (vec![0x7fff_ffff, 0xffff_fffb], Bits32),
        (vec![0xffff_fffb, 0x1_0000_0001], Bits32),
        // Not ascending.
        (vec![0xffff_fffb, 0x8000_000b], Bits32),
        (vec![0xffff_fffb, 0xffff_fffb], Bits32),
        // 3 divides both; so does 0x10001.
        (vec![0x8000_0001, 0xffff_ffff], Bits32),
        (vec![0x1_0001 * 0x8003, 0x1_0001 * 0xffff], Bits32),
        // Too many.
        (
            vec![
                0x8000_000b,
                0x8000_0017,
                0x8000_001d,
                0xffff_fff3,
                0xffff_fffb,
            ],
            Bits32,
        ),
    ] {
        assert_eq!(question(&moduli, width), Err(Malformed), "{moduli:x?}");
    }
}

#[test]
fn what_is_malformed_is_no_question() {
    let (q, x) = VECTOR.split_once('.').unwrap();
    for (q, x) in [
        ("", x),
        (q, ""),
        (q, "8"),
        (q, "99"),
        (q, "w"),
        (&q[1..], x),
        (&q[..q.len() - 1], x),
        // Bits that fill the last digit up.
        (&q.replace("72o", "72p"), x),
        (&q.replace("45", "4-"), x),
        (&(String::from(q) + "00000000"), x),
        (&"0".repeat(64), "0"),
    ] {
        let given = Question::from_labels(q.as_bytes(), x.as_bytes());
        assert_eq!(given, Err(Malformed), "{q}.{x}");
    }
    assert!(read(&labels(&octets())).is_ok());
    for (at, octet) in [
        // Versions 0 and 2, widths 2 and 3, two residues, one of 32 bits.
        (0, 0x01),
        (0, 0x41),
        (0, 0x22),
        (0, 0x23),
        (0, 0x25),
        (0, 0x20),
        // A modulus that is even, or lacks the top bit; a remainder that is none.
        (14, 0xc4),
        (7, 0x7f),
        (15, 0xff),
    ] {
        let mut octets = octets();
        octets[at] = octet;
        if at == 15 {
            octets[15..].fill(0xff);
        }
        assert_eq!(read(&labels(&octets)), Err(Malformed), "{at} {octet:x}");
    }
}

#[test]
fn hours_are_one_to_fifteen_or_the_window() {
    let hour = Hour::new(0x79bf9).unwrap();
    let residues = Residues::of(DIGEST, Width::Bits64, &[LARGEST]).unwrap();
    let of = |hours| Question::new(Kind::Identity, hours, DIGEST.index(), residues);
    for hours in (1..=15)
        .map(|count| Hours::From(hour, count))
        .chain([Hours::Window])
    {
        let question = of(hours).unwrap();
        let again = read(&question.to_labels()).unwrap();
        assert_eq!((again.hours(), again.kind()), (hours, Kind::Identity));
    }
    assert_eq!(of(Hours::From(hour, 0)), Err(Malformed));
    assert_eq!(of(Hours::From(hour, 16)), Err(Malformed));
}

#[test]
fn the_whole_window_is_written_with_the_first_hour_0_and_read_with_any() {
    let residues = Residues::of(DIGEST, Width::Bits64, &[LARGEST]).unwrap();
    let window = Question::new(Kind::Message, Hours::Window, DIGEST.index(), residues).unwrap();
    let mut octets = octets();
    for first in [[0, 0, 0x0f], [0x79, 0xbf, 0x9f], [0xff, 0xff, 0xff]] {
        octets[1..4].copy_from_slice(&first);
        assert_eq!(read(&labels(&octets)), Ok(window));
    }
    octets[1..4].copy_from_slice(&[0, 0, 0x0f]);
    assert_eq!(window.to_labels(), labels(&octets));
}

proptest! {
    #[test]
    fn a_question_is_read_as_it_was_written(
        number: u128, moduli in proptest::collection::vec(any::<u64>(), 1..=2),
        first in 0..1_u32 << 20, count in 1..=15_u8, upper: u128,
    ) {
        let digest = Digest::new(number);
        let mut moduli: Vec<_> = moduli.iter().map(|modulus| modulus | 1 << 63 | 1).collect();
        moduli.sort_unstable();
        let Ok(residues) = Residues::of(digest, Width::Bits64, &moduli) else {
            // Not coprime.
            return Ok(());
        };
        let hours = Hours::From(Hour::new(first).unwrap(), count);
        let question = Question::new(Kind::Message, hours, digest.index(), residues).unwrap();
        let labels: String = question.to_labels().chars().enumerate().map(|(at, character)| {
            if upper >> at & 1 == 1 { character.to_ascii_uppercase() } else { character }
        }).collect();
        prop_assert_eq!(read(&labels), Ok(question));
        prop_assert!(question.residues().congruences().holds(digest));
    }

    #[test]
    fn no_octets_make_it_panic(octets in proptest::collection::vec(any::<u8>(), 0..70)) {
        if let Ok(question) = read(&labels(&octets)) {
            prop_assert_eq!(read(&question.to_labels()), Ok(question));
        }
        let _ = Question::from_labels(&octets, b"0");
    }
}
