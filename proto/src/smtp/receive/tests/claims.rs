//! What a client claims at MAIL (XVOUCH): asked about at once, and compared with what comes.

use super::held::{Talk, begun, offered};
use super::*;
use crate::cutthrough::Opens;
use crate::residue::{Claim, Word};
use crate::verify::ledger::Claimed;

const CLAIM: &str = "79bf9.870834f17f8ca9078fdba2f63449d26a";

fn claimed(word: Option<Word>) -> Claimed {
    Claimed {
        claim: Claim::parse(CLAIM).unwrap(),
        server: None,
        word,
    }
}

fn mail() -> String {
    alloc::format!("MAIL FROM:<a@example.net> XVOUCH={CLAIM}")
}

#[test]
fn the_claim_goes_along_with_the_question_and_with_the_message() {
    let mut talk = Talk::new();
    talk.says(&alloc::format!("EHLO a\r\n{}\r\n", mail()));
    let Some(Ask::Verify { claim, .. }) = talk.asked() else {
        panic!("{:?}", talk.actions);
    };
    assert_eq!(*claim, Claim::parse(CLAIM).ok());
    talk.answer(Answer::Verdict(Arc::new(unknown())));
    assert_eq!(talk.recipient("c").claim, Claim::parse(CLAIM).ok());
    talk.answer(Answer::Held(Ok(None)));
    talk.says("DATA\r\n");
    talk.answer(begun(false));
    match talk.says("a: b\r\n\r\nx\r\n.\r\n") {
        Some(Ask::Commit(envelope)) => assert_eq!(envelope.claim, Claim::parse(CLAIM).ok()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_path_opens_for_what_the_domain_says_that_it_sent_and_ends_with_the_comparison() {
    for (word, is_sent) in [
        (Some(Word::Sent), true),
        (Some(Word::NotSent), false),
        (Some(Word::Unknown), false),
        (None, false),
    ] {
        let mut talk = Talk::behind(&mail(), offered(false, Some(claimed(word))));
        let opens = if is_sent {
            Opens::Now
        } else {
            Opens::AfterVerdict
        };
        assert_eq!(talk.recipient("c").opens, Some(opens), "{word:?}");
        talk.answer(Answer::Held(Ok(None)));
        match talk.says("DATA\r\n") {
            Some(Ask::Begin { is_claimed, .. }) => assert_eq!(*is_claimed, is_sent),
            other => panic!("{other:?}"),
        }
        talk.answer(begun(is_sent));
        talk.says("a: b\r\n\r\nx\r\n.\r\n");
        assert!(
            matches!(talk.asked(), Some(Ask::Content { .. })),
            "{word:?}"
        );
    }
}

#[test]
fn a_message_of_our_own_is_not_what_its_client_claimed() {
    // It may be completed on its way.
    let own = Verdict::of(
        unknown().evidence()[0].clone(),
        [Evidence::RelayClient { local_domain: true }],
    );
    let mut talk = Talk::behind(&mail(), own);
    assert_eq!(talk.recipient("c").claim, None);
}

#[test]
fn claims_that_bring_no_message_are_asked_about_ten_times() {
    let mut talk = Talk::new();
    talk.says("EHLO a\r\n");
    for number in 0..12 {
        talk.says(&alloc::format!("{}\r\n", mail()));
        let Some(Ask::Verify { claim, .. }) = talk.asked() else {
            panic!("{:?}", talk.actions);
        };
        assert_eq!(claim.is_some(), number < 10, "{number}");
        talk.answer(Answer::Verdict(Arc::new(unknown())));
        talk.says("RSET\r\n");
    }
}

#[test]
fn what_was_not_offered_is_not_understood() {
    let mut talk = Talk::new();
    talk.says(&alloc::format!("HELO a\r\n{}\r\n", mail()));
    assert!(talk.said().contains("555 5.5.4"), "{}", talk.said());
}
