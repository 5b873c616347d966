//! Many datagrams by one call of the kernel: recvmmsg and sendmmsg, which have no safe names.
//!
//! Promises: what is said of a datagram (its octets, its sender) is what the kernel wrote, within the memory that it was
//! given; a response leaves from the address to which its query came. Left to others: sockets, and what is in datagrams.

#![allow(
    unsafe_code,
    reason = "three system calls, and their structures, whose zero is a value"
)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::answering::{BATCH, Responses};

/// Octets of a query at most: a name, and options with their padding. What is longer is cut, and then malformed.
const MOST: usize = 1232;
/// Octets that leave as one piece at most; a datagram could have twice as many.
const MOST_CUT: usize = 32 << 10;
/// Datagrams that one piece is cut into at most: a kernel before 6.9 refuses more.
const MOST_PIECES: usize = 64;
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
    /// Places of the responses that leave, those for one asker beside each other; and how many of them each header has.
    going: Vec<(u64, usize)>,
    runs: Vec<usize>,
    /// Whether the kernel is given several responses as one piece, to be cut.
    is_cut: bool,
    /// The end of those that could not leave as one piece, and whether that was said for good.
    singly: usize,
    is_whole: bool,
}

/// An address as the kernel has it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Name([u8; NAME as usize]);

impl Name {
    /// A number that is the same for the same address and port, and another for most others.
    fn summary(&self) -> u64 {
        let (words, _) = self.0.as_chunks::<4>();
        let words = words
            .iter()
            .map(|word| u64::from(u32::from_ne_bytes(*word)));
        words.fold(0, |sum, word| sum.rotate_left(29) ^ word)
    }
}

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
    /// For batches of datagrams of this socket.
    pub fn new(socket: BorrowedFd<'_>) -> Self {
        Self {
            octets: vec![[0; MOST]; BATCH],
            names: vec![Name([0; NAME as usize]); BATCH],
            controls: vec![Control([0; CONTROL as usize]); BATCH],
            came: Vec::with_capacity(BATCH),
            parts: Vec::with_capacity(BATCH),
            headers: Vec::with_capacity(BATCH),
            going: Vec::with_capacity(BATCH),
            runs: Vec::with_capacity(BATCH),
            // Said of nothing, to hear whether it is known: a kernel before 4.18 would send the piece as one datagram.
            is_cut: set(socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok(),
            singly: 0,
            is_whole: false,
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
            let mut header = header(std::slice::from_mut(part), name, NAME.into());
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
        self.going.clear();
        for (place, came) in self.came.iter().enumerate() {
            if !responses.get(place).is_empty() && came.from.is_some() {
                let asker = self.names.get(place).map_or(0, Name::summary);
                self.going.push((asker, place));
            }
        }
        if self.is_cut {
            self.going.sort_unstable();
        }
        for (_, place) in &self.going {
            // The kernel reads it only.
            let octets = responses.get(*place);
            self.parts
                .push(part(octets.as_ptr().cast_mut(), octets.len()));
        }
        let mut sent = 0;
        self.singly = 0;
        while sent < self.going.len() {
            sent = sent.saturating_add(self.send_from(socket, sent));
        }
    }

    /// Sends what is left from this one on, and gives how many have left or are passed over.
    fn send_from(&mut self, socket: BorrowedFd<'_>, first: usize) -> usize {
        self.headers.clear();
        self.runs.clear();
        let mut at = first;
        while let Some(&(_, place)) = self.going.get(at) {
            let run = if self.is_cut && at >= self.singly {
                self.run(at)
            } else {
                1
            };
            let end = at.saturating_add(run);
            let places = self.names.get_mut(place).zip(self.controls.get_mut(place));
            let (Some(parts), Some((name, control)), Some(came)) =
                (self.parts.get_mut(at..end), places, self.came.get(place))
            else {
                break;
            };
            let length = match &*parts {
                [first, _, ..] => cut_at(control, came.control, first.iov_len),
                _ => came.control,
            };
            let mut header = header(parts, name, came.name);
            if length > 0 {
                header.msg_hdr.msg_control = (&raw mut control.0).cast();
                header.msg_hdr.msg_controllen = length;
            }
            self.headers.push(header);
            self.runs.push(run);
            at = end;
        }
        let count = libc::c_uint::try_from(self.headers.len()).unwrap_or_default();
        // SAFETY: there are `count` headers, each with pointers into memory of the sizes that it says; what the
        // responses are borrowed from lives on, and is not written to.
        let done =
            unsafe { libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), count, 0) };
        let done = usize::try_from(done).unwrap_or_default();
        let run = self.runs.first().copied().unwrap_or(1);
        if done == 0 && run > 1 {
            // Perhaps the asker cannot be reached, perhaps nothing is cut on this way.
            self.is_whole = is_never(&io::Error::last_os_error());
            self.singly = first.saturating_add(run);
            return 0;
        }
        if done > 0 && first < self.singly && self.is_whole {
            // It is the way: so one by one from now on. Else anybody with a port that cannot be answered could bring that about.
            self.is_cut = false;
        }
        // What cannot be sent is passed over.
        let passed = self.runs.iter().take(done.max(1));
        passed
            .fold(0, |sum: usize, run| sum.saturating_add(*run))
            .max(1)
    }

    /// How many responses from this one on may leave as one piece: those of one length, for one asker, from one address.
    fn run(&self, first: usize) -> usize {
        let of = |at: usize| {
            let (_, place) = *self.going.get(at)?;
            let came = self.came.get(place)?;
            let to = self.controls.get(place)?.0.get(..came.control)?;
            Some((self.parts.get(at)?.iov_len, came.from, to))
        };
        let Some(one) = of(first) else {
            return 1;
        };
        let most = (MOST_CUT / one.0.max(1)).clamp(1, MOST_PIECES);
        let others = first.saturating_add(1)..first.saturating_add(most);
        let alike = others.take_while(|at| of(*at) == Some(one)).count();
        alike.saturating_add(1)
    }
}

/// Whether the kernel says so of a way, and not of the moment.
fn is_never(error: &io::Error) -> bool {
    let said = error.raw_os_error();
    matches!(
        said,
        Some(libc::EINVAL | libc::EIO | libc::EOPNOTSUPP | libc::EMSGSIZE)
    )
}

/// Writes behind what a control says that a piece is cut at so many octets, and gives its length then.
fn cut_at(control: &mut Control, length: usize, octets: usize) -> usize {
    let start = length.next_multiple_of(size_of::<usize>());
    let head = size_of::<libc::cmsghdr>();
    let mut cut = [0; 24];
    let said = head.saturating_add(size_of::<u16>());
    let fields = said
        .to_ne_bytes()
        .into_iter()
        .chain(libc::SOL_UDP.to_ne_bytes())
        .chain(libc::UDP_SEGMENT.to_ne_bytes())
        .chain(u16::try_from(octets).unwrap_or_default().to_ne_bytes());
    for (place, octet) in cut.iter_mut().zip(fields) {
        *place = octet;
    }
    let end = start.saturating_add(cut.len());
    match control.0.get_mut(start..end) {
        Some(place) => {
            place.copy_from_slice(&cut);
            end
        }
        None => length,
    }
}

/// A piece of memory.
const fn part(octets: *mut u8, length: usize) -> libc::iovec {
    libc::iovec {
        iov_base: octets.cast(),
        iov_len: length,
    }
}

/// The header of a datagram in these pieces of memory.
fn header(parts: &mut [libc::iovec], name: &mut Name, length: u32) -> libc::mmsghdr {
    // SAFETY: numbers and pointers, for all of which zero is a value.
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_iov = parts.as_mut_ptr();
    header.msg_hdr.msg_iovlen = parts.len();
    header.msg_hdr.msg_name = (&raw mut name.0).cast();
    header.msg_hdr.msg_namelen = length;
    header
}

/// Asks the kernel to say to which address each datagram came: at a socket of all addresses an answer must leave from
/// the one that was asked.
pub fn tell_address(socket: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<()> {
    let (level, name) = if is_ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    } else {
        (libc::IPPROTO_IP, libc::IP_PKTINFO)
    };
    set(socket, level, name, 1)
}

/// Has the kernel send each response whole or not at all, whatever it hears of the way (RFC 9715 §3.1): a piece of one
/// could be forged, and what is never in pieces needs no number to put them together by. Responses are shorter than the
/// least that a way of IPv6 takes; a kernel that cannot do it sends as it likes.
pub fn never_fragment(socket: BorrowedFd<'_>, is_ipv6: bool) {
    let (level, name, value) = if is_ipv6 {
        (
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_PROBE,
        )
    } else {
        (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_PROBE,
        )
    };
    let _ = set(socket, level, name, value);
}

/// Sets an option of a socket.
fn set(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or_default();
    // SAFETY: the value is a number of the size that is said, and is read only.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
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

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd as _;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use vouchsafe_proto::residue::wire::Way;
    use vouchsafe_spool::fs::LocalDisk;
    use vouchsafe_spool::ledger::Ledger;

    use super::super::Desk;
    use super::super::tests::CONFIG;
    use super::*;

    #[test]
    fn one_who_cannot_be_answered_does_not_cost_others_the_single_piece() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, _) = Ledger::open(Arc::new(LocalDisk::new(folder.path().to_owned()))).unwrap();
        let config = crate::config::parse(CONFIG, Path::new("v.toml"));
        let desk = Desk::new(Arc::new(ledger), &config.unwrap().config);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut exchange = Exchange::new(socket.as_fd());
        assert!(exchange.is_cut, "kernels since 4.18 can");
        let asker = || {
            let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
            asker
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            asker
        };
        let (nobody, somebody) = (asker(), asker());
        for asker in [&nobody, &somebody, &nobody, &somebody] {
            // A header without a question.
            let query = [0, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            asker.send_to(&query, socket.local_addr().unwrap()).unwrap();
        }
        exchange.receive(socket.as_fd()).unwrap();
        // To port 0 the kernel sends nothing; it says the same (EINVAL) where it cannot cut.
        let port = nobody.local_addr().unwrap().port().to_be_bytes();
        for name in &mut exchange.names {
            if name.0[2..4] == port {
                name.0[2..4].fill(0);
            }
        }
        let mut responses = Responses::default();
        desk.answer(Way::Datagram, exchange.datagrams(), &mut responses);
        exchange.send(socket.as_fd(), &responses);
        for _ in 0..2 {
            let mut response = [0; 64];
            assert_eq!(somebody.recv(&mut response).unwrap(), 12);
            assert_eq!(response[..2], [0, 7]);
        }
        assert!(exchange.is_cut);
    }
}
