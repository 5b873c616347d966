//! What leaves in one write.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream as Peer;

use tokio::net::UnixStream;
use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::envelope::{BodyType, Recipient, Requests};
use vouchsafe_proto::smtp::deliver::{Settings, StartTls};
use vouchsafe_proto::smtp::xhold::Through;

use super::*;

/// A session with a peer whose every octet is looked at, up to where content is asked for.
async fn in_content() -> (Connection, Peer, Seen) {
    let (near, mut far) = Peer::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    let remote = Remote {
        name: String::from("peer.example"),
        address: None,
    };
    let mut connection = Connection {
        session: Session::new(Settings {
            protocol: Protocol::Smtp,
            private: false,
            hostname: Domain::parse("relay.example").unwrap(),
            starttls: StartTls::Never,
            remote: remote.clone(),
            timeouts: Timeouts::default(),
        }),
        stream: Stream::Unix(UnixStream::from_std(near).unwrap()),
        remote,
        tls: None,
        timer: None,
        buffer: vec![0; READ_SIZE],
        unsent: Vec::new(),
        actions: Vec::new(),
    };
    let mut seen = Seen::default();
    connection.feed(Input::Connected, &mut seen).await;
    for words in ["220 peer.example\r\n", "250-peer\r\n250 PIPELINING\r\n"] {
        far.write_all(words.as_bytes()).unwrap();
        connection.hear(&mut seen).await;
    }
    assert!(seen.ready);
    let transaction = Transaction {
        reverse_path: ReversePath::Null,
        recipients: vec![Recipient::from(
            ForwardPath::parse_inside("b@example.org").unwrap(),
        )],
        body: BodyType::SevenBit,
        smtputf8: false,
        requests: Requests::default(),
        size: Some(20),
        per_recipient: false,
        through: Through::default(),
        claim: None,
    };
    connection
        .feed(Input::Deliver(Box::new(transaction)), &mut seen)
        .await;
    assert!(sent(&mut far).unwrap().ends_with(b"\r\nDATA\r\n"));
    far.write_all(b"250 ok\r\n250 ok\r\n354 go on\r\n").unwrap();
    connection.hear(&mut seen).await;
    assert!(seen.wants_content);
    (connection, far, seen)
}

/// What has come by now; none if nothing has.
fn sent(far: &mut Peer) -> Option<Vec<u8>> {
    let mut octets = vec![0; 256 * 1024];
    match far.read(&mut octets) {
        Ok(read) => {
            octets.truncate(read);
            Some(octets)
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            None
        }
    }
}

#[tokio::test]
async fn a_small_message_leaves_in_one_write() {
    let (mut connection, mut far, mut seen) = in_content().await;
    for piece in ["Received: here\r\n", "\r\n.hidden\r\n"] {
        seen.wants_content = false;
        let piece = Input::Content(piece.as_bytes());
        assert!(connection.feed(piece, &mut seen).await);
        assert!(seen.wants_content);
        assert_eq!(sent(&mut far), None);
    }
    seen.wants_content = false;
    assert!(connection.feed(Input::ContentEnd, &mut seen).await);
    assert!(std::mem::take(&mut seen.prepared));
    assert_eq!(sent(&mut far), None);
    assert!(connection.complete(&mut seen).await);
    let whole = b"Received: here\r\n\r\n..hidden\r\n.\r\n";
    assert_eq!(sent(&mut far).unwrap(), whole);
}

#[tokio::test]
async fn a_large_piece_is_not_held_back() {
    let (mut connection, mut far, mut seen) = in_content().await;
    let line = [b'x'; 62];
    let large: Vec<u8> = std::iter::repeat_n([&line[..], b"\r\n"].concat(), GATHERED / 64)
        .flatten()
        .collect();
    seen.wants_content = false;
    connection.feed(Input::Content(&large), &mut seen).await;
    assert_eq!(sent(&mut far).unwrap(), large);
}

/// The final dot was not given away, so the message cannot have arrived.
#[tokio::test]
async fn what_could_not_be_written_whole_was_not_completed() {
    let (mut connection, far, mut seen) = in_content().await;
    seen.wants_content = false;
    connection
        .feed(Input::Content(b"\r\nhello\r\n"), &mut seen)
        .await;
    seen.wants_content = false;
    connection.feed(Input::ContentEnd, &mut seen).await;
    assert!(std::mem::take(&mut seen.prepared));
    drop(far);
    assert!(!connection.complete(&mut seen).await);
    assert!(seen.closed && seen.outcomes.len() == 1);
}
