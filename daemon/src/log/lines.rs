//! Lines on their way from those who say them to standard error.
//!
//! Promises: nobody who says a line waits for whoever reads standard error; what waits is bounded,
//! and a line that does not fit is counted, and the count said; a line said to an idle log is
//! written at once, and those of a busy one leave together, at the latest [`crate::gathering::GATHERING`] later.
//!
//! Does not promise that the last lines survive a process that is killed: what must not be lost is
//! in the spool.

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use crate::gathering::Gathering;

/// Octets that may wait: a second or two of a busy host.
const MOST_WAITING: usize = 1024 * 1024;

/// Space that is kept when less of it is needed.
const SPACE_KEPT: usize = 64 * 1024;

/// The way to the writing thread; clones are the same way.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(Arc<Gathering<Waiting>>);

/// What waits to be written.
#[derive(Debug, Default)]
struct Waiting {
    /// Whole lines.
    octets: Vec<u8>,
    /// Lines that did not fit.
    lost: u64,
    /// To be told when all that waits now is written.
    flushes: Vec<Sender<()>>,
}

impl Waiting {
    /// Nothing is to be done.
    fn is_empty(&self) -> bool {
        self.octets.is_empty() && self.lost == 0 && self.flushes.is_empty()
    }

    /// Takes a line. False if it does not fit.
    fn put(&mut self, line: &[u8]) -> bool {
        let fits = self.octets.len().saturating_add(line.len()) <= MOST_WAITING;
        if fits {
            self.octets.extend_from_slice(line);
        } else {
            self.lost = self.lost.saturating_add(1);
        }
        fits
    }

    /// Gives what there is to do, and the lines into `batch`; none if there is nothing.
    fn take(&mut self, batch: &mut Vec<u8>) -> Option<(u64, Vec<Sender<()>>)> {
        if self.is_empty() {
            return None;
        }
        mem::swap(&mut self.octets, batch);
        Some((mem::take(&mut self.lost), mem::take(&mut self.flushes)))
    }
}

impl Lines {
    /// Begins to write into `into`, for as long as the process lives. `on_loss` says how many lines
    /// were lost; what it says here may be lost in its turn, and is counted then.
    pub(super) fn start(
        into: impl Write + Send + 'static,
        on_loss: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let lines = Self::default();
        let waiting = Arc::clone(&lines.0);
        std::thread::Builder::new()
            .name(String::from("log"))
            .spawn(move || write_out(&waiting, into, on_loss))?;
        Ok(lines)
    }

    /// Waits until everything said so far is written, at most for `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let (done, wait) = mpsc::channel();
        self.0.press(|waiting| waiting.flushes.push(done));
        // Without an answer in time there is nobody to say more to.
        let _ = wait.recv_timeout(patience);
    }
}

impl Write for &Lines {
    /// Takes a whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.leave(|waiting| waiting.put(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what comes.
fn write_out(lines: &Gathering<Waiting>, mut into: impl Write, on_loss: impl Fn(u64)) {
    let mut batch = Vec::new();
    loop {
        let (lost, flushes) = lines.take(|waiting| waiting.take(&mut batch));
        // Nothing can be said about a standard error that is gone.
        let _ = into.write_all(&batch);
        batch.clear();
        batch.shrink_to(SPACE_KEPT);
        if lost > 0 {
            on_loss(lost);
        }
        for done in flushes {
            // Who waited may have given up.
            let _ = done.send(());
        }
        lines.gather(|waiting| !waiting.flushes.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, SyncSender};

    const PATIENCE: Duration = Duration::from_mins(1);

    /// Stands in for standard error: each write is handed over, and waits until it is taken.
    struct Reader(SyncSender<Vec<u8>>);

    impl Write for Reader {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let sent = self.0.send(octets.to_vec());
            sent.map(|()| octets.len()).map_err(io::Error::other)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Lines, what is written of them, and what is said of losses.
    fn lines() -> (Lines, Receiver<Vec<u8>>, Receiver<u64>) {
        let (written, read) = mpsc::sync_channel(0);
        let (losses, lost) = mpsc::channel();
        let on_loss = move |count| {
            let _ = losses.send(count);
        };
        (Lines::start(Reader(written), on_loss).unwrap(), read, lost)
    }

    fn say(mut lines: &Lines, line: &[u8]) {
        lines.write_all(line).unwrap();
    }

    #[test]
    fn nobody_waits_for_a_reader_that_stalls_and_what_is_lost_is_counted() {
        let (lines, read, lost) = lines();
        // The writer takes this one along and stalls with it.
        say(&lines, b"first\n");
        while !lines.0.look(|waiting| waiting.octets.is_empty()) {
            std::thread::yield_now();
        }
        let long = [b'x'; 1024];
        for _ in 0..MOST_WAITING / long.len() {
            say(&lines, &long);
        }
        for _ in 0..3 {
            say(&lines, b"one too many\n");
        }
        assert_eq!(read.recv_timeout(PATIENCE).unwrap(), b"first\n");
        // All that fitted leaves in one write, and the loss is said behind it.
        assert_eq!(read.recv_timeout(PATIENCE).unwrap().len(), MOST_WAITING);
        assert_eq!(lost.recv_timeout(PATIENCE), Ok(3));
        say(&lines, b"again\n");
        assert_eq!(read.recv_timeout(PATIENCE).unwrap(), b"again\n");
        assert!(lost.try_recv().is_err());
    }

    #[test]
    fn who_flushes_waits_until_all_is_written() {
        let (lines, read, _lost) = lines();
        say(&lines, b"a\n");
        let reading = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !seen.ends_with(b"b\n") {
                seen.extend(read.recv_timeout(PATIENCE).unwrap());
            }
            // The flush behind it may write nothing more.
            (seen, read)
        });
        say(&lines, b"b\n");
        lines.flush(PATIENCE);
        let (seen, _read) = reading.join().unwrap();
        assert_eq!(seen, b"a\nb\n");
        assert!(lines.0.look(Waiting::is_empty));
    }
}
