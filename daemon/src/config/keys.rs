//! Every key of the configuration: its name, what it takes, its default, and why.
//!
//! The one source of truth. The reader takes types, ranges and defaults from here, so does the
//! search for the nearest key; docs/config.md is written from it, and the annotated example is
//! tested against it.

mod delivery;
mod ledger;
mod verify;
mod watching;
mod ways_in;

use std::time::Duration;

pub use delivery::DELIVERY;
pub use ledger::{BOUNCES, LEDGER, WRITERS};
pub use verify::{RECIPIENTS, VERIFY};
pub use watching::{HISTORY, LOG, METRICS};
pub use ways_in::{LISTEN, PERIMETER};

/// One table of the file.
#[derive(Debug)]
pub struct Section {
    /// Its name; empty for the keys that stand before any table.
    pub name: &'static str,
    /// How often it may stand in the file.
    pub form: Form,
    /// What it is for.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the documents' test"))]
    pub doc: &'static str,
    /// Its keys, in the order in which they are explained.
    pub keys: &'static [Key],
}

impl Section {
    /// The last part of its name.
    pub fn last_name(&self) -> &'static str {
        self.name
            .rsplit_once('.')
            .map_or(self.name, |(_, last)| last)
    }

    /// True for a table that stands directly in another.
    pub fn is_within(&self, other: &Self) -> bool {
        let above = self.name.rsplit_once('.').map_or("", |(above, _)| above);
        above == other.name && !self.name.is_empty()
    }

    /// Where its keys stand, as words.
    pub fn place(&self) -> String {
        match self.form {
            Form::Top => String::from("at the top of the file, before any table"),
            Form::Table => format!("in [{}]", self.name),
            Form::List => format!("in [[{}]]", self.name),
            Form::Named => format!("in [{}.\"...\"]", self.name),
        }
    }
}

/// How a section is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The keys at the top of the file.
    Top,
    /// `[name]`, once.
    Table,
    /// `[[name]]`, any number.
    List,
    /// `[name."x"]`, one for each x.
    Named,
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether it must be there, and what holds if it is not.
    pub presence: Presence,
    /// What it does, and the reason of its default.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the documents' test"))]
    pub doc: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A fully-qualified domain name.
    Hostname,
    /// A path from the root.
    Path,
    /// `local@domain`.
    Mailbox,
    /// `address:port` to listen at.
    Socket,
    /// A list of `address:port` to listen at.
    Sockets,
    /// A list of `address` or `address:port`.
    Servers,
    /// `smtp://`, `lmtp://`, `lmtp+unix:` or `maildir:`.
    NextHop,
    /// A list of addresses and networks.
    Networks,
    /// A list of host names, addresses and networks.
    Hosts,
    /// A list of domain names.
    Domains,
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A number within these bounds.
    Count(u64, u64),
    /// A span of time within these bounds.
    Duration(Duration, Duration),
    /// A number of octets within these bounds.
    Size(u64, u64),
}

/// Whether a key must be there. Values are TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It must; an example.
    Required(&'static str),
    /// It need not, and without it nothing holds; an example.
    Optional(&'static str),
    /// It need not; this holds without it.
    Default(&'static str),
    /// It need not; what holds without it follows from other keys, and is filled in by who reads it.
    Follows {
        /// What holds where those have their defaults.
        value: &'static str,
        /// What holds when, for the documents.
        rule: &'static str,
    },
}

/// All sections, in the order in which they are explained.
pub static SECTIONS: [&Section; 18] = [
    &TOP,
    &LISTEN,
    &DOMAINS,
    &RECIPIENTS,
    &RELAY,
    &PERIMETER,
    &VERIFY,
    &DNS,
    &TLS,
    &LIMITS,
    &RETRY,
    &DELIVERY,
    &LOG,
    &METRICS,
    &HISTORY,
    &LEDGER,
    &WRITERS,
    &BOUNCES,
];

/// The keys before any table.
pub static TOP: Section = Section {
    name: "",
    form: Form::Top,
    doc: "Who this host is. These keys stand at the top of the file, before any table.",
    keys: &[
        Key {
            name: "hostname",
            kind: Kind::Hostname,
            presence: Presence::Required(r#""mx.example.org""#),
            doc: "The name of this host, fully qualified: in the greeting, in EHLO to next hops, \
                  in trace fields and reports. It should resolve to this host and back, since \
                  other hosts look.",
        },
        Key {
            name: "data_dir",
            kind: Kind::Path,
            presence: Presence::Required(r#""/var/lib/vouchsafe""#),
            doc: "The folder of the queue and of the control socket. It must lie on a local disk \
                  that keeps what it has confirmed. It is made if its parent is there. Takes \
                  effect at the next start, not at a reload.",
        },
        Key {
            name: "postmaster",
            kind: Kind::Mailbox,
            presence: Presence::Optional(r#""postmaster@example.org""#),
            doc: "Who gets mail for the bare address `<postmaster>`, which every mail server must \
                  take (RFC 5321 §4.5.1). Without it: postmaster at the first of `[domains]` in \
                  the file; where no domain is local, the bare address is put off with 450.",
        },
    ],
};

/// Local domains.
pub static DOMAINS: Section = Section {
    name: "domains",
    form: Form::Named,
    doc: "The domains whose mail is received here, each with the host that takes it on. Mail for \
          any other domain is relayed only for clients in `[relay] from`.",
    keys: &[
        Key {
            name: "next_hop",
            kind: Kind::NextHop,
            presence: Presence::Required(r#""smtp://mail.internal:25""#),
            doc: "Where the domain's mail goes: `smtp://host:port` (port 25 if none is given), \
                  `lmtp://host:port` (port 24), `lmtp+unix:/path` or `maildir:/path`. A host name \
                  is looked up as an address, never as MX, so that mail cannot come back to us. \
                  For a Maildir the parent of the folder must be there. Mail already in the queue \
                  follows a change at the next attempt.",
        },
        Key {
            name: "path",
            kind: Kind::Word(&["hold", "store"]),
            presence: Presence::Default(r#""hold""#),
            doc: "`hold`: the path to the next hop is held open while the message comes in, and \
                  the client hears what is said there: 250 once every next hop has said it, or \
                  the refusal, on which no report follows. Nothing is queued. Only where no \
                  reply is to be had (the next hop is down or too slow, or too many messages are \
                  under way to it) is the message stored or put off: see `when-unproven`. \
                  `store`: every message is queued first, and its sender gets a report if it \
                  cannot be delivered. What goes to a `maildir:` is queued first whatever stands \
                  here: it is the mailbox itself, and there is nothing to hold.",
        },
        Key {
            name: "when-unproven",
            kind: Kind::Word(&["defer", "store"]),
            presence: Presence::Follows {
                value: r#""defer""#,
                rule: r#"`"defer"` where mail is held, else `"store"`"#,
            },
            doc: "What becomes of a message when no reply is to be had from its next hop and \
                  nothing proves its reverse-path. `defer`: it is put off with 451, so that its \
                  origin keeps it and owes its user the report. `store`: it is taken and stored, \
                  and if it cannot be delivered a report goes to that reverse-path, which may be \
                  somebody else's: right where a missing report is worse than a spurious one. A \
                  message whose reverse-path is proven is stored whatever stands here, and so is \
                  one with the null reverse-path, `<>`, about which no report is ever sent. Where \
                  every message is queued first (`path = \"store\"`, `maildir:`) there is only \
                  `store`.",
        },
        verify::FORWARDERS,
    ],
};

/// Who may send to anywhere.
pub static RELAY: Section = Section {
    name: "relay",
    form: Form::Table,
    doc: "Who may send to domains that are not local, and how such mail leaves.",
    keys: &[
        Key {
            name: "from",
            kind: Kind::Networks,
            presence: Presence::Default("[]"),
            doc: "Addresses and networks whose clients may send to anywhere. None by default: an \
                  open relay is never made by leaving something out, and networks wider than /8 \
                  (IPv4) or /7 (IPv6) are refused.",
        },
        Key {
            name: "next_hop",
            kind: Kind::NextHop,
            presence: Presence::Optional(r#""smtp://smarthost.example.org:25""#),
            doc: "The host that takes all mail for domains that are not local, reports included; \
                  `smtp://` only. Without it such mail goes to the MX hosts of its domain.",
        },
        Key {
            name: "mx_port",
            kind: Kind::Count(1, 65_535),
            presence: Presence::Default("25"),
            doc: "The port of MX hosts. For laboratories: in the world it is 25.",
        },
        Key {
            name: "policy_port",
            kind: Kind::Count(1, 65_535),
            presence: Presence::Default("443"),
            doc: "The port of the hosts that MTA-STS policies are fetched from. For laboratories: \
                  in the world it is 443.",
        },
    ],
};

/// The resolver.
pub static DNS: Section = Section {
    name: "dns",
    form: Form::Table,
    doc: "Who answers our questions to the DNS.",
    keys: &[
        Key {
            name: "servers",
            kind: Kind::Servers,
            presence: Presence::Default("[]"),
            doc: "Resolvers, with a port or without (53). None: those of /etc/resolv.conf. A \
                  resolver on this host is best: the test of reverse-paths asks often, and what \
                  it concludes is as trustworthy as the way to the resolver.",
        },
        Key {
            name: "timeout",
            kind: Kind::Duration(Duration::from_millis(10), Duration::from_secs(30)),
            presence: Presence::Default(r#""8s""#),
            doc: "How long a question may take in all, over all servers, tries and aliases. Less \
                  than the ten seconds after which the test of a reverse-path gives up, so that \
                  the log can tell a silent resolver from a test that ran long.",
        },
        Key {
            name: "trust_ad",
            kind: Kind::Word(&["loopback", "always", "never"]),
            presence: Presence::Default(r#""loopback""#),
            doc: "Which resolvers are believed when they say that an answer is DNSSEC-secure (the \
                  AD bit). `loopback`: those on this host. `always`: all, which is right only \
                  where nobody can change packets on the way to them. `never`: none.",
        },
        Key {
            name: "authority_port",
            kind: Kind::Count(1, 65_535),
            presence: Presence::Default("53"),
            doc: "The port of authoritative servers where they are asked directly, as `vouchsafe ask` \
                  does. For laboratories: in the world it is 53.",
        },
    ],
};

/// Our certificate.
pub static TLS: Section = Section {
    name: "tls",
    form: Form::Table,
    doc: "Our certificate. With it STARTTLS is offered, without it not. Read again at a reload.",
    keys: &[
        Key {
            name: "certificate",
            kind: Kind::Path,
            presence: Presence::Optional(r#""/etc/vouchsafe/certificate.pem""#),
            doc: "File with the certificate and its chain, PEM, ours first.",
        },
        Key {
            name: "key",
            kind: Kind::Path,
            presence: Presence::Optional(r#""/etc/vouchsafe/key.pem""#),
            doc: "File with the private key, PEM.",
        },
    ],
};

/// What one client may take of us.
pub static LIMITS: Section = Section {
    name: "limits",
    form: Form::Table,
    doc: "What clients may take of this host. What is over a limit is refused with a reply that \
          says so.",
    keys: &[
        Key {
            name: "message_size",
            kind: Kind::Size(64 << 10, 1 << 40),
            presence: Presence::Default(r#""50 MiB""#),
            doc: "The largest message, header and body, as said in EHLO (SIZE). 50 MiB holds what \
                  large providers let out, once encoded. Larger: 552. At least 64 KiB, which \
                  RFC 5321 §4.5.3.1.7 demands.",
        },
        Key {
            name: "recipients",
            kind: Kind::Count(100, 1000),
            presence: Presence::Default("100"),
            doc: "Recipients of one transaction. 100 is what RFC 5321 §4.5.3.1.8 demands, and \
                  keeps the memory of a session small. More: 452, upon which clients send the \
                  rest in a further transaction.",
        },
        Key {
            name: "received_fields",
            kind: Kind::Count(100, 1000),
            presence: Presence::Default("100"),
            doc: "`Received` fields a message may carry; one more is taken for a loop, 554. \
                  RFC 5321 §6.3 wants at least 100.",
        },
        Key {
            name: "errors",
            kind: Kind::Count(1, 10_000),
            presence: Presence::Default("20"),
            doc: "Commands refused in one session, after which it is closed with 421. Honest \
                  clients with a long list of dead recipients stay below it; those who try \
                  addresses do not.",
        },
        Key {
            name: "sessions",
            kind: Kind::Count(1, 100_000),
            presence: Presence::Default("2000"),
            doc: "Sessions at the same time. At 64 KiB each they take 128 MiB; one that waits for its \
                  client takes a tenth of that. More: 421. The last twentieth is kept for clients in \
                  `[relay] from` and this host itself. A session needs up to two open files; the \
                  limit on these is raised at start as far as the system allows.",
        },
        Key {
            name: "sessions_per_client",
            kind: Kind::Count(1, 100_000),
            presence: Presence::Default("50"),
            doc: "Sessions at the same time from one address, so that one client cannot take them \
                  all. More: 421. Clients in `[relay] from` and this host itself (127.0.0.1, ::1) \
                  count only among all.",
        },
        Key {
            name: "command_timeout",
            kind: Kind::Duration(Duration::from_millis(10), Duration::from_hours(1)),
            presence: Presence::Default(r#""5m""#),
            doc: "Silence between commands, after which a session is closed with 421. \
                  RFC 5321 §4.5.3.2.7 wants five minutes or more.",
        },
        Key {
            name: "pressed_timeout",
            kind: Kind::Duration(Duration::from_millis(10), Duration::from_hours(1)),
            presence: Presence::Default(r#""30s""#),
            doc: "The same while nine tenths of `sessions` are open, and until no more than three \
                  quarters are, for clients that are in no transaction and not in `[relay] from`: they \
                  hear 421 and make room. Longer than any round trip and than the pause between two \
                  messages of a queue run. In a transaction `command_timeout` is then the time from MAIL to \
                  the content, and this for each command at least.",
        },
        Key {
            name: "content_timeout",
            kind: Kind::Duration(Duration::from_millis(10), Duration::from_hours(1)),
            presence: Presence::Default(r#""5m""#),
            doc: "Silence within the content of a message, after which the session is closed with \
                  421 and the message forgotten. Content that brings less than 4 KiB in ten minutes \
                  (in two, while the host is nearly full) ends the same way: no link in use is so \
                  slow, and a client that means to hold a session can.",
        },
    ],
};

/// When to try again.
pub static RETRY: Section = Section {
    name: "retry",
    form: Form::Table,
    doc: "When a delivery that may succeed later is tried again. `delay_notice` and `longest` \
          together may not pass six hours: by then every sender of a stored message has heard.",
    keys: &[
        Key {
            name: "first",
            kind: Kind::Duration(Duration::from_millis(10), Duration::from_hours(24)),
            presence: Presence::Default(r#""5m""#),
            doc: "Wait after the first failed attempt; each further wait is longer. Five minutes \
                  is what most greylisting asks for.",
        },
        Key {
            name: "longest",
            kind: Kind::Duration(Duration::from_millis(10), Duration::from_hours(6)),
            presence: Presence::Default(r#""1h""#),
            doc: "The longest wait. An hour is little load for a next hop that is down, and not \
                  long to wait once it is up.",
        },
        Key {
            name: "delay_notice",
            kind: Kind::Duration(Duration::from_millis(10), Duration::from_hours(6)),
            presence: Presence::Default(r#""4h""#),
            doc: "Age at which the sender is told of the delay, once, even while its destination is \
                  held back. Four hours pass over a night's maintenance and leave two for the \
                  attempt that is made then.",
        },
        Key {
            name: "expire",
            kind: Kind::Duration(Duration::from_millis(10), Duration::from_hours(30 * 24)),
            presence: Presence::Default(r#""5d""#),
            doc: "Age at which a message is given up and the sender told. RFC 5321 §4.5.4.1 wants \
                  four to five days.",
        },
    ],
};
