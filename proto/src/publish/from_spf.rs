//! From an SPF record to senders: names stay names where they can, a provider that publishes a set
//! of its own becomes a group, and everything else becomes addresses or is left out with a reason.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use ipnet::{Ipv4Net, Ipv6Net};

use crate::dns::Name;
use crate::survey::View;
use crate::survey::cover::Cover;
use crate::survey::mail_from::{self, MailFrom};
use crate::survey::spf::{Spf, State, Term};
use crate::verify::mail_from::LABEL;
use crate::verify::spf::limits::MAX_LOOKUPS;
use crate::verify::spf::macro_string::MacroString;
use crate::verify::spf::{Directive, DualCidr, Mechanism, Qualifier};

use super::doubt::Doubt;
use super::left_out::{LeftOut, Why};
use super::plan::{Entry, Sender};

/// What an SPF record comes to.
#[derive(Clone, Debug, Default)]
pub struct Converted {
    /// Who sends.
    pub senders: Vec<Entry>,
    /// What cannot be said.
    pub left_out: Vec<LeftOut>,
    /// What is to be looked at.
    pub doubts: Vec<Doubt>,
    /// Something could not be looked up now.
    pub trouble: bool,
}

/// The senders of a record.
pub fn convert(view: &mut View<'_>, spf: &Spf) -> Converted {
    let mut conversion = Conversion {
        view,
        converted: Converted::default(),
    };
    conversion.record(spf, "", &Cover::default());
    let lookups = spf.tally().lookups;
    if u32::try_from(lookups).is_ok_and(|lookups| lookups > MAX_LOOKUPS) {
        conversion.doubt(Doubt::Lookups(lookups));
    }
    let mut converted = conversion.converted;
    converted.trouble |= spf.is_trouble();
    converted
}

/// The record as it is to be published beside the set: with `-all` at its end, and with those who
/// were named beside it.
pub fn record(spf: &Spf, more: &[Entry]) -> Option<Box<str>> {
    let mut record = spf.record.clone()?;
    let had_all = spf.all_term().is_some();
    let directive = |mechanism| Directive {
        qualifier: Qualifier::Pass,
        mechanism,
    };
    let named: Vec<Mechanism> = more.iter().filter_map(mechanism).collect();
    if had_all {
        // Nothing behind it counts.
        let is_all = |directive: &Directive| directive.mechanism == Mechanism::All;
        let at = record.directives.iter().position(is_all);
        record.directives.truncate(at.unwrap_or(usize::MAX));
        record.redirect = None;
    } else if let Some(redirect) = record.redirect.clone() {
        if named.is_empty() {
            return Some(record.to_string().into());
        }
        record.redirect = None;
        record
            .directives
            .push(directive(Mechanism::Include(redirect)));
    }
    record.directives.extend(named.into_iter().map(directive));
    record.directives.push(Directive {
        qualifier: Qualifier::Fail,
        mechanism: Mechanism::All,
    });
    Some(record.to_string().into())
}

/// A sender as an SPF mechanism; a name that SPF cannot hold is none.
fn mechanism(entry: &Entry) -> Option<Mechanism> {
    let spec = |name: &Name| MacroString::parse_domain_spec(name.as_str()).ok();
    Some(match &entry.sender {
        Sender::Host(name) => Mechanism::A {
            domain: Some(spec(name)?),
            cidr: DualCidr::default(),
        },
        Sender::Group(name) => Mechanism::Mx {
            domain: Some(spec(name)?),
            cidr: DualCidr::default(),
        },
        Sender::Network(ipnet::IpNet::V4(network)) => {
            Mechanism::Ip4(Ipv4Net::new(network.network(), network.prefix_len()).ok()?)
        }
        Sender::Network(ipnet::IpNet::V6(network)) => {
            Mechanism::Ip6(Ipv6Net::new(network.network(), network.prefix_len()).ok()?)
        }
    })
}

/// A conversion on its way.
struct Conversion<'a, 'v> {
    view: &'a mut View<'v>,
    converted: Converted,
}

impl Conversion<'_, '_> {
    /// One record, reached by `path`, but for whom somebody decided about before.
    fn record(&mut self, spf: &Spf, path: &str, decided: &Cover) {
        if !matches!(spf.state, State::Found) {
            let why = match spf.state {
                State::Trouble(_) => Why::Trouble,
                _ => Why::Broken,
            };
            let origin = if path.is_empty() {
                format!("the SPF record of {}", spf.domain)
            } else {
                path.to_string()
            };
            self.leave(origin, why);
            return;
        }
        let mut refused = decided.clone();
        for term in &spf.terms {
            if term.directive.qualifier == Qualifier::Pass {
                self.term(term, path, &refused);
            } else {
                refused.join(&term.matches);
            }
        }
        let redirect = spf
            .record
            .as_ref()
            .and_then(|record| record.redirect.as_ref());
        let origin = redirect.map(|redirect| joined(path, &format!("redirect={redirect}")));
        if spf.redirect_unclear {
            self.leave(origin.unwrap_or_default(), Why::Macro);
        } else if let Some(inner) = &spf.redirect {
            self.inner(inner, &origin.unwrap_or_default(), &refused);
        }
    }

    /// One term that passes.
    fn term(&mut self, term: &Term, path: &str, refused: &Cover) {
        let origin = joined(path, &term.directive.to_string());
        let mechanism = &term.directive.mechanism;
        if !term.trouble.is_empty() {
            self.leave(origin.clone(), Why::Trouble);
        }
        if term.unclear {
            let why = match mechanism {
                Mechanism::Exists(_) => Why::Exists,
                Mechanism::Ptr(_) => Why::Ptr,
                _ => Why::Macro,
            };
            self.leave(origin, why);
            return;
        }
        if !term.void.is_empty() && term.hosts.is_empty() && term.trouble.is_empty() {
            self.leave(origin, Why::Broken);
            return;
        }
        for name in &term.void {
            self.doubt(Doubt::NoAddress(name.clone()));
        }
        let whole = term.matches.within(refused).is_empty();
        match mechanism {
            Mechanism::All => self.leave(origin, Why::All),
            Mechanism::Include(_) => {
                if let Some(inner) = &term.inner {
                    self.inner(inner, &origin, refused);
                }
            }
            Mechanism::A { cidr, .. } | Mechanism::Mx { cidr, .. }
                if whole && cidr.v4_bits() == 32 && cidr.v6_bits() == 128 =>
            {
                for host in &term.hosts {
                    self.add(Sender::Host(host.clone()), &origin);
                }
            }
            Mechanism::Ip4(network) if whole => {
                self.add(Sender::Network((*network).into()), &origin);
            }
            Mechanism::Ip6(network) if whole => {
                self.add(Sender::Network((*network).into()), &origin);
            }
            _ => {
                for network in term.matches.without(refused).networks() {
                    self.add(Sender::Network(network), &origin);
                }
            }
        }
    }

    /// Another domain's record: its group if it publishes one, else what its record stands for.
    fn inner(&mut self, inner: &Spf, origin: &str, refused: &Cover) {
        let Some(set) = self.group_of(&inner.domain) else {
            self.record(inner, origin, refused);
            return;
        };
        let missing = inner.pass.without(&set.cover).without(refused);
        if !missing.is_empty() {
            self.doubt(Doubt::Narrower(set.owner.clone(), missing));
        }
        let more = set.cover.without(&inner.pass);
        if !more.is_empty() {
            self.doubt(Doubt::Wider(set.owner.clone(), more));
        }
        self.add(Sender::Group(set.owner), origin);
    }

    /// The set of whoever publishes a record: at its own name, or without the labels that only
    /// say what the record is for (`_spf.isp.example`).
    fn group_of(&mut self, domain: &Name) -> Option<MailFrom> {
        let mut name = domain.clone();
        loop {
            let set = mail_from::walk(self.view, &name.child(LABEL).ok()?);
            if set.is_set() {
                return Some(set);
            }
            if !name.labels().next()?.starts_with('_') {
                return None;
            }
            name = super::plan::parent(&name)?;
        }
    }

    fn add(&mut self, sender: Sender, origin: &str) {
        self.converted.senders.push(Entry {
            sender,
            origin: origin.into(),
        });
    }

    fn leave(&mut self, origin: String, why: Why) {
        self.converted.trouble |= why == Why::Trouble;
        self.converted.left_out.push(LeftOut {
            network: None,
            origin: origin.into(),
            why,
        });
    }

    fn doubt(&mut self, doubt: Doubt) {
        if !self.converted.doubts.contains(&doubt) {
            self.converted.doubts.push(doubt);
        }
    }
}

/// `include:isp.example > a:host.isp.example`
fn joined(path: &str, term: &str) -> String {
    if path.is_empty() {
        term.to_string()
    } else {
        format!("{path} > {term}")
    }
}
