//! What the house says to all its sessions: that it is nearly full, or no longer; that it stops.
//!
//! A session listens from its beginning to its end with one future, polled with whatever else it
//! waits for: the place in the queue of those who listen is taken once for each word, not once for
//! each wait.

use std::pin::Pin;

use tokio::sync::watch;

use crate::shutdown::Shutdown;

/// One word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The house is nearly full, or is no longer.
    Pressure(bool),
    /// The service stops. Nothing follows.
    Stop,
}

/// The next word on its way, and behind it all further ones.
pub(super) type Hearing = Pin<Box<dyn Future<Output = (Word, Words)> + Send>>;

/// What a session listens to.
#[derive(Debug)]
pub(super) struct Words {
    stop: Shutdown,
    pressure: watch::Receiver<bool>,
}

impl Words {
    /// From now on. A house that is nearly full already says so first.
    pub(super) fn new(stop: Shutdown, mut pressure: watch::Receiver<bool>) -> Self {
        if *pressure.borrow() {
            pressure.mark_changed();
        }
        Self { stop, pressure }
    }

    /// Listens for the next word.
    pub(super) fn hear(mut self) -> Hearing {
        Box::pin(async move {
            let word = tokio::select! {
                biased;
                () = self.stop.begun() => Word::Stop,
                Ok(()) = self.pressure.changed() => Word::Pressure(*self.pressure.borrow_and_update()),
            };
            (word, self)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_word_is_heard_in_its_turn() {
        let (stop, pressure) = (Shutdown::new(), watch::Sender::new(false));
        let words = Words::new(stop.clone(), pressure.subscribe());
        pressure.send_replace(true);
        let (word, words) = words.hear().await;
        assert_eq!(word, Word::Pressure(true));
        let late = Words::new(stop.clone(), pressure.subscribe());
        assert_eq!(late.hear().await.0, Word::Pressure(true));
        let hearing = words.hear();
        pressure.send_replace(false);
        let (word, words) = hearing.await;
        assert_eq!(word, Word::Pressure(false));
        stop.begin();
        assert_eq!(words.hear().await.0, Word::Stop);
    }
}
