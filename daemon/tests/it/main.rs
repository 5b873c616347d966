//! The daemon from outside: a real process, real sockets, real peers where there are any.

#![expect(clippy::unwrap_used, reason = "tests")]

mod cli;
mod config;
