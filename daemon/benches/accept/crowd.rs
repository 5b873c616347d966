//! Opens many sessions that greet and then say nothing, and says what each costs the server.

use std::net::SocketAddr;

use super::client::Client;
use super::group::Group;

/// How many.
#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// The server.
    server: SocketAddr,
    /// Its process group.
    #[arg(long)]
    group: u32,
    /// Sessions.
    #[arg(long, default_value_t = 10_000)]
    sessions: usize,
    /// Each sends a message before it falls silent.
    #[arg(long)]
    after_message: bool,
}

impl Run {
    /// Measures, and prints a line: sessions, the server's PSS before and with them in KiB, and
    /// KiB a session.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub async fn measure(self) -> anyhow::Result<()> {
        let group = Group(self.group);
        let text = super::client::message(4096);
        // The first session brings with it what all of them share.
        drop(Client::greeted(self.server).await?);
        let before = group.pss()?;
        let mut clients = Vec::with_capacity(self.sessions);
        for _ in 0..self.sessions {
            let mut client = Client::greeted(self.server).await?;
            if self.after_message {
                client.send(&text, false).await?;
            }
            clients.push(client);
        }
        let with = group.pss()?;
        let each = with.saturating_sub(before) as f64 / self.sessions as f64;
        println!("{} {before} {with} {each:.2}", self.sessions);
        drop(clients);
        Ok(())
    }
}
