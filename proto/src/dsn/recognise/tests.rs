//! What is a bounce and what is none, and that any octets are read, in time that grows with their number.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

/// As it is on the wire and as it is in a file: both give the same.
fn read(message: &str, null_reverse_path: bool) -> Option<Bounce> {
    assert!(!message.contains('\r'));
    let bounce = recognise(message.as_bytes(), null_reverse_path);
    let wire = message.replace('\n', "\r\n");
    assert_eq!(bounce, recognise(wire.as_bytes(), null_reverse_path));
    bounce
}

/// The message that the bounces here are about.
const ORIGINAL: &str = "\
Received: from laptop.example.org by out.example.org with ESMTPSA;
 Mon, 2 Nov 2026 10:00:00 +0100
Message-ID:
 <1234@out.example.org>
Date: Mon, 2 Nov 2026 09:59:59 +0100
From: Alice <alice@example.org>
To: Bob <bob@example.net>
Subject: Dinner
";

/// What all of them have to find.
fn assert_found(bounce: Option<&Bounce>, sign: Sign) {
    let bounce = bounce.expect("a bounce");
    assert_eq!(bounce.sign, sign);
    let id = bounce.original_message_id.as_deref();
    assert_eq!(id, Some("1234@out.example.org"));
    let date = bounce.original_date.as_deref();
    assert_eq!(date, Some("Mon, 2 Nov 2026 09:59:59 +0100"));
    assert_eq!(bounce.recipients, ["bob@example.net"]);
}

/// A report by RFC 3464, with this as its parts' beginnings.
fn report(top: &str, fields: &str, returned: &str) -> String {
    format!(
        "From: Mail System <robot@mx.example.net>
To: alice@example.org
Subject: Hm
MIME-Version: 1.0
Content-Type: {top}; boundary=\"=_b\"

For programs that know no MIME.
--=_b
Content-Type: text/plain

It did not arrive.
--=_b
Content-Type: {fields}

Reporting-MTA: dns; mx.example.net
Original-Envelope-Id: QQ314159

Final-Recipient: rfc822; bob@example.net
Action: failed
Status: 5.1.1
--=_b
Content-Type: {returned}

{ORIGINAL}
Shall we meet?
--=_b--
"
    )
}

#[test]
fn a_report_by_the_standard_is_recognised_whoever_sends_it() {
    for (top, fields, returned) in [
        (
            "multipart/report; report-type=delivery-status",
            "message/delivery-status",
            "message/rfc822",
        ),
        (
            "Multipart/Report;\n\treport-type=\"Delivery-Status\"",
            "message/global-delivery-status",
            "message/global",
        ),
        (
            "multipart/report",
            "message/delivery-status; charset=us-ascii",
            "text/rfc822-headers",
        ),
        // Both types were lost on the way: what stands there still says it.
        (
            "multipart/report; report-type=delivery-status",
            "text/plain",
            "text/plain",
        ),
    ] {
        let message = report(top, fields, returned);
        let bounce = read(&message, false);
        assert_found(bounce.as_ref(), Sign::Report);
        let envelope_id = bounce.and_then(|bounce| bounce.original_envelope_id);
        assert_eq!(envelope_id.as_deref(), Some("QQ314159"));
    }
}

#[test]
fn an_envelope_id_may_be_given_back_in_xtext() {
    let ids = |given: &str| {
        let message = report(
            "multipart/report",
            "message/delivery-status",
            "message/rfc822",
        );
        let bounce = read(&message.replace("QQ314159", given), false).unwrap();
        let ids = bounce.envelope_ids();
        ids.map(Cow::into_owned).collect::<Vec<_>>()
    };
    assert_eq!(ids("QQ314159"), ["QQ314159"]);
    assert_eq!(ids("QQ+20+2B+"), ["QQ+20+2B+"]);
    assert_eq!(ids("QQ+20+2B"), ["QQ+20+2B", "QQ +"]);
    assert_eq!(ids("a +2B b"), ["a +2B b"]);
    assert!(ids("").is_empty());
}

#[test]
fn the_fields_of_a_report_in_something_else_count_if_nobody_sent_it() {
    let message = report(
        "multipart/mixed",
        "message/delivery-status",
        "message/rfc822",
    );
    assert_eq!(read(&message, false), None);
    assert_found(read(&message, true).as_ref(), Sign::Report);
    let from_nobody = message.replace("Mail System <robot@mx.example.net>", "<>");
    assert_found(read(&from_nobody, false).as_ref(), Sign::Report);
}

#[test]
fn a_boundary_that_was_changed_on_the_way_loses_nothing() {
    let whole = report(
        "multipart/report; report-type=delivery-status",
        "message/delivery-status",
        "message/rfc822",
    );
    let declared = whole.replace("boundary=\"=_b\"", "boundary=\"=_other\"");
    assert_found(read(&declared, false).as_ref(), Sign::Report);
    let (front, back) = whole.rsplit_once("--=_b\n").unwrap();
    let last = format!("{front}--=_x\n{}", back.replace("--=_b--", "--=_x--"));
    assert_found(read(&last, false).as_ref(), Sign::Report);
    let unended = whole.replace("--=_b--\n", "");
    assert_found(read(&unended, false).as_ref(), Sign::Report);
}

#[test]
fn parts_are_decoded_and_found_in_other_multiparts() {
    let inner = "Content-Type: multipart/report; report-type=delivery-status; boundary=in\n\n\
                 --in\nContent-Type: message/delivery-status\n\
                 Content-Transfer-Encoding: base64\n\n\
                 RmluYWwtUmVjaXBpZW50OiByZmM4MjI7IGJvYkBleGFtcGxlLm5ldApBY3Rpb246IGZh\naWxlZAo=\n\
                 --in\nContent-Type: text/rfc822-headers\n\
                 Content-Transfer-Encoding: quoted-printable\n\n\
                 Message-ID: <1234=40out=2Eexam=\nple.org>\nDate: Mon, 2 Nov 2026 09:59:59 +0100\n\
                 --in--\n";
    let message = format!(
        "From: x\nContent-Type: multipart/mixed; boundary=out\n\n--out\n{inner}--out\n\nA list.\n--out--\n"
    );
    assert_eq!(read(&message, false), None);
    assert_found(read(&message, true).as_ref(), Sign::Report);
}

#[test]
fn each_recipient_is_told_once_and_the_original_one_where_there_is_no_final_one() {
    let mut status = Status::default();
    status.add(
        b"Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822;<a@x.example>\nOriginal-Recipient: rfc822; z@x.example\n\n\
          Original-Recipient: rfc822; b@x.example\nAction: failed\n\nFinal-Recipient: RFC822; A@X.example\n\
          Final-Recipient: utf-8;\n c@x.example\n\nFinal-Recipient: x400; /C=NO/\n",
    );
    assert_eq!(
        status.recipients,
        ["a@x.example", "b@x.example", "c@x.example"]
    );
}

/// Text with the message below, as hosts write that know no MIME.
fn returned(from: &str, prose: &str, marker: &str, original: &str) -> String {
    format!(
        "From: {from}\nTo: alice@example.org\nSubject: about your mail\n\n{prose}\n\n{marker}\n{original}\nShall we?\n"
    )
}

#[test]
fn a_message_in_text_is_found_by_its_form_in_whatever_language() {
    let behind = |prefix: &str| {
        let lines = ORIGINAL.trim_end().replace('\n', &format!("\n{prefix}"));
        format!("{prefix}{lines}\n")
    };
    let (quoted, indented) = (behind("> "), behind("    "));
    let without_blanks = ORIGINAL.replace(": ", ":");
    for (marker, original) in [
        ("--- Below this line is a copy of the message.\n", ORIGINAL),
        ("Hier ist die Nachricht:", ORIGINAL),
        ("", &without_blanks),
        (
            "--\nFrom alice@example.org Mon Nov  2 10:00:00 2026",
            ORIGINAL,
        ),
        ("", &quoted),
        ("This is what you sent:", &indented),
    ] {
        let prose = "Zustellung nicht möglich. Support: help@mx.example.net\n\n<bob@example.net>:\nkein Platz";
        let message = returned(
            "MAILER-DAEMON@mx.example.net (Post)",
            prose,
            marker,
            original,
        );
        assert_found(read(&message, false).as_ref(), Sign::ReturnedMessage);
    }
}

#[test]
fn a_message_as_a_file_is_a_message() {
    let message = format!(
        "From: MAILER-DAEMON\nTo: alice@example.org\nContent-Type: multipart/mixed; boundary=b\n\n\
         --b\n\n<bob@example.net>: no such user\n--b\n\
         Content-Type: application/octet-stream; name=\"original.eml\"\n\n{ORIGINAL}\n\nx\n--b--\n"
    );
    assert_found(read(&message, false).as_ref(), Sign::ReturnedMessage);
}

#[test]
fn a_report_that_was_wrapped_up_is_about_the_message_inside() {
    let inner = report(
        "multipart/report; report-type=delivery-status",
        "message/delivery-status",
        "message/rfc822",
    );
    let inner = inner.replace(
        "Subject: Hm",
        "Message-ID: <report@mx.example.net>\nDate: x",
    );
    let prose = "Your message did not arrive:\n\n<bob@example.net>: 550 no";
    let message = returned("mailer-daemon@example.org", prose, "", &inner);
    assert_found(read(&message, true).as_ref(), Sign::ReturnedMessage);
}

#[test]
fn who_sent_it_decides_how_much_else_is_wanted() {
    let fails = "This could not be delivered.\n\nbob@example.net\n";
    let fine = "Thank you for your message.\n\nbob@example.net\n";
    let quotes = "<bob@example.net>: host said:\n  550 5.1.1 unknown\n";
    let auto = |from: &str| format!("{from}\nAuto-Submitted: auto-replied");
    for (from, prose, null, expected) in [
        ("Mailer-Daemon@example.net", fine, false, true),
        ("mailer-daemon", fails, false, true),
        ("Post_Master@example.net", fails, false, true),
        ("postmaster@example.net", fine, false, false),
        ("postmaster@example.net", fine, true, true),
        ("robot@example.net", fails, true, true),
        ("robot@example.net", fine, true, false),
        ("robot@example.net", fails, false, false),
        ("robot@example.net", quotes, false, false),
        (&auto("carol@example.net"), fine, true, false),
        (&auto("carol@example.net"), fails, true, false),
        (&auto("carol@example.net"), quotes, true, true),
        (&auto("mailer-daemon@example.net"), fine, true, false),
        (&auto("mailer-daemon@example.net"), fails, true, true),
    ] {
        let message = returned(from, prose, "", ORIGINAL);
        let found = read(&message, null);
        assert_eq!(found.is_some(), expected, "{from} {prose} {null}");
    }
}

#[test]
fn a_list_of_the_failed_and_a_transcript_are_bounces_that_may_name_no_message() {
    let header =
        "From: mailer-daemon@mx.example.net\nTo: alice@example.org\nAuto-Submitted: auto-replied\n";
    let listed = format!("{header}X-Failed-Recipients: bob@example.net, c@example.net\n\nSorry.\n");
    let bounce = read(&listed, false).unwrap();
    assert_eq!(bounce.sign, Sign::FailedRecipients);
    assert_eq!(bounce.recipients, ["bob@example.net", "c@example.net"]);
    assert_eq!(bounce.original_message_id, None);
    let answers = format!("In-Reply-To: <1234@out.example.org>\n{listed}");
    let id = read(&answers, false).unwrap().original_message_id;
    assert_eq!(id.as_deref(), Some("1234@out.example.org"));

    let transcript =
        "From: MAILER-DAEMON\nTo: alice@example.org\n\nbob@example.net: 550 5.1.1 no\n";
    let bounce = read(transcript, false).unwrap();
    assert_eq!(bounce.sign, Sign::Transcript);
    assert_eq!(bounce.recipients, ["bob@example.net"]);
    assert_eq!(
        read(&transcript.replace("550 5.1.1 no", "hello"), false),
        None
    );
}

#[test]
fn what_answers_complains_or_confirms_is_no_bounce() {
    let vacation = "Return-Path: <>\nFrom: bob@example.net\nTo: alice@example.org\n\
                    Auto-Submitted: auto-replied (vacation)\nIn-Reply-To: <1234@out.example.org>\n\n\
                    I am away, and your message may not be delivered. Call 555 1234, suite 550.\n\
                    From: Alice\nSent: Monday\nTo: Bob\nSubject: Dinner\n";
    assert_eq!(read(vacation, true), None);
    for (top, fields) in [
        (
            "multipart/report; report-type=feedback-report",
            "message/feedback-report",
        ),
        (
            "multipart/report; report-type=disposition-notification",
            "message/disposition-notification",
        ),
        (
            "multipart/report; report-type=tlsrpt",
            "application/tlsrpt+json",
        ),
        ("multipart/report", "message/feedback-report"),
        ("multipart/mixed", "message/disposition-notification"),
    ] {
        let message = report(top, fields, "message/rfc822");
        let message = message.replace("robot@", "mailer-daemon@");
        assert_eq!(read(&message, true), None, "{top}");
    }
    let person = "Return-Path: <bob@example.net>\nFrom: bob@example.net\nTo: alice@example.org\n\
                  Subject: Fwd: not delivered\nContent-Type: multipart/mixed; boundary=b\n\n\
                  --b\n\n550 5.1.1 it said. It was not delivered.\n--b\nContent-Type: message/rfc822\n\n";
    assert_eq!(
        read(&format!("{person}{ORIGINAL}\n\nx\n--b--\n"), false),
        None
    );
    assert_eq!(read("", true), None);
    assert_eq!(
        read("From: mailer-daemon@example.net\n\nHello.\n", true),
        None
    );
}

#[test]
fn an_identifier_is_what_stands_in_the_brackets() {
    for (value, expected) in [
        ("<a@b>", Some("a@b")),
        ("<a @ b> (comment)", Some("a@b")),
        ("a@b", Some("a@b")),
        ("<a@b", None),
        ("<>", None),
        ("", None),
    ] {
        let id = message_id(value);
        assert_eq!(id.as_deref(), expected, "{value}");
    }
}

#[test]
fn codes_are_told_from_versions_addresses_and_house_numbers() {
    for (text, expected) in [
        ("550 no", true),
        ("  550-5.1.1 no", true),
        ("host said: 421 busy", true),
        (">>> 554 no", true),
        ("(#5.1.1)", true),
        ("status 4.2.2, sorry", true),
        ("Suite 550 is closed", false),
        ("host 5.1.1.7", false),
        ("version 4.99", false),
        ("250 2.0.0 Ok", false),
        ("5.x.1", false),
    ] {
        assert_eq!(
            evidence::quotes_failure(text.as_bytes()),
            expected,
            "{text}"
        );
    }
}

/// A mebibyte of it, behind a header.
fn much(header: &str, of: &str) -> Vec<u8> {
    let count = MAX_READ.checked_div(of.len()).unwrap();
    let mut message = header.to_owned();
    message.push_str(&of.repeat(count));
    message.into_bytes()
}

/// Each would take minutes if what is done for a line grew with the lines before it or behind it.
#[test]
fn a_mebibyte_of_anything_is_read_in_a_moment() {
    let report = "From: mailer-daemon@x\nContent-Type: multipart/report; report-type=delivery-status; boundary=a\n\n";
    for of in [
        "--a\n",
        "--\n",
        "--a--\n",
        "--a\nContent-Type: multipart/mixed; boundary=z\n\n",
        "--a\nContent-Type: multipart/mixed; boundary=a\n\n",
        "--a\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\nAAAA\n",
        "--aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "Received: x\nFrom: x\nTo: x\n\n",
        "Received: x\nFrom: x\nTo: x\nMessage-ID: <x\n\n",
        "Received: x\nFrom: x\nTo: x\nMessage-ID: <x>\nContent-Type: multipart/report; report-type=delivery-status\n\n",
        " ",
        "\n",
        " \n",
        "> \n",
        ":",
        "a:\n",
        "a@b ",
        "<a@b.c>\n",
        "deliver",
        "5.5.5.5",
        "Final-Recipient: x;a@b\n\n",
        "Content-Type: multipart/mixed; boundary=x;",
        "To: \n \n",
        "<",
        "\u{0}",
    ] {
        for header in [report, "From: mailer-daemon@x\n\n"] {
            let message = much(header, of);
            let _ = recognise(&message, true);
        }
    }
}

proptest! {
    #[test]
    fn there_is_an_answer_for_any_octets(message in any::<Vec<u8>>(), null in any::<bool>()) {
        let _ = recognise(&message, null);
    }

    #[test]
    fn both_line_ends_give_the_same(
        lines in proptest::collection::vec(prop_oneof![
            Just(String::new()),
            Just(String::from("--b")),
            Just(String::from("--b--")),
            Just(String::from("Content-Type: multipart/report; report-type=delivery-status; boundary=b")),
            Just(String::from("Content-Type: message/delivery-status")),
            Just(String::from("Content-Type: message/rfc822")),
            Just(String::from("Content-Transfer-Encoding: quoted-printable")),
            Just(String::from("Content-Transfer-Encoding: base64")),
            Just(String::from("From: MAILER-DAEMON")),
            Just(String::from("Received: x")),
            Just(String::from("Message-ID: <a=40b>")),
            Just(String::from("Final-Recipient: rfc822; a@b")),
            Just(String::from(" folded=")),
            "[ -~]{0,40}",
        ], 0..40),
        null in any::<bool>(),
    ) {
        let bounce = recognise(lines.join("\n").as_bytes(), null);
        prop_assert_eq!(&bounce, &recognise(lines.join("\r\n").as_bytes(), null));
        if let Some(bounce) = bounce {
            prop_assert!(bounce.recipients.len() <= MAX_RECIPIENTS);
        }
    }
}
