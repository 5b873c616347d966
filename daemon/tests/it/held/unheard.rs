//! The 250 rule, where no reply is to be had from a next hop, or several ends have one reply: who is
//! stored for, who is put off, who is refused before anybody else hears of it, and who is told of a
//! failure.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::super::client::Client;
use super::super::harness::free_port;
use super::super::service::{Service, Setup};
use super::hop::{Hop, Speaks, To};
use super::{
    CONTENT, FORGED, KNOWN, SPOOFED, UNKNOWN, World, assert_bland, assert_whole, domain,
    nothing_queued, queue_of, send,
};

/// What is said where nothing is stored.
const NO_ANSWER: &str = "451 4.4.1 no answer from the host ahead, try again later";

/// A next hop that does not answer.
trait Mute {
    /// Where it would be.
    fn address(&self) -> SocketAddr;
    /// From now on there is one that does, at the same place.
    fn comes_back(self: Box<Self>) -> Hop;
}

/// Connections are refused.
struct Down(SocketAddr);

/// Connections are taken, and nothing is said.
struct Silent(TcpListener);

impl Mute for Down {
    fn address(&self) -> SocketAddr {
        self.0
    }

    fn comes_back(self: Box<Self>) -> Hop {
        willing_at(self.0)
    }
}

impl Mute for Silent {
    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    fn comes_back(self: Box<Self>) -> Hop {
        let address = self.address();
        drop(self);
        willing_at(address)
    }
}

fn willing_at(address: SocketAddr) -> Hop {
    Hop::on(address, Speaks::Smtp, |_, _| String::from("250 2.0.0 ok"))
}

fn mutes() -> [Box<dyn Mute>; 2] {
    let down = free_port(Ipv4Addr::LOCALHOST.into()).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    [Box::new(Down(down)), Box::new(Silent(silent))]
}

/// Next hops are not waited for long here.
const SHORT: &str = "[delivery]\nconnect_timeout = \"200ms\"\ncommand_timeout = \"200ms\"";

/// How a reverse-path is stored for: 250, and it is delivered as it came when the next hop is there.
fn is_stored_and_delivered(setup: impl Fn(&str) -> Setup, senders: &[&str]) {
    for mute in mutes() {
        let service = setup(&format!("smtp://{}", mute.address())).start();
        for sender in senders {
            let told = send(service.address(), sender, &["bob@hop.example"]);
            assert!(told.end.starts_with("250 2.0.0 queued as "), "{told:?}");
        }
        assert_eq!(queue_of(&service).lines().count(), senders.len());
        let hop = mute.comes_back();
        let mut came: Vec<String> = senders
            .iter()
            .map(|_| {
                let message = hop.next();
                assert_whole(&message.content, CONTENT);
                message.mail
            })
            .collect();
        came.sort_unstable();
        let mut wanted = senders.to_vec();
        wanted.sort_unstable();
        assert_eq!(came, wanted);
        service.stop();
        assert!(hop.rest().is_empty());
    }
}

#[test]
fn authorised_and_null_reverse_paths_are_stored_for_and_delivered_later() {
    let world = World::start();
    is_stored_and_delivered(
        |next_hop| world.front(next_hop).with(SHORT),
        &[KNOWN, "", KNOWN],
    );
}

#[test]
fn a_client_that_may_relay_is_stored_for_under_a_local_reverse_path() {
    let world = World::start();
    is_stored_and_delivered(
        |next_hop| {
            let relay = "[relay]\nfrom = [\"127.0.0.0/8\"]";
            world.front(next_hop).with(relay).with(SHORT)
        },
        &["someone@local.example"],
    );
}

#[test]
fn unknown_reverse_paths_are_stored_for_where_that_was_chosen() {
    let world = World::start();
    is_stored_and_delivered(
        |next_hop| {
            let section = domain("hop.example", next_hop, "store");
            world.setup().with(&section).with(SHORT)
        },
        &[UNKNOWN],
    );
}

#[test]
fn unknown_reverse_paths_are_put_off_and_nothing_is_stored() {
    let world = World::start();
    for mute in mutes() {
        let next_hop = format!("smtp://{}", mute.address());
        let section = domain("hop.example", &next_hop, "defer");
        let service = world.setup().with(&section).with(SHORT).start();
        // The second hears it without waiting again.
        for _ in 0..2 {
            let told = send(service.address(), UNKNOWN, &["bob@hop.example"]);
            assert_eq!(told.recipients, [NO_ANSWER]);
            assert_eq!(told.end, "");
        }
        nothing_queued([&service]);
        let hop = mute.comes_back();
        service.stop();
        assert!(hop.rest().is_empty());
    }
}

#[test]
fn the_repudiated_are_refused_before_a_next_hop_sees_a_connection() {
    let world = World::start();
    let hop = Hop::willing();
    let service = world.front(&hop.next_hop()).start();
    let told = send(service.address(), FORGED, &["bob@hop.example"]);
    assert!(told.mail.starts_with("550 5.7.1 "), "{told:?}");
    // SPF alone: a signature could clear it until the content has come.
    let told = send(service.address(), SPOOFED, &["bob@hop.example"]);
    assert!(told.end.starts_with("550 5.7.23 "), "{told:?}");
    assert_eq!(hop.connections(), 0);
    nothing_queued([&service]);
    let told = send(service.address(), UNKNOWN, &["bob@hop.example"]);
    assert!(told.end.starts_with("250 "), "{told:?}");
    // The path behind is what the others would have been seen on.
    assert_eq!(hop.connections(), 1);
    service.stop();
    assert_eq!(hop.rest().len(), 1);
}

/// Two domains, each behind a next hop of its own, and somebody who takes what goes elsewhere: reports.
struct Two {
    service: Service,
    first: Hop,
    second: Hop,
    elsewhere: Hop,
}

impl Two {
    fn start(world: &World, second: impl Fn(To, &str) -> String + Send + Sync + 'static) -> Self {
        let (first, elsewhere) = (Hop::willing(), Hop::willing());
        let second = Hop::start(Speaks::Smtp, second);
        let relay = format!("[relay]\nnext_hop = \"{}\"", elsewhere.next_hop());
        let service = world
            .front(&first.next_hop())
            .domain("other.example", &second.next_hop())
            .with(&relay)
            .start();
        Self {
            service,
            first,
            second,
            elsewhere,
        }
    }
}

const BOTH: [&str; 2] = ["bob@hop.example", "carol@other.example"];

/// The report says that this recipient failed, and by which status, and goes to who sent it.
pub(super) fn assert_report(elsewhere: &Hop, recipient: &str, status: &str) {
    let report = elsewhere.next();
    assert_eq!(report.mail, "");
    assert_eq!(report.recipients, [KNOWN]);
    let text = String::from_utf8(report.content).unwrap();
    let about = format!("Final-Recipient: rfc822; {recipient}\r\n");
    assert!(text.contains(&about), "{text}");
    assert!(text.contains("Action: failed\r\n"), "{text}");
    assert!(text.contains(&format!("Status: {status}")), "{text}");
}

#[test]
fn two_next_hops_that_end_differently_are_one_250_and_a_report_to_the_authorised() {
    let world = World::start();
    let two = Two::start(&world, |to, _| match to {
        To::Mail | To::Recipient => String::from("250 2.1.5 ok"),
        To::End => String::from("554 5.7.1 inner words"),
    });
    let told = send(two.service.address(), KNOWN, &BOTH);
    assert!(told.end.starts_with("250 "), "{told:?}");
    assert_eq!(two.first.next().recipients, ["bob@hop.example"]);
    assert_report(&two.elsewhere, "carol@other.example", "5.7.1");
    // Where that is the only one, its refusal is the reply, and nobody is written to.
    let told = send(two.service.address(), KNOWN, &["carol@other.example"]);
    assert_bland(&told.end, "554 5.7.1 ");
    two.service.stop();
    assert!(two.first.rest().is_empty());
    assert!(two.second.rest().is_empty());
    assert!(two.elsewhere.rest().is_empty());
}

#[test]
fn two_next_hops_both_get_the_message_of_the_authorised() {
    let world = World::start();
    let two = Two::start(&world, |_, _| String::from("250 2.0.0 ok"));
    let told = send(two.service.address(), KNOWN, &BOTH);
    assert!(told.end.starts_with("250 "), "{told:?}");
    nothing_queued([&two.service]);
    for (hop, recipient) in [(&two.first, BOTH[0]), (&two.second, BOTH[1])] {
        let message = hop.next();
        assert_eq!(message.recipients, [recipient]);
        assert_whole(&message.content, CONTENT);
    }
    two.service.stop();
    assert!(two.elsewhere.rest().is_empty());
}

/// One of them fails for now: it is tried again, and gets the message alone.
#[test]
fn a_next_hop_that_fails_for_now_beside_another_gets_it_later() {
    let world = World::start();
    let refused = std::sync::atomic::AtomicBool::new(false);
    let two = Two::start(&world, move |to, _| {
        let first = to == To::End && !refused.swap(true, std::sync::atomic::Ordering::AcqRel);
        String::from(if first {
            "451 4.3.0 inner words"
        } else {
            "250 2.0.0 ok"
        })
    });
    // The first word of the script is to RCPT, which must not count.
    let told = send(two.service.address(), KNOWN, &BOTH);
    assert!(told.end.starts_with("250 "), "{told:?}");
    assert_eq!(two.first.next().recipients, ["bob@hop.example"]);
    assert_eq!(two.second.next().recipients, ["carol@other.example"]);
    two.service.stop();
    assert!(two.first.rest().is_empty());
    assert!(two.elsewhere.rest().is_empty());
}

#[test]
fn the_unknown_have_one_next_hop_a_transaction() {
    let world = World::start();
    let two = Two::start(&world, |_, _| String::from("250 2.0.0 ok"));
    let mut client = Client::greeted(two.service.address());
    client.expect("EHLO client.example", 250);
    let told = super::send_over(&mut client, UNKNOWN, &BOTH);
    assert!(told.recipients[0].starts_with("250 "), "{told:?}");
    assert_bland(&told.recipients[1], "452 4.5.3 ");
    assert!(told.end.starts_with("250 "), "{told:?}");
    let told = super::send_over(&mut client, UNKNOWN, &BOTH[1..]);
    assert!(told.end.starts_with("250 "), "{told:?}");
    assert_eq!(two.first.next().recipients, ["bob@hop.example"]);
    assert_eq!(two.second.next().recipients, ["carol@other.example"]);
    nothing_queued([&two.service]);
    client.expect("QUIT", 221);
    two.service.stop();
}

/// LMTP has a last word for each recipient.
#[test]
fn an_lmtp_branch_tells_recipients_apart() {
    let world = World::start();
    let hop = Hop::start(Speaks::Lmtp, |to, recipient| {
        let reply = match (to, recipient) {
            (To::Recipient, "gone@hop.example") => "550 5.1.1 inner words",
            (To::End, "full@hop.example") => "552 5.2.2 inner words",
            (To::End, "later@hop.example") => "452 4.2.2 inner words",
            _ => "250 2.0.0 ok",
        };
        reply.into()
    });
    let elsewhere = Hop::willing();
    let relay = format!("[relay]\nnext_hop = \"{}\"", elsewhere.next_hop());
    let service = world.front(&hop.next_hop()).with(&relay).start();
    let front = service.address();

    let told = send(front, UNKNOWN, &["gone@hop.example"]);
    assert_bland(&told.recipients[0], "550 5.1.1 ");
    for (to, said) in [
        ("full@hop.example", "552 5.2.2 "),
        ("later@hop.example", "452 4.2.2 "),
    ] {
        for sender in [UNKNOWN, KNOWN] {
            let told = send(front, sender, &[to]);
            assert_bland(&told.end, said);
        }
    }
    // One recipient a transaction for the unknown.
    let told = send(front, UNKNOWN, &["bob@hop.example", "full@hop.example"]);
    assert_bland(&told.recipients[1], "452 4.5.3 ");
    assert!(told.end.starts_with("250 "), "{told:?}");
    assert_eq!(hop.next().recipients, ["bob@hop.example"]);
    nothing_queued([&service]);
    assert!(elsewhere.rest().is_empty());

    let told = send(front, KNOWN, &["bob@hop.example", "full@hop.example"]);
    assert!(told.end.starts_with("250 "), "{told:?}");
    assert_eq!(hop.next().recipients, ["bob@hop.example"]);
    assert_report(&elsewhere, "full@hop.example", "5.2.2");
    // Two refusals are one: for now, if one of them is.
    let told = send(front, KNOWN, &["full@hop.example", "later@hop.example"]);
    assert_bland(&told.end, "452 4.2.2 ");
    service.stop();
    assert!(hop.rest().is_empty());
    assert!(elsewhere.rest().is_empty());
}
