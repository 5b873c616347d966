//! "Not sent" is never said falsely, nor "sent": real sends through a real process, which is killed as often as it likes,
//! whose data folder is put back from a backup or loses a file of its ledger, one of whose writers falls silent, and whose
//! clock jumps. What has reached the next hop is what was sent, whatever became of the acknowledgement.
//!
//! The full version: `VOUCHSAFE_SENDS=1000000 ./test ledger::sends`.

mod clock;

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use tempfile::TempDir;
use vouchsafe_proto::residue::{Digest, Kind, Word};

use self::clock::Clock;
use super::asked::{Sent, ask};
use super::known::{digest_of, keep_with, now};
use crate::client::Client;
use crate::harness::{TRIES, TRY};
use crate::nsd::{Nsd, Zone};
use crate::service::{HOSTNAME, Service, Setup};
use crate::sink::Sink;

const OURS: &str = "127.0.0.2";
const DOMAIN: &str = "local.example";
const RELAY: &str = "relay2.example.org";

/// Connections that send at the same time.
const SENDERS: u64 = 32;

/// Messages after which a clock is set that is.
const STEP: u64 = 40;

/// Messages of one site, at most.
const EACH: u64 = 20_000;

/// What befalls a site after its kills.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Nothing,
    Backup,
    LostFile,
    SilentRelay,
    /// Its clock, and in every second message the sender's, is set while it runs and while it does not.
    ClockSteps,
}

const FATES: [Fate; 5] = [
    Fate::Backup,
    Fate::ClockSteps,
    Fate::LostFile,
    Fate::SilentRelay,
    Fate::Nothing,
];

#[derive(Debug, Default)]
struct Tally {
    /// Messages that reached the next hop, each once.
    sends: u64,
    kills: u64,
    asked: u64,
    sent: u64,
    unknown: u64,
    /// Of messages that nobody sent.
    denied: u64,
    undecided: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.sends += other.sends;
        self.kills += other.kills;
        self.asked += other.asked;
        self.sent += other.sent;
        self.unknown += other.unknown;
        self.denied += other.denied;
        self.undecided += other.undecided;
    }
}

/// A site: one folder, and whoever runs on it.
struct Site {
    folder: Arc<TempDir>,
    names: Nsd,
    sink: Sink,
    service: Option<Service>,
    clock: Option<Clock>,
    sent: Vec<Sent>,
    /// Messages that are like those and were not sent: to another domain, or in another's name.
    near: Vec<Sent>,
    /// The digests of what reached the next hop.
    arrived: HashSet<Digest>,
    numbers: Arc<AtomicU64>,
}

fn names() -> Nsd {
    let host = Zone {
        apex: "example.org.",
        records: Some("mx 300 A 127.0.0.1\nrelay2 300 A 127.0.0.9\n"),
    };
    let records = format!("mail-from 300 MX 0 {HOSTNAME}.\nmail-from 300 MX 0 {RELAY}.\n");
    let local = Zone {
        apex: "local.example.",
        records: Some(&records),
    };
    Nsd::start([127, 0, 0, 1].into(), &[Zone::ROOT, host, local])
}

impl Site {
    fn new(numbers: &Arc<AtomicU64>, clock: Option<Clock>) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        keep_with(folder.path(), DOMAIN, Some(RELAY), 24);
        Self {
            folder,
            names: names(),
            sink: Sink::start(),
            service: None,
            clock,
            sent: Vec::new(),
            near: Vec::new(),
            arrived: HashSet::new(),
            numbers: Arc::clone(numbers),
        }
    }

    /// Starts it, with a relay that may be silent for so long.
    fn start(&mut self, silent_after: &str) {
        let writers = format!("[ledger.writers.\"{RELAY}\"]\nsilent_after = \"{silent_after}\"\n");
        let setup = Setup::in_folder(Arc::clone(&self.folder))
            .dns(self.names.address())
            .domains(&[DOMAIN], &self.sink.next_hop())
            .with(&format!("[relay]\nfrom = [\"{OURS}/32\"]\n"))
            .with("[ledger]\naddress = [\"127.0.0.1:0\"]\nper_second = 10000000\n")
            .with(&writers);
        let setup = match &self.clock {
            Some(clock) => clock.given_to(setup),
            None => setup,
        };
        let mut service = setup.start();
        let line = service.wait_from_start("standing=nobody else may send in its name");
        if let Some(clock) = &self.clock {
            assert!(clock.has_said(&line), "it has another clock: {line}");
        }
        self.service = Some(service);
    }

    fn service(&mut self) -> &mut Service {
        self.service.as_mut().unwrap()
    }

    /// Sends until so many more have reached the next hop, and kills the service then and there.
    fn live(&mut self, count: u64) {
        self.send(count, true, |site| {
            let service = site.service.take().unwrap();
            service.signal("KILL");
            service.ended();
        });
    }

    /// Sends until so many more have reached the next hop; then this is done, and no more is sent.
    fn send(&mut self, count: u64, steps: bool, then: impl FnOnce(&mut Self)) {
        let stop = Arc::new(AtomicBool::new(false));
        let address = self.service().address();
        let senders: Vec<_> = (0..SENDERS)
            .map(|place| {
                // Half of them go by the clock of the service.
                let clock = self.clock.clone().filter(|_| place % 2 == 0);
                let count = Arc::clone(&self.numbers);
                sender(
                    address,
                    move || count.fetch_add(1, Ordering::Relaxed),
                    clock,
                    &stop,
                )
            })
            .collect();
        for number in 0..count {
            let is_step = steps && number % STEP == STEP - 1;
            if let Some(clock) = self.clock.as_mut().filter(|_| is_step) {
                clock.step();
            }
            let message = self.sink.next();
            self.arrive(&message.content);
        }
        then(self);
        stop.store(true, Ordering::Release);
        for sender in senders {
            sender.join().unwrap();
        }
        // What is on its way to the next hop still is noted in the next life.
        for message in self.sink.rest().collect::<Vec<_>>() {
            self.arrive(&message.content);
        }
    }

    /// It has reached the next hop.
    fn arrive(&mut self, content: &[u8]) {
        self.note(content);
        self.arrived
            .extend(self.sent.last().map(|sent| sent.digest));
        if self.arrived.len().is_multiple_of(NEAR) {
            for (path, domain) in [
                ("a@local.example", "other.example"),
                ("z@local.example", DOMAIN),
            ] {
                self.near.push(sent_as(path, domain, content));
            }
        }
    }

    fn note(&mut self, content: &[u8]) {
        self.sent.push(sent_as("a@local.example", DOMAIN, content));
    }

    /// Asks about all that was sent, and as much that was not.
    fn check(&mut self, tally: &mut Tally, what: &str) {
        let server = self.responder();
        for (sent, word) in self.sent.iter().zip(ask(server, DOMAIN, &self.sent)) {
            tally.asked += 1;
            match word {
                Word::Sent => tally.sent += 1,
                Word::Unknown => tally.unknown += 1,
                Word::NotSent => panic!("{what}: falsely \"not sent\": {sent:?}"),
            }
        }
        let forged = self.sent.iter().map(|sent| forged(*sent));
        let forged: Vec<_> = forged.chain(self.near.iter().copied()).collect();
        for (forged, word) in forged.iter().zip(ask(server, DOMAIN, &forged)) {
            match word {
                Word::NotSent => tally.denied += 1,
                Word::Unknown => tally.undecided += 1,
                Word::Sent => panic!("{what}: falsely \"sent\": {forged:?}"),
            }
        }
    }

    fn responder(&mut self) -> SocketAddr {
        let service = self.service();
        service.wait_from_start("answering address=");
        service.answering()
    }

    /// Hands in this for the relay, or nothing but that it is there.
    fn hand_in(&self, message: Option<&str>) {
        use std::io::Write as _;
        let envelope = [
            "--mail-from",
            "a@local.example",
            "--recipient",
            "b@local.example",
        ];
        let mut child = Command::new(env!("CARGO_BIN_EXE_vouchsafe"))
            .args(["ledger", "add", "--host", RELAY])
            .args(message.map_or(&[][..], |_| &envelope))
            .arg("--config")
            .arg(self.folder.path().join("vouchsafe.toml"))
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(message.unwrap_or("").as_bytes()).unwrap();
        drop(input);
        assert!(child.wait().unwrap().success());
    }

    /// A writer that must be heard of hands in what it sends, falls silent, and sends on.
    fn meet_a_silent_relay(&mut self, tally: &mut Tally) {
        self.start("1h");
        for number in 0..20 {
            let message = message(u64::MAX - number, now());
            self.hand_in(Some(&message));
            self.note(message.as_bytes());
        }
        self.check(tally, "while a relay hands in");
        let probe = forged(self.sent[0]);
        let server = self.responder();
        assert_eq!(ask(server, DOMAIN, &[probe]), [Word::NotSent]);
        // From now on it is missed sooner.
        let config = self.folder.path().join("vouchsafe.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replace("\"1h\"", "\"3s\"")).unwrap();
        self.service().signal("HUP");
        let is_silent = || ask(server, DOMAIN, &[probe]) == [Word::Unknown];
        let patience = std::iter::repeat_with(is_silent).take(TRIES as usize);
        assert!(
            patience
                .inspect(|_| std::thread::sleep(TRY))
                .any(|silent| silent)
        );
        for number in 0..200 {
            self.note(message(u64::MAX - 1000 - number, now()).as_bytes());
        }
        self.check(tally, "while a relay is silent");
        self.hand_in(None);
        self.check(tally, "once it was heard of again");
    }

    /// Its clock jumps ahead and back again before anybody compares it; files are let go by it, if ever, meanwhile.
    fn meet_jumps(&mut self, count: u64, tally: &mut Tally) {
        self.start("1h");
        let set = |site: &mut Self, offset| site.clock.as_mut().unwrap().set(offset);
        self.send(count, false, |_| {});
        // Else it would be no wonder that nothing false is said.
        let forged = forged(self.sent[0]);
        assert_eq!(ask(self.responder(), DOMAIN, &[forged]), [Word::NotSent]);
        for offset in [1_300_000, 3_000_000, -3_000_000] {
            set(self, offset);
            self.send(count, false, |site| set(site, 0));
            self.check(tally, "after a jump that nobody saw");
            set(self, offset);
            self.service().signal("HUP");
            self.service().wait_for("configuration reloaded");
            set(self, 0);
            self.check(tally, "after a reload within a jump");
        }
    }

    /// Runs on while its clock is set to where it was before, and at last right; all is asked about each time.
    fn meet_each_hour(&mut self, tally: &mut Tally) {
        self.start("1h");
        for place in 0..clock::STEPS.len() {
            self.clock.as_mut().unwrap().step();
            self.check(
                tally,
                &format!("with a clock that is set for the {place}th time"),
            );
        }
        self.clock.as_mut().unwrap().set(0);
        self.check(tally, "with a clock that is right again");
    }
}

/// Of so many messages that arrive one has its like asked about, too.
const NEAR: usize = 8;

/// A message as it is entered.
fn sent_as(reverse_path: &str, domain: &str, content: &[u8]) -> Sent {
    let (hour, digest) = digest_of(reverse_path, domain, content);
    Sent {
        kind: Kind::Message,
        hour,
        digest,
    }
}

/// A digest that differs from a sent one in its last bits but one.
fn forged(sent: Sent) -> Sent {
    Sent {
        digest: Digest::new(sent.digest.number() ^ 1 << 25),
        ..sent
    }
}

fn message(number: u64, seconds: u64) -> String {
    let date = vouchsafe_proto::time::Wall::from_secs(seconds).to_rfc5322();
    format!(
        "From: a@local.example\r\nDate: {date}\r\nMessage-ID: <{number}@local.example>\r\n\r\nnumber {number}\r\n"
    )
}

/// Sends one message after the other, as long as the service is there.
fn sender(
    address: SocketAddr,
    number: impl Fn() -> u64 + Send + 'static,
    clock: Option<Clock>,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<()> {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let source = OURS.parse().unwrap();
        // A service that is killed breaks the conversation anywhere.
        let conversation = move || -> Option<()> {
            let mut client = Client::connect_from(source, address);
            client.heard()?;
            client.try_send(b"EHLO client.example\r\n").ok()?;
            client.heard()?;
            while !stop.load(Ordering::Acquire) {
                let seconds = clock.as_ref().map_or_else(now, Clock::now);
                let message = message(number(), seconds);
                client
                    .try_send(
                        b"MAIL FROM:<a@local.example>\r\nRCPT TO:<b@local.example>\r\nDATA\r\n",
                    )
                    .ok()?;
                for _ in 0..3 {
                    client.heard()?;
                }
                client.try_send(format!("{message}.\r\n").as_bytes()).ok()?;
                client.heard()?;
            }
            Some(())
        };
        let _ = conversation();
    })
}

/// Copies a folder as a backup does.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(status.success());
}

/// One site's life.
fn play(fate: Fate, count: u64, numbers: &Arc<AtomicU64>, tally: &mut Tally) {
    let clock = match fate {
        Fate::ClockSteps if !Clock::installed() => return,
        Fate::ClockSteps => Some(Clock::new()),
        _ => None,
    };
    let mut site = Site::new(numbers, clock);
    let lives = 4;
    let backup = site.folder.path().join("backup");
    let data = site.folder.path().join("data");
    if let Fate::ClockSteps = fate {
        site.meet_jumps(count / lives / 4, tally);
        tally.kills += 1;
        let service = site.service.take().unwrap();
        service.signal("KILL");
        service.ended();
    }
    for life in 0..lives {
        if let Some(clock) = &mut site.clock {
            clock.step();
        }
        site.start("1h");
        if life > 0 {
            site.check(tally, "after a kill");
        }
        if let (Fate::Backup, 2) = (fate, life) {
            copy(&data, &backup);
        }
        site.live(count / lives);
        tally.kills += 1;
    }
    match fate {
        Fate::Nothing => site.start("1h"),
        Fate::ClockSteps => site.meet_each_hour(tally),
        Fate::Backup => {
            fs::remove_dir_all(&data).unwrap();
            copy(&backup, &data);
            site.start("1h");
        }
        Fate::LostFile => {
            let files = fs::read_dir(data.join("ledger")).unwrap();
            let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
            files.retain(|file| !file.ends_with("coverage"));
            files.sort();
            let lost = usize::try_from(numbers.load(Ordering::Relaxed)).unwrap() % files.len();
            fs::remove_file(&files[lost]).unwrap();
            site.start("1h");
        }
        Fate::SilentRelay => site.meet_a_silent_relay(tally),
    }
    site.check(tally, &format!("after all, {fate:?}"));
    tally.sends += site.arrived.len() as u64;
}

#[test]
fn whatever_happens_no_answer_is_false() {
    if !Nsd::installed("sends that are asked about, where coverage needs a domain's records") {
        return;
    }
    let wanted = std::env::var("VOUCHSAFE_SENDS").ok();
    let wanted: u64 = wanted.map_or(2_000, |count| count.parse().unwrap());
    let each = (wanted / FATES.len() as u64).clamp(40, EACH);
    let numbers = Arc::new(AtomicU64::new(1));
    let mut tally = Tally::default();
    for fate in FATES.iter().cycle() {
        let mut of_site = Tally::default();
        play(*fate, each, &numbers, &mut of_site);
        println!("{fate:?}: {of_site:?}");
        tally.add(&of_site);
        if tally.sends >= wanted {
            break;
        }
    }
    println!("{tally:?}");
    // Else it would be enough to say nothing.
    assert!(tally.sent > tally.unknown && tally.denied > 0, "{tally:?}");
}
