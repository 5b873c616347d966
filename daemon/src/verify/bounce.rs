//! Looks into our own ledger for the message that a report is about (PROTOCOLS B.6). Nobody is asked.
//!
//! Promises: whatever is unclear is said to be; nothing is taken for a forgery that is not recognised, dated and covered.
//! Left to others: what follows from it (proto).

use vouchsafe_proto::addr::{Domain, ForwardPath, ReversePath};
use vouchsafe_proto::dsn::recognise::{Bounce, recognise};
use vouchsafe_proto::residue::covered::{Reader, envelope_id, identity, reference};
use vouchsafe_proto::residue::{Digest, Hour, Kind};
use vouchsafe_proto::time::Wall;
use vouchsafe_proto::verify::bounce::{Finding, Unclear};
use vouchsafe_spool::ledger::{Answer, Hours, KEPT_HOURS, Ledger};

use crate::ledger::{Sha256, about, spellings};

/// Hours ahead of now that messages are entered for.
const AHEAD_HOURS: u32 = 48;

/// What the ledger says of the message that this one is about, which came for these recipients. Blocks, where the
/// ledger reads its files.
pub fn look(ledger: &Ledger, message: &[u8], recipients: &[ForwardPath], now: Wall) -> Finding {
    let Some(bounce) = recognise(message, true) else {
        return Finding::Unclear(Unclear::NotRecognised);
    };
    match has_any(ledger, names(&bounce, recipients), now) {
        None => Finding::Unclear(Unclear::Trouble),
        Some(true) => Finding::Ours,
        Some(false) => {
            doubt(ledger, &bounce, recipients, now).map_or(Finding::NotOurs, Finding::Unclear)
        }
    }
}

/// What the ledger has, if any of its recipients has sent what it is about.
fn names(bounce: &Bounce, recipients: &[ForwardPath]) -> Vec<Digest> {
    let id = message_id(bounce);
    let mut digests = Vec::new();
    for sender in recipients.iter().filter_map(sender) {
        for sender in spellings(sender) {
            let envids = bounce.envelope_ids();
            digests.extend(envids.filter_map(|envid| envelope_id::<Sha256>(&sender, &envid)));
            let id = id.as_deref();
            digests.extend(id.and_then(|id| identity::<Sha256>(&sender, id)));
        }
    }
    digests
}

/// The Message-ID that it names, as one is entered.
fn message_id(bounce: &Bounce) -> Option<Vec<u8>> {
    let id = bounce.original_message_id.as_deref()?;
    Some(format!("<{id}>").into_bytes())
}

/// Whether the ledger has one of these, whatever their hour; none if that cannot be known.
fn has_any(ledger: &Ledger, digests: Vec<Digest>, now: Wall) -> Option<bool> {
    let now = Hour::at(now)?;
    let first = Hour::new(now.number().saturating_sub(KEPT_HOURS))?;
    let hours = Hours::new(first, KEPT_HOURS.saturating_add(AHEAD_HOURS));
    let asked = digests.into_iter();
    let questions: Option<Vec<_>> = asked
        .map(|digest| about(Kind::Identity, hours, digest))
        .collect();
    let questions = questions?;
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

/// None was found: why that does not mean that none was sent.
fn doubt(
    ledger: &Ledger,
    bounce: &Bounce,
    recipients: &[ForwardPath],
    now: Wall,
) -> Option<Unclear> {
    // An ENVID that is not known proves nothing: a host that only adds its messages to the ledger adds none.
    let Some(id) = message_id(bounce).filter(|_| bounce.is_returned) else {
        return Some(Unclear::NoReference);
    };
    let by_anybody = reference::<Sha256>(&id).into_iter().collect();
    match has_any(ledger, by_anybody, now) {
        None => return Some(Unclear::Trouble),
        Some(true) => return Some(Unclear::OtherSender),
        Some(false) => {}
    }
    if !recipients.iter().all(|path| is_to(bounce, path)) {
        return Some(Unclear::Forwarded);
    }
    let Some(hour) = bounce.original_date.as_deref().and_then(hour_of) else {
        return Some(Unclear::NoDate);
    };
    let is_covered = |domain: &Domain| {
        let span = ledger.covered(domain, now);
        span.is_some_and(|span| span.contains(hour))
    };
    let mut domains = recipients.iter().map(ForwardPath::domain);
    let are_covered = domains.all(|domain| domain.is_some_and(is_covered));
    (!are_covered || ledger.misses(hour)).then_some(Unclear::NotCovered)
}

/// Whether it says that it is to this recipient: what was forwarded is about what was sent from another address.
fn is_to(bounce: &Bounce, recipient: &ForwardPath) -> bool {
    let mut addressees = bounce.addressees.iter();
    match recipient {
        ForwardPath::Mailbox(mailbox) => {
            let recipient = mailbox.to_string();
            addressees.any(|to| to.eq_ignore_ascii_case(&recipient))
        }
        ForwardPath::Postmaster => false,
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
