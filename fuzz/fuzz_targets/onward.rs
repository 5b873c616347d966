//! What a client asks of MAIL and RCPT goes on as it was asked: to a next hop that offers everything,
//! whatever was taken is said so that it is taken again, and means the same; and one recipient at a
//! time it is said in the same words. Lines behind those are what the driver and the peer of a held
//! transaction do next: each recipient is taken at most once, and has one outcome.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::addr::{Domain, ReversePath};
use vouchsafe_proto::envelope::Recipient;
use vouchsafe_proto::outcome::Remote;
use vouchsafe_proto::smtp::command::{Command, Mail};
use vouchsafe_proto::smtp::deliver::{
    Action, Input, Protocol, Session, Settings, StartTls, Timeouts, Transaction,
};
use vouchsafe_proto::time::{Mono, Now, Wall};

const NOW: Now = Now {
    mono: Mono::from_millis(0),
    wall: Wall::from_secs(1_795_256_100),
};

const GREETING: &[u8] = b"220 next.example\r\n";
const STARTTLS: &[u8] = b"250-next.example\r\n250 STARTTLS\r\n";
const OFFERS: &[u8] = b"250-next.example\r\n250-PIPELINING\r\n250-SIZE\r\n250-REQUIRETLS\r\n\
    250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-PRDR\r\n250-DELIVERBY\r\n250-XVOUCH\r\n250 XHOLD 5 600 8\r\n";

/// A session that is ready for a message.
fn ready() -> Session {
    let mut session = Session::new(Settings {
        protocol: Protocol::Smtp,
        private: false,
        hostname: Domain::parse("mx.example.org").unwrap(),
        starttls: StartTls::Verified,
        remote: Remote {
            name: "next.example".into(),
            address: None,
        },
        timeouts: Timeouts::default(),
    });
    let mut actions = Vec::new();
    session.step(Input::Connected, NOW, &mut actions);
    for octets in [GREETING, STARTTLS, GREETING] {
        session.step(Input::Bytes(octets), NOW, &mut actions);
    }
    session.step(Input::TlsStarted, NOW, &mut actions);
    session.step(Input::Bytes(OFFERS), NOW, &mut actions);
    assert!(actions.contains(&Action::Ready));
    session
}

/// The message that is given to it.
fn transaction(mail: &Mail, recipients: Vec<Recipient>) -> Transaction {
    let mut requests = mail.requests.clone();
    requests.deliver_by = mail.by.map(|by| by.from(NOW.wall));
    Transaction {
        reverse_path: mail.reverse_path.clone(),
        recipients,
        body: mail.body,
        smtputf8: mail.smtputf8,
        requests,
        size: Some(100),
        through: mail.through.clone(),
        claim: mail.claim,
        per_recipient: mail.per_recipient,
    }
}

/// What the session says to the next hop when it is given a message.
fn said(mail: &Mail, recipients: Vec<Recipient>) -> Vec<Vec<u8>> {
    let mut actions = Vec::new();
    let transaction = Box::new(transaction(mail, recipients));
    ready().step(Input::Deliver(transaction), NOW, &mut actions);
    let written = written(&actions);
    let text = written.strip_suffix(b"\r\n").unwrap_or(&written);
    let lines = String::from_utf8(text.to_vec()).unwrap();
    lines.split("\r\n").map(|line| line.into()).collect()
}

/// What is sent.
fn written(actions: &[Action]) -> Vec<u8> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Write(octets) => Some(&octets[..]),
            _ => None,
        })
        .flatten()
        .copied()
        .collect()
}

/// The same, with one recipient at a time; then what `moves` say, a line each.
fn held<'a>(
    mail: &Mail,
    recipients: &[Recipient],
    said: &[Vec<u8>],
    moves: impl Iterator<Item = &'a [u8]>,
) {
    let mut session = ready();
    let mut told = Told::default();
    let mut lines = said.iter();
    let mut says = |session: &mut Session, input: Input<'_>, told: &mut Told| {
        let mut actions = Vec::new();
        session.step(input, NOW, &mut actions);
        let line = [&lines.next().unwrap()[..], b"\r\n"].concat();
        assert_eq!(written(&actions), line);
        actions.into_iter().for_each(|action| told.note(action));
    };
    let transaction = transaction(mail, Vec::new());
    says(&mut session, Input::Hold(Box::new(transaction)), &mut told);
    session.step(Input::Bytes(OK), NOW, &mut Vec::new());
    for (place, recipient) in recipients.iter().enumerate() {
        let recipient = Box::new(recipient.clone());
        told.recipients.push((0, 0));
        says(&mut session, Input::Recipient(recipient), &mut told);
        let mut actions = Vec::new();
        session.step(Input::Bytes(OK), NOW, &mut actions);
        assert_eq!(actions.pop(), Some(Action::Accepted(place)));
        told.note(Action::Accepted(place));
    }
    for line in moves {
        let Some(input) = told.input(line, &recipients[0]) else {
            continue;
        };
        if matches!(input, Input::Recipient(_)) && told.open {
            told.recipients.push((0, 0));
        }
        told.open &= !matches!(input, Input::Proceed);
        let mut actions = Vec::new();
        session.step(input, NOW, &mut actions);
        actions.into_iter().for_each(|action| told.note(action));
    }
    let mut actions = Vec::new();
    session.step(Input::EndOfStream, NOW, &mut actions);
    actions.into_iter().for_each(|action| told.note(action));
    assert!(told.finished);
    assert!(told.recipients.iter().all(|(_, outcomes)| *outcomes == 1));
}

const OK: &[u8] = b"250 ok\r\n";

/// What the driver of a held transaction has been told.
struct Told {
    /// Of each recipient: how often it was taken, its outcomes.
    recipients: Vec<(u32, u32)>,
    /// More may come.
    open: bool,
    wants_content: bool,
    prepared: bool,
    finished: bool,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            recipients: Vec::new(),
            open: true,
            wants_content: false,
            prepared: false,
            finished: false,
        }
    }
}

impl Told {
    fn note(&mut self, action: Action) {
        match action {
            Action::Accepted(index) => {
                assert_eq!(self.recipients[index], (0, 0));
                self.recipients[index].0 = 1;
            }
            Action::Outcome(index, _) => {
                assert_eq!(self.recipients[index].1, 0);
                self.recipients[index].1 = 1;
            }
            Action::Finished => {
                assert!(!self.finished);
                (self.finished, self.open) = (true, false);
                (self.wants_content, self.prepared) = (false, false);
            }
            Action::Unstarted(_) => panic!("it was begun"),
            Action::WantContent => self.wants_content = true,
            Action::Prepared => self.prepared = true,
            Action::Close => assert!(self.finished),
            _ => {}
        }
    }

    /// The input that a line is: what begins with a digit, or with nothing we know, the peer says.
    fn input<'a>(&mut self, line: &'a [u8], recipient: &Recipient) -> Option<Input<'a>> {
        use std::mem::take;
        Some(match line.split_first() {
            Some((b'R', _)) => Input::Recipient(Box::new(recipient.clone())),
            Some((b'P', _)) => Input::Proceed,
            Some((b'A', _)) => Input::Abandon,
            Some((b'N', _)) => Input::Noop,
            Some((b'T', _)) => Input::TimerFired,
            Some((b'O', _)) => Input::Bytes(OK),
            Some((b'D', _)) => Input::Bytes(b"354 go\r\n"),
            Some((b'C', piece)) => {
                take(&mut self.wants_content).then_some(Input::Content(piece))?
            }
            Some((b'E', _)) => take(&mut self.wants_content).then_some(Input::ContentEnd)?,
            Some((b'F', _)) => Input::ContentFailed,
            Some((b'.', _)) => take(&mut self.prepared).then_some(Input::Complete)?,
            _ => Input::Bytes(line),
        })
    }
}

fuzz_target!(|octets: &[u8]| {
    let mut lines = octets.split(|octet| *octet == b'\n');
    let Some(Ok(Command::Mail(mail))) = lines.next().map(Command::parse) else {
        return;
    };
    let recipients: Vec<_> = lines
        .by_ref()
        .take(8)
        .filter_map(|line| match Command::parse(line) {
            Ok(Command::Recipient(recipient)) => Some(recipient),
            _ => None,
        })
        .collect();
    let is_ascii = mail.reverse_path.is_ascii() && recipients.iter().all(|to| to.path.is_ascii());
    // Else the session refuses it before anything is asked of a next hop.
    if recipients.is_empty() || !(is_ascii || mail.smtputf8) {
        return;
    }
    let said = said(&mail, recipients.clone());
    held(&mail, &recipients, &said, lines);
    let mut said = said.into_iter();
    let onward = said.next().unwrap();
    let Ok(Command::Mail(taken)) = Command::parse(&onward) else {
        panic!("{:?} became {:?}", mail, String::from_utf8_lossy(&onward));
    };
    // A bare local part is completed with our name.
    if !matches!(mail.reverse_path, ReversePath::Bare(_)) {
        assert_eq!(taken.reverse_path, mail.reverse_path);
    }
    assert_eq!(taken.requests, mail.requests);
    assert_eq!(taken.by, mail.by);
    assert_eq!(taken.through, mail.through);
    assert_eq!(taken.claim, mail.claim);
    assert_eq!((taken.body, taken.smtputf8), (mail.body, mail.smtputf8));
    for (recipient, onward) in recipients.iter().zip(said) {
        let Ok(Command::Recipient(taken)) = Command::parse(&onward) else {
            panic!(
                "{recipient:?} became {:?}",
                String::from_utf8_lossy(&onward)
            );
        };
        assert_eq!(&taken, recipient);
    }
});
