//! Arguments to subcommand to exit code; nothing else.

mod cli;
mod clock;
#[allow(
    dead_code,
    unused_imports,
    reason = "part of it is for the demo and the tests"
)]
mod config;
#[allow(unused_imports, reason = "part of it is for the tests")]
mod control;
mod current;
#[allow(dead_code, reason = "the authority is for the demo and the tests")]
mod dns;
mod limits;
mod log;
mod maildir;
mod mx_lookup;
mod perimeter;
mod runner;
#[allow(dead_code, reason = "part of it is for the demo")]
mod serve;
mod shutdown;
mod smtp_in;
#[allow(dead_code, reason = "part of it is for the tests")]
mod smtp_out;
#[allow(dead_code, reason = "a status line is for the demo")]
mod supervisor;
mod tls;
mod verify;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run().into()
}
