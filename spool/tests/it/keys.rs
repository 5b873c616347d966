//! The kept keys, on a disk that fails and forgets: one that was given is given again.

use std::io;

use vouchsafe_spool::fs::Disk;
use vouchsafe_spool::{KEY, asking_key, hop_key};

use crate::disk::{Fault, MemoryDisk};
use crate::image::Crash;

/// What gives a key.
type Give = fn(&dyn Disk) -> io::Result<[u8; KEY]>;

const KEYS: [Give; 2] = [hop_key, asking_key];

#[test]
fn a_key_that_was_given_is_given_after_any_crash() {
    for give in KEYS {
        let disk = MemoryDisk::default();
        let key = give(&disk).unwrap();
        for seed in 0..200 {
            let crash = match seed {
                0 => Crash::Process,
                1 => Crash::Power,
                seed => Crash::Partly(seed),
            };
            assert_eq!(give(&disk.after(disk.log_len(), crash)).unwrap(), key);
            // In the midst of making it any will do, if it then stays.
            for upto in 0..disk.log_len() {
                let crashed = disk.after(upto, crash);
                let given = give(&crashed).unwrap();
                let again = crashed.after(crashed.log_len(), Crash::Power);
                assert_eq!(give(&again).unwrap(), given, "{upto} {crash:?}");
            }
        }
    }
}

#[test]
fn a_disk_that_fails_gives_no_key_that_is_not_kept() {
    for give in KEYS {
        let whole = MemoryDisk::default();
        give(&whole).unwrap();
        for nth in 0..whole.calls() {
            let disk = MemoryDisk::default();
            disk.fail(Fault::Call(nth));
            assert!(give(&disk).is_err(), "{nth}");
            let key = give(&disk).unwrap();
            let crashed = disk.after(disk.log_len(), Crash::Power);
            assert_eq!(give(&crashed).unwrap(), key, "{nth}");
        }
    }
}
