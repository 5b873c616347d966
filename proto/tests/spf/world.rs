//! Zones in the form of the RFC 7208 test suite (see ../shared/testdata/README.md), and a driver
//! that runs one check against them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use vouchsafe_proto::dns::{
    Alias, Answer, Chase, Lookup, Mx, Name, Question, RecordType, Records, Trouble, chase,
    push_label,
};
use vouchsafe_proto::time::{Mono, Now, Wall};
use vouchsafe_proto::verify::spf::{Action, Check, Input, Report, Request, Sender};
use vouchsafe_proto::verify::{AskId, Machine};
use yaml_rust2::{Yaml, YamlLoader};

/// One scenario of a suite.
pub struct Scenario {
    /// What it is about.
    pub description: String,
    /// Its zones.
    pub world: World,
    /// Its cases, in order.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The client.
    pub host: IpAddr,
    /// What HELO said.
    pub helo: String,
    /// What MAIL FROM said.
    pub mail_from: String,
    /// The results that will do, the best first.
    pub results: Vec<String>,
    /// The explanation, where one is tested; `DEFAULT` for none of the domain's.
    pub explanation: Option<String>,
}

/// What a name has.
#[derive(Clone, Debug)]
pub enum Record {
    /// An address.
    A(std::net::Ipv4Addr),
    /// An address.
    Aaaa(std::net::Ipv6Addr),
    /// A mail exchange.
    Mx(u16, Name),
    /// A text, its strings joined.
    Txt(Vec<u8>),
    /// A client's name.
    Ptr(Name),
    /// An alias.
    Cname(Name),
}

/// All names with all they have.
#[derive(Clone, Debug, Default)]
pub struct World {
    names: BTreeMap<Name, Vec<Record>>,
    /// Types that get no answer; `None` for all that are not there.
    silent: BTreeMap<Name, Vec<Option<RecordType>>>,
}

/// Reads a suite.
pub fn load(path: &Path) -> Vec<Scenario> {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let documents = YamlLoader::load_from_str(&text).unwrap();
    documents.iter().map(scenario).collect()
}

fn scenario(document: &Yaml) -> Scenario {
    let mut world = World::default();
    for (name, entries) in document["zonedata"].as_hash().unwrap() {
        let name = name_of(&text(name));
        world.names.entry(name.clone()).or_default();
        let entries = entries.as_vec().unwrap();
        let has_txt = entries.iter().any(|entry| !entry["TXT"].is_badvalue());
        for entry in entries {
            world.entry(&name, entry, has_txt);
        }
    }
    let cases = document["tests"].as_hash().unwrap();
    Scenario {
        description: text(&document["description"]),
        world,
        cases: cases
            .iter()
            .map(|(name, case)| read_case(name, case))
            .collect(),
    }
}

fn read_case(name: &Yaml, case: &Yaml) -> Case {
    let result = &case["result"];
    let results = match result.as_vec() {
        Some(list) => list.iter().map(text).collect(),
        None => vec![text(result)],
    };
    let explanation = &case["explanation"];
    Case {
        name: text(name),
        host: text(&case["host"]).parse().unwrap(),
        helo: text(&case["helo"]),
        mail_from: text(&case["mailfrom"]),
        results,
        explanation: (!explanation.is_badvalue()).then(|| text(explanation)),
    }
}

fn text(yaml: &Yaml) -> String {
    match yaml {
        Yaml::String(text) | Yaml::Real(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        other => panic!("no text: {other:?}"),
    }
}

/// The octets that a text stands for: one a character.
fn octets(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect()
}

/// A name as the suite writes it: every character but the dot stands for itself.
pub fn name_of(text: &str) -> Name {
    let text = text.strip_suffix('.').unwrap_or(text);
    let mut presentation = String::new();
    for (at, label) in text.split('.').enumerate() {
        presentation.push_str(if at > 0 { "." } else { "" });
        push_label(&mut presentation, &octets(label));
    }
    Name::parse(&presentation).unwrap_or_else(|error| panic!("{text}: {error}"))
}

impl World {
    fn entry(&mut self, name: &Name, entry: &Yaml, has_txt: bool) {
        if let Yaml::String(word) = entry {
            assert_eq!(word, "TIMEOUT");
            self.silent.entry(name.clone()).or_default().push(None);
            return;
        }
        let (kind, value) = entry.as_hash().unwrap().iter().next().unwrap();
        let kind = text(kind);
        if value.as_str() == Some("TIMEOUT") {
            let kind = match kind.as_str() {
                "A" => RecordType::A,
                "AAAA" => RecordType::Aaaa,
                "MX" => RecordType::Mx,
                "PTR" => RecordType::Ptr,
                _ => RecordType::Txt,
            };
            self.silent
                .entry(name.clone())
                .or_default()
                .push(Some(kind));
            return;
        }
        let record = match kind.as_str() {
            "SPF" if has_txt => return,
            "TXT" if value.as_str() == Some("NONE") => return,
            "SPF" | "TXT" => Record::Txt(match value.as_vec() {
                Some(strings) => strings
                    .iter()
                    .flat_map(|part| octets(&text(part)))
                    .collect(),
                None => octets(&text(value)),
            }),
            "A" => Record::A(text(value).parse().unwrap()),
            "AAAA" => Record::Aaaa(text(value).parse().unwrap()),
            "MX" => {
                let preference = value[0].as_i64().unwrap();
                Record::Mx(
                    preference.try_into().unwrap(),
                    name_or_root(&text(&value[1])),
                )
            }
            "PTR" => Record::Ptr(name_or_root(&text(value))),
            "CNAME" => Record::Cname(name_of(&text(value))),
            other => panic!("type {other}"),
        };
        self.names.get_mut(name).unwrap().push(record);
    }

    /// Adds one record.
    pub fn put(&mut self, name: &str, record: Record) {
        self.names.entry(name_of(name)).or_default().push(record);
    }

    /// Nothing about this name is ever answered.
    pub fn silence(&mut self, name: &str) {
        let name = name_of(name);
        self.names.entry(name.clone()).or_default();
        self.silent.entry(name).or_default().push(None);
    }

    /// What a name has, if it exists.
    pub fn records(&self, name: &Name) -> Option<&[Record]> {
        self.names.get(name).map(Vec::as_slice)
    }

    /// True if this question to a name is never answered; `empty` if it has no such records.
    pub fn is_silent(&self, name: &Name, kind: RecordType, empty: bool) -> bool {
        self.silent
            .get(name)
            .is_some_and(|silent| silent.contains(&Some(kind)) || (empty && silent.contains(&None)))
    }

    /// The answer, if one ever comes.
    pub fn answer(&self, question: &Question) -> Option<Answer> {
        let mut aliases = Vec::new();
        let mut at = question.name.clone();
        let lookup = loop {
            let Some(records) = self.names.get(&at) else {
                break Lookup::NxDomain;
            };
            let section: Vec<_> = records
                .iter()
                .filter_map(|record| match record {
                    Record::Cname(target) => Some(Alias {
                        owner: at.clone(),
                        target: target.clone(),
                    }),
                    _ => None,
                })
                .collect();
            match chase(&at, &section, &question.name, &mut aliases) {
                Chase::AliasLimit => break Lookup::AliasLimit,
                Chase::At(next) if next != at => at = next,
                Chase::At(_) => break self.own(&at, question.kind)?,
            }
        };
        Some(Answer {
            ttl: 300,
            aliases,
            ..Answer::bare(lookup)
        })
    }

    /// What a name itself has; none for no answer.
    fn own(&self, name: &Name, kind: RecordType) -> Option<Lookup> {
        let list = &self.names[name];
        let records = match kind {
            RecordType::A => Records::A(pick(list, |r| match r {
                Record::A(address) => Some(*address),
                _ => None,
            })),
            RecordType::Aaaa => Records::Aaaa(pick(list, |r| match r {
                Record::Aaaa(address) => Some(*address),
                _ => None,
            })),
            RecordType::Mx => Records::Mx(pick(list, |r| match r {
                Record::Mx(preference, exchange) => Some(Mx {
                    preference: *preference,
                    exchange: exchange.clone(),
                }),
                _ => None,
            })),
            RecordType::Txt => Records::Txt(pick(list, |r| match r {
                Record::Txt(text) => Some(text.clone().into_boxed_slice()),
                _ => None,
            })),
            RecordType::Ptr => Records::Ptr(pick(list, |r| match r {
                Record::Ptr(name) => Some(name.clone()),
                _ => None,
            })),
            RecordType::Tlsa => Records::Tlsa(Vec::new()),
            RecordType::Ns => Records::Ns(Vec::new()),
        };
        let empty = match &records {
            Records::A(list) => list.is_empty(),
            Records::Aaaa(list) => list.is_empty(),
            Records::Mx(list) => list.is_empty(),
            Records::Txt(list) => list.is_empty(),
            Records::Ptr(list) | Records::Ns(list) => list.is_empty(),
            Records::Tlsa(list) => list.is_empty(),
        };
        let silent = self.is_silent(name, kind, empty);
        match (silent, empty) {
            (true, _) => None,
            (false, true) => Some(Lookup::NoData),
            (false, false) => Some(Lookup::Found(records)),
        }
    }
}

fn name_or_root(text: &str) -> Name {
    if text.is_empty() || text == "." {
        Name::root()
    } else {
        name_of(text)
    }
}

fn pick<T>(list: &[Record], of: impl Fn(&Record) -> Option<T>) -> Vec<T> {
    list.iter().filter_map(of).collect()
}

/// What comes of a question to which no answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The resolver gives up on it.
    GivenUp,
    /// Nothing at all, until the check's own time is over.
    Lasting,
}

/// The request of a case.
pub fn request(case: &Case) -> Request {
    Request {
        sender: Sender::parse(&case.mail_from),
        helo: case.helo.as_str().into(),
        client: case.host,
        receiver: "receiver.example".into(),
    }
}

/// Runs a check to its end; `pick` says which of so many answers comes next.
pub fn run(
    request: Request,
    answer: impl Fn(&Question) -> Option<Answer>,
    silence: Silence,
    mut pick: impl FnMut(usize) -> usize,
) -> Report {
    let mut check = Check::new(request);
    let mut coming: Vec<(AskId, Answer)> = Vec::new();
    let (mut now, mut timer) = (5000, None);
    let mut input = Input::Begin;
    loop {
        for action in check.step(input, at(now)) {
            match action {
                Action::Ask(id, question) => match (answer(&question), silence) {
                    (Some(answer), _) => coming.push((id, answer)),
                    (None, Silence::GivenUp) => {
                        coming.push((id, Answer::trouble(Trouble::Timeout)));
                    }
                    (None, Silence::Lasting) => {}
                },
                Action::SetTimer(moment) => timer = Some(moment.as_millis()),
                Action::Done(report) => {
                    assert!(check.step(Input::TimerFired, at(now)).is_empty());
                    return *report;
                }
            }
        }
        input = if coming.is_empty() {
            now = timer
                .take()
                .expect("neither an answer nor a timer is to come");
            Input::TimerFired
        } else {
            let (id, answer) = coming.swap_remove(pick(coming.len()) % coming.len());
            Input::Answer(id, answer)
        };
    }
}

fn at(millis: u64) -> Now {
    Now {
        mono: Mono::from_millis(millis),
        wall: Wall::from_secs(1_795_256_100),
    }
}
