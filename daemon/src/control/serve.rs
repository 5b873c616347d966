//! The service's end of the control socket.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tracing::{error, warn};
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::ledger::Ledger;

use super::wire::{Refusal, Reply, Request, Status, parse_digest};
use crate::clock;
use crate::current::Current;
use crate::ledger::keeping;
use crate::log::chain;
use crate::operator::{self, FreezeError, Gone, Hand};
use crate::rates::Rates;
use crate::shutdown::Shutdown;
use crate::smtp_in::House;

/// Octets of a request: the longest names a few thousand messages.
const LONGEST_REQUEST: u64 = 128 * 1024;

/// Connections at the same time; whoever comes after waits. Each may hold a page of the queue.
const MOST_CONNECTIONS: usize = 8;

/// How long a request may take to come, and a reader to take one line.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers that may wait for the reader.
const WAITING: usize = 256;

/// What requests are answered from.
pub struct Sources {
    /// The queue, and what an operator may do there.
    pub hand: Hand,
    /// What was sent.
    pub ledger: Arc<Ledger>,
    /// The configuration in force.
    pub current: Arc<Current>,
    /// Whether the service is stopping.
    pub shutdown: Shutdown,
    /// When it started.
    pub started: Wall,
    /// Where it takes connections.
    pub listening: Vec<SocketAddr>,
    /// Its sessions.
    pub house: Arc<House>,
    /// How well its caches serve.
    pub rates: Arc<Rates>,
}

/// The socket, open.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Somebody answers there.
    #[error("another server answers at {}", .0.display())]
    InUse(PathBuf),
    /// It cannot be made; its path may be longer than the system allows (107 octets).
    #[error("cannot make the control socket {}", path.display())]
    Bind {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Control {
    /// Makes the socket; what a server that was killed has left there is replaced.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(BindError::InUse(path.to_owned()));
        }
        let bound = bind_private(path).map_err(|source| BindError::Bind {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            listener: bound,
            path: path.to_owned(),
        })
    }

    /// Answers until it is dropped.
    pub async fn serve(self, sources: Arc<Sources>) {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let sources = Arc::clone(&sources);
                    tokio::spawn(async move {
                        if let Err(why) = converse(stream, &sources).await {
                            warn!(error = %why, "control connection");
                        }
                        drop(place);
                    });
                }
                Err(why) => {
                    // Out of descriptors, mostly: wait for one, instead of spinning.
                    error!(error = %why, "control socket");
                    let later = clock::now().mono.plus(Duration::from_secs(1));
                    tokio::time::sleep_until(clock::instant(later)).await;
                }
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Left behind, it would be replaced at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Binds beside the path and moves it there once only its owner can open it, so that it is never
/// open to others, not for a moment.
#[expect(
    clippy::disallowed_methods,
    reason = "the socket is not to outlive the process, let alone a crash"
)]
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = PathBuf::from(name);
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&fresh, path)?;
    Ok(listener)
}

/// Answers one request.
async fn converse(stream: UnixStream, sources: &Arc<Sources>) -> io::Result<()> {
    let (read, write) = stream.into_split();
    let mut line = Vec::new();
    let mut reader = BufReader::new(read.take(LONGEST_REQUEST));
    within(reader.read_until(b'\n', &mut line)).await?;
    let mut out = BufWriter::new(write);
    match serde_json::from_slice(&line) {
        Ok(request) => answer(&request, sources, &mut out).await?,
        Err(_) => say(&mut out, &Reply::Error(Refusal::Request)).await?,
    }
    within(out.flush()).await
}

/// What is written to.
type Out = BufWriter<tokio::net::unix::OwnedWriteHalf>;

/// Every line of the answer.
async fn answer(request: &Request, sources: &Arc<Sources>, out: &mut Out) -> io::Result<()> {
    let last = match request {
        Request::Ping => Reply::End,
        Request::Status => {
            say(out, &Reply::Status(status(sources))).await?;
            Reply::End
        }
        Request::List { .. } | Request::Act { .. } | Request::Top { .. } => {
            work(request, sources, out).await?
        }
        Request::Freeze { domain, frozen } => {
            match operator::freeze(&sources.hand, domain, *frozen).await {
                Ok(changed) => {
                    say(out, &Reply::Frozen(changed)).await?;
                    Reply::End
                }
                Err(FreezeError::Domain(_)) => Reply::Error(Refusal::Request),
                Err(why) => {
                    error!(error = %chain(&why), "frozen domains");
                    Reply::Error(Refusal::List)
                }
            }
        }
        Request::Enter {
            host,
            domain,
            entries,
        } => match enter(sources, host.as_deref(), domain.as_deref(), entries).await {
            Ok(()) => {
                say(out, &Reply::Entered).await?;
                Reply::End
            }
            Err(refusal) => Reply::Error(refusal),
        },
        Request::Show { id } => {
            let found = match id.parse() {
                Ok(id) => sources.hand.spool.show(id).await,
                Err(_) => Ok(None),
            };
            match found {
                Ok(Some(entry)) => {
                    let views = sources.hand.views().await;
                    let message = views.show(&entry, clock::now().wall);
                    say(out, &Reply::Message(Box::new(message))).await?;
                    Reply::End
                }
                Ok(None) => Reply::Error(Refusal::Unknown),
                Err(why) => unreadable(&why),
            }
        }
    };
    say(out, &last).await
}

/// Enters what another host sends, durably, and notes that it was heard of.
async fn enter(
    sources: &Sources,
    host: Option<&str>,
    domain: Option<&str>,
    entries: &[String],
) -> Result<(), Refusal> {
    let in_force = sources.current.take();
    let config = &in_force.config;
    let host = host.map(|host| Domain::parse(host).map_err(|_| Refusal::Writer));
    let host = host.transpose()?;
    if host
        .as_ref()
        .is_some_and(|host| !keeping::hands_in(config, host))
    {
        return Err(Refusal::Writer);
    }
    let is_local = |domain: &str| {
        let domain = Domain::parse(domain);
        domain.is_ok_and(|domain| config.domains.contains_key(&domain))
    };
    if !entries.is_empty() && !domain.is_some_and(is_local) {
        return Err(Refusal::Domain);
    }
    let entries: Option<Vec<_>> = entries.iter().map(|text| parse_digest(text)).collect();
    let entries = entries.ok_or(Refusal::Request)?;
    sources
        .hand
        .spool
        .vouch(clock::now().wall, entries)
        .await
        .map_err(|why| {
            error!(error = %chain(&why), "the ledger cannot be written");
            Refusal::Ledger
        })?;
    let Some(host) = host else {
        return Ok(());
    };
    let ledger = Arc::clone(&sources.ledger);
    // The record may be on its way to the disk.
    let heard = move || ledger.hear(clock::now().wall, host.as_ascii());
    let heard = tokio::task::spawn_blocking(heard).await;
    heard.map_err(|_| Refusal::Ledger)
}

/// What takes a while: answers go out as they come; whoever goes ends it. Gives the last line.
async fn work(request: &Request, sources: &Arc<Sources>, out: &mut Out) -> io::Result<Reply> {
    let (told, mut answers) = tokio::sync::mpsc::channel(WAITING);
    let (request, sources) = (request.clone(), Arc::clone(sources));
    let working = tokio::spawn(async move { operate(&request, &sources, &told).await });
    while let Some(reply) = answers.recv().await {
        say(out, &reply).await?;
    }
    match working.await {
        Ok(Ok(last)) => Ok(last),
        Ok(Err(Gone)) => Err(io::ErrorKind::BrokenPipe.into()),
        Err(broken) => Err(io::Error::other(broken)),
    }
}

/// Does it; gives the last line.
async fn operate(
    request: &Request,
    sources: &Sources,
    told: &operator::Told,
) -> Result<Reply, Gone> {
    let hand = &sources.hand;
    let done = match request {
        Request::List { filter, limit } => {
            if filter.mistake().is_some() {
                return Ok(Reply::Error(Refusal::Request));
            }
            match operator::list(hand, filter, *limit, told).await? {
                Ok(true) => {
                    told.send(Reply::More).await.map_err(|_| Gone)?;
                    Ok(())
                }
                listed => listed.map(|_| ()),
            }
        }
        Request::Act {
            act,
            filter,
            all,
            dry_run,
        } => {
            let wrong = filter.mistake().or_else(|| act.mistake());
            if wrong.is_some() || (filter.means_all() && !all) {
                return Ok(Reply::Error(Refusal::Request));
            }
            let terms = sources.current.take();
            operator::act(hand, &terms, (act, filter, *dry_run), told).await?
        }
        Request::Top { rows, sample } => operator::top(hand, (*rows, *sample), told).await?,
        Request::Ping
        | Request::Status
        | Request::Show { .. }
        | Request::Freeze { .. }
        | Request::Enter { .. } => Ok(()),
    };
    Ok(match done {
        Ok(()) => Reply::End,
        Err(why) => unreadable(&why),
    })
}

/// How the service is.
fn status(sources: &Sources) -> Status {
    Status {
        version: String::from(env!("CARGO_PKG_VERSION")),
        hostname: sources.current.take().config.hostname.to_string(),
        pid: std::process::id(),
        started: sources.started.to_string(),
        listening: sources.listening.iter().map(ToString::to_string).collect(),
        sessions_open: sources.house.door.open(),
        sessions: sources.house.sessions(),
        panics: sources.house.panics(),
        caches: sources
            .rates
            .totals()
            .into_iter()
            .map(|(name, figures)| (String::from(name), figures))
            .collect(),
        sound: sources.hand.spool.is_sound(),
        stopping: sources.shutdown.has_begun(),
    }
}

/// Our trouble: the detail to the log.
fn unreadable(why: &vouchsafe_spool::ListError) -> Reply {
    error!(error = %chain(why), "the queue cannot be listed");
    Reply::Error(Refusal::Queue)
}

/// Writes one line.
async fn say(out: &mut Out, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    within(out.write_all(&line)).await
}

/// Waits, but not for ever.
async fn within<T>(doing: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, doing)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
