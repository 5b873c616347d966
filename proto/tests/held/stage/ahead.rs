//! The branches of a stage: sessions with next hops, and how they are waited for.

use std::collections::VecDeque;

use vouchsafe_proto::cutthrough::{BranchId, Input as Given, Said};
use vouchsafe_proto::envelope::BodyType;
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::smtp::deliver::Transaction;
use vouchsafe_proto::smtp::xhold::{Budget, Mode, Terms, Through, TransactionId, Wish};
use vouchsafe_proto::time::Now;

use super::super::branch::Branch;
use super::{Stage, Surroundings, millis};

impl<S: Surroundings> Stage<S> {
    /// Gives branches a piece, or the end, as each is ready for it.
    pub(super) fn give(&mut self, numbers: &[usize], piece: Option<&[u8]>) {
        let now = self.now();
        for number in numbers {
            self.branches.get_mut(number).unwrap().1.look_up(now);
        }
        self.together(numbers, Branch::is_asking, |branch, now| {
            branch.push(piece, now);
        });
    }

    pub(super) fn proceed(&mut self, BranchId(number): BranchId) {
        let now = self.now();
        if let Some((_, branch)) = self.branches.get_mut(&number) {
            branch.proceed(now);
            assert!(!self.proceeding.contains(&number), "told twice");
            self.proceeding.push(number);
        }
    }

    pub(super) fn prepare(&mut self, numbers: &[usize], inputs: &mut VecDeque<Given>) {
        self.give(numbers, None);
        for number in numbers {
            let id = BranchId(*number);
            inputs.push_back(if self.branches[number].1.is_prepared() {
                Given::Prepared(id)
            } else {
                Given::Broke(id, self.end_of(*number))
            });
        }
    }

    pub(super) fn complete(&mut self, numbers: &[usize], inputs: &mut VecDeque<Given>) {
        let now = self.now();
        for number in numbers {
            self.branches.get_mut(number).unwrap().1.complete(now);
        }
        self.together(numbers, Branch::has_ended, |_, _| {});
        for number in numbers {
            inputs.push_back(Given::Completed(BranchId(*number), self.end_of(*number)));
        }
    }

    pub(super) fn open(
        &mut self,
        BranchId(number): BranchId,
        next_hop: &NextHop,
        place: usize,
    ) -> Said {
        let mail = self.mail.as_ref().unwrap();
        let transaction = Transaction {
            reverse_path: mail.reverse_path.clone(),
            recipients: vec![self.recipients[place].clone()],
            // Nobody knows what will come.
            body: BodyType::EightBitMime,
            smtputf8: mail.smtputf8,
            requests: mail.requests.clone(),
            size: mail.declared,
            // What is said depends on who hears it.
            through: Through::default(),
            claim: mail.claim,
            per_recipient: self.path.as_ref().unwrap().wants_each(),
        };
        let mut lost = Outcome::local((4, 4, 1), None, "no connection");
        let mut known = None;
        if let Some(kept) = self.pool.iter().position(|(of, _)| of == next_hop) {
            let (_, branch) = self.pool.swap_remove(kept);
            let host = branch.host;
            self.branches.insert(number, (next_hop.clone(), branch));
            self.begin_branch(number, transaction.clone());
            if self.branches[&number].1.is_unstarted() {
                self.branches.remove(&number);
            } else {
                match self.said(number) {
                    Said::Lost(outcome) => (lost, known) = (outcome, Some(host)),
                    said => return said,
                }
            }
        }
        // A host that is lost before it has taken a recipient leads to the next one.
        let mut host = 0;
        while let Ok(connected) = self.connected(next_hop, host, known) {
            if let Some(mut branch) = connected {
                branch.host = host;
                self.branches.insert(number, (next_hop.clone(), branch));
                match self.begin_fresh(number, transaction.clone()) {
                    Said::Lost(outcome) => lost = outcome,
                    said => return said,
                }
            }
            host += 1;
        }
        Said::Lost(lost)
    }

    /// A connection with a host, but for the one that was lost.
    fn connected(
        &mut self,
        next_hop: &NextHop,
        host: usize,
        lost: Option<usize>,
    ) -> Result<Option<Branch>, ()> {
        if lost == Some(host) {
            return Ok(None);
        }
        self.around.connect(next_hop, host, self.now())
    }

    /// A session on a new connection, and what is said to the first recipient.
    fn begin_fresh(&mut self, number: usize, transaction: Transaction) -> Said {
        self.together(&[number], Branch::is_opened, |_, _| {});
        let (_, branch) = self.branches.get_mut(&number).unwrap();
        if let Some(outcome) = branch.take_unusable() {
            self.branches.remove(&number);
            return Said::Lost(outcome);
        }
        self.begin_branch(number, transaction);
        self.said(number)
    }

    fn begin_branch(&mut self, number: usize, mut transaction: Transaction) {
        let now = self.now();
        transaction.through = self.through(self.branches[&number].1.terms());
        let (_, branch) = self.branches.get_mut(&number).unwrap();
        branch.begin(transaction, now);
        self.together(&[number], Branch::has_answered, |_, _| {});
    }

    /// What a next hop that holds paths on these terms is told, which nobody has asked us to.
    fn through(&self, terms: Option<Terms>) -> Through {
        let (Some(terms), Some(holding)) = (terms, &self.settings.xhold) else {
            return Through::default();
        };
        let mail = self.mail.as_ref().unwrap();
        assert!(mail.through.wish.is_none(), "its times are not kept here");
        let now = self.now().mono;
        let wish = Wish {
            mode: Mode::Prefer,
            recipient: 105,
            last: 485,
            hops: holding.terms.hops,
        };
        let budget = Budget::begin(wish, holding.terms, mail.since);
        let left = budget.map(|all| self.ended.map_or(all, |ended| all.late(ended, now)));
        let wish = left.and_then(|left| left.onward(now, terms)).ok();
        let mut through = mail.through.clone();
        let own = || TransactionId::parse("0123456789abcdef@mx.example.org").ok();
        through.id = through.id.or_else(own);
        through.onward(wish, &holding.marker).unwrap()
    }

    pub(super) fn ask(&mut self, BranchId(number): BranchId, place: usize) -> Said {
        let recipient = self.recipients[place].clone();
        let now = self.now();
        let Some((_, branch)) = self.branches.get_mut(&number) else {
            return Said::Lost(Outcome::local((4, 4, 2), None, "over"));
        };
        branch.recipient(recipient, now);
        self.together(&[number], Branch::has_answered, |_, _| {});
        self.said(number)
    }

    /// What a branch has said to the last RCPT.
    fn said(&mut self, number: usize) -> Said {
        let said = self.branches[&number].1.answer();
        if let Said::Lost(_) = said {
            self.end_of(number);
        }
        said
    }

    /// A branch is over: its session is kept, if it can carry another transaction.
    pub(super) fn end_of(&mut self, number: usize) -> Vec<(usize, Outcome)> {
        self.proceeding.retain(|one| *one != number);
        if !self.branches.contains_key(&number) {
            return Vec::new();
        }
        self.together(&[number], Branch::has_settled, |_, _| {});
        let (next_hop, branch) = self.branches.remove(&number).unwrap();
        let ends = branch.outcomes.clone();
        self.pool
            .extend(branch.again().map(|branch| (next_hop, branch)));
        ends
    }

    /// Lets these branches hear until each is done, at the same time; `then` is done with each as soon as
    /// it is.
    fn together(
        &mut self,
        numbers: &[usize],
        done: fn(&Branch) -> bool,
        mut then: impl FnMut(&mut Branch, Now),
    ) {
        let mut pending = numbers.to_vec();
        for number in numbers {
            let now = self.now();
            self.branches.get_mut(number).unwrap().1.turn_to(now);
        }
        loop {
            let now = self.now();
            pending.retain(|number| {
                let (_, branch) = self.branches.get_mut(number).unwrap();
                let is_done = branch.look(done, now);
                if is_done {
                    then(branch, now);
                    branch.turn_away(now);
                }
                !is_done
            });
            if pending.is_empty() {
                return;
            }
            self.wait(&pending);
        }
    }

    /// These branches are waited for.
    fn wait(&mut self, pending: &[usize]) {
        if self.now == self.until {
            let Some(span) = self.around.wait() else {
                let now = self.now();
                for number in pending {
                    self.branches.get_mut(number).unwrap().1.time_out(now);
                }
                return;
            };
            self.until += millis(span);
        }
        let timers = pending.iter().filter_map(|number| {
            let timer = self.branches[number].1.timer()?;
            Some(timer.as_millis())
        });
        let next = timers.min().unwrap_or(u64::MAX).min(self.until);
        self.now = self.now.max(next);
        let now = self.now();
        for number in pending {
            let (_, branch) = self.branches.get_mut(number).unwrap();
            if branch.timer().is_some_and(|at| at <= now.mono) {
                branch.time_out(now);
            }
        }
    }
}
