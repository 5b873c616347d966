//! One client's session in a world of chance, and what must hold behind it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use vouchsafe_proto::cutthrough::{Opens, Way};
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::route::{NextHop, WhenUnproven};
use vouchsafe_proto::smtp::deliver::Protocol;
use vouchsafe_proto::smtp::receive::Hold;
use vouchsafe_proto::smtp::xhold::{Holding, Marker, Terms};
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
    /// Those that came again under their XTID.
    pub again: u64,
    /// Recipients for whom a copy was known to be taken, and came again: so many heard that it was.
    pub known: u64,
    pub repeated: u64,
    /// With others, for whom it was not.
    pub mixed: u64,
}

/// What a client tries, once or again.
#[derive(Clone, Debug)]
struct Attempt {
    client: IpAddr,
    id: Option<String>,
    from: &'static str,
    to: Vec<String>,
    /// Below what each try has anew.
    body: String,
}

/// Whose copy for whom.
type Key = (IpAddr, String, &'static str, String);

/// The world of one session.
pub struct World {
    seed: u64,
    chance: Chance,
    stage: Stage<Around>,
    /// Where the session comes from.
    client: IpAddr,
    tries: u64,
    /// What a client was told that it was taken, under its XTID, and nothing else since.
    acknowledged: BTreeMap<Key, String>,
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

/// What mail of ours gets if it lacks it.
const COMPLETE: &str = "Date: Sat, 21 Nov 2026 10:15:00 +0000\r\nMessage-ID: <1@example.net>\r\n";

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
        let xhold = Holding {
            terms: Terms {
                min: 10,
                max: 485,
                hops: 16,
            },
            marker: Marker::new(|_| [0; 32]),
        };
        Self {
            seed,
            chance,
            stage: Stage::new(around, u32::MAX, Some(xhold), seed),
            client: CLIENT,
            tries: 0,
            acknowledged: BTreeMap::new(),
        }
    }

    /// A few transactions, one after the other; some come again, since their end was lost on the way.
    pub fn play(mut self, sums: &mut Sums) {
        self.connect(CLIENT);
        for number in 0..=self.chance.draw(3) {
            let first = self.attempt(number);
            self.transaction(&first, sums);
            while first.id.is_some() && self.chance.draw(3) != 0 {
                sums.again += 1;
                let again = self.again(&first, number);
                self.transaction(&again, sums);
            }
        }
    }

    fn connect(&mut self, client: IpAddr) {
        self.client = client;
        self.stage.end();
        self.stage.connect(client);
        self.says("EHLO client.example");
    }

    fn attempt(&mut self, number: u64) -> Attempt {
        let is_null = self.chance.draw(6) == 0;
        let places = 0..=self.chance.draw(4);
        Attempt {
            client: CLIENT,
            id: (self.chance.draw(3) == 0).then(|| format!("copy.{number}@client.example")),
            from: if is_null { "" } else { "ann@example.net" },
            to: places.map(|place| self.recipient(number, place)).collect(),
            body: format!(
                "{COMPLETE}Subject: {number}\r\n\r\n..dots\r\nand {}\r\n",
                self.seed
            ),
        }
    }

    fn recipient(&mut self, number: u64, place: u64) -> String {
        let domain = ["h0", "h1", "h2", "s"][usize::try_from(self.chance.draw(4)).unwrap()];
        format!("r{number}.{place}@{domain}.example")
    }

    /// The same under its XTID; some of it may be another's.
    fn again(&mut self, first: &Attempt, number: u64) -> Attempt {
        let mut again = first.clone();
        match self.chance.draw(12) {
            0 => again.client = Ipv4Addr::new(192, 0, 2, 9).into(),
            1 => again.from = "bea@example.net",
            2 | 3 => again.body = format!("{COMPLETE}Subject: {number}\r\n\r\nanother\r\n"),
            _ => {}
        }
        if again.to.len() > 1 && self.chance.draw(3) == 0 {
            again.to.pop();
        }
        if self.chance.draw(3) == 0 {
            let place = 10 + self.chance.draw(2);
            again.to.push(self.recipient(number, place));
        }
        let by = usize::try_from(self.chance.draw(4)).unwrap() % again.to.len();
        again.to.rotate_left(by);
        again
    }

    fn key(attempt: &Attempt, to: &str) -> Option<Key> {
        let id = attempt.id.clone()?;
        Some((attempt.client, id, attempt.from, to.to_owned()))
    }

    /// Its client was told that this very copy was taken.
    fn is_known(&self, attempt: &Attempt, to: &str) -> bool {
        let known = Self::key(attempt, to).and_then(|key| self.acknowledged.get(&key));
        known == Some(&attempt.body)
    }

    /// One, to its end or until the client leaves.
    fn transaction(&mut self, attempt: &Attempt, sums: &mut Sums) {
        sums.transactions += 1;
        if self.client != attempt.client {
            self.connect(attempt.client);
        }
        let Attempt { from, body, .. } = attempt;
        let is_null = from.is_empty();
        let asks_each = self.chance.draw(2) == 0;
        let each = if asks_each { " PRDR" } else { "" };
        let xtid = attempt.id.as_ref().map(|id| format!(" XTID={id}"));
        let mail = format!("MAIL FROM:<{from}>{each}{}", xtid.unwrap_or_default());
        assert!(self.says(&mail).starts_with("250"));
        let (accepted, answered, refused) = self.recipients(&attempt.to);
        let before = (
            self.stage.around.taken.borrow().len(),
            self.stage.around.stored.len(),
        );
        let replies = self.content(body);
        let taken = self.stage.around.taken.borrow()[before.0..].to_vec();
        let stored = self.stage.around.stored[before.1..].to_vec();
        let told = format!(
            "seed {} {attempt:?}: {replies:?} {taken:?} {stored:?}",
            self.seed
        );
        let Some(replies) = replies else {
            sums.left += 1;
            assert!(taken.is_empty() && stored.is_empty(), "{told}");
            assert!(self.stage.is_idle(), "{told}");
            return self.connect(attempt.client);
        };
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
            let mut lines = content.split(|octet| *octet == b'\n');
            let once = lines.position(|line| line.starts_with(b"Subject: "));
            let again = lines.any(|line| line.starts_with(b"Subject: "));
            assert!(once.is_some() && !again, "{told}");
        }
        self.compare(attempt, &replies, &taken, &stored, &told);
        self.repeats(attempt, &replies, &taken, &stored, (sums, &told));
        let somebody = replies.iter().any(|(_, reply)| reply.starts_with('2'));
        assert_eq!(reply.starts_with('2'), somebody, "{told}");
        if somebody {
            sums.held += u64::from(stored.is_empty() && !taken.is_empty());
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
    }

    /// What a client was told to be taken comes to nobody again; and what it is told now is known from now on.
    fn repeats(
        &mut self,
        attempt: &Attempt,
        replies: &[(String, String)],
        taken: &[Copy],
        stored: &[Copy],
        (sums, told): (&mut Sums, &str),
    ) {
        let known = replies.iter().filter(|(to, _)| self.is_known(attempt, to));
        let known = known.count();
        let heard_what_is_known = |reply: &str| {
            // A copy that may be another waits in a draft, for which there may be no room.
            reply.starts_with('2') || reply.starts_with("452 4.3.1")
        };
        sums.mixed += u64::from(known > 0 && known < replies.len());
        for (to, reply) in replies {
            if self.is_known(attempt, to) {
                assert!(!has(taken, to) && !has(stored, to), "{to} twice: {told}");
                let all = known == replies.len();
                assert!(!all || heard_what_is_known(reply), "{told}");
                assert!(!reply.starts_with('5'), "{told}");
                sums.known += 1;
                sums.repeated += u64::from(reply.starts_with('2'));
            }
        }
        for (to, reply) in replies {
            let Some(key) = Self::key(attempt, to) else {
                return;
            };
            if reply.starts_with('2') {
                self.acknowledged.insert(key, attempt.body.clone());
            } else if !self.is_known(attempt, to) {
                // Another content may have taken its place all the same.
                self.acknowledged.remove(&key);
            }
        }
    }

    /// What everybody was told is what everybody has.
    fn compare(
        &self,
        attempt: &Attempt,
        replies: &[(String, String)],
        taken: &[Copy],
        stored: &[Copy],
        told: &str,
    ) {
        let around = &self.stage.around;
        let ever = around.taken.borrow();
        let has_it = |to: &str| {
            let mut ever = ever.iter().chain(&around.stored);
            let body = attempt.body.as_bytes();
            ever.any(|(of, content)| of == to && content.ends_with(body))
        };
        for (to, reply) in replies {
            if reply.starts_with('2') {
                // Either now, or when it came before under its XTID.
                let now = has(taken, to) || has(stored, to);
                let before = self.is_known(attempt, to) || attempt.id.is_some() && has_it(to);
                assert!(now || before && has_it(to), "{to} is lost: {told}");
            } else {
                assert!(!has(stored, to), "{to} would be reported: {told}");
                let never = reply.starts_with('5');
                assert!(!never || !has(taken, to), "{to} has it: {told}");
            }
        }
    }

    /// RCPT for them: those accepted, each once; those that an answer is owed for; those refused.
    fn recipients(&mut self, all: &[String]) -> (Vec<String>, Vec<String>, Vec<String>) {
        let mut accepted = Vec::new();
        // Those that an answer is owed for, one for each 250.
        let mut answered = Vec::new();
        let mut refused = Vec::new();
        for to in all {
            let reply = self.says(&format!("RCPT TO:<{to}>"));
            if reply.starts_with("250") {
                answered.push(to.clone());
                if self.chance.draw(8) == 0 {
                    let again = self.says(&format!("RCPT TO:<{to}>"));
                    assert!(again.starts_with("250"), "{again}");
                    answered.push(to.clone());
                }
                accepted.push(to.clone());
            } else {
                refused.push(to.clone());
            }
        }
        (accepted, answered, refused)
    }

    /// The message, in pieces; the replies. None if the client leaves on the way.
    fn content(&mut self, body: &str) -> Option<Vec<String>> {
        self.tries += 1;
        // What a hop that asks again makes anew.
        let body = format!("Received: from a by b; try {}\r\n{body}", self.tries);
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
        // Behind a refused chunk the next one is out of place: the refusal is the answer.
        let said = self.stage.around.said.lines();
        let said = said.filter(|line| !line.starts_with("503 5.5.1 not in the middle of BDAT"));
        Some(said.map(String::from).collect())
    }

    /// A command, and what is said to it.
    fn says(&mut self, line: &str) -> String {
        self.stage.around.said.clear();
        self.stage.says(format!("{line}\r\n").as_bytes());
        self.stage.around.said.clone()
    }
}

/// For whom, and what.
type Copy = (String, Vec<u8>);

fn has(of: &[Copy], to: &str) -> bool {
    of.iter().any(|(each, _)| each == to)
}
