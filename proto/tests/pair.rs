//! The receive and the deliver machine joined in memory: what one sends, the other reads, cut into
//! pieces of any size, with any of the extensions taken away, and cut off at any octet.
//!
//! What must hold: the content that is kept is the content that was given, octet for octet; each
//! recipient has exactly one outcome; nobody is told *delivered* about a message that is not kept.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;
use vouchsafe_proto::addr::{Domain, ForwardPath, ReversePath};
use vouchsafe_proto::custody::Custody;
use vouchsafe_proto::envelope::{BodyType, Envelope, Requests};
use vouchsafe_proto::outcome::{Outcome, OutcomeClass, Remote};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::smtp::xhold::Through;
use vouchsafe_proto::smtp::{deliver, receive};
use vouchsafe_proto::time::{Mono, Now, Wall};
use vouchsafe_proto::verify::timing::Possible;
use vouchsafe_proto::verify::{Evidence, Verdict};

const NOW: Now = Now {
    mono: Mono::from_millis(1),
    wall: Wall::from_secs(1_795_256_100),
};

/// How the two are joined.
#[derive(Clone, Debug)]
struct Line {
    /// Octets carried at once.
    split: usize,
    /// Octets of content given at once.
    piece: usize,
    /// EHLO keywords that get lost on the way.
    hidden: Vec<&'static str>,
    /// The line breaks after so many octets, both ways together.
    breaks_after: usize,
    starttls: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            split: usize::MAX,
            piece: usize::MAX,
            hidden: vec![],
            breaks_after: usize::MAX,
            starttls: false,
        }
    }
}

/// One message on its way.
#[derive(Clone, Debug)]
struct Message {
    recipients: Vec<&'static str>,
    content: Vec<u8>,
    smtputf8: bool,
}

fn message(recipients: &[&'static str], content: impl Into<Vec<u8>>) -> Message {
    let (recipients, content) = (recipients.to_vec(), content.into());
    Message {
        recipients,
        content,
        smtputf8: false,
    }
}

/// What came of everything.
#[derive(Debug, Default)]
struct End {
    /// Per message, per recipient. Each must end with exactly one.
    outcomes: Vec<Vec<Vec<Outcome>>>,
    /// What the receiving side took into custody.
    kept: Vec<(Envelope, Vec<u8>)>,
    /// Messages that came back untried.
    unstarted: usize,
    carried: usize,
}

/// Both machines and the line between them.
struct Pair {
    line: Line,
    client: deliver::Session,
    server: receive::Session,
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    messages: VecDeque<Message>,
    content: VecDeque<u8>,
    draft: Option<Vec<u8>>,
    end: End,
    broken: bool,
    client_closed: bool,
    server_closed: bool,
}

/// What the client's driver does after a step.
enum Then {
    Content(Vec<u8>),
    Complete,
    Next,
    TlsStarted,
}

fn run(line: &Line, messages: &[Message]) -> End {
    let client = deliver::Settings {
        protocol: deliver::Protocol::Smtp,
        private: false,
        hostname: Domain::parse("client.example.org").unwrap(),
        starttls: if line.starttls {
            deliver::StartTls::IfOffered
        } else {
            deliver::StartTls::Never
        },
        remote: Remote {
            name: "mx.example.net".into(),
            address: None,
        },
        timeouts: deliver::Timeouts::default(),
    };
    let server = receive::Settings {
        hostname: Domain::parse("mx.example.net").unwrap(),
        authserv_id: Domain::parse("mx.example.net").unwrap(),
        limits: receive::Limits::default(),
        starttls: line.starttls,
        require_tls: false,
        holds: false,
        xhold: None,
        xvouch: false,
        helo_syntax: true,
        possible: Possible::default(),
    };
    let peer = receive::Peer {
        address: "192.0.2.1:4000".parse().unwrap(),
        may_relay: false,
        is_front: false,
    };
    let mut pair = Pair {
        line: line.clone(),
        client: deliver::Session::new(client),
        server: receive::Session::new(Arc::new(server), peer),
        to_server: VecDeque::new(),
        to_client: VecDeque::new(),
        messages: messages.iter().cloned().collect(),
        content: VecDeque::new(),
        draft: None,
        end: End::default(),
        broken: false,
        client_closed: false,
        server_closed: false,
    };
    pair.serve(receive::Input::Connected);
    pair.call(deliver::Input::Connected);
    while pair.carry() {}
    assert!(pair.client_closed, "the client is stuck: {:?}", pair.client);
    pair.end
}

impl Pair {
    /// Carries some octets, or breaks the line. False when nothing is left to do.
    fn carry(&mut self) -> bool {
        let room = self.line.breaks_after.saturating_sub(self.end.carried);
        if room == 0 && !self.broken {
            self.broken = true;
            if !self.client_closed {
                self.call(deliver::Input::EndOfStream);
            }
            if !self.server_closed {
                self.serve(receive::Input::EndOfStream);
            }
        }
        if self.broken {
            return false;
        }
        let take = self.line.split.min(room);
        if !self.to_client.is_empty() && !self.client_closed {
            let count = take.min(self.to_client.len());
            let octets: Vec<u8> = self.to_client.drain(..count).collect();
            self.end.carried += count;
            self.call(deliver::Input::Bytes(&octets));
        } else if !self.to_server.is_empty() && !self.server_closed {
            assert!(self.server.wants_bytes(), "all its questions are answered");
            let count = take.min(self.to_server.len());
            let octets: Vec<u8> = self.to_server.drain(..count).collect();
            self.end.carried += count;
            self.serve(receive::Input::Bytes(&octets));
        } else if self.server_closed && !self.client_closed {
            self.call(deliver::Input::EndOfStream);
        } else {
            return false;
        }
        true
    }

    /// Advances the client, and does what it wants.
    fn call(&mut self, input: deliver::Input<'_>) {
        let mut then = self.call_once(input);
        while let Some(what) = then {
            then = match what {
                Then::Content(piece) if piece.is_empty() => {
                    self.call_once(deliver::Input::ContentEnd)
                }
                Then::Content(piece) => self.call_once(deliver::Input::Content(&piece)),
                Then::Complete => self.call_once(deliver::Input::Complete),
                Then::Next => match self.next_message() {
                    Some(message) => self.call_once(deliver::Input::Deliver(message)),
                    None => self.call_once(deliver::Input::Quit),
                },
                Then::TlsStarted => self.call_once(deliver::Input::TlsStarted),
            };
        }
    }

    /// One step of the client, and what it wants next.
    fn call_once(&mut self, input: deliver::Input<'_>) -> Option<Then> {
        let mut actions = vec![];
        self.client.step(input, NOW, &mut actions);
        let mut then = None;
        for action in actions {
            assert!(!self.client_closed, "{action:?} behind Close");
            match action {
                deliver::Action::Write(octets) => self.to_server.extend(octets),
                deliver::Action::WantContent => {
                    let count = self.line.piece.min(self.content.len());
                    then = Some(Then::Content(self.content.drain(..count).collect()));
                }
                deliver::Action::Prepared => then = Some(Then::Complete),
                deliver::Action::Outcome(index, outcome) => {
                    self.end.outcomes.last_mut().unwrap()[index].push(outcome);
                }
                deliver::Action::Ready => then = Some(Then::Next),
                deliver::Action::StartTls => then = Some(Then::TlsStarted),
                deliver::Action::Close => self.client_closed = true,
                deliver::Action::Unstarted(_) => self.end.unstarted += 1,
                deliver::Action::Accepted(_)
                | deliver::Action::Finished
                | deliver::Action::SetTimer(_)
                | deliver::Action::Unusable(_) => {}
            }
        }
        then
    }

    fn next_message(&mut self) -> Option<Box<deliver::Transaction>> {
        let message = self.messages.pop_front()?;
        self.end
            .outcomes
            .push(vec![vec![]; message.recipients.len()]);
        let recipients = message.recipients.iter();
        let size = u64::try_from(message.content.len()).ok();
        self.content = message.content.into();
        Some(Box::new(deliver::Transaction {
            per_recipient: true,
            reverse_path: ReversePath::parse_inside("alice@example.org").unwrap(),
            recipients: recipients
                .map(|path| ForwardPath::parse_inside(path).unwrap().into())
                .collect(),
            body: BodyType::EightBitMime,
            smtputf8: message.smtputf8,
            requests: Requests::default(),
            size,
            through: Through::default(),
            claim: None,
        }))
    }

    /// Advances the server, and does what it wants.
    fn serve(&mut self, input: receive::Input<'_>) {
        let mut actions = vec![];
        self.server.step(input, NOW, &mut actions);
        for action in actions {
            match action {
                receive::Action::Write(octets) => self.say(&octets),
                receive::Action::Head(_) => unreachable!("nothing is held here"),
                receive::Action::Append(octets) => self.draft.as_mut().unwrap().extend(octets),
                receive::Action::Abandon => drop(self.draft.take().unwrap()),
                receive::Action::StartTls => self.serve(receive::Input::TlsStarted("TLS".into())),
                receive::Action::Close => self.server_closed = true,
                receive::Action::Ask(id, ask) => {
                    let answer = self.answer(ask);
                    self.serve(receive::Input::Answer(id, answer));
                }
                receive::Action::SetTimer(_) | receive::Action::Note(_) => {}
            }
        }
    }

    /// Sends replies, without the keywords that are hidden.
    fn say(&mut self, octets: &[u8]) {
        for line in octets.split_inclusive(|octet| *octet == b'\n') {
            let text = String::from_utf8_lossy(line);
            let hides =
                |keyword: &&str| text.get(4..).is_some_and(|text| text.starts_with(*keyword));
            if !self.line.hidden.iter().any(hides) {
                self.to_client.extend(line);
            } else if text.starts_with("250 ") {
                self.to_client.extend(b"250 X-LAST\r\n");
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the test is the spool")]
    fn answer(&mut self, ask: receive::Ask) -> receive::Answer {
        match ask {
            receive::Ask::Verify { .. } => {
                let evidence = Evidence::RelayClient {
                    local_domain: false,
                };
                receive::Answer::Verdict(Arc::new(Verdict::of(evidence, [])))
            }
            receive::Ask::Recipient { recipient, .. } => {
                let path = recipient.to_string();
                receive::Answer::Recipient(if path.starts_with("no") {
                    Err(Reply::new(550, (5, 1, 1), "no such user"))
                } else if path.starts_with("later") {
                    Err(Reply::new(450, (4, 2, 0), "come back later"))
                } else {
                    Ok(vec![])
                })
            }
            receive::Ask::Peer(_) => unreachable!("there is no front"),
            receive::Ask::Hold(_) => unreachable!("nothing is held here"),
            receive::Ask::Content { verdict, .. } => receive::Answer::Verdict(verdict),
            receive::Ask::Outside { .. } => receive::Answer::Outside(None),
            receive::Ask::Begin { .. } => {
                assert!(self.draft.replace(vec![]).is_none());
                let id = QueueId::new(NOW.wall, 1);
                receive::Answer::Begun(Ok(receive::Begun::to_keep(id)))
            }
            receive::Ask::Commit(envelope) => {
                let content = self.draft.take().unwrap();
                let content = [envelope.trace.as_bytes(), &content].concat();
                self.end.kept.push((*envelope, content));
                receive::Answer::Committed(Ok(Custody::of_durable_message(QueueId::new(
                    NOW.wall, 1,
                ))))
            }
        }
    }
}

/// Each recipient's status, or a panic if one has not exactly one outcome.
fn statuses(end: &End) -> Vec<Vec<String>> {
    let one = |outcomes: &Vec<Outcome>| {
        assert_eq!(outcomes.len(), 1, "{outcomes:?}");
        outcomes[0].status.to_string()
    };
    end.outcomes
        .iter()
        .map(|message| message.iter().map(one).collect())
        .collect()
}

/// The content without the trace field that the receiver has put in front.
fn without_trace<'a>(kept: &'a [u8], content: &[u8]) -> &'a [u8] {
    let trace = kept
        .len()
        .checked_sub(content.len())
        .expect("something is lost");
    assert!(kept.starts_with(b"Received: from client.example.org "));
    &kept[trace..]
}

const KEYWORDS: [&[&str]; 4] = [
    &[],
    &["CHUNKING"],
    &["PIPELINING"],
    &["CHUNKING", "PIPELINING", "SIZE", "ENHANCEDSTATUSCODES"],
];

fn contents() -> Vec<Vec<u8>> {
    let mut long = b"Subject: long\r\n\r\n".to_vec();
    for line in 0..30 {
        long.extend(std::iter::repeat_n(b'.', line % 3));
        long.extend(format!("line {line} {}\r\n", "x".repeat(line % 70)).bytes());
    }
    vec![
        b"Subject: x\r\n\r\nbody\r\n".to_vec(),
        b"Subject: x\r\n\r\n.\r\n..\r\n.a\r\n\r\n.\r\n".to_vec(),
        b".\r\n".to_vec(),
        b"\r\n".to_vec(),
        b"\r\n\r\n.\r\n\r\n".to_vec(),
        "Subject: x\r\n\r\nGr\u{fc}\u{df}e \r\n".into(),
        b"Subject: x\r\n\r\n\xe9\xff\x80\r\n.\xe9\r\n".to_vec(),
        long,
    ]
}

#[test]
fn content_arrives_octet_for_octet_however_it_is_cut() {
    for hidden in KEYWORDS {
        for split in (1..16).chain([100, usize::MAX]) {
            for piece in [1, 2, 7, usize::MAX] {
                let line = Line {
                    split,
                    piece,
                    hidden: hidden.to_vec(),
                    ..Line::default()
                };
                let contents = contents();
                let messages: Vec<_> = contents
                    .iter()
                    .map(|content| message(&["bob@example.net"], &content[..]))
                    .collect();
                let end = run(&line, &messages);
                assert_eq!(
                    statuses(&end),
                    vec![vec!["2.0.0"]; contents.len()],
                    "{line:?}"
                );
                assert_eq!(end.kept.len(), contents.len(), "{line:?}");
                for ((_, kept), content) in end.kept.iter().zip(&contents) {
                    assert_eq!(without_trace(kept, content), content, "{line:?}");
                }
            }
        }
    }
}

#[test]
fn recipients_end_each_in_their_own_way() {
    for hidden in KEYWORDS {
        let line = Line {
            hidden: hidden.to_vec(),
            starttls: true,
            ..Line::default()
        };
        let messages = [
            message(
                &["no1@example.net", "bob@example.net", "later@example.net"],
                "A: b\r\n",
            ),
            message(&["no1@example.net", "no2@example.net"], "A: b\r\n"),
            message(&["later@example.net"], "A: b\r\n"),
            message(&["bob@example.net", "postmaster"], "A: b\r\n"),
        ];
        let end = run(&line, &messages);
        assert_eq!(
            statuses(&end),
            [
                vec!["5.1.1", "2.0.0", "4.2.0"],
                vec!["5.1.1", "5.1.1"],
                vec!["4.2.0"],
                vec!["2.0.0", "2.0.0"],
            ],
            "{line:?}"
        );
        assert_eq!(end.kept.len(), 2);
        assert_eq!(end.kept[0].0.recipients.len(), 1);
        assert_eq!(end.kept[1].0.recipients.len(), 2);
    }
}

#[test]
fn what_the_next_hop_cannot_take_is_reported_and_not_sent() {
    let mut utf8 = message(&["jörg@example.net"], "A: b\r\n");
    utf8.smtputf8 = true;
    let eight = message(&["bob@example.net"], "A: \u{e9}\r\n");
    let seven = message(&["bob@example.net"], "A: b\r\n");
    let messages = [utf8, seven, eight];
    let end = run(&Line::default(), &messages);
    assert_eq!(statuses(&end), [["2.0.0"], ["2.0.0"], ["2.0.0"]]);
    for hidden in [
        vec!["8BITMIME", "SMTPUTF8"],
        vec!["8BITMIME", "SMTPUTF8", "CHUNKING"],
    ] {
        let line = Line {
            hidden,
            ..Line::default()
        };
        let end = run(&line, &messages);
        assert_eq!(
            statuses(&end),
            [["5.6.7"], ["2.0.0"], ["5.6.3"]],
            "{line:?}"
        );
        assert_eq!(end.kept.len(), 1);
    }
}

/// Breaks the line after each octet in turn.
fn break_everywhere(hidden: &[&'static str], starttls: bool) {
    let whole = Line {
        hidden: hidden.to_vec(),
        starttls,
        ..Line::default()
    };
    let messages = [
        message(
            &["bob@example.net", "no@example.net", "carol@example.net"],
            "A: b\r\n\r\n.\r\n",
        ),
        message(&["dave@example.net"], "A: c\r\n"),
    ];
    let length = run(&whole, &messages).carried;
    let mut in_doubt = 0;
    for breaks_after in 0..=length {
        for split in [1, usize::MAX] {
            let line = Line {
                split,
                breaks_after,
                ..whole.clone()
            };
            let end = run(&line, &messages);
            assert!(end.unstarted <= 1, "{line:?}");
            let begun = end.outcomes.len() - end.unstarted;
            for outcomes in end.outcomes[..begun].iter().flatten() {
                assert_eq!(outcomes.len(), 1, "{line:?}");
            }
            for outcomes in end.outcomes[begun..].iter().flatten() {
                assert_eq!(outcomes.len(), 0, "{line:?}");
            }
            let delivered = end
                .outcomes
                .iter()
                .filter(|message| {
                    let mut outcomes = message.iter().flatten();
                    outcomes.any(|outcome| outcome.class == OutcomeClass::Delivered)
                })
                .count();
            let doubtful = end
                .outcomes
                .iter()
                .flatten()
                .flatten()
                .any(|outcome| outcome.diagnostic.text().contains("may have arrived"));
            assert!(delivered <= end.kept.len(), "{line:?}");
            // Kept but not delivered: a duplicate to be. Only where it is said to be possible.
            assert!(
                end.kept.len() <= delivered + usize::from(doubtful),
                "{line:?}"
            );
            in_doubt += usize::from(end.kept.len() > delivered);
        }
    }
    assert!(
        in_doubt > 0,
        "some break falls between the message and its reply"
    );
}

#[test]
fn each_recipient_has_one_outcome_wherever_the_line_breaks() {
    for hidden in KEYWORDS {
        break_everywhere(hidden, false);
    }
    break_everywhere(&[], true);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_lines_arrive_as_they_are(
        lines in proptest::collection::vec(
            prop_oneof!["[.]{0,3}", "[.a-c]{0,8}", "[\u{80}-\u{ff}.]{0,4}"], 0..20),
        ended: bool,
        split in 1usize..40,
        piece in 1usize..40,
        keywords in 0usize..4,
        breaks_after in prop_oneof![Just(usize::MAX), 0usize..1_500],
    ) {
        let mut content = lines.join("\r\n").into_bytes();
        if ended {
            content.extend(b"\r\n");
        }
        let hidden = KEYWORDS[keywords].to_vec();
        let dotted = hidden.contains(&"CHUNKING");
        let line = Line { split, piece, hidden, breaks_after, starttls: false };
        let end = run(&line, &[message(&["bob@example.net"], &content[..])]);
        if breaks_after == usize::MAX {
            prop_assert_eq!(statuses(&end), [["2.0.0"]]);
        }
        prop_assert!(end.outcomes.iter().flatten().all(|outcomes| outcomes.len() == 1));
        if dotted && !content.is_empty() && !content.ends_with(b"\r\n") {
            content.extend(b"\r\n");
        }
        for (_, kept) in &end.kept {
            prop_assert_eq!(without_trace(kept, &content), &content[..]);
        }
    }
}
