//! A backup MX: a real service whose domain's next hop, the primary, comes and goes.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use super::client::Client;
use super::service::{PATIENCE, Service, Setup};

/// A primary that knows every user but those called "unknown". It ends with this value, with all its
/// sessions, and another can start in its place.
struct Primary {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    sessions: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Primary {
    /// Starts it there; tells of each message its recipients.
    fn start(address: SocketAddr, tell: &Sender<String>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (over, sessions) = (Arc::<AtomicBool>::default(), Arc::default());
        let (told, open, tell) = (
            Arc::clone(&over),
            Arc::<Mutex<Vec<TcpStream>>>::clone(&sessions),
            tell.clone(),
        );
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if told.load(Ordering::Acquire) {
                    break;
                }
                open.lock().unwrap().push(stream.try_clone().unwrap());
                let tell = tell.clone();
                // A peer that goes away ends its session, and nothing else.
                std::thread::spawn(move || drop(converse(&stream, &tell)));
            }
        });
        Self {
            address,
            over,
            sessions,
            thread: Some(thread),
        }
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
        self.thread.take().unwrap().join().unwrap();
        for session in self.sessions.lock().unwrap().drain(..) {
            // Its peer may have left.
            let _ = session.shutdown(Shutdown::Both);
        }
    }
}

/// One session.
fn converse(stream: &TcpStream, tell: &Sender<String>) -> io::Result<()> {
    let (mut say, mut lines) = (stream, BufReader::new(stream).lines());
    let mut recipients = String::new();
    say.write_all(b"220 primary.example ESMTP\r\n")?;
    while let Some(line) = lines.next() {
        let line = line?;
        let reply: &[u8] = match line.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => b"250-primary.example\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES\r\n",
            "MAIL" | "RSET" => {
                recipients.clear();
                b"250 2.0.0 ok\r\n"
            }
            "RCPT" if line.contains("<unknown") => b"550 5.1.1 no user of that name\r\n",
            "RCPT" => {
                recipients.push_str(&line);
                b"250 2.1.5 ok\r\n"
            }
            "DATA" => {
                say.write_all(b"354 go on\r\n")?;
                for line in lines.by_ref() {
                    if line? == "." {
                        break;
                    }
                }
                // Nobody listens any more when the test is over.
                let _ = tell.send(std::mem::take(&mut recipients));
                b"250 2.0.0 ok\r\n"
            }
            "QUIT" => b"221 2.0.0 bye\r\n",
            _ => b"250 2.0.0 ok\r\n",
        };
        say.write_all(reply)?;
    }
    Ok(())
}

/// The backup, in this folder's service.
fn backup(setup: Setup, primary: SocketAddr) -> Service {
    setup
        .domains(&["one.example"], &format!("smtp://{primary}"))
        .with("[relay]\nfrom = [\"127.0.0.2\"]")
        .start()
}

/// A transaction in which nothing was asked yet: from a sender who is proven, by his network and its own
/// domain, or from one who is not.
fn mail(service: &Service, is_proven: bool) -> Client {
    let (last, from) = if is_proven {
        (2, "someone@one.example")
    } else {
        (1, "someone@sender.example")
    };
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
    let mut client = Client::connect_from(source, service.address());
    assert_eq!(client.code(), 220);
    client.expect("EHLO client.example", 250);
    client.expect(&format!("MAIL FROM:<{from}>"), 250);
    client
}

/// What is said to RCPT.
fn rcpt(service: &Service, is_proven: bool, recipient: &str) -> String {
    mail(service, is_proven).say(&format!("RCPT TO:<{recipient}@one.example>"))
}

/// What holds while the primary is down, whoever remembers it.
fn refuses_and_defers(service: &Service) {
    for is_proven in [true, false] {
        assert_eq!(
            rcpt(service, is_proven, "unknown"),
            "550 5.1.1 recipient was refused by the host that takes its mail on"
        );
    }
    for recipient in ["known", "never.heard.of"] {
        assert!(rcpt(service, false, recipient).starts_with("451 4.4.1 "));
        assert!(rcpt(service, true, recipient).starts_with("250 "));
    }
}

/// Waits until an attempt has ended, by which the destination is held back; it may end before we listen.
fn is_held_back(service: &mut Service, id: &str) {
    service.wait_from_start(&format!("delivery queue_id={id} "));
}

#[test]
fn a_backup_knows_who_is_unknown_and_delivers_when_the_primary_is_back() {
    let (tell, told): (_, Receiver<String>) = channel();
    // An address of its own, so that no other test's port is in the way when it comes back.
    let primary = Primary::start(SocketAddr::from(([127, 66, 0, 1], 0)), &tell);
    let address = primary.address;
    let mut service = backup(Setup::new(), address);
    assert_eq!(
        rcpt(&service, false, "unknown"),
        "550 5.1.1 recipient refused by the host that takes its mail on"
    );
    assert!(rcpt(&service, false, "known").starts_with("250 "));

    drop(primary);
    refuses_and_defers(&service);
    let mut client = mail(&service, true);
    client.expect("RCPT TO:<known@one.example>", 250);
    client.expect("RCPT TO:<unknown@one.example>", 550);
    client.expect("DATA", 354);
    client.send(b"Subject: stored\r\n\r\nbody\r\n");
    let stored = client.expect(".", 250);
    let id = stored.split_whitespace().last().unwrap();
    is_held_back(&mut service, id);

    // Another service knows it too, though it has never seen the primary.
    let folder = service.folder();
    service.stop();
    let mut service = backup(Setup::in_folder(folder), address);
    is_held_back(&mut service, id);
    refuses_and_defers(&service);

    // Held back for five minutes, it arrives with the first session that somebody else has.
    let _primary = Primary::start(address, &tell);
    let began = Instant::now();
    while !rcpt(&service, false, "known").starts_with("250 ") {
        assert!(began.elapsed() < PATIENCE, "the primary is back");
    }
    service.wait_for("next hop is back");
    let recipients = told.recv_timeout(PATIENCE).expect("the stored message");
    assert_eq!(recipients, "RCPT TO:<known@one.example>");
    while !service.wait_for(id).contains("outcome=\"delivered\"") {}
}
