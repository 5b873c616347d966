//! The 250 rule (DESIGN §2): what may be said of a message, by what is known of the path ahead and of
//! who gave the reverse-path. One pure function; its table is its test.

use crate::reply::ReplyClass;
use crate::route::WhenUnproven;
use crate::verify::VerdictResult;

/// What is known of the path ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ahead {
    /// Every host on it has said its final 2yz.
    Taken,
    /// A next hop has refused by a reply; the class is 4yz or 5yz.
    Replied(ReplyClass),
    /// No reply is to be had: the next hop is down, silent, out of step, or over a cap of ours.
    Silent,
}

/// Of whom a message is, as far as the rule asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sender {
    /// What was found about the reverse-path.
    pub verdict: VerdictResult,
    /// It is null: nobody is told of a failure.
    pub is_null: bool,
    /// An outer host of ours has queued the message and said 250 for it (PROTOCOLS A.4).
    pub was_queued: bool,
}

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ruling {
    /// 250: somebody else has it.
    Accept,
    /// 250, after it is on stable storage.
    Store,
    /// The class of the next hop's reply; no report by us.
    PassBack(ReplyClass),
    /// 451: the sender keeps it.
    Defer,
    /// 550: never stored, never a report.
    Refuse,
}

/// The rule.
pub fn rule(ahead: Ahead, sender: Sender, when_unproven: WhenUnproven) -> Ruling {
    match (sender.verdict, ahead) {
        // What has been queued in front of us cannot be refused without a report to who may be
        // forged: it goes on, marked.
        (_, Ahead::Silent | Ahead::Replied(_)) if sender.was_queued => Ruling::Store,
        (VerdictResult::Repudiated, _) if !sender.was_queued => Ruling::Refuse,
        (VerdictResult::Tempfail, _) if !sender.was_queued => Ruling::Defer,
        (_, Ahead::Taken) => Ruling::Accept,
        (_, Ahead::Replied(class)) => Ruling::PassBack(class),
        (VerdictResult::Authorised, Ahead::Silent) => Ruling::Store,
        (_, Ahead::Silent) if sender.is_null => Ruling::Store,
        (_, Ahead::Silent) => match when_unproven {
            WhenUnproven::Defer => Ruling::Defer,
            WhenUnproven::Store => Ruling::Store,
        },
    }
}

impl Sender {
    /// True if a message of which nothing is heard from the path ahead is stored.
    pub fn is_stored(self, when_unproven: WhenUnproven) -> bool {
        rule(Ahead::Silent, self, when_unproven) == Ruling::Store
    }

    /// True if one reply may stand for several ends: a failure that it does not tell is reported to
    /// who is known to have sent the message.
    pub fn hears_reports(self) -> bool {
        self.verdict == VerdictResult::Authorised && !self.is_null
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use VerdictResult::{Authorised, Repudiated, Tempfail, Unknown};

    const TAKEN: Ahead = Ahead::Taken;
    const LATER: Ahead = Ahead::Replied(ReplyClass::Transient);
    const NEVER: Ahead = Ahead::Replied(ReplyClass::Permanent);
    const SILENT: Ahead = Ahead::Silent;

    fn sender(verdict: VerdictResult, is_null: bool, was_queued: bool) -> Sender {
        Sender {
            verdict,
            is_null,
            was_queued,
        }
    }

    /// DESIGN §2, row for row: the path ahead, the reverse-path, what is said under `defer` and under
    /// `store`.
    #[test]
    fn the_table_of_the_design() {
        let later = Ruling::PassBack(ReplyClass::Transient);
        let never = Ruling::PassBack(ReplyClass::Permanent);
        let authorised = sender(Authorised, false, false);
        let unknown = sender(Unknown, false, false);
        let repudiated = sender(Repudiated, false, false);
        let null = sender(Unknown, true, false);
        let rows = [
            // Every branch has said its final 2yz.
            (TAKEN, authorised, Ruling::Accept, Ruling::Accept),
            (TAKEN, unknown, Ruling::Accept, Ruling::Accept),
            (TAKEN, null, Ruling::Accept, Ruling::Accept),
            // A next hop replied.
            (LATER, authorised, later, later),
            (NEVER, authorised, never, never),
            (LATER, unknown, later, later),
            (NEVER, unknown, never, never),
            (LATER, null, later, later),
            (NEVER, null, never, never),
            // No reply to be had.
            (SILENT, authorised, Ruling::Store, Ruling::Store),
            (SILENT, unknown, Ruling::Defer, Ruling::Store),
            (SILENT, null, Ruling::Store, Ruling::Store),
            // Repudiated, whatever the path.
            (TAKEN, repudiated, Ruling::Refuse, Ruling::Refuse),
            (LATER, repudiated, Ruling::Refuse, Ruling::Refuse),
            (NEVER, repudiated, Ruling::Refuse, Ruling::Refuse),
            (SILENT, repudiated, Ruling::Refuse, Ruling::Refuse),
        ];
        for (ahead, sender, defer, store) in rows {
            assert_eq!(rule(ahead, sender, WhenUnproven::Defer), defer);
            assert_eq!(rule(ahead, sender, WhenUnproven::Store), store);
        }
    }

    #[test]
    fn what_was_queued_in_front_of_us_is_held_or_stored_and_never_refused() {
        for verdict in [Authorised, Unknown, Repudiated, Tempfail] {
            for is_null in [false, true] {
                let sender = sender(verdict, is_null, true);
                for when in [WhenUnproven::Defer, WhenUnproven::Store] {
                    assert_eq!(rule(TAKEN, sender, when), Ruling::Accept);
                    for ahead in [LATER, NEVER, SILENT] {
                        assert_eq!(rule(ahead, sender, when), Ruling::Store);
                    }
                }
            }
        }
    }

    /// Whatever the path: uncertainty is never a refusal for good, and a report is never owed to
    /// nobody.
    #[test]
    fn no_row_refuses_out_of_uncertainty() {
        for verdict in [Authorised, Unknown, Tempfail] {
            for is_null in [false, true] {
                for when in [WhenUnproven::Defer, WhenUnproven::Store] {
                    for ahead in [TAKEN, LATER, SILENT] {
                        let ruling = rule(ahead, sender(verdict, is_null, false), when);
                        assert_ne!(ruling, Ruling::Refuse);
                        assert_ne!(ruling, Ruling::PassBack(ReplyClass::Permanent));
                    }
                }
            }
        }
    }
}
