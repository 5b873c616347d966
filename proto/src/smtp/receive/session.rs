//! The session's loop: inputs in, lines and content cut out of octets, timers, ends.

use alloc::borrow::{Cow, ToOwned};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::content::{Content, Draft};
use super::data::Upcoming;
use super::hello::Hello;
use super::judgement::Standing;
use super::on_behalf::Forwarded;
use super::patience::{Dallying, Pace};
use super::replies;
use super::{Accepted, Action, Answer, Ask, AskId, Input, Note, Peer, Settings};
use crate::envelope::Recipient;
use crate::reply::Reply;
use crate::smtp::command::{Command, Mail};
use crate::smtp::framing::{Fault, Line, Lines};
use crate::smtp::on_behalf::OnBehalf;
use crate::time::{Mono, Now};
use crate::verify::Verdict;

/// One session.
#[derive(Debug)]
pub struct Session {
    /// What all sessions of the listener share.
    pub(super) settings: Arc<Settings>,
    /// Who is at the other end.
    pub(super) peer: Peer,
    /// What the next octets are.
    pub(super) phase: Phase,
    /// EHLO or HELO, since the connection or TLS stands.
    pub(super) hello: Option<Hello>,
    /// Whose mail comes next, if XFORWARD said so since the last transaction.
    pub(super) forwarded: Option<Forwarded>,
    /// Version and suite, once TLS stands.
    pub(super) tls: Option<Box<str>>,
    /// Where the mail transaction stands.
    pub(super) transaction: Transaction,
    /// The command line that is coming in.
    lines: Lines,
    /// Octets that came in one read and wait for an answer, and how many of them are used.
    pending: (Vec<u8>, usize),
    /// Questions put so far.
    asked: u32,
    /// Errors counted so far.
    pub(super) errors: u32,
    /// When the peer has been silent for too long; `None` while it waits for us.
    pub(super) deadline: Option<Mono>,
    /// When the driver's timer will fire, as far as we know. Moved only when it fires too early,
    /// so that a stream of content does not set a timer for each of its pieces.
    pub(super) armed: Option<Mono>,
    /// How fast content comes, while it does.
    pub(super) pace: Option<Pace>,
    /// Commands that brought no mail.
    pub(super) dallying: Dallying,
    /// Claims that were asked about since a message was taken.
    pub(super) claims: u32,
    /// The house is nearly full.
    pub(super) pressed: bool,
    /// The service is stopping.
    pub(super) stopping: bool,
    /// The peer has left while a commit was asked; its answer is still worth having.
    pub(super) left: bool,
}

/// What the session does with the next octets.
#[derive(Debug)]
pub(super) enum Phase {
    /// Not connected yet.
    New,
    /// They are a command.
    Command,
    /// They wait for this answer.
    Waiting(AskId, Waiting),
    /// They are dropped until TLS stands.
    StartingTls,
    /// They are content.
    Content(Content),
    /// There are none any more.
    Closed,
}

/// Who waits for an answer.
#[derive(Debug)]
pub(super) enum Waiting {
    /// MAIL, for the verdict.
    Mail(Box<Mail>, Mono),
    /// RCPT.
    Recipient(Box<Recipient>),
    /// RCPT, for the path.
    Hold(Box<Recipient>),
    /// DATA or BDAT, for a message to be begun.
    Begin(Upcoming),
    /// XCLIENT.
    Peer(Box<OnBehalf>),
    /// The end of the content, for what it says about the reverse-path.
    Judgement,
    /// The end of the content, for who stands behind the perimeter.
    Outside,
    /// The end of the content, for custody.
    Commit(Box<AtEnd>),
}

/// A message whose end waits for its answer.
#[derive(Debug)]
pub(super) struct AtEnd {
    /// What it is.
    pub(super) accepted: Accepted,
    /// [`Open::answered`].
    pub(super) answered: Vec<usize>,
}

/// Where the mail transaction stands.
#[derive(Debug)]
pub(super) enum Transaction {
    /// None is open.
    None,
    /// MAIL was refused: what was pipelined behind it is refused too, and is not the peer's error.
    Refused,
    /// MAIL was repudiated: nothing but RSET or a new EHLO helps (PROTOCOLS A.3).
    Invalidated,
    /// MAIL was accepted.
    Open(Box<Open>),
}

/// An open transaction.
#[derive(Debug)]
pub(super) struct Open {
    /// MAIL, as it was accepted.
    pub(super) mail: Mail,
    /// When that came.
    pub(super) since: Mono,
    /// The verdict on its reverse-path, so far.
    pub(super) verdict: Arc<Verdict>,
    /// The verdict at MAIL: what one recipient has declared must not clear it for the next.
    pub(super) at_mail: Arc<Verdict>,
    /// Whether a refusal waits, and for what.
    pub(super) standing: Standing,
    /// One of our own outer hosts presents it, which may have said 250 for it already.
    pub(super) from_perimeter: bool,
    /// The recipients accepted, each once.
    pub(super) recipients: Vec<Recipient>,
    /// With PRDR: for each RCPT that was answered 250 the recipient's place, since one that was given twice is
    /// answered twice at the end (draft-hall-prdr-00 §4.5.2).
    pub(super) answered: Vec<usize>,
    /// Somebody was asked for them down the path.
    pub(super) is_held: bool,
    /// Our fields above content that goes on as it comes.
    pub(super) head: Option<Box<str>>,
    /// How far its content is.
    pub(super) progress: Progress,
}

/// How far an open transaction's content is.
#[derive(Debug)]
pub(super) enum Progress {
    /// Not begun.
    Envelope,
    /// Begun, by DATA or a first BDAT.
    Begun(Box<Draft>),
    /// A BDAT failed; only RSET helps (RFC 3030 §2).
    Failed,
}

/// One step: its moment, and what is to be done.
pub(super) struct Turn<'a> {
    /// The moment.
    pub(super) now: Now,
    /// Where actions go.
    pub(super) actions: &'a mut Vec<Action>,
}

impl Turn<'_> {
    /// Says a reply. Replies to pipelined commands leave together (RFC 2920 §3.2), which is why
    /// this one joins the one before if only notes lie between.
    pub(super) fn say(&mut self, reply: &Reply) {
        let notes = |action: &&mut Action| !matches!(action, Action::Note(_));
        if let Some(Action::Write(octets)) = self.actions.iter_mut().rev().find(notes) {
            reply.encode(octets);
        } else {
            let mut octets = Vec::new();
            reply.encode(&mut octets);
            self.actions.push(Action::Write(octets));
        }
    }

    /// Leaves a fact for the log.
    pub(super) fn note(&mut self, note: Note) {
        self.actions.push(Action::Note(note));
    }
}

impl Session {
    /// A session that has not begun.
    pub fn new(settings: Arc<Settings>, peer: Peer) -> Self {
        Self {
            settings,
            peer,
            phase: Phase::New,
            hello: None,
            forwarded: None,
            tls: None,
            transaction: Transaction::None,
            lines: Lines::default(),
            pending: (Vec::new(), 0),
            asked: 0,
            errors: 0,
            deadline: None,
            armed: None,
            pace: None,
            dallying: Dallying::default(),
            claims: 0,
            pressed: false,
            stopping: false,
            left: false,
        }
    }

    /// Advances by one input; actions are appended to `actions`.
    pub fn step(&mut self, input: Input<'_>, now: Now, actions: &mut Vec<Action>) {
        let mut turn = Turn { now, actions };
        if !matches!(self.phase, Phase::Closed) {
            self.take_input(input, &mut turn);
            self.stop_if_idle(&mut turn);
        }
        self.arm(&mut turn);
    }

    /// False while an answer is waited for or TLS is starting: read nothing then.
    pub fn wants_bytes(&self) -> bool {
        matches!(self.phase, Phase::Command | Phase::Content(_))
    }

    /// Octets kept for later.
    #[cfg(test)]
    pub(super) fn held_octets(&self) -> usize {
        self.pending.0.len()
    }

    /// One input, to whom it concerns.
    fn take_input(&mut self, input: Input<'_>, turn: &mut Turn<'_>) {
        match input {
            Input::Connected => {
                if matches!(self.phase, Phase::New) && !self.stopping {
                    turn.say(&replies::greeting(&self.settings.hostname));
                    self.await_command(turn.now);
                }
            }
            Input::Bytes(octets) => self.take_octets(octets, turn),
            Input::Answer(id, answer) => self.take_answer(id, answer, turn),
            Input::TlsStarted(description) => self.tls_started(description, turn),
            Input::ContentRefused(reply) => self.fail_content(replies::refusal(reply), turn),
            Input::TimerFired => self.timer_fired(turn),
            Input::Resumed => self.resumed(turn.now),
            Input::EndOfStream => self.peer_left(turn),
            Input::Pressure(pressed) => self.feel_pressure(pressed, turn.now),
            Input::Shutdown => self.stopping = true,
        }
    }

    /// Octets from the peer.
    fn take_octets(&mut self, octets: &[u8], turn: &mut Turn<'_>) {
        if matches!(self.phase, Phase::New | Phase::StartingTls) {
            return;
        }
        if let Phase::Content(_) = self.phase {
            self.deadline = Some(turn.now.mono.plus(self.content_timeout()));
        }
        self.take_or_keep(octets, turn);
        self.keep_pace(octets.len(), turn);
    }

    /// Takes octets, or keeps those that must wait.
    fn take_or_keep(&mut self, octets: &[u8], turn: &mut Turn<'_>) {
        let (pending, used) = &mut self.pending;
        if pending.is_empty() {
            let used = self.consume(octets, turn);
            let rest = octets.get(used..).unwrap_or_default();
            if !rest.is_empty() {
                self.pending = (rest.to_owned(), 0);
            }
        } else {
            // A driver that asks wants_bytes never comes here.
            pending.drain(..mem::take(used));
            pending.extend_from_slice(octets);
            self.take_pending(turn);
        }
    }

    /// Goes on with what was pipelined, after an answer.
    fn take_pending(&mut self, turn: &mut Turn<'_>) {
        let (pending, used) = mem::take(&mut self.pending);
        let rest = pending.get(used..).unwrap_or_default();
        let used = used.saturating_add(self.consume(rest, turn));
        if used < pending.len() {
            self.pending = (pending, used);
        }
    }

    /// Reads until the octets are used up or must wait. Gives how many were used.
    fn consume(&mut self, octets: &[u8], turn: &mut Turn<'_>) -> usize {
        let mut used = 0usize;
        loop {
            let rest = octets.get(used..).unwrap_or_default();
            match self.phase {
                Phase::Command if !rest.is_empty() => {
                    let cap = self.settings.limits.command_line;
                    // Out of its place, so that the line can be looked at where it lies. A line
                    // that has ended leaves nothing behind that would have to be put back.
                    let mut lines = mem::take(&mut self.lines);
                    let (taken, line) = lines.read(rest, cap);
                    used = used.saturating_add(taken);
                    if let Some(line) = line {
                        self.take_line(line, turn);
                        self.renew_patience(turn.now);
                        self.stop_if_idle(turn);
                    } else {
                        self.lines = lines;
                    }
                }
                Phase::Content(_) if !rest.is_empty() => {
                    used = used.saturating_add(self.take_content(rest, turn));
                    self.stop_if_idle(turn);
                }
                Phase::New | Phase::Command | Phase::Content(_) | Phase::Waiting(..) => {
                    return used;
                }
                // What came in clear behind STARTTLS never happened (RFC 3207 §4.2); what comes
                // behind the end is read by nobody.
                Phase::StartingTls | Phase::Closed => return octets.len(),
            }
        }
    }

    /// One command line.
    fn take_line(&mut self, line: Line<'_>, turn: &mut Turn<'_>) {
        let line = match line {
            Line::Clean(line) => line,
            Line::Faulty(Fault::Stray) => {
                return self.refuse("", replies::stray_octets(), turn);
            }
            Line::Faulty(Fault::TooLong) => {
                return self.refuse("", replies::line_too_long(), turn);
            }
            // What follows would be obeyed, and it is somebody's content.
            Line::Faulty(Fault::Uncounted) => {
                self.refuse("BDAT", replies::out_of_step(), turn);
                return self.close(turn);
            }
        };
        let verb = shown_verb(line);
        match Command::parse(line) {
            Ok(command) => self.obey(command, &verb, turn),
            Err(error) => {
                self.refuse(&verb, error.reply(), turn);
                if verb.eq_ignore_ascii_case("MAIL") {
                    self.mail_refused();
                }
            }
        }
    }

    /// One command, well-formed.
    fn obey(&mut self, command: Command, verb: &str, turn: &mut Turn<'_>) {
        if !self.may_dally(&command, turn) {
            return;
        }
        match command {
            Command::Hello { extended, name } => self.greet(extended, name, turn),
            Command::Mail(mail) => self.mail(mail, verb, turn),
            Command::Recipient(recipient) => self.recipient(recipient, verb, turn),
            Command::Data => self.data(verb, turn),
            Command::Chunk(chunk) => self.chunk(chunk, verb, turn),
            Command::StartTls => self.start_tls(verb, turn),
            Command::Reset => {
                self.end_transaction(turn);
                turn.say(&replies::ok());
            }
            Command::Noop => turn.say(&replies::ok()),
            Command::Help => turn.say(&replies::help(self.offers_starttls())),
            Command::Verify => turn.say(&replies::cannot_verify()),
            Command::XClient(said) => self.xclient(said, verb, turn),
            Command::XForward(said) => self.xforward(said, verb, turn),
            Command::Quit => {
                turn.say(&replies::goodbye());
                self.close(turn);
            }
        }
    }

    /// One answer of the world; dropped if its question is no longer open.
    fn take_answer(&mut self, id: AskId, answer: Answer, turn: &mut Turn<'_>) {
        match &self.phase {
            Phase::Waiting(open, _) if *open == id => {}
            _ => return,
        }
        let Phase::Waiting(_, waiting) = mem::replace(&mut self.phase, Phase::Command) else {
            return;
        };
        self.await_command(turn.now);
        match (waiting, answer) {
            (Waiting::Mail(mail, came), Answer::Verdict(verdict)) => {
                self.verified(*mail, came, &verdict, turn);
            }
            (Waiting::Recipient(recipient), Answer::Recipient(answer)) => {
                self.recipient_answered(*recipient, answer, turn);
            }
            (Waiting::Hold(recipient), Answer::Held(answer)) => {
                self.held(*recipient, answer, turn);
            }
            (Waiting::Outside, Answer::Outside(found)) => self.looked_outside(found, turn),
            (Waiting::Judgement, Answer::Verdict(verdict)) => self.judged(verdict, turn),
            (Waiting::Begin(upcoming), Answer::Begun(answer)) => {
                self.begun(upcoming, answer, turn);
            }
            (Waiting::Peer(said), Answer::Peer(peer)) => self.replace_peer(*said, peer, turn),
            (Waiting::Commit(at_end), Answer::Committed(answer)) => {
                self.committed(at_end.accepted, answer, turn);
            }
            (Waiting::Commit(at_end), Answer::CommittedEach(ends)) => {
                self.committed_for_each(*at_end, ends, turn);
            }
            // Not an answer to this question: it is still open.
            (waiting, _) => {
                self.phase = Phase::Waiting(id, waiting);
                self.deadline = None;
                return;
            }
        }
        self.renew_patience(turn.now);
        if self.left && !matches!(self.phase, Phase::Closed) {
            turn.note(Note::Disconnected { queue_id: None });
            self.close(turn);
        }
        // A stop must come before what was pipelined: nothing new is begun.
        self.stop_if_idle(turn);
        self.take_pending(turn);
    }

    /// Puts a question; octets wait until it is answered.
    pub(super) fn ask(&mut self, ask: Ask, waiting: Waiting, turn: &mut Turn<'_>) {
        let id = AskId(self.asked);
        self.asked = self.asked.wrapping_add(1);
        self.phase = Phase::Waiting(id, waiting);
        self.deadline = None;
        turn.actions.push(Action::Ask(id, ask));
    }

    /// The peer's turn: the next octets are a command.
    pub(super) fn await_command(&mut self, now: Now) {
        self.phase = Phase::Command;
        self.deadline = Some(self.command_deadline(now));
    }

    /// A command has been dealt with: the time for the next one begins, if it is the peer's turn.
    fn renew_patience(&mut self, now: Now) {
        if matches!(self.phase, Phase::Command) {
            self.await_command(now);
        }
    }

    /// TLS's turn: nothing of the peer's is waited for here. The driver times the handshake, and
    /// a failed one is the end of the stream.
    pub(super) fn await_tls(&mut self) {
        self.phase = Phase::StartingTls;
        self.deadline = None;
    }

    /// The peer's turn: the next octets are content.
    pub(super) fn await_content(&mut self, content: Content, now: Now) {
        self.phase = Phase::Content(content);
        self.begin_pace(now);
        self.deadline = Some(now.mono.plus(self.content_timeout()));
    }

    /// Refuses a command: a reply, a note, and an error to be counted if it is the peer's.
    pub(super) fn refuse(&mut self, command: &str, reply: Reply, turn: &mut Turn<'_>) {
        turn.say(&reply);
        let is_error = self.is_error(&reply);
        turn.note(Note::Refused {
            command: command.into(),
            reply,
        });
        self.count_error(is_error, turn);
    }

    /// Forgets a command line begun: what follows is not part of it.
    pub(super) fn forget_octets(&mut self) {
        self.lines.reset();
        self.pending = (Vec::new(), 0);
    }
}

/// The verb of a line, or the first octets of what stands in its place.
fn shown_verb(line: &[u8]) -> Cow<'_, str> {
    let end = line.iter().position(|octet| *octet == b' ');
    let word = line.get(..end.unwrap_or(line.len())).unwrap_or_default();
    let word = word.get(..SHOWN_VERB).unwrap_or(word);
    String::from_utf8_lossy(word)
}

/// Octets of a verb that a note holds: enough to know it by.
const SHOWN_VERB: usize = 32;
