//! Held transactions: what a client may be told at once, and that what is given up is not delivered.

use super::*;

/// What becomes of whoever had no outcome when the transaction was given up.
const GIVEN_UP: &str = "4.3.2 the transaction was given up by this server";

/// To [`Action::Ready`] over LMTP, with PIPELINING.
const LMTP: &str = "S: 220 hi\nC: LHLO mx.us.example\nS: 250-them\nS: 250 PIPELINING\nready\n";

fn lmtp(script: &str) {
    play(session(Protocol::Lmtp, StartTls::Never), script);
}

/// MAIL and the first recipient, which is taken, whatever is offered but PIPELINING.
const FIRST: &str = "
    > hold a@x b@y unsized
    C: MAIL FROM:<a@x>
    S: 250 ok
    C: RCPT TO:<b@y>
    S: 250 ok
    0 taken
    ";

/// The same with PIPELINING.
const FIRST_AT_ONCE: &str = "
    > hold a@x b@y unsized
    C: MAIL FROM:<a@x>
    C: RCPT TO:<b@y>
    S: 250 ok
    S: 250 ok
    0 taken
    ";

#[test]
fn recipients_come_one_by_one() {
    smtp(
        &(opened("SIZE 50") + "
        > hold a@x b@y unsized
        C: MAIL FROM:<a@x>
        S: 250 ok
        C: RCPT TO:<b@y>
        S: 250 ok
        0 taken
        > rcpt c@y
        C: RCPT TO:<c@y>
        S: 450 4.2.0 grey
        1 4.2.0 450 4.2.0 grey
        > rcpt d@y
        C: RCPT TO:<d@y>
        > rcpt e@y
        S: 251 elsewhere
        2 taken
        C: RCPT TO:<e@y>
        S: 552 too many
        3 4.5.3 552 too many
        > rcpt \u{e9}@y
        4 5.6.7 the message needs internationalised mail (SMTPUTF8), which the next hop does not offer
        > timer
        > proceed
        C: DATA
        > rcpt late@y
        S: 354 go
        want
        > content a\\r\\n.\\r\\nb
        C: a
        C: ..
        C: b
        want
        > end
        C:
        prepared
        > complete
        C: .
        S: 250 2.6.0 queued
        0 2.6.0 250 2.6.0 queued
        2 2.6.0 250 2.6.0 queued
        finished
        ready
        > hold a@x b@y size=51
        0 5.3.4 the message has 51 octets; the next hop takes no more than 50
        finished
        ready
        > rcpt c@y
        > proceed
        > abandon
        > noop
        > hold a@x b@y size=50
        C: MAIL FROM:<a@x> SIZE=50
        "),
    );
}

#[test]
fn what_is_there_is_asked_for_at_once_where_that_is_offered() {
    smtp(
        &(opened("PIPELINING,CHUNKING,SIZE")
            + "
        > hold a@x b@y,c@y unsized
        C: MAIL FROM:<a@x>
        C: RCPT TO:<b@y>
        C: RCPT TO:<c@y>
        > rcpt d@y
        > rcpt e@y
        S: 250 ok
        S: 250 ok
        0 taken
        S: 550 5.1.1 no
        1 5.1.1 550 5.1.1 no
        C: RCPT TO:<d@y>
        C: RCPT TO:<e@y>
        > proceed
        S: 250 ok
        S: 250 ok
        2 taken
        3 taken
        want
        > content abcd
        C: BDAT 2
        C: ab
        want
        > end
        prepared
        S: 250 ok
        > complete
        C: BDAT 2 LAST
        C: cd
        S: 250 2.0.0 done
        0 2.0.0 250 2.0.0 done
        2 2.0.0 250 2.0.0 done
        3 2.0.0 250 2.0.0 done
        finished
        ready
        > quit
        C: QUIT
        "),
    );
}

#[test]
fn lmtp_answers_for_each_that_was_taken() {
    lmtp(
        &(String::from(LMTP)
            + FIRST_AT_ONCE
            + "
        > rcpt c@y
        C: RCPT TO:<c@y>
        S: 550 5.1.1 no
        1 5.1.1 550 5.1.1 no
        > rcpt d@y
        C: RCPT TO:<d@y>
        S: 250 ok
        2 taken
        > proceed
        C: DATA
        S: 354 go
        want
        > end
        prepared
        > complete
        C: .
        S: 452 4.2.2 full
        0 4.2.2 452 4.2.2 full
        S: 250 2.0.0 two
        2 2.0.0 250 2.0.0 two (mailbox)
        finished
        ready
        > hold a@x b@y
        C: MAIL FROM:<a@x>
        C: RCPT TO:<b@y>
        "),
    );
}

#[test]
fn mail_refused_is_the_end_and_recipients_refused_are_not() {
    let refused = "S: 550 5.7.1 no\n0 5.7.1 550 5.7.1 no\n";
    smtp(&format!(
        "{}> hold a@x b@y\nC: MAIL FROM:<a@x>\n{refused}finished\nready\n> rcpt c@y\n> proceed\n\
         > hold a@x b@y\nC: RSET\nS: 250 ok\nC: MAIL FROM:<a@x>\n",
        opened("")
    ));
    smtp(&format!(
        "{}> hold a@x b@y\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\n{refused}finished\nS: 503 what\n\
         ready\n",
        opened("PIPELINING")
    ));
    // Nobody is there to be told.
    smtp(&format!(
        "{}> hold a@x -\nC: MAIL FROM:<a@x>\nS: 550 5.7.1 no\nfinished\nready\n",
        opened("")
    ));
    let all_refused = format!(
        "{}> hold a@x b@y\nC: MAIL FROM:<a@x>\nS: 250 ok\nC: RCPT TO:<b@y>\n{refused}",
        opened("")
    );
    smtp(&format!(
        "{all_refused}> rcpt c@y\nC: RCPT TO:<c@y>\nS: 250 ok\n1 taken\n> proceed\nC: DATA\n"
    ));
    for end in ["proceed", "abandon"] {
        smtp(&format!(
            "{all_refused}> {end}\nfinished\nready\n> deliver a@x b@y\nC: RSET\nS: 250 ok\n\
             C: MAIL FROM:<a@x>\n"
        ));
    }
    smtp(&format!("{all_refused}> eof\nfinished\nclose\n"));
    // Leave to go on comes before the replies: DATA is not said for nobody.
    smtp(&format!(
        "{}> hold a@x b@y\nC: MAIL FROM:<a@x>\n> proceed\nS: 250 ok\nC: RCPT TO:<b@y>\n{refused}\
         finished\nready\n",
        opened("")
    ));
    smtp(&format!(
        "{}> hold a@x -\nC: MAIL FROM:<a@x>\n> proceed\nfinished\nS: 250 ok\nready\n\
         > hold a@x -\nC: RSET\n",
        opened("")
    ));
}

#[test]
fn data_may_be_refused() {
    smtp(
        &(opened("")
            + FIRST
            + "
        > proceed
        C: DATA
        S: 451 4.3.0 later
        0 4.3.0 451 4.3.0 later
        finished
        ready
        > hold a@x b@y
        C: RSET
        "),
    );
}

/// The conversation of what was given up is not taken for that of what comes next.
#[test]
fn given_up_in_the_envelope_the_session_goes_on() {
    let next = "> deliver c@x d@y\nC: RSET\nS: 250 ok\nC: MAIL FROM:<c@x>\nS: 250 ok\n\
                C: RCPT TO:<d@y>\nS: 250 ok\nC: DATA\n";
    for (before, left) in [
        // Everything is answered.
        (FIRST, ""),
        // RCPT is not.
        (
            "> hold a@x b@y unsized\nC: MAIL FROM:<a@x>\nS: 250 ok\nC: RCPT TO:<b@y>\n",
            "S: 250 ok\n",
        ),
        (
            "> hold a@x b@y unsized\nC: MAIL FROM:<a@x>\nS: 250 ok\nC: RCPT TO:<b@y>\n",
            "S: 550 no\n",
        ),
        // MAIL is not.
        (
            "> hold a@x b@y unsized\nC: MAIL FROM:<a@x>\n",
            "S: 250 ok\n",
        ),
    ] {
        smtp(&format!(
            "{}{before}> abandon\n0 {GIVEN_UP}\nfinished\n{left}ready\n> abandon\n{next}",
            opened("")
        ));
    }
    // NOOP is not.
    smtp(&format!(
        "{}{FIRST}> noop\nC: NOOP\n> abandon\n0 {GIVEN_UP}\nfinished\nS: 500 what\nready\n{next}",
        opened("")
    ));
}

/// RSET was still to be answered: the one before the next MAIL is another.
#[test]
fn given_up_again_and_again_the_peer_has_nothing_open() {
    let head = opened("PIPELINING") + FIRST_AT_ONCE + "> abandon\n0 " + GIVEN_UP;
    smtp(
        &(head
            + "
        finished
        ready
        > hold a@x b@y unsized
        C: RSET
        C: MAIL FROM:<a@x>
        C: RCPT TO:<b@y>
        > abandon
        0 4.3.2 the transaction was given up by this server
        finished
        S: 250 reset
        S: 250 ok
        S: 250 ok
        ready
        > hold a@x b@y unsized
        C: RSET
        C: MAIL FROM:<a@x>
        C: RCPT TO:<b@y>
        S: 250 reset
        S: 250 ok
        S: 250 ok
        0 taken
        "),
    );
}

/// A dot would deliver what there is so far, so there is none.
#[test]
fn given_up_behind_data_the_session_ends_without_the_dot() {
    let data = opened("") + FIRST + "> proceed\nC: DATA\n";
    let content = data.clone() + "S: 354 go\nwant\n";
    let prepared = content.clone() + "> content a\\r\\n\nC: a\nwant\n> end\nprepared\n";
    for before in [&data, &content, &prepared] {
        smtp(&format!(
            "{before}> abandon\n0 {GIVEN_UP}\nfinished\nclose\n> complete\n> abandon\n"
        ));
    }
    smtp(&format!(
        "{prepared}> complete\nC: .\n> abandon\n0 {GIVEN_UP}; the whole message had been sent, so it \
         may have arrived all the same\nfinished\nclose\n"
    ));
}

#[test]
fn given_up_among_chunks_the_session_goes_on() {
    let head = opened("PIPELINING,CHUNKING")
        + FIRST_AT_ONCE
        + "> proceed\nwant\n> content abc\nC: BDAT 1\nC: a\nwant\n";
    for end in ["", "> end\nprepared\n"] {
        smtp(&format!(
            "{head}{end}> abandon\n0 {GIVEN_UP}\nfinished\nS: 250 ok\nready\n> complete\n\
             > deliver c@x d@y\nC: RSET\nC: MAIL FROM:<c@x>\nC: RCPT TO:<d@y>\nS: 250 reset\n\
             S: 250 ok\nS: 250 ok\nwant\n> end\nprepared\n> complete\nC: BDAT 0 LAST\nS: 250 done\n\
             0 2.0.0 250 done\nfinished\nready\n"
        ));
    }
}

#[test]
fn what_waits_is_kept_alive_between_commands_only() {
    smtp(
        &(opened("")
            + "
        > noop
        > hold a@x b@y
        C: MAIL FROM:<a@x>
        > noop
        S: 250 ok
        C: RCPT TO:<b@y>
        S: 250 ok
        0 taken
        > noop
        C: NOOP
        > noop
        > rcpt c@y
        S: 502 what
        C: RCPT TO:<c@y>
        S: 250 ok
        1 taken
        > noop
        C: NOOP
        > proceed
        S: 250 ok
        C: DATA
        > noop
        S: 354 go
        want
        > noop
        > end
        prepared
        > noop
        > complete
        C: .
        > noop
        "),
    );
    for (said, status) in [
        ("421 4.3.2 enough", "4.3.2 421 4.3.2 enough"),
        (
            "354 go",
            "4.5.0 the next hop sent a reply that does not fit what was asked",
        ),
    ] {
        smtp(&format!(
            "{}{FIRST}> noop\nC: NOOP\nS: {said}\n0 {status}\nfinished\nclose\n",
            opened("")
        ));
    }
}

/// At every moment, and in each way, in which the peer can leave. A moment: what leads to it, the
/// minutes that may pass, and what is waited for.
#[test]
fn whoever_had_no_outcome_gets_one_when_the_peer_is_gone() {
    let rest = "the rest of the message was taken";
    let moments = [
        (
            "> hold a@x b@y,c@y\nC: MAIL FROM:<a@x>\n",
            5,
            "the reply to MAIL",
        ),
        ("S: 250 ok\nC: RCPT TO:<b@y>\n", 5, "the reply to RCPT"),
        (
            "S: 250 ok\n0 taken\nC: RCPT TO:<c@y>\n",
            5,
            "the reply to RCPT",
        ),
        // Here it is our turn.
        ("S: 250 ok\n1 taken\n", 0, "the next command"),
        ("> noop\nC: NOOP\n", 5, "the reply to NOOP"),
        ("S: 250 ok\n> proceed\nC: DATA\n", 2, "the reply to DATA"),
        ("S: 354 go\nwant\n", 3, rest),
        ("> content x\\r\\n\nC: x\nwant\n", 3, rest),
        ("> end\nprepared\n", 3, rest),
        (
            "> complete\nC: .\n",
            10,
            "the reply to the end of the message",
        ),
    ];
    let mut script = opened("");
    for (at, (step, minutes, waited_for)) in moments.into_iter().enumerate() {
        script += step;
        let doubt = if minutes == 10 {
            "; the whole message had been sent, so it may have arrived all the same"
        } else {
            ""
        };
        let ends = |with: &str, status: &str| {
            smtp(&format!(
                "{script}{with}\n0 {status}\n1 {status}\nfinished\nclose\n"
            ));
        };
        if minutes == 0 {
            smtp(&format!("{script}> timer\n"));
        } else {
            let status = format!("4.4.2 {minutes} minutes passed before {waited_for}{doubt}");
            ends("> timer", &status);
        }
        let status = format!("4.4.2 the connection was lost before {waited_for}{doubt}");
        ends("> eof", &status);
        ends("S: 421 4.3.2 bye", "4.3.2 421 4.3.2 bye");
        let garbage = "the next hop sent a line without a reply code";
        ends(
            "S: HTTP/1.1 400",
            &format!("4.5.0 {garbage} as {waited_for}{doubt}"),
        );
        // To DATA and where nothing is due a 250 is out of step, else a 354.
        let odd = if [3, 5, 6, 7, 8].contains(&at) {
            "S: 250 ok"
        } else {
            "S: 354 go"
        };
        let status = "4.5.0 the next hop sent a reply that does not fit what was asked";
        ends(odd, &format!("{status}{doubt}"));
    }
}

/// Early, in the midst of content; the dot does not follow.
#[test]
fn a_peer_that_has_had_enough() {
    let head = opened("") + FIRST + "> proceed\nC: DATA\nS: 354 go\nwant\n";
    let end = "S: 552 5.3.4 big\n0 5.3.4 552 5.3.4 big\nfinished\nclose\n> complete\n";
    smtp(&format!("{head}{end}"));
    smtp(&format!("{head}> content a\nC: a\nwant\n{end}"));
    smtp(&format!("{head}> end\nprepared\n{end}"));
    // What cannot leave does not, and nothing of it is delivered.
    let bare = "0 5.6.0 the message has a line that does not end in CR and LF, which must not be \
                passed on\nfinished\nclose\n";
    smtp(&format!("{head}> content a\\n.\\nb\n{bare}"));
}

#[test]
fn a_session_that_had_ended_gives_the_transaction_back() {
    let again = "> hold a@x b@y\nC: RSET\n";
    for end in ["> eof\n", "S: 421 idle\n", "S: 500 rset?\n"] {
        smtp(&format!(
            "{}{FIRST}> abandon\n0 {GIVEN_UP}\nfinished\nready\n{again}{end}unstarted\nclose\n",
            opened("")
        ));
    }
    // Who has had an outcome by then would have two.
    smtp(&format!(
        "{}{FIRST}> abandon\n0 {GIVEN_UP}\nfinished\nready\n{again}> rcpt \u{e9}@y\n\
         1 5.6.7 the message needs internationalised mail (SMTPUTF8), which the next hop does not \
         offer\n> eof\n0 4.4.2 the connection was lost before the reply to RSET\nfinished\nclose\n",
        opened("")
    ));
    smtp(&format!(
        "{}> eof\nclose\n> hold a@x b@y\nunstarted\n",
        opened("")
    ));
}

/// What the driver or the peer does next; what is out of place is left out by whoever plays it.
#[derive(Clone, Debug)]
enum Move {
    /// The peer agrees, if something is due.
    Agree,
    Wire(Vec<u8>),
    Recipient,
    Proceed,
    Content,
    End,
    Complete,
    Noop,
    Abandon,
    Timer,
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        20 => Just(Move::Agree),
        3 => wire().prop_map(Move::Wire),
        8 => Just(Move::Recipient),
        4 => Just(Move::Proceed),
        4 => Just(Move::Content),
        4 => Just(Move::End),
        8 => Just(Move::Complete),
        2 => Just(Move::Noop),
        1 => Just(Move::Abandon),
        1 => Just(Move::Timer),
    ]
}

/// A driver that keeps its part of the contract, and what it has been told.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an action that came, or did not"
)]
struct Told {
    /// Of each recipient of the transaction in hand: how often it was taken, its outcomes.
    open: Option<Vec<(u32, u32)>>,
    wants_content: bool,
    prepared: bool,
    completed: bool,
    ready: bool,
    closed: bool,
    /// MAIL was said for it.
    begun: bool,
    /// It was given up after MAIL and before it was completed, and no RSET was said since.
    abandoned: bool,
}

impl Told {
    fn note(&mut self, action: Action) {
        assert!(!self.closed, "{action:?} behind Close");
        match action {
            Action::Accepted(index) => {
                let (taken, outcomes) = &mut self.open.as_mut().unwrap()[index];
                assert_eq!((*taken, *outcomes), (0, 0));
                *taken = 1;
            }
            Action::Outcome(index, outcome) => {
                let (taken, outcomes) = &mut self.open.as_mut().unwrap()[index];
                if outcome.class == OutcomeClass::Delivered {
                    assert!(*taken == 1 && self.completed);
                }
                *outcomes += 1;
                assert_eq!(*outcomes, 1);
            }
            Action::Finished => {
                let open = self.open.take().unwrap();
                assert!(open.iter().all(|(_, outcomes)| *outcomes == 1), "{open:?}");
                (self.wants_content, self.prepared) = (false, false);
            }
            Action::Unstarted(_) => {
                let open = self.open.take().unwrap();
                assert!(open.iter().all(|each| *each == (0, 0)), "{open:?}");
            }
            Action::WantContent => self.wants_content = true,
            Action::Prepared => self.prepared = true,
            Action::Ready => self.ready = true,
            Action::Close => {
                assert_eq!(self.open, None);
                self.closed = true;
            }
            Action::Write(octets) => {
                let says = |verb: &[u8]| octets.windows(4).any(|part| part == verb);
                self.abandoned &= !says(b"RSET");
                assert!(!self.abandoned, "{octets:?}");
                self.begun |= says(b"MAIL");
            }
            Action::StartTls | Action::SetTimer(_) | Action::Unusable(_) => {}
        }
    }

    /// The input that a move is now, if it has a place.
    fn input<'a>(&mut self, play: &'a Move, due: Option<&Expected>) -> Option<Input<'a>> {
        use core::mem::take;
        if self.closed {
            return None;
        }
        Some(match play {
            Move::Agree if due? == &Expected::Data => Input::Bytes(b"354 go\r\n"),
            Move::Agree => Input::Bytes(b"250 2.0.0 ok\r\n"),
            Move::Wire(octets) => Input::Bytes(octets),
            Move::Recipient if take(&mut self.ready) => {
                self.open = Some(vec![(0, 0)]);
                (self.begun, self.completed) = (false, false);
                Input::Hold(Box::new(transaction("a@x b@y unsized")))
            }
            Move::Recipient => Input::Recipient(Box::new(recipient("c@y"))),
            Move::Proceed => Input::Proceed,
            Move::Content if take(&mut self.wants_content) => Input::Content(b"x\r\n.\r\n"),
            Move::End if take(&mut self.wants_content) => Input::ContentEnd,
            Move::Complete if take(&mut self.prepared) => {
                self.completed = true;
                Input::Complete
            }
            Move::Content | Move::End | Move::Complete => return None,
            Move::Noop => Input::Noop,
            Move::Abandon => {
                self.abandoned |= self.open.is_some() && self.begun && !self.completed;
                Input::Abandon
            }
            Move::Timer => Input::TimerFired,
        })
    }
}

/// Whatever is said and done, whoever is in a transaction has one outcome in the end.
fn drive_held(protocol: Protocol, keywords: &str, moves: &[Move]) {
    let now = Now {
        mono: Mono::from_millis(0),
        wall: NOW,
    };
    let mut session = session(protocol, StartTls::Never);
    let mut told = Told::default();
    let mut actions = vec![];
    session.step(Input::Connected, now, &mut actions);
    session.step(Input::Bytes(b"220 hi\r\n"), now, &mut actions);
    let offers = format!("250-them\r\n{keywords}250 HELP\r\n");
    session.step(Input::Bytes(offers.as_bytes()), now, &mut actions);
    for action in actions.drain(..) {
        told.note(action);
    }
    for play in moves {
        let Some(input) = told.input(play, session.expected.front()) else {
            continue;
        };
        if matches!(input, Input::Recipient(_)) && session.awaits_recipients() {
            told.open.as_mut().unwrap().push((0, 0));
        }
        session.step(input, now, &mut actions);
        for action in actions.drain(..) {
            told.note(action);
        }
    }
    session.step(Input::EndOfStream, now, &mut actions);
    for action in actions.drain(..) {
        told.note(action);
    }
    assert_eq!(told.open, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]
    #[test]
    fn who_is_taken_once_has_one_outcome_whatever_is_said_and_done(
        lmtp: bool,
        pipelining: bool,
        chunking: bool,
        moves in proptest::collection::vec(moves(), 0..80),
    ) {
        let protocol = if lmtp { Protocol::Lmtp } else { Protocol::Smtp };
        let mut keywords = String::new();
        if pipelining {
            keywords.push_str("250-PIPELINING\r\n");
        }
        if chunking {
            keywords.push_str("250-CHUNKING\r\n");
        }
        drive_held(protocol, &keywords, &moves);
    }
}
