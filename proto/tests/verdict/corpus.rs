//! The files of `testdata/verdict`, read. What each key means stands in the README there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use vouchsafe_proto::addr::{Domain, Mailbox};
use vouchsafe_proto::dns::{Answer, RecordType, Trouble};
use vouchsafe_proto::verify::dkim::{self, Reason, Signature};

use crate::world::World;

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    pub about: String,
    #[serde(default)]
    pub only: Option<String>,
    #[serde(default)]
    pub why: Option<String>,
    #[serde(default)]
    pub zones: BTreeMap<String, ZoneText>,
    #[serde(default)]
    pub failing_zones: Vec<String>,
    #[serde(default)]
    pub fixed: Vec<Fixed>,
    pub scenario: Vec<Scenario>,
}

/// A zone's lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneText {
    pub records: String,
}

/// An answer that no name server gives beside the others.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixed {
    pub name: String,
    pub r#type: String,
    pub trouble: String,
}

/// One client and one message, and what must come of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    pub name: String,
    #[serde(default = "default_client")]
    pub client: String,
    #[serde(default = "default_helo")]
    pub helo: String,
    pub mail_from: String,
    #[serde(default = "default_recipient")]
    pub recipient: String,
    #[serde(default)]
    pub forwarders: Vec<String>,
    #[serde(default)]
    pub relay_from: Vec<String>,
    #[serde(default)]
    pub dkim_rescues: bool,
    /// Who the content says it is from.
    #[serde(default)]
    pub from: Option<String>,
    #[serde(default)]
    pub signatures: Vec<Signed>,
    pub evidence: Vec<String>,
    pub verdict: String,
    #[serde(default)]
    pub reply: Option<String>,
    #[serde(default)]
    pub at: Option<String>,
}

/// What was found of one signature.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    pub domain: String,
    pub result: String,
    #[serde(default = "yes")]
    pub from: bool,
    #[serde(default)]
    pub length: bool,
    #[serde(default)]
    pub testing: bool,
}

fn default_client() -> String {
    "192.0.2.9".into()
}

fn default_helo() -> String {
    "client.example.net".into()
}

fn default_recipient() -> String {
    "bob@example.com".into()
}

fn yes() -> bool {
    true
}

impl File {
    /// Its DNS.
    pub fn world(&self) -> World {
        let mut world = World::new();
        for (origin, zone) in &self.zones {
            world.zone(origin, &zone.records);
        }
        for origin in &self.failing_zones {
            world.failing_zone(origin);
        }
        for fixed in &self.fixed {
            assert_eq!(
                (fixed.r#type.as_str(), fixed.trouble.as_str()),
                ("TXT", "servfail")
            );
            let answer = Answer::trouble(Trouble::ServFail);
            world.fix(&fixed.name, RecordType::Txt, answer);
        }
        world
    }
}

impl Scenario {
    /// What the signatures of its content come to; none if it is not signed.
    pub fn signed(&self) -> Option<dkim::Report> {
        (!self.signatures.is_empty()).then(|| dkim::Report {
            signatures: self.signatures.iter().map(Signed::read).collect(),
            from: self.from.as_ref().map(|from| Mailbox::parse(from).unwrap()),
            ..dkim::Report::default()
        })
    }
}

impl Signed {
    fn read(&self) -> Signature {
        let reason = match self.result.as_str() {
            "pass" => Reason::Valid,
            "fail" => Reason::Body,
            "neutral" => Reason::Syntax,
            "permerror" => Reason::NoKey,
            "temperror" => Reason::KeyTrouble(Trouble::Timeout),
            other => panic!("result {other}"),
        };
        Signature {
            domain: Some(Domain::parse(&self.domain).unwrap()),
            selector: None,
            algorithm: None,
            start: "".into(),
            reason,
            has_length: self.length,
            signed_from: self.from,
            testing: self.testing,
        }
    }
}

/// All files, by name.
pub fn files() -> Vec<(String, File)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/verdict");
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let ours = paths.filter(|path| path.extension().is_some_and(|end| end == "toml"));
    let mut files: Vec<_> = ours
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).unwrap();
            let file = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, file)
        })
        .collect();
    files.sort_by(|a: &(String, File), b| a.0.cmp(&b.0));
    files
}
