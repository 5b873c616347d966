//! Verdicts that may still stand: per domain and client, for as long as the report says
//! (PROTOCOLS A.2: authorised and unknown for the smallest TTL used, repudiated for a minute at
//! most, tempfail never). A busy relay's next message costs no walk.
//!
//! Bounded in entries and in octets: whoever publishes decides how much a walk sees. Over either
//! bound the reports that would end soonest go first, which costs one walk more.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use vouchsafe_proto::addr::{Domain, ReversePath};
use vouchsafe_proto::time::Mono;
use vouchsafe_proto::verify::mail_from::{Report, Request};

use crate::dns::content_weight;

/// Reports kept. One holds the sets and steps it saw, a few KiB as a rule.
const MAX_ENTRIES: usize = 4096;

/// Octets kept, reckoned as in [`weight`]. A publisher can make one report several hundred KiB.
const MAX_OCTETS: usize = 16 << 20;

/// What a report is filed under: the domain that answers, whether it stood in HELO, the client.
pub type Key = (Domain, bool, IpAddr);

/// Reports that may still stand.
#[derive(Debug, Default)]
pub struct Kept {
    entries: HashMap<Key, Entry>,
    /// The keys by the end of their time; the number keeps those of one moment apart.
    ends: BTreeMap<(Mono, u64), Key>,
    serial: u64,
    octets: usize,
}

#[derive(Debug)]
struct Entry {
    report: Report,
    end: (Mono, u64),
    octets: usize,
}

/// Under what a request's report is filed; `None` if nothing will be asked for it.
pub fn key_of(request: &Request) -> Option<Key> {
    if request.in_perimeter {
        return None;
    }
    let client = request.client.to_canonical();
    match &request.reverse_path {
        ReversePath::Null => {
            let helo = Domain::parse(&request.helo).ok()?;
            Some((helo, true, client))
        }
        path => Some((path.domain()?.clone(), false, client)),
    }
}

impl Kept {
    /// The report, if it may still stand.
    pub fn find(&self, key: &Key, now: Mono) -> Option<Report> {
        let entry = self.entries.get(key)?;
        (entry.end.0 > now).then(|| entry.report.clone())
    }

    /// Keeps a new report for as long as it says, in place of an older one.
    pub fn keep(&mut self, key: Key, report: &Report, now: Mono) {
        self.remove(&key);
        let (seconds, octets) = (report.keep_for(), weight(report));
        if seconds == 0 || octets > MAX_OCTETS {
            return;
        }
        self.serial += 1;
        let end = (now.plus(Duration::from_secs(seconds.into())), self.serial);
        self.ends.insert(end, key.clone());
        self.octets += octets;
        let report = report.clone();
        self.entries.insert(
            key,
            Entry {
                report,
                end,
                octets,
            },
        );
        while self.entries.len() > MAX_ENTRIES || self.octets > MAX_OCTETS {
            let Some((_, key)) = self.ends.pop_first() else {
                return;
            };
            self.remove(&key);
        }
    }

    /// Takes a report out.
    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.ends.remove(&entry.end);
            self.octets -= entry.octets;
        }
    }
}

/// About what an entry takes. The sets and hosts repeat what the steps' answers hold.
fn weight(report: &Report) -> usize {
    let steps = report.steps.iter().map(|step| {
        let name = step.question.name.as_str().len();
        let answer = step.answer.as_ref().map_or(0, content_weight);
        256 + name + answer
    });
    512 + 2 * steps.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use vouchsafe_proto::dns::{
        Answer, Freshness, Lookup, Mx, Name, Question, RecordType, Records,
    };
    use vouchsafe_proto::verify::Step;
    use vouchsafe_proto::verify::mail_from::{Identity, Reason};

    fn key(at: usize) -> Key {
        let domain = Domain::parse(&format!("d{at}.example")).expect("a domain");
        (domain, false, Ipv4Addr::LOCALHOST.into())
    }

    /// A report that saw one set of so many records.
    fn report(records: u16) -> Report {
        let name = Name::parse("mail-from.example.org").expect("a name");
        let exchange = |at: u16| Name::parse(&format!("{}.{at}", "a".repeat(60))).expect("a name");
        let list = (0..records).map(|at| Mx {
            preference: 0,
            exchange: exchange(at),
        });
        let step = Step {
            pass: 1,
            question: Question {
                name,
                kind: RecordType::Mx,
                freshness: Freshness::Cached,
            },
            answer: Some(Answer::bare(Lookup::Found(Records::Mx(list.collect())))),
        };
        Report {
            ttl: Some(3600),
            steps: vec![step],
            ..Report::unasked(
                Reason::Limits,
                Ipv4Addr::LOCALHOST.into(),
                Identity::ReversePath,
            )
        }
    }

    #[test]
    fn large_reports_drive_out_others_and_memory_stays_bounded() {
        let (mut kept, now) = (Kept::default(), Mono::default());
        let large = report(2000);
        for at in 0..200 {
            kept.keep(key(at), &large, now);
            assert!(kept.octets <= MAX_OCTETS);
        }
        assert!((1..200).contains(&kept.entries.len()));
        assert!(kept.find(&key(199), now).is_some());
        for at in 0..MAX_ENTRIES + 10 {
            kept.keep(key(at), &report(1), now);
        }
        assert_eq!(kept.entries.len(), kept.ends.len());
        assert!(kept.entries.len() <= MAX_ENTRIES);
        for at in 0..MAX_ENTRIES + 10 {
            kept.keep(
                key(at),
                &Report {
                    ttl: Some(0),
                    ..report(1)
                },
                now,
            );
        }
        assert_eq!(
            (kept.entries.len(), kept.ends.len(), kept.octets),
            (0, 0, 0)
        );
    }
}
