//! What the demo prints: prose, zone records, SMTP lines, verdicts.
//!
//! Promises: on a terminal everything is folded to its width, and colours are used unless
//! `NO_COLOR` is set; elsewhere no line of SMTP is folded and nothing is coloured, so that the
//! output can be searched. The words are the same. What another host said is escaped.

use std::cell::RefCell;
use std::io::IsTerminal as _;

use vouchsafe_proto::verify::Verdict;

use crate::cli::{Failure, print_out};
use crate::log::Peer;

/// One line of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// What the client said.
    Client(String),
    /// What the server said.
    Server(String),
    /// What is done, or left out.
    Note(String),
}

/// Where the stories are told.
#[derive(Debug)]
pub struct Page {
    /// Prints.
    out: Out,
    /// Columns for prose.
    width: usize,
    /// SMTP lines are folded to the width too.
    folds: bool,
    colours: bool,
    /// The first failure to print, after which nothing more is printed.
    failed: RefCell<Option<Failure>>,
}

/// What prints a piece of text.
type Out = fn(&str) -> Result<(), Failure>;

/// Widest prose: longer lines are hard to read, however wide the terminal.
const WIDEST: usize = 100;

/// Narrowest that is folded to; below it words are cut, and nobody would read them.
const NARROWEST: usize = 50;

/// Width where there is no terminal to ask.
const USUAL: usize = 80;

/// Terminal codes (ECMA-48 SGR).
mod colour {
    pub const BOLD: &str = "1";
    pub const DIM: &str = "2";
    pub const RED: &str = "31";
    pub const GREEN: &str = "32";
    pub const YELLOW: &str = "33";
    pub const CYAN: &str = "36";
}

impl Page {
    /// Standard output, as wide and as colourful as it is.
    pub fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let width = terminal
            .then(terminal_size::terminal_size)
            .flatten()
            .map_or(USUAL, |(width, _)| usize::from(width.0));
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            width: width.clamp(NARROWEST, WIDEST),
            folds: terminal,
            colours: terminal && !plain,
            ..Self::onto(print_out)
        }
    }

    /// A page without a terminal.
    pub fn onto(out: Out) -> Self {
        Self {
            out,
            width: USUAL,
            folds: false,
            colours: false,
            failed: RefCell::new(None),
        }
    }

    /// The first failure to print, if there was one.
    pub fn end(self) -> Result<(), Failure> {
        self.failed.into_inner().map_or(Ok(()), Err)
    }

    /// The title of a story.
    pub fn title(&self, text: &str) {
        self.put("\n");
        self.put(&self.painted(colour::BOLD, text));
        self.put("\n");
        self.put(&self.painted(colour::BOLD, &"=".repeat(text.len())));
        self.put("\n\n");
    }

    /// A paragraph, and an empty line.
    pub fn prose(&self, text: &str) {
        for line in fold(text, self.width) {
            self.put(&format!("{line}\n"));
        }
        self.put("\n");
    }

    /// Zone records, or other text with lines of its own, and an empty line.
    pub fn records(&self, text: &str) {
        for line in text.lines() {
            self.put(&format!("    {}\n", self.painted(colour::CYAN, line)));
        }
        self.put("\n");
    }

    /// One line of SMTP.
    pub fn line(&self, line: &Line) {
        match line {
            Line::Client(said) => self.labelled("C: ", said, None),
            Line::Server(said) => {
                let colour = match said.as_bytes().first() {
                    Some(b'4') => colour::YELLOW,
                    Some(b'5') => colour::RED,
                    _ => colour::GREEN,
                };
                self.labelled("S: ", said, Some(colour));
            }
            Line::Note(what) => self.labelled("", &format!("[{what}]"), Some(colour::DIM)),
        }
    }

    /// Lines of SMTP, and an empty line.
    pub fn lines(&self, lines: &[Line]) {
        for line in lines {
            self.line(line);
        }
        self.put("\n");
    }

    /// A command to be copied: its parts on a line each, as a shell takes them, and never folded.
    pub fn command(&self, parts: &[&str]) {
        self.put(&self.painted(colour::CYAN, &parts.join(" \\\n  ")));
        self.put("\n");
    }

    /// The end of a conversation.
    pub fn gap(&self) {
        self.put("\n");
    }

    /// A message as it arrived, or what a command prints, and an empty line. Lines of reports are
    /// up to 76 columns wide, which fit beside this margin on any terminal.
    pub fn quote(&self, lines: impl IntoIterator<Item = impl AsRef<str>>) {
        for line in lines {
            self.beside("  ", "| ", line.as_ref(), None);
        }
        self.put("\n");
    }

    /// The verdict, why, and what the DNS said; and an empty line.
    pub fn verdict(&self, verdict: &Verdict) {
        let colour = match verdict.refusal().map(|reply| reply.code()) {
            None => colour::GREEN,
            Some(400..=499) => colour::YELLOW,
            Some(_) => colour::RED,
        };
        let Some(report) = verdict.mail_from() else {
            return;
        };
        let word = format!("{} ({})", verdict.result(), report.reason);
        self.labelled("verdict  ", &word, Some(colour));
        self.labelled("because  ", &report.explanation(), None);
        for (at, step) in report.steps.iter().enumerate() {
            let label = if at == 0 { "asked    " } else { "         " };
            self.labelled(label, &step.to_string(), None);
        }
        self.put("\n");
    }

    /// A label, and text that is folded beside it.
    fn labelled(&self, label: &str, text: &str, colour: Option<&str>) {
        self.beside("    ", label, text, colour);
    }

    /// The same, behind a margin.
    fn beside(&self, margin: &str, label: &str, text: &str, colour: Option<&str>) {
        let text = Tabs(text).to_string();
        let indent = margin.len().saturating_add(label.len());
        let parts = if self.folds {
            fold(&text, self.width.saturating_sub(indent))
        } else {
            vec![text]
        };
        for (at, part) in parts.iter().enumerate() {
            let label = if at == 0 {
                format!("{margin}{}", self.painted(colour::DIM, label))
            } else {
                " ".repeat(indent)
            };
            let part = match colour {
                Some(colour) => self.painted(colour, part),
                None => part.clone(),
            };
            self.put(&format!("{}\n", format!("{label}{part}").trim_end()));
        }
    }

    /// The text in a colour, where there are colours.
    fn painted(&self, code: &str, text: &str) -> String {
        if self.colours && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// Prints.
    fn put(&self, text: &str) {
        let mut failed = self.failed.borrow_mut();
        if failed.is_none() {
            *failed = (self.out)(text).err();
        }
    }
}

/// What another host said, escaped; its tabs, which fold header fields, as blanks.
struct Tabs<'a>(&'a str);

impl std::fmt::Display for Tabs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", Peer(self.0.replace('\t', "        ")))
    }
}

/// Cuts a text into lines of at most so many columns, at blanks where there are any. A blank at
/// the start of the text stays.
fn fold(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while rest.len() > width {
        let head = rest.get(..=width).unwrap_or(rest);
        let margin = rest.len().saturating_sub(rest.trim_start().len());
        let (line, tail) = match head.rfind(' ').filter(|at| *at > margin) {
            Some(at) => rest.split_at(at),
            None => rest.split_at_checked(width).unwrap_or((rest, "")),
        };
        lines.push(line.trim_end().to_owned());
        rest = tail.trim_start();
    }
    if !rest.is_empty() || lines.is_empty() {
        lines.push(rest.to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_folded_at_blanks_and_nothing_is_lost() {
        for (text, width, expected) in [
            ("", 5, &[""][..]),
            ("one two", 7, &["one two"]),
            ("one two", 6, &["one", "two"]),
            ("one two three", 3, &["one", "two", "thr", "ee"]),
            ("  indented text", 10, &["  indented", "text"]),
            ("abcdefgh", 4, &["abcd", "efgh"]),
        ] {
            assert_eq!(fold(text, width), expected, "{text:?} in {width}");
        }
    }
}
