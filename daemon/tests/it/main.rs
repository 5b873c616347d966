//! The daemon from outside: a real process, real sockets, real peers where there are any.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests: whatever is not as expected ends them, and their files need not last"
)]

mod ask;
mod backup;
mod bind;
mod bounce;
mod certificate;
mod check;
mod cli;
mod client;
mod config;
mod corpus;
mod demo;
mod dialogue;
mod disk_trouble;
mod dkim;
mod dnssec;
mod harness;
mod held;
mod history;
mod interop;
mod kill;
mod ledger;
mod lint;
mod load;
mod mail;
mod memory;
mod metrics;
mod nowhere;
mod nsd;
mod operator;
mod publish;
mod questions;
mod responder;
#[path = "../../../proto/tests/dialogue/script.rs"]
mod script;
mod senders;
mod service;
#[allow(dead_code, reason = "part of it is for the tests inside")]
#[path = "../../src/verify/dkim/signing.rs"]
mod signing;
mod simulate;
mod sink;
mod smtp;
mod spf;
mod trace;
mod unbound;
mod verdicts;
mod zones;
