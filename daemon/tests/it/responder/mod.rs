//! Who answers for the ledger, as a process with a ledger that was filled before, asked by other people's programs
//! and octet by octet.

mod datagrams;
mod malformed;
mod peers;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use vouchsafe_proto::residue::{Digest, Hour, Hours, Kind, Question, Residues, Width};
use vouchsafe_spool::fs::LocalDisk;
use vouchsafe_spool::ledger::{Entry, Ledger};

use super::service::{Service, Setup};

/// What is in the ledger.
const DIGEST: Digest = Digest::new(0x8708_34f1_7f8c_a907_8fdb_a2f6_3449_d26a);
/// What is not.
const OTHER: Digest = Digest::new(0x1a4c_cbd8_ed66_fb61_2489_6960_8513_a834);
/// 2^64 - 59.
const PRIME: u64 = 0xffff_ffff_ffff_ffc5;

/// The hour that it is.
fn hour() -> Hour {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Hour::new(u32::try_from(now.unwrap().as_secs() / 3600).unwrap()).unwrap()
}

/// A service that answers, and where.
struct Answering {
    service: Service,
    at: SocketAddr,
    /// When what is in its ledger was entered.
    hour: Hour,
}

impl Answering {
    fn new(setup: Setup, keys: &str) -> Self {
        let hour = hour();
        let entry = Entry {
            kind: Kind::Message,
            hour,
            digest: DIGEST,
        };
        Self::with(setup, keys, &[entry])
    }

    /// With these entries, and further keys of the section.
    fn with(setup: Setup, keys: &str, entries: &[Entry]) -> Self {
        Self::at("127.0.0.1:0", setup, keys, entries)
    }

    /// The same, at an address.
    fn at(address: &str, setup: Setup, keys: &str, entries: &[Entry]) -> Self {
        let data = setup.folder().join("data");
        std::fs::create_dir_all(&data).unwrap();
        let hour = hour();
        let (ledger, _) = Ledger::open(Arc::new(LocalDisk::new(data))).unwrap();
        ledger.enter(hour, entries).unwrap();
        ledger.flush().unwrap();
        drop(ledger);
        let mut service = setup.with(&section(address, keys)).start();
        service.wait_from_start("answering address=");
        let at = service.answering();
        Self { service, at, hour }
    }

    /// The name by which this digest is asked for.
    fn name(&self, digest: Digest) -> String {
        let residues = Residues::of(digest, Width::Bits64, &[PRIME]).unwrap();
        let hours = Hours::From(self.hour, 1);
        let question = Question::new(Kind::Message, hours, digest.index(), residues).unwrap();
        format!("{}._sent.local.example", question.to_labels())
    }
}

/// The section of the configuration.
fn section(address: &str, keys: &str) -> String {
    let mut text = String::new();
    writeln!(
        text,
        "[ledger]\naddress = [\"{address}\"]\nname_servers = [\"ns.local.example\"]\n{keys}"
    )
    .unwrap();
    text
}
