//! 250 is a promise: a service that is killed at random moments under load, and started again
//! each time, delivers every message that it has acknowledged.
//!
//! The full version: `VOUCHSAFE_KILLS=500 ./test kill`. Killing a process tests the process, not
//! the disk; for power cuts see `spool/tests/it/crash.rs` and `disk_trouble.rs`.

use super::senders::Senders;
use super::service::Setup;

#[test]
fn every_acknowledged_message_outlives_the_process() {
    let kills: u32 = std::env::var("VOUCHSAFE_KILLS").map_or(6, |text| text.parse().unwrap());
    let mut senders = Senders::start();
    let mut service = senders.setup(Setup::new()).start();
    for _ in 0..kills {
        senders.go(service.address());
        // Some load at least; then up to a quarter of a second more.
        senders.wait_for(1);
        senders.wait_by_chance();
        let folder = service.folder();
        service.signal("KILL");
        service.ended();
        senders.next_life();
        service = senders.setup(Setup::in_folder(folder)).start();
    }
    let count = senders.count(|| drop(service.stop()));
    println!("{kills} kills: {count}");
    assert!(count.acknowledged() >= kills as usize);
}
