//! A host that gives a session and is lost before it has taken a recipient: the next host of the same next
//! hop has the transaction, and nobody hears of it; where none is left the rule decides. And a host that is
//! silent in a session: the next client does not wait for it. And content that comes slowly goes on as it comes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use super::super::client::Client;
use super::super::service::{PATIENCE, Service};
use super::hop::{Hop, Speaks, To};
use super::{CONTENT, KNOWN, UNKNOWN, World, assert_whole, nothing_queued, queue_of, send};

/// What is said where nothing is stored.
const NO_ANSWER: &str = "451 4.4.1 no answer from the host ahead, try again later";

/// Two hosts at one port, of which the world knows that they are `two.hop.example`: which of them is called
/// first is not said.
fn two(script: impl Fn(usize, To, &str) -> String + Send + Sync + Clone + 'static) -> [Hop; 2] {
    let of = |number: usize| {
        let script = script.clone();
        move |to: To, of: &str| script(number, to, of)
    };
    let first = Hop::start(Speaks::Smtp, of(0));
    let second = SocketAddr::from(([127, 0, 0, 3], first.address().port()));
    [first, Hop::on(second, Speaks::Smtp, of(1))]
}

fn service(world: &World, hops: &[Hop; 2]) -> Service {
    let port = hops[0].address().port();
    let next_hop = format!("smtp://two.hop.example:{port}");
    world.front(&next_hop).start()
}

/// Says this to what is to be lost, and otherwise yes.
fn losing(lost: bool, reply: &str) -> String {
    String::from(if lost { reply } else { "250 2.0.0 ok" })
}

/// A 421 to MAIL, or to RCPT; an end without a word at either.
#[test]
fn a_host_that_is_lost_in_the_envelope_leads_to_the_next() {
    let world = World::start();
    for reply in ["421 4.3.2 leaving", ""] {
        for at in [To::Mail, To::Recipient] {
            for lost in [0, 1] {
                let hops = two(move |number, to, _| losing(number == lost && to == at, reply));
                let service = service(&world, &hops);
                for sender in [UNKNOWN, KNOWN] {
                    let told = send(service.address(), sender, &["bob@hop.example"]);
                    assert!(told.end.starts_with("250 2.0.0 "), "{told:?}");
                    assert_whole(&hops[1 - lost].next().content, CONTENT);
                }
                nothing_queued([&service]);
                service.stop();
                assert!(hops.iter().all(|hop| hop.rest().is_empty()));
            }
        }
    }
}

/// Where both are lost the rule decides; and the next client is not kept from asking.
#[test]
fn where_every_host_is_lost_the_rule_decides() {
    let world = World::start();
    for reply in ["421 4.3.2 leaving", ""] {
        let hops =
            two(move |_, to, who| losing(to == To::Recipient && who != "bob@hop.example", reply));
        let service = service(&world, &hops);
        let told = send(service.address(), UNKNOWN, &["carol@hop.example"]);
        assert_eq!(told.recipients, [NO_ANSWER]);
        assert_eq!(hops.each_ref().map(Hop::connections), [1, 1]);
        let told = send(service.address(), UNKNOWN, &["bob@hop.example"]);
        assert!(told.end.starts_with("250 2.0.0 "), "{told:?}");
        let told = send(service.address(), KNOWN, &["carol@hop.example"]);
        assert!(told.end.starts_with("250 2.0.0 queued as "), "{told:?}");
        assert_eq!(queue_of(&service).lines().count(), 1);
        service.stop();
    }
}

/// A refusal is an answer, also at a second host.
#[test]
fn a_refusal_leads_nowhere() {
    let world = World::start();
    let hops = two(|_, to, _| losing(to == To::Recipient, "451 4.7.1 greylisted"));
    let service = service(&world, &hops);
    let told = send(service.address(), KNOWN, &["bob@hop.example"]);
    assert!(told.recipients[0].starts_with("451 4.7.1 "), "{told:?}");
    assert_eq!(hops.iter().map(Hop::connections).sum::<u32>(), 1);
    service.stop();
}

/// The first host refuses a recipient, and is lost at the second one: that goes on, and what is said of it
/// at the end is said of it. Behind a recipient that was taken there is no other host.
#[test]
fn a_host_that_is_lost_at_a_later_recipient_leads_on_unless_it_has_taken_one() {
    let world = World::start();
    for (first, goes_on) in [("nobody@hop.example", true), ("bob@hop.example", false)] {
        let hops = two(move |_, to, who| match (to, who) {
            (To::Recipient, "nobody@hop.example") => String::from("550 5.1.1 no"),
            (To::Recipient, "carol@hop.example") => String::from("421 4.3.2 leaving"),
            _ => String::from("250 2.0.0 ok"),
        });
        let service = service(&world, &hops);
        let mut client = Client::greeted(service.address());
        client.expect("EHLO client.example", 250);
        client.expect(&format!("MAIL FROM:<{UNKNOWN}>"), 250);
        client.expect(
            &format!("RCPT TO:<{first}>"),
            if goes_on { 550 } else { 250 },
        );
        // Every host leaves over her.
        client.expect("RCPT TO:<carol@hop.example>", 451);
        let called: u32 = hops.iter().map(Hop::connections).sum();
        assert_eq!(called, if goes_on { 2 } else { 1 });
        client.expect("RSET", 250);
        service.stop();
    }
}

#[test]
fn what_a_second_host_says_at_the_end_is_said_of_whom_it_took() {
    let world = World::start();
    let left = Arc::new(AtomicBool::new(false));
    let hops = two(move |_, to, who| match (to, who) {
        (To::Recipient, "nobody@hop.example") => String::from("550 5.1.1 no"),
        (To::Recipient, "bob@hop.example") if !left.swap(true, Ordering::AcqRel) => {
            String::from("421 4.3.2 leaving")
        }
        (To::End, _) => String::from("552 5.2.2 full"),
        _ => String::from("250 2.0.0 ok"),
    });
    let service = service(&world, &hops);
    let all = ["nobody@hop.example", "bob@hop.example", "carol@hop.example"];
    let told = send(service.address(), KNOWN, &all);
    assert!(told.recipients[0].starts_with("550 5.1.1 "), "{told:?}");
    assert!(told.recipients[1].starts_with("250 ") && told.recipients[2].starts_with("250 "));
    assert!(told.end.starts_with("552 5.2.2 "), "{told:?}");
    nothing_queued([&service]);
    service.stop();
}

/// A host that greets, and is silent then: clients hear their answer without asking it again, or but one of
/// them does, and then ever more seldom.
#[test]
fn a_host_that_is_silent_in_a_session_is_not_waited_for_again() {
    let world = World::start();
    for at in [To::Mail, To::Recipient] {
        let hop = Hop::start(Speaks::Smtp, move |to, _| {
            if to == at {
                loop {
                    std::thread::park();
                }
            }
            String::from("250 2.0.0 ok")
        });
        let short = "[delivery]\ncommand_timeout = \"200ms\"";
        let service = world.front(&hop.next_hop()).with(short).start();
        for _ in 0..CLIENTS {
            let told = send(service.address(), UNKNOWN, &["bob@hop.example"]);
            assert_eq!(told.recipients, [NO_ANSWER]);
        }
        // For each of them to ask it minutes would have to pass.
        assert!(hop.connections() < CLIENTS);
        service.stop();
    }
}

/// What the client has sent so far goes on before the next of it comes.
#[test]
fn what_a_slow_client_has_sent_goes_on_while_it_is_waited_for() {
    let world = World::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let next_hop = format!("smtp://{}", listener.local_addr().unwrap());
    let (send, lines) = channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        (&stream).write_all(b"220 inner.hop.example\r\n").unwrap();
        let mut is_content = false;
        for line in BufReader::new(&stream).lines() {
            let line = line.unwrap();
            let reply = match line.as_str() {
                "." => "250 2.0.0 ok\r\n",
                "DATA" => "354 go on\r\n",
                _ if is_content => "",
                _ => "250 ok\r\n",
            };
            is_content = line == "DATA" || is_content && line != ".";
            (&stream).write_all(reply.as_bytes()).unwrap();
            // Nobody listens when the test is over.
            let _ = send.send(line);
        }
    });
    let service = world.front(&next_hop).start();
    for sender in [UNKNOWN, KNOWN] {
        let mut client = Client::greeted(service.address());
        client.expect("EHLO client.example", 250);
        client.expect(&format!("MAIL FROM:<{sender}>"), 250);
        client.expect("RCPT TO:<bob@hop.example>", 250);
        client.expect("DATA", 354);
        for line in ["Subject: slow", "", "one", "two"] {
            client.send(format!("{line}\r\n"));
            while lines.recv_timeout(PATIENCE).expect("it goes on") != line {}
        }
        client.expect(".", 250);
    }
    service.stop();
}

/// One behind the other.
const CLIENTS: u32 = 8;
