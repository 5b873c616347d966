//! Threads for calls that may block on the disk, so that no caller's thread ever does.
//!
//! A [`Pool`] runs jobs in the order given, on a few threads of its own. What is given before
//! [`Pool::close`] is run; what comes after is dropped unrun, which its asker sees as
//! [`Gone`]. A job that panics costs its asker the answer, and nobody else anything.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

/// One job.
type Job = Box<dyn FnOnce() + Send>;

/// The answer will not come: the pool is closed, or the job panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// A few threads and the jobs that wait for them.
pub(super) struct Pool {
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the threads of one pool share.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

/// Jobs not yet begun.
#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Pool {
    /// Starts `count` threads called `name`.
    pub(super) fn start(name: &str, count: usize) -> io::Result<Self> {
        let pool = Self {
            queue: Arc::default(),
            threads: Mutex::default(),
        };
        for _ in 0..count {
            let queue = Arc::clone(&pool.queue);
            let thread = thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || queue.work())?;
            lock(&pool.threads).push(thread);
        }
        Ok(pool)
    }

    /// Has a job run, and waits for what it gives. A caller that stops waiting does not stop the
    /// job; its result is then dropped on the pool's thread.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.start_job(move || {
            // An asker that is gone has no use for the answer.
            let _ = reply.send(job());
        });
        answer.await.map_err(|_| Gone)
    }

    /// Has a job run that nobody waits for.
    pub(super) fn start_job(&self, job: impl FnOnce() + Send + 'static) {
        let mut waiting = lock(&self.queue.waiting);
        if !waiting.closed {
            waiting.jobs.push_back(Box::new(job));
            self.queue.more.notify_one();
        }
    }

    /// Takes no more jobs, and waits for those that were given.
    pub(super) fn close(&self) {
        lock(&self.queue.waiting).closed = true;
        self.queue.more.notify_all();
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            // The last owner of a pool may be a job of its own; it cannot wait for itself.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl Queue {
    /// A thread's life.
    fn work(&self) {
        while let Some(job) = self.next() {
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    /// The next job; `None` once closed and empty.
    fn next(&self) -> Option<Job> {
        let mut waiting = lock(&self.waiting);
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            if waiting.closed {
                return None;
            }
            waiting = self
                .more
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Locks, whatever became of the last holder: what these locks guard is consistent between any
/// two statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same to read.
pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// The same to write.
pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_costs_its_asker_the_answer_and_nobody_else_anything() {
        let pool = Pool::start("test", 1).unwrap();
        assert_eq!(pool.run(|| panic!("on purpose")).await, Err::<(), _>(Gone));
        assert_eq!(pool.run(|| 7).await, Ok(7));
        pool.close();
        assert_eq!(pool.run(|| 8).await, Err(Gone));
    }
}
