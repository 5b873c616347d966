//! An SMTP client that says what it is told to, and waits for each reply.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use super::service::PATIENCE;

/// One connection.
pub struct Client<S = TcpStream> {
    stream: S,
    received: Vec<u8>,
}

impl Client {
    /// Connects from 127.0.0.1, and waits for the greeting.
    pub fn greeted(server: SocketAddr) -> Self {
        let mut client = Self::connect(server);
        assert_eq!(client.code(), 220);
        client
    }

    /// Connects and waits for nothing.
    pub fn connect(server: SocketAddr) -> Self {
        Self::over(patient(TcpStream::connect(server).unwrap()))
    }

    /// Connects from another of our own addresses, as all of 127/8 are.
    pub fn connect_from(source: IpAddr, server: SocketAddr) -> Self {
        let connecting = async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind(SocketAddr::new(source, 0))?;
            socket.connect(server).await?.into_std()
        };
        let stream = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap()
            .block_on(connecting)
            .unwrap();
        stream.set_nonblocking(false).unwrap();
        Self::over(patient(stream))
    }

    /// A second hold on the same connection.
    pub fn stream(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }
}

/// A stream on which a test that waits in vain fails in the end.
fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

impl<S: Read + Write> Client<S> {
    /// A client over a connection that stands.
    pub const fn over(stream: S) -> Self {
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// Gives the connection back.
    pub fn into_stream(self) -> S {
        assert!(self.received.is_empty(), "unread: {:?}", self.received);
        self.stream
    }

    /// Sends octets as they are.
    pub fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).unwrap();
        self.stream.flush().unwrap();
    }

    /// Sends octets, which may fail when the server has closed.
    pub fn try_send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets)?;
        self.stream.flush()
    }

    /// The next line, without its CRLF; `None` at the end.
    pub fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).collect();
                return Some(String::from_utf8(line[..end].to_vec()).unwrap());
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) => {
                    assert!(self.received.is_empty(), "ended within a line");
                    return None;
                }
                Ok(read) => self.received.extend_from_slice(&piece[..read]),
                Err(error) => panic!("no reply: {error}"),
            }
        }
    }

    /// The next reply's last line; none if the server has gone.
    pub fn heard(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).collect();
                if line.get(3) != Some(&b'-') {
                    return String::from_utf8(line).ok();
                }
                continue;
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.received.extend_from_slice(&piece[..read]),
            }
        }
    }

    /// The next reply, its lines joined by LF.
    pub fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let line = self.line().expect("a reply, not the end");
            let more = line.as_bytes().get(3) == Some(&b'-');
            reply.push_str(&line);
            if !more {
                return reply;
            }
            reply.push('\n');
        }
    }

    /// The next reply's code.
    pub fn code(&mut self) -> u16 {
        self.reply()[..3].parse().unwrap()
    }

    /// Sends a command, and waits for its reply.
    pub fn say(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n"));
        self.reply()
    }

    /// Sends a command that must get this code.
    pub fn expect(&mut self, command: &str, code: u16) -> String {
        let reply = self.say(command);
        assert!(
            reply.starts_with(&code.to_string()),
            "{command}: {reply}, not {code}"
        );
        reply
    }

    /// The server must end the connection here.
    pub fn expect_end(&mut self) {
        assert_eq!(self.line(), None);
    }

    /// EHLO to 354, for one recipient.
    pub fn begin_content(&mut self, recipient: &str) {
        self.expect("EHLO client.example", 250);
        self.expect("MAIL FROM:<someone@sender.example>", 250);
        self.expect(&format!("RCPT TO:<{recipient}>"), 250);
        self.expect("DATA", 354);
    }

    /// A whole message, which must be accepted. `content` is dot-stuffed already, its last line
    /// ended.
    pub fn deliver(&mut self, recipient: &str, content: &[u8]) {
        self.begin_content(recipient);
        self.send(content);
        self.expect(".", 250);
    }
}
