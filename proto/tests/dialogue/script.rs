//! The files of `testdata/dialogue`, read. What each line means stands in the README there.

#[path = "words.rs"]
mod words;

use std::path::Path;
use std::time::Duration;

pub use words::matches;
use words::octets_of;

/// One dialogue.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// The file's name.
    pub name: String,
    /// `ONLY:`, the only driver that can run it, with the reason.
    pub only: Option<String>,
    /// `CONFIG:` keys and values.
    pub config: Vec<(String, String)>,
    /// `ZONE:` with the `DNS:` lines below it.
    pub zones: Vec<Zone>,
    /// `CLIENT:`, the address the client comes from.
    pub client: Option<String>,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// The messages that must be in the queue at the end, in order.
    pub queued: Vec<Queued>,
}

/// One zone of the DNS.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    /// Its name.
    pub origin: String,
    /// Every question into it ends in SERVFAIL.
    pub fails: bool,
    /// Its records, as a zone file has them.
    pub records: String,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `C:`, the client sends these.
    Send(Vec<u8>),
    /// `S:`, the server says this line; a `*` stands for any text.
    Expect(String),
    /// `EHLO:`, the server says one 250 of any number of lines.
    ExpectHello,
    /// `TLS:`, both sides do the handshake.
    Tls,
    /// `TIME:`, so much time passes.
    Time(Duration),
    /// `SPOOL:`, the next such operation fails with this reply.
    Spool(Operation, String),
    /// `SHUTDOWN:`, the service begins to stop.
    Shutdown,
    /// `END:`, the client closes its side.
    End,
    /// `CLOSED:`, the server has closed, having said nothing more.
    Closed,
}

/// What the spool can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Beginning a message.
    Begin,
    /// Appending to one.
    Append,
    /// Taking custody.
    Commit,
}

/// A message in the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// `<reverse-path> to <recipient>…`.
    pub envelope: String,
    /// `AS:`, verdict, body type, and `smtputf8` if it is on.
    pub marks: Option<String>,
    /// `TRACE:`, what our trace field, unfolded, holds.
    pub trace: Vec<String>,
    /// `|`, the content behind the trace field.
    pub content: Vec<u8>,
}

impl Script {
    /// The addresses of our own outer hosts.
    #[allow(dead_code, reason = "only the machine's driver must know")]
    pub fn perimeter(&self) -> Vec<std::net::IpAddr> {
        let hosts = self.config.iter().filter(|(key, _)| key == "perimeter");
        hosts
            .map(|(_, value)| value.parse().expect("an address"))
            .collect()
    }

    /// True if XCLIENT and XFORWARD are taken from this address.
    #[allow(dead_code, reason = "only the machine's driver must know")]
    pub fn is_front(&self, address: std::net::IpAddr) -> bool {
        let fronts = self.config.iter().filter(|(key, _)| key == "xclient");
        fronts
            .map(|(_, value)| value.parse().expect("an address"))
            .any(|front: std::net::IpAddr| front == address)
    }

    /// Each recipient with a forwarder that it has declared.
    pub fn forwarders(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.config.iter().filter(|(key, _)| key == "forwarder");
        lines.map(|(_, value)| value.split_once(' ').expect("a recipient and a domain"))
    }

    /// True if SPF is asked.
    pub fn has_spf(&self) -> bool {
        self.config
            .iter()
            .any(|(key, value)| key == "spf" && value == "on")
    }

    /// Reads a file; panics with its name and line if it cannot be read.
    pub fn load(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a readable file");
        let mut script = Self {
            name: path.file_name().expect("a name").to_string_lossy().into(),
            ..Self::default()
        };
        for (number, line) in text.lines().enumerate() {
            let read = script.read_line(line);
            assert!(
                read.is_some(),
                "{}:{}: cannot read {line:?}",
                script.name,
                number + 1
            );
        }
        script
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        if line.trim().is_empty() || line.starts_with('#') {
            return Some(());
        }
        if let Some(text) = line.strip_prefix('|') {
            let octets = octets_of(text.strip_prefix(' ').unwrap_or(text))?;
            self.queued.last_mut()?.content.extend(octets);
            return Some(());
        }
        let (keyword, text) = line.split_once(':')?;
        let text = text.strip_prefix(' ').unwrap_or(text);
        let (keyword, times) = match keyword.split_once('*') {
            Some((keyword, times)) => (keyword, times.parse().ok()?),
            None => (keyword, 1),
        };
        (1..=times).try_for_each(|n: usize| self.read(keyword, &text.replace("%d", &n.to_string())))
    }

    fn read(&mut self, keyword: &str, text: &str) -> Option<()> {
        match keyword {
            "ONLY" => self.only = Some(text.into()),
            "CLIENT" => self.client = Some(text.into()),
            "CONFIG" => {
                let (key, value) = text.split_once('=')?;
                self.config.push((key.trim().into(), value.trim().into()));
            }
            "ZONE" => self.zones.push(Zone {
                origin: text.trim_end_matches(" fails").into(),
                fails: text.ends_with(" fails"),
                records: String::new(),
            }),
            "DNS" => self.zones.last_mut()?.records.extend([text, "\n"]),
            "EHLO" => {
                self.steps
                    .push(Step::Send(format!("EHLO {text}\r\n").into()));
                self.steps.push(Step::ExpectHello);
            }
            "QUEUED" => self.queued.push(Queued {
                envelope: text.into(),
                ..Queued::default()
            }),
            "AS" => self.queued.last_mut()?.marks = Some(text.into()),
            "TRACE" => self.queued.last_mut()?.trace.push(text.into()),
            _ => self.steps.push(step_of(keyword, text)?),
        }
        Some(())
    }
}

fn step_of(keyword: &str, text: &str) -> Option<Step> {
    Some(match keyword {
        "C" => Step::Send(octets_of(text)?),
        "S" => Step::Expect(text.into()),
        "TLS" => Step::Tls,
        "TIME" => Step::Time(Duration::from_secs(text.strip_suffix('s')?.parse().ok()?)),
        "SPOOL" => {
            let (operation, reply) = text.split_once(' ')?;
            let operation = match operation {
                "begin" => Operation::Begin,
                "append" => Operation::Append,
                "commit" => Operation::Commit,
                _ => return None,
            };
            Step::Spool(operation, reply.into())
        }
        "SHUTDOWN" => Step::Shutdown,
        "END" => Step::End,
        "CLOSED" => Step::Closed,
        _ => return None,
    })
}
