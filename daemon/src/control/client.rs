//! The command line's end of the control socket. Blocks: the command line does one thing.

use std::io::{self, BufRead, BufReader, Lines, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::wire::{Refusal, Reply, Request};

/// How long one line of an answer may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// Nobody listens at the socket: the service does not run.
    #[error("no server answers")]
    Nobody,
    /// The socket cannot be used.
    #[error("the control socket")]
    Socket(#[from] io::Error),
    /// What came is not ours.
    #[error("the answer cannot be read; is the service of another version?")]
    Unreadable(#[from] serde_json::Error),
    /// The service says no.
    #[error(transparent)]
    Refused(Refusal),
    /// The service went away in the middle.
    #[error("the answer is not complete")]
    Incomplete,
}

/// Sends a request; the answer's lines come one by one, without the last.
pub fn ask(socket: &Path, request: &Request) -> Result<Answer, AskError> {
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::Nobody,
        _ => AskError::Socket(error),
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    Ok(Answer {
        lines: Some(BufReader::new(stream).lines()),
    })
}

/// An answer, line by line.
#[derive(Debug)]
pub struct Answer {
    /// None once the last line has been seen.
    lines: Option<Lines<BufReader<UnixStream>>>,
}

impl Answer {
    /// The next line, `None` for the last.
    fn read(&mut self) -> Result<Option<Reply>, AskError> {
        let Some(lines) = &mut self.lines else {
            return Ok(None);
        };
        let line = lines.next().ok_or(AskError::Incomplete)??;
        match serde_json::from_str(&line)? {
            Reply::End => Ok(None),
            Reply::Error(refusal) => Err(AskError::Refused(refusal)),
            reply => Ok(Some(reply)),
        }
    }
}

impl Iterator for Answer {
    type Item = Result<Reply, AskError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.lines = None;
        }
        next
    }
}
