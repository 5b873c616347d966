//! How a site takes mail: one that checks, by the 250 rule (DESIGN §2); any other as plain MTAs do.
//!
//! The rule itself is restated here in a few lines, since the made-up world has no bytes and no
//! disks; the verdicts are the real ones. A site that checks either holds the path open, and puts
//! off what is unproven when nobody ahead answers, or stores, and reports.

use vouchsafe_proto::addr::ReversePath;
use vouchsafe_proto::cutthrough::{self, Ahead, Ruling as Then, Sender};
use vouchsafe_proto::reply::ReplyClass;
use vouchsafe_proto::route::WhenUnproven;
use vouchsafe_proto::time::Wall;
use vouchsafe_proto::verify::VerdictResult;

use super::chance::Chance;
use super::judge::{Case, Rule, Ruling};
use super::play::{Flight, Holder, Play, Reply, Why};
use super::queues::Queued;
use super::traffic::Claim;
use super::world::{SiteId, stream, wide};

/// How long a next hop that is down stays so, in milliseconds.
const OUTAGE: u64 = 2 * 3600 * 1000;

/// How often it is: so many of a thousand such spans.
const OUTAGES: usize = 10;

/// Recipients that have declared a forwarder, in a thousand; their other mail pays for it too.
const DECLARERS: usize = 125;

impl Play<'_> {
    /// Offers a flight to the site that comes next, and gives its reply.
    pub fn offer(&mut self, flight: &Flight, now: u64, chance: &mut Chance) -> Reply {
        let (receiver, is_last) = next_site(flight);
        if self.checks(receiver) {
            self.offer_to_checking(flight, receiver, is_last, now, chance)
        } else {
            self.offer_to_plain(flight, receiver, is_last, now)
        }
    }

    /// A plain MTA takes everything, but for recipients that it knows not to be there.
    fn offer_to_plain(
        &mut self,
        flight: &Flight,
        receiver: SiteId,
        is_last: bool,
        now: u64,
    ) -> Reply {
        if !is_last {
            self.pass_on_later(flight, receiver, None, now);
        } else if !is_dead(flight) {
            self.arrived(flight, now);
        } else if self.world.site(receiver).knows_recipients {
            return Reply::Never(Why::NoRecipient);
        } else {
            self.report(flight, receiver, None, now);
        }
        Reply::Taken
    }

    /// A site that checks: the verdict, then the path ahead.
    fn offer_to_checking(
        &mut self,
        flight: &Flight,
        receiver: SiteId,
        is_last: bool,
        now: u64,
        chance: &mut Chance,
    ) -> Reply {
        let ruling = self.ruling(flight, receiver, now, chance);
        match ruling.result {
            VerdictResult::Tempfail => Reply::Later,
            VerdictResult::Repudiated if self.is_behind_queue(flight) => self.mark(flight, now),
            VerdictResult::Repudiated => Reply::Never(Why::Repudiated),
            result if is_last => self.deliver(flight, receiver, result, now),
            result if self.world.site(receiver).holds => {
                // The path is held: what the next site says is what we say.
                let held = Flight {
                    holder: Holder::Middle(receiver, Some(result)),
                    ..*flight
                };
                self.offer(&held, now, chance)
            }
            result => {
                self.pass_on_later(flight, receiver, Some(result), now);
                Reply::Taken
            }
        }
    }

    /// Repudiated behind a backup host that queues: a refusal would make *it* bounce to the forged
    /// address. Taken and marked; a failure goes to the operator, never to the reverse-path.
    fn mark(&mut self, flight: &Flight, now: u64) -> Reply {
        self.tally.count(flight.class).marked += 1;
        if !is_dead(flight) {
            self.arrived(flight, now);
        } else if flight.message.is_true() {
            self.tally.missing += 1;
        }
        Reply::Taken
    }

    /// The 250 rule, with the mailbox server as the path ahead.
    fn deliver(
        &mut self,
        flight: &Flight,
        receiver: SiteId,
        result: VerdictResult,
        now: u64,
    ) -> Reply {
        let (is_down, is_dead) = (self.is_down(receiver, now), is_dead(flight));
        // Who stores asks nobody ahead before it says 250.
        let (ahead, when_unproven) = match (self.world.site(receiver).holds, is_down, is_dead) {
            (false, ..) => (Ahead::Silent, WhenUnproven::Store),
            (true, true, _) => (Ahead::Silent, WhenUnproven::Defer),
            (true, false, true) => (Ahead::Replied(ReplyClass::Permanent), WhenUnproven::Defer),
            (true, false, false) => (Ahead::Taken, WhenUnproven::Defer),
        };
        let sender = Sender {
            verdict: result,
            is_null: matches!(flight.holder, Holder::Reporter(_)),
            was_queued: false,
        };
        match cutthrough::rule(ahead, sender, when_unproven) {
            Then::Store if is_dead => self.report(flight, receiver, Some(result), now),
            Then::Accept | Then::Store => self.arrived(flight, now),
            Then::PassBack(_) => return Reply::Never(Why::NoRecipient),
            Then::Defer => return Reply::Later,
            Then::Refuse => return Reply::Never(Why::Repudiated),
        }
        Reply::Taken
    }

    /// A message, or a report on one, is where it was to come.
    fn arrived(&mut self, flight: &Flight, now: u64) {
        if !matches!(flight.holder, Holder::Reporter(_)) {
            self.delivered(flight, now);
        }
    }

    /// True while the site's mailbox server is down.
    fn is_down(&self, site: SiteId, now: u64) -> bool {
        let parts = [self.world.seed, stream::OUTAGE, wide(site), now / OUTAGE];
        Chance::of(&parts).happens(OUTAGES)
    }

    /// A site that has said 250 to what it will send on.
    fn pass_on_later(
        &mut self,
        flight: &Flight,
        site: SiteId,
        verdict: Option<VerdictResult>,
        now: u64,
    ) {
        let patience = self.world.site(site).patience;
        let flight = Flight {
            holder: Holder::Middle(site, verdict),
            queued: Queued::new(patience, Wall::from_millis(now)),
            ..*flight
        };
        self.wait(now + 1000, flight);
    }

    /// A failure after 250: who is told? A site that checks never tells a repudiated reverse-path
    /// (it has not taken its mail), nobody tells a null one, and all others are told, true or not;
    /// but some plain MTAs, weary of bounces to the forged, tell nobody at all.
    pub fn report(
        &mut self,
        flight: &Flight,
        reporter: SiteId,
        verdict: Option<VerdictResult>,
        now: u64,
    ) {
        let message = &flight.message;
        if matches!(flight.holder, Holder::Reporter(_)) || message.claim == Claim::Nowhere {
            return;
        }
        if verdict.is_none() && self.world.site(reporter).is_mute {
            self.tally.missing += u64::from(message.is_true());
            return;
        }
        if !message.is_true() {
            if verdict.is_some() {
                self.tally.innocent_by_adopters += 1;
            } else {
                self.tally.innocent_by_others += 1;
            }
            return;
        }
        let checks = matches!(message.claim, Claim::Site(claimed) if self.checks(claimed));
        let fates = self.tally.count(super::tally::Class::Report);
        fates.sent += 1;
        fates.sent_to_checking += u64::from(checks);
        let patience = self.world.site(reporter).patience;
        let report = Flight {
            holder: Holder::Reporter(reporter),
            queued: Queued::new(patience, Wall::from_millis(now)),
            ..*flight
        };
        self.wait(now + 1000, report);
    }

    /// The verdict of a site that checks, counted.
    fn ruling(
        &mut self,
        flight: &Flight,
        receiver: SiteId,
        now: u64,
        chance: &mut Chance,
    ) -> Ruling {
        let case = self.case(flight, receiver, now, chance);
        let ruling = self.judge.judge(&self.zone, &case, now, chance);
        let tally = &mut self.tally;
        if flight.message.is_true() {
            tally.true_verdicts += 1;
            tally.true_questions += ruling.asked;
        } else {
            tally.forged_verdicts += 1;
            tally.forged_questions += ruling.asked;
        }
        tally.all_questions += ruling.questions;
        tally.tempfails += u64::from(ruling.result == VerdictResult::Tempfail);
        ruling
    }

    /// What the site is asked to judge.
    fn case(&self, flight: &Flight, receiver: SiteId, now: u64, chance: &mut Chance) -> Case {
        let message = &flight.message;
        let (client, helo) = if self.is_behind_queue(flight) {
            // The backup host is inside the perimeter: its Received field names the client.
            let chance = &mut message.way(self.world, 3, 0);
            let before = message
                .forwarder
                .map_or(Holder::Origin, |site| Holder::Middle(site, None));
            let before = Flight {
                holder: before,
                ..*flight
            };
            self.client(&before, now, chance)
        } else {
            self.client(flight, now, chance)
        };
        let forwarder = self.declared_forwarder(flight, receiver);
        Case {
            receiver,
            reverse_path: self.reverse_path(flight),
            helo,
            client,
            forwarder: forwarder.map(|id| self.world.site(id).domain.clone()),
        }
    }

    /// True if the message comes from a backup host that has said 250 to it already.
    fn is_behind_queue(&self, flight: &Flight) -> bool {
        let backup = flight.message.backup;
        self.judge.keeps(Rule::Perimeter)
            && matches!(flight.holder, Holder::Middle(site, _) if backup == Some(site))
    }

    /// The forwarder that the recipient has declared, if any; its backup host knows of it too.
    fn declared_forwarder(&self, flight: &Flight, receiver: SiteId) -> Option<SiteId> {
        let message = &flight.message;
        if matches!(flight.holder, Holder::Reporter(_)) || message.forwarder == Some(receiver) {
            return None;
        }
        if !self.judge.keeps(Rule::Forwarders) {
            return None;
        }
        let chance = &mut message.way(self.world, 4, 0);
        let forwarder = if let Some(forwarder) = message.forwarder {
            forwarder
        } else if chance.happens(DECLARERS) {
            self.world.forwarder(chance.below(self.world.forwarders))
        } else {
            return None;
        };
        self.declares(message.recipient, forwarder)
            .then_some(forwarder)
    }

    /// MAIL FROM's argument.
    fn reverse_path(&self, flight: &Flight) -> ReversePath {
        let message = &flight.message;
        let rewriting = message
            .forwarder
            .map(|site| self.world.site(site))
            .filter(|site| site.rewrites);
        let domain = match (flight.holder, rewriting, message.claim) {
            (Holder::Reporter(_), ..) => return ReversePath::Null,
            (Holder::Middle(..), Some(forwarder), _) => forwarder.domain.as_ascii(),
            (_, _, Claim::Site(id)) => self.world.site(id).domain.as_ascii(),
            (_, _, Claim::Nowhere) => "void.nowhere.example",
        };
        ReversePath::parse_inside(&format!("user@{domain}")).unwrap_or(ReversePath::Null)
    }
}

/// Where a flight goes next, and whether its recipient is there.
fn next_site(flight: &Flight) -> (SiteId, bool) {
    let message = &flight.message;
    let to = match (flight.holder, message.claim) {
        (Holder::Reporter(_), Claim::Site(claimed)) => return (claimed, true),
        (Holder::Origin, _) => message.forwarder.or(message.backup),
        (Holder::Middle(site, _), _) if message.forwarder == Some(site) => message.backup,
        _ => None,
    };
    (to.unwrap_or(message.recipient), to.is_none())
}

/// True if nobody has the mailbox; a report's always does.
fn is_dead(flight: &Flight) -> bool {
    flight.message.is_dead && !matches!(flight.holder, Holder::Reporter(_))
}
