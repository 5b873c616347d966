//! Gives back what comes: what the kernel takes for a datagram that comes and one that goes.

use std::net::{Ipv4Addr, UdpSocket};

use super::socket::Inbox;

/// Serves for ever.
pub fn serve() -> anyhow::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", socket.local_addr()?);
    let mut inbox = Inbox::new();
    loop {
        if inbox.receive(&socket, true) > 0 {
            inbox.send_back(&socket);
        }
    }
}
