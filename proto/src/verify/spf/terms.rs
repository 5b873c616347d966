//! The mechanisms (RFC 7208 §5): does this one match this client?

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::dns::{Lookup, Mx, Name, RecordType, Records};

use super::expand::{self, Target, UNKNOWN};
use super::limits::MAX_MX;
use super::macro_string::{Letter, MacroString};
use super::record::{Directive, DualCidr, Mechanism};
use super::walk::{Stop, Trail, stop};
use super::{Matched, ProblemKind};

/// How a mechanism that looks at the client itself came out: none for no match; else the network
/// that the client lies in, if one was compared.
type Hit = Option<Option<IpNet>>;

impl Trail<'_> {
    /// Tries one directive of the record at `target`.
    pub(super) fn try_directive(
        &mut self,
        directive: &Directive,
        target: &Target,
    ) -> Result<Option<Matched>, Stop> {
        let mechanism = &directive.mechanism;
        if mechanism.kind().asks() {
            self.count_lookup(target)?;
        }
        let client = self.values.client;
        let hit = match mechanism {
            Mechanism::Include(spec) => return self.include(directive, spec, target),
            Mechanism::All => Some(None),
            Mechanism::Ip4(net) => lies_in(IpNet::V4(*net), client),
            Mechanism::Ip6(net) => lies_in(IpNet::V6(*net), client),
            Mechanism::A { domain, cidr } => self.a(domain.as_ref(), *cidr, target)?,
            Mechanism::Mx { domain, cidr } => self.mx(domain.as_ref(), *cidr, target)?,
            Mechanism::Ptr(domain) => self.ptr(domain.as_ref(), target)?,
            Mechanism::Exists(spec) => self.exists(spec, target)?,
        };
        Ok(hit.map(|network| Matched {
            directive: directive.to_string().into(),
            mechanism: mechanism.kind(),
            owner: target.name.clone(),
            chain: Vec::new(),
            network,
            client_named: mechanism.domain().is_some_and(is_client_named),
        }))
    }

    /// The name that a mechanism asks about. RFC 7208 §4.8 leaves open what a text means that is
    /// no name: written so, it is the publisher's mistake; made so by macros, it does not match,
    /// or a sender could choose a local-part that voids the record.
    fn asked(
        &mut self,
        spec: Option<&MacroString>,
        target: &Target,
    ) -> Result<Option<Target>, Stop> {
        let asked = self.target(spec, target)?;
        let is_written = spec.is_some_and(|spec| spec.macros().next().is_none());
        if asked.is_none() && is_written {
            return Err(stop(ProblemKind::BadName, target));
        }
        Ok(asked)
    }

    /// `a` (RFC 7208 §5.3).
    fn a(
        &mut self,
        spec: Option<&MacroString>,
        cidr: DualCidr,
        target: &Target,
    ) -> Result<Hit, Stop> {
        let Some(asked) = self.asked(spec, target)? else {
            return Ok(None);
        };
        let family = self.family();
        let known = self.need(&asked, family)?;
        let Some(records) = self.records(known, &asked, family)? else {
            self.count_void(&asked, family, target)?;
            return Ok(None);
        };
        Ok(nearest(records, self.values.client, cidr))
    }

    /// `mx` (RFC 7208 §5.4). The order in which its hosts are looked at is ours: a match among
    /// them is one, whatever else is not to be known.
    fn mx(
        &mut self,
        spec: Option<&MacroString>,
        cidr: DualCidr,
        target: &Target,
    ) -> Result<Hit, Stop> {
        let Some(asked) = self.asked(spec, target)? else {
            return Ok(None);
        };
        let known = self.need(&asked, RecordType::Mx)?;
        let Some(Records::Mx(list)) = self.records(known, &asked, RecordType::Mx)? else {
            self.count_void(&asked, RecordType::Mx, target)?;
            return Ok(None);
        };
        if known.records > MAX_MX {
            return Err(stop(ProblemKind::MxRecords, target));
        }
        let hosts = hosts(list);
        let family = self.family();
        let answers: Vec<_> = hosts.iter().map(|host| self.want(host, family)).collect();
        let Some(answers) = answers.into_iter().collect::<Option<Vec<_>>>() else {
            return Err(Stop::Open);
        };
        for known in &answers {
            if let Lookup::Found(records) = &known.answer.lookup
                && let Some(hit) = nearest(records, self.values.client, cidr)
            {
                return Ok(Some(hit));
            }
        }
        // Trouble first: what is not known could still be a match, and a mistake beside it not.
        for (host, known) in hosts.iter().zip(&answers) {
            self.trouble_at(known, host, family)?;
        }
        let mut any = hosts.is_empty();
        for (host, known) in hosts.iter().zip(answers) {
            any |= self.records(known, host, family)?.is_some();
        }
        if !any {
            self.count_void(&asked, RecordType::Mx, target)?;
        }
        Ok(None)
    }

    /// `exists` (RFC 7208 §5.7): an A record, whatever the client's family.
    fn exists(&mut self, spec: &MacroString, target: &Target) -> Result<Hit, Stop> {
        let Some(asked) = self.asked(Some(spec), target)? else {
            return Ok(None);
        };
        let known = self.need(&asked, RecordType::A)?;
        if self.records(known, &asked, RecordType::A)?.is_some() {
            return Ok(Some(None));
        }
        self.count_void(&asked, RecordType::A, target)?;
        Ok(None)
    }

    /// `ptr` (RFC 7208 §5.5). Only those of the client's names are confirmed that could match.
    fn ptr(&mut self, spec: Option<&MacroString>, target: &Target) -> Result<Hit, Stop> {
        let Some(within) = self.asked(spec, target)? else {
            return Ok(None);
        };
        let Some(reverse) = self.reverse() else {
            return Ok(None);
        };
        let names = self.client_names(&reverse)?;
        if names.is_empty() && self.found_nothing(&reverse) {
            self.count_void(&reverse, RecordType::Ptr, target)?;
        }
        let inside: Vec<_> = names
            .into_iter()
            .filter(|name| is_within(name, &within.name))
            .collect();
        let confirmed = self.confirmed(inside)?;
        Ok((!confirmed.is_empty()).then_some(None))
    }

    /// What `%{p}` gives in the record of `target`, if the text uses it (RFC 7208 §7.3).
    pub(super) fn name_for(&mut self, text: &MacroString, target: &Target) -> Result<String, Stop> {
        if !text.uses(Letter::ValidatedName) {
            return Ok(String::new());
        }
        let Some(reverse) = self.reverse() else {
            return Ok(UNKNOWN.to_string());
        };
        let names = self.client_names(&reverse)?;
        let confirmed = self.confirmed(names)?;
        let first = |test: &dyn Fn(&&Name) -> bool| confirmed.iter().find(test);
        let name = first(&|name| **name == target.name)
            .or_else(|| first(&|name| is_within(name, &target.name)))
            .or(confirmed.first());
        Ok(name.map_or(UNKNOWN, Name::as_str).to_string())
    }

    /// Where the client's names stand.
    fn reverse(&self) -> Option<Target> {
        expand::reverse_name(self.values.client).map(target_of)
    }

    /// The first names of the client, confirmed or not. Trouble is no error here, since the
    /// sender's domain has no say in it (RFC 7208 §5.5).
    fn client_names(&mut self, reverse: &Target) -> Result<Vec<Name>, Stop> {
        let known = self.need(reverse, RecordType::Ptr)?;
        self.note_trouble(known, reverse, RecordType::Ptr);
        Ok(match &known.answer.lookup {
            Lookup::Found(Records::Ptr(names)) => names.clone(),
            _ => Vec::new(),
        })
    }

    /// True if the client has no names, as opposed to names that are not to be known.
    fn found_nothing(&mut self, reverse: &Target) -> bool {
        self.want(reverse, RecordType::Ptr)
            .is_some_and(|known| matches!(known.answer.lookup, Lookup::NoData | Lookup::NxDomain))
    }

    /// Those names that have the client's address, in their order; trouble passes a name over.
    fn confirmed(&mut self, names: Vec<Name>) -> Result<Vec<Name>, Stop> {
        let family = self.family();
        let names: Vec<_> = names.into_iter().map(target_of).collect();
        let answers: Vec<_> = names.iter().map(|name| self.want(name, family)).collect();
        let Some(answers) = answers.into_iter().collect::<Option<Vec<_>>>() else {
            return Err(Stop::Open);
        };
        let mut confirmed = Vec::new();
        for (name, known) in names.into_iter().zip(answers) {
            self.note_trouble(known, &name, family);
            if let Lookup::Found(records) = &known.answer.lookup
                && nearest(records, self.values.client, DualCidr::default()).is_some()
            {
                confirmed.push(name.name);
            }
        }
        Ok(confirmed)
    }
}

/// True if a name is made of what the client says of itself, or of what its network says.
pub(super) fn is_client_named(spec: &MacroString) -> bool {
    spec.uses(Letter::Helo) || spec.uses(Letter::ValidatedName)
}

/// A name from the DNS, as a target.
fn target_of(name: Name) -> Target {
    Target {
        text: name.as_str().into(),
        name,
    }
}

/// The hosts of an MX set, each once; a null MX names none (RFC 7505 §3).
fn hosts(list: &[Mx]) -> Vec<Target> {
    let mut hosts: Vec<Target> = Vec::new();
    for mx in list.iter().filter(|mx| !mx.exchange.is_root()) {
        if hosts.iter().all(|host| host.name != mx.exchange) {
            hosts.push(target_of(mx.exchange.clone()));
        }
    }
    hosts
}

/// True for the name itself and all below it.
fn is_within(name: &Name, within: &Name) -> bool {
    name.as_str()
        .strip_suffix(within.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// A hit if the client lies in the network.
fn lies_in(network: IpNet, client: IpAddr) -> Hit {
    network.contains(&client).then(|| Some(network.trunc()))
}

/// A hit if one of the addresses has enough bits in common with the client's.
fn nearest(records: &Records, client: IpAddr, cidr: DualCidr) -> Hit {
    let v4 = |address: &Ipv4Addr| Ipv4Net::new(*address, cidr.v4_bits()).ok().map(IpNet::V4);
    let v6 = |address: &Ipv6Addr| Ipv6Net::new(*address, cidr.v6_bits()).ok().map(IpNet::V6);
    match records {
        Records::A(list) => list
            .iter()
            .filter_map(v4)
            .find_map(|net| lies_in(net, client)),
        Records::Aaaa(list) => list
            .iter()
            .filter_map(v6)
            .find_map(|net| lies_in(net, client)),
        _ => None,
    }
}
