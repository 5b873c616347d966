//! Workers: what they carry, and what becomes of it.

use vouchsafe_proto::outcome::{Onward, Outcome};

use super::peers::{Door, Says, door, number, onward, says};
use super::world::{Event, IDLE, LONG, News, World};
use crate::runner::schedule::*;

/// One worker.
pub(super) struct Seated {
    next_hop: NextHop,
    work: Option<Work>,
    /// Which of its works this is, for a timer that may be too late.
    turn: u64,
    /// It has a session.
    stands: bool,
}

impl World {
    pub(super) fn engage(&mut self, worker: WorkerId, next_hop: NextHop, first: Work) {
        let seated = Seated {
            next_hop,
            work: None,
            turn: 0,
            stands: false,
        };
        self.workers.insert(worker, seated);
        self.carry(worker, first, true);
    }

    /// A worker begins with a work; its end comes in time.
    pub(super) fn carry(&mut self, worker: WorkerId, work: Work, first: bool) {
        let domain = number(&work.recipients[0].1.path);
        let next_hop = self.workers[&worker].next_hop.clone();
        let others = self.workers.values();
        let others = others.filter(|other| other.stands && other.next_hop == next_hop);
        let sessions = others.count();
        let mut stands = true;
        let end = match door(domain, if first { sessions } else { 0 }, self.now) {
            Door::Shut(after) if first => {
                stands = false;
                self.now + after
            }
            Door::Shut(_) => self.now + 50,
            Door::Open => {
                if first {
                    self.at(self.now + 40, Event::Stands(worker));
                }
                // Some content is long, some lines are slow.
                self.now + if self.one_in(500) { LONG } else { 120 }
            }
        };
        let turn = self.chance();
        let seated = self.workers.get_mut(&worker).unwrap();
        (seated.work, seated.turn, seated.stands) = (Some(work), turn, stands);
        self.at(end, Event::Done(worker));
    }

    /// A work's end.
    pub(super) fn done(&mut self, worker: WorkerId) {
        let Some(mut seated) = self.workers.remove(&worker) else {
            return;
        };
        let Some(work) = seated.work.take() else {
            return;
        };
        let domain = number(&work.recipients[0].1.path);
        let open = seated.stands && door(domain, 0, self.now) == Door::Open;
        let carried = if open {
            self.told(domain, work)
        } else if seated.stands && self.one_in(2) {
            // In the midst of the transaction: that is the message's matter.
            let outcomes = work.recipients.iter();
            Carried {
                outcomes: outcomes.map(|(index, _)| (*index, broke_off())).collect(),
                untried: Work {
                    recipients: Vec::new(),
                    ..work
                },
                unreachable: None,
                open: false,
            }
        } else {
            Carried {
                untried: work,
                outcomes: Vec::new(),
                unreachable: Some(Outcome::local((4, 4, 1), None, "no answer")),
                open: false,
            }
        };
        if carried.open {
            seated.turn = self.chance();
            self.at(self.now + IDLE, Event::Leaves(worker, seated.turn));
            self.workers.insert(worker, seated);
        }
        self.carried.insert(worker, carried);
        self.news.push_back(News::Finished(worker));
    }

    /// What the destination says of each recipient.
    fn told(&mut self, domain: u64, mut work: Work) -> Carried {
        let message = u64::try_from(work.id.as_u128() & 0xFFFF_FFFF).unwrap();
        let came = self.letters[&work.id].came.at;
        let mut outcomes = Vec::new();
        let mut open = true;
        for (index, _) in std::mem::take(&mut work.recipients) {
            let said = says(domain, message, index, came, self.now);
            let fate = self.fate(work.id, index);
            let outcome = match said {
                Says::Taken => {
                    fate.taken += 1;
                    Outcome {
                        onward: onward(domain),
                        ..Outcome::local((2, 0, 0), None, "taken")
                    }
                }
                Says::Lost => {
                    fate.taken += 1;
                    fate.doubted += 1;
                    open = false;
                    broke_off()
                }
                Says::Later => Outcome::local((4, 2, 0), None, "later"),
                Says::Refused => Outcome::local((5, 1, 1), None, "no"),
            };
            outcomes.push((index, outcome));
        }
        Carried {
            untried: work,
            outcomes,
            unreachable: None,
            open,
        }
    }

    pub(super) fn leaves(&mut self, worker: WorkerId, turn: u64) {
        let seated = self.workers.get(&worker);
        if seated.is_some_and(|seated| seated.work.is_none() && seated.turn == turn) {
            self.workers.remove(&worker);
            self.news.push_back(News::Left(worker));
        }
    }

    /// A worker is told to leave: it ends what it has.
    pub(super) fn dismissed(&mut self, worker: WorkerId) {
        if self
            .workers
            .get(&worker)
            .is_some_and(|seated| seated.work.is_none())
        {
            self.workers.remove(&worker);
        }
    }

    /// All connections are cut: what was in a session and complete may be there, or not.
    pub(super) fn cut_off(&mut self) {
        for seated in std::mem::take(&mut self.workers).into_values() {
            let Some(work) = seated.work.filter(|_| seated.stands) else {
                continue;
            };
            let domain = number(&work.recipients[0].1.path);
            if door(domain, 0, self.now) == Door::Open && self.one_in(2) {
                for (index, _) in &work.recipients {
                    let fate = self.fate(work.id, *index);
                    fate.taken += 1;
                    fate.doubted += 1;
                }
            }
        }
    }
}

fn broke_off() -> Outcome {
    Outcome {
        onward: Onward::Mailbox,
        ..Outcome::local((4, 4, 2), None, "the connection broke off")
    }
}
