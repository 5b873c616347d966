//! One server: the receive machine, cutthrough and deliver machines joined as the daemon joins them, with
//! no I/O. What is around it, clients, next hops, the spool and the time, is the test's.

mod ahead;
mod copies;
mod ending;

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::cutthrough::{Action as Todo, BranchId, Input as Given, Path};
use vouchsafe_proto::cutthrough::{Sender, Way};
use vouchsafe_proto::envelope::{Envelope, Recipient};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::smtp::receive::{
    Action, Answer, Ask, Begun, Hold, Input, Limits, Peer, Session, Settings,
};
use vouchsafe_proto::smtp::xhold::Holding;
use vouchsafe_proto::time::{Mono, Now, Wall};
use vouchsafe_proto::verify::timing::Possible;
use vouchsafe_proto::verify::{Evidence, Verdict};

use super::branch::Branch;
use copies::Copy;
pub use copies::{Copies, Key};

/// What the spool is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Begin,
    Append,
    Commit,
}

/// What became of a message whose content had begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The next hops have it, and nobody else.
    Held,
    /// It was taken when it came before, and nothing has come of this copy.
    Repeated,
    /// It is in the spool.
    Stored {
        to: Vec<String>,
        head: String,
        content: Vec<u8>,
    },
    /// The client was told this.
    Refused(Reply),
    /// It never came to an end.
    GivenUp,
}

/// What is around a server.
pub trait Surroundings {
    /// The client is told this.
    fn tell(&mut self, octets: &[u8]);

    /// The client's connection is closed.
    fn closed(&mut self) {}

    /// What is known of the reverse-path.
    fn evidence(&mut self) -> Evidence;

    /// A recipient's way on.
    fn way(&mut self, hold: &Hold) -> Way;

    /// A connection with a host of the next hop, by its number there; none if it does not answer. An
    /// error where there are no more.
    fn connect(&mut self, next_hop: &NextHop, host: usize, now: Now) -> Result<Option<Branch>, ()>;

    /// Our fields, as they go to the next hops.
    fn head(&mut self, head: &str);

    /// Why the spool cannot do it.
    fn trouble(&mut self, operation: Operation) -> Option<Reply>;

    /// What became of a message.
    fn became(&mut self, fate: Fate);

    /// A next hop is waited for: something happens, and so much time passes. None if nothing ever will.
    fn wait(&mut self) -> Option<Duration>;
}

/// A server with one client.
pub struct Stage<S> {
    pub around: S,
    /// What is remembered of those before.
    pub copies: Copies,
    session: Session,
    settings: Arc<Settings>,
    client: IpAddr,
    seed: u64,
    /// Messages that have begun.
    messages: u64,
    /// What the last one is called.
    queue_id: QueueId,
    /// Milliseconds.
    now: u64,
    /// So far time has come, and not everything has happened by then.
    until: u64,
    timer: Option<Mono>,
    closed: bool,
    path: Option<Path>,
    branches: BTreeMap<usize, (NextHop, Branch)>,
    proceeding: Vec<usize>,
    recipients: Vec<Recipient>,
    mail: Option<Hold>,
    /// The one that may come again.
    copy: Option<Copy>,
    /// When its content has ended.
    ended: Option<Mono>,
    /// Sessions that are kept.
    pool: Vec<(NextHop, Branch)>,
    draft: Option<Vec<u8>>,
    /// What a step of the path outside of [`Stage::drive`] has come to.
    todo: Vec<Todo>,
    begun: bool,
    resumed: bool,
}

impl<S: Surroundings> Stage<S> {
    /// Before its first client. The seed is for names of messages.
    pub fn new(around: S, errors: u32, xhold: Option<Holding>, seed: u64) -> Self {
        let settings = Settings {
            hostname: Domain::parse("mx.example.org").unwrap(),
            authserv_id: Domain::parse("mx.example.org").unwrap(),
            limits: Limits {
                errors,
                ..Limits::default()
            },
            starttls: false,
            require_tls: false,
            holds: true,
            xhold,
            xvouch: false,
            helo_syntax: false,
            possible: Possible::default(),
        };
        let settings = Arc::new(settings);
        Self {
            around,
            copies: Copies::default(),
            session: session(&settings, CLIENT),
            settings,
            client: CLIENT,
            seed,
            messages: 0,
            queue_id: nameless(),
            now: 1,
            until: 1,
            timer: None,
            closed: false,
            path: None,
            branches: BTreeMap::new(),
            proceeding: Vec::new(),
            recipients: Vec::new(),
            mail: None,
            copy: None,
            ended: None,
            pool: Vec::new(),
            draft: None,
            todo: Vec::new(),
            begun: false,
            resumed: false,
        }
    }

    /// A client comes from there, after the one before has gone.
    pub fn connect(&mut self, client: IpAddr) {
        self.client = client;
        self.session = session(&self.settings, client);
        self.closed = false;
        self.step(Input::Connected);
    }

    /// The client says this.
    pub fn says(&mut self, octets: &[u8]) {
        if !self.closed && self.session.wants_bytes() {
            self.step(Input::Bytes(octets));
        }
        self.catch_up();
    }

    /// The client says no more.
    pub fn end(&mut self) {
        if !self.closed {
            self.step(Input::EndOfStream);
        }
        self.catch_up();
    }

    /// The client is silent for so long. Next hops that wait with it hear from us once a minute.
    pub fn pass(&mut self, span: Duration) {
        self.until += millis(span);
        let mut noop = self.now + 60_000;
        while !self.closed {
            let timer = self.timer.map_or(u64::MAX, Mono::as_millis);
            let next = timer.min(noop);
            if next > self.until {
                break;
            }
            self.now = self.now.max(next);
            if timer <= noop {
                self.timer = None;
                self.step(Input::TimerFired);
            } else {
                let now = self.now();
                self.branches
                    .values_mut()
                    .for_each(|(_, branch)| branch.noop(now));
            }
            noop = self.now + 60_000;
        }
        self.now = self.until;
    }

    /// Time that was spent for the next hops is spent for the client, too.
    fn catch_up(&mut self) {
        self.pass(Duration::ZERO);
    }

    /// Nothing is left of a transaction.
    pub fn is_idle(&self) -> bool {
        self.branches.is_empty() && self.path.is_none() && self.draft.is_none()
    }

    pub fn now(&self) -> Now {
        Now {
            mono: Mono::from_millis(self.now),
            wall: Wall::from_millis(1_795_256_100_000 + self.now),
        }
    }

    fn step(&mut self, input: Input<'_>) {
        let mut actions = Vec::new();
        self.session.step(input, self.now(), &mut actions);
        for action in actions {
            match action {
                Action::Write(octets) => self.around.tell(&octets),
                Action::Ask(id, ask) => {
                    let answer = self.answer(ask);
                    self.step(Input::Answer(id, answer));
                }
                Action::Head(head) => {
                    self.around.head(&head);
                    self.push(head.as_bytes());
                }
                Action::Append(piece) => self.append(&piece),
                Action::Abandon => self.give_up(),
                Action::StartTls => panic!("no TLS here"),
                Action::SetTimer(at) => self.timer = Some(at),
                Action::Note(_) => {}
                Action::Close => {
                    self.closed = true;
                    self.around.closed();
                }
            }
        }
        if mem::take(&mut self.resumed) {
            self.step(Input::Resumed);
        }
    }

    fn answer(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Verify { .. } => {
                let verdict = Verdict::of(self.around.evidence(), []);
                Answer::Verdict(Arc::new(verdict))
            }
            Ask::Recipient { .. } => Answer::Recipient(Ok(Vec::new())),
            Ask::Hold(hold) => Answer::Held(self.hold(*hold).map(|()| None)),
            Ask::Begin { .. } => Answer::Begun(self.begin()),
            Ask::Commit(envelope) => self.commit(&envelope),
            Ask::Content { verdict, .. } => Answer::Verdict(verdict),
            other => panic!("{other:?}"),
        }
    }

    fn hold(&mut self, hold: Hold) -> Result<(), Reply> {
        let mut way = self.around.way(&hold);
        let sender = Sender {
            verdict: hold.verdict,
            is_null: hold.reverse_path.is_null(),
            was_queued: false,
        };
        if self.path.is_none() {
            let path = Path::new(sender, nameless());
            self.path = Some(if hold.per_recipient {
                path.for_each_recipient()
            } else {
                path
            });
            self.copy = Copy::of(self.client, &hold);
        }
        self.look_up(&hold, &mut way)?;
        let accepted = self.path.as_ref().map_or(0, Path::accepted);
        self.recipients.truncate(accepted);
        self.recipients.push(hold.recipient.clone());
        self.mail = Some(hold);
        self.drive(Given::Recipient(way), None, |todo| match todo {
            Todo::Recipient(answer) => Some(answer),
            _ => None,
        })
    }

    fn begin(&mut self) -> Result<Begun, Reply> {
        self.messages += 1;
        let number = self.seed + self.messages - 1;
        self.queue_id = QueueId::new(Wall::from_secs(1_795_256_100), number);
        let queue_id = self.queue_id;
        let no_room = || Reply::new(452, (4, 3, 1), "no room");
        let Some(path) = &self.path else {
            // Every recipient was refused before it was asked for.
            return Err(no_room());
        };
        self.recipients.truncate(path.accepted());
        let tees = self.drive(Given::Begin(queue_id), None, |todo| match todo {
            Todo::Begin(answer) => Some(answer),
            _ => None,
        })?;
        if tees {
            match self.around.trouble(Operation::Begin) {
                Some(reply) => {
                    self.path_step(Given::DraftLost(reply.clone()));
                    if self.proceeding.is_empty() {
                        return Err(reply);
                    }
                }
                None => self.draft = Some(Vec::new()),
            }
        }
        self.begun = true;
        Ok(Begun {
            queue_id,
            passes_on: !self.proceeding.is_empty(),
        })
    }

    fn push(&mut self, piece: &[u8]) {
        let began = self.now;
        let numbers = self.proceeding.clone();
        self.give(&numbers, Some(piece));
        for number in numbers {
            if self.branches[&number].1.has_ended() {
                let ends = self.end_of(number);
                self.path_step(Given::Broke(BranchId(number), ends));
            }
        }
        self.resumed |= self.now > began;
    }

    fn append(&mut self, piece: &[u8]) {
        if let Some(copy) = &mut self.copy {
            copy.read(piece);
        }
        self.push(piece);
        let Some(draft) = &mut self.draft else {
            return;
        };
        draft.extend_from_slice(piece);
        if let Some(reply) = self.around.trouble(Operation::Append) {
            self.draft = None;
            self.path_step(Given::DraftLost(reply.clone()));
            if self.proceeding.is_empty() {
                self.step(Input::ContentRefused(reply));
            }
        }
    }

    fn give_up(&mut self) {
        if mem::take(&mut self.begun) {
            self.around.became(Fate::GivenUp);
        }
        if self.path.is_some() {
            let given_up = self.drive(Given::Abandon, None, |_| None::<Result<(), Reply>>);
            assert!(given_up.is_err(), "nothing is answered");
        }
        self.forget();
    }

    /// The transaction is over.
    fn forget(&mut self) {
        let seed = self.seed;
        assert!(self.branches.is_empty(), "seed {seed}: a branch is left");
        self.path = None;
        self.copy = None;
        self.ended = None;
        self.draft = None;
        self.recipients.clear();
        self.proceeding.clear();
    }

    fn path_step(&mut self, given: Given) {
        self.path.as_mut().unwrap().step(given, &mut self.todo);
    }

    /// Gives the machine one input, and does what follows; the answer that comes of it.
    fn drive<T>(
        &mut self,
        given: Given,
        envelope: Option<&Envelope>,
        answer: impl Fn(Todo) -> Option<Result<T, Reply>>,
    ) -> Result<T, Reply> {
        let mut answered = None;
        let mut inputs = VecDeque::from([given]);
        while let Some(input) = inputs.pop_front() {
            self.path_step(input);
            let (mut prepare, mut complete) = (Vec::new(), Vec::new());
            for todo in mem::take(&mut self.todo) {
                match todo {
                    Todo::Open(id, next_hop, place) => {
                        let said = self.open(id, &next_hop, place);
                        inputs.push_back(Given::Said(id, said));
                    }
                    Todo::Ask(id, place) => {
                        let said = self.ask(id, place);
                        inputs.push_back(Given::Said(id, said));
                    }
                    Todo::Proceed(id) => self.proceed(id),
                    Todo::Prepare(BranchId(number)) => prepare.push(number),
                    Todo::Complete(BranchId(number)) => complete.push(number),
                    Todo::Abandon(BranchId(number)) => {
                        let now = self.now();
                        if let Some((_, branch)) = self.branches.get_mut(&number) {
                            branch.abandon(now);
                            self.end_of(number);
                        }
                    }
                    Todo::Store(places) => {
                        inputs.push_back(Given::Stored(self.store(envelope.unwrap(), &places)));
                    }
                    Todo::DropDraft => self.draft = None,
                    Todo::Replay => {
                        self.replay(envelope.unwrap());
                        inputs.push_back(Given::Replayed);
                    }
                    other => answered = answer(other).or(answered),
                }
            }
            self.prepare(&prepare, &mut inputs);
            self.complete(&complete, &mut inputs);
        }
        answered.unwrap_or_else(|| Err(Reply::new(451, (4, 3, 0), "given up")))
    }
}

/// Who comes where nobody says so.
pub const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Until the content begins nothing is called by it.
fn nameless() -> QueueId {
    QueueId::new(Wall::from_secs(0), 0)
}

fn session(settings: &Arc<Settings>, client: IpAddr) -> Session {
    let peer = Peer {
        address: SocketAddr::new(client, 4000),
        may_relay: false,
        is_front: false,
    };
    Session::new(Arc::clone(settings), peer)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap()
}
