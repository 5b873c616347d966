//! The word that the service is to stop, and the signals of its supervisor.
//!
//! Stopping is graceful: whoever holds a [`Shutdown`] finishes what is in hand and begins nothing.

use tokio::sync::watch;

/// Tells, and waits for, the end of the service. Clones share it.
#[derive(Clone, Debug)]
pub struct Shutdown {
    begun: watch::Sender<bool>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// Not begun.
    pub fn new() -> Self {
        Self {
            begun: watch::Sender::new(false),
        }
    }

    /// Begins; saying it again changes nothing.
    pub fn begin(&self) {
        self.begun.send_replace(true);
    }

    /// True once it has begun.
    pub fn has_begun(&self) -> bool {
        *self.begun.borrow()
    }

    /// Waits until it has begun; at once if it has.
    pub async fn begun(&self) {
        // The channel cannot close while `self` holds its sender.
        let _ = self.begun.subscribe().wait_for(|begun| *begun).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_hears_of_it_early_or_late() {
        let shutdown = Shutdown::new();
        let early = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.begun().await }
        });
        assert!(!shutdown.has_begun());
        shutdown.begin();
        shutdown.begin();
        early.await.unwrap();
        shutdown.clone().begun().await;
        assert!(shutdown.has_begun());
    }
}
