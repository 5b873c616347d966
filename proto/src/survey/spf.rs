//! Everything behind an SPF record: each term with the addresses that it matches, for any client
//! whatever, and which of them pass.
//!
//! Terms that hang on the message or the client (`exists`, `ptr`, macros) match nobody knows whom:
//! they are named as unclear, and [`Spf::pass`] is exact but for them. More terms than a receiver
//! looks up are looked up all the same, up to the survey's own limit, so that their owner can see
//! what they stand for; [`Tally`] counts them (RFC 7208 §4.6.4).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use ipnet::IpNet;

use crate::dns::{Answer, Lookup, Name, RecordType, Records, Trouble};
use crate::verify::spf::limits::MAX_MX;
use crate::verify::spf::macro_string::{Letter, Part};
use crate::verify::spf::{
    Directive, DualCidr, MacroString, Mechanism, Qualifier, Record, SyntaxError,
};

use super::View;
use super::cover::{Cover, network};
use super::mail_from::addresses;

/// Records behind one another. Each costs a lookup, of which a receiver makes ten.
const MAX_DEPTH: usize = 12;

/// Records read in all. One that includes another twice, which does the same, and so on, would
/// otherwise be read more often than there is time; ten lookups lead to no more than eleven.
const MAX_RECORDS: usize = 50;

/// What stands at a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// One record.
    Found,
    /// None.
    Missing,
    /// So many: none of them counts (RFC 7208 §4.5).
    Several(usize),
    /// One that cannot be read.
    Syntax(SyntaxError),
    /// Not to be known now.
    Trouble(Trouble),
    /// Too many aliases, or a loop of them.
    Aliases,
    /// A record that includes itself, or too deep.
    Loop,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found => f.write_str("it is there"),
            Self::Missing => f.write_str("none is published"),
            Self::Several(count) => write!(f, "{count} are published, so none counts"),
            Self::Syntax(error) => write!(f, "it cannot be read ({error})"),
            Self::Trouble(trouble) => write!(f, "{trouble}"),
            Self::Aliases => f.write_str("too many aliases, or a loop of them"),
            Self::Loop => f.write_str("it leads back to itself, or too deep"),
        }
    }
}

/// One record with what its terms stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spf {
    /// Whose it is.
    pub domain: Name,
    /// What stands there.
    pub state: State,
    /// Its text.
    pub text: Option<Box<[u8]>>,
    /// It, parsed.
    pub record: Option<Record>,
    /// Its directives in order.
    pub terms: Vec<Term>,
    /// The record behind `redirect=`, where there is one and it counts.
    pub redirect: Option<Box<Spf>>,
    /// `redirect=` has a macro that hangs on the message.
    pub redirect_unclear: bool,
    /// Who passes.
    pub pass: Cover,
    /// Seconds; none where there is no record.
    pub ttl: Option<u32>,
    /// A validating resolver vouches for it.
    pub secure: bool,
}

/// One directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// As it stands in the record.
    pub directive: Directive,
    /// Whom it matches, as far as that can be said.
    pub matches: Cover,
    /// Whom an earlier term decided about already, of those.
    pub decided: Cover,
    /// The hosts behind an `a` or `mx` that have an address.
    pub hosts: Vec<Name>,
    /// The record behind an `include`.
    pub inner: Option<Box<Spf>>,
    /// Whom it matches hangs on the message.
    pub unclear: bool,
    /// A name in it leads nowhere.
    pub void: Vec<Name>,
    /// A name in it could not be looked up.
    pub trouble: Vec<Name>,
    /// MX records of an `mx`.
    pub exchanges: usize,
}

/// What a receiver would have to look up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Terms that ask the DNS.
    pub lookups: usize,
    /// Of them, those that find nothing.
    pub void: usize,
    /// The most MX records behind one `mx`.
    pub exchanges: usize,
}

impl Spf {
    fn empty(domain: &Name, state: State) -> Self {
        Self {
            domain: domain.clone(),
            state,
            text: None,
            record: None,
            terms: Vec::new(),
            redirect: None,
            redirect_unclear: false,
            pass: Cover::default(),
            ttl: None,
            secure: false,
        }
    }

    /// This and all records behind it.
    pub fn all(&self) -> Vec<&Self> {
        let mut all = Vec::from([self]);
        let mut at = 0;
        while let Some(spf) = all.get(at).copied() {
            let inner = spf.terms.iter().filter_map(|term| term.inner.as_deref());
            all.extend(inner.chain(spf.redirect.as_deref()));
            at = at.saturating_add(1);
        }
        all
    }

    /// What all of it costs a receiver that finds no match.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for spf in self.all() {
            let redirects = usize::from(spf.redirect.is_some() || spf.redirect_unclear);
            tally.lookups = tally.lookups.saturating_add(redirects);
            for term in &spf.terms {
                let asks = usize::from(term.directive.mechanism.kind().asks());
                tally.lookups = tally.lookups.saturating_add(asks);
                tally.void = tally.void.saturating_add(term.void.len());
                tally.exchanges = tally.exchanges.max(term.exchanges);
            }
        }
        tally
    }

    /// Something in it could not be looked up now.
    pub fn is_trouble(&self) -> bool {
        self.all().iter().any(|spf| {
            matches!(spf.state, State::Trouble(_))
                || spf.terms.iter().any(|term| !term.trouble.is_empty())
        })
    }

    /// Its `all`, if it has one.
    pub fn all_term(&self) -> Option<Qualifier> {
        let is_all = |term: &&Term| term.directive.mechanism == Mechanism::All;
        self.terms
            .iter()
            .find(is_all)
            .map(|term| term.directive.qualifier)
    }
}

/// The record that a domain publishes.
pub fn published(view: &mut View<'_>, domain: &Name) -> Spf {
    let mut left = MAX_RECORDS;
    walk(view, domain, domain, &[], &mut left)
}

/// A record that is not published, as if it were the domain's.
pub fn given(view: &mut View<'_>, domain: &Name, text: &[u8]) -> Spf {
    let mut left = MAX_RECORDS;
    let mut spf = Spf::empty(domain, State::Found);
    read(view, domain, text, &mut spf, &[], &mut left);
    spf
}

/// The record of `domain`, on the way from `sender`'s through `above`, if `left` are not used up.
fn walk(
    view: &mut View<'_>,
    sender: &Name,
    domain: &Name,
    above: &[&Name],
    left: &mut usize,
) -> Spf {
    if above.contains(&domain) || above.len() >= MAX_DEPTH || *left == 0 {
        return Spf::empty(domain, State::Loop);
    }
    *left = left.saturating_sub(1);
    let Some(answer) = view.want(domain, RecordType::Txt) else {
        return Spf::empty(domain, State::Missing);
    };
    let list = match &answer.lookup {
        Lookup::Found(Records::Txt(list)) => &list[..],
        Lookup::Trouble(trouble) => return Spf::empty(domain, State::Trouble(*trouble)),
        Lookup::AliasLimit => return Spf::empty(domain, State::Aliases),
        Lookup::Found(_) | Lookup::NoData | Lookup::NxDomain => &[],
    };
    let records: Vec<_> = list.iter().filter(|text| Record::is_spf(text)).collect();
    match records.as_slice() {
        [] => Spf::empty(domain, State::Missing),
        [text] => {
            let mut spf = Spf::empty(domain, State::Found);
            spf.ttl = Some(answer.ttl);
            spf.secure = answer.secure;
            read(view, sender, text, &mut spf, above, left);
            spf
        }
        several => Spf {
            ttl: Some(answer.ttl),
            ..Spf::empty(domain, State::Several(several.len()))
        },
    }
}

/// Reads a record's text and looks behind each of its terms.
fn read(
    view: &mut View<'_>,
    sender: &Name,
    text: &[u8],
    spf: &mut Spf,
    above: &[&Name],
    left: &mut usize,
) {
    spf.text = Some(text.into());
    let record = match Record::parse(text) {
        Ok(record) => record,
        Err(error) => {
            spf.state = State::Syntax(error);
            return;
        }
    };
    let domain = spf.domain.clone();
    let mut below = above.to_vec();
    below.push(&domain);
    let mut look = Look {
        view,
        sender,
        domain: &domain,
        above: &below,
        left,
    };
    let mut decided = Cover::default();
    let mut is_last = false;
    for directive in &record.directives {
        let mut term = look.term(directive);
        term.decided = term.matches.within(&decided);
        if directive.qualifier == Qualifier::Pass {
            spf.pass.join(&term.matches.without(&decided));
        }
        decided.join(&term.matches);
        is_last = directive.mechanism == Mechanism::All;
        spf.terms.push(term);
        if is_last {
            // Nothing behind it is ever looked at (RFC 7208 §5.1).
            break;
        }
    }
    if let Some(redirect) = record.redirect.as_ref().filter(|_| !is_last) {
        match look.name(Some(redirect)) {
            Some(target) => {
                let inner = walk(look.view, sender, &target, &below, look.left);
                spf.pass.join(&inner.pass.without(&decided));
                spf.redirect = Some(Box::new(inner));
            }
            None => spf.redirect_unclear = true,
        }
    }
    spf.record = Some(record);
}

/// Looks behind the terms of one record.
struct Look<'a, 'v> {
    view: &'a mut View<'v>,
    sender: &'a Name,
    domain: &'a Name,
    above: &'a [&'a Name],
    left: &'a mut usize,
}

impl Look<'_, '_> {
    fn term(&mut self, directive: &Directive) -> Term {
        let mut term = Term {
            directive: directive.clone(),
            matches: Cover::default(),
            decided: Cover::default(),
            hosts: Vec::new(),
            inner: None,
            unclear: false,
            void: Vec::new(),
            trouble: Vec::new(),
            exchanges: 0,
        };
        match &directive.mechanism {
            Mechanism::All => term.matches = Cover::everything(),
            Mechanism::Ip4(network) => term.matches = Cover::of(IpNet::V4(*network)),
            Mechanism::Ip6(network) => term.matches = Cover::of(IpNet::V6(*network)),
            Mechanism::Ptr(_) | Mechanism::Exists(_) => term.unclear = true,
            Mechanism::Include(target) => match self.name(Some(target)) {
                Some(target) => {
                    let inner = walk(self.view, self.sender, &target, self.above, self.left);
                    term.matches = inner.pass.clone();
                    term.inner = Some(Box::new(inner));
                }
                None => term.unclear = true,
            },
            Mechanism::A { domain, cidr } => match self.name(domain.as_ref()) {
                Some(host) => self.host(&host, *cidr, &mut term),
                None => term.unclear = true,
            },
            Mechanism::Mx { domain, cidr } => match self.name(domain.as_ref()) {
                Some(domain) => self.exchanges(&domain, *cidr, &mut term),
                None => term.unclear = true,
            },
        }
        term
    }

    /// The addresses of a host, each widened to so many bits.
    fn host(&mut self, host: &Name, cidr: DualCidr, term: &mut Term) {
        let four = self.view.want(host, RecordType::A);
        let six = self.view.want(host, RecordType::Aaaa);
        let (Some(four), Some(six)) = (four, six) else {
            return;
        };
        if is_trouble(four) || is_trouble(six) {
            term.trouble.push(host.clone());
        }
        let all: Vec<IpAddr> = addresses(four).into_iter().chain(addresses(six)).collect();
        if all.is_empty() {
            if !term.trouble.contains(host) {
                term.void.push(host.clone());
            }
            return;
        }
        for address in all {
            let bits = match address {
                IpAddr::V4(_) => cidr.v4_bits(),
                IpAddr::V6(_) => cidr.v6_bits(),
            };
            term.matches
                .join(&network(address, bits).map(Cover::of).unwrap_or_default());
        }
        term.hosts.push(host.clone());
    }

    /// The hosts behind a domain's MX.
    fn exchanges(&mut self, domain: &Name, cidr: DualCidr, term: &mut Term) {
        let Some(answer) = self.view.want(domain, RecordType::Mx) else {
            return;
        };
        match &answer.lookup {
            Lookup::Found(Records::Mx(list)) => {
                term.exchanges = list.len();
                // A receiver takes more for an error; what is beyond is its owner's to see.
                for mx in list.iter().take(MAX_MX.saturating_mul(2)) {
                    if !mx.exchange.is_root() {
                        self.host(&mx.exchange, cidr, term);
                    }
                }
            }
            Lookup::Trouble(_) => term.trouble.push(domain.clone()),
            _ => term.void.push(domain.clone()),
        }
    }

    /// The name that a `domain-spec` stands for, if it is the same for every message; the record's
    /// own domain if there is none.
    fn name(&self, spec: Option<&MacroString>) -> Option<Name> {
        let Some(spec) = spec else {
            return Some(self.domain.clone());
        };
        let mut text = String::new();
        for part in spec.parts() {
            match part {
                Part::Literal(literal) => text += literal,
                Part::Expand(found)
                    if found.keep.is_none() && !found.reverse && found.delimiters.is_empty() =>
                {
                    match found.letter {
                        Letter::Domain => text += self.domain.as_str(),
                        Letter::SenderDomain => text += self.sender.as_str(),
                        _ => return None,
                    }
                }
                _ => return None,
            }
        }
        Name::parse(&text).ok()
    }
}

fn is_trouble(answer: &Answer) -> bool {
    matches!(answer.lookup, Lookup::Trouble(_))
}
