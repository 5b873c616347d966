//! The course of asking about one message: first everything that B.5 wants to know, then, where the domain says that it
//! did not send it, once more what decided that.
//!
//! What one server says once may be a copy of the ledger that lags behind. So "not sent" counts when another server has
//! said it too, or any half a minute later, which is when the client, told 451, has come again. What is said again is that
//! there is no message of this identity: it has an entry whomever the message was sent to, so that one which came by a
//! forwarder that nobody has declared is found by it, too. Of the six questions that a message may cost one is always left
//! for that.
//!
//! Promised: a try costs six questions at most, and so do all tries of a message together once the domain has said that
//! it did not send it, but for those about what a client claims at MAIL, which could else use them up; "not sent" comes of
//! nothing but that word, from every question, and again; a repetition that is odd half a minute later ends it: nothing is
//! known; a domain that takes it back is believed; where there was no room to remember what was denied, for as long as
//! anything is held up, what is said once counts for nothing. Left to others: the asking, digests, and the memory between
//! two tries.

use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::{Before, Denial, Finding, HELD_UP};
use crate::addr::Domain;
use crate::residue::inquiry::{About, Inquiry, MOST_QUESTIONS, Meaning, Next};
use crate::residue::{Policy, Word};

/// After so long the same question is another witness.
pub const APART: Duration = Duration::from_secs(30);

/// What was heard of one question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The answer; none where there was none, or an odd one.
    pub word: Option<Word>,
    /// Who gave it.
    pub server: Option<IpAddr>,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// These are to be asked, all at the same time, and what was heard of each given.
    Ask(Vec<About>),
    /// This is to be asked again, of another server than this one; without another nothing is heard.
    AskAnother(About, IpAddr),
    /// That is all.
    Done(Finding),
}

/// Asking about one message.
#[derive(Debug)]
pub struct Course {
    inquiry: Inquiry,
    policy: Policy,
    /// The message is dated in the future.
    is_ahead: bool,
    before: Before,
    stage: Stage,
    /// Who has answered last what was asked for the first time: in the end, about the identity.
    server: Option<IpAddr>,
    /// Questions, with those of earlier tries.
    asked: usize,
}

/// What is being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// For the first time.
    First,
    /// Again, at once and by another server.
    Another,
    /// Again, some time later.
    Later,
}

impl Course {
    /// About a message for these recipients' domains, which may have come by way of those `elsewhere`; `before` is what
    /// was said of it at an earlier try.
    pub fn new(
        recipients: &[Domain],
        elsewhere: &[Domain],
        (policy, is_ahead): (Policy, bool),
        before: Before,
    ) -> Self {
        Self {
            inquiry: Inquiry::new(recipients, elsewhere),
            policy,
            is_ahead,
            asked: before.asked,
            stage: Stage::First,
            server: None,
            before,
        }
    }

    /// The same when so many questions of this try were spent before (PROTOCOLS D): others are left out for them.
    #[must_use]
    pub fn after(mut self, spent: usize) -> Self {
        self.inquiry = self.inquiry.after(spent);
        self
    }

    /// The domain says now what is to be done with what it did not send.
    pub const fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Questions that the message has cost, with those of earlier tries.
    pub const fn asked(&self) -> usize {
        self.asked
    }

    /// What is asked first.
    pub fn begin(&mut self) -> Move {
        if let Some(meaning) = &self.before.meaning {
            return Move::Done(Finding::Answered(meaning.clone()));
        }
        let is_early = self.before.since_last < APART;
        let is_spent = self.asked >= MOST_QUESTIONS;
        match self.before.denied {
            0 => {
                let next = self.inquiry.begin();
                self.go_on(next)
            }
            1 if is_early => self.denied(Denial::Once),
            1 if is_spent => unknown(),
            _ if is_early || is_spent => self.denied(Denial::Twice),
            _ => {
                self.stage = Stage::Later;
                self.ask(vec![About::Identity])
            }
        }
    }

    /// What comes of the answers to the questions that were asked last, in their order.
    pub fn answered(&mut self, heard: &[Heard]) -> Move {
        let first = heard.first().copied().unwrap_or_default();
        match self.stage {
            Stage::First => {
                self.server = first.server;
                let words: Vec<_> = heard.iter().map(|heard| heard.word).collect();
                let next = self.inquiry.answered(&words);
                self.go_on(next)
            }
            Stage::Another | Stage::Later => self.said_again(first.word),
        }
    }

    fn said_again(&self, word: Option<Word>) -> Move {
        match (word, self.stage) {
            (Some(Word::NotSent), _) => self.denied(Denial::Twice),
            // A server knows what another did not. Whether it is this message it was not asked.
            (Some(Word::Sent), _) => Move::Done(Finding::Answered(Meaning::Altered)),
            // Then it is asked later.
            (None, Stage::Another) => self.denied(Denial::Once),
            // What was said twice is not undone by a datagram that was lost.
            (None, _) if self.before.denied > 1 => self.denied(Denial::Twice),
            (Some(Word::Unknown) | None, _) => unknown(),
        }
    }

    fn go_on(&mut self, next: Next) -> Move {
        match next {
            Next::Ask(about) => self.ask(about),
            Next::Done(Meaning::NotSent) => self.ask_another(),
            Next::Done(meaning) => Move::Done(Finding::Answered(meaning)),
        }
    }

    fn ask(&mut self, about: Vec<About>) -> Move {
        self.asked = self.asked.saturating_add(about.len());
        Move::Ask(about)
    }

    /// The domain has said for the first time that it did not send it.
    fn ask_another(&mut self) -> Move {
        // What it weighs does not depend on whether it is said again; and a question must be left for later.
        let is_enough = self.is_ahead || self.policy == Policy::None;
        let is_last = self.asked.saturating_add(1) >= MOST_QUESTIONS;
        match self.server {
            Some(server) if !is_enough && !is_last => {
                self.stage = Stage::Another;
                self.asked = self.asked.saturating_add(1);
                Move::AskAnother(About::Identity, server)
            }
            _ => self.denied(Denial::Once),
        }
    }

    fn denied(&self, denial: Denial) -> Move {
        // Where there is no room to remember it, it may have been held up before, and would be for ever.
        let is_long = self.before.since_first.max(self.before.crowded) >= HELD_UP;
        Move::Done(Finding::Denied(match denial {
            _ if self.is_ahead => Denial::Ahead,
            Denial::Once if self.before.crowded >= HELD_UP => return unknown(),
            Denial::Twice if is_long => Denial::Overdue,
            denial => denial,
        }))
    }
}

const fn unknown() -> Move {
    Move::Done(Finding::Answered(Meaning::Unknown))
}
