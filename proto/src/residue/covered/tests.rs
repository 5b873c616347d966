//! The vector of PROTOCOLS B.1, what a message survives on its way, and what it does not.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use aws_lc_rs::digest::{Context, SHA256};
use proptest::prelude::*;

use super::*;

mod dates;

/// SHA-256 as it is handed in.
struct Sha256(Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Hasher for Sha256 {
    fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    fn finish(self) -> [u8; 32] {
        self.0.finish().as_ref().try_into().unwrap()
    }
}

/// The message of the vector.
const MESSAGE: &str = "Received: from a by b; Sat, 21 Nov 2026 10:15:00 +0100\r\n\
    From: Alice  <alice@example.org>\r\n\
    To: bob@example.net,\r\n carol@example.net\r\n\
    Subject:  Hello \r\n\
    Date: Sat, 21 Nov 2026 10:14:58 +0100\r\n\
    Message-ID: <5f1c0b7e9a2d4c68@example.org>\r\n\
    MIME-Version: 1.0\r\n\
    Content-Type: text/plain; charset=us-ascii\r\n\
    \r\n\
    Hi  Bob,\t\r\n.\r\nAlice\r\n\r\n\r\n";

const DIGEST: u128 = 0x8708_34f1_7f8c_a907_8fdb_a2f6_3449_d26a;
const IDENTITY: u128 = 0x1a4c_cbd8_ed66_fb61_2489_6960_8513_a834;

fn covered_by(message: &[u8], step: usize) -> Result<Covered, NoDigest> {
    let mut reader = Reader::<Sha256>::default();
    message.chunks(step).for_each(|piece| reader.read(piece));
    reader.finish()
}

fn covered(message: &str) -> Covered {
    covered_by(message.as_bytes(), usize::MAX).unwrap()
}

fn path(text: &str) -> ReversePath {
    ReversePath::parse_prefix(text).unwrap().0
}

fn digest(message: &str) -> u128 {
    digest_for(message, "example.net", "<alice@example.org>").unwrap()
}

fn digest_for(message: &str, recipient: &str, reverse_path: &str) -> Option<u128> {
    let recipient = Domain::parse(recipient).unwrap();
    let digest = covered(message).digest::<Sha256>(&recipient, &path(reverse_path));
    digest.map(Digest::number)
}

#[test]
fn the_vector_comes_out_to_the_bit() {
    let covered = covered(MESSAGE);
    let alice = path("<alice@example.org>");
    let recipient = Domain::parse("example.net").unwrap();
    assert_eq!(
        covered.digest::<Sha256>(&recipient, &alice),
        Some(Digest::new(DIGEST))
    );
    assert_eq!(
        covered.identity::<Sha256>(&alice),
        Some(Digest::new(IDENTITY))
    );
    assert_eq!(covered.hour(), Ok(Hour::new(0x79bf9).unwrap()));
    assert_eq!(
        String::from_utf8_lossy(&covered.fields),
        "from:Alice <alice@example.org>\r\nsender\r\nreply-to\r\n\
         date:Sat, 21 Nov 2026 10:14:58 +0100\r\n\
         message-id:<5f1c0b7e9a2d4c68@example.org>\r\nsubject:Hello\r\n\
         to:bob@example.net, carol@example.net\r\ncc\r\nin-reply-to\r\nreferences\r\n\
         mime-version:1.0\r\ncontent-type:text/plain; charset=us-ascii\r\n\
         content-transfer-encoding\r\n"
    );
}

#[test]
fn what_happens_on_the_way_leaves_it_as_it_is() {
    let (header, body) = MESSAGE.split_once("\r\n\r\n").unwrap();
    let lines: Vec<_> = header
        .replace("\r\n ", " ")
        .split("\r\n")
        .map(str::to_owned)
        .collect();
    let turned: Vec<_> = lines.iter().rev().cloned().collect();
    for (what, message) in [
        (
            "trace fields",
            format!("Return-Path: <x@y>\r\nReceived: z\r\n\ty\r\n{MESSAGE}"),
        ),
        (
            "folding",
            MESSAGE.replace("From: Alice ", "From:\r\n\tAlice \r\n\t "),
        ),
        ("unfolding", MESSAGE.replace(",\r\n carol", ", carol")),
        (
            "names",
            MESSAGE
                .replace("Subject:", "SUBJECT :")
                .replace("To:", "tO:"),
        ),
        ("order", format!("{}\r\n\r\n{body}", turned.join("\r\n"))),
        (
            "ends",
            MESSAGE.replace("Alice\r\n\r\n\r\n", "Alice  \t\r\n"),
        ),
        (
            "no last line end",
            MESSAGE.replace("Alice\r\n\r\n\r\n", "Alice"),
        ),
        ("blanks", MESSAGE.replace("Hi  Bob", "Hi \t Bob")),
        ("LF", MESSAGE.replace("\r\n", "\n")),
        (
            "other fields",
            MESSAGE.replace("To:", "DKIM-Signature: a\r\n\tb\r\nTo:"),
        ),
    ] {
        assert_eq!(digest(&message), DIGEST, "{what}: {message:?}");
    }
}

#[test]
fn a_word_changed_makes_it_another() {
    let mut seen = alloc::collections::BTreeSet::from([DIGEST]);
    for message in [
        MESSAGE.replace("Hello", "Hallo"),
        MESSAGE.replace("Hi  Bob", "Hi Rob"),
        MESSAGE.replace("Hi  Bob", "HiBob"),
        MESSAGE.replace("\r\n.\r\n", "\r\n..\r\n"),
        MESSAGE.replace("Hi  Bob", " Hi Bob"),
        MESSAGE.replace("Alice\r\n\r\n\r\n", "Alice\r\n\r\nx\r\n"),
        MESSAGE.replace("To:", "Cc: dave@example.net\r\nTo:"),
        MESSAGE.replace("To:", "To: dave@example.net\r\nTo:"),
        MESSAGE.replace("MIME-Version: 1.0\r\n", ""),
        MESSAGE.replace("MIME-Version: 1.0\r\n", "MIME-Version:\r\n"),
        MESSAGE.replace("\r\n\r\nHi", "\r\nSubject: buy\r\n\r\nHi"),
        MESSAGE.replace("Subject:", "Subject: buy\r\nSubject:"),
        MESSAGE.replace("Date: Sat", "Date: Fri"),
        MESSAGE.replace("<5f", "<6f"),
    ] {
        assert!(seen.insert(digest(&message)), "{message:?}");
    }
}

#[test]
fn it_is_bound_to_the_envelope() {
    let of = |recipient, reverse_path| digest_for(MESSAGE, recipient, reverse_path);
    assert_eq!(of("EXAMPLE.net", "<alice@Example.ORG>"), Some(DIGEST));
    assert_ne!(of("example.org", "<alice@example.org>"), Some(DIGEST));
    assert_ne!(of("example.net", "<Alice@example.org>"), Some(DIGEST));
    assert_ne!(of("example.net", "<alice@sub.example.org>"), Some(DIGEST));
    assert_eq!(
        of("bücher.example", "<alice@bücher.example>"),
        of("xn--bcher-kva.example", "<alice@xn--bcher-kva.example>")
    );
    for nobody in ["<>", "<alice@[192.0.2.1]>"] {
        assert_eq!(of("example.net", nobody), None);
        assert_eq!(covered(MESSAGE).identity::<Sha256>(&path(nobody)), None);
    }
}

#[test]
fn several_fields_of_a_name_are_hashed_from_the_bottom() {
    let message = "To: a\r\nCc: c\r\nto: b\r\n\r\n";
    let fields = covered(message).fields;
    let fields = String::from_utf8(fields).unwrap();
    assert!(fields.contains("to:b\r\nto:a\r\ncc:c\r\n"), "{fields}");
}

#[test]
fn the_domains_it_names_are_those_of_to_and_cc() {
    let named = |message: &str, most| {
        let all = covered(message).addressees(most);
        all.iter()
            .map(Domain::as_ascii)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(named(MESSAGE, 9), "example.net");
    let message = "Cc: c@c.example\r\nTo: A\r\n <a@A.example>,\r\n b@b.example\r\nSubject: to:x@x.example\r\n\
                   Reply-To: y@y.example\r\nBcc: z@z.example\r\n\r\nTo: body@body.example\r\n";
    assert_eq!(named(message, 9), "a.example b.example c.example");
    assert_eq!(named(message, 1), "a.example");
}

#[test]
fn the_hour_is_that_of_the_only_date() {
    let hour = |field: &str| covered(&format!("{field}\r\nTo: x\r\n\r\n")).hour();
    let at = Ok(Hour::new(498_681).unwrap());
    for (field, expected) in [
        ("Date: Sat, 21 Nov 2026 10:14:58 +0100", at),
        ("Date: 21 Nov 2026 09:00 GMT", at),
        ("Date: Fri, 21 Nov 26 04:59:59 EST (a\r\n comment)", at),
        ("date:Sat, 21 Nov 2026\r\n 09:59:60 +0000", at),
        (
            "Subject: Date: Sat, 21 Nov 2026 10:14:58 +0100",
            Err(NoHour::Missing),
        ),
        ("Date:", Err(NoHour::Unreadable)),
        ("Date: yesterday", Err(NoHour::Unreadable)),
        (
            "Date: Sat, 21 Nov 1926 10:14:58 +0100",
            Err(NoHour::Unreadable),
        ),
        (
            "Date: Sat, 21 Nov 2426 10:14:58 +0100",
            Err(NoHour::Unreadable),
        ),
        ("Date: x\r\nDate: y", Err(NoHour::Several)),
    ] {
        assert_eq!(hour(field), expected, "{field}");
    }
}

#[test]
fn an_identity_wants_one_message_id() {
    let alice = path("<alice@example.org>");
    let identity = |header: &str| {
        let covered = covered(&format!("{header}\r\n\r\n"));
        covered.identity::<Sha256>(&alice).map(Digest::number)
    };
    let id = "<5f1c0b7e9a2d4c68@example.org>";
    assert_eq!(identity(&format!("message-ID:\r\n {id}\t")), Some(IDENTITY));
    assert_eq!(
        identity(&format!("Message-ID: {id}\r\nMessage-ID: {id}")),
        None
    );
    assert_eq!(identity("Message-ID: "), None);
    assert_eq!(identity("Subject: x"), None);
    let given = super::identity::<Sha256>(&alice, format!(" {id}\r\n").as_bytes());
    assert_eq!(given, Some(Digest::new(IDENTITY)));
    // One that holds blanks, however it is folded.
    let folded = "<a\r\n  b@example.org>\r\n\t(x)";
    let given = super::identity::<Sha256>(&alice, folded.as_bytes()).map(Digest::number);
    assert_eq!(given, identity(&format!("Message-ID: {folded}")));
    assert_eq!(given, identity("Message-ID:<a b@example.org> (x) "));
    assert_eq!(super::identity::<Sha256>(&alice, b" \r\n\t"), None);
}

#[test]
fn a_header_with_a_line_that_is_no_field_has_no_digest() {
    for line in [
        "Pay IBAN XX99 tonight",
        "no field\r\n folded",
        "é: x",
        "a b: x",
        ": x",
        "\rx: y",
        "From alice@example.org",
    ] {
        let message = MESSAGE.replace("Content-Type", &format!("{line}\r\nContent-Type"));
        for step in [1, 7, 4096] {
            let given = covered_by(message.as_bytes(), step);
            assert_eq!(given, Err(NoDigest::Malformed), "{line:?}");
        }
    }
    assert_eq!(
        covered_by(b" x\r\nTo: y\r\n\r\n", 1),
        Err(NoDigest::Malformed)
    );
    // In the body it is a line like others.
    assert!(covered_by(b"To: y\r\n\r\nno field\r\n", 1).is_ok());
}

#[test]
fn more_fields_than_are_held_have_no_digest() {
    let long = format!(
        "To: {}\r\n\r\nx",
        "a@b.example, ".repeat(MOST_HELD / 13 + 1)
    );
    let many = format!("{}\r\nx", "To:\r\n".repeat(MOST_HELD / EMPTY + 1));
    for message in [long, many] {
        assert_eq!(
            covered_by(message.as_bytes(), 4096),
            Err(NoDigest::TooLarge)
        );
    }
    let beside = format!("X: {}\r\n{MESSAGE}", "a".repeat(2 * MOST_HELD));
    assert_eq!(digest(&beside), DIGEST);
}

/// What an empty field counts for.
const EMPTY: usize = 32;

proptest! {
    #[test]
    fn an_identity_is_the_same_by_the_header_and_by_the_value(value in "([<>a-c@ \t\r\x0c]|\r\n[ \t]|\n ){0,20}") {
        let alice = path("<alice@example.org>");
        let by_header = covered(&format!("Message-ID:{value}\r\n\r\n")).identity::<Sha256>(&alice);
        prop_assert_eq!(identity::<Sha256>(&alice, format!("{value}\r\n").as_bytes()), by_header);
    }

    #[test]
    fn it_is_the_same_however_it_is_split(message in "((From|To|Subject|X|date) ?:|[a-z \t]|\r\n|\r|\n){0,60}", step in 1..20_usize) {
        prop_assert_eq!(covered_by(message.as_bytes(), step), covered_by(message.as_bytes(), usize::MAX));
    }

    #[test]
    fn no_octets_make_it_panic(octets: Vec<u8>, step in 1..20_usize) {
        let whole = covered_by(&octets, usize::MAX);
        prop_assert_eq!(covered_by(&octets, step), whole);
    }
}
