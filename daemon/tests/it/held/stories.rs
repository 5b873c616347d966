//! The four stories of the mailing list's text that the held path comes from (docs/held-path.md): a
//! server in front says 250 to what the host behind it will not take, and tells somebody who never sent
//! anything. The same senders and forgers, the same hosts behind, and in front three kinds of server:
//! Postfix that stores and forwards; the held path by itself, in a DNS where nobody is proven and so
//! nothing is ever stored; the held path with its fallback, where some are.
//!
//! Counted are reports to who did not send (innocent), and true senders of what was not delivered who
//! were neither refused in their session nor sent a report (missing). A true sender's own server keeps
//! what it was told to send again later, and owes its user the report; it tries again when the story says
//! that something is back.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Instant;

use super::super::client::Client;
use super::super::interop::exim::{self, Exim};
use super::super::interop::postfix::{self, Postfix};
use super::super::nsd::{Nsd, Zone};
use super::super::service::{PATIENCE, Service, Setup};
use super::chains::last_host;
use super::hop::{Hop, Speaks, To};
use super::mixed::CUT_THROUGH;
use super::{CONTENT, queue_of, send_over};

const LEFT_OUT: &str = "the four stories";

/// From here the senders' domains send.
const THEIRS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// From here somebody else does, in their names.
const FORGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// The senders' domains, and what each publishes where it publishes anything: its border relays, SPF,
/// nothing.
const DOMAINS: [(&str, &str); 3] = [
    (
        "relays.example",
        "MAIL-FROM MX 0 out\nMAIL-FROM TXT \"v=MFMX1\"\nout A 127.0.0.2",
    ),
    ("spf.example", "@ TXT \"v=spf1 ip4:127.0.0.2 -all\""),
    ("silent.example", ""),
];

/// The server in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Front {
    /// Postfix as it is set up to store and forward.
    Postfix,
    /// The held path, and nobody is proven.
    Hold,
    /// The held path, and who is proven is stored for.
    Fallback,
}

/// What is behind, and so what goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    /// The primary is down, and back after a while.
    BackupMx,
    /// A mailbox is full.
    NoSpace,
    /// The next hop has an alias to an address elsewhere that is dead, and asks there at RCPT.
    Alias,
    /// The same, and the next hop asks nobody, but queues.
    QueuedAlias,
    /// Nobody has that name, or what comes is refused when it has come.
    Forged,
}

impl Story {
    const ALL: [Self; 5] = [
        Self::BackupMx,
        Self::NoSpace,
        Self::Alias,
        Self::QueuedAlias,
        Self::Forged,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::BackupMx => "backup MX, the primary down",
            Self::NoSpace => "mailbox out of space",
            Self::Alias => "alias to a dead address",
            Self::QueuedAlias => "the same, queued behind us",
            Self::Forged => "made-up names, refused content",
        }
    }

    /// To whom each sender, and each forger, sends a message.
    const fn recipients(self) -> &'static [&'static str] {
        match self {
            Self::BackupMx => &["nobody", "bob"],
            Self::NoSpace => &["over", "full"],
            Self::Alias | Self::QueuedAlias => &["alias"],
            Self::Forged => &["nobody", "strict"],
        }
    }

    /// Starts what is behind; `None` if it is not installed.
    fn behind(self, outside: &Hop) -> Option<Behind> {
        Some(match self {
            Self::BackupMx => Behind::Down(place_of_its_own()),
            Self::NoSpace | Self::Forged => Behind::Postfix(last_host(LEFT_OUT)?),
            Self::Alias | Self::QueuedAlias => {
                let elsewhere = Hop::start(Speaks::Smtp, |to, _| {
                    let dead = to == To::Recipient;
                    String::from(if dead { "550 5.1.1 gone" } else { "250 ok" })
                });
                let asks = if self == Self::Alias { CUT_THROUGH } else { "" };
                let exim = exim::Setup::new(LEFT_OUT)?
                    .alias("alias", "gone@elsewhere.example")
                    .at_recipient(asks)
                    .with("chunking_advertise_hosts =")
                    .start();
                let routes = [
                    ("elsewhere.example", elsewhere.address()),
                    ("*", outside.address()),
                ];
                exim.routes(&routes);
                Behind::Exim(exim)
            }
        })
    }
}

/// A loopback address where nobody else listens, and a port of it.
fn place_of_its_own() -> SocketAddr {
    let listener = TcpListener::bind("127.66.0.2:0").unwrap();
    listener.local_addr().unwrap()
}

enum Behind {
    /// Nothing listens there yet.
    Down(SocketAddr),
    Postfix(Postfix),
    Exim(Exim),
}

impl Behind {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Down(address) => *address,
            Self::Postfix(postfix) => postfix.address(),
            Self::Exim(exim) => exim.address(),
        }
    }

    /// What was down is there now: it knows nobody of that name.
    fn comes_back(&self) -> Option<Hop> {
        let Self::Down(address) = self else {
            return None;
        };
        Some(Hop::on(*address, Speaks::Smtp, |to, recipient| {
            let is_unknown = to == To::Recipient && recipient.starts_with("nobody@");
            String::from(if is_unknown {
                "550 5.1.1 no such user"
            } else {
                "250 2.0.0 ok"
            })
        }))
    }
}

/// The server in front, running.
enum Running {
    Postfix(Postfix),
    Ours(
        Service,
        #[expect(dead_code, reason = "answers for as long as it is there")] Nsd,
    ),
}

impl Front {
    const ALL: [Self; 3] = [Self::Postfix, Self::Hold, Self::Fallback];

    /// Starts it before that next hop. All it sends to elsewhere, reports too, goes outside.
    fn start(self, story: Story, next_hop: SocketAddr, outside: &Hop) -> Option<Running> {
        if self == Self::Postfix {
            return Some(Running::Postfix(postfix_before(story, next_hop, outside)?));
        }
        let texts = DOMAINS.map(|(name, published)| {
            let published = if self == Self::Hold { "" } else { published };
            (format!("{name}."), format!("@ A 192.0.2.9\n{published}"))
        });
        let zones = texts.iter().map(|(apex, records)| Zone {
            apex,
            records: Some(records),
        });
        let zones: Vec<_> = zones.chain([Zone::ROOT]).collect();
        let nsd = Nsd::start(Ipv4Addr::LOCALHOST.into(), &zones);
        let relay = format!("[relay]\nnext_hop = \"{}\"", outside.next_hop());
        let service = Setup::new()
            .dns(nsd.address())
            .domains(&["hop.example"], &format!("smtp://{next_hop}"))
            .with(&relay)
            .with("[retry]\nfirst = \"100ms\"\nlongest = \"1s\"")
            .start();
        Some(Running::Ours(service, nsd))
    }
}

/// Postfix that stores mail for `hop.example` and sends it on. It has no list of those behind it.
fn postfix_before(story: Story, next_hop: SocketAddr, outside: &Hop) -> Option<Postfix> {
    let bracketed = |address: SocketAddr| format!("[{}]:{}", address.ip(), address.port());
    let setup = postfix::Setup::new(LEFT_OUT)?.with(&format!(
        "virtual_mailbox_domains =\n\
         relay_domains = hop.example\n\
         relay_transport = smtp:{}\n\
         relayhost = {}\n\
         smtpd_peername_lookup = no\n\
         minimal_backoff_time = 1s\n\
         maximal_backoff_time = 1s\n\
         queue_run_delay = 1s",
        bracketed(next_hop),
        bracketed(outside.address()),
    ));
    // What it was told to send again later has become too old by then: the days of a full mailbox are over
    // at the first try.
    let setup = if story == Story::NoSpace {
        setup.with("maximal_queue_lifetime = 0")
    } else {
        setup
    };
    Some(setup.start())
}

impl Running {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Postfix(postfix) => postfix.address(),
            Self::Ours(service, _) => service.address(),
        }
    }

    /// Waits until it has nothing left to send: of what it has said 250 to, by these words, and of what
    /// it has to say of that.
    fn settle(&mut self, taken: &[String]) {
        match self {
            Self::Postfix(postfix) => {
                let ids = taken
                    .iter()
                    .map(|said| said.split(' ').next_back().unwrap());
                for id in ids {
                    postfix.wait_for(&format!("{id}: removed"));
                    let mut lines = postfix.log().lines();
                    let report = lines.find_map(|line| {
                        line.split_once(&format!("{id}: sender non-delivery notification: "))
                    });
                    if let Some((_, report)) = report {
                        let removed = format!("{report}: removed");
                        postfix.wait_for(&removed);
                    }
                }
            }
            Self::Ours(service, _) => {
                let began = Instant::now();
                while !queue_of(service).is_empty() {
                    assert!(began.elapsed() < PATIENCE, "{}", queue_of(service));
                }
            }
        }
    }
}

/// One message, and what its sender's server has heard so far.
struct Sent {
    /// Its own: so a report says which message it is about.
    reverse_path: String,
    recipient: String,
    is_forged: bool,
    /// The last reply.
    said: String,
}

impl Sent {
    /// One from each sender, and from each forger, to each recipient.
    fn all(story: Story) -> Vec<Self> {
        let mut all = Vec::new();
        for (domain, _) in DOMAINS {
            for recipient in story.recipients() {
                for (who, is_forged) in [("alice", false), ("victim", true)] {
                    all.push(Self {
                        reverse_path: format!("{who}.{recipient}@{domain}"),
                        recipient: format!("{recipient}@hop.example"),
                        is_forged,
                        said: String::new(),
                    });
                }
            }
        }
        all
    }

    /// Tries once.
    fn attempt(&mut self, server: SocketAddr) {
        let from = if self.is_forged { FORGER } else { THEIRS };
        let mut client = Client::connect_from(IpAddr::V4(from), server);
        assert_eq!(client.code(), 220);
        client.expect("EHLO client.example", 250);
        let told = send_over(&mut client, &self.reverse_path, &[&self.recipient]);
        client.expect("QUIT", 221);
        let last = [&told.end, told.recipients.first().unwrap_or(&told.mail)];
        let last = last.into_iter().find(|said| !said.is_empty());
        last.unwrap().clone_into(&mut self.said);
    }

    /// Tries until it is no longer put off.
    fn persist(&mut self, server: SocketAddr) {
        let began = Instant::now();
        while self.said.starts_with('4') {
            assert!(
                began.elapsed() < PATIENCE,
                "{}: {}",
                self.reverse_path,
                self.said
            );
            self.attempt(server);
        }
    }

    fn is_taken(&self) -> bool {
        self.said.starts_with('2')
    }
}

/// What came of one story behind one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Count {
    /// True senders whose message arrived.
    delivered: usize,
    /// True senders whose server was refused, or put off until it gave up.
    told: usize,
    /// True senders who got a report.
    reported: usize,
    /// True senders with none of these.
    missing: usize,
    /// Reports to those who never sent.
    innocent: usize,
}

impl Count {
    /// Of all messages: those that arrived, and the reports, by reverse-path.
    fn of(sent: &[Sent], delivered: &[String], mut reports: Vec<String>) -> Self {
        let mut count = Self::default();
        for sent in sent {
            let own = |path: &String| *path == sent.reverse_path;
            let before = reports.len();
            reports.retain(|path| !own(path));
            let about = before - reports.len();
            if sent.is_forged {
                count.innocent += about;
                continue;
            }
            let arrived = delivered.iter().filter(|path| own(path)).count();
            assert!(
                arrived <= 1,
                "{} arrived {arrived} times",
                sent.reverse_path
            );
            match (arrived, about) {
                (1, _) => count.delivered += 1,
                (_, 0) if !sent.is_taken() => count.told += 1,
                (_, 0) => count.missing += 1,
                _ => count.reported += 1,
            }
        }
        assert!(reports.is_empty(), "reports to nobody known: {reports:?}");
        count
    }
}

/// Plays a story with that server in front.
fn play(story: Story, front: Front) -> Option<Count> {
    let outside = Hop::willing();
    let behind = story.behind(&outside)?;
    let mut running = front.start(story, behind.address(), &outside)?;
    let mut sent = Sent::all(story);
    for sent in &mut sent {
        sent.attempt(running.address());
    }
    let primary = behind.comes_back();
    if primary.is_some() {
        for sent in &mut sent {
            sent.persist(running.address());
        }
    }
    let taken: Vec<_> = sent.iter().filter(|sent| sent.is_taken()).collect();
    let words: Vec<String> = taken.iter().map(|sent| sent.said.clone()).collect();
    running.settle(&words);
    let mut left = Vec::new();
    if story == Story::QueuedAlias {
        // The reports are the next hop's: one of each message that it was given.
        left.extend(taken.iter().map(|_| outside.next()));
    }
    left.extend(outside.rest());
    let reports = left.into_iter().map(|mut message| {
        assert_eq!(message.mail, "", "only reports leave here");
        assert!(String::from_utf8_lossy(&message.content).contains("multipart/report"));
        message.recipients.remove(0)
    });
    let reports = reports.collect();
    let arrived = primary.map(|primary| primary.rest()).unwrap_or_default();
    for message in &arrived {
        super::assert_whole(&message.content, CONTENT);
    }
    let delivered: Vec<_> = arrived.into_iter().map(|message| message.mail).collect();
    if let Running::Ours(service, _) = running {
        service.stop();
    }
    Some(Count::of(&sent, &delivered, reports))
}

/// How many innocents hear of it.
const fn innocent(story: Story, front: Front) -> usize {
    match (front, story) {
        // Whatever is refused behind it, the victim of each forgery hears of.
        (Front::Postfix, Story::NoSpace | Story::Forged) => 6,
        // The last of these are another server's reports: who says 250 and queues has ended the path.
        (Front::Postfix, Story::BackupMx | Story::Alias)
        | (Front::Postfix | Front::Hold, Story::QueuedAlias) => 3,
        // What is known to be forged does not get there.
        (Front::Fallback, Story::QueuedAlias) => 1,
        (Front::Hold | Front::Fallback, _) => 0,
    }
}

/// Postfix in front now and then answers nothing any more: its processes wait for the one that writes their log. Its row is
/// played again then, once; ours never are.
fn played(story: Story, front: Front) -> Option<Count> {
    if front != Front::Postfix {
        return play(story, front);
    }
    std::panic::catch_unwind(|| play(story, front)).unwrap_or_else(|_| play(story, front))
}

#[test]
fn nobody_innocent_is_told_and_no_true_sender_is_left_without_a_word() {
    if !Nsd::installed(LEFT_OUT) {
        return;
    }
    let all = std::thread::scope(|scope| {
        let playing = Story::ALL.map(|story| {
            scope.spawn(move || Front::ALL.map(|front| (story, front, played(story, front))))
        });
        playing.map(|story| story.join().unwrap()).concat()
    });
    let mut table = format!(
        "{:32} {:9} {:>9} {:>5} {:>8} {:>7} {:>8}\n",
        "story", "front", "delivered", "told", "reported", "missing", "innocent"
    );
    let mut failed = 0;
    for (story, front, count) in all {
        // Its peers are not installed, which was said.
        let Some(count) = count else {
            continue;
        };
        writeln!(
            table,
            "{:32} {:9} {:9} {:5} {:8} {:7} {:8}",
            story.name(),
            format!("{front:?}"),
            count.delivered,
            count.told,
            count.reported,
            count.missing,
            count.innocent
        )
        .unwrap();
        failed += usize::from(count.innocent != innocent(story, front) || count.missing != 0);
    }
    println!("{table}");
    assert_eq!(failed, 0, "lines of this table:\n{table}");
}
