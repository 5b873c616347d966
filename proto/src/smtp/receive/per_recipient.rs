//! The end of a message for each of its recipients (PRDR, draft-hall-prdr-00), by DATA or by BDAT (§4.4).
//!
//! Where all end in the same way there is one reply, as ever, which the draft prefers (§4.4, §4.7): so it is
//! for everything that goes through the spool. Where they do not: 353, a reply for each RCPT that was
//! answered 250, in their order, and one for the whole (§4.5).

use alloc::vec::Vec;

use super::session::{AtEnd, Open, Session, Transaction, Turn};
use super::{Accepted, Note, replies};
use crate::custody::{Answers, Custody};
use crate::reply::Reply;

impl Open {
    /// Recipients, or replies that there may have to be for them.
    pub(super) fn answers(&self) -> usize {
        self.recipients.len().max(self.answered.len())
    }

    /// RCPT is answered 250 for the recipient in this place.
    pub(super) fn will_be_answered(&mut self, place: usize) {
        if self.mail.per_recipient {
            self.answered.push(place);
        }
    }
}

impl Session {
    /// RCPT for a recipient that is accepted already: it is accepted again, and had once.
    pub(super) fn recipient_again(&mut self, place: usize, verb: &str, turn: &mut Turn<'_>) {
        let Transaction::Open(open) = &mut self.transaction else {
            return;
        };
        if open.mail.per_recipient && open.answers() >= self.settings.limits.recipients {
            return self.refuse(verb, replies::too_many_recipients(), turn);
        }
        open.will_be_answered(place);
        turn.say(&replies::recipient_ok());
    }

    /// Goes on with the end of the message, once each recipient has its end.
    pub(super) fn committed_for_each(
        &mut self,
        at_end: AtEnd,
        ends: Vec<Result<Custody, Reply>>,
        turn: &mut Turn<'_>,
    ) {
        let AtEnd { accepted, answered } = at_end;
        let count = accepted.recipients.len();
        // An end for everybody, and in a form that says no where it is no.
        let mut ends: Vec<_> = (ends.into_iter().take(count))
            .map(|end| end.map_err(replies::refusal))
            .collect();
        ends.resize_with(count, || Err(replies::refusal(replies::ok())));
        let mut accepted = accepted;
        accepted.is_onward = ends.iter().flatten().all(Custody::is_onward);
        let Answers { each, last } = Custody::spend_for_each(ends);
        if !each.is_empty() {
            if answered.is_empty() {
                // Nobody asked to hear it: one reply can only put all of it off.
                return self.refuse_at_end(accepted, replies::refusal(replies::ok()), turn);
            }
            turn.say(&replies::each_follows());
            let replies = answered.iter().filter_map(|place| each.get(*place));
            replies.for_each(|reply| turn.say(reply));
            accepted = leave_refused(accepted, &each, turn);
        }
        if last.is_positive() {
            turn.say(&last);
            self.forgive_errors();
            turn.note(Note::Accepted(accepted.into()));
        } else {
            self.refuse_at_end(accepted, last, turn);
        }
    }

    /// Refuses a message for all.
    fn refuse_at_end(&mut self, message: Accepted, reply: Reply, turn: &mut Turn<'_>) {
        let Accepted {
            queue_id,
            reverse_path,
            size,
            ..
        } = message;
        self.refuse_content(queue_id, reverse_path, size, reply, turn);
    }
}

/// The message with those of its recipients who were not refused; the others are noted.
fn leave_refused(mut message: Accepted, each: &[Reply], turn: &mut Turn<'_>) -> Accepted {
    let reverse_path = &message.reverse_path;
    let mut replies = each.iter();
    message.recipients.retain(|recipient| {
        let refusal = replies.next().filter(|reply| !reply.is_positive());
        if let Some(reply) = refusal {
            turn.note(Note::RecipientRefused {
                reverse_path: reverse_path.clone(),
                recipient: recipient.path.clone(),
                reply: reply.clone(),
            });
        }
        refusal.is_none()
    });
    message
}
