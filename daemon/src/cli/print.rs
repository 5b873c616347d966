//! Writing to standard output and standard error without falling over when the reader has gone
//! (`vouchsafe queue list | head`).

use std::io::{self, Write};

use super::{Exit, Failure, OrExit};

/// Writes the text to standard output. A reader that has gone has seen enough.
pub fn out(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.or_exit(Exit::Io),
    }
}

/// Writes a line to standard error.
pub fn error(text: &str) {
    // Nothing can be done about a standard error that is gone.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
