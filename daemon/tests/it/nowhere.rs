//! A DNS in which every name exists and has no records: for tests that are about something else.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// The server, a thread on a UDP port; it ends with this value.
pub struct Nowhere {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Nowhere {
    /// Starts one on a port that is free.
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut packet = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut packet) {
                if told.load(Ordering::Acquire) {
                    break;
                }
                if let Some(answer) = nodata(&packet[..length]) {
                    let _ = socket.send_to(&answer, client);
                }
            }
        });
        Self {
            address,
            over,
            thread: Some(thread),
        }
    }

    /// Where it answers.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Nowhere {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // Any datagram wakes it.
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"x", self.address).unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The question sent back without an answer (RFC 1035 §4.1.1), the header and it alone.
fn nodata(query: &[u8]) -> Option<Vec<u8>> {
    let name = query.get(12..)?;
    let mut at = 0;
    while *name.get(at)? != 0 {
        at += usize::from(name[at]) + 1;
    }
    let mut answer = query.get(..12 + at + 5)?.to_vec();
    // QR and AA; RA and no error; one question and nothing else.
    answer[2] = 0x84 | (query[2] & 1);
    answer[3] = 0x80;
    answer[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    Some(answer)
}
