//! `[verify]`: what is looked at to find out whether a reverse-path is true.

use super::{Form, Key, Kind, Presence, Section};

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
    ],
};
