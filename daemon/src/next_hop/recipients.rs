//! What next hops have said of recipients (`proto::cutthrough::Memory`), kept over a restart.
//!
//! Promises: whoever asks or notes does not wait for the disk; what is new is written some minutes later,
//! and at the stop, as a whole. A disk that does not take it costs nothing but the knowledge.
//!
//! Left to others: what is remembered and for how long, and when it is used.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinError;
use tokio::time::sleep_until;
use tracing::{debug, error};
use vouchsafe_proto::addr::ForwardPath;
use vouchsafe_proto::cutthrough::{Bounds, Memory};
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::route::NextHop;
use vouchsafe_spool::fs::LocalDisk;

use crate::clock;
use crate::config::Config;
use crate::log::chain;

/// What is remembered.
#[derive(Debug)]
pub struct Recipients {
    memory: Mutex<Memory>,
    /// There is something that was not written.
    unwritten: AtomicBool,
    news: Notify,
    /// Held while it is written, so that who comes last writes last.
    file: Mutex<vouchsafe_spool::Recipients>,
}

impl Recipients {
    /// What is remembered in this configuration's folder.
    pub async fn of(config: &Config) -> Result<Arc<Self>, JoinError> {
        let disk = Arc::new(LocalDisk::new(config.data_dir.clone()));
        let opening = move || Arc::new(Self::open(vouchsafe_spool::Recipients::new(disk)));
        tokio::task::spawn_blocking(opening).await
    }

    /// What the file says. If it cannot be read, nothing is known. Blocks.
    fn open(file: vouchsafe_spool::Recipients) -> Self {
        let text = file.read().unwrap_or_else(|error| {
            error!(error = %chain(&error), "what is known of recipients cannot be read");
            String::new()
        });
        let memory = Memory::of_text(&text, Bounds::default(), clock::now().wall);
        let (accepted, refused) = memory.count();
        debug!(accepted, refused, "known recipients");
        Self {
            memory: Mutex::new(memory),
            unwritten: AtomicBool::new(false),
            news: Notify::new(),
            file: Mutex::new(file),
        }
    }

    /// What the next hop has said of a recipient that it refused lately.
    pub fn refusal(&self, next_hop: &NextHop, recipient: &ForwardPath) -> Option<Outcome> {
        let now = clock::now().wall;
        self.memory().refusal(next_hop, recipient, now)
    }

    /// It has taken a recipient.
    pub fn accepted(&self, next_hop: &NextHop, recipient: &ForwardPath) {
        let now = clock::now().wall;
        let is_new = self.memory().accepted(next_hop, recipient, now);
        self.note(is_new);
    }

    /// It has said this to RCPT.
    pub fn refused(&self, next_hop: &NextHop, recipient: &ForwardPath, outcome: &Outcome) {
        let now = clock::now().wall;
        let is_new = self.memory().refused(next_hop, recipient, outcome, now);
        self.note(is_new);
    }

    /// Writes what is new, some minutes after it came. Never ends.
    pub async fn keep_written(self: Arc<Self>) {
        self.keep_written_after(WRITTEN_AFTER).await;
    }

    async fn keep_written_after(self: Arc<Self>, after: Duration) {
        loop {
            self.news.notified().await;
            sleep_until(clock::instant(clock::mono().plus(after))).await;
            Arc::clone(&self).write().await;
        }
    }

    /// Writes what is new.
    pub async fn write(self: Arc<Self>) {
        // That a panic there is not passed on matters to nobody.
        let _ = tokio::task::spawn_blocking(move || self.write_now()).await;
    }

    fn write_now(&self) {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.unwritten.swap(false, Ordering::AcqRel) {
            return;
        }
        let text = self.memory().to_text();
        if let Err(error) = file.keep(&text) {
            // It is tried again with what comes next.
            self.unwritten.store(true, Ordering::Release);
            error!(error = %chain(&error), "what is known of recipients cannot be written");
        }
    }

    fn note(&self, is_new: bool) {
        if is_new {
            self.unwritten.store(true, Ordering::Release);
            self.news.notify_one();
        }
    }

    /// A panic elsewhere cannot leave it half changed, so poison means nothing.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long what is new waits for more. A crash loses as much.
const WRITTEN_AFTER: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_proto::reply::{EnhancedStatus, Reply};

    /// A memory in this folder, as a service has it from its start on.
    fn open(folder: &tempfile::TempDir) -> Arc<Recipients> {
        let disk = LocalDisk::new(folder.path().to_path_buf());
        let file = vouchsafe_spool::Recipients::new(Arc::new(disk));
        Arc::new(Recipients::open(file))
    }

    #[tokio::test]
    async fn what_is_new_is_written_by_itself_and_outlasts_the_memory() {
        let folder = tempfile::tempdir().unwrap();
        let (hop, who) = (
            NextHop::parse("smtp://primary.example").unwrap(),
            ForwardPath::parse_inside("nobody@one.example").unwrap(),
        );
        let reply = Reply::received(550, EnhancedStatus::parse("5.1.1"), vec!["no".into()]);
        let first = open(&folder);
        first.refused(&hop, &who, &Outcome::from_reply(&reply, None));
        assert!(first.refusal(&hop, &who).is_some());
        assert_eq!(open(&folder).refusal(&hop, &who), None, "not at once");
        let keeping = tokio::spawn(Arc::clone(&first).keep_written_after(Duration::ZERO));
        while first.unwritten.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        keeping.abort();
        // Whoever writes holds the file until it has.
        drop(first.file.lock());
        let second = open(&folder);
        assert_eq!(second.refusal(&hop, &who), first.refusal(&hop, &who));
        second.accepted(&hop, &who);
        Arc::clone(&second).write().await;
        assert_eq!(open(&folder).refusal(&hop, &who), None);
    }
}
