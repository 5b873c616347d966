//! The ledger: a digest of each message that was sent, under the hour of its Date field, and what a question finds.
//!
//! [`Ledger::enter`] adds to hours that are open, in memory and in a journal, and [`Ledger::flush`] makes that durable.
//! [`Ledger::turn`], at each turn of the hour, makes segments of what is open, merges those of days that are over
//! into one a day, lets the oldest go, and keeps the newest in memory. [`Ledger::look_up`] answers questions in
//! batches, and never waits for any of this. All calls block; look-ups only where an older segment is read.
//!
//! Promises: what was entered and flushed is found until it expires, whatever crashes come between; a question is
//! answered [`Answer::NotFound`] only if everything that is kept for its hours was looked at and sound; and whether
//! that means "not sent" [`Ledger::covered`] says, by what has happened to the ledger. Left to others: that no other
//! process has the ledger open; that what is sent is entered first; telling it the time ([`Ledger::beat`]), and who may
//! send for a domain ([`Ledger::witness`]).
//!
//! **A day answers for each of its hours.** A segment of a day does not say which hour a digest is of; a question for
//! one hour finds what was sent in another one of that day. That makes no false "sent": the Date field is covered by
//! the digest, so a digest that is found is that of the very message, but for the luck of 2^-57 that any question
//! has. And it makes no false "not found", since more is looked at, not less.
//!
//! **Several segments of one hour** are there where entries came late or early; their digests are one set, and one
//! that is in two of them is found all the same. So whatever a crash leaves is right to answer from:
//!
//! | a crash | leaves | the next start |
//! |---|---|---|
//! | while the journal is written | a frame that is not whole | reads up to it; nothing behind it was promised |
//! | while a segment is written | a file `.new`, perhaps | takes it away; what it was made of is still there |
//! | before its name is durable | a segment, perhaps, and what it was made of | has both |
//! | before the journals it was made of are gone | both | has both, and makes a segment of the journals again |
//! | before the segments are gone that a merger was made of | both | takes those away, if the merger is sound |
//! | while one expires | it, perhaps | has it; it expires at the next turn |
//!
//! A merger is known by its header, and holds all segments of its kind, of hours among its own, whose serial is lower
//! than its own: serials are given out in order, and nothing is sealed while a merger is made. Serials are not given
//! out twice while a file bears them. A segment that is damaged is not merged with others, for a merger would say by its
//! serial that it holds it.

mod coverage;
mod covering;
mod error;
mod files;
mod format;
mod journal;
mod keeping;
mod kept;
mod large;
mod open;
mod prefetch;
mod question;
mod segment;
mod shelf;
mod sort;
mod soundness;
mod start;
mod survey;

pub use coverage::{Gap, Why};
pub use covering::{BEAT, Missed};
pub use error::LedgerError;
pub use question::{Answer, Entry, Hours, Question};
pub use survey::{Recorded, Surveyed, recorded, survey, verify};

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use vouchsafe_proto::residue::Hour;

use self::coverage::{Coverage, Said};
use self::journal::Journal;
use self::open::OpenHours;
use self::shelf::{Shelf, look_up_open};
use self::soundness::Soundness;
use self::start::Start;
use crate::fs::Disk;

/// Hours that something is kept for, 30 days: longer than it is answered for, so that a question on its way still
/// finds it.
pub const KEPT_HOURS: u32 = 30 * 24;

/// Hours in the past that digests are entered for, 14 days: nobody asks for older ones.
pub const ANSWERED_HOURS: u32 = 14 * 24;

/// Hours in the future that they are entered for: somebody's clock may be a day and more fast.
pub const FUTURE_HOURS: u32 = 48;

/// The ledger of one data folder.
#[derive(Debug)]
pub struct Ledger {
    disk: Arc<dyn Disk>,
    sound: Soundness,
    serial: AtomicU64,
    /// Held by whoever makes segments. These are taken in this order.
    keeper: Mutex<()>,
    /// Held by whoever flushes the journal: what comes meanwhile is flushed together.
    flushing: Mutex<()>,
    journal: Mutex<Journal>,
    coverage: Mutex<Coverage>,
    state: RwLock<State>,
    /// What may be said as things stand, for those who must not wait.
    said: RwLock<Arc<Said>>,
    /// What the start found, until it is begun.
    found: Mutex<Option<Start>>,
}

/// All that is looked at for a question.
#[derive(Debug, Default)]
struct State {
    open: OpenHours,
    /// What segments are to be made of; more than one only after one has failed.
    closed: Vec<Arc<Closed>>,
    shelf: Arc<Shelf>,
}

/// What was open until a turn.
#[derive(Debug)]
struct Closed {
    hours: OpenHours,
    /// The journals with the same.
    journals: Vec<String>,
}

/// What [`Ledger::open`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// Files that are damaged: questions that touch their hours are answered [`Answer::Unreadable`] at best.
    pub damaged: Vec<String>,
    /// Entries read back from journals.
    pub read_back: u64,
    /// Octets behind the last whole frame of each journal that has any. What was never flushed looks like this, and
    /// so does damage.
    pub unread: Vec<(String, u64)>,
}

impl Ledger {
    /// The ledger of this data folder. Completes or undoes what a crash has left half done. Nothing is in memory
    /// before the first [`Ledger::turn`], but everything is found.
    pub fn open(disk: Arc<dyn Disk>) -> io::Result<(Self, Opened)> {
        let found = start::start(&*disk)?;
        let state = State {
            open: OpenHours::default(),
            closed: found.closed.into_iter().map(Arc::new).collect(),
            shelf: Arc::new(found.shelf),
        };
        let ledger = Self {
            disk,
            sound: Soundness::default(),
            serial: AtomicU64::new(found.serial),
            keeper: Mutex::default(),
            flushing: Mutex::default(),
            journal: Mutex::default(),
            coverage: Mutex::new(found.coverage),
            state: RwLock::new(state),
            said: RwLock::default(),
            found: Mutex::new(Some(found.start)),
        };
        Ok((ledger, found.opened))
    }

    /// Enters these, and gives how many. Those dated longer ago than is answered, or further in the future than clocks
    /// differ, are not entered; their hours are not covered, since the clock may be what is wrong. They are found from now on, and durable
    /// once a later [`Ledger::flush`] has ended. After an error none of them is entered.
    pub fn enter(&self, now: Hour, entries: &[Entry]) -> Result<usize, LedgerError> {
        self.sound.check()?;
        let first = now.number().saturating_sub(ANSWERED_HOURS);
        let last = now.number().saturating_add(FUTURE_HOURS);
        let is_entered = |entry: &Entry| (first..=last).contains(&entry.hour.number());
        let chosen: Vec<Entry>;
        let entries = if entries.iter().all(is_entered) {
            entries
        } else {
            for entry in entries.iter().filter(|entry| !is_entered(entry)) {
                self.miss(entry.hour)?;
            }
            chosen = entries.iter().copied().filter(is_entered).collect();
            &chosen
        };
        if entries.is_empty() {
            return Ok(0);
        }
        let mut journal = lock(&self.journal);
        if !self.read().open.has_room(entries.len()) {
            return Err(LedgerError::NoSpace);
        }
        journal.write(&*self.disk, || self.next_serial(), entries)?;
        self.write().open.insert_all(entries);
        Ok(entries.len())
    }

    /// Makes durable what was entered before. Those who come while another one does are served together.
    pub fn flush(&self) -> Result<(), LedgerError> {
        let _flushing = lock(&self.flushing);
        self.flush_journal()
    }

    /// The same, for whoever is the one who flushes.
    fn flush_journal(&self) -> Result<(), LedgerError> {
        self.sound.check()?;
        let Some(due) = lock(&self.journal).due() else {
            return Ok(());
        };
        self.sound.flushed(due.file.sync_data())?;
        if !due.is_named {
            self.sound.flushed(self.disk.sync_dir(files::FOLDER))?;
            self.keep_journal(&due.name, due.end)?;
        }
        lock(&self.journal).flushed(&due);
        Ok(())
    }

    /// Answers each question, in the place of the same number.
    pub fn look_up(&self, questions: &[Question], answers: &mut [Answer]) {
        answers.fill(Answer::NotFound);
        let state = self.read();
        look_up_open(&state.open, questions, answers);
        for closed in &state.closed {
            look_up_open(&closed.hours, questions, answers);
        }
        // Of the same moment, so that nothing is missed that goes from the one to the other.
        let segments = Arc::clone(&state.shelf);
        drop(state);
        segments.look_up(questions, answers);
    }

    /// False once a flush has failed.
    pub fn is_sound(&self) -> bool {
        self.sound.is_sound()
    }

    fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Locks, whatever became of the last holder: what is guarded is consistent between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
