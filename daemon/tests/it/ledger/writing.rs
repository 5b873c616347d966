//! Who may write: mail of a local domain that comes from `[relay] from`, and no other (PROTOCOLS B.2). What is entered
//! is what leaves, and it is there before that has left.

use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use super::known::{Known, claim, now};
use crate::client::Client;
use crate::service::{Service, Setup};
use crate::sink::Sink;

/// A host of ours, which may send to anywhere, and one that may not.
const OURS: &str = "127.0.0.2";
const STRANGER: &str = "127.0.0.3";

fn setup(sink: &Sink, path: &str) -> Setup {
    let relay = format!(
        "[relay]\nfrom = [\"{OURS}/32\"]\nnext_hop = \"{}\"\n",
        sink.next_hop()
    );
    let setup = Setup::new().domains(&["local.example"], &sink.next_hop());
    let setup = setup.with(&relay);
    if path == "store" {
        setup.stored()
    } else {
        setup
    }
}

/// Gives it a message, which must be taken.
fn send(service: &Service, from: &str, reverse_path: &str, recipients: &[&str], content: &str) {
    let source: IpAddr = from.parse().unwrap();
    let mut client = Client::connect_from(source, service.address());
    assert_eq!(client.code(), 220);
    client.expect("EHLO client.example", 250);
    client.expect(&format!("MAIL FROM:<{reverse_path}>"), 250);
    for recipient in recipients {
        client.expect(&format!("RCPT TO:<{recipient}>"), 250);
    }
    client.expect("DATA", 354);
    client.send(content);
    client.expect(".", 250);
    client.expect("QUIT", 221);
}

fn message(number: u32) -> String {
    format!(
        "From: a@local.example\r\nDate: {}\r\nMessage-ID: <{number}@local.example>\r\n\r\n\
         Hello,\r\nnumber {number}.\r\n",
        vouchsafe_proto::time::Wall::from_secs(now()).to_rfc5322()
    )
}

#[test]
fn mail_of_ours_is_entered_as_it_leaves_and_nothing_else_is() {
    for path in ["hold", "store"] {
        let sink = Sink::start();
        let service = setup(&sink, path).start();
        let folder = service.folder();
        let ours = "a@local.example";
        send(
            &service,
            OURS,
            ours,
            &["b@far.example", "c@local.example"],
            &message(1),
        );
        // Both domains have the same next hop.
        let mut sent = vec![sink.next()];
        if let [_] = &*sent[0].recipients {
            sent.push(sink.next());
        }
        // A forgery that merely passes through; and mail of others that we relay.
        send(&service, STRANGER, ours, &["c@local.example"], &message(2));
        let forged = sink.next();
        send(
            &service,
            OURS,
            "z@else.example",
            &["b@far.example"],
            &message(3),
        );
        let relayed = sink.next();
        // One that lacks both fields that it is known by.
        send(
            &service,
            OURS,
            ours,
            &["b@far.example"],
            "From: a@local.example\r\n\r\nshort\r\n",
        );
        let completed = sink.next();
        service.stop();
        let known = Known::open(folder.path());
        for leaves in sent {
            for domain in ["far.example", "local.example"] {
                assert!(known.has(ours, domain, &leaves.content), "{path}, {domain}");
            }
            assert!(!known.has(ours, "third.example", &leaves.content));
            assert!(known.has_identity(ours, &leaves.content));
        }
        assert!(!known.has(ours, "local.example", &forged.content), "{path}");
        assert!(!known.has_identity(ours, &forged.content), "{path}");
        assert!(!known.has("z@else.example", "far.example", &relayed.content));
        let text = String::from_utf8_lossy(&completed.content).into_owned();
        assert!(
            text.contains("\r\nDate: ") && text.contains("\r\nMessage-ID: <"),
            "{text}"
        );
        assert!(known.has(ours, "far.example", &completed.content), "{path}");
        assert!(known.has_identity(ours, &completed.content), "{path}");
    }
}

#[test]
fn a_next_hop_that_asks_is_told_which_message_of_ours_comes() {
    for extension in ["XVOUCH", "SIZE"] {
        let sink = Sink::offering(extension);
        // Down a path that is held it is not known before it comes.
        let service = setup(&sink, "store").start();
        let ours = "a@local.example";
        let claimed = |number, from, reverse_path, recipients: &[&str]| {
            send(&service, from, reverse_path, recipients, &message(number));
            let leaves = sink.next();
            let claim = claim(reverse_path, recipients[0], &leaves.content);
            let is_claimed = leaves.mail.contains(&format!(" XVOUCH={claim}"));
            assert_eq!(is_claimed, leaves.mail.contains("XVOUCH"), "{leaves:?}");
            is_claimed
        };
        let offers = extension == "XVOUCH";
        let one = ["b@far.example"];
        assert_eq!(claimed(1, OURS, ours, &one), offers);
        assert_eq!(
            claimed(2, OURS, ours, &["b@far.example", "c@far.example"]),
            offers
        );
        // One transaction for two domains; and messages that are none of ours.
        let two = ["b@far.example", "c@other.example"];
        assert!(!claimed(3, OURS, ours, &two));
        assert!(!claimed(4, STRANGER, ours, &["c@local.example"]));
        assert!(!claimed(5, OURS, "z@else.example", &one));
    }
}

#[test]
fn a_ledger_that_cannot_be_written_lets_nothing_of_ours_leave() {
    for path in ["hold", "store"] {
        let sink = Sink::start();
        let service = setup(&sink, path).start();
        let folder = service.folder();
        // The journal is begun with the first message: a folder in its place cannot be written.
        for serial in 0..64 {
            let name = format!("data/ledger/journal-{serial:x}");
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let mut client = Client::connect_from(OURS.parse().unwrap(), service.address());
        assert_eq!(client.code(), 220);
        client.expect("EHLO client.example", 250);
        client.expect("MAIL FROM:<a@local.example>", 250);
        client.expect("RCPT TO:<b@far.example>", 250);
        client.expect("DATA", 354);
        client.send(message(1));
        let refused = client.say(".");
        assert!(refused.starts_with("451"), "{path}: {refused}");
        client.expect("QUIT", 221);
        // What is not ours goes on.
        send(
            &service,
            STRANGER,
            "x@else.example",
            &["c@local.example"],
            &message(2),
        );
        let passed = sink.next();
        assert!(
            String::from_utf8_lossy(&passed.content).contains("number 2"),
            "{path}"
        );
        assert_eq!(sink.rest().count(), 0, "{path}");
        service.stop();
    }
}

/// Runs `vouchsafe ledger ...` with this on its standard input.
fn ledger(
    config: &std::path::Path,
    arguments: &[&str],
    input: &str,
) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vouchsafe"))
        .arg("ledger")
        .args(arguments)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that takes no input may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The domains that the ledger speaks for, as an operator is told.
fn domains(config: &std::path::Path) -> Vec<String> {
    let (code, out, said) = ledger(config, &["stat", "--format", "json"], "");
    assert_eq!(code, Some(0), "{said}");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let all = json["coverage"]["domains"].as_array().unwrap();
    let name = |domain: &serde_json::Value| domain["domain"].as_str().unwrap().to_owned();
    all.iter().map(name).collect()
}

#[test]
fn what_a_reload_takes_away_is_neither_relayed_nor_spoken_for() {
    let sink = Sink::start();
    let other = "[domains.\"other.example\"]";
    let setup = setup(&sink, "hold").domain("other.example", &sink.next_hop());
    let config = setup.config();
    let mut service = setup.start();
    assert_eq!(domains(&config), ["local.example", "other.example"]);
    let mut open = Client::connect_from(OURS.parse().unwrap(), service.address());
    assert_eq!(open.code(), 220);
    open.expect("EHLO client.example", 250);

    let before = std::fs::read_to_string(&config).unwrap();
    assert!(before.contains(other));
    let less = before.replace(other, "[domains.\"third.example\"]");
    let less = less.replace(&format!("{OURS}/32"), "127.0.0.9/32");
    std::fs::write(&config, less).unwrap();
    service.signal("HUP");
    service.wait_for("sessions go by the new configuration");
    assert_eq!(domains(&config), ["local.example", "third.example"]);
    // Of what it relayed nothing would be in the ledger.
    open.expect("MAIL FROM:<a@local.example>", 250);
    open.expect("RCPT TO:<b@far.example>", 550);
    open.expect("RCPT TO:<c@local.example>", 250);
    open.expect("RSET", 250);

    std::fs::write(&config, before).unwrap();
    service.signal("HUP");
    service.wait_for("sessions go by the new configuration");
    assert_eq!(domains(&config), ["local.example", "other.example"]);
    open.expect("MAIL FROM:<a@local.example>", 250);
    open.expect("RCPT TO:<b@far.example>", 250);
    service.stop();
}

#[test]
fn another_host_hands_in_what_it_sends() {
    // Each is dated once.
    let messages: Vec<_> = (0..7).map(message).collect();
    let message = |number: usize| &*messages[number];
    let sink = Sink::start();
    let setup = setup(&sink, "hold");
    let config = setup.config();
    let service = setup.start();
    let folder = service.folder();
    let envelope = [
        "--mail-from",
        "a@local.example",
        "--recipient",
        "b@far.example",
    ];
    let add = |more: &[&str], input: &str| {
        let arguments: Vec<_> = [&["add"][..], more].concat();
        ledger(&config, &arguments, input)
    };
    let (code, _, said) = add(&envelope, message(1));
    assert_eq!(code, Some(0), "{said}");
    let (code, _, said) = add(
        &[
            "--mail-from",
            "a@else.example",
            "--recipient",
            "b@far.example",
        ],
        message(2),
    );
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("not one of the service's"), "{said}");
    for (more, input) in [
        (&envelope[..], "From: x\r\n\r\nno date\r\n"),
        // Its identity could not be found, and an altered copy would be taken for a forgery.
        (&envelope[..], &*message(3).replace("Message-ID", "X-ID")),
        (
            &envelope[..],
            &*format!("Message-ID: <z@x>\r\n{}", message(3)),
        ),
        (&[][..], message(3)),
        (&envelope[..], ""),
    ] {
        let (code, _, said) = add(more, input);
        assert_eq!(code, Some(65), "{said}");
    }
    // A folder, whose files say themselves whom they are for.
    let outgoing = folder.path().join("outgoing");
    std::fs::create_dir(&outgoing).unwrap();
    for number in 4..6 {
        let top = "Return-Path: <a@local.example>\r\nDelivered-To: b@far.example\r\n";
        let file = outgoing.join(number.to_string());
        std::fs::write(file, format!("{top}{}", message(number))).unwrap();
    }
    let (code, out, said) = add(&["--remove", outgoing.to_str().unwrap()], "");
    assert_eq!((code, &*out), (Some(0), "2 entered\n"), "{said}");
    assert_eq!(std::fs::read_dir(&outgoing).unwrap().count(), 0);
    service.stop();
    let (code, _, said) = add(&envelope, message(6));
    assert_eq!(code, Some(69), "{said}");
    {
        let known = Known::open(folder.path());
        for number in [1, 4, 5] {
            let message = message(number);
            assert!(known.has("a@local.example", "far.example", message.as_bytes()));
        }
        assert!(!known.has("a@else.example", "far.example", message(2).as_bytes()));
        assert!(!known.has("a@local.example", "far.example", message(6).as_bytes()));
    }
    let (code, out, said) = ledger(&config, &["verify"], "");
    assert_eq!(code, Some(0), "{said}");
    assert!(out.contains("coverage   what was sent after"), "{out}");
    let (code, out, _) = ledger(&config, &["stat", "--format", "json"], "");
    assert_eq!(code, Some(0));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["coverage"]["domains"][0]["domain"], "local.example");
    a_file_that_is_lost_is_missed(&folder, &config, &json);
}

fn a_file_that_is_lost_is_missed(
    folder: &tempfile::TempDir,
    config: &std::path::Path,
    json: &serde_json::Value,
) {
    let lost = json["coverage"]["missing_files"].as_array().unwrap();
    assert!(lost.is_empty(), "{json}");
    for file in std::fs::read_dir(folder.path().join("data/ledger")).unwrap() {
        let file = file.unwrap();
        if file.file_name().to_string_lossy().starts_with("journal") {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    let (code, out, _) = ledger(config, &["verify"], "");
    assert_eq!(code, Some(65), "{out}");
    assert!(out.contains("missing    ledger/journal-"), "{out}");
}
