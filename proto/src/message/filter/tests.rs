//! What is removed, what is not, and that no split changes it.

use super::*;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use proptest::prelude::*;

fn ours() -> Domain {
    Domain::parse("mx.example.org").expect("a domain")
}

/// Passes content through in pieces of `step` octets.
fn pass(content: &[u8], step: usize) -> (Vec<u8>, HeaderFilter) {
    let mut filter = HeaderFilter::default();
    let mut passed = Vec::new();
    for piece in content.chunks(step.max(1)) {
        passed.extend(filter.pass(piece.to_vec(), &ours()));
        assert!(filter.held.len() < MOST_HELD, "held without bound");
    }
    passed.extend(filter.finish(&ours()));
    (passed, filter)
}

/// What is left, and how many fields are gone, the same at every split.
fn left(content: &str) -> (String, usize) {
    let (whole, filter) = pass(content.as_bytes(), usize::MAX);
    for step in 1..=content.len().min(40) {
        let (split, _) = pass(content.as_bytes(), step);
        assert_eq!(split, whole, "{content:?} in pieces of {step}");
    }
    (String::from_utf8(whole).unwrap(), filter.removed())
}

#[test]
fn what_claims_to_be_ours_goes_and_all_else_stays() {
    for (field, gone) in [
        ("Authentication-Results: mx.example.org; spf=pass\r\n", 1),
        ("authentication-results:mx.example.org;none\r\n", 1),
        ("AUTHENTICATION-RESULTS \t: MX.Example.ORG 1; none\r\n", 1),
        (
            "Authentication-Results:\r\n\tmx.example.org;\r\n\tspf=pass\r\n x\r\n",
            1,
        ),
        (
            "Authentication-Results\r\n : mx.example.org; spf=pass\r\n",
            1,
        ),
        (
            "Authentication-Results: (;) \"mx.\\example.org\"; x\r\n\t\r\n y\r\n",
            1,
        ),
        ("Authentication-Results: mx.example.org\r\n", 1),
        (
            "Authentication-Results: (mx.example.org; spf=pass\r\n y\r\n",
            1,
        ),
        (
            "Authentication-Results: a; x\r\nAuthentication-Results: mx.example.org; x\r\n",
            1,
        ),
        (
            "Authentication-Results: other.example; mx.example.org=pass\r\n",
            0,
        ),
        (
            "Authentication-Results: mx.example.org.other.example; spf=pass\r\n",
            0,
        ),
        ("Authentication-Results:\r\n", 0),
        ("Authentication-Results\r\n", 0),
        ("Authentication-Results \r\n", 0),
        ("X-Authentication-Results: mx.example.org; spf=pass\r\n", 0),
        (
            "ARC-Authentication-Results: i=1; mx.example.org; spf=pass\r\n",
            0,
        ),
        ("Authentication-Results-Original: mx.example.org; x\r\n", 0),
        (
            "Subject: x\r\n Authentication-Results: mx.example.org; x\r\n",
            0,
        ),
        ("Received-SPF: pass (mx.example.org: x)\r\n", 0),
    ] {
        let behind = "From: a@b.example\r\n\r\nAuthentication-Results: mx.example.org; in body\r\n";
        let before = "To: c@d.example\r\n e\r\n";
        let content = format!("{before}{field}{behind}");
        let (left, removed) = left(&content);
        assert_eq!(removed, gone, "{field:?}");
        if gone == 0 {
            assert_eq!(left, content);
        } else {
            let kept = field.starts_with("Authentication-Results: a;");
            let kept = if kept {
                "Authentication-Results: a; x\r\n"
            } else {
                ""
            };
            assert_eq!(left, format!("{before}{kept}{behind}"), "{field:?}");
        }
    }
}

#[test]
fn the_ends_of_content_are_no_way_out() {
    for (content, expected) in [
        ("Authentication-Results: mx.example.org", ""),
        ("Authentication-Results: mx.example.org; spf", ""),
        (
            "Authentication-Results: mx.example",
            "Authentication-Results: mx.example",
        ),
        ("Authentication-Results", "Authentication-Results"),
        ("Authentication-Results:", "Authentication-Results:"),
        ("Authentication-Results: mx.example.org\r\n\r\nx", "\r\nx"),
        (
            "Authentication-Results: a\r\n\r\nx",
            "Authentication-Results: a\r\n\r\nx",
        ),
        (
            "\r\nAuthentication-Results: mx.example.org;",
            "\r\nAuthentication-Results: mx.example.org;",
        ),
        ("", ""),
    ] {
        assert_eq!(left(content).0, expected, "{content:?}");
    }
}

#[test]
fn what_does_not_come_to_the_point_goes() {
    for (name, filler) in [
        ("Authentication-Results", " "),
        ("Authentication-Results", "\r\n "),
        ("Authentication-Results:", " "),
        ("Authentication-Results:", "\r\n\t"),
        ("Authentication-Results: ", "(x)"),
        ("Authentication-Results: (", ";"),
        ("Authentication-Results: \"", ";"),
        ("Authentication-Results: ", "x"),
        ("Authentication-Results: ", "("),
    ] {
        let long = filler.repeat(MOST_HELD / filler.len() + 1);
        let content = format!("{name}{long}: mx.example.org; spf=pass\r\n x\r\nA: b\r\n");
        for step in [1, 1000, usize::MAX] {
            let (whole, filter) = pass(content.as_bytes(), step);
            assert_eq!(whole, b"A: b\r\n", "{name:?} {filler:?}");
            assert_eq!(filter.removed(), 1);
        }
    }
    let long = "x".repeat(3 * MOST_HELD);
    let content = format!("Authentication-Results: other.example; {long}\r\nB{long}: c\r\n");
    assert_eq!(left(&content), (content.clone(), 0));
}

#[test]
fn signatures_are_noted() {
    for (content, signed) in [
        ("DKIM-Signature: v=1\r\n", true),
        ("dkim-signature \r\n : v=1\r\n", true),
        ("A: b\r\nARC-Seal: i=1\r\n\r\n", true),
        (
            "X-DKIM-Signature: v=1\r\nDKIM-Signatures: x\r\nARC-Message-Signature: x\r\n",
            false,
        ),
        ("A: b\r\n\r\nDKIM-Signature: v=1\r\n", false),
        ("DKIM-Signature\r\nARC-Seal x: y\r\n", false),
    ] {
        for step in 1..=content.len() {
            let (passed, filter) = pass(content.as_bytes(), step);
            assert_eq!(filter.is_signed(), signed, "{content:?}");
            assert_eq!(passed, content.as_bytes());
        }
    }
}

/// Pieces of headers, honest and not.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "Authentication-Results",
        "authentication-results",
        "DKIM-Signature",
        "ARC-Seal",
        "From",
        ":",
        " ",
        "\t",
        "\r\n",
        "\r\n ",
        "\r\n\r\n",
        "mx.example.org",
        "other.example",
        "\"",
        "\\",
        "(",
        ")",
        ";",
        "1",
        "spf=pass",
        "\r",
        "\n",
    ]);
    let piece = prop_oneof![
        30 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..5),
        1 => (1_usize..5000).prop_map(|count| vec![b' '; count]),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_split_changes_anything(content in octets(), step in 1_usize..50) {
        let (whole, filter) = pass(&content, usize::MAX);
        let (split, other) = pass(&content, step);
        prop_assert_eq!(&whole, &split);
        prop_assert_eq!(filter.removed(), other.removed());
        prop_assert_eq!(filter.is_signed(), other.is_signed());
        prop_assert_eq!(filter.removed() == 0, whole == content);
        // Nothing is left that would be removed the next time.
        let (again, filter) = pass(&whole, usize::MAX);
        prop_assert_eq!(&again, &whole);
        prop_assert_eq!(filter.removed(), 0);
    }
}
