//! The log: one line an event that matters, to standard error, as text or JSON.
//!
//! Field names are fixed, so that a search works across versions: `session`, `queue_id`,
//! `reverse_path`, `recipient`, `next_hop`, `status`, `verdict`; `error` holds our own troubles.
//! What a peer said goes through [`Peer`], which leaves nothing in it that could end a line, move
//! a terminal's cursor or pass for something it is not.
//!
//! A reader of standard error that stalls does not stop the service: lines wait in a queue of
//! bounded length ([`lines`]), what does not fit is dropped, and the log says how many were.

mod lines;
mod text;

use std::error::Error;
use std::fmt::{self, Write as _};
use std::io;
use std::time::Duration;

use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, reload};

use self::lines::Lines;
use self::text::Text;
use crate::config::schema::{Log, LogFormat};

/// How long the end of the service waits for a reader of standard error that has stalled.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Characters of peer text in one field; a peer chooses how long its text is, not our log's lines.
const LONGEST: usize = 1024;

/// The running log.
#[derive(Debug)]
pub struct Logging {
    level: reload::Handle<LevelFilter, Registry>,
    lines: Lines,
}

impl Logging {
    /// Starts the log of this process. A second start in one process changes nothing.
    pub fn start(log: Log) -> io::Result<Self> {
        let lines = Lines::start(io::stderr(), |lost| {
            tracing::warn!(
                lost,
                "log lines were lost: standard error is not read fast enough"
            );
        })?;
        let (filter, level) = reload::Layer::new(LevelFilter::from_level(log.level));
        let lines_of = tracing_subscriber::fmt::layer()
            .with_writer(lines.clone())
            .with_ansi(false)
            .with_target(false);
        let registry = tracing_subscriber::registry().with(filter);
        // A subscriber that is there already stays: tests of one process share it.
        let _ = match log.format {
            LogFormat::Text => registry.with(lines_of.event_format(Text)).try_init(),
            LogFormat::Json => registry
                .with(lines_of.json().flatten_event(true).with_span_list(false))
                .try_init(),
        };
        Ok(Self { level, lines })
    }

    /// From now on, lines from this level up.
    pub fn set_level(&self, level: Level) {
        // Fails only when the subscriber is gone, and with it the log.
        let _ = self
            .level
            .modify(|filter| *filter = LevelFilter::from_level(level));
    }

    /// Waits until everything said so far is written, but not for ever.
    pub fn flush(&self) {
        self.lines.flush(LAST_WORDS);
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.flush();
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Text of a peer, for the log or a terminal: printable ASCII stays, all else is escaped, and what
/// is very long is cut.
#[derive(Clone, Copy, Debug)]
pub struct Peer<T>(pub T);

impl<T: fmt::Display> fmt::Display for Peer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut escape = Escape {
            into: f,
            left: LONGEST,
        };
        // An error of `Escape` itself means that the text was cut, and nothing else.
        match write!(escape, "{}", self.0) {
            Err(fmt::Error) if escape.left == 0 => f.write_str("..."),
            written => written,
        }
    }
}

/// Escapes what is written to it.
struct Escape<'a, 'b> {
    into: &'a mut fmt::Formatter<'b>,
    left: usize,
}

impl fmt::Write for Escape<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Nearly all text is harmless, and short.
        if text.len() <= self.left && text.bytes().all(is_harmless) {
            self.left = self.left.saturating_sub(text.len());
            return self.into.write_str(text);
        }
        for character in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            match character {
                '\\' => self.into.write_str("\\\\")?,
                ' '..='~' => self.into.write_char(character)?,
                _ => write!(self.into, "{}", character.escape_unicode())?,
            }
        }
        Ok(())
    }
}

/// An octet that stands for itself: printable ASCII but the sign that escapes.
const fn is_harmless(octet: u8) -> bool {
    matches!(octet, b' '..=b'~') && octet != b'\\'
}

/// Several values in one field.
#[derive(Clone, Copy, Debug)]
pub struct Joined<'a, T>(pub &'a [T]);

impl<T: fmt::Display> fmt::Display for Joined<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, value) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            value.fmt(f)?;
        }
        Ok(())
    }
}

/// An error with its causes, on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text.push_str(": ");
        text.push_str(&deeper.to_string());
        cause = deeper.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_text_cannot_leave_its_line() {
        for (text, shown) in [
            ("a@example.org", "a@example.org"),
            ("a\r\nb", r"a\u{d}\u{a}b"),
            ("\u{1b}[2J", r"\u{1b}[2J"),
            ("back\\slash", r"back\\slash"),
            ("jalape\u{f1}o", r"jalape\u{f1}o"),
            ("\u{202e}gro", r"\u{202e}gro"),
            ("", ""),
        ] {
            assert_eq!(Peer(text).to_string(), shown);
        }
    }

    #[test]
    fn long_peer_text_is_cut() {
        assert_eq!(Peer("x".repeat(LONGEST)).to_string(), "x".repeat(LONGEST));
        let cut = Peer("x".repeat(LONGEST + 1)).to_string();
        assert_eq!(cut, format!("{}...", "x".repeat(LONGEST)));
    }

    #[test]
    fn several_values_stand_in_a_row() {
        assert_eq!(Joined(&["a", "b"]).to_string(), "a, b");
        assert_eq!(Joined::<&str>(&[]).to_string(), "");
    }
}
