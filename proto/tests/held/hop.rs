//! A next hop that does as chance says: it takes, refuses, falls silent, leaves, or talks nonsense, at
//! any command; and what it has taken it has.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::branch::{Heard, Peer};
use super::chance::Chance;

/// What a next hop has taken: to whom, and what.
pub type Taken = Rc<RefCell<Vec<(String, Vec<u8>)>>>;

/// What it does with a command.
enum Does {
    Takes,
    Refuses(u16),
    Leaves,
    Closes,
    FallsSilent,
    Raves,
}

/// One connection.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is where it stands, or how it is"
)]
pub struct Hop {
    taken: Taken,
    chance: Chance,
    chunking: bool,
    prdr: bool,
    /// MAIL has asked for a word for each recipient.
    each: bool,
    inbox: Vec<u8>,
    recipients: Vec<String>,
    content: Vec<u8>,
    in_data: bool,
    /// Octets of a chunk still to come, and whether it is the last.
    chunk: Option<(usize, bool)>,
    failed: bool,
    over: bool,
    outbox: VecDeque<Heard>,
}

impl Peer for Hop {
    fn hear(&mut self, octets: &[u8]) {
        self.inbox.extend_from_slice(octets);
        while !self.over && self.take() {}
    }

    fn says(&mut self) -> Option<Heard> {
        self.outbox.pop_front()
    }
}

impl Hop {
    /// A connection, greeted or not.
    pub fn new(taken: Taken, mut chance: Chance) -> Self {
        let (chunking, prdr) = (chance.draw(2) == 0, chance.draw(2) == 0);
        let mut hop = Self {
            taken,
            chunking,
            prdr,
            each: false,
            chance,
            inbox: Vec::new(),
            recipients: Vec::new(),
            content: Vec::new(),
            in_data: false,
            chunk: None,
            failed: false,
            over: false,
            outbox: VecDeque::new(),
        };
        hop.answer("220 hop.example", 40);
        hop
    }

    /// What it does: once in `often` something bad.
    fn does(&mut self, often: u64) -> Does {
        if self.chance.draw(often) != 0 {
            return Does::Takes;
        }
        match self.chance.draw(8) {
            0 => Does::Leaves,
            1 => Does::Closes,
            2 => Does::FallsSilent,
            3 => Does::Raves,
            4 | 5 => Does::Refuses(450),
            _ => Does::Refuses(550),
        }
    }

    /// Answers, or does something else. True if it takes what was said.
    fn answer(&mut self, yes: &str, often: u64) -> bool {
        let does = self.does(often);
        self.act(&does, yes)
    }

    fn act(&mut self, does: &Does, yes: &str) -> bool {
        match does {
            Does::Takes => self.say(yes),
            Does::Refuses(code) => self.say(&format!("{code} no")),
            Does::Raves => self.say("what?"),
            Does::Leaves => {
                self.say("421 leaving");
                self.leave();
            }
            Does::Closes => self.leave(),
            Does::FallsSilent => self.over = true,
        }
        matches!(does, Does::Takes)
    }

    fn say(&mut self, line: &str) {
        self.outbox
            .push_back(Heard::Octets(format!("{line}\r\n").into_bytes()));
    }

    fn leave(&mut self) {
        self.outbox.push_back(Heard::End);
        self.over = true;
    }

    /// Takes one thing out of the inbox.
    fn take(&mut self) -> bool {
        if let Some((left, last)) = self.chunk {
            let used = left.min(self.inbox.len());
            self.content.extend(self.inbox.drain(..used));
            self.chunk = Some((left - used, last));
            if left > used {
                return false;
            }
            self.chunk = None;
            self.chunk_ended(last);
            return true;
        }
        let Some(end) = self.inbox.windows(2).position(|two| two == b"\r\n") else {
            return false;
        };
        let line: Vec<u8> = self.inbox.drain(..end + 2).collect();
        if !self.in_data {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            self.command(&line);
        } else if line == b".\r\n" {
            self.in_data = false;
            self.complete();
        } else {
            let stuffed = usize::from(line.first() == Some(&b'.'));
            self.content.extend_from_slice(&line[stuffed..]);
            if self.chance.draw(200) == 0 {
                // It has had enough in the midst of it.
                self.answer("552 enough", 3);
                self.leave();
            }
        }
        true
    }

    fn command(&mut self, line: &str) {
        let verb = line.get(..4).unwrap_or(line).to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => {
                let chunking = if self.chunking {
                    "250-CHUNKING\r\n"
                } else {
                    ""
                };
                let prdr = if self.prdr { "250-PRDR\r\n" } else { "" };
                let reply =
                    format!("250-hop.example\r\n250-PIPELINING\r\n{chunking}{prdr}250 8BITMIME");
                self.answer(&reply, 60);
            }
            "MAIL" => {
                self.reset();
                self.each = line.ends_with(" PRDR");
                assert!(self.prdr || !self.each, "it was not offered");
                self.failed = !self.answer("250 ok", 30);
            }
            "RCPT" if self.failed => self.say("503 no"),
            "RCPT" => {
                let to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                if self.answer("250 ok", 8) {
                    self.recipients.push(to);
                }
            }
            "DATA" if self.recipients.is_empty() => self.say("503 no"),
            "DATA" => self.in_data = self.answer("354 go on", 20),
            "BDAT" => {
                let mut words = line.split(' ').skip(1);
                let size = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
                self.chunk = Some((size, words.next().is_some()));
            }
            "RSET" => {
                self.reset();
                self.answer("250 ok", 60);
            }
            "NOOP" => self.say("250 ok"),
            "QUIT" => {
                self.say("221 bye");
                self.leave();
            }
            _ => self.say("500 what"),
        }
    }

    fn reset(&mut self) {
        self.recipients.clear();
        self.content.clear();
        self.failed = false;
    }

    fn chunk_ended(&mut self, last: bool) {
        if self.failed || self.recipients.is_empty() {
            self.say("503 no");
        } else if last {
            self.complete();
        } else {
            self.failed = !self.answer("250 chunk", 60);
        }
    }

    /// The same for each recipient: what is taken is taken with the last word, heard or not.
    fn complete_for_each(&mut self) {
        if !self.answer("353 one moment", 20) {
            return;
        }
        let mut kept = Vec::new();
        for to in std::mem::take(&mut self.recipients) {
            let does = self.does(5);
            self.act(&does, "250 it may");
            match does {
                Does::Takes => kept.push(to),
                Does::Refuses(_) => {}
                // It may have it for those before all the same.
                _ if self.chance.draw(2) == 0 => return self.take_for(kept),
                _ => return,
            }
        }
        if kept.is_empty() {
            // Exim says so, if some are put off only.
            let word = ["250 for nobody", "450 later", "550 no"];
            let word = word[usize::try_from(self.chance.draw(3)).unwrap()];
            return self.say(word);
        }
        let does = self.does(6);
        match does {
            Does::Takes => self.take_for(kept),
            Does::Refuses(_) => {}
            _ if self.chance.draw(2) == 0 => self.take_for(kept),
            _ => {}
        }
        self.act(&does, "250 taken");
    }

    fn take_for(&mut self, kept: Vec<String>) {
        let content = self.content.clone();
        let each = kept.into_iter().map(|to| (to, content.clone()));
        self.taken.borrow_mut().extend(each);
    }

    /// All of a message is there: it is taken or not, and whoever sent it hears of it or not.
    fn complete(&mut self) {
        if self.each && self.chance.draw(3) != 0 {
            self.complete_for_each();
            return self.reset();
        }
        let does = self.does(4);
        let takes = match does {
            Does::Takes => true,
            Does::Refuses(_) => false,
            // It may have it, and nobody says so.
            _ => self.chance.draw(2) == 0,
        };
        if takes {
            let content = self.content.clone();
            let each = self
                .recipients
                .iter()
                .map(|to| (to.clone(), content.clone()));
            self.taken.borrow_mut().extend(each);
        }
        self.act(&does, "250 taken");
        self.reset();
    }
}
