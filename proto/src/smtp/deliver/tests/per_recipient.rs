//! PRDR: a last word for each recipient, where the next hop gives one.

use super::*;

/// MAIL to three recipients of whom the second is refused, up to the dot.
const SENT: &str = "
    > deliver a@x b@y,c@y,d@y each
    C: MAIL FROM:<a@x> PRDR
    C: RCPT TO:<b@y>
    C: RCPT TO:<c@y>
    C: RCPT TO:<d@y>
    C: DATA
    S: 250 ok
    S: 250 ok
    S: 550 5.1.1 who
    1 5.1.1 550 5.1.1 who
    S: 250 ok
    S: 354 go
    want
    > content hi\\r\\n
    C: hi
    want
    > end
    prepared
    > complete
    C: .
    ";

fn after_the_dot(script: &str) {
    smtp(&(opened("PIPELINING,PRDR") + SENT + script));
}

#[test]
fn each_recipient_has_its_own_last_word() {
    // draft-hall-prdr-00 §5.1.
    after_the_dot(
        "
        S: 353 content analysis has started
        S: 550 5.6.0 refuses the content
        S: 250 2.1.5 accepts the content
        S: 250 data accepted by some recipients
        0 5.6.0 550 5.6.0 refuses the content
        2 2.0.0 250 data accepted by some recipients
        finished
        ready
        > deliver a@x b@y
        C: MAIL FROM:<a@x>
        C: RCPT TO:<b@y>
        C: DATA
        ",
    );
}

#[test]
fn nothing_is_acted_upon_before_the_final_reply() {
    for (end, text) in [
        (
            "> eof",
            "the connection was lost before the reply to the end of the message",
        ),
        (
            "> timer",
            "10 minutes passed before the reply to the end of the message",
        ),
    ] {
        let lost = |place| {
            let sent = "the whole message had been sent, so it may have arrived all the same";
            format!("{place} 4.4.2 {text}; {sent}\n")
        };
        let block = "S: 353 one moment\nS: 250 ok\nS: 550 no\n";
        for heard in [1, 2, 3] {
            let said: String = block.split_inclusive('\n').take(heard).collect();
            let script = said + end + "\n" + &lost(0) + &lost(2) + "finished\nclose";
            after_the_dot(&script);
        }
    }
    after_the_dot(
        "
        S: 353 one moment
        S: 550 no
        S: 421 leaving
        0 4.0.0 421 leaving
        2 4.0.0 421 leaving
        finished
        close
        ",
    );
}

#[test]
fn the_final_reply_says_what_an_acceptance_is_worth() {
    // Whoever was refused was refused; nobody else has it (§4.5.3, §4.6).
    for (own, last, first, second) in [
        (
            "450 4.2.2 full",
            "550 5.6.0 no",
            "4.2.2 450 4.2.2 full",
            "5.6.0 550 5.6.0 no",
        ),
        (
            "550 5.6.0 no",
            "451 4.3.0 disk",
            "5.6.0 550 5.6.0 no",
            "4.3.0 451 4.3.0 disk",
        ),
        (
            "250 ok",
            "451 4.3.0 disk",
            "4.3.0 451 4.3.0 disk",
            "4.3.0 451 4.3.0 disk",
        ),
    ] {
        after_the_dot(&format!(
            "
            S: 353 one moment
            S: {own}
            S: 250 ok
            S: {last}
            0 {first}
            2 {second}
            finished
            ready
            > deliver a@x b@y
            C: RSET
            C: MAIL FROM:<a@x>
            C: RCPT TO:<b@y>
            C: DATA
            > quit
            0 4.3.2 this server is stopping
            finished
            close
            "
        ));
    }
    // As Exim does where some are put off and the others refused.
    after_the_dot(
        "
        S: 353 one moment
        S: 450 later
        S: 550 no
        S: 250 accepted for some recipients
        0 4.0.0 450 later
        2 5.0.0 550 no
        finished
        ready
        ",
    );
}

#[test]
fn one_reply_stands_for_all_as_ever() {
    for (reply, status) in [
        ("250 ok", "2.0.0"),
        ("450 later", "4.0.0"),
        ("550 no", "5.0.0"),
    ] {
        after_the_dot(&format!(
            "
            S: {reply}
            0 {status} {reply}
            2 {status} {reply}
            finished
            ready
            "
        ));
    }
}

#[test]
fn what_fits_no_answer_is_out_of_step() {
    let fits_not = "4.5.0 the next hop sent a reply that does not fit what was asked; the whole \
                    message had been sent, so it may have arrived all the same";
    for block in [
        "S: 354 go",
        "S: 353 a\nS: 353 a",
        "S: 353 a\nS: 250 b\nS: 250 c\nS: 354 d",
    ] {
        let end = format!("\n0 {fits_not}\n2 {fits_not}\nfinished\nclose");
        after_the_dot(&(String::from(block) + &end));
    }
    // Not asked for, and so not to be had.
    let fits_not = fits_not.split(';').next().unwrap();
    smtp(&format!(
        "{}
        > deliver a@x b@y
        C: MAIL FROM:<a@x>
        C: RCPT TO:<b@y>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go
        want
        > end
        prepared
        > complete
        C: .
        S: 353 one moment
        0 {fits_not}; the whole message had been sent, so it may have arrived all the same
        finished
        close
        ",
        opened("PIPELINING,PRDR")
    ));
}

#[test]
fn it_is_asked_for_where_it_is_offered_wanted_and_of_use() {
    for (offered, words, said) in [
        ("PRDR", "b@y,c@y each", " PRDR"),
        ("PRDR", "b@y each", ""),
        ("PRDR", "b@y,c@y", ""),
        ("DSN", "b@y,c@y each", ""),
    ] {
        let head = opened(offered);
        smtp(&format!(
            "{head}> deliver a@x {words}\nC: MAIL FROM:<a@x>{said}"
        ));
    }
    let lmtp = "S: 220 hi\nC: LHLO mx.us.example\nS: 250-them\nS: 250 PRDR\nready\n";
    let script = String::from(lmtp) + "> deliver a@x b@y,c@y each\nC: MAIL FROM:<a@x>";
    play(session(Protocol::Lmtp, StartTls::Never), &script);
}

#[test]
fn of_a_held_transaction_nobody_knows_how_many_will_come() {
    smtp(
        &(opened("PIPELINING,CHUNKING,PRDR")
            + "
        > hold a@x b@y unsized each
        C: MAIL FROM:<a@x> PRDR
        C: RCPT TO:<b@y>
        S: 250 ok
        S: 250 ok
        0 taken
        > rcpt c@y
        C: RCPT TO:<c@y>
        S: 250 ok
        1 taken
        > proceed
        want
        > content hi\\r\\n
        C: BDAT 2
        C: hi
        want
        > end
        prepared
        > complete
        C: BDAT 2 LAST
        C:
        S: 250 chunk
        S: 353 one moment
        S: 250 ok
        S: 552 5.2.2 full
        S: 250 for one
        1 5.2.2 552 5.2.2 full
        0 2.0.0 250 for one
        finished
        ready
        "),
    );
}

/// A client of ours waits for all of it, and no longer than it would for one.
#[test]
fn all_words_of_a_held_transaction_come_within_one_time() {
    let mut session = session(Protocol::Smtp, StartTls::Never);
    let mut timers = Vec::new();
    let mut at = 0;
    let mut step = |input: Input<'_>| {
        at += 1_000;
        let now = Now {
            mono: Mono::from_millis(at),
            wall: NOW,
        };
        let mut actions = Vec::new();
        session.step(input, now, &mut actions);
        let sets = |action: &Action| matches!(action, Action::SetTimer(_));
        timers.push(actions.iter().filter(|action| sets(action)).count());
    };
    step(Input::Connected);
    step(Input::Bytes(b"220 hi\r\n"));
    step(Input::Bytes(b"250-them\r\n250 PRDR\r\n"));
    step(Input::Hold(Box::new(transaction("a@x b@y unsized each"))));
    step(Input::Bytes(b"250 ok\r\n"));
    step(Input::Bytes(b"250 ok\r\n"));
    step(Input::Proceed);
    step(Input::Bytes(b"354 go\r\n"));
    step(Input::ContentEnd);
    step(Input::Complete);
    step(Input::Bytes(b"353 one moment\r\n"));
    step(Input::Bytes(b"250 ok\r\n"));
    assert_eq!(timers[9..], [1, 0, 0]);
}
