//! Writes what is answered.

use alloc::vec::Vec;

use super::zones::Zone;
use super::{Asked, HEADER, IN, Query, kind};
use crate::residue::{Answer, LONGEST_ANSWER, Word};

/// A datagram being written, into memory that is used again.
#[derive(Debug)]
pub struct Response<'a> {
    octets: &'a mut Vec<u8>,
    query: &'a Query<'a>,
    terms: Terms<'a>,
    /// Octets of it at most.
    most: usize,
    answers: u16,
    authorities: u16,
}

/// On what terms it goes to the asker.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// How it goes.
    pub way: Way,
    /// What goes back of a cookie, if one came.
    pub cookie: Option<&'a [u8]>,
}

/// How a response goes to who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// UDP: to an address that may be somebody else's.
    Datagram,
    /// TCP: to whoever asked, as long as it may be.
    Stream,
}

/// How a query ended (RFC 1035 §4.1.1, RFC 6891 §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Rcode {
    /// It was answered.
    NoError = 0,
    /// It is malformed.
    FormErr = 1,
    /// There is no such name.
    NxDomain = 3,
    /// It is no query.
    NotImp = 4,
    /// It is not for us.
    Refused = 5,
    /// Its OPT record is of another version.
    BadVers = 16,
}

/// Seconds for which an answer may be kept (PROTOCOLS B.4): "sent" stays so; "not sent" may be overtaken by a late
/// entry.
const fn ttl(word: Word) -> u32 {
    match word {
        Word::Sent => 3600,
        Word::NotSent => 30,
        Word::Unknown => 0,
    }
}

/// Seconds for which what a zone says of itself may be kept.
const ZONE_TTL: u32 = 3600;
/// Seconds for which "there is none" may be kept.
const NONE_TTL: u32 = 300;
/// Octets of a datagram for those who do not say what they take (RFC 1035 §4.2.1).
const LEAST_SIZE: usize = 512;
/// Octets of ours at most: no datagram is cut into pieces on its way (RFC 9715 §3).
const MOST_SIZE: usize = 1232;
/// Where the question's name stands, as a pointer.
const QUESTION_NAME: usize = HEADER;
/// Octets of a SOA's numbers: serial, refresh, retry, expire, minimum. Nobody transfers the zone.
const SOA_NUMBERS: [u32; 5] = [1, 3600, 600, 86_400, NONE_TTL];

impl<'a> Response<'a> {
    /// Answers by its header alone a datagram that cannot be read; what is too short for that stays unanswered.
    pub fn to_unread(datagram: &[u8], rcode: Rcode, into: &mut Vec<u8>) {
        into.clear();
        let Some([i0, i1, f0, ..]) = datagram.first_chunk::<HEADER>() else {
            return;
        };
        // Response, opcode and RD as they came.
        let flags = 0x80 | (f0 & 0x79);
        into.extend_from_slice(&[*i0, *i1, flags, code(rcode)]);
        into.extend_from_slice(&[0; 8]);
    }

    /// Begins an answer in `into`, which is emptied.
    fn begin(query: &'a Query<'a>, terms: Terms<'a>, into: &'a mut Vec<u8>) -> Self {
        let most = match (terms.way, query.edns()) {
            (Way::Stream, _) => usize::from(u16::MAX),
            (Way::Datagram, Some(edns)) => usize::from(edns.size).clamp(LEAST_SIZE, MOST_SIZE),
            (Way::Datagram, None) => LEAST_SIZE,
        };
        into.clear();
        into.extend_from_slice(query.octets().get(..HEADER).unwrap_or_default());
        into.extend_from_slice(query.question());
        Self {
            octets: into,
            query,
            terms,
            most,
            answers: 0,
            authorities: 0,
        }
    }

    /// Answers whether it was sent.
    pub fn answer(query: &Query<'_>, answer: Answer, terms: Terms<'_>, into: &mut Vec<u8>) {
        let mut response = Response::begin(query, terms, into);
        if terms.way == Way::Datagram {
            let asked = query.octets().len();
            response.most = response.most.min(asked.saturating_add(asked / 2));
        }
        let (mut text, mut length) = ([0; LONGEST_ANSWER], 0_usize);
        answer.write(|octet| {
            if let Some(place) = text.get_mut(length) {
                *place = octet;
                length = length.saturating_add(1);
            }
        });
        response.text(ttl(answer.word), text.get(..length).unwrap_or_default());
        response.end(Rcode::NoError);
    }

    /// Asks to come again over TCP, where nobody can hide behind another's address.
    pub fn truncated(query: &Query<'_>, terms: Terms<'_>, into: &mut Vec<u8>) {
        Response::begin(query, terms, into).end_truncated();
    }

    /// Answers all but whether something was sent; `false` if that is what is asked, and nothing is written.
    pub fn of_zone(
        query: &Query<'_>,
        asked: &Asked<'_>,
        terms: Terms<'_>,
        into: &mut Vec<u8>,
    ) -> bool {
        let mut response = Response::begin(query, terms, into);
        let rcode = match asked {
            Asked::Sent(..) => {
                response.octets.clear();
                return false;
            }
            Asked::Offer(zone) => {
                response.text(ZONE_TTL, zone.offer.to_text().as_bytes());
                Rcode::NoError
            }
            Asked::Soa(zone) => {
                response.soa(zone, QUESTION_NAME, ZONE_TTL);
                response.answers = 1;
                Rcode::NoError
            }
            Asked::Hosts(zone) => {
                for host in zone.hosts() {
                    response.record(QUESTION_NAME, kind::NS, ZONE_TTL, &[host]);
                    response.answers = response.answers.saturating_add(1);
                }
                Rcode::NoError
            }
            Asked::NoData(zone, place) | Asked::NoName(zone, place) => {
                response.soa(zone, *place, NONE_TTL);
                response.authorities = 1;
                match asked {
                    Asked::NoData(..) => Rcode::NoError,
                    _ => Rcode::NxDomain,
                }
            }
            Asked::Malformed => Rcode::FormErr,
            Asked::Refused => Rcode::Refused,
            Asked::OtherVersion => Rcode::BadVers,
        };
        response.end(rcode);
        true
    }

    /// A TXT record at the question's name, of one string.
    fn text(&mut self, ttl: u32, text: &[u8]) {
        // An offer has some fifty octets, an answer twenty.
        let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
        let text = text.get(..usize::from(length)).unwrap_or_default();
        self.record(QUESTION_NAME, kind::TXT, ttl, &[&[length], text]);
        self.answers = self.answers.saturating_add(1);
    }

    /// The SOA record of a zone whose name stands at `place`.
    fn soa(&mut self, zone: &Zone, place: usize, ttl: u32) {
        let mut numbers = [0; 20];
        for (into, number) in numbers.chunks_exact_mut(4).zip(SOA_NUMBERS) {
            into.copy_from_slice(&number.to_be_bytes());
        }
        let primary = zone.hosts().first().map_or(&[0][..], |host| host);
        self.record(place, kind::SOA, ttl, &[primary, zone.mailbox(), &numbers]);
    }

    /// A record whose owner stands at `place`.
    fn record(&mut self, place: usize, kind: u16, ttl: u32, data: &[&[u8]]) {
        // A name of the question begins below 2^14.
        let pointer = 0xc000 | u16::try_from(place).unwrap_or_default();
        self.octets.extend_from_slice(&pointer.to_be_bytes());
        self.octets.extend_from_slice(&kind.to_be_bytes());
        self.octets.extend_from_slice(&IN.to_be_bytes());
        self.octets.extend_from_slice(&ttl.to_be_bytes());
        let length = data.iter().map(|part| part.len()).sum::<usize>();
        let length = u16::try_from(length).unwrap_or_default();
        self.octets.extend_from_slice(&length.to_be_bytes());
        for part in data {
            self.octets.extend_from_slice(part);
        }
    }

    /// Writes the OPT record and the header. What is too long goes without the cookie, or not at all, and says so.
    fn end(mut self, rcode: Rcode) {
        let before = self.octets.len();
        self.opt(rcode, self.terms.cookie);
        if self.octets.len() > self.most {
            self.octets.truncate(before);
            self.opt(rcode, None);
        }
        if self.octets.len() > self.most {
            return self.end_truncated();
        }
        self.header(rcode, false);
    }

    /// Ends it with nothing but the question, and says so.
    fn end_truncated(mut self) {
        let before = HEADER.saturating_add(self.query.question().len());
        self.octets.truncate(before);
        (self.answers, self.authorities) = (0, 0);
        self.opt(Rcode::NoError, self.terms.cookie);
        if self.octets.len() > self.most {
            self.octets.truncate(before);
            self.opt(Rcode::NoError, None);
        }
        self.header(Rcode::NoError, true);
    }

    /// An OPT record, for who sent one (RFC 6891 §7).
    fn opt(&mut self, rcode: Rcode, cookie: Option<&[u8]>) {
        if self.query.edns().is_none() {
            return;
        }
        let high = u8::from(rcode == Rcode::BadVers);
        self.octets.push(0);
        self.octets.extend_from_slice(&kind::OPT.to_be_bytes());
        let size = u16::try_from(MOST_SIZE).unwrap_or_default();
        self.octets.extend_from_slice(&size.to_be_bytes());
        self.octets.extend_from_slice(&[high, 0, 0, 0]);
        let cookie = cookie.unwrap_or_default();
        // A cookie has forty octets at most.
        let length = u16::try_from(cookie.len()).unwrap_or_default();
        if length == 0 {
            self.octets.extend_from_slice(&[0, 0]);
            return;
        }
        self.octets
            .extend_from_slice(&length.saturating_add(4).to_be_bytes());
        self.octets.extend_from_slice(&[0, 10]);
        self.octets.extend_from_slice(&length.to_be_bytes());
        self.octets.extend_from_slice(cookie);
    }

    /// Makes the query's header the response's.
    fn header(self, rcode: Rcode, truncated: bool) {
        let more = u16::from(self.query.edns().is_some());
        let Some((header, _)) = self.octets.split_first_chunk_mut::<HEADER>() else {
            return;
        };
        let [_, _, flags, low, q0, q1, a0, a1, n0, n1, m0, m1] = header;
        // Response, authoritative for what it says of a zone; opcode and RD as they came.
        let authoritative = match rcode {
            Rcode::NoError | Rcode::NxDomain => 4,
            _ => 0,
        };
        *flags = 0x80 | authoritative | (*flags & 0x79) | if truncated { 2 } else { 0 };
        *low = code(rcode);
        [*q0, *q1] = [0, 1];
        [*a0, *a1] = self.answers.to_be_bytes();
        [*n0, *n1] = self.authorities.to_be_bytes();
        [*m0, *m1] = more.to_be_bytes();
    }
}

/// The low four bits of a code, which is what a header holds.
const fn code(rcode: Rcode) -> u8 {
    (rcode as u16).to_be_bytes()[1] & 0xf
}
