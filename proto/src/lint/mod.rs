//! What is wrong or risky in what a domain publishes about where its mail comes from.
//!
//! [`Lint`] is a study of the DNS that ends in [`Finding`]s: each with the record it is about, its
//! effect, and a cure ([`Kind`] has the words that stay). `sets` looks at MAIL-FROM, `spf` at SPF,
//! `hosts` at the relays, `both` at whether the two say the same, `ledger` at who is asked what was sent.
//!
//! # What it promises
//!
//! Nothing is found on trouble: what could not be asked is a finding of its own
//! ([`Kind::NotChecked`]). The budgets are the check's own numbers.
//!
//! # What it leaves to others
//!
//! Whether a relay takes mail from anybody: that takes a connection, not a question
//! ([`Kind::OpenDoor`] is for whoever makes one).

mod both;
mod hosts;
mod kind;
mod ledger;
mod sets;
mod spf;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::addr::Domain;
use crate::dns::{Answer, Lookup, Name, RecordType, Records};
use crate::publish::records::shown;
use crate::residue::writers::Writers;
use crate::survey::mail_from::{self, MailFrom};
use crate::survey::spf::{self as survey_spf, Spf};
use crate::survey::{Study, View};
use crate::verify::mail_from::LABEL;

pub use self::kind::{Kind, Severity};

/// Something that is wrong, or risky.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is, with its severity and cure.
    pub kind: Kind,
    /// The record or the name that it is about.
    pub record: String,
    /// What comes of it.
    pub effect: String,
}

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// The worst first.
    pub list: Vec<Finding>,
    /// Neither the set nor the SPF record could be asked for: nothing is known.
    pub nothing_known: bool,
    /// The relays' addresses, for whoever tries their doors.
    pub relays: Vec<(Name, IpAddr)>,
    /// Hosts that are listed and receive the domain's mail as well.
    pub inbound: Vec<Name>,
}

/// A look at one domain.
#[derive(Clone, Debug)]
pub struct Lint {
    /// The domain.
    pub domain: Domain,
    /// Nine random letters or digits: a name beside the set that nobody has published.
    pub sibling: Box<str>,
    /// The labels of a question to the domain's ledger, about a digest that nobody has, of an hour that is just over.
    pub question: Box<str>,
    /// Who enters what he sends into the ledger, where that is known.
    pub writers: Option<Writers>,
}

impl Study for Lint {
    type Findings = Findings;

    fn look(&self, view: &mut View<'_>) -> Findings {
        let apex = Name::from(&self.domain);
        let mut list = Vec::new();
        let Ok(owner) = apex.child(LABEL) else {
            list.push(Finding {
                kind: Kind::NameTooLong,
                record: shown(&apex),
                effect: "MAIL-FROM in front of it makes a name that the DNS cannot hold".into(),
            });
            return Findings {
                list,
                ..Findings::default()
            };
        };
        let set = mail_from::walk(view, &owner);
        let record = survey_spf::published(view, &apex);
        let beside = apex
            .child(&self.sibling)
            .ok()
            .and_then(|sibling| view.want(&sibling, RecordType::Mx));
        let mut notes = Notes { list: &mut list };
        sets::look(&set, beside, &mut notes);
        spf::look(&record, set.root, &mut notes);
        both::look(&set, &record, &mut notes);
        let inbound = hosts::look(view, &apex, &set, &mut notes);
        ledger::look(view, self, (&apex, set.root), &mut notes);
        trouble(&set, &record, &mut notes);
        let key = |finding: &Finding| {
            let Finding {
                kind,
                record,
                effect,
            } = finding.clone();
            (core::cmp::Reverse(kind.severity()), kind, record, effect)
        };
        list.sort_by_cached_key(key);
        list.dedup();
        Findings {
            list,
            nothing_known: set.root == mail_from::Root::Trouble
                && matches!(record.state, survey_spf::State::Trouble(_)),
            relays: relays(&set),
            inbound,
        }
    }
}

/// The addresses of all listed hosts.
fn relays(set: &MailFrom) -> Vec<(Name, IpAddr)> {
    let each = |host: &mail_from::Host| {
        let name = host.name.clone();
        host.addresses()
            .into_iter()
            .map(move |address| (name.clone(), address))
    };
    set.hosts.iter().flat_map(each).collect()
}

/// What could not be asked.
fn trouble(set: &MailFrom, spf: &Spf, notes: &mut Notes<'_>) {
    for at in &set.trouble {
        let record = format!("{} {}", shown(&at.name), at.kind);
        notes.add(
            Kind::NotChecked,
            record,
            &format!("the DNS said: {}", at.trouble),
        );
    }
    for one in spf.all() {
        if let survey_spf::State::Trouble(trouble) = one.state {
            let record = format!("{} TXT", shown(&one.domain));
            notes.add(
                Kind::NotChecked,
                record,
                &format!("the DNS said: {trouble}"),
            );
        }
        for name in one.terms.iter().flat_map(|term| &term.trouble) {
            let effect = "the DNS did not answer for a name in the SPF record";
            notes.add(Kind::NotChecked, shown(name), effect);
        }
    }
}

/// Where findings go.
struct Notes<'a> {
    list: &'a mut Vec<Finding>,
}

impl Notes<'_> {
    fn add(&mut self, kind: Kind, record: String, effect: &str) {
        self.list.push(Finding {
            kind,
            record,
            effect: effect.into(),
        });
    }
}

/// The records of an MX answer.
fn mx_of(answer: &Answer) -> &[crate::dns::Mx] {
    match &answer.lookup {
        Lookup::Found(Records::Mx(list)) => list,
        _ => &[],
    }
}
