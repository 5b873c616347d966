//! The whole receive machine: any octets, any answers. Nothing is said to be queued without
//! custody, a message begun ends once, and splitting changes nothing.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::custody::Custody;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::smtp::receive::{
    Action, Answer, Ask, AskId, Begun, Input, Limits, Peer, Session, Settings,
};
use vouchsafe_proto::smtp::xhold::{Holding, Marker, Terms};
use vouchsafe_proto::time::{Mono, Now, Wall};
use vouchsafe_proto::verify::timing::Possible;
use vouchsafe_proto::verify::{Evidence, Verdict};

/// What a session did, as far as others can see it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    written: Vec<u8>,
    appended: Vec<u8>,
    asks: Vec<Ask>,
    custodies: usize,
    closed: bool,
}

/// A driver whose world answers by a seed.
struct World {
    session: Session,
    seen: Seen,
    seed: u8,
    begun: bool,
    held: bool,
    /// Each recipient may have an end of its own.
    each: bool,
}

const XHOLD: Terms = Terms {
    min: 5,
    max: 600,
    hops: 8,
};

const NOW: Now = Now {
    mono: Mono::from_millis(1000),
    wall: Wall::from_secs(1_795_256_100),
};

impl World {
    fn new(seed: u8) -> Self {
        let limits = Limits {
            message_size: 4096,
            recipients: 3,
            received_fields: 3,
            errors: 20,
            ..Limits::default()
        };
        let settings = Settings {
            hostname: Domain::parse("mx.example").expect("a domain"),
            authserv_id: Domain::parse("mx.example").expect("a domain"),
            limits,
            starttls: seed & 1 == 1,
            require_tls: seed & 2 == 2,
            holds: seed & 64 == 64,
            xhold: (seed & 16 == 16).then(|| Holding {
                terms: XHOLD,
                marker: Marker::new(|_| [0; 32]),
            }),
            xvouch: seed & 4 == 4,
            helo_syntax: true,
            possible: Possible {
                dkim: seed & 32 == 32,
                ..Possible::default()
            },
        };
        let peer = Peer {
            address: ([192, 0, 2, 1], 4025).into(),
            may_relay: false,
            is_front: seed & 0x80 != 0,
        };
        let session = Session::new(Arc::new(settings), peer);
        Self {
            session,
            seen: Seen::default(),
            seed,
            begun: false,
            held: false,
            each: false,
        }
    }

    fn answer(&mut self, ask: &Ask) -> Answer {
        let fails = |bit: u8| self.seed & (1 << bit) != 0;
        let no = || Reply::new(451, (4, 3, 0), "not now");
        let id = QueueId::new(NOW.wall, u64::from(self.seed));
        match ask {
            Ask::Verify { .. } => Answer::Verdict(Arc::new(Verdict::of(
                Evidence::RelayClient { local_domain: true },
                [],
            ))),
            Ask::Peer(client) => Answer::Peer(Peer {
                address: *client,
                may_relay: false,
                is_front: false,
            }),
            Ask::Recipient { .. } => {
                Answer::Recipient(if fails(2) { Err(no()) } else { Ok(Vec::new()) })
            }
            Ask::Content { verdict, .. } => Answer::Verdict(verdict.clone()),
            Ask::Outside { .. } => Answer::Outside(None),
            Ask::Begin { .. } => {
                assert!(!self.begun, "begun twice");
                self.begun = !fails(3);
                let begun = Begun {
                    queue_id: id,
                    passes_on: self.held,
                };
                Answer::Begun(if fails(3) { Err(no()) } else { Ok(begun) })
            }
            Ask::Hold(hold) => {
                self.held = true;
                self.each = hold.per_recipient;
                Answer::Held(if fails(4) { Err(no()) } else { Ok(None) })
            }
            Ask::Commit(envelope) => {
                assert!(self.begun && !envelope.recipients.is_empty());
                (self.begun, self.held) = (false, false);
                if fails(4) {
                    return Answer::Committed(Err(no()));
                }
                self.seen.custodies += 1;
                let custody = Custody::of_durable_message(id);
                let others = envelope.recipients.len() - 1;
                if !self.each || others == 0 {
                    return Answer::Committed(Ok(custody));
                }
                let others = custody.for_each_of(others).map(Ok);
                Answer::CommittedEach([Err(no())].into_iter().chain(others).collect())
            }
        }
    }

    fn step(&mut self, input: Input<'_>) {
        let mut actions = Vec::new();
        self.session.step(input, NOW, &mut actions);
        let mut asked: Option<(AskId, Ask)> = None;
        let mut tls = false;
        for action in actions {
            assert!(!self.seen.closed, "an action after the end: {action:?}");
            match action {
                Action::Write(octets) => self.seen.written.extend(octets),
                Action::Append(octets) => {
                    assert!(self.begun, "content of no message");
                    self.seen.appended.extend(octets);
                }
                Action::Head(_) => assert!(self.begun && self.held, "a head on nothing"),
                Action::Abandon => {
                    assert!(self.begun || self.held, "nothing to abandon");
                    (self.begun, self.held) = (false, false);
                }
                Action::Ask(id, ask) => assert!(asked.replace((id, ask)).is_none(), "two asks"),
                Action::StartTls => tls = true,
                Action::Close => self.seen.closed = true,
                Action::SetTimer(_) | Action::Note(_) => {}
            }
        }
        if let Some((id, ask)) = asked {
            assert!(!self.session.wants_bytes());
            let answer = self.answer(&ask);
            self.seen.asks.push(ask);
            self.step(Input::Answer(id, answer));
        } else if tls {
            self.step(Input::TlsStarted("TLSv1.3".into()));
        }
    }

    fn play<'a>(mut self, pieces: impl Iterator<Item = &'a [u8]>) -> Seen {
        self.step(Input::Connected);
        for piece in pieces {
            self.step(Input::Bytes(piece));
        }
        self.step(Input::EndOfStream);
        assert!(!self.begun && !self.held, "a message was left behind");
        // A block of replies is one, and some of those in it are taken.
        let (mut queued, mut in_block) = (0, false);
        for line in self.seen.written.split(|octet| *octet == b'\n') {
            let ends_block = line.starts_with(b"250 2.0.0 taken for");
            let alone = line.starts_with(b"250 2.0.0 queued as") && !in_block;
            queued += usize::from(ends_block || alone);
            in_block = line.starts_with(b"353 ") || in_block && !ends_block;
        }
        assert_eq!(queued, self.seen.custodies, "250 without custody");
        self.seen
    }
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (seed, size, octets) = (input.0, usize::from(input.1) + 1, input.2);
    let whole = World::new(seed).play([octets].into_iter());
    // What comes in clear behind STARTTLS is dropped with the read it came in, so the split shows.
    if !(seed & 1 == 1
        && octets
            .windows(8)
            .any(|at| at.eq_ignore_ascii_case(b"starttls")))
    {
        let split = World::new(seed).play(octets.chunks(size));
        assert_eq!((whole.written, whole.asks), (split.written, split.asks));
    }
});
