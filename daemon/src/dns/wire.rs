//! Octets to and from messages: a query of ours, and what one response says to it.
//!
//! Nothing is taken from a response that does not carry the query's id and question, with the
//! letters in the case we sent them (RFC 5452 §9.1; the case is twenty-odd bits more for a forger
//! to guess). Only NOERROR and NXDOMAIN are definite; a server that passes the question on to
//! others (a referral), or never says who answers, has said nothing.
//!
//! RFC 1035 §4, RFC 2181 §8 (TTL), RFC 2308 §2 and §5 (negative answers), RFC 6604 (the response
//! code belongs to the end of the chain), RFC 6891 (EDNS), RFC 8914 (extended errors).

use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::op::{Message, MessageType, OpCode, Query as Asked, ResponseCode};
use hickory_proto::rr;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, RData, Record};
use vouchsafe_proto::dns::{
    Alias, Chase, Lookup, MAX_WIRE_NAME, Mx, Name, RecordType, Records, Tlsa, Trouble, chase,
    push_label,
};

/// The largest response taken over UDP: above it paths begin to drop fragments (DNS Flag Day
/// 2020). A larger one comes truncated and is asked for over TCP.
pub const UDP_PAYLOAD: u16 = 1232;

/// A positive answer is used for a day at most, whatever its TTL: the draft's own advice is an
/// hour, and a mistaken TTL of years must not outlive a restart's patience.
pub const MAX_TTL: u32 = 86_400;

/// A negative answer is used for an hour at most (RFC 2308 §5 advises one to three): a domain
/// that has just begun to publish is heard within it.
pub const MAX_NEGATIVE_TTL: u32 = 3_600;

/// One query as it goes to one server.
#[derive(Clone, Debug)]
pub struct Query {
    id: u16,
    asked: Asked,
    exact_case: bool,
    edns: bool,
}

impl Query {
    /// A query with recursion, AD and DO asked for. `exact_case` mixes the letters' case and asks
    /// for it back. `None` only if the name is none.
    pub fn new(name: &Name, kind: RecordType, exact_case: bool, edns: bool) -> Option<Self> {
        let mut owner = to_wire(name)?;
        if exact_case {
            owner.randomize_label_case();
        }
        let mut asked = Asked::query(owner, wire_type(kind));
        asked.set_query_class(DNSClass::IN);
        Some(Self {
            // From the generator that the letters' case comes from: not to be foreseen.
            id: Message::query().metadata.id,
            asked,
            exact_case,
            edns,
        })
    }

    /// The octets to send (RFC 1035 §4.1, RFC 6891 §6.1.2). Written here, since it is always the
    /// same few fields.
    pub fn encode(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(MAX_QUERY);
        octets.extend(self.id.to_be_bytes());
        // AD asks for the AD bit without the records that make it up (RFC 6840 §5.7).
        octets.extend((RECURSION_DESIRED | AUTHENTIC_DATA).to_be_bytes());
        for count in [1, 0, 0, u16::from(self.edns)] {
            octets.extend(count.to_be_bytes());
        }
        for label in self.asked.name() {
            // A name of the wire has labels of 63 octets at most.
            octets.push(u8::try_from(label.len()).unwrap_or_default());
            octets.extend(label);
        }
        octets.push(0);
        let kind = self.asked.query_type();
        octets.extend(u16::from(kind).to_be_bytes());
        octets.extend(u16::from(DNSClass::IN).to_be_bytes());
        if self.edns {
            octets.push(0);
            octets.extend(u16::from(rr::RecordType::OPT).to_be_bytes());
            octets.extend(UDP_PAYLOAD.to_be_bytes());
            octets.extend([0, 0]);
            // Signatures are wanted for one thing, their labels field, which tells a wildcard's MX
            // from a set of its own (RFC 4034 §3.1.3). Elsewhere they only make answers long.
            let wanted = if kind == rr::RecordType::MX {
                DNSSEC_OK
            } else {
                0
            };
            octets.extend(wanted.to_be_bytes());
            octets.extend([0, 0]);
        }
        octets
    }

    /// What a response to it says.
    pub fn read(&self, octets: &[u8]) -> Reading {
        let Some((id, flags)) = split_header(octets) else {
            return Reading::Foreign;
        };
        if id != self.id || flags & RESPONSE == 0 {
            return Reading::Foreign;
        }
        // A truncated message may end anywhere: only its header is read.
        if flags & TRUNCATED != 0 {
            return Reading::Truncated;
        }
        let Ok(message) = Message::from_vec(octets) else {
            return Reading::Trouble(Trouble::Unreadable);
        };
        let code = message.metadata.response_code;
        if self.edns && matches!(code, ResponseCode::FormErr | ResponseCode::NotImp) {
            return Reading::NoEdns;
        }
        match self.question_of(&message) {
            Belongs::ButForCase => return Reading::CaseChanged,
            Belongs::No if definite(code) => return Reading::Foreign,
            // A server in trouble may leave the question out.
            Belongs::Yes | Belongs::No => {}
        }
        if definite(code) {
            Reading::Definite(Box::new(message))
        } else {
            Reading::Trouble(trouble_of(&message))
        }
    }

    /// Whether the response repeats our question.
    fn question_of(&self, response: &Message) -> Belongs {
        let ours = &self.asked;
        let [theirs] = response.queries.as_slice() else {
            return Belongs::No;
        };
        if response.metadata.message_type != MessageType::Response
            || response.metadata.op_code != OpCode::Query
            || ours != theirs
        {
            Belongs::No
        } else if self.exact_case && !ours.name().eq_case(theirs.name()) {
            Belongs::ButForCase
        } else {
            Belongs::Yes
        }
    }
}

/// What came of one response.
#[derive(Debug)]
pub enum Reading {
    /// Not a response to this query: wait on.
    Foreign,
    /// There is more than fits: ask over TCP.
    Truncated,
    /// The letters came back in another case: a forgery, or a server that keeps none. Ask over TCP.
    CaseChanged,
    /// The server does not know EDNS: ask without.
    NoEdns,
    /// Nothing is known from this server.
    Trouble(Trouble),
    /// NOERROR or NXDOMAIN.
    Definite(Box<Message>),
}

enum Belongs {
    Yes,
    ButForCase,
    No,
}

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
    message: &Message,
    (from, kind): (&Name, RecordType),
    asked: &Name,
    followed: &mut Vec<Name>,
) -> Said {
    let Some(aliases) = aliases_of(message) else {
        return Said::trouble(Trouble::Unreadable);
    };
    let before = followed.len();
    let end = chase(from, &aliases, asked, followed);
    let passed = followed.get(before..).unwrap_or_default();
    let mut ttl = alias_ttl(message, passed);
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
    let step = match records_at(message, &at, kind) {
        Err(trouble) => return Said::trouble(trouble),
        Ok(Some((records, records_ttl))) => {
            ttl = ttl.min(records_ttl);
            Step::End(Lookup::Found(records))
        }
        Ok(None) => {
            let (step, negative_ttl) = nothing_at(message, at.clone(), !passed.is_empty());
            ttl = ttl.min(negative_ttl);
            step
        }
    };
    Said {
        step,
        ttl,
        signed_labels: signed_labels_at(message, &at, kind),
    }
}

impl Said {
    fn trouble(trouble: Trouble) -> Self {
        Self {
            step: Step::End(Lookup::Trouble(trouble)),
            ttl: 0,
            signed_labels: None,
        }
    }
}

/// What a message without records at `at` means, and for how long.
fn nothing_at(message: &Message, at: Name, by_alias: bool) -> (Step, u32) {
    let soa_ttl = negative_ttl(message, &at);
    let ttl = soa_ttl.unwrap_or(0);
    if message.metadata.response_code == ResponseCode::NXDomain {
        return (Step::End(Lookup::NxDomain), ttl);
    }
    if soa_ttl.is_some() {
        return (Step::End(Lookup::NoData), ttl);
    }
    if by_alias {
        // The alias leads out of what this server speaks for; its own TTL still holds.
        return (Step::AskOn(at), MAX_TTL);
    }
    let answered = message.metadata.authoritative || message.metadata.recursion_available;
    let referral = !message.metadata.authoritative && delegates(message);
    if referral || !answered {
        // RFC 2308 §2.2: a referral is no answer; and a server that neither speaks for the zone
        // nor asks others has nothing to say about it.
        return (Step::End(Lookup::Trouble(Trouble::Refused)), 0);
    }
    (Step::End(Lookup::NoData), 0)
}

/// Seconds for which "there is none" holds: the lesser of the SOA's TTL and its MINIMUM field
/// (RFC 2308 §5), if the SOA is of a zone that `at` lies in.
fn negative_ttl(message: &Message, at: &Name) -> Option<u32> {
    message
        .authorities
        .iter()
        .find_map(|record| match &record.data {
            RData::SOA(soa) if lies_in(at, &from_wire(&record.name)?) => {
                Some(bounded(record.ttl.min(soa.minimum)).min(MAX_NEGATIVE_TTL))
            }
            _ => None,
        })
}

/// True if `name` is `zone` or lies below it.
pub fn lies_in(name: &Name, zone: &Name) -> bool {
    zone.is_root()
        || name
            .as_str()
            .strip_suffix(zone.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// True if the authority section names servers.
fn delegates(message: &Message) -> bool {
    let mut authorities = message.authorities.iter();
    authorities.any(|record| matches!(record.data, RData::NS(_)))
}

/// The answer section's aliases; `None` if one cannot be read.
fn aliases_of(message: &Message) -> Option<Vec<Alias>> {
    let records = message.answers.iter().filter_map(|record| {
        let RData::CNAME(target) = &record.data else {
            return None;
        };
        Some((&record.name, &target.0))
    });
    records
        .map(|(owner, target)| {
            Some(Alias {
                owner: from_wire(owner)?,
                target: from_wire(target)?,
            })
        })
        .collect()
}

/// The least TTL of the alias records that lead to one of `targets`.
fn alias_ttl(message: &Message, targets: &[Name]) -> u32 {
    let leading = message.answers.iter().filter(|record| match &record.data {
        RData::CNAME(target) => from_wire(&target.0).is_some_and(|name| targets.contains(&name)),
        _ => false,
    });
    leading
        .map(|record| bounded(record.ttl))
        .min()
        .unwrap_or(MAX_TTL)
}

/// The records of the type at `at` and their least TTL; `None` if there are none.
fn records_at(
    message: &Message,
    at: &Name,
    kind: RecordType,
) -> Result<Option<(Records, u32)>, Trouble> {
    let here: Vec<&Record> = message
        .answers
        .iter()
        .filter(|record| {
            record.dns_class == DNSClass::IN
                && record.record_type() == wire_type(kind)
                && from_wire(&record.name).as_ref() == Some(at)
        })
        .collect();
    let Some(ttl) = here.iter().map(|record| bounded(record.ttl)).min() else {
        return Ok(None);
    };
    let mut records = match kind {
        RecordType::A => Records::A(Vec::new()),
        RecordType::Aaaa => Records::Aaaa(Vec::new()),
        RecordType::Mx => Records::Mx(Vec::new()),
        RecordType::Txt => Records::Txt(Vec::new()),
        RecordType::Ptr => Records::Ptr(Vec::new()),
        RecordType::Tlsa => Records::Tlsa(Vec::new()),
    };
    for record in here {
        match (&mut records, &record.data) {
            (Records::A(all), RData::A(address)) => all.push(address.0),
            (Records::Aaaa(all), RData::AAAA(address)) => all.push(address.0),
            (Records::Mx(all), RData::MX(mx)) => all.push(Mx {
                preference: mx.preference,
                exchange: from_wire(&mx.exchange).ok_or(Trouble::Unreadable)?,
            }),
            (Records::Ptr(all), RData::PTR(name)) => {
                all.push(from_wire(&name.0).ok_or(Trouble::Unreadable)?);
            }
            (Records::Txt(all), RData::TXT(text)) => {
                all.push(text.txt_data.concat().into_boxed_slice());
            }
            (Records::Tlsa(all), RData::TLSA(tlsa)) => all.push(Tlsa {
                usage: tlsa.cert_usage.into(),
                selector: tlsa.selector.into(),
                matching: tlsa.matching.into(),
                data: tlsa.cert_data.as_slice().into(),
            }),
            // A record of the type with no data at all, as only updates have.
            _ => return Err(Trouble::Unreadable),
        }
    }
    Ok(Some((records, ttl)))
}

/// The least labels field over the signatures of the type's records at `at` (RFC 4034 §3.1).
fn signed_labels_at(message: &Message, at: &Name, kind: RecordType) -> Option<u8> {
    let labels = message.answers.iter().filter_map(|record| {
        let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data else {
            return None;
        };
        let signature = signature.input();
        (signature.type_covered == wire_type(kind) && from_wire(&record.name).as_ref() == Some(at))
            .then_some(signature.num_labels)
    });
    labels.min()
}

/// A TTL from the wire: one with the top bit set counts as zero (RFC 2181 §8).
fn bounded(ttl: u32) -> u32 {
    if ttl > i32::MAX.cast_unsigned() {
        0
    } else {
        ttl.min(MAX_TTL)
    }
}

/// The two response codes that say something.
fn definite(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

/// What kind of trouble a message that is not definite tells of.
fn trouble_of(message: &Message) -> Trouble {
    let extended = message
        .edns
        .as_ref()
        .and_then(|edns| edns.option(EdnsCode::from(EXTENDED_ERROR)));
    if let Some(EdnsOption::Unknown(_, octets)) = extended
        && let [high, low, ..] = *octets.as_slice()
        && BOGUS.contains(&u16::from_be_bytes([high, low]))
    {
        return Trouble::Bogus;
    }
    match message.metadata.response_code {
        ResponseCode::ServFail => Trouble::ServFail,
        ResponseCode::FormErr => Trouble::Unreadable,
        _ => Trouble::Refused,
    }
}

/// Id and flags of a message.
fn split_header(octets: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d] = *octets.first_chunk::<4>()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// The type on the wire.
pub const fn wire_type(kind: RecordType) -> rr::RecordType {
    match kind {
        RecordType::A => rr::RecordType::A,
        RecordType::Aaaa => rr::RecordType::AAAA,
        RecordType::Mx => rr::RecordType::MX,
        RecordType::Txt => rr::RecordType::TXT,
        RecordType::Ptr => rr::RecordType::PTR,
        RecordType::Tlsa => rr::RecordType::TLSA,
    }
}

/// Our form of a name from the wire.
pub fn from_wire(name: &rr::Name) -> Option<Name> {
    let mut text = String::new();
    for label in name {
        if !text.is_empty() {
            text.push('.');
        }
        push_label(&mut text, label);
    }
    Name::parse(&text).ok()
}

/// The wire's form of a name of ours.
pub fn to_wire(name: &Name) -> Option<rr::Name> {
    let text = name.as_str();
    let mut wire = if text.contains('\\') {
        let labels: Option<Vec<Vec<u8>>> = name.labels().map(unescape).collect();
        rr::Name::from_labels(labels?)
    } else {
        rr::Name::from_labels(name.labels().map(str::as_bytes))
    }
    .ok()?;
    wire.set_fqdn(true);
    Some(wire)
}

/// The octets of a label in presentation form.
fn unescape(label: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(label.len());
    let mut rest = label.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'\\' {
            let digits = [rest.next()?, rest.next()?, rest.next()?];
            octets.push(str::from_utf8(&digits).ok()?.parse().ok()?);
        } else {
            octets.push(byte);
        }
    }
    Some(octets)
}

/// Octets of a query at most: header, name, type and class, OPT record.
const MAX_QUERY: usize = 12 + MAX_WIRE_NAME + 4 + 11;

/// The RD bit of the flags.
const RECURSION_DESIRED: u16 = 0x0100;

/// The AD bit of the flags.
const AUTHENTIC_DATA: u16 = 0x0020;

/// The DO bit of EDNS's flags.
const DNSSEC_OK: u16 = 0x8000;

/// The QR bit of the flags.
const RESPONSE: u16 = 0x8000;

/// The TC bit of the flags.
const TRUNCATED: u16 = 0x0200;

/// The EDNS option of extended errors (RFC 8914 §2).
const EXTENDED_ERROR: u16 = 15;

/// The extended errors that say that signatures do not hold (RFC 8914 §4.7 to §4.13).
const BOGUS: std::ops::RangeInclusive<u16> = 6..=12;

#[cfg(test)]
mod tests {
    use hickory_proto::op::Edns;
    use hickory_proto::rr::rdata::{CNAME, MX, NULL};
    use vouchsafe_proto::dns::MAX_ALIASES;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    fn record(owner: &str, ttl: u32, content: RData) -> Record {
        Record::from_rdata(to_wire(&name(owner)).expect("a name"), ttl, content)
    }

    fn response(code: ResponseCode, answers: Vec<Record>) -> Message {
        let mut message = Message::response(1, OpCode::Query);
        message.metadata.recursion_available = true;
        message.metadata.response_code = code;
        message.insert_answers(answers);
        message
    }

    fn mx(owner: &str, ttl: u32) -> Record {
        let exchange = to_wire(&name("a.example")).expect("a name");
        record(owner, ttl, RData::MX(MX::new(0, exchange)))
    }

    fn signature(owner: &str, covered: u16, labels: u8) -> Record {
        let [high, low] = covered.to_be_bytes();
        let mut octets = vec![high, low, 13, labels];
        // TTL, expiry, inception, key tag, the root as signer; then the signature itself.
        octets.extend([0; 4 + 4 + 4 + 2 + 1]);
        octets.extend([7; 64]);
        let rdata = NULL::with(octets);
        let code = rr::RecordType::RRSIG;
        record(owner, 60, RData::Unknown { code, rdata })
    }

    #[test]
    fn names_keep_their_odd_octets_both_ways() {
        for text in [".", "mail-from.example.org", r"a\046b\092\000\255.example"] {
            let wire = to_wire(&name(text)).unwrap();
            assert_eq!(from_wire(&wire), Some(name(text)), "{text}");
        }
        assert!(lies_in(&name("a.example"), &name("example")));
        assert!(!lies_in(&name("anexample"), &name("example")));
    }

    #[test]
    fn the_labels_field_is_that_of_the_records_asked_for() {
        let answers = vec![
            mx("mail-from.example.org", 60),
            signature("mail-from.example.org", 16, 1),
            signature("other.example.org", 15, 1),
            signature("mail-from.example.org", 15, 2),
        ];
        let octets = response(ResponseCode::NoError, answers).to_vec().unwrap();
        let message = Message::from_vec(&octets).unwrap();
        let at = name("mail-from.example.org");
        let said = interpret(&message, (&at, RecordType::Mx), &at, &mut Vec::new());
        assert_eq!(said.signed_labels, Some(2));
    }

    #[test]
    fn the_least_ttl_of_what_was_used_counts() {
        for (alias, first, second, expected) in [
            (30, 60, 50, 30),
            (100, 60, 50, 50),
            (1 << 31, 60, 50, 0),
            (2_000_000, 3_000_000, 1_000_000, MAX_TTL),
        ] {
            let target = CNAME(to_wire(&name("b.example")).unwrap());
            let answers = vec![
                mx("b.example", first),
                record("a.example", alias, RData::CNAME(target)),
                mx("b.example", second),
                mx("d.example", 1),
            ];
            let message = response(ResponseCode::NoError, answers);
            let at = name("a.example");
            let mut followed = Vec::new();
            let said = interpret(&message, (&at, RecordType::Mx), &at, &mut followed);
            assert_eq!(said.ttl, expected);
            assert_eq!(followed, [name("b.example")]);
        }
    }

    #[test]
    fn an_alias_without_its_end_is_asked_on_unless_the_end_is_denied() {
        let alias = || {
            let target = CNAME(to_wire(&name("b.example.net")).expect("a name"));
            vec![record("a.example", 60, RData::CNAME(target))]
        };
        let at = name("a.example");
        let step = |message: &Message| {
            interpret(message, (&at, RecordType::Mx), &at, &mut Vec::new()).step
        };
        let open = response(ResponseCode::NoError, alias());
        assert_eq!(step(&open), Step::AskOn(name("b.example.net")));
        let denied = response(ResponseCode::NXDomain, alias());
        assert_eq!(step(&denied), Step::End(Lookup::NxDomain));
        for (zone, expected) in [
            ("example.net", Step::End(Lookup::NoData)),
            ("example", Step::AskOn(name("b.example.net"))),
        ] {
            let mut message = response(ResponseCode::NoError, alias());
            let root = rr::Name::root();
            let soa = rr::rdata::SOA::new(root.clone(), root, 1, 1, 1, 1, 60);
            message.add_authority(record(zone, 60, RData::SOA(soa)));
            assert_eq!(step(&message), expected, "{zone}");
        }
    }

    #[test]
    fn an_extended_error_tells_bogus_from_failed() {
        for (extended, trouble) in [
            (None, Trouble::ServFail),
            (Some(22), Trouble::ServFail),
            (Some(6), Trouble::Bogus),
            (Some(9), Trouble::Bogus),
        ] {
            let mut message = response(ResponseCode::ServFail, Vec::new());
            let mut options = Edns::new();
            if let Some(code) = extended {
                options
                    .options_mut()
                    .insert(EdnsOption::Unknown(15, vec![0, code, b'x']));
            }
            message.set_edns(options);
            let message = Message::from_vec(&message.to_vec().unwrap()).unwrap();
            assert_eq!(trouble_of(&message), trouble, "{extended:?}");
        }
    }

    #[test]
    fn letters_in_another_case_are_noticed() {
        // Long enough that the case is all but never left as it was.
        let at = name("a-long-name-with-many-letters.in-the-middle.example.org");
        let query = Query::new(&at, RecordType::Mx, true, true).unwrap();
        let sent = Message::from_vec(&query.encode()).unwrap();
        assert!(sent.metadata.recursion_desired && sent.metadata.authentic_data);
        assert_eq!(sent.max_payload(), UDP_PAYLOAD);
        let mut back = response(ResponseCode::NXDomain, Vec::new());
        back.metadata.id = sent.metadata.id;
        back.queries.clone_from(&sent.queries);
        let octets = back.to_vec().unwrap();
        assert!(matches!(query.read(&octets), Reading::Definite(_)));
        let lower = back.queries[0].name().to_lowercase();
        back.queries[0].set_name(lower);
        let octets = back.to_vec().unwrap();
        assert!(matches!(query.read(&octets), Reading::CaseChanged));
        for length in 0..octets.len() {
            // Whatever is cut off, it is no answer.
            assert!(!matches!(
                query.read(&octets[..length]),
                Reading::Definite(_)
            ));
        }
    }

    #[test]
    fn keys_of_a_service_are_read_with_their_numbers() {
        let at = name("_25._tcp.mx.example");
        let octets = |usage: u8| [&[usage, 1, 1][..], &[0xab; 32]].concat();
        let tlsa =
            |usage: u8| rr::rdata::TLSA::new(usage.into(), 1.into(), 1.into(), vec![0xab; 32]);
        let answers = [3, 0, 255].map(|usage| record(at.as_str(), 60, RData::TLSA(tlsa(usage))));
        let message = response(ResponseCode::NoError, answers.to_vec());
        let said = interpret(&message, (&at, RecordType::Tlsa), &at, &mut Vec::new());
        let Step::End(Lookup::Found(Records::Tlsa(found))) = said.step else {
            panic!("{said:?}");
        };
        let kept =
            |tlsa: &Tlsa| [&[tlsa.usage, tlsa.selector, tlsa.matching][..], &tlsa.data].concat();
        let kept: Vec<_> = found.iter().map(kept).collect();
        assert_eq!(kept, [3, 0, 255].map(octets));
        assert!(found[0].to_string().starts_with("3 1 1 abab"));
    }

    #[test]
    fn a_query_says_what_it_should_and_no_more() {
        for (kind, edns, wants_signatures) in [
            (RecordType::Mx, true, true),
            (RecordType::Txt, true, false),
            (RecordType::Mx, false, false),
        ] {
            let at = name(r"a\046b.\255x.example");
            let query = Query::new(&at, kind, false, edns).unwrap();
            let sent = Message::from_vec(&query.encode()).unwrap();
            assert_eq!(sent.metadata.message_type, MessageType::Query);
            assert_eq!(sent.queries, [query.asked]);
            assert_eq!(from_wire(sent.queries[0].name()), Some(at));
            assert_eq!(sent.edns.is_some(), edns);
            let flags = sent.edns.map(|edns| edns.flags().dnssec_ok);
            assert_eq!(flags.unwrap_or_default(), wants_signatures);
        }
        let longest = name(
            &[
                "a".repeat(63),
                "b".repeat(63),
                "c".repeat(63),
                "d".repeat(61),
            ]
            .join("."),
        );
        let query = Query::new(&longest, RecordType::Mx, true, true).unwrap();
        assert_eq!(query.encode().len(), MAX_QUERY);
    }

    #[test]
    fn no_octet_of_a_response_can_do_harm() {
        let at = name("a.example");
        let query = Query::new(&at, RecordType::Mx, true, true).unwrap();
        let sent = Message::from_vec(&query.encode()).unwrap();
        let target = CNAME(to_wire(&name("b.example")).unwrap());
        let answers = vec![
            record("a.example", 60, RData::CNAME(target)),
            mx("b.example", 60),
            signature("b.example", 15, 2),
        ];
        let mut back = response(ResponseCode::NoError, answers);
        back.metadata.id = sent.metadata.id;
        back.queries.clone_from(&sent.queries);
        back.set_edns(Edns::new());
        let whole = back.to_vec().unwrap();
        assert!(matches!(query.read(&whole), Reading::Definite(_)));
        for index in 0..whole.len() {
            for value in 0..=u8::MAX {
                let mut octets = whole.clone();
                octets[index] = value;
                if let Reading::Definite(message) = query.read(&octets) {
                    let mut followed = Vec::new();
                    let said = interpret(&message, (&at, RecordType::Mx), &at, &mut followed);
                    assert!(said.ttl <= MAX_TTL && followed.len() <= MAX_ALIASES);
                }
            }
        }
    }
}
