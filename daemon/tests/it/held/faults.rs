//! Faults at every point of the dialogue, between two services and before the last host: cut connections,
//! silence, rubbish, lost 250s, and services that are killed there. Nothing that was acknowledged is lost,
//! nothing is acknowledged twice, and nobody who is not proven gets a report.
//!
//! `./test` runs some hundreds. The full version, whose faults another seed distributes otherwise:
//!
//! ```sh
//! VOUCHSAFE_HELD=5000 VOUCHSAFE_HELD_SEED=1 \
//!     cargo test -p vouchsafe --test it held::faults -- --nocapture
//! ```

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::super::service::{PATIENCE, Service, Setup};
use super::super::sink::Message;
use super::hop::{Hop, Speaks, To};
use super::proxy::{Proxy, Sides, Victim};
use super::sender::{Count, Heard, Sender, number_in, reverse_path};
use super::{UNKNOWN, World, queue_of};

/// A number from the environment.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Silence is noticed soon, and by whoever is nearest to it first: with one patience for all, the front would
/// give up at the moment at which the middle has something to say.
fn patience(of_replies: u32, of_the_last: u32) -> String {
    format!(
        "[delivery]\nconnect_timeout = \"1s\"\ncommand_timeout = \"{of_replies}ms\"\n\
         data_timeout = \"{of_replies}ms\"\nblock_timeout = \"{of_replies}ms\"\n\
         completion_timeout = \"{of_the_last}ms\""
    )
}

/// A service that may be killed, and comes back in the same folder.
struct Mortal {
    service: Option<Service>,
    victim: Arc<Victim>,
    next_hop: String,
    elsewhere: String,
    patience: String,
    killed: u32,
}

impl Mortal {
    fn start(
        world: &World,
        victim: &Arc<Victim>,
        next_hop: String,
        elsewhere: String,
        patience: String,
    ) -> Self {
        let mut mortal = Self {
            service: None,
            victim: Arc::clone(victim),
            next_hop,
            elsewhere,
            patience,
            killed: 0,
        };
        mortal.live(world, Setup::new());
        mortal
    }

    fn live(&mut self, world: &World, setup: Setup) {
        let relay = format!("[relay]\nnext_hop = \"{}\"", self.elsewhere);
        let service = world
            .made(setup)
            .domain("hop.example", &self.next_hop)
            .with(&self.patience)
            .with(&relay)
            .start();
        self.victim.is(service.pid());
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
        service.ended();
        self.killed += 1;
        self.live(world, Setup::in_folder(folder));
        true
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

/// Two services, the last host, and what stands between.
struct Scene {
    world: World,
    front: Mortal,
    middle: Mortal,
    between: Proxy,
    before_last: Proxy,
    killed: Receiver<()>,
    last: Hop,
    elsewhere: Hop,
}

impl Scene {
    fn start(seed: u64, kills: bool) -> Self {
        let world = World::start();
        let (last, elsewhere) = (last_host(), Hop::willing());
        let (told, killed) = channel();
        let [first, second] = [(); 2].map(|()| Arc::<Victim>::default());
        let sides = Sides {
            previous: Some(Arc::clone(&second)),
            next: None,
            kills,
        };
        let before_last = Proxy::start(last.address(), seed, sides, told.clone());
        let middle = Mortal::start(
            &world,
            &second,
            before_last.next_hop(),
            elsewhere.next_hop(),
            patience(400, 500),
        );
        let sides = Sides {
            previous: Some(Arc::clone(&first)),
            next: Some(second),
            kills,
        };
        let between = Proxy::start(middle.service().address(), !seed, sides, told);
        let front = Mortal::start(
            &world,
            &first,
            between.next_hop(),
            elsewhere.next_hop(),
            patience(1200, 1500),
        );
        Self {
            world,
            front,
            middle,
            between,
            before_last,
            killed,
            last,
            elsewhere,
        }
    }

    /// Sends so many messages, and has who is killed come back, until each message has its end.
    fn send(&mut self, total: usize) -> Heard {
        let sender = Sender::start(self.front.service().address(), total);
        let began = Instant::now();
        while !sender.is_over() {
            match self.killed.recv_timeout(Duration::from_millis(100)) {
                Ok(()) => self.revive(Some(&sender)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("proxies live on"),
            }
            let most = PATIENCE + Duration::from_millis(500) * u32::try_from(total).unwrap();
            assert!(began.elapsed() < most, "not everything comes to an end");
        }
        self.between.calm();
        self.before_last.calm();
        self.front.victim.spare();
        self.middle.victim.spare();
        self.revive(Some(&sender));
        sender.ends()
    }

    fn revive(&mut self, sender: Option<&Sender>) {
        if self.middle.comes_back(&self.world) {
            self.between.lead_to(self.middle.service().address());
        }
        if self.front.comes_back(&self.world)
            && let Some(sender) = sender
        {
            sender.lead_to(self.front.service().address());
        }
    }

    /// Waits until everything that is owed has come, and nothing is queued; what came, and the reports.
    fn settle(self, heard: &Heard) -> (Vec<Message>, Vec<Message>, String) {
        let (mut owed, mut unreported) = (heard.owed(), heard.reports_owed());
        let (mut delivered, mut reports) = (Vec::new(), Vec::new());
        let began = Instant::now();
        let services = [self.front.service.unwrap(), self.middle.service.unwrap()];
        let mut queued = true;
        while (queued || !owed.is_empty() || !unreported.is_empty())
            && began.elapsed() < PATIENCE * 2
        {
            queued = services.iter().any(|service| !queue_of(service).is_empty());
            for message in self.last.rest() {
                for to in &message.recipients {
                    owed.remove(&(number_in(&message.content), to.clone()));
                }
                delivered.push(message);
            }
            for report in self.elsewhere.rest() {
                unreported.remove(&number_in(&report.content));
                reports.push(report);
            }
        }
        for service in &services {
            let left = queue_of(service);
            assert_eq!(left, "", "queued without end");
        }
        let logs: Vec<_> = services.into_iter().map(Service::stop).collect();
        delivered.extend(self.last.rest());
        reports.extend(self.elsewhere.rest());
        (delivered, reports, logs.concat())
    }
}

/// The lines of a log that are about a message, for whoever has to be told why a test failed.
fn life(log: &str, number: u64) -> String {
    let recipient = format!("-{number}@");
    let about = log.lines().filter(|line| line.contains(&recipient));
    let ids: HashSet<&str> = about
        .flat_map(str::split_ascii_whitespace)
        .filter_map(|word| word.strip_prefix("queue_id="))
        .collect();
    let each = log
        .lines()
        .filter(|line| line.contains(&recipient) || ids.iter().any(|id| line.contains(id)));
    each.collect::<Vec<_>>().join("\n")
}

/// What came of a run, and what was done to it.
fn run(kills: bool) -> Count {
    let total = number("VOUCHSAFE_HELD", 150);
    let seed = number("VOUCHSAFE_HELD_SEED", 5);
    let mut scene = Scene::start(seed, kills);
    let began = Instant::now();
    let heard = scene.send(usize::try_from(total).unwrap());
    let took = began.elapsed();
    let mut done = scene.between.done();
    for (at, times) in scene.before_last.done() {
        *done.entry(at).or_default() += times;
    }
    let killed = scene.front.killed + scene.middle.killed;
    let proxies = [scene.between.clone(), scene.before_last.clone()];
    let (delivered, reports, log) = scene.settle(&heard);
    let doubts = |number| -> u32 { proxies.iter().map(|proxy| proxy.doubts(number)).sum() };
    let count = Count::of(&heard, doubts, &delivered, &reports);
    let faults: u32 = done.values().sum();
    println!("seed {seed}: {faults} faults, {killed} kills, {took:?}: {done:?}");
    println!("{count}");
    let odd = count.lost.iter().map(|(number, _)| *number);
    let odd = odd.chain(
        count
            .duplicates_without_doubt
            .iter()
            .map(|(number, _)| *number),
    );
    for number in odd {
        println!(
            "{number}, {} lost replies:\n{}",
            doubts(number),
            life(&log, number)
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
    assert!(faults > 30 && kills == (killed > 0), "{done:?}");
    let points: HashSet<_> = done.keys().map(|(point, _)| *point).collect();
    let acts: HashSet<_> = done.keys().map(|(_, act)| *act).collect();
    let all = (9, if kills { 5 } else { 3 });
    assert!(
        total < 1000 || (points.len(), acts.len()) == all,
        "{done:?}"
    );
    count
}

#[test]
fn faults_at_every_point_lose_nothing_and_acknowledge_nothing_twice() {
    let count = run(false);
    // A copy more is made only where the last word of a host was lost.
    let more = count.duplicates_without_doubt;
    assert!(more.is_empty(), "{more:?}");
}

#[test]
fn kills_at_every_point_lose_nothing_and_acknowledge_nothing_twice() {
    let count = run(true);
    // What was never queued, and so was not delivered by a service that was killed before it had
    // noted that.
    let mut more = count.duplicates_without_doubt;
    more.retain(|(number, _)| reverse_path(*number) == UNKNOWN);
    assert!(more.is_empty(), "{more:?}");
}
