//! The answers that a walk rests on, each brought into one order and to a bounded size as it
//! comes in: what follows from them cannot hang on the order of records, and a publisher cannot
//! make us keep much.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::dns::{Answer, Lookup, Name, Question, RecordType, Records, Trouble};
use crate::verify::known::ByQuestion;

use super::budget::{KEPT_ADDRESSES, MAX_AGE, MAX_LEVEL_HOSTS};
use super::wildcard::is_sentinel;

/// A question as the walk wants it.
pub(super) type Wanted = (Name, RecordType);

/// One answer.
#[derive(Debug)]
pub(super) struct Known {
    /// What was said, its records sorted and cut.
    pub answer: Arc<Answer>,
    /// Records before the cut.
    pub records: usize,
    /// A text among them says that the set is deliberate.
    pub sentinel: bool,
}

/// All answers of a pass.
#[derive(Debug, Default)]
pub(super) struct Answers {
    known: ByQuestion<Known>,
}

impl Answers {
    /// Files an answer, and gives back what is kept of it.
    pub(super) fn take(
        &mut self,
        question: &Question,
        answer: Answer,
        client: IpAddr,
    ) -> Arc<Answer> {
        let known = bounded(question.kind, answer, client);
        let kept = Arc::clone(&known.answer);
        self.known
            .insert(question.name.clone(), question.kind, known);
        kept
    }

    /// The answer to this question, if it is in.
    pub(super) fn of(&self, name: &Name, kind: RecordType) -> Option<&Known> {
        self.known.get(name, kind)
    }

    /// True if an answer lay in the cache for too long to reject on it.
    pub(super) fn any_old(&self) -> bool {
        self.known.values().any(is_old)
    }

    /// Forgets those, so that they are asked for again.
    pub(super) fn drop_old(&mut self) {
        self.known.retain(|known| !is_old(known));
    }

    /// The least TTL of all that were answered.
    pub(super) fn least_ttl(&self) -> Option<u32> {
        self.known
            .values()
            .filter(|known| !matches!(known.answer.lookup, Lookup::Trouble(_)))
            .map(|known| known.answer.ttl)
            .min()
    }
}

/// True if the answer holds the client's address.
pub(super) fn holds(answer: &Answer, client: IpAddr) -> bool {
    match (&answer.lookup, client) {
        (Lookup::Found(Records::A(found)), IpAddr::V4(client)) => found.contains(&client),
        (Lookup::Found(Records::Aaaa(found)), IpAddr::V6(client)) => found.contains(&client),
        _ => false,
    }
}

fn is_old(known: &Known) -> bool {
    known.answer.age > MAX_AGE
}

/// Sorts, drops doubles, counts, and cuts. Records of another type than was asked for, or none
/// where some are promised, are an answer that cannot be read.
fn bounded(kind: RecordType, mut answer: Answer, client: IpAddr) -> Known {
    let (mut records, mut sentinel) = (0, false);
    if let Lookup::Found(found) = &mut answer.lookup {
        records = match (found, kind) {
            (Records::A(list), RecordType::A) => cut(
                list,
                match client {
                    IpAddr::V4(client) => Some(client),
                    IpAddr::V6(_) => None,
                },
            ),
            (Records::Aaaa(list), RecordType::Aaaa) => cut(
                list,
                match client {
                    IpAddr::V6(client) => Some(client),
                    IpAddr::V4(_) => None,
                },
            ),
            (Records::Mx(list), RecordType::Mx) => {
                sort(list);
                let count = list.len();
                list.truncate(MAX_LEVEL_HOSTS);
                count
            }
            (Records::Txt(list), RecordType::Txt) => {
                sentinel = list.iter().any(|text| is_sentinel(text));
                cut_texts(list)
            }
            _ => 0,
        };
        if records == 0 {
            answer.lookup = Lookup::Trouble(Trouble::Unreadable);
        }
    }
    Known {
        answer: Arc::new(answer),
        records,
        sentinel,
    }
}

fn sort<T: Ord>(list: &mut Vec<T>) {
    list.sort_unstable();
    list.dedup();
}

/// Cuts addresses, but never the client's own, which goes to the front.
fn cut<T: Ord + Copy>(list: &mut Vec<T>, client: Option<T>) -> usize {
    sort(list);
    let count = list.len();
    if count > KEPT_ADDRESSES
        && let Some(client) = client.filter(|client| list.contains(client))
    {
        list.retain(|address| *address != client);
        list.insert(0, client);
    }
    list.truncate(KEPT_ADDRESSES);
    count
}

/// Keeps a few texts, the sentinel first, each up to the length of one character-string.
fn cut_texts(list: &mut Vec<Box<[u8]>>) -> usize {
    /// Texts kept: more only show that they are there.
    const KEPT_TEXTS: usize = 4;
    /// Octets kept of each.
    const KEPT_OCTETS: usize = 255;
    sort(list);
    let count = list.len();
    list.sort_by_key(|text| !is_sentinel(text));
    list.truncate(KEPT_TEXTS);
    for text in list {
        if text.len() > KEPT_OCTETS {
            *text = text.iter().take(KEPT_OCTETS).copied().collect();
        }
    }
    count
}
