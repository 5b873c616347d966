//! The keys of how mail leaves.

use std::time::Duration;

use super::{Form, Key, Kind, Presence, Section};

/// How mail leaves.
pub static DELIVERY: Section = Section {
    name: "delivery",
    form: Form::Table,
    doc: "How mail leaves.",
    keys: &[
        Key {
            name: "connections",
            kind: Kind::Count(1, 10_000),
            presence: Presence::Default("200"),
            doc: "Deliveries at the same time, over all next hops. Each takes a socket and a \
                  buffer.",
        },
        Key {
            name: "connections_per_destination",
            kind: Kind::Count(1, 10_000),
            presence: Presence::Default("20"),
            doc: "Deliveries at the same time to one next hop, so that a slow one does not take \
                  all and a small one is not overrun.",
        },
        Key {
            name: "messages_per_connection",
            kind: Kind::Count(1, 100_000),
            presence: Presence::Default("100"),
            doc: "Messages sent over one connection before it is closed. Many, because a new \
                  connection costs several round trips; not without end, because next hops that \
                  share their load do so by connection.",
        },
        Key {
            name: "starttls",
            kind: Kind::Word(&["may", "off"]),
            presence: Presence::Default(r#""may""#),
            doc: "`may`: STARTTLS is used when the next hop offers it, whatever its certificate, \
                  and a failed handshake is tried again in clear, unless `dane` or `mta_sts` forbid \
                  it. `off`: \
                  never, and then nothing is demanded of any host.",
        },
        Key {
            name: "dane",
            kind: Kind::Switch,
            presence: Presence::Default("true"),
            doc: "DANE (RFC 7672): a host whose DNSSEC-secure TLSA records name keys gets mail \
                  under TLS with one of them, or not at all for now. It takes a resolver that \
                  validates and is believed (`[dns] trust_ad`); with any other nothing is secure, \
                  and nothing is demanded.",
        },
        Key {
            name: "mta_sts",
            kind: Kind::Switch,
            presence: Presence::Default("true"),
            doc: "MTA-STS (RFC 8461): a domain that publishes a policy in mode `enforce` gets mail \
                  only at the hosts that it lists, under TLS with a certificate for the host's \
                  name, or not at all for now. Hosts with TLSA records are held to those instead.",
        },
        Key {
            name: "requiretls",
            kind: Kind::Switch,
            presence: Presence::Default("false"),
            doc: "Offers REQUIRETLS (RFC 8689) to clients under TLS: a message that asks for it goes \
                  only to hosts that offer it too, under TLS with a certificate for the host's \
                  name, whose name DNSSEC or an MTA-STS policy vouches for; else it comes back. \
                  Next hops of the local domains must offer it likewise, or take LMTP; TLS is \
                  needed there too, but for LMTP on this machine. Without `[tls]` it is not offered.",
        },
        Key {
            name: "roots",
            kind: Kind::Path,
            presence: Presence::Optional(r#""/etc/ssl/certs/ca-certificates.crt""#),
            doc: "File with the certificates of the authorities that MTA-STS and REQUIRETLS \
                  trust, PEM. Without it: the system's. Takes effect at the next start, not at a reload.",
        },
        Key {
            name: "connect_timeout",
            kind: Kind::Duration(Duration::from_millis(10), Duration::from_hours(1)),
            presence: Presence::Default(r#""30s""#),
            doc: "How long a connection may take to stand. A host that is up answers in far less; \
                  the next one of its MX is waiting.",
        },
        Key {
            name: "command_timeout",
            kind: Kind::Duration(Duration::from_millis(10), Duration::from_hours(1)),
            presence: Presence::Default(r#""5m""#),
            doc: "How long the greeting and the replies to EHLO, STARTTLS, MAIL, RCPT and RSET \
                  may take; five minutes by RFC 5321 §4.5.3.2.",
        },
        Key {
            name: "data_timeout",
            kind: Kind::Duration(Duration::from_millis(10), Duration::from_hours(1)),
            presence: Presence::Default(r#""2m""#),
            doc: "How long the reply to DATA may take (RFC 5321 §4.5.3.2.4).",
        },
        Key {
            name: "block_timeout",
            kind: Kind::Duration(Duration::from_millis(10), Duration::from_hours(1)),
            presence: Presence::Default(r#""3m""#),
            doc: "How long the next hop may take to accept a piece of content \
                  (RFC 5321 §4.5.3.2.5).",
        },
        Key {
            name: "completion_timeout",
            kind: Kind::Duration(Duration::from_millis(10), Duration::from_hours(1)),
            presence: Presence::Default(r#""10m""#),
            doc: "How long the reply to the end of the content may take. Ten minutes by \
                  RFC 5321 §4.5.3.2.6: who gives up too early sends the message twice.",
        },
    ],
};
