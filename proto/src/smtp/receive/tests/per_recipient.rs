//! PRDR: what a client that asked for it hears at the end, and what one that did not.

use super::held::{RECIPIENTS, Talk, begun};
use super::*;
use alloc::string::ToString;

/// A transaction with these recipients, up to its end; the actions hold its question.
fn at_the_end(mail: &str, names: &[&str], by_bdat: bool) -> Talk {
    let mut talk = Talk::behind(mail, unknown());
    for name in names {
        let line = alloc::format!("RCPT TO:<{name}@example.org>\r\n");
        if talk.says(&line).is_some() {
            talk.answer(Answer::Recipient(Ok(Vec::new())));
            talk.answer(Answer::Held(Ok(None)));
        }
    }
    if by_bdat {
        talk.says("BDAT 3 LAST\r\nx\r\n");
        talk.answer(begun(true));
    } else {
        talk.says("DATA\r\n");
        talk.answer(begun(true));
        talk.says("x\r\n.\r\n");
    }
    assert!(matches!(talk.asked(), Some(Ask::Commit(_))));
    talk
}

#[expect(clippy::disallowed_methods, reason = "what the path would give")]
#[expect(clippy::unnecessary_wraps, reason = "it is one of two ends")]
fn taken() -> Result<Custody, Reply> {
    let yes = crate::outcome::Outcome::local((2, 0, 0), None, "");
    let id = QueueId::new(Wall::from_secs(1), 1);
    Ok(Custody::of_held_path(id, [&yes]).unwrap())
}

fn refused(code: u16) -> Result<Custody, Reply> {
    let class = u8::try_from(code / 100).unwrap();
    Err(Reply::new(code, (class, 2, 2), "no"))
}

const PRDR: &str = "MAIL FROM:<a@example.net> PRDR";

#[test]
fn each_recipient_is_answered_in_the_order_of_rcpt() {
    for by_bdat in [false, true] {
        let mut talk = at_the_end(PRDR, &["b", "c", "d"], by_bdat);
        let ends = [refused(550), taken(), refused(452)].into();
        assert_eq!(
            talk.answer(Answer::CommittedEach(ends)),
            "353 one reply for each recipient follows\r\n\
             550 5.2.2 no\r\n\
             250 2.0.0 delivered onward as 00000003X00000000001\r\n\
             452 4.2.2 no\r\n\
             250 2.0.0 taken for 1 of 3 recipients as 00000003X00000000001\r\n"
        );
        let notes = || {
            talk.actions.iter().filter_map(|action| match action {
                Action::Note(note) => Some(note),
                _ => None,
            })
        };
        let refusals = notes().filter(|note| matches!(note, Note::RecipientRefused { .. }));
        assert_eq!(refusals.count(), 2);
        let accepted = notes().find_map(|note| match note {
            Note::Accepted(accepted) => Some(accepted),
            _ => None,
        });
        let accepted = accepted.expect("it is noted");
        let recipients: Vec<_> = accepted
            .recipients
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            (recipients, accepted.is_onward),
            (vec!["c@example.org".to_string()], true)
        );
    }
}

#[test]
fn a_recipient_that_was_given_twice_is_answered_twice() {
    // Each 250 to RCPT is owed a reply (draft-hall-prdr-00 §4.5.2), and the message is had once.
    let mut talk = at_the_end(PRDR, &["b", "c", "b"], false);
    let said = talk.answer(Answer::CommittedEach([taken(), refused(550)].into()));
    let codes: Vec<_> = said.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["353", "250", "550", "250", "250"]);
}

#[test]
fn one_reply_where_all_end_in_the_same_way() {
    for (ends, said) in [
        (
            vec![taken(), taken()],
            "250 2.0.0 delivered onward as 00000003X00000000001\r\n",
        ),
        (vec![refused(550), refused(550)], "550 5.2.2 no\r\n"),
    ] {
        let mut talk = at_the_end(PRDR, &["b", "c"], false);
        assert_eq!(talk.answer(Answer::CommittedEach(ends)), said);
    }
    // What goes through the spool always does.
    let mut talk = at_the_end(PRDR, &["b", "c"], false);
    let said = talk.answer(Answer::Committed(refused(452)));
    assert_eq!(said, "452 4.2.2 no\r\n");
}

#[test]
fn nobody_taken_is_never_positive_and_later_if_anybody_may_be() {
    for (ends, last) in [
        (vec![refused(550), refused(451)], "451 4.2.2 no"),
        (vec![refused(550), refused(552)], "550 5.2.2 no"),
    ] {
        let mut talk = at_the_end(PRDR, &["b", "c"], false);
        let said = talk.answer(Answer::CommittedEach(ends));
        assert!(said.starts_with("353 ") && said.lines().count() == 4);
        assert_eq!(said.lines().last(), Some(last));
    }
}

#[test]
fn a_world_that_is_out_of_step_makes_nobody_believe_anything() {
    // An end is missing; one says neither yes nor no.
    let odd = || Err(Reply::new(250, (2, 0, 0), "fine"));
    for ends in [vec![taken()], vec![taken(), odd()]] {
        let mut talk = at_the_end(PRDR, &["b", "c"], false);
        let said = talk.answer(Answer::CommittedEach(ends));
        let codes: Vec<_> = said.lines().map(|line| &line[..3]).collect();
        assert_eq!(codes, ["353", "250", "451", "250"]);
    }
    // Nobody has asked.
    let plain = "MAIL FROM:<a@example.net>";
    let mut talk = at_the_end(plain, &["b", "c"], false);
    let said = talk.answer(Answer::CommittedEach([taken(), refused(550)].into()));
    assert_eq!(said, "451 4.3.0 local error, try again later\r\n");
}

#[test]
fn it_is_asked_for_once_and_only_where_it_was_offered() {
    for (line, code) in [
        ("EHLO a\r\nMAIL FROM:<a@b> PRDR=1\r\n", "501"),
        ("EHLO a\r\nMAIL FROM:<a@b> PRDR PRDR\r\n", "501"),
        ("HELO a\r\nMAIL FROM:<a@b> PRDR\r\n", "555"),
    ] {
        let mut talk = Talk::new();
        talk.says(line);
        let said = talk.said();
        let last = said.lines().last().unwrap();
        assert!(last.starts_with(code), "{line}: {said}");
    }
    let mut talk = Talk::new();
    talk.says("EHLO a\r\n");
    assert!(talk.said().contains("250-PRDR\r\n"));
}

#[test]
fn answers_that_are_owed_are_bounded() {
    let mut talk = Talk::behind(PRDR, unknown());
    talk.recipient("b");
    talk.answer(Answer::Held(Ok(None)));
    let again = "RCPT TO:<b@example.org>\r\n";
    for _ in 1..RECIPIENTS {
        talk.says(again);
        assert!(talk.said().starts_with("250 "));
    }
    for line in [again, "RCPT TO:<c@example.org>\r\n"] {
        talk.says(line);
        assert_eq!(talk.said(), "452 4.5.3 too many recipients\r\n");
    }
}
