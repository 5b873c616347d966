//! The world that the schedule lives in: a clock, a queue, workers, and the dispatcher's part,
//! which takes its time. The rules of [`crate::runner::dispatcher`] are followed one by one: news are
//! heard one after the other, not while a lease is waited for, and nobody looks at the queue but
//! when [`Outlook`] or the bell says so. So a wake that is lost is a message that never moves.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::rc::Rc;

use vouchsafe_proto::addr::{Domain, ForwardPath};
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::{Ask, Entry, Index, Taken, Waits};

use super::fate::{Fate, Letter, Moment};
use super::record::Recording;
use super::workers::Seated;
use super::{DAY, DOWN, LAST_DAY, MINUTE, SECOND, START, hash};
use crate::runner::outlook::{LONGEST_SLEEP, Outlook};
use crate::runner::schedule::*;

/// What is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Arrives(u64),
    Stands(WorkerId),
    Done(WorkerId),
    /// An idle worker's session has been idle for long.
    Leaves(WorkerId, u64),
    /// What is recorded is durable, or could not be made so; and the dispatcher hears of that.
    Durable(u64),
    /// The queue takes leases, and the dispatcher hears which.
    Read,
    Answered,
    /// The dispatcher's timer.
    Wakes,
    /// The process is told to stop, has no more time, or dies.
    Stops,
    GivesUp,
    Dies,
    /// The clock is set, by so many milliseconds.
    Jumps(i64),
    News(News),
}

/// What the dispatcher hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum News {
    Stands(WorkerId),
    /// Its work is in [`World::carried`].
    Finished(WorkerId),
    Left(WorkerId),
    /// A settlement has come to its end.
    Settled(u64),
    /// A part is recorded, or could not be.
    Recorded(QueueId),
}

#[expect(clippy::struct_excessive_bools, reason = "each is another's business")]
pub(super) struct World {
    /// Milliseconds since the beginning.
    pub(super) now: u64,
    /// How far the clock is from where it would be.
    pub(super) ahead: i64,
    /// How far it has been set back, all in all.
    pub(super) set_back: u64,
    pub(super) events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    pub(super) drawn: u64,
    pub(super) terms: Rc<Terms>,
    pub(super) hostname: Domain,
    pub(super) operator: ForwardPath,
    pub(super) schedule: Schedule,
    pub(super) index: Index,
    /// The bell has been rung, and not heard.
    pub(super) rung: bool,
    /// What is durable.
    pub(super) store: BTreeMap<QueueId, Entry>,
    pub(super) workers: BTreeMap<WorkerId, Seated>,
    /// What workers have brought home, until the dispatcher hears of it.
    pub(super) carried: BTreeMap<WorkerId, Carried>,
    pub(super) news: VecDeque<News>,
    /// What is being recorded, and what could not be.
    pub(super) recordings: BTreeMap<u64, Recording>,
    pub(super) settling: BTreeSet<QueueId>,
    pub(super) early: BTreeMap<QueueId, Lease>,
    pub(super) unrecorded: BTreeMap<QueueId, Recording>,
    /// The dispatcher: what it knows, what it has asked for and got, whether it is to look on.
    outlook: Outlook,
    asked: Option<(Wall, Ask, Taken)>,
    looks_on: bool,
    /// Until when it sleeps if nothing wakes it, and whether it knows of nothing to wake up for.
    sleeps: Option<(u64, bool)>,
    /// It has woken up so: there must be nothing for it.
    for_nothing: bool,
    /// The clock was set since the queue was asked last: only asking tells it, and what waits then
    /// is due at other moments than it has said.
    jumped: bool,
    stopping: bool,
    pub(super) letters: BTreeMap<QueueId, Letter>,
    pub(super) counts: Counts,
}

/// What it took.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) looks: u64,
    pub(super) records: u64,
    pub(super) starts: u64,
    pub(super) early: u64,
    pub(super) unrecorded: u64,
}

impl World {
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            now: 0,
            ahead: 0,
            set_back: 0,
            events: BinaryHeap::new(),
            drawn: 0,
            terms: Rc::new(terms),
            hostname: Domain::parse("mx.example.org").unwrap(),
            operator: ForwardPath::parse_inside("postmaster@d11.example").unwrap(),
            schedule: Schedule::default(),
            index: Index::default(),
            rung: false,
            store: BTreeMap::new(),
            workers: BTreeMap::new(),
            carried: BTreeMap::new(),
            news: VecDeque::new(),
            recordings: BTreeMap::new(),
            settling: BTreeSet::new(),
            early: BTreeMap::new(),
            unrecorded: BTreeMap::new(),
            outlook: Outlook::new(),
            asked: None,
            looks_on: true,
            sleeps: None,
            for_nothing: false,
            jumped: false,
            stopping: false,
            letters: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    pub(super) fn moment(&self) -> Moment {
        Moment {
            at: self.now,
            wall: self.time().wall,
            starts: self.counts.starts,
            set_back: self.set_back,
        }
    }

    pub(super) fn time(&self) -> Now {
        let wall = START.checked_add_signed(self.ahead).unwrap() + self.now;
        Now {
            mono: Mono::from_millis(self.now + 1),
            wall: Wall::from_millis(wall),
        }
    }

    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.drawn += 1;
        self.events.push(Reverse((at, self.drawn, event)));
    }

    pub(super) fn chance(&mut self) -> u64 {
        self.drawn += 1;
        hash(&[self.drawn, 77])
    }

    /// True once in so many times.
    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.chance().is_multiple_of(times)
    }

    /// How long something takes: a few milliseconds, and now and then far more.
    pub(super) fn a_while(&mut self) -> u64 {
        let drawn = self.chance();
        match drawn % 200 {
            0 => 1 + drawn / 200 % (3 * SECOND),
            _ => 1 + drawn / 200 % 5,
        }
    }

    pub(super) fn fate(&mut self, id: QueueId, index: usize) -> &mut Fate {
        let letter = self.letters.get_mut(&id).unwrap();
        &mut letter.fates[index]
    }

    /// Gives the schedule an input and does what it says.
    pub(super) fn with<T>(&mut self, input: impl FnOnce(&mut Schedule, &Given<'_>) -> T) -> T {
        let terms = Rc::clone(&self.terms);
        let given = Given {
            terms: &terms,
            now: self.time(),
            chance: u32::try_from(self.chance() >> 32).unwrap(),
        };
        let told = input(&mut self.schedule, &given);
        loop {
            let actions = self.schedule.take_actions();
            if actions.is_empty() {
                return told;
            }
            for action in actions {
                self.perform(action, &given);
            }
        }
    }

    fn perform(&mut self, action: Action, given: &Given<'_>) {
        match action {
            Action::Limit(lane, leases) => self.rung |= self.index.limit(&lane, leases),
            Action::Engage(worker, next_hop, first) => self.engage(worker, next_hop, first),
            Action::Give(worker, work) => {
                if self.workers.contains_key(&worker) {
                    self.carry(worker, work, false);
                } else {
                    self.schedule.given_back(worker, work, given);
                }
            }
            Action::Dismiss(worker) => self.dismissed(worker),
            Action::Record(id) => self.record_part(id),
            Action::Finish(lease, tallies) => self.finish(&lease, &tallies, given),
        }
    }

    /// A message comes into custody.
    pub(super) fn take(&mut self, envelope: Envelope) {
        self.drawn += 1;
        let wall = self.time().wall;
        let id = QueueId::new(wall, self.drawn);
        let letter = Letter::new(envelope.clone(), self.moment());
        self.letters.insert(id, letter);
        let entry = Entry {
            id,
            progress: vec![Progress::Waiting(None); envelope.recipients.len()],
            envelope,
            arrived: wall,
            size: 1_000,
            attempts: 0,
            due: wall,
            delay_reported: false,
            deadline_reported: false,
            orders: vouchsafe_spool::Orders::default(),
            active: false,
        };
        self.index.hear(wall);
        self.rung |= self.index.insert(id, waits(&entry));
        self.store.insert(id, entry);
    }

    /// The dispatcher goes on until it has to wait.
    fn drive(&mut self) {
        while self.asked.is_none() {
            if self.stopping {
                if self.schedule.in_hand() == 0 && self.recordings.is_empty() {
                    self.start();
                    continue;
                }
            } else if self.looks_on && self.outlook.is_open() {
                self.ask();
                continue;
            }
            self.looks_on = false;
            if self.sleeps.is_none() && !self.stopping {
                self.lie_down();
            }
            if let Some(news) = self.news.pop_front() {
                self.hear(news);
            } else if self.rung && !self.outlook.is_open() && !self.stopping {
                self.rung = false;
                self.outlook.look();
            } else if let Some((_, idly)) = self.sleeps.filter(|(until, _)| *until <= self.now) {
                self.with(Schedule::moment);
                self.outlook.look();
                self.for_nothing |= idly;
            } else {
                return;
            }
            self.sleeps = None;
            self.looks_on = true;
        }
    }

    /// The dispatcher waits for news, or for a moment: one that it knows of, or none at all, and then
    /// it looks after a while whatever it knows.
    fn lie_down(&mut self) {
        let now = self.time();
        let look = self.outlook.next_moment(now);
        let (due, overdue) = self.outlook.known();
        let mut known = due.into_iter().chain(overdue);
        let idly = look == now.mono.plus(LONGEST_SLEEP)
            && !known.any(|at| at == now.wall.plus(LONGEST_SLEEP));
        let next = self.schedule.next_moment();
        let idly = idly && next.is_none_or(|next| next > look) && !self.outlook.is_open();
        let idly = idly && !self.jumped;
        let until = next.map_or(look, |next| next.min(look));
        let until = until.as_millis().saturating_sub(1).max(self.now);
        self.sleeps = Some((until, idly));
        self.at(until, Event::Wakes);
    }

    /// The dispatcher asks for leases. They are taken a little later, and a little later it has
    /// them.
    fn ask(&mut self) {
        let wall = self.time().wall;
        let known = self.outlook.known();
        let recordings = self.recordings.values();
        let settling = recordings.filter(|recording| !recording.part).count();
        let ask = self.with(|schedule, given| schedule.ask(known, settling, given));
        if ask.due == 0 && ask.overdue == 0 {
            self.outlook.no_room(wall);
            self.looks_on = false;
            return;
        }
        self.counts.looks += 1;
        self.asked = Some((wall, ask, Taken::default()));
        let read = self.now + self.a_while() - 1;
        self.at(read, Event::Read);
    }

    fn read(&mut self) {
        let Some((wall, ask, taken)) = &mut self.asked else {
            return;
        };
        *taken = self.index.lease(*wall, ask);
        self.jumped = false;
        if std::mem::take(&mut self.for_nothing) {
            let nothing = taken.due.is_empty() && taken.overdue.is_empty();
            assert!(nothing || self.rung, "nobody was told of {taken:?}");
        }
        let answered = self.now + self.a_while();
        self.at(answered, Event::Answered);
    }

    fn answered(&mut self) {
        let Some((wall, ask, taken)) = self.asked.take() else {
            return;
        };
        let (next_due, next_overdue) = (taken.next_due, taken.next_overdue);
        let overdue = taken.overdue.into_iter().map(|id| (id, true));
        for (id, overdue) in overdue.chain(taken.due.into_iter().map(|id| (id, false))) {
            let mut lease = Lease::of(self.store[&id].clone());
            if overdue {
                lease.set_overdue();
            }
            self.admit(lease);
        }
        if ask.due > 0 && next_due.is_none_or(|due| due > wall) {
            self.with(Schedule::drained);
        }
        self.looks_on = self.outlook.heard(wall, &ask, next_due, next_overdue);
    }

    /// One message is taken in hand.
    pub(super) fn admit(&mut self, lease: Lease) {
        let id = lease.entry().id;
        if self.settling.contains(&id) {
            self.counts.early += 1;
            self.early.insert(id, lease);
        } else if let Some(recording) = self.unrecorded.remove(&id) {
            self.record(recording);
        } else {
            self.with(|schedule, given| schedule.admit(lease, given));
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Stands(worker) => self.with(|schedule, given| schedule.stands(worker, given)),
            News::Finished(worker) => {
                if let Some(carried) = self.carried.remove(&worker) {
                    self.with(|schedule, given| schedule.finished(worker, carried, given));
                }
            }
            News::Left(worker) => self.with(|schedule, given| schedule.left(worker, given)),
            News::Settled(ticket) => self.settled(ticket),
            News::Recorded(id) => self.with(|schedule, _| schedule.recorded(id)),
        }
    }

    /// The word to stop: nothing new is begun, and sessions have ten seconds.
    fn stops(&mut self) {
        if !self.stopping {
            self.stopping = true;
            self.with(|schedule, _| schedule.stop());
            self.at(self.now + 10 * SECOND, Event::GivesUp);
        }
    }

    fn gives_up(&mut self) {
        self.cut_off();
        while let Some(news) = self.news.pop_front() {
            self.hear(news);
        }
        self.with(|schedule, _| schedule.give_up());
    }

    /// The process is gone; half an hour later there is another with what was durable.
    fn start(&mut self) {
        self.cut_off();
        for (id, entry) in &self.store {
            let letter = self.letters.get_mut(id).unwrap();
            for (fate, progress) in letter.fates.iter_mut().zip(&entry.progress) {
                if progress.is_waiting() {
                    fate.doubted = fate.taken;
                }
            }
        }
        self.counts.starts += 1;
        self.events.retain(|Reverse((.., event))| {
            use Event::{Arrives, Dies, Jumps, Stops};
            matches!(event, Arrives(_) | Dies | Stops | Jumps(_))
        });
        self.now += DOWN;
        self.schedule = Schedule::default();
        self.index = Index::default();
        self.outlook = Outlook::new();
        (self.asked, self.sleeps, self.for_nothing) = (None, None, false);
        (self.stopping, self.looks_on, self.rung) = (false, true, false);
        self.news.clear();
        self.carried.clear();
        self.recordings.clear();
        self.settling.clear();
        self.early.clear();
        self.unrecorded.clear();
        for entry in self.store.values() {
            self.index.insert(entry.id, waits(entry));
        }
    }

    fn jumps(&mut self, by: i64) {
        // What it meant to wake up for is at another time now.
        self.sleeps = self.sleeps.map(|(until, _)| (until, false));
        (self.for_nothing, self.jumped) = (false, true);
        self.ahead += by;
        self.set_back += by.min(0).unsigned_abs();
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Arrives(number) => self.take(super::envelope(number, self.time().wall)),
            Event::Stands(worker) if self.workers.contains_key(&worker) => {
                self.news.push_back(News::Stands(worker));
            }
            Event::Done(worker) => self.done(worker),
            Event::Leaves(worker, turn) => self.leaves(worker, turn),
            Event::Durable(ticket) => self.durable(ticket),
            Event::News(news) => self.news.push_back(news),
            Event::Read => self.read(),
            Event::Answered => self.answered(),
            Event::Stops => self.stops(),
            Event::GivesUp => self.gives_up(),
            Event::Dies => self.start(),
            Event::Jumps(by) => self.jumps(by),
            Event::Wakes | Event::Stands(_) => {}
        }
    }

    /// Until nothing happens any more.
    pub(super) fn run(&mut self) {
        self.drive();
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            self.now = self.now.max(at);
            let quiet = |Reverse((.., event)): &Reverse<(u64, u64, Event)>| *event == Event::Wakes;
            let over = self.store.is_empty() && self.events.iter().all(quiet);
            let over = over && event == Event::Wakes && self.in_hand() + self.remembered() == 0;
            if self.now > LAST_DAY * DAY || over {
                return;
            }
            self.step(event);
            self.drive();
        }
    }

    /// What is in anybody's hands.
    pub(super) fn in_hand(&self) -> usize {
        self.schedule.in_hand() + self.workers.len() + self.recordings.len() + self.early.len()
    }

    /// What is remembered of destinations.
    pub(super) fn remembered(&self) -> usize {
        self.schedule.destinations.len() + self.index.lanes().len()
    }
}

pub(super) fn waits(entry: &Entry) -> Waits {
    let reported = (entry.delay_reported, entry.deadline_reported);
    Waits::of(
        &entry.envelope,
        &entry.progress,
        entry.due,
        reported.0,
        reported.1,
    )
}

/// How long a session that nobody needs stays.
pub(super) const IDLE: u64 = 5 * SECOND;

/// How long content may take.
pub(super) const LONG: u64 = 15 * MINUTE;
