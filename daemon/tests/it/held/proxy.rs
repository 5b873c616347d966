//! What stands between two hosts and does harm: it follows their dialogue and, at a point of it that its
//! seed chooses, cuts the connection, falls silent, answers rubbish, or has one of the two killed.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use super::sender::number_in;

/// Where in a dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// Instead of the greeting.
    Greeting,
    /// The reply to EHLO.
    Ehlo,
    /// The reply to MAIL.
    Mail,
    /// The reply to RCPT.
    Rcpt,
    /// The reply to DATA, or to a chunk that is not the last.
    Data,
    /// Within the content.
    Content,
    /// Before what completes the message is passed on.
    Dot,
    /// Behind it, before its reply has come.
    Completed,
    /// The last reply: the next host has said 250, and it is lost.
    End,
}

/// What happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    Cut,
    Silence,
    Rubbish,
    KillNext,
    KillPrevious,
}

/// The points that one transaction has.
const POINTS: [Point; 7] = [
    Point::Mail,
    Point::Rcpt,
    Point::Data,
    Point::Content,
    Point::Dot,
    Point::Completed,
    Point::End,
];

/// A reply that is none.
const RUBBISH: &[u8] = b"\x01\xffnot a reply\r\n";

/// A process that may be killed; whoever starts it anew puts the next one here.
#[derive(Debug, Default)]
pub struct Victim(Mutex<Life>);

#[derive(Debug, Default)]
enum Life {
    /// It runs, and may be killed.
    Runs(u32),
    /// It runs, and may not.
    Spared,
    #[default]
    Killed,
}

impl Victim {
    /// This is it now.
    pub fn is(&self, pid: u32) {
        *self.0.lock().unwrap() = Life::Runs(pid);
    }

    /// It is to live from now on, if it does.
    pub fn spare(&self) {
        let mut life = self.0.lock().unwrap();
        if matches!(*life, Life::Runs(_)) {
            *life = Life::Spared;
        }
    }

    /// It has not been killed.
    pub fn lives(&self) -> bool {
        !matches!(*self.0.lock().unwrap(), Life::Killed)
    }

    /// Kills it, if it runs and may be killed; true if so.
    fn kill(&self) -> bool {
        let mut life = self.0.lock().unwrap();
        let Life::Runs(pid) = *life else {
            return false;
        };
        let killed = Command::new("kill").arg("-9").arg(pid.to_string()).status();
        assert!(killed.unwrap().success());
        *life = Life::Killed;
        true
    }
}

/// Random numbers that a seed gives (splitmix64).
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Who is on either side, and may be killed.
#[derive(Clone, Debug)]
pub struct Sides {
    pub previous: Option<Arc<Victim>>,
    pub next: Option<Arc<Victim>>,
    pub ways: Ways,
}

/// What may be done.
#[derive(Clone, Copy, Debug)]
pub struct Ways {
    /// Somebody may be killed at all.
    pub kills: bool,
    /// Of sixteen acts so many are silence, up to four: it takes as long as somebody has patience.
    pub silence: u64,
    /// XHOLD is taken from what the next host offers.
    pub plain: bool,
}

/// The proxy: threads on a port. They end with the process, or when their peers leave.
#[derive(Clone)]
pub struct Proxy(Arc<Inside>);

struct Inside {
    address: SocketAddr,
    target: Mutex<SocketAddr>,
    chance: Mutex<Chance>,
    /// Harm is done.
    on: AtomicBool,
    done: Mutex<BTreeMap<(Point, Act), u32>>,
    /// Messages that went on whole and whose last reply did not come back, by number: so often.
    doubts: Mutex<BTreeMap<u64, u32>>,
    sides: Sides,
    /// Told that somebody has been killed.
    killed: Mutex<Sender<()>>,
}

impl Proxy {
    pub fn start(target: SocketAddr, seed: u64, sides: Sides, killed: Sender<()>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let inside = Arc::new(Inside {
            address: listener.local_addr().unwrap(),
            target: Mutex::new(target),
            chance: Mutex::new(Chance::seeded(seed)),
            on: AtomicBool::new(true),
            done: Mutex::default(),
            doubts: Mutex::default(),
            sides,
            killed: Mutex::new(killed),
        });
        let proxy = Self(Arc::clone(&inside));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, inside) = (stream.unwrap(), Arc::clone(&inside));
                std::thread::spawn(move || drop(carry(stream, &inside)));
            }
        });
        proxy
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Connections from now on lead there.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.0.target.lock().unwrap() = target;
    }

    /// No more harm is begun.
    pub fn calm(&self) {
        self.0.on.store(false, Ordering::Release);
    }

    /// How often what was done where.
    pub fn done(&self) -> BTreeMap<(Point, Act), u32> {
        self.0.done.lock().unwrap().clone()
    }
}

impl Proxy {
    /// How often a message went on whole and its last reply did not come back.
    pub fn doubts(&self, number: u64) -> u32 {
        let doubts = self.0.doubts.lock().unwrap();
        doubts.get(&number).copied().unwrap_or_default()
    }
}

impl Inside {
    /// What is to happen in one of so many cases, if anything.
    fn draw(&self, points: &[Point], one_of: u64) -> Option<(Point, Act)> {
        let mut chance = self.chance.lock().unwrap();
        if !self.on.load(Ordering::Acquire) || chance.below(one_of) != 0 {
            return None;
        }
        let point = points[usize::try_from(chance.below(points.len() as u64)).unwrap()];
        let act = match chance.below(16) {
            lot @ 0..=3 if lot < self.sides.ways.silence => Act::Silence,
            0..=9 => Act::Cut,
            10..=13 => Act::Rubbish,
            _ if !self.sides.ways.kills => Act::Cut,
            14 => Act::KillNext,
            _ => Act::KillPrevious,
        };
        Some((point, act))
    }
}

/// One connection, as both of its directions know it.
struct Line<'a> {
    inside: &'a Inside,
    previous: TcpStream,
    next: TcpStream,
    state: Mutex<State>,
}

struct State {
    /// What the replies that are due are to.
    due: VecDeque<Point>,
    armed: Option<(Point, Act)>,
    /// 354 has come, and the dot has not.
    in_content: bool,
    /// Nothing is passed on any more.
    silent: bool,
    /// Which message is under way.
    number: Option<u64>,
    /// Its content, until it has told that.
    head: Vec<u8>,
    /// CHUNKING is taken from what the next host offers.
    by_data: bool,
}

/// Replies that no harm is done to are to this.
const OTHER: Point = Point::Content;

fn carry(previous: TcpStream, inside: &Inside) -> std::io::Result<()> {
    let target = *inside.target.lock().unwrap();
    let next = TcpStream::connect(target)?;
    previous.set_nodelay(true)?;
    next.set_nodelay(true)?;
    let line = Line {
        inside,
        state: Mutex::new(State {
            due: VecDeque::from([Point::Greeting]),
            armed: inside.draw(&[Point::Greeting, Point::Ehlo], 24),
            in_content: false,
            silent: false,
            number: None,
            head: Vec::new(),
            by_data: inside.chance.lock().unwrap().below(2) == 0,
        }),
        previous,
        next,
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = line.down();
            line.cut();
        });
        let _ = line.up();
        line.cut();
    });
    Ok(())
}

impl Line<'_> {
    fn cut(&self) {
        let _ = self.previous.shutdown(Shutdown::Both);
        let _ = self.next.shutdown(Shutdown::Both);
    }

    /// True if something happens at this point, which has happened when this returns: then nothing is
    /// passed on for it.
    fn meets(&self, point: Point) -> bool {
        let act = {
            let mut state = self.state.lock().unwrap();
            let act = match state.armed {
                Some((at, act)) if at == point => act,
                _ => return false,
            };
            state.armed = None;
            // With the lock: no reply gets by any more.
            state.silent = true;
            if act == Act::Rubbish {
                let _ = (&self.previous).write_all(RUBBISH);
            }
            act
        };
        let kill = |victim: &Option<Arc<Victim>>| {
            let killed = victim.as_ref().is_some_and(|victim| victim.kill());
            if killed {
                // The test may be over.
                let _ = self.inside.killed.lock().unwrap().send(());
            }
            self.cut();
        };
        match act {
            Act::Cut => self.cut(),
            Act::Silence | Act::Rubbish => {}
            Act::KillNext => kill(&self.inside.sides.next),
            Act::KillPrevious => kill(&self.inside.sides.previous),
        }
        *self
            .inside
            .done
            .lock()
            .unwrap()
            .entry((point, act))
            .or_default() += 1;
        true
    }

    /// What the previous host says.
    fn up(&self) -> std::io::Result<()> {
        let mut lines = BufReader::new(&self.previous);
        let mut line = Vec::new();
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let in_content = {
                let state = self.state.lock().unwrap();
                if state.silent {
                    continue;
                }
                state.in_content
            };
            if in_content {
                self.content_line(&line)?;
                continue;
            }
            let text = String::from_utf8_lossy(&line).to_ascii_uppercase();
            let mut words = text.split_ascii_whitespace();
            match words.next().unwrap_or_default() {
                "BDAT" => {
                    let size = words.next().and_then(|size| size.parse().ok()).unwrap();
                    let is_last = words.next() == Some("LAST");
                    let mut chunk = vec![0; size];
                    lines.read_exact(&mut chunk)?;
                    self.chunk(&line, &chunk, is_last)?;
                }
                verb => {
                    self.command(verb);
                    (&self.next).write_all(&line)?;
                }
            }
        }
    }

    fn command(&self, verb: &str) {
        let point = match verb {
            "EHLO" | "HELO" => Point::Ehlo,
            "MAIL" => Point::Mail,
            "RCPT" => Point::Rcpt,
            "DATA" => Point::Data,
            _ => OTHER,
        };
        let mut state = self.state.lock().unwrap();
        if point == Point::Mail {
            state.armed = self.inside.draw(&POINTS, 5);
            state.number = None;
            state.head.clear();
        }
        state.due.push_back(point);
    }

    fn content_line(&self, line: &[u8]) -> std::io::Result<()> {
        if line != b".\r\n" {
            self.note_number(line);
            if !self.meets(Point::Content) {
                (&self.next).write_all(line)?;
            }
            return Ok(());
        }
        if self.meets(Point::Dot) {
            return Ok(());
        }
        {
            let mut state = self.state.lock().unwrap();
            state.in_content = false;
            state.due.push_back(Point::End);
        }
        self.doubt();
        (&self.next).write_all(line)?;
        self.meets(Point::Completed);
        Ok(())
    }

    fn chunk(&self, line: &[u8], chunk: &[u8], is_last: bool) -> std::io::Result<()> {
        let half = chunk.len() / 2;
        self.note_number(chunk);
        (&self.next).write_all(line)?;
        (&self.next).write_all(&chunk[..half])?;
        if self.meets(Point::Content) || (is_last && self.meets(Point::Dot)) {
            return Ok(());
        }
        let due = if is_last { Point::End } else { Point::Data };
        self.state.lock().unwrap().due.push_back(due);
        if is_last {
            self.doubt();
        }
        (&self.next).write_all(&chunk[half..])?;
        if is_last {
            self.meets(Point::Completed);
        }
        Ok(())
    }

    /// Takes the number of a message from its content, which may come in pieces of any size.
    fn note_number(&self, piece: &[u8]) {
        let mut state = self.state.lock().unwrap();
        if state.number.is_some() {
            return;
        }
        state.head.extend_from_slice(piece);
        let whole = state.head.windows(4).position(|at| at == b"\r\n\r\n");
        state.number = whole.map(|_| number_in(&state.head));
    }

    /// The message under way goes on whole.
    fn doubt(&self) {
        let number = self.state.lock().unwrap().number.unwrap();
        let mut doubts = self.inside.doubts.lock().unwrap();
        *doubts.entry(number).or_default() += 1;
    }

    /// Its last reply has come back.
    fn no_doubt(&self, number: u64) {
        let mut doubts = self.inside.doubts.lock().unwrap();
        *doubts.get_mut(&number).unwrap() -= 1;
    }

    /// What the next host says.
    fn down(&self) -> std::io::Result<()> {
        let mut lines = BufReader::new(&self.next);
        let mut reply: Vec<Vec<u8>> = Vec::new();
        loop {
            let mut line = Vec::new();
            if lines.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let more = line.get(3) == Some(&b'-');
            reply.push(line);
            if !more {
                self.reply(std::mem::take(&mut reply))?;
            }
        }
    }

    fn reply(&self, mut reply: Vec<Vec<u8>>) -> std::io::Result<()> {
        let (point, silent) = {
            let mut state = self.state.lock().unwrap();
            let point = state.due.pop_front().unwrap_or(OTHER);
            if point == Point::Data && reply[0].starts_with(b"354") {
                state.in_content = true;
            }
            if point == Point::Ehlo && state.by_data {
                without_chunking(&mut reply);
            }
            if point == Point::Ehlo && self.inside.sides.ways.plain {
                without_xhold(&mut reply);
            }
            (point, state.silent)
        };
        if silent || (point != OTHER && self.meets(point)) {
            return Ok(());
        }
        let state = self.state.lock().unwrap();
        if !state.silent {
            (&self.previous).write_all(&reply.concat())?;
            if point == Point::End {
                self.no_doubt(state.number.unwrap());
            }
        }
        Ok(())
    }
}

/// As a host passes it on that does not know XHOLD: the name is another.
fn without_xhold(reply: &mut [Vec<u8>]) {
    for line in reply {
        if line[4..].starts_with(b"XHOLD") {
            line[4..9].copy_from_slice(b"XNONE");
        }
    }
}

fn without_chunking(reply: &mut Vec<Vec<u8>>) {
    reply.retain(|line| !line[4..].starts_with(b"CHUNKING"));
    if let Some(last) = reply.last_mut() {
        last[3] = b' ';
    }
}
