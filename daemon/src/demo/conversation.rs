//! A client of the service: speaks SMTP from an address of its own, and prints every line.
//!
//! Promises: each command has the reply code that its story expects, or the conversation ends with
//! a [`Differed`]; nothing is waited for without an end.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use super::page::{Line, Page};
use super::within;

/// How long anything in a story may take: more than the ten seconds of a MAIL-FROM check, and on
/// a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Octets of one reply line that are read; RFC 5321 §4.5.3.1.5 has 512.
const LONGEST_LINE: u64 = 4096;

/// How a story went otherwise than it is told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Differed {
    /// A reply.
    #[error("{said:?} was to be answered with {expected}, and the answer is {got:?}")]
    Reply {
        /// The command.
        said: String,
        /// The code in the story.
        expected: u16,
        /// The last line of the reply.
        got: String,
    },
    /// What the check says is not what the session said.
    #[error("the verdict was to be {expected}, and it is {got}")]
    Verdict {
        /// The verdict in the story.
        expected: String,
        /// The verdict.
        got: String,
    },
    /// A fact.
    #[error("this does not hold: {0}")]
    Fact(&'static str),
    /// Something did not happen.
    #[error("this did not come about in half a minute: {0}")]
    Late(&'static str),
    /// A socket.
    #[error("a connection")]
    Connection(#[from] io::Error),
    /// The control socket.
    #[error("the queue cannot be looked at")]
    Queue(#[from] crate::control::client::AskError),
}

/// One session as a client.
pub struct Conversation<'a> {
    page: &'a Page,
    stream: BufReader<TcpStream>,
}

impl<'a> Conversation<'a> {
    /// Connects from this address, and reads the greeting.
    pub async fn open(
        page: &'a Page,
        from: Ipv4Addr,
        service: SocketAddr,
    ) -> Result<Self, Differed> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddrV4::new(from, 0).into())?;
        let stream = within("a connection to the service", socket.connect(service)).await??;
        page.line(&Line::Note(format!("{from} connects to {service}")));
        let mut conversation = Self {
            page,
            stream: BufReader::new(stream),
        };
        conversation
            .reply("the connection", 220, usize::MAX)
            .await?;
        Ok(conversation)
    }

    /// EHLO; of the extensions only the first reply line is shown.
    pub async fn hello(&mut self, name: &str) -> Result<(), Differed> {
        let said = format!("EHLO {name}");
        self.send(&said).await?;
        self.reply(&said, 250, 1).await?;
        Ok(())
    }

    /// A command, and its reply: its code must be this. Gives the reply's last line.
    pub async fn say(&mut self, command: &str, expected: u16) -> Result<String, Differed> {
        self.send(command).await?;
        self.reply(command, expected, usize::MAX).await
    }

    /// A message behind DATA's 354, to the dot and its 250. Gives the reply's last line.
    pub async fn message(&mut self, lines: &[String]) -> Result<String, Differed> {
        self.content(lines, 250).await
    }

    /// The same with another reply at its end.
    pub async fn content(&mut self, lines: &[String], end: u16) -> Result<String, Differed> {
        self.say("DATA", 354).await?;
        for line in lines {
            // No line of ours begins with a dot (RFC 5321 §4.5.2).
            self.send(line).await?;
        }
        self.say(".", end).await
    }

    /// QUIT, and the end of the conversation.
    pub async fn quit(mut self) -> Result<(), Differed> {
        self.say("QUIT", 221).await?;
        self.page.gap();
        Ok(())
    }

    /// Sends one line.
    async fn send(&mut self, line: &str) -> Result<(), Differed> {
        self.page.line(&Line::Client(line.to_owned()));
        let octets = format!("{line}\r\n");
        let sent = self.stream.write_all(octets.as_bytes());
        Ok(within("the service reading", sent).await??)
    }

    /// Reads a reply, and shows its first so many lines.
    async fn reply(&mut self, said: &str, expected: u16, shown: usize) -> Result<String, Differed> {
        for at in 0usize.. {
            let mut line = String::new();
            let mut bounded = (&mut self.stream).take(LONGEST_LINE);
            within("a reply", bounded.read_line(&mut line)).await??;
            let line = line.trim_end().to_owned();
            let more = line.as_bytes().get(3) == Some(&b'-');
            if at < shown {
                self.page.line(&Line::Server(line.clone()));
            } else if at == shown {
                let rest = String::from("and the extensions that it offers");
                self.page.line(&Line::Note(rest));
            }
            if !more {
                let code = line.get(..3).and_then(|digits| digits.parse().ok());
                if code == Some(expected) {
                    return Ok(line);
                }
                return Err(Differed::Reply {
                    said: said.to_owned(),
                    expected,
                    got: line,
                });
            }
        }
        Err(Differed::Fact("a reply has an end"))
    }
}
