//! The files of `testdata/held`, read. What each line means stands in the README there.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::reply::{EnhancedStatus, Reply};
use vouchsafe_proto::smtp::xhold::{Terms, TransactionId};

use super::words::octets_of;
use crate::stage::{CLIENT, Key, Operation};

/// One dialogue.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// The file's name.
    pub name: String,
    /// `SENDER:`, the reverse-path is proven.
    pub is_proven: bool,
    /// `XHOLD:`, we offer it on these terms.
    pub xhold: Option<Terms>,
    /// `WHOLE:`, what the client says in one turn comes in one piece.
    pub is_whole: bool,
    pub routes: Vec<Route>,
    /// What is said and happens, in order, each with the number of its line.
    pub steps: Vec<(usize, Step)>,
    /// `BECOMES:`, what becomes of each message that has begun.
    pub fates: Vec<Fate>,
}

/// `ROUTE:`, where a domain's mail goes.
#[derive(Clone, Debug, Default)]
pub struct Route {
    pub domain: String,
    /// Hosts of the next hop, in order; none if the mail goes through the queue.
    pub hosts: Vec<String>,
    /// `when-unproven = "store"`.
    pub stores: bool,
    pub is_lmtp: bool,
}

/// A line of `BECOMES:`, and of `|` below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    pub what: String,
    pub content: Vec<u8>,
}

/// Something that is said, or happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `CONNECT:`, another client comes, or the same again.
    Connect(IpAddr),
    /// `IN HAND:`, another session of the first client is bringing this copy to its end.
    InHand(Key),
    /// `LET GO:`, it has, and it was taken (true) or not.
    LetGo(Key, bool),
    /// `C:`, the client says these.
    Client(Vec<u8>),
    /// `END:`, the client closes its side.
    ClientEnds,
    /// `S:`, the client hears this line.
    Server(String),
    /// `EHLO:`, the client hears one 250 of any number of lines.
    ServerHello,
    /// `CLOSED:`, the client's connection is closed.
    ServerCloses,
    /// `TIME:`, so much time passes.
    Time(Duration),
    /// `SPOOL:`, the next such operation fails with this reply.
    Spool(Operation, Reply),
    /// Of a host.
    Host(String, Host),
}

/// What a host says, hears and does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// `OPEN`, we connect to it; it takes the connection, or does not.
    Open(bool),
    /// `A:`, it says these.
    Says(Vec<u8>),
    /// `END`, it closes its side.
    Ends,
    /// `to A:`, it hears this line.
    Hears(String),
    /// `A|`, it hears this of the content.
    Content(Vec<u8>),
    /// `HEAD`, it hears our fields.
    Head,
    /// `CLOSED`, we have closed the connection.
    Closed,
}

impl Script {
    /// Reads a file; panics with its name and line if it cannot be read.
    pub fn load(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let mut script = Self {
            name: path.file_name().unwrap().to_string_lossy().into(),
            ..Self::default()
        };
        for (number, line) in text.lines().enumerate() {
            let (name, number) = (script.name.clone(), number + 1);
            let read = script.read(number, line.trim_start());
            assert!(read.is_some(), "{name}:{number}: cannot read {line:?}");
        }
        script
    }

    fn read(&mut self, number: usize, line: &str) -> Option<()> {
        if line.is_empty() || line.starts_with('#') {
            return Some(());
        }
        let end = line.find([':', '|'])?;
        let (keyword, rest) = line.split_at(end);
        let text = rest[1..].strip_prefix(' ').unwrap_or(&rest[1..]);
        let (keyword, times) = match keyword.split_once('*') {
            Some((keyword, times)) => (keyword, times.parse().ok()?),
            None => (keyword, 1),
        };
        if rest.starts_with('|') {
            let octets = octets_of(text)?.repeat(times);
            if keyword.is_empty() {
                self.fates.last_mut()?.content.extend(octets);
            } else {
                self.host(number, keyword, Host::Content(octets));
            }
            return Some(());
        }
        match keyword {
            "SENDER" => {
                self.is_proven = text == "authorised";
                (self.is_proven || text == "unknown").then_some(())?;
            }
            "XHOLD" => self.xhold = Some(Terms::read(text.split(' '))?),
            "WHOLE" => self.is_whole = true,
            "ROUTE" => self.routes.push(route_of(text)?),
            "BECOMES" => self.fates.push(Fate {
                what: text.into(),
                ..Fate::default()
            }),
            "EHLO" => {
                let hello = Step::Client(format!("EHLO {text}\r\n").into());
                self.steps
                    .extend([(number, hello), (number, Step::ServerHello)]);
            }
            "IN HAND" => self.steps.push((number, Step::InHand(key_of(text)?))),
            "LET GO" => {
                let taken = text.strip_suffix(" taken");
                let key = key_of(taken.unwrap_or(text))?;
                self.steps.push((number, Step::LetGo(key, taken.is_some())));
            }
            _ => match keyword.split_once(' ') {
                Some(("HELLO", host)) => self.hello(number, host, text),
                Some((verb, host)) => self.host(number, host, host_step(verb, text)?),
                None if is_host(keyword) => {
                    self.host(number, keyword, Host::Says(octets_of(text)?));
                }
                None => {
                    let step = step_of(keyword, text)?;
                    self.steps
                        .extend((0..times).map(|_| (number, step.clone())));
                }
            },
        }
        Some(())
    }

    fn host(&mut self, number: usize, name: &str, step: Host) {
        self.steps.push((number, Step::Host(name.into(), step)));
    }

    /// A greeting, and what is offered to our EHLO or LHLO.
    fn hello(&mut self, number: usize, host: &str, offers: &str) {
        let is_lmtp = |route: &Route| route.is_lmtp && route.hosts.iter().any(|of| of == host);
        let is_lmtp = self.routes.iter().any(is_lmtp);
        let verb = if is_lmtp { "LHLO" } else { "EHLO" };
        let mut lines: Vec<_> = [host.to_lowercase() + ".example"].into();
        lines.extend(
            offers
                .split(' ')
                .filter(|offer| !offer.is_empty())
                .map(Into::into),
        );
        let last = lines.len() - 1;
        let lines = lines.iter().enumerate().map(|(number, line)| {
            let mark = if number == last { ' ' } else { '-' };
            format!("250{mark}{line}\r\n")
        });
        let reply: String = lines.collect();
        let greeting = format!("220 {}.example ready\r\n", host.to_lowercase());
        self.host(number, host, Host::Says(greeting.into()));
        self.host(number, host, Host::Hears(format!("{verb} mx.example.org")));
        self.host(number, host, Host::Says(reply.into()));
    }
}

/// A host is one capital letter; but C is the client, and S the server.
fn is_host(keyword: &str) -> bool {
    let mut letters = keyword.chars();
    let first = letters.next().filter(char::is_ascii_uppercase);
    first.is_some_and(|letter| !"CS".contains(letter)) && letters.next().is_none()
}

fn route_of(text: &str) -> Option<Route> {
    let (domain, words) = text.split_once(" = ")?;
    let mut route = Route {
        domain: domain.into(),
        ..Route::default()
    };
    for word in words.split(' ') {
        match word {
            "store" => route.stores = true,
            "lmtp" => route.is_lmtp = true,
            "queue" => {}
            host => route.hosts.push(is_host(host).then(|| host.into())?),
        }
    }
    Some(route)
}

fn host_step(verb: &str, text: &str) -> Option<Host> {
    Some(match (verb, text) {
        ("OPEN", "") => Host::Open(true),
        ("OPEN", "no answer") => Host::Open(false),
        ("to", _) => Host::Hears(text.into()),
        ("HEAD", "") => Host::Head,
        ("END", "") => Host::Ends,
        ("CLOSED", "") => Host::Closed,
        _ => return None,
    })
}

fn step_of(keyword: &str, text: &str) -> Option<Step> {
    Some(match keyword {
        "C" => Step::Client(octets_of(text)?),
        "S" => Step::Server(text.into()),
        "END" => Step::ClientEnds,
        "CLOSED" => Step::ServerCloses,
        "CONNECT" if text.is_empty() => Step::Connect(CLIENT),
        "CONNECT" => Step::Connect(text.parse().ok()?),
        "TIME" => Step::Time(Duration::from_secs(text.strip_suffix('s')?.parse().ok()?)),
        "SPOOL" => {
            let (operation, reply) = text.split_once(' ')?;
            let operation = match operation {
                "begin" => Operation::Begin,
                "append" => Operation::Append,
                "commit" => Operation::Commit,
                _ => return None,
            };
            Step::Spool(operation, reply_of(reply)?)
        }
        _ => return None,
    })
}

/// `id@domain <reverse-path> <recipient>`.
fn key_of(text: &str) -> Option<Key> {
    let mut words = text.split(' ');
    let mut word = || words.next();
    let id = TransactionId::parse(word()?).ok()?;
    let path = |word: &str| Some(word.strip_prefix('<')?.strip_suffix('>')?.to_owned());
    let key = Key {
        client: CLIENT,
        id,
        reverse_path: ReversePath::parse_inside(&path(word()?)?).ok()?,
        recipient: ForwardPath::parse_inside(&path(word()?)?).ok()?,
    };
    word().is_none().then_some(key)
}

/// `452 4.3.1 text`.
fn reply_of(text: &str) -> Option<Reply> {
    let mut words = text.splitn(3, ' ');
    let code = words.next()?.parse().ok()?;
    let EnhancedStatus {
        class,
        subject,
        detail,
    } = EnhancedStatus::parse(words.next()?)?;
    let words: &'static str = words.next()?.to_owned().leak();
    Some(Reply::new(code, (class, subject, detail), words))
}
