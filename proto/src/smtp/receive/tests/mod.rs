//! Properties of the whole machine, over octets and answers of every kind. The stories are in
//! `testdata/dialogue`.

mod claims;
mod declared;
mod held;
mod per_recipient;
mod xhold;

use super::*;
use crate::smtp::receive::session::Session;
use crate::time::{Now, Wall};
use crate::verify::{Evidence, Verdict};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use proptest::prelude::*;

/// Caps small enough to be met.
fn settings() -> Arc<Settings> {
    Arc::new(Settings {
        hostname: Domain::parse("mx.example.org").expect("a domain"),
        authserv_id: Domain::parse("mx.example.org").expect("a domain"),
        limits: Limits {
            message_size: 60,
            recipients: 2,
            command_line: 100,
            received_fields: 2,
            errors: 8,
            ..Limits::default()
        },
        starttls: true,
        require_tls: true,
        holds: true,
        xhold: None,
        xvouch: true,
        helo_syntax: true,
        possible: Possible {
            dkim: true,
            ..Possible::default()
        },
    })
}

fn peer() -> Peer {
    Peer {
        address: SocketAddr::from(([192, 0, 2, 1], 4000)),
        may_relay: false,
        is_front: true,
    }
}

fn now() -> Now {
    Now {
        mono: Mono::from_millis(1),
        wall: Wall::from_secs(1),
    }
}

fn unknown() -> Verdict {
    let first = Evidence::RelayClient {
        local_domain: false,
    };
    Verdict::of(first, [])
}

/// What a session did, with neighbours of one kind joined.
#[derive(Debug, Default, PartialEq, Eq)]
struct Run {
    said: String,
    /// Content that was committed, in order.
    kept: Vec<Vec<u8>>,
    envelopes: Vec<Envelope>,
    closed: bool,
}

/// A willing world: every answer is yes.
struct World {
    session: Session,
    run: Run,
    draft: Option<Vec<u8>>,
    /// 250s to ends of messages must not outnumber these.
    custodies: usize,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            session: Session::new(settings(), peer()),
            run: Run::default(),
            draft: None,
            custodies: 0,
        };
        world.step(Input::Connected);
        world
    }

    fn step(&mut self, input: Input<'_>) {
        let mut actions = Vec::new();
        self.session.step(input, now(), &mut actions);
        let mut answers = Vec::new();
        for action in actions {
            assert!(!self.run.closed, "nothing follows Close: {action:?}");
            answers.extend(self.perform(action));
        }
        for answer in answers {
            self.step(answer);
        }
    }

    fn perform(&mut self, action: Action) -> Option<Input<'static>> {
        match action {
            Action::Write(octets) => self.run.said.push_str(&String::from_utf8(octets).unwrap()),
            Action::Append(octets) => self.draft.as_mut().expect("a draft").extend(octets),
            Action::Abandon => drop(self.draft.take()),
            Action::Head(_) => panic!("nothing goes on here"),
            Action::StartTls => return Some(Input::TlsStarted("TLSv1.3".into())),
            Action::Close => self.run.closed = true,
            Action::Ask(id, ask) => return Some(Input::Answer(id, self.answer(ask))),
            Action::SetTimer(_) | Action::Note(_) => {}
        }
        None
    }

    #[expect(clippy::disallowed_methods, reason = "the test is the spool")]
    fn answer(&mut self, ask: Ask) -> Answer {
        let id = QueueId::new(Wall::from_secs(1), 1);
        match ask {
            Ask::Verify { .. } => Answer::Verdict(Arc::new(unknown())),
            Ask::Recipient { .. } => Answer::Recipient(Ok(Vec::new())),
            Ask::Content { verdict, .. } => Answer::Verdict(verdict),
            Ask::Outside { .. } => Answer::Outside(None),
            Ask::Peer(_) => Answer::Peer(peer()),
            Ask::Begin { .. } => {
                assert!(self.draft.replace(Vec::new()).is_none());
                Answer::Begun(Ok(Begun::to_keep(id)))
            }
            Ask::Hold(_) => Answer::Held(Ok(None)),
            Ask::Commit(envelope) => {
                self.custodies += 1;
                self.run.kept.push(self.draft.take().expect("a draft"));
                self.run.envelopes.push(*envelope);
                Answer::Committed(Ok(Custody::of_durable_message(id)))
            }
        }
    }

    /// Gives octets as a driver does, a piece at a time.
    fn send(&mut self, octets: &[u8], step: usize) {
        for piece in octets.chunks(step) {
            if self.session.wants_bytes() {
                self.step(Input::Bytes(piece));
            }
        }
    }
}

fn run(octets: &[u8], step: usize) -> Run {
    let mut world = World::new();
    world.send(octets, step);
    let acknowledged = world.run.said.matches("queued as").count();
    assert_eq!(acknowledged, world.custodies);
    world.step(Input::EndOfStream);
    assert!(world.run.closed && world.draft.is_none());
    world.run
}

/// Commands and content as a client, a confused client or an attacker sends them.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "EHLO a.example\r\n",
        "HELO b\r\n",
        "MAIL FROM:<a@b.example>\r\n",
        "MAIL FROM:<> BODY=8BITMIME SIZE=10\r\n",
        "MAIL FROM:<a@b.example> SIZE=1000\r\n",
        "RCPT TO:<c@example.org>\r\n",
        "RCPT TO:<d@example.org>\r\n",
        "DATA\r\n",
        "Subject: x\r\n\r\nbody\r\n.\r\n",
        "Received: x\r\nReceived: y\r\nReceived: z\r\n.\r\n",
        "Authentication-Results:\tmx.example.org\r\n\r\nx\r\n.\r\n",
        "Authentication-Results: (mx.example.org",
        "\r\n.\r\n",
        "\n.\r\n",
        "\r\n.\r\r\n",
        "BDAT 5\r\nabc\r\n",
        "BDAT 5 LAST\r\nabc\r\n",
        "BDAT 3 LAST\r\na\nb",
        "BDAT 0 LAST\r\n",
        "BDAT 4 MORE\r\nabcd",
        "BDAT 70\r\n",
        "STARTTLS\r\n",
        "RSET\r\n",
        "XCLIENT ADDR=192.0.2.9 HELO=x\r\n",
        "XCLIENT NAME=[UNAVAILABLE]\r\n",
        "XFORWARD ADDR=192.0.2.9\r\n",
        "XFORWARD ADDR=\r\n",
        "XFORWARD ADDR\r\n",
        "NOOP\r\n",
        "QUIT\r\n",
        "JUNK\r\n",
        "NO\nOP\r\n",
        "éé\r\n",
    ]);
    prop_oneof![
        20 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..30),
        1 => Just(vec![b'x'; 120]),
    ]
}

/// A dialogue that has a chance of getting somewhere.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let opening = prop::sample::select(vec![
        "",
        "EHLO a.example\r\n",
        "EHLO a.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@example.org>\r\n",
        "EHLO a.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n",
    ]);
    (opening, prop::collection::vec(piece(), 0..14)).prop_map(|(opening, pieces)| {
        let mut octets = opening.as_bytes().to_vec();
        octets.extend(pieces.concat());
        octets
    })
}

/// Anything that a driver might bring.
fn any_input() -> impl Strategy<Value = Stimulus> {
    prop_oneof![
        12 => piece().prop_map(Stimulus::Octets),
        12 => Just(Stimulus::AnswerOpen),
        2 => (0u16..1000).prop_map(Stimulus::RefuseOpen),
        2 => Just(Stimulus::AnswerLate),
        2 => (0u16..1000).prop_map(Stimulus::ContentRefused),
        1 => Just(Stimulus::Timer),
        1 => Just(Stimulus::Tls),
        1 => Just(Stimulus::Shutdown),
        1 => Just(Stimulus::End),
    ]
}

#[derive(Clone, Debug)]
enum Stimulus {
    Octets(Vec<u8>),
    AnswerOpen,
    RefuseOpen(u16),
    AnswerLate,
    ContentRefused(u16),
    Timer,
    Tls,
    Shutdown,
    End,
}

/// A driver that keeps no contract but that of the order, with a world that says anything.
#[derive(Default)]
struct Chaos {
    open: Option<(AskId, Ask)>,
    began: bool,
    /// Somebody was asked for down the path.
    held: bool,
    said: String,
    closed: bool,
    custodies: usize,
}

impl Chaos {
    fn go(mut self, stimuli: &[Stimulus]) {
        let mut session = Session::new(settings(), peer());
        let mut actions = Vec::new();
        session.step(Input::Connected, now(), &mut actions);
        for stimulus in stimuli {
            if let Some(input) = self.input(stimulus) {
                session.step(input, now(), &mut actions);
            }
            for action in actions.drain(..) {
                self.note(action);
            }
            assert!(session.held_octets() <= 200 * stimuli.len());
        }
        assert_eq!(self.said.matches("queued as").count(), self.custodies);
        // To content, nothing else is positive but the reply to a chunk that is not the last.
        for line in self.said.lines().filter(|line| line.starts_with('2')) {
            let known = [
                "220 ",
                "250-",
                "250 2.",
                "250 STARTTLS",
                "250 XFORWARD",
                "250 CHUNKING",
                "221 ",
                "214 ",
            ];
            let known = known.iter().any(|start| line.starts_with(start));
            assert!(known || line == "250 mx.example.org", "{line}");
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the test is the spool")]
    fn input<'a>(&mut self, stimulus: &'a Stimulus) -> Option<Input<'a>> {
        let refusal = |code: &u16| Reply::new(*code, (4, 0, 0), "no");
        let id = QueueId::new(Wall::from_secs(1), 1);
        Some(match stimulus {
            Stimulus::Octets(octets) => Input::Bytes(octets),
            Stimulus::ContentRefused(code) => Input::ContentRefused(refusal(code)),
            Stimulus::Timer => Input::TimerFired,
            Stimulus::Tls => Input::TlsStarted("x".into()),
            Stimulus::Shutdown => Input::Shutdown,
            Stimulus::End => Input::EndOfStream,
            Stimulus::AnswerLate => Input::Answer(AskId(9999), Answer::Recipient(Ok(Vec::new()))),
            Stimulus::RefuseOpen(code) => {
                let (open, ask) = self.open.take()?;
                let answer = match ask {
                    Ask::Verify { .. } => Answer::Verdict(Arc::new(unknown())),
                    Ask::Recipient { .. } => Answer::Recipient(Err(refusal(code))),
                    Ask::Content { verdict, .. } => Answer::Verdict(verdict),
                    Ask::Outside { .. } => Answer::Outside(None),
                    Ask::Peer(_) => Answer::Peer(peer()),
                    Ask::Begin { .. } => Answer::Begun(Err(refusal(code))),
                    Ask::Hold(_) => Answer::Held(Err(refusal(code))),
                    Ask::Commit(_) => Answer::Committed(Err(refusal(code))),
                };
                Input::Answer(open, answer)
            }
            Stimulus::AnswerOpen => {
                let (open, ask) = self.open.take()?;
                let answer = match ask {
                    Ask::Verify { .. } => Answer::Verdict(Arc::new(unknown())),
                    Ask::Recipient { .. } => Answer::Recipient(Ok(Vec::new())),
                    Ask::Content { verdict, .. } => Answer::Verdict(verdict),
                    Ask::Outside { .. } => Answer::Outside(None),
                    Ask::Peer(_) => Answer::Peer(peer()),
                    Ask::Begin { .. } => {
                        // A message begun for a session that has closed is the driver's to drop.
                        self.began = !self.closed;
                        Answer::Begun(Ok(Begun {
                            queue_id: id,
                            passes_on: self.held,
                        }))
                    }
                    Ask::Hold(_) => Answer::Held(Ok(None)),
                    Ask::Commit(_) => {
                        self.custodies += usize::from(!self.closed);
                        Answer::Committed(Ok(Custody::of_durable_message(id)))
                    }
                };
                Input::Answer(open, answer)
            }
        })
    }

    fn note(&mut self, action: Action) {
        assert!(!self.closed, "nothing follows Close: {action:?}");
        match action {
            Action::Write(octets) => self.said.push_str(&String::from_utf8(octets).unwrap()),
            Action::Append(_) => assert!(self.began),
            Action::Head(_) => assert!(self.began && self.held),
            Action::Abandon => {
                let (began, held) = (&mut self.began, &mut self.held);
                assert!(core::mem::take(began) | core::mem::take(held));
            }
            Action::Close => {
                assert!(!self.began && !self.held, "a message is left open");
                self.closed = true;
            }
            Action::Ask(id, ask) => {
                assert!(self.open.is_none(), "one question at a time");
                match ask {
                    Ask::Commit(_) => {
                        assert!(core::mem::take(&mut self.began));
                        self.held = false;
                    }
                    Ask::Hold(_) => self.held = true,
                    _ => {}
                }
                self.open = Some((id, ask));
            }
            Action::SetTimer(_) | Action::StartTls | Action::Note(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_split_changes_anything(octets in octets(), step in 1usize..40) {
        // What comes behind STARTTLS is dropped or not by where the read ended, as it must be.
        prop_assume!(!octets.windows(8).any(|eight| eight == b"STARTTLS"));
        prop_assert_eq!(run(&octets, step), run(&octets, octets.len().max(1)));
    }

    #[test]
    fn nothing_is_said_to_content_without_custody(
        stimuli in prop::collection::vec(any_input(), 0..60),
    ) {
        Chaos::default().go(&stimuli);
    }
}

#[test]
fn pipelined_octets_wait_for_answers_and_replies_leave_together() {
    let mut session = Session::new(settings(), peer());
    let mut actions = Vec::new();
    session.step(Input::Connected, now(), &mut actions);
    actions.clear();
    let octets = b"EHLO a\r\nNOOP\r\nMAIL FROM:<>\r\nNOOP\r\nNOOP\r\n";
    session.step(Input::Bytes(octets), now(), &mut actions);
    assert!(!session.wants_bytes());
    let writes = |actions: &[Action]| {
        let written = actions
            .iter()
            .filter(|action| matches!(action, Action::Write(_)));
        written.count()
    };
    assert_eq!(writes(&actions), 1);
    assert_eq!(session.held_octets(), 12);
    let Some(Action::Ask(id, _)) = actions.pop() else {
        panic!("{actions:?}");
    };
    actions.clear();
    session.step(
        Input::Answer(id, Answer::Verdict(Arc::new(unknown()))),
        now(),
        &mut actions,
    );
    assert_eq!(writes(&actions), 1);
    assert!(session.wants_bytes() && session.held_octets() == 0);
}

#[test]
fn a_stream_of_content_sets_few_timers() {
    let mut world = World::new();
    world.send(
        b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n",
        1000,
    );
    let mut actions = Vec::new();
    for second in 1u64..1000 {
        let now = Now {
            mono: Mono::from_millis(second * 1000),
            wall: Wall::from_secs(second),
        };
        world
            .session
            .step(Input::Bytes(b"x\r\n"), now, &mut actions);
    }
    let timers = actions
        .iter()
        .filter(|action| matches!(action, Action::SetTimer(_)));
    assert_eq!(timers.count(), 0, "the one that is set fires first");
}

#[test]
fn limits_default_to_the_rfc_s_floors_or_more() {
    let limits = Limits::default();
    assert!(limits.recipients >= 100 && limits.received_fields >= 100);
    assert!(limits.command_line >= 512 && limits.command_timeout >= Duration::from_mins(5));
}
