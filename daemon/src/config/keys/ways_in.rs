//! `[[listen]]` and `[perimeter]`: where connections come in, and through whom.

use super::{Form, Key, Kind, Presence, Section};

/// Where connections are taken.
pub static LISTEN: Section = Section {
    name: "listen",
    form: Form::List,
    doc: "Where connections are taken; at least one. Takes effect at the next start, not at a \
          reload, because a port below 1024 can be opened at the start only.",
    keys: &[
        Key {
            name: "address",
            kind: Kind::Socket,
            presence: Presence::Required(r#""[::]:25""#),
            doc: "Address and port. `[::]:25` takes IPv6 and IPv4 on every interface; port 0 \
                  takes any that is free, which the log then names.",
        },
        Key {
            name: "proxy",
            kind: Kind::Switch,
            presence: Presence::Default("false"),
            doc: "`true`: every connection begins with a PROXY header (version 1 or 2), which \
                  names the real client. Only hosts in `proxies` of `[perimeter]` may connect \
                  here; anybody else is closed on without a word. See docs/perimeter.md.",
        },
    ],
};

/// Our own outer hosts.
pub static PERIMETER: Section = Section {
    name: "perimeter",
    form: Form::Table,
    doc: "Our own outer hosts, such as a backup MX: they pass on what others sent, so the test of \
          the reverse-path says nothing about them. See docs/perimeter.md.",
    keys: &[
        Key {
            name: "hosts",
            kind: Kind::Hosts,
            presence: Presence::Default("[]"),
            doc: "Host names, addresses and networks. Names are looked up in the DNS, and again \
                  when their TTL has passed; what they last led to stays when that fails. As long \
                  as looking one up has only ever ended in trouble (no answer, SERVFAIL), a client \
                  may be that host without our knowing: mail that would be rejected gets a 450 \
                  instead, until the name resolves. A name that the DNS says does not exist \
                  stands for no host, and holds nothing up.",
        },
        Key {
            name: "automatic",
            kind: Kind::Switch,
            presence: Presence::Default("true"),
            doc: "Whether the DNS of the local domains adds to `hosts`: every MX of theirs, backup \
                  MXs of others included, and the border relays in their MAIL-FROM sets; also the \
                  addresses of `[[listen]]` that are not loopback or wildcard. `false`, where a \
                  domain's MAIL-FROM set leads to a provider's hosts that many share: what any of \
                  its customers sends would not be tested at MAIL. Then name the backup MXs in \
                  `hosts`.",
        },
        Key {
            name: "proxies",
            kind: Kind::Networks,
            presence: Presence::Default("[]"),
            doc: "Addresses and networks of the load balancers that speak the PROXY protocol to a \
                  `[[listen]]` with `proxy = true`. Their word decides who the client is, and so \
                  who may relay.",
        },
        Key {
            name: "xclient",
            kind: Kind::Networks,
            presence: Presence::Default("[]"),
            doc: "Addresses and networks of mail proxies and filters to which XCLIENT and XFORWARD \
                  are offered, as Postfix speaks them. None by default, since XCLIENT can put a \
                  client in its place that may relay. These hosts are inside the perimeter.",
        },
    ],
};
