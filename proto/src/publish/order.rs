//! What `publish` is asked for, and what it needs of the DNS: whether the hosts and groups are there,
//! what an SPF record stands for, and what is published now.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use crate::addr::Domain;
use crate::dns::{Answer, Lookup, Mx, Name, RecordType, Records};
use crate::residue::servers;
use crate::residue::writers::Writers;
use crate::survey::cover::Cover;
use crate::survey::mail_from::{self, Root};
use crate::survey::spf::{self, Spf};
use crate::survey::{Study, View};
use crate::verify::mail_from::{LABEL, is_sentinel};
use crate::verify::spf::Record as SpfRecord;

use super::doubt::Doubt;
use super::entered;
use super::from_spf;
use super::left_out::LeftOut;
use super::plan::{self, Entry, Facts, MADE, Plan, PlanError, Sender, Wanted};
use super::records::{Rdata, Record};

/// What is to be published, and what is to be asked.
#[derive(Clone, Debug)]
pub struct Order {
    /// The domain.
    pub domain: Domain,
    /// Who sends.
    pub senders: Vec<Entry>,
    /// Those who send by an SPF record do as well.
    pub spf: FromSpf,
    /// Nobody does: the domain is never in MAIL FROM.
    pub never: bool,
    /// Who answers whether a message was sent.
    pub ledger: Vec<Name>,
    /// Who enters what he sends into that ledger; where that is not known, those who answer.
    pub writers: Option<Writers>,
    /// Seconds.
    pub ttl: u32,
    /// Ask whether hosts and groups are there, and what stands behind them.
    pub look: bool,
    /// Ask what is published now.
    pub compare: bool,
}

/// Which SPF record names senders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromSpf {
    /// None.
    No,
    /// The one that the domain publishes.
    Published,
    /// This one.
    Given(Box<str>),
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The plan, or why there is none.
    pub plan: Result<Plan, PlanError>,
    /// What is published now, if that was asked for.
    pub published: Vec<Record>,
    /// What is to be looked at before the records are published.
    pub doubts: Vec<Doubt>,
    /// Names that what was ordered hangs on were not to be had.
    pub trouble: bool,
}

impl Study for Order {
    type Findings = Outcome;

    fn look(&self, view: &mut View<'_>) -> Outcome {
        let mut outcome = Outcome {
            plan: Err(PlanError::Name),
            published: Vec::new(),
            doubts: Vec::new(),
            trouble: false,
        };
        let mut wanted = self.wanted();
        let mut left_out = Vec::new();
        if let Some(spf) = self.record(view) {
            if spf.record.is_none() {
                outcome.trouble = spf.is_trouble();
                outcome.plan = Err(PlanError::Record(spf.state));
                return outcome;
            }
            let converted = from_spf::convert(view, &spf);
            wanted.spf = from_spf::record(&spf, &self.senders);
            wanted.senders.extend(converted.senders);
            left_out = converted.left_out;
            outcome.doubts = converted.doubts;
            outcome.trouble = converted.trouble;
        }
        let facts = if self.look {
            for host in &self.ledger {
                look_at_host(view, host, &mut Facts::default(), &mut outcome.doubts);
            }
            Self::facts(view, &wanted.senders, &mut outcome)
        } else {
            Facts::default()
        };
        outcome
            .doubts
            .extend(self.not_entered(Some(view), &wanted.senders, facts.clone()));
        outcome.plan = self.plan(wanted, &facts, left_out);
        if let (true, Ok(plan)) = (self.compare, &outcome.plan) {
            let mut now = Now {
                view,
                domain: Name::from(&self.domain),
                records: Vec::new(),
                doubts: Vec::new(),
                trouble: false,
            };
            now.look_at(plan);
            outcome.published = now.records;
            outcome.trouble |= now.trouble;
            outcome.doubts.extend(now.doubts);
        }
        let mut seen = Vec::new();
        outcome.doubts.retain(|doubt| {
            let is_new = !seen.contains(doubt);
            seen.push(doubt.clone());
            is_new
        });
        outcome
    }
}

impl Order {
    /// What comes of it where nobody is asked.
    pub fn unasked(&self) -> Outcome {
        Outcome {
            plan: self.plan(self.wanted(), &Facts::default(), Vec::new()),
            published: Vec::new(),
            doubts: self.not_entered(None, &self.senders, Facts::default()),
            trouble: false,
        }
    }

    /// What is wanted before anybody is asked.
    fn wanted(&self) -> Wanted {
        Wanted {
            domain: self.domain.clone(),
            senders: self.senders.clone(),
            spf: None,
            ttl: self.ttl,
        }
    }

    /// The SPF record that names senders, with all that it stands for.
    fn record(&self, view: &mut View<'_>) -> Option<Spf> {
        let domain = Name::from(&self.domain);
        match &self.spf {
            FromSpf::No => None,
            FromSpf::Published => Some(spf::published(view, &domain)),
            FromSpf::Given(text) => Some(spf::given(view, &domain, text.as_bytes())),
        }
    }

    /// The plan by what is known.
    fn plan(
        &self,
        wanted: Wanted,
        facts: &Facts,
        left_out: Vec<LeftOut>,
    ) -> Result<Plan, PlanError> {
        let plan = if self.never {
            Plan::never(self.domain.clone(), self.ttl)
        } else {
            Plan::of(wanted, facts, left_out)
        };
        plan.map(|plan| Plan {
            ledger: self.ledger.clone(),
            ..plan
        })
    }

    /// Those who send and enter nothing into the ledger, where one is named.
    fn not_entered(
        &self,
        view: Option<&mut View<'_>>,
        senders: &[Entry],
        mut facts: Facts,
    ) -> Vec<Doubt> {
        if self.ledger.is_empty() {
            return Vec::new();
        }
        let answering = Writers {
            domain: self.domain.clone(),
            hosts: self.ledger.clone(),
            networks: Cover::default(),
        };
        let writers = self.writers.as_ref().unwrap_or(&answering);
        if let Some(view) = view.filter(|_| self.look) {
            for host in &writers.hosts {
                look_at_host(view, host, &mut facts, &mut Vec::new());
            }
        }
        entered::missing(senders, writers, &facts)
    }

    /// What the DNS says of the senders.
    fn facts(view: &mut View<'_>, senders: &[Entry], outcome: &mut Outcome) -> Facts {
        let mut facts = Facts::default();
        let mut doubts = Vec::new();
        for entry in senders {
            match &entry.sender {
                Sender::Host(name) => look_at_host(view, name, &mut facts, &mut doubts),
                Sender::Group(name) => look_at_group(view, name, &mut facts, &mut doubts),
                Sender::Network(_) => {}
            }
        }
        outcome.doubts.extend(doubts);
        facts
    }
}

/// The addresses of a host.
fn look_at_host(view: &mut View<'_>, name: &Name, facts: &mut Facts, doubts: &mut Vec<Doubt>) {
    let answers = [RecordType::A, RecordType::Aaaa].map(|kind| view.want(name, kind));
    let [Some(four), Some(six)] = answers else {
        return;
    };
    let mut addresses = mail_from::addresses(four);
    addresses.extend(mail_from::addresses(six));
    if is_trouble(four) || is_trouble(six) {
        doubts.push(Doubt::Trouble(name.clone()));
    } else if addresses.is_empty() {
        doubts.push(Doubt::NoAddress(name.clone()));
    }
    facts.hosts.insert(name.clone(), addresses);
}

/// What stands behind a group, and whether its domain has an SPF record.
fn look_at_group(view: &mut View<'_>, name: &Name, facts: &mut Facts, doubts: &mut Vec<Doubt>) {
    let set = mail_from::walk(view, name);
    match set.root {
        Root::Set => {}
        Root::Trouble => {
            doubts.push(Doubt::Trouble(name.clone()));
        }
        Root::Unpublished | Root::Ordinary | Root::Never | Root::Aliases => {
            doubts.push(Doubt::NoSet(name.clone()));
        }
    }
    facts.groups.insert(name.clone(), set);
    let Some(domain) = plan::parent(name) else {
        return;
    };
    if let Some(answer) = view.want(&domain, RecordType::Txt)
        && texts(answer).any(SpfRecord::is_spf)
    {
        facts.with_spf.insert(domain);
    }
}

/// What is published now, as far as it is ours to change.
struct Now<'a, 'v> {
    view: &'a mut View<'v>,
    domain: Name,
    records: Vec<Record>,
    doubts: Vec<Doubt>,
    trouble: bool,
}

impl Now<'_, '_> {
    /// The sets, the texts, and the names that were made, now or before.
    fn look_at(&mut self, plan: &Plan) {
        let mut owners: BTreeSet<Name> = plan.sets.iter().map(|(owner, _)| owner.clone()).collect();
        let mut made: BTreeSet<Name> = plan.made.iter().map(|(name, _)| name.clone()).collect();
        let mut seen = BTreeSet::new();
        while let Some(owner) = owners.pop_first() {
            if !seen.insert(owner.clone()) {
                continue;
            }
            for mx in self.set(&owner) {
                if self.is_ours(&mx.exchange, MADE) {
                    made.insert(mx.exchange);
                } else if self.is_own_group(&mx.exchange) {
                    owners.insert(mx.exchange);
                }
            }
        }
        if let Ok(owner) = self.domain.child(LABEL) {
            self.texts(&owner, is_sentinel);
        }
        for name in made {
            self.addresses(&name);
        }
        let domain = self.domain.clone();
        self.texts(&domain, SpfRecord::is_spf);
        // Whoever names no servers leaves those that there are.
        if let (false, Ok(sent)) = (plan.ledger.is_empty(), domain.child(servers::LABEL)) {
            self.servers(&sent);
        }
    }

    /// The name servers of the ledger.
    fn servers(&mut self, sent: &Name) {
        let answer = self.ask(sent, RecordType::Ns);
        if let Some(Lookup::Found(Records::Ns(hosts))) =
            answer.as_ref().map(|answer| &answer.lookup)
        {
            let ttl = answer.as_ref().map_or(0, |answer| answer.ttl);
            self.records.extend(hosts.iter().map(|host| Record {
                owner: sent.clone(),
                ttl,
                rdata: Rdata::Ns(host.clone()),
            }));
        }
    }

    /// A name directly below the domain whose first label begins so.
    fn is_ours(&self, name: &Name, prefix: &str) -> bool {
        let first = name.labels().next().unwrap_or_default();
        first.starts_with(&format!("{prefix}-"))
            && plan::parent(name).as_ref() == Some(&self.domain)
    }

    /// `mail-from.g1.<domain>`
    fn is_own_group(&self, name: &Name) -> bool {
        let own = self.domain.child(&format!("{LABEL}.{}", plan::OWN_GROUP));
        own.is_ok_and(|own| own == *name)
    }

    /// The answer, if it is in; trouble and aliases are noted.
    fn ask(&mut self, owner: &Name, kind: RecordType) -> Option<Answer> {
        let answer = self.view.want(owner, kind)?.clone();
        if is_trouble(&answer) {
            self.trouble = true;
            self.doubts.push(Doubt::Trouble(owner.clone()));
        }
        if let Some(target) = answer.aliases.first() {
            let alias = Doubt::Alias(owner.clone(), target.clone());
            if !self.doubts.contains(&alias) {
                self.doubts.push(alias);
                self.add(owner, answer.ttl, Rdata::Cname(target.clone()));
            }
            return None;
        }
        Some(answer)
    }

    fn add(&mut self, owner: &Name, ttl: u32, rdata: Rdata) {
        self.records.push(Record {
            owner: owner.clone(),
            ttl,
            rdata,
        });
    }

    /// The MX set of an owner.
    fn set(&mut self, owner: &Name) -> Vec<Mx> {
        let Some(answer) = self.ask(owner, RecordType::Mx) else {
            return Vec::new();
        };
        let Lookup::Found(Records::Mx(list)) = answer.lookup else {
            return Vec::new();
        };
        for mx in &list {
            self.add(owner, answer.ttl, Rdata::Mx(mx.clone()));
        }
        list
    }

    /// The texts of an owner that are ours.
    fn texts(&mut self, owner: &Name, is_ours: fn(&[u8]) -> bool) {
        let Some(answer) = self.ask(owner, RecordType::Txt) else {
            return;
        };
        let ours: Vec<Box<[u8]>> = texts(&answer)
            .filter(|text| is_ours(text))
            .map(Box::from)
            .collect();
        for text in ours {
            self.add(owner, answer.ttl, Rdata::Txt(text));
        }
    }

    /// The addresses of a name that was made.
    fn addresses(&mut self, name: &Name) {
        if let Some(answer) = self.ask(name, RecordType::A)
            && let Lookup::Found(Records::A(list)) = answer.lookup
        {
            for address in list {
                self.add(name, answer.ttl, Rdata::A(address));
            }
        }
        if let Some(answer) = self.ask(name, RecordType::Aaaa)
            && let Lookup::Found(Records::Aaaa(list)) = answer.lookup
        {
            for address in list {
                self.add(name, answer.ttl, Rdata::Aaaa(address));
            }
        }
    }
}

/// The texts of an answer.
fn texts(answer: &Answer) -> impl Iterator<Item = &[u8]> {
    let list = match &answer.lookup {
        Lookup::Found(Records::Txt(list)) => &list[..],
        _ => &[],
    };
    list.iter().map(|text| &text[..])
}

fn is_trouble(answer: &Answer) -> bool {
    matches!(answer.lookup, Lookup::Trouble(_))
}
