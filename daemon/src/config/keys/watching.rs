//! `[log]`, `[metrics]`, `[history]`: how the service is watched.

use std::time::Duration;

use super::{Form, Key, Kind, Presence, Section};

/// The log.
pub static LOG: Section = Section {
    name: "log",
    form: Form::Table,
    doc: "What is written to standard error.",
    keys: &[
        Key {
            name: "format",
            kind: Kind::Word(&["text", "json"]),
            presence: Presence::Default(r#""text""#),
            doc: "`text` for people, `json` for programs: one object a line, the same fields. \
                  Takes effect at the next start, not at a reload.",
        },
        Key {
            name: "level",
            kind: Kind::Word(&["error", "warn", "info", "debug", "trace"]),
            presence: Presence::Default(r#""info""#),
            doc: "The least weighty lines that are written. `info` has one line for each event of \
                  a message's life.",
        },
    ],
};

/// Figures for a monitor.
pub static METRICS: Section = Section {
    name: "metrics",
    form: Form::Table,
    doc: "Figures for a monitor, as OpenMetrics text under `/metrics`; `/health` and `/ready` say \
          whether the service lives and takes mail.",
    keys: &[Key {
        name: "address",
        kind: Kind::Socket,
        presence: Presence::Optional(r#""127.0.0.1:9925""#),
        doc: "Address and port at which they can be had. There is no login: keep it on loopback. \
              Takes effect at the next start, not at a reload.",
    }],
};

/// What became of messages.
pub static HISTORY: Section = Section {
    name: "history",
    form: Form::Table,
    doc: "What became of each message, for `vouchsafe trace`.",
    keys: &[Key {
        name: "keep",
        kind: Kind::Duration(Duration::ZERO, Duration::from_hours(10 * 365 * 24)),
        presence: Presence::Default(r#""14d""#),
        doc: "How long after its arrival the notes about a message are kept, in `history/` of the \
              data folder: about a kilobyte a message. `\"0s\"` keeps none. Takes effect at the \
              next start, not at a reload.",
    }],
};
