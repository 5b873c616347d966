//! All that talks: sockets, TLS, timers, configuration, commands. The binary is [`run`] and no more.
//!
//! A library so that measurements (`benches/`) drive the very code that the service runs, over its
//! real sockets and clocks. It promises nothing to anybody outside this repository.

mod bounded;
mod chance;
mod cli;
mod clock;
#[allow(dead_code, unused_imports, reason = "part of it is for the tests")]
mod config;
#[allow(unused_imports, reason = "part of it is for the tests")]
mod control;
mod current;
mod demo;
#[allow(dead_code, reason = "that zones change is for the tests")]
pub mod dns;
mod gathering;
mod history;
mod hop_mark;
mod ledger;
mod limits;
mod log;
mod maildir;
mod metrics;
mod mta_sts;
mod mx_lookup;
pub mod next_hop;
mod open_files;
mod operator;
pub mod perimeter;
mod rates;
mod responder;
mod runner;
mod serve;
mod shutdown;
mod simulate;
mod smtp_in;
#[allow(dead_code, reason = "part of it is for the tests")]
mod smtp_out;
mod stream;
#[allow(dead_code, reason = "nobody gives a status line yet")]
mod supervisor;
mod tls;
mod together;
pub mod verify;

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// What one thread of the runtime has made another lets go: the C library's allocator has them wait for each other
/// (docs/decisions/0040-the-allocator.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The command line's work, from arguments to exit code.
pub fn run() -> ExitCode {
    cli::run().into()
}
