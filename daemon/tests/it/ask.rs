//! `vouchsafe ask` as a command, with NSD as the domain's own server. Its answers stand in wildcards, since nobody
//! knows beforehand what is asked; the name that was asked is the one that proto's vector has.

use std::net::Ipv4Addr;

use serde_json::Value;
use tempfile::TempDir;

use super::cli::{configuration, texts, vouchsafe, write};
use super::nsd::{Nsd, zone_file};

/// The message of PROTOCOLS B.1, as a mailbox has it.
const MESSAGE: &str = "Return-Path: <alice@example.org>\nDelivered-To: carol@example.net\n\
    Received: from a by b; Sat, 21 Nov 2026 10:15:00 +0100\nFrom: Alice  <alice@example.org>\n\
    To: bob@example.net,\n carol@example.net\nSubject:  Hello \n\
    Date: Sat, 21 Nov 2026 10:14:58 +0100\nMessage-ID: <5f1c0b7e9a2d4c68@example.org>\n\
    MIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n\nHi  Bob,\t\n.\nAlice\n\n\n";

/// 2^64 - 59.
const PRIME: &str = "ffffffffffffffc5";

/// For as long as can be said: the message grows old.
const OFFER: &str = "_sent TXT \"v=vouch1 h=sha256-128 b=24 w=65535 l=80 p=reject\"\n";
const SENT: &str = "\"v=1 s=1 c=79aaa+150\"";
const NOT_SENT: &str = "\"v=1 s=0 c=79aaa+150\"";
const UNKNOWN: &str = "\"v=1 s=2 c=79aaa+150\"";

/// A domain that answers about the message (branch 9) and its identity (branch 2) by these records.
struct World {
    nsd: Nsd,
    folder: TempDir,
}

impl World {
    fn new(records: &str) -> Self {
        let zone = format!(
            "$ORIGIN example.org.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\n\
             ns A 127.0.0.1\n{records}\n"
        );
        let root = zone_file(".", "");
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("message.eml"), MESSAGE);
        Self {
            nsd: Nsd::serve(
                Ipv4Addr::LOCALHOST.into(),
                &[(".", Some(root)), ("example.org", Some(zone))],
            ),
            folder,
        }
    }

    /// Runs `ask`; gives the exit code, what was printed and what was complained of.
    fn ask(&self, more: &[&str]) -> (i32, String, String) {
        let file = self.folder.path().join("message.eml");
        let resolver = format!("--resolver={}", self.nsd.address());
        let port = format!("--authority-port={}", self.nsd.address().port());
        let mut arguments = vec!["ask", file.to_str().unwrap(), &resolver, &port];
        arguments.extend(more);
        let output = vouchsafe(&arguments);
        let (out, err) = texts(&output);
        (output.status.code().unwrap(), out, err)
    }

    /// The same, as an object.
    fn json(&self, more: &[&str]) -> (i32, Value) {
        let (code, out, err) = self.ask(&[&["--format=json", "--special-use"], more].concat());
        let object =
            serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
        (code, object)
    }
}

/// Records of the two branches.
fn branches(message: &str, identity: &str) -> String {
    format!("{OFFER}*.9._sent TXT {message}\n*.2._sent TXT {identity}\n")
}

#[test]
fn the_domain_is_asked_and_its_answer_told() {
    if !Nsd::installed("vouchsafe ask against a real name server") {
        return;
    }
    let junk = "no answer that can be read";
    for (records, code, meaning, words) in [
        (branches(SENT, SENT), 0, "sent", &["sent"][..]),
        (
            branches(NOT_SENT, SENT),
            0,
            "altered",
            &["not sent", "sent"],
        ),
        (
            branches(NOT_SENT, NOT_SENT),
            1,
            "not_sent",
            &["not sent"; 2],
        ),
        (
            branches(NOT_SENT, UNKNOWN),
            0,
            "unknown",
            &["not sent", "unknown"],
        ),
        (
            branches(UNKNOWN, NOT_SENT),
            0,
            "unknown",
            &["unknown", "not sent"],
        ),
        (
            branches("\"v=1 s=0 c=79aaa+14f\"", NOT_SENT),
            0,
            "unknown",
            &["unknown, the hour is not covered", "not sent"],
        ),
        (
            String::new(),
            0,
            "unknown",
            &["the domain does not offer to answer"],
        ),
        (
            branches("\"v=1 s=0\"", NOT_SENT),
            0,
            "unknown",
            &[junk, "not sent"],
        ),
        (
            branches(&format!("{NOT_SENT}\n*.9._sent TXT {SENT}"), NOT_SENT),
            0,
            "unknown",
            &[junk, "not sent"],
        ),
        (OFFER.to_owned(), 0, "unknown", &["no such record"; 2]),
        (
            OFFER.replace("l=80", "l=88"),
            0,
            "unknown",
            &["it answers only questions that reveal 88 bits"],
        ),
        (
            format!("{OFFER}9._sent NS ns\n"),
            75,
            "unknown",
            &["the DNS does not answer: REFUSED"],
        ),
    ] {
        let world = World::new(&records);
        let (ended, object) = world.json(&[]);
        assert_eq!(
            (ended, &object["meaning"]),
            (code, &meaning.into()),
            "{records} {object:#}"
        );
        assert_eq!(said(&object), words, "{object:#}");
    }
}

/// What was said to each question, or why nothing was.
fn said(object: &Value) -> Vec<&str> {
    let all = object["questions"].as_array().unwrap().iter();
    all.map(|asked| {
        asked["said"]
            .as_str()
            .or(asked["trouble"].as_str())
            .unwrap()
    })
    .collect()
}

#[test]
fn a_message_older_than_the_domain_answers_for_is_not_asked_about() {
    if !Nsd::installed("what vouchsafe ask does not ask") {
        return;
    }
    let zone = branches(SENT, SENT) + "*._sent TXT " + SENT;
    let world = World::new(&zone.replace("w=65535", "w=24"));
    let message = MESSAGE.replace("2026", "2016");
    write(&world.folder.path().join("message.eml"), &message);
    let (code, object) = world.json(&[]);
    assert_eq!((code, &object["meaning"]), (0, &"unknown".into()));
    assert_eq!(said(&object), ["it answers only for the last 24 hours"]);
}

#[test]
fn the_kept_key_makes_every_call_ask_the_same() {
    if !Nsd::installed("by what vouchsafe ask asks") {
        return;
    }
    let world = World::new(&branches(SENT, SENT));
    let folder = tempfile::tempdir().unwrap();
    let place = format!("--data-dir={}", folder.path().display());
    let asked = |more: &str| {
        let (_, object) = world.json(&[more]);
        let modulus = object["questions"][0]["modulus"].clone();
        (object["primes"].as_str().unwrap().to_owned(), modulus)
    };
    // Without one none is made.
    let (primes, fresh) = asked(&place);
    assert_eq!(primes, "fresh");
    assert_ne!(asked(&place).1, fresh);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let (_, out, _) = world.ask(&[&place]);
    let note = format!(
        "no asking-key in {}: another call asks by other primes\n",
        folder.path().display()
    );
    assert!(out.starts_with(&note), "{out}");
    let disk = vouchsafe_spool::fs::LocalDisk::new(folder.path().to_path_buf());
    vouchsafe_spool::asking_key(&disk).unwrap();
    let (primes, kept) = asked(&place);
    assert_eq!(primes, "kept");
    assert_eq!(asked(&place).1, kept);
    let (home, config) = configuration("");
    std::fs::rename(folder.path(), home.path().join("data")).unwrap();
    assert_eq!(asked(&format!("--config={config}")), (primes, kept));
    assert_eq!(asked(&format!("--modulus={PRIME}")).0, "given");
}

#[test]
fn the_domains_of_to_and_cc_are_asked_after_the_recipients() {
    if !Nsd::installed("who else vouchsafe ask asks about") {
        return;
    }
    let world = World::new(&format!("{OFFER}*._sent TXT {NOT_SENT}\n"));
    let message = MESSAGE.replace(
        "Subject",
        "Cc: x@[192.0.2.1], Dave <d@Sub.Example.com>\nSubject",
    );
    write(&world.folder.path().join("message.eml"), &message);
    let (code, object) = world.json(&["--recipient=eve@example.edu", "--elsewhere=example.biz"]);
    assert_eq!(code, 1, "{object:#}");
    let all = object["questions"].as_array().unwrap().iter();
    let sent_to: Vec<_> = all
        .map(|asked| asked["sent_to"].as_str().unwrap_or("identity"))
        .collect();
    assert_eq!(
        sent_to,
        [
            "example.edu",
            "example.biz",
            "example.net",
            "sub.example.com",
            "identity"
        ]
    );
}

#[test]
fn what_was_sent_to_some_is_told_of_whom() {
    if !Nsd::installed("how vouchsafe ask tells of a part") {
        return;
    }
    let world = World::new(&format!(
        "{OFFER}*.9._sent TXT {SENT}\n*._sent TXT {NOT_SENT}\n"
    ));
    let more = ["--recipient=a@example.net", "--recipient=b@example.com"];
    let (_, object) = world.json(&more);
    assert_eq!(object["meaning"], "sent_to_some", "{object:#}");
    let sentence = "sent to some: it is example.org's own message, sent to example.net; that it was sent to \
        example.com is not known";
    assert_eq!(object["explanation"], sentence);
}

#[test]
fn the_question_is_that_of_the_vector() {
    if !Nsd::installed("the question that vouchsafe ask sends") {
        return;
    }
    let vector = "45srv429q9lfvvvvvvvvvvu5lqvtd7kpmj72o.9._sent";
    let world = World::new(&format!("{OFFER}{vector} TXT {SENT}\n"));
    let (code, object) = world.json(&["--modulus", PRIME]);
    let asked = &object["questions"][0];
    assert_eq!(
        (code, &object["meaning"]),
        (0, &"sent".into()),
        "{object:#}"
    );
    assert_eq!(asked["name"], format!("{vector}.example.org"));
    assert_eq!(asked["remainder"], "aebfd69e99b4ce2c");
    // Without it, by another prime each time; the server knows only the one name.
    let fresh = [world.json(&[]).1, world.json(&[]).1];
    let moduli = fresh
        .each_ref()
        .map(|object| object["questions"][0]["modulus"].clone());
    assert_ne!(moduli[0], moduli[1]);
    assert!(fresh.iter().all(|object| object["meaning"] == "unknown"));
    // To somebody else it is another message, which may have come from there.
    let to_other = ["--modulus", PRIME, "--recipient", "dave@example.com"];
    let (code, object) = world.json(&to_other);
    assert_eq!(
        (code, &object["meaning"]),
        (0, &"sent_elsewhere".into()),
        "{object:#}"
    );
    assert_eq!(object["questions"][1]["sent_to"], "example.net");
}

#[test]
fn servers_at_addresses_of_special_use_are_not_asked_unasked() {
    if !Nsd::installed("whom vouchsafe ask asks") {
        return;
    }
    let world = World::new(&branches(SENT, SENT));
    let (code, out, _) = world.ask(&[]);
    assert_eq!(code, 0);
    assert!(
        out.contains("none: its name servers have addresses of special use"),
        "{out}"
    );
    assert!(out.ends_with("unknown: nothing follows\n"), "{out}");
    let (code, out, _) = world.ask(&["--special-use"]);
    assert_eq!(code, 0);
    assert!(out.contains("v=1 s=1 c=79aaa+150: sent"), "{out}");
    assert!(
        out.ends_with("sent: it is example.org's own message\n"),
        "{out}"
    );
}

#[test]
fn who_cannot_be_asked_is_told() {
    if !Nsd::installed("what vouchsafe ask complains of") {
        return;
    }
    let world = World::new(OFFER);
    for (message, more, code, complaint) in [
        (
            MESSAGE.replace("Return-Path", "X"),
            &[][..],
            64,
            "name its --mail-from",
        ),
        (
            MESSAGE.replace("Delivered-To", "X"),
            &[],
            64,
            "name its --recipient",
        ),
        (
            MESSAGE.replace("<alice@example.org>\nDel", "<>\nDel"),
            &[],
            65,
            "no domain stands behind",
        ),
        (MESSAGE.replace("Date", "X"), &[], 65, "no Date field"),
        (
            MESSAGE.replace("Date:", "Date: x\nDate:"),
            &[],
            65,
            "several Date fields",
        ),
        (
            MESSAGE.to_owned(),
            &["--modulus", "8000000000000001"],
            64,
            "no prime of 64 bits",
        ),
        (
            MESSAGE.to_owned(),
            &["--mail-from", "a b"],
            64,
            "--mail-from",
        ),
    ] {
        write(&world.folder.path().join("message.eml"), &message);
        let (ended, out, err) = world.ask(more);
        assert_eq!((ended, out.as_str()), (code, ""), "{err}");
        assert!(err.contains(complaint), "{complaint}: {err}");
    }
    std::fs::remove_file(world.folder.path().join("message.eml")).unwrap();
    assert_eq!(world.ask(&[]).0, 66);
}
