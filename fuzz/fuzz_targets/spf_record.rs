//! SPF records: what parses is written as text that parses to the same; what does not says where.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::verify::spf::Record;

fuzz_target!(|octets: &[u8]| {
    for text in [octets.to_vec(), [b"v=spf1 ", octets].concat()] {
        match Record::parse(&text) {
            Ok(record) => {
                assert!(Record::is_spf(&text) && text.is_ascii());
                let written = record.to_string();
                assert_eq!(Record::parse(written.as_bytes()), Ok(record), "{written:?}");
            }
            Err(error) => assert!(error.at <= text.len()),
        }
    }
});
