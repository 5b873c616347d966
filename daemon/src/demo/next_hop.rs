//! A host that takes mail from the service, or refuses it, or is not there yet.
//!
//! Promises: its port is its own from the start, though nobody listens before [`NextHop::up`], so
//! that until then a connection is refused at once; whatever comes to an end with it is told as an
//! [`Exchange`], with every line of it. It ends when dropped.
//!
//! It is no server for mail that matters: it keeps nothing, checks nothing, and talks to loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;

use super::page::Line;

/// Octets of one line that are read: far more than RFC 5321 §4.5.3.1 lets our own service send.
const LONGEST_LINE: u64 = 64 * 1024;

/// Octets of content that are kept to be shown; what is more is read and forgotten.
const KEPT_CONTENT: usize = 256 * 1024;

/// Connections that may wait to be accepted: the service opens at most 20 to one next hop.
const BACKLOG: u32 = 64;

/// What it says to a message.
const TAKEN: &str = "250 2.0.0 taken";

/// What it says to recipients.
#[derive(Clone, Copy, Debug)]
pub enum Conduct {
    /// Takes them all.
    Takes,
    /// Refuses them all, with this reply.
    Refuses(&'static str),
    /// Refuses these forward-paths, each with its reply, and takes all others.
    RefusesSome(&'static [(&'static str, &'static str)]),
}

impl Conduct {
    /// Its reply to this RCPT, if it refuses.
    fn refusal(self, said: &str) -> Option<&'static str> {
        match self {
            Self::Takes => None,
            Self::Refuses(reply) => Some(reply),
            Self::RefusesSome(mailboxes) => mailboxes
                .iter()
                .find(|(forward_path, _)| said.contains(&format!("<{forward_path}>")))
                .map(|(_, reply)| *reply),
        }
    }
}

/// One of the world's hosts.
#[derive(Debug)]
pub struct NextHop {
    /// Its name.
    pub name: &'static str,
    /// Where it is.
    pub address: SocketAddr,
    conduct: Conduct,
    /// Bound, so that the port is taken; there as long as nobody listens.
    socket: Option<TcpSocket>,
    tell: UnboundedSender<Exchange>,
    exchanges: UnboundedReceiver<Exchange>,
    tasks: JoinSet<()>,
}

/// A transaction that came to its end, in whichever way.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What was said, from MAIL on.
    pub lines: Vec<Line>,
    /// The message's lines, without dot-stuffing; none if it was not taken.
    pub content: Vec<String>,
}

impl NextHop {
    /// A host that is down: its port is bound, and nobody listens.
    pub fn down(name: &'static str, address: Ipv4Addr, conduct: Conduct) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddrV4::new(address, 0).into())?;
        let address = socket.local_addr()?;
        let (tell, exchanges) = mpsc::unbounded_channel();
        Ok(Self {
            name,
            address,
            conduct,
            socket: Some(socket),
            tell,
            exchanges,
            tasks: JoinSet::new(),
        })
    }

    /// Begins to listen; saying it again changes nothing.
    pub fn up(&mut self) -> io::Result<()> {
        if let Some(socket) = self.socket.take() {
            let listener = socket.listen(BACKLOG)?;
            let (name, conduct, tell) = (self.name, self.conduct, self.tell.clone());
            self.tasks.spawn(accept(listener, name, conduct, tell));
        }
        Ok(())
    }

    /// The next transaction that comes to its end; may be given up and taken up again.
    pub async fn next(&mut self) -> Exchange {
        match self.exchanges.recv().await {
            Some(exchange) => exchange,
            // `self` holds a sender, so the channel stays open.
            None => std::future::pending().await,
        }
    }

    /// True if something came to its end that nobody has asked for yet; a message that a client has its
    /// 250 for has come to its end.
    pub fn has_more(&self) -> bool {
        !self.exchanges.is_empty()
    }
}

/// Accepts connections, one task each.
async fn accept(
    listener: TcpListener,
    name: &'static str,
    conduct: Conduct,
    tell: UnboundedSender<Exchange>,
) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = sessions.join_next() => {}
            accepted = listener.accept() => {
                // A connection that is gone before it is accepted is tried again by who made it.
                if let Ok((stream, _)) = accepted {
                    let session = Session {
                        name,
                        conduct,
                        tell: tell.clone(),
                        stream: BufReader::new(stream),
                        lines: Vec::new(),
                    };
                    sessions.spawn(async move {
                        // The peer went away: nothing to be done about it.
                        let _ = session.run().await;
                    });
                }
            }
        }
    }
}

/// One connection.
struct Session {
    name: &'static str,
    conduct: Conduct,
    tell: UnboundedSender<Exchange>,
    stream: BufReader<TcpStream>,
    /// What was said in this transaction.
    lines: Vec<Line>,
}

impl Session {
    /// From the greeting to QUIT or the end of the stream.
    async fn run(mut self) -> io::Result<()> {
        let (mut taken, name) = (0usize, self.name);
        self.say(&format!("220 {name} ESMTP")).await?;
        while let Some(line) = self.read().await? {
            let verb = line.split([' ', ':']).next().unwrap_or_default();
            let verb = verb.to_ascii_uppercase();
            if verb == "MAIL" {
                (self.lines, taken) = (Vec::new(), 0);
            }
            let refusal = self.conduct.refusal(&line);
            self.lines.push(Line::Client(line));
            match (verb.as_str(), refusal) {
                ("EHLO", _) => self.say(&format!("250-{name}\r\n250 8BITMIME")).await?,
                ("RCPT", Some(reply)) => {
                    self.say(reply).await?;
                    self.tell_of(Vec::new());
                }
                ("RCPT", None) => {
                    taken = taken.saturating_add(1);
                    self.say("250 2.1.5 ok").await?;
                }
                ("DATA", _) if taken > 0 => {
                    self.say("354 go ahead").await?;
                    let Some(content) = self.content().await? else {
                        return Ok(());
                    };
                    self.take(content).await?;
                }
                ("DATA", _) => self.say("503 5.5.1 no recipients").await?,
                ("HELO" | "MAIL" | "RSET" | "NOOP", _) => self.say("250 2.0.0 ok").await?,
                ("QUIT", _) => return self.say("221 2.0.0 bye").await,
                _ => self.say("502 5.5.1 not known here").await?,
            }
        }
        Ok(())
    }

    /// Takes a message. It is told before the reply is written: whoever has seen that can rely on it.
    async fn take(&mut self, content: Vec<String>) -> io::Result<()> {
        self.lines.extend([
            Line::Note(String::from("the message")),
            Line::Client(String::from(".")),
            Line::Server(String::from(TAKEN)),
        ]);
        self.tell_of(content);
        self.write(TAKEN).await
    }

    /// A reply.
    async fn say(&mut self, reply: &str) -> io::Result<()> {
        self.write(reply).await?;
        self.lines
            .extend(reply.lines().map(|line| Line::Server(line.to_owned())));
        Ok(())
    }

    /// Writes a reply.
    async fn write(&mut self, reply: &str) -> io::Result<()> {
        let octets = format!("{reply}\r\n");
        self.stream.write_all(octets.as_bytes()).await
    }

    /// The next line without its end; `None` at the end of the stream.
    async fn read(&mut self) -> io::Result<Option<String>> {
        let mut octets = Vec::new();
        let mut bounded = (&mut self.stream).take(LONGEST_LINE);
        if bounded.read_until(b'\n', &mut octets).await? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&octets);
        Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Content to the dot; `None` if the stream ended before it.
    async fn content(&mut self) -> io::Result<Option<Vec<String>>> {
        let (mut content, mut length) = (Vec::new(), 0usize);
        while let Some(line) = self.read().await? {
            if line == "." {
                return Ok(Some(content));
            }
            length = length.saturating_add(line.len());
            if length <= KEPT_CONTENT {
                content.push(line.strip_prefix('.').unwrap_or(&line).to_owned());
            }
        }
        Ok(None)
    }

    /// Tells what came of the transaction.
    fn tell_of(&self, content: Vec<String>) {
        let exchange = Exchange {
            lines: self.lines.clone(),
            content,
        };
        // Nobody listens any more only when the world ends.
        let _ = self.tell.send(exchange);
    }
}
