//! Content: taken as it comes, judged as it passes, answered at its end.
//!
//! Content that fails (stray line ends, too large, looping, refused by the spool) is abandoned at
//! once and read to its true end all the same, and refused there.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use super::session::{AtEnd, Open, Phase, Progress, Session, Transaction, Turn, Waiting};
use super::{Accepted, Action, Ask, Limits, Note, Settings, replies};
use crate::addr::ReversePath;
use crate::custody::Custody;
use crate::envelope::{BodyType, Envelope, Origin};
use crate::message::received::Run;
use crate::message::{Completion, HeaderFilter, Missing, ReceivedCount};
use crate::queue_id::QueueId;
use crate::reply::Reply;
use crate::smtp::framing::{DotText, LineEnds};
use crate::verify::VerdictResult;

/// How the content that is being read ends, and what becomes of it.
#[derive(Debug)]
pub(super) enum Content {
    /// With CRLF.CRLF.
    Data(DotText),
    /// After so many octets.
    Chunk {
        /// Octets still to come.
        remaining: u64,
        /// What becomes of them.
        fate: Arriving,
    },
}

/// What becomes of a chunk.
#[derive(Debug)]
pub(super) enum Arriving {
    /// It belongs to the message.
    Taken {
        /// It completes the message.
        last: bool,
    },
    /// It is read away and then refused.
    Swallowed {
        /// The verb, for the note.
        command: Box<str>,
        /// What is said then.
        refusal: Reply,
    },
}

/// A message that was begun.
#[derive(Debug)]
pub(super) struct Draft {
    /// Its name.
    queue_id: QueueId,
    /// Octets so far.
    size: u64,
    /// Its `Received` fields so far.
    received: ReceivedCount,
    /// The top of its header, where that may tell who stands behind the perimeter.
    run: Option<Box<Run>>,
    /// What its header goes through.
    filter: HeaderFilter,
    /// What completes it, where it is of ours.
    completion: Option<Box<Completion>>,
    /// The line ends of its chunks.
    line_ends: LineEnds,
    /// An octet above 127 was in it.
    eight_bit: bool,
    /// A bare CR, a bare LF or a NUL was in it.
    stray: bool,
    /// What the spool said when it could not take it.
    refused: Option<Reply>,
    /// It failed: the driver was told, and nothing is appended any more.
    abandoned: bool,
}

impl Draft {
    /// A message just begun.
    pub(super) fn new(queue_id: QueueId, from_perimeter: bool) -> Self {
        Self {
            queue_id,
            size: 0,
            received: ReceivedCount::default(),
            run: from_perimeter.then(Box::default),
            filter: HeaderFilter::default(),
            completion: None,
            line_ends: LineEnds::default(),
            eight_bit: false,
            stray: false,
            refused: None,
            abandoned: false,
        }
    }

    /// It gets what it lacks of this.
    pub(super) fn complete(&mut self, missing: Missing) {
        self.completion = Some(Box::new(Completion::new(missing)));
    }

    /// Its name.
    pub(super) const fn queue_id(&self) -> QueueId {
        self.queue_id
    }

    /// Its name, and its octets so far.
    pub(super) const fn identity(&self) -> (QueueId, u64) {
        (self.queue_id, self.size)
    }

    /// The top of its header, once.
    pub(super) fn take_run(&mut self) -> Option<Box<Run>> {
        self.run.take()
    }

    /// True if a signature is among its fields.
    pub(super) const fn is_signed(&self) -> bool {
        self.filter.is_signed()
    }

    /// False once it has failed, and is abandoned.
    pub(super) const fn is_sound(&self) -> bool {
        !self.abandoned
    }

    /// Takes decoded content: counts it, judges it, hands it on. All is counted to the end, so
    /// that what is said then does not depend on how the octets were split.
    fn take(&mut self, octets: Vec<u8>, stray: bool, settings: &Settings, turn: &mut Turn<'_>) {
        let more = u64::try_from(octets.len()).unwrap_or(u64::MAX);
        self.size = self.size.saturating_add(more);
        self.received.read(&octets);
        if let Some(run) = &mut self.run {
            run.read(&octets);
        }
        self.eight_bit |= !octets.is_ascii();
        self.stray |= stray;
        if self.failure(&settings.limits).is_some() {
            return self.abandon(turn);
        }
        let octets = self.filter.pass(octets, &settings.authserv_id);
        let octets = match &mut self.completion {
            Some(completion) => completion.pass(octets),
            None => octets,
        };
        append(octets, turn);
    }

    /// The content is whole: the rest of it is handed on.
    fn finish(&mut self, settings: &Settings, turn: &mut Turn<'_>) {
        let mut octets = self.filter.finish(&settings.authserv_id);
        if let Some(completion) = &mut self.completion {
            octets = completion.pass(octets);
            octets.append(&mut completion.finish());
        }
        append(octets, turn);
    }

    /// Why it cannot be had, if it cannot. The spool comes first, whose trouble is not the peer's.
    pub(super) fn failure(&self, limits: &Limits) -> Option<Reply> {
        if let Some(given) = &self.refused {
            Some(given.clone())
        } else if self.stray {
            Some(replies::stray_in_content())
        } else if self.received.fields() > limits.received_fields {
            Some(replies::looping())
        } else if self.size > limits.message_size {
            Some(replies::too_large())
        } else {
            None
        }
    }

    /// Has the driver drop it, once.
    pub(super) fn abandon(&mut self, turn: &mut Turn<'_>) {
        if self.is_sound() {
            self.abandoned = true;
            turn.actions.push(Action::Abandon);
        }
    }
}

/// Has the driver append what there is.
fn append(octets: Vec<u8>, turn: &mut Turn<'_>) {
    if !octets.is_empty() {
        turn.actions.push(Action::Append(octets));
    }
}

impl Session {
    /// Reads content, up to its end or that of `octets`. Gives how many were used.
    pub(super) fn take_content(&mut self, octets: &[u8], turn: &mut Turn<'_>) -> usize {
        let Phase::Content(content) = &mut self.phase else {
            return 0;
        };
        let draft = match &mut self.transaction {
            Transaction::Open(open) => match &mut open.progress {
                Progress::Begun(draft) => Some(draft),
                Progress::Envelope | Progress::Failed => None,
            },
            _ => None,
        };
        let settings = &self.settings;
        match content {
            Content::Data(text) => {
                let mut decoded = Vec::with_capacity(octets.len());
                let (used, ended) = text.read(octets, &mut decoded);
                if let Some(draft) = draft {
                    draft.take(decoded, text.is_tainted(), settings, turn);
                }
                if ended {
                    self.message_ended(turn);
                }
                used
            }
            Content::Chunk { remaining, fate } => {
                let used =
                    usize::try_from(*remaining).map_or(octets.len(), |n| n.min(octets.len()));
                let piece = octets.get(..used).unwrap_or_default();
                *remaining = remaining.saturating_sub(u64::try_from(used).unwrap_or(u64::MAX));
                let ended = *remaining == 0;
                if let (Some(draft), Arriving::Taken { .. }) = (draft, fate) {
                    let stray = draft.line_ends.check(piece).is_err();
                    draft.take(piece.to_vec(), stray, settings, turn);
                }
                if ended {
                    self.chunk_ended(turn);
                }
                used
            }
        }
    }

    /// How long a peer may be silent within content.
    pub(super) fn content_timeout(&self) -> Duration {
        let limits = &self.settings.limits;
        match &self.transaction {
            Transaction::Open(open) if open.head.is_some() => {
                limits.content_timeout.min(limits.held_timeout)
            }
            _ => limits.content_timeout,
        }
    }

    /// The spool could not take what was appended.
    pub(super) fn fail_content(&mut self, reply: Reply, turn: &mut Turn<'_>) {
        if let Transaction::Open(open) = &mut self.transaction
            && let Progress::Begun(draft) = &mut open.progress
        {
            draft.refused.get_or_insert(reply);
            draft.abandon(turn);
        }
    }

    /// All octets of a BDAT are read.
    pub(super) fn chunk_ended(&mut self, turn: &mut Turn<'_>) {
        let phase = mem::replace(&mut self.phase, Phase::Command);
        self.await_command(turn.now);
        let Phase::Content(Content::Chunk { fate, .. }) = phase else {
            return;
        };
        match fate {
            Arriving::Swallowed { command, refusal } => {
                self.end_pace();
                self.refuse(&command, refusal, turn);
                self.fail_transaction(turn);
            }
            Arriving::Taken { last: true } => self.message_ended(turn),
            Arriving::Taken { last: false } => self.chunk_taken(turn),
        }
    }

    /// A chunk that is not the last: its own reply, and no promise.
    fn chunk_taken(&mut self, turn: &mut Turn<'_>) {
        let Transaction::Open(open) = &mut self.transaction else {
            return;
        };
        let Progress::Begun(draft) = &mut open.progress else {
            return;
        };
        let Some(failure) = draft.failure(&self.settings.limits) else {
            return turn.say(&replies::chunk_ok());
        };
        let (queue_id, size) = (draft.queue_id, draft.size);
        let reverse_path = open.mail.reverse_path.clone();
        self.refuse_content(queue_id, reverse_path, size, failure, turn);
        self.fail_transaction(turn);
    }

    /// A refused BDAT fails the transaction, if one is open: part of its message is missing.
    fn fail_transaction(&mut self, turn: &mut Turn<'_>) {
        let Transaction::Open(open) = &mut self.transaction else {
            return;
        };
        match &mut open.progress {
            Progress::Begun(draft) => draft.abandon(turn),
            // Only RSET helps now, and what is held is of no use any more.
            Progress::Envelope if open.is_held => turn.actions.push(Action::Abandon),
            Progress::Envelope | Progress::Failed => {}
        }
        open.progress = Progress::Failed;
    }

    /// The content is complete: it is judged, or refused for what it is. The transaction is over
    /// either way (RFC 5321 §4.1.1.4).
    fn message_ended(&mut self, turn: &mut Turn<'_>) {
        self.await_command(turn.now);
        let Transaction::Open(open) = &mut self.transaction else {
            return;
        };
        let Progress::Begun(draft) = &mut open.progress else {
            return;
        };
        if draft.line_ends.end().is_err() {
            draft.stray = true;
            draft.abandon(turn);
        }
        let (queue_id, size) = draft.identity();
        let Some(failure) = draft.failure(&self.settings.limits) else {
            draft.finish(&self.settings, turn);
            // What has gone on as it came has nothing left to be found out for, but whether it is what was claimed.
            if open.head.is_some() && !open.verdict.awaits_claimed() {
                self.take_custody(turn);
            } else {
                self.look_outside(turn);
            }
            return;
        };
        let reverse_path = open.mail.reverse_path.clone();
        self.drop_transaction();
        self.refuse_content(queue_id, reverse_path, size, failure, turn);
    }

    /// Nothing speaks against the message: asks for custody.
    pub(super) fn take_custody(&mut self, turn: &mut Turn<'_>) {
        let transaction = mem::replace(&mut self.transaction, Transaction::None);
        let Transaction::Open(open) = transaction else {
            return;
        };
        let Open {
            mail,
            verdict,
            recipients,
            answered,
            progress,
            head,
            ..
        } = *open;
        let Progress::Begun(draft) = progress else {
            return;
        };
        let (queue_id, size) = draft.identity();
        let result = match verdict.result() {
            // What an outer host of ours has queued cannot be put off: it is nothing known.
            VerdictResult::Tempfail => VerdictResult::Unknown,
            result => result,
        };
        let body = if draft.eight_bit {
            BodyType::EightBitMime
        } else {
            mail.body
        };
        let trace = head
            .unwrap_or_else(|| self.trace(&mail, &recipients, (&verdict, result), queue_id, turn));
        let envelope = Envelope {
            reverse_path: mail.reverse_path.clone(),
            verdict: result,
            origin: Origin::Client {
                address: self.client(),
                helo: self.client_helo(),
            },
            clearance: verdict.clearance(),
            body,
            smtputf8: mail.smtputf8,
            requests: mail.requests.clone(),
            transaction: mail.through.id.clone(),
            claim: mail.claim,
            trace,
            recipients: recipients.clone(),
        };
        self.end_pace();
        self.forwarded = None;
        let accepted = Accepted {
            queue_id,
            reverse_path: mail.reverse_path,
            verdict: result,
            recipients,
            size,
            is_onward: false,
        };
        self.ask(
            Ask::Commit(Box::new(envelope)),
            Waiting::Commit(Box::new(AtEnd { accepted, answered })),
            turn,
        );
    }

    /// Goes on with the end of the message, once the spool has answered.
    pub(super) fn committed(
        &mut self,
        mut accepted: Accepted,
        answer: Result<Custody, Reply>,
        turn: &mut Turn<'_>,
    ) {
        match answer {
            Ok(custody) => {
                accepted.is_onward = custody.is_onward();
                turn.say(&custody.spend());
                self.forgive_errors();
                turn.note(Note::Accepted(Box::new(accepted)));
            }
            Err(reply) => self.refuse_content(
                accepted.queue_id,
                accepted.reverse_path,
                accepted.size,
                replies::refusal(reply),
                turn,
            ),
        }
    }

    /// Refuses a message at its end.
    pub(super) fn refuse_content(
        &mut self,
        queue_id: QueueId,
        reverse_path: ReversePath,
        size: u64,
        reply: Reply,
        turn: &mut Turn<'_>,
    ) {
        turn.say(&reply);
        let is_error = self.is_error(&reply);
        turn.note(Note::ContentRefused {
            queue_id,
            reverse_path,
            size,
            reply,
        });
        self.count_error(is_error, turn);
    }
}
