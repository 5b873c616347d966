//! What one definite response means: where its aliases lead, what stands there, for how long.
//!
//! A server that passes the question on to others (a referral), or that neither speaks for the zone
//! nor asks others, has said nothing. Leaves to others: whether the response belongs to the
//! question (`wire`), and asking on (the stub).
//!
//! RFC 2181 §8 (TTL), RFC 2308 §2 and §5 (negative answers), RFC 6604 (the response code belongs to
//! the end of the chain).

use vouchsafe_proto::dns::message::{CLASS_IN, Data, Record, strings, wire_type};
use vouchsafe_proto::dns::{
    Alias, Chase, Lookup, Mx, Name, RecordType, Records, Tlsa, Trouble, chase,
};

use super::wire::Response;

/// A positive answer is used for a day at most, whatever its TTL: the draft's own advice is an
/// hour, and a mistaken TTL of years must not outlive a restart's patience.
pub const MAX_TTL: u32 = 86_400;

/// A negative answer is used for an hour at most (RFC 2308 §5 advises one to three): a domain
/// that has just begun to publish is heard within it.
pub const MAX_NEGATIVE_TTL: u32 = 3_600;

/// What a definite message says at `from`.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// Where it leads.
    pub step: Step,
    /// Seconds for which this part may be used.
    pub ttl: u32,
    /// Labels field of the signature over the records.
    pub signed_labels: Option<u8>,
}

/// Where a message leads.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The question's end.
    End(Lookup),
    /// The last alias's target, of which the message says nothing.
    AskOn(Name),
}

/// Reads a definite message as the answer to `kind` at `from`, adding the aliases it gives to
/// `followed`. `asked` is the name that the whole chain began with.
pub fn interpret(
    response: &Response,
    (from, kind): (&Name, RecordType),
    asked: &Name,
    followed: &mut Vec<Name>,
) -> Said {
    let before = followed.len();
    let end = chase(from, &aliases_of(response), asked, followed);
    let passed = followed.get(before..).unwrap_or_default();
    let mut ttl = alias_ttl(response, passed);
    let at = match end {
        Chase::AliasLimit => {
            return Said {
                step: Step::End(Lookup::AliasLimit),
                ttl,
                signed_labels: None,
            };
        }
        Chase::At(at) => at,
    };
    let here = records_at(response, &at, kind);
    let (step, step_ttl) = if let Some(records) = here.records {
        (Step::End(Lookup::Found(records)), here.ttl)
    } else {
        nothing_at(response, at, !passed.is_empty())
    };
    ttl = ttl.min(step_ttl);
    Said {
        step,
        ttl,
        signed_labels: here.signed_labels,
    }
}

/// What a message without records at `at` means, and for how long.
fn nothing_at(response: &Response, at: Name, by_alias: bool) -> (Step, u32) {
    let soa_ttl = negative_ttl(response, &at);
    let ttl = soa_ttl.unwrap_or(0);
    if response.denies_name() {
        return (Step::End(Lookup::NxDomain), ttl);
    }
    if soa_ttl.is_some() {
        return (Step::End(Lookup::NoData), ttl);
    }
    if by_alias {
        // The alias leads out of what this server speaks for; its own TTL still holds.
        return (Step::AskOn(at), MAX_TTL);
    }
    let answered = response.is_authoritative() || response.recurses();
    let referral = !response.is_authoritative() && delegates(response);
    if referral || !answered {
        // RFC 2308 §2.2: a referral is no answer; and a server that neither speaks for the zone
        // nor asks others has nothing to say about it.
        return (Step::End(Lookup::Trouble(Trouble::Refused)), 0);
    }
    (Step::End(Lookup::NoData), 0)
}

/// Seconds for which "there is none" holds: the lesser of the SOA's TTL and its MINIMUM field
/// (RFC 2308 §5), if the SOA is of a zone that `at` lies in.
fn negative_ttl(response: &Response, at: &Name) -> Option<u32> {
    let mut ends = response.authorities().filter(Record::is_end_of_zone);
    ends.find_map(|record| match record.data()? {
        Data::Soa(minimum) if record.owner().holds(at) => {
            Some(bounded(record.ttl.min(minimum)).min(MAX_NEGATIVE_TTL))
        }
        _ => None,
    })
}

/// True if the authority section names servers.
fn delegates(response: &Response) -> bool {
    let mut authorities = response.authorities();
    authorities.any(|record| matches!(record.data(), Some(Data::Ns(_))))
}

/// The answer section's aliases.
fn aliases_of(response: &Response) -> Vec<Alias> {
    let aliases = response.answers().filter(Record::is_alias);
    let aliases = aliases.filter_map(|record| {
        let Data::Cname(target) = record.data()? else {
            return None;
        };
        Some(Alias {
            owner: record.owner().to_name()?,
            target: target.to_name()?,
        })
    });
    aliases.collect()
}

/// The least TTL of the alias records that lead to one of `targets`.
fn alias_ttl(response: &Response, targets: &[Name]) -> u32 {
    if targets.is_empty() {
        return MAX_TTL;
    }
    let leading = response.answers().filter(|record| match record.data() {
        Some(Data::Cname(target)) => targets.iter().any(|name| target.is(name)),
        _ => false,
    });
    leading
        .map(|record| bounded(record.ttl))
        .min()
        .unwrap_or(MAX_TTL)
}

/// What a message holds at one name of one type.
struct Here {
    records: Option<Records>,
    /// The least over the records.
    ttl: u32,
    /// The least labels field over the signatures of the records (RFC 4034 §3.1).
    signed_labels: Option<u8>,
}

/// The records of the type at `at`, and their signatures.
fn records_at(response: &Response, at: &Name, kind: RecordType) -> Here {
    let mut here = Here {
        records: None,
        ttl: MAX_TTL,
        signed_labels: None,
    };
    for record in response.answers() {
        let meant = record.is_of(kind) || record.is_signature();
        if !meant || !record.owner().is(at) {
            continue;
        }
        match record.data() {
            Some(Data::Rrsig(covered, labels)) if covered == wire_type(kind) => {
                let least = here.signed_labels.map_or(labels, |least| least.min(labels));
                here.signed_labels = Some(least);
            }
            Some(data) if record.is_of(kind) && record.class == CLASS_IN => {
                push_record(&mut here.records, data);
                here.ttl = here.ttl.min(bounded(record.ttl));
            }
            _ => {}
        }
    }
    here
}

/// Adds a record to those of its type.
fn push_record(records: &mut Option<Records>, data: Data<'_>) {
    match (records, data) {
        (Some(Records::A(all)), Data::A(address)) => all.push(address),
        (none @ None, Data::A(address)) => *none = Some(Records::A(vec![address])),
        (Some(Records::Aaaa(all)), Data::Aaaa(address)) => all.push(address),
        (none @ None, Data::Aaaa(address)) => *none = Some(Records::Aaaa(vec![address])),
        (records, Data::Mx(preference, exchange)) => {
            // A name that has been gone over has a form of ours.
            let exchange = exchange.to_name().unwrap_or_else(Name::root);
            let mx = Mx {
                preference,
                exchange,
            };
            match records {
                Some(Records::Mx(all)) => all.push(mx),
                _ => *records = Some(Records::Mx(vec![mx])),
            }
        }
        (records, Data::Ptr(name)) => {
            let name = name.to_name().unwrap_or_else(Name::root);
            match records {
                Some(Records::Ptr(all)) => all.push(name),
                _ => *records = Some(Records::Ptr(vec![name])),
            }
        }
        (records, Data::Ns(name)) => {
            let name = name.to_name().unwrap_or_else(Name::root);
            match records {
                Some(Records::Ns(all)) => all.push(name),
                _ => *records = Some(Records::Ns(vec![name])),
            }
        }
        (records, Data::Tlsa([usage, selector, matching], data)) => {
            let tlsa = Tlsa {
                usage,
                selector,
                matching,
                data: data.into(),
            };
            match records {
                Some(Records::Tlsa(all)) => all.push(tlsa),
                _ => *records = Some(Records::Tlsa(vec![tlsa])),
            }
        }
        (records, Data::Txt(text)) => {
            // Just as long as one string is; of several, an octet each is left.
            let mut joined = Vec::with_capacity(text.len().saturating_sub(1));
            strings(text).for_each(|string| joined.extend_from_slice(string));
            let text = joined.into_boxed_slice();
            match records {
                Some(Records::Txt(all)) => all.push(text),
                _ => *records = Some(Records::Txt(vec![text])),
            }
        }
        _ => {}
    }
}

/// A TTL from the wire: one with the top bit set counts as zero (RFC 2181 §8).
fn bounded(ttl: u32) -> u32 {
    if ttl > i32::MAX.cast_unsigned() {
        0
    } else {
        ttl.min(MAX_TTL)
    }
}
