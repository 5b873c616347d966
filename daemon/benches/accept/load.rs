//! Sends messages over a number of sessions for a while, and says what came of it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::sync::Barrier;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep_until;

use super::client::{Client, message, now};
use super::group::{Group, busy_ticks};

/// What is sent.
#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// The server.
    server: SocketAddr,
    /// Its process group.
    #[arg(long)]
    group: u32,
    /// Sessions at the same time.
    #[arg(long, default_value_t = 1)]
    sessions: usize,
    /// Octets of a message.
    #[arg(long, default_value_t = 4096)]
    octets: usize,
    /// All messages of a session go over one connection; without it each has its own.
    #[arg(long)]
    kept: bool,
    /// Sessions close behind QUIT, without waiting for its reply.
    #[arg(long)]
    leave: bool,
    /// Times whole transactions, from MAIL to the last 250.
    #[arg(long)]
    whole: bool,
    /// Seconds that count.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Seconds before them, in which processes start and caches fill.
    #[arg(long, default_value_t = 0.5)]
    warm: f64,
}

/// The time that counts.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: Instant,
    to: Instant,
}

/// What all sessions have seen within it.
type Latencies = Rc<RefCell<Vec<Duration>>>;

impl Run {
    /// Measures, and prints a line: messages a second, CPU microseconds a message, dot to 250 (or the
    /// whole transaction) in microseconds (median, 99th percentile), PSS in KiB half-way through, cores that were busy
    /// with anything at all.
    pub async fn measure(self) -> anyhow::Result<()> {
        let group = Group(self.group);
        let text = message(self.octets);
        let seen = Latencies::default();
        let mut sessions = JoinSet::new();
        let ready = Rc::new(Barrier::new(self.sessions + 1));
        let warm = Duration::from_secs_f64(self.warm);
        let length = Duration::from_secs_f64(self.seconds);
        // Sessions that are kept are open before the time begins.
        let mut clients = Vec::new();
        for _ in 0..self.sessions {
            let greeted = if self.kept {
                Some(Client::greeted(self.server).await?)
            } else {
                None
            };
            clients.push(greeted);
        }
        let from = now() + warm;
        let span = Span {
            from,
            to: from + length,
        };
        for client in clients {
            let (text, seen, ready) = (Arc::clone(&text), Rc::clone(&seen), Rc::clone(&ready));
            let (server, leave, whole) = (self.server, self.leave, self.whole);
            sessions.spawn_local(async move {
                ready.wait().await;
                match client {
                    Some(client) => keep_sending(client, &text, span, whole, &seen).await,
                    None => send_anew(server, &text, span, (leave, whole), &seen).await,
                }
            });
        }
        ready.wait().await;
        sleep_until(span.from.into()).await;
        let (cpu, busy) = (group.cpu()?, busy_ticks()?);
        sleep_until((span.from + length / 2).into()).await;
        let memory = spawn_blocking(move || group.pss());
        sleep_until(span.to.into()).await;
        let (cpu, busy) = (group.cpu()? - cpu, busy_ticks()? - busy);
        while let Some(ended) = sessions.join_next().await {
            ended.context("a session")??;
        }
        let memory = memory.await.context("the memory")??;
        self.print(&mut seen.borrow_mut(), cpu, memory, busy)
    }

    /// The measurement's line.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn print(&self, seen: &mut [Duration], cpu: f64, memory: u64, busy: f64) -> anyhow::Result<()> {
        seen.sort_unstable();
        let Some(last) = seen.len().checked_sub(1) else {
            bail!("no message was taken");
        };
        let at = |hundredths: usize| {
            let latency = seen.get(last * hundredths / 100);
            latency.map_or(0, Duration::as_micros)
        };
        let messages = seen.len() as f64;
        println!(
            "{:.0} {:.1} {} {} {memory} {:.2}",
            messages / self.seconds,
            1e6 * cpu / messages,
            at(50),
            at(99),
            busy / 100.0 / self.seconds,
        );
        Ok(())
    }
}

/// One message after the other over one connection.
async fn keep_sending(
    mut client: Client,
    text: &[u8],
    span: Span,
    whole: bool,
    seen: &Latencies,
) -> anyhow::Result<()> {
    while now() < span.to {
        let latency = client.send(text, whole).await?;
        count(latency, span, seen);
    }
    client.quit().await
}

/// One message after the other, each over a connection of its own.
async fn send_anew(
    server: SocketAddr,
    text: &[u8],
    span: Span,
    (leave, whole): (bool, bool),
    seen: &Latencies,
) -> anyhow::Result<()> {
    while now() < span.to {
        let mut client = Client::greeted(server).await?;
        let latency = client.send(text, whole).await?;
        count(latency, span, seen);
        if leave {
            client.leave().await?;
        } else {
            client.quit().await?;
        }
    }
    Ok(())
}

/// Counts a message that was taken within the time.
fn count(latency: Duration, span: Span, seen: &Latencies) {
    if (span.from..span.to).contains(&now()) {
        seen.borrow_mut().push(latency);
    }
}
