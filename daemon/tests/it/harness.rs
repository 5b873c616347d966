//! What tests with processes share: ports that are free, children that end with the test, waiting
//! for a peer without sleeping, and leaving a test out where its peer is not installed.

use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// How long one try at something that should be there waits, where nothing else says.
pub const TRY: Duration = Duration::from_millis(100);

/// Tries before a test gives up: with [`TRY`], half a minute on a busy machine.
pub const TRIES: u32 = 300;

/// A child process; asked to end, by its pid, when the test is over.
pub struct Process(Child);

impl Process {
    /// Starts it, with nothing on its standard input and its output to be read from the child.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).spawn().map(Self)
    }

    /// Its standard output, if that was piped; once.
    pub fn output(&mut self) -> Option<ChildStdout> {
        self.0.stdout.take()
    }

    /// Asks it to end, by its pid, and waits until it has.
    pub fn end(&mut self) {
        if !self.runs() {
            return;
        }
        // SIGTERM, so that it ends its own children too.
        let asked = Command::new("kill").arg(self.0.id().to_string()).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }

    /// True while it runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A port that is free for UDP and TCP at this address, at this moment: whoever is given it must
/// be ready to find it taken, and ask for another.
pub fn free_port(address: IpAddr) -> io::Result<SocketAddr> {
    loop {
        let tcp = TcpListener::bind((address, 0))?;
        let address = tcp.local_addr()?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
}

/// True if a program is there. If not, says in one line what is left out; with `CI=true` nothing
/// may be left out, and the test fails.
pub fn installed(program: &Path, left_out: &str) -> bool {
    let reason = format!("{} is not installed", program.display());
    there(program.exists(), &reason, left_out)
}

/// The same for something else that a test needs: `reason` says what is wrong when it is not there.
pub fn there(is_there: bool, reason: &str, left_out: &str) -> bool {
    if is_there {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none_or(|value| value != "true"),
        "{reason}: {left_out}"
    );
    // Not println: it would not be seen, since the test passes.
    let _ = writeln!(io::stderr().lock(), "left out: {reason}: {left_out}");
    false
}
