//! What a client claims at MAIL (XVOUCH): the domain is asked about it before any content comes, and only the content that
//! was claimed is proven by it.

use super::world::{
    ELSEWHERE, Message, NOBODY, NOT_LISTED, NOT_SENT, SENT, UNKNOWN, World, finish, sender,
};
use super::{ALICE, BOB, HERE};
use crate::client::Client;
use crate::nsd::Nsd;
use crate::service::{Service, Setup};
use crate::sink::Sink;

/// A client whose MAIL with this claim was accepted.
fn claiming(service: &Service, claim: &str) -> Client {
    let mail = format!("MAIL FROM:<{ALICE}> XVOUCH={claim}");
    for _ in 0..5 {
        let mut client = Client::greeted(service.address());
        client.expect("EHLO client.example", 250);
        let reply = client.say(&mail);
        // On a busy machine names are late now and then, and a client comes again.
        if !reply.starts_with("450") {
            assert!(reply.starts_with("250"), "{reply}");
            return client;
        }
    }
    panic!("the domain's lists are never to be had");
}

/// A path into a draft, or one that is held.
fn with_path(world: &World, sink: &Sink, path: &str) -> Setup {
    let setup = world.setup(HERE);
    let setup = setup.domains(&["local.example"], &sink.next_hop());
    if path == "store" {
        setup.stored()
    } else {
        setup
    }
}

#[test]
fn what_the_domain_has_sent_is_known_before_it_comes() {
    if !Nsd::installed("what a client claims at MAIL") {
        return;
    }
    let message = Message::naming("old.example");
    for records in ["", NOBODY, NOT_LISTED] {
        for path in ["hold", "store"] {
            let world = World::new(&message, sender(records, &[Some(SENT)]));
            let sink = Sink::start();
            let mut service = with_path(&world, &sink, path).start();
            let mut client = claiming(&service, &message.claims[0]);
            let before = world.questions();
            assert!(before >= 1, "it is asked at MAIL");
            let reply = finish(&mut client, &BOB, &message);
            assert!(reply.starts_with("250"), "{records} {path} {reply}");
            assert_eq!(world.questions(), before, "it is not asked again");
            let line = service.wait_for(" accepted ");
            assert!(line.contains("verdict=authorised"), "{line}");
            assert!(!sink.next().content.is_empty());
        }
    }
}

#[test]
fn a_claim_lets_the_path_open_before_the_content() {
    if !Nsd::installed("held paths of messages that are claimed") {
        return;
    }
    let message = Message::naming("old.example");
    for (claim, is_early) in [(0, true), (1, false)] {
        let world = World::new(&message, sender("", &[Some(SENT)]));
        let sink = Sink::start();
        let mut service = with_path(&world, &sink, "hold").start();
        let mut client = claiming(&service, &message.claims[claim]);
        let reply = finish(&mut client, &BOB, &message);
        assert!(reply.starts_with("250"), "{reply}");
        let line = service.wait_for(" accepted ");
        assert!(line.contains("custody=\"onward\""), "{line}");
        // Who has waited for the content knows at its end what is written above it.
        let content = String::from_utf8(sink.next().content).unwrap();
        assert_eq!(!content.contains("x-ledger=pass"), is_early, "{content}");
    }
}

#[test]
fn a_claim_proves_no_other_message() {
    if !Nsd::installed("a claim that is another message's") {
        return;
    }
    let (message, other) = Message::with_another();
    for path in ["hold", "store"] {
        // The domain has sent what is claimed, and nothing else is known of it.
        let world = World::new(&message, sender(NOBODY, &[Some(SENT)]));
        let sink = Sink::start();
        let service = with_path(&world, &sink, path).start();
        let mut client = claiming(&service, &message.claims[0]);
        let reply = finish(&mut client, &BOB, &other);
        assert!(reply.starts_with("550"), "{path} {reply}");
        drop(service.stop());
        assert_eq!(sink.rest().count(), 0, "{path}");
        // It was sent to somebody else, and came here by his way.
        let world = World::new(&message, sender(NOBODY, &[Some(ELSEWHERE)]));
        let mut service = with_path(&world, &sink, path).start();
        let mut client = claiming(&service, &message.claims[1]);
        let reply = finish(&mut client, &BOB, &message);
        assert!(reply.starts_with("250"), "{path} {reply}");
        let line = service.wait_for(" accepted ");
        assert!(line.contains("verdict=unknown"), "{path} {line}");
    }
}

#[test]
fn what_comes_in_the_place_of_what_was_claimed_is_asked_about_itself() {
    if !Nsd::installed("content that is not what was claimed") {
        return;
    }
    let message = Message::in_place_of_another();
    for path in ["hold", "store"] {
        for (servers, reply, questions) in [
            // The claim, the message, its identity, and the message again.
            (&[Some(ELSEWHERE), Some(ELSEWHERE)][..], "550 5.7.1", 4),
            (&[Some(ELSEWHERE)], "451 4.7.1", 3),
        ] {
            let world = World::new(&message, sender("", servers));
            let sink = Sink::start();
            let service = with_path(&world, &sink, path).start();
            let mut client = claiming(&service, &message.claims[0]);
            let said = finish(&mut client, &BOB, &message);
            assert!(said.starts_with(reply), "{path} {said}");
            assert_eq!(world.questions(), questions, "{path}");
            let log = service.stop();
            assert!(log.contains("message refused"), "{log}");
            assert_eq!(sink.rest().count(), 0, "{path}");
        }
    }
}

#[test]
fn what_is_claimed_and_was_not_sent_goes_as_without_a_claim() {
    if !Nsd::installed("claims that the domain denies") {
        return;
    }
    let message = Message::naming("old.example");
    let both = [Some(NOT_SENT), Some(NOT_SENT)];
    // One question more, also if it was about this message; and none wards off a refusal.
    let unheard = format!("79bf9.{:032x}", 7);
    for (claim, questions) in [(&message.claims[0], 5), (&unheard, 5)] {
        let world = World::new(&message, sender("", &both));
        let service = world.service(HERE);
        let mut client = claiming(&service, claim);
        let reply = finish(&mut client, &BOB, &message);
        assert!(reply.starts_with("550"), "{reply}");
        assert_eq!(world.questions(), questions);
    }
    let world = World::new(&message, sender("", &[Some(UNKNOWN)]));
    let service = world.service(HERE);
    let mut client = claiming(&service, &message.claims[0]);
    let reply = finish(&mut client, &BOB, &message);
    assert!(reply.starts_with("250"), "{reply}");
}

#[test]
fn what_is_not_known_at_mail_may_be_at_the_end() {
    if !Nsd::installed("claims that are answered otherwise later") {
        return;
    }
    let message = Message::naming("old.example");
    // A server whose copy of the ledger lags behind, one that does not know, and one that is silent for a while.
    for at_mail in [Some(NOT_SENT), Some(UNKNOWN), None] {
        let mut world = World::new(&message, sender(NOBODY, &[at_mail]));
        let mut service = world.service(HERE);
        let mut client = claiming(&service, &message.claims[0]);
        world.becomes(&message, sender(NOBODY, &[Some(SENT)]));
        let reply = finish(&mut client, &BOB, &message);
        assert!(reply.starts_with("250"), "{at_mail:?} {reply}");
        let line = service.wait_for(" accepted ");
        assert!(line.contains("verdict=authorised"), "{line}");
    }
}

#[test]
fn what_was_denied_before_is_proven_by_its_claim() {
    if !Nsd::installed("claims of what was denied before") {
        return;
    }
    let message = Message::naming("old.example");
    let denied = [Some(NOT_SENT), Some(NOT_SENT)];
    for path in ["hold", "store"] {
        let mut world = World::new(&message, sender(NOBODY, &denied));
        let sink = Sink::start();
        let mut service = with_path(&world, &sink, path).start();
        let mut client = claiming(&service, &message.claims[0]);
        let reply = finish(&mut client, &BOB, &message);
        assert!(reply.starts_with("550"), "{path} {reply}");
        // It is entered only now.
        world.becomes(&message, sender(NOBODY, &[Some(SENT), Some(SENT)]));
        let mut client = claiming(&service, &message.claims[0]);
        let reply = finish(&mut client, &BOB, &message);
        assert!(reply.starts_with("250"), "{path} {reply}");
        let line = service.wait_for(" accepted ");
        assert!(line.contains("verdict=authorised"), "{path} {line}");
    }
}

#[test]
fn claims_are_taken_only_where_ledgers_are_asked() {
    let claim = "79bf9.870834f17f8ca9078fdba2f63449d26a";
    let mail = format!("MAIL FROM:<{ALICE}> XVOUCH={claim}");
    for asks in [true, false] {
        let setup = Setup::new().with(&format!("[verify]\nledger = {asks}\n"));
        let service = setup.start();
        let mut client = Client::greeted(service.address());
        let offers = client.say("EHLO client.example");
        assert_eq!(offers.contains("XVOUCH"), asks, "{offers}");
        if !asks {
            let reply = client.say(&mail);
            assert!(reply.starts_with("555 5.5.4"), "{reply}");
        }
        let reply = client.say(&format!("MAIL FROM:<{ALICE}> XVOUCH=1"));
        assert!(reply.starts_with("501 5.5.4"), "{reply}");
    }
}

#[test]
fn a_claim_is_passed_on_with_the_content_that_it_is_about() {
    if !Nsd::installed("claims that are passed on") {
        return;
    }
    let message = Message::naming("old.example");
    let claim = format!(" XVOUCH={}", message.claims[0]);
    let mut altered = message.clone();
    altered.text = altered.text.replace("Hi Bob.", "Hi Rob.");
    for path in ["hold", "store"] {
        for (extension, content, passes) in [
            ("XVOUCH", &message, true),
            ("SIZE", &message, false),
            // Down a path that is held it was said before anybody could know better.
            ("XVOUCH", &altered, path == "hold"),
        ] {
            let world = World::new(&message, sender("", &[Some(SENT)]));
            let sink = Sink::offering(extension);
            let service = with_path(&world, &sink, path).start();
            let mut client = claiming(&service, &message.claims[0]);
            let reply = finish(&mut client, &BOB, content);
            assert!(reply.starts_with("250"), "{reply}");
            let mail = sink.next().mail;
            assert_eq!(mail.contains(&claim), passes, "{path} {extension} {mail}");
        }
    }
}
