//! What a question costs before anybody thinks about it: the system calls of one exchange with the
//! server over UDP, and nothing else. No verifier that asks can cost less for each question.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};

use crate::tally::{Tally, cpu_of};
use crate::world;

/// What is measured.
#[derive(Debug, Args)]
pub struct Run {
    /// The list.
    checks: PathBuf,
    /// The name server.
    server: SocketAddr,
    /// Questions that are sent before the first answer is taken.
    #[arg(long, default_value_t = 1)]
    sessions: usize,
    /// For how long.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

impl Run {
    /// Measures and prints.
    pub fn measure(self) -> anyhow::Result<()> {
        let mut queries = Vec::new();
        for asked in world::read(&self.checks)? {
            let name = Name::from_ascii(format!("mail-from.{}.", asked.domain))?;
            let mut message = Message::query();
            message.add_query(Query::query(name, RecordType::MX));
            queries.push(message.to_vec()?);
        }
        let mut sockets = Vec::new();
        for _ in 0..self.sessions {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("a socket")?;
            socket.connect(self.server).context("towards the server")?;
            sockets.push(socket);
        }
        let mut queries = queries.iter().cycle();
        let mut tally = Tally::default();
        let mut octets = [0; 1232];
        let (cpu, begun) = (cpu_of("self")?, now());
        while now() < begun + Duration::from_secs(self.seconds) {
            for (socket, query) in sockets.iter().zip(&mut queries) {
                socket.send(query)?;
            }
            for socket in &sockets {
                socket.recv(&mut octets)?;
                tally.count("answered");
            }
        }
        tally.seconds = begun.elapsed().as_secs_f64();
        tally.cpu = cpu_of("self")? - cpu;
        tally.questions = Some(tally.verdicts);
        tally.print("bare-exchange", self.sessions);
        Ok(())
    }
}

/// The clock of the measurement.
#[expect(
    clippy::disallowed_methods,
    reason = "a measurement has a clock of its own"
)]
fn now() -> Instant {
    Instant::now()
}
