//! One client's session, with all that is behind it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::custody::Custody;
use vouchsafe_proto::cutthrough::{Action as Todo, BranchId, Input as Given, Opens, Path, Said};
use vouchsafe_proto::cutthrough::{Sender, Way};
use vouchsafe_proto::envelope::{Envelope, Recipient};
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::route::{NextHop, WhenUnproven};
use vouchsafe_proto::smtp::deliver::Transaction;
use vouchsafe_proto::smtp::receive::{
    Action, Answer, Ask, Begun, Hold, Input, Limits, Peer, Session, Settings,
};
use vouchsafe_proto::verify::timing::Possible;
use vouchsafe_proto::verify::{Evidence, Verdict, VerdictResult};

use super::NOW;
use super::branch::Branch;
use super::chance::Chance;
use super::hop::{Hop, Taken};

/// How many transactions ended how.
#[derive(Debug, Default)]
pub struct Sums {
    pub transactions: u64,
    /// With the next hops alone.
    pub held: u64,
    /// In the spool, for some recipient.
    pub stored: u64,
    pub refused: u64,
    /// The client left before its end.
    pub left: u64,
    /// Recipients that have a message twice: a next hop had it and did not say so.
    pub twice: u64,
}

/// The world of one session.
pub struct World {
    seed: u64,
    chance: Chance,
    session: Session,
    said: String,
    is_proven: bool,
    when_unproven: WhenUnproven,
    path: Option<Path>,
    branches: BTreeMap<usize, (usize, Branch)>,
    proceeding: Vec<usize>,
    recipients: Vec<Recipient>,
    mail: Option<Hold>,
    pool: Vec<(usize, Branch)>,
    taken: Taken,
    draft: Option<Vec<u8>>,
    /// To whom, and what.
    stored: Vec<(String, Vec<u8>)>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let settings = Settings {
            hostname: Domain::parse("mx.example.org").unwrap(),
            authserv_id: Domain::parse("mx.example.org").unwrap(),
            limits: Limits {
                errors: u32::MAX,
                ..Limits::default()
            },
            starttls: false,
            require_tls: false,
            holds: true,
            helo_syntax: false,
            possible: Possible::default(),
        };
        let peer = Peer {
            address: SocketAddr::from(([192, 0, 2, 1], 4000)),
            may_relay: false,
            is_front: false,
        };
        Self {
            seed,
            is_proven: chance.draw(2) == 0,
            when_unproven: match chance.draw(2) {
                0 => WhenUnproven::Defer,
                _ => WhenUnproven::Store,
            },
            chance,
            session: Session::new(Arc::new(settings), peer),
            said: String::new(),
            path: None,
            branches: BTreeMap::new(),
            proceeding: Vec::new(),
            recipients: Vec::new(),
            mail: None,
            pool: Vec::new(),
            taken: Taken::default(),
            draft: None,
            stored: Vec::new(),
        }
    }

    /// A few transactions, one after the other.
    pub fn play(mut self, sums: &mut Sums) {
        self.step(Input::Connected);
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
        assert!(self.says(&format!("MAIL FROM:<{from}>")).starts_with("250"));
        let mut accepted = Vec::new();
        let mut refused = Vec::new();
        for place in 0..=self.chance.draw(4) {
            let domain = ["h0", "h1", "h2", "s"][usize::try_from(self.chance.draw(4)).unwrap()];
            let to = format!("r{number}.{place}@{domain}.example");
            let reply = self.says(&format!("RCPT TO:<{to}>"));
            if reply.starts_with("250") {
                accepted.push(to);
            } else {
                refused.push(to);
            }
        }
        let body = format!("Subject: {number}\r\n\r\n..dots\r\nand {}\r\n", self.seed);
        let before = (self.taken.borrow().len(), self.stored.len());
        let Some(reply) = self.content(&body) else {
            sums.left += 1;
            assert_eq!(
                before,
                (self.taken.borrow().len(), self.stored.len()),
                "{}",
                self.seed
            );
            return false;
        };
        let taken = self.taken.borrow()[before.0..].to_vec();
        let stored = self.stored[before.1..].to_vec();
        let told = format!(
            "seed {} number {number}: {reply} {taken:?} {stored:?}",
            self.seed
        );
        for (to, content) in taken.iter().chain(&stored) {
            assert!(accepted.contains(to) && !refused.contains(to), "{told}");
            assert!(content.ends_with(body.as_bytes()), "{told}");
            assert!(content.starts_with(b"Received: "), "{told}");
        }
        let has = |of: &[(String, Vec<u8>)], to: &str| of.iter().any(|(each, _)| each == to);
        if reply.starts_with('2') {
            assert!(!accepted.is_empty(), "{told}");
            for to in &accepted {
                assert!(has(&taken, to) || has(&stored, to), "{to} is lost: {told}");
            }
            sums.held += u64::from(stored.is_empty());
            sums.stored += u64::from(!stored.is_empty());
        } else {
            assert!(stored.is_empty(), "{told}");
            sums.refused += 1;
            assert!(taken.is_empty() || !reply.starts_with('5'), "{told}");
        }
        let defers = !self.is_proven && !is_null && self.when_unproven == WhenUnproven::Defer;
        let unlawful = |(to, _): &&(String, Vec<u8>)| defers && !to.ends_with("@s.example");
        assert!(!stored.iter().any(|each| unlawful(&each)), "{told}");
        let twice = accepted
            .iter()
            .filter(|to| has(&taken, to) && has(&stored, to));
        sums.twice += u64::try_from(twice.count()).unwrap();
        self.says("RSET");
        assert!(
            self.branches.is_empty() && self.path.is_none() && self.draft.is_none(),
            "{told}"
        );
        true
    }

    /// The message, in pieces; the last reply. None if the client leaves on the way.
    fn content(&mut self, body: &str) -> Option<String> {
        let wire = body.replace("\r\n..", "\r\n...") + ".\r\n";
        let octets = if self.chance.draw(2) == 0 {
            let reply = self.says("DATA");
            if !reply.starts_with("354") {
                return Some(reply);
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
        self.said.clear();
        let size = 1 + usize::try_from(self.chance.draw(40)).unwrap();
        let mut sent = 0;
        for piece in octets.chunks(size) {
            sent += u64::try_from(piece.len()).unwrap();
            if sent > leaves {
                self.step(Input::EndOfStream);
                return None;
            }
            self.step(Input::Bytes(piece));
        }
        Some(self.said.lines().last().unwrap_or_default().to_owned())
    }

    /// A command, and what is said to it.
    fn says(&mut self, line: &str) -> String {
        self.said.clear();
        self.step(Input::Bytes(format!("{line}\r\n").as_bytes()));
        self.said.clone()
    }

    fn step(&mut self, input: Input<'_>) {
        let mut actions = Vec::new();
        self.session.step(input, NOW, &mut actions);
        for action in actions {
            match action {
                Action::Write(octets) => self.said.push_str(&String::from_utf8(octets).unwrap()),
                Action::Ask(id, ask) => {
                    let answer = self.answer(ask);
                    self.step(Input::Answer(id, answer));
                }
                Action::Head(head) => self.push(head.as_bytes()),
                Action::Append(piece) => self.append(&piece),
                Action::Abandon => self.give_up(),
                Action::StartTls => panic!("no TLS here"),
                Action::SetTimer(_) | Action::Note(_) | Action::Close => {}
            }
        }
    }

    fn answer(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Verify { .. } => {
                let local_domain = self.is_proven;
                let verdict = Verdict::of(Evidence::RelayClient { local_domain }, []);
                Answer::Verdict(Arc::new(verdict))
            }
            Ask::Recipient { .. } => Answer::Recipient(Ok(Vec::new())),
            Ask::Hold(hold) => Answer::Held(self.hold(*hold)),
            Ask::Begin { .. } => Answer::Begun(self.begin()),
            Ask::Commit(envelope) => Answer::Committed(self.end(&envelope)),
            Ask::Content { verdict, .. } => Answer::Verdict(verdict),
            other => panic!("{other:?}"),
        }
    }

    fn hold(&mut self, hold: Hold) -> Result<(), Reply> {
        let way = match hold.recipient.to_string().split_once("@h") {
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
        };
        let sender = Sender {
            verdict: hold.verdict,
            is_null: hold.reverse_path.is_null(),
            was_queued: false,
        };
        let id = QueueId::new(NOW.wall, self.seed);
        let path = self.path.get_or_insert_with(|| Path::new(sender, id));
        let accepted = path.accepted();
        self.recipients.truncate(accepted);
        self.recipients.push(hold.recipient.clone());
        self.mail = Some(hold);
        self.drive(Given::Recipient(way), None, |todo| match todo {
            Todo::Recipient(answer) => Some(answer),
            _ => None,
        })
    }

    fn begin(&mut self) -> Result<Begun, Reply> {
        let queue_id = QueueId::new(NOW.wall, self.seed);
        let no_room = || Reply::new(452, (4, 3, 1), "no room");
        let fails = self.chance.draw(15) == 0;
        let Some(path) = &self.path else {
            // Every recipient was refused before it was asked for.
            return Err(no_room());
        };
        self.recipients.truncate(path.accepted());
        let tees = self.drive(Given::Begin(queue_id), None, |todo| match todo {
            Todo::Begin(answer) => Some(answer),
            _ => None,
        })?;
        if tees && fails {
            self.path
                .as_mut()
                .unwrap()
                .step(Given::DraftLost(no_room()), &mut Vec::new());
            if self.proceeding.is_empty() {
                return Err(no_room());
            }
        } else if tees {
            self.draft = Some(Vec::new());
        }
        Ok(Begun {
            queue_id,
            passes_on: !self.proceeding.is_empty(),
        })
    }

    fn push(&mut self, piece: &[u8]) {
        for number in self.proceeding.clone() {
            let (_, branch) = self.branches.get_mut(&number).unwrap();
            if !branch.push(piece) {
                let ends = self.end_of(number);
                let broke = Given::Broke(BranchId(number), ends);
                self.path.as_mut().unwrap().step(broke, &mut Vec::new());
            }
        }
    }

    fn append(&mut self, piece: &[u8]) {
        self.push(piece);
        let fails = self.chance.draw(400) == 0;
        let Some(draft) = &mut self.draft else {
            return;
        };
        draft.extend_from_slice(piece);
        if fails {
            self.draft = None;
            let reply = Reply::new(452, (4, 3, 1), "no room");
            let path = self.path.as_mut().unwrap();
            path.step(Given::DraftLost(reply.clone()), &mut Vec::new());
            if self.proceeding.is_empty() {
                self.step(Input::ContentRefused(reply));
            }
        }
    }

    fn give_up(&mut self) {
        if self.path.is_some() {
            let given_up = self.drive(Given::Abandon, None, |_| None::<Result<(), Reply>>);
            assert!(given_up.is_err(), "nothing is answered");
        }
        self.forget();
    }

    fn end(&mut self, envelope: &Envelope) -> Result<Custody, Reply> {
        let sender = Sender {
            verdict: envelope.verdict,
            is_null: envelope.reverse_path.is_null(),
            was_queued: false,
        };
        assert_eq!(
            envelope.verdict == VerdictResult::Authorised,
            self.is_proven
        );
        let path = self.path.as_mut().unwrap();
        path.step(Given::Judged(sender), &mut Vec::new());
        let answer = self.drive(Given::End, Some(envelope), |todo| match todo {
            Todo::End(answer) => Some(answer),
            _ => None,
        });
        self.forget();
        answer
    }

    /// The transaction is over.
    fn forget(&mut self) {
        assert!(
            self.branches.is_empty(),
            "seed {}: a branch is left",
            self.seed
        );
        self.path = None;
        self.draft = None;
        self.recipients.clear();
        self.proceeding.clear();
    }

    /// Gives the machine one input, and does what follows; the answer that comes of it.
    fn drive<T>(
        &mut self,
        given: Given,
        envelope: Option<&Envelope>,
        answer: impl Fn(Todo) -> Option<Result<T, Reply>>,
    ) -> Result<T, Reply> {
        let mut answered = None;
        let mut inputs = vec![given];
        while !inputs.is_empty() {
            let mut todo = Vec::new();
            let path = self.path.as_mut().unwrap();
            path.step(inputs.remove(0), &mut todo);
            for todo in todo {
                match todo {
                    Todo::Open(id, next_hop, place) => {
                        let said = self.open(id, &next_hop, place);
                        inputs.push(Given::Said(id, said));
                    }
                    Todo::Ask(id, place) => {
                        let recipient = self.recipients[place].clone();
                        let said = match self.branches.get_mut(&id.0) {
                            Some((_, branch)) => branch.recipient(recipient),
                            None => Said::Lost(Outcome::local((4, 4, 2), None, "over")),
                        };
                        if let Said::Lost(_) = said {
                            self.end_of(id.0);
                        }
                        inputs.push(Given::Said(id, said));
                    }
                    Todo::Proceed(id) => {
                        if let Some((_, branch)) = self.branches.get_mut(&id.0) {
                            branch.proceed();
                            self.proceeding.push(id.0);
                        }
                    }
                    Todo::Prepare(id) => {
                        let (_, branch) = self.branches.get_mut(&id.0).unwrap();
                        inputs.push(if branch.prepare() {
                            Given::Prepared(id)
                        } else {
                            Given::Broke(id, self.end_of(id.0))
                        });
                    }
                    Todo::Complete(id) => {
                        self.branches.get_mut(&id.0).unwrap().1.complete();
                        inputs.push(Given::Completed(id, self.end_of(id.0)));
                    }
                    Todo::Abandon(id) => {
                        if let Some((_, branch)) = self.branches.get_mut(&id.0) {
                            branch.abandon();
                            self.end_of(id.0);
                        }
                    }
                    Todo::Store(places) => {
                        inputs.push(Given::Stored(self.store(envelope.unwrap(), &places)));
                    }
                    Todo::DropDraft => self.draft = None,
                    Todo::Replay => panic!("no verdict waits here"),
                    other => answered = answer(other).or(answered),
                }
            }
        }
        answered.unwrap_or_else(|| Err(Reply::new(451, (4, 3, 0), "given up")))
    }

    fn open(&mut self, id: BranchId, next_hop: &NextHop, place: usize) -> Said {
        let hop = usize::from(*next_hop.to_string().as_bytes().last().unwrap());
        let mail = self.mail.as_ref().unwrap();
        let transaction = Transaction {
            reverse_path: mail.reverse_path.clone(),
            recipients: vec![self.recipients[place].clone()],
            body: mail.body,
            smtputf8: false,
            requests: mail.requests.clone(),
            size: None,
        };
        let kept = self.pool.iter().position(|(of, _)| *of == hop);
        if let Some(kept) = kept {
            let (_, mut branch) = self.pool.swap_remove(kept);
            if let Some(said) = branch.begin(transaction.clone()) {
                return self.begun(id, hop, branch, said);
            }
        }
        if self.chance.draw(12) == 0 {
            return Said::Lost(Outcome::local((4, 4, 1), None, "no connection"));
        }
        let connection = Hop::new(Taken::clone(&self.taken), self.chance.fork());
        match Branch::open(connection) {
            Err(outcome) => Said::Lost(outcome),
            Ok(mut branch) => {
                let said = branch.begin(transaction).unwrap();
                self.begun(id, hop, branch, said)
            }
        }
    }

    fn begun(&mut self, id: BranchId, hop: usize, branch: Branch, said: Said) -> Said {
        self.branches.insert(id.0, (hop, branch));
        if let Said::Lost(_) = said {
            self.end_of(id.0);
        }
        said
    }

    /// A branch is over: its session is kept, if it can carry another transaction.
    fn end_of(&mut self, number: usize) -> Vec<(usize, Outcome)> {
        self.proceeding.retain(|one| *one != number);
        let Some((hop, branch)) = self.branches.remove(&number) else {
            return Vec::new();
        };
        let ends = branch.outcomes.clone();
        self.pool.extend(branch.again().map(|branch| (hop, branch)));
        ends
    }

    #[expect(clippy::disallowed_methods, reason = "the spool of this world")]
    fn store(&mut self, envelope: &Envelope, places: &[usize]) -> Result<Custody, Reply> {
        let draft = self.draft.take().unwrap();
        if self.chance.draw(15) == 0 {
            return Err(Reply::new(452, (4, 3, 1), "no room"));
        }
        for place in places {
            let to = envelope.recipients[*place].to_string();
            let content = [envelope.trace.as_bytes(), &draft].concat();
            self.stored.push((to, content));
        }
        Ok(Custody::of_durable_message(QueueId::new(
            NOW.wall, self.seed,
        )))
    }
}
