//! The answers that a check rests on, each brought to a bounded size as it comes in, so that a
//! publisher cannot make us keep much. What is cut away can change no result.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::dns::{Answer, Lookup, Name, Question, RecordType, Records, Trouble};
use crate::verify::known::ByQuestion;

use super::limits::{KEPT_ADDRESSES, KEPT_OCTETS, KEPT_TEXTS, MAX_MX, MAX_PTR, MAX_RECORD};
use super::record::Record;
use super::syntax::SyntaxError;

/// A question as the walk wants it.
pub(super) type Wanted = (Name, RecordType);

/// One answer.
#[derive(Debug)]
pub(super) struct Known {
    /// What was said, cut.
    pub answer: Arc<Answer>,
    /// Records before the cut.
    pub records: usize,
    /// The SPF record among the texts, if there is exactly one: read once, though each walk comes by.
    pub record: Option<Result<Record, SyntaxError>>,
}

/// All answers so far.
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

    /// The least TTL of all that were answered.
    pub(super) fn least_ttl(&self) -> Option<u32> {
        self.known
            .values()
            .filter(|known| !matches!(known.answer.lookup, Lookup::Trouble(_)))
            .map(|known| known.answer.ttl)
            .min()
    }
}

/// Counts, cuts, and brings into order what has no order of its own. Records of another type than
/// was asked for, or none where some are promised, are an answer that cannot be read.
fn bounded(kind: RecordType, mut answer: Answer, client: IpAddr) -> Known {
    let mut records = 0;
    if let Lookup::Found(found) = &mut answer.lookup {
        records = match (found, kind) {
            (Records::A(list), RecordType::A) => {
                let client = match client {
                    IpAddr::V4(client) => client,
                    IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
                };
                cut(list, |address| {
                    (address.to_bits() ^ client.to_bits()).leading_zeros()
                })
            }
            (Records::Aaaa(list), RecordType::Aaaa) => {
                let client = match client {
                    IpAddr::V4(_) => Ipv6Addr::UNSPECIFIED,
                    IpAddr::V6(client) => client,
                };
                cut(list, |address| {
                    (address.to_bits() ^ client.to_bits()).leading_zeros()
                })
            }
            (Records::Mx(list), RecordType::Mx) => {
                list.sort_unstable();
                list.dedup();
                let count = list.len();
                list.truncate(MAX_MX);
                count
            }
            // RFC 7208 §4.6.4: the first ten of them, in the order of the answer.
            (Records::Ptr(list), RecordType::Ptr) => {
                let count = list.len();
                list.truncate(MAX_PTR);
                count
            }
            (Records::Txt(list), RecordType::Txt) => cut_texts(list),
            _ => 0,
        };
        if records == 0 {
            answer.lookup = Lookup::Trouble(Trouble::Unreadable);
        }
    }
    Known {
        record: sole_record(&answer),
        answer: Arc::new(answer),
        records,
    }
}

/// Reads the SPF record, if there is one and no second.
fn sole_record(answer: &Answer) -> Option<Result<Record, SyntaxError>> {
    let Lookup::Found(Records::Txt(texts)) = &answer.lookup else {
        return None;
    };
    let mut records = texts.iter().filter(|text| Record::is_spf(text));
    match (records.next(), records.next()) {
        (Some(text), None) => Some(Record::parse(text)),
        _ => None,
    }
}

/// Keeps the addresses that have most leading bits in common with the client's.
fn cut<T: Ord + Copy>(list: &mut Vec<T>, common: impl Fn(&T) -> u32) -> usize {
    list.sort_unstable();
    list.dedup();
    let count = list.len();
    list.sort_by_key(|address| Reverse(common(address)));
    list.truncate(KEPT_ADDRESSES);
    count
}

/// Keeps two SPF records, since a second one is the mistake already, each long enough to be too
/// long; and a few other texts. The SPF records come first.
fn cut_texts(list: &mut Vec<Box<[u8]>>) -> usize {
    list.sort_unstable();
    let count = list.len();
    list.sort_by_key(|text| !Record::is_spf(text));
    let records = list.iter().filter(|text| Record::is_spf(text)).count();
    let others = list.split_off(records);
    list.truncate(2);
    list.extend(others.into_iter().take(KEPT_TEXTS));
    for text in list {
        let most = if Record::is_spf(text) {
            MAX_RECORD.saturating_add(1)
        } else {
            KEPT_OCTETS
        };
        if text.len() > most {
            *text = text.iter().take(most).copied().collect();
        }
    }
    count
}
