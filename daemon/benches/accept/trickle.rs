//! Holds many transactions open through a server, all of them in the midst of a large message, and says
//! what they cost it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;

use super::client::{Client, message, now};
use super::group::Group;
use super::sink::Count;

/// How many, and how large.
#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// The server.
    server: SocketAddr,
    /// Its process group.
    #[arg(long)]
    group: u32,
    /// Where its next hop listens: ours, which takes everything.
    #[arg(long)]
    sink: SocketAddr,
    /// Transactions at the same time.
    #[arg(long, default_value_t = 1000)]
    sessions: usize,
    /// Octets of each message.
    #[arg(long, default_value_t = 10_000_000)]
    octets: usize,
    /// Milliseconds for which the next hop rests after each read of a connection.
    #[arg(long, default_value_t = 0)]
    rest: u64,
}

impl Run {
    /// Measures, and prints a line: transactions, octets of each; the server's resident set in KiB after
    /// its first message, with all transactions open, and when a tenth, half and nearly all of each message
    /// has come, and the most that it ever was; KiB a transaction at that; seconds of content; messages that
    /// were acknowledged, and that the next hop has.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub async fn measure(self) -> anyhow::Result<()> {
        let group = Group(self.group);
        let count = if self.rest == 0 {
            Count::start(self.sink)?
        } else {
            Count::start_slow(self.sink, Duration::from_millis(self.rest))?
        };
        let mut first = Client::greeted(self.server).await?;
        first.send(&message(PIECE), false).await?;
        first.quit().await?;
        let idle = group.resident()?;
        let mut clients = Vec::with_capacity(self.sessions);
        for _ in 0..self.sessions {
            let mut client = Client::greeted(self.server).await?;
            client.begin().await.context("a transaction")?;
            clients.push(client);
        }
        let open = group.resident()?;
        let text = message(self.octets);
        let pieces = text.chunks(PIECE);
        let last = pieces.len().saturating_sub(1);
        let mut samples = Vec::new();
        let began = now();
        // A piece of each in turn: none is done before the others are.
        for (at, piece) in pieces.enumerate() {
            if [last / 10, last / 2, last].contains(&at) {
                samples.push(group.resident()?);
            }
            for client in &mut clients {
                client.pour(piece).await?;
            }
        }
        let mut acknowledged: usize = 0;
        for client in &mut clients {
            client.taken().await?;
            acknowledged += 1;
        }
        let seconds = began.elapsed().as_secs_f64();
        let most = group.most_resident()?;
        let each = most.saturating_sub(idle) as f64 / self.sessions as f64;
        // But the first.
        let came = count.so_far().saturating_sub(1);
        let samples: Vec<String> = samples.iter().map(u64::to_string).collect();
        println!(
            "{} {} {idle} {open} {} {most} {each:.1} {seconds:.0} {acknowledged} {came}",
            self.sessions,
            self.octets,
            samples.join(" "),
        );
        Ok(())
    }
}

/// Octets of a message that come at a time.
const PIECE: usize = 64 * 1024;
