//! How far it is: one line on standard error that is drawn over, if that is a terminal.

use std::io::{IsTerminal as _, Write as _, stderr};

/// Columns of the bar.
const WIDTH: u64 = 40;

/// The line.
#[derive(Debug)]
pub struct Progress {
    total: u64,
    done: u64,
    shown: Option<u64>,
    is_terminal: bool,
}

impl Progress {
    /// Nothing is done yet.
    pub fn new(total: u64) -> Self {
        Self {
            total: total.max(1),
            done: 0,
            shown: None,
            is_terminal: stderr().is_terminal(),
        }
    }

    /// So much more is done.
    pub fn add(&mut self, more: u64) {
        self.done += more;
        let percent = self.percent();
        if self.is_terminal && self.shown != Some(percent) {
            self.shown = Some(percent);
            put(&self.line());
        }
    }

    /// All is done: the line goes.
    pub fn end(self) {
        if self.shown.is_some() {
            put("\r\u{1b}[K");
        }
    }

    fn percent(&self) -> u64 {
        self.done.min(self.total) * 100 / self.total
    }

    /// The line, from the left margin.
    fn line(&self) -> String {
        let full = self.percent() * WIDTH / 100;
        let bar: String = (0..WIDTH)
            .map(|at| if at < full { '#' } else { '.' })
            .collect();
        let (percent, done, total) = (self.percent(), self.done, self.total);
        format!("\r[{bar}] {percent:>3} %  {done} of {total} messages\u{1b}[K")
    }
}

/// Nothing can be done about a standard error that is gone.
fn put(text: &str) {
    let mut stderr = stderr().lock();
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_it_is() {
        let mut progress = Progress::new(400);
        progress.is_terminal = false;
        progress.add(100);
        assert_eq!(
            progress.line(),
            "\r[##########..............................]  25 %  100 of 400 messages\u{1b}[K"
        );
        assert_eq!(progress.shown, None);
        progress.add(1000);
        assert_eq!(progress.percent(), 100);
    }
}
