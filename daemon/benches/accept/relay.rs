//! Sends a number of messages through a server that hands them on, and says how long it took until
//! the last had arrived.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::{Client, message, now, undated};
use super::group::{Group, busy_ticks};
use super::sink::Count;

/// What is sent.
#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// The server; the sink itself tells how fast sender and sink are without one.
    server: SocketAddr,
    /// The server's process group.
    #[arg(long)]
    group: u32,
    /// Where the server hands on to: the sink listens there.
    #[arg(long)]
    sink: SocketAddr,
    /// Messages.
    #[arg(long, default_value_t = 10_000)]
    messages: usize,
    /// Messages before them that do not count, in which processes start and caches fill.
    #[arg(long, default_value_t = 500)]
    warm: usize,
    /// Connections that are kept, over which they are sent.
    #[arg(long, default_value_t = 50)]
    sessions: usize,
    /// Octets of a message.
    #[arg(long, default_value_t = 4096)]
    octets: usize,
    /// Each command waits for the reply to the one before; without it the envelope goes in one
    /// write, as a mail server sends it.
    #[arg(long)]
    lockstep: bool,
    /// Messages have neither Date nor Message-ID, as programs submit them: a server that adds them has each with its own.
    #[arg(long)]
    undated: bool,
}

impl Run {
    /// Measures, and prints a line: messages a second from the first connection to the last
    /// arrival, CPU microseconds a message, messages a second taken, PSS in KiB at the end, cores
    /// that were busy with anything at all.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub async fn measure(self) -> anyhow::Result<()> {
        let group = Group(self.group);
        let warm = if self.server == self.sink {
            0
        } else {
            self.warm
        };
        let count = Count::start(self.sink)?;
        if warm > 0 {
            self.send(warm).await?;
            arrival(&count, warm).await?;
        }
        let (cpu, busy, begun) = (group.cpu()?, busy_ticks()?, now());
        self.send(self.messages).await?;
        let taken = begun.elapsed().as_secs_f64();
        arrival(&count, warm + self.messages).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let (cpu, busy) = (group.cpu()? - cpu, busy_ticks()? - busy);
        let messages = self.messages as f64;
        println!(
            "{:.0} {:.1} {:.0} {} {:.2}",
            messages / seconds,
            1e6 * cpu / messages,
            messages / taken,
            group.pss()?,
            busy / 100.0 / seconds,
        );
        Ok(())
    }

    /// Sends so many over all sessions.
    async fn send(&self, messages: usize) -> anyhow::Result<()> {
        let text = if self.undated {
            undated(self.octets)
        } else {
            message(self.octets)
        };
        let left = Rc::new(Cell::new(messages));
        let mut sessions = JoinSet::new();
        for _ in 0..self.sessions {
            let (text, left) = (Arc::clone(&text), Rc::clone(&left));
            let (server, lockstep) = (self.server, self.lockstep);
            sessions.spawn_local(async move {
                let mut client = Client::greeted(server).await?;
                while let Some(after) = left.get().checked_sub(1) {
                    left.set(after);
                    if lockstep {
                        client.send(&text, false).await?;
                    } else {
                        client.send_at_once(&text).await?;
                    }
                }
                client.quit().await
            });
        }
        while let Some(ended) = sessions.join_next().await {
            ended.context("a session")??;
        }
        Ok(())
    }
}

/// Waits for so many, but not for ever.
async fn arrival(count: &Count, wanted: usize) -> anyhow::Result<()> {
    if timeout(LONGEST, count.reaches(wanted)).await.is_err() {
        bail!("only {} of {wanted} have arrived", count.so_far());
    }
    Ok(())
}

/// How long the last message may take once all are taken.
const LONGEST: Duration = Duration::from_mins(1);
