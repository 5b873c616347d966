//! A year of simulated time: the real schedule, index, conclusions and reports, with destinations
//! that fail and recover as they please, a server that is restarted now and then, and a clock that
//! is only a number. What must hold of every message is looked at when all is over.
//!
//! The full version: `VOUCHSAFE_YEAR=200000 ./test a_year`, best with `--release`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use vouchsafe_proto::addr::{Domain, ForwardPath, ReversePath};
use vouchsafe_proto::dsn::{self, Kind};
use vouchsafe_proto::envelope::{Envelope, Origin};
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::time::Wall;
use vouchsafe_proto::verify::VerdictResult;
use vouchsafe_spool::{Ask, Entry, Index, Waits};

use super::super::super::conclusion::{conclude, conclude_part};
use super::super::*;

/// When the year begins.
const START: u64 = 1_795_256_100_000;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Destinations there are.
const DOMAINS: u64 = 120;

/// A number that looks like chance and is not.
fn hash(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9E37_79B9_7F4A_7C15, |state, part| {
        let mut mixed = (state ^ part).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^= mixed >> 29;
        mixed = mixed.wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 32)
    })
}

/// How a destination answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// No session, after so long.
    Down(u64),
    /// A session, and this for the recipient.
    Up(u8),
}

/// What `domain` does with a recipient of a message that came at `arrived`, at `now`.
fn answer(domain: u64, message: u64, arrived: u64, now: u64) -> Answer {
    let up = |of: u64, every: u64, share: u64| hash(&[domain, of, now / every]) % 100 < share;
    match domain % 10 {
        // Never there: refused at once, or silent.
        0 => Answer::Down(if domain.is_multiple_of(20) {
            20
        } else {
            150 * SECOND
        }),
        // Away for days.
        1 => {
            if up(1, 4 * DAY, 60) {
                Answer::Up(2)
            } else {
                Answer::Down(30 * SECOND)
            }
        }
        // Away for hours.
        2 | 3 => {
            if up(2, 5 * HOUR, 70) {
                Answer::Up(2)
            } else {
                Answer::Down(SECOND)
            }
        }
        // Greylists what it does not know.
        4 => Answer::Up(if now < arrived + 5 * MINUTE { 4 } else { 2 }),
        // Full for days, or unknown.
        5 => Answer::Up(match hash(&[domain, message]) % 3 {
            0 => 5,
            1 if !up(3, 6 * DAY, 50) => 4,
            _ => 2,
        }),
        _ => Answer::Up(2),
    }
}

fn name(domain: u64) -> String {
    format!("d{domain}.example")
}

/// The number of the domain behind a path.
fn number(path: &ForwardPath) -> u64 {
    let text = path.to_string();
    let domain = text.split_once("@d").unwrap().1;
    domain.split_once('.').unwrap().0.parse().unwrap()
}

/// What is to happen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives(u64),
    Stands(WorkerId),
    Done(WorkerId),
    /// An idle worker's session has been idle for long.
    Leaves(WorkerId, u64),
    /// A settlement is durable.
    Settled(u64),
    Recorded(QueueId),
    Restarts,
    /// Somebody was told to look again then.
    Look,
}

/// What became of one recipient of one message.
#[derive(Debug, Default)]
struct Fate {
    delivered: u32,
    failed: u32,
    delayed: u32,
    /// When the sender had heard first, or the recipient had it.
    heard: Option<u64>,
    /// A restart fell into an attempt: it may arrive twice.
    doubt: bool,
}

/// A settlement that is durable, and not heard of: how the message waits, or that it has left, and
/// the reports.
struct Settling {
    id: QueueId,
    waits: Option<Waits>,
    reports: Vec<Envelope>,
}

struct World {
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    drawn: u64,
    terms: Terms,
    hostname: Domain,
    schedule: Schedule,
    index: Index,
    store: HashMap<QueueId, Entry>,
    /// What workers carry; `true` once told to leave.
    workers: HashMap<WorkerId, (NextHop, Option<Work>, u64)>,
    /// Settlements on their way: what is stored, how it waits, and what is reported.
    settling: HashMap<u64, Settling>,
    fates: BTreeMap<(QueueId, usize), Fate>,
    next_due: Option<Wall>,
    next_overdue: Option<Wall>,
    look: bool,
    looks: u64,
    written: u64,
}

impl World {
    fn new() -> Self {
        let routes = Routes {
            mx_port: 25,
            ..Routes::default()
        };
        let delivery = Delivery {
            connections: 40,
            connections_per_destination: 5,
            messages_per_connection: 100,
            starttls: true,
            ..crate::config::parse(
                "hostname = \"mx.example.org\"\ndata_dir = \"/nowhere\"\n\
                 [relay]\nfrom = [\"127.0.0.0/8\"]\n\
                 [[listen]]\naddress = \"127.0.0.1:0\"\n",
                std::path::Path::new("year.toml"),
            )
            .unwrap_or_else(|error| panic!("{error}"))
            .config
            .delivery
        };
        Self {
            now: START,
            events: BinaryHeap::new(),
            drawn: 0,
            terms: Terms {
                delivery,
                retry: Policy::default(),
                routes,
            },
            hostname: Domain::parse("mx.example.org").unwrap(),
            schedule: Schedule::default(),
            index: Index::default(),
            store: HashMap::new(),
            workers: HashMap::new(),
            settling: HashMap::new(),
            fates: BTreeMap::new(),
            next_due: None,
            next_overdue: Some(Wall::default()),
            look: true,
            looks: 0,
            written: 0,
        }
    }

    fn wall(&self) -> Wall {
        Wall::from_millis(self.now)
    }

    fn at(&mut self, at: u64, event: Event) {
        self.drawn += 1;
        self.events.push(Reverse((at, self.drawn, event)));
    }

    fn chance(&mut self) -> u64 {
        self.drawn += 1;
        hash(&[self.drawn, 77])
    }

    /// Gives the schedule an input and does what it says.
    fn with(&mut self, input: impl FnOnce(&mut Schedule, &Given<'_>)) {
        let terms = self.terms.clone();
        let given = Given {
            terms: &terms,
            now: Now {
                mono: Mono::from_millis(self.now - START + 1),
                wall: self.wall(),
            },
            chance: u32::try_from(self.chance() >> 32).unwrap(),
        };
        input(&mut self.schedule, &given);
        loop {
            let actions = self.schedule.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.perform(action, &given);
            }
        }
    }

    fn perform(&mut self, action: Action, given: &Given<'_>) {
        match action {
            Action::Limit(lane, leases) => self.look |= self.index.limit(&lane, leases),
            Action::Engage(worker, next_hop, first) => {
                self.workers.insert(worker, (next_hop, None, 0));
                self.carry(worker, first, true);
            }
            Action::Give(worker, work) => self.carry(worker, work, false),
            Action::Dismiss(worker) => drop(self.workers.remove(&worker)),
            Action::Record(id) => {
                let (lease, tallies) = self.schedule.part(id).unwrap();
                if let Some(progress) = conclude_part(lease.entry(), tallies) {
                    self.store.get_mut(&id).unwrap().progress = progress;
                }
                self.at(self.now + 5, Event::Recorded(id));
            }
            Action::Finish(lease, tallies) => self.finish(&lease, &tallies, given),
        }
    }

    /// A worker begins with a work; its end comes in time.
    fn carry(&mut self, worker: WorkerId, work: Work, first: bool) {
        let message = u64::try_from(work.id.as_u128() & 0xFFFF_FFFF).unwrap();
        let arrived = work.id.arrived().as_millis();
        let domain = number(&work.recipients[0].1.path);
        let end = match answer(domain, message, arrived, self.now) {
            Answer::Down(after) if first => self.now + after,
            Answer::Down(_) => self.now + 50,
            Answer::Up(_) => {
                if first {
                    self.at(self.now + 40, Event::Stands(worker));
                }
                // Some content is long, some lines are slow.
                let long = hash(&[message, self.now]).is_multiple_of(500);
                self.now + if long { 15 * MINUTE } else { 120 }
            }
        };
        let turn = self.chance();
        let seat = self.workers.get_mut(&worker).unwrap();
        (seat.1, seat.2) = (Some(work), turn);
        self.at(end, Event::Done(worker));
    }

    /// A work's end.
    fn done(&mut self, worker: WorkerId) {
        let Some((next_hop, Some(mut work), _)) = self.workers.remove(&worker) else {
            return;
        };
        let message = u64::try_from(work.id.as_u128() & 0xFFFF_FFFF).unwrap();
        let arrived = work.id.arrived().as_millis();
        let mut outcomes = Vec::new();
        let mut unreachable = None;
        for (index, recipient) in std::mem::take(&mut work.recipients) {
            let domain = number(&recipient.path);
            match answer(domain, message, arrived, self.now) {
                Answer::Down(_) => {
                    unreachable = Some(Outcome::local((4, 4, 1), None, "no answer"));
                    work.recipients.push((index, recipient));
                }
                Answer::Up(2) => {
                    let fate = self.fates.get_mut(&(work.id, index)).unwrap();
                    fate.delivered += 1;
                    fate.heard.get_or_insert(self.now);
                    outcomes.push((index, Outcome::local((2, 0, 0), None, "taken")));
                }
                Answer::Up(class) => {
                    outcomes.push((index, Outcome::local((class, 2, 0), None, "no")));
                }
            }
        }
        let open = unreachable.is_none();
        if open {
            let turn = self.chance();
            self.workers.insert(worker, (next_hop, None, turn));
            self.at(self.now + 5 * SECOND, Event::Leaves(worker, turn));
        }
        let carried = Carried {
            untried: work,
            outcomes,
            unreachable,
            open,
        };
        self.with(|schedule, given| schedule.finished(worker, carried, given));
    }

    /// A message's attempt is over: what follows is made durable.
    fn finish(&mut self, lease: &Lease, tallies: &[Tally], given: &Given<'_>) {
        let entry = lease.entry();
        let (retry, wall) = (&given.terms.retry, given.now.wall);
        let Some(end) = conclude(entry, tallies, retry, given.chance, wall) else {
            self.look |= self.index.release(entry.id, None);
            return;
        };
        let mut reports = Vec::new();
        let until = entry.arrived.plus(retry.expire);
        for (kind, concerned) in [
            (Kind::Failed, &end.failed),
            (Kind::Delayed { until }, &end.delayed),
        ] {
            let concerned: Vec<_> = concerned
                .iter()
                .map(|(index, outcome)| dsn::Concerned {
                    recipient: &entry.envelope.recipients[*index],
                    outcome,
                })
                .collect();
            let request = dsn::Request {
                kind,
                hostname: &self.hostname,
                operator: None,
                envelope: &entry.envelope,
                queue_id: entry.id,
                arrived: entry.arrived,
                now: wall,
                recipients: &concerned,
                message: dsn::Returned::Beginning(b"Subject: x\r\n\r\n"),
                chance: [1, 2],
            };
            let told = entry.envelope.reverse_path != ReversePath::Null;
            let report = dsn::build(&request).filter(|_| !concerned.is_empty());
            assert_eq!(report.is_some(), told && !concerned.is_empty());
            reports.extend(report.map(|report| report.envelope));
        }
        for (concerned, failed) in [(&end.failed, true), (&end.delayed, false)] {
            for (index, _) in concerned {
                let fate = self.fates.get_mut(&(entry.id, *index)).unwrap();
                fate.failed += u32::from(failed);
                fate.delayed += u32::from(!failed);
                fate.heard.get_or_insert(self.now);
            }
        }
        let after = end.due.map(|due| Entry {
            progress: end.progress.clone(),
            attempts: end.attempts,
            due,
            delay_reported: end.delay_reported,
            ..entry.clone()
        });
        let waits = after.as_ref().map(|entry| waits(entry).with(&end.later));
        self.written += 1;
        // Durable at once, heard of a little later.
        match &after {
            Some(after) => drop(self.store.insert(entry.id, after.clone())),
            None => drop(self.store.remove(&entry.id)),
        }
        let ticket = self.drawn;
        let id = entry.id;
        let settling = Settling { id, waits, reports };
        self.settling.insert(ticket, settling);
        self.at(self.now + 5, Event::Settled(ticket));
    }

    fn settled(&mut self, ticket: u64) {
        let Some(settling) = self.settling.remove(&ticket) else {
            return;
        };
        if settling.waits.is_some() {
            self.look |= self.index.release(settling.id, settling.waits);
        } else {
            self.index.remove(settling.id);
        }
        for envelope in settling.reports {
            self.take(envelope);
        }
    }

    /// A message comes into custody.
    fn take(&mut self, envelope: Envelope) {
        self.drawn += 1;
        let id = QueueId::new(self.wall(), self.drawn);
        for index in 0..envelope.recipients.len() {
            self.fates.insert((id, index), Fate::default());
        }
        let entry = Entry {
            id,
            progress: vec![Progress::Waiting(None); envelope.recipients.len()],
            envelope,
            arrived: self.wall(),
            size: 1_000,
            attempts: 0,
            due: self.wall(),
            delay_reported: false,
            orders: vouchsafe_spool::Orders::default(),
            active: false,
        };
        self.look |= self.index.insert(id, waits(&entry));
        self.store.insert(id, entry);
    }

    fn arrives(&mut self, number: u64) {
        let drawn = |what: u64| hash(&[number, what]);
        let recipients = (0..=drawn(1) % 10 / 8 * (1 + drawn(2) % 3)).map(|each| {
            let domain = drawn(10 + each) % DOMAINS;
            ForwardPath::parse_inside(&format!("r{each}@{}", name(domain))).unwrap()
        });
        let from = match drawn(3) % 20 {
            0 => String::new(),
            _ => format!("s{number}@{}", name(drawn(4) % DOMAINS)),
        };
        let origin = Origin::Client {
            address: "192.0.2.1".parse().unwrap(),
            helo: "client.example".into(),
        };
        let from = ReversePath::parse_inside(&from).unwrap();
        self.take(Envelope::plain(
            from,
            VerdictResult::Authorised,
            origin,
            recipients,
        ));
    }

    /// The process dies, and is there again half an hour later with what was durable.
    fn restart(&mut self) {
        for (_, work, _) in self.workers.values() {
            if let Some(work) = work {
                for (index, _) in &work.recipients {
                    self.fates.get_mut(&(work.id, *index)).unwrap().doubt = true;
                }
            }
        }
        // What was durable of settlements, their reports with it.
        let tickets: Vec<_> = self.settling.keys().copied().collect();
        for ticket in tickets {
            self.settled(ticket);
        }
        for job in self.schedule.jobs.values() {
            // What of it was delivered and not yet recorded goes out again.
            for (index, tally) in job.tallies.iter().enumerate() {
                if matches!(tally, Tally::Tried { .. }) {
                    let id = job.lease.entry().id;
                    self.fates.get_mut(&(id, index)).unwrap().doubt = true;
                }
            }
        }
        self.workers.clear();
        self.events
            .retain(|Reverse((.., event))| matches!(event, Event::Arrives(_) | Event::Restarts));
        self.schedule = Schedule::default();
        self.index = Index::default();
        self.now += HOUR / 2;
        for entry in self.store.values() {
            self.index.insert(entry.id, waits(entry));
        }
        (self.look, self.next_overdue) = (true, Some(Wall::default()));
    }

    fn step(&mut self, event: &Event) {
        match *event {
            Event::Arrives(number) => self.arrives(number),
            Event::Stands(worker) if self.workers.contains_key(&worker) => {
                self.with(|schedule, given| schedule.stands(worker, given));
            }
            Event::Done(worker) => self.done(worker),
            Event::Leaves(worker, turn) => {
                let idle = self.workers.get(&worker);
                if idle.is_some_and(|(_, work, of)| work.is_none() && *of == turn) {
                    self.workers.remove(&worker);
                    self.with(|schedule, given| schedule.left(worker, given));
                }
            }
            Event::Settled(ticket) => self.settled(ticket),
            Event::Recorded(id) => self.with(|schedule, _| schedule.recorded(id)),
            Event::Restarts => self.restart(),
            Event::Look | Event::Stands(_) => {}
        }
    }

    /// What the dispatcher does between two news.
    fn lease(&mut self) {
        self.look |= [self.next_due, self.next_overdue]
            .into_iter()
            .flatten()
            .any(|due| due <= self.wall());
        let moment = Mono::from_millis(self.now - START + 1);
        if self.schedule.next_moment().is_some_and(|at| at <= moment) {
            self.with(Schedule::moment);
            self.look = true;
        }
        while self.look {
            let known = (self.next_due, self.next_overdue);
            let settling = self.settling.len();
            let mut ask = Ask::up_to(0);
            self.with(|schedule, given| ask = schedule.ask(known, settling, given));
            if ask.due == 0 && ask.overdue == 0 {
                break;
            }
            self.looks += 1;
            let now = self.wall();
            let taken = self.index.lease(now, &ask);
            (self.next_due, self.next_overdue) = (taken.next_due, taken.next_overdue);
            let overdue = taken.overdue.into_iter().map(|id| (id, true));
            for (id, overdue) in overdue.chain(taken.due.into_iter().map(|id| (id, false))) {
                let mut lease = Lease::of(self.store[&id].clone());
                if overdue {
                    lease.set_overdue();
                }
                self.with(|schedule, given| schedule.admit(lease, given));
            }
            let more = taken.next_due.is_some_and(|due| due <= now);
            self.look = more || taken.next_overdue.is_some_and(|due| due <= now);
            if !more && ask.due > 0 {
                self.with(Schedule::drained);
            }
        }
        let due = [self.next_due, self.next_overdue].into_iter().flatten();
        let due = due.map(Wall::as_millis).filter(|due| *due > self.now).min();
        let moment = self.schedule.next_moment();
        let moment = moment.map(|at| START + at.as_millis());
        if let Some(at) = due.into_iter().chain(moment).min()
            && self
                .events
                .peek()
                .is_none_or(|Reverse((next, ..))| *next > at)
        {
            self.at(at.max(self.now + 1), Event::Look);
        }
    }

    fn run(&mut self) {
        self.lease();
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            self.now = self.now.max(at);
            self.step(&event);
            self.lease();
        }
    }
}

fn waits(entry: &Entry) -> Waits {
    let recipients = entry.envelope.recipients.iter();
    Waits::of(recipients, &entry.progress, entry.due, entry.delay_reported)
}

#[test]
fn a_year_of_failures_and_recoveries_leaves_nobody_unheard() {
    let messages: u64 = std::env::var("VOUCHSAFE_YEAR").map_or(3_000, |text| text.parse().unwrap());
    let mut world = World::new();
    for number in 0..messages {
        // A third comes in bursts, the rest all the year round.
        let at = match hash(&[number, 6]) % 3 {
            0 => hash(&[number / 500, 7]) % (360 * DAY) + hash(&[number, 8]) % MINUTE,
            _ => hash(&[number, 9]) % (360 * DAY),
        };
        world.at(START + at, Event::Arrives(number));
    }
    for restart in 0..20 {
        let at = START + hash(&[restart, 11]) % (360 * DAY);
        world.at(at, Event::Restarts);
    }
    world.run();
    let ended = (world.now - START) / DAY;
    assert!((359..=400).contains(&ended), "ended on day {ended}");
    assert!(world.store.is_empty(), "{} left", world.store.len());
    assert_eq!((world.schedule.in_hand(), world.workers.len()), (0, 0));
    assert!(world.schedule.destinations.is_empty() && world.index.lanes().is_empty());
    let mut sums = [0u64; 4];
    for ((id, index), fate) in &world.fates {
        let what = format!("{id} {index}: {fate:?}");
        let ends = fate.delivered.min(1) + fate.failed;
        assert_eq!(ends, 1, "{what}");
        assert!(fate.delivered <= 1 || fate.doubt, "{what}");
        assert!(fate.delayed <= 1, "{what}");
        let heard = fate.heard.unwrap() - id.arrived().as_millis();
        assert!(
            heard <= 6 * HOUR,
            "heard after {} min: {what}",
            heard / MINUTE
        );
        sums[0] += u64::from(fate.delivered > 0);
        sums[1] += u64::from(fate.failed);
        sums[2] += u64::from(fate.delayed);
        sums[3] += u64::from(fate.delivered > 1);
    }
    let [delivered, failed, delayed, twice] = sums;
    eprintln!(
        "{} recipients: {delivered} delivered ({twice} twice, after a restart), {failed} failed or \
         expired, {delayed} delayed; {} records written, {} looks at the queue",
        world.fates.len(),
        world.written,
        world.looks,
    );
    assert!(delivered > messages / 2 && failed > messages / 20 && delayed > messages / 20);
}
