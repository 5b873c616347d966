//! The service asks a domain whether it sent a message, and what becomes of the message by the answers: at the end of its
//! data, with NSD as the domain's own servers.

mod claims;
mod world;

use super::cli::{texts, vouchsafe};
use super::metrics::{page, sample};
use super::nsd::Nsd;
use super::signing::{EDWARDS, record, signed, signer};
use super::sink::Sink;
use world::{
    ALICE, ALTERED, ELSEWHERE, FAILURE, JUNK, LISTED, Message, NOBODY, NOT_LISTED, NOT_SENT,
    NOTHING, OTHER_HOURS, SENT, Sender, UNKNOWN, World, bring, sender,
};

/// What is looked at in a laboratory.
const HERE: &str = "special_use = true";

const BOB: [&str; 1] = ["bob@local.example"];

/// What came of a message for bob: the moment of the reply, its code, and the verdict if it was taken.
fn outcome(sender: Sender<'_>, verify: &str) -> (String, usize) {
    let message = Message::naming("old.example");
    let world = World::new(&message, sender);
    let mut service = world.service(verify);
    let (mut moment, mut reply) = bring(&service, &BOB, &message);
    if moment == "MAIL" && reply.starts_with("450") {
        // The names were too late on a busy machine: a client comes again.
        (moment, reply) = bring(&service, &BOB, &message);
    }
    let mut told = format!("{moment} {}", &reply[..3]);
    if reply.starts_with("250") {
        let line = service.wait_for(" accepted ");
        let (_, verdict) = line.split_once("verdict=").unwrap();
        told = format!(
            "{told} {}",
            verdict.split(' ').next().unwrap().trim_matches('"')
        );
    }
    (told, world.questions())
}

fn judged(sender: Sender<'_>) -> String {
    outcome(sender, HERE).0
}

#[test]
fn what_the_domain_has_sent_is_taken_whatever_its_lists_say() {
    if !Nsd::installed("what the service makes of \"sent\"") {
        return;
    }
    for records in ["", NOBODY, NOT_LISTED] {
        let proven = sender(records, &[Some(SENT)]);
        assert_eq!(judged(proven), "content 250 authorised", "{records}");
        // Forwarded by a host that nobody declared.
        let cleared = sender(records, &[Some(ELSEWHERE)]);
        assert_eq!(judged(cleared), "content 250 unknown", "{records}");
    }
}

#[test]
fn what_was_altered_is_judged_as_without_the_ledger() {
    if !Nsd::installed("what the service makes of \"altered\"") {
        return;
    }
    for (records, told) in [
        ("", "content 250 unknown"),
        (NOBODY, "content 550"),
        (NOT_LISTED, "content 550"),
    ] {
        assert_eq!(judged(sender(records, &[Some(ALTERED)])), told, "{records}");
    }
}

#[test]
fn what_the_domain_did_not_send_is_refused_when_another_server_says_it_too() {
    if !Nsd::installed("what the service makes of \"not sent\"") {
        return;
    }
    let both = [Some(NOT_SENT), Some(NOT_SENT)];
    let (told, questions) = outcome(sender("", &both), HERE);
    assert_eq!((told.as_str(), questions), ("content 550", 4));
    // Another address of the same server is no other server.
    let at_one_host = Sender {
        one_host: true,
        ..sender("", &both)
    };
    assert_eq!(judged(at_one_host), "content 451");
    // One that nobody confirms is put off, and refused when the lists say it, too.
    assert_eq!(judged(sender("", &[Some(NOT_SENT)])), "content 451");
    assert_eq!(judged(sender(NOBODY, &[Some(NOT_SENT)])), "content 550");
    // The domain does not want it refused.
    let none = |servers| Sender {
        policy: Some("none"),
        ..sender("", servers)
    };
    assert_eq!(judged(none(&both)), "content 250 unknown");
    assert_eq!(judged(none(&[Some(NOT_SENT)])), "content 250 unknown");
}

#[test]
fn what_a_recipient_has_declared_outweighs_it() {
    if !Nsd::installed("recipients who have declared something, and \"not sent\"") {
        return;
    }
    let message = Message::naming("old.example");
    let both = [Some(NOT_SENT), Some(NOT_SENT)];
    let forwarder = "list TXT \"v=spf1 ip4:127.0.0.1 -all\"\n";
    let audit = "special_use = true\naudit = true\npostmaster_exempt = true";
    for (records, verify) in [
        (
            forwarder.to_owned(),
            "special_use = true\npostmaster_exempt = true",
        ),
        (format!("{LISTED}{forwarder}"), audit),
    ] {
        let world = World::new(&message, sender(&records, &both));
        let declared = "[recipients.\"dave@local.example\"]\nforwarders = [\"list.example.org\"]";
        let setup = world.setup(verify).with(declared).stored();
        let service = setup.start();
        let come = |name: &str| bring(&service, &[name], &message).1[..3].to_owned();
        let of_bob = if records == forwarder { "550" } else { "451" };
        assert_eq!(come("bob@local.example"), of_bob, "{verify}");
        assert_eq!(come("postmaster@local.example"), "250", "{verify}");
        assert_eq!(come("dave@local.example"), "250", "{verify}");
    }
}

#[test]
fn what_one_server_knows_and_the_other_does_not_was_sent() {
    if !Nsd::installed("servers that know different things") {
        return;
    }
    // Which of the two comes first is the message's to say; nothing is refused either way.
    for servers in [
        [Some(NOT_SENT), Some(SENT)],
        [Some(SENT), Some(NOT_SENT)],
        [Some(ELSEWHERE), Some(SENT)],
        // It came by a forwarder that nobody has declared: only its identity tells.
        [Some(NOT_SENT), Some(ALTERED)],
        [Some(ALTERED), Some(NOT_SENT)],
    ] {
        let told = judged(sender("", &servers));
        assert!(
            [
                "content 250 authorised",
                "content 250 unknown",
                "content 451"
            ]
            .contains(&&*told),
            "{told}"
        );
    }
}

#[test]
fn nothing_odd_is_ever_a_reason_to_refuse() {
    if !Nsd::installed("odd answers of a ledger") {
        return;
    }
    for says in [UNKNOWN, OTHER_HOURS, JUNK, NOTHING, FAILURE] {
        let servers = [Some(says), Some(says)];
        assert_eq!(
            judged(sender("", &servers)),
            "content 250 unknown",
            "{says:?}"
        );
        let told = judged(sender(NOBODY, &servers));
        assert_eq!(told, "content 550", "{says:?}: as without a ledger");
    }
    // Servers that say nothing at all.
    assert_eq!(judged(sender("", &[None])), "content 250 unknown");
    let silent = judged(sender("", &[Some(NOT_SENT), None]));
    assert_eq!(silent, "content 451", "the other one has said it once");
}

#[test]
fn who_offers_nothing_or_is_not_to_be_asked_is_not_asked() {
    if !Nsd::installed("whom the service does not ask") {
        return;
    }
    let servers = [Some(NOT_SENT)];
    let silent = Sender {
        policy: None,
        ..sender("", &servers)
    };
    let cases = [
        (silent, HERE, "content 250 unknown"),
        (sender("", &servers), "", "content 250 unknown"),
        (
            sender("", &servers),
            "special_use = true\nledger = false",
            "content 250 unknown",
        ),
        (
            sender(NOBODY, &servers),
            "special_use = true\nledger = false\ndkim = false",
            "MAIL 550",
        ),
        (sender(LISTED, &servers), HERE, "content 250 authorised"),
    ];
    for (sender, verify, told) in cases {
        assert_eq!(outcome(sender, verify), (told.to_owned(), 0), "{verify}");
    }
}

#[test]
fn what_a_signature_proves_is_not_asked_about() {
    if !Nsd::installed("signed messages of a domain with a ledger") {
        return;
    }
    let key = format!("{EDWARDS}._domainkey TXT \"{}\"\n", record(EDWARDS));
    let records = format!("{NOBODY}{key}");
    let plain = Message::naming("old.example");
    let world = World::new(&plain, sender(&records, &[Some(NOT_SENT), Some(NOT_SENT)]));
    let service = world.service(HERE);
    let by_it = signer("example.org", EDWARDS);
    let mut message = plain.clone();
    message.text = signed(&by_it, &plain.text);
    let (moment, reply) = bring(&service, &BOB, &message);
    assert_eq!((moment, &reply[..3]), ("content", "250"), "{reply}");
    assert_eq!(world.questions(), 0);
    // One that does not hold leaves it to the ledger.
    message.text = message.text.replace("Hi Bob.", "Hi Rob.");
    let (moment, reply) = bring(&service, &BOB, &message);
    assert_eq!((moment, &reply[..3]), ("content", "550"), "{reply}");
    assert!(world.questions() > 0);
}

#[test]
fn a_listed_relay_that_brings_what_the_domain_did_not_send_raises_an_alarm() {
    if !Nsd::installed("an audit of listed relays") {
        return;
    }
    let message = Message::naming("old.example");
    let world = World::new(&message, sender(LISTED, &[Some(NOT_SENT), Some(NOT_SENT)]));
    let setup = world.setup("special_use = true\naudit = true");
    let mut service = setup.with("[metrics]\naddress = \"127.0.0.1:0\"").start();
    let mut refused = Vec::new();
    for tries in 1..=2 {
        let (moment, reply) = bring(&service, &BOB, &message);
        assert!(reply.starts_with("451 4.7.1 "), "{moment} {reply}");
        let line = service.wait_for("a relay that the domain lists brings");
        assert!(
            line.contains("example.org") && line.contains("127.0.0.1"),
            "{line}"
        );
        let figures = page(service.monitor(), "/metrics").1;
        assert_eq!(sample(&figures, "vouchsafe_ledger_alarms_total"), tries);
        assert_eq!(world.questions(), 4, "what is known is not asked again");
        let line = service.wait_for("message refused");
        let (_, id) = line.split_once("queue_id=").unwrap();
        let id = id.split(' ').next().unwrap();
        refused.push(id.to_owned());
    }
    let folder = service.folder();
    service.stop();
    for id in refused {
        let config = format!(
            "--config={}",
            folder.path().join("vouchsafe.toml").display()
        );
        let (out, err) = texts(&vouchsafe(&["trace", &id, &config]));
        assert!(out.contains("451 4.7.1 example.org"), "{out}{err}");
    }
    // What the domain has sent goes on as ever.
    let world = World::new(&message, sender(LISTED, &[Some(SENT)]));
    let service = world.service("special_use = true\naudit = true");
    assert_eq!(&bring(&service, &BOB, &message).1[..3], "250");
    assert_eq!(world.questions(), 1);
}

#[test]
fn a_message_costs_six_questions_at_most_and_the_same_one_none_again() {
    if !Nsd::installed("how many questions a message costs") {
        return;
    }
    let message = Message::naming("old.example");
    let world = World::new(&message, sender("", &[Some(UNKNOWN), Some(UNKNOWN)]));
    let names = [
        "a.example",
        "b.example",
        "c.example",
        "d.example",
        "e.example",
    ];
    let mut setup = world.setup("special_use = true\nforwarders = [\"x.example\", \"y.example\"]");
    let sink = Sink::start();
    for name in names {
        setup = setup.domain(name, &sink.next_hop());
    }
    // Down a path each recipient would come in a transaction of its own.
    let service = setup.stored().start();
    let of = |count: usize| {
        let names = names.iter().take(count);
        names.map(|name| format!("bob@{name}")).collect::<Vec<_>>()
    };
    for count in 1..=names.len() {
        let before = world.questions();
        let recipients = of(count);
        let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
        assert_eq!(&bring(&service, &recipients, &message).1[..3], "250");
        let asked = world.questions() - before;
        assert!((1..=6).contains(&asked), "{asked} for {count} domains");
    }
    let world = World::new(&message, sender("", &[Some(SENT)]));
    let service = world.service(HERE);
    for _ in 0..3 {
        assert_eq!(&bring(&service, &BOB, &message).1[..3], "250");
        assert_eq!(world.questions(), 1);
    }
}

#[test]
fn no_path_is_opened_before_the_domain_has_spoken() {
    if !Nsd::installed("held paths of messages that a domain is asked about") {
        return;
    }
    let message = Message::naming("old.example");
    for (says, taken) in [(SENT, true), (NOT_SENT, false)] {
        let world = World::new(&message, sender("", &[Some(says), Some(says)]));
        let sink = Sink::start();
        let setup = world
            .setup(HERE)
            .domains(&["local.example"], &sink.next_hop());
        let service = setup.start();
        let (moment, reply) = bring(&service, &BOB, &message);
        assert_eq!(
            (moment, &reply[..3] == "250"),
            ("content", taken),
            "{reply}"
        );
        if taken {
            let content = String::from_utf8(sink.next().content).unwrap();
            assert!(content.contains("x-ledger=pass"), "{content}");
        } else {
            let log = service.stop();
            assert!(!log.contains("next hop"), "{log}");
            assert_eq!(sink.rest().count(), 0);
        }
    }
}
