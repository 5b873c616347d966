//! A server on loopback, asked over a few sockets that many questions share.
//!
//! Nobody on the network can send in such a server's name, so a port for each question (RFC 5452 §9) guards nothing
//! here; what it costs, a full resolver beside a busy mail server would be paid for all day. A *line* is one connected socket
//! with a task that carries: it receives all that has come, lets those who were answered ask on, and
//! then sends all that has gathered, so that one waking of the server serves many questions, and one of ours many answers. Id, name, type and
//! letters' case of a response are those of a question that is open on its line, or it is nobody's.
//!
//! Promises: whoever waits on a line is woken every [`TICK`] at least, and so needs no timer of his own to look at
//! the clock; and hears an error when the line can carry no more. Leaves to others: when to give up, which is by dropping the question.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use tokio::time::{Sleep, sleep_until};

use super::exchange::{connected, received};
use super::lock;
use super::wire::{Query, Reading};
use crate::clock;

/// How often everybody who waits is woken. Patience and deadlines are counted in seconds, or in tests in
/// fractions of one.
pub const TICK: Duration = Duration::from_millis(50);

/// Questions open on one line: as many responses of the largest size (which the kernel reckons at twice that) as its usual
/// receive buffer of 208 KiB has room for.
const MAX_ON_LINE: usize = 64;

/// Questions open on a line from which on those who are ready are let ask on before anything is sent. With fewer it gains
/// nothing, and another thread would be woken for them.
const CROWD: usize = 8;

/// The lines to one server: as many as the questions that are open at a time need.
#[derive(Debug)]
pub struct Lines {
    server: SocketAddr,
    all: Mutex<Vec<Line>>,
}

/// One of them; its task ends with it.
#[derive(Debug)]
struct Line {
    ends: Arc<Ends>,
    carrying: AbortHandle,
}

/// What those who ask and the task that carries share.
#[derive(Debug)]
struct Ends {
    server: SocketAddr,
    socket: UdpSocket,
    load: Mutex<Load>,
}

/// What a line has to carry.
#[derive(Debug, Default)]
struct Load {
    /// By their ids.
    open: BTreeMap<[u8; 2], Open>,
    /// Those not yet sent.
    gathered: Vec<Arc<Query>>,
    /// Wakes the task, when it waits.
    idle: Option<Waker>,
    /// The task is gone.
    closed: bool,
}

/// One question.
#[derive(Debug)]
struct Open {
    query: Arc<Query>,
    waker: Waker,
    heard: Option<io::Result<Reading>>,
}

impl Lines {
    /// Lines to this server, none of them yet.
    pub fn new(server: SocketAddr) -> Self {
        Self {
            server,
            all: Mutex::default(),
        }
    }

    /// Puts a question, and gives what its response says.
    pub fn ask(&self, query: &Arc<Query>) -> impl Future<Output = io::Result<Reading>> {
        let mut waiting: Option<Waiting> = None;
        poll_fn(move |context| match &mut waiting {
            Some(waiting) => waiting.poll(context),
            none => match self.put(query, context.waker()) {
                Ok(put) => {
                    *none = Some(put);
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Err(error)),
            },
        })
    }

    /// Puts a question on the first line that has room for it.
    fn put(&self, query: &Arc<Query>, waker: &Waker) -> io::Result<Waiting> {
        let mut all = lock(&self.all);
        let put = all.iter().find_map(|line| line.ends.put(query, waker));
        if let Some(waiting) = put {
            return Ok(waiting);
        }
        all.retain(|line| !lock(&line.ends.load).closed);
        let line = Line::open(self.server)?;
        let put = line.ends.put(query, waker);
        all.push(line);
        put.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Line {
    /// A line with nothing on it.
    fn open(server: SocketAddr) -> io::Result<Self> {
        let ends = Arc::new(Ends {
            server,
            socket: connected(server)?,
            load: Mutex::default(),
        });
        let carrying = tokio::spawn(Carrier(Arc::clone(&ends)).carry()).abort_handle();
        Ok(Self { ends, carrying })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

impl Ends {
    /// Puts a question on the line, if there is room for it, and no other with its id.
    fn put(self: &Arc<Self>, query: &Arc<Query>, waker: &Waker) -> Option<Waiting> {
        let mut load = lock(&self.load);
        let id = query.id();
        if load.closed || load.open.len() >= MAX_ON_LINE || load.open.contains_key(&id) {
            return None;
        }
        let open = Open {
            query: Arc::clone(query),
            waker: waker.clone(),
            heard: None,
        };
        load.open.insert(id, open);
        load.gathered.push(Arc::clone(query));
        let idle = load.idle.take();
        drop(load);
        if let Some(carrier) = idle {
            carrier.wake();
        }
        Some(Waiting {
            ends: Arc::clone(self),
            id,
            is_over: false,
        })
    }

    /// Takes in all that has come.
    fn receive(&self) {
        loop {
            let heard = received(&self.socket, |octets| self.hear(octets));
            match heard {
                Ok(Some(waker)) => waker.wake(),
                Ok(None) => {
                    tracing::debug!(server = %self.server, "DNS datagram that answers no question of ours");
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.fail(&error),
            }
        }
    }

    /// Finds whose datagram it is; gives whom to wake.
    fn hear(&self, octets: &[u8]) -> Option<Waker> {
        let mut load = lock(&self.load);
        let open = load.open.get_mut(octets.first_chunk()?)?;
        if open.heard.is_some() {
            return None;
        }
        match open.query.read_datagram(octets) {
            Reading::Foreign => None,
            reading => {
                open.heard = Some(Ok(reading));
                Some(open.waker.clone())
            }
        }
    }

    /// Sends all that has gathered.
    async fn send(&self) {
        let gathered = std::mem::take(&mut lock(&self.load).gathered);
        for query in gathered {
            while let Err(error) = self.try_send(query.octets()) {
                if error.kind() == io::ErrorKind::WouldBlock {
                    // An error is heard at the next attempt.
                    let _ = self.socket.writable().await;
                } else {
                    // What was sent before has been refused, or this cannot be sent: nothing is on its way any more.
                    return self.fail(&error);
                }
            }
        }
    }

    /// Sends a datagram, or has it wait for the socket. Not by the library's call, as in [`received`].
    fn try_send(&self, octets: &[u8]) -> io::Result<()> {
        let send = || rustix::net::send(&self.socket, octets, SendFlags::DONTWAIT);
        self.socket
            .try_io(Interest::WRITABLE, || Ok(send().map(drop)?))
    }

    /// Tells everybody who waits that nothing will come.
    fn fail(&self, error: &io::Error) {
        let mut load = lock(&self.load);
        load.gathered.clear();
        for open in load.open.values_mut() {
            open.heard.get_or_insert_with(|| Err(error.kind().into()));
            open.waker.wake_by_ref();
        }
    }

    /// Waits until there is something to do; true if something has come, else there is something to send.
    async fn work(&self, alarm: &mut Alarm) -> bool {
        poll_fn(|context| {
            let has_come = self.socket.poll_recv_ready(context).is_ready();
            let mut load = lock(&self.load);
            if has_come || !load.gathered.is_empty() {
                return Poll::Ready(has_come);
            }
            if alarm.rings(!load.open.is_empty(), context) {
                load.open.values().for_each(|open| open.waker.wake_by_ref());
            }
            load.idle = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// Rings every [`TICK`] while anybody waits: a timer for all of a line.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Whether it has rung; sees to it that it will again, if need be.
    fn rings(&mut self, is_needed: bool, context: &mut Context<'_>) -> bool {
        let mut has_rung = false;
        loop {
            let Some(sleep) = &mut self.0 else {
                if !is_needed {
                    return has_rung;
                }
                let at = clock::instant(clock::mono().plus(TICK));
                self.0 = Some(Box::pin(sleep_until(at)));
                continue;
            };
            // Only what has been looked at rings.
            if sleep.as_mut().poll(context).is_pending() {
                return has_rung;
            }
            self.0 = None;
            has_rung = true;
        }
    }
}

/// A line's task, which closes it when it ends, however it does.
struct Carrier(Arc<Ends>);

impl Carrier {
    /// Carries for as long as the line is there.
    async fn carry(self) {
        let ends = &self.0;
        let mut alarm = Alarm::default();
        loop {
            if ends.work(&mut alarm).await {
                ends.receive();
            }
            if lock(&ends.load).open.len() >= CROWD {
                tokio::task::yield_now().await;
            }
            ends.send().await;
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        lock(&self.0.load).closed = true;
        self.0.fail(&io::ErrorKind::NotConnected.into());
    }
}

/// A question on a line.
struct Waiting {
    ends: Arc<Ends>,
    id: [u8; 2],
    /// It is off the line: what has its id there now is another.
    is_over: bool,
}

impl Waiting {
    /// What was heard, if anything was.
    fn poll(&mut self, context: &Context<'_>) -> Poll<io::Result<Reading>> {
        let mut load = lock(&self.ends.load);
        let heard = match load.open.entry(self.id) {
            Entry::Occupied(mut open) if !self.is_over => match open.get_mut().heard.take() {
                None => {
                    open.get_mut().waker.clone_from(context.waker());
                    return Poll::Pending;
                }
                Some(heard) => {
                    open.remove();
                    heard
                }
            },
            _ => Err(io::ErrorKind::NotConnected.into()),
        };
        self.is_over = true;
        Poll::Ready(heard)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_over {
            lock(&self.ends.load).open.remove(&self.id);
        }
    }
}
