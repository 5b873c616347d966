//! Which messages there are, what each waits for and until when, and which are leased: all in
//! memory.
//!
//! Built at start from the store and kept in step by the committer, after each barrier. Leases are
//! nowhere else, so they end with the process; the lock on the data folder keeps any second
//! process out.
//!
//! Messages stand in lanes ([`crate::Lane`]), in each by due time. A lane that has something due and
//! is not at its limit stands in line; who leases takes one message from the first lane in line,
//! which then goes to the end of it. So every lane gets its turn, however long another is. Lanes
//! that have nothing due yet are sorted by when they will: nothing is looked at before its time.
//!
//! What an operator holds stands in no lane, though it is counted and listed there.
//!
//! Beside that, all messages are sorted by arrival, in two groups: those whose delay was reported,
//! and those whose was not. The first of each group is the next that is overdue, whatever the
//! policy: no times need be kept for it, nor anything be done when the policy changes. The few whose
//! sender has set a deadline of his own are sorted by that besides.

mod lanes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::retry::Horizon;
use vouchsafe_proto::time::Wall;

use self::lanes::{Key, Lanes};
use crate::{Ask, Lane, LaneEntry, Waits};

/// All messages, their lanes, and the leases: for engines, which keep it in step with what is
/// durable.
#[derive(Debug, Default)]
pub struct Due {
    /// Every message in custody.
    slots: HashMap<QueueId, Slot>,
    /// Those that wait, by lane.
    lanes: Lanes,
    /// Those that wait and whose delay was not reported, by arrival.
    unreported: BTreeSet<QueueId>,
    /// Those that wait and whose delay was reported, by arrival.
    reported: BTreeSet<QueueId>,
    /// Those that wait and whose sender has set a deadline, by that.
    deadlines: BTreeSet<(Wall, QueueId)>,
    /// Those put apart, by when they go back to where they were.
    apart: BTreeSet<(Wall, QueueId)>,
    /// When a sender is to hear, as the last lease said.
    horizon: Option<Horizon>,
    /// What the last lease was told; `None` if that nothing waits.
    announced: Option<Wall>,
    /// What time it is, as far as anybody has told us.
    now: Wall,
    /// Nothing was heard of the time before, or it has gone back by more than [`STEP`] since
    /// messages from the future were looked for.
    stepped: bool,
}

/// One message.
#[derive(Debug)]
struct Slot {
    places: Places,
    state: State,
    delay_reported: bool,
    /// An operator holds it.
    held: bool,
    /// What it takes of the disk.
    octets: u64,
    deadline: Option<Wall>,
    /// It was leased because it is overdue.
    overdue: bool,
}

/// Where a message stands, and when it is due there. Nearly all have one lane.
#[derive(Debug)]
enum Places {
    One((Key, Wall)),
    Many(Box<[(Key, Wall)]>),
}

/// What a message does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Stands in its lanes, or is held.
    Waiting,
    /// Is in somebody's hands.
    Leased,
    /// Stands in nobody's way, until a moment that `apart` knows.
    Apart,
}

/// What a lease found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Overdue ones.
    pub overdue: Vec<QueueId>,
    /// Due ones, lane by lane.
    pub due: Vec<QueueId>,
    /// When the next can be leased.
    pub next_due: Option<Wall>,
    /// When the next is overdue.
    pub next_overdue: Option<Wall>,
}

/// How far a clock may be set back without anybody looking: such a delay does not matter.
const STEP: Duration = Duration::from_hours(1);

/// How long a message stands apart whose lease ended without a word, though its sender is to hear:
/// leased again at once, it would be so for ever.
const RESPITE: Duration = Duration::from_mins(1);

/// True if whoever waits for something to become due must look again.
pub type Wake = bool;

impl Due {
    /// Takes a message in.
    pub fn insert(&mut self, id: QueueId, waits: Waits) -> Wake {
        let slot = Slot {
            places: self.places(waits.lanes, waits.octets),
            state: State::Waiting,
            delay_reported: waits.delay_reported,
            held: waits.held,
            octets: waits.octets,
            deadline: waits.deadline,
            overdue: false,
        };
        self.slots.insert(id, slot);
        self.line_up(id)
    }

    /// Leases what is asked for; and says when there will be more.
    pub fn lease(&mut self, now: Wall, ask: &Ask) -> Taken {
        self.hear(now);
        self.horizon = ask.horizon;
        self.lanes.set_ordinary_limit(ask.per_lane);
        if std::mem::take(&mut self.stepped) {
            self.pull_in(now);
        }
        self.bring_back(now);
        let mut taken = Taken::default();
        while taken.overdue.len() < ask.overdue {
            let Some(id) = self.next_overdue().filter(|(at, _)| *at <= now) else {
                break;
            };
            self.take(id.1, true);
            taken.overdue.push(id.1);
        }
        while taken.due.len() < ask.due {
            let Some(id) = self.lanes.next(now) else {
                break;
            };
            self.take(id, false);
            taken.due.push(id);
        }
        let back = self.apart.first().map(|(at, _)| *at);
        taken.next_due = earlier(self.lanes.next_moment(now), back);
        taken.next_overdue = self.next_overdue().map(|(at, _)| at);
        self.announced = earlier(taken.next_due, taken.next_overdue);
        taken
    }

    /// Leases one message, whatever it waits for; false if it is leased already. It must be there.
    pub fn claim(&mut self, id: QueueId) -> bool {
        let Some(slot) = self.slots.get_mut(&id) else {
            return false;
        };
        match slot.state {
            State::Leased => return false,
            State::Waiting => self.take(id, false),
            State::Apart => {
                self.apart.retain(|(_, apart)| *apart != id);
                slot.state = State::Leased;
                self.lanes.lease(id, slot.places.as_slice());
            }
        }
        true
    }

    /// Ends a lease: the message waits as is said, or as it did before. If it was overdue, and
    /// nothing is said of it, it stands apart for a while.
    pub fn release(&mut self, id: QueueId, waits: Option<Waits>) -> Wake {
        let Some(slot) = self.slots.get_mut(&id) else {
            return false;
        };
        if slot.state != State::Leased {
            return false;
        }
        if waits.is_none() && slot.overdue {
            return self.put_apart(id, self.now.plus(RESPITE));
        }
        let room = self.lanes.unlease(id, slot.places.as_slice());
        slot.state = State::Waiting;
        slot.overdue = false;
        if let Some(waits) = waits {
            slot.delay_reported = waits.delay_reported;
            slot.deadline = waits.deadline;
            slot.held = waits.held;
            let octets = slot.octets;
            let places = self.places(waits.lanes, octets);
            if let Some(slot) = self.slots.get_mut(&id) {
                let before = std::mem::replace(&mut slot.places, places);
                self.lanes.forget(before.as_slice(), octets);
            }
        }
        let wake = self.line_up(id);
        wake || room.is_some_and(|at| self.wakes(at))
    }

    /// Ends a lease: until `until` the message stands in nobody's way, then it waits as before.
    pub fn put_apart(&mut self, id: QueueId, until: Wall) -> Wake {
        let Some(slot) = self.slots.get_mut(&id) else {
            return false;
        };
        if slot.state != State::Leased {
            return false;
        }
        let room = self.lanes.unlease(id, slot.places.as_slice());
        slot.state = State::Apart;
        slot.overdue = false;
        self.apart.insert((until, id));
        earlier(room, Some(until)).is_some_and(|at| self.wakes(at))
    }

    /// Forgets a message. If it was leased, its lanes may have room for another.
    pub fn remove(&mut self, id: QueueId) -> Wake {
        let Some(slot) = self.slots.remove(&id) else {
            return false;
        };
        let mut room = None;
        match slot.state {
            State::Leased => room = self.lanes.unlease(id, slot.places.as_slice()),
            State::Waiting => {
                self.lanes.step_out(id, slot.places.as_slice(), slot.held);
                self.unlist(id, slot.delay_reported, slot.deadline);
            }
            State::Apart => self.apart.retain(|(_, apart)| *apart != id),
        }
        self.lanes.forget(slot.places.as_slice(), slot.octets);
        room.is_some_and(|at| self.wakes(at))
    }

    /// True if the message is there.
    pub fn holds(&self, id: QueueId) -> bool {
        self.slots.contains_key(&id)
    }

    /// True if the message is leased at this moment.
    pub fn is_leased(&self, id: QueueId) -> bool {
        self.slots
            .get(&id)
            .is_some_and(|slot| slot.state == State::Leased)
    }

    /// Limits the leases in a lane; `None` for what holds for all.
    pub fn limit(&mut self, lane: &Lane, leases: Option<usize>) -> Wake {
        let due = self.lanes.limit(lane, leases);
        due.is_some_and(|due| self.wakes(due))
    }

    /// Up to `limit` messages of a lane behind `after`, by arrival.
    pub fn list(&self, lane: &Lane, after: Option<QueueId>, limit: usize) -> Vec<QueueId> {
        self.lanes.list(lane, after, limit)
    }

    /// All lanes.
    pub fn lanes(&self) -> Vec<LaneEntry> {
        self.lanes.entries()
    }

    /// Notes what time somebody said it is. It may go back: a clock that ran ahead and was set
    /// right must not leave reports and pauses in the future.
    pub fn hear(&mut self, now: Wall) {
        let never = self.now == Wall::default();
        self.stepped |= never || now.plus(STEP) < self.now;
        self.now = now;
    }

    /// True if a lease at this time need look at nothing but what is due.
    pub fn is_in_step(&self, now: Wall) -> bool {
        let ever = self.now != Wall::default();
        ever && !self.stepped && self.now <= now.plus(STEP)
    }

    /// What time it is, as far as anybody has told us. The spool reads no clock.
    pub const fn now(&self) -> Wall {
        self.now
    }

    /// Names become keys.
    fn places(&mut self, lanes: Vec<(Lane, Wall)>, octets: u64) -> Places {
        let mut keys = lanes
            .into_iter()
            .map(|(lane, due)| (self.lanes.key(lane, octets), due));
        match (keys.next(), keys.next()) {
            (Some((key, due)), None) => Places::One((key, due)),
            (first, second) => {
                let rest: Vec<_> = keys.collect();
                Places::Many(first.into_iter().chain(second).chain(rest).collect())
            }
        }
    }

    /// A message that waits steps into its lanes.
    fn line_up(&mut self, id: QueueId) -> Wake {
        let Some(slot) = self.slots.get(&id) else {
            return false;
        };
        let (delay_reported, deadline) = (slot.delay_reported, slot.deadline);
        let due = self.lanes.step_in(id, slot.places.as_slice(), slot.held);
        self.by_arrival(delay_reported).insert(id);
        self.deadlines.extend(deadline.map(|at| (at, id)));
        let overdue = self
            .horizon
            .map(|horizon| horizon.wake(id.arrived(), delay_reported, deadline));
        earlier(due, overdue).is_some_and(|at| self.wakes(at))
    }

    /// A message that waits is leased.
    fn take(&mut self, id: QueueId, overdue: bool) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        slot.state = State::Leased;
        slot.overdue = overdue;
        let (delay_reported, deadline) = (slot.delay_reported, slot.deadline);
        self.lanes.step_out(id, slot.places.as_slice(), slot.held);
        self.lanes.lease(id, slot.places.as_slice());
        self.unlist(id, delay_reported, deadline);
    }

    /// A message does not wait any more for its sender to hear.
    fn unlist(&mut self, id: QueueId, delay_reported: bool, deadline: Option<Wall>) {
        self.by_arrival(delay_reported).remove(&id);
        if let Some(at) = deadline {
            self.deadlines.remove(&(at, id));
        }
    }

    /// The next message whose sender is to hear, and when.
    fn next_overdue(&self) -> Option<(Wall, QueueId)> {
        let horizon = self.horizon?;
        let first = |of: &BTreeSet<QueueId>, delay_reported| {
            let id = *of.first()?;
            Some((horizon.wake(id.arrived(), delay_reported, None), id))
        };
        let ordinary = earlier(first(&self.unreported, false), first(&self.reported, true));
        earlier(ordinary, self.deadlines.first().copied())
    }

    /// Those whose time apart is over wait again.
    fn bring_back(&mut self, now: Wall) {
        while let Some((_, id)) = self.apart.first().filter(|(at, _)| *at <= now).copied() {
            self.apart.pop_first();
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.state = State::Waiting;
                self.line_up(id);
            }
        }
    }

    /// Messages that arrived at a time that is yet to come: the clock has been set back, and what
    /// it said they are due means nothing now. They are due at once rather than in years; and
    /// nobody stands apart for longer than was meant.
    fn pull_in(&mut self, now: Wall) {
        let apart = std::mem::take(&mut self.apart);
        let sooner = apart
            .into_iter()
            .map(|(at, id)| (at.min(now.plus(STEP)), id));
        self.apart = sooner.collect();
        for (id, slot) in &mut self.slots {
            if id.arrived() <= now {
                continue;
            }
            if slot.state == State::Waiting {
                self.lanes.step_out(*id, slot.places.as_slice(), slot.held);
            }
            for (_, due) in slot.places.as_mut_slice() {
                if *due > now.plus(STEP) {
                    *due = now;
                }
            }
            if slot.state == State::Waiting {
                self.lanes.step_in(*id, slot.places.as_slice(), slot.held);
            }
        }
    }

    /// The group of those whose delay was reported, or was not.
    const fn by_arrival(&mut self, delay_reported: bool) -> &mut BTreeSet<QueueId> {
        if delay_reported {
            &mut self.reported
        } else {
            &mut self.unreported
        }
    }

    /// True if `due` is news to the last who leased.
    fn wakes(&self, due: Wall) -> Wake {
        self.announced.is_none_or(|announced| due < announced)
    }
}

impl Places {
    const fn as_slice(&self) -> &[(Key, Wall)] {
        match self {
            Self::One(pair) => std::slice::from_ref(pair),
            Self::Many(all) => all,
        }
    }

    const fn as_mut_slice(&mut self) -> &mut [(Key, Wall)] {
        match self {
            Self::One(pair) => std::slice::from_mut(pair),
            Self::Many(all) => all,
        }
    }
}

/// The earlier of two that there may be.
fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}
