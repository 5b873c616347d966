//! From an SPF record to a MAIL-FROM set and back to addresses.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::dns::{Mx, Name};
use vouchsafe_proto::publish::doubt::Doubt;
use vouchsafe_proto::publish::left_out::Why;
use vouchsafe_proto::publish::order::{FromSpf, Order, Outcome};
use vouchsafe_proto::publish::plan::Plan;
use vouchsafe_proto::publish::records::{self, Record};
use vouchsafe_proto::survey::cover::Cover;
use vouchsafe_proto::survey::mail_from::{self, MailFrom};
use vouchsafe_proto::survey::spf::{self, Spf};
use vouchsafe_proto::survey::{Study, View};
use vouchsafe_proto::verify::VerdictResult;
use vouchsafe_proto::verify::mail_from::{LABEL, budget};

use super::surveying::survey;
use super::world::drive::{Order as Asking, request, run};
use super::world::{World, zone_file};

/// One file.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    #[expect(dead_code, reason = "for readers")]
    about: String,
    #[serde(default = "default_domain")]
    domain: String,
    zones: BTreeMap<String, Zone>,
    /// What the set must cover.
    covers: Vec<String>,
    /// What it does not, as `<network or term> <why>`.
    #[serde(default)]
    left_out: Vec<String>,
    /// What is said to be looked at.
    #[serde(default)]
    doubts: Vec<String>,
    /// Hosts and groups that the root set names and nobody made, in order.
    #[serde(default)]
    names: Vec<String>,
    /// The SPF record that is printed.
    spf: Option<String>,
}

#[derive(Deserialize)]
struct Zone {
    records: String,
}

impl File {
    /// What the set must cover.
    fn networks(&self) -> Vec<IpNet> {
        let network = |text: &String| {
            let address = text.parse::<IpAddr>().map(IpNet::from);
            address.unwrap_or_else(|_| text.parse().unwrap())
        };
        self.covers.iter().map(network).collect()
    }
}

fn default_domain() -> String {
    "example.org".to_owned()
}

/// The SPF record and the sets of a domain.
struct Both(Name, Option<Box<str>>);

impl Study for Both {
    type Findings = (Spf, MailFrom);

    fn look(&self, view: &mut View<'_>) -> Self::Findings {
        let record = match &self.1 {
            None => spf::published(view, &self.0),
            Some(text) => spf::given(view, &self.0, text.as_bytes()),
        };
        (record, mail_from::walk(view, &self.0.child(LABEL).unwrap()))
    }
}

fn files() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/publish");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    files
}

#[test]
fn every_record_comes_back_with_the_same_addresses() {
    let files = files();
    assert!(files.len() >= 20, "{} records", files.len());
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let file: File = toml::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut world = World::new();
        for (origin, zone) in &file.zones {
            world.zone(origin, &zone.records);
        }
        let domain = Domain::parse(&file.domain).unwrap();
        let order = Order {
            domain: domain.clone(),
            senders: Vec::new(),
            spf: FromSpf::Published,
            ledger: Vec::new(),
            writers: None,
            never: false,
            ttl: 3600,
            look: true,
            compare: false,
        };
        let outcome = survey(&world, order).findings;
        assert!(!outcome.trouble, "{name}");
        let apex = Name::from(&domain);
        let before = survey(&world, Both(apex.clone(), None)).findings.0;
        publish(&mut world, &apex, outcome.plan.as_ref().unwrap());
        hold(&name, &file, &outcome, &world, &before);
    }
}

/// Puts the plan's records into the world: all but the SPF record, which is there.
fn publish(world: &mut World, apex: &Name, plan: &Plan) {
    for Record { owner, ttl, rdata } in plan.records() {
        let rdata = match rdata {
            records::Rdata::Mx(Mx {
                preference,
                exchange,
            }) => zone_file::Rdata::Mx(Mx {
                preference,
                exchange,
            }),
            records::Rdata::Txt(text) if text.starts_with(b"v=spf1") => continue,
            records::Rdata::Txt(text) => zone_file::Rdata::Txt(text),
            records::Rdata::A(address) => zone_file::Rdata::A(address),
            records::Rdata::Aaaa(address) => zone_file::Rdata::Aaaa(address),
            records::Rdata::Ns(host) => zone_file::Rdata::Ns(host),
            records::Rdata::Cname(_) => panic!("nothing makes aliases"),
        };
        world.record(apex, zone_file::Record { owner, ttl, rdata });
    }
}

/// A provider's set and its SPF record say different things, and the set is believed.
fn about_a_provider(doubt: &Doubt) -> bool {
    matches!(doubt, Doubt::Narrower(..) | Doubt::Wider(..))
}

/// Everything that must be so of one file.
fn hold(name: &str, file: &File, outcome: &Outcome, world: &World, before: &Spf) {
    let plan = outcome.plan.as_ref().unwrap();
    let apex = Name::parse(&file.domain).unwrap();
    let (again, set) = survey(world, Both(apex, Some(plan.spf.clone()))).findings;
    // By hand, and by the walk.
    assert_eq!(
        set.cover,
        file.networks().into_iter().collect(),
        "{name}: {}",
        set.cover
    );
    let left_out: Vec<_> = plan
        .left_out
        .iter()
        .map(|left_out| {
            let what = left_out
                .network
                .map_or_else(|| left_out.origin.to_string(), |net| net.to_string());
            format!("{what} {}", left_out.why.as_str())
        })
        .collect();
    assert_eq!(left_out, file.left_out, "{name}");
    let doubts: Vec<_> = outcome.doubts.iter().map(ToString::to_string).collect();
    assert_eq!(doubts.len(), file.doubts.len(), "{name}: {doubts:?}");
    for (seen, wanted) in doubts.iter().zip(&file.doubts) {
        assert!(seen.contains(wanted), "{name}: {seen}");
    }
    // The difference is what was said, and nothing else.
    let said: Cover = plan
        .left_out
        .iter()
        .filter_map(|left_out| left_out.network)
        .collect();
    let everybody = plan
        .left_out
        .iter()
        .any(|left_out| left_out.why == Why::All);
    if !outcome.doubts.iter().any(about_a_provider) && !everybody {
        assert_eq!(
            before.pass.without(&set.cover),
            said.without(&set.cover),
            "{name}"
        );
        assert!(set.cover.without(&before.pass).is_empty(), "{name}");
        // And the SPF record that is printed lets the same addresses pass.
        assert_eq!(again.pass, before.pass, "{name}: {}", plan.spf);
    }
    if let Some(spf) = &file.spf {
        assert_eq!(*plan.spf, **spf, "{name}");
    }
    let made = |exchange: &&Name| plan.made.iter().all(|(made, _)| made != *exchange);
    let names: Vec<_> = plan
        .sets
        .iter()
        .flat_map(|(_, set)| set)
        .filter(made)
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, file.names, "{name}");
    within_budgets(name, plan, &set);
    checks_agree(name, file, world, &set.cover);
}

fn within_budgets(name: &str, plan: &Plan, set: &MailFrom) {
    assert!(set.over.is_empty(), "{name}: {:?}", set.over);
    assert!(
        set.trouble.is_empty() && set.again.is_empty() && set.void.is_empty(),
        "{name}"
    );
    assert!(
        plan.sets
            .iter()
            .all(|(_, set)| set.len() <= budget::MAX_RECORDS),
        "{name}"
    );
    assert!(set.hosts.len() <= budget::MAX_HOSTS, "{name}");
}

/// The check says the same of addresses at the edges of each network, inside and outside.
fn checks_agree(name: &str, file: &File, world: &World, cover: &Cover) {
    let verdict = |client: IpAddr| {
        let request = request(&client.to_string(), "x", &format!("a@{}", file.domain));
        run(world, request, Asking::Asked).report.result
    };
    for network in file.networks() {
        assert_eq!(
            verdict(network.network()),
            VerdictResult::Authorised,
            "{name} {network}"
        );
        assert_eq!(
            verdict(network.broadcast()),
            VerdictResult::Authorised,
            "{name} {network}"
        );
    }
    let outside: [IpAddr; 3] =
        ["198.18.7.7", "203.0.113.254", "2001:db8:ffff::1"].map(|a| a.parse().unwrap());
    for client in outside {
        assert!(!cover.holds(client));
        let expected = if no_set(world, file) {
            VerdictResult::Unknown
        } else {
            VerdictResult::Repudiated
        };
        assert_eq!(verdict(client), expected, "{name} {client}");
    }
}

/// Nothing could be listed, so nothing is published.
fn no_set(world: &World, file: &File) -> bool {
    let apex = Name::parse(&file.domain).unwrap();
    survey(world, Both(apex, None)).findings.1.root == mail_from::Root::Unpublished
}
