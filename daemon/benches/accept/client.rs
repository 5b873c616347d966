//! One client: a connection, and a message sent over it command by command.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that has been greeted.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    space: Box<[u8]>,
    /// MAIL, from a sender of its own: a server may take many transactions between the same two for a loop.
    mail: String,
}

impl Client {
    /// Connects and says EHLO.
    pub async fn greeted(server: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server).await.context("connecting")?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream,
            space: vec![0; REPLY_MAX].into_boxed_slice(),
            mail: format!(
                "MAIL FROM:<a{}@src.example>\r\n",
                CLIENTS.fetch_add(1, Ordering::Relaxed)
            ),
        };
        client.hear(b"220").await?;
        client.say(b"EHLO client.example\r\n", b"250").await?;
        Ok(client)
    }

    /// Sends one message, whose octets end with the final dot. Gives the time from there to 250, or
    /// that of the whole transaction.
    pub async fn send(&mut self, message: &[u8], whole: bool) -> anyhow::Result<Duration> {
        let began = now();
        self.begin().await?;
        self.pour(message).await?;
        let sent = if whole { began } else { now() };
        self.taken().await?;
        Ok(sent.elapsed())
    }

    /// Opens a transaction, up to the content.
    pub async fn begin(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(self.mail.as_bytes()).await?;
        self.hear(b"250").await?;
        self.say(b"RCPT TO:<b@dst.example>\r\n", b"250").await?;
        self.say(b"DATA\r\n", b"354").await
    }

    /// Sends some of the content.
    pub async fn pour(&mut self, piece: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(piece).await?)
    }

    /// What is said to the whole message: it must be 250.
    pub async fn taken(&mut self) -> anyhow::Result<()> {
        self.hear(b"250").await
    }

    /// Sends one message, its envelope in one write (RFC 2920).
    pub async fn send_at_once(&mut self, message: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(ENVELOPE).await?;
        self.hear_all(&[b"250", b"250", b"354"]).await?;
        self.stream.write_all(message).await?;
        self.hear(b"250").await
    }

    /// Takes its leave.
    pub async fn quit(mut self) -> anyhow::Result<()> {
        self.say(b"QUIT\r\n", b"221").await
    }

    /// The same without waiting for an answer, as Postfix's own client does.
    pub async fn leave(mut self) -> anyhow::Result<()> {
        Ok(self.stream.write_all(b"QUIT\r\n").await?)
    }

    /// One command and its reply.
    pub async fn say(&mut self, command: &[u8], code: &[u8; 3]) -> anyhow::Result<()> {
        self.stream.write_all(command).await?;
        self.hear(code).await
    }

    /// One whole reply, which must have this code.
    async fn hear(&mut self, code: &[u8; 3]) -> anyhow::Result<()> {
        let mut filled = 0;
        loop {
            let space = self.space.get_mut(filled..).unwrap_or_default();
            match self.stream.read(space).await.context("a reply")? {
                0 => bail!("the server has closed"),
                read => filled += read,
            }
            let reply = self.space.get(..filled).unwrap_or_default();
            if is_whole(reply) {
                if !reply.starts_with(code) {
                    bail!("{}", String::from_utf8_lossy(reply).trim_end());
                }
                return Ok(());
            }
        }
    }

    /// Replies of one line each, which must have these codes.
    async fn hear_all(&mut self, codes: &[&[u8; 3]]) -> anyhow::Result<()> {
        let mut filled = 0;
        loop {
            let space = self.space.get_mut(filled..).unwrap_or_default();
            match self.stream.read(space).await.context("replies")? {
                0 => bail!("the server has closed"),
                read => filled += read,
            }
            let replies = self.space.get(..filled).unwrap_or_default();
            let lines = replies.split_inclusive(|octet| *octet == b'\n');
            let whole = lines.clone().filter(|line| line.ends_with(b"\n"));
            let mut told = whole.clone().zip(codes);
            if told.any(|(line, code)| !line.starts_with(*code)) {
                bail!("{}", String::from_utf8_lossy(replies).trim_end());
            }
            if whole.count() >= codes.len() {
                return Ok(());
            }
        }
    }
}

/// Whether the last line is there: its code is followed by a blank.
fn is_whole(reply: &[u8]) -> bool {
    let Some(lines) = reply.strip_suffix(b"\r\n") else {
        return false;
    };
    let last = lines.rsplit(|octet| *octet == b'\n').next();
    last.is_some_and(|last| last.get(3).is_none_or(|mark| *mark == b' '))
}

/// A message of so many octets, and behind it the final dot.
pub fn message(octets: usize) -> Arc<[u8]> {
    filled(HEADER, octets)
}

/// The same without Date and Message-ID.
pub fn undated(octets: usize) -> Arc<[u8]> {
    filled(UNDATED, octets)
}

fn filled(header: &[u8], octets: usize) -> Arc<[u8]> {
    let mut text = header.to_vec();
    while text.len() < octets {
        let left = octets - text.len();
        text.extend(std::iter::repeat_n(b'x', left.clamp(3, LINE) - 2));
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b".\r\n");
    text.into()
}

/// The moment.
#[expect(clippy::disallowed_methods, reason = "latency is what is measured")]
pub fn now() -> Instant {
    Instant::now()
}

/// How many there have been.
static CLIENTS: AtomicUsize = AtomicUsize::new(0);

/// What an ordinary message begins with.
const HEADER: &[u8] = b"From: <a@src.example>\r\nTo: <b@dst.example>\r\n\
    Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-Id: <1@src.example>\r\nSubject: bench\r\n\r\n";

/// What a message begins with whose program leaves the rest to the server.
const UNDATED: &[u8] = b"From: <a@src.example>\r\nTo: <b@dst.example>\r\nSubject: bench\r\n\r\n";

/// An envelope, with the command that ends it.
const ENVELOPE: &[u8] = b"MAIL FROM:<a@src.example>\r\nRCPT TO:<b@dst.example>\r\nDATA\r\n";

/// Octets of a line of the body.
const LINE: usize = 78;

/// The longest reply is EHLO's.
const REPLY_MAX: usize = 1024;
