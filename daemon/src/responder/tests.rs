//! What is said of what is covered, which takes a ledger whose time is told.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::residue::wire::Way;
use vouchsafe_proto::residue::{Digest, Hour, Hours, Kind, Question, Residues, Width};
use vouchsafe_proto::time::Now;
use vouchsafe_spool::fs::LocalDisk;
use vouchsafe_spool::ledger::Ledger;

use super::Desk;
use super::answering::Responses;
use crate::clock;

pub(super) const CONFIG: &str = r#"hostname = "mx.example.org"
data_dir = "/tmp/vouchsafe"
[[listen]]
address = "[::]:25"
[domains."example.org"]
next_hop = "smtp://mail.internal:25"
"#;

/// A query for whether a digest of these hours was sent, without EDNS.
fn query(hours: Hours) -> Vec<u8> {
    let digest = Digest::new(0x1a4c_cbd8_ed66_fb61_2489_6960_8513_a834);
    let residues = Residues::of(digest, Width::Bits64, &[0xffff_ffff_ffff_ffc5]).unwrap();
    let question = Question::new(Kind::Message, hours, digest.index(), residues).unwrap();
    let mut octets = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in format!("{}._sent.example.org", question.to_labels()).split('.') {
        octets.push(u8::try_from(label.len()).unwrap());
        octets.extend_from_slice(label.as_bytes());
    }
    octets.extend_from_slice(&[0, 0, 16, 0, 1]);
    octets
}

#[test]
fn not_sent_is_said_of_what_is_covered_and_not_missed_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = Ledger::open(Arc::new(LocalDisk::new(folder.path().to_owned()))).unwrap();
    let ledger = Arc::new(ledger);
    let config = crate::config::parse(CONFIG, Path::new("v.toml"))
        .unwrap()
        .config;
    let desk = Desk::new(Arc::clone(&ledger), &config);
    let say = |hours| {
        let (query, from) = (query(hours), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut responses = Responses::default();
        desk.answer(
            Way::Datagram,
            [(&query[..], from)].into_iter(),
            &mut responses,
        );
        let text = String::from_utf8_lossy(responses.get(0)).into_owned();
        text.split_once("v=1 ").unwrap().1.to_owned()
    };
    let now = clock::now();
    let hour = Hour::at(now.wall).unwrap();
    let before = |hours: u32| Hour::new(hour.number() - hours).unwrap();
    assert_eq!(
        say(Hours::From(hour, 1)),
        format!("s=2 c={:x}+0", hour.number())
    );

    // A ledger that began three days ago, of which nobody else may send.
    let domain = Domain::parse("example.org").unwrap();
    let domains = BTreeSet::from([Box::from("example.org")]);
    let ago = |minutes: u64| Now {
        wall: vouchsafe_proto::time::Wall::from_millis(
            now.wall.as_millis().saturating_sub(minutes * 60_000),
        ),
        mono: vouchsafe_proto::time::Mono::from_millis(
            now.mono.as_millis() + (3 * 24 * 60 - minutes) * 60_000,
        ),
    };
    ledger.begin(ago(3 * 24 * 60), &domains).unwrap();
    let mut minutes = 3 * 24 * 60;
    loop {
        ledger.witness(ago(minutes).wall, &domain, true).unwrap();
        ledger.beat(ago(minutes)).unwrap();
        if minutes == 0 {
            break;
        }
        minutes -= 1;
    }
    assert!(say(Hours::From(before(1), 1)).starts_with("s=0 c="));
    assert!(say(Hours::From(before(15), 15)).starts_with("s=0 c="));
    assert!(say(Hours::From(before(80), 1)).starts_with("s=2 c="));
    assert!(say(Hours::From(before(72 + 6), 15)).starts_with("s=2 c="));
    assert!(say(Hours::Window).starts_with("s=2 c="));
    ledger.miss(before(9)).unwrap();
    assert!(say(Hours::From(before(9), 1)).starts_with("s=2 c="));
    assert!(say(Hours::From(before(10), 3)).starts_with("s=2 c="));
    assert!(say(Hours::From(before(8), 3)).starts_with("s=0 c="));
}
