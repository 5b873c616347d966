//! A slow next hop slows the sender, and costs no memory; a slow sender is cut off, and leaves nothing
//! behind.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::super::client::Client;
use super::super::service::{PATIENCE, Service};
use super::hop::Hop;
use super::{KNOWN, UNKNOWN, World, nothing_queued, send};

const MIB: usize = 1024 * 1024;

/// The whole message.
const SIZE: usize = 30 * MIB;

/// What the next hop takes at a time.
const PIECE: usize = 256 * 1024;

/// What may lie in the buffers of both connections' four ends, as Linux lets them grow (6 and 4 MiB), and
/// no more.
const BUFFERS: usize = 14 * MIB;

/// How much the service may grow by, in KiB.
const GROWTH: usize = 8 * 1024;

/// Octets of a line.
const LINE: &[u8] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n";

/// A next hop that takes content only as it is let to: a permit a piece.
struct Gated {
    address: SocketAddr,
    permits: Sender<usize>,
    /// Octets of content so far; the last word comes with their end.
    taken: Receiver<usize>,
}

impl Gated {
    fn start() -> Self {
        let listener = small_listener();
        let address = listener.local_addr().unwrap();
        let (permits, allowed) = channel();
        let (tell, taken) = channel();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            converse(&stream, &allowed, &tell);
        });
        Self {
            address,
            permits,
            taken,
        }
    }

    /// Lets one more piece come; octets so far.
    fn piece(&self) -> usize {
        self.permits.send(PIECE).unwrap();
        self.taken.recv_timeout(PATIENCE).unwrap()
    }
}

/// One whose connections have a small buffer.
fn small_listener() -> std::net::TcpListener {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let listener = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(64 * 1024)?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        socket.listen(8)?.into_std()
    });
    let listener = listener.unwrap();
    listener.set_nonblocking(false).unwrap();
    listener
}

fn converse(stream: &TcpStream, allowed: &Receiver<usize>, tell: &Sender<usize>) {
    let mut say = stream;
    let mut lines = BufReader::with_capacity(4096, stream);
    say.write_all(b"220 slow.example\r\n").unwrap();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap() == 0 {
            return;
        }
        let reply = match line.trim_end() {
            "DATA" => break,
            "EHLO mx.example.org" => "250-slow.example\r\n250 SIZE",
            _ => "250 2.0.0 ok",
        };
        say.write_all(format!("{reply}\r\n").as_bytes()).unwrap();
    }
    say.write_all(b"354 slowly\r\n").unwrap();
    let mut total = 0;
    let mut end = Vec::new();
    // The test lets no more come when it is over.
    while let Ok(piece) = allowed.recv() {
        let mut octets = vec![0; piece];
        let mut read = 0;
        while read < piece && !end.ends_with(b"\r\n.\r\n") {
            let more = lines.read(&mut octets[read..]).unwrap();
            assert_ne!(more, 0, "the content ends early");
            end.extend_from_slice(&octets[read..read + more]);
            let keep = end.len().saturating_sub(5);
            end.drain(..keep);
            read += more;
        }
        total += read;
        if end == b"\r\n.\r\n" {
            say.write_all(b"250 2.0.0 ok\r\n").unwrap();
        }
        tell.send(total).unwrap();
    }
}

/// Resident memory of a service, in KiB.
fn resident(service: &Service) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let mut words = line.unwrap().split_whitespace();
    words.nth(1).unwrap().parse().unwrap()
}

/// Sends the content as fast as it is taken; gives the reply.
fn pour(mut client: Client, size: usize, written: &AtomicUsize) -> String {
    let piece = LINE.repeat(128);
    client.send("Subject: large\r\n\r\n");
    while written.load(Ordering::Acquire) < size {
        client.send(&piece);
        written.fetch_add(piece.len(), Ordering::AcqRel);
    }
    let reply = client.say(".");
    client.expect("QUIT", 221);
    reply
}

#[test]
fn a_slow_next_hop_slows_the_sender_and_memory_stays_flat() {
    let world = World::start();
    // With a draft beside the path, and without.
    for sender in [KNOWN, UNKNOWN] {
        let slow = Gated::start();
        let quick = Hop::willing();
        let service = world
            .front(&format!("smtp://{}", slow.address))
            .domain("other.example", &quick.next_hop())
            .start();
        // What the first transaction takes is there for all.
        send(service.address(), sender, &["bob@other.example"]);
        let before = resident(&service);
        let mut client = Client::greeted(service.address());
        client.expect("EHLO client.example", 250);
        client.expect(&format!("MAIL FROM:<{sender}>"), 250);
        client.expect("RCPT TO:<bob@hop.example>", 250);
        client.expect("DATA", 354);
        let written = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&written);
        let pouring = std::thread::spawn(move || pour(client, SIZE, &counted));
        let (mut taken, mut most, mut ahead) = (0, before, 0);
        while taken < SIZE {
            let more = slow.piece();
            assert!(more > taken, "nothing more comes");
            taken = more;
            most = most.max(resident(&service));
            ahead = ahead.max(written.load(Ordering::Acquire).saturating_sub(taken));
        }
        // The end, if it was not within the last piece.
        let _ = slow.permits.send(PIECE);
        let reply = pouring.join().unwrap();
        assert!(reply.starts_with("250 "), "{reply}");
        println!(
            "<{sender}>: from {before} KiB to {most} KiB at most; the sender at most {ahead} octets ahead"
        );
        assert!(most < before + GROWTH, "{before} KiB, then {most}");
        assert!(ahead < BUFFERS, "{ahead}");
        nothing_queued([&service]);
        service.stop();
    }
}

#[test]
fn a_sender_that_falls_silent_in_content_is_cut_off_and_nothing_is_delivered() {
    let world = World::start();
    let hop = Hop::willing();
    let service = world
        .front(&hop.next_hop())
        .with("[limits]\ncontent_timeout = \"10ms\"")
        .start();
    for sender in [KNOWN, UNKNOWN, ""] {
        let mut client = Client::greeted(service.address());
        client.expect("EHLO client.example", 250);
        client.expect(&format!("MAIL FROM:<{sender}>"), 250);
        client.expect("RCPT TO:<bob@hop.example>", 250);
        client.expect("DATA", 354);
        client.send("Subject: half\r\n\r\n");
        client.send(LINE.repeat(1000));
        assert_eq!(client.code(), 421);
        client.expect_end();
    }
    nothing_queued([&service]);
    service.stop();
    assert!(hop.rest().is_empty());
}

/// Who leaves in the midst of content, or before, leaves nothing behind either.
#[test]
fn a_sender_that_leaves_leaves_nothing_behind() {
    let world = World::start();
    let hop = Hop::willing();
    let service = world.front(&hop.next_hop()).start();
    for sender in [KNOWN, UNKNOWN, ""] {
        for words in [
            &["RCPT TO:<bob@hop.example>\r\n"][..],
            &["RCPT TO:<bob@hop.example>\r\n", "DATA\r\n"],
            &[
                "RCPT TO:<bob@hop.example>\r\n",
                "DATA\r\n",
                "Subject: half\r\n\r\nhalf a li",
            ],
            &[
                "RCPT TO:<bob@hop.example>\r\n",
                "DATA\r\n",
                "Subject: all but the dot\r\n\r\nwhole\r\n",
            ],
        ] {
            let mut client = Client::greeted(service.address());
            client.expect("EHLO client.example", 250);
            client.expect(&format!("MAIL FROM:<{sender}>"), 250);
            for word in words {
                client.send(word);
                if word.ends_with("\r\n") && word.len() < 40 && !word.starts_with("Subject") {
                    client.code();
                }
            }
        }
        // The kept session is clean for whoever comes next.
        let told = send(service.address(), sender, &["bob@hop.example"]);
        assert!(told.end.starts_with("250 "), "{told:?}");
        super::assert_whole(&hop.next().content, super::CONTENT);
    }
    nothing_queued([&service]);
    service.stop();
    assert!(hop.rest().is_empty());
}

/// The client's silence is counted, not the next hop's: while we do not read, it cannot be heard.
#[test]
fn a_next_hop_that_stops_for_longer_than_clients_may_be_silent_costs_the_client_nothing() {
    let world = World::start();
    let slow = Gated::start();
    let service = world
        .front(&format!("smtp://{}", slow.address))
        .with("[limits]\ncontent_timeout = \"200ms\"")
        .start();
    let client = {
        let mut client = Client::greeted(service.address());
        client.expect("EHLO client.example", 250);
        client.expect(&format!("MAIL FROM:<{UNKNOWN}>"), 250);
        client.expect("RCPT TO:<bob@hop.example>", 250);
        client.expect("DATA", 354);
        client
    };
    // More than the buffers hold.
    let size = BUFFERS;
    let (tell, said) = channel();
    std::thread::spawn(move || tell.send(pour(client, size, &AtomicUsize::new(0))));
    let mut taken = slow.piece();
    // Nothing is taken for as long as nothing is said.
    let early = said.recv_timeout(Duration::from_secs(1));
    assert_eq!(early, Err(RecvTimeoutError::Timeout), "cut off");
    while taken < size {
        let more = slow.piece();
        assert!(more > taken, "nothing more comes");
        taken = more;
    }
    let _ = slow.permits.send(PIECE);
    let reply = said.recv_timeout(PATIENCE).unwrap();
    assert!(reply.starts_with("250 "), "{reply}");
    service.stop();
}
