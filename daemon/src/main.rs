//! Arguments to subcommand to exit code; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    vouchsafe::run()
}
