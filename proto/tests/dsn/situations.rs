//! What is reported on: one situation for each way in which a report can differ.

#![expect(
    clippy::unnecessary_wraps,
    clippy::too_many_lines,
    reason = "a list of what may stand in fields that may be empty"
)]

use vouchsafe_proto::addr::{Domain, ForwardPath, ReversePath};
use vouchsafe_proto::dsn::{Concerned, Kind, Request, Returned, build};
use vouchsafe_proto::envelope::{
    ByMode, Clearance, DeliverBy, Envelope, Notify, Origin, OriginalRecipient, Ret,
};
use vouchsafe_proto::outcome::{Onward, Outcome, Remote};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::time::Wall;
use vouchsafe_proto::verify::VerdictResult;

/// One report and what it is about.
pub struct Situation {
    kind: Kind,
    /// How long after arrival.
    hours: u64,
    envelope: Envelope,
    outcomes: Vec<Outcome>,
    /// Content, and whether it is all of it.
    message: (Vec<u8>, bool),
    operator: bool,
}

const ARRIVED: Wall = Wall::from_secs(1_795_256_100);
const HOUR: u64 = 3_600;

const HEADER: &str = "Received: from client.example.org (client.example.org [192.0.2.10])\r\n\
    \tby mx.example.org with ESMTPS id 06GZV6H4M00000000007;\r\n\
    \tSat, 21 Nov 2026 10:15:00 +0000\r\n\
    From: Alice <alice@example.org>\r\n\
    To: bob@example.net, carol@example.com\r\n\
    Subject: Lunch on Friday\r\n\
    Date: Sat, 21 Nov 2026 11:14:58 +0100\r\n\
    Message-ID: <5f1c0b7e9a2d4c68@example.org>\r\n\
    \r\n";

/// So long after arrival.
fn after(hours: u64) -> Wall {
    Wall::from_secs(ARRIVED.as_secs() + hours * HOUR)
}

impl Situation {
    /// A report on these recipients of Alice's message.
    fn of(kind: Kind, hours: u64, recipients: Vec<(&str, Outcome)>) -> Self {
        let paths = recipients
            .iter()
            .map(|(path, _)| ForwardPath::parse_inside(path).unwrap());
        let origin = Origin::Client {
            address: "192.0.2.10".parse().unwrap(),
            helo: "client.example.org".into(),
        };
        let alice = ReversePath::parse_inside("alice@example.org").unwrap();
        Self {
            kind,
            hours,
            envelope: Envelope::plain(alice, VerdictResult::Authorised, origin, paths),
            outcomes: recipients.into_iter().map(|(_, outcome)| outcome).collect(),
            message: (format!("{HEADER}Shall we?\r\n").into_bytes(), false),
            operator: false,
        }
    }

    /// At once, for good.
    fn failed(recipients: Vec<(&str, Outcome)>) -> Self {
        Self::of(Kind::Failed, 0, recipients)
    }

    /// When time was up.
    fn expired(recipients: Vec<(&str, Outcome)>) -> Self {
        Self::of(Kind::Failed, 120, recipients)
    }

    /// After four hours of five days.
    fn delayed(recipients: Vec<(&str, Outcome)>) -> Self {
        Self::of(Kind::Delayed { until: after(120) }, 4, recipients)
    }

    /// Of the first recipient a report on success was wanted, of the others too.
    fn succeeded(recipients: Vec<(&str, Outcome)>) -> Self {
        let mut situation = Self::of(Kind::Succeeded, 0, recipients);
        for recipient in &mut situation.envelope.recipients {
            recipient.notify = Some(Notify::On {
                success: true,
                failure: true,
                delay: true,
            });
        }
        situation
    }

    /// With something else in the envelope.
    fn with(mut self, change: impl FnOnce(&mut Envelope)) -> Self {
        change(&mut self.envelope);
        self
    }

    /// With another reverse-path.
    fn from(self, reverse_path: &str) -> Self {
        self.with(|envelope| {
            envelope.reverse_path = ReversePath::parse_inside(reverse_path).unwrap();
        })
    }

    /// About this content.
    fn about(mut self, content: impl Into<Vec<u8>>, whole: bool) -> Self {
        self.message = (content.into(), whole);
        self
    }

    /// At a site whose operator has a mailbox.
    fn told_to_operator(mut self) -> Self {
        self.operator = true;
        self
    }

    /// The report.
    pub fn report(self) -> Vec<u8> {
        let concerned: Vec<_> = self
            .envelope
            .recipients
            .iter()
            .zip(&self.outcomes)
            .map(|(recipient, outcome)| Concerned { recipient, outcome })
            .collect();
        let operator = ForwardPath::parse_inside("postmaster@example.org").unwrap();
        let (message, whole) = &self.message;
        let report = build(&Request {
            kind: self.kind,
            hostname: &Domain::parse("mx.example.org").unwrap(),
            envelope: &self.envelope,
            queue_id: QueueId::new(ARRIVED, 7),
            arrived: ARRIVED,
            now: Wall::from_secs(after(self.hours).as_secs() + 2),
            recipients: &concerned,
            message: if *whole {
                Returned::Whole(message)
            } else {
                Returned::Beginning(message)
            },
            operator: self.operator.then_some(&operator),
            chance: [0x5eed_0000_0000_0001, 0x5eed_0000_0000_0002],
        });
        report.expect("a report").content
    }
}

fn remote(name: &str, address: &str) -> Option<Remote> {
    Some(Remote {
        name: name.into(),
        address: address.parse().ok(),
    })
}

/// Bob's and Carol's next hops.
fn bobs() -> Option<Remote> {
    remote("mail.example.net", "192.0.2.25")
}

fn carols() -> Option<Remote> {
    remote("mx.example.com", "198.51.100.7")
}

/// Bob's next hop says this.
fn says(code: u16, status: (u8, u16, u16), text: &'static str) -> Vec<(&'static str, Outcome)> {
    let reply = Reply::new(code, status, text);
    vec![("bob@example.net", Outcome::from_reply(&reply, bobs()))]
}

/// We saw this of Bob's next hop.
fn saw(status: (u8, u16, u16), text: &str) -> Vec<(&'static str, Outcome)> {
    vec![("bob@example.net", Outcome::local(status, bobs(), text))]
}

/// Bob's next hop has taken it.
fn taken(onward: Onward) -> Vec<(&'static str, Outcome)> {
    let reply = Reply::new(250, (2, 0, 0), "queued as 4F1D2C8A");
    let outcome = Outcome {
        onward,
        ..Outcome::from_reply(&reply, bobs())
    };
    vec![("bob@example.net", outcome)]
}

/// A next hop that reports or keeps deadlines, or does not.
const fn relay(reports: bool, deadlines: bool) -> Onward {
    Onward::Relay { reports, deadlines }
}

fn original(address_type: &str, address: &str) -> Option<OriginalRecipient> {
    Some(OriginalRecipient {
        address_type: address_type.into(),
        address: address.into(),
    })
}

fn by(hours: u64, mode: ByMode, trace: bool) -> Option<DeliverBy> {
    Some(DeliverBy {
        deadline: after(hours),
        mode,
        trace,
    })
}

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Situation)> {
    let mut all = refused();
    all.extend(seen());
    all.extend(late());
    all.extend(successes());
    all.extend(asked());
    all.extend(beyond_ascii());
    all.extend(withheld());
    all
}

/// Failures in the next hop's words.
fn refused() -> Vec<(&'static str, Situation)> {
    let several = vec![
        (
            "bob@example.net",
            Outcome::from_reply(
                &Reply::plain(
                    554,
                    vec![
                        "Your message was refused by our content policy.\u{1b}[2J".into(),
                        "If you think that this is wrong, please see \
                         https://www.example.net/postmaster/why?code=4711 and quote the time."
                            .into(),
                    ],
                ),
                remote("mail.example.net", "2001:db8::25"),
            ),
        ),
        (
            "dave@example.invalid",
            Outcome::local((5, 1, 2), None, "the domain example.invalid does not exist"),
        ),
        (
            "carol@example.com",
            Outcome::local((4, 4, 2), carols(), "5 minutes passed before the greeting"),
        ),
    ];
    let no_such = "<bob@example.net>: no such user here";
    vec![
        (
            "failed-one",
            Situation::failed(says(550, (5, 1, 1), no_such)),
        ),
        ("failed-several", Situation::expired(several)),
        (
            "failed-mailbox-full",
            Situation::failed(says(552, (5, 2, 2), "mailbox over quota")),
        ),
        (
            "failed-mailbox-disabled",
            Situation::failed(says(550, (5, 2, 1), "account disabled")),
        ),
        (
            "failed-moved",
            Situation::failed(says(551, (5, 1, 6), "moved without a word")),
        ),
        (
            "failed-too-large-for-mailbox",
            Situation::failed(says(552, (5, 2, 3), "message length exceeds limit")),
        ),
        (
            "failed-policy",
            Situation::failed(says(550, (5, 7, 1), "access denied")),
        ),
        (
            "failed-spf-elsewhere",
            Situation::failed(says(550, (5, 7, 23), "SPF validation failed")),
        ),
        (
            "failed-own-address",
            Situation::failed(says(553, (5, 1, 8), "sender domain does not exist")),
        ),
        (
            "failed-relaying",
            Situation::failed(says(554, (5, 7, 1), "relay access denied")),
        ),
        (
            "failed-too-many-recipients",
            Situation::failed(says(550, (5, 5, 3), "too many recipients")),
        ),
        (
            "failed-content-form",
            Situation::failed(says(554, (5, 6, 0), "two From fields")),
        ),
        (
            "failed-without-status",
            Situation::failed(vec![(
                "bob@example.net",
                Outcome::from_reply(&Reply::plain(550, vec!["no".into()]), bobs()),
            )]),
        ),
        (
            "failed-lmtp-socket",
            Situation::failed(vec![(
                "bob@example.net",
                Outcome::from_reply(
                    &Reply::new(550, (5, 1, 1), "unknown user"),
                    Some(Remote {
                        name: "/run/dovecot/lmtp".into(),
                        address: None,
                    }),
                ),
            )]),
        ),
    ]
}

/// Failures in our own words.
fn seen() -> Vec<(&'static str, Situation)> {
    let nowhere = |path, status, text: &str| vec![(path, Outcome::local(status, None, text))];
    vec![
        (
            "failed-no-such-domain",
            Situation::failed(nowhere(
                "bob@example.invalid",
                (5, 1, 2),
                "the domain example.invalid does not exist",
            )),
        ),
        (
            "failed-null-mx",
            Situation::failed(nowhere(
                "bob@example.net",
                (5, 1, 10),
                "the domain example.net takes no mail (null MX)",
            )),
        ),
        (
            "failed-loop",
            Situation::failed(nowhere(
                "bob@example.net",
                (5, 4, 6),
                "the mail exchangers of example.net lead back to this host",
            )),
        ),
        (
            "failed-too-large-for-hop",
            Situation::failed(saw(
                (5, 3, 4),
                "the message has 60000000 octets; the next hop takes no more than 10485760",
            )),
        ),
        (
            "failed-eight-bits",
            Situation::failed(saw(
                (5, 6, 3),
                "the message has octets above 127, and the next hop does not offer 8BITMIME",
            )),
        ),
        (
            "failed-no-smtputf8",
            Situation::failed(saw(
                (5, 6, 7),
                "the message needs internationalised mail (SMTPUTF8), which the next hop does not \
                 offer",
            )),
        ),
        (
            "failed-no-protection",
            Situation::failed(saw(
                (5, 7, 10),
                "the next hop does not offer TLS, and the domain wants it",
            )),
        ),
        (
            "failed-in-circles",
            Situation::failed(says(554, (5, 4, 6), "too many hops")),
        ),
    ]
}

/// Delays, and what came of them.
fn late() -> Vec<(&'static str, Situation)> {
    let greylisted = Outcome::from_reply(
        &Reply::new(451, (4, 7, 1), "Greylisted, please come back later"),
        carols(),
    );
    let two = || {
        let full = Reply::new(452, (4, 2, 2), "mailbox full, try again later");
        let waits = "not tried yet: other mail for the same next hop has to go first";
        vec![
            ("bob@example.net", Outcome::from_reply(&full, bobs())),
            ("carol@example.com", Outcome::local((4, 4, 5), None, waits)),
        ]
    };
    let silent = "the connection was refused";
    vec![
        (
            "delayed",
            Situation::delayed(vec![("carol@example.com", greylisted)]),
        ),
        ("delayed-several", Situation::delayed(two())),
        (
            "delayed-no-answer",
            Situation::delayed(saw((4, 4, 1), silent)),
        ),
        (
            "delayed-no-route",
            Situation::delayed(vec![(
                "bob@example.net",
                Outcome::local((4, 4, 3), None, "the MX records of example.net: SERVFAIL"),
            )]),
        ),
        (
            "delayed-last-word",
            Situation::delayed(saw((4, 4, 1), silent)).with(|envelope| {
                envelope.recipients[0].notify = Some(Notify::On {
                    success: false,
                    failure: false,
                    delay: true,
                });
            }),
        ),
        (
            "delayed-past-deadline",
            Situation::of(
                Kind::Delayed { until: after(120) },
                2,
                saw((4, 4, 1), silent),
            )
            .with(|envelope| envelope.requests.deliver_by = by(2, ByMode::Notify, false)),
        ),
        (
            "expired-no-answer",
            Situation::expired(saw((4, 4, 1), silent)),
        ),
        ("expired-several", Situation::expired(two())),
        (
            "expired-after-six-hours",
            Situation::of(Kind::Failed, 6, saw((4, 4, 1), silent)),
        ),
        (
            "failed-deadline",
            Situation::of(
                Kind::Failed,
                2,
                vec![(
                    "bob@example.net",
                    Outcome {
                        status: vouchsafe_proto::reply::EnhancedStatus::new(5, 4, 7),
                        class: vouchsafe_proto::outcome::OutcomeClass::Permanent,
                        ..Outcome::local((4, 4, 1), bobs(), silent)
                    },
                )],
            )
            .with(|envelope| envelope.requests.deliver_by = by(2, ByMode::Return, false)),
        ),
        (
            "failed-deadline-not-kept-by-hop",
            Situation::failed(saw(
                (5, 4, 7),
                "the next hop does not promise to deliver in time (DELIVERBY)",
            ))
            .with(|envelope| envelope.requests.deliver_by = by(2, ByMode::Return, false)),
        ),
    ]
}

/// Reports that all is well.
fn successes() -> Vec<(&'static str, Situation)> {
    let both = || {
        let mut both = taken(Onward::Mailbox);
        both.extend(
            taken(relay(false, false))
                .into_iter()
                .map(|(_, outcome)| ("carol@example.com", outcome)),
        );
        both
    };
    vec![
        ("delivered", Situation::succeeded(taken(Onward::Mailbox))),
        (
            "delivered-maildir",
            Situation::succeeded(vec![(
                "bob@example.net",
                Outcome::local((2, 0, 0), None, "delivered to the mailbox"),
            )]),
        ),
        ("relayed", Situation::succeeded(taken(relay(false, false)))),
        ("delivered-and-relayed", Situation::succeeded(both())),
        (
            "relayed-traced",
            Situation::of(Kind::Succeeded, 0, taken(relay(true, true)))
                .with(|envelope| envelope.requests.deliver_by = by(2, ByMode::Return, true)),
        ),
        (
            "relayed-deadline-not-kept",
            Situation::of(Kind::Succeeded, 0, taken(relay(true, false)))
                .with(|envelope| envelope.requests.deliver_by = by(2, ByMode::Notify, false)),
        ),
    ]
}

/// What the sender asked for.
fn asked() -> Vec<(&'static str, Situation)> {
    let no_such = || Situation::failed(says(550, (5, 1, 1), "no such user here"));
    let whole = format!("{HEADER}Shall we?\r\n-- \r\nAlice\r\n");
    vec![
        (
            "asked-envid-and-orcpt",
            no_such().with(|envelope| {
                envelope.requests.envid = Some("QQ  314159+=".into());
                envelope.recipients[0].original = original("rfc822", "Bob+Lunch@Example.Net");
            }),
        ),
        (
            "asked-orcpt-of-another-kind",
            no_such().with(|envelope| {
                envelope.recipients[0].original = original("x400", "/G=Bob/S=Smith/C=gb/");
            }),
        ),
        (
            "asked-ret-full",
            no_such()
                .with(|envelope| envelope.requests.ret = Some(Ret::Full))
                .about(whole.clone(), true),
        ),
        (
            "asked-ret-headers",
            no_such()
                .with(|envelope| envelope.requests.ret = Some(Ret::Headers))
                .about(whole, true),
        ),
        (
            "asked-ret-full-of-eight-bits",
            no_such()
                .with(|envelope| envelope.requests.ret = Some(Ret::Full))
                .about(format!("{HEADER}Sch\u{f6}n!\r\n"), true),
        ),
        (
            "asked-delivered-envid",
            Situation::succeeded(taken(Onward::Mailbox)).with(|envelope| {
                envelope.requests.envid = Some("b1946ac9".into());
                envelope.requests.ret = Some(Ret::Full);
            }),
        ),
    ]
}

/// Addresses and text beyond ASCII (RFC 6533).
fn beyond_ascii() -> Vec<(&'static str, Situation)> {
    let wide = || {
        let reply = Reply::new(550, (5, 1, 1), "j\u{f6}rg: unbekannt");
        Situation::failed(vec![(
            "j\u{f6}rg+x@b\u{fc}cher.example",
            Outcome::from_reply(&reply, bobs()),
        )])
        .with(|envelope| {
            envelope.smtputf8 = true;
            envelope.recipients[0].original = original("utf-8", "J\u{f6}rg+x@b\u{fc}cher.example");
        })
    };
    let header = HEADER.replace("Lunch", "Gr\u{fc}\u{df}e,");
    vec![
        ("utf8-to-ascii", wide().about(header.clone(), false)),
        (
            "utf8-to-utf8",
            wide()
                .from("\u{e1}lice@example.org")
                .about(header.clone(), false),
        ),
        (
            "utf8-whole",
            wide()
                .from("\u{e1}lice@example.org")
                .with(|envelope| envelope.requests.ret = Some(Ret::Full))
                .about(format!("{header}Bis Freitag, J\u{f6}rg!\r\n"), true),
        ),
        (
            "header-latin-1",
            Situation::failed(says(550, (5, 1, 1), "no such user here"))
                .about(b"From: a\r\nSubject: Gr\xfc\xdfe\r\n\r\n".to_vec(), false),
        ),
        (
            "no-header",
            Situation::failed(says(550, (5, 1, 1), "no such user here")).about("", false),
        ),
    ]
}

/// What goes to the operator, and odd addressees.
fn withheld() -> Vec<(&'static str, Situation)> {
    let no_such = || Situation::failed(says(550, (5, 1, 1), "no such user here"));
    vec![
        (
            "operator-repudiated",
            no_such()
                .told_to_operator()
                .with(|envelope| envelope.verdict = VerdictResult::Repudiated),
        ),
        (
            "operator-declared-forwarder",
            no_such().told_to_operator().with(|envelope| {
                envelope.verdict = VerdictResult::Unknown;
                envelope.clearance = Clearance::Declared;
            }),
        ),
        ("to-address-literal", no_such().from("alice@[192.0.2.10]")),
        ("to-bare-local-part", no_such().from("root")),
        (
            "to-quoted-local-part",
            no_such().from("\"alice b\"@example.org"),
        ),
    ]
}
