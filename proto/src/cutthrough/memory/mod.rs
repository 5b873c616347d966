//! What next hops have said of recipients, for the time when they say nothing: a backup MX refuses an
//! unknown user although the primary is down.
//!
//! # Promises
//!
//! 1. A refusal is remembered for [`REFUSED_FOR`] from when it was last said, and no longer, whatever the
//!    clock does; an acceptance for [`ACCEPTED_FOR`]. No answer changes nothing.
//! 2. Only what was said of the *recipient* is remembered: not what was said of the sender, of the
//!    message, of us, or for now.
//! 3. Both are bounded, in all and for each next hop, and neither has a part of the other's room: a flood
//!    of made-up recipients puts out older refusals, and never an acceptance.
//! 4. What is read from a text that somebody has damaged is a part of it, within the same bounds.
//!
//! Left to others: the clock, the file, and when a refusal is used ([`super::Way`]).

mod table;
#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::{String, ToString as _};
use core::fmt::Write as _;
use core::time::Duration;

use crate::addr::{ForwardPath, MailDomain};
use crate::outcome::{Diagnostic, Onward, Outcome, OutcomeClass};
use crate::reply::EnhancedStatus;
use crate::route::NextHop;
use crate::time::Wall;
pub use table::Room;
use table::Table;

/// How many recipients are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Whom next hops have accepted.
    pub accepted: Room,
    /// Whom they have refused.
    pub refused: Room,
}

/// Some 300 octets each; a longer address takes more, up to the 320 that SMTP allows.
impl Default for Bounds {
    fn default() -> Self {
        Self {
            accepted: Room {
                total: 50_000,
                per_next_hop: 25_000,
            },
            refused: Room {
                total: 10_000,
                per_next_hop: 5_000,
            },
        }
    }
}

/// What next hops have said.
#[derive(Debug)]
pub struct Memory {
    accepted: Table<()>,
    refused: Table<Refusal>,
}

/// What was said of a recipient that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusal {
    code: u16,
    status: EnhancedStatus,
}

impl Memory {
    /// Nothing is known.
    pub const fn new(bounds: Bounds) -> Self {
        Self {
            accepted: Table::new(bounds.accepted, ACCEPTED_FOR),
            refused: Table::new(bounds.refused, REFUSED_FOR),
        }
    }

    /// A next hop has taken a recipient at RCPT. True if that is worth writing down: it was not known, or
    /// not for a day.
    pub fn accepted(&mut self, next_hop: &NextHop, recipient: &ForwardPath, now: Wall) -> bool {
        let (hop, recipient) = keys(next_hop, recipient);
        let was_refused = self.refused.remove(&hop, &recipient);
        let known = self.accepted.find(&hop, &recipient, now);
        if !was_refused && known.is_some_and(|(since, ())| now.since(since) < REFRESHED_AFTER) {
            return false;
        }
        self.accepted.keep(&hop, &recipient, (), now, now);
        true
    }

    /// A next hop has refused a recipient, by what it said to RCPT. True if that is something to be
    /// remembered.
    ///
    /// A bare 550 without an enhanced status may be about anything; it is taken to be about the recipient
    /// only as long as that one was never accepted.
    pub fn refused(
        &mut self,
        next_hop: &NextHop,
        recipient: &ForwardPath,
        outcome: &Outcome,
        now: Wall,
    ) -> bool {
        let Some((refusal, about)) = Refusal::of(outcome) else {
            return false;
        };
        let (hop, recipient) = keys(next_hop, recipient);
        if about == About::Unsaid && self.accepted.find(&hop, &recipient, now).is_some() {
            return false;
        }
        self.accepted.remove(&hop, &recipient);
        self.refused.keep(&hop, &recipient, refusal, now, now);
        true
    }

    /// What the next hop has said of a recipient that it refused, if it did so lately and has not taken
    /// it since. The outcome has the code and the status, and not the words.
    pub fn refusal(
        &self,
        next_hop: &NextHop,
        recipient: &ForwardPath,
        now: Wall,
    ) -> Option<Outcome> {
        let (hop, recipient) = keys(next_hop, recipient);
        let (_, refusal) = self.refused.find(&hop, &recipient, now)?;
        Some(refusal.outcome())
    }

    /// Recipients that are remembered: accepted, and refused. Some may be so no longer.
    pub fn count(&self) -> (usize, usize) {
        (self.accepted.len(), self.refused.len())
    }

    /// All of it, a line for each recipient.
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADING}\n");
        for (since, hop, recipient, ()) in self.accepted.all() {
            if is_writable(hop) && is_writable(recipient) {
                let since = since.as_millis();
                // To a String it cannot fail.
                let _ = writeln!(text, "+\t{since}\t{hop}\t{recipient}");
            }
        }
        for (since, hop, recipient, refusal) in self.refused.all() {
            if is_writable(hop) && is_writable(recipient) {
                let (since, Refusal { code, status }) = (since.as_millis(), refusal);
                let _ = writeln!(text, "-\t{since}\t{hop}\t{recipient}\t{code}\t{status}");
            }
        }
        text
    }

    /// What such a text says and still holds; lines that make no sense are left out.
    pub fn of_text(text: &str, bounds: Bounds, now: Wall) -> Self {
        let mut memory = Self::new(bounds);
        let mut lines = text.lines();
        if lines.next() == Some(HEADING) {
            for line in lines {
                // What makes no sense is as if it had not been heard.
                let _ = memory.take_line(line, now);
            }
        }
        memory
    }

    fn take_line(&mut self, line: &str, now: Wall) -> Option<()> {
        let mut words = line.split('\t');
        let (kind, since) = (words.next()?, words.next()?.parse().ok()?);
        let (since, hop, recipient) = (Wall::from_millis(since), words.next()?, words.next()?);
        if kind == "+" {
            // Of a time that is yet to come: the clock was set back.
            self.refused.remove(hop, recipient);
            self.accepted.keep(hop, recipient, (), since.min(now), now);
        } else {
            let code = words.next()?.parse().ok()?;
            let status = EnhancedStatus::parse(words.next()?)?;
            let refusal = Refusal { code, status };
            let is_one = kind == "-" && code / 100 == 5 && status.class == 5;
            if is_one && since <= now && !self.accepted.remove(hop, recipient) {
                self.refused.keep(hop, recipient, refusal, since, now);
            }
        }
        Some(())
    }
}

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// The recipient.
    Recipient,
    /// It does not say.
    Unsaid,
}

impl Refusal {
    /// What is remembered of a reply to RCPT, if it is, or may be, about the recipient.
    fn of(outcome: &Outcome) -> Option<(Self, About)> {
        let status = outcome.status;
        let code = outcome.reply_code()?;
        if outcome.class != OutcomeClass::Permanent || code / 100 != 5 {
            return None;
        }
        let about = match (status.subject, status.detail) {
            // RFC 3463 §3.2, without those about the sender (X.1.7, X.1.8) and what is said of either
            // (X.1.0); RFC 7505 (X.1.10); and X.2.1, a mailbox that takes no mail.
            (1, 1 | 2 | 3 | 4 | 6 | 10) | (2, 1) => About::Recipient,
            // RFC 5321 §4.3.2: what RCPT is refused with for a mailbox that is not there, has moved,
            // or cannot be.
            (0, 0) if matches!(code, 550 | 551 | 553) => About::Unsaid,
            _ => return None,
        };
        Some((Self { code, status }, about))
    }

    fn outcome(self) -> Outcome {
        let Self { code, status } = self;
        Outcome {
            class: OutcomeClass::Permanent,
            status,
            remote: None,
            diagnostic: Diagnostic::Reply(format!("{code} {status} said before")),
            onward: Onward::default(),
        }
    }
}

/// The next hop and the recipient as they are compared and written: domains without regard to case and
/// to how they are encoded, local-parts octet by octet without quoting.
fn keys(next_hop: &NextHop, recipient: &ForwardPath) -> (String, String) {
    let recipient = match recipient {
        ForwardPath::Mailbox(mailbox) => {
            let local_part = mailbox.local_part.unquoted();
            match &mailbox.domain {
                MailDomain::Name(domain) => format!("{local_part}@{}", domain.as_ascii()),
                other => format!("{local_part}@{other}"),
            }
        }
        ForwardPath::Postmaster => recipient.to_string(),
    };
    (next_hop.to_string(), recipient)
}

/// True for what is no end of a word or line: a path may have one in it.
fn is_writable(word: &str) -> bool {
    !word.contains(['\t', '\n', '\r'])
}

/// How long a next hop that is down is believed that it knows no such recipient: somebody may be about to
/// be given that address.
pub const REFUSED_FOR: Duration = Duration::from_hours(3);

/// How long an acceptance counts: as long as Postfix's of its probes.
pub const ACCEPTED_FOR: Duration = Duration::from_hours(31 * 24);

/// An acceptance younger than this is not noted anew: ordinary traffic would have all of it written again
/// every few minutes.
const REFRESHED_AFTER: Duration = Duration::from_hours(24);

/// The first line of the text.
const HEADING: &str = "vouchsafe recipients 1";
