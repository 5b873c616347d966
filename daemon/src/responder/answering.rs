//! What is said to queries, many at a time, whatever way they came.
//!
//! Promises: the ledger is looked up once for all questions of a batch, and only for those that are well-formed and
//! within their network's rate; "not sent" is said only of hours that are covered, and of which nothing is missed.
//! Left to others: sockets.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::dns::Name;
use vouchsafe_proto::residue::wire::{
    Asked, Query, Rcode, Response, Terms, Unread, Way, Zone, Zones,
};
use vouchsafe_proto::residue::{Answer, Hour, Hours, LEAST_REVEALED, Offer, Question, Span, Word};
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::ledger::{self, ANSWERED_HOURS, Ledger};

use super::limits::{Leave, Limits, Purse};
use super::tally::{Said, Tally};
use crate::clock;
use crate::config::Config;

/// What all who answer share.
pub struct Desk {
    ledger: Arc<Ledger>,
    zones: ArcSwap<Zones>,
    limits: Limits,
    /// By what cookies are made; drawn at the start.
    cookies: RandomState,
}

/// The responses to a batch of queries, in memory that is used again.
#[derive(Debug, Default)]
pub struct Responses {
    octets: Vec<Vec<u8>>,
    answers: Vec<ledger::Answer>,
    tally: Tally,
}

/// A question that the ledger is to be asked.
struct Waiting<'a> {
    place: usize,
    query: Query<'a>,
    cookie: Option<[u8; COOKIE]>,
    zone: &'a Zone,
    hours: ledger::Hours,
}

/// Octets of a cookie, the asker's half and ours.
const COOKIE: usize = 16;
/// Hours that are answered for, as an offer has them.
#[expect(clippy::cast_possible_truncation, reason = "two weeks")]
const WINDOW: u16 = ANSWERED_HOURS as u16;

impl Desk {
    /// Answers from this ledger, as the configuration says.
    pub fn new(ledger: Arc<Ledger>, config: &Config) -> Self {
        Self {
            ledger,
            zones: ArcSwap::from_pointee(zones(config)),
            limits: Limits::new(config.ledger.rates),
            cookies: RandomState::new(),
        }
    }

    /// Goes by this configuration from now on.
    pub fn configure(&self, config: &Config) {
        self.zones.store(Arc::new(zones(config)));
        self.limits.set(config.ledger.rates);
    }

    /// Answers each of these, in the place of the same number.
    pub fn answer<'d>(
        &self,
        way: Way,
        queries: impl Iterator<Item = (&'d [u8], IpAddr)>,
        responses: &mut Responses,
    ) {
        responses.octets.iter_mut().for_each(Vec::clear);
        let zones = self.zones.load();
        let now = clock::now().wall;
        // From 2089 on no hour can be said.
        let Some(hour) = Hour::at(now) else {
            return;
        };
        let since_start = clock::since_start();
        let mut questions = Vec::with_capacity(BATCH);
        let mut waiting = Vec::with_capacity(BATCH);
        for (place, (octets, from)) in queries.enumerate() {
            let Some(into) = responses.begin(place) else {
                break;
            };
            let said = match Query::read(octets) {
                Err(Unread::Silence) => Said::Dropped,
                Err(why) => {
                    let leave = self.limits.take(Purse::Zone, from, 1, since_start);
                    refuse(octets, why, leave, into)
                }
                Ok(query) => {
                    let cookie = self.cookie(&query, from);
                    let asked = zones.find(&query);
                    let (purse, cost) = price(&asked, way, cookie.as_ref());
                    let leave = self.limits.take(purse, from, cost, since_start);
                    let terms = Terms {
                        way,
                        cookie: cookie.as_ref().map(|(cookie, _)| &cookie[..]),
                    };
                    let said = settle(&query, &asked, leave, terms, into);
                    if said.is_none()
                        && let Asked::Sent(zone, question) = asked
                    {
                        let question = of_ledger(&question, hour);
                        waiting.push(Waiting {
                            place,
                            query,
                            cookie: cookie.map(|(cookie, _)| cookie),
                            zone,
                            hours: question.hours,
                        });
                        questions.push(question);
                    }
                    said.unwrap_or(Said::Waits)
                }
            };
            responses.tally.count(said);
        }
        self.look_up(way, now, &questions, &waiting, responses);
        responses.tally.give();
    }

    /// Asks the ledger, and writes what it says.
    fn look_up(
        &self,
        way: Way,
        now: Wall,
        questions: &[ledger::Question],
        waiting: &[Waiting<'_>],
        responses: &mut Responses,
    ) {
        let Some(hour) = Hour::at(now).filter(|_| !questions.is_empty()) else {
            return;
        };
        responses.answers.clear();
        responses
            .answers
            .resize(questions.len(), ledger::Answer::NotFound);
        self.ledger.look_up(questions, &mut responses.answers);
        // Coverage is asked for after the ledger: what was lost meanwhile is not covered.
        let mut last: Option<(&Zone, Option<Span>)> = None;
        for (waits, found) in waiting.iter().zip(&responses.answers) {
            let covered = match last {
                Some((zone, covered)) if std::ptr::eq(zone, waits.zone) => covered,
                _ => self.ledger.covered(&waits.zone.domain, now),
            };
            last = Some((waits.zone, covered));
            let answer = Answer {
                word: self.word(*found, waits.hours, covered),
                covered: covered.unwrap_or(Span {
                    first: hour,
                    hours: 0,
                }),
            };
            responses.tally.count(Said::Word(answer.word));
            let terms = Terms {
                way,
                cookie: waits.cookie.as_ref().map(|cookie| &cookie[..]),
            };
            if let Some(into) = responses.octets.get_mut(waits.place) {
                Response::answer(&waits.query, answer, terms, into);
            }
        }
    }

    /// What is said of what was found.
    fn word(&self, found: ledger::Answer, hours: ledger::Hours, covered: Option<Span>) -> Word {
        let is_known = |hour: u32| {
            let covered = covered.zip(Hour::new(hour));
            covered.is_some_and(|(span, hour)| span.contains(hour) && !self.ledger.misses(hour))
        };
        match found {
            ledger::Answer::Sent => Word::Sent,
            ledger::Answer::NotFound if (hours.first()..hours.end()).all(is_known) => Word::NotSent,
            ledger::Answer::NotFound | ledger::Answer::Unreadable => Word::Unknown,
        }
    }

    /// The cookie that goes back, and whether the one that came is ours (RFC 7873 §5.2). The sum is that of the
    /// standard library's keyed hash: it is worth a higher rate for a while, and nothing else.
    fn cookie(&self, query: &Query<'_>, from: IpAddr) -> Option<([u8; COOKIE], bool)> {
        let (asker, ours) = query.edns()?.cookie?.split_first_chunk::<8>()?;
        let sum = self.cookies.hash_one((asker, from)).to_be_bytes();
        let mut cookie = [0; COOKIE];
        let (first, second) = cookie.split_at_mut(asker.len());
        first.copy_from_slice(asker);
        second.copy_from_slice(&sum);
        Some((cookie, ours == sum))
    }
}

impl Responses {
    /// What was written in this place.
    pub fn get(&self, place: usize) -> &[u8] {
        self.octets.get(place).map_or(&[], Vec::as_slice)
    }

    /// The memory of this place, empty.
    fn begin(&mut self, place: usize) -> Option<&mut Vec<u8>> {
        if self.octets.len() <= place {
            self.octets.resize_with(place.saturating_add(1), Vec::new);
        }
        let into = self.octets.get_mut(place)?;
        into.clear();
        Some(into)
    }
}

/// How many are answered at once, as a rule: enough for several of one asker among those of many, whose answers leave
/// together.
pub const BATCH: usize = 128;

/// Says to what cannot be read that it cannot.
fn refuse(octets: &[u8], why: Unread, leave: Leave, into: &mut Vec<u8>) -> Said {
    if leave != Leave::Answer {
        return Said::Dropped;
    }
    let rcode = match why {
        Unread::OtherOpcode => Rcode::NotImp,
        Unread::Malformed | Unread::Silence => Rcode::FormErr,
    };
    Response::to_unread(octets, rcode, into);
    Said::Malformed
}

/// Whose rate it is held to, and how much of it it takes: as many as segments may be looked at.
const fn price(asked: &Asked<'_>, way: Way, cookie: Option<&([u8; COOKIE], bool)>) -> (Purse, u64) {
    let Asked::Sent(_, question) = asked else {
        return (Purse::Zone, 1);
    };
    let purse = match (way, cookie) {
        (Way::Stream, _) | (_, Some((_, true))) => Purse::Known,
        _ => Purse::Stranger,
    };
    let cost = match question.hours() {
        Hours::From(_, 1) => 1,
        Hours::From(..) => 3,
        Hours::Window => 30,
    };
    (purse, cost)
}

/// Writes what is said without the ledger; nothing, if it is to be asked.
fn settle(
    query: &Query<'_>,
    asked: &Asked<'_>,
    leave: Leave,
    terms: Terms<'_>,
    into: &mut Vec<u8>,
) -> Option<Said> {
    let is_error = matches!(
        asked,
        Asked::Malformed | Asked::Refused | Asked::OtherVersion
    );
    match (leave, terms.way) {
        (Leave::Answer, _) => Response::of_zone(query, asked, terms, into).then_some(match asked {
            Asked::Offer(_) => Said::Offer,
            Asked::Malformed | Asked::OtherVersion => Said::Malformed,
            Asked::Refused => Said::Refused,
            _ => Said::Zone,
        }),
        (Leave::Truncate, Way::Datagram) if !is_error => {
            Response::truncated(query, terms, into);
            Some(Said::Truncated)
        }
        _ => Some(Said::Dropped),
    }
}

/// The question as the ledger takes it.
fn of_ledger(question: &Question, now: Hour) -> ledger::Question {
    let hours = match question.hours() {
        Hours::From(first, count) => ledger::Hours::new(first, count.into()),
        Hours::Window => {
            let first = now.number().saturating_add(1);
            let first = Hour::new(first.saturating_sub(ANSWERED_HOURS));
            ledger::Hours::new(first.unwrap_or(now), ANSWERED_HOURS)
        }
    };
    ledger::Question {
        kind: question.kind(),
        hours,
        index: question.index(),
        congruences: question.residues().congruences(),
    }
}

/// A zone for each local domain.
fn zones(config: &Config) -> Zones {
    let offer = Offer {
        window: WINDOW,
        least_revealed: LEAST_REVEALED,
        policy: config.ledger.policy,
    };
    let hosts: Vec<_> = config.ledger.name_servers.iter().map(Name::from).collect();
    let zone = |domain: &Domain| {
        let apex = Name::from(domain);
        let mailbox = apex.child("hostmaster").unwrap_or(apex);
        Zone::new(domain.clone(), offer, &hosts, &mailbox)
    };
    config.domains.keys().filter_map(zone).collect()
}
