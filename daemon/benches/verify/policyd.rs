//! A policy server on standard input and output: how Postfix's spawn(8) runs policyd-spf, one
//! process for each session that asks at the same time.

use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;

use crate::tally::{Tally, cpu_of};
use crate::world::{self, Asked};

/// Requests before the clock starts: the server reads its configuration and modules with the first.
const WARMING: usize = 3;

/// What is measured.
#[derive(Debug, Args)]
pub struct Run {
    /// The list.
    checks: PathBuf,
    /// The name of its line.
    name: String,
    /// The server with its arguments.
    #[arg(required = true, last = true)]
    command: Vec<String>,
    /// Processes, each of which takes one request at a time.
    #[arg(long, default_value_t = 1)]
    processes: usize,
    /// For how long.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

/// One server.
struct Server {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Run {
    /// Measures and prints.
    pub fn measure(self) -> anyhow::Result<()> {
        let list = world::read(&self.checks)?;
        let (program, arguments) = self.command.split_first().context("a command")?;
        let mut servers = Vec::new();
        for _ in 0..self.processes {
            servers.push(Server::start(program, arguments)?);
        }
        let numbers: Vec<_> = servers
            .iter()
            .map(|server| server.child.id().to_string())
            .collect();
        let cpu = || {
            numbers
                .iter()
                .map(|number| cpu_of(number))
                .sum::<anyhow::Result<f64>>()
        };
        // Two meetings: all are warm; the CPU time has been read, go.
        let barrier = Barrier::new(self.processes + 1);
        let (barrier, list) = (&barrier, list.as_slice());
        let mut tally = thread::scope(|threads| {
            let mut asking = Vec::new();
            for (at, server) in servers.iter_mut().enumerate() {
                // Each begins elsewhere in the list.
                let list = list.iter().cycle().skip(at * list.len() / self.processes);
                asking.push(threads.spawn(move || server.load(list, barrier, self.seconds)));
            }
            barrier.wait();
            let before = cpu()?;
            let begun = now();
            barrier.wait();
            let mut tally = Tally::default();
            for one in asking {
                let one = one
                    .join()
                    .map_err(|_| anyhow::anyhow!("a session panicked"))?;
                tally.add(&one.context("asking the policy server")?);
            }
            tally.seconds = begun.elapsed().as_secs_f64();
            tally.cpu = cpu()? - before;
            anyhow::Ok(tally)
        })?;
        tally.questions = None;
        tally.print(&self.name, self.processes);
        for server in servers {
            server.stop();
        }
        Ok(())
    }
}

impl Server {
    fn start(program: &str, arguments: &[String]) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let requests = child.stdin.take().context("its input")?;
        let answers = BufReader::new(child.stdout.take().context("its output")?);
        Ok(Self {
            child,
            requests,
            answers,
        })
    }

    /// Asks one after the other until the time is over.
    fn load<'a>(
        &mut self,
        mut list: impl Iterator<Item = &'a Asked>,
        barrier: &Barrier,
        seconds: u64,
    ) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let warming = list.by_ref().take(WARMING);
        let warmed: io::Result<Vec<_>> = warming.map(|asked| self.ask(asked, 0)).collect();
        barrier.wait();
        barrier.wait();
        warmed?;
        let end = now() + Duration::from_secs(seconds);
        for asked in list {
            if now() >= end {
                break;
            }
            let said = self.ask(asked, tally.verdicts + 1)?;
            tally.count(&said);
        }
        Ok(tally)
    }

    /// One request, as Postfix's smtpd sends it at RCPT; gives the word of the answer.
    fn ask(&mut self, asked: &Asked, number: u64) -> io::Result<String> {
        let Asked { client, domain } = asked;
        let process = self.child.id();
        write!(
            self.requests,
            "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n\
             client_address={client}\nclient_name=unknown\nhelo_name=client.bench.test\n\
             sender=someone@{domain}\nrecipient=anyone@example.org\ninstance={process}.{number}\n\n"
        )?;
        self.requests.flush()?;
        let mut line = String::new();
        let mut said = String::from("nothing");
        while self.answers.read_line(&mut line)? > 1 {
            // `action=PREPEND Received-SPF: Pass (…` or `action=550 5.7.23 …`.
            let mut words = line.trim_start_matches("action=").split_ascii_whitespace();
            let first = words.next().unwrap_or_default();
            let second = words.nth(1).unwrap_or_default();
            said = if first == "PREPEND" { second } else { first }.to_lowercase();
            line.clear();
        }
        Ok(said)
    }

    /// Ends it, as spawn does: by the end of its input.
    fn stop(mut self) {
        drop(self.requests);
        // What it leaves with is no figure.
        let _ = self.child.wait();
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
