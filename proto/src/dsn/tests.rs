//! When a report is made, and what holds for every report.

use super::*;
use crate::envelope::{ByMode, DeliverBy, Requests, Ret};
use crate::outcome::{Diagnostic, Remote};
use crate::smtp::reply_reader::ReplyReader;
use alloc::string::ToString;
use proptest::prelude::*;

fn envelope(reverse_path: &str, verdict: VerdictResult) -> Envelope {
    let reverse_path = ReversePath::parse_inside(reverse_path).unwrap();
    let origin = Origin::Client {
        address: "192.0.2.1".parse().unwrap(),
        helo: "x".into(),
    };
    let to = ForwardPath::parse_inside("bob@example.net").unwrap();
    Envelope::plain(reverse_path, verdict, origin, [to])
}

/// A report about one recipient.
fn report(envelope: &Envelope, path: &str, said: &str, beginning: &[u8]) -> Option<Report> {
    report_of(Kind::Failed, None, envelope, path, said, beginning)
}

/// The same of any kind, at a site that has an operator or not.
fn report_of(
    kind: Kind,
    operator: Option<&ForwardPath>,
    envelope: &Envelope,
    path: &str,
    said: &str,
    beginning: &[u8],
) -> Option<Report> {
    let outcome = Outcome {
        diagnostic: Diagnostic::Reply(said.into()),
        ..Outcome::local(
            (5, 1, 1),
            Some(Remote {
                name: "mx.example.net".into(),
                address: None,
            }),
            "",
        )
    };
    let recipient = Recipient::from(ForwardPath::parse_inside(path).unwrap());
    build(&Request {
        kind,
        operator,
        hostname: &Domain::parse("mx.example.org").unwrap(),
        envelope,
        queue_id: QueueId::new(Wall::from_secs(1_795_256_100), 7),
        arrived: Wall::from_secs(1_795_256_100),
        now: Wall::from_secs(1_795_256_160),
        recipients: &[Concerned {
            recipient: &recipient,
            outcome: &outcome,
        }],
        message: Returned::Beginning(beginning),
        chance: [1, 2],
    })
}

#[test]
fn a_report_is_kept_as_its_message_was() {
    for require_tls in [false, true] {
        let mut envelope = envelope("a@b.example", VerdictResult::Authorised);
        envelope.requests.require_tls = require_tls;
        envelope.requests.envid = Some("x".into());
        envelope.requests.ret = Some(Ret::Full);
        assert_eq!(envelope.requests.returns_all(), !require_tls);
        let report = report(&envelope, "bob@example.net", "550 no", b"A: b\r\n").unwrap();
        let requests = Requests {
            require_tls,
            ..Requests::default()
        };
        assert_eq!(report.envelope.requests, requests);
    }
}

#[test]
fn our_own_reports_are_recognised_and_name_the_message() {
    let plain = "Message-ID: <1234@out.example.org>\r\nDate: today\r\nTo: x@example.net\r\n";
    for (kind, header) in [
        (Kind::Failed, plain),
        (
            Kind::Delayed {
                until: Wall::from_secs(1_795_300_000),
            },
            plain,
        ),
        // Returned as quoted-printable.
        (Kind::Failed, &format!("Subject: \u{e9}\r\n{plain}")),
        (Kind::Failed, ""),
    ] {
        let mut envelope = envelope("a@b.example", VerdictResult::Authorised);
        envelope.requests.envid = Some("QQ=314159".into());
        envelope.recipients[0].notify = Some(Notify::On {
            success: true,
            failure: true,
            delay: true,
        });
        let report = report_of(
            kind,
            None,
            &envelope,
            "bob@example.net",
            "550 no",
            header.as_bytes(),
        );
        let bounce = recognise::recognise(&report.unwrap().content, false).unwrap();
        assert_eq!(bounce.sign, recognise::Sign::Report);
        assert_eq!(bounce.original_envelope_id.as_deref(), Some("QQ=314159"));
        let id = (!header.is_empty()).then_some("1234@out.example.org");
        assert_eq!(bounce.original_message_id.as_deref(), id);
        assert_eq!(bounce.recipients, ["bob@example.net"]);
    }
}

#[test]
fn nobody_hears_who_did_not_send() {
    for (reverse_path, verdict, to) in [
        ("", VerdictResult::Authorised, None),
        ("a@b.example", VerdictResult::Repudiated, None),
        ("a@xn--a.example", VerdictResult::Unknown, None),
        ("a@b.example", VerdictResult::Unknown, Some("a@b.example")),
        (
            "a@b.example",
            VerdictResult::Authorised,
            Some("a@b.example"),
        ),
        (
            "a@[192.0.2.7]",
            VerdictResult::Unknown,
            Some("a@[192.0.2.7]"),
        ),
        ("root", VerdictResult::Unknown, Some("root@mx.example.org")),
    ] {
        let envelope = envelope(reverse_path, verdict);
        let report = report(&envelope, "bob@example.net", "550 no", b"A: b\r\n");
        let recipient = report.map(|report| {
            assert!(report.envelope.reverse_path.is_null());
            let again = self::report(&report.envelope, "a@b.example", "550 no", b"");
            assert_eq!(again, None, "no report about a report");
            report.envelope.recipients[0].to_string()
        });
        assert_eq!(recipient.as_deref(), to, "{reverse_path}");
    }
}

#[test]
fn the_failure_of_a_repudiated_message_goes_to_the_operator() {
    use VerdictResult::{Repudiated, Unknown};
    let postmaster = ForwardPath::parse_inside("postmaster@example.org").unwrap();
    let (failed, delayed) = (
        Kind::Failed,
        Kind::Delayed {
            until: Wall::from_secs(1_795_256_200),
        },
    );
    let (him, ann, nobody) = (Some("postmaster@example.org"), Some("a@b.example"), None);
    for (reverse_path, verdict, kind, operator, to) in [
        ("a@b.example", Repudiated, failed, true, him),
        ("a@xn--a.example", Repudiated, failed, true, him),
        ("root", Repudiated, failed, true, him),
        ("a@b.example", Repudiated, failed, false, nobody),
        ("a@b.example", Repudiated, delayed, true, nobody),
        ("", Repudiated, failed, true, nobody),
        ("", Unknown, failed, true, nobody),
        ("a@xn--a.example", Unknown, failed, true, nobody),
        ("a@b.example", Unknown, failed, true, ann),
    ] {
        let envelope = envelope(reverse_path, verdict);
        let operator = operator.then_some(&postmaster);
        let report = report_of(
            kind,
            operator,
            &envelope,
            "bob@example.net",
            "no",
            b"A: b\r\n",
        );
        let recipient = report.as_ref().map(|report| &report.envelope.recipients[0]);
        let recipient = recipient.map(ToString::to_string);
        assert_eq!(recipient.as_deref(), to, "{reverse_path} {verdict}");
        if let Some(report) = report.filter(|_| verdict == Repudiated) {
            let text = String::from_utf8(report.content).unwrap();
            let text = text.replace("\r\n", " ");
            assert!(!text.to_lowercase().contains("your message"), "{text}");
            let said = format!("reverse-path is <{reverse_path}>");
            assert!(text.contains(&said), "{text}");
        }
    }
}

#[test]
fn what_only_a_declared_forwarder_cleared_is_reported_to_the_operator_alone() {
    let postmaster = ForwardPath::parse_inside("postmaster@example.org").unwrap();
    let hostname = Domain::parse("mx.example.org").unwrap();
    let delayed = Kind::Delayed {
        until: Wall::from_secs(1_795_256_200),
    };
    let outcome = Outcome::local((5, 1, 1), None, "no");
    let mut envelope = envelope("a@b.example", VerdictResult::Unknown);
    for (clearance, kind, operator, to) in [
        (Clearance::Unneeded, Kind::Failed, true, Some("a@b.example")),
        (
            Clearance::Declared,
            Kind::Failed,
            true,
            Some("postmaster@example.org"),
        ),
        (Clearance::Declared, Kind::Failed, false, None),
        (Clearance::Declared, delayed, true, None),
    ] {
        envelope.clearance = clearance;
        let operator = operator.then_some(&postmaster);
        let concerned = Concerned {
            recipient: &envelope.recipients[0],
            outcome: &outcome,
        };
        let addressee = Addressee::of(kind, &envelope, concerned, &hostname, operator);
        let found = addressee.map(|addressee| addressee.mailbox().to_string());
        assert_eq!(found.as_deref(), to, "{clearance:?} {kind:?}");
    }
    let report = report_of(
        Kind::Failed,
        Some(&postmaster),
        &envelope,
        "b@c.example",
        "no",
        b"",
    );
    let text = String::from_utf8(report.unwrap().content).unwrap();
    let text = text.replace("\r\n", " ");
    assert!(text.contains("recipient's side has declared"), "{text}");
}

/// RFC 3461 §4.1 and §5.2, RFC 2852 §4: every NOTIFY with everything that may happen.
#[test]
fn a_sender_hears_what_he_asked_to_hear() {
    let on = |success, failure, delay| {
        Some(Notify::On {
            success,
            failure,
            delay,
        })
    };
    let (reports, silent) = (
        Onward::Relay {
            reports: true,
            deadlines: true,
        },
        Onward::Relay {
            reports: false,
            deadlines: false,
        },
    );
    let delayed = Kind::Delayed {
        until: Wall::from_secs(1_795_256_200),
    };
    let by = |mode, trace| {
        Some(DeliverBy {
            deadline: Wall::from_secs(1_795_256_200),
            mode,
            trace,
        })
    };
    let noted = by(ByMode::Notify, false);
    let traced = by(ByMode::Return, true);
    // failed, delayed; in the mailbox, relayed to a host that reports, to one that does not.
    for (notify, deliver_by, heard) in [
        (None, None, "yes yes no no no"),
        (Some(Notify::Never), None, "no no no no no"),
        (on(true, false, false), None, "no no yes no yes"),
        (on(false, true, false), None, "yes no no no no"),
        (on(false, false, true), None, "no yes no no no"),
        (on(true, true, true), None, "yes yes yes no yes"),
        (None, noted, "yes yes no no yes"),
        (None, traced, "yes yes no yes yes"),
        (Some(Notify::Never), traced, "no no no no no"),
        (on(false, true, false), traced, "yes no no yes yes"),
    ] {
        let mut envelope = envelope("a@b.example", VerdictResult::Authorised);
        envelope.recipients[0].notify = notify;
        envelope.requests.deliver_by = deliver_by;
        let hostname = Domain::parse("mx.example.org").unwrap();
        let found: Vec<_> = [
            (Kind::Failed, Onward::default()),
            (delayed, Onward::default()),
            (Kind::Succeeded, Onward::Mailbox),
            (Kind::Succeeded, reports),
            (Kind::Succeeded, silent),
        ]
        .into_iter()
        .map(|(kind, onward)| {
            let outcome = Outcome {
                onward,
                ..Outcome::local((2, 0, 0), None, "taken")
            };
            let concerned = Concerned {
                recipient: &envelope.recipients[0],
                outcome: &outcome,
            };
            let to = Addressee::of(kind, &envelope, concerned, &hostname, None);
            if to.is_some() { "yes" } else { "no" }
        })
        .collect();
        assert_eq!(found.join(" "), heard, "{notify:?} {deliver_by:?}");
    }
}

#[test]
fn a_message_comes_back_whole_where_that_was_asked_and_every_host_takes_it() {
    let plain = b"A: b\r\n\r\nbody\r\n".as_slice();
    let wide = "A: b\r\n\r\nb\u{f6}dy\r\n".as_bytes();
    let large = [plain, &b"more\r\n".repeat(MAX_RETURNED / 6)].concat();
    let (full, headers) = (Some(Ret::Full), Some(Ret::Headers));
    for (reverse_path, ret, whole, message, form) in [
        ("a@b.example", full, true, plain, "message/rfc822"),
        ("a@b.example", full, false, plain, "text/rfc822-headers"),
        ("a@b.example", headers, true, plain, "text/rfc822-headers"),
        ("a@b.example", None, true, plain, "text/rfc822-headers"),
        ("a@b.example", full, true, wide, "text/rfc822-headers"),
        ("\u{e9}@b.example", full, true, wide, "message/global"),
        ("a@b.example", full, true, &large, "text/rfc822-headers"),
    ] {
        let mut envelope = envelope(reverse_path, VerdictResult::Authorised);
        envelope.requests.ret = ret;
        let outcome = Outcome::local((5, 1, 1), None, "no");
        let report = build(&Request {
            kind: Kind::Failed,
            operator: None,
            hostname: &Domain::parse("mx.example.org").unwrap(),
            envelope: &envelope,
            queue_id: QueueId::new(Wall::from_secs(1_795_256_100), 7),
            arrived: Wall::from_secs(1_795_256_100),
            now: Wall::from_secs(1_795_256_160),
            recipients: &[Concerned {
                recipient: &envelope.recipients[0],
                outcome: &outcome,
            }],
            message: if whole {
                Returned::Whole(message)
            } else {
                Returned::Beginning(message)
            },
            chance: [1, 2],
        });
        let text = String::from_utf8(report.unwrap().content).unwrap();
        let head = format!("Content-Type: {form}\r\n");
        let (_, part) = text.split_once(&head).expect("the part");
        assert_eq!(
            part.contains("dy\r\n"),
            form.starts_with("message/"),
            "{form}"
        );
    }
}

#[test]
fn addresses_beyond_ascii_have_their_forms() {
    let text = |reverse_path: &str, header: &str| {
        let envelope = envelope(reverse_path, VerdictResult::Unknown);
        let report = report(
            &envelope,
            "jörg+x@bücher.example",
            "550 nö",
            header.as_bytes(),
        );
        let report = report.unwrap();
        (
            report.envelope.smtputf8,
            String::from_utf8(report.content).unwrap(),
        )
    };
    let (smtputf8, ascii) = text("a@b.example", "Subject: Grüße\r\n");
    assert!(!smtputf8 && ascii.is_ascii());
    for part in [
        "Final-Recipient: utf-8; j\\x{F6}rg\\x{2B}x@b\\x{FC}cher.example\r\n",
        "Content-Type: message/delivery-status\r\n",
        "Subject: Gr=C3=BC=C3=9Fe\r\n",
        "<j=C3=B6rg+x@b=C3=BCcher.example>",
        "smtp; 550 n?\r\n",
    ] {
        assert!(ascii.contains(part), "{part}\n{ascii}");
    }
    let (smtputf8, wide) = text("é@b.example", "Subject: Grüße\r\n");
    assert!(smtputf8);
    for part in [
        "To: é@b.example\r\n",
        "Final-Recipient: utf-8; jörg+x@bücher.example\r\n",
        "Content-Type: message/global-delivery-status\r\n",
        "Content-Type: message/global-headers\r\n",
        "Subject: Grüße\r\n",
        "smtp; 550 nö\r\n",
    ] {
        assert!(wide.contains(part), "{part}\n{wide}");
    }
}

#[test]
fn the_boundary_is_in_no_part() {
    let header = "A: =_0000000000000002\r\nB: =_0000000000000003 \r\n";
    let envelope = envelope("a@b.example", VerdictResult::Unknown);
    let report = report(&envelope, "bob@example.net", "550 no", header.as_bytes()).unwrap();
    let text = String::from_utf8(report.content).unwrap();
    assert_eq!(text.matches("\r\n--=_0000000000000004\r\n").count(), 3);
    assert_eq!(text.matches("=_0000000000000004").count(), 5);
}

proptest! {
    /// Whatever a peer says and a header holds, the report is lines of CRLF within 998 octets,
    /// ASCII, and of three parts.
    #[test]
    fn every_report_is_well_formed(
        said in proptest::collection::vec(any::<u8>(), 0..300),
        header in proptest::collection::vec(
            prop_oneof![Just(b"A: b\r\n".to_vec()), Just(b"\r\n".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..20)], 0..20),
    ) {
        let wire = [b"550 ".as_slice(), &said, b"\r\n"].concat();
        let reply = ReplyReader::default().next(&mut wire.as_slice());
        let said = match reply {
            Ok(Some(reply)) => reply.to_string(),
            _ => String::from_utf8_lossy(&said).into_owned(),
        };
        // The second field may be taken for the beginning of a longer one; the first is whole.
        let header = [b"Z: z\r\nY: y\r\n".as_slice(), &header.concat()].concat();
        let envelope = envelope("a@b.example", VerdictResult::Unknown);
        let report = report(&envelope, "bob@example.net", &said, &header).unwrap();
        let text = String::from_utf8(report.content).unwrap();
        prop_assert!(text.is_ascii());
        prop_assert!(text.ends_with("--\r\n"));
        prop_assert_eq!(text.matches("\r\n--=_0000000000000002\r\n").count(), 3);
        for line in text.split_terminator("\r\n") {
            prop_assert!(line.len() <= 998);
        }
    }
}
