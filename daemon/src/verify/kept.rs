//! Verdicts that may still stand: per domain and client, for as long as the report says
//! (PROTOCOLS A.2: authorised and unknown for the smallest TTL used, repudiated for a minute at
//! most, tempfail never). A busy relay's next message costs no walk.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use vouchsafe_proto::addr::{Domain, ReversePath};
use vouchsafe_proto::time::Mono;
use vouchsafe_proto::verify::mail_from::{Report, Request};

/// Reports kept. One holds the sets and steps it saw, a few KiB as a rule.
const MAX_ENTRIES: usize = 4096;

/// What a report is filed under: the domain that answers, whether it stood in HELO, the client.
pub type Key = (Domain, bool, IpAddr);

/// Reports that may still stand.
#[derive(Debug, Default)]
pub struct Kept {
    entries: HashMap<Key, Entry>,
    /// The keys by the end of their time; the number keeps those of one moment apart.
    ends: BTreeMap<(Mono, u64), Key>,
    serial: u64,
}

#[derive(Debug)]
struct Entry {
    report: Report,
    end: (Mono, u64),
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
        if let Some(old) = self.entries.remove(&key) {
            self.ends.remove(&old.end);
        }
        let seconds = report.keep_for();
        if seconds == 0 {
            return;
        }
        self.serial += 1;
        let end = (now.plus(Duration::from_secs(seconds.into())), self.serial);
        self.ends.insert(end, key.clone());
        let report = report.clone();
        self.entries.insert(key, Entry { report, end });
        while self.entries.len() > MAX_ENTRIES
            && let Some((_, key)) = self.ends.pop_first()
        {
            self.entries.remove(&key);
        }
    }
}
