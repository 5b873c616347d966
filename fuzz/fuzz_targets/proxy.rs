//! The PROXY header of a load balancer: any octets. As a driver reads: no more than the header, and
//! nothing but an address out of it.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(
    dead_code,
    reason = "some faults are of reading, which is not done here"
)]
#[path = "../../daemon/src/smtp_in/proxy/header.rs"]
mod header;

fuzz_target!(|octets: &[u8]| {
    let mut read = 0;
    loop {
        assert!(read <= 4096, "more than a header is read");
        match header::missing(&octets[..read]) {
            Ok(0) => break,
            Ok(missing) if read + missing <= octets.len() => read += missing,
            // It stops within the header, or is none.
            Ok(_) | Err(_) => return,
        }
    }
    if let Ok(Some(client)) = header::source(&octets[..read]) {
        assert_eq!(client.ip(), client.ip().to_canonical());
        assert_ne!(client.ip(), std::net::Ipv4Addr::UNSPECIFIED);
    }
});
