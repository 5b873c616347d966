//! Asks a server as fast as it answers, so many questions under way.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use vouchsafe_proto::residue::Hour;

use super::cpu;
use super::fill::Spread;
use super::questions::{COOKIE, COUNT, Expected, Questions};
use super::socket::{BATCH, Inbox, asker, send, send_from_many};

/// What is asked.
#[derive(Debug, Args)]
pub struct Run {
    /// The server.
    server: SocketAddrV4,
    /// Its process group.
    #[arg(long)]
    group: u32,
    /// What answers are: `ledger`, `zone` or `echo`.
    #[arg(long)]
    expected: String,
    /// The domain.
    #[arg(long, default_value = "bench.example")]
    domain: String,
    /// The last hour that something is in.
    #[arg(long)]
    last: u32,
    /// Questions under way.
    #[arg(long, default_value_t = 128)]
    under_way: usize,
    /// From how many addresses, a power of two; may be given more than once, and is a column of what is printed.
    #[arg(long, default_values_t = [1])]
    askers: Vec<usize>,
    /// For how long, each.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    #[command(flatten)]
    spread: Spread,
}

/// How long an answer may take before it is lost.
const PATIENCE: Duration = Duration::from_millis(500);
/// Questions under way at most: their places are part of the id.
const MOST: usize = 1024;

/// A place for a question under way.
#[derive(Clone, Copy)]
struct Place {
    /// Of the question that was sent from here.
    number: usize,
    /// Which one it is; the last of what was sent from here.
    round: u16,
    is_free: bool,
    sent: Instant,
}

/// Who asks.
struct Asker<'a> {
    socket: UdpSocket,
    server: SocketAddrV4,
    askers: usize,
    questions: &'a Questions,
    expected: Expected,
    places: Vec<Place>,
    free: Vec<usize>,
    next: usize,
    out: Vec<u8>,
    inbox: Inbox,
    counts: Counts,
}

/// What became of questions.
#[derive(Clone, Copy, Default)]
struct Counts {
    answered: u32,
    lost: u32,
    wrong: u32,
}

impl Run {
    /// Asks and prints.
    pub fn measure(self) -> anyhow::Result<()> {
        let expected = match &*self.expected {
            "ledger" => Expected::Ledger,
            "zone" => Expected::Zone,
            "echo" => Expected::Echo,
            _ => bail!("what answers are"),
        };
        let last = Hour::new(self.last).context("an hour")?;
        for askers in &self.askers {
            let cookies = if expected == Expected::Echo {
                vec![vec![0; 8]]
            } else {
                self.cookies(last, *askers)?
            };
            let questions = Questions::new(COUNT, self.spread, last, &self.domain, &cookies)?;
            let mut asker = Asker::new(&self, &questions, expected, *askers)?;
            asker.ask_for(Duration::from_secs_f64(self.seconds / 4.0))?;
            let (before, start) = (cpu::of_group(self.group)?, now());
            asker.counts = Counts::default();
            asker.ask_for(Duration::from_secs_f64(self.seconds))?;
            let took = start.elapsed().as_secs_f64();
            let used = cpu::of_group(self.group)? - before;
            let Counts {
                answered,
                lost,
                wrong,
            } = asker.counts;
            println!(
                "{askers} {:.0} {lost} {wrong} {:.3} {:.2}",
                f64::from(answered) / took,
                used * 1e6 / f64::from(answered.max(1)),
                used / took,
            );
        }
        Ok(())
    }

    /// The server's half of each asker's cookie, which it gives to who asks without.
    fn cookies(&self, last: Hour, askers: usize) -> anyhow::Result<Vec<Vec<u8>>> {
        let few = Questions::new(1, self.spread, last, &self.domain, &[Vec::new()])?;
        let cookie = |number: usize| {
            let from = if askers == 1 {
                Ipv4Addr::LOCALHOST
            } else {
                asker(number)
            };
            let socket = UdpSocket::bind((from, 0))?;
            socket.connect(self.server)?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            socket.send(few.get(0))?;
            let mut octets = [0; 512];
            let count = socket.recv(&mut octets)?;
            let said = octets.get(..count).unwrap_or_default();
            let mut parts = said.windows(COOKIE.len());
            let start = parts.position(|part| part == COOKIE);
            let start = start.context("a cookie")? + COOKIE.len();
            Ok(said.get(start..).unwrap_or_default().to_vec())
        };
        (0..askers).map(cookie).collect()
    }
}

impl<'a> Asker<'a> {
    fn new(
        run: &Run,
        questions: &'a Questions,
        expected: Expected,
        askers: usize,
    ) -> anyhow::Result<Self> {
        let under_way = run.under_way.clamp(1, MOST);
        let place = Place {
            number: 0,
            round: 0,
            is_free: true,
            sent: now(),
        };
        let socket = if askers == 1 {
            connected(run.server)?
        } else {
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?
        };
        Ok(Self {
            socket,
            server: run.server,
            askers,
            questions,
            expected,
            places: vec![place; under_way],
            free: (0..under_way).collect(),
            next: 0,
            out: Vec::new(),
            inbox: Inbox::new(),
            counts: Counts::default(),
        })
    }

    fn ask_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let start = now();
        let mut looked = start;
        // A server is sent many at once while it has others to answer.
        let least = BATCH.min(self.places.len() / 4).max(1);
        loop {
            let came = self.inbox.receive(&self.socket, false);
            self.take();
            if self.free.len() >= least || came == 0 && !self.free.is_empty() {
                self.send()?;
            }
            if came == 0 {
                let now = now();
                if now - looked > PATIENCE / 4 {
                    self.give_up(now);
                    looked = now;
                }
            }
            if start.elapsed() >= time {
                return Ok(());
            }
        }
    }

    fn send(&mut self) -> anyhow::Result<()> {
        self.out.clear();
        let (sent, first) = (now(), self.next);
        let count = self.free.len().min(BATCH);
        for at in self.free.drain(self.free.len() - count..) {
            let Some(place) = self.places.get_mut(at) else {
                continue;
            };
            *place = Place {
                number: self.next,
                round: place.round.wrapping_add(1) % 64,
                is_free: false,
                sent,
            };
            self.next += 1;
            let id = u16::try_from(at).unwrap_or_default() | place.round << 10;
            let octets = self.questions.get(place.number);
            self.out.extend(id.to_be_bytes());
            self.out.extend(octets.get(2..).unwrap_or_default());
        }
        let (out, each) = (&mut self.out, self.questions.length());
        let sent = if self.askers == 1 {
            send(&self.socket, out, each)
        } else {
            send_from_many(&self.socket, out, each, self.server, first, self.askers)
        };
        sent.context("sending")
    }

    /// Looks at what has come.
    fn take(&mut self) {
        for octets in self.inbox.datagrams() {
            let id = octets.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
            let at = usize::from(id & 0x3ff);
            let place = self.places.get_mut(at);
            let Some(place) = place.filter(|place| !place.is_free && place.round == id >> 10)
            else {
                // It was given up.
                continue;
            };
            place.is_free = true;
            self.free.push(at);
            if self
                .questions
                .is_answer(place.number, octets, self.expected)
            {
                self.counts.answered += 1;
            } else {
                self.counts.wrong += 1;
            }
        }
    }

    /// Gives up what has not been answered for long.
    fn give_up(&mut self, now: Instant) {
        for (at, place) in self.places.iter_mut().enumerate() {
            if !place.is_free && now - place.sent > PATIENCE {
                place.is_free = true;
                self.free.push(at);
                self.counts.lost += 1;
            }
        }
    }
}

fn connected(server: SocketAddrV4) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(server)?;
    Ok(socket)
}

/// The clock of the measurement.
#[expect(
    clippy::disallowed_methods,
    reason = "a measurement has a clock of its own"
)]
fn now() -> Instant {
    Instant::now()
}
