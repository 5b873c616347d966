//! The DNS: proto's questions, answered by real servers.
//!
//! [`Resolver`] is the seam. Whoever asks (the verdict, the perimeter, MX routing) holds an
//! `Arc<dyn Resolver>`; what answers is [`Stub`], a stub resolver with a cache of its own, or a
//! world made up by a test. Every question is answered within a deadline, with an answer that is
//! definite or with trouble; the two are never merged (DRAFT-GAPS 7).
//!
//! Map: [`Stub`] asks several servers and follows aliases · [`Swappable`] one whose servers a reload can change · `servers` which, and in which order ·
//! `exchange` one question to one server over UDP and TCP · `line` many to one on loopback · `wire` queries and their responses · `interpret` what
//! a response means · `turns` whose question is asked next · `cache` what may still be used · `filed` how both find a question · [`authority`] a small authoritative server for the demo and
//! the tests.
//!
//! Not here: recursion and validation of signatures. Both are a full resolver's work, which a
//! mail server has beside it anyway; its AD bit is believed if it is on loopback.

pub mod authority;
mod cache;
mod exchange;
mod filed;
mod interpret;
mod line;
mod servers;
mod stub;
mod swappable;
#[cfg(test)]
mod tests;
mod turns;
mod wire;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use vouchsafe_proto::dns::{Answer, Question};

pub use cache::content_weight;
pub use servers::{ServersError, system_servers};
pub use stub::{Settings, Stub};
pub use swappable::Swappable;
pub use turns::{MAX_OPEN, Turn};
pub use wire::Whose;

/// An answer on its way.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// A turn that is waited for.
pub type Turning<'a> = Pin<Box<dyn Future<Output = Option<Turn>> + Send + 'a>>;

/// Whoever answers questions to the DNS.
pub trait Resolver: Send + Sync + 'static {
    /// Asks. Ends within a deadline of the resolver's own; dropping it gives up waiting.
    fn ask(&self, question: Question) -> Asking<'_>;

    /// Asks on account of a client, which may have a share of the questions and no more. A resolver
    /// that bounds nothing has no shares to give.
    fn ask_for(&self, client: IpAddr, question: Question) -> Asking<'_> {
        let _ = client;
        self.ask(question)
    }

    /// A turn for a question that is put to others, as one of this resolver's: no more are open together than it allows
    /// ([`MAX_OPEN`]). One that bounds nothing has none to give.
    fn turn_for(&self, client: Option<IpAddr>) -> Turning<'_> {
        let _ = client;
        Box::pin(std::future::ready(None))
    }
}

/// The value, whoever panicked while holding it: each change is whole in itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
