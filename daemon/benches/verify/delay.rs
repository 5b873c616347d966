//! A name server far away: passes datagrams on at once, and each answer back after a while.
//!
//! Three threads and one socket towards the server, which tells its questions apart by id. An
//! answer costs four system calls here, whatever the delay, so that this is never what is measured.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Who asked under which id, by the id that the server sees.
type Asked = Mutex<Vec<Option<(SocketAddr, [u8; 2])>>>;

/// Answers that wait, the oldest first, each with the moment it is due.
#[derive(Default)]
struct Waiting {
    queue: Mutex<VecDeque<(Instant, SocketAddr, Vec<u8>)>>,
    more: Condvar,
}

/// Serves until it is killed.
pub fn serve(listen: SocketAddr, server: SocketAddr, millis: u64) -> anyhow::Result<()> {
    let front = UdpSocket::bind(listen).context("listening")?;
    let back = UdpSocket::bind((server.ip(), 0)).context("a socket towards the server")?;
    back.connect(server).context("towards the server")?;
    let asked: Asked = Mutex::new(vec![None; 1 << 16]);
    let waiting = Arc::new(Waiting::default());
    println!("ready");
    thread::scope(|threads| {
        threads.spawn(|| pass_on(&front, &back, &asked));
        threads.spawn(|| take_back(&back, &asked, Duration::from_millis(millis), &waiting));
        give_back(&front, &waiting);
    });
    Ok(())
}

/// Questions to the server, each under an id of our own.
fn pass_on(front: &UdpSocket, back: &UdpSocket, asked: &Asked) {
    let mut octets = [0; 4096];
    let mut own = 0_u16;
    loop {
        let Ok((length, from)) = front.recv_from(&mut octets) else {
            continue;
        };
        let Some(question) = octets.get_mut(..length) else {
            continue;
        };
        let Some(id) = question.first_chunk_mut::<2>() else {
            continue;
        };
        own = own.wrapping_add(1);
        let entry = Some((from, *id));
        *id = own.to_be_bytes();
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = asked.get_mut(usize::from(own)) {
            *place = entry;
        }
        drop(asked);
        // What is lost on the way is asked again, as on any network.
        let _ = back.send(question);
    }
}

/// Answers into the queue.
fn take_back(back: &UdpSocket, asked: &Asked, delay: Duration, waiting: &Waiting) {
    let mut octets = [0; 4096];
    loop {
        let Ok(length) = back.recv(&mut octets) else {
            continue;
        };
        let Some(answer) = octets.get_mut(..length) else {
            continue;
        };
        let Some(own) = answer.first_chunk_mut::<2>() else {
            continue;
        };
        let place = usize::from(u16::from_be_bytes(*own));
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((to, id)) = asked.get_mut(place).and_then(Option::take) else {
            continue;
        };
        drop(asked);
        *own = id;
        #[expect(
            clippy::disallowed_methods,
            reason = "a measurement has a clock of its own"
        )]
        let due = Instant::now() + delay;
        let mut queue = waiting.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push_back((due, to, answer.to_vec()));
        if queue.len() == 1 {
            waiting.more.notify_one();
        }
    }
}

/// Answers out of the queue when they are due.
fn give_back(front: &UdpSocket, waiting: &Waiting) {
    loop {
        let mut queue = waiting.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let (due, to, answer) = loop {
            match queue.pop_front() {
                Some(first) => break first,
                None => {
                    queue = waiting
                        .more
                        .wait(queue)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        drop(queue);
        #[expect(
            clippy::disallowed_methods,
            reason = "a measurement has a clock of its own"
        )]
        let left = due.saturating_duration_since(Instant::now());
        #[expect(
            clippy::disallowed_methods,
            reason = "time to pass is what this is for"
        )]
        thread::sleep(left);
        let _ = front.send_to(&answer, to);
    }
}
