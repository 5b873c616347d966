//! `[verify]`: what is looked at to find out whether a reverse-path is true.

use super::{Form, Key, Kind, Presence, Section};

/// `forwarders`, of a domain or of one recipient.
pub(super) const FORWARDERS: Key = Key {
    name: "forwarders",
    kind: Kind::Domains,
    presence: Presence::Default("[]"),
    doc: "Domains that send mail on to here, such as the one of an old address that forwards to \
          this one. Forwarded mail keeps its sender, so it comes from a host that the sender's \
          domain does not list. If that host is a border relay of a domain named here (its \
          MAIL-FROM MX lists it, or its SPF passes), the mail is taken, as unknown. Names of \
          domains, not of hosts: the hosts follow the domain's own DNS. Ten are asked about at \
          most.",
};

/// Single recipients.
pub static RECIPIENTS: Section = Section {
    name: "recipients",
    form: Form::Named,
    doc: "Recipients for whom something else holds than for their domain. Upper and lower case \
          are one.",
    keys: &[FORWARDERS],
};

/// Evidence about a reverse-path.
pub static VERIFY: Section = Section {
    name: "verify",
    form: Form::Table,
    doc: "What is looked at to find out whether a reverse-path is true, besides the border relays \
          of its domain (MAIL-FROM MX), which are always asked about.",
    keys: &[
        Key {
            name: "authserv_id",
            kind: Kind::Hostname,
            presence: Presence::Optional(r#""example.org""#),
            doc: "The name in which `Authentication-Results` fields are written, for those who \
                  read them behind this host. Without it that is `hostname`. Several hosts of one \
                  site may have the same; each then removes what the others wrote, as it removes \
                  what anybody else writes in this name.",
        },
        Key {
            name: "spf",
            kind: Kind::Switch,
            presence: Presence::Default("true"),
            doc: "Whether SPF is asked where the border relays do not prove the reverse-path. A \
                  pass for a network of its own proves it where the domain publishes no border \
                  relays; any other pass keeps the message from being rejected. A fail is a \
                  reason to reject; softfail, neutral and permerror say nothing, and temperror is \
                  answered 451.",
        },
        Key {
            name: "sender_domain",
            kind: Kind::Switch,
            presence: Presence::Default("true"),
            doc: "Whether mail is rejected whose sender's domain does not exist (550 5.1.8) or \
                  says that it takes no mail (a null MX, 550 5.7.27): no report could ever be \
                  sent there. Nothing is rejected while the DNS fails.",
        },
        Key {
            name: "helo",
            kind: Kind::Switch,
            presence: Presence::Default("true"),
            doc: "Whether EHLO and HELO are refused (501 5.5.2) when what stands behind them is \
                  neither a domain nor an address. Letters, digits, `-`, `_` and `.` make a \
                  domain here, and an address may lack its brackets, since many clients that are \
                  honest err there.",
        },
        Key {
            name: "forwarders",
            kind: Kind::Domains,
            presence: Presence::Default("[]"),
            doc: "Domains that send mail on to recipients of this whole site. The same as \
                  `forwarders` of a domain, for all of them.",
        },
        Key {
            name: "postmaster_exempt",
            kind: Kind::Switch,
            presence: Presence::Default("false"),
            doc: "Whether postmaster can be reached from anywhere, whatever the border relays of \
                  the sender's domain: so that somebody whose records are wrong can write to \
                  you. All rejections then wait for the recipient.",
        },
        Key {
            name: "dkim",
            kind: Kind::Switch,
            presence: Presence::Default("true"),
            doc: "Whether DKIM signatures are looked at, at the end of a message. A valid one of \
                  the reverse-path's own domain over a `From` that is the reverse-path proves it; \
                  any other valid one of that domain keeps the message from being rejected. None \
                  is ever a reason to reject.",
        },
        Key {
            name: "dkim_size",
            kind: Kind::Size(64 << 10, 64 << 20),
            presence: Presence::Default(r#""1 MiB""#),
            doc: "The largest message whose signatures are looked at. The whole message must be \
                  in memory for that, and most of what is larger is attachments from people whose \
                  domain is known without it. At most 16 such messages are in memory at the same \
                  time. Larger: as if it had no signature.",
        },
        Key {
            name: "dkim_rescues",
            kind: Kind::Switch,
            presence: Presence::Default("false"),
            doc: "Whether a valid signature of the reverse-path's domain may keep a message from \
                  being rejected that comes from outside the domain's published border relays. \
                  `false`: such a message is rejected at MAIL, before its content is sent, as its \
                  domain asked. `true`: the rejection waits until the end of the message, so \
                  forwarders that nobody declared lose less, and whoever replays a signed message \
                  of that domain gets in.",
        },
        Key {
            name: "ledger",
            kind: Kind::Switch,
            presence: Presence::Default("true"),
            doc: "Whether the domain of the reverse-path is asked, at the end of a message that \
                  nothing yet proves, if it sent that. Only domains that publish `_sent` are; they \
                  learn that a message of theirs has come, and of another nothing of use. \"Sent\" \
                  proves the reverse-path, or keeps the message from being rejected; \"not sent\", \
                  said twice, is a reason to reject where the domain wants that (`p=reject`). \
                  Anything else says nothing. EHLO says XVOUCH then: who claims at MAIL which \
                  message follows has his domain asked at once.",
        },
        Key {
            name: "audit",
            kind: Kind::Switch,
            presence: Presence::Default("false"),
            doc: "Whether domains are asked about what is proven already, too: to find border \
                  relays that bring what their domain did not send. Such a message of a domain \
                  that wants rejection is told 451 for four hours at most, with an alarm in the \
                  log, and is then taken as unknown, since the ledger may be what is wrong.",
        },
        Key {
            name: "special_use",
            kind: Kind::Switch,
            presence: Presence::Default("false"),
            doc: "Whether a domain's servers are asked at addresses of special use, too: loopback, \
                  private networks. For laboratories, and for sites whose own domains are answered \
                  inside; a stranger's domain could otherwise have your neighbours asked.",
        },
    ],
};
