//! Many datagrams by one call of the kernel, so that who asks is not what is measured: queries leave as one piece that
//! the kernel cuts (`UDP_SEGMENT`), answers are taken by recvmmsg.

#![expect(unsafe_code, reason = "system calls that have no safe names")]

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;

/// Datagrams of one call.
pub const BATCH: usize = 64;
/// Octets of an answer at most.
const MOST: usize = 512;

/// Memory for answers.
pub struct Inbox {
    octets: Vec<[u8; MOST]>,
    names: Vec<libc::sockaddr_in>,
    parts: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl Inbox {
    /// For a batch.
    pub fn new() -> Self {
        Self {
            octets: vec![[0; MOST]; BATCH],
            // SAFETY: numbers, for all of which zero is a value.
            names: vec![unsafe { std::mem::zeroed() }; BATCH],
            parts: Vec::with_capacity(BATCH),
            headers: Vec::with_capacity(BATCH),
        }
    }

    /// Takes what is there, and gives how many; with `waits`, waits for the first.
    pub fn receive(&mut self, socket: &UdpSocket, waits: bool) -> usize {
        self.parts.clear();
        self.headers.clear();
        for octets in &mut self.octets {
            self.parts.push(libc::iovec {
                iov_base: octets.as_mut_ptr().cast(),
                iov_len: octets.len(),
            });
        }
        for (part, name) in self.parts.iter_mut().zip(&mut self.names) {
            // SAFETY: numbers and pointers, for all of which zero is a value.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = 16;
            self.headers.push(header);
        }
        let flags = if waits {
            libc::MSG_WAITFORONE
        } else {
            libc::MSG_DONTWAIT
        };
        // SAFETY: there are so many headers, each with pointers into memory of the size that it says.
        let count = unsafe {
            let headers = self.headers.as_mut_ptr();
            let all = libc::c_uint::try_from(BATCH).unwrap_or_default();
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers,
                all,
                flags,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).unwrap_or_default();
        self.headers.truncate(count);
        count
    }

    /// What has come.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let all = self.headers.iter().zip(&self.octets);
        all.map(|(header, octets)| octets.get(..header.msg_len as usize).unwrap_or_default())
    }

    /// Sends it all back to where it came from.
    pub fn send_back(&mut self, socket: &UdpSocket) {
        for (part, header) in self.parts.iter_mut().zip(&self.headers) {
            part.iov_len = header.msg_len as usize;
        }
        let count = libc::c_uint::try_from(self.headers.len()).unwrap_or_default();
        // SAFETY: there are so many headers, each with pointers into memory of the size that it says.
        unsafe { libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), count, 0) };
    }
}

/// Sends datagrams of one length that lie one behind the other.
pub fn send(socket: &UdpSocket, octets: &mut [u8], each: usize) -> io::Result<()> {
    #[repr(C, align(8))]
    struct Control([u8; 24]);
    let mut part = libc::iovec {
        iov_base: octets.as_mut_ptr().cast(),
        iov_len: octets.len(),
    };
    let mut control = Control([0; 24]);
    let each = u16::try_from(each).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: numbers and pointers, for all of which zero is a value; the control has room for a head and a number; the
    // kernel reads only, and nothing once the call has ended.
    let done = unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = (&raw mut control.0).cast();
        header.msg_controllen = libc::CMSG_SPACE(2) as usize;
        let head = libc::CMSG_FIRSTHDR(&raw const header);
        (*head).cmsg_level = libc::SOL_UDP;
        (*head).cmsg_type = libc::UDP_SEGMENT;
        (*head).cmsg_len = libc::CMSG_LEN(2) as usize;
        libc::CMSG_DATA(head).cast::<u16>().write_unaligned(each);
        libc::sendmsg(socket.as_raw_fd(), &raw const header, 0)
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The address of an asker, of many.
pub fn asker(number: usize) -> Ipv4Addr {
    let host = u8::try_from(number).unwrap_or_default();
    Ipv4Addr::new(127, 0, 1, host.saturating_add(1))
}

/// Sends datagrams of one length that lie one behind the other, each from another address of loopback, so that whoever
/// answers has so many askers.
pub fn send_from_many(
    socket: &UdpSocket,
    octets: &mut [u8],
    each: usize,
    to: SocketAddrV4,
    first: usize,
    askers: usize,
) -> io::Result<()> {
    #[repr(C, align(8))]
    #[derive(Clone, Copy)]
    struct Control([u8; 32]);
    // SAFETY: numbers, for all of which zero is a value.
    let mut name: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    name.sin_family = libc::sa_family_t::try_from(libc::AF_INET).unwrap_or_default();
    name.sin_port = to.port().to_be();
    name.sin_addr.s_addr = to.ip().to_bits().to_be();
    let mut controls = [Control([0; 32]); BATCH];
    let parts = octets.chunks_exact_mut(each).map(|octets| libc::iovec {
        iov_base: octets.as_mut_ptr().cast(),
        iov_len: octets.len(),
    });
    let mut parts: Vec<_> = parts.collect();
    let mut headers = Vec::with_capacity(BATCH);
    for (number, (part, control)) in parts.iter_mut().zip(&mut controls).enumerate() {
        let from = asker((first + number) % askers);
        // SAFETY: numbers and pointers, for all of which zero is a value; the control has room for a head and the word
        // from which address to send.
        headers.push(unsafe {
            let mut header: libc::mmsghdr = std::mem::zeroed();
            header.msg_hdr.msg_name = (&raw mut name).cast();
            header.msg_hdr.msg_namelen = 16;
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = (&raw mut control.0).cast();
            header.msg_hdr.msg_controllen = libc::CMSG_SPACE(12) as usize;
            let head = libc::CMSG_FIRSTHDR(&raw const header.msg_hdr);
            (*head).cmsg_level = libc::IPPROTO_IP;
            (*head).cmsg_type = libc::IP_PKTINFO;
            (*head).cmsg_len = libc::CMSG_LEN(12) as usize;
            let mut word: libc::in_pktinfo = std::mem::zeroed();
            word.ipi_spec_dst.s_addr = from.to_bits().to_be();
            libc::CMSG_DATA(head)
                .cast::<libc::in_pktinfo>()
                .write_unaligned(word);
            header
        });
    }
    let count = libc::c_uint::try_from(headers.len()).unwrap_or_default();
    // SAFETY: there are so many headers, each with pointers into memory of the size that it says.
    let done = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, 0) };
    if usize::try_from(done).is_ok_and(|done| done == headers.len()) {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}
