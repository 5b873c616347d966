//! The lanes: what waits in each, which has something to give, and whose turn it is.
//!
//! A lane is named by a small number, which lives for as long as a message or a limit names it.

use std::collections::{BTreeSet, HashMap, VecDeque};

use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;

use crate::{Lane, LaneEntry};

/// Names a lane.
pub(super) type Key = u32;

/// All lanes.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// By key; `None` where one has gone.
    all: Vec<Option<State>>,
    /// Keys that are free.
    free: Vec<Key>,
    /// The keys of all there are.
    keys: HashMap<Lane, Key>,
    /// Those that have something to give later, by when.
    moments: BTreeSet<(Wall, Key)>,
    /// Those that have something to give now, or had when they came here, in turn.
    line: VecDeque<Key>,
    /// Leases in a lane of which nothing was said; `None` for any number.
    ordinary: Option<usize>,
}

/// One lane.
#[derive(Debug)]
struct State {
    name: Lane,
    /// Messages that name it.
    messages: usize,
    /// What they take of the disk.
    octets: u64,
    /// Those that wait in it, the longest due first.
    waiting: BTreeSet<(Wall, QueueId)>,
    /// Those of them that are leased.
    leased: BTreeSet<QueueId>,
    /// Those that an operator holds.
    held: BTreeSet<QueueId>,
    /// Leases at the same time, if anything was said.
    limit: Option<usize>,
    turn: Turn,
}

/// Where a lane stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Nowhere: nothing waits in it, or it is at its limit.
    None,
    /// In `moments`.
    At(Wall),
    /// In `line`.
    InLine,
}

impl State {
    /// As it stands.
    fn entry(&self) -> LaneEntry {
        let waiting = self.waiting.iter().map(|(_, id)| *id).min();
        let others = [self.leased.first(), self.held.first()];
        let oldest = others.into_iter().flatten().copied().chain(waiting).min();
        LaneEntry {
            lane: self.name.clone(),
            waiting: self.waiting.len(),
            held: self.held.len(),
            leased: self.leased.len(),
            due: self.waiting.first().map(|(due, _)| *due),
            oldest: oldest.map(QueueId::arrived),
            octets: self.octets,
        }
    }

    /// When it has something to give, if it may.
    fn moment(&self, ordinary: Option<usize>) -> Option<Wall> {
        let limit = self.limit.or(ordinary);
        let room = limit.is_none_or(|limit| self.leased.len() < limit);
        self.waiting.first().filter(|_| room).map(|(due, _)| *due)
    }
}

impl Lanes {
    /// The key of a lane, for one more message.
    pub(super) fn key(&mut self, name: Lane, octets: u64) -> Key {
        let key = self.find_or_make(name);
        if let Some(lane) = self.state_mut(key) {
            lane.messages = lane.messages.saturating_add(1);
            lane.octets = lane.octets.saturating_add(octets);
        }
        key
    }

    /// One message less names each of these.
    pub(super) fn forget(&mut self, places: &[(Key, Wall)], octets: u64) {
        for (key, _) in places {
            if let Some(lane) = self.state_mut(*key) {
                lane.messages = lane.messages.saturating_sub(1);
                lane.octets = lane.octets.saturating_sub(octets);
            }
            self.drop_unused(*key);
        }
    }

    /// A message waits in these lanes, or is held there. Gives the earliest moment at which one of
    /// them has something to give later.
    pub(super) fn step_in(
        &mut self,
        id: QueueId,
        places: &[(Key, Wall)],
        held: bool,
    ) -> Option<Wall> {
        let mut first: Option<Wall> = None;
        for (key, due) in places {
            let Some(lane) = self.state_mut(*key) else {
                continue;
            };
            if held {
                lane.held.insert(id);
                continue;
            }
            lane.waiting.insert((*due, id));
            if let Turn::At(at) = self.place(*key) {
                first = Some(first.map_or(at, |first| first.min(at)));
            }
        }
        first
    }

    /// A message does not wait in these lanes, or is not held there, any more.
    pub(super) fn step_out(&mut self, id: QueueId, places: &[(Key, Wall)], held: bool) {
        for (key, due) in places {
            if let Some(lane) = self.state_mut(*key) {
                if held {
                    lane.held.remove(&id);
                } else {
                    lane.waiting.remove(&(*due, id));
                }
            }
            self.place(*key);
        }
    }

    /// A message of these lanes is leased.
    pub(super) fn lease(&mut self, id: QueueId, places: &[(Key, Wall)]) {
        for (key, _) in places {
            if let Some(lane) = self.state_mut(*key) {
                lane.leased.insert(id);
            }
            self.place(*key);
        }
    }

    /// It is not any more. Gives the earliest moment at which one of them has something to give
    /// later: one that was at its limit is not any more.
    pub(super) fn unlease(&mut self, id: QueueId, places: &[(Key, Wall)]) -> Option<Wall> {
        let mut first: Option<Wall> = None;
        for (key, _) in places {
            if let Some(lane) = self.state_mut(*key) {
                lane.leased.remove(&id);
            }
            if let Turn::At(at) = self.place(*key) {
                first = Some(first.map_or(at, |first| first.min(at)));
            }
        }
        first
    }

    /// The message whose turn it is, of those due at `now`. The caller leases it.
    pub(super) fn next(&mut self, now: Wall) -> Option<QueueId> {
        while let Some((_, key)) = self.moments.first().filter(|(at, _)| *at <= now).copied() {
            self.moments.pop_first();
            if let Some(lane) = self.state_mut(key) {
                lane.turn = Turn::InLine;
            }
            self.line.push_back(key);
        }
        self.prune(now);
        let key = self.line.pop_front()?;
        // To the end of the line: whether there is more to come is looked at when it is there.
        self.line.push_back(key);
        let lane = self.all.get(usize::try_from(key).ok()?)?.as_ref()?;
        lane.waiting.first().map(|(_, id)| *id)
    }

    /// When a lane will have something to give.
    pub(super) fn next_moment(&mut self, now: Wall) -> Option<Wall> {
        self.prune(now);
        if self.line.is_empty() {
            self.moments.first().map(|(at, _)| *at)
        } else {
            Some(now)
        }
    }

    /// Limits the leases in a lane. Gives the moment at which it has something to give later.
    pub(super) fn limit(&mut self, name: &Lane, leases: Option<usize>) -> Option<Wall> {
        let known = self.keys.get(name).copied();
        if known.is_none() && leases.is_none() {
            return None;
        }
        let key = known.unwrap_or_else(|| self.find_or_make(name.clone()));
        if let Some(lane) = self.state_mut(key) {
            lane.limit = leases;
        }
        let turn = self.place(key);
        self.drop_unused(key);
        match turn {
            Turn::At(at) => Some(at),
            Turn::None | Turn::InLine => None,
        }
    }

    /// How many leases a lane may have of which nothing was said.
    pub(super) fn set_ordinary_limit(&mut self, leases: usize) {
        if self.ordinary.replace(leases) != Some(leases) {
            let keys: Vec<_> = self.keys.values().copied().collect();
            for key in keys {
                self.place(key);
            }
        }
    }

    /// Up to `limit` messages of a lane behind `after`, by arrival.
    pub(super) fn list(&self, name: &Lane, after: Option<QueueId>, limit: usize) -> Vec<QueueId> {
        let key = self.keys.get(name).copied();
        let Some(lane) = key.and_then(|key| self.state(key)) else {
            return Vec::new();
        };
        let waiting = lane.waiting.iter().map(|(_, id)| *id);
        let all = waiting
            .chain(lane.leased.iter().copied())
            .chain(lane.held.iter().copied());
        let mut found: Vec<_> = all
            .filter(|id| after.is_none_or(|after| *id > after))
            .collect();
        if found.len() > limit && limit > 0 {
            found.select_nth_unstable(limit.saturating_sub(1));
        }
        found.truncate(limit);
        found.sort_unstable();
        found
    }

    /// All that hold messages.
    pub(super) fn entries(&self) -> Vec<LaneEntry> {
        let lanes = self.all.iter().flatten();
        let entries = lanes.filter(|lane| lane.messages > 0).map(State::entry);
        entries.collect()
    }

    /// Puts a lane where it belongs after a change. One that is in line stays there until its turn.
    fn place(&mut self, key: Key) -> Turn {
        let ordinary = self.ordinary;
        let Some(lane) = self.state_mut(key) else {
            return Turn::None;
        };
        let before = lane.turn;
        if before == Turn::InLine {
            return before;
        }
        let turn = lane.moment(ordinary).map_or(Turn::None, Turn::At);
        lane.turn = turn;
        if before != turn {
            if let Turn::At(at) = before {
                self.moments.remove(&(at, key));
            }
            if let Turn::At(at) = turn {
                self.moments.insert((at, key));
            }
        }
        turn
    }

    /// Takes from the front of the line what has nothing to give at `now`.
    fn prune(&mut self, now: Wall) {
        while let Some(key) = self.line.front().copied() {
            let ordinary = self.ordinary;
            let Some(lane) = self.state_mut(key) else {
                self.line.pop_front();
                continue;
            };
            if lane.moment(ordinary).is_some_and(|due| due <= now) {
                return;
            }
            lane.turn = Turn::None;
            self.line.pop_front();
            self.place(key);
            self.drop_unused(key);
        }
    }

    /// The key of a lane, made if there is none.
    fn find_or_make(&mut self, name: Lane) -> Key {
        if let Some(key) = self.keys.get(&name) {
            return *key;
        }
        let state = State {
            name: name.clone(),
            messages: 0,
            octets: 0,
            waiting: BTreeSet::new(),
            leased: BTreeSet::new(),
            held: BTreeSet::new(),
            limit: None,
            turn: Turn::None,
        };
        let free = self.free.pop();
        // Four thousand million lanes do not fit into any memory.
        let key = free.unwrap_or_else(|| Key::try_from(self.all.len()).unwrap_or(Key::MAX));
        match usize::try_from(key)
            .ok()
            .and_then(|at| self.all.get_mut(at))
        {
            Some(place) => *place = Some(state),
            None => self.all.push(Some(state)),
        }
        self.keys.insert(name, key);
        key
    }

    /// Gives a lane's key back that nothing names any more. One in line goes when its turn comes.
    fn drop_unused(&mut self, key: Key) {
        let unused = self.state(key).is_some_and(|lane| {
            lane.messages == 0 && lane.limit.is_none() && lane.turn != Turn::InLine
        });
        if !unused {
            return;
        }
        let place = usize::try_from(key).ok();
        if let Some(lane) = place
            .and_then(|at| self.all.get_mut(at))
            .and_then(Option::take)
        {
            self.keys.remove(&lane.name);
            self.free.push(key);
        }
    }

    fn state(&self, key: Key) -> Option<&State> {
        self.all.get(usize::try_from(key).ok()?)?.as_ref()
    }

    fn state_mut(&mut self, key: Key) -> Option<&mut State> {
        self.all.get_mut(usize::try_from(key).ok()?)?.as_mut()
    }
}
