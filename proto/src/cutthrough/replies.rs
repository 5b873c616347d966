//! What is said of the path ahead: the next hop's code, and words of ours. Its own words would tell of
//! hosts behind us; they are in the log.

use crate::outcome::{Outcome, OutcomeClass};
use crate::reply::Reply;

/// To RCPT, by what the next hop has said of the recipient.
pub(super) fn refused_recipient(outcome: &Outcome) -> Reply {
    let text = match outcome.class {
        OutcomeClass::Permanent => "recipient refused by the host that takes its mail on",
        _ => "recipient not taken now by the host that takes its mail on",
    };
    passed_back(outcome, text)
}

/// To RCPT, by what the next hop has said of the recipient before: now it says nothing.
pub(super) fn refused_before(outcome: &Outcome) -> Reply {
    let text = "recipient was refused by the host that takes its mail on";
    passed_back(outcome, text)
}

/// To the end of the message, by what the next hop has said.
pub(super) fn refused_message(outcome: &Outcome) -> Reply {
    let text = match outcome.class {
        OutcomeClass::Permanent => "message refused by the host that takes it on",
        _ => "message not taken now by the host that takes it on",
    };
    passed_back(outcome, text)
}

/// To the end of the message, for one recipient of several (PRDR): by a code that RCPT could have
/// (draft-hall-prdr-00 §4.5.2).
pub(super) fn refused_for_one(outcome: &Outcome) -> Reply {
    let reply = refused_recipient(outcome);
    let status = outcome.status;
    let code = match reply.code() {
        // RFC 5321 §4.3.2.
        450..=452 | 455 | 550..=553 => return reply,
        code if code < 500 => 450,
        _ => 550,
    };
    let text = reply.lines().first().cloned().unwrap_or_default();
    Reply::new(code, (status.class, status.subject, status.detail), text)
}

/// Where no reply is to be had, and nothing is stored: the sender keeps it (RFC 3463 X.4.1: no answer
/// from host).
pub(super) fn no_answer() -> Reply {
    Reply::new(
        451,
        (4, 4, 1),
        "no answer from the host ahead, try again later",
    )
}

/// To RCPT, where its recipient could end otherwise than those before it.
pub(super) fn separate_transaction() -> Reply {
    Reply::new(
        452,
        (4, 5, 3),
        "send this recipient in a transaction of its own",
    )
}

/// To RCPT, where its next hop has been asked for as many as it is asked for (RFC 5321 §4.5.3.1.10).
pub(super) fn too_many_recipients() -> Reply {
    Reply::new(452, (4, 5, 3), "too many recipients")
}

/// The code of a refusal, where it has one of the class that it was taken for.
fn passed_back(outcome: &Outcome, text: &'static str) -> Reply {
    let status = outcome.status;
    let (first, plain) = match outcome.class {
        // RFC 1870 §6.1.
        OutcomeClass::Permanent if (status.subject, status.detail) == (3, 4) => (5, 552),
        OutcomeClass::Permanent => (5, 550),
        OutcomeClass::Transient | OutcomeClass::Delivered => (4, 450),
    };
    let code = outcome.reply_code().filter(|code| code / 100 == first);
    Reply::new(
        code.unwrap_or(plain),
        (status.class, status.subject, status.detail),
        text,
    )
}
