//! What must hold in any world (PROTOCOLS A.6), tried in small ones that are full of collisions:
//! few names, few addresses, loops, wildcards, aliases, trouble and old caches.
//!
//! The judge is a walk without budgets, levels or order: everything that a set leads to at all.

use std::collections::BTreeSet;
use std::net::IpAddr;

use vouchsafe_proto::dns::{
    Answer, Freshness, Lookup, Mx, Name, Question, RecordType, Records, Trouble,
};
use vouchsafe_proto::verify::Step;
use vouchsafe_proto::verify::VerdictResult;
use vouchsafe_proto::verify::mail_from::{Budget, Reason, Report};

use crate::world::World;
use crate::world::drive::{Order, Random, Run, request, run};
use crate::world::zone_file::{Rdata, Record};

/// Random worlds; each is checked for several clients.
const WORLDS: u64 = 10_000;

/// More questions than any world here can bring about within the budgets.
const MANY_QUESTIONS: u32 = 120;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn put(world: &mut World, owner: &str, rdata: Rdata) {
    let record = Record {
        owner: name(owner),
        ttl: 300,
        rdata,
    };
    world.record(&name("example"), record);
}

fn mx(preference: u16, exchange: &str) -> Rdata {
    Rdata::Mx(Mx {
        preference,
        exchange: name(exchange),
    })
}

/// The names that everything is made of.
const BASES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Every address there is.
const CLIENTS: [&str; 5] = [
    "192.0.2.1",
    "192.0.2.2",
    "192.0.2.3",
    "2001:db8::1",
    "2001:db8::2",
];

/// A name that may be an exchange: a host, a group, now and then one that does not exist.
fn exchange(random: &mut Random) -> String {
    let base = BASES[random.below(BASES.len())];
    match random.below(12) {
        0..6 => format!("{base}.example"),
        6..11 => format!("MAIL-FROM.{base}.example"),
        _ => format!("gone{}.example", random.below(8)),
    }
}

/// A world of six names.
fn world_of(random: &mut Random) -> World {
    let mut world = World::new();
    world.zone("example", "");
    for base in BASES {
        fill_host(&mut world, random, base);
        fill_set(&mut world, random, base);
    }
    if random.chance(8) {
        let target = exchange(random);
        put(&mut world, "*.example", mx(0, &target));
    }
    for _ in 0..random.below(3) {
        disturb(&mut world, random);
    }
    world
}

fn fill_host(world: &mut World, random: &mut Random, base: &str) {
    let host = format!("{base}.example");
    if random.chance(6) {
        put(world, &host, Rdata::Cname(name(&exchange(random))));
        return;
    }
    for client in CLIENTS {
        if random.chance(12) {
            match client.parse().unwrap() {
                IpAddr::V4(address) => put(world, &host, Rdata::A(address)),
                IpAddr::V6(address) => put(world, &host, Rdata::Aaaa(address)),
            }
        }
    }
    if random.chance(60) {
        put(world, &host, Rdata::A("198.51.100.1".parse().unwrap()));
    }
}

fn fill_set(world: &mut World, random: &mut Random, base: &str) {
    let owner = format!("MAIL-FROM.{base}.example");
    match random.below(20) {
        0 => put(world, &owner, mx(0, ".")),
        1 => put(world, &owner, Rdata::Cname(name(&exchange(random)))),
        2..5 => {}
        _ => {
            for _ in 0..=random.below(4) {
                let preference = if random.chance(10) { 10 } else { 0 };
                let target = exchange(random);
                put(world, &owner, mx(preference, &target));
            }
            if random.chance(5) {
                // A long set, now and then past its budget.
                for at in 0..17 + random.below(6) {
                    put(world, &owner, mx(0, &format!("gone{}.example", at % 9)));
                }
            }
            if random.chance(10) {
                put(world, &owner, Rdata::Txt((*b"v=MFMX1").into()));
            }
        }
    }
}

/// One answer that fails, never comes, or comes from an old cache.
fn disturb(world: &mut World, random: &mut Random) {
    let base = BASES[random.below(BASES.len())];
    let (owner, kind) = match random.below(5) {
        0 => (format!("{base}.example"), RecordType::A),
        1 => (format!("{base}.example"), RecordType::Aaaa),
        2 => (format!("MAIL-FROM.{base}.example"), RecordType::Txt),
        _ => (format!("MAIL-FROM.{base}.example"), RecordType::Mx),
    };
    let question = Question {
        name: name(&owner),
        kind,
        freshness: Freshness::Cached,
    };
    match random.below(4) {
        0 => {
            world.fix(&owner, kind, Answer::trouble(Trouble::ServFail));
        }
        1 => {
            world.silence(&owner, kind);
        }
        2 => {
            let mut answer = world
                .answer(&question)
                .unwrap_or(Answer::bare(Lookup::NoData));
            answer.age = if random.chance(50) { 30 } else { 600 };
            world.cache(&owner, kind, answer);
        }
        _ => {
            let mut answer = Answer::bare(Lookup::NxDomain);
            answer.age = 600;
            world.cache(&owner, kind, answer);
        }
    }
}

/// Everything that a domain's set leads to, without budgets, levels or order.
#[derive(Debug, Default)]
struct Everything {
    hosts: BTreeSet<Name>,
    sets: BTreeSet<Name>,
    addresses: BTreeSet<IpAddr>,
    trouble: bool,
}

impl Everything {
    fn behind(world: &World, owner: &Name) -> Self {
        let mut all = Self::default();
        all.follow(world, owner);
        all
    }

    /// What is said now, past any cache.
    fn ask(&mut self, world: &World, name: &Name, kind: RecordType) -> Option<Records> {
        let question = Question {
            name: name.clone(),
            kind,
            freshness: Freshness::Fresh,
        };
        match world.answer(&question).map(|answer| answer.lookup) {
            Some(Lookup::Found(records)) => Some(records),
            Some(Lookup::NoData | Lookup::NxDomain | Lookup::AliasLimit) => None,
            Some(Lookup::Trouble(_)) | None => {
                self.trouble = true;
                None
            }
        }
    }

    fn follow(&mut self, world: &World, owner: &Name) {
        if !self.sets.insert(owner.clone()) {
            return;
        }
        let Some(Records::Mx(list)) = self.ask(world, owner, RecordType::Mx) else {
            return;
        };
        let named: Vec<_> = list.iter().filter(|mx| !mx.exchange.is_root()).collect();
        if !named.iter().any(|mx| mx.preference == 0) {
            return;
        }
        for exchange in named.iter().map(|mx| &mx.exchange) {
            if exchange.as_str().starts_with("mail-from.") {
                self.follow(world, exchange);
            } else if self.hosts.insert(exchange.clone()) {
                if let Some(Records::A(found)) = self.ask(world, exchange, RecordType::A) {
                    self.addresses.extend(found.into_iter().map(IpAddr::V4));
                }
                if let Some(Records::Aaaa(found)) = self.ask(world, exchange, RecordType::Aaaa) {
                    self.addresses.extend(found.into_iter().map(IpAddr::V6));
                }
                self.follow(world, &exchange.child("mail-from").unwrap());
            }
        }
    }
}

/// What must hold of every run.
fn judge(world: &World, run: &Run) {
    let report = &run.report;
    let owner = name("mail-from.a.example");
    let all = Everything::behind(world, &owner);
    let listed = all.addresses.contains(&report.client);
    let said = || format!("{} {report:#?} {all:#?}", report.explanation());
    assert_eq!(report.result, report.reason.result());
    assert!(report.questions <= MANY_QUESTIONS, "{}", said());
    assert!(run.took <= 10_000);
    match report.result {
        VerdictResult::Repudiated => {
            assert!(!listed, "a listed client was refused: {}", said());
            judge_rejection(report);
        }
        VerdictResult::Authorised => {
            let old = report.steps.iter().any(Step::is_cached);
            assert!(listed || old, "{}", said());
        }
        VerdictResult::Tempfail | VerdictResult::Unknown => {}
    }
    if report.reason == Reason::Limits {
        assert!(!report.over.is_empty());
    }
    judge_cost(run);
}

/// A rejection rests on definite, young answers, on all of them, and on nothing over a budget.
fn judge_rejection(report: &Report) {
    assert!(
        report.trouble.is_empty() && report.over.is_empty(),
        "{report:#?}"
    );
    for step in &report.steps {
        let answer = step.answer.as_ref().expect("a question was open");
        if step.pass == 2 || !report.steps.iter().any(|later| later.pass == 2) {
            assert!(answer.age <= 60, "{report:#?}");
            assert!(!matches!(answer.lookup, Lookup::Trouble(_)), "{report:#?}");
        }
    }
    let addresses = report.hosts.iter().any(|host| !host.addresses.is_empty());
    assert!(
        addresses || report.reason == Reason::NeverSends,
        "{report:#?}"
    );
}

/// A.6: what a message from a host of the root set costs, and what each further stage.
fn judge_cost(run: &Run) {
    let report = &run.report;
    let pass_two = run
        .asked
        .iter()
        .any(|question| question.freshness == Freshness::Fresh);
    if pass_two {
        return;
    }
    let of = |wanted: &[RecordType]| {
        run.asked
            .iter()
            .filter(|question| wanted.contains(&question.kind))
            .count()
    };
    let sets = of(&[RecordType::Mx]);
    let addresses = of(&[RecordType::A, RecordType::Aaaa]);
    if report.matched().any(|host| host.level == 1) {
        assert_eq!(sets, 1, "{report:#?}");
        assert!(addresses <= report.hosts.len(), "{report:#?}");
    }
    let groups: BTreeSet<_> = report
        .sets
        .iter()
        .flat_map(|set| &set.records)
        .map(|mx| mx.exchange.as_str())
        .filter(|exchange| exchange.starts_with("mail-from."))
        .collect();
    // The root set, one for each name behind, and the sibling of the wildcard test.
    assert!(sets <= 2 + report.hosts.len() + groups.len(), "{report:#?}");
    assert!(addresses <= 2 * report.hosts.len(), "{report:#?}");
    let distinct: BTreeSet<_> = run.asked.iter().collect();
    assert_eq!(
        distinct.len(),
        run.asked.len(),
        "asked twice: {:?}",
        run.asked
    );
}

/// The evidence without the order in which it came in.
fn evidence(report: &Report) -> Report {
    let mut report = report.clone();
    report.steps.clear();
    report
}

#[test]
fn any_world_comes_to_the_same_lawful_end_in_any_order() {
    let mut seen = [0_u32; 4];
    for seed in 0..WORLDS {
        let mut random = Random::new(seed);
        let world = world_of(&mut random);
        let client = CLIENTS[random.below(CLIENTS.len())];
        let ordered = run(&world, request(client, "x", "u@a.example"), Order::Asked);
        judge(&world, &ordered);
        seen[ordered.report.result as usize] += 1;
        let order = Order::Shuffled(Random::new(random.next()));
        let shuffled = run(&world, request(client, "x", "u@a.example"), order);
        judge(&world, &shuffled);
        assert_eq!(
            (ordered.report.result, ordered.report.reason),
            (shuffled.report.result, shuffled.report.reason),
            "world {seed}"
        );
        if ordered.report.result != VerdictResult::Authorised {
            assert_eq!(
                evidence(&ordered.report),
                evidence(&shuffled.report),
                "world {seed}"
            );
        }
    }
    // The worlds are of use only if each end is reached often.
    assert!(
        seen.iter().all(|count| u64::from(*count) > WORLDS / 50),
        "{seen:?}"
    );
}

#[test]
fn a_null_reverse_path_is_as_lawful() {
    for seed in 0..WORLDS / 4 {
        let mut random = Random::new(seed);
        let world = world_of(&mut random);
        let client = CLIENTS[random.below(CLIENTS.len())];
        let ordered = run(&world, request(client, "a.example", ""), Order::Asked);
        let order = Order::Shuffled(Random::new(random.next()));
        let shuffled = run(&world, request(client, "a.example", ""), order);
        assert_eq!(
            (ordered.report.result, ordered.report.reason),
            (shuffled.report.result, shuffled.report.reason),
            "world {seed}"
        );
        let report = &ordered.report;
        if report.result == VerdictResult::Repudiated {
            judge_rejection(report);
            let all = Everything::behind(&world, &name("mail-from.a.example"));
            assert!(
                !all.addresses.contains(&report.client),
                "world {seed}: {report:#?}"
            );
        }
    }
}

/// A host more in a set inside the limits: what was not refused before is not refused then.
/// A set that was out of reach at its depth may come into reach by a listed name that leads to
/// it; then the walk comes to an end it had not, and only then may limits (depth) become another.
#[test]
fn a_host_more_refuses_nobody() {
    for seed in 0..WORLDS {
        let mut random = Random::new(seed);
        let mut world = world_of(&mut random);
        let client = CLIENTS[random.below(CLIENTS.len())];
        let before = run(&world, request(client, "x", "u@a.example"), Order::Asked).report;
        let protected = matches!(
            before.result,
            VerdictResult::Authorised | VerdictResult::Tempfail
        ) || before.reason == Reason::Limits;
        let sets: Vec<_> = before.sets.iter().filter(|set| set.count < 20).collect();
        if !protected || sets.is_empty() {
            continue;
        }
        let owner = sets[random.below(sets.len())];
        let owner = owner.aliases.last().unwrap_or(&owner.owner).clone();
        if !world.owns(&owner) {
            // A wildcard made it: a record there would not be one more, but all there is.
            continue;
        }
        let fresh = random.chance(50);
        let host = if fresh {
            put(
                &mut world,
                "new.example",
                Rdata::A("198.51.100.9".parse().unwrap()),
            );
            String::from("new.example")
        } else {
            format!("{}.example", BASES[random.below(BASES.len())])
        };
        put(&mut world, owner.as_str(), mx(0, &host));
        let after = run(&world, request(client, "x", "u@a.example"), Order::Asked).report;
        let came_into_reach = !fresh && before.over == [Budget::Depth];
        assert!(
            after.result != VerdictResult::Repudiated || came_into_reach,
            "world {seed}: {host} at {owner}: {} {:?} {:?}; {}",
            before.explanation(),
            before.over,
            before.sets,
            after.explanation()
        );
    }
}

/// One provider or one domain of a little Internet: its own outgoing hosts, and whose it also uses.
struct Site {
    name: String,
    hosts: Vec<(String, IpAddr)>,
    uses: Vec<usize>,
    adopts: bool,
}

/// A little Internet: providers first, which use only providers before them.
fn sites(random: &mut Random) -> Vec<Site> {
    let mut sites: Vec<Site> = Vec::new();
    for at in 0..5 {
        let site = format!("s{at}.example");
        let host = |n: usize| {
            let address = IpAddr::from([198, 51, 100, u8::try_from(at * 10 + n).unwrap()]);
            (format!("out{n}.{site}"), address)
        };
        let uses = (0..at).filter(|_| random.chance(30)).take(2).collect();
        sites.push(Site {
            hosts: (0..=random.below(2)).map(host).collect(),
            name: site,
            uses,
            adopts: random.chance(50),
        });
    }
    sites
}

/// The outgoing hosts that may present a site's reverse-paths.
fn registered(sites: &[Site], at: usize) -> BTreeSet<(String, IpAddr)> {
    let mut hosts: BTreeSet<_> = sites[at].hosts.iter().cloned().collect();
    for used in &sites[at].uses {
        hosts.extend(registered(sites, *used));
    }
    hosts
}

/// Publishes correct sets: a provider that has one is named as a group, or by its hosts.
fn publish(world: &mut World, sites: &[Site], random: &mut Random) {
    for (at, site) in sites.iter().enumerate() {
        for (host, address) in &site.hosts {
            if let IpAddr::V4(address) = address {
                put(world, host, Rdata::A(*address));
            }
        }
        if !site.adopts {
            continue;
        }
        let owner = format!("MAIL-FROM.{}", site.name);
        for (host, _) in &site.hosts {
            put(world, &owner, mx(0, host));
        }
        for used in &site.uses {
            if sites[*used].adopts && random.chance(60) {
                put(
                    world,
                    &owner,
                    mx(0, &format!("MAIL-FROM.{}", sites[*used].name)),
                );
            } else {
                for (host, _) in registered(sites, *used) {
                    put(world, &owner, mx(0, &host));
                }
            }
        }
        if site.hosts.is_empty() && registered(sites, at).is_empty() {
            put(world, &owner, mx(0, "."));
        }
    }
}

/// Draft §1.6: whoever publishes and whoever checks, no mail by a registered path is refused, and
/// no notification from a host that calls itself by its own name.
#[test]
fn no_registered_path_is_refused_whoever_adopts() {
    for seed in 0..WORLDS / 5 {
        let mut random = Random::new(seed);
        let sites = sites(&mut random);
        let mut world = World::new();
        world.zone("example", "");
        publish(&mut world, &sites, &mut random);
        for (at, site) in sites.iter().enumerate() {
            for (host, address) in registered(&sites, at) {
                let path = format!("user@{}", site.name);
                let client = address.to_string();
                for path in [path.as_str(), ""] {
                    let report = run(&world, request(&client, &host, path), Order::Asked).report;
                    let expected = if site.adopts || path.is_empty() {
                        VerdictResult::Authorised
                    } else {
                        VerdictResult::Unknown
                    };
                    assert_eq!(report.result, expected, "world {seed}: {report:#?}");
                }
            }
        }
    }
}

/// Any answer at all: of the wrong type, empty, endless, nonsense in every field.
fn nonsense(random: &mut Random) -> Answer {
    let names = [
        ".",
        "a.example",
        "mail-from.b.example",
        "mail-from",
        "*.example",
        "x\\000y",
    ];
    let pick = |random: &mut Random| name(names[random.below(names.len())]);
    let many = [0, 1, 2, 21, 500][random.below(5)];
    let lookup = match random.below(9) {
        0 => Lookup::NoData,
        1 => Lookup::NxDomain,
        2 => Lookup::AliasLimit,
        3 => Lookup::Trouble(Trouble::Unreadable),
        4 => Lookup::Found(Records::A(vec![[192, 0, 2, 1].into(); many])),
        5 => Lookup::Found(Records::Aaaa(vec![std::net::Ipv6Addr::LOCALHOST; many])),
        6 => Lookup::Found(Records::Txt(vec![
            vec![0xff; many].into_boxed_slice();
            many
        ])),
        _ => {
            let mx = |at: usize| Mx {
                preference: u16::try_from(random.below(2)).unwrap(),
                exchange: if at < 3 {
                    pick(random)
                } else {
                    name(&format!("h{at}.example"))
                },
            };
            Lookup::Found(Records::Mx((0..many).map(mx).collect()))
        }
    };
    Answer {
        lookup,
        aliases: (0..random.below(3)).map(|_| pick(random)).collect(),
        ttl: u32::try_from(random.below(2)).unwrap() * u32::MAX,
        age: u32::try_from(random.below(2)).unwrap() * u32::MAX,
        secure: random.chance(50),
        signed_labels: [None, Some(0), Some(255)][random.below(3)],
    }
}

#[test]
fn no_answer_makes_it_panic_or_go_on_for_ever() {
    for seed in 0..WORLDS / 5 {
        let mut random = Random::new(seed);
        let mut world = World::new();
        world.zone("example", "*  300 MX 0 mail-from.b\n* 300 A 192.0.2.9");
        for owner in [
            "a",
            "b",
            "c",
            "mail-from.a",
            "mail-from.b",
            "mail-from.a.a",
            "k3v9x0q2z.a",
        ] {
            for kind in [
                RecordType::A,
                RecordType::Aaaa,
                RecordType::Mx,
                RecordType::Txt,
            ] {
                world.fix(&format!("{owner}.example"), kind, nonsense(&mut random));
            }
        }
        let path = if random.chance(50) { "u@a.example" } else { "" };
        let client = CLIENTS[random.below(CLIENTS.len())];
        let report = run(&world, request(client, "a.example", path), Order::Asked).report;
        assert!(report.questions <= 1500, "{} questions", report.questions);
        assert!(!report.explanation().is_empty());
        assert!(report.steps.iter().all(|step| !step.to_string().is_empty()));
        if report.result == VerdictResult::Repudiated {
            assert!(
                report.trouble.is_empty() && report.over.is_empty(),
                "{report:#?}"
            );
        }
    }
}
