//! What the check found, and everything it saw: for the reply, for logs, for `check`.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::addr::{Domain, ReversePath};
use crate::dns::{Mx, Name};
use crate::reply::{EnhancedStatus, Reply};
use crate::verify::{Step, TroubleAt, VerdictResult, Weight};

use super::budget::MAX_REJECTION_TTL;
use super::{Budget, Reason};

/// Octets of a reply line with its CRLF (RFC 5321 §4.5.3.1.5).
const MAX_REPLY_LINE: usize = 512;

/// Octets of a reply line that are not text: code, blank, enhanced status, blank, CRLF.
const REPLY_LINE_FRAME: usize = 12;

/// What the check found, and everything it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// A.2's result; always [`Reason::result`] of the reason.
    pub result: VerdictResult,
    /// By which way it was reached.
    pub reason: Reason,
    /// The client, IPv4 wherever it is one.
    pub client: IpAddr,
    /// Where the domain comes from.
    pub identity: Identity,
    /// The domain that was asked, if there is one.
    pub domain: Option<Domain>,
    /// The published sets that were entered, level by level, the root set first.
    pub sets: Vec<PublishedSet>,
    /// The hosts, each once, level by level.
    pub hosts: Vec<Host>,
    /// Names that lead nowhere.
    pub void: Vec<Name>,
    /// Budgets gone over.
    pub over: Vec<Budget>,
    /// What was not to be known.
    pub trouble: Vec<TroubleAt>,
    /// The least TTL among the answers of the last walk.
    pub ttl: Option<u32>,
    /// Questions asked of the resolver.
    pub questions: u32,
    /// Each question with its answer, as they came in; those still open at the end come last.
    pub steps: Vec<Step>,
}

/// Whose domain was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The reverse-path's.
    ReversePath,
    /// HELO's, since the reverse-path is null.
    Helo,
}

impl Identity {
    /// Which one answers for this reverse-path.
    pub(super) const fn of(reverse_path: &ReversePath) -> Self {
        if reverse_path.is_null() {
            Self::Helo
        } else {
            Self::ReversePath
        }
    }
}

/// One MX set that was followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedSet {
    /// Owner, as it was asked for.
    pub owner: Name,
    /// Aliases from there to the records.
    pub aliases: Vec<Name>,
    /// The root set's is 1.
    pub level: u8,
    /// The records, sorted; `.` included.
    pub records: Vec<Mx>,
    /// Records in all: those above may have been cut.
    pub count: usize,
    /// A validating resolver vouches for it.
    pub secure: bool,
}

impl PublishedSet {
    /// Preferences other than 0: a hint at records made for inbound mail (DRAFT-GAPS 10).
    pub fn other_preferences(&self) -> impl Iterator<Item = u16> {
        self.records
            .iter()
            .map(|mx| mx.preference)
            .filter(|preference| *preference != 0)
    }
}

/// One listed host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: Name,
    /// The first level that lists it.
    pub level: u8,
    /// Addresses that were seen, of either family.
    pub addresses: Vec<IpAddr>,
    /// One of them is the client's.
    pub matched: bool,
    /// A validating resolver vouches for every answer about its addresses.
    pub secure: bool,
}

impl Report {
    /// A report for which nothing had to be asked.
    pub fn unasked(reason: Reason, client: IpAddr, identity: Identity) -> Self {
        Self {
            result: reason.result(),
            reason,
            client,
            identity,
            domain: None,
            sets: Vec::new(),
            hosts: Vec::new(),
            void: Vec::new(),
            over: Vec::new(),
            trouble: Vec::new(),
            ttl: None,
            questions: 0,
            steps: Vec::new(),
        }
    }

    /// What this evidence says (DESIGN §3).
    pub fn weight(&self) -> Weight {
        match self.result {
            VerdictResult::Authorised => Weight::Proves,
            VerdictResult::Unknown => Weight::Silent,
            VerdictResult::Repudiated => Weight::Against,
            VerdictResult::Tempfail => Weight::Trouble,
        }
    }

    /// The listed hosts that have the client's address.
    pub fn matched(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|host| host.matched)
    }

    /// True if a validating resolver vouches for all that the result rests on (DRAFT-GAPS 22).
    pub fn is_secure(&self) -> bool {
        !self.sets.is_empty()
            && self.sets.iter().all(|set| set.secure)
            && self.hosts.iter().all(|host| host.secure)
    }

    /// Seconds for which the result may stand for the same domain and client (A.2); 0 for not at
    /// all: what is temporary, and what a later success must end.
    pub fn keep_for(&self) -> u32 {
        let least = self.ttl.unwrap_or(0);
        match (self.result, self.reason) {
            (VerdictResult::Tempfail, _) | (_, Reason::Dns) => 0,
            (VerdictResult::Repudiated, _) => least.min(MAX_REJECTION_TTL),
            (VerdictResult::Authorised | VerdictResult::Unknown, _) => least,
        }
    }

    /// A.3's reply, when MAIL is refused. A line that would pass RFC 5321 §4.5.3.1.5 is cut in two
    /// before its bracket, which only a domain of more than 200 octets can bring about.
    pub fn refusal(&self) -> Option<Reply> {
        let domain = self.domain.as_ref()?.as_ascii();
        match self.result {
            VerdictResult::Authorised | VerdictResult::Unknown => None,
            VerdictResult::Tempfail => Some(Reply::new(
                450,
                (4, 4, 3),
                format!("temporary DNS failure checking MAIL-FROM.{domain}, try again later"),
            )),
            VerdictResult::Repudiated => {
                let said = format!(
                    "delivery not authorized: {} is not a border relay of {domain}",
                    self.client
                );
                let record = format!("(MAIL-FROM.{domain} MX)");
                let length = said.len().saturating_add(1).saturating_add(record.len());
                let lines = if length.saturating_add(REPLY_LINE_FRAME) > MAX_REPLY_LINE {
                    vec![said.into(), record.into()]
                } else {
                    vec![format!("{said} {record}").into()]
                };
                Some(Reply::received(
                    550,
                    Some(EnhancedStatus::new(5, 7, 1)),
                    lines,
                ))
            }
        }
    }

    /// The same report with the hosts that matched and nothing else of what was seen.
    #[must_use]
    pub(in crate::verify) fn without_steps(&self) -> Self {
        Self {
            domain: self.domain.clone(),
            hosts: self.matched().cloned().collect(),
            ttl: self.ttl,
            questions: self.questions,
            ..Self::unasked(self.reason, self.client, self.identity)
        }
    }

    /// The same report as tempfail that has lasted too long: unknown (A.2 step 5).
    #[must_use]
    pub(in crate::verify) fn lasting(self) -> Self {
        Self {
            result: Reason::Dns.result(),
            reason: Reason::Dns,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Identity, Report};
    use crate::addr::Domain;
    use crate::verify::mail_from::Reason;
    use alloc::vec;
    use alloc::vec::Vec;

    fn refusal(domain: &str) -> Vec<u8> {
        let client = "2001:db8:1111:2222:3333:4444:5555:6666".parse().unwrap();
        let report = Report {
            domain: Domain::parse(domain).ok(),
            ..Report::unasked(Reason::NotListed, client, Identity::ReversePath)
        };
        let mut wire = Vec::new();
        report.refusal().unwrap().encode(&mut wire);
        wire
    }

    #[test]
    fn a_refusal_fits_into_its_lines_whatever_the_domain() {
        for labels in 1..=60 {
            let wire = refusal(&vec!["abc"; labels].join("."));
            let lines: Vec<_> = wire.split_inclusive(|octet| *octet == b'\n').collect();
            assert!(
                lines.iter().all(|line| line.len() <= 512),
                "{labels} labels"
            );
            assert_eq!(
                lines.len(),
                if wire.len() > 512 { 2 } else { 1 },
                "{labels} labels"
            );
        }
    }
}
