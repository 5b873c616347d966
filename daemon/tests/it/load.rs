//! The main job under load: Postfix's smtp-source, the service, Postfix's smtp-sink.
//!
//! The full version: `VOUCHSAFE_MESSAGES=10000 ./test load`.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use super::harness::{Process, free_port, installed};
use super::service::{PATIENCE, Setup};

const SINK: &str = "/usr/sbin/smtp-sink";

/// A sink that prints how many messages it has taken, and where it listens.
fn start_sink() -> (Process, ChildStdout, SocketAddr) {
    let address = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
    let mut sink = Process::start(
        Command::new(SINK)
            .args(["-u", "nobody", "-c", &address.to_string(), "256"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null()),
    )
    .unwrap();
    let output = sink.output().unwrap();
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(
            sink.runs() && began.elapsed() < PATIENCE,
            "smtp-sink does not listen"
        );
        std::thread::yield_now();
    }
    (sink, output, address)
}

/// Waits until the sink has said that it has taken `messages`: it prints `mesg=N` over and over. If it
/// says nothing for long, gives what it said last.
fn wait_for(mut output: ChildStdout, messages: usize) -> Result<(), String> {
    let wanted = format!("mesg={messages}\r");
    let (said, pieces) = mpsc::channel();
    // A pipe cannot be read with a deadline.
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = output.read(&mut piece)
            && said.send(piece[..read].to_vec()).is_ok()
        {}
    });
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(&wanted) {
        // Only the last words count.
        seen.drain(..seen.len().saturating_sub(100));
        match pieces.recv_timeout(PATIENCE) {
            Ok(piece) => seen.extend_from_slice(&piece),
            Err(_) => return Err(String::from_utf8_lossy(&seen).into_owned()),
        }
    }
    Ok(())
}

#[test]
fn smtp_source_to_smtp_sink_loses_nothing() {
    if !installed(Path::new(SINK), "the load test") {
        return;
    }
    let messages: usize =
        std::env::var("VOUCHSAFE_MESSAGES").map_or(500, |text| text.parse().unwrap());
    let (sink, output, address) = start_sink();
    let service = Setup::new()
        .domains(&["local.example"], &format!("smtp://{address}"))
        .stored()
        .start();

    let sent = Command::new("/usr/sbin/smtp-source")
        .args(["-s", "10", "-m", &messages.to_string(), "-l", "4096"])
        .args(["-f", "a@sender.example", "-t", "b@local.example"])
        .arg(service.address().to_string())
        .status()
        .unwrap();
    assert!(sent.success(), "smtp-source met a refusal");
    if let Err(last) = wait_for(output, messages) {
        service.signal("TERM");
        panic!("the sink said last: {last}\n{}", service.ended().1);
    }
    println!("{messages} messages by smtp-source over 10 sessions: {messages} taken by smtp-sink");
    service.stop();
    drop(sink);
}
