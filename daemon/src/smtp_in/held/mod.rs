//! The paths of one transaction that are held open: drives `proto::cutthrough` over sessions with the
//! next hops.
//!
//! Promises: the machine's actions are done in their order, and what several branches are told in one
//! step is done at the same time; the client is not waited for while a branch has not written what came
//! before, so that a slow next hop slows the sender and memory stays flat; whatever ends the transaction,
//! no branch is left that could deliver without being told to; a session that can carry another
//! transaction is given back.
//!
//! Left to others: who is told what (the machine), what is said to a next hop (`smtp_out`), which session
//! that is (`next_hop`).
//!
//! Files: the transaction here; `asking` a branch up to its recipients; `chain` what hosts that hold it with us are
//! told, and how long they may take; `copy` whether the client has asked before; `ending` what becomes of the draft;
//! `story` what was said, for the log and for `trace`; `way` which way a
//! recipient goes.

mod asking;
mod chain;
mod copy;
mod ending;
mod story;
mod way;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::slice;
use std::sync::Arc;

use tracing::{error, info};
use vouchsafe_proto::custody::Custody;
use vouchsafe_proto::cutthrough::{Action, BranchId, Input, Opens, Path, Sender, Way};
use vouchsafe_proto::envelope::Recipient;
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::route::{NextHop, Route};
use vouchsafe_proto::smtp::receive::{Answer, Begun, Hold};
use vouchsafe_proto::smtp::xhold::{Mode, Reach, Spent};
use vouchsafe_proto::time::{Mono, Wall};

use super::Site;
use super::copies::Copies;
use crate::clock;
use crate::next_hop::Origin;
use crate::next_hop::caps::Permit;
use crate::next_hop::in_flight::{Looping, Passage};
use crate::smtp_out::Branch;
use crate::together::Together;
use chain::Chain;
pub(super) use chain::TERMS;
use copy::Copy;
pub(super) use ending::Ending;
use ending::store;
use story::{About, Story};
use way::{is_stored_here, sender};

/// The paths of one transaction.
pub(super) struct Held {
    site: Arc<Site>,
    /// On whose account they are held.
    client: IpAddr,
    path: Path,
    /// By their ids.
    lines: Vec<Line>,
    /// Those that were accepted, in order; at its end, while it is asked for, a new one.
    recipients: Vec<Recipient>,
    /// What MAIL has agreed on.
    mail: Option<Box<Hold>>,
    permit: Option<Permit>,
    /// How it is held with others.
    chain: Chain,
    /// What is known of the copy that it is of, where its client may ask again.
    copy: Option<Box<Copy>>,
    /// Its recipients that were accepted, as they are counted against loops.
    passages: Vec<Passage>,
    /// The name the message has here, once its content begins.
    queue_id: QueueId,
    /// Octets of our fields and the content, as they have gone on.
    size: u64,
    /// Octets of our fields alone.
    head: u64,
    /// Octets of the content that have come.
    content: u64,
    story: Story,
    /// What the machine wants done.
    actions: Vec<Action>,
}

/// A session with a next hop, and what it is for.
struct Line {
    next_hop: NextHop,
    /// None before it stands, and when it is over.
    open: Option<(Origin, Branch)>,
    /// Recipients that were asked for.
    asked: usize,
    /// Those of them that another host was asked for, which took none.
    before: usize,
    /// It gets the content.
    proceeds: bool,
}

/// What the machine has answered.
enum Answered {
    Recipient(Result<(), Reply>),
    Begin(Result<bool, Reply>),
    End(Answer),
}

impl Held {
    /// None yet.
    pub(super) fn new(site: Arc<Site>, client: IpAddr, mail: &Hold) -> Self {
        let sender = sender(mail);
        let patience = site.ahead.next_hops.patience();
        let chain = Chain::new(&site.settings, mail, patience);
        let copy = Copy::of(&site.ahead.copies, Copies::client(client), mail);
        // Until the content begins nothing is called by it.
        let nameless = QueueId::new(Wall::from_secs(0), 0);
        let path = Path::new(sender, nameless).held(chain.mode());
        Self {
            site,
            client,
            path: if mail.per_recipient {
                path.for_each_recipient()
            } else {
                path
            },
            lines: Vec::new(),
            recipients: Vec::new(),
            mail: None,
            permit: None,
            chain,
            copy,
            passages: Vec::new(),
            queue_id: nameless,
            size: 0,
            head: 0,
            content: 0,
            story: Story::default(),
            actions: Vec::new(),
        }
    }

    /// Asks for a recipient down the path.
    /// Gives where its path ends, if the client is to hear of it.
    pub(super) async fn recipient(
        &mut self,
        mail: Hold,
        route: Route,
    ) -> Result<Option<Reach>, Reply> {
        if self.mail.is_some() {
            self.chain.next_recipient(clock::mono());
        }
        let is_mailbox = matches!(route.next_hop, NextHop::Maildir(_));
        let mut way = self.way(&mail, route);
        self.look_up(&mail.recipient.path, &mut way)?;
        let (is_held, is_late) = match &way {
            Way::Stored => (false, false),
            Way::Held { opens, .. } => (true, *opens != Opens::Now),
        };
        if is_mailbox {
            // Ours: what is stored for it is there.
            self.chain.reaches(None, true);
        } else if !is_held && self.chain.mode() == Mode::Strict {
            return Err(is_stored_here());
        }
        let passage = is_held.then(|| self.pass(&mail)).transpose()?;
        self.recipients.push(mail.recipient.clone());
        self.mail = Some(Box::new(mail));
        let answered = self.drive(Input::Recipient(way), None).await;
        self.recipients.truncate(self.path.accepted());
        let Some(Answered::Recipient(answer)) = answered else {
            return Err(out_of_step());
        };
        let reach = self.chain.take_reach();
        answer?;
        self.passages.extend(passage);
        Ok(reach.filter(|_| !is_late))
    }

    /// Leave to hold a path that may be a loop by now.
    fn pass(&self, mail: &Hold) -> Result<Passage, Reply> {
        let recipient = &mail.recipient.path;
        let in_flight = &self.site.ahead.in_flight;
        let passed = in_flight.pass(&mail.reverse_path, recipient, self.client);
        passed.map_err(|looping| {
            info!(reverse_path = %mail.reverse_path, %recipient, "path not held: {looping}");
            Looping::reply()
        })
    }

    /// The content is whole; what is asked from now on is for its end.
    pub(super) fn content_ended(&mut self) {
        self.chain.content_ended(clock::mono());
    }

    /// The content begins, which may prove the reverse-path. Gives whether it is written to the draft, too.
    pub(super) async fn begin(&mut self, id: QueueId, may_prove: bool) -> Result<bool, Reply> {
        self.queue_id = id;
        if may_prove {
            self.path.step(Input::MayProve, &mut self.actions);
        }
        match self.drive(Input::Begin(id), None).await {
            Some(Answered::Begin(answer)) => answer,
            _ => Err(out_of_step()),
        }
    }

    /// A message that has begun.
    pub(super) fn begun(&self, queue_id: QueueId) -> Begun {
        Begun {
            queue_id,
            passes_on: self.passes_on(),
        }
    }

    /// True if some branch gets the content as it comes.
    pub(super) fn passes_on(&self) -> bool {
        self.lines
            .iter()
            .any(|line| line.proceeds && line.open.is_some())
    }

    /// A piece of the content, or at first what stands above it. Small ones are gathered; an empty one
    /// sends them, before the client is waited for.
    pub(super) async fn push(&mut self, piece: &[u8]) {
        if piece.is_empty() && self.size == self.head {
            // Our fields leave with the first of the content.
            return;
        }
        if self.passes_on() {
            let more = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            if self.size == 0 {
                self.head = more;
            }
            self.size = self.size.saturating_add(more);
        }
        for id in self.push_to_all(piece).await {
            let ends = self.take_outcomes(id).await;
            self.path.step(Input::Broke(id, ends), &mut self.actions);
        }
    }

    /// Gives a piece to every branch that gets the content, at the same time; those that have ended by it.
    async fn push_to_all(&mut self, piece: &[u8]) -> Vec<BranchId> {
        let mut proceeding = self
            .lines
            .iter_mut()
            .enumerate()
            .filter_map(|(number, line)| {
                let open = line.open.as_mut().filter(|_| line.proceeds);
                open.map(|(_, branch)| (BranchId(number), branch))
            });
        let Some((first, branch)) = proceeding.next() else {
            return Vec::new();
        };
        let Some((second, another)) = proceeding.next() else {
            // The ordinary case needs no space.
            return Vec::from_iter((!branch.push(piece).await).then_some(first));
        };
        let mut pushing: Together<BranchId, dyn Future<Output = bool> + Send> = Together::default();
        pushing.push(first, Box::pin(branch.push(piece)));
        pushing.push(second, Box::pin(another.push(piece)));
        for (id, branch) in proceeding {
            pushing.push(id, Box::pin(branch.push(piece)));
        }
        let mut broken = Vec::new();
        while let Some((id, goes_on)) = pushing.next().await {
            broken.extend((!goes_on).then_some(id));
        }
        broken
    }

    /// Says NOOP down the paths, so that the next hops wait on.
    pub(super) async fn keep_alive(&mut self) {
        for (_, branch) in self.lines.iter_mut().filter_map(|line| line.open.as_mut()) {
            // One that has ended says so when it is asked next.
            branch.noop().await;
        }
    }

    /// The draft could not take content: false if nobody else gets it.
    pub(super) fn draft_lost(&mut self, reply: Reply) -> bool {
        self.path.step(Input::DraftLost(reply), &mut self.actions);
        self.passes_on()
    }

    /// The content is whole: what becomes of the message, or of it for each recipient.
    pub(super) async fn end(&mut self, ending: &mut Ending) -> Answer {
        let judged = Sender {
            verdict: ending.envelope.verdict,
            is_null: ending.envelope.reverse_path.is_null(),
            was_queued: false,
        };
        self.path.step(Input::Judged(judged), &mut self.actions);
        if self.lines.iter().any(|line| line.asked > 0) {
            // The queue asks again under the id that next hops may know it by.
            ending.envelope.transaction = self.chain.transaction();
        }
        let answer = match self.look_back() {
            Ok(()) => self.conclude(ending).await,
            Err(reply) => {
                self.drive(Input::Abandon, Some(ending)).await;
                Answer::Committed(Err(reply))
            }
        };
        match &answer {
            Answer::Committed(answer) => self.note_end(ending, slice::from_ref(answer)),
            Answer::CommittedEach(ends) => self.note_end(ending, ends),
            _ => {}
        }
        answer
    }

    /// Has the machine bring it to its end, and remembers that.
    async fn conclude(&mut self, ending: &mut Ending) -> Answer {
        let answer = match self.drive(Input::End, Some(ending)).await {
            Some(Answered::End(answer)) => answer,
            _ => Answer::Committed(Err(out_of_step())),
        };
        self.remember_delivered().await;
        answer
    }

    /// Notes what became of a message that is not in the queue, for any recipient.
    fn note_end(&self, ending: &Ending, ends: &[Result<Custody, Reply>]) {
        let Some(notebook) = &self.site.ahead.notebook else {
            return;
        };
        if ends.iter().flatten().any(|custody| !custody.is_onward()) {
            return;
        }
        let mut lines = self.story.lines(self.queue_id);
        let message = (&ending.envelope, self.size.max(self.content));
        story::end(&mut lines, self.queue_id, message, ends);
        notebook.note(self.queue_id, &lines);
    }

    /// The transaction is given up.
    pub(super) async fn abandon(mut self) {
        self.drive(Input::Abandon, None).await;
    }

    /// Notes the path of a message that is about to be stored, behind which the queue notes the rest.
    fn note_path(&self) {
        if let Some(notebook) = &self.site.ahead.notebook {
            notebook.note(self.queue_id, &self.story.lines(self.queue_id));
        }
    }

    /// Gives the machine one input, and does what follows, until nothing does.
    async fn drive(&mut self, input: Input, mut ending: Option<&mut Ending>) -> Option<Answered> {
        let mut answered = None;
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut actions = std::mem::take(&mut self.actions);
            self.path.step(input, &mut actions);
            let (mut prepare, mut complete) = (Vec::new(), Vec::new());
            for action in actions {
                match action {
                    Action::Open(id, next_hop, place) => {
                        let said = self.open(id, next_hop, place).await;
                        inputs.push_back(Input::Said(id, said));
                    }
                    Action::Ask(id, place) => {
                        let said = self.ask(id, place).await;
                        inputs.push_back(Input::Said(id, said));
                    }
                    Action::Proceed(id) => self.proceed(id).await,
                    Action::Prepare(id) => prepare.push(id),
                    Action::Complete(id) => complete.push(id),
                    Action::Abandon(id) => self.give_up(id).await,
                    Action::Replay => {
                        self.replay(ending.as_deref_mut()).await;
                        inputs.push_back(Input::Replayed);
                    }
                    Action::DropDraft => drop(ending.as_deref_mut().map(Ending::drop_draft)),
                    Action::Store(places) => {
                        self.note_path();
                        let claim = self.claim();
                        let stored = store(ending.as_deref_mut(), &places, claim).await;
                        inputs.push_back(Input::Stored(stored));
                    }
                    Action::Recipient(answer) => answered = Some(Answered::Recipient(answer)),
                    Action::Begin(answer) => answered = Some(Answered::Begin(answer)),
                    Action::End(answer) => {
                        answered = Some(Answered::End(Answer::Committed(answer)));
                    }
                    Action::EndForEach(ends) => {
                        answered = Some(Answered::End(Answer::CommittedEach(ends)));
                    }
                }
            }
            self.prepare(&prepare, &mut inputs).await;
            self.complete(&complete, &mut inputs).await;
        }
        answered
    }

    async fn proceed(&mut self, id: BranchId) {
        if let Some(line) = self.lines.get_mut(id.0)
            && let Some((_, branch)) = &mut line.open
        {
            line.proceeds = true;
            branch.proceed().await;
        }
    }

    /// Has branches send all but what completes the message.
    async fn prepare(&mut self, ids: &[BranchId], inputs: &mut VecDeque<Input>) {
        let mut preparing: Together<BranchId, dyn Future<Output = bool> + Send> =
            Together::default();
        for (number, line) in self.lines.iter_mut().enumerate() {
            if let Some((_, branch)) = &mut line.open
                && ids.contains(&BranchId(number))
            {
                let is_only = ids.len() == 1;
                preparing.push(BranchId(number), Box::pin(branch.prepare(is_only)));
            }
        }
        let mut prepared = Vec::new();
        while let Some(ended) = preparing.next().await {
            prepared.push(ended);
        }
        drop(preparing);
        for (id, is_prepared) in prepared {
            inputs.push_back(if is_prepared {
                Input::Prepared(id)
            } else {
                Input::Broke(id, self.take_outcomes(id).await)
            });
        }
    }

    /// Has branches send that, and waits for their last words.
    async fn complete(&mut self, ids: &[BranchId], inputs: &mut VecDeque<Input>) {
        let mut completing: Together<BranchId, dyn Future<Output = ()> + Send> =
            Together::default();
        let began = clock::mono();
        let until = self.chain.last_word_until(began);
        for (number, line) in self.lines.iter_mut().enumerate() {
            if let Some((_, branch)) = &mut line.open
                && ids.contains(&BranchId(number))
            {
                completing.push(BranchId(number), Box::pin(complete(branch, until)));
            }
        }
        let mut completed = Vec::new();
        while let Some((id, ())) = completing.next().await {
            completed.push(id);
        }
        drop(completing);
        for id in completed {
            let ends = self.take_outcomes(id).await;
            if let Some(line) = self.lines.get(id.0) {
                for end in different(&ends) {
                    let heard = (Some(end), None);
                    self.story
                        .add(&line.next_hop, About::Message, heard, None, began);
                }
            }
            inputs.push_back(Input::Completed(id, ends));
        }
    }

    /// A branch is over: what it came to.
    async fn take_outcomes(&mut self, id: BranchId) -> Vec<(usize, Outcome)> {
        let line = self.lines.get(id.0);
        let ends = line.map(outcomes).unwrap_or_default();
        self.let_go(id).await;
        ends
    }

    /// Gives a branch up: nothing of it may be delivered.
    async fn give_up(&mut self, id: BranchId) {
        if let Some(line) = self.lines.get_mut(id.0)
            && let Some((_, branch)) = &mut line.open
        {
            branch.abandon().await;
            self.let_go(id).await;
        }
    }
}

/// Has a branch send what completes the message, if there is time for its last word.
async fn complete(branch: &mut Branch, until: Result<Option<Mono>, Spent>) {
    match until {
        Ok(until) => branch.complete(until).await,
        Err(_) => branch.abandon().await,
    }
}

/// What a branch came to, by its recipients' numbers.
fn outcomes(line: &Line) -> Vec<(usize, Outcome)> {
    let outcomes = line.open.iter().flat_map(|(_, branch)| branch.outcomes());
    outcomes
        .map(|(number, outcome)| (number.saturating_add(line.before), outcome.clone()))
        .collect()
}

/// The last words of a next hop, each once: it may have said the same to all.
fn different(ends: &[(usize, Outcome)]) -> impl Iterator<Item = &Outcome> {
    let said_before =
        |number: usize, end: &Outcome| ends.iter().take(number).any(|(_, before)| before == end);
    let numbered = ends.iter().enumerate();
    numbered.filter_map(move |(number, (_, end))| (!said_before(number, end)).then_some(end))
}

/// The machine has no answer: a bug of ours.
fn out_of_step() -> Reply {
    error!("a held path gave no answer");
    Reply::new(451, (4, 3, 0), "local error in processing")
}
