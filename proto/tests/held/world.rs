//! One client's session in a world of chance, and what must hold behind it.

use std::time::Duration;

use vouchsafe_proto::cutthrough::{Opens, Way};
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::route::{NextHop, WhenUnproven};
use vouchsafe_proto::smtp::deliver::Protocol;
use vouchsafe_proto::smtp::receive::Hold;
use vouchsafe_proto::time::Now;
use vouchsafe_proto::verify::Evidence;

use super::branch::Branch;
use super::chance::Chance;
use super::hop::{Hop, Taken};
use super::stage::{CLIENT, Fate, Operation, Stage, Surroundings};

/// How many transactions ended how.
#[derive(Debug, Default)]
pub struct Sums {
    pub transactions: u64,
    /// With the next hops alone.
    pub held: u64,
    /// In the spool, for some recipient.
    pub stored: u64,
    pub refused: u64,
    /// With an answer for each recipient.
    pub each: u64,
    /// The client left before its end.
    pub left: u64,
    /// Recipients that have a message twice: a next hop had it and did not say so.
    pub twice: u64,
}

/// The world of one session.
pub struct World {
    seed: u64,
    chance: Chance,
    stage: Stage<Around>,
}

/// What is around the server.
struct Around {
    chance: Chance,
    said: String,
    is_proven: bool,
    when_unproven: WhenUnproven,
    taken: Taken,
    /// To whom, and what.
    stored: Vec<(String, Vec<u8>)>,
}

impl Surroundings for Around {
    fn tell(&mut self, octets: &[u8]) {
        self.said.push_str(std::str::from_utf8(octets).unwrap());
    }

    fn evidence(&mut self) -> Evidence {
        let local_domain = self.is_proven;
        Evidence::RelayClient { local_domain }
    }

    fn way(&mut self, hold: &Hold) -> Way {
        match hold.recipient.to_string().split_once("@h") {
            None => Way::Stored,
            Some((_, hop)) => Way::Held {
                next_hop: NextHop::parse(&format!(
                    "smtp://192.0.2.1:{}",
                    &hop[..1].replace('0', "9")
                ))
                .unwrap(),
                answers_each: false,
                when_unproven: self.when_unproven,
                remembered: None,
                opens: Opens::Now,
            },
        }
    }

    fn connect(&mut self, _: &NextHop, host: usize, now: Now) -> Result<Option<Branch>, ()> {
        if host > 1 {
            return Err(());
        }
        if self.chance.draw(12) == 0 {
            return Ok(None);
        }
        let hop = Hop::new(Taken::clone(&self.taken), self.chance.fork());
        Ok(Some(Branch::open(Box::new(hop), Protocol::Smtp, now)))
    }

    fn head(&mut self, _: &str) {}

    fn trouble(&mut self, operation: Operation) -> Option<Reply> {
        let often = match operation {
            Operation::Begin | Operation::Commit => 15,
            Operation::Append => 400,
        };
        (self.chance.draw(often) == 0).then(|| Reply::new(452, (4, 3, 1), "no room"))
    }

    fn became(&mut self, fate: Fate) {
        if let Fate::Stored { to, head, content } = fate {
            let whole = [head.as_bytes(), &content].concat();
            self.stored
                .extend(to.into_iter().map(|to| (to, whole.clone())));
        }
    }

    fn wait(&mut self) -> Option<Duration> {
        // What they say they say at once.
        None
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let around = Around {
            is_proven: chance.draw(2) == 0,
            when_unproven: match chance.draw(2) {
                0 => WhenUnproven::Defer,
                _ => WhenUnproven::Store,
            },
            chance: chance.fork(),
            said: String::new(),
            taken: Taken::default(),
            stored: Vec::new(),
        };
        Self {
            seed,
            chance,
            stage: Stage::new(around, u32::MAX, None, seed),
        }
    }

    /// A few transactions, one after the other.
    pub fn play(mut self, sums: &mut Sums) {
        self.stage.connect(CLIENT);
        self.says("EHLO client.example");
        for number in 0..=self.chance.draw(3) {
            if !self.transaction(number, sums) {
                return;
            }
        }
    }

    /// One. False if the client has left.
    fn transaction(&mut self, number: u64, sums: &mut Sums) -> bool {
        sums.transactions += 1;
        let is_null = self.chance.draw(6) == 0;
        let from = if is_null { "" } else { "ann@example.net" };
        let asks_each = self.chance.draw(2) == 0;
        let each = if asks_each { " PRDR" } else { "" };
        let mail = format!("MAIL FROM:<{from}>{each}");
        assert!(self.says(&mail).starts_with("250"));
        let (accepted, answered, refused) = self.recipients(number);
        let body = format!("Subject: {number}\r\n\r\n..dots\r\nand {}\r\n", self.seed);
        let before = (
            self.stage.around.taken.borrow().len(),
            self.stage.around.stored.len(),
        );
        let Some(replies) = self.content(&body) else {
            sums.left += 1;
            assert_eq!(
                before,
                (
                    self.stage.around.taken.borrow().len(),
                    self.stage.around.stored.len()
                ),
                "{}",
                self.seed
            );
            return false;
        };
        let taken = self.stage.around.taken.borrow()[before.0..].to_vec();
        let stored = self.stage.around.stored[before.1..].to_vec();
        let told = format!(
            "seed {} number {number}: {replies:?} {taken:?} {stored:?}",
            self.seed
        );
        let reply = replies.last().cloned().unwrap_or_default();
        let block = replies.iter().position(|reply| reply.starts_with("353"));
        let replies: Vec<_> = if let Some(block) = block {
            assert!(asks_each, "{told}");
            assert_eq!(replies.len() - block - 2, answered.len(), "{told}");
            sums.each += 1;
            (answered
                .into_iter()
                .zip(replies[block + 1..].iter().cloned()))
            .collect()
        } else {
            let all = |to: &String| (to.clone(), reply.clone());
            accepted.iter().map(all).collect()
        };
        for (to, content) in taken.iter().chain(&stored) {
            assert!(accepted.contains(to) && !refused.contains(to), "{told}");
            assert!(content.ends_with(body.as_bytes()), "{told}");
            assert!(content.starts_with(b"Received: "), "{told}");
        }
        compare(&replies, &taken, &stored, &told);
        let somebody = replies.iter().any(|(_, reply)| reply.starts_with('2'));
        assert_eq!(reply.starts_with('2'), somebody, "{told}");
        if somebody {
            sums.held += u64::from(stored.is_empty());
            sums.stored += u64::from(!stored.is_empty());
        } else {
            sums.refused += 1;
            assert!(taken.is_empty() || !reply.starts_with('5'), "{told}");
        }
        let defers = !self.stage.around.is_proven
            && !is_null
            && self.stage.around.when_unproven == WhenUnproven::Defer;
        let unlawful = |(to, _): &&(String, Vec<u8>)| defers && !to.ends_with("@s.example");
        assert!(!stored.iter().any(|each| unlawful(&each)), "{told}");
        let twice = accepted
            .iter()
            .filter(|to| has(&taken, to) && has(&stored, to));
        sums.twice += u64::try_from(twice.count()).unwrap();
        self.says("RSET");
        assert!(self.stage.is_idle(), "{told}");
        true
    }

    /// RCPT for some: those accepted, each once; those that an answer is owed for; those refused.
    fn recipients(&mut self, number: u64) -> (Vec<String>, Vec<String>, Vec<String>) {
        let mut accepted = Vec::new();
        // Those that an answer is owed for, one for each 250.
        let mut answered = Vec::new();
        let mut refused = Vec::new();
        for place in 0..=self.chance.draw(4) {
            let domain = ["h0", "h1", "h2", "s"][usize::try_from(self.chance.draw(4)).unwrap()];
            let to = format!("r{number}.{place}@{domain}.example");
            let reply = self.says(&format!("RCPT TO:<{to}>"));
            if reply.starts_with("250") {
                answered.push(to.clone());
                if self.chance.draw(8) == 0 {
                    let again = self.says(&format!("RCPT TO:<{to}>"));
                    assert!(again.starts_with("250"), "{again}");
                    answered.push(to.clone());
                }
                accepted.push(to);
            } else {
                refused.push(to);
            }
        }
        (accepted, answered, refused)
    }

    /// The message, in pieces; the replies. None if the client leaves on the way.
    fn content(&mut self, body: &str) -> Option<Vec<String>> {
        let wire = body.replace("\r\n..", "\r\n...") + ".\r\n";
        let octets = if self.chance.draw(2) == 0 {
            let reply = self.says("DATA");
            if !reply.starts_with("354") {
                return Some(vec![reply]);
            }
            wire.into_bytes()
        } else {
            let (first, last) = body.as_bytes().split_at(body.len() / 2);
            let mut octets = format!("BDAT {}\r\n", first.len()).into_bytes();
            octets.extend_from_slice(first);
            octets.extend(format!("BDAT {} LAST\r\n", last.len()).into_bytes());
            octets.extend_from_slice(last);
            octets
        };
        let leaves = match self.chance.draw(12) {
            0 => self.chance.draw(u64::try_from(octets.len()).unwrap()),
            _ => u64::MAX,
        };
        self.stage.around.said.clear();
        let size = 1 + usize::try_from(self.chance.draw(40)).unwrap();
        let mut sent = 0;
        for piece in octets.chunks(size) {
            sent += u64::try_from(piece.len()).unwrap();
            if sent > leaves {
                self.stage.end();
                return None;
            }
            self.stage.says(piece);
        }
        Some(self.stage.around.said.lines().map(String::from).collect())
    }

    /// A command, and what is said to it.
    fn says(&mut self, line: &str) -> String {
        self.stage.around.said.clear();
        self.stage.says(format!("{line}\r\n").as_bytes());
        self.stage.around.said.clone()
    }
}

/// What everybody was told is what everybody has.
fn compare(
    replies: &[(String, String)],
    taken: &[(String, Vec<u8>)],
    stored: &[(String, Vec<u8>)],
    told: &str,
) {
    for (to, reply) in replies {
        if reply.starts_with('2') {
            assert!(has(taken, to) || has(stored, to), "{to} is lost: {told}");
        } else {
            assert!(!has(stored, to), "{to} would be reported: {told}");
            let never = reply.starts_with('5');
            assert!(!never || !has(taken, to), "{to} has it: {told}");
        }
    }
}

fn has(of: &[(String, Vec<u8>)], to: &str) -> bool {
    of.iter().any(|(each, _)| each == to)
}
