//! Chains in which other people's servers stand between services: Exim with cut-through delivery, and
//! Postfix with a before-queue filter. Both pass on what is said behind them, and queue nothing.

use std::net::SocketAddr;
use std::path::Path;

use super::super::interop::{exim, postfix};
use super::chains::{Chain, last_host, passes_back};
use super::{CONTENT, KNOWN, UNKNOWN, World, assert_whole, nothing_queued, send};

/// Exim's recipient is asked for behind it, and the session goes on to the message.
pub const CUT_THROUGH: &str = "warn control = cutthrough_delivery/defer=pass\n\
                           deny !verify = recipient/callout=30s,use_sender,no_cache";

/// Files in a folder and below it.
fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let each = entries.map(|entry| entry.unwrap().path());
    let names = each.flat_map(|path| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path.display().to_string()]
        }
    });
    names.collect()
}

/// Postfix before a service, which is its filter.
fn postfix_before(left_out: &str, filter: SocketAddr) -> Option<postfix::Postfix> {
    let setup = postfix::Setup::new(left_out)?;
    let setting = format!("smtpd_proxy_filter = {filter}");
    Some(setup.with(&setting).start())
}

/// Nothing is in its queue.
fn has_queued_nothing(postfix: &postfix::Postfix) {
    for name in ["incoming", "active", "deferred", "hold", "maildrop"] {
        let left = files(&postfix.file(&format!("../queue/{name}")));
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn postfix_with_a_filter_in_the_middle_passes_everything_back() {
    let left_out = "Postfix with a before-queue filter between services";
    let Some(mut last) = last_host(left_out) else {
        return;
    };
    let world = World::start();
    let behind = Chain::before(&world, &last.next_hop(), 2);
    let Some(middle) = postfix_before(left_out, behind.front(2)) else {
        return;
    };
    let before = Chain::before(&world, &middle.next_hop(), 2);
    for (length, sender) in [(1, UNKNOWN), (2, KNOWN)] {
        let front = before.front(length);
        passes_back(front, sender);
        let told = send(front, sender, &["bob@hop.example"]);
        assert!(told.end.starts_with("250 "), "{told:?}");
        before.is_empty();
        behind.is_empty();
        has_queued_nothing(&middle);
    }
    for kept in last.delivered(4) {
        assert_whole(&kept, CONTENT);
    }
    before.stop();
    behind.stop();
}

/// Exim says its own codes of the same class, and verifies the recipient by a callout that it goes on with.
#[test]
fn exim_with_cut_through_in_the_middle_passes_everything_back() {
    let left_out = "Exim with cut-through delivery between services";
    let Some(setup) = exim::Setup::new(left_out) else {
        return;
    };
    let Some(mut last) = last_host(left_out) else {
        return;
    };
    let world = World::start();
    let behind = Chain::before(&world, &last.next_hop(), 2);
    let middle = setup
        .at_recipient(CUT_THROUGH)
        // It queues what comes in chunks.
        .with("chunking_advertise_hosts =")
        .start();
    middle.route("hop.example", behind.front(2));
    let before = Chain::before(&world, &middle.next_hop(), 2);
    for (length, sender) in [(1, UNKNOWN), (2, KNOWN)] {
        let front = before.front(length);
        for (to, class) in [
            ("nobody@hop.example", "5"),
            ("full@hop.example", "4"),
            ("over@hop.example", "5"),
            ("grey@hop.example", "4"),
        ] {
            let told = send(front, sender, &[to]);
            super::assert_bland(&told.recipients[0], class);
        }
        for (to, class) in [("strict@hop.example", "5"), ("later@hop.example", "4")] {
            let told = send(front, sender, &[to]);
            super::assert_bland(&told.end, class);
        }
        for to in ["grey@hop.example", "bob@hop.example"] {
            let told = send(front, sender, &[to]);
            assert!(told.end.starts_with("250 "), "{told:?}");
        }
        before.is_empty();
        behind.is_empty();
        let left = files(&middle.file("spool/input"));
        assert!(left.is_empty(), "{left:?}");
    }
    for kept in last.delivered(4) {
        assert_whole(&kept, CONTENT);
    }
    before.stop();
    behind.stop();
}

/// The last services say what all have said, whichever of the three stands where.
#[test]
fn all_three_in_one_chain() {
    let left_out = "a chain of services, Exim and Postfix";
    let Some(setup) = exim::Setup::new(left_out) else {
        return;
    };
    let Some(mut last) = last_host(left_out) else {
        return;
    };
    let world = World::start();
    let third = world.front(&last.next_hop()).start();
    let Some(filtered) = postfix_before(left_out, third.address()) else {
        return;
    };
    let second = world.front(&filtered.next_hop()).start();
    let cut_through = setup
        .at_recipient(CUT_THROUGH)
        // It queues what comes in chunks.
        .with("chunking_advertise_hosts =")
        .start();
    cut_through.route("hop.example", second.address());
    let first = world.front(&cut_through.next_hop()).start();
    let told = send(first.address(), UNKNOWN, &["nobody@hop.example"]);
    super::assert_bland(&told.recipients[0], "550 ");
    let told = send(first.address(), UNKNOWN, &["strict@hop.example"]);
    super::assert_bland(&told.end, "55");
    let told = send(first.address(), UNKNOWN, &["bob@hop.example"]);
    assert!(told.end.starts_with("250 "), "{told:?}");
    nothing_queued([&first, &second, &third]);
    has_queued_nothing(&filtered);
    for kept in last.delivered(1) {
        assert_whole(&kept, CONTENT);
    }
    for service in [first, second, third] {
        service.stop();
    }
}
