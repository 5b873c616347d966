//! One fault at one point of the dialogue with the next hop, each alone: what the client hears of it, what
//! is stored, and how often the message arrives. Where `faults` draws by lot, this goes through the list.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::super::client::Client;
use super::super::service::PATIENCE;
use super::super::sink::Message;
use super::hop::{Hop, Speaks, To, content, path};
use super::{
    CONTENT, KNOWN, UNKNOWN, World, assert_bland, assert_whole, domain, nothing_is_left,
    nothing_queued, send, send_over, stuffed,
};

/// Where no reply is to be had, and nothing is stored.
const NO_ANSWER: &str = "451 4.4.1 ";

/// Which of its turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Greeting,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    Content,
    Dot,
}

const TURNS: [Turn; 7] = [
    Turn::Greeting,
    Turn::Ehlo,
    Turn::Mail,
    Turn::Rcpt,
    Turn::Data,
    Turn::Content,
    Turn::Dot,
];

/// What it does then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// It closes the connection.
    Dies,
    /// It closes its sending side alone, and reads on.
    ClosesHalf,
    /// It says what is no reply, and reads on.
    Raves,
    /// It takes the message, says half of its reply, and closes.
    LosesItsReply,
}

/// A next hop whose first connection ends so, and whose others are as they should be.
struct Doomed {
    address: SocketAddr,
    /// What it has taken, that of the first connection included.
    taken: Receiver<Message>,
}

impl Doomed {
    fn start(turn: Turn, act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (send, taken) = channel();
        std::thread::spawn(move || {
            let mut doom = Some((turn, act));
            for stream in listener.incoming() {
                let (stream, send, doom) = (stream.unwrap(), send.clone(), doom.take());
                // Whoever goes away ends the session, and nothing else.
                std::thread::spawn(move || drop(converse(&stream, doom, &send)));
            }
        });
        Self { address, taken }
    }

    fn next(&self) -> Message {
        self.taken.recv_timeout(PATIENCE).expect("a message")
    }
}

/// One session.
fn converse(
    stream: &TcpStream,
    doom: Option<(Turn, Act)>,
    taken: &Sender<Message>,
) -> std::io::Result<()> {
    let mut say = stream;
    let mut lines = BufReader::new(stream);
    let is_due = |turn| doom.filter(|(at, _)| *at == turn).map(|(_, act)| act);
    let mut message = Message::default();
    let (mut turn, mut reply) = (Turn::Greeting, "220 inner.hop.example\r\n");
    loop {
        if let Some(act) = is_due(turn) {
            return perish(stream, act, &mut lines);
        }
        say.write_all(reply.as_bytes())?;
        if turn == Turn::Data {
            if let Some(act) = is_due(Turn::Content) {
                lines.read_exact(&mut [0; 100])?;
                return perish(stream, act, &mut lines);
            }
            message.content = content(&mut lines)?;
            let act = is_due(Turn::Dot);
            if act.is_none_or(|act| act == Act::LosesItsReply) {
                let _ = taken.send(std::mem::take(&mut message));
            }
            (turn, reply) = (Turn::Dot, "250 2.0.0 taken\r\n");
            continue;
        }
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        (turn, reply) = match line
            .trim_end()
            .split_once(':')
            .unwrap_or((line.trim_end(), ""))
        {
            ("MAIL FROM", mail) => {
                message.mail = path(mail);
                (Turn::Mail, "250 2.1.0 ok\r\n")
            }
            ("RCPT TO", to) => {
                message.recipients = vec![path(to)];
                (Turn::Rcpt, "250 2.1.5 ok\r\n")
            }
            ("DATA", _) => (Turn::Data, "354 go on\r\n"),
            // RSET, NOOP, QUIT: between two transactions.
            (verb, _) if !verb.starts_with("EHLO") => (Turn::Content, "250 2.0.0 ok\r\n"),
            _ => (Turn::Ehlo, "250-inner.hop.example\r\n250 PIPELINING\r\n"),
        };
    }
}

/// Its end. What is still sent to it is read, so that nothing but what it does is heard of it.
fn perish(stream: &TcpStream, act: Act, lines: &mut BufReader<&TcpStream>) -> std::io::Result<()> {
    let mut say = stream;
    match act {
        Act::Dies => return stream.shutdown(Shutdown::Both),
        Act::ClosesHalf => stream.shutdown(Shutdown::Write)?,
        Act::Raves => say.write_all(b"\x01\xffnot a reply\r\n")?,
        Act::LosesItsReply => {
            say.write_all(b"250 2.0.0 tak")?;
            return stream.shutdown(Shutdown::Both);
        }
    }
    std::io::copy(lines, &mut std::io::sink()).map(drop)
}

/// What was said last.
fn last(told: &super::Told) -> &str {
    match &told.end[..] {
        "" => &told.recipients[0],
        end => end,
    }
}

/// Each act at each turn, for who is not proven and for who is.
#[test]
fn a_next_hop_that_fails_at_any_turn_has_not_replied() {
    let world = World::start();
    let mut cases = Vec::new();
    for act in [Act::Dies, Act::ClosesHalf, Act::Raves] {
        for turn in TURNS {
            for sender in [UNKNOWN, KNOWN] {
                let number = cases.len();
                let hop = Doomed::start(turn, act);
                cases.push((format!("d{number}.example"), hop, turn, act, sender));
            }
        }
    }
    let mut setup = world.setup();
    for (name, hop, ..) in &cases {
        setup = setup.domain(name, &format!("smtp://{}", hop.address));
    }
    let service = setup.start();
    for (name, _, turn, act, sender) in &cases {
        let told = send(service.address(), sender, &[&format!("bob@{name}")]);
        let wanted = match *sender {
            KNOWN => "250 2.0.0 queued as ",
            _ => NO_ANSWER,
        };
        assert!(
            last(&told).starts_with(wanted),
            "{act:?} {turn:?}: {told:?}"
        );
    }
    // What was stored comes once, over a session that is as it should be.
    for (_, hop, turn, act, _) in cases.iter().filter(|case| case.4 == KNOWN) {
        let message = hop.next();
        assert_eq!(message.mail, KNOWN, "{act:?} {turn:?}");
        assert_whole(&message.content, CONTENT);
    }
    nothing_is_left(&service);
    service.stop();
    for (_, hop, turn, act, sender) in &cases {
        let more: Vec<_> = hop.taken.try_iter().collect();
        assert!(more.is_empty(), "{act:?} {turn:?} {sender}: {more:?}");
    }
}

/// The next hop has it, and its 250 is lost: it is in doubt. Without XTID whoever tries again makes a second
/// copy, the client or we; nothing is lost.
#[test]
fn a_250_that_is_lost_makes_two_copies_and_none_is_lost() {
    let world = World::start();
    for sender in [UNKNOWN, KNOWN] {
        let hop = Doomed::start(Turn::Dot, Act::LosesItsReply);
        // It dies behind the dot with half a reply, having taken the message.
        let service = world.front(&format!("smtp://{}", hop.address)).start();
        let told = send(service.address(), sender, &["bob@hop.example"]);
        if sender == UNKNOWN {
            assert!(told.end.starts_with(NO_ANSWER), "{told:?}");
            nothing_queued([&service]);
            // The client comes again.
            let told = send(service.address(), sender, &["bob@hop.example"]);
            assert!(
                told.end.starts_with("250 2.0.0 delivered onward"),
                "{told:?}"
            );
        } else {
            assert!(told.end.starts_with("250 2.0.0 queued as "), "{told:?}");
        }
        for _ in 0..2 {
            assert_whole(&hop.next().content, CONTENT);
        }
        nothing_is_left(&service);
        service.stop();
        assert_eq!(hop.taken.try_iter().count(), 0);
    }
}

/// A next hop whose last word, or whose 354, waits for leave.
struct Waiting {
    hop: Hop,
    /// The last word is asked for.
    asked: Receiver<()>,
    leave: Sender<()>,
}

impl Waiting {
    fn start() -> Self {
        let (ask, asked) = channel();
        let (leave, left) = channel();
        let left = std::sync::Mutex::new(left);
        let hop = Hop::start(Speaks::Smtp, move |to, _| {
            if to == To::End {
                let _ = ask.send(());
                let _ = left.lock().unwrap().recv();
            }
            String::from("250 2.0.0 ok")
        });
        Self { hop, asked, leave }
    }
}

/// The client gives up first: behind the dot, while the last word is on its way. The next hop has it, nobody
/// queues it, and the client's second try is a second copy.
#[test]
fn a_client_that_leaves_behind_the_dot_has_delivered() {
    let world = World::start();
    for sender in [UNKNOWN, KNOWN] {
        let waiting = Waiting::start();
        let service = world.front(&waiting.hop.next_hop()).start();
        let mut client = Client::greeted(service.address());
        client.expect("EHLO client.example", 250);
        client.expect(&format!("MAIL FROM:<{sender}>"), 250);
        client.expect("RCPT TO:<bob@hop.example>", 250);
        client.expect("DATA", 354);
        client.send([&stuffed(CONTENT)[..], b".\r\n"].concat());
        waiting.asked.recv_timeout(PATIENCE).unwrap();
        drop(client);
        waiting.leave.send(()).unwrap();
        assert_whole(&waiting.hop.next().content, CONTENT);
        waiting.leave.send(()).unwrap();
        let told = send(service.address(), sender, &["bob@hop.example"]);
        assert!(
            told.end.starts_with("250 2.0.0 delivered onward"),
            "{told:?}"
        );
        assert_whole(&waiting.hop.next().content, CONTENT);
        nothing_queued([&service]);
        service.stop();
        assert!(waiting.hop.rest().is_empty());
    }
}

/// Two next hops, of which one waits with its last word: the client hears nothing before both have said theirs,
/// and then one 250.
#[test]
fn the_slower_of_two_branches_has_the_last_word() {
    let world = World::start();
    let (slow, quick) = (Waiting::start(), Hop::willing());
    let service = world
        .front(&slow.hop.next_hop())
        .with(&domain("other.example", &quick.next_hop(), "defer"))
        .start();
    let server = service.address();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        tell.send(send(
            server,
            KNOWN,
            &["bob@hop.example", "bea@other.example"],
        ))
    });
    // One has it, and has said so; the other has it, and has not.
    assert_whole(&quick.next().content, CONTENT);
    slow.asked.recv_timeout(PATIENCE).unwrap();
    assert!(told.try_recv().is_err(), "answered too early");
    slow.leave.send(()).unwrap();
    let told = told.recv_timeout(PATIENCE).unwrap();
    assert!(
        told.end.starts_with("250 2.0.0 delivered onward"),
        "{told:?}"
    );
    assert_whole(&slow.hop.next().content, CONTENT);
    nothing_queued([&service]);
    service.stop();
}

/// The same where it never says it: the message is stored for that branch, and the reply is one 250.
#[test]
fn the_branch_that_is_too_slow_is_stored_for() {
    let world = World::start();
    let (slow, quick) = (Waiting::start(), Hop::willing());
    let service = world
        .front(&slow.hop.next_hop())
        .with(&domain("other.example", &quick.next_hop(), "defer"))
        .with("[delivery]\ncompletion_timeout = \"5s\"")
        .start();
    let told = send(
        service.address(),
        KNOWN,
        &["bob@hop.example", "bea@other.example"],
    );
    assert!(told.end.starts_with("250 2.0.0 queued as "), "{told:?}");
    assert_whole(&quick.next().content, CONTENT);
    // From now on it answers. What it said too late nobody has heard.
    drop(slow.leave);
    assert_whole(&slow.hop.next().content, CONTENT);
    nothing_is_left(&service);
    service.stop();
}

/// The last word behind 8 MiB: it is the client's, whatever it is, and nothing was stored meanwhile.
#[test]
fn the_last_word_behind_eight_megabytes_is_passed_back() {
    let world = World::start();
    let hop = Hop::start(Speaks::Smtp, |to, who| {
        String::from(match (to, who) {
            (To::End, "later@hop.example") => "452 4.3.1 inner words",
            (To::End, "never@hop.example") => "552 5.3.4 inner words",
            _ => "250 2.0.0 ok",
        })
    });
    let service = world.front(&hop.next_hop()).start();
    let line = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n";
    let large = [b"Subject: large\r\n\r\n", &line.repeat(131_072)[..]].concat();
    for sender in [UNKNOWN, KNOWN] {
        for (to, code) in [
            ("later", "452 4.3.1 "),
            ("never", "552 5.3.4 "),
            ("bob", "250 2.0.0 "),
        ] {
            let mut client = Client::greeted(service.address());
            client.expect("EHLO client.example", 250);
            client.expect(&format!("MAIL FROM:<{sender}>"), 250);
            client.expect(&format!("RCPT TO:<{to}@hop.example>"), 250);
            client.expect("DATA", 354);
            client.send(&large);
            assert_bland(&client.say("."), code);
            client.expect("QUIT", 221);
        }
        assert_whole(&hop.next().content, &large);
    }
    nothing_queued([&service]);
    service.stop();
    assert!(hop.rest().is_empty());
}

/// The next hop refuses for now whom it has not seen; the client hears it at RCPT, and its next try is taken,
/// in the same session or another.
#[test]
fn greylisting_is_passed_back_and_the_retry_is_taken() {
    let world = World::start();
    let seen = std::sync::Mutex::new(Vec::new());
    let hop = Hop::start(Speaks::Smtp, move |to, who| {
        let mut seen = seen.lock().unwrap();
        let is_new = to == To::Recipient && !seen.iter().any(|one| one == who);
        seen.push(who.to_owned());
        String::from(if is_new {
            "450 4.7.1 inner words: greylisted"
        } else {
            "250 2.0.0 ok"
        })
    });
    let service = world.front(&hop.next_hop()).start();
    for (sender, to) in [(UNKNOWN, "bob@hop.example"), (KNOWN, "bea@hop.example")] {
        let mut client = Client::greeted(service.address());
        client.expect("EHLO client.example", 250);
        let told = send_over(&mut client, sender, &[to]);
        assert_bland(&told.recipients[0], "450 4.7.1 ");
        let told = send_over(&mut client, sender, &[to]);
        assert!(
            told.end.starts_with("250 2.0.0 delivered onward"),
            "{told:?}"
        );
        let told = send(service.address(), sender, &[to]);
        assert!(
            told.end.starts_with("250 2.0.0 delivered onward"),
            "{told:?}"
        );
        for _ in 0..2 {
            assert_whole(&hop.next().content, CONTENT);
        }
    }
    nothing_queued([&service]);
    service.stop();
    assert!(hop.rest().is_empty());
}
