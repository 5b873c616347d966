//! Clients that send without end, what was acknowledged to them, and the count at the end: every
//! acknowledged message has come to each of its recipients, octet for octet, and none came twice
//! from one and the same service.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::service::{PATIENCE, Setup};
use super::sink::{Message, Sink};

/// Clients that send at the same time.
const SESSIONS: u64 = 8;

/// The clients, and the next hops of both domains they send to.
pub struct Senders {
    services: Vec<Sender<SocketAddr>>,
    numbers: Arc<Numbers>,
    said: Receiver<Said>,
    sinks: [Sink; 2],
    acknowledged: HashSet<u64>,
    refusals: Vec<String>,
}

/// What the clients share.
#[derive(Default)]
struct Numbers {
    /// The last message sent.
    sent: AtomicU64,
    /// No more are to be sent.
    enough: AtomicBool,
}

/// What a server said to a client.
enum Said {
    /// It has the message of this number.
    Acknowledged(u64),
    /// It will not have it now. The client waits to be sent on.
    Refused(String),
}

/// How it ended.
pub struct Count {
    acknowledged: usize,
    copies: usize,
    /// Copies beyond the first, of one message for one recipient.
    again: usize,
    unacknowledged: usize,
    /// The most deliveries of one service that came after one that was made again by another.
    doubted: usize,
}

/// One client's connection, until it breaks or a message is refused.
struct Sending<'a> {
    lines: BufReader<&'a TcpStream>,
    out: &'a TcpStream,
}

/// Why a client does not go on.
enum Stop {
    Broken,
    Refused(String),
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// To whom a message goes.
fn recipients(number: u64) -> &'static [&'static str] {
    match number % 5 {
        0 => &["ann@one.example", "bob@two.example", "eve@one.example"],
        1 | 2 => &["ann@one.example"],
        3 => &["bob@two.example"],
        _ => &["ann@one.example", "bob@two.example"],
    }
}

/// All of its lines. Small ones that a spool may keep by themselves, and large ones.
fn content(number: u64) -> Vec<u8> {
    let size = match number % 16 {
        0 => 102_400,
        1 | 2 => 40_000,
        3..=6 => 10_000,
        _ => 2_000,
    };
    let line = format!("{number:08}: {}\r\n", "0123456789".repeat(6));
    let lines = line.repeat(size / line.len());
    format!("X-Number: {number}\r\nSubject: {number}\r\n\r\n{lines}").into_bytes()
}

impl Sending<'_> {
    /// The last line of a reply.
    fn reply(&mut self) -> Result<String, Stop> {
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line)?;
            match line.as_bytes().get(3) {
                Some(b'-') => {}
                Some(_) if line.ends_with("\r\n") => return Ok(line.trim_end().into()),
                _ => return Err(Stop::Broken),
            }
        }
    }

    fn say(&mut self, command: &str, expected: &str) -> Result<(), Stop> {
        self.out.write_all(format!("{command}\r\n").as_bytes())?;
        self.expect(expected)
    }

    fn expect(&mut self, expected: &str) -> Result<(), Stop> {
        let reply = self.reply()?;
        if reply.starts_with(expected) {
            return Ok(());
        }
        // What a service says that is being stopped is no refusal of the message.
        if reply.starts_with("421") {
            return Err(Stop::Broken);
        }
        Err(Stop::Refused(reply))
    }

    fn one(&mut self, number: u64) -> Result<(), Stop> {
        self.say("MAIL FROM:<a@sender.example>", "250")?;
        for recipient in recipients(number) {
            self.say(&format!("RCPT TO:<{recipient}>"), "250")?;
        }
        self.say("DATA", "354")?;
        self.out.write_all(&content(number))?;
        self.say(".", "250")
    }
}

/// Sends messages over one connection until it breaks, one is refused, or there are enough.
fn send(server: SocketAddr, numbers: &Numbers, said: &Sender<Said>) -> Result<(), Stop> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut sending = Sending {
        lines: BufReader::new(&stream),
        out: &stream,
    };
    sending.expect("220")?;
    sending.say("EHLO client.example", "250")?;
    while !numbers.enough.load(Ordering::Relaxed) {
        let number = numbers.sent.fetch_add(1, Ordering::Relaxed) + 1;
        sending.one(number)?;
        // The test may have ended meanwhile.
        let _ = said.send(Said::Acknowledged(number));
    }
    Ok(())
}

impl Senders {
    /// The clients, which wait to be sent to a service.
    pub fn start() -> Self {
        let (say, said) = channel();
        let numbers = Arc::<Numbers>::default();
        let client = |_| {
            let (go, services) = channel();
            let (numbers, say) = (Arc::clone(&numbers), say.clone());
            std::thread::spawn(move || {
                for server in services {
                    if let Err(Stop::Refused(reply)) = send(server, &numbers, &say) {
                        let _ = say.send(Said::Refused(reply));
                    }
                }
            });
            go
        };
        Self {
            services: (0..SESSIONS).map(client).collect(),
            numbers,
            said,
            sinks: [Sink::start(), Sink::start()],
            acknowledged: HashSet::new(),
            refusals: Vec::new(),
        }
    }

    /// A service that delivers to the sinks.
    pub fn setup(&self, setup: Setup) -> Setup {
        let [one, two] = &self.sinks;
        setup
            .domains(&["one.example"], &one.next_hop())
            .domain("two.example", &two.next_hop())
            .stored()
    }

    /// Every client begins anew with this service, as soon as it is done with the last.
    pub fn go(&self, server: SocketAddr) {
        for service in &self.services {
            service.send(server).unwrap();
        }
    }

    /// One service has ended.
    pub fn next_life(&self) {
        self.sinks.iter().for_each(Sink::next_life);
    }

    fn hear(&mut self, said: Said) {
        match said {
            Said::Acknowledged(number) => assert!(self.acknowledged.insert(number)),
            Said::Refused(reply) => self.refusals.push(reply),
        }
    }

    /// Waits until so many more messages are acknowledged.
    pub fn wait_for(&mut self, more: usize) {
        let enough = self.acknowledged.len() + more;
        while self.acknowledged.len() < enough {
            let said = self.said.recv_timeout(PATIENCE);
            let said = said.unwrap_or_else(|_| {
                let (have, refusals) = (self.acknowledged.len(), &self.refusals);
                panic!("{have} of {enough} acknowledged, refused: {refusals:?}")
            });
            self.hear(said);
        }
    }

    /// Goes on to a moment that nothing here can foresee, at most a quarter of a second away.
    pub fn wait_by_chance(&mut self) {
        let mut chance = [0];
        getrandom::fill(&mut chance).unwrap();
        let end = Instant::now() + Duration::from_millis(u64::from(chance[0]));
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if let Ok(said) = self.said.recv_timeout(left) {
                self.hear(said);
            }
        }
    }

    /// Waits until every client has been refused, and gives the different replies.
    pub fn wait_for_refusals(&mut self) -> BTreeSet<String> {
        while self.refusals.len() < self.services.len() {
            let said = self.said.recv_timeout(PATIENCE);
            let said = said.unwrap_or_else(|_| panic!("refused so far: {:?}", self.refusals));
            self.hear(said);
        }
        self.refusals.drain(..).collect()
    }

    /// The clients end. Waits until everything that was acknowledged
    /// has come; `end` stops the service, and then it is counted.
    pub fn count(mut self, end: impl FnOnce()) -> Count {
        self.numbers.enough.store(true, Ordering::Relaxed);
        self.services.clear();
        // The end comes when the last client has ended.
        let (_, nobody) = channel();
        let said = std::mem::replace(&mut self.said, nobody);
        for said in said {
            self.hear(said);
        }
        let mut copies: HashMap<(u64, String), Vec<Copy>> = HashMap::new();
        let mut places: HashMap<(usize, u32), usize> = HashMap::new();
        let mut missing: HashSet<(u64, String)> = HashSet::new();
        for number in &self.acknowledged {
            let all = recipients(*number).iter();
            missing.extend(all.map(|recipient| (*number, (*recipient).to_owned())));
        }
        let mut take = |sink: usize, message: &Message, missing: &mut HashSet<_>| {
            let place = places.entry((sink, message.life)).or_default();
            *place += 1;
            let number = number_of(message);
            for recipient in &message.recipients {
                let (_, recipient) = recipient.split_once('<').unwrap();
                let (recipient, _) = recipient.split_once('>').unwrap();
                let key = (number, recipient.to_owned());
                missing.remove(&key);
                copies.entry(key).or_default().push(Copy {
                    sink,
                    life: message.life,
                    place: *place,
                });
            }
        };
        for (at, sink) in self.sinks.iter().enumerate() {
            let domain = ["@one.example", "@two.example"][at];
            while missing.iter().any(|(_, to)| to.ends_with(domain)) {
                // Fails when nothing comes any more, though messages are missing.
                take(at, &sink.next(), &mut missing);
            }
        }
        end();
        for (at, sink) in self.sinks.iter().enumerate() {
            sink.rest()
                .for_each(|message| take(at, &message, &mut missing));
        }
        tally(&self.acknowledged, &copies, &places)
    }
}

/// One delivery.
struct Copy {
    sink: usize,
    life: u32,
    /// Which of that service's to that sink.
    place: usize,
}

/// The number that a message carries; its octets must be those that were sent.
fn number_of(message: &Message) -> u64 {
    let text = String::from_utf8_lossy(&message.content);
    let field = text
        .lines()
        .find_map(|line| line.strip_prefix("X-Number: "));
    let number = field.and_then(|number| number.parse().ok()).unwrap();
    assert!(message.content.ends_with(&content(number)), "{number}");
    number
}

/// Counts, and looks at what came more than once: never from one and the same service.
fn tally(
    acknowledged: &HashSet<u64>,
    copies: &HashMap<(u64, String), Vec<Copy>>,
    places: &HashMap<(usize, u32), usize>,
) -> Count {
    let (mut again, mut doubted) = (0, 0);
    for (key, copies) in copies {
        let mut lives = HashSet::new();
        for copy in copies {
            assert!(lives.insert(copy.life), "{key:?} twice from one service");
        }
        let last = copies.iter().map(|copy| copy.life).max();
        for copy in copies.iter().filter(|copy| Some(copy.life) != last) {
            again += 1;
            doubted = doubted.max(places[&(copy.sink, copy.life)] - copy.place);
        }
    }
    let numbers: HashSet<u64> = copies.keys().map(|(number, _)| *number).collect();
    Count {
        acknowledged: acknowledged.len(),
        copies: copies.values().map(Vec::len).sum(),
        again,
        unacknowledged: numbers.difference(acknowledged).count(),
        doubted,
    }
}

impl Count {
    /// Messages acknowledged.
    pub const fn acknowledged(&self) -> usize {
        self.acknowledged
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} messages acknowledged, lost 0; {} deliveries, {} of them made again by a later \
             service (in doubt at its end: at most {} deliveries before it), {} messages \
             delivered though their 250 was lost",
            self.acknowledged, self.copies, self.again, self.doubted, self.unacknowledged
        )
    }
}
