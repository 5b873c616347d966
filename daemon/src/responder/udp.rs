//! Queries over UDP: a thread for each core at each address.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use vouchsafe_proto::residue::wire::Way;

use super::answering::{Desk, Responses};
use super::datagrams::{Exchange, never_fragment, tell_address};

/// Octets that wait in the kernel while a batch is answered.
const WAITING: usize = 1 << 20;

/// A socket at this address, which others of ours share: the kernel gives each its part of the askers.
pub fn open(address: SocketAddr, patience: Duration) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    if address.ip().is_unspecified() {
        tell_address(socket.as_fd(), address.is_ipv6())?;
    }
    never_fragment(socket.as_fd(), address.is_ipv6());
    sockopt::set_socket_recv_buffer_size(&socket, WAITING)?;
    sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(patience))?;
    bind(&socket, &address)?;
    Ok(socket)
}

/// Answers what comes until it is to stop.
pub fn serve(socket: &OwnedFd, desk: &Arc<Desk>, stop: &AtomicBool) {
    let mut exchange = Exchange::new(socket.as_fd());
    let mut responses = Responses::default();
    while !stop.load(Ordering::Relaxed) {
        // None for a while, or an interrupted call: there is nothing else that a socket without a peer says.
        if exchange.receive(socket.as_fd()).is_err() {
            continue;
        }
        desk.answer(Way::Datagram, exchange.datagrams(), &mut responses);
        exchange.send(socket.as_fd(), &responses);
    }
}
