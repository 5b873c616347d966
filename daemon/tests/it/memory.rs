//! Memory: sessions that trickle large messages cost a bounded amount each, however much of their
//! message has come (ARCHITECTURE, invariant 8), and sessions that wait for their client cost little.
//!
//! `./test` runs fifty and three hundred of them. The full version is a thousand, each announcing
//! 100 MB, and ten thousand:
//!
//! ```sh
//! ulimit -n 24000
//! VOUCHSAFE_TRICKLING=1000 VOUCHSAFE_TRICKLED_MIB=8 VOUCHSAFE_IDLE=10000 \
//!     cargo test --release -p vouchsafe --test it memory -- --nocapture
//! ```
//!
//! It needs room on the disk for what is trickled (sessions times MiB).

use super::client::Client;
use super::service::{Service, Setup};

/// What a session may cost: 64 KiB, and as much again for what the allocator, the runtime and the
/// spool's writers hold on top.
const KIB_PER_SESSION: usize = 128;

/// How much the whole may grow by while content streams: caches of the allocator, not messages.
const SLACK_KIB: usize = 16 * 1024;

/// A number from the environment.
fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Resident memory of a process, in KiB.
fn resident(service: &Service) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let mut words = line.unwrap().split_whitespace();
    words.nth(1).unwrap().parse().unwrap()
}

#[test]
fn trickling_sessions_cost_the_same_however_much_has_come() {
    let sessions = number("VOUCHSAFE_TRICKLING", 50);
    let mib = number("VOUCHSAFE_TRICKLED_MIB", 4);
    let service = Setup::new()
        .with(&format!(
            "[limits]\nmessage_size = \"100 MB\"\nsessions = {0}\nsessions_per_client = {0}",
            sessions + 1
        ))
        .start();
    let idle = resident(&service);
    let mut clients: Vec<Client> = (0..sessions)
        .map(|_| {
            let mut client = Client::greeted(service.address());
            client.expect("EHLO client.example", 250);
            client.expect("MAIL FROM:<someone@sender.example> SIZE=100000000", 250);
            client.expect("RCPT TO:<a@local.example>", 250);
            client.expect("DATA", 354);
            client
        })
        .collect();
    // Eight KiB at a time from each in turn: all of them are in the middle of their message.
    let line = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n";
    let piece = line.repeat(128);
    let mut trickle = |pieces: usize| {
        for _ in 0..pieces {
            for client in &mut clients {
                client.send(&piece);
            }
        }
        resident(&service)
    };
    let begun = trickle(16);
    let later = trickle(mib * 128 - 16);
    println!(
        "{sessions} sessions: idle {idle} KiB, with 128 KiB each {begun} KiB, with {mib} MiB each \
         {later} KiB: {} KiB a session",
        later.saturating_sub(idle) / sessions
    );
    assert!(later <= begun + SLACK_KIB, "{begun} KiB, then {later}");
    assert!(later <= idle + SLACK_KIB + sessions * KIB_PER_SESSION);
}

/// What an idle session may cost, in KiB: the target as it is built for use, and what the same
/// takes without the optimiser, which lays a session's states side by side.
const KIB_PER_IDLE: usize = if cfg!(debug_assertions) { 16 } else { 8 };

/// What a process has by itself, in KiB. What it has of files is shared with others of its kind, whose end would look like its
/// growth.
fn own(service: &Service) -> usize {
    let path = format!("/proc/{}/smaps_rollup", service.pid());
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss_Anon:"));
    let kib = line.unwrap().split_whitespace().next();
    kib.unwrap().parse().unwrap()
}

#[test]
fn a_session_that_waits_costs_little() {
    let sessions = number("VOUCHSAFE_IDLE", 300);
    let service = Setup::new()
        .with(&format!(
            "[limits]\nsessions = {0}\nsessions_per_client = {0}",
            sessions + 300
        ))
        .start();
    let greet = || {
        let mut client = Client::greeted(service.address());
        client.expect("EHLO client.example", 250);
        client
    };
    // What all sessions share is there once some have come, and they have used up what the start
    // left free.
    let shared: Vec<Client> = (0..200).map(|_| greet()).collect();
    let before = own(&service);
    let idle: Vec<Client> = (0..sessions).map(|_| greet()).collect();
    let more = own(&service).saturating_sub(before);
    println!(
        "{sessions} idle sessions: {more} KiB, {:.1} KiB each",
        f64::from(u32::try_from(more).unwrap()) / f64::from(u32::try_from(sessions).unwrap())
    );
    assert!(more <= sessions * KIB_PER_IDLE, "{more} KiB");
    drop((shared, idle));
}
