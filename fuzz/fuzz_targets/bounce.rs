//! Bounces of others: any octets, ended by LF or CRLF. What is found is bounded, holds no line end, and does
//! not depend on how lines end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::dsn::recognise::{Bounce, recognise};

fn check(bounce: &Bounce) {
    let one = [
        &bounce.original_envelope_id,
        &bounce.original_message_id,
        &bounce.original_date,
    ];
    assert!(bounce.recipients.len() <= 100);
    for text in one.into_iter().flatten().chain(&bounce.recipients) {
        assert!(!text.is_empty() && !text.contains('\n'));
    }
}

fuzz_target!(|input: (bool, &[u8])| {
    let (null_reverse_path, message) = input;
    let bounce = recognise(message, null_reverse_path);
    let lines = message.split_inclusive(|octet| *octet == b'\n');
    let wire: Vec<u8> = lines
        .flat_map(|line| match line.strip_suffix(b"\n") {
            Some(bare) => [bare, b"\r\n"].concat(),
            None => line.to_vec(),
        })
        .collect();
    assert_eq!(bounce, recognise(&wire, null_reverse_path));
    if let Some(bounce) = &bounce {
        check(bounce);
    }
});
