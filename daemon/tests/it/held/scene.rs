//! A path of services with harm between them: a sender, one service behind the other, and where the path ends.
//! Every message is sent until it has its end, whoever is killed comes back, and at last it is counted.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::super::service::{PATIENCE, Service, Setup};
use super::super::sink::Message;
use super::hop::{Hop, Speaks, To};
use super::proxy::{Act, Point, Proxy, Sides, Victim, Ways};
use super::sender::{
    Count, Heard, Manner, Sender, is_refused_for_good, number_in, recipients, reverse_path,
};
use super::{World, queue_of};

/// What is done, and to whom.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long each service waits for replies, and for the last one, in milliseconds; the first of the path first.
    /// Silence is to be noticed by whoever is nearest to it first: with one patience for all, a host would give
    /// up at the moment at which the one behind it has something to say.
    pub patience: &'static [(u32, u32)],
    /// Where harm is done. 0 is between the sender and the first service, 1 behind that, and so on.
    pub harmed: RangeInclusive<usize>,
    /// Services that may be killed.
    pub killed: Range<usize>,
    /// Of sixteen acts so many are silence, up to four.
    pub silence: u64,
    pub end: End,
    pub manner: Manner,
    /// All of them hear each other offer XHOLD, where it is harmed between them.
    pub together: bool,
}

/// Where the path ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At a host by script, which refuses some.
    Refusing,
    /// In a Maildir of the last service: a file for each copy that it has taken for a recipient, however often it
    /// has tried to put it there. It refuses nobody, so nobody is sent to who would be refused.
    Maildir,
}

/// A service that may be killed, and comes back in the same folder.
struct Mortal {
    service: Option<Service>,
    victim: Arc<Victim>,
    may_be_killed: bool,
    /// None: a Maildir.
    next_hop: Option<String>,
    /// What is the same in all of its lives.
    sections: String,
    killed: u32,
    /// Of its former lives.
    log: String,
}

impl Mortal {
    fn live(&mut self, world: &World, setup: Setup) {
        let maildir = || format!("maildir:{}", setup.folder().join("mail").display());
        let next_hop = self.next_hop.clone().unwrap_or_else(maildir);
        let service = world
            .made(setup)
            .domain("hop.example", &next_hop)
            .with(&self.sections)
            .start();
        self.victim.is(service.pid());
        if !self.may_be_killed {
            self.victim.spare();
        }
        self.service = Some(service);
    }

    fn service(&self) -> &Service {
        self.service.as_ref().unwrap()
    }

    /// If it was killed, it comes back: true.
    fn comes_back(&mut self, world: &World) -> bool {
        if self.victim.lives() {
            return false;
        }
        let service = self.service.take().unwrap();
        let folder = service.folder();
        self.log.push_str(&service.ended().1);
        self.killed += 1;
        self.live(world, Setup::in_folder(folder));
        true
    }

    /// The log of all of its lives.
    fn stop(self) -> String {
        self.log + &self.service.unwrap().stop()
    }

    /// What is in its Maildir.
    fn mailbox(&self) -> Vec<Message> {
        self.service()
            .delivered()
            .iter()
            .map(|file| letter(file))
            .collect()
    }
}

/// A file of a Maildir, as it was sent.
fn letter(file: &[u8]) -> Message {
    let mut content = Vec::with_capacity(file.len());
    for line in file.split_inclusive(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap();
        content.extend_from_slice(line);
        content.extend_from_slice(b"\r\n");
    }
    let text = String::from_utf8_lossy(file);
    let mut lines = text.lines();
    let recipient = lines.find_map(|line| line.strip_prefix("Delivered-To: "));
    Message {
        recipients: vec![recipient.unwrap().into()],
        content,
        ..Message::default()
    }
}

/// The last host: takes most, refuses some for good, and some once.
fn last_host() -> Hop {
    let seen = Mutex::new(HashSet::new());
    Hop::start(Speaks::Smtp, move |to, recipient| {
        let kind = recipient.split('-').next().unwrap();
        let reply = match (to, kind) {
            (To::Recipient, "gone") => "550 5.1.1 inner words",
            (To::Recipient, "grey") if seen.lock().unwrap().insert(recipient.to_owned()) => {
                "450 4.7.1 inner words"
            }
            (To::End, "strict") => "554 5.7.1 inner words",
            _ => "250 2.0.0 ok",
        };
        reply.into()
    })
}

/// The path, and what stands between.
struct Scene {
    world: World,
    plan: Plan,
    hosts: Vec<Mortal>,
    /// By what they lead to.
    proxies: BTreeMap<usize, Proxy>,
    killed: Receiver<()>,
    last: Hop,
    elsewhere: Hop,
}

impl Scene {
    fn start(plan: Plan, seed: u64) -> Self {
        let world = World::start();
        let (last, elsewhere) = (last_host(), Hop::willing());
        let (told, killed) = channel();
        let victims: Vec<_> = plan
            .patience
            .iter()
            .map(|_| Arc::<Victim>::default())
            .collect();
        let ways = Ways {
            kills: !plan.killed.is_empty(),
            silence: plan.silence,
            plain: !plan.together,
        };
        let mut proxies = BTreeMap::new();
        let mut harm = |place: usize, target: SocketAddr| {
            if !plan.harmed.contains(&place) {
                return target;
            }
            let previous = place
                .checked_sub(1)
                .map(|place| Arc::clone(&victims[place]));
            let sides = Sides {
                previous,
                next: victims.get(place).cloned(),
                ways,
            };
            let seed = seed ^ (u64::MAX << (8 * place));
            let proxy = Proxy::start(target, seed, sides, told.clone());
            let address = proxy.address();
            proxies.insert(place, proxy);
            address
        };
        let mut hosts = Vec::new();
        let mut next = last.address();
        for (place, (of_replies, of_the_last)) in plan.patience.iter().enumerate().rev() {
            let is_end = place + 1 == plan.patience.len();
            let behind = harm(place + 1, next);
            let mut host = Mortal {
                service: None,
                victim: Arc::clone(&victims[place]),
                may_be_killed: plan.killed.contains(&place),
                next_hop: (!is_end || plan.end == End::Refusing)
                    .then(|| format!("smtp://{behind}")),
                sections: format!(
                    "[delivery]\nconnect_timeout = \"1s\"\ncommand_timeout = \"{of_replies}ms\"\n\
                     data_timeout = \"{of_replies}ms\"\nblock_timeout = \"{of_replies}ms\"\n\
                     completion_timeout = \"{of_the_last}ms\"\n\
                     [relay]\nnext_hop = \"{}\"",
                    elsewhere.next_hop()
                ),
                killed: 0,
                log: String::new(),
            };
            host.live(&world, Setup::new());
            next = host.service().address();
            hosts.insert(0, host);
        }
        harm(0, next);
        Self {
            world,
            plan,
            hosts,
            proxies,
            killed,
            last,
            elsewhere,
        }
    }

    /// Sends so many messages, and has who is killed come back, until each message has its end.
    fn send(&mut self, total: usize) -> Heard {
        let first = self.proxies.get(&0).map(Proxy::address);
        let first = first.unwrap_or_else(|| self.hosts[0].service().address());
        let is_sent = |number: &u64| match self.plan.end {
            End::Refusing => true,
            End::Maildir => !recipients(*number).iter().any(|to| is_refused_for_good(to)),
        };
        let messages = (1..).filter(is_sent).take(total).collect();
        let sender = Sender::start(first, messages, self.plan.manner);
        let began = Instant::now();
        while !sender.is_over() {
            match self.killed.recv_timeout(Duration::from_millis(100)) {
                Ok(()) => self.revive(&sender),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("proxies live on"),
            }
            let most = PATIENCE * 2 + Duration::from_millis(500) * u32::try_from(total).unwrap();
            if began.elapsed() > most {
                self.tell_without_end(&sender);
            }
        }
        for proxy in self.proxies.values() {
            proxy.calm();
        }
        for host in &self.hosts {
            host.victim.spare();
        }
        self.revive(&sender);
        sender.ends()
    }

    /// Who has to be told why a test failed sees a message that has no end.
    fn tell_without_end(&mut self, sender: &Sender) -> ! {
        let endless = sender.without_end();
        let logs: Vec<_> = self.hosts.drain(..).map(Mortal::stop).collect();
        let life = endless.first().map(|number| life(&logs, *number));
        panic!("without end: {endless:?}\n{}", life.unwrap_or_default());
    }

    fn revive(&mut self, sender: &Sender) {
        for (place, host) in self.hosts.iter_mut().enumerate().rev() {
            if !host.comes_back(&self.world) {
                continue;
            }
            let address = host.service().address();
            match self.proxies.get(&place) {
                Some(proxy) => proxy.lead_to(address),
                None => sender.lead_to(address),
            }
        }
    }

    /// Waits until everything that is owed has come, and nothing is queued.
    fn settle(self, heard: &Heard) -> Settled {
        let (mut owed, mut unreported) = (heard.owed(), heard.reports_owed());
        let (mut delivered, mut reports) = (Vec::new(), Vec::new());
        let began = Instant::now();
        let mut queued = true;
        while (queued || !owed.is_empty() || !unreported.is_empty())
            && began.elapsed() < PATIENCE * 2
        {
            queued = self
                .hosts
                .iter()
                .any(|host| !queue_of(host.service()).is_empty());
            delivered.extend(self.last.rest());
            if self.plan.end == End::Maildir && !queued {
                delivered = self.hosts.last().unwrap().mailbox();
            }
            for message in &delivered {
                for to in &message.recipients {
                    owed.remove(&(number_in(&message.content), to.clone()));
                }
            }
            for report in self.elsewhere.rest() {
                unreported.remove(&number_in(&report.content));
                reports.push(report);
            }
        }
        for host in &self.hosts {
            assert_eq!(queue_of(host.service()), "", "queued without end");
        }
        let logs = self.hosts.into_iter().map(Mortal::stop).collect();
        delivered.extend(self.last.rest());
        reports.extend(self.elsewhere.rest());
        Settled {
            delivered,
            reports,
            logs,
        }
    }
}

/// What there is when nothing is under way any more.
struct Settled {
    delivered: Vec<Message>,
    reports: Vec<Message>,
    /// Of each host, with all of its lives.
    logs: Vec<String>,
}

/// The lines of the logs of all hosts that are about a message, for whoever has to be told why a test failed.
fn life(logs: &[String], number: u64) -> String {
    let recipient = format!("-{number}@");
    let mut life = String::new();
    for (place, log) in logs.iter().enumerate() {
        let about = log.lines().filter(|line| line.contains(&recipient));
        let ids: HashSet<&str> = about
            .flat_map(str::split_ascii_whitespace)
            .filter_map(|word| word.strip_prefix("queue_id="))
            .collect();
        let each = log
            .lines()
            .filter(|line| line.contains(&recipient) || ids.iter().any(|id| line.contains(id)));
        for line in each {
            writeln!(life, "{place}: {line}").unwrap();
        }
    }
    life
}

/// A number from the environment.
pub fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// What came of a run.
pub struct Run {
    pub count: Count,
    /// How often a host knew a copy that it had taken.
    pub known_again: usize,
}

/// One run of this plan. What holds whatever is done has been asserted.
pub fn run(plan: &Plan) -> Run {
    let total = number("VOUCHSAFE_HELD", 150);
    let seed = number("VOUCHSAFE_HELD_SEED", 5);
    let mut scene = Scene::start(plan.clone(), seed);
    let began = Instant::now();
    let heard = scene.send(usize::try_from(total).unwrap());
    let took = began.elapsed();
    let mut done: BTreeMap<(Point, Act), u32> = BTreeMap::new();
    let proxies: Vec<_> = scene.proxies.values().cloned().collect();
    for (at, times) in proxies.iter().flat_map(Proxy::done) {
        *done.entry(at).or_default() += times;
    }
    let each_killed: Vec<_> = scene.hosts.iter().map(|host| host.killed).collect();
    let settled = scene.settle(&heard);
    let doubts = |number| -> u32 { proxies.iter().map(|proxy| proxy.doubts(number)).sum() };
    let count = Count::of(&heard, doubts, &settled.delivered, &settled.reports);
    let (faults, kills) = (done.values().sum::<u32>(), each_killed.iter().sum::<u32>());
    let again = |log: &String| log.matches("taken before").count();
    let known_again = settled.logs.iter().map(again).sum();
    println!("seed {seed}: {faults} faults, kills {each_killed:?}, {took:?}: {done:?}");
    println!("{count}; known again {known_again} times");
    let mut odd: Vec<_> = count.lost.iter().map(|(number, _)| *number).collect();
    if plan.together && plan.manner.with_ids {
        odd.extend(&count.copied);
    } else {
        let more = count.duplicates_without_doubt.iter();
        odd.extend(more.map(|(number, _)| *number));
    }
    for number in odd {
        let (sender, lost) = (reverse_path(number), doubts(number));
        println!(
            "{number} <{sender}>, {lost} lost replies:\n{}",
            life(&settled.logs, number)
        );
    }
    assert!(count.lost.is_empty(), "lost: {:?}", count.lost);
    assert!(
        count.refused_wrongly.is_empty(),
        "{:?}",
        count.refused_wrongly
    );
    assert_eq!(count.acknowledged_twice, 0);
    assert_eq!(count.reports_to_unproven, 0);
    // The run is worth something only if much was in it; a long one, if everything was.
    let is_killing = !plan.killed.is_empty();
    assert!(faults > 30 && is_killing == (kills > 0), "{done:?}");
    let points: HashSet<_> = done.keys().map(|(point, _)| *point).collect();
    let acts: HashSet<_> = done.keys().map(|(_, act)| *act).collect();
    let all = (9, if is_killing { 5 } else { 3 });
    assert!(
        total < 1000 || (points.len(), acts.len()) == all,
        "{done:?}"
    );
    Run { count, known_again }
}
