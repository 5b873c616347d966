//! A bell: rung by whoever has work for a thread, heard by that thread.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::local::threads::lock;

/// Remembers one ring until it is heard.
#[derive(Debug, Default)]
pub(in crate::local) struct Bell {
    rung: Mutex<bool>,
    more: Condvar,
}

impl Bell {
    /// Wakes whoever waits, now or next.
    pub(in crate::local) fn ring(&self) {
        let mut rung = lock(&self.rung);
        if !std::mem::replace(&mut *rung, true) {
            self.more.notify_one();
        }
    }

    /// Waits for a ring since the last one that was heard.
    pub(in crate::local) fn hear(&self) {
        let mut rung = lock(&self.rung);
        while !*rung {
            rung = self.more.wait(rung).unwrap_or_else(PoisonError::into_inner);
        }
        *rung = false;
    }
}
