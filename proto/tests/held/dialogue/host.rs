//! One connection with a host of a dialogue: what it has heard and nobody has read out yet, and what it is
//! to say.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::rc::Rc;

use crate::branch::{Heard, Peer};

/// A connection, as the dialogue and the server under test share it.
pub type Shared = Rc<RefCell<Connection>>;

/// One connection.
#[derive(Debug, Default)]
pub struct Connection {
    inbox: Vec<u8>,
    outbox: VecDeque<Heard>,
    reads: Reads,
    /// Lines that are no content.
    pub lines: VecDeque<String>,
    /// Content as it has come, and as the dialogue has it.
    arrived: Vec<u8>,
    told: Vec<u8>,
    pub ended: bool,
    pub closed: bool,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default)]
enum Reads {
    #[default]
    Lines,
    /// Content up to the dot; whether a line of it is about to begin.
    Data(bool),
    /// So many octets of it.
    Chunk(usize),
}

/// Octets of counted content that are kept back for the last chunk.
const KEPT_BACK: usize = 2;

impl Connection {
    /// The host says this, in pieces of so many octets.
    pub fn says(&mut self, octets: &[u8], size: usize) {
        if octets.starts_with(b"354") {
            self.reads = Reads::Data(true);
        }
        let pieces = octets.chunks(size);
        self.outbox
            .extend(pieces.map(|piece| Heard::Octets(piece.to_vec())));
    }

    /// The host closes its side.
    pub fn ends(&mut self) {
        self.ended = true;
        self.outbox.push_back(Heard::End);
    }

    /// The dialogue has these octets of the content.
    pub fn tell(&mut self, octets: &[u8]) -> Result<(), String> {
        self.told.extend_from_slice(octets);
        let both = self.told.len().min(self.arrived.len());
        if self.told[..both] == self.arrived[..both] {
            return Ok(());
        }
        Err(format!(
            "content {:?}",
            String::from_utf8_lossy(&self.arrived)
        ))
    }

    /// The dialogue has this line; what the host heard instead.
    pub fn line(&mut self, matches: impl Fn(&str) -> bool) -> Result<(), String> {
        let line = self.lines.pop_front().unwrap_or_default();
        if !matches(&line) {
            return Err(line);
        }
        let completes = line == "." || line.ends_with(" LAST");
        if (completes || line == "RSET") && self.missing()? == 0 {
            self.told.clear();
            self.arrived.clear();
        }
        Ok(())
    }

    /// How much of the content that the dialogue has is yet to come, if that is all there is.
    fn missing(&self) -> Result<usize, String> {
        match self.told.strip_prefix(&self.arrived[..]) {
            Some(rest) => Ok(rest.len()),
            None => Err(format!(
                "content {:?}",
                String::from_utf8_lossy(&self.arrived)
            )),
        }
    }

    /// All that it has heard was told of; what was not.
    pub fn nothing_more(&self) -> Result<(), String> {
        if let Some(line) = self.lines.front() {
            return Err(line.clone());
        }
        if self.closed && !self.ended {
            return Err("the end".into());
        }
        if !self.inbox.is_empty() {
            return Err(String::from_utf8_lossy(&self.inbox).into_owned());
        }
        match self.missing()? {
            0..=KEPT_BACK => Ok(()),
            missing => Err(format!("content that lacks {missing} octets")),
        }
    }

    fn take(&mut self) -> bool {
        match self.reads {
            _ if self.inbox.is_empty() => false,
            Reads::Chunk(0) => {
                self.reads = Reads::Lines;
                true
            }
            Reads::Chunk(left) => {
                let used = left.min(self.inbox.len());
                self.arrived.extend(self.inbox.drain(..used));
                self.reads = Reads::Chunk(left - used);
                true
            }
            Reads::Lines => {
                let Some(line) = self.whole_line() else {
                    return false;
                };
                if let Some(chunk) = line.strip_prefix("BDAT ") {
                    let size = chunk.split(' ').next().unwrap();
                    self.reads = Reads::Chunk(size.parse().unwrap());
                }
                self.lines.push_back(line);
                true
            }
            Reads::Data(true) if b".\r\n".starts_with(&self.inbox[..self.inbox.len().min(3)]) => {
                if self.inbox.len() >= 3 {
                    let line = self.whole_line();
                    self.lines.extend(line);
                    self.reads = Reads::Lines;
                }
                matches!(self.reads, Reads::Lines)
            }
            Reads::Data(_) => {
                // Up to the dot, or to what may become one.
                let dot = memchr::memmem::find(&self.inbox, b"\r\n.\r\n");
                let line = memchr::memmem::rfind(&self.inbox, b"\r\n.");
                let used = dot.or(line).map_or(self.inbox.len(), |end| end + 2);
                self.arrived.extend(self.inbox.drain(..used));
                self.reads = Reads::Data(self.arrived.ends_with(b"\r\n"));
                true
            }
        }
    }

    fn whole_line(&mut self) -> Option<String> {
        let end = self.inbox.windows(2).position(|two| two == b"\r\n")?;
        let rest = self.inbox.split_off(end + 2);
        let line = mem::replace(&mut self.inbox, rest);
        Some(String::from_utf8(line).unwrap().trim_end().into())
    }
}

/// The server's end of one.
pub struct Line(pub Shared);

impl Peer for Line {
    fn hear(&mut self, octets: &[u8]) {
        let mut connection = self.0.borrow_mut();
        connection.inbox.extend_from_slice(octets);
        while connection.take() {}
    }

    fn says(&mut self) -> Option<Heard> {
        self.0.borrow_mut().outbox.pop_front()
    }

    fn closed(&mut self) {
        self.0.borrow_mut().closed = true;
    }
}
