//! Chains of one to five services: what the last host says is what the sender hears, and nobody queues
//! anything.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::super::interop::postfix::{Postfix, Setup};
use super::super::service::Service;
use super::super::sink::split_trace;
use super::hop::{Hop, Speaks, To};
use super::{CONTENT, KNOWN, UNKNOWN, World, assert_bland, assert_whole, nothing_queued, send};

/// Services before the last host.
const LONGEST: usize = 5;

/// Services in a line before a next hop, the one that is nearest to it first: so each of them is the front
/// of a chain of its own.
pub struct Chain {
    services: Vec<Service>,
}

impl Chain {
    pub fn before(world: &World, next_hop: &str, length: usize) -> Self {
        let mut services: Vec<Service> = Vec::new();
        for _ in 0..length {
            let nearest = services.last();
            let next_hop = nearest.map_or_else(
                || next_hop.to_owned(),
                |service| format!("smtp://{}", service.address()),
            );
            services.push(world.front(&next_hop).start());
        }
        Self { services }
    }

    /// Where a chain of so many begins.
    pub fn front(&self, length: usize) -> SocketAddr {
        self.services[length - 1].address()
    }

    /// All of them, the one nearest to the next hop first.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// Nothing is queued by anybody, now or at the end.
    pub fn is_empty(&self) {
        nothing_queued(&self.services);
    }

    pub fn stop(self) {
        // The front first: whoever is behind has nothing under way then.
        for service in self.services.into_iter().rev() {
            service.stop();
        }
    }
}

/// What stands in a policy server's place: the mailboxes of the last host, and what it says to their mail.
fn policy(state: &str, recipient: &str, seen_before: bool) -> &'static str {
    match (state, recipient) {
        ("RCPT", "full@hop.example") => "452 4.2.2 inner words: full",
        ("RCPT", "over@hop.example") => "552 5.2.2 inner words: over its quota",
        ("RCPT", "grey@hop.example") if !seen_before => "450 4.7.1 inner words: greylisted",
        ("END-OF-MESSAGE", "strict@hop.example") => "554 5.7.1 inner words: not this one",
        ("END-OF-MESSAGE", "later@hop.example") => "452 4.3.1 inner words: no room for it",
        _ => "DUNNO",
    }
}

/// Postfix's policy protocol (`SMTPD_POLICY_README`), a thread on a port. Greylisting is by recipient and
/// reverse-path.
fn start_policy() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::<Mutex<HashSet<String>>>::default();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, seen) = (stream.unwrap(), Arc::clone(&seen));
            std::thread::spawn(move || drop(answer(&stream, &seen)));
        }
    });
    address
}

fn answer(stream: &TcpStream, seen: &Mutex<HashSet<String>>) -> std::io::Result<()> {
    let mut say = stream;
    let (mut state, mut recipient, mut sender) = (String::new(), String::new(), String::new());
    for line in BufReader::new(stream).lines() {
        let line = line?;
        match line.split_once('=') {
            Some(("protocol_state", value)) => value.clone_into(&mut state),
            Some(("recipient", value)) => value.clone_into(&mut recipient),
            Some(("sender", value)) => value.clone_into(&mut sender),
            Some(_) => {}
            None => {
                let key = format!("{sender} {recipient}");
                let new = state == "RCPT" && seen.lock().unwrap().insert(key);
                let action = policy(&state, &recipient, !new);
                say.write_all(format!("action={action}\n\n").as_bytes())?;
            }
        }
    }
    Ok(())
}

/// The last host of these chains: Postfix with mailboxes that are full, strict, or not there.
pub fn last_host(left_out: &str) -> Option<Postfix> {
    let setup = Setup::new(left_out)?;
    let policy = start_policy();
    let names = ["bob", "full", "over", "grey", "strict", "later"];
    let boxes: Vec<_> = names
        .iter()
        .map(|name| format!("{{ {name}@hop.example = box/ }}"))
        .collect();
    let postfix = setup
        .with(&format!(
            "virtual_mailbox_maps = inline:{{ {} }}",
            boxes.join(", ")
        ))
        .with(&format!(
            "smtpd_recipient_restrictions = check_policy_service inet:{policy}\n\
             smtpd_end_of_data_restrictions = check_policy_service inet:{policy}"
        ));
    Some(postfix.start())
}

/// What the last host refuses is refused to whoever sends, by code, and in words that tell nothing.
pub fn passes_back(front: SocketAddr, sender: &str) {
    for (to, said) in [
        ("nobody@hop.example", "550 5.1.1 "),
        ("full@hop.example", "452 4.2.2 "),
        ("over@hop.example", "552 5.2.2 "),
    ] {
        let told = send(front, sender, &[to]);
        assert_bland(&told.recipients[0], said);
    }
    for (to, said) in [
        ("strict@hop.example", "554 5.7.1 "),
        ("later@hop.example", "452 4.3.1 "),
    ] {
        let told = send(front, sender, &[to]);
        assert!(told.recipients[0].starts_with("250 "), "{told:?}");
        assert_bland(&told.end, said);
    }
    let told = send(front, sender, &["grey@hop.example"]);
    assert_bland(&told.recipients[0], "450 4.7.1 ");
    let told = send(front, sender, &["grey@hop.example"]);
    assert!(told.end.starts_with("250 "), "{told:?}");
}

#[test]
fn one_to_five_services_before_postfix_say_what_postfix_says_and_queue_nothing() {
    let Some(mut postfix) = last_host("Chains of services before Postfix") else {
        return;
    };
    let world = World::start();
    let chain = Chain::before(&world, &postfix.next_hop(), LONGEST);
    for length in 1..=LONGEST {
        let front = chain.front(length);
        // A reverse-path of its own: each chain is greylisted anew.
        let sender = format!("{length}.{UNKNOWN}");
        passes_back(front, &sender);
        // The good mailbox, and one that is not there beside it in the same transaction.
        let told = send(front, &sender, &["bob@hop.example", "nobody@hop.example"]);
        assert!(told.recipients[0].starts_with("250 "), "{told:?}");
        assert_bland(&told.recipients[1], "550 5.1.1 ");
        assert!(told.end.starts_with("250 "), "{told:?}");
        chain.is_empty();
    }
    // One that was greylisted, and one that was not, by each chain.
    let kept = postfix.delivered(2 * LONGEST);
    assert_eq!(kept.len(), 2 * LONGEST);
    let mut hops: Vec<usize> = kept
        .iter()
        .map(|kept| {
            let head = assert_whole(kept, CONTENT);
            head.matches("by mx.example.org").count()
        })
        .collect();
    hops.sort_unstable();
    assert_eq!(hops, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    chain.is_empty();
    chain.stop();
}

/// Who is authorised would be stored for: but a reply is a reply, and nothing is.
#[test]
fn a_refusal_is_passed_back_to_authorised_senders_too() {
    let Some(postfix) = last_host("A chain with an authorised sender before Postfix") else {
        return;
    };
    let world = World::start();
    let chain = Chain::before(&world, &postfix.next_hop(), 2);
    passes_back(chain.front(2), KNOWN);
    chain.is_empty();
    chain.stop();
}

/// Several transactions of one session, refused ones between good ones, over the kept sessions behind.
#[test]
fn a_scripted_next_hop_behind_a_chain_gets_each_message_once_and_whole() {
    let hop = Hop::start(Speaks::Smtp, |to, recipient| {
        let reply = match (to, recipient) {
            (To::Recipient, "gone@hop.example") => "550 5.1.1 inner words",
            (To::End, "strict@hop.example") => "554 5.7.1 inner words",
            (To::End, "later@hop.example") => "451 4.3.0 inner words",
            _ => "250 2.0.0 ok",
        };
        reply.into()
    });
    let world = World::start();
    let chain = Chain::before(&world, &hop.next_hop(), LONGEST);
    for length in [1, LONGEST] {
        for sender in [UNKNOWN, KNOWN, ""] {
            let front = chain.front(length);
            let mut client = super::Client::greeted(front);
            client.expect("EHLO client.example", 250);
            for (to, at_recipient, at_end) in [
                ("gone@hop.example", "550 5.1.1 ", ""),
                ("bob@hop.example", "250 ", "250 "),
                ("strict@hop.example", "250 ", "554 5.7.1 "),
                ("later@hop.example", "250 ", "451 4.3.0 "),
                ("bob@hop.example", "250 ", "250 "),
            ] {
                let told = super::send_over(&mut client, sender, &[to]);
                assert_bland(&told.recipients[0], at_recipient);
                assert_bland(&told.end, at_end);
            }
            for _ in 0..2 {
                let message = hop.next();
                assert_eq!(message.mail, sender);
                assert_eq!(message.recipients, ["bob@hop.example"]);
                assert_whole(&message.content, CONTENT);
                assert!(split_trace(&message.content).0.contains("mx.example.org"));
            }
            client.expect("QUIT", 221);
        }
    }
    assert!(hop.rest().is_empty());
    chain.is_empty();
    chain.stop();
    assert!(hop.rest().is_empty());
}
