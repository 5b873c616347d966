//! The ledger's question and answer, and what of a message is covered: what is read is written back as it was, and
//! nothing depends on how content is split.

#![no_main]

use std::hash::{DefaultHasher, Hasher as _};

use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::addr::{Domain, ReversePath};
use vouchsafe_proto::residue::covered::{Covered, Hasher, NoDigest, Reader};
use vouchsafe_proto::residue::{Answer, Hours, LONGEST_ANSWER, Offer, Question};

/// A weak hash: sums are not what is tried here.
#[derive(Default)]
struct Weak(DefaultHasher);

impl Hasher for Weak {
    fn update(&mut self, octets: &[u8]) {
        octets.iter().for_each(|octet| self.0.write_u8(*octet));
    }

    fn finish(self) -> [u8; 32] {
        let mut sum = [0; 32];
        sum[..8].copy_from_slice(&self.0.finish().to_be_bytes());
        sum
    }
}

fn covered(octets: &[u8], step: usize) -> Result<Covered, NoDigest> {
    let mut reader = Reader::<Weak>::default();
    octets.chunks(step).for_each(|piece| reader.read(piece));
    reader.finish()
}

fuzz_target!(|octets: &[u8]| {
    let (x, q) = octets.split_at(octets.len().min(1));
    if let Ok(question) = Question::from_labels(q, x) {
        let labels = question.to_labels();
        assert!(labels.len() <= 65);
        let (q, x) = labels.split_once('.').expect("two labels");
        assert_eq!(Question::from_labels(q.as_bytes(), x.as_bytes()), Ok(question));
        if !matches!(question.hours(), Hours::Window) {
            let given = [&octets[1..], b".", &octets[..1]].concat();
            assert_eq!(labels.as_bytes(), given.to_ascii_lowercase());
        }
    }
    if let Some(answer) = Answer::parse(octets) {
        let text = answer.to_text();
        assert!(text.len() <= LONGEST_ANSWER);
        if answer.covered.hours <= 0xfff {
            assert_eq!(Answer::parse(text.as_bytes()), Some(answer));
        }
    }
    if let Some(offer) = Offer::of_records([octets]) {
        assert_eq!(Offer::of_records([offer.to_text().as_bytes()]), Some(offer));
    }
    let whole = covered(octets, octets.len().max(1));
    assert_eq!(covered(octets, 1), whole);
    if let Ok(covered) = whole {
        let recipient = Domain::parse("example.net").expect("a domain");
        let (alice, _) = ReversePath::parse_prefix("<alice@example.org>").expect("a path");
        assert!(covered.digest::<Weak>(&recipient, &alice).is_some());
    }
});
