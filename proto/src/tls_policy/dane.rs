//! DANE for SMTP (RFC 7672): which TLSA records a host has, and which certificates they name.
//!
//! [`Gathering`] follows one host through the answers about it. TLSA records are looked for only
//! where the answer about its addresses is DNSSEC-secure (RFC 7672 §2.2.2): elsewhere they could not
//! be, and name servers that break on the question would cost mail. They are looked for under the
//! name that the host's aliases end in, then under the host's own (§2.2.3).
//!
//! [`Associations`] are the records that can be used, under the rule of the strongest digest
//! (RFC 7671 §9). Comparing is pure: the driver brings the certificate's octets and the digests.
//! Usages 0 and 1 cannot be used for SMTP (RFC 7672 §3.1.3). Of usage 2 the match names a trust
//! anchor; that the chain leads to it, and the name, are for whoever verifies chains.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use crate::dns::{Answer, Lookup, Name, Records, Tlsa, Trouble};

use super::report::{Ended, Kind};
use super::{Requirement, Withheld};

/// Records of one host that are kept: each costs a comparison, and nobody needs so many.
const MAX_RECORDS: usize = 32;

/// DANE-TA (RFC 7218).
const TRUST_ANCHOR: u8 = 2;

/// DANE-EE.
const END_ENTITY: u8 = 3;

/// What is known of one host's TLSA records while they are looked up.
#[derive(Debug, Default)]
pub struct Gathering {
    /// An answer about its addresses was secure.
    secure: bool,
    /// What its name is an alias of, by secure answers.
    expanded: Option<Name>,
    /// The names under which records are looked for, the preferred first.
    asked: Vec<Base>,
}

/// One TLSA base domain.
#[derive(Debug)]
struct Base {
    name: Name,
    found: Option<Found>,
}

/// What was found under one of them.
#[derive(Debug)]
enum Found {
    /// No records, or none that are secure.
    Nothing,
    /// These, secure.
    Records(Vec<Tlsa>),
    /// It cannot be known now.
    Trouble(Trouble),
}

impl Gathering {
    /// Takes an answer about the host's addresses.
    pub fn addresses_answered(&mut self, answer: &Answer) {
        let definite = !matches!(answer.lookup, Lookup::Trouble(_));
        if answer.secure && definite {
            self.secure = true;
            self.expanded = answer.aliases.last().cloned();
        }
    }

    /// The questions' owner names, for `host` called on `port`; none where DANE does not apply.
    /// Answers are brought back by the index.
    pub fn owners(&mut self, host: &Name, port: u16) -> Vec<Name> {
        if !self.secure {
            return Vec::new();
        }
        let own = self.expanded.take().into_iter().chain([host.clone()]);
        let mut owners = Vec::new();
        for name in own {
            let under = name.child("_tcp");
            // A name too long to have such a child has no TLSA records.
            let Ok(owner) = under.and_then(|under| under.child(&format!("_{port}"))) else {
                continue;
            };
            owners.push(owner);
            self.asked.push(Base { name, found: None });
        }
        owners
    }

    /// Takes the answer to the question with this index.
    pub fn answered(&mut self, index: usize, answer: Answer) {
        let Some(base) = self.asked.get_mut(index) else {
            return;
        };
        base.found = Some(match answer.lookup {
            Lookup::Trouble(trouble) => Found::Trouble(trouble),
            // An alias without end in a secure zone is somebody's mistake about what is demanded.
            Lookup::AliasLimit if answer.secure => Found::Trouble(Trouble::Unreadable),
            Lookup::Found(Records::Tlsa(records)) if answer.secure => Found::Records(records),
            Lookup::Found(Records::Tlsa(_))
            | Lookup::NoData
            | Lookup::NxDomain
            | Lookup::AliasLimit => Found::Nothing,
            Lookup::Found(_) => Found::Trouble(Trouble::Unreadable),
        });
    }

    /// What follows for the host, all answers being in. `next_hop` is the domain whose mail it
    /// takes: a certificate by a trust anchor may be for that name too (RFC 7672 §3.2.2).
    pub fn requirement(self, host: &Name, next_hop: &Name) -> Requirement {
        for base in self.asked {
            match base.found {
                Some(Found::Nothing) => {}
                Some(Found::Records(records)) => {
                    let names = [base.name, host.clone(), next_hop.clone()];
                    return Associations::of(records, names)
                        .map_or(Requirement::Encrypted, |found| {
                            Requirement::Dane(Box::new(found))
                        });
                }
                Some(Found::Trouble(trouble)) => return withheld(&base.name, trouble),
                // Not reached: the search waits for every answer.
                None => return withheld(&base.name, Trouble::Timeout),
            }
        }
        Requirement::Opportunistic
    }
}

/// RFC 7672 §2.1.2, §2.2: a host whose records cannot be had is not used, since somebody on the way
/// may be keeping them back. X.4.3: directory server failure (RFC 3463 §3.5).
fn withheld(base: &Name, trouble: Trouble) -> Requirement {
    Requirement::Withheld(Box::new(Withheld {
        status: (4, 4, 3),
        text: format!("the TLSA records of {base} cannot be looked up now: {trouble}"),
        counted: (Kind::Tlsa, Ended::DnssecInvalid),
    }))
}

/// The TLSA records of one host that can be used; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Associations {
    records: Vec<Tlsa>,
    /// The base domain first: what the client says it wants to reach (RFC 7672 §8.1).
    names: Vec<Name>,
}

/// One certificate, as the comparison sees it.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    /// All of it, DER.
    pub whole: &'a [u8],
    /// Its `SubjectPublicKeyInfo`, DER; none if it cannot be read.
    pub key: Option<&'a [u8]>,
}

/// The digests of matching types 1 and 2.
#[derive(Clone, Copy, Debug)]
pub struct Digests {
    /// SHA-256.
    pub sha256: fn(&[u8]) -> [u8; 32],
    /// SHA-512.
    pub sha512: fn(&[u8]) -> [u8; 64],
}

impl Associations {
    /// Those of the records that can be used; none if none can.
    pub fn of(records: Vec<Tlsa>, names: impl IntoIterator<Item = Name>) -> Option<Self> {
        let mut usable: Vec<Tlsa> = records.into_iter().filter(is_usable).collect();
        usable.sort();
        usable.dedup();
        let of_strongest_digest = |record: &Tlsa| {
            record.matching != 1
                || !usable.iter().any(|other| {
                    let same = (other.usage, other.selector) == (record.usage, record.selector);
                    same && other.matching == 2
                })
        };
        let records: Vec<Tlsa> = usable
            .iter()
            .filter(|record| of_strongest_digest(record))
            .take(MAX_RECORDS)
            .cloned()
            .collect();
        let mut distinct: Vec<Name> = Vec::new();
        for name in names {
            if !distinct.contains(&name) {
                distinct.push(name);
            }
        }
        let some = !records.is_empty() && !distinct.is_empty();
        some.then_some(Self {
            records,
            names: distinct,
        })
    }

    /// The names that a certificate by a trust anchor may have; the first is asked for.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// True if the host's own certificate is named as such (usage 3): then nothing else of it
    /// matters, neither its names nor its dates (RFC 7672 §3.1.1).
    pub fn name_end_entity(&self, certificate: Certificate<'_>, digests: Digests) -> bool {
        self.name(END_ENTITY, certificate, digests)
    }

    /// True if a certificate is named as a trust anchor (usage 2).
    pub fn name_trust_anchor(&self, certificate: Certificate<'_>, digests: Digests) -> bool {
        self.name(TRUST_ANCHOR, certificate, digests)
    }

    /// Trust anchors whose whole certificate stands in a record (2 0 0): a server need not send
    /// those along (RFC 7672 §3.1.2).
    pub fn trust_anchors(&self) -> impl Iterator<Item = &[u8]> {
        self.records
            .iter()
            .filter(|record| (record.usage, record.selector, record.matching) == (2, 0, 0))
            .map(|record| &*record.data)
    }

    /// True if a record of this usage matches.
    fn name(&self, usage: u8, certificate: Certificate<'_>, digests: Digests) -> bool {
        let mut of_usage = self.records.iter().filter(|record| record.usage == usage);
        of_usage.any(|record| {
            let selected = match record.selector {
                0 => Some(certificate.whole),
                _ => certificate.key,
            };
            selected.is_some_and(|octets| match record.matching {
                0 => *record.data == *octets,
                1 => record.data[..] == (digests.sha256)(octets),
                _ => record.data[..] == (digests.sha512)(octets),
            })
        })
    }
}

/// True for a record that RFC 7672 §3.1 gives a meaning and whose data can match.
fn is_usable(record: &Tlsa) -> bool {
    let length = record.data.len();
    let can_match = match record.matching {
        0 => length > 0,
        1 => length == 32,
        2 => length == 64,
        _ => false,
    };
    matches!(record.usage, TRUST_ANCHOR | END_ENTITY) && record.selector <= 1 && can_match
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const DIGESTS: Digests = Digests {
        sha256: |octets| [octets.first().copied().unwrap_or(0); 32],
        sha512: |octets| [octets.first().copied().unwrap_or(0); 64],
    };

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn tlsa(usage: u8, selector: u8, matching: u8, data: &[u8]) -> Tlsa {
        Tlsa {
            usage,
            selector,
            matching,
            data: data.into(),
        }
    }

    fn secure(lookup: Lookup) -> Answer {
        Answer {
            secure: true,
            ..Answer::bare(lookup)
        }
    }

    fn found(records: Vec<Tlsa>) -> Lookup {
        Lookup::Found(Records::Tlsa(records))
    }

    /// What follows from these answers for a host without aliases.
    fn requirement(answer: Answer) -> Requirement {
        let host = name("mx.example");
        let mut gathering = Gathering::default();
        gathering.addresses_answered(&secure(Lookup::NoData));
        let owners = gathering.owners(&host, 25);
        assert_eq!(owners, [name("_25._tcp.mx.example")]);
        gathering.answered(0, answer);
        gathering.requirement(&host, &name("example"))
    }

    #[test]
    fn what_answers_demand() {
        let one = || vec![tlsa(3, 1, 1, &[7; 32])];
        assert!(matches!(
            requirement(secure(found(one()))),
            Requirement::Dane(_)
        ));
        for unusable in [
            tlsa(0, 1, 1, &[7; 32]),
            tlsa(1, 0, 1, &[7; 32]),
            tlsa(4, 1, 1, &[7; 32]),
            tlsa(3, 2, 1, &[7; 32]),
            tlsa(3, 1, 3, &[7; 32]),
            tlsa(3, 1, 1, &[7; 31]),
            tlsa(3, 1, 2, &[7; 32]),
            tlsa(2, 0, 0, &[]),
        ] {
            let demanded = requirement(secure(found(vec![unusable.clone()])));
            assert_eq!(demanded, Requirement::Encrypted, "{unusable}");
            assert!(demanded.starttls().is_required());
        }
        // Without DNSSEC a record demands nothing: whoever made it up could have left it out.
        for answer in [
            Answer::bare(found(one())),
            Answer::bare(Lookup::NoData),
            Answer::bare(Lookup::AliasLimit),
            secure(Lookup::NoData),
            secure(Lookup::NxDomain),
        ] {
            assert_eq!(requirement(answer), Requirement::Opportunistic);
        }
        for answer in [
            Answer::trouble(Trouble::Bogus),
            Answer::trouble(Trouble::ServFail),
            Answer::trouble(Trouble::Timeout),
            secure(Lookup::AliasLimit),
            secure(Lookup::Found(Records::A(Vec::new()))),
        ] {
            let Requirement::Withheld(why) = requirement(answer) else {
                panic!("used though nothing is known of it");
            };
            assert_eq!(why.status, (4, 4, 3));
        }
    }

    #[test]
    fn an_insecure_host_is_not_asked_about() {
        let mut gathering = Gathering::default();
        gathering.addresses_answered(&Answer::bare(Lookup::NoData));
        gathering.addresses_answered(&secure(Lookup::Trouble(Trouble::Timeout)));
        assert!(gathering.owners(&name("mx.example"), 25).is_empty());
        let demanded = gathering.requirement(&name("mx.example"), &name("example"));
        assert_eq!(demanded, Requirement::Opportunistic);
    }

    #[test]
    fn the_end_of_the_aliases_goes_before_the_name() {
        let (host, end) = (name("mx.example"), name("mail.example.net"));
        let ask = |first: Answer, second: Answer| {
            let mut gathering = Gathering::default();
            gathering.addresses_answered(&Answer {
                aliases: vec![name("step.example"), end.clone()],
                ..secure(Lookup::NoData)
            });
            let owners = gathering.owners(&host, 2525);
            let wanted = ["_2525._tcp.mail.example.net", "_2525._tcp.mx.example"];
            assert_eq!(owners, wanted.map(name));
            gathering.answered(1, second);
            gathering.answered(0, first);
            gathering.answered(9, Answer::trouble(Trouble::Bogus));
            gathering.requirement(&host, &name("example"))
        };
        let one = || secure(found(vec![tlsa(2, 1, 1, &[7; 32])]));
        let names = |demanded: Requirement| match demanded {
            Requirement::Dane(found) => found.names().to_vec(),
            other => panic!("{other:?}"),
        };
        let trouble = || Answer::trouble(Trouble::ServFail);
        assert_eq!(
            names(ask(one(), trouble())),
            [end.clone(), host.clone(), name("example")]
        );
        let nothing = || secure(Lookup::NxDomain);
        assert_eq!(
            names(ask(nothing(), one())),
            [host.clone(), name("example")]
        );
        assert!(matches!(ask(trouble(), one()), Requirement::Withheld(_)));
        assert!(matches!(
            ask(nothing(), trouble()),
            Requirement::Withheld(_)
        ));
    }

    #[test]
    fn a_record_names_what_it_matches_and_nothing_else() {
        let certificate = Certificate {
            whole: b"whole",
            key: Some(b"key"),
        };
        let matches = |record: Tlsa| {
            let found = Associations::of(vec![record], [name("mx.example")]).unwrap();
            (
                found.name_end_entity(certificate, DIGESTS),
                found.name_trust_anchor(certificate, DIGESTS),
            )
        };
        for (selector, matching, data) in [
            (0, 0, b"whole".to_vec()),
            (0, 1, vec![b'w'; 32]),
            (0, 2, vec![b'w'; 64]),
            (1, 0, b"key".to_vec()),
            (1, 1, vec![b'k'; 32]),
            (1, 2, vec![b'k'; 64]),
        ] {
            let record = |usage| tlsa(usage, selector, matching, &data);
            assert_eq!(matches(record(3)), (true, false), "{selector} {matching}");
            assert_eq!(matches(record(2)), (false, true), "{selector} {matching}");
            let other: Vec<u8> = data.iter().map(|octet| octet ^ 1).collect();
            let record = tlsa(3, selector, matching, &other);
            assert_eq!(matches(record), (false, false));
            let record = tlsa(3, 1 - selector, matching, &data);
            assert_eq!(matches(record), (false, false));
        }
        let unread = Certificate {
            whole: b"whole",
            key: None,
        };
        let found = Associations::of(vec![tlsa(3, 1, 0, b"key")], [name("mx.example")]);
        assert!(!found.unwrap().name_end_entity(unread, DIGESTS));
    }

    #[test]
    fn the_strongest_digest_counts() {
        let certificate = Certificate {
            whole: b"whole",
            key: None,
        };
        let named = |records: Vec<Tlsa>| {
            let found = Associations::of(records, [name("mx.example")]).unwrap();
            found.name_end_entity(certificate, DIGESTS)
        };
        let right = tlsa(3, 0, 1, &[b'w'; 32]);
        assert!(named(vec![right.clone()]));
        // Whoever breaks SHA-256 gains nothing where there is SHA-512 (RFC 7671 §9).
        assert!(!named(vec![right.clone(), tlsa(3, 0, 2, &[0; 64])]));
        assert!(named(vec![right.clone(), tlsa(3, 1, 2, &[0; 64])]));
        assert!(named(vec![right.clone(), tlsa(2, 0, 2, &[0; 64])]));
        assert!(named(vec![
            tlsa(3, 0, 0, b"whole"),
            tlsa(3, 0, 2, &[0; 64])
        ]));
    }
}
