//! Paths of MAIL and RCPT: no panic, and what was taken is taken again from its own text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::addr::{ForwardPath, ReversePath};

fuzz_target!(|text: &str| {
    if let Ok((path, _)) = ReversePath::parse_prefix(text) {
        assert_eq!(
            ReversePath::parse_inside(&path.to_string()).as_ref(),
            Ok(&path)
        );
    }
    if let Ok((path, _)) = ForwardPath::parse_prefix(text) {
        assert_eq!(
            ForwardPath::parse_inside(&path.to_string()).as_ref(),
            Ok(&path)
        );
    }
});
