//! `Authentication-Results`: nothing in our name passes, nothing else is touched, no split changes
//! anything; and what we write is known as ours, whatever others put into it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::addr::{Domain, Mailbox};
use vouchsafe_proto::message::{AuthservId, HeaderFilter, MOST_HELD, Method, Property, Results};

/// What the filter lets through of content that comes in pieces, and how many fields it took out.
fn pass<'a>(pieces: impl Iterator<Item = &'a [u8]>, ours: &Domain) -> (Vec<u8>, usize, bool) {
    let (mut filter, mut passed, mut given) = (HeaderFilter::default(), Vec::new(), 0);
    for piece in pieces {
        given += piece.len();
        passed.extend(filter.pass(piece.to_vec(), ours));
        assert!(filter.removed() > 0 || given - passed.len() < MOST_HELD);
    }
    passed.extend(filter.finish(ours));
    (passed, filter.removed(), filter.is_signed())
}

/// A reader that is not strict: the first word behind the name of a field in the header.
fn claims(content: &[u8], ours: &str) -> bool {
    let mut lines = content.split(|octet| *octet == b'\n').map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        String::from_utf8_lossy(line).to_lowercase()
    });
    lines
        .by_ref()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| Some(line.strip_prefix("authentication-results:")?.to_owned()))
        .any(|body| {
            let word = body.split(';').next().unwrap_or_default();
            word.trim_matches([' ', '\t', '\r', '"']) == ours
        })
}

/// Everything that is in `part` is in `whole`, in this order.
fn is_left_of(part: &[u8], whole: &[u8]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|octet| whole.any(|other| other == octet))
}

fuzz_target!(|input: (u8, &[u8], &str)| {
    let (size, content, value) = (usize::from(input.0) + 1, input.1, input.2);
    let ours = Domain::parse("mx.example.org").expect("a domain");

    let whole = pass([content].into_iter(), &ours);
    assert_eq!(whole, pass(content.chunks(size), &ours));
    assert_eq!(whole.1 == 0, whole.0 == content);
    assert!(is_left_of(&whole.0, content));
    assert!(!claims(&whole.0, ours.as_ascii()));
    assert_eq!(pass([&*whole.0].into_iter(), &ours).1, 0, "once is enough");

    let mut id = AuthservId::default();
    let end = content.iter().position(|octet| id.read(*octet));
    let part = &content[..end.unwrap_or(content.len())];
    if id.id() == Some(ours.as_ascii()) {
        assert!(id.claims(part, &ours));
    }

    let mailbox = Mailbox::parse(value).ok();
    let mailbox = mailbox.map(|mailbox| Property::mailbox("smtp.mailfrom", &mailbox));
    let methods = [
        Method::new("spf", "pass").about(mailbox),
        Method::new("dkim", "fail").about(Some(Property::text("header.b", value))),
    ];
    let results = Results {
        authserv_id: &ours,
        methods: &methods,
    };
    let field = results.to_field();
    let lines: Vec<_> = field.split_terminator("\r\n").collect();
    assert!(field.ends_with("\r\n") && lines[1..].iter().all(|line| line.starts_with('\t')));
    assert!(
        !field
            .replace("\r\n\t", "")
            .trim_end()
            .contains(|c: char| c.is_control())
    );
    // What stands behind our own field may continue it only if it begins with a blank.
    if !matches!(content.first(), Some(b' ' | b'\t')) {
        let both = [field.as_bytes(), content].concat();
        let behind = pass([&*both].into_iter(), &ours);
        assert_eq!((behind.0, behind.1), (whole.0, whole.1 + 1));
    }
});
