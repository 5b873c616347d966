//! What is refused here while content is already under way, how a next hop leaves, and how a client
//! may send: nothing half is delivered, and nothing whole is lost.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::certificate::{tls_section, write_certificate};
use super::super::client::Client;
use super::super::service::Service;
use super::hop::{Hop, Speaks, To};
use super::{
    CONTENT, KNOWN, UNKNOWN, World, assert_bland, assert_whole, begin, begun, nothing_queued, send,
    send_over, stuffed,
};

/// More than any buffer between, so that the next hop has some of it before the end.
fn long(last: &[u8]) -> Vec<u8> {
    let line = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n";
    [b"Subject: long\r\n\r\n", &line.repeat(4096)[..], last].concat()
}

/// The path is open and clean after all that has happened.
fn goes_on(service: &Service, hop: &Hop) {
    for sender in [UNKNOWN, KNOWN] {
        let told = send(service.address(), sender, &["bob@hop.example"]);
        assert!(told.end.starts_with("250 "), "{told:?}");
        assert_whole(&hop.next().content, CONTENT);
    }
    assert!(hop.rest().is_empty());
    nothing_queued([service]);
}

/// A bare LF, a bare CR, too much, too many hops: found when much has been passed on.
#[test]
fn what_is_refused_here_in_the_midst_of_content_is_not_completed_there() {
    let world = World::start();
    let hop = Hop::willing();
    let service = world
        .front(&hop.next_hop())
        .with("[limits]\nmessage_size = \"1 MiB\"")
        .start();
    let looping = b"Received: from a by b; x\r\n".repeat(101);
    let bodies = [
        (long(b"bare\nline feed\r\n"), "5"),
        (long(b"bare\rreturn\r\n"), "5"),
        (long(&b"too much\r\n".repeat(100_000)), "552"),
        ([&looping[..], &long(b"")].concat(), "554"),
        // Smuggling: what another host might take for the end.
        (long(b"a\n.\r\nMAIL FROM:<x@sender.example>\r\n"), "5"),
        (long(b"a\r\n.\nMAIL FROM:<x@sender.example>\r\n"), "5"),
    ];
    for sender in [UNKNOWN, KNOWN, ""] {
        for (body, code) in &bodies {
            let mut client = begun(service.address(), sender);
            client.send(body);
            client.send(".\r\n");
            let reply = client.reply();
            assert!(reply.starts_with(code), "{reply}");
        }
    }
    assert!(hop.rest().is_empty());
    goes_on(&service, &hop);
    service.stop();
}

/// DATA in the midst of a header, BDAT in pieces, all at once: the next hop gets the same.
#[test]
fn however_the_client_sends_the_next_hop_gets_the_same() {
    let world = World::start();
    let hop = Hop::willing();
    let service = world.front(&hop.next_hop()).start();
    for sender in [UNKNOWN, KNOWN] {
        let mut client = Client::greeted(service.address());
        client.expect("EHLO client.example", 250);
        let envelope = format!("MAIL FROM:<{sender}>\r\nRCPT TO:<bob@hop.example>\r\n");
        // Everything at once, twice.
        client.send(format!("{envelope}DATA\r\n"));
        for code in [250, 250, 354] {
            assert_eq!(client.code(), code);
        }
        let next = format!(".\r\n{envelope}DATA\r\n");
        client.send([&stuffed(CONTENT)[..], next.as_bytes()].concat());
        for code in [250, 250, 250, 354] {
            assert_eq!(client.code(), code);
        }
        client.send([&stuffed(CONTENT)[..], b".\r\n"].concat());
        assert_eq!(client.code(), 250);
        // Chunks, one of them empty.
        client.send(&envelope);
        assert_eq!((client.code(), client.code()), (250, 250));
        for piece in CONTENT.chunks(7) {
            client.send(format!("BDAT {}\r\n", piece.len()));
            client.send(piece);
            assert_eq!(client.code(), 250);
        }
        client.expect("BDAT 0 LAST", 250);
        for _ in 0..3 {
            assert_whole(&hop.next().content, CONTENT);
        }
        // Chunks that are given up.
        client.send(&envelope);
        assert_eq!((client.code(), client.code()), (250, 250));
        client.send(format!("BDAT {}\r\n", CONTENT.len()));
        client.send(CONTENT);
        assert_eq!(client.code(), 250);
        client.expect("RSET", 250);
        begin(&mut client, sender);
        client.send(stuffed(CONTENT));
        client.expect(".", 250);
        assert_whole(&hop.next().content, CONTENT);
        client.expect("QUIT", 221);
    }
    goes_on(&service, &hop);
    service.stop();
}

#[test]
fn a_client_that_closes_its_half_hears_of_what_is_whole() {
    let world = World::start();
    let hop = Hop::willing();
    let service = world.front(&hop.next_hop()).start();
    for sender in [UNKNOWN, KNOWN] {
        let mut client = begun(service.address(), sender);
        client.send([&stuffed(CONTENT)[..], b".\r\n"].concat());
        client.stream().shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.code(), 250);
        assert_whole(&hop.next().content, CONTENT);

        let mut client = begun(service.address(), sender);
        client.send(stuffed(CONTENT));
        client.stream().shutdown(Shutdown::Write).unwrap();
        client.expect_end();
    }
    goes_on(&service, &hop);
    service.stop();
}

/// It ends each session behind the first message: at once, or by 421 to the next MAIL.
#[test]
fn a_next_hop_that_ends_kept_sessions_is_asked_again_on_a_new_one() {
    let world = World::start();
    for farewell in ["", "421 4.3.2 inner words"] {
        let hop = Hop::leaving(farewell);
        let service = world.front(&hop.next_hop()).start();
        let mut client = Client::greeted(service.address());
        client.expect("EHLO client.example", 250);
        for _ in 0..4 {
            let told = send_over(&mut client, UNKNOWN, &["bob@hop.example"]);
            assert!(told.end.starts_with("250 "), "{told:?}");
            assert_whole(&hop.next().content, CONTENT);
        }
        client.expect("QUIT", 221);
        nothing_queued([&service]);
        service.stop();
    }
}

/// The first of its hosts does not listen; a session with the second is as good.
#[test]
fn a_dead_host_before_a_live_one_is_passed_over() {
    let world = World::start();
    let hop = Hop::willing();
    // 127.0.0.3 and 127.0.0.1, in either order.
    let next_hop = format!("smtp://two.hop.example:{}", hop.address().port());
    let service = world.front(&next_hop).start();
    goes_on(&service, &hop);
    service.stop();
}

/// The refusal comes with the content half-way, and the next hop leaves or stays.
#[test]
fn a_refusal_in_the_midst_of_content_is_passed_back_at_its_end() {
    let world = World::start();
    for stays in [true, false] {
        let hop = Hop::refusing_early("552 5.3.4 inner words", stays);
        let service = world.front(&hop.next_hop()).start();
        for sender in [UNKNOWN, KNOWN, ""] {
            let mut client = begun(service.address(), sender);
            client.send(long(&b"much more\r\n".repeat(400_000)));
            let reply = client.say(".");
            assert_bland(&reply, "552 5.3.4 ");
        }
        nothing_queued([&service]);
        service.stop();
    }
}

/// Over the caps there is no reply to be had, and the rule decides.
#[test]
fn over_the_caps_the_rule_decides() {
    let world = World::start();
    let hop = Hop::willing();
    let service = world
        .front(&hop.next_hop())
        .with("[limits]\nsessions = 20\nsessions_per_client = 20")
        .start();
    let mut open = Vec::new();
    let over = loop {
        let mut client = Client::greeted(service.address());
        client.expect("EHLO client.example", 250);
        client.expect(&format!("MAIL FROM:<{UNKNOWN}>"), 250);
        let reply = client.say("RCPT TO:<bob@hop.example>");
        if !reply.starts_with("250") {
            break reply;
        }
        open.push(client);
        assert!(open.len() < 20, "no cap");
    };
    assert!(over.starts_with("451 4.4.1 "), "{over}");
    // Half of the sessions, and of these three quarters for one next hop.
    assert!((6..=8).contains(&open.len()), "{}", open.len());
    let told = send(service.address(), KNOWN, &["bob@hop.example"]);
    assert!(told.end.starts_with("250 2.0.0 queued as "), "{told:?}");
    assert_whole(&hop.next().content, CONTENT);
    drop(open.pop());
    // Its place is free again once it is gone.
    let mut freed = false;
    for _ in 0..1000 {
        let told = send(service.address(), UNKNOWN, &["bob@hop.example"]);
        freed = told.end.starts_with("250 ");
        if freed {
            break;
        }
    }
    assert!(freed);
    drop(open);
    service.stop();
}

/// The service is told to stop: what is open is ended, what waits for its last word may have it.
#[test]
fn a_service_that_stops_leaves_nothing_half() {
    let world = World::start();
    let hop = Hop::willing();
    for sender in [UNKNOWN, KNOWN] {
        let service = world.front(&hop.next_hop()).start();
        let mut idle = Client::greeted(service.address());
        idle.expect("EHLO client.example", 250);
        idle.expect(&format!("MAIL FROM:<{sender}>"), 250);
        idle.expect("RCPT TO:<bob@hop.example>", 250);
        let mut within = begun(service.address(), sender);
        within.send(long(b""));
        service.signal("TERM");
        // Either it is cut off, or it may end what it has begun.
        let ended = within.try_send(b".\r\n").is_ok();
        let said = ended.then(|| within.line()).flatten();
        let (status, log) = service.ended();
        assert_eq!(status.code(), Some(0), "{log}");
        let delivered = hop.rest().len();
        match said {
            Some(reply) if reply.starts_with("250") => assert_eq!(delivered, 1, "{log}"),
            _ => assert_eq!(delivered, 0, "{said:?}\n{log}"),
        }
    }
}

/// A next hop leaves, by 421 or without a word, after what it has said 250 to: there is no reply to be had,
/// and the rule decides.
#[test]
fn a_next_hop_that_leaves_early_has_not_replied() {
    let world = World::start();
    for (at, words) in [
        (To::Mail, "421 4.3.2 inner words"),
        (To::Mail, "250 2.1.0 ok\r\n421 4.3.2 inner words"),
        (To::Recipient, "421 4.3.2 inner words"),
        (To::Recipient, "250 2.1.5 ok\r\n421 4.3.2 inner words"),
        (To::End, "421 4.3.2 inner words"),
    ] {
        let left = Arc::new(AtomicU32::new(0));
        let leaves = Arc::clone(&left);
        let hop = Hop::start(Speaks::Smtp, move |to, _| {
            let leaves = to == at && leaves.load(Ordering::Acquire) == 0;
            String::from(if leaves { words } else { "250 2.0.0 ok" })
        });
        let service = world.front(&hop.next_hop()).start();
        let told = send(service.address(), UNKNOWN, &["bob@hop.example"]);
        let last = [&told.recipients[0], &told.end].map(String::as_str);
        let last = if last[1].is_empty() { last[0] } else { last[1] };
        assert!(last.starts_with("451 4.4.1 "), "{at:?} {words}: {told:?}");
        nothing_queued([&service]);
        let told = send(service.address(), KNOWN, &["bob@hop.example"]);
        assert!(told.end.starts_with("250 "), "{at:?} {words}: {told:?}");
        left.store(1, Ordering::Release);
        assert_whole(&hop.next().content, CONTENT);
        service.stop();
        assert!(hop.rest().is_empty());
    }
}

/// MAIL is refused there: each recipient hears it, and the next transaction is another matter.
#[test]
fn a_refusal_of_mail_is_passed_back_to_each_recipient() {
    let world = World::start();
    let hop = Hop::start(Speaks::Smtp, |to, reverse_path| {
        let refused = to == To::Mail && reverse_path.starts_with("refused");
        String::from(if refused {
            "550 5.7.1 inner words"
        } else {
            "250 2.0.0 ok"
        })
    });
    let service = world.front(&hop.next_hop()).start();
    let mut client = Client::greeted(service.address());
    client.expect("EHLO client.example", 250);
    for domain in ["sender.example", "known.example"] {
        let refused = format!("refused@{domain}");
        let told = send_over(
            &mut client,
            &refused,
            &["bob@hop.example", "ann@hop.example"],
        );
        for reply in &told.recipients {
            assert_bland(reply, "550 5.7.1 ");
        }
        let taken = format!("taken@{domain}");
        let told = send_over(&mut client, &taken, &["bob@hop.example"]);
        assert!(told.end.starts_with("250 "), "{told:?}");
        assert_eq!(hop.next().mail, taken);
    }
    nothing_queued([&service]);
    service.stop();
    assert!(hop.rest().is_empty());
}

/// Postfix lets a client wait, and then leaves, over whose session much was refused: who tries names through
/// us shares that session with nobody for long.
#[test]
fn a_session_over_which_much_was_refused_is_not_shared_any_more() {
    let world = World::start();
    let hop = Hop::start(Speaks::Smtp, |to, _| {
        String::from(match to {
            To::Recipient => "550 5.1.1 inner words",
            To::Mail | To::End => "250 2.0.0 ok",
        })
    });
    let service = world.front(&hop.next_hop()).start();
    let mut client = Client::greeted(service.address());
    client.expect("EHLO client.example", 250);
    for _ in 0..15 {
        let told = send_over(&mut client, UNKNOWN, &["gone@hop.example"]);
        assert_bland(&told.recipients[0], "550 5.1.1 ");
    }
    assert!(hop.connections() >= 3, "{}", hop.connections());
    service.stop();
}

/// Under TLS from service to service, over kept sessions.
#[test]
fn a_chain_under_tls_holds_as_well() {
    let world = World::start();
    let hop = Hop::willing();
    let under_tls = |next_hop: &str| {
        let setup = world.front(next_hop);
        write_certificate(setup.folder());
        let section = tls_section(setup.folder());
        setup.with(&section).start()
    };
    let last = under_tls(&hop.next_hop());
    let middle = under_tls(&format!("smtp://{}", last.address()));
    let front = world.front(&format!("smtp://{}", middle.address())).start();
    for sender in [UNKNOWN, KNOWN, UNKNOWN] {
        let told = send(front.address(), sender, &["bob@hop.example"]);
        assert!(told.end.starts_with("250 "), "{told:?}");
        let head = assert_whole(&hop.next().content, CONTENT);
        assert_eq!(head.matches("with ESMTPS").count(), 2, "{head}");
    }
    // Larger than any buffer, and given up half-way.
    let mut client = begun(front.address(), UNKNOWN);
    client.send(long(b""));
    client.expect(".", 250);
    assert_whole(&hop.next().content, &long(b""));
    let mut client = begun(front.address(), UNKNOWN);
    client.send(long(b""));
    drop(client);
    goes_on(&front, &hop);
    nothing_queued([&middle, &last]);
    for service in [front, middle, last] {
        service.stop();
    }
}
