//! One Vouchsafe server of the small world: a service, and what its command line would ask of it.
//!
//! Promises: it is the service of `vouchsafe serve`, started from a configuration file; its queue is asked
//! through the control socket, and the notes of `trace` are read from its folder, as the commands do it.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::queue_id::QueueId;

use super::conversation::Differed;
use super::{within, zones};
use crate::cli::{Exit, Failure, OrExit as _};
use crate::clock;
use crate::config::schema::control_socket;
use crate::config::{Config, parse};
use crate::control::client::{AskError, ask};
use crate::control::wire::{Message, Reply, Request};
use crate::current::Current;
use crate::history;
use crate::history::event::Note;
use crate::operator::Filter;
use crate::serve::Service;
use crate::shutdown::Shutdown;

/// How often something is looked at that is to change, in milliseconds.
const LOOK_EVERY: u64 = 20;

/// The server.
pub struct Server {
    /// The configuration file.
    pub config_file: PathBuf,
    config: Config,
    service: Service,
    shutdown: Shutdown,
}

impl Server {
    /// Starts it from this text, which is written into the file.
    pub async fn start(config_file: PathBuf, text: &str) -> Result<Self, Failure> {
        let config = parse(text, &config_file)?.config;
        write(&config_file, text).or_exit(Exit::Io)?;
        let current =
            Current::new(config.clone(), Some(config_file.clone())).or_exit(Exit::Config)?;
        let shutdown = Shutdown::new();
        let service = Service::start(Arc::new(current), shutdown.clone()).await?;
        Ok(Self {
            config_file,
            config,
            service,
            shutdown,
        })
    }

    /// What it calls itself.
    pub fn name(&self) -> &str {
        self.config.hostname.as_ascii()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        let first = self.service.addresses().first();
        first.copied().unwrap_or((zones::HERE, 0).into())
    }

    /// Where it answers for its ledger.
    pub fn answering(&self) -> SocketAddr {
        let first = self.service.answering().first();
        first.copied().unwrap_or((zones::HERE, 0).into())
    }

    /// Looks until its ledger can say of this domain what was not sent: it has to know first who may send.
    pub async fn until_covered(&self, domain: &Domain) -> Result<(), Differed> {
        let ledger = self.service.ledger();
        look("a ledger that says what was not sent", async || {
            Ok(ledger.covered(domain, clock::now().wall).map(drop))
        })
        .await
    }

    /// Resolves when a part of it has ended that should not have, with its name.
    pub async fn failed(&mut self) -> &'static str {
        self.service.failed().await
    }

    /// What is in its queue, by way of the control socket.
    pub async fn queue(&self) -> Result<Vec<Message>, Differed> {
        let socket = control_socket(&self.config.data_dir);
        let asking = tokio::task::spawn_blocking(move || {
            let replies = ask(
                &socket,
                &Request::List {
                    filter: Filter::default(),
                    limit: None,
                },
            )?;
            let messages = replies.filter_map(|reply| match reply {
                Ok(Reply::Message(message)) => Some(Ok(*message)),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            });
            messages.collect::<Result<Vec<_>, AskError>>()
        });
        Ok(asking.await.map_err(io::Error::other)??)
    }

    /// Looks at the queue until something can be made of it.
    pub async fn queue_until<T>(
        &self,
        what: &'static str,
        find: impl Fn(Vec<Message>) -> Option<T>,
    ) -> Result<T, Differed> {
        look(what, async || Ok(find(self.queue().await?))).await
    }

    /// What it has noted of a message that is not in its queue, for `trace`: once there is something, since
    /// notes are written behind the mail. All that is known of a held message is noted at once.
    pub async fn notes(&self, id: QueueId) -> Result<Vec<Note>, Differed> {
        look("a note of the message, for trace", async || {
            let folder = self.config.data_dir.clone();
            let reading = tokio::task::spawn_blocking(move || history::read(&folder, id));
            let notes = reading.await.map_err(io::Error::other)?;
            let notes = notes.map_err(io::Error::other)?;
            Ok(Some(notes).filter(|notes| !notes.is_empty()))
        })
        .await
    }

    /// Ends it, gracefully: as the service does at SIGTERM.
    pub async fn stop(self) {
        self.shutdown.begin();
        self.service.finish().await;
    }
}

/// Looks again and again, until something is seen.
async fn look<T>(
    what: &'static str,
    look: impl AsyncFn() -> Result<Option<T>, Differed>,
) -> Result<T, Differed> {
    let mut every = tokio::time::interval(Duration::from_millis(LOOK_EVERY));
    let looking = async {
        loop {
            every.tick().await;
            if let Some(seen) = look().await? {
                return Ok(seen);
            }
        }
    };
    within(what, looking).await?
}

/// Writes the configuration file.
#[expect(
    clippy::disallowed_methods,
    reason = "it is not to outlive the process, let alone a crash"
)]
fn write(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text)
}
