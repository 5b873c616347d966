//! A look into the ledger that a service has left, by the digests of messages as they came to the next hop.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use vouchsafe_proto::addr::{Domain, ReversePath};
use vouchsafe_proto::residue::covered::{Covered, Hasher, Reader};
use vouchsafe_proto::residue::{Congruences, Digest, Hour, Kind, Residue};
use vouchsafe_proto::time::{Mono, Now, Wall};
use vouchsafe_spool::fs::LocalDisk;
use vouchsafe_spool::ledger::{Answer, Hours, Ledger, Question};
use vouchsafe_spool::{LocalSpool, Options};

pub struct Sha256(Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Hasher for Sha256 {
    fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    fn finish(self) -> [u8; 32] {
        self.0.finish().as_ref().try_into().unwrap()
    }
}

/// What is claimed of this content (XVOUCH), from a reverse-path to this recipient.
pub fn claim(reverse_path: &str, recipient: &str, content: &[u8]) -> String {
    let covered = read(content);
    let (_, domain) = recipient.split_once('@').unwrap();
    let domain = Domain::parse(domain).unwrap();
    let digest = covered.digest::<Sha256>(&domain, &path(reverse_path));
    let hour = covered.hour().unwrap().number();
    format!("{hour:x}.{:?}", digest.unwrap())
}

/// A ledger at rest.
pub struct Known(LocalSpool);

impl Known {
    /// That of the service which had this folder.
    pub fn open(folder: &Path) -> Self {
        Self(LocalSpool::open(&folder.join("data"), Options::default()).unwrap())
    }

    /// Whether this message is in it, as one to this domain.
    pub fn has(&self, reverse_path: &str, domain: &str, content: &[u8]) -> bool {
        let covered = read(content);
        let domain = Domain::parse(domain).unwrap();
        let digest = covered.digest::<Sha256>(&domain, &path(reverse_path));
        self.finds(Kind::Message, &covered, digest.unwrap())
    }

    /// Whether the identity of this message is.
    pub fn has_identity(&self, reverse_path: &str, content: &[u8]) -> bool {
        let covered = read(content);
        let digest = covered.identity::<Sha256>(&path(reverse_path));
        self.finds(Kind::Identity, &covered, digest.unwrap())
    }

    fn finds(&self, kind: Kind, covered: &Covered, digest: Digest) -> bool {
        let residue = Residue::of(digest, u64::MAX - 58).unwrap();
        let question = Question {
            kind,
            hours: Hours::one(covered.hour().unwrap()),
            index: digest.index(),
            congruences: Congruences::of(&[residue]).unwrap(),
        };
        let mut answers = [Answer::NotFound];
        self.0.ledger().look_up(&[question], &mut answers);
        answers == [Answer::Sent]
    }
}

/// The hour and the digest of a message to this domain.
pub fn digest_of(reverse_path: &str, domain: &str, content: &[u8]) -> (Hour, Digest) {
    let covered = read(content);
    let domain = Domain::parse(domain).unwrap();
    let digest = covered.digest::<Sha256>(&domain, &path(reverse_path));
    (covered.hour().unwrap(), digest.unwrap())
}

/// Makes the ledger of a service that is yet to start: it has been kept for so many hours, and nobody else could send
/// for `domain` in all of them.
pub fn keep_since(folder: &Path, domain: &str, hours: u64) {
    keep_with(folder, domain, None, hours);
}

/// The same with a writer that was heard of all the time.
pub fn keep_with(folder: &Path, domain: &str, writer: Option<&str>, hours: u64) {
    let data = folder.join("data");
    let disk = Arc::new(LocalDisk::new(data));
    let (ledger, _) = Ledger::open(disk).unwrap();
    let start = now() - hours * 3600;
    let moment = |past: u64| Now {
        wall: Wall::from_secs(start + past),
        mono: Mono::from_millis(past * 1000),
    };
    ledger.begin(moment(0), &[domain.into()].into()).unwrap();
    let name = Domain::parse(domain).unwrap();
    let patience = std::time::Duration::from_hours(1);
    let writers = writer.map(|writer| (writer.into(), patience));
    ledger.set_writers(writers.into_iter().collect());
    for past in (0..hours * 3600).step_by(25 * 60).chain([hours * 3600]) {
        ledger.witness(moment(past).wall, &name, true).unwrap();
        if let Some(writer) = writer {
            ledger.hear(moment(past).wall, writer);
        }
        ledger.beat(moment(past)).unwrap();
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn path(text: &str) -> ReversePath {
    ReversePath::parse_inside(text).unwrap()
}

fn read(content: &[u8]) -> Covered {
    let mut reader = Reader::<Sha256>::default();
    reader.read(content);
    reader.finish().unwrap()
}
