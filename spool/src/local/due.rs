//! Which messages there are, when each is due, and which are leased: all in memory.
//!
//! Built at start from the store and kept in step by the committer, after each barrier. Leases are
//! nowhere else, so they end with the process; the lock on the data folder keeps any second
//! process out. About a hundred octets a message.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;

/// The due times of all messages, and the leases.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Every message in custody.
    slots: HashMap<QueueId, Slot>,
    /// Those not leased, by due time: a lease never has to step over a leased one.
    waiting: BTreeSet<(Wall, QueueId)>,
    /// What the last lease was told; `None` if that nothing waits.
    announced: Option<Wall>,
    /// What time it is, as far as anybody has told us.
    now: Wall,
    /// Nothing was heard of the time before, or it has gone back by more than [`STEP`] since
    /// messages from the future were looked for.
    stepped: bool,
}

/// One message.
#[derive(Clone, Copy, Debug)]
struct Slot {
    due: Wall,
    leased: bool,
}

/// How far a clock may be set back without anybody looking: such a delay does not matter.
const STEP: Duration = Duration::from_hours(1);

/// True if whoever waits for something to become due must look again.
pub(super) type Wake = bool;

impl Due {
    /// Takes a message in.
    pub(super) fn insert(&mut self, id: QueueId, due: Wall) -> Wake {
        self.slots.insert(id, Slot { due, leased: false });
        self.waiting.insert((due, id));
        self.wakes(due)
    }

    /// Leases up to `want` of those due at `now`, the longest due first; and says when the next
    /// one that is left will be due.
    pub(super) fn lease(&mut self, now: Wall, want: usize) -> (Vec<QueueId>, Option<Wall>) {
        self.hear(now);
        if std::mem::take(&mut self.stepped) {
            self.pull_in(now);
        }
        let mut taken = Vec::new();
        while taken.len() < want {
            let Some(&(due, id)) = self.waiting.first().filter(|(due, _)| *due <= now) else {
                break;
            };
            self.waiting.remove(&(due, id));
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.leased = true;
            }
            taken.push(id);
        }
        self.announced = self.waiting.first().map(|(due, _)| *due);
        (taken, self.announced)
    }

    /// Ends a lease: the message is due at `due`, or when it was before.
    pub(super) fn release(&mut self, id: QueueId, due: Option<Wall>) -> Wake {
        let Some(slot) = self.slots.get_mut(&id).filter(|slot| slot.leased) else {
            return false;
        };
        slot.leased = false;
        slot.due = due.unwrap_or(slot.due);
        let due = slot.due;
        self.waiting.insert((due, id));
        self.wakes(due)
    }

    /// Forgets a message.
    pub(super) fn remove(&mut self, id: QueueId) {
        if let Some(slot) = self.slots.remove(&id) {
            self.waiting.remove(&(slot.due, id));
        }
    }

    /// True if the message is leased at this moment.
    pub(super) fn is_leased(&self, id: QueueId) -> bool {
        self.slots.get(&id).is_some_and(|slot| slot.leased)
    }

    /// Notes what time somebody said it is. It may go back: a clock that ran ahead and was set
    /// right must not leave reports and pauses in the future.
    pub(super) fn hear(&mut self, now: Wall) {
        let never = self.now == Wall::default();
        self.stepped |= never || now.plus(STEP) < self.now;
        self.now = now;
    }

    /// Messages that arrived at a time that is yet to come: the clock has been set back, and what
    /// it said they are due means nothing now. They are due at once rather than in years.
    fn pull_in(&mut self, now: Wall) {
        for (id, slot) in &mut self.slots {
            if id.arrived() > now && slot.due > now.plus(STEP) {
                if self.waiting.remove(&(slot.due, *id)) {
                    self.waiting.insert((now, *id));
                }
                slot.due = now;
            }
        }
    }

    /// What time it is, as far as anybody has told us. The spool reads no clock.
    pub(super) const fn now(&self) -> Wall {
        self.now
    }

    /// True if `due` is news to the last who leased.
    fn wakes(&self, due: Wall) -> Wake {
        self.announced.is_none_or(|announced| due < announced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> QueueId {
        QueueId::from_u128(number).unwrap()
    }

    #[test]
    fn the_longest_due_comes_first_and_leased_ones_are_left_out() {
        let mut due = Due::default();
        let at = Wall::from_secs;
        assert!(due.insert(id(1), at(30)));
        assert!(due.insert(id(2), at(10)));
        assert!(due.insert(id(3), at(20)));
        assert_eq!(due.lease(at(25), 1), (vec![id(2)], Some(at(20))));
        assert_eq!(due.lease(at(25), 9), (vec![id(3)], Some(at(30))));
        assert_eq!(due.lease(at(25), 9), (vec![], Some(at(30))));
        assert!(due.is_leased(id(2)) && !due.is_leased(id(1)));
        assert!(!due.release(id(2), Some(at(40))), "later than announced");
        assert!(due.release(id(3), None), "due again at once");
        due.remove(id(3));
        assert_eq!(due.lease(at(99), 9), (vec![id(1), id(2)], None));
        assert!(!due.release(id(3), None), "not there any more");
        assert_eq!(due.now(), at(99));
    }

    #[test]
    fn a_clock_set_back_leaves_nobody_in_the_future() {
        let at = |hours: u64| Wall::from_secs(hours * 3_600);
        let ahead = QueueId::new(at(1_000), 1);
        let before = QueueId::new(at(1), 2);
        for heard_ahead in [true, false] {
            let mut due = Due::default();
            due.insert(ahead, at(1_002));
            due.insert(before, at(20));
            if heard_ahead {
                due.hear(at(1_001));
            }
            assert_eq!(due.lease(at(10), 9), (vec![ahead], Some(at(20))));
            due.release(ahead, None);
            assert_eq!(due.lease(at(10), 9).0, [ahead], "due as it is now");
            due.release(ahead, Some(at(12)));
            assert_eq!(due.lease(at(10), 9), (vec![], Some(at(12))));
        }
    }
}
