//! Arguments to subcommand to exit code; nothing else.

mod cli;
#[allow(dead_code, reason = "for the service")]
mod clock;
#[allow(dead_code, unused_imports, reason = "most of it is for the service")]
mod config;
#[allow(dead_code, unused_imports, reason = "half of it is for the service")]
mod control;
#[allow(dead_code, reason = "its whole surface is for the service")]
mod current;
#[allow(
    dead_code,
    unused_imports,
    reason = "for the service, the demo and `check`"
)]
mod dns;
#[allow(dead_code, reason = "most of it is for the service")]
mod log;
#[allow(dead_code, reason = "for the service")]
mod maildir;
#[allow(dead_code, reason = "for the service")]
mod mx_lookup;
#[allow(dead_code, reason = "for the service and `check`")]
mod perimeter;
#[allow(dead_code, reason = "for the service")]
mod runner;
#[allow(dead_code, reason = "its whole surface is for the service")]
mod shutdown;
#[allow(dead_code, reason = "for the service")]
mod smtp_out;
#[allow(dead_code, reason = "its whole surface is for the service")]
mod supervisor;
#[allow(dead_code, reason = "its whole surface is for the service")]
mod tls;
#[allow(dead_code, reason = "part of it is for the service")]
mod verify;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run().into()
}
