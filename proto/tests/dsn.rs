//! Three whole reports, compared octet for octet with `testdata/dsn/`, and shown in
//! `docs/reports.md`. To take changed reports as the new golden ones, run with
//! `VOUCHSAFE_BLESS=1` and look at what `git diff` says.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use vouchsafe_proto::addr::{Domain, ForwardPath, ReversePath};
use vouchsafe_proto::dsn::{Kind, Recipient, Request, build};
use vouchsafe_proto::envelope::{Envelope, Origin};
use vouchsafe_proto::outcome::{Outcome, Remote};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::time::Wall;
use vouchsafe_proto::verify::VerdictResult;

const ARRIVED: Wall = Wall::from_secs(1_795_256_100);
const HOUR: u64 = 3_600;

const BEGINNING: &[u8] = b"Received: from client.example.org (client.example.org [192.0.2.10])\r\n\
    \tby mx.example.org with ESMTPS id 06GZV6H4M00000000007;\r\n\
    \tSat, 21 Nov 2026 10:15:00 +0000\r\n\
    From: Alice <alice@example.org>\r\n\
    To: bob@example.net, carol@example.com\r\n\
    Subject: Lunch on Friday\r\n\
    Date: Sat, 21 Nov 2026 11:14:58 +0100\r\n\
    Message-ID: <5f1c0b7e9a2d4c68@example.org>\r\n\
    \r\n\
    Shall we?\r\n";

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The report about these, `hours` after arrival.
fn report(kind: Kind, hours: u64, recipients: &[(&str, Outcome)]) -> Vec<u8> {
    let paths: Vec<ForwardPath> = recipients
        .iter()
        .map(|(path, _)| ForwardPath::parse_inside(path).unwrap())
        .collect();
    let concerned: Vec<Recipient<'_>> = paths
        .iter()
        .zip(recipients)
        .map(|(path, (_, outcome))| Recipient { path, outcome })
        .collect();
    let envelope = Envelope::plain(
        ReversePath::parse_inside("alice@example.org").unwrap(),
        VerdictResult::Authorised,
        Origin::Client {
            address: "192.0.2.10".parse().unwrap(),
            helo: "client.example.org".into(),
        },
        paths.clone(),
    );
    let report = build(&Request {
        kind,
        hostname: &Domain::parse("mx.example.org").unwrap(),
        envelope: &envelope,
        queue_id: QueueId::new(ARRIVED, 7),
        arrived: ARRIVED,
        now: Wall::from_secs(ARRIVED.as_secs() + hours * HOUR + 2),
        recipients: &concerned,
        beginning: BEGINNING,
        operator: None,
        chance: [0x5eed_0000_0000_0001, 0x5eed_0000_0000_0002],
    });
    report.unwrap().content
}

fn remote(name: &str, address: &str) -> Remote {
    Remote {
        name: name.into(),
        address: address.parse().ok(),
    }
}

fn failed_one() -> Vec<u8> {
    let reply = Reply::new(550, (5, 1, 1), "<bob@example.net>: no such user here");
    let outcome = Outcome::from_reply(&reply, Some(remote("mail.example.net", "192.0.2.25")));
    report(Kind::Failed, 0, &[("bob@example.net", outcome)])
}

fn failed_several() -> Vec<u8> {
    let refused = Reply::plain(
        554,
        vec![
            "Your message was refused by our content policy.\u{1b}[2J".into(),
            "If you think that this is wrong, please see \
             https://www.example.net/postmaster/why?code=4711 and quote the time."
                .into(),
        ],
    );
    let gone = "the domain example.invalid does not exist";
    let silent = "5 minutes passed before the greeting";
    report(
        Kind::Failed,
        120,
        &[
            (
                "bob@example.net",
                Outcome::from_reply(&refused, Some(remote("mail.example.net", "2001:db8::25"))),
            ),
            (
                "dave@example.invalid",
                Outcome::local((5, 1, 2), None, gone),
            ),
            (
                "carol@example.com",
                Outcome::local(
                    (4, 4, 2),
                    Some(remote("mx.example.com", "198.51.100.7")),
                    silent,
                ),
            ),
        ],
    )
}

fn delayed() -> Vec<u8> {
    let reply = Reply::new(451, (4, 7, 1), "Greylisted, please come back later");
    let outcome = Outcome::from_reply(&reply, Some(remote("mx.example.com", "198.51.100.7")));
    let until = Wall::from_secs(ARRIVED.as_secs() + 120 * HOUR);
    report(
        Kind::Delayed { until },
        4,
        &[("carol@example.com", outcome)],
    )
}

#[test]
fn reports_are_the_golden_ones_and_the_book_shows_them() {
    let book = fs::read_to_string(root().join("docs/reports.md")).unwrap();
    for (name, content) in [
        ("failed-one", failed_one()),
        ("failed-several", failed_several()),
        ("delayed", delayed()),
    ] {
        let path = root().join(format!("testdata/dsn/{name}.eml"));
        if std::env::var_os("VOUCHSAFE_BLESS").is_some() {
            File::create(&path).unwrap().write_all(&content).unwrap();
        }
        let golden = fs::read(&path).unwrap();
        let text = String::from_utf8(content).unwrap();
        assert_eq!(text, String::from_utf8(golden).unwrap(), "{name}");
        let shown = text.replace("\r\n", "\n");
        assert!(
            book.contains(&shown),
            "docs/reports.md does not show {name}:\n{shown}"
        );
    }
}
