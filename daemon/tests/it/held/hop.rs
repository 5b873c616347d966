//! A next hop by script: what it says to a recipient, and to the end of the content, is the test's.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use super::super::service::PATIENCE;
use super::super::sink::Message;

/// What is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// MAIL; with the reverse-path in the place of the recipient.
    Mail,
    /// RCPT.
    Recipient,
    /// The end of the content: in LMTP for each recipient, in SMTP once, for the first.
    End,
}

/// Which protocol it speaks, and how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    Smtp,
    Lmtp,
    /// SMTP; after a message it leaves: by this reply to the next command, or without one.
    Once(&'static str),
    /// SMTP; in the midst of content it refuses the message by this reply, and stays or leaves.
    Early(&'static str, bool),
}

/// The next hop: threads on a port. They end with the process, or when their peer leaves.
pub struct Hop {
    address: SocketAddr,
    speaks: Speaks,
    connections: Arc<AtomicU32>,
    messages: Mutex<Receiver<Message>>,
}

type Script = Arc<dyn Fn(To, &str) -> String + Send + Sync>;

impl Hop {
    /// One that takes everything.
    pub fn willing() -> Self {
        Self::start(Speaks::Smtp, |_, _| String::from("250 2.0.0 ok"))
    }

    /// One that takes everything, a message a session, and leaves by this reply or without one.
    pub fn leaving(farewell: &'static str) -> Self {
        Self::start(Speaks::Once(farewell), |_, _| String::from("250 2.0.0 ok"))
    }

    /// One that refuses every message when some of it has come.
    pub fn refusing_early(reply: &'static str, stays: bool) -> Self {
        Self::start(Speaks::Early(reply, stays), |_, _| {
            String::from("250 2.0.0 ok")
        })
    }

    /// On a port that is free. The script gets the address of the recipient; whose reply is empty leaves
    /// without one.
    pub fn start(
        speaks: Speaks,
        script: impl Fn(To, &str) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::on(SocketAddr::from(([127, 0, 0, 1], 0)), speaks, script)
    }

    /// The same at this address.
    pub fn on(
        address: SocketAddr,
        speaks: Speaks,
        script: impl Fn(To, &str) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicU32>::default();
        let (send, messages) = channel();
        let (count, script): (_, Script) = (Arc::clone(&connections), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::AcqRel);
                let (stream, send, script) = (stream.unwrap(), send.clone(), Arc::clone(&script));
                // A peer that goes away ends its session, and nothing else.
                std::thread::spawn(move || drop(converse(&stream, speaks, &script, &send)));
            }
        });
        Self {
            address,
            speaks,
            connections,
            messages: Mutex::new(messages),
        }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// As a next hop of the configuration.
    pub fn next_hop(&self) -> String {
        let scheme = match self.speaks {
            Speaks::Smtp | Speaks::Once(_) | Speaks::Early(..) => "smtp",
            Speaks::Lmtp => "lmtp",
        };
        format!("{scheme}://{}", self.address)
    }

    /// How many connections it has seen.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Acquire)
    }

    /// The next message that it took: of its recipients, those that it took at the end.
    pub fn next(&self) -> Message {
        let messages = self.messages.lock().unwrap();
        messages.recv_timeout(PATIENCE).expect("a message")
    }

    /// What has come and was not asked for yet.
    pub fn rest(&self) -> Vec<Message> {
        self.messages.lock().unwrap().try_iter().collect()
    }
}

/// The address between angle brackets.
pub fn path(argument: &str) -> String {
    let (_, rest) = argument.split_once('<').unwrap_or(("", argument));
    rest.split('>').next().unwrap_or("").to_owned()
}

/// One session.
fn converse(
    stream: &TcpStream,
    speaks: Speaks,
    script: &Script,
    send: &Sender<Message>,
) -> std::io::Result<()> {
    let mut say = stream;
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream);
    let mut message = Message::default();
    let mut is_done = false;
    say.write_all(b"220 inner.hop.example inner words\r\n")?;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        if let Speaks::Once(farewell) = speaks
            && is_done
        {
            return say.write_all(format!("{farewell}\r\n").as_bytes());
        }
        let reply = match line.split_once(':').unwrap_or((line, "")) {
            ("MAIL FROM", mail) => {
                message = Message {
                    mail: path(mail),
                    ..Message::default()
                };
                script(To::Mail, &message.mail)
            }
            ("RCPT TO", recipient) => {
                let recipient = path(recipient);
                let reply = script(To::Recipient, &recipient);
                if reply.starts_with('2') {
                    message.recipients.push(recipient);
                }
                reply
            }
            ("DATA", _) if message.recipients.is_empty() => String::from("503 5.5.1 no recipient"),
            ("DATA", _) => {
                say.write_all(b"354 go on\r\n")?;
                if let Speaks::Early(reply, stays) = speaks {
                    lines.read_exact(&mut vec![0; 100_000])?;
                    say.write_all(format!("{reply}\r\n").as_bytes())?;
                    if stays {
                        content(&mut lines)?;
                    }
                    return Ok(());
                }
                message.content = content(&mut lines)?;
                is_done = true;
                if speaks == Speaks::Once("") {
                    let reply = end(message, speaks, script, send);
                    return say.write_all(format!("{reply}\r\n").as_bytes());
                }
                end(std::mem::take(&mut message), speaks, script, send)
            }
            ("QUIT", _) => {
                say.write_all(b"221 2.0.0 bye\r\n")?;
                return Ok(());
            }
            ("RSET" | "NOOP", _) => String::from("250 2.0.0 ok"),
            _ => String::from("250-inner.hop.example\r\n250-PIPELINING\r\n250 SIZE"),
        };
        if reply.is_empty() {
            return Ok(());
        }
        say.write_all(format!("{reply}\r\n").as_bytes())?;
        // Whoever says so leaves, also behind another reply.
        if reply.lines().any(|line| line.starts_with("421")) {
            return Ok(());
        }
    }
}

/// The last words; whom they take has the message.
fn end(mut message: Message, speaks: Speaks, script: &Script, send: &Sender<Message>) -> String {
    let each = match speaks {
        Speaks::Smtp | Speaks::Once(_) | Speaks::Early(..) => 1,
        Speaks::Lmtp => message.recipients.len(),
    };
    let asked = message.recipients.iter().take(each);
    let replies: Vec<String> = asked.map(|to| script(To::End, to)).collect();
    let taken = |at: usize| replies[at.min(replies.len() - 1)].starts_with('2');
    let recipients = std::mem::take(&mut message.recipients)
        .into_iter()
        .enumerate();
    let kept = recipients.filter(|(at, _)| taken(*at)).map(|(_, to)| to);
    message.recipients = kept.collect();
    if !message.recipients.is_empty() {
        // Nobody listens any more when the test is over.
        let _ = send.send(message);
    }
    replies.join("\r\n")
}

/// The content up to the final dot.
pub fn content(lines: &mut BufReader<&TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if lines.read_until(b'\n', &mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        if line == b".\r\n" {
            return Ok(content);
        }
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
