//! Many datagrams by one call of the kernel: recvmmsg and sendmmsg, which have no safe names.
//!
//! Promises: what is said of a datagram (its octets, its sender) is what the kernel wrote, within the memory that it was
//! given; a response leaves from the address to which its query came. Left to others: sockets, and what is in datagrams.

#![allow(
    unsafe_code,
    reason = "two system calls, and their structures, whose zero is a value"
)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::answering::{BATCH, Responses};

/// Octets of a query at most: a name, and options with their padding. What is longer is cut, and then malformed.
const MOST: usize = 1232;
/// Octets of a socket's address, of IPv6.
const NAME: u8 = 28;
/// Octets of the word to which address a datagram came, with its head.
const CONTROL: u8 = 64;

/// Memory for a batch of datagrams, and what came of them.
pub struct Exchange {
    octets: Vec<[u8; MOST]>,
    names: Vec<Name>,
    controls: Vec<Control>,
    came: Vec<Came>,
    // Pointers into the three above while a call lasts; filled anew for each.
    parts: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

/// An address as the kernel has it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Name([u8; NAME as usize]);

/// What the kernel says of a datagram besides.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL as usize]);

/// A datagram that came.
#[derive(Clone, Copy)]
struct Came {
    octets: usize,
    name: u32,
    control: usize,
    from: Option<SocketAddr>,
}

impl Exchange {
    /// For batches of datagrams.
    pub fn new() -> Self {
        Self {
            octets: vec![[0; MOST]; BATCH],
            names: vec![Name([0; NAME as usize]); BATCH],
            controls: vec![Control([0; CONTROL as usize]); BATCH],
            came: Vec::with_capacity(BATCH),
            parts: Vec::with_capacity(BATCH),
            headers: Vec::with_capacity(BATCH),
        }
    }

    /// Waits for a datagram, and takes what else is there.
    ///
    /// # Errors
    /// None came for as long as the socket waits, or the kernel's.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        // Under little load as many headers are made as are likely to be filled.
        let most = self.came.len().saturating_mul(2).clamp(8, BATCH);
        self.came.clear();
        self.parts.clear();
        self.headers.clear();
        for octets in self.octets.iter_mut().take(most) {
            self.parts.push(part(octets.as_mut_ptr(), octets.len()));
        }
        let parts = self.parts.iter_mut();
        let places = self.names.iter_mut().zip(&mut self.controls);
        for (part, (name, control)) in parts.zip(places) {
            let mut header = header(part, name, NAME.into());
            header.msg_hdr.msg_control = (&raw mut control.0).cast();
            header.msg_hdr.msg_controllen = CONTROL.into();
            self.headers.push(header);
        }
        let count = libc::c_uint::try_from(self.headers.len()).unwrap_or_default();
        // SAFETY: there are `count` headers, each with pointers into memory of the sizes that it says, which nobody
        // else uses before the call has ended.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count,
                libc::MSG_WAITFORONE,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        let places = self.names.iter().zip(&mut self.controls);
        for (header, (name, control)) in self.headers.iter().zip(places).take(count) {
            let length = header.msg_hdr.msg_controllen;
            any_interface(control);
            self.came.push(Came {
                octets: usize::try_from(header.msg_len).unwrap_or_default(),
                name: header.msg_hdr.msg_namelen,
                control: length,
                from: address(name),
            });
        }
        Ok(())
    }

    /// What came: octets and sender.
    pub fn datagrams(&self) -> impl Iterator<Item = (&[u8], IpAddr)> {
        let octets = self.came.iter().zip(&self.octets);
        octets.map(|(came, octets)| {
            // Of a family that there is not: nobody, who is not answered either.
            let from = came
                .from
                .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.ip());
            (octets.get(..came.octets).unwrap_or_default(), from)
        })
    }

    /// Sends each response to where its datagram came from; one that cannot be sent is lost, as datagrams are.
    pub fn send(&mut self, socket: BorrowedFd<'_>, responses: &Responses) {
        self.parts.clear();
        self.headers.clear();
        for place in 0..self.came.len() {
            let octets = responses.get(place);
            // The kernel reads it only.
            self.parts
                .push(part(octets.as_ptr().cast_mut(), octets.len()));
        }
        let parts = self.parts.iter_mut();
        let places = self.names.iter_mut().zip(&mut self.controls);
        for (part, (came, (name, control))) in parts.zip(self.came.iter().zip(places)) {
            if part.iov_len == 0 || came.from.is_none() {
                continue;
            }
            let mut header = header(part, name, came.name);
            if came.control > 0 {
                header.msg_hdr.msg_control = (&raw mut control.0).cast();
                header.msg_hdr.msg_controllen = came.control;
            }
            self.headers.push(header);
        }
        let mut sent = 0;
        while let Some(rest) = self.headers.get_mut(sent..).filter(|rest| !rest.is_empty()) {
            let count = libc::c_uint::try_from(rest.len()).unwrap_or_default();
            // SAFETY: there are `count` headers, each with pointers into memory of the sizes that it says; what the
            // responses are borrowed from lives on, and is not written to.
            let done = unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), count, 0) };
            // What cannot be sent is passed over.
            sent = sent.saturating_add(usize::try_from(done).unwrap_or_default().max(1));
        }
    }
}

/// A piece of memory.
const fn part(octets: *mut u8, length: usize) -> libc::iovec {
    libc::iovec {
        iov_base: octets.cast(),
        iov_len: length,
    }
}

/// The header of a datagram in this memory.
fn header(part: &mut libc::iovec, name: &mut Name, length: u32) -> libc::mmsghdr {
    // SAFETY: numbers and pointers, for all of which zero is a value.
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_iov = part;
    header.msg_hdr.msg_iovlen = 1;
    header.msg_hdr.msg_name = (&raw mut name.0).cast();
    header.msg_hdr.msg_namelen = length;
    header
}

/// Asks the kernel to say to which address each datagram came: at a socket of all addresses an answer must leave from
/// the one that was asked.
pub fn tell_address(socket: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or_default();
    let (level, name) = if is_ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    } else {
        (libc::IPPROTO_IP, libc::IP_PKTINFO)
    };
    // SAFETY: the value is a number of the size that is said, and is read only.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const on).cast(),
            size,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Takes the interface out of the word to which address a datagram came: the answer goes by the routes, which may
/// lead elsewhere.
fn any_interface(control: &mut Control) {
    const HEAD: usize = size_of::<libc::cmsghdr>();
    const LEVEL: usize = std::mem::offset_of!(libc::cmsghdr, cmsg_level);
    let is_ipv6 = control
        .0
        .get(LEVEL..)
        .and_then(|octets| octets.first_chunk())
        .is_some_and(|level| libc::c_int::from_ne_bytes(*level) == libc::IPPROTO_IPV6);
    // in6_pktinfo has the interface behind its address, in_pktinfo before it.
    let at = if is_ipv6 {
        HEAD.saturating_add(16)
    } else {
        HEAD
    };
    if let Some(octets) = control.0.get_mut(at..at.saturating_add(4)) {
        octets.fill(0);
    }
}

/// What an address of the kernel's is.
fn address(name: &Name) -> Option<SocketAddr> {
    let [f0, f1, p0, p1, rest @ ..] = &name.0;
    let port = u16::from_be_bytes([*p0, *p1]);
    match libc::c_int::from(u16::from_ne_bytes([*f0, *f1])) {
        libc::AF_INET => {
            let address: [u8; 4] = *rest.first_chunk()?;
            Some((Ipv4Addr::from(address), port).into())
        }
        libc::AF_INET6 => {
            let (_flow, rest) = rest.split_first_chunk::<4>()?;
            let (address, scope) = rest.split_first_chunk::<16>()?;
            let scope = u32::from_ne_bytes(*scope.first_chunk()?);
            Some(SocketAddrV6::new(Ipv6Addr::from(*address), port, 0, scope).into())
        }
        _ => None,
    }
}
