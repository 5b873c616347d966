//! A path that is held together with others (PROTOCOLS C): how long the hosts ahead may take, what MAIL
//! tells them, and where the path ends.
//!
//! Promises: what was asked for in MAIL bounds every wait, and no next hop is told more than is left of it, less the
//! guard; where MAIL asked for nothing, next hops that hold paths are told how long we wait; a path has an id
//! and our own mark from the first host that knows of such on.
//!
//! Left to others: arithmetic and words (`proto::smtp::xhold`), what follows where nothing is left (the
//! machine).

use std::time::Duration;

use vouchsafe_proto::smtp::receive::{Hold, Settings};
use vouchsafe_proto::smtp::xhold::{
    Budget, End, Holding, MAX_HOPS, Mode, Reach, Spent, Terms, Through, TransactionId, Wish,
};
use vouchsafe_proto::time::Mono;

use crate::chance;
use crate::next_hop::RECIPIENT;

/// What EHLO says. At least twice the guard, so that something is left for the next hop; at most what the longest
/// of our own waits is, and the guard.
pub(in crate::smtp_in) const TERMS: Terms = Terms {
    min: 10,
    max: 485,
    hops: MAX_HOPS,
};

/// How one transaction's path is held.
#[derive(Debug)]
pub(super) struct Chain {
    holding: Option<Holding>,
    /// MAIL asked for it.
    is_asked: bool,
    budget: Result<Budget, Spent>,
    /// What came in, with an id of ours if it had none.
    through: Through,
    /// When the content ended.
    ended: Option<Mono>,
    /// Where the path of the recipient in hand ends.
    reach: Option<Reach>,
}

impl Chain {
    /// Of this transaction, with what we give next hops at most for a recipient, and for the last word.
    pub(super) fn new(settings: &Settings, mail: &Hold, patience: (Duration, Duration)) -> Self {
        let holding = settings.xhold.clone();
        let terms = holding.as_ref().map_or(TERMS, |holding| holding.terms);
        let own = Wish {
            mode: Mode::Prefer,
            recipient: with_guard(patience.0),
            last: with_guard(patience.1),
            hops: terms.hops,
        };
        let wish = mail.through.wish.map_or(own, |wish| Wish {
            recipient: wish.recipient.min(own.recipient),
            last: wish.last.min(own.last),
            ..wish
        });
        let mut through = mail.through.clone();
        if holding.is_some() && through.id.is_none() {
            let host = settings.hostname.as_ascii();
            through.id = TransactionId::parse(&format!("{:016x}@{host}", chance::number())).ok();
        }
        Self {
            is_asked: mail.through.wish.is_some(),
            budget: Budget::begin(wish, terms, mail.since),
            holding,
            through,
            ended: None,
            reach: None,
        }
    }

    /// MAIL has said how long its path may take.
    pub(super) const fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// The id that next hops are told, or have been.
    pub(super) fn transaction(&self) -> Option<TransactionId> {
        self.through.id.clone()
    }

    /// What may be done where no reply is to be had.
    pub(super) fn mode(&self) -> Mode {
        let wish = self.through.wish.filter(|_| self.is_asked);
        wish.map_or(Mode::Prefer, |wish| wish.mode)
    }

    /// One more RCPT came at `now`.
    pub(super) fn next_recipient(&mut self, now: Mono) {
        if let Ok(budget) = &mut self.budget {
            budget.next_recipient(now);
        }
    }

    /// The content has ended at `now`, or before.
    pub(super) fn content_ended(&mut self, now: Mono) {
        self.ended.get_or_insert(now);
    }

    /// How long a next hop may take for a recipient.
    pub(super) fn for_recipient(&self, now: Mono) -> Result<Duration, Spent> {
        if !self.is_asked {
            return Ok(RECIPIENT);
        }
        Ok(self.left(now)?.for_recipient(now)?.min(RECIPIENT))
    }

    /// By when its last word must be there, if MAIL has said so.
    pub(super) fn last_word_until(&self, now: Mono) -> Result<Option<Mono>, Spent> {
        if !self.is_asked {
            return Ok(None);
        }
        let ended = self.ended.unwrap_or(now);
        let wait = self.budget?.for_last_word(ended, now)?;
        Ok(Some(now.plus(wait)))
    }

    /// What MAIL tells a next hop that holds paths on these terms; nothing to one that does not.
    pub(super) fn onward(&self, now: Mono, terms: Option<Terms>) -> Result<Through, Spent> {
        let (Some(terms), Some(holding)) = (terms, &self.holding) else {
            return Ok(Through::default());
        };
        let wish = match self.left(now).and_then(|left| left.onward(now, terms)) {
            Err(spent) if self.is_asked => return Err(spent),
            // We wait for less than it would begin with: it is held as any other.
            wish => wish.ok(),
        };
        self.through.onward(wish, &holding.marker)
    }

    /// A next hop has taken a recipient; it says that its path ends there, or nothing of it.
    pub(super) fn reaches(&mut self, said: Option<Reach>, is_mailbox: bool) -> Reach {
        let end = if is_mailbox { End::Mailbox } else { End::Edge };
        let reach = said.map_or(Reach { end, hops: 0 }, Reach::before);
        self.reach = Some(reach);
        reach
    }

    /// What the client hears of the recipient that was accepted, if it asked for it.
    pub(super) fn take_reach(&mut self) -> Option<Reach> {
        let stored = Reach {
            end: End::Stored,
            hops: 0,
        };
        let reach = self.reach.take().unwrap_or(stored);
        self.is_asked.then_some(reach)
    }

    /// What is left; for a path that is opened behind the content, of the time for its end.
    fn left(&self, now: Mono) -> Result<Budget, Spent> {
        let budget = self.budget?;
        Ok(self.ended.map_or(budget, |ended| budget.late(ended, now)))
    }
}

/// In whole seconds, with the guard that is taken off.
fn with_guard(patience: Duration) -> u32 {
    let whole = patience.saturating_add(vouchsafe_proto::smtp::xhold::GUARD);
    u32::try_from(whole.as_secs()).unwrap_or(u32::MAX)
}
