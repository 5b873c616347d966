//! DATA and BDAT, until content flows (RFC 5321 §4.1.1.4, RFC 3030 §2).
//!
//! The octets of a BDAT come whatever is thought of it, so each of its refusals swallows them first
//! and speaks afterwards.

use alloc::boxed::Box;

use super::content::{Arriving, Content, Draft};
use super::session::{Progress, Session, Transaction, Turn, Waiting};
use super::{Action, Ask, Begun, replies};
use crate::message::Missing;
use crate::queue_id::QueueId;
use crate::reply::Reply;
use crate::smtp::command::Chunk;
use crate::smtp::framing::DotText;

/// What waits for a message to be begun.
#[derive(Clone, Copy, Debug)]
pub(super) enum Upcoming {
    /// DATA.
    Data,
    /// A first BDAT.
    Chunk(Chunk),
}

impl Session {
    /// Checks DATA and asks for a message to be begun.
    pub(super) fn data(&mut self, verb: &str, turn: &mut Turn<'_>) {
        match self.content_refusal() {
            Some(refusal) => self.refuse(verb, refusal, turn),
            None if self.has_begun() => self.refuse(verb, replies::not_while_chunking(), turn),
            None => self.begin(Upcoming::Data, turn),
        }
    }

    /// Checks BDAT; a first one asks for a message to be begun.
    pub(super) fn chunk(&mut self, chunk: Chunk, verb: &str, turn: &mut Turn<'_>) {
        let refusal = if chunk.malformed {
            Some(replies::malformed_argument())
        } else {
            self.content_refusal()
        };
        match refusal {
            Some(refusal) => self.swallow(chunk, verb, refusal, turn),
            None if self.has_begun() => self.await_chunk(chunk, turn),
            None => self.begin(Upcoming::Chunk(chunk), turn),
        }
    }

    /// Why no content can be had now, if it cannot.
    fn content_refusal(&self) -> Option<Reply> {
        let Transaction::Open(open) = &self.transaction else {
            return Some(replies::mail_first());
        };
        match open.progress {
            Progress::Failed => Some(replies::not_while_chunking()),
            Progress::Envelope if open.recipients.is_empty() => Some(replies::recipient_first()),
            Progress::Envelope | Progress::Begun(_) => None,
        }
    }

    /// True in the middle of BDAT.
    fn has_begun(&self) -> bool {
        matches!(&self.transaction, Transaction::Open(open)
            if matches!(open.progress, Progress::Begun(_)))
    }

    /// Asks the spool for a message.
    fn begin(&mut self, upcoming: Upcoming, turn: &mut Turn<'_>) {
        let Transaction::Open(open) = &self.transaction else {
            return;
        };
        let ask = Ask::Begin {
            declared: open.mail.size,
            is_own: open.verdict.is_own(),
            is_claimed: open.verdict.awaits_claimed(),
        };
        self.ask(ask, Waiting::Begin(upcoming), turn);
    }

    /// Goes on with DATA or BDAT, once the spool has answered.
    pub(super) fn begun(
        &mut self,
        upcoming: Upcoming,
        answer: Result<Begun, Reply>,
        turn: &mut Turn<'_>,
    ) {
        let begun = match (answer, upcoming) {
            (Ok(begun), _) => begun,
            (Err(reply), Upcoming::Data) => {
                return self.refuse("DATA", replies::refusal(reply), turn);
            }
            (Err(reply), Upcoming::Chunk(chunk)) => {
                return self.swallow(chunk, "BDAT", replies::refusal(reply), turn);
            }
        };
        if let Upcoming::Data = upcoming {
            // Before anything goes on: a next hop may take its time with its own.
            turn.say(&replies::send_content());
        }
        let head = begun.passes_on.then(|| self.head(begun.queue_id, turn));
        if let Transaction::Open(open) = &mut self.transaction {
            let mut draft = Draft::new(begun.queue_id, open.from_perimeter);
            if open.verdict.is_own() {
                let host = &self.settings.hostname;
                draft.complete(Missing::new(begun.queue_id, host, turn.now.wall));
            }
            open.progress = Progress::Begun(Box::new(draft));
            open.head = head.flatten();
        }
        match upcoming {
            Upcoming::Data => {
                let text = DotText::default();
                self.await_content(Content::Data(text), turn.now);
            }
            Upcoming::Chunk(chunk) => self.await_chunk(chunk, turn),
        }
    }

    /// Our fields above content that goes on as it comes: what is known now.
    fn head(&self, id: QueueId, turn: &mut Turn<'_>) -> Option<Box<str>> {
        let Transaction::Open(open) = &self.transaction else {
            return None;
        };
        let found = (&*open.verdict, open.verdict.result());
        let head = self.trace(&open.mail, &open.recipients, found, id, turn);
        turn.actions.push(Action::Head(head.clone()));
        Some(head)
    }

    /// Takes a chunk into the message.
    fn await_chunk(&mut self, chunk: Chunk, turn: &mut Turn<'_>) {
        self.arriving(chunk, Arriving::Taken { last: chunk.last }, turn);
    }

    /// Reads a chunk away, then refuses it. A transaction that is open fails by it.
    fn swallow(&mut self, chunk: Chunk, verb: &str, refusal: Reply, turn: &mut Turn<'_>) {
        let fate = Arriving::Swallowed {
            command: verb.into(),
            refusal,
        };
        self.arriving(chunk, fate, turn);
    }

    /// Begins to read a chunk.
    fn arriving(&mut self, chunk: Chunk, fate: Arriving, turn: &mut Turn<'_>) {
        let content = Content::Chunk {
            remaining: chunk.length,
            fate,
        };
        self.await_content(content, turn.now);
        if chunk.length == 0 {
            self.chunk_ended(turn);
        }
    }
}
