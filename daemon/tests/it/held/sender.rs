//! A sender that gives up nothing: each of its messages is tried until it is acknowledged, or refused for
//! good; and the count at the end.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt::{self, Write as _};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::sink::Message;
use super::{KNOWN, UNKNOWN};

/// What a sender waits before it tries again what was put off.
const PAUSE: Duration = Duration::from_millis(20);

/// What was heard of one message in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Acknowledged,
    /// For good, by this reply.
    Refused(String),
}

/// How it sends.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Where XHOLD is offered a message has an XTID, the same at each attempt.
    pub with_ids: bool,
    /// For each reply.
    pub patience: Duration,
    /// At the same time.
    pub sessions: usize,
}

/// Who sends, and how.
pub struct Sender {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    server: Mutex<SocketAddr>,
    /// What is to be sent.
    left: Mutex<VecDeque<u64>>,
    ends: Mutex<BTreeMap<u64, End>>,
    /// A reply to nothing, behind a 250: it would be taken for that of another message.
    spurious: AtomicUsize,
    attempts: AtomicUsize,
    /// Messages that were sent whole and not answered, by number: so often.
    doubts: Mutex<BTreeMap<u64, u32>>,
    messages: VecDeque<u64>,
    manner: Manner,
    over: Condvar,
}

/// The recipients of a message.
pub fn recipients(number: u64) -> Vec<String> {
    let local: &[&str] = match number % 12 {
        7 => &["gone"],
        8 => &["strict"],
        9 => &["grey"],
        10 => &["bob", "gone"],
        11 => &["bob", "ann"],
        _ => &["bob"],
    };
    let address = |local: &&str| format!("{local}-{number}@hop.example");
    local.iter().map(address).collect()
}

/// True if the last host will never have it.
pub fn is_refused_for_good(recipient: &str) -> bool {
    recipient.starts_with("gone") || recipient.starts_with("strict")
}

/// Its reverse-path.
pub fn reverse_path(number: u64) -> &'static str {
    match number % 7 {
        0 | 1 => KNOWN,
        2 => "",
        _ => UNKNOWN,
    }
}

/// All of its lines.
pub fn content(number: u64) -> Vec<u8> {
    let size = match number % 16 {
        0 => 150_000,
        1 | 2 => 20_000,
        _ => 1_500,
    };
    let line = format!("{number:08}: {}\r\n", "0123456789".repeat(6));
    let lines = line.repeat(size / line.len());
    format!("X-Number: {number}\r\nSubject: {number}\r\n\r\n{lines}").into_bytes()
}

/// The number in a message, or in what a report gives back of one.
pub fn number_in(content: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(content);
    let mut lines = text.lines();
    let number = lines.find_map(|line| line.strip_prefix("X-Number: "));
    number.and_then(|number| number.parse().ok()).unwrap()
}

/// One connection, until it breaks.
struct Session<'a> {
    lines: BufReader<&'a TcpStream>,
    out: &'a TcpStream,
    /// A whole message has been sent, and not answered.
    in_doubt: bool,
    /// Messages have an XTID.
    with_ids: bool,
}

impl Session<'_> {
    /// The last line of a reply.
    fn reply(&mut self) -> io::Result<String> {
        let mut lines = self.whole_reply()?;
        Ok(lines.pop().unwrap())
    }

    /// All of its lines.
    fn whole_reply(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line)?;
            let more = match line.as_bytes().get(3) {
                Some(b'-') => true,
                Some(_) if line.ends_with("\r\n") => false,
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            };
            lines.push(line.trim_end().into());
            if !more {
                return Ok(lines);
            }
        }
    }

    /// To EHLO and its reply.
    fn greet(&mut self, manner: Manner) -> io::Result<()> {
        self.reply()?;
        self.out.write_all(b"EHLO client.example\r\n")?;
        let offers = self.whole_reply()?;
        let is_xhold = |line: &String| line.get(4..).is_some_and(|word| word.starts_with("XHOLD "));
        self.with_ids = manner.with_ids && offers.iter().any(is_xhold);
        Ok(())
    }

    fn say(&mut self, command: &str) -> io::Result<String> {
        self.out.write_all(format!("{command}\r\n").as_bytes())?;
        self.reply()
    }

    /// One attempt: its end, or none if it was put off. Recipients that are to come in a transaction of their own do.
    fn attempt(&mut self, number: u64) -> io::Result<Option<End>> {
        let (mut left, mut end) = (recipients(number), None);
        while !left.is_empty() {
            let (of_some, later) = self.transaction(number, &left)?;
            let Some(of_some) = of_some else {
                return Ok(None);
            };
            // What was taken for anybody is acknowledged.
            end = end.filter(|end| *end == End::Acknowledged);
            end = end.or(Some(of_some));
            left = later;
        }
        Ok(end)
    }

    /// One transaction: how it ended, and for whom there is to be another.
    fn transaction(
        &mut self,
        number: u64,
        recipients: &[String],
    ) -> io::Result<(Option<End>, Vec<String>)> {
        let mut mail = format!("MAIL FROM:<{}>", reverse_path(number));
        if self.with_ids {
            write!(mail, " XTID=m{number}@client.example").unwrap();
        }
        let mail = self.say(&mail)?;
        if !mail.starts_with("250") {
            return Ok((end_of(mail), Vec::new()));
        }
        let (mut taken, mut refusal, mut put_off) = (false, None, false);
        let mut later = Vec::new();
        for recipient in recipients {
            let reply = self.say(&format!("RCPT TO:<{recipient}>"))?;
            if reply.starts_with("250") {
                taken = true;
            } else if reply.starts_with('5') && is_refused_for_good(recipient) {
                refusal = Some(reply);
            } else if reply.starts_with('5') {
                // What no host here has said: the count will tell.
                return Ok((Some(End::Refused(reply)), Vec::new()));
            } else if taken && reply.starts_with("452 4.5.3") {
                later.push(recipient.clone());
            } else {
                put_off = true;
            }
        }
        if put_off || !taken {
            self.say("RSET")?;
            return Ok((refusal.filter(|_| !put_off).map(End::Refused), later));
        }
        let data = self.say("DATA")?;
        if !data.starts_with("354") {
            // The transaction is still open (RFC 5321 §4.1.4); if the connection is not, the next MAIL tells.
            let _ = self.say("RSET");
            return Ok((end_of(data), later));
        }
        self.out.write_all(&content(number))?;
        self.in_doubt = true;
        let reply = self.say(".")?;
        self.in_doubt = false;
        Ok((end_of(reply), later))
    }
}

/// What a reply to a whole message means.
fn end_of(reply: String) -> Option<End> {
    match reply.as_bytes().first() {
        Some(b'2') => Some(End::Acknowledged),
        Some(b'5') => Some(End::Refused(reply)),
        _ => None,
    }
}

impl Shared {
    /// Sends until the connection breaks, or nothing is left.
    fn send(&self) -> io::Result<()> {
        let server = *self.server.lock().unwrap();
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.manner.patience))?;
        let mut session = Session {
            lines: BufReader::new(&stream),
            out: &stream,
            in_doubt: false,
            with_ids: false,
        };
        session.greet(self.manner)?;
        while let Some(number) = self.next() {
            self.attempts.fetch_add(1, Ordering::Relaxed);
            let end = session.attempt(number);
            if session.in_doubt {
                *self.doubts.lock().unwrap().entry(number).or_default() += 1;
            }
            match &end {
                Ok(Some(end)) => {
                    self.ends.lock().unwrap().insert(number, end.clone());
                    self.over.notify_all();
                }
                _ => self.left.lock().unwrap().push_back(number),
            }
            let put_off = end?.is_none();
            let noop = session.say("NOOP")?;
            if !session.lines.buffer().is_empty() || noop.contains(" as ") {
                self.spurious.fetch_add(1, Ordering::Relaxed);
            }
            if put_off {
                self.pause();
            }
        }
        Ok(())
    }

    fn next(&self) -> Option<u64> {
        self.left.lock().unwrap().pop_front()
    }

    /// Until something has ended, or a moment has passed.
    fn pause(&self) {
        let ends = self.ends.lock().unwrap();
        drop(self.over.wait_timeout(ends, PAUSE).unwrap());
    }

    fn is_idle(&self) -> bool {
        self.left.lock().unwrap().is_empty()
    }

    fn is_over(&self) -> bool {
        self.ends.lock().unwrap().len() == self.messages.len()
    }
}

impl Sender {
    /// Begins to send these messages.
    pub fn start(server: SocketAddr, messages: VecDeque<u64>, manner: Manner) -> Self {
        let shared = Arc::new(Shared {
            server: Mutex::new(server),
            left: Mutex::new(messages.clone()),
            messages,
            ends: Mutex::default(),
            spurious: AtomicUsize::new(0),
            attempts: AtomicUsize::new(0),
            doubts: Mutex::default(),
            manner,
            over: Condvar::new(),
        });
        let session = |_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                while !shared.is_over() {
                    // Others may be at the last ones, and give them back.
                    let is_broken = !shared.is_idle() && shared.send().is_err();
                    if is_broken || !shared.is_over() {
                        shared.pause();
                    }
                }
            })
        };
        Self {
            threads: (0..manner.sessions).map(session).collect(),
            shared,
        }
    }

    /// From now on it connects to this one.
    pub fn lead_to(&self, server: SocketAddr) {
        *self.shared.server.lock().unwrap() = server;
    }

    /// Every message has its end.
    pub fn is_over(&self) -> bool {
        self.shared.is_over()
    }

    /// Messages that have no end yet.
    pub fn without_end(&self) -> Vec<u64> {
        let ends = self.shared.ends.lock().unwrap();
        let all = self.shared.messages.iter().copied();
        all.filter(|number| !ends.contains_key(number)).collect()
    }

    /// Waits for the sessions, and gives what was heard.
    pub fn ends(self) -> Heard {
        for thread in self.threads {
            thread.join().unwrap();
        }
        Heard {
            ends: std::mem::take(&mut self.shared.ends.lock().unwrap()),
            spurious: self.shared.spurious.load(Ordering::Relaxed),
            attempts: self.shared.attempts.load(Ordering::Relaxed),
            doubts: std::mem::take(&mut self.shared.doubts.lock().unwrap()),
        }
    }
}

/// What the sender has heard.
pub struct Heard {
    pub ends: BTreeMap<u64, End>,
    spurious: usize,
    attempts: usize,
    doubts: BTreeMap<u64, u32>,
}

impl Heard {
    /// Deliveries that are owed: of what was acknowledged, each recipient that the last host takes.
    pub fn owed(&self) -> HashSet<(u64, String)> {
        let acknowledged = self.acknowledged();
        let each = acknowledged.flat_map(|number| {
            let all = recipients(number).into_iter();
            all.filter(|to| !is_refused_for_good(to))
                .map(move |to| (number, to))
        });
        each.collect()
    }

    /// Reports that are owed: of what was acknowledged to the authorised, and taken for one whom the last
    /// host refuses at the end.
    pub fn reports_owed(&self) -> HashSet<u64> {
        let acknowledged = self.acknowledged();
        acknowledged
            .filter(|number| reverse_path(*number) == KNOWN)
            .filter(|number| recipients(*number).iter().all(|to| is_refused_for_good(to)))
            .collect()
    }

    fn acknowledged(&self) -> impl Iterator<Item = u64> {
        let ends = self.ends.iter();
        ends.filter(|(_, end)| **end == End::Acknowledged)
            .map(|(number, _)| *number)
    }
}

/// How it ended.
#[derive(Debug)]
pub struct Count {
    pub messages: usize,
    pub attempts: usize,
    pub acknowledged: usize,
    pub refused: usize,
    /// Refused for good, though the last host would take it.
    pub refused_wrongly: Vec<(u64, String)>,
    /// Acknowledged, and neither delivered nor reported.
    pub lost: Vec<(u64, String)>,
    /// A second 250 for one transaction.
    pub acknowledged_twice: usize,
    /// Deliveries beyond the first, of one message to one recipient.
    pub duplicates: usize,
    /// Messages that have some.
    pub copied: Vec<u64>,
    /// Of these, more than replies to the whole message were lost on the way.
    pub duplicates_without_doubt: Vec<(u64, usize)>,
    /// Deliveries of what was refused to the sender for good.
    pub delivered_though_refused: usize,
    pub reports_to_known: usize,
    /// Of these, beyond the first for one message.
    pub reported_again: usize,
    /// Of what was refused to the sender for good.
    pub reported_though_refused: usize,
    pub reports_to_unproven: usize,
}

impl Count {
    /// `doubts`: how often a message's last reply was lost between the hosts.
    pub fn of(
        heard: &Heard,
        doubts: impl Fn(u64) -> u32,
        delivered: &[Message],
        reports: &[Message],
    ) -> Self {
        let mut copies: BTreeMap<(u64, String), usize> = BTreeMap::new();
        for message in delivered {
            let number = number_in(&message.content);
            assert!(
                message.content.ends_with(&content(number)),
                "{number} has changed"
            );
            for to in &message.recipients {
                *copies.entry((number, to.clone())).or_default() += 1;
            }
        }
        let (known, unproven): (Vec<_>, Vec<_>) = reports
            .iter()
            .partition(|report| report.recipients == [KNOWN]);
        let reported: HashSet<u64> = known
            .iter()
            .map(|report| number_in(&report.content))
            .collect();
        let owed = heard.owed().into_iter();
        let lost = owed.filter(|(number, to)| {
            !copies.contains_key(&(*number, to.clone())) && !reported.contains(number)
        });
        let mut lost: Vec<_> = lost.collect();
        let unreported = heard.reports_owed();
        let unreported = unreported.difference(&reported);
        lost.extend(unreported.map(|number| (*number, String::from("report"))));
        // Nobody who is not proven may be told 250 for what is refused.
        let refused_at_the_end =
            |number: &u64| recipients(*number).iter().all(|to| is_refused_for_good(to));
        let swallowed = heard
            .acknowledged()
            .filter(|number| reverse_path(*number) == UNKNOWN);
        lost.extend(
            swallowed
                .filter(refused_at_the_end)
                .map(|number| (number, String::from("swallowed"))),
        );
        let refused = heard.ends.iter().filter_map(|(number, end)| match end {
            End::Refused(reply) => Some((*number, reply.clone())),
            End::Acknowledged => None,
        });
        let refused: Vec<_> = refused.collect();
        let is_refused: HashSet<u64> = refused.iter().map(|(number, _)| *number).collect();
        Self {
            messages: heard.ends.len(),
            attempts: heard.attempts,
            acknowledged: heard.acknowledged().count(),
            refused: refused.len(),
            refused_wrongly: refused
                .into_iter()
                .filter(|(number, _)| !refused_at_the_end(number))
                .collect(),
            lost,
            acknowledged_twice: heard.spurious,
            duplicates: copies.values().map(|count| count - 1).sum(),
            copied: {
                let several = copies.iter().filter(|(_, count)| **count > 1);
                several.map(|((number, _), _)| *number).collect()
            },
            duplicates_without_doubt: copies
                .iter()
                .map(|((number, _), count)| {
                    let own = heard.doubts.get(number).copied().unwrap_or_default();
                    let lost = usize::try_from(own + doubts(*number)).unwrap();
                    (*number, (count - 1).saturating_sub(lost))
                })
                .filter(|(_, more)| *more > 0)
                .collect(),
            delivered_though_refused: copies
                .keys()
                .filter(|(number, _)| is_refused.contains(number))
                .count(),
            reports_to_known: known.len(),
            reported_again: known.len() - reported.len(),
            reported_though_refused: reported.intersection(&is_refused).count(),
            reports_to_unproven: unproven.len(),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} messages in {} attempts: {} acknowledged, {} refused for good; lost {}, acknowledged \
             twice {}, refused wrongly {}, delivered though refused {}; {} duplicates ({} without a lost reply); reports: {} to \
             authorised senders ({} of them again, {} though refused), {} to others",
            self.messages,
            self.attempts,
            self.acknowledged,
            self.refused,
            self.lost.len(),
            self.acknowledged_twice,
            self.refused_wrongly.len(),
            self.delivered_though_refused,
            self.duplicates,
            self.duplicates_without_doubt.len(),
            self.reports_to_known,
            self.reported_again,
            self.reported_though_refused,
            self.reports_to_unproven,
        )
    }
}
