//! Tables for each part: the cut, tag-lists, fields, keys, authors, and the weight of it all.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::field::{self, Algorithm, Canonicalisation};
use super::header::{Content, TooManyFields};
use super::tags::{BadTags, Tags};
use super::{
    MAX_FIELDS, MAX_SIGNED_FIELDS, Reason, Report, Signature, SignatureResult, Skipped, author, key,
};
use crate::addr::{Domain, Mailbox, ReversePath};
use crate::dns::{Answer, Lookup, Records, Trouble};
use crate::message::Results;
use crate::verify::Weight;

#[test]
fn a_message_is_cut_where_everybody_cuts_it() {
    let cut = |text: &'static str| {
        let content = Content::of(text.as_bytes()).unwrap();
        let fields: Vec<_> = content
            .fields
            .iter()
            .map(|field| {
                let text = |octets| core::str::from_utf8(octets).unwrap();
                format!("{}|{}", text(field.name), text(field.value))
            })
            .collect();
        (fields, core::str::from_utf8(content.body).unwrap())
    };
    for (text, fields, body) in [
        ("", &[][..], ""),
        ("\r\nbody\r\n", &[], "body\r\n"),
        ("A: 1\r\n", &["A| 1\r\n"], ""),
        ("A: 1", &["A| 1"], ""),
        ("A:1\r\n\r\nb: 2\r\n\r\n", &["A|1\r\n"], "b: 2\r\n\r\n"),
        (
            "A:1\r\n 2\r\n\t3\r\nB:\r\n\r\n",
            &["A|1\r\n 2\r\n\t3\r\n", "B|\r\n"],
            "",
        ),
        // Blanks before the colon belong to the name; a line of blanks folds.
        (
            "A \t: 1\r\n \r\nB:2\r\n\r\nx",
            &["A \t| 1\r\n \r\n", "B|2\r\n"],
            "x",
        ),
        (":x\r\nA:1\r\n", &["|:x\r\n", "A|1\r\n"], ""),
        // What is no field has no name, and ends nothing.
        (
            " x: 1\r\nno colon\r\n y:2\r\nC:3\r\n",
            &["| x: 1\r\n", "|no colon\r\n y:2\r\n", "C|3\r\n"],
            "",
        ),
    ] {
        let (found, rest) = cut(text);
        assert_eq!(found, fields, "{text:?}");
        assert_eq!(rest, body, "{text:?}");
    }
    let many = "A:\r\n".repeat(MAX_FIELDS);
    assert_eq!(
        Content::of(many.as_bytes()).unwrap().fields.len(),
        MAX_FIELDS
    );
    let ended = format!("{many}\r\n");
    assert!(Content::of(ended.as_bytes()).is_ok());
    let more = format!("{many}A:\r\n");
    assert_eq!(Content::of(more.as_bytes()), Err(TooManyFields));
}

#[test]
fn a_field_is_found_however_it_is_written() {
    let text =
        b"From: a\r\nFROM : b\r\nfrom\t:c\r\nFrom-x: d\r\n From: e\r\nFrom\r\n\r\nFrom: f\r\n";
    let content = Content::of(text).unwrap();
    assert_eq!(content.named("from").count(), 3);
    // One that is found, and that a signature over From reaches.
    for (text, sole) in [
        (&b"A: b\r\nFROM: a\r\n"[..], true),
        (b"From : a\r\n", false),
        (b"From: a\r\nfrom\t: b\r\n", false),
        (b"From: a\r\nFrom: a\r\n", false),
        (b"A: b\r\n\r\nFrom: a\r\n", false),
    ] {
        let content = Content::of(text).unwrap();
        assert_eq!(
            content.sole_from().is_some(),
            sole,
            "{}",
            text.escape_ascii()
        );
    }
}

#[test]
fn tag_lists_are_read_by_the_grammar() {
    let read = |text: &'static str| {
        Tags::parse(text.as_bytes()).map(|tags| {
            let value = tags.value("b").unwrap_or(b"-");
            String::from_utf8(value.to_vec()).unwrap()
        })
    };
    for (text, b) in [
        ("a=1; b=2", Ok("2")),
        ("b=2;", Ok("2")),
        (" b = 2 \r\n ;\r\n", Ok("2")),
        ("b=x=y", Ok("x=y")),
        ("b=", Ok("")),
        ("a=1;B=2", Ok("-")),
        ("b=1;b=1", Err(BadTags)),
        ("b=1;B=2", Err(BadTags)),
        ("b=1;;a=2", Err(BadTags)),
        ("b=1;;", Err(BadTags)),
        ("", Err(BadTags)),
        (";b=1", Err(BadTags)),
        ("1b=2", Err(BadTags)),
        ("b c=2", Err(BadTags)),
        ("b", Err(BadTags)),
        ("b=\u{7}", Err(BadTags)),
    ] {
        assert_eq!(read(text), b.map(ToString::to_string), "{text:?}");
    }
}

/// A signature that claims something, with one of its tags replaced (or left out).
fn value(tag: &str, instead: Option<&str>) -> String {
    let tags = [
        ("v", "1"),
        ("a", "rsa-sha256"),
        ("d", "example.org"),
        ("s", "sel"),
        ("h", "From:To"),
        ("bh", "AAAA"),
        ("b", "BBBB CCCC DDDD"),
    ];
    let mut list: Vec<_> = tags
        .iter()
        .filter(|(name, _)| *name != tag)
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    list.extend(instead.map(|value| format!("{tag}={value}")));
    list.join("; ")
}

#[test]
fn each_tag_of_a_signature_is_judged() {
    let many = vec!["x"; MAX_SIGNED_FIELDS].join(":") + ":From";
    for (tag, instead, reason) in [
        ("v", None, Some(Reason::MissingTag)),
        ("v", Some("2"), Some(Reason::Version)),
        ("v", Some("01"), Some(Reason::Version)),
        ("a", None, Some(Reason::MissingTag)),
        ("a", Some("rsa-sha1"), Some(Reason::Sha1)),
        ("a", Some("rsa-sha512"), Some(Reason::Algorithm)),
        ("a", Some("Ed25519-SHA256"), None),
        ("b", None, Some(Reason::MissingTag)),
        ("b", Some(""), Some(Reason::MissingTag)),
        ("bh", None, Some(Reason::MissingTag)),
        ("d", None, Some(Reason::MissingTag)),
        ("d", Some("a b"), Some(Reason::Syntax)),
        ("s", None, Some(Reason::MissingTag)),
        ("s", Some("a..b"), Some(Reason::Syntax)),
        ("s", Some("a.b"), None),
        ("h", None, Some(Reason::MissingTag)),
        ("h", Some("To:Subject"), Some(Reason::FromUnsigned)),
        ("h", Some("To : fROM"), None),
        ("h", Some("From::To"), Some(Reason::Syntax)),
        ("h", Some(many.as_str()), Some(Reason::TooManySigned)),
        ("c", Some("relaxed"), None),
        ("c", Some("relaxed/simple"), None),
        ("c", Some("simple/other"), Some(Reason::Canonicalisation)),
        ("c", Some("nofws"), Some(Reason::Canonicalisation)),
        ("q", Some("dns/txt"), None),
        ("q", Some("other:dns/txt"), None),
        ("q", Some("http"), Some(Reason::QueryMethod)),
        ("l", Some("0"), None),
        ("l", Some("-1"), Some(Reason::Syntax)),
        ("l", Some("x"), Some(Reason::Syntax)),
        ("t", Some("5"), None),
        ("t", Some("five"), Some(Reason::Syntax)),
        ("x", Some("1700000000"), None),
        ("x", Some("99999999999999"), Some(Reason::Syntax)),
        ("x", Some("5; t=5"), Some(Reason::Syntax)),
        ("i", Some("@example.org"), None),
        ("i", Some("joe=20x@Example.ORG"), None),
        ("i", Some("@sub.example.org"), None),
        ("i", Some("@other.org"), Some(Reason::Identity)),
        ("i", Some("@badexample.org"), Some(Reason::Identity)),
        ("i", Some("example.org"), Some(Reason::Syntax)),
        ("z", Some("From:x|To:y"), None),
        ("B", Some("other"), Some(Reason::Syntax)),
    ] {
        let text = value(tag, instead);
        let (label, claim) = field::read(text.as_bytes());
        assert_eq!(claim.as_ref().err(), reason.as_ref(), "{text}");
        if tag != "d" && tag != "B" {
            assert_eq!(label.domain, Domain::parse("example.org").ok(), "{text}");
        }
        assert_eq!(label.has_length, tag == "l", "{text}");
    }
}

#[test]
fn a_claim_holds_what_was_written() {
    let text = value("c", Some("Relaxed; l=7; x=99; t=9; i=@a.bücher.example"))
        .replace("example.org", "bücher.example");
    let (label, claim) = field::read(text.as_bytes());
    let claim = claim.unwrap();
    assert_eq!(
        claim.key_name.as_str(),
        "sel._domainkey.xn--bcher-kva.example"
    );
    assert_eq!(claim.algorithm, Algorithm::Rsa);
    assert_eq!(claim.header_form, Canonicalisation::Relaxed);
    assert_eq!(claim.body_form, Canonicalisation::Simple);
    assert_eq!(claim.signed, ["From".into(), "To".into()]);
    assert_eq!((claim.length, claim.expires), (Some(7), Some(99)));
    assert!(claim.identity_below);
    assert!(!claim.is_expired(98) && claim.is_expired(99));
    assert_eq!(&*label.start, "BBBBCCCC");
    assert_eq!(label.algorithm, Some("rsa-sha256"));
    assert!(label.has_length);
}

#[test]
fn a_key_is_judged_before_it_is_used() {
    let claim = |tag, instead| field::read(value(tag, instead).as_bytes()).1.unwrap();
    let found = |texts: &[&str]| {
        let texts = texts.iter().map(|text| text.as_bytes().into()).collect();
        Answer::bare(Lookup::Found(Records::Txt(texts)))
    };
    let rsa = claim("z", None);
    let below = claim("i", Some("@sub.example.org"));
    let edwards = claim("a", Some("ed25519-sha256"));
    for (texts, claim, expected) in [
        (&["v=DKIM1; p=AAAA"][..], &rsa, Ok(false)),
        (&["p=AAAA"], &rsa, Ok(false)),
        (&["k=RSA; p=AAAA; n=a note"], &rsa, Ok(false)),
        (&["v=spf1 -all", "p=AAAA"], &rsa, Ok(false)),
        (&["v=DKIM1; t=y; p=AAAA"], &rsa, Ok(true)),
        (&["v=DKIM1; t=s : y; p=AAAA"], &rsa, Ok(true)),
        (&["v=DKIM1; t=s; p=AAAA"], &below, Err(Reason::Identity)),
        (&["v=DKIM1; p=AAAA"], &below, Ok(false)),
        (&["v=DKIM1; p="], &rsa, Err(Reason::KeyRevoked)),
        (&["v=DKIM1; k=rsa"], &rsa, Err(Reason::KeySyntax)),
        (&["p=AAAA; v=DKIM1"], &rsa, Err(Reason::KeySyntax)),
        (&["v=DKIM2; p=AAAA"], &rsa, Err(Reason::KeySyntax)),
        (&["v=spf1 -all"], &rsa, Err(Reason::KeySyntax)),
        (&["p=AAAA; p=BBBB"], &rsa, Err(Reason::KeySyntax)),
        (&["p=AAAA", "p=BBBB"], &rsa, Err(Reason::SeveralKeys)),
        (&["k=ed25519; p=AAAA"], &rsa, Err(Reason::KeyType)),
        (&["p=AAAA"], &edwards, Err(Reason::KeyType)),
        (&["k=ed25519; p=AAAA"], &edwards, Ok(false)),
        (&["h=sha1; p=AAAA"], &rsa, Err(Reason::KeyUse)),
        (&["h=sha1:SHA256; p=AAAA"], &rsa, Ok(false)),
        (&["s=tlsrpt; p=AAAA"], &rsa, Err(Reason::KeyUse)),
        (&["s=email; p=AAAA"], &rsa, Ok(false)),
        (&["s=other : *; p=AAAA"], &rsa, Ok(false)),
    ] {
        let answer = found(texts);
        let testing = key::choose(&answer, claim).map(|key| key.testing);
        assert_eq!(testing, expected, "{texts:?}");
    }
    for (lookup, reason) in [
        (Lookup::NxDomain, Reason::NoKey),
        (Lookup::NoData, Reason::NoKey),
        (Lookup::AliasLimit, Reason::NoKey),
        (
            Lookup::Trouble(Trouble::ServFail),
            Reason::KeyTrouble(Trouble::ServFail),
        ),
    ] {
        assert_eq!(key::choose(&Answer::bare(lookup), &rsa), Err(reason));
    }
}

#[test]
fn a_from_field_has_one_author_or_none() {
    let table: &[(&[u8], Option<&str>)] = &[
        (b" alice@example.org\r\n", Some("alice@example.org")),
        (b" <alice@example.org>\r\n", Some("alice@example.org")),
        (
            b" Alice A. Miller <alice@example.org>\r\n",
            Some("alice@example.org"),
        ),
        (
            b" \"Miller, Alice\" <alice@example.org> (at work)\r\n",
            Some("alice@example.org"),
        ),
        (
            b" alice@example.org (Alice \\) (the one))\r\n",
            Some("alice@example.org"),
        ),
        (
            b" =?utf-8?q?Alic=C3=A9?=\r\n <alice@Example.ORG>\r\n",
            Some("alice@Example.ORG"),
        ),
        (
            b" Alic\xe9 <alice@example.org>\r\n",
            Some("alice@example.org"),
        ),
        (
            b" \"bob@example.net\" <alice@example.org>\r\n",
            Some("alice@example.org"),
        ),
        (
            b" \"a \\\" b\" <alice@example.org>\r\n",
            Some("alice@example.org"),
        ),
        (
            b" <\"a > b\"@example.org>\r\n",
            Some("\"a > b\"@example.org"),
        ),
        (b" < alice@example.org >\r\n", Some("alice@example.org")),
        (b"", None),
        (b" \r\n", None),
        (b" <>\r\n", None),
        (b" alice\r\n", None),
        (b" alice@example.org, bob@example.org\r\n", None),
        (b" Friends: alice@example.org;\r\n", None),
        (b" undisclosed:;\r\n", None),
        (b" bob@example.net <alice@example.org>\r\n", None),
        (b" <alice@example.org> <bob@example.net>\r\n", None),
        (b" <alice@example.org> bob@example.net\r\n", None),
        (b" <@relay.example:alice@example.org>\r\n", None),
        (b" <alice @example.org>\r\n", None),
        (b" alice bob@example.org\r\n", None),
        (b" <alice@example.org\r\n", None),
        (b" alice@example.org>\r\n", None),
        (b" \"Alice <alice@example.org>\r\n", None),
        (b" (open alice@example.org\r\n", None),
        (b" a\0lice@example.org\r\n", None),
        (b" al\xefce@example.org\r\n", None),
    ];
    for (text, expected) in table {
        let found = author(text).map(|mailbox| mailbox.to_string());
        assert_eq!(found.as_deref(), *expected, "{}", text.escape_ascii());
    }
    let long = [b" ".repeat(5000).as_slice(), b"alice@example.org"].concat();
    assert_eq!(author(&long), None);
}

/// A report with one valid signature by example.org, over all that counts.
fn sound() -> Report {
    Report {
        signatures: vec![Signature {
            signed_from: true,
            ..Signature::new(field::read(value("z", None).as_bytes()).0, Reason::Valid)
        }],
        from: Mailbox::parse("alice@Example.ORG").ok(),
        ..Report::default()
    }
}

/// All that a weight is made from.
struct Case {
    report: Report,
    reverse_path: &'static str,
    mail_from: Weight,
    rescues: bool,
}

impl Case {
    fn signature(&mut self) -> &mut Signature {
        &mut self.report.signatures[0]
    }
}

/// One thing that is not as in [`sound`]: its name, what it has a hand in, how it is done, and what
/// it makes of a proof.
type Change = (&'static str, &'static [Part], fn(&mut Case), Weight);

/// What a change has a hand in; two that share one are no pair.
#[derive(PartialEq)]
enum Part {
    Report,
    Reason,
    Length,
    Signed,
    Testing,
    Signer,
    Alignment,
    Author,
    MailFrom,
}
use Part::{Alignment, Author, Length, MailFrom, Reason as Why, Signed, Signer, Testing};

/// What replaces the whole report.
const WHOLE: &[Part] = &[Part::Report, Why, Length, Signed, Testing, Signer, Author];

#[rustfmt::skip]
const CHANGES: &[Change] = &[
    ("length", &[Length], |case| case.signature().has_length = true, Weight::Clears),
    ("From unsigned", &[Signed], |case| case.signature().signed_from = false, Weight::Clears),
    ("no author", &[Author], |case| case.report.from = None, Weight::Clears),
    ("another author", &[Author], |case| case.report.from = Mailbox::parse("bob@example.org").ok(), Weight::Clears),
    ("other case", &[Author], |case| case.report.from = Mailbox::parse("Alice@example.org").ok(), Weight::Clears),
    ("rescued", &[MailFrom], |case| (case.mail_from, case.rescues) = (Weight::Against, true), Weight::Clears),
    ("rescues unused", &[MailFrom], |case| case.rescues = true, Weight::Proves),
    ("authorised", &[MailFrom], |case| case.mail_from = Weight::Proves, Weight::Proves),
    ("body changed", &[Why], |case| case.signature().reason = Reason::Body, Weight::Silent),
    ("no key", &[Why], |case| case.signature().reason = Reason::NoKey, Weight::Silent),
    ("malformed", &[Why], |case| case.signature().reason = Reason::Syntax, Weight::Silent),
    ("only a test", &[Testing], |case| case.signature().testing = true, Weight::Silent),
    ("no signature", WHOLE, |case| case.report.signatures.clear(), Weight::Silent),
    ("another signer", &[Alignment, Signer], |case| case.signature().domain = Domain::parse("example.net").ok(), Weight::Silent),
    ("a signer above", &[Alignment, Signer], |case| case.reverse_path = "alice@sub.example.org", Weight::Silent),
    ("a signer below", &[Alignment, Signer], |case| case.signature().domain = Domain::parse("a.example.org").ok(), Weight::Silent),
    ("no signer", &[Alignment, Signer], |case| case.signature().domain = None, Weight::Silent),
    ("null", &[Alignment], |case| case.reverse_path = "", Weight::Silent),
    ("bare", &[Alignment], |case| case.reverse_path = "alice", Weight::Silent),
    ("literal", &[Alignment], |case| case.reverse_path = "alice@[192.0.2.1]", Weight::Silent),
    ("another domain's", &[Alignment, Signer], |case| case.reverse_path = "alice@example.net", Weight::Silent),
    ("a colleague's", &[Alignment, Author], |case| case.reverse_path = "bob@example.org", Weight::Clears),
    ("repudiated", &[MailFrom], |case| case.mail_from = Weight::Against, Weight::Silent),
    ("key trouble", &[Why], |case| case.signature().reason = Reason::KeyTrouble(Trouble::Timeout), Weight::Trouble),
    ("busy", WHOLE, |case| case.report = Report::skipped(Skipped::Busy), Weight::Trouble),
    ("too large", WHOLE, |case| case.report = Report::skipped(Skipped::TooLarge), Weight::Silent),
    ("off", WHOLE, |case| case.report = Report::skipped(Skipped::Off), Weight::Silent),
];

fn weight(changes: &[&Change]) -> Weight {
    let mut case = Case {
        report: sound(),
        reverse_path: "alice@EXAMPLE.org",
        mail_from: Weight::Silent,
        rescues: false,
    };
    for (_, _, change, _) in changes {
        change(&mut case);
    }
    let path = ReversePath::parse_inside(case.reverse_path).unwrap();
    case.report.weight(&path, case.mail_from, case.rescues)
}

#[test]
fn every_condition_of_a_proof_counts_alone() {
    assert_eq!(weight(&[]), Weight::Proves);
    for change in CHANGES {
        assert_eq!(weight(&[change]), change.3, "{}", change.0);
    }
}

#[test]
fn every_two_conditions_count_together() {
    let strict = [
        Weight::Silent,
        Weight::Trouble,
        Weight::Clears,
        Weight::Proves,
    ];
    let mut pairs = 0;
    for one in CHANGES {
        // What takes the signature away goes second, so that there is one to change.
        for two in CHANGES.iter().filter(|_| !one.1.contains(&Part::Report)) {
            if one.1.iter().any(|part| two.1.contains(part)) {
                continue;
            }
            let expected = strict
                .into_iter()
                .find(|weight| [one.3, two.3].contains(weight));
            assert_eq!(Some(weight(&[one, two])), expected, "{}, {}", one.0, two.0);
            pairs += 1;
        }
    }
    assert!(pairs > 200, "{pairs}");
}

#[test]
fn of_several_signatures_the_best_one_counts() {
    let with = |reasons: &[Reason]| {
        let mut report = sound();
        let first = report.signatures.remove(0);
        report.signatures = reasons
            .iter()
            .map(|reason| Signature {
                reason: *reason,
                has_length: *reason == Reason::Valid && reasons.len() == 3,
                ..first.clone()
            })
            .collect();
        let path = ReversePath::parse_inside("alice@example.org").unwrap();
        (report.result(), report.weight(&path, Weight::Silent, false))
    };
    let trouble = Reason::KeyTrouble(Trouble::ServFail);
    for (reasons, result, weight) in [
        (
            &[Reason::Body, Reason::Valid][..],
            Some(SignatureResult::Pass),
            Weight::Proves,
        ),
        (
            &[trouble, Reason::Valid],
            Some(SignatureResult::Pass),
            Weight::Proves,
        ),
        (
            &[trouble, Reason::Valid, Reason::Body],
            Some(SignatureResult::Pass),
            Weight::Clears,
        ),
        (
            &[Reason::Body, trouble],
            Some(SignatureResult::TempError),
            Weight::Trouble,
        ),
        (
            &[Reason::NoKey, Reason::Header],
            Some(SignatureResult::Fail),
            Weight::Silent,
        ),
        (
            &[Reason::Syntax, Reason::NoKey],
            Some(SignatureResult::PermError),
            Weight::Silent,
        ),
        (&[], None, Weight::Silent),
    ] {
        assert_eq!(with(reasons), (result, weight), "{reasons:?}");
    }
}

#[test]
fn what_is_told_names_each_signature() {
    let told = |report: &Report| {
        let results = Results {
            authserv_id: &Domain::parse("mx.example.net").unwrap(),
            methods: &report.methods(),
        };
        results.to_field().replace("\r\n\t", " ")
    };
    let mut report = sound();
    assert_eq!(
        told(&report),
        "Authentication-Results: mx.example.net; dkim=pass header.d=example.org header.s=sel \
         header.a=rsa-sha256 header.b=BBBBCCCC\r\n"
    );
    report.signatures[0].testing = true;
    let bad = Signature::new(field::read(b"x").0, Reason::KeyTrouble(Trouble::ServFail));
    report.signatures.push(bad);
    report.arc = super::Arc::Fail;
    assert_eq!(
        told(&report),
        "Authentication-Results: mx.example.net; dkim=pass reason=\"the key is only a test\" \
         header.d=example.org header.s=sel header.a=rsa-sha256 header.b=BBBBCCCC; \
         dkim=temperror reason=\"the key is not to be had now\"; arc=fail\r\n"
    );
    for (skipped, expected) in [
        (Skipped::Off, "none"),
        (Skipped::NoSignature, "dkim=none"),
        (
            Skipped::TooLarge,
            "dkim=neutral reason=\"message too large\"",
        ),
        (
            Skipped::Busy,
            "dkim=temperror reason=\"no room for the message\"",
        ),
    ] {
        let field = format!("Authentication-Results: mx.example.net; {expected}\r\n");
        assert_eq!(told(&Report::skipped(skipped)), field);
    }
}
