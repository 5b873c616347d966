//! 250 is a promise: a service that is killed at random moments under load, and started again
//! each time, delivers every message that it has acknowledged.
//!
//! The full version: `VOUCHSAFE_KILLS=50 ./test kill`. Killing a process tests the process, not
//! the disk; for power cuts see `spool/tests/crash.rs`.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::service::{PATIENCE, Setup};
use super::sink::Sink;

/// Clients that send at the same time.
const SESSIONS: u64 = 8;

/// Numbers of the messages sent, from 1.
static SENT: AtomicU64 = AtomicU64::new(0);

/// Sends messages over one connection until it breaks; tells each that got its 250.
fn send_until_broken(server: SocketAddr, acknowledged: &Sender<u64>) -> io::Result<()> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    let (mut lines, mut out) = (BufReader::new(&stream), &stream);
    let mut reply = |expected: &str| -> io::Result<()> {
        loop {
            let mut line = String::new();
            lines.read_line(&mut line)?;
            match line.as_bytes().get(3) {
                Some(b'-') => {}
                Some(_) if line.starts_with(expected) => return Ok(()),
                _ => return Err(io::Error::other(line)),
            }
        }
    };
    reply("220")?;
    out.write_all(b"EHLO client.example\r\n")?;
    reply("250")?;
    loop {
        let number = SENT.fetch_add(1, Ordering::Relaxed) + 1;
        // Every eighth is larger than what is kept in the store itself, and goes by a file.
        let size = if number.is_multiple_of(8) {
            40_000
        } else {
            2_000
        };
        let line = "0123456789".repeat(7) + "\r\n";
        out.write_all(b"MAIL FROM:<a@sender.example>\r\n")?;
        reply("250")?;
        out.write_all(b"RCPT TO:<b@local.example>\r\n")?;
        reply("250")?;
        out.write_all(b"DATA\r\n")?;
        reply("354")?;
        let body = line.repeat(size / line.len());
        write!(
            out,
            "X-Number: {number}\r\nSubject: {number}\r\n\r\n{body}.\r\n"
        )?;
        reply("250")?;
        // The test may have ended meanwhile.
        let _ = acknowledged.send(number);
    }
}

/// Clients that never stop: when a connection breaks, each waits for the next service.
fn start_clients(acknowledged: &Sender<u64>) -> Vec<Sender<SocketAddr>> {
    (0..SESSIONS)
        .map(|_| {
            let (send, services): (_, Receiver<SocketAddr>) = channel();
            let acknowledged = acknowledged.clone();
            std::thread::spawn(move || {
                for server in services {
                    let broken = send_until_broken(server, &acknowledged);
                    assert!(broken.is_err());
                }
            });
            send
        })
        .collect()
}

/// Collects acknowledgements up to a moment that nothing here can foresee.
fn collect(acknowledged: &Receiver<u64>, into: &mut Vec<u64>) {
    let mut chance = [0; 2];
    getrandom::fill(&mut chance).unwrap();
    // Some load at least; then up to a quarter of a second more.
    let enough = into.len() + usize::from(chance[0]) / 4 + 1;
    while into.len() < enough {
        into.push(acknowledged.recv_timeout(PATIENCE).unwrap());
    }
    let end = Instant::now() + Duration::from_millis(u64::from(chance[1]));
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        into.extend(acknowledged.recv_timeout(left));
    }
}

/// The number that a message carries.
fn number_of(content: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(content);
    let field = text
        .lines()
        .find_map(|line| line.strip_prefix("X-Number: "));
    field.and_then(|number| number.parse().ok()).unwrap()
}

#[test]
fn every_acknowledged_message_outlives_the_process() {
    let kills: u32 = std::env::var("VOUCHSAFE_KILLS").map_or(6, |text| text.parse().unwrap());
    let sink = Sink::start();
    let (send, acknowledged) = channel();
    let clients = start_clients(&send);
    let next_hop = sink.next_hop();
    let mut numbers = Vec::new();
    let mut service = Setup::new().domains(&["local.example"], &next_hop).start();
    for _ in 0..kills {
        for client in &clients {
            client.send(service.address()).unwrap();
        }
        collect(&acknowledged, &mut numbers);
        let folder = service.folder();
        service.signal("KILL");
        service.ended();
        service = Setup::in_folder(folder)
            .domains(&["local.example"], &next_hop)
            .start();
    }
    // The clients end with their last connection; then nobody holds the other end any more.
    drop((clients, send));
    numbers.extend(acknowledged.iter());

    let mut missing: HashSet<u64> = numbers.iter().copied().collect();
    let mut copies: HashMap<u64, u32> = HashMap::new();
    while !missing.is_empty() {
        // Fails when nothing comes any more, though messages are missing.
        let number = number_of(&sink.next().content);
        missing.remove(&number);
        *copies.entry(number).or_default() += 1;
    }
    let twice = copies.values().filter(|count| **count > 1).count();
    let unacknowledged = copies.len() - numbers.len();
    println!(
        "{kills} kills: {} messages acknowledged, lost 0; {twice} delivered more than once, \
         {unacknowledged} delivered though the 250 was lost",
        numbers.len()
    );
    assert!(!numbers.is_empty());
    service.stop();
}
