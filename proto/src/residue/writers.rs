//! Whether everybody who may send in a domain's name enters what he sends into its ledger (PROTOCOLS B.2).
//!
//! Only then does "it is not in the ledger" mean "it was not sent". Who may send is what the domain's MAIL-FROM set
//! and its SPF record say, to whoever asks; who enters is what its operator says. A [`Study`], so asked and answered
//! as surveys are.
//!
//! Promises: whatever cannot be known makes [`Standing::Trouble`] or [`Standing::Unclear`], never
//! [`Standing::Whole`]. Left to others: how long that holds.

use alloc::vec::Vec;
use core::fmt;

use crate::addr::Domain;
use crate::dns::{Lookup, Name, RecordType};
use crate::survey::cover::Cover;
use crate::survey::mail_from::{self, MailFrom, Root};
use crate::survey::spf::{self, Spf, State};
use crate::survey::{Study, View};
use crate::verify::mail_from::LABEL;
use crate::verify::spf::Qualifier;

/// A look at one domain.
#[derive(Clone, Debug)]
pub struct Writers {
    /// The domain.
    pub domain: Domain,
    /// The hosts whose mail is entered.
    pub hosts: Vec<Name>,
    /// The same, by their addresses.
    pub networks: Cover,
}

/// How it stands with a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody but the writers may send in its name.
    Whole,
    /// These may, too.
    Others(Cover),
    /// It publishes no MAIL-FROM set: nobody knows who may.
    Unpublished,
    /// Its records do not say it: a set over its budget, an SPF record that is none, or that hangs on the message.
    Unclear,
    /// They could not be looked up now.
    Trouble,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("nobody else may send in its name"),
            Self::Others(others) => write!(f, "others may send in its name: {others}"),
            Self::Unpublished => f.write_str("it publishes no MAIL-FROM set"),
            Self::Unclear => f.write_str("its records do not say who may send in its name"),
            Self::Trouble => f.write_str("its records could not be looked up"),
        }
    }
}

impl Study for Writers {
    type Findings = Standing;

    fn look(&self, view: &mut View<'_>) -> Standing {
        let apex = Name::from(&self.domain);
        let Ok(owner) = apex.child(LABEL) else {
            return Standing::Unpublished;
        };
        let set = mail_from::walk(view, &owner);
        let record = spf::published(view, &apex);
        let mut writers = self.networks.clone();
        let mut is_trouble = false;
        for host in &self.hosts {
            for kind in [RecordType::A, RecordType::Aaaa] {
                let Some(answer) = view.want(host, kind) else {
                    continue;
                };
                is_trouble |= matches!(answer.lookup, Lookup::Trouble(_));
                writers.join(&mail_from::addresses(answer).into_iter().collect());
            }
        }
        let standing = compare(&set, &record, &writers);
        // A writer's address that is not known looks like somebody else's.
        match standing {
            Standing::Others(_) if is_trouble => Standing::Trouble,
            standing => standing,
        }
    }
}

/// What the records come to.
fn compare(set: &MailFrom, record: &Spf, writers: &Cover) -> Standing {
    match set.root {
        Root::Unpublished | Root::Ordinary => return Standing::Unpublished,
        Root::Trouble => return Standing::Trouble,
        Root::Aliases => return Standing::Unclear,
        Root::Set | Root::Never => {}
    }
    let is_host_trouble = set.hosts.iter().any(mail_from::Host::is_trouble);
    if !set.trouble.is_empty() || is_host_trouble || record.is_trouble() {
        return Standing::Trouble;
    }
    let hangs = |one: &Spf| one.redirect_unclear || one.terms.iter().any(|term| term.unclear);
    let is_found = |one: &Spf| one.state == State::Found;
    let is_readable = record.state == State::Missing || record.all().into_iter().all(is_found);
    if !set.over.is_empty() || record.all().into_iter().any(hangs) || !is_readable {
        return Standing::Unclear;
    }
    let mut may_send = set.cover.clone();
    may_send.join(&record.pass);
    if record.all_term() == Some(Qualifier::Pass) {
        may_send = Cover::everything();
    }
    let others = may_send.without(writers);
    if others.is_empty() {
        Standing::Whole
    } else {
        Standing::Others(others)
    }
}
