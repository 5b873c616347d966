//! The same transaction once more under its XTID: what was taken is answered for and goes nowhere again; what
//! was not, or is not the same, goes on as ever.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use super::super::cli::{texts, vouchsafe};
use super::super::service::{PATIENCE, Setup};
use super::hop::{Hop, Speaks, To};
use super::{
    CONTENT, Client, KNOWN, UNKNOWN, World, assert_bland, assert_whole, nothing_is_left,
    nothing_queued, stuffed,
};

const BOB: &str = "bob@hop.example";
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

/// Attempts so far.
static TRIES: AtomicU32 = AtomicU32::new(0);

/// One attempt at a message: who sends it, under which id, and what is in it.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    from: IpAddr,
    id: &'a str,
    reverse_path: &'a str,
    recipient: &'a str,
    content: &'a [u8],
}

const FIRST: Attempt<'_> = Attempt {
    from: IpAddr::V4(Ipv4Addr::LOCALHOST),
    id: "q1@a.example",
    reverse_path: UNKNOWN,
    recipient: BOB,
    content: CONTENT,
};

impl Attempt<'_> {
    /// To 354, or the refusal of RCPT.
    fn begin(self, server: SocketAddr) -> Result<Client, String> {
        let mut client = Client::connect_from(self.from, server);
        client.reply();
        client.expect("EHLO client.example", 250);
        let mail = format!("MAIL FROM:<{}> XTID={}", self.reverse_path, self.id);
        client.expect(&mail, 250);
        let said = client.say(&format!("RCPT TO:<{}>", self.recipient));
        if !said.starts_with("250") {
            return Err(said);
        }
        client.expect("DATA", 354);
        Ok(client)
    }

    /// What is said in the end, in a session of its own; the header that a retry makes anew is another.
    fn send(self, server: SocketAddr) -> String {
        let mut client = match self.begin(server) {
            Ok(client) => client,
            Err(said) => return said,
        };
        client.send(next_try(self.content));
        let said = client.say(".");
        client.expect("QUIT", 221);
        said
    }
}

/// As a client sends it that has put its own field above it, which is another with each try.
fn next_try(content: &[u8]) -> Vec<u8> {
    let number = TRIES.fetch_add(1, Ordering::Relaxed);
    let field = format!("Received: from a\r\n\tby b; try {number}\r\n");
    [field.as_bytes(), &stuffed(content)].concat()
}

/// What the last host has got since, all of it this content.
fn got(hop: &Hop) -> usize {
    let rest = hop.rest();
    for message in &rest {
        assert_whole(&message.content, CONTENT);
    }
    rest.len()
}

#[test]
fn a_copy_that_was_taken_is_answered_as_before_and_goes_nowhere() {
    let world = World::start();
    let hop = Hop::willing();
    let service = world.front(&hop.next_hop()).start();
    let address = service.address();
    let said = FIRST.send(address);
    assert!(said.starts_with("250 2.0.0 delivered onward as "), "{said}");
    assert_eq!(got(&hop), 1);
    for _ in 0..3 {
        assert_eq!(FIRST.send(address), said);
    }
    assert_eq!(got(&hop), 0);
    // Anything else is a message of its own, each time.
    let large = [CONTENT, &b"more\r\n".repeat(40_000)].concat();
    for other in [
        Attempt {
            from: ELSEWHERE,
            ..FIRST
        },
        Attempt {
            id: "Q1@a.example",
            ..FIRST
        },
        Attempt {
            reverse_path: "",
            ..FIRST
        },
        Attempt {
            recipient: "ann@hop.example",
            ..FIRST
        },
        Attempt {
            content: &large,
            ..FIRST
        },
    ] {
        let again = other.send(address);
        assert!(
            again.starts_with("250 2.0.0 delivered onward as "),
            "{again}"
        );
        assert_ne!(again, said);
        assert_whole(&hop.next().content, other.content);
    }
    assert_eq!(got(&hop), 0);
    // Of one key the newest counts: the other content has taken the place of the first.
    assert_ne!(FIRST.send(address), said);
    assert_eq!(got(&hop), 1);
    nothing_queued([&service]);
    let log = service.stop();
    assert_eq!(log.matches("taken before").count(), 3, "{log}");
}

#[test]
fn what_was_taken_is_known_after_a_stop_and_after_a_kill() {
    let world = World::start();
    let hop = Hop::willing();
    let stored = format!(
        "[domains.\"other.example\"]\nnext_hop = \"{}\"\npath = \"store\"",
        hop.next_hop()
    );
    let start = |setup: Setup| {
        let setup = world.made(setup).domain("hop.example", &hop.next_hop());
        setup.with(&stored).start()
    };
    let mut service = start(Setup::new());
    let ann = Attempt {
        recipient: "ann@other.example",
        ..FIRST
    };
    let held = FIRST.send(service.address());
    assert!(held.starts_with("250 2.0.0 delivered onward as "), "{held}");
    let queued = ann.send(service.address());
    assert!(queued.starts_with("250 2.0.0 queued as "), "{queued}");
    for _ in 0..2 {
        assert_whole(&hop.next().content, CONTENT);
    }
    for signal in ["KILL", "TERM"] {
        // What the queue was about to note would be delivered again for its own reasons.
        nothing_is_left(&service);
        service.signal(signal);
        let folder = service.folder();
        service.ended();
        service = start(Setup::in_folder(folder));
        assert_eq!(FIRST.send(service.address()), held);
        assert_eq!(ann.send(service.address()), queued);
    }
    nothing_is_left(&service);
    service.stop();
    assert_eq!(got(&hop), 0);
}

#[test]
fn of_a_copy_that_is_in_hand_there_is_no_second() {
    let world = World::start();
    let (ask, asked) = channel();
    let (leave, left) = channel::<()>();
    let left = Mutex::new(left);
    let hop = Hop::start(Speaks::Smtp, move |to, _| {
        if to == To::End {
            ask.send(()).unwrap();
            left.lock().unwrap().recv().unwrap();
        }
        String::from("250 2.0.0 ok")
    });
    let service = world.front(&hop.next_hop()).start();
    let address = service.address();
    // Both have been let to the content before either has come to its end.
    let mut clients = [(); 2].map(|()| FIRST.begin(address).unwrap());
    clients[0].send([&next_try(CONTENT)[..], b".\r\n"].concat());
    asked.recv_timeout(PATIENCE).unwrap();
    clients[1].send(next_try(CONTENT));
    assert_bland(&clients[1].say("."), "451 4.4.5 ");
    assert_bland(&FIRST.send(address), "451 4.4.5 ");
    leave.send(()).unwrap();
    let said = clients[0].reply();
    assert!(said.starts_with("250 2.0.0 delivered onward as "), "{said}");
    assert_eq!(FIRST.send(address), said);
    drop(clients);
    assert_eq!(got(&hop), 1);
    // One that had been let to the content when another was taken.
    let other = Attempt {
        id: "q2@a.example",
        ..FIRST
    };
    let mut slow = other.begin(address).unwrap();
    leave.send(()).unwrap();
    let said = other.send(address);
    slow.send(next_try(CONTENT));
    assert_eq!(slow.say("."), said);
    drop(slow);
    assert_eq!(got(&hop), 1);
    nothing_queued([&service]);
    service.stop();
}

/// Between two hosts: it loses the first of the last words.
struct Lossy {
    address: SocketAddr,
    lost: Receiver<()>,
}

impl Lossy {
    fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, lost) = channel();
        let tell = Arc::new(Mutex::new(Some(tell)));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, tell) = (client.unwrap(), Arc::clone(&tell));
                // A peer that goes away ends its session, and nothing else.
                std::thread::spawn(move || drop(lossy(&client, target, &tell)));
            }
        });
        Self { address, lost }
    }

    fn next_hop(&self) -> String {
        format!("smtp://{}", self.address)
    }
}

fn lossy(
    client: &TcpStream,
    target: SocketAddr,
    teller: &Mutex<Option<Sender<()>>>,
) -> std::io::Result<()> {
    let server = TcpStream::connect(target)?;
    let (mut from, mut into) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut into);
        let _ = into.shutdown(Shutdown::Write);
    });
    let (mut server, mut client) = (&server, client);
    let mut octets = [0; 4096];
    loop {
        let count = server.read(&mut octets)?;
        let said = String::from_utf8_lossy(&octets[..count]);
        if count == 0 || said.contains(" as ") && loses(teller) {
            return client.shutdown(Shutdown::Both);
        }
        client.write_all(&octets[..count])?;
    }
}

/// True once.
fn loses(teller: &Mutex<Option<Sender<()>>>) -> bool {
    let teller = teller.lock().unwrap().take();
    teller.is_some_and(|teller| teller.send(()).is_ok())
}

/// The last word of the host behind is lost to the host in front. Who has given no proof hears 451 and asks again
/// under its id; what was proven is stored and goes out of the queue. Either way the host behind knows it again.
#[test]
fn a_word_that_is_lost_between_two_hosts_makes_no_duplicate() {
    let world = World::start();
    for (sender, path) in [
        (UNKNOWN, "hold"),
        (KNOWN, "hold"),
        (UNKNOWN, "store"),
        (KNOWN, "store"),
    ] {
        let hop = Hop::willing();
        let behind = world
            .setup()
            .with(&format!(
                "[domains.\"hop.example\"]\nnext_hop = \"{}\"\npath = \"{path}\"",
                hop.next_hop()
            ))
            .start();
        let lossy = Lossy::before(behind.address());
        let front = world.front(&lossy.next_hop()).start();
        let first = Attempt {
            reverse_path: sender,
            ..FIRST
        };
        let said = first.send(front.address());
        lossy.lost.recv_timeout(PATIENCE).unwrap();
        if sender == UNKNOWN {
            assert_bland(&said, "451 4.4.1 ");
            let said = first.send(front.address());
            assert!(said.starts_with("250 2.0.0 delivered onward as "), "{said}");
        } else {
            assert!(said.starts_with("250 2.0.0 queued as "), "{said}");
        }
        nothing_is_left(&front);
        nothing_is_left(&behind);
        let logs = [front.stop(), behind.stop()];
        assert_eq!(got(&hop), 1, "{sender} {path}: {logs:#?}");
        assert!(logs[1].contains("taken before"), "{logs:#?}");
    }
}

/// Nobody gave it an id: what goes out of a queue has one all the same.
#[test]
fn what_goes_out_of_a_queue_is_known_again() {
    let world = World::start();
    let hop = Hop::willing();
    let behind = world.front(&hop.next_hop()).start();
    let lossy = Lossy::before(behind.address());
    let front = world
        .setup()
        .with(&format!(
            "[domains.\"hop.example\"]\nnext_hop = \"{}\"\npath = \"store\"",
            lossy.next_hop()
        ))
        .start();
    let said = super::send(front.address(), UNKNOWN, &[BOB, "ann@hop.example"]);
    assert!(said.end.starts_with("250 2.0.0 queued as "), "{said:?}");
    lossy.lost.recv_timeout(PATIENCE).unwrap();
    nothing_is_left(&front);
    let logs = [front.stop(), behind.stop()];
    let messages = hop.rest();
    let to: Vec<_> = messages.iter().flat_map(|one| &one.recipients).collect();
    assert_eq!(to, [BOB, "ann@hop.example"], "{logs:#?}");
}

#[test]
fn trace_tells_that_a_copy_was_taken_before() {
    let world = World::start();
    let hop = Hop::willing();
    let mut service = world.front(&hop.next_hop()).start();
    let said = FIRST.send(service.address());
    let name = said.split_ascii_whitespace().last().unwrap();
    FIRST.send(service.address());
    service.wait_for("taken before");
    let log = service.wait_for("accepted");
    let again = log
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("queue_id="))
        .unwrap_or_else(|| panic!("{log}"));
    assert_ne!(again, name);
    let config = service.folder().path().join("vouchsafe.toml");
    let traced = || {
        texts(&vouchsafe(&[
            "trace",
            again,
            "-c",
            &config.display().to_string(),
        ]))
        .0
    };
    let began = std::time::Instant::now();
    let told = loop {
        let told = traced();
        if told.contains("taken before") {
            break told;
        }
        assert!(began.elapsed() < PATIENCE, "{told}");
    };
    assert!(
        told.contains(&format!("as {name}, and this one went nowhere")),
        "{told}"
    );
    service.stop();
}
