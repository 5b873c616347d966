//! What a client asks of MAIL and RCPT goes on as it was asked: to a next hop that offers everything,
//! whatever was taken is said so that it is taken again, and means the same.

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
    250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 DELIVERBY\r\n";

/// What the session says to the next hop when it is given a message.
fn said(mail: &Mail, recipients: Vec<Recipient>) -> Vec<Vec<u8>> {
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
    actions.clear();
    let mut requests = mail.requests.clone();
    requests.deliver_by = mail.by.map(|by| by.from(NOW.wall));
    let transaction = Transaction {
        reverse_path: mail.reverse_path.clone(),
        recipients,
        body: mail.body,
        smtputf8: mail.smtputf8,
        requests,
        size: 100,
    };
    session.step(Input::Deliver(Box::new(transaction)), NOW, &mut actions);
    let written: Vec<u8> = actions
        .into_iter()
        .filter_map(|action| match action {
            Action::Write(octets) => Some(octets),
            _ => None,
        })
        .flatten()
        .collect();
    let text = written.strip_suffix(b"\r\n").unwrap_or(&written);
    let lines = String::from_utf8(text.to_vec()).unwrap();
    lines.split("\r\n").map(|line| line.into()).collect()
}

fuzz_target!(|octets: &[u8]| {
    let mut lines = octets.split(|octet| *octet == b'\n');
    let Some(Ok(Command::Mail(mail))) = lines.next().map(Command::parse) else {
        return;
    };
    let recipients: Vec<_> = lines
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
    let mut said = said(&mail, recipients.clone()).into_iter();
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
