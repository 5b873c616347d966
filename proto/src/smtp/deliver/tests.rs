//! The session, step by step, against scripted peers. Held transactions are in `held`.

mod held;
mod per_recipient;

use super::*;
use crate::addr::{Domain, ForwardPath};
use crate::envelope::{Notify, OriginalRecipient, Ret};
use crate::outcome::{Onward, OutcomeClass, Remote};
use crate::residue::Claim;
use crate::smtp::command::Command;
use crate::smtp::parameters;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use proptest::prelude::*;

/// Any moment.
const NOW: Wall = Wall::from_secs(1_795_256_100);

/// A session that Example's host has been called for.
fn session(protocol: Protocol, starttls: StartTls) -> Session {
    Session::new(Settings {
        protocol,
        private: protocol == Protocol::Lmtp,
        hostname: Domain::parse("mx.us.example").unwrap(),
        starttls,
        remote: Remote {
            name: "mx.them.example".into(),
            address: None,
        },
        timeouts: Timeouts::default(),
    })
}

/// `from to,to [8] [U] [each] [size=n|unsized]`; a hyphen is nobody.
fn transaction(words: &str) -> Transaction {
    let mut words = words.split(' ');
    let reverse_path = ReversePath::parse_inside(words.next().unwrap().trim_matches('-')).unwrap();
    let recipients = words
        .next()
        .unwrap()
        .split(',')
        .filter(|path| !path.is_empty() && *path != "-");
    let mut transaction = Transaction {
        reverse_path,
        recipients: recipients.map(recipient).collect(),
        body: BodyType::SevenBit,
        smtputf8: false,
        requests: Requests::default(),
        size: Some(100),
        per_recipient: false,
        through: Through::default(),
        claim: None,
    };
    for word in words {
        match word {
            "8" => transaction.body = BodyType::EightBitMime,
            "U" => transaction.smtputf8 = true,
            "claim" => {
                transaction.claim = Claim::parse("79bf9.870834f17f8ca9078fdba2f63449d26a").ok();
            }
            "through" => {
                let line =
                    b"MAIL FROM:<> XHOLD=S:55:115:2 XTID=q1@a.example XVIA=ABCDEFGH,22222222";
                let Ok(Command::Mail(mail)) = Command::parse(line) else {
                    panic!("a command");
                };
                transaction.through = mail.through;
            }
            "requiretls" => transaction.requests.require_tls = true,
            "asking" => {
                transaction.requests.ret = Some(Ret::Headers);
                transaction.requests.envid = Some("QQ 1".into());
                for recipient in &mut transaction.recipients {
                    recipient.notify = Some(Notify::Never);
                    recipient.original = Some(OriginalRecipient {
                        address_type: "utf-8".into(),
                        address: "j\u{f6}rg@y".into(),
                    });
                }
            }
            by if by.starts_with("by=") => {
                let by = parameters::parse_by(&by[3..]).unwrap();
                transaction.requests.deliver_by = Some(by.from(NOW));
            }
            "each" => transaction.per_recipient = true,
            "unsized" => transaction.size = None,
            size => transaction.size = size.strip_prefix("size=").unwrap().parse().ok(),
        }
    }
    transaction
}

fn recipient(path: &str) -> Recipient {
    ForwardPath::parse_inside(path).unwrap().into()
}

fn show(action: Action, into: &mut Vec<String>) {
    match action {
        Action::Write(octets) => {
            let text = String::from_utf8_lossy(&octets).into_owned();
            into.extend(
                text.split_inclusive('\n')
                    .map(|line| String::from(format!("C: {line}").trim_end())),
            );
        }
        Action::Accepted(index) => into.push(format!("{index} taken")),
        Action::Outcome(index, outcome) => {
            let onward = match outcome.onward {
                Onward::Relay { reports: true, .. } => " (reports)",
                Onward::Relay {
                    deadlines: true, ..
                } => " (deadlines)",
                Onward::Mailbox if outcome.class == OutcomeClass::Delivered => " (mailbox)",
                _ => "",
            };
            into.push(format!(
                "{index} {} {}{onward}",
                outcome.status,
                outcome.diagnostic.text()
            ));
        }
        Action::Unusable(outcome) => {
            into.push(format!(
                "unusable {} {}",
                outcome.status,
                outcome.diagnostic.text()
            ));
        }
        Action::SetTimer(_) => {}
        Action::WantContent => into.push("want".into()),
        Action::Prepared => into.push("prepared".into()),
        Action::Finished => into.push("finished".into()),
        Action::Ready => into.push("ready".into()),
        Action::StartTls => into.push("starttls".into()),
        Action::Unstarted(_) => into.push("unstarted".into()),
        Action::Close => into.push("close".into()),
    }
}

/// Plays a script: `S:` the peer sends (lines that follow each other at once), `>` an input;
/// every other line is what must come out.
fn play(mut session: Session, script: &str) {
    let now = Now {
        mono: Mono::from_millis(0),
        wall: NOW,
    };
    let mut actions = vec![];
    session.step(Input::Connected, now, &mut actions);
    let mut came: Vec<String> = vec![];
    let mut lines = script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .peekable();
    while let Some(line) = lines.next() {
        actions.drain(..).for_each(|action| show(action, &mut came));
        if let Some(text) = line.strip_prefix("S: ") {
            assert!(came.is_empty(), "unexpected {came:?} before {line}");
            let mut wire = format!("{text}\r\n");
            while let Some(more) = lines.peek().and_then(|line| line.strip_prefix("S: ")) {
                wire += more;
                wire += "\r\n";
                lines.next();
            }
            session.step(Input::Bytes(wire.as_bytes()), now, &mut actions);
        } else if let Some(input) = line.strip_prefix("> ") {
            assert!(came.is_empty(), "unexpected {came:?} before {line}");
            let (word, rest) = input.split_once(' ').unwrap_or((input, ""));
            let content = rest.replace("\\r", "\r").replace("\\n", "\n");
            let input = match word {
                "deliver" => Input::Deliver(Box::new(transaction(rest))),
                "hold" => Input::Hold(Box::new(transaction(rest))),
                "rcpt" => Input::Recipient(Box::new(recipient(rest))),
                "proceed" => Input::Proceed,
                "abandon" => Input::Abandon,
                "noop" => Input::Noop,
                "content" => Input::Content(content.as_bytes()),
                "raw" => Input::Bytes(content.as_bytes()),
                "end" => Input::ContentEnd,
                "failed" => Input::ContentFailed,
                "complete" => Input::Complete,
                "tls" => Input::TlsStarted,
                "timer" => Input::TimerFired,
                "eof" => Input::EndOfStream,
                "quit" => Input::Quit,
                _ => panic!("{word}?"),
            };
            session.step(input, now, &mut actions);
        } else {
            assert!(!came.is_empty(), "nothing came for {line}\n{session:?}");
            assert_eq!(came.remove(0), line, "then {came:?}");
        }
    }
    actions.drain(..).for_each(|action| show(action, &mut came));
    assert!(came.is_empty(), "unexpected {came:?} at the end");
}

fn smtp(script: &str) {
    play(session(Protocol::Smtp, StartTls::Never), script);
}

/// To [`Action::Ready`], with these keywords offered.
fn opened(keywords: &str) -> String {
    let mut script = String::from("S: 220 hi\nC: EHLO mx.us.example\nS: 250-them\n");
    for keyword in keywords.split(',') {
        script.extend(["S: 250-", keyword, "\n"]);
    }
    script + "S: 250 HELP\nready\n"
}

#[test]
fn the_plain_way() {
    smtp(
        "
        S: 220 hi
        C: EHLO mx.us.example
        S: 250 them
        ready
        > deliver a@x b@y,c@y 8
        C: MAIL FROM:<a@x>
        S: 250 ok
        C: RCPT TO:<b@y>
        S: 250 ok
        C: RCPT TO:<c@y>
        S: 251 ok
        C: DATA
        S: 354 go
        want
        > content Subject: x\\r\\n\\r\\n.\\r
        C: Subject: x
        C:
        C: ..
        want
        > content \\nlast
        C:
        C: last
        want
        > end
        C:
        prepared
        > complete
        C: .
        S: 250 2.6.0 queued
        0 2.6.0 250 2.6.0 queued
        1 2.6.0 250 2.6.0 queued
        finished
        ready
        > deliver - postmaster
        C: MAIL FROM:<>
        S: 250 ok
        C: RCPT TO:<postmaster>
        > quit
        0 4.3.2 this server is stopping
        finished
        close
        ",
    );
}

#[test]
fn all_that_is_offered_is_used() {
    let head = opened("PIPELINING,SIZE 1000,8BITMIME,SMTPUTF8,CHUNKING");
    smtp(
        &(head
            + "
        > deliver root é@y,c@y 8 U
        C: MAIL FROM:<root@mx.us.example> SIZE=100 BODY=8BITMIME SMTPUTF8
        C: RCPT TO:<é@y>
        C: RCPT TO:<c@y>
        S: 250 ok
        S: 550 5.1.1 who
        0 5.1.1 550 5.1.1 who
        S: 250 ok
        want
        > content a\\r\\n
        C: BDAT 1
        C: a
        want
        > content .\\r\\n
        C: BDAT 3
        C:
        C: .
        want
        > end
        prepared
        S: 250 ok
        > complete
        C: BDAT 2 LAST
        C:
        S: 250 ok
        S: 250 done
        1 2.0.0 250 done
        finished
        ready
        > quit
        C: QUIT
        S: 221 bye
        close
        "),
    );
}

#[test]
fn what_is_not_offered_is_refused_here() {
    smtp(&(opened("SIZE 50") + "
        > deliver a@x b@y,c@y size=51
        0 5.3.4 the message has 51 octets; the next hop takes no more than 50
        1 5.3.4 the message has 51 octets; the next hop takes no more than 50
        finished
        ready
        > deliver é@x b@y size=1
        0 5.6.7 the message needs internationalised mail (SMTPUTF8), which the next hop does not offer
        finished
        ready
        > deliver a@x b@y size=1 8
        C: MAIL FROM:<a@x> SIZE=1
        S: 250 ok
        C: RCPT TO:<b@y>
        S: 250 ok
        C: DATA
        S: 354 go
        want
        > content é\\r\\n
        0 5.6.3 the message has octets above 127, which the next hop does not take (8BITMIME)
        finished
        close
        "));
}

#[test]
fn recipients_and_data_refused() {
    smtp(
        &(opened("PIPELINING")
            + "
        > deliver a@x b@y,c@y
        C: MAIL FROM:<a@x>
        C: RCPT TO:<b@y>
        C: RCPT TO:<c@y>
        C: DATA
        S: 250 ok
        S: 552 too many
        S: 450 4.2.0 grey
        0 4.5.3 552 too many
        1 4.2.0 450 4.2.0 grey
        finished
        S: 354 go
        C: .
        S: 250 fine
        ready
        > deliver a@x b@y
        C: RSET
        C: MAIL FROM:<a@x>
        C: RCPT TO:<b@y>
        C: DATA
        S: 250 ok
        S: 550 5.7.1 no
        0 5.7.1 550 5.7.1 no
        finished
        S: 503 no
        S: 503 no
        ready
        > deliver a@x b@y
        C: RSET
        C: MAIL FROM:<a@x>
        C: RCPT TO:<b@y>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 250 ok
        S: 451 later
        0 4.0.0 451 later
        finished
        ready
        "),
    );
}

#[test]
fn a_chunk_is_refused_on_the_way() {
    smtp(
        &(opened("PIPELINING,CHUNKING")
            + "
        > deliver a@x b@y
        C: MAIL FROM:<a@x>
        C: RCPT TO:<b@y>
        S: 250 ok
        S: 250 ok
        want
        > content abc
        C: BDAT 1
        C: a
        want
        > content def
        C: BDAT 3
        C: bcd
        want
        S: 552 5.3.4 big
        0 5.3.4 552 5.3.4 big
        finished
        > content late
        S: 503 5.5.1 no
        ready
        > deliver a@x b@y
        C: RSET
        C: MAIL FROM:<a@x>
        C: RCPT TO:<b@y>
        S: 250 ok
        S: 250 ok
        S: 250 ok
        want
        > failed
        0 4.3.0 the message could not be read from this server's own storage
        finished
        ready
        "),
    );
}

#[test]
fn lmtp_answers_for_each_recipient() {
    play(session(Protocol::Lmtp, StartTls::Never), "
        S: 220 hi
        C: LHLO mx.us.example
        S: 250-them
        S: 250 PIPELINING
        ready
        > deliver a@x b@y,c@y,d@y
        C: MAIL FROM:<a@x>
        C: RCPT TO:<b@y>
        C: RCPT TO:<c@y>
        C: RCPT TO:<d@y>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 550 5.1.1 no
        S: 250 ok
        S: 354 go
        1 5.1.1 550 5.1.1 no
        want
        > end
        prepared
        > complete
        C: .
        S: 250 2.0.0 one
        0 2.0.0 250 2.0.0 one (mailbox)
        > eof
        2 4.4.2 the connection was lost before the reply to the end of the message; the whole message had been sent, so it may have arrived all the same
        finished
        close
        ");
    play(
        session(Protocol::Lmtp, StartTls::Never),
        "
        S: 220 hi
        C: LHLO mx.us.example
        S: 500 what
        unusable 4.3.2 500 what
        close
        ",
    );
}

#[test]
fn tls_is_started_when_offered_and_forgets_what_was_said() {
    play(
        session(Protocol::Smtp, StartTls::IfOffered),
        "
        S: 220 hi
        C: EHLO mx.us.example
        S: 250-them
        S: 250-CHUNKING
        S: 250 STARTTLS
        C: STARTTLS
        S: 220 go
        starttls
        > tls
        C: EHLO mx.us.example
        S: 250-them
        S: 250 STARTTLS
        ready
        > deliver a@x b@y
        C: MAIL FROM:<a@x>
        S: 250 ok
        C: RCPT TO:<b@y>
        S: 250 ok
        C: DATA
        > eof
        0 4.4.2 the connection was lost before the reply to DATA
        finished
        close
        ",
    );
    play(
        session(Protocol::Smtp, StartTls::IfOffered),
        "
        S: 220 hi
        C: EHLO mx.us.example
        S: 250-them
        S: 250 STARTTLS
        C: STARTTLS
        S: 454 no
        ready
        ",
    );
    play(
        session(Protocol::Smtp, StartTls::IfOffered),
        "
        S: 220 hi
        C: EHLO mx.us.example
        S: 250-them
        S: 250 STARTTLS
        C: STARTTLS
        > raw 220 go\\r\\n250 evil\\r\\n
        starttls
        unusable 4.5.0 the next hop sent more in clear after it agreed to start TLS
        close
        ",
    );
}

/// To [`Action::Ready`] under TLS, with these lines behind the host's name.
fn under_tls(offers: &str) -> String {
    format!(
        "S: 220 hi\nC: EHLO mx.us.example\nS: 250-them\nS: 250-REQUIRETLS\nS: 250 STARTTLS\n\
         C: STARTTLS\nS: 220 go\nstarttls\n> tls\nC: EHLO mx.us.example\nS: 250-them\n{offers}\
         ready\n"
    )
}

/// RFC 8689 §4.2.1: what was offered in clear counts for nothing, and TLS with anybody neither.
#[test]
fn what_no_hop_without_tls_may_have_goes_only_where_that_is_kept() {
    let deliver = "> deliver a@x b@y requiretls\n";
    let unverified = "0 5.7.10 the message may go under TLS only, with a certificate of this very \
                      host\nfinished\nready\n";
    let unkept = "0 5.7.30 the message may go only where REQUIRETLS is offered\nfinished\nready\n";
    let taken = "C: MAIL FROM:<a@x> REQUIRETLS\n";
    for (starttls, offers, end) in [
        (StartTls::Verified, "S: 250 REQUIRETLS\n", taken),
        (StartTls::Verified, "S: 250 PIPELINING\n", unkept),
        (StartTls::Required, "S: 250 REQUIRETLS\n", unverified),
        (StartTls::IfOffered, "S: 250 REQUIRETLS\n", unverified),
    ] {
        let script = format!("{}{deliver}{end}", under_tls(offers));
        play(session(Protocol::Smtp, starttls), &script);
    }
    smtp(&format!("{}{deliver}{unverified}", opened("REQUIRETLS")));
    // Nobody else's message has anything said of it.
    let script = format!(
        "{}> deliver a@x b@y\nC: MAIL FROM:<a@x>\n",
        under_tls("S: 250 REQUIRETLS\n")
    );
    play(session(Protocol::Smtp, StartTls::Verified), &script);
    // A report goes all the same.
    smtp(&format!(
        "{}> deliver - b@y requiretls\nC: MAIL FROM:<>\n",
        opened("REQUIRETLS")
    ));
    let script = format!(
        "{}> deliver - b@y requiretls\nC: MAIL FROM:<> REQUIRETLS\n",
        under_tls("S: 250 REQUIRETLS\n")
    );
    play(session(Protocol::Smtp, StartTls::Verified), &script);
}

#[test]
fn what_is_said_of_a_path_goes_only_where_it_is_offered() {
    let deliver = "> deliver a@x b@y through\n";
    let said = "C: MAIL FROM:<a@x> XHOLD=S:55:115:2 XTID=q1@a.example XVIA=ABCDEFGH,22222222\n";
    smtp(&format!("{}{deliver}{said}", opened("XHOLD 5 600 8")));
    for offers in ["DSN", "XHOLD", "XHOLD 5 600"] {
        let script = format!("{}{deliver}C: MAIL FROM:<a@x>\n", opened(offers));
        smtp(&script);
    }
    smtp(&format!(
        "{}> deliver a@x b@y\nC: MAIL FROM:<a@x>\n",
        opened("XHOLD 5 600 8")
    ));
}

#[test]
fn what_is_claimed_goes_only_where_it_is_offered() {
    let deliver = "> deliver a@x b@y claim\n";
    let said = "C: MAIL FROM:<a@x> XVOUCH=79bf9.870834f17f8ca9078fdba2f63449d26a\n";
    smtp(&format!("{}{deliver}{said}", opened("XVOUCH")));
    smtp(&format!("{}{deliver}C: MAIL FROM:<a@x>\n", opened("DSN")));
}

/// Behind LMTP is a mailbox, which offers nothing; but there may be a network before it.
#[test]
fn what_no_hop_without_tls_may_have_goes_into_mailboxes() {
    let lmtp = |end: &str| {
        format!(
            "S: 220 hi\nC: LHLO mx.us.example\nS: 250 them\nready\n\
             > deliver a@x b@y requiretls\n{end}\n"
        )
    };
    let here = session(Protocol::Lmtp, StartTls::Never);
    play(here, &lmtp("C: MAIL FROM:<a@x>"));
    let mut far = session(Protocol::Lmtp, StartTls::Never);
    far.settings.private = false;
    let end = "0 5.7.10 the message may go under TLS only, with a certificate of this very host\n\
               finished\nready";
    play(far, &lmtp(end));
    let mut far = session(Protocol::Lmtp, StartTls::Verified);
    far.settings.private = false;
    let script = under_tls("")
        .replace("EHLO", "LHLO")
        .replace("250-them\nready", "250 them\nready");
    let script = script + "> deliver a@x b@y requiretls\nC: MAIL FROM:<a@x>\n";
    play(far, &script);
}

#[test]
fn without_tls_that_is_required_nothing_is_said() {
    let refused = "unusable 4.7.4 TLS is required for this host, and it did not offer STARTTLS";
    for (script, end) in [
        ("S: 250-them\nS: 250 PIPELINING", refused),
        ("S: 500 what\nC: HELO mx.us.example\nS: 250 them", refused),
        (
            "S: 250-them\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 4.7.0 no",
            "unusable 4.7.0 454 4.7.0 no",
        ),
        (
            "S: 250-them\nS: 250 STARTTLS\nC: STARTTLS\nS: 501 5.5.2 no",
            "unusable 4.5.2 501 5.5.2 no",
        ),
    ] {
        play(
            session(Protocol::Smtp, StartTls::Required),
            &format!("S: 220 hi\nC: EHLO mx.us.example\n{script}\n{end}\nclose"),
        );
    }
    play(
        session(Protocol::Smtp, StartTls::Required),
        "
        S: 220 hi
        C: EHLO mx.us.example
        S: 250-them
        S: 250 STARTTLS
        C: STARTTLS
        S: 220 go
        starttls
        > tls
        C: EHLO mx.us.example
        S: 250 them
        ready
        ",
    );
}

#[test]
fn hosts_that_are_of_no_use() {
    for (script, status) in [
        ("S: 554 5.7.1 go away", "4.7.1 554 5.7.1 go away"),
        ("S: 421 4.3.2 busy", "4.3.2 421 4.3.2 busy"),
        ("S: 521 no mail here", "5.3.2 521 no mail here"),
        (
            "S: 220 hi\nC: EHLO mx.us.example\nS: 500 what\nC: HELO mx.us.example\nS: 550 no",
            "4.3.2 550 no",
        ),
        (
            "S: HTTP/1.1 200 OK",
            "4.5.0 the next hop sent a line without a reply code as the greeting",
        ),
        ("> eof", "4.4.2 the connection was lost before the greeting"),
        ("> timer", "4.4.2 5 minutes passed before the greeting"),
        (
            "S: 220 hi\nS: 250 early\nC: EHLO mx.us.example",
            "4.5.0 the next hop sent a reply that does not fit what was asked",
        ),
    ] {
        smtp(&format!("{script}\nunusable {status}\nclose"));
    }
    smtp("S: 220 hi\nC: EHLO mx.us.example\nS: 502 what\nC: HELO mx.us.example\nS: 250 old\nready");
}

#[test]
fn a_session_that_ends_between_messages_gives_the_next_one_back() {
    let first = opened("PIPELINING")
        + "
        > deliver a@x b@y
        C: MAIL FROM:<a@x>
        C: RCPT TO:<b@y>
        C: DATA
        S: 550 no
        0 5.0.0 550 no
        finished
        S: 503 no
        S: 503 no
        ready
        > deliver a@x b@y
        C: RSET
        C: MAIL FROM:<a@x>
        C: RCPT TO:<b@y>
        C: DATA
        ";
    for end in [
        "> eof",
        "S: 421 enough",
        "S: 250 ok\nS: 421 enough",
        "S: 500 rset?",
    ] {
        smtp(&format!("{first}\n{end}\nunstarted\nclose"));
    }
    smtp(&format!("{}\n> eof\nclose", opened("")));
    smtp(&format!(
        "{}\nS: 421 idle\nclose\n> deliver a@x b@y\nunstarted",
        opened("")
    ));
}

#[test]
fn a_server_that_does_not_wait_for_the_dot() {
    let head = opened("")
        + "
        > deliver a@x b@y
        C: MAIL FROM:<a@x>
        S: 250 ok
        C: RCPT TO:<b@y>
        S: 250 ok
        C: DATA
        S: 354 go
        want
        ";
    smtp(&format!(
        "{head}\nS: 552 5.3.4 enough\n0 5.3.4 552 5.3.4 enough\nfinished\nclose"
    ));
    let step = "0 4.5.0 the next hop sent a reply that does not fit what was asked";
    smtp(&format!("{head}\nS: 250 thanks\n{step}\nfinished\nclose"));
    let local = "0 4.3.0 the message could not be read from this server's own storage";
    smtp(&format!("{head}\n> failed\n{local}\nfinished\nclose"));
    let slow = "0 4.4.2 3 minutes passed before the rest of the message was taken";
    smtp(&format!("{head}\n> timer\n{slow}\nfinished\nclose"));
}

#[test]
fn timers_are_those_of_the_standard() {
    let mut session = session(Protocol::Smtp, StartTls::Never);
    let mut timers = vec![];
    let mut step = |input: Input<'_>| {
        let now = Now {
            mono: Mono::from_millis(0),
            wall: NOW,
        };
        let mut actions = vec![];
        session.step(input, now, &mut actions);
        let timer = actions
            .iter()
            .position(|action| matches!(action, Action::SetTimer(_)));
        assert!(timer.is_none_or(|at| at == 0), "the timer comes first");
        if let Some(Action::SetTimer(at)) = actions.first() {
            timers.push(at.as_millis() / 60_000);
        }
    };
    step(Input::Connected);
    for reply in ["220 hi", "250 hi"] {
        step(Input::Bytes(format!("{reply}\r\n").as_bytes()));
    }
    step(Input::Deliver(Box::new(transaction("a@x b@y"))));
    for reply in ["250 ok", "2", "50 ok", "354 ok"] {
        let end = if reply == "2" { "" } else { "\r\n" };
        step(Input::Bytes(format!("{reply}{end}").as_bytes()));
    }
    step(Input::Content(b"x\r\n"));
    step(Input::ContentEnd);
    step(Input::Complete);
    assert_eq!(timers, [5, 5, 5, 5, 2, 3, 3, 3, 10]);
}

/// What a peer says of its own accord, sense and nonsense.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::sample::select(vec!["220 a", "250 ok", "250 2.0.0 ok", "354 go", "250-x"])
            .prop_map(|line| format!("{line}\r\n").into_bytes()),
        2 => prop::sample::select(vec![
            "250-PIPELINING", "250-CHUNKING", "250 STARTTLS", "450 no", "550 no", "552 no",
            "421 bye", "503 no",
        ])
        .prop_map(|line| format!("{line}\r\n").into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..5),
    ]
}

/// Drives a session with random replies; every recipient must end in one outcome, or all of a
/// transaction in none and be given back. Returns whether it went that way.
fn drive(protocol: Protocol, wires: Vec<Vec<u8>>, end: u8) {
    let now = Now {
        mono: Mono::from_millis(0),
        wall: NOW,
    };
    let mut session = session(protocol, StartTls::IfOffered);
    let mut wires = wires.into_iter();
    let mut actions = vec![];
    let mut open: Option<Vec<u32>> = None;
    let mut begun = 0;
    session.step(Input::Connected, now, &mut actions);
    loop {
        let mut input = None;
        for action in core::mem::take(&mut actions) {
            match action {
                Action::Outcome(index, _) => open.as_mut().unwrap()[index] += 1,
                Action::Finished => assert_eq!(open.take(), Some(vec![1, 1, 1])),
                Action::Unstarted(_) => {
                    assert!(begun > 1);
                    assert_eq!(open.take(), Some(vec![0, 0, 0]));
                }
                Action::Ready => {
                    assert_eq!(open, None);
                    input = Some(Input::Deliver(Box::new(transaction("a@x b@y,c@y,d@y"))));
                }
                Action::WantContent if begun % 5 == 4 => input = Some(Input::ContentFailed),
                Action::WantContent if begun % 3 == 0 => input = Some(Input::ContentEnd),
                Action::WantContent => {
                    begun += 1;
                    input = Some(Input::Content(b"x\r\n.\r\n"));
                }
                Action::Prepared => input = Some(Input::Complete),
                Action::StartTls => input = Some(Input::TlsStarted),
                Action::Close => {
                    assert_eq!(open, None);
                    return;
                }
                Action::Accepted(_) => panic!("nothing is held"),
                Action::Write(_) | Action::SetTimer(_) | Action::Unusable(_) => {}
            }
        }
        if matches!(input, Some(Input::Deliver(_))) {
            open = Some(vec![0, 0, 0]);
            begun += 1;
        }
        let next = wires.next();
        session.step(
            match (&input, &next) {
                (Some(_), _) => input.take().unwrap(),
                (None, Some(wire)) => Input::Bytes(wire),
                (None, None) if end == 0 => Input::TimerFired,
                (None, None) if end == 1 => Input::Quit,
                (None, None) => Input::EndOfStream,
            },
            now,
            &mut actions,
        );
        if next.is_none() && actions.is_empty() {
            session.step(Input::EndOfStream, now, &mut actions);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]
    #[test]
    fn every_recipient_has_one_outcome_whatever_is_said(
        lmtp: bool,
        wires in proptest::collection::vec(wire(), 0..60),
        end in 0u8..3,
    ) {
        drive(if lmtp { Protocol::Lmtp } else { Protocol::Smtp }, wires, end);
    }
}

#[test]
fn what_was_asked_goes_on_to_whoever_offers_to_keep_it() {
    for (keywords, mail, rcpt, taken) in [
        (
            "DSN",
            "C: MAIL FROM:<a@x> RET=HDRS ENVID=QQ+201",
            "C: RCPT TO:<b@y> NOTIFY=NEVER ORCPT=utf-8;j\\x{F6}rg@y",
            " (reports)",
        ),
        (
            "DSN,SMTPUTF8",
            "C: MAIL FROM:<a@x> SMTPUTF8 RET=HDRS ENVID=QQ+201",
            "C: RCPT TO:<b@y> NOTIFY=NEVER ORCPT=utf-8;j\u{f6}rg@y",
            " (reports)",
        ),
        ("HELP", "C: MAIL FROM:<a@x>", "C: RCPT TO:<b@y>", ""),
        (
            "DELIVERBY",
            "C: MAIL FROM:<a@x> BY=120;NT",
            "C: RCPT TO:<b@y>",
            " (deadlines)",
        ),
    ] {
        let wide = if keywords.contains("UTF8") { " U" } else { "" };
        let script = format!(
            "{}> deliver a@x b@y asking by=120;NT{wide}\n{mail}\nS: 250 ok\n{rcpt}\nS: 250 ok\n\
             C: DATA\nS: 354 go\nwant\n> end\nprepared\n> complete\nC: .\nS: 250 taken\n\
             0 2.0.0 250 taken{taken}\nfinished\nready\n",
            opened(keywords)
        );
        smtp(&script);
    }
}

#[test]
fn what_must_come_back_in_time_goes_only_to_whoever_promises_it() {
    let cannot = "> deliver a@x b@y by=120;R\n0 5.4.7 the next hop";
    for (keywords, end) in [
        ("HELP", "does not promise to deliver in time (DELIVERBY)"),
        (
            "DELIVERBY 240",
            "takes no message that is wanted so soon (DELIVERBY)",
        ),
    ] {
        smtp(&format!(
            "{}{cannot} {end}\nfinished\nready\n",
            opened(keywords)
        ));
    }
    smtp(&format!(
        "{}> deliver a@x b@y by=120;R\nC: MAIL FROM:<a@x> BY=120;R\n",
        opened("DELIVERBY 120")
    ));
}
