//! Several services on one path, which tell each other of it (XHOLD, XTID, XVIA): how far it goes, how long
//! it may take, and that it is no loop.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::super::interop::{exim, postfix};
use super::super::service::PATIENCE;
use super::chains::Chain;
use super::hop::{Hop, Speaks};
use super::{
    CONTENT, Client, FORGED, KNOWN, UNKNOWN, World, assert_bland, assert_whole, nothing_queued,
    queue_of, stuffed,
};

/// Where a client is that is none of the path's hosts.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

const BOB: &str = "bob@hop.example";

/// What is on a wire: as it stands, or as a host passes it on that does not know XHOLD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Whole,
    Plain,
}

/// An address from which all goes to another, which may be known later: so a path can lead back.
struct Detour {
    address: SocketAddr,
    target: Arc<OnceLock<SocketAddr>>,
}

impl Detour {
    fn start(wire: Wire) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::<OnceLock<SocketAddr>>::default();
        let to = Arc::clone(&target);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, to) = (client.unwrap(), *to.wait());
                // A peer that goes away ends its session, and nothing else.
                std::thread::spawn(move || drop(lead(&client, to, wire)));
            }
        });
        Self { address, target }
    }

    fn next_hop(&self) -> String {
        format!("smtp://{}", self.address)
    }

    fn leads_to(&self, target: SocketAddr) {
        self.target.set(target).unwrap();
    }
}

fn lead(client: &TcpStream, to: SocketAddr, wire: Wire) -> std::io::Result<()> {
    let server = TcpStream::connect(to)?;
    for stream in [client, &server] {
        stream.set_nodelay(true)?;
    }
    let (mut from, mut into) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut into);
        let _ = into.shutdown(std::net::Shutdown::Write);
    });
    let (mut lines, mut into) = (BufReader::new(&server), client);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        if wire == Wire::Plain {
            line = line.replace("XHOLD", "XNONE");
        }
        into.write_all(line.as_bytes())?;
        line.clear();
    }
    client.shutdown(std::net::Shutdown::Both)
}

/// The last host of a path, which shows the MAIL that it hears. To RCPT it says this, or nothing.
struct Last {
    address: SocketAddr,
    heard: Mutex<Receiver<String>>,
}

impl Last {
    fn start(offers: &'static str, to_recipient: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (send, heard) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, send) = (stream.unwrap(), send.clone());
                std::thread::spawn(move || drop(listen(&stream, offers, to_recipient, &send)));
            }
        });
        let heard = Mutex::new(heard);
        Self { address, heard }
    }

    fn next_hop(&self) -> String {
        format!("smtp://{}", self.address)
    }

    fn mail(&self) -> String {
        let heard = self.heard.lock().unwrap();
        heard.recv_timeout(PATIENCE).expect("MAIL")
    }
}

fn listen(
    stream: &TcpStream,
    offers: &str,
    to_recipient: Option<&str>,
    send: &Sender<String>,
) -> std::io::Result<()> {
    let mut say = stream;
    say.write_all(b"220 last.hop.example\r\n")?;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let reply = match line.get(..4).unwrap_or_default() {
            "EHLO" => format!("250-last.hop.example\r\n{offers}250 PIPELINING"),
            "MAIL" => {
                // Nobody listens any more when the test is over.
                let _ = send.send(line);
                String::from("250 2.1.0 ok")
            }
            "RCPT" => match to_recipient {
                Some(reply) => reply.to_owned(),
                None => continue,
            },
            _ => String::from("250 2.0.0 ok"),
        };
        say.write_all(format!("{reply}\r\n").as_bytes())?;
    }
    Ok(())
}

/// A session at the point where MAIL was taken.
fn mail(front: SocketAddr, from: &str, words: &str) -> Client {
    let mut client = Client::greeted(front);
    client.expect("EHLO client.example", 250);
    client.expect(&format!("MAIL FROM:<{from}> {words}"), 250);
    client
}

fn rcpt(client: &mut Client) -> String {
    client.say(&format!("RCPT TO:<{BOB}>"))
}

/// Content, and what is said to it.
fn content(client: &mut Client) -> String {
    client.expect("DATA", 354);
    client.send(stuffed(CONTENT));
    client.say(".")
}

#[test]
fn the_reply_to_rcpt_tells_where_a_path_ends_and_how_far_away() {
    let world = World::start();
    let (smtp, lmtp) = (
        Hop::willing(),
        Hop::start(Speaks::Lmtp, |_, _| String::from("250 2.0.0 ok")),
    );
    for (hop, end) in [(&smtp, "edge"), (&lmtp, "mailbox")] {
        let chain = Chain::before(&world, &hop.next_hop(), 5);
        for length in 2..=5 {
            let front = chain.front(length);
            let mut client = mail(front, UNKNOWN, "XHOLD=S:170:400:15");
            let reach = format!("recipient ok, end={end} hops={}", length - 1);
            let said = rcpt(&mut client);
            assert!(said.starts_with("250 ") && said.ends_with(&reach), "{said}");
            assert!(content(&mut client).starts_with("250 "));
            assert_whole(&hop.next().content, CONTENT);
            // Who does not ask is not told, though the path is the same.
            client.expect(&format!("MAIL FROM:<{UNKNOWN}>"), 250);
            assert!(rcpt(&mut client).ends_with("recipient ok"));
            assert!(content(&mut client).starts_with("250 "));
            assert_whole(&hop.next().content, CONTENT);
            // As many as there are hops behind the first is enough; one less is not.
            client.expect(
                &format!("MAIL FROM:<{UNKNOWN}> XHOLD=S:170:400:{}", length - 1),
                250,
            );
            assert!(rcpt(&mut client).starts_with("250 "));
            client.expect("RSET", 250);
            for (mode, said) in [("S", "554 5.4.6 "), ("P", "451 4.4.1 ")] {
                let words = format!("XHOLD={mode}:170:400:{}", length - 2);
                client.expect(&format!("MAIL FROM:<{UNKNOWN}> {words}"), 250);
                assert_bland(&rcpt(&mut client), said);
                // It is no other for the next.
                assert_bland(&client.say("RCPT TO:<ann@hop.example>"), said);
                client.expect("RSET", 250);
            }
            client.expect("QUIT", 221);
        }
        chain.is_empty();
        chain.stop();
    }
}

#[test]
fn what_a_next_hop_hears_is_less_by_each_hop_and_marked_by_it() {
    let world = World::start();
    let last = Last::start("250-XHOLD 1 600 9\r\n", Some("550 5.1.1 no"));
    let chain = Chain::before(&world, &last.next_hop(), 3);
    let mut client = mail(
        chain.front(3),
        UNKNOWN,
        "XHOLD=S:170:400:8 XTID=q1@A.example XVIA=ABCDEFGH",
    );
    assert_bland(&rcpt(&mut client), "550 5.1.1 ");
    let heard = last.mail();
    let words: Vec<_> = heard.split(' ').collect();
    let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    let wish: Vec<_> = value("XHOLD=").expect(&heard).split(':').collect();
    let [mode, recipient, end, hops] = wish[..] else {
        panic!("{heard}");
    };
    assert_eq!((mode, end, hops), ("S", "385", "5"), "{heard}");
    let recipient: u32 = recipient.parse().unwrap();
    assert!((1..=155).contains(&recipient), "{heard}");
    assert_eq!(value("XTID="), Some("q1@a.example"), "{heard}");
    let via: Vec<_> = value("XVIA=").expect(&heard).split(',').collect();
    assert_eq!((via.len(), via[0]), (4, "ABCDEFGH"), "{heard}");
    client.expect("RSET", 250);
    // Nobody asked the first for it: it begins.
    client.expect(&format!("MAIL FROM:<{UNKNOWN}>"), 250);
    assert_bland(&rcpt(&mut client), "550 5.1.1 ");
    let heard = last.mail();
    assert!(heard.contains(" XHOLD=P:"), "{heard}");
    assert!(heard.contains("@mx.example.org XVIA="), "{heard}");
    assert_eq!(heard.matches(',').count(), 2, "{heard}");
    client.expect("QUIT", 221);
    chain.stop();
    // Who does not offer it hears nothing of it.
    let plain = Last::start("", Some("550 5.1.1 no"));
    let chain = Chain::before(&world, &plain.next_hop(), 1);
    let mut client = mail(
        chain.front(1),
        UNKNOWN,
        "XHOLD=S:170:400:8 XTID=q1@A.example",
    );
    assert_bland(&rcpt(&mut client), "550 5.1.1 ");
    assert_eq!(plain.mail(), format!("MAIL FROM:<{UNKNOWN}>"));
    chain.stop();
}

/// Without what MAIL says the last of them would wait three minutes, and the others give up on it then.
#[test]
fn behind_a_silent_host_each_gives_up_before_the_one_in_front() {
    let world = World::start();
    let last = Last::start("", None);
    let chain = Chain::before(&world, &last.next_hop(), 3);
    let front = chain.front(3);
    let began = Instant::now();
    let ask = |from: &'static str, mode: &'static str| {
        std::thread::spawn(move || {
            let mut client = mail(front, from, &format!("XHOLD={mode}:34:400:8"));
            let said = rcpt(&mut client);
            (client, said)
        })
    };
    let asked = [(UNKNOWN, "P"), (KNOWN, "S"), (KNOWN, "P")].map(|(from, mode)| ask(from, mode));
    let [unproven, strict, stored] = asked.map(|thread| thread.join().unwrap());
    assert!(began.elapsed() < Duration::from_mins(2), "{began:?}");
    assert_bland(&unproven.1, "451 4.4.1 ");
    assert_bland(&strict.1, "451 4.4.1 ");
    // The last of us keeps it, and all in front know.
    assert!(
        stored.1.ends_with("end=stored hops=2"),
        "{unproven:?} {stored:?}",
        unproven = unproven.1,
        stored = stored.1
    );
    let mut client = stored.0;
    assert!(content(&mut client).starts_with("250 "));
    nothing_queued(&chain.services()[1..]);
    assert_ne!(queue_of(&chain.services()[0]), "");
    chain.stop();
}

#[test]
fn what_asks_for_no_time_is_not_begun() {
    let world = World::start();
    let hop = Hop::willing();
    let chain = Chain::before(&world, &hop.next_hop(), 1);
    for (words, said) in [
        ("XHOLD=S:9:400:8", "451 4.4.7 "),
        ("XHOLD=P:170:9:8", "451 4.4.1 "),
    ] {
        let mut client = mail(chain.front(1), UNKNOWN, words);
        assert_bland(&rcpt(&mut client), said);
    }
    let mut client = Client::greeted(chain.front(1));
    assert!(
        client
            .say("EHLO client.example")
            .contains("XHOLD 10 485 16")
    );
    for (words, said) in [
        ("XHOLD=S:9", "501 5.5.4 "),
        ("XTID=a", "501 5.5.4 "),
        ("XVIA=ABCDEFGH", "501 5.5.4 "),
        ("XELSE=1", "555 5.5.4 "),
    ] {
        let reply = client.say(&format!("MAIL FROM:<{UNKNOWN}> {words}"));
        assert!(reply.starts_with(said), "{reply}");
    }
    assert_eq!(hop.connections(), 0);
    chain.stop();
}

/// From elsewhere, around a ring, without end: what is said to RCPT.
fn around(front: SocketAddr, from: &str) -> String {
    let mut client = Client::connect_from(ELSEWHERE, front);
    assert_eq!(client.code(), 220);
    client.expect("EHLO client.example", 250);
    client.expect(&format!("MAIL FROM:<{from}>"), 250);
    let said = rcpt(&mut client);
    // No message has begun.
    assert!(client.say("DATA").starts_with("503 "));
    client.expect("QUIT", 221);
    said
}

#[test]
fn loops_of_one_to_four_are_refused_before_there_is_a_message() {
    let world = World::start();
    for length in 1..=4 {
        let detour = Detour::start(Wire::Whole);
        let ring = Chain::before(&world, &detour.next_hop(), length);
        detour.leads_to(ring.front(length));
        for from in [UNKNOWN, ""] {
            for place in 1..=length {
                assert_bland(&around(ring.front(place), from), "554 5.4.6 ");
            }
        }
        // Whoever would be stored for is refused all the same.
        let mut client = mail(ring.front(length), KNOWN, "");
        assert_bland(&rcpt(&mut client), "554 5.4.6 ");
        client.expect("QUIT", 221);
        ring.is_empty();
        ring.stop();
    }
}

#[test]
fn loops_through_a_host_that_knows_no_xhold_are_refused_for_now() {
    let world = World::start();
    for length in 1..=4 {
        let detour = Detour::start(Wire::Plain);
        let ring = Chain::before(&world, &detour.next_hop(), length);
        detour.leads_to(ring.front(length));
        for from in [UNKNOWN, ""] {
            assert_bland(&around(ring.front(length), from), "451 4.4.6 ");
        }
        ring.is_empty();
        ring.stop();
    }
}

#[test]
fn loops_through_postfix_with_a_filter_are_refused_for_now() {
    let left_out = "Loops through Postfix with a before-queue filter";
    let world = World::start();
    for length in 1..=4 {
        let Some(setup) = postfix::Setup::new(left_out) else {
            return;
        };
        let detour = Detour::start(Wire::Whole);
        let setting = format!("smtpd_proxy_filter = {}", detour.address);
        let postfix = setup.with(&setting).start();
        let ring = Chain::before(&world, &postfix.next_hop(), length);
        detour.leads_to(ring.front(length));
        assert_bland(&around(ring.front(length), UNKNOWN), "451 4.4.6 ");
        ring.is_empty();
        ring.stop();
    }
}

#[test]
fn loops_through_exim_with_cut_through_are_refused_for_now() {
    let left_out = "Loops through Exim with cut-through delivery";
    let world = World::start();
    for length in 1..=4 {
        let Some(setup) = exim::Setup::new(left_out) else {
            return;
        };
        let exim = setup
            .at_recipient(super::mixed::CUT_THROUGH)
            .with("chunking_advertise_hosts =")
            .start();
        let ring = Chain::before(&world, &exim.next_hop(), length);
        exim.route("hop.example", ring.front(length));
        let said = around(ring.front(length), UNKNOWN);
        assert_bland(&said, "45");
        ring.is_empty();
        ring.stop();
    }
}

/// Who queues ends no loop before there is a message; that it has come by too often does.
#[test]
fn a_loop_through_a_host_that_queues_ends_by_its_received_fields() {
    let world = World::start();
    let detour = Detour::start(Wire::Whole);
    let mut queueing = world.front(&detour.next_hop()).stored().start();
    let next_hop = format!("smtp://{}", queueing.address());
    let holding = world.front(&next_hop).start();
    detour.leads_to(holding.address());
    let mut client = mail(holding.address(), "", "");
    assert!(rcpt(&mut client).starts_with("250 "));
    assert!(content(&mut client).starts_with("250 "));
    // What loops is refused for good by one of the two; of a null reverse-path there is no report.
    queueing.wait_for("5.4.6");
    nothing_queued([&holding]);
    holding.stop();
    queueing.stop();
}

#[test]
fn one_client_may_send_many_at_once_of_one_sender_to_one_recipient() {
    let world = World::start();
    let hop = Hop::willing();
    let chain = Chain::before(&world, &hop.next_hop(), 1);
    let mut clients: Vec<_> = (0..20)
        .map(|_| {
            let mut client = mail(chain.front(1), UNKNOWN, "");
            assert!(rcpt(&mut client).starts_with("250 "));
            client
        })
        .collect();
    for client in &mut clients {
        assert!(content(client).starts_with("250 "));
    }
    chain.stop();
}

/// What an outer host of ours has queued is stored, since a refusal would be its report. Who asks for the path
/// to be held has queued nothing.
#[test]
fn a_host_of_our_own_in_front_is_told_what_the_path_says_if_it_holds_it() {
    let world = World::start();
    let hop = Hop::start(Speaks::Smtp, |_, _| String::from("550 5.1.1 inner words"));
    let ours = "[perimeter]\nhosts = [\"127.0.0.1\"]\nautomatic = false";
    let behind = world.front(&hop.next_hop()).with(ours).start();
    // It has verified, or let pass, the reverse-path: here that is not done again.
    let mut client = mail(behind.address(), FORGED, "XHOLD=P:170:400:8");
    assert_bland(&rcpt(&mut client), "550 5.1.1 ");
    client.expect("RSET", 250);
    client.expect(&format!("MAIL FROM:<{FORGED}>"), 250);
    assert!(rcpt(&mut client).starts_with("250 "));
    client.expect("QUIT", 221);
    nothing_queued([&behind]);
    behind.stop();
}
