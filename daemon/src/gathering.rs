//! What many leave for one thread, which carries it away together: the lines of the log, the notes of the
//! history.
//!
//! Promises: what is left while the thread sleeps wakes it at once; while it works nobody wakes anybody,
//! and what comes then gathers for [`GATHERING`] more, unless something presses; whoever leaves something
//! does not wait for the thread.
//!
//! Left to others: what waits, how much of it may, and what the thread does with it.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long what comes thick and fast gathers: nobody sees a delay in it, and a thousand pieces cost a
/// few system calls and one task switch.
pub const GATHERING: Duration = Duration::from_millis(10);

/// What those who leave something and the thread share.
#[derive(Debug, Default)]
pub struct Gathering<T> {
    inside: Mutex<Inside<T>>,
    /// Told when the thread has something to do and sleeps, and when something presses.
    come: Condvar,
}

#[derive(Debug, Default)]
struct Inside<T> {
    /// What waits for the thread.
    waiting: T,
    /// The thread sleeps until it is told.
    asleep: bool,
}

impl<T> Gathering<T> {
    /// Changes what waits. If `change` says that there is something to do, the thread hears of it,
    /// should it sleep.
    pub fn leave(&self, change: impl FnOnce(&mut T) -> bool) {
        let mut inside = self.lock();
        let wakes = change(&mut inside.waiting) && mem::take(&mut inside.asleep);
        drop(inside);
        if wakes {
            self.come.notify_one();
        }
    }

    /// Changes what waits, so that it presses: the thread looks at it now, also while it gathers.
    pub fn press(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.lock().waiting);
        self.come.notify_one();
    }

    /// Sleeps until `take` gives something of what waits.
    pub fn take<R>(&self, mut take: impl FnMut(&mut T) -> Option<R>) -> R {
        let mut inside = self.lock();
        loop {
            if let Some(taken) = take(&mut inside.waiting) {
                inside.asleep = false;
                return taken;
            }
            inside.asleep = true;
            inside = self
                .come
                .wait(inside)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets more gather, as long as nothing presses.
    pub fn gather(&self, presses: impl Fn(&T) -> bool) {
        let nothing_presses = |inside: &mut Inside<T>| !presses(&inside.waiting);
        let gathered = self
            .come
            .wait_timeout_while(self.lock(), GATHERING, nothing_presses);
        // However it ended, what is there is taken next.
        drop(gathered);
    }

    /// Looks at what waits.
    #[cfg(test)]
    pub fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock().waiting)
    }

    /// What is inside. Each change to it is whole in itself, so poison means nothing.
    fn lock(&self) -> MutexGuard<'_, Inside<T>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
