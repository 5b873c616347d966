//! A next hop that takes everything and keeps it as it came: envelope, parameters, octets.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::service::PATIENCE;

/// The sink: threads on a port. They end with the process, or when their peer leaves.
pub struct Sink {
    address: SocketAddr,
    messages: Receiver<Message>,
    lives: Arc<AtomicU32>,
}

/// One message, as it was handed over.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// What stood behind `MAIL FROM:`.
    pub mail: String,
    /// What stood behind each `RCPT TO:`.
    pub recipients: Vec<String>,
    /// The content, dot-stuffing undone.
    pub content: Vec<u8>,
    /// How many services had ended when this one opened the connection.
    pub life: u32,
}

impl Sink {
    /// Starts one on a port that is free.
    pub fn start() -> Self {
        Self::offering("SIZE")
    }

    /// The same with this extension in the place of SIZE.
    pub fn offering(extension: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (send, messages) = channel();
        let lives = Arc::<AtomicU32>::default();
        let ended = Arc::clone(&lives);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, send) = (stream.unwrap(), send.clone());
                let life = ended.load(Ordering::Acquire);
                // A peer that goes away ends its session, and nothing else.
                std::thread::spawn(move || drop(converse(&stream, extension, life, &send)));
            }
        });
        Self {
            address,
            messages,
            lives,
        }
    }

    /// One service has ended; connections from now on are of the next.
    pub fn next_life(&self) {
        self.lives.fetch_add(1, Ordering::Release);
    }

    /// What has come and was not asked for yet.
    pub fn rest(&self) -> impl Iterator<Item = Message> {
        self.messages.try_iter()
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// As a next hop of the configuration.
    pub fn next_hop(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// The next message.
    pub fn next(&self) -> Message {
        self.messages
            .recv_timeout(PATIENCE)
            .expect("a message at the next hop")
    }
}

/// One session.
fn converse(
    stream: &TcpStream,
    extension: &str,
    ended: u32,
    send: &Sender<Message>,
) -> std::io::Result<()> {
    let offered = format!(
        "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 {extension}\r\n"
    );
    let mut say = stream;
    let mut lines = BufReader::new(stream);
    let mut message = Message::default();
    say.write_all(b"220 sink.example ESMTP\r\n")?;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let reply: &[u8] = match line.split_once(':').unwrap_or((line, "")) {
            ("MAIL FROM", mail) => {
                message.mail = mail.into();
                b"250 2.1.0 ok\r\n"
            }
            ("RCPT TO", recipient) => {
                message.recipients.push(recipient.into());
                b"250 2.1.5 ok\r\n"
            }
            ("DATA", _) => {
                say.write_all(b"354 go on\r\n")?;
                message.content = content(&mut lines)?;
                message.life = ended;
                // Nobody listens any more when the test is over.
                let _ = send.send(std::mem::take(&mut message));
                b"250 2.0.0 ok\r\n"
            }
            ("QUIT", _) => b"221 2.0.0 bye\r\n",
            ("RSET", _) => {
                message = Message::default();
                b"250 2.0.0 ok\r\n"
            }
            _ => offered.as_bytes(),
        };
        say.write_all(reply)?;
    }
}

/// The content up to the final dot.
fn content(lines: &mut BufReader<&TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let mut line = Vec::new();
        // A line ends in CRLF; an LF alone must not get here, and would show as content.
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

/// Our trace fields, unfolded, and what follows them: `Received` is the last of them.
pub fn split_trace(content: &[u8]) -> (String, Vec<u8>) {
    let mut end = 0;
    loop {
        let is_last = content[end..].starts_with(b"Received: ");
        let ends =
            |at: &usize| content[*at..].starts_with(b"\r\n") && content.get(at + 2) != Some(&b'\t');
        end = (end..content.len()).find(ends).expect("our Received field") + 2;
        if is_last {
            let fields = String::from_utf8(content[..end].to_vec()).expect("text");
            return (fields.replace("\r\n\t", " "), content[end..].to_vec());
        }
    }
}
