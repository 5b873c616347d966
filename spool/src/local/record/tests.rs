//! Golden octets, round trips, and what damage is taken for.

use proptest::prelude::*;
use vouchsafe_proto::addr::ForwardPath;
use vouchsafe_proto::envelope::{ByMode, DeliverBy, Notify, OriginalRecipient, Ret};
use vouchsafe_proto::outcome::{Diagnostic, Onward, OutcomeClass, Remote};
use vouchsafe_proto::reply::EnhancedStatus;

use super::*;

fn id() -> QueueId {
    QueueId::new(Wall::from_secs(1_795_256_100), 0x000F_EDCB_A987_6543)
}

fn sample() -> EnvelopeRecord {
    EnvelopeRecord {
        envelope: Envelope {
            reverse_path: ReversePath::parse_inside("\"j o\"@b\u{fc}cher.example").unwrap(),
            verdict: VerdictResult::Authorised,
            origin: Origin::Client {
                address: "2001:db8::1".parse().unwrap(),
                helo: "mail.example.org".into(),
            },
            body: BodyType::EightBitMime,
            smtputf8: true,
            clearance: Clearance::Declared,
            recipients: vec![
                Recipient {
                    path: ForwardPath::parse_inside("ann@example.net").unwrap(),
                    notify: Some(Notify::On {
                        success: true,
                        failure: true,
                        delay: false,
                    }),
                    original: Some(OriginalRecipient {
                        address_type: "rfc822".into(),
                        address: "Ann+old@example.net".into(),
                    }),
                },
                Recipient {
                    notify: Some(Notify::Never),
                    ..Recipient::from(ForwardPath::Postmaster)
                },
                Recipient::from(ForwardPath::Postmaster),
            ],
            requests: Requests {
                ret: Some(Ret::Headers),
                envid: Some("QQ 314159".into()),
                deliver_by: Some(DeliverBy {
                    deadline: Wall::from_secs(1_795_259_700),
                    mode: ByMode::Return,
                    trace: true,
                }),
                require_tls: true,
            },
            transaction: None,
            claim: None,
            trace: "Received: from x\r\n\tby y\r\n".into(),
        },
        arrived: Wall::from_secs(1_795_256_100),
        content: ContentRecord {
            size: 20_000,
            crc32: 0xDEAD_BEEF,
            file: true,
        },
    }
}

fn progress() -> ProgressRecord {
    ProgressRecord {
        progress: vec![
            Progress::Waiting(None),
            Progress::Waiting(Some(Outcome::local((4, 4, 1), None, "no answer"))),
            Progress::Done(Outcome {
                class: OutcomeClass::Delivered,
                status: EnhancedStatus::new(2, 0, 0),
                remote: Some(Remote {
                    name: String::from("mx.example.net"),
                    address: Some("192.0.2.25".parse().unwrap()),
                }),
                diagnostic: Diagnostic::Reply(String::from("250 2.0.0 taken")),
                onward: Onward::default(),
            }),
        ],
        attempts: 2,
        due: Wall::from_secs(1_795_256_400),
        delay_reported: false,
        orders: Orders::default(),
        deadline_reported: false,
    }
}

#[test]
fn the_octets_are_those_of_this_version() {
    let envelope = sample().encode(id()).unwrap();
    assert_eq!(&envelope[..2], b"E\x03");
    assert_eq!(
        std::str::from_utf8(&envelope[HEAD..]).unwrap(),
        concat!(
            r#"{"arrived":1795256100000,"reverse_path":"\"j o\"@bücher.example","#,
            r#""verdict":"authorised","declared":true,"client":{"address":"2001:db8::1","#,
            r#""helo":"mail.example.org"},"body":"8bitmime","smtputf8":true,"#,
            r#""requests":{"ret":"headers","envid":"QQ 314159","deliver_by":"#,
            r#"{"deadline":1795259700000,"mode":"return","trace":true},"require_tls":true},"#,
            r#""recipients":[{"path":"ann@example.net","notify":["success","failure"],"#,
            r#""original":["rfc822","Ann+old@example.net"]},"#,
            r#"{"path":"postmaster","notify":[],"original":null},"postmaster"],"#,
            r#""trace":"Received: from x\r\n\tby y\r\n","#,
            r#""content":{"size":20000,"crc32":3735928559,"file":true}}"#,
        )
    );
    let progress = progress().encode(id()).unwrap();
    assert_eq!(&progress[..2], b"P\x01");
    assert_eq!(
        std::str::from_utf8(&progress[HEAD..]).unwrap(),
        concat!(
            r#"{"attempts":2,"due":1795256400000,"delay_reported":false,"#,
            r#""recipients":[{"waiting":null},{"waiting":{"class":"transient","#,
            r#""status":[4,4,1],"remote":null,"diagnostic":{"local":"no answer"}}},"#,
            r#"{"done":{"class":"delivered","status":[2,0,0],"#,
            r#""remote":{"name":"mx.example.net","address":"192.0.2.25"},"#,
            r#""diagnostic":{"reply":"250 2.0.0 taken"}}}]}"#,
        )
    );
    assert_eq!(
        (&envelope[2..HEAD], &progress[2..HEAD]),
        (GOLDEN_CRC.0.as_slice(), GOLDEN_CRC.1.as_slice())
    );
}

/// The checksums of the two records above, as they lie on disk.
const GOLDEN_CRC: ([u8; 4], [u8; 4]) = ([149, 238, 213, 60], [56, 127, 185, 210]);

#[test]
fn what_was_written_reads_back() {
    let octets = sample().encode(id()).unwrap();
    assert_eq!(EnvelopeRecord::decode(id(), &octets), Ok(sample()));
    let octets = progress().encode(id()).unwrap();
    assert_eq!(ProgressRecord::decode(id(), &octets), Ok(progress()));
}

#[test]
fn each_version_has_its_own_and_no_later_ones() {
    let mut plain = sample();
    plain.envelope.clearance = Clearance::Unneeded;
    plain.envelope.requests = Requests::default();
    plain.envelope.recipients = vec![ForwardPath::Postmaster.into()];
    let with = plain.encode(id()).unwrap();
    let json = std::str::from_utf8(&with[HEAD..]).unwrap();
    let trace = r#""trace":"Received: from x\r\n\tby y\r\n","#;
    let without = json.replace(trace, "");
    let framed = |version: u8, json: &str| {
        let crc = checksum(Kind::Envelope, version, id(), json.as_bytes());
        [&[b'E', version][..], &crc.to_le_bytes(), json.as_bytes()].concat()
    };
    let mut old = plain.clone();
    old.envelope.trace = Box::default();
    for (version, json, expected) in [
        (1, without.as_str(), Ok(old)),
        (2, json, Ok(plain.clone())),
        (3, json, Ok(plain.clone())),
        (1, json, Err(Corruption::Schema)),
        (2, without.as_str(), Err(Corruption::Schema)),
        (0, without.as_str(), Err(Corruption::Version(0))),
        (4, json, Err(Corruption::Schema)),
        (5, json, Err(Corruption::Schema)),
        (6, json, Err(Corruption::Version(6))),
    ] {
        let read = EnvelopeRecord::decode(id(), &framed(version, json));
        assert_eq!(read, expected, "{version}");
    }
    let asking = |change: fn(&mut Envelope)| {
        let mut record = plain.clone();
        change(&mut record.envelope);
        let octets = record.encode(id()).unwrap();
        let json = std::str::from_utf8(&octets[HEAD..]).unwrap().to_owned();
        let read = |version| EnvelopeRecord::decode(id(), &framed(version, &json));
        assert_eq!(read(3), Ok(record));
        assert_eq!(read(2), Err(Corruption::Schema), "{json}");
    };
    asking(|envelope| envelope.clearance = Clearance::Declared);
    asking(|envelope| envelope.requests.require_tls = true);
    asking(|envelope| envelope.recipients[0].notify = Some(Notify::Never));
    let mut record = plain;
    record.envelope.transaction = TransactionId::parse("q1@mx.example.org").ok();
    let octets = record.encode(id()).unwrap();
    assert_eq!(&octets[..2], b"E\x04");
    let json = std::str::from_utf8(&octets[HEAD..]).unwrap();
    let written = r#""recipients":["postmaster"],"transaction":"q1@mx.example.org","trace""#;
    assert!(json.contains(written), "{json}");
    let read = |version, json| EnvelopeRecord::decode(id(), &framed(version, json));
    assert_eq!(read(4, json), Ok(record.clone()));
    assert_eq!(read(3, json), Err(Corruption::Schema));
    assert_eq!(read(5, json), Err(Corruption::Schema));
    let strange = json.replace("q1@mx.example.org", "q1");
    assert_eq!(read(4, &strange), Err(Corruption::Schema));
    let claim = "79bf9.870834f17f8ca9078fdba2f63449d26a";
    record.envelope.claim = Claim::parse(claim).ok();
    for transaction in [record.envelope.transaction.clone(), None] {
        record.envelope.transaction = transaction;
        let octets = record.encode(id()).unwrap();
        assert_eq!(&octets[..2], b"E\x05");
        let json = std::str::from_utf8(&octets[HEAD..]).unwrap();
        let written = format!(r#","claim":"{claim}","trace""#);
        assert!(json.contains(&written), "{json}");
        let read = |version, json: &str| EnvelopeRecord::decode(id(), &framed(version, json));
        assert_eq!(read(5, json), Ok(record.clone()));
        assert_eq!(read(4, json), Err(Corruption::Schema));
        let strange = json.replace(claim, "79bf9");
        assert_eq!(read(5, &strange), Err(Corruption::Schema));
    }
}

#[test]
fn what_an_operator_says_is_written_only_where_he_said_something() {
    let plain = progress().encode(id()).unwrap();
    assert_eq!(&plain[..2], b"P\x01");
    for (held, next_hop) in [
        (true, None),
        (false, Some("smtp://h:25")),
        (true, Some("x")),
    ] {
        let record = ProgressRecord {
            orders: Orders {
                held,
                next_hop: next_hop.map(Into::into),
            },
            ..progress()
        };
        let mut octets = record.encode(id()).unwrap();
        assert_eq!(&octets[..2], b"P\x02");
        assert_eq!(ProgressRecord::decode(id(), &octets), Ok(record));
        octets[1] = 1;
        let crc = checksum(Kind::Progress, 1, id(), &octets[HEAD..]);
        octets[2..HEAD].copy_from_slice(&crc.to_le_bytes());
        let read = ProgressRecord::decode(id(), &octets);
        assert_eq!(read, Err(Corruption::Schema), "version 1 has none of it");
    }
}

#[test]
fn no_damage_goes_unseen() {
    let octets = progress().encode(id()).unwrap();
    for at in 0..octets.len() {
        let short = ProgressRecord::decode(id(), &octets[..at]);
        assert_eq!(short, Err(Corruption::Checksum), "cut at {at}");
        for bit in 0..8 {
            let mut damaged = octets.clone();
            damaged[at] ^= 1 << bit;
            let read = ProgressRecord::decode(id(), &damaged);
            assert_eq!(read, Err(Corruption::Checksum), "octet {at}, bit {bit}");
        }
    }
    let other = QueueId::new(Wall::from_secs(1), 1);
    assert_eq!(
        ProgressRecord::decode(other, &octets),
        Err(Corruption::Checksum),
        "another message's record"
    );
    assert_eq!(
        EnvelopeRecord::decode(id(), &octets),
        Err(Corruption::Checksum),
        "another kind of record"
    );
}

#[test]
fn a_sound_record_that_makes_no_sense_is_told_apart() {
    let mut newer = progress().encode(id()).unwrap();
    newer[1] = 3;
    let crc = checksum(Kind::Progress, 3, id(), &newer[HEAD..]);
    newer[2..HEAD].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(
        ProgressRecord::decode(id(), &newer),
        Err(Corruption::Version(3))
    );
    let strange = frame((Kind::Progress, 2), id(), &[1, 2, 3]).unwrap();
    assert_eq!(
        ProgressRecord::decode(id(), &strange),
        Err(Corruption::Schema)
    );
}

proptest! {
    #[test]
    fn paths_come_back_to_the_letter(
        local in "[a-z0-9.!#]{1,20}|\"[ -!#-\\[\\]-~]{0,20}\"",
        domain in "[a-zA-Z0-9]{1,20}(\\.[a-z0-9]{1,20}){0,3}|\\[192\\.0\\.2\\.[1-9]\\]",
    ) {
        let text = format!("{local}@{domain}");
        let Ok(path) = ReversePath::parse_inside(&text) else { return Ok(()) };
        let mut record = sample();
        record.envelope.reverse_path = path;
        record.envelope.recipients = vec![ForwardPath::parse_inside(&text).unwrap().into()];
        let octets = record.encode(id()).unwrap();
        let read = EnvelopeRecord::decode(id(), &octets).unwrap();
        prop_assert_eq!(read.envelope.reverse_path.to_string(), text.clone());
        prop_assert_eq!(read.envelope.recipients[0].to_string(), text);
    }

    #[test]
    fn arbitrary_octets_are_never_a_record(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(EnvelopeRecord::decode(id(), &octets).is_err());
        prop_assert!(ProgressRecord::decode(id(), &octets).is_err());
    }
}
