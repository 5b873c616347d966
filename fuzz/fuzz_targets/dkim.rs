//! A message as DKIM sees it: nothing of it is lost in the cut, and what is read as an author, a
//! signature or a key holds nothing that its text does not.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::addr::{Mailbox, ReversePath};
use vouchsafe_proto::dns::{Answer, Lookup, Records};
use vouchsafe_proto::verify::Weight;
use vouchsafe_proto::verify::dkim::header::Content;
use vouchsafe_proto::verify::dkim::{Report, Signature, author, field, key};

fuzz_target!(|message: &[u8]| {
    let Ok(content) = Content::of(message) else {
        return;
    };
    // The fields and the body, put together again.
    let mut rest = message;
    for field in &content.fields {
        assert!(starts(rest, field.name));
        rest = &rest[field.name.len()..];
        if !field.name.is_empty() {
            assert_eq!(rest.first(), Some(&b':'));
            rest = &rest[1..];
        }
        assert!(starts(rest, field.value));
        rest = &rest[field.value.len()..];
        assert!(!field.name.contains(&b'\n'));
    }
    let end = rest.len() - content.body.len();
    assert!(rest.ends_with(content.body) && [&b""[..], b"\n", b"\r\n"].contains(&&rest[..end]));

    for field in &content.fields {
        if let Some(mailbox) = author(field.value) {
            let shown = mailbox.to_string();
            assert!(!shown.contains(char::is_control));
            assert_eq!(Mailbox::parse(&shown).as_ref(), Ok(&mailbox));
        }
        let (label, claim) = field::read(field.value);
        let Ok(claim) = claim else { continue };
        assert_eq!(label.domain.as_ref(), Some(&claim.domain));
        assert!(
            claim
                .signed
                .iter()
                .any(|name| name.eq_ignore_ascii_case("from"))
        );
        // The rest of the message as its key.
        let texts = vec![content.body.into()];
        let answer = Answer::bare(Lookup::Found(Records::Txt(texts)));
        let reason = key::choose(&answer, &claim).err();
        let Some(reason) = reason else { continue };
        let report = Report {
            signatures: vec![Signature::new(label, reason)],
            from: content.sole_from().and_then(|from| author(from.value)),
            ..Report::default()
        };
        if let Some(from) = &report.from {
            let path = ReversePath::Mailbox(from.clone());
            assert_eq!(report.weight(&path, Weight::Silent, true), Weight::Silent);
        }
    }
});

/// True if the text begins so.
fn starts(text: &[u8], with: &[u8]) -> bool {
    text.starts_with(with)
}
