//! Verdicts that may still stand: per domain and client, for as long as their evidence says
//! (PROTOCOLS A.2: authorised and unknown for the smallest TTL used, repudiated for a minute at
//! most, tempfail never). A busy relay's next message costs no walk, and one more reference to a
//! verdict instead of another copy of it.
//!
//! Bounded in entries and in octets ([`crate::bounded`]): whoever publishes decides how much a walk
//! sees.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use vouchsafe_proto::addr::{Domain, ReversePath};
use vouchsafe_proto::time::Mono;
use vouchsafe_proto::verify::mail_from::Request;
use vouchsafe_proto::verify::{Evidence, Verdict};

use crate::bounded::{Bounded, Bounds, Figures};
use crate::dns::content_weight;

/// Verdicts kept. One holds the sets and steps it saw, a few KiB as a rule; a publisher can make it
/// several hundred KiB. Octets are reckoned as in [`weight`].
const BOUNDS: Bounds = Bounds {
    entries: 4096,
    octets: 16 << 20,
};

/// What a verdict is filed under: the domain that answers, whether it stood in HELO, the client.
pub type Key = (Domain, bool, IpAddr);

/// Verdicts that may still stand.
#[derive(Debug)]
pub struct Kept(Bounded<Key, Arc<Verdict>>);

/// Under what a request's verdict is filed; `None` if nothing will be asked for it.
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

impl Default for Kept {
    fn default() -> Self {
        Self(Bounded::new(BOUNDS))
    }
}

impl Kept {
    /// The verdict, if it may still stand.
    pub fn find(&mut self, key: &Key, now: Mono) -> Option<Arc<Verdict>> {
        let (verdict, _) = self.0.find(key, now)?;
        Some(Arc::clone(verdict))
    }

    /// Keeps a new verdict for as long as it says, in place of an older one.
    pub fn keep(&mut self, key: Key, verdict: &Arc<Verdict>, now: Mono) {
        let time = Duration::from_secs(verdict.keep_for().into());
        self.0
            .keep(key, Arc::clone(verdict), time, weight(verdict), now);
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What has come of it so far.
    pub fn figures(&self) -> Figures {
        self.0.figures()
    }
}

/// About what an entry takes. The sets and hosts repeat what the steps' answers hold.
fn weight(verdict: &Verdict) -> usize {
    let evidence = verdict.evidence().iter();
    let steps = evidence.flat_map(Evidence::steps).map(|step| {
        let name = step.question.name.as_str().len();
        let answer = step
            .answer
            .as_ref()
            .map_or(0, |answer| content_weight(answer));
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
    use vouchsafe_proto::verify::mail_from::{Identity, Reason, Report};

    fn key(at: usize) -> Key {
        let domain = Domain::parse(&format!("d{at}.example")).expect("a domain");
        (domain, false, Ipv4Addr::LOCALHOST.into())
    }

    /// A verdict for which one set of so many records was seen.
    fn verdict(records: u16) -> Arc<Verdict> {
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
            answer: Some(Arc::new(Answer::bare(Lookup::Found(Records::Mx(
                list.collect(),
            ))))),
        };
        let report = Report {
            ttl: Some(3600),
            steps: vec![step],
            ..Report::unasked(
                Reason::Limits,
                Ipv4Addr::LOCALHOST.into(),
                Identity::ReversePath,
            )
        };
        Arc::new(Verdict::of(Evidence::MailFrom(Arc::new(report)), []))
    }

    #[test]
    fn a_verdict_stands_for_as_long_as_it_says() {
        let (mut kept, at) = (Kept::default(), |seconds: u64| {
            Mono::from_millis(seconds * 1000)
        });
        let verdict = verdict(1);
        kept.keep(key(1), &verdict, at(10));
        assert_eq!(kept.find(&key(1), at(3609)), Some(verdict));
        assert_eq!(kept.find(&key(1), at(3610)), None);
    }

    #[test]
    fn large_verdicts_drive_out_others() {
        let (mut kept, now) = (Kept::default(), Mono::default());
        let large = verdict(2000);
        for at in 0..200 {
            kept.keep(key(at), &large, now);
        }
        let standing = (0..200).filter(|at| kept.find(&key(*at), now).is_some());
        assert!((1..200).contains(&standing.count()));
        assert!(kept.find(&key(199), now).is_some());
    }
}
