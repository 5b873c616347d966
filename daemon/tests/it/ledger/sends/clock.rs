//! A process's clock that is not the time: libfaketime in front of the C library, with an offset that is read anew each
//! time. Only the wall clock is set; the monotonic one goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tempfile::TempDir;
use vouchsafe_proto::time::Wall;

use super::super::known::now;
use crate::harness::there;
use crate::service::Setup;

/// Where the clock goes, in seconds off the time, one after the other: by little and by much, ahead and behind.
pub const STEPS: [i64; 12] = [
    90, -90, 1_500, 7_300, 0, -7_300, 86_400, -86_400, 1_300_000, -600, 3_000_000, -400_000,
];

/// One.
#[derive(Clone)]
pub struct Clock {
    folder: Arc<TempDir>,
    offset: Arc<AtomicI64>,
    next: usize,
}

/// Debian's libfaketime.
fn library() -> Option<PathBuf> {
    let found = fs::read_dir("/usr/lib").ok()?.flatten();
    let mut each = found.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    each.find(|path| path.exists())
}

impl Clock {
    /// Whether there can be one.
    pub fn installed() -> bool {
        there(
            library().is_some(),
            "libfaketime is not there",
            "clocks that jump under a real process",
        )
    }

    /// One that is right.
    pub fn new() -> Self {
        let clock = Self {
            folder: Arc::new(tempfile::tempdir().unwrap()),
            offset: Arc::default(),
            next: 0,
        };
        clock.write(0);
        clock
    }

    /// The service goes by it.
    pub fn given_to(&self, setup: Setup) -> Setup {
        setup
            .environment("LD_PRELOAD", &library().unwrap())
            .environment("FAKETIME_TIMESTAMP_FILE", &self.file())
            .environment("FAKETIME_NO_CACHE", Path::new("1"))
            .environment("FAKETIME_DONT_FAKE_MONOTONIC", Path::new("1"))
            .environment("DONT_FAKE_MONOTONIC", Path::new("1"))
            .environment("NO_FAKE_STAT", Path::new("1"))
    }

    /// What it says, in seconds since 1970.
    pub fn now(&self) -> u64 {
        now().saturating_add_signed(self.offset.load(Ordering::Acquire))
    }

    /// True if a line of the log was written by it just now.
    pub fn has_said(&self, line: &str) -> bool {
        let is_of = |seconds| {
            // Day and minute, of `Mon, 23 Nov 2026 13:08:53 +0000`.
            let text = Wall::from_secs(seconds).to_rfc5322();
            let words: Vec<_> = text.split(' ').collect();
            line.get(8..16) == Some(&format!("{:0>2}T{}", words[1], &words[4][..5])[..])
        };
        let now = self.now();
        (now - 180..=now).step_by(60).any(is_of)
    }

    /// It is set.
    pub fn step(&mut self) {
        let offset = STEPS[self.next % STEPS.len()];
        self.next += 1;
        self.set(offset);
    }

    /// It is set so many seconds off the time.
    pub fn set(&mut self, offset: i64) {
        self.write(offset);
        self.offset.store(offset, Ordering::Release);
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }

    /// At once, so that nobody reads half of it.
    fn write(&self, offset: i64) {
        let new = self.folder.path().join("new");
        fs::write(&new, format!("{offset:+}\n")).unwrap();
        fs::rename(&new, self.file()).unwrap();
    }
}
