//! The daemon from outside: a real process, real sockets, real peers where there are any.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests: whatever is not as expected ends them, and their files need not last"
)]

mod check;
mod cli;
mod client;
mod config;
mod harness;
mod nowhere;
mod nsd;
mod service;
mod smtp;
mod zones;
