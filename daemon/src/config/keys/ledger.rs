//! `[ledger]` and its writers: who is told what was sent from here, and who enters what he sends.

use std::time::Duration;

use super::{Form, Key, Kind, Presence, Section};

/// Reports that come to us.
pub static BOUNCES: Section = Section {
    name: "bounces",
    form: Form::Table,
    doc: "Bounces to local domains (messages with a null reverse-path): whether they are about \
          anything that was sent from here, by the ledger. See docs/ledger.md.",
    keys: &[
        Key {
            name: "check",
            kind: Kind::Switch,
            presence: Presence::Default("true"),
            doc: "Whether bounces are looked up, and marked in Authentication-Results (`x-bounce`). \
                  One that goes on as it comes, down a path that is held, is not: what is found \
                  is known too late for that, unless `refuse` is on.",
        },
        Key {
            name: "refuse",
            kind: Kind::Switch,
            presence: Presence::Default("false"),
            doc: "Whether a bounce that is recognised as one is rejected with 550 5.7.1 if it is to \
                  its recipient (`To`), and returns a Message-ID that nobody has sent from here, with a \
                  date of a time that the ledger covers. No path is opened for one before its content \
                  is here. All other mail with a null reverse-path is taken: a report that is \
                  missing is worse than one too many.",
        },
    ],
};

/// Answering.
pub static LEDGER: Section = Section {
    name: "ledger",
    form: Form::Table,
    doc: "Who is told whether a message was sent from here: receivers ask below `_sent` of each \
          local domain, once that name is delegated to this host. What is sent is entered \
          whatever stands here. See docs/ledger.md.",
    keys: &[
        Key {
            name: "address",
            kind: Kind::Sockets,
            presence: Presence::Default("[]"),
            doc: "Addresses and ports at which the question is answered, over UDP and TCP; none: \
                  nobody is answered. In the world the port is 53. `[::]:53` takes IPv6 and IPv4 \
                  on every interface; beside a resolver that has port 53 of loopback, name the \
                  outer addresses. Port 0 takes any that is free, which the log then names. Takes \
                  effect at the next start, not at a reload.",
        },
        Key {
            name: "name_servers",
            kind: Kind::Domains,
            presence: Presence::Follows {
                value: r#"["mx.example.org"]"#,
                rule: "the `hostname`",
            },
            doc: "The names of the hosts that answer for the `_sent` zones, as the parent zones \
                  delegate to them; this host among them. Each answers by its own ledger: another \
                  than this one must be handed everything that this one sends.",
        },
        Key {
            name: "policy",
            kind: Kind::Word(&["none", "reject"]),
            presence: Presence::Default(r#""none""#),
            doc: "What receivers are asked to do with mail that the ledger says was not sent: \
                  `p=` of the offer. `reject` is right once every host that sends in the domains' \
                  names enters what it sends, here or as one of `[ledger.writers]`.",
        },
        Key {
            name: "per_second",
            kind: Kind::Count(1, 10_000_000),
            presence: Presence::Default("50"),
            doc: "How many questions a second are answered over UDP for one network (/24 of IPv4, \
                  /56 of IPv6) whose address nothing shows to be true; four times as many at \
                  once. What goes beyond is told to come over TCP, and what goes far beyond is \
                  dropped: nobody can have others flooded with our answers.",
        },
        Key {
            name: "per_second_with_cookie",
            kind: Kind::Count(1, 10_000_000),
            presence: Presence::Default("1000"),
            doc: "The same for askers with a DNS cookie of ours (RFC 7873), whose address is \
                  their own.",
        },
        Key {
            name: "zone_per_second",
            kind: Kind::Count(1, 10_000_000),
            presence: Presence::Default("20"),
            doc: "The same for all that is asked of a zone besides the question: the offer, SOA, \
                  NS, and names that there are not. These answers may be longer than what they \
                  answer.",
        },
    ],
};

/// Other hosts that enter what they send.
pub static WRITERS: Section = Section {
    name: "ledger.writers",
    form: Form::Named,
    doc: "The hosts besides this one that send in the local domains' names and all of whose mail \
          is entered in this ledger. \"Not sent\" is said only where nobody else may send: every \
          host that the domain's MAIL-FROM set or SPF record authorises must be this one or \
          stand here.",
    keys: &[Key {
        name: "silent_after",
        kind: Kind::Duration(Duration::ZERO, Duration::from_hours(30 * 24)),
        presence: Presence::Default(r#""0s""#),
        doc: "For a host that hands in what it sent by `vouchsafe ledger add`: if nothing came \
              from it for so long, it may have sent what is not known here, and \"not sent\" is \
              said no more of that time. `\"0s\"`: nothing is expected of it; right only for a \
              host all of whose mail passes through this one, and wrong for one that keeps a \
              ledger of its own.",
    }],
};
