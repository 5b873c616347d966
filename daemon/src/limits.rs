//! Who may come in: the caps on open sessions, over all and for one client.
//!
//! Promises: a [`Pass`] is held by every session for as long as it lives, so the counts are exact
//! whatever ends the session, a panic included; and nobody waits here: a client over a cap gets a
//! 421 at once (RFC 5321 §3.8, §4.2.2) and is free to come again. Before that point the door says
//! that it is under pressure, at nine tenths of the cap, and until no more than three quarters are
//! taken: what follows from it does not change with every client that comes and goes.
//!
//! Left to others: caps inside one session (`proto::smtp::receive::Limits`), caps on deliveries
//! (the runner), and the numbers themselves (the configuration).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tracing::{info, warn};
use vouchsafe_proto::reply::Reply;

/// How many sessions may be open at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionCaps {
    /// Over all clients: each costs memory and two descriptors at most (socket, body file).
    pub total: usize,
    /// For one client: nobody crowds out the rest.
    pub per_client: usize,
    /// Of the total, places that this client may not take.
    pub kept: usize,
}

impl SessionCaps {
    /// Those of a site's own clients, who count only in all.
    pub const fn of_house(total: usize) -> Self {
        Self {
            total,
            per_client: usize::MAX,
            kept: 0,
        }
    }

    /// Those of a stranger, to whom the last twentieth is not open.
    pub const fn of_stranger(total: usize, per_client: usize) -> Self {
        Self {
            total,
            per_client,
            kept: total / 20,
        }
    }

    /// So many are pressure.
    const fn pressed_at(self) -> usize {
        self.total.saturating_sub(self.total / 10)
    }

    /// So few are none any more.
    const fn relieved_at(self) -> usize {
        self.total.saturating_sub(self.total.div_ceil(4))
    }
}

/// Why a client does not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Shed {
    /// As many sessions as there may be.
    #[error("too many sessions")]
    Total,
    /// As many as this client may have.
    #[error("too many sessions from this client")]
    PerClient,
}

impl Shed {
    /// Which limit it is, for the figures.
    pub const fn limit(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::PerClient => "client",
        }
    }

    /// What the client is told before the connection is closed.
    pub fn reply(self) -> Reply {
        match self {
            Self::Total => Reply::new(421, (4, 3, 2), "too many sessions, try again later"),
            Self::PerClient => Reply::new(421, (4, 7, 0), "too many sessions from your address"),
        }
    }
}

/// The door through which every session comes in; clones are the same door.
#[derive(Clone, Debug, Default)]
pub struct Door(Arc<Inside>);

/// What all clones and passes of one door share.
#[derive(Debug, Default)]
struct Inside {
    /// Who is in.
    count: Mutex<Count>,
    /// Told whenever somebody leaves.
    left: Notify,
    /// True while the house is nearly full.
    pressure: watch::Sender<bool>,
}

/// Open sessions.
#[derive(Debug, Default)]
struct Count {
    /// Over all.
    total: usize,
    /// By client; a client without sessions has no entry.
    clients: HashMap<IpAddr, usize>,
    /// How few there must be before the pressure is over, while there is any.
    relief: Option<usize>,
}

/// The right to be a session; leaving is dropping it.
#[derive(Debug)]
#[must_use = "a pass that is dropped counts no session"]
pub struct Pass {
    /// Where it counts.
    inside: Arc<Inside>,
    /// For whom.
    client: IpAddr,
}

impl Door {
    /// Lets `client` in, or says why not.
    pub fn enter(&self, client: IpAddr, caps: SessionCaps) -> Result<Pass, Shed> {
        let pass = self.count_in(client, caps)?;
        self.0.feel(caps);
        Ok(pass)
    }

    /// Counts a client in, if there is room.
    fn count_in(&self, client: IpAddr, caps: SessionCaps) -> Result<Pass, Shed> {
        let client = counted_as(client);
        let mut count = self.0.count();
        if count.total >= caps.total.saturating_sub(caps.kept) {
            return Err(Shed::Total);
        }
        let of_client = count.clients.get(&client).copied().unwrap_or(0);
        if of_client >= caps.per_client {
            return Err(Shed::PerClient);
        }
        count.total = count.total.saturating_add(1);
        count.clients.insert(client, of_client.saturating_add(1));
        drop(count);
        Ok(Pass {
            inside: Arc::clone(&self.0),
            client,
        })
    }

    /// Sessions that are open now.
    pub fn open(&self) -> usize {
        self.0.count().total
    }

    /// Whether the house is nearly full, now and from now on.
    pub fn pressure(&self) -> watch::Receiver<bool> {
        self.0.pressure.subscribe()
    }

    /// Resolves when a session has ended, that is, when its descriptors are free again.
    pub async fn left(&self) {
        self.0.left.notified().await;
    }
}

impl Inside {
    /// The counts. A panic elsewhere cannot leave them half changed, so poison means nothing.
    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody has come in: says so if the house is nearly full now.
    fn feel(&self, caps: SessionCaps) {
        let mut count = self.count();
        if count.relief.is_none() && count.total >= caps.pressed_at() {
            count.relief = Some(caps.relieved_at());
            self.pressure.send_replace(true);
            warn!(
                sessions = count.total,
                "nearly full: idle sessions of strangers make room"
            );
        }
    }

    /// Somebody has left: says so if the house is no longer nearly full.
    fn recover(&self, count: &mut Count) {
        if count.relief.is_some_and(|relief| count.total <= relief) {
            count.relief = None;
            self.pressure.send_replace(false);
            info!(sessions = count.total, "no longer nearly full");
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut count = self.inside.count();
        count.total = count.total.saturating_sub(1);
        if let Some(of_client) = count.clients.get_mut(&self.client) {
            *of_client = of_client.saturating_sub(1);
            if *of_client == 0 {
                count.clients.remove(&self.client);
            }
        }
        self.inside.recover(&mut count);
        drop(count);
        self.inside.left.notify_waiters();
    }
}

/// As whom a client counts: an IPv6 host can take any address of its /64 whenever it likes.
pub fn counted_as(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            const NETWORK: u128 = !0 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn caps_hold_and_leaving_makes_room() {
        let door = Door::default();
        let caps = SessionCaps::of_stranger(3, 2);
        let first = door.enter(ip("192.0.2.1"), caps).unwrap();
        let _second = door.enter(ip("::ffff:192.0.2.1"), caps).unwrap();
        assert_eq!(
            door.enter(ip("192.0.2.1"), caps).unwrap_err(),
            Shed::PerClient
        );
        let _third = door.enter(ip("192.0.2.2"), caps).unwrap();
        assert_eq!(door.enter(ip("192.0.2.3"), caps).unwrap_err(), Shed::Total);
        assert_eq!(door.open(), 3);
        drop(first);
        let _fourth = door.enter(ip("192.0.2.1"), caps).unwrap();
    }

    #[test]
    fn pressure_comes_and_goes_once() {
        let door = Door::default();
        let caps = SessionCaps::of_house(100);
        let mut pressure = door.pressure();
        let mut passes: Vec<_> = (0..89)
            .map(|_| door.enter(ip("192.0.2.1"), caps).unwrap())
            .collect();
        assert!(!pressure.has_changed().unwrap());
        let stranger = SessionCaps::of_stranger(100, 100);
        passes.push(door.enter(ip("192.0.2.1"), stranger).unwrap());
        assert!(*pressure.borrow_and_update());
        // Around the mark nothing flaps.
        for _ in 0..20 {
            passes.pop();
            passes.push(door.enter(ip("192.0.2.1"), caps).unwrap());
        }
        passes.truncate(76);
        assert!(!pressure.has_changed().unwrap());
        passes.truncate(75);
        assert!(pressure.has_changed().unwrap() && !*pressure.borrow_and_update());
        passes.push(door.enter(ip("192.0.2.1"), caps).unwrap());
        assert!(!pressure.has_changed().unwrap());
    }

    #[test]
    fn the_last_places_are_not_for_strangers() {
        let door = Door::default();
        let stranger = SessionCaps::of_stranger(20, 20);
        let client = ip("192.0.2.1");
        let strangers: Vec<_> = (0..19)
            .map(|_| door.enter(client, stranger).unwrap())
            .collect();
        let refused = door.enter(client, stranger);
        assert_eq!(refused.unwrap_err(), Shed::Total);
        let _ours = door.enter(client, SessionCaps::of_house(20)).unwrap();
        drop(strangers);
        // A small house has no place to keep.
        assert_eq!(SessionCaps::of_stranger(19, 1).kept, 0);
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let door = Door::default();
        let caps = SessionCaps::of_stranger(9, 1);
        let _one = door.enter(ip("2001:db8::1"), caps).unwrap();
        assert_eq!(
            door.enter(ip("2001:db8::ffff"), caps).unwrap_err(),
            Shed::PerClient
        );
        let _other = door.enter(ip("2001:db8:0:1::1"), caps).unwrap();
    }

    #[test]
    fn a_client_that_has_left_is_forgotten() {
        let door = Door::default();
        let caps = SessionCaps::of_stranger(1, 1);
        for last in 1..=100u8 {
            drop(door.enter(IpAddr::from([192, 0, 2, last]), caps));
        }
        assert_eq!((door.open(), door.0.count().clients.len()), (0, 0));
    }
}
