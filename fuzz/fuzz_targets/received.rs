//! The Received fields of a perimeter host: any header, split anyhow, and any idea of what is inside.
//! What is found stands in the header, is not inside, and does not depend on the split.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::message::received::{Outside, Run};

fn find(header: &[u8], step: usize, inside: u8) -> Option<Outside> {
    let mut run = Run::default();
    header.chunks(step.max(1)).for_each(|piece| run.read(piece));
    run.outside_client(|address| is_inside(address, inside))
}

/// A different half of all addresses for each bit.
fn is_inside(address: IpAddr, inside: u8) -> bool {
    let last = match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    last & inside != 0
}

fuzz_target!(|octets: &[u8]| {
    let [step, inside, header @ ..] = octets else {
        return;
    };
    let (step, inside) = (*step, *inside);
    let found = find(header, usize::from(step), inside);
    // What lies beyond the cap may be seen or not, by where the pieces end; nothing else may differ.
    if header.len() < 4096 {
        assert_eq!(found, find(header, header.len(), inside));
    }
    if let Some(outside) = found {
        assert!(!is_inside(outside.address, inside) && !outside.address.is_loopback_host());
    }
});

/// The two addresses that mean the writer's own host.
trait LoopbackHost {
    fn is_loopback_host(&self) -> bool;
}

impl LoopbackHost for IpAddr {
    fn is_loopback_host(&self) -> bool {
        *self == IpAddr::from([127, 0, 0, 1]) || *self == IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])
    }
}
