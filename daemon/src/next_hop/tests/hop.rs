//! A next hop for tests: speaks SMTP or LMTP on a port of its own, as its script says.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What a script is asked: the connection's number from 0, and the line that came; `GREETING` at
/// the start, `.` behind content (in LMTP once for each recipient taken, with its RCPT line behind).
pub type Script = dyn Fn(usize, &str) -> Say + Send + Sync;

/// What the next hop does.
#[derive(Clone, Debug)]
pub enum Say {
    /// What any would.
    Ordinary,
    /// This, without CRLF.
    Line(&'static str),
    /// Nothing, ever.
    Nothing,
    /// This, and then closes.
    LastLine(&'static str),
    /// Closes.
    Close,
}

/// A message that came to its end with a positive reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// Number of the connection.
    pub connection: usize,
    /// The MAIL line.
    pub mail: String,
    /// The RCPT lines that were taken.
    pub recipients: Vec<String>,
    /// Content as it came, without dot-stuffing.
    pub content: String,
}

/// A running next hop; dropping it ends it and its connections.
pub struct TestHop {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it gets.
    pub got: mpsc::UnboundedReceiver<Got>,
    /// Every line that came, with the connection's number.
    pub lines: mpsc::UnboundedReceiver<(usize, String)>,
    _task: JoinSet<()>,
}

impl TestHop {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(script: impl Fn(usize, &str) -> Say + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0".parse().unwrap(), script).await
    }

    /// Listens there.
    pub async fn start_on(
        address: SocketAddr,
        script: impl Fn(usize, &str) -> Say + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell_got, got) = mpsc::unbounded_channel();
        let (tell_line, lines) = mpsc::unbounded_channel();
        let script: Arc<Script> = Arc::new(script);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut sessions = JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let session = Session {
                    number,
                    stream: BufReader::new(stream),
                    script: Arc::clone(&script),
                    got: tell_got.clone(),
                    lines: tell_line.clone(),
                };
                sessions.spawn(session.run());
            }
        });
        Self {
            address,
            got,
            lines,
            _task: task,
        }
    }

    /// The next message.
    pub async fn next(&mut self) -> Got {
        self.got.recv().await.unwrap()
    }

    /// The next line that begins so.
    pub async fn line(&mut self, start: &str) -> (usize, String) {
        loop {
            let line = self.lines.recv().await.unwrap();
            if line.1.starts_with(start) {
                return line;
            }
        }
    }
}

struct Session {
    number: usize,
    stream: BufReader<TcpStream>,
    script: Arc<Script>,
    got: mpsc::UnboundedSender<Got>,
    lines: mpsc::UnboundedSender<(usize, String)>,
}

impl Session {
    async fn run(mut self) {
        let mut lmtp = false;
        let (mut mail, mut recipients) = (String::new(), Vec::new());
        if self
            .answer("GREETING", "220 next.hop ESMTP")
            .await
            .is_none()
        {
            return;
        }
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_owned();
            let _ = self.lines.send((self.number, line.clone()));
            let verb = line.split(' ').next().unwrap_or_default();
            let ordinary = match verb {
                "EHLO" | "LHLO" => "250-next.hop\r\n250-PIPELINING\r\n250 8BITMIME",
                "DATA" if recipients.is_empty() => "554 no recipients",
                "DATA" => "354 go on",
                "QUIT" => "221 bye",
                _ => "250 ok",
            };
            lmtp |= verb == "LHLO";
            let Some(said) = self.answer(&line, ordinary).await else {
                return;
            };
            match verb {
                "MAIL" | "RSET" => {
                    recipients.clear();
                    mail.clone_from(&line);
                }
                "RCPT" if said.starts_with('2') => recipients.push(line),
                "DATA" if said.starts_with('3') => {
                    let content = self.content().await;
                    let mut taken = Vec::new();
                    if lmtp {
                        for recipient in recipients.drain(..) {
                            let ask = format!(". {recipient}");
                            match self.answer(&ask, "250 ok").await {
                                Some(said) if said.starts_with('2') => taken.push(recipient),
                                Some(_) => {}
                                None => return,
                            }
                        }
                    } else {
                        match self.answer(".", "250 ok").await {
                            Some(said) if said.starts_with('2') => taken.append(&mut recipients),
                            Some(_) => recipients.clear(),
                            None => return,
                        }
                    }
                    if !taken.is_empty() {
                        let got = Got {
                            connection: self.number,
                            mail: std::mem::take(&mut mail),
                            recipients: taken,
                            content,
                        };
                        let _ = self.got.send(got);
                    }
                }
                "QUIT" => return,
                _ => {}
            }
        }
    }

    /// Says what the script wants; `None` when the session is over.
    async fn answer(&mut self, line: &str, ordinary: &str) -> Option<String> {
        let (said, last) = match (self.script)(self.number, line) {
            Say::Ordinary => (ordinary, false),
            Say::Line(said) => (said, false),
            Say::LastLine(said) => (said, true),
            Say::Close => return None,
            Say::Nothing => {
                let mut rest = Vec::new();
                let _ = self.stream.read_to_end(&mut rest).await;
                return None;
            }
        };
        let octets = format!("{said}\r\n");
        self.stream.write_all(octets.as_bytes()).await.ok()?;
        (!last).then(|| said.to_owned())
    }

    /// Content to the dot.
    async fn content(&mut self) -> String {
        let mut content = String::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await.unwrap_or(0) == 0 || line == ".\r\n" {
                return content;
            }
            content.push_str(line.strip_prefix('.').unwrap_or(&line));
        }
    }
}
