//! One level of adoption, played from the first message to the last empty queue.
//!
//! A message is a [`Flight`] in somebody's queue. An attempt offers it to the next site
//! ([`super::receive`]), which takes it, puts it off, or refuses it for good; what is put off is
//! tried again by proto's retry times. The clock goes from event to event.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vouchsafe_proto::time::Wall;
use vouchsafe_proto::verify::VerdictResult;

use super::chance::Chance;
use super::judge::Judge;
use super::queues::Queued;
use super::tally::{Class, Tally};
use super::traffic::{Claim, Message, Origin, hosts, is_declared};
use super::world::{Adoption, Helo, SiteId, World};
use super::zone::{Standing, Zone};

/// Later than this after it was sent, mail is late: senders are told of a delay by then.
const LATE: u64 = 4 * 3600 * 1000;

/// Whose queue a message lies in.
#[derive(Clone, Copy, Debug)]
pub enum Holder {
    /// Its sender's.
    Origin,
    /// A forwarder's or a backup host's that has said 250; with its verdict, if it checks.
    Middle(SiteId, Option<VerdictResult>),
    /// A site that reports on it: what flies is the report.
    Reporter(SiteId),
}

/// A message on its way.
#[derive(Clone, Copy, Debug)]
pub struct Flight {
    /// The message.
    pub message: Message,
    /// What it counts as.
    pub class: Class,
    /// Who holds it.
    pub holder: Holder,
    /// How it is tried again.
    pub queued: Queued,
}

/// Why a site refuses for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The reverse-path is repudiated.
    Repudiated,
    /// There is no such recipient.
    NoRecipient,
}

/// What a site replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 250: somebody has it.
    Taken,
    /// 4yz.
    Later,
    /// 5yz.
    Never(Why),
}

/// One level being played.
#[derive(Debug)]
pub struct Play<'w> {
    /// The world.
    pub world: &'w World,
    /// Its DNS at this level.
    pub zone: Zone<'w>,
    /// The level.
    pub adoption: Adoption,
    /// What the checking sites remember.
    pub judge: Judge,
    /// What is counted.
    pub tally: Tally,
    /// Flights by the time of their next attempt.
    queue: BTreeMap<(u64, u64), Flight>,
    serial: u64,
}

impl<'w> Play<'w> {
    /// A level that has not begun.
    pub fn new(world: &'w World, adoption: Adoption, judge: Judge) -> Self {
        Self {
            world,
            zone: Zone::new(world, adoption),
            adoption,
            judge,
            tally: Tally::default(),
            queue: BTreeMap::new(),
            serial: 0,
        }
    }

    /// Sends so many messages and plays until nothing waits. `seen` is told of each that is sent.
    pub fn play(mut self, messages: u64, mut seen: impl FnMut()) -> Tally {
        for number in 0..messages {
            let message = Message::drawn(self.world, number, messages);
            self.play_until(message.sent);
            let class = self.class_of(&message);
            self.count_sent(&message, class);
            let queued = Queued::new(self.patience(&message), Wall::from_millis(message.sent));
            let flight = Flight {
                message,
                class,
                holder: Holder::Origin,
                queued,
            };
            self.attempt(flight, message.sent);
            seen();
        }
        self.play_until(u64::MAX);
        self.tally
    }

    /// Makes every attempt that is due before this moment.
    fn play_until(&mut self, end: u64) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 >= end {
                return;
            }
            let ((now, _), flight) = entry.remove_entry();
            self.attempt(flight, now);
        }
    }

    /// One attempt, and what follows from it.
    fn attempt(&mut self, mut flight: Flight, now: u64) {
        flight.queued.history.attempts += 1;
        let chance = &mut self.chance_of(&flight);
        match self.offer(&flight, now, chance) {
            Reply::Taken => {}
            Reply::Never(why) => self.ended(&flight, why, false, now),
            Reply::Later => {
                let retries = !matches!(
                    (flight.holder, flight.message.origin),
                    (Holder::Origin, Origin::Bot { retries: false, .. })
                );
                let again = flight.queued.again(chance.bits(), Wall::from_millis(now));
                match again.filter(|_| retries) {
                    Some(at) => self.wait(at.as_millis(), flight),
                    None => self.ended(&flight, Why::Repudiated, true, now),
                }
            }
        }
    }

    /// Puts a flight into its holder's queue.
    pub fn wait(&mut self, at: u64, flight: Flight) {
        self.serial += 1;
        self.queue.insert((at, self.serial), flight);
    }

    /// Its holder cannot pass it on: it was refused, or `gave_up` was the end of its trying.
    fn ended(&mut self, flight: &Flight, why: Why, gave_up: bool, now: u64) {
        if why == Why::Repudiated {
            let checks = self.ends_at_checking(flight);
            let class = match flight.holder {
                Holder::Reporter(_) => Class::Report,
                _ => flight.class,
            };
            let fates = self.tally.count(class);
            fates.refused += 1;
            fates.refused_by_checking += u64::from(checks);
            fates.gave_up += u64::from(gave_up);
        }
        match flight.holder {
            // Its own host tells its user; a forger tells nobody.
            Holder::Origin => {}
            Holder::Middle(site, verdict) => self.report(flight, site, verdict, now),
            Holder::Reporter(_) => self.tally.missing += 1,
        }
    }

    /// It has come to its recipient.
    pub fn delivered(&mut self, flight: &Flight, now: u64) {
        let late = now - flight.message.sent > LATE;
        let fates = self.tally.count(flight.class);
        fates.late += u64::from(late);
    }

    /// What a message counts as at this level.
    fn class_of(&self, message: &Message) -> Class {
        let claimed = match (message.origin, message.claim) {
            (Origin::Site { .. }, _) => return self.class_of_true(message),
            (Origin::Captive, _) => return Class::Captive,
            (_, Claim::Nowhere) => return Class::Nowhere,
            (_, Claim::Site(id)) => id,
        };
        let is_direct = message.forwarder.is_none() && message.backup.is_none();
        match self.zone.standing(claimed) {
            Standing::Unpublished => Class::Unpublished,
            Standing::Failing => Class::Failing,
            Standing::Soft => Class::Soft,
            Standing::OverWide => Class::OverWide,
            Standing::Firm if is_direct => Class::Outside,
            Standing::Firm => Class::Laundered,
        }
    }

    /// The same for true mail.
    fn class_of_true(&self, message: &Message) -> Class {
        let Some(forwarder) = message.forwarder else {
            return Class::Registered;
        };
        if self.world.site(forwarder).rewrites {
            Class::Registered
        } else if self.declares(message.recipient, forwarder) {
            Class::Declared
        } else {
            Class::Undeclared
        }
    }

    /// True if the recipient's site has declared the forwarder, which it can as soon as that
    /// publishes by which hosts it sends.
    pub fn declares(&self, recipient: SiteId, forwarder: SiteId) -> bool {
        self.zone.publishes(forwarder) && is_declared(self.world, recipient, forwarder)
    }

    /// Counts a message as sent.
    fn count_sent(&mut self, message: &Message, class: Class) {
        let checks = self.checks(message.recipient);
        let fates = self.tally.count(class);
        fates.sent += 1;
        fates.sent_to_checking += u64::from(checks);
    }

    /// True if the site checks at this level.
    pub fn checks(&self, site: SiteId) -> bool {
        self.world.site(site).checks.has_adopted(self.adoption)
    }

    /// True if the site that the flight is bound for checks.
    fn ends_at_checking(&self, flight: &Flight) -> bool {
        match (flight.holder, flight.message.claim) {
            (Holder::Reporter(_), Claim::Site(claimed)) => self.checks(claimed),
            _ => self.checks(flight.message.recipient),
        }
    }

    /// The retry policy of who sends a message first.
    fn patience(&self, message: &Message) -> usize {
        match (message.origin, message.claim) {
            (Origin::Bot { .. }, _) | (_, Claim::Nowhere) => 0,
            (_, Claim::Site(id)) => self.world.site(id).patience,
        }
    }

    /// What happens at this attempt of this holder.
    fn chance_of(&self, flight: &Flight) -> Chance {
        let leg = match flight.holder {
            Holder::Origin => 0,
            Holder::Middle(..) => 1,
            Holder::Reporter(_) => 2,
        };
        let attempts = flight.queued.history.attempts;
        flight.message.way(self.world, leg, attempts)
    }

    /// The address from which a flight's holder comes, and what it calls itself.
    pub fn client(&self, flight: &Flight, now: u64, chance: &mut Chance) -> (IpAddr, Box<str>) {
        match flight.holder {
            Holder::Origin => self.outside_client(&flight.message, now, chance),
            Holder::Middle(site, _) | Holder::Reporter(site) => {
                self.host_of(site, false, now, chance)
            }
        }
    }

    /// The same for who sends the message first.
    pub fn outside_client(
        &self,
        message: &Message,
        now: u64,
        chance: &mut Chance,
    ) -> (IpAddr, Box<str>) {
        match (message.origin, message.claim) {
            (Origin::Bot { client, .. }, Claim::Site(claimed)) if chance.happens(500) => {
                (client, self.world.site(claimed).domain.as_ascii().into())
            }
            (Origin::Bot { client, .. }, _) => (client, "localhost".into()),
            (Origin::Site { by_provider }, Claim::Site(id)) => {
                self.host_of(id, by_provider, now, chance)
            }
            (_, Claim::Site(id)) => {
                let only_provider = self.world.site(id).hosts.is_empty();
                self.host_of(id, only_provider, now, chance)
            }
            (_, Claim::Nowhere) => (IpAddr::from([198, 51, 100, 1]), "localhost".into()),
        }
    }

    /// One of the hosts by which a site's mail goes out; a site that has none of its own reports
    /// through its provider.
    fn host_of(
        &self,
        id: SiteId,
        by_provider: bool,
        now: u64,
        chance: &mut Chance,
    ) -> (IpAddr, Box<str>) {
        let site = self.world.site(id);
        let by_provider = by_provider || site.hosts.is_empty();
        let Some(host) = chance.one_of(hosts(self.world, site, by_provider, now)) else {
            return (IpAddr::from([198, 51, 100, 1]), "localhost".into());
        };
        let helo = match site.helo {
            Helo::Host => host.name.as_str(),
            Helo::Domain => site.domain.as_ascii(),
            Helo::Localhost => "localhost",
        };
        (host.address(chance), helo.into())
    }
}
