//! The key of our marks, on a disk that fails and forgets: one that was given is given again.

use vouchsafe_spool::hop_key;

use crate::disk::{Fault, MemoryDisk};
use crate::image::Crash;

#[test]
fn a_key_that_was_given_is_given_after_any_crash() {
    let disk = MemoryDisk::default();
    let key = hop_key(&disk).unwrap();
    for seed in 0..200 {
        let crash = match seed {
            0 => Crash::Process,
            1 => Crash::Power,
            seed => Crash::Partly(seed),
        };
        assert_eq!(hop_key(&disk.after(disk.log_len(), crash)).unwrap(), key);
        // In the midst of making it any will do, if it then stays.
        for upto in 0..disk.log_len() {
            let crashed = disk.after(upto, crash);
            let given = hop_key(&crashed).unwrap();
            let again = crashed.after(crashed.log_len(), Crash::Power);
            assert_eq!(hop_key(&again).unwrap(), given, "{upto} {crash:?}");
        }
    }
}

#[test]
fn a_disk_that_fails_gives_no_key_that_is_not_kept() {
    let whole = MemoryDisk::default();
    hop_key(&whole).unwrap();
    for nth in 0..whole.calls() {
        let disk = MemoryDisk::default();
        disk.fail(Fault::Call(nth));
        assert!(hop_key(&disk).is_err(), "{nth}");
        let key = hop_key(&disk).unwrap();
        let crashed = disk.after(disk.log_len(), Crash::Power);
        assert_eq!(hop_key(&crashed).unwrap(), key, "{nth}");
    }
}
