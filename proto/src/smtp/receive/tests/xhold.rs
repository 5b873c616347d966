//! What MAIL says of a held path: taken where it is offered, refused where it is not, and known again.

use super::*;
use crate::smtp::xhold::{Marker, Terms};

/// The replies to these lines, and what was asked, in a session that offers XHOLD or does not.
fn say(offers: bool, lines: &str) -> (String, Vec<Ask>) {
    let holding = Holding {
        terms: Terms {
            min: 5,
            max: 600,
            hops: 8,
        },
        // Our token is AAAAAAAA, whatever it is made of.
        marker: Marker::new(|_| [0; 32]),
    };
    let settings = Settings {
        xhold: offers.then_some(holding),
        ..(*settings()).clone()
    };
    let mut session = Session::new(Arc::new(settings), peer());
    let mut actions = Vec::new();
    session.step(Input::Connected, now(), &mut actions);
    session.step(Input::Bytes(lines.as_bytes()), now(), &mut actions);
    let (mut said, mut asked) = (String::new(), Vec::new());
    let mut pending = actions;
    while !pending.is_empty() {
        let mut next = Vec::new();
        for action in pending {
            match action {
                Action::Write(octets) => said += &String::from_utf8(octets).unwrap(),
                Action::Ask(id, ask) => {
                    let answer = match ask {
                        Ask::Verify { .. } => Answer::Verdict(Arc::new(unknown())),
                        Ask::Hold(_) => Answer::Held(Ok(None)),
                        _ => Answer::Recipient(Ok(Vec::new())),
                    };
                    asked.push(ask);
                    session.step(Input::Answer(id, answer), now(), &mut next);
                }
                _ => {}
            }
        }
        pending = next;
    }
    (said, asked)
}

#[test]
fn the_keyword_is_said_where_paths_are_held_with_others() {
    assert!(say(true, "EHLO a\r\n").0.contains("XHOLD 5 600 8\r\n"));
    assert!(!say(false, "EHLO a\r\n").0.contains("XHOLD"));
    assert!(!say(true, "HELO a\r\n").0.contains("XHOLD"));
}

#[test]
fn what_mail_says_of_the_path_is_asked_on() {
    let lines = "EHLO a\r\nMAIL FROM:<a@b> XHOLD=P:60:90:3 XTID=q@c.example XVIA=BBBBBBBB\r\n\
                 RCPT TO:<a@d>\r\n";
    let (said, asked) = say(true, lines);
    assert!(
        said.ends_with("250 2.1.0 sender ok\r\n250 2.1.5 recipient ok\r\n"),
        "{said}"
    );
    let Some(Ask::Hold(hold)) = asked.last() else {
        panic!("{asked:?}");
    };
    let through = &hold.through;
    assert_eq!(through.wish.unwrap().last, 90);
    assert_eq!(through.id.as_ref().unwrap().as_str(), "q@c.example");
    assert_eq!(through.via.len(), 1);
}

#[test]
fn nobody_has_it_who_was_not_offered_it() {
    for parameter in [
        "XHOLD=P:60:90:3",
        "XTID=q@c.example",
        "XTID=q@c.example XVIA=BBBBBBBB",
    ] {
        let mail = alloc::format!("MAIL FROM:<a@b> {parameter}\r\n");
        for (offers, hello, reply) in [
            (true, "EHLO a\r\n", "250 2.1.0"),
            (true, "HELO a\r\n", "555 5.5.4"),
            (false, "EHLO a\r\n", "555 5.5.4"),
        ] {
            let (said, _) = say(offers, &alloc::format!("{hello}{mail}"));
            let last = said.lines().last().unwrap();
            assert!(last.starts_with(reply), "{parameter} {hello} {last}");
        }
    }
}

#[test]
fn our_own_token_is_a_loop_that_is_found_before_anything_is_asked() {
    let mail =
        "EHLO a\r\nMAIL FROM:<a@b> XTID=q@c.example XVIA=BBBBBBBB,aaaaaaaa\r\nRCPT TO:<a@d>\r\n";
    let (said, asked) = say(true, mail);
    let replies: Vec<_> = said.lines().rev().take(2).collect();
    assert!(replies[1].starts_with("554 5.4.6 "), "{said}");
    assert!(replies[0].starts_with("503 "), "{said}");
    assert_eq!(asked, []);
}
