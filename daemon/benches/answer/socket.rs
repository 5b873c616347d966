//! Many datagrams by one call of the kernel, so that who asks is not what is measured: queries leave as one piece that
//! the kernel cuts (UDP_SEGMENT), answers are taken by recvmmsg.

#![expect(unsafe_code, reason = "system calls that have no safe names")]

use std::io;
use std::net::UdpSocket;
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
