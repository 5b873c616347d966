//! A folder that an older version left still opens.
//!
//! `testdata/spool/v7` was written by `write_this_version` below, once, and the others by older ones;
//! none is ever written again. A new format gets a folder beside them and a test like these.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use vouchsafe_proto::addr::ReversePath;
use vouchsafe_proto::envelope::{
    BodyType, ByMode, Clearance, DeliverBy, Envelope, Notify, Origin, OriginalRecipient, Requests,
    Ret,
};
use vouchsafe_proto::outcome::{Diagnostic, Onward, Outcome, OutcomeClass, Remote};
use vouchsafe_proto::reply::EnhancedStatus;
use vouchsafe_proto::residue::Claim;
use vouchsafe_proto::smtp::xhold::TransactionId;
use vouchsafe_proto::verify::VerdictResult;
use vouchsafe_spool::{
    Amendment, Entry, LocalSpool, OfflineSpool, Options, Orders, Progress, Settlement, Spool,
};

use crate::mail::{at, content, envelope, lease_all, read, report, take};

/// Where the folder of a format is kept.
fn golden(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../testdata/spool/v{version}"))
}

/// The format that is written now.
const THIS_VERSION: u32 = 7;

/// So that the folder is not large.
fn small_segments() -> Options {
    Options::default().with_reserve(0).with_segment(256 * 1024)
}

/// The trace fields of the first message, from format 2 on.
const TRACE: &str = "Received: from x\r\n\tby y\r\n";

/// What became of the first message's recipients.
fn progress() -> Vec<Progress> {
    let refused = Outcome {
        class: OutcomeClass::Permanent,
        status: EnhancedStatus::new(5, 1, 1),
        remote: Some(Remote {
            name: String::from("mx.example.com"),
            address: Some("2001:db8::25".parse().unwrap()),
        }),
        diagnostic: Diagnostic::Reply(String::from("550 5.1.1 no such mailbox \u{fc}")),
        onward: Onward::default(),
    };
    vec![
        Progress::Done(refused),
        Progress::Waiting(Some(Outcome::local((4, 4, 1), None, "no answer"))),
        Progress::Waiting(None),
    ]
}

/// Writes the folder; run once for each format, by `cargo test -- --ignored write_this_version`.
#[tokio::test]
#[ignore = "writes what the test below reads, and refuses to write it twice"]
async fn write_this_version() {
    let golden = golden(THIS_VERSION);
    assert!(!golden.exists(), "an old format is never written again");
    fs::create_dir_all(golden.parent().unwrap()).unwrap();
    let spool = LocalSpool::open(&golden, small_segments()).unwrap();
    let mut draft = spool.begin(at(0)).await.unwrap();
    let small = Bytes::from(content(1, 1_000));
    draft.append(small).await.unwrap();
    drop(draft.commit(claimed(sent(TRACE)), at(0)).await.unwrap());
    let lease = lease_all(&spool, at(0)).await.pop().unwrap();
    let settlement = Settlement {
        progress: progress(),
        attempts: 3,
        due: Some(at(900)),
        later: Vec::new(),
        delay_reported: true,
        deadline_reported: false,
        reports: vec![report(b"a report".to_vec())],
    };
    spool.settle(lease, settlement).await.unwrap();
    let octets = content(2, 20_000);
    let large = take(&spool, at(1), at(2), &octets).await.unwrap();
    let reroute = Amendment::Reroute {
        next_hop: orders(5).next_hop,
        due: at(2),
    };
    for amendment in [Amendment::Hold, reroute] {
        let lease = spool.claim(large).await.unwrap();
        spool.amend(lease, amendment).await.unwrap();
    }
}

/// What an operator has said of the last message, from format 5 on.
fn orders(version: u32) -> Orders {
    let held = version >= 5;
    Orders {
        held,
        next_hop: held.then(|| "smtp://[2001:db8::2]:2525".into()),
    }
}

/// The first message's envelope, with what is asked from format 3 on.
fn asking(mut envelope: Envelope) -> Envelope {
    envelope.clearance = Clearance::Declared;
    envelope.requests = Requests {
        ret: Some(Ret::Full),
        envid: Some("QQ 314159".into()),
        deliver_by: Some(DeliverBy {
            deadline: at(5_400),
            mode: ByMode::Notify,
            trace: false,
        }),
        require_tls: true,
    };
    envelope.recipients[0].notify = Some(Notify::On {
        success: true,
        failure: false,
        delay: true,
    });
    envelope.recipients[1].notify = Some(Notify::Never);
    envelope.recipients[2].original = Some(OriginalRecipient {
        address_type: "rfc822".into(),
        address: "ann+list@example.net".into(),
    });
    envelope
}

/// The same with the id that next hops know it by, from format 6 on.
fn known(envelope: Envelope) -> Envelope {
    let mut envelope = asking(envelope);
    envelope.transaction = TransactionId::parse("0123456789abcdef@mx.example.org").ok();
    envelope
}

/// The same with what its client claimed that it is, from format 7 on.
fn claimed(envelope: Envelope) -> Envelope {
    let mut envelope = known(envelope);
    envelope.claim = Claim::parse("79bf9.870834f17f8ca9078fdba2f63449d26a").ok();
    envelope
}

/// What must be there.
fn check(entries: &[Entry], expected: &Envelope, version: u32) {
    let (settled, report, large) = match entries {
        [one, other, large] if one.attempts == 3 => (one, other, large),
        [other, one, large] => (one, other, large),
        _ => panic!("{entries:?}"),
    };
    assert_eq!((settled.attempts, settled.due), (3, at(900)));
    assert!(settled.delay_reported);
    assert_eq!(settled.progress, progress());
    assert_eq!(&settled.envelope, expected);
    assert_eq!(settled.size, 1_000 + expected.trace.len() as u64);
    assert_eq!(report.envelope.reverse_path, ReversePath::Null);
    assert_eq!(report.envelope.origin, Origin::Ourselves);
    assert_eq!(report.envelope.verdict, VerdictResult::Unknown);
    assert_eq!(report.envelope.body, BodyType::SevenBit);
    assert_eq!(
        (large.size, large.arrived, large.due),
        (20_000, at(1), at(2))
    );
    assert_eq!(large.orders, orders(version));
    assert_eq!(settled.orders, Orders::default());
}

#[tokio::test]
async fn a_folder_of_format_1_still_opens() {
    still_opens(1, sent("")).await;
}

#[tokio::test]
async fn a_folder_of_format_2_still_opens() {
    still_opens(2, sent(TRACE)).await;
}

#[tokio::test]
async fn a_folder_of_format_3_still_opens() {
    still_opens(3, asking(sent(TRACE))).await;
}

#[tokio::test]
async fn a_folder_of_format_4_still_opens() {
    still_opens(4, asking(sent(TRACE))).await;
}

#[tokio::test]
async fn a_folder_of_format_5_still_opens() {
    still_opens(5, asking(sent(TRACE))).await;
}

#[tokio::test]
async fn a_folder_of_format_6_still_opens() {
    still_opens(6, known(sent(TRACE))).await;
}

#[tokio::test]
async fn a_folder_of_format_7_still_opens() {
    still_opens(7, claimed(sent(TRACE))).await;
}

/// The first message's envelope.
fn sent(trace: &str) -> Envelope {
    let recipients = ["ann@example.net", "\"a b\"@[192.0.2.7]", "postmaster"];
    Envelope {
        trace: trace.into(),
        ..envelope(&recipients)
    }
}

/// Looks at a folder, then opens a copy of it and reads all messages.
async fn still_opens(version: u32, expected: Envelope) {
    let golden = golden(version);
    let store = fs::read(golden.join("queue.redb")).unwrap();
    let offline = OfflineSpool::open(&golden).unwrap();
    check(&offline.list(None, 9).unwrap(), &expected, version);
    drop(offline);
    assert!(fs::read(golden.join("queue.redb")).unwrap() == store);

    let folder = tempfile::tempdir().unwrap();
    copy(&golden, folder.path());
    let spool = LocalSpool::open(folder.path(), small_segments()).unwrap();
    assert!(spool.findings().is_empty());
    let entries = spool.list(None, 9).await.unwrap();
    check(&entries, &expected, version);
    let mut contents = Vec::new();
    for entry in entries {
        contents.push(read(&spool, entry.id).await.unwrap());
    }
    contents.sort_by_key(Vec::len);
    let first = [expected.trace.as_bytes(), &content(1, 1_000)].concat();
    assert_eq!(contents, [b"a report".to_vec(), first, content(2, 20_000)]);
    drop(spool);
    assert_eq!(format(&folder.path().join("queue.redb")), THIS_VERSION);
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    for found in fs::read_dir(from).unwrap() {
        let found = found.unwrap();
        let to = to.join(found.file_name());
        if found.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&found.path(), &to);
        } else {
            fs::copy(found.path(), to).unwrap();
        }
    }
}

/// What a queue says of its own format.
fn format(marker: &Path) -> u32 {
    let marker = fs::read_to_string(marker).unwrap();
    let rest = marker.strip_prefix("vouchsafe queue, format ").unwrap();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}
