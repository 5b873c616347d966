//! Looks into our own ledger for the message that a report is about (PROTOCOLS B.6). Nobody is asked.
//!
//! Promises: whatever is unclear is said to be; nothing is taken for a forgery that is not recognised, dated and covered.
//! Left to others: what follows from it (proto).

use vouchsafe_proto::addr::{Domain, ForwardPath, ReversePath};
use vouchsafe_proto::dsn::recognise::{Bounce, recognise};
use vouchsafe_proto::residue::covered::{Reader, envelope_id, identity};
use vouchsafe_proto::residue::{Digest, Hour, Kind};
use vouchsafe_proto::time::Wall;
use vouchsafe_proto::verify::bounce::{Finding, Unclear};
use vouchsafe_spool::ledger::{Answer, Hours, KEPT_HOURS, Ledger};

use crate::ledger::{Sha256, about, as_small};

/// Hours ahead of now that messages are entered for.
const AHEAD_HOURS: u32 = 48;

/// What the ledger says of the message that this one is about, which came for these recipients. Blocks, where the
/// ledger reads its files.
pub fn look(ledger: &Ledger, message: &[u8], recipients: &[ForwardPath], now: Wall) -> Finding {
    let Some(bounce) = recognise(message, true) else {
        return Finding::Unclear(Unclear::NotRecognised);
    };
    let message_id = bounce.original_message_id.as_deref();
    let message_id = message_id.map(|message_id| format!("<{message_id}>"));
    let of = |sender: &ReversePath| {
        let envids = bounce.envelope_ids();
        let mut digests: Vec<Digest> = envids
            .filter_map(|envid| envelope_id::<Sha256>(sender, &envid))
            .collect();
        let id = message_id.as_deref();
        digests.extend(id.and_then(|id| identity::<Sha256>(sender, id.as_bytes())));
        digests
    };
    match find(ledger, of, recipients, now) {
        None => Finding::Unclear(Unclear::Trouble),
        Some(true) => Finding::Ours,
        // An ENVID that is not known proves nothing: a host that only adds its messages to the ledger adds none.
        Some(false) if message_id.is_none() => Finding::Unclear(Unclear::NoReference),
        Some(false) => unless_unclear(ledger, &bounce, recipients, now),
    }
}

/// Whether any of its recipients has sent what one of these digests is of; none if that cannot be known.
fn find(
    ledger: &Ledger,
    of: impl Fn(&ReversePath) -> Vec<Digest>,
    recipients: &[ForwardPath],
    now: Wall,
) -> Option<bool> {
    let now = Hour::at(now)?;
    let first = Hour::new(now.number().saturating_sub(KEPT_HOURS))?;
    let hours = Hours::new(first, KEPT_HOURS.saturating_add(AHEAD_HOURS));
    let mut questions = Vec::new();
    for sender in recipients.iter().filter_map(sender) {
        // Some hosts write addresses in small letters.
        for sender in [as_small(&sender), Some(sender)].into_iter().flatten() {
            for digest in of(&sender) {
                questions.push(about(Kind::Identity, hours, digest)?);
            }
        }
    }
    let mut answers = vec![Answer::NotFound; questions.len()];
    ledger.look_up(&questions, &mut answers);
    if answers.contains(&Answer::Sent) {
        Some(true)
    } else if answers.contains(&Answer::Unreadable) {
        None
    } else {
        Some(false)
    }
}

/// The recipient of a report sent what it is about.
fn sender(recipient: &ForwardPath) -> Option<ReversePath> {
    match recipient {
        ForwardPath::Mailbox(mailbox) => Some(ReversePath::Mailbox(mailbox.clone())),
        ForwardPath::Postmaster => None,
    }
}

/// None was found: whether that means that none was sent.
fn unless_unclear(
    ledger: &Ledger,
    bounce: &Bounce,
    recipients: &[ForwardPath],
    now: Wall,
) -> Finding {
    let Some(hour) = bounce.original_date.as_deref().and_then(hour_of) else {
        return Finding::Unclear(Unclear::NoDate);
    };
    let is_covered = |domain: &Domain| {
        let span = ledger.covered(domain, now);
        span.is_some_and(|span| span.contains(hour))
    };
    let mut domains = recipients.iter().map(ForwardPath::domain);
    let are_covered = domains.all(|domain| domain.is_some_and(is_covered));
    if are_covered && !ledger.misses(hour) {
        Finding::NotOurs
    } else {
        Finding::Unclear(Unclear::NotCovered)
    }
}

/// The hour that a Date field with this value is filed under.
fn hour_of(date: &str) -> Option<Hour> {
    let mut reader = Reader::<Sha256>::default();
    reader.read(b"Date: ");
    reader.read(date.as_bytes());
    reader.read(b"\r\n\r\n");
    reader.finish().ok()?.hour().ok()
}
