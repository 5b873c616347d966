//! Arguments to subcommand to exit code; nothing else.

mod cli;
mod clock;
#[allow(
    dead_code,
    unused_imports,
    reason = "part of it is for the tests, and [metrics] is not built yet"
)]
mod config;
#[allow(unused_imports, reason = "part of it is for the tests")]
mod control;
mod current;
mod demo;
#[allow(dead_code, reason = "that zones change is for the tests")]
mod dns;
mod limits;
mod log;
mod maildir;
mod mx_lookup;
mod open_files;
mod perimeter;
mod runner;
mod serve;
mod shutdown;
mod smtp_in;
#[allow(dead_code, reason = "part of it is for the tests")]
mod smtp_out;
mod stream;
#[allow(dead_code, reason = "nobody gives a status line yet")]
mod supervisor;
mod tls;
mod verify;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run().into()
}
