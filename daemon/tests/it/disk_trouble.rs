//! Trouble with a real disk, under load: it runs full, becomes read-only, fails to flush, loses its
//! power. Nothing acknowledged is lost; the service says what is wrong, to the client and in the
//! log; and it takes mail again by itself, or after a restart, as `docs/queue.md` has it.
//!
//! The filesystem is an ext4 of its own in a file, mounted by a loop device: that needs root. Its
//! power is cut by the ioctl that ext4 has for such tests, which drops what has not reached the
//! file. A flush fails because a small library, compiled here and loaded before the C library,
//! says so; once, as kernels do.
//!
//! The full version: `VOUCHSAFE_POWER_CUTS=100 ./test disk_trouble`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FallocateFlags, fallocate};

use super::harness::{installed, there};
use super::senders::Senders;
use super::service::{Service, Setup};

/// Octets of the filesystem: above the room that a queue leaves free.
const SIZE: u64 = 400 << 20;

/// A filesystem of its own for the data folder.
struct Disk {
    image: PathBuf,
    folder: PathBuf,
}

/// Runs a program; true if it went well.
fn run(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

impl Disk {
    /// Makes and mounts it where the service will have its data; `None` where that is not allowed.
    fn make(setup: &Setup, left_out: &str) -> Option<Self> {
        let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
        let mke2fs = Path::new("/usr/sbin/mkfs.ext4");
        if !there(is_root, "this is not root", left_out) || !installed(mke2fs, left_out) {
            return None;
        }
        let disk = Self {
            image: setup.folder().join("disk"),
            folder: setup.folder().join("data"),
        };
        fs::create_dir(&disk.folder).unwrap();
        File::create(&disk.image).unwrap().set_len(SIZE).unwrap();
        let image = disk.image.to_str().unwrap();
        let made = run("mkfs.ext4", &["-q", "-F", "-m", "0", image]);
        assert!(made, "mkfs.ext4");
        there(disk.mount(), "nothing can be mounted here", left_out).then_some(disk)
    }

    fn mount(&self) -> bool {
        let (image, folder) = (self.image.to_str().unwrap(), self.folder.to_str().unwrap());
        run("mount", &["-o", "loop", image, folder])
    }

    fn unmount(&self) -> bool {
        run("umount", &[self.folder.to_str().unwrap()])
    }

    /// As after a restart of the machine: the journal is played again.
    fn mount_again(&self) {
        assert!(self.unmount() && self.mount());
    }

    /// Fills it to the last block, beside the service.
    fn fill(&self) -> PathBuf {
        let name = self.folder.join("somebody-elses");
        let file = File::create(&name).unwrap();
        let mut end = 0;
        for piece in [1 << 24, 1 << 20, 1 << 16, 1 << 12] {
            while fallocate(&file, FallocateFlags::empty(), end, piece).is_ok() {
                end += piece;
            }
        }
        name
    }

    /// Makes it read-only, as ext4 does by itself after an error.
    fn make_read_only(&self) {
        let folder = self.folder.to_str().unwrap();
        assert!(run("mount", &["-o", "remount,abort", folder]));
    }

    /// Cuts the power: `EXT4_IOC_SHUTDOWN`, without flushing the journal.
    fn cut_power(&self) {
        let script = r#"open(my $folder, "<", $ARGV[0]) or die; my $how = pack("L", 2);
            ioctl($folder, 0x8004587d, $how) or die "$!""#;
        assert!(run("perl", &["-e", script, self.folder.to_str().unwrap()]));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if !self.unmount() {
            // The service may be about to end: the folder goes at once, the rest behind it.
            run("umount", &["-l", self.folder.to_str().unwrap()]);
        }
    }
}

/// Ends a service whose disk is of no use any more.
fn end(service: Service) {
    service.signal("KILL");
    service.ended();
}

/// All replies have this code.
fn all(replies: &BTreeSet<String>, code: &str) -> bool {
    !replies.is_empty() && replies.iter().all(|reply| reply.starts_with(code))
}

#[test]
fn a_full_disk_refuses_mail_until_there_is_room() {
    let setup = Setup::new();
    let Some(disk) = Disk::make(&setup, "the full disk") else {
        return;
    };
    let mut senders = Senders::start();
    let mut service = senders.setup(setup).start();
    senders.go(service.address());
    senders.wait_for(20);
    let hog = disk.fill();
    let refused = senders.wait_for_refusals();
    assert!(all(&refused, "452 4.3.1"), "{refused:?}");
    service.wait_from_start("no room left");
    fs::remove_file(hog).unwrap();
    // The same service takes mail again.
    senders.go(service.address());
    senders.wait_for(20);
    let folder = service.folder();
    service.stop();
    senders.next_life();
    let service = senders.setup(Setup::in_folder(folder)).start();
    let count = senders.count(|| drop(service.stop()));
    println!("disk full: {count}");
    assert!(count.acknowledged() >= 40);
}

#[test]
fn a_disk_that_becomes_read_only_closes_the_queue_until_the_next_start() {
    let setup = Setup::new();
    let Some(disk) = Disk::make(&setup, "the read-only disk") else {
        return;
    };
    let mut senders = Senders::start();
    let mut service = senders.setup(setup).start();
    senders.go(service.address());
    senders.wait_for(20);
    disk.make_read_only();
    let refused = senders.wait_for_refusals();
    assert!(all(&refused, "451 4.3.0"), "{refused:?}");
    // Whoever met it first says why; from then on all say this.
    service.wait_from_start("the spool is closed");
    senders.go(service.address());
    let refused = senders.wait_for_refusals();
    assert!(all(&refused, "451 4.3.0"), "{refused:?}");
    let folder = service.folder();
    end(service);
    senders.next_life();
    disk.mount_again();
    let service = senders.setup(Setup::in_folder(folder)).start();
    senders.go(service.address());
    senders.wait_for(5);
    let count = senders.count(|| drop(service.stop()));
    println!("disk read-only: {count}");
    assert!(count.acknowledged() >= 25);
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let cuts: u32 = std::env::var("VOUCHSAFE_POWER_CUTS").map_or(2, |text| text.parse().unwrap());
    let setup = Setup::new();
    let perl = Path::new("/usr/bin/perl");
    if !installed(perl, "the power cut") {
        return;
    }
    let Some(disk) = Disk::make(&setup, "the power cut") else {
        return;
    };
    let mut senders = Senders::start();
    let mut service = senders.setup(setup).start();
    for _ in 0..cuts {
        senders.go(service.address());
        senders.wait_for(1);
        senders.wait_by_chance();
        disk.cut_power();
        let folder = service.folder();
        end(service);
        senders.next_life();
        disk.mount_again();
        service = senders.setup(Setup::in_folder(folder)).start();
    }
    let count = senders.count(|| drop(service.stop()));
    println!("{cuts} power cuts: {count}");
    assert!(count.acknowledged() >= cuts as usize);
}

/// Says once that a flush has failed, when the file is there that the environment names.
const FAILING_FLUSH: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int fails(void) {
    const char *name = getenv("FAILING_FLUSH");
    if (!name || unlink(name) != 0) return 0;
    errno = EIO;
    return 1;
}

int fsync(int fd) {
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return fails() ? -1 : next(fd);
}

int fdatasync(int fd) {
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return fails() ? -1 : next(fd);
}
"#;

#[test]
fn a_flush_that_fails_closes_the_queue_until_the_next_start() {
    if !installed(Path::new("/usr/bin/cc"), "the failing flush") {
        return;
    }
    let setup = Setup::new();
    let (source, library) = (
        setup.folder().join("flush.c"),
        setup.folder().join("flush.so"),
    );
    fs::write(&source, FAILING_FLUSH).unwrap();
    let compiled = run(
        "cc",
        &[
            "-shared",
            "-fPIC",
            "-o",
            library.to_str().unwrap(),
            source.to_str().unwrap(),
            "-ldl",
        ],
    );
    assert!(compiled, "cc");
    let trigger = setup.folder().join("fail");
    let mut senders = Senders::start();
    let mut service = senders
        .setup(setup)
        .environment("LD_PRELOAD", &library)
        .environment("FAILING_FLUSH", &trigger)
        .start();
    senders.go(service.address());
    senders.wait_for(20);
    fs::write(&trigger, "").unwrap();
    let refused = senders.wait_for_refusals();
    assert!(all(&refused, "451 4.3.0"), "{refused:?}");
    assert!(!trigger.exists(), "one flush has failed");
    service.wait_from_start("the spool is closed after a failed write");
    service.wait_from_start("no deliveries until the next start");
    senders.go(service.address());
    let refused = senders.wait_for_refusals();
    assert!(
        all(&refused, "451 4.3.0"),
        "no flush has failed since: {refused:?}"
    );
    let folder = service.folder();
    service.stop();
    senders.next_life();
    let service = senders.setup(Setup::in_folder(folder)).start();
    senders.go(service.address());
    senders.wait_for(5);
    let count = senders.count(|| drop(service.stop()));
    println!("failed flush: {count}");
    assert!(count.acknowledged() >= 25);
}
