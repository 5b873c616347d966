//! Fills a ledger with digests that are known by their numbers, spread over the last hours.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use vouchsafe_proto::residue::{Digest, Hour, Kind};
use vouchsafe_spool::fs::LocalDisk;
use vouchsafe_spool::ledger::{Entry, Ledger};

/// What is filled.
#[derive(Debug, Args)]
pub struct Run {
    /// The data folder.
    folder: PathBuf,
    #[command(flatten)]
    spread: Spread,
}

/// Which digests there are.
#[derive(Clone, Copy, Debug, Args)]
pub struct Spread {
    /// How many.
    #[arg(long, default_value_t = 100_000_000)]
    digests: u64,
    /// In how many hours; a ledger has the last 24 in memory.
    #[arg(long, default_value_t = 22)]
    hours: u32,
}

/// Digests that are entered by one call.
const ENTERED: usize = 4096;

impl Spread {
    /// How many there are.
    pub const fn digests(self) -> u64 {
        self.digests
    }

    /// How many hours before the last one a digest was entered.
    pub fn age(self, number: u64) -> u32 {
        let age = u128::from(number) * u128::from(self.hours) / u128::from(self.digests.max(1));
        u32::try_from(age).unwrap_or_default()
    }

    /// The numbers of one hour's.
    fn of_age(self, age: u32) -> std::ops::Range<u64> {
        let first = |age: u32| {
            let first = u128::from(age) * u128::from(self.digests);
            u64::try_from(first.div_ceil(u128::from(self.hours.max(1)))).unwrap_or(u64::MAX)
        };
        first(age)..first(age + 1)
    }
}

impl Run {
    /// Fills it.
    pub fn fill(self) -> anyhow::Result<()> {
        let now = now().context("an hour")?;
        std::fs::create_dir_all(&self.folder)?;
        let (ledger, _) = Ledger::open(Arc::new(LocalDisk::new(self.folder)))?;
        for age in (0..self.spread.hours).rev() {
            let hour = Hour::new(now.number() - age).context("an hour")?;
            let mut numbers = self.spread.of_age(age).peekable();
            while numbers.peek().is_some() {
                let numbers = numbers.by_ref().take(ENTERED);
                let entry = |number| Entry {
                    kind: Kind::Message,
                    hour,
                    digest: digest(number),
                };
                let entries: Vec<_> = numbers.map(entry).collect();
                ledger.enter(now, &entries)?;
            }
            ledger.flush()?;
            // A segment for each hour, so that no more than one is open here.
            ledger.turn(now)?;
        }
        println!("{}", now.number());
        Ok(())
    }
}

/// The number's digest (splitmix64, twice).
pub fn digest(number: u64) -> Digest {
    let half = |number: u64| {
        let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(mixed ^ mixed >> 31)
    };
    Digest::new(half(number * 2 + 1) << 64 | half(number * 2 + 2))
}

/// The hour that it is.
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn now() -> Option<Hour> {
    let now = std::time::SystemTime::now();
    let seconds = now.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    Hour::new(u32::try_from(seconds / 3600).ok()?)
}
