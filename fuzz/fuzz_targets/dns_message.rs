//! DNS messages: what has been gone over can be looked at without an error, all of it lies inside
//! the message, and every name in it is one of ours.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::dns::Name;
use vouchsafe_proto::dns::message::{Data, Layout, Message, Record, WireName, strings};

/// A name that has been gone over has our form, which is a name, and the same.
fn check_name(name: WireName<'_>) {
    let own = name.to_name().expect("a name");
    assert_eq!(Name::parse(own.as_str()).as_ref(), Ok(&own));
    assert!(own.wire_length() <= 255 && name.is(&own) && name.holds(&own));
    if let Ok(below) = own.child("x") {
        assert!(name.holds(&below) && !name.is(&below));
    }
    assert_eq!(name.labels().count(), own.labels().count());
}

fn check_record(record: &Record<'_>, most: usize) {
    check_name(record.owner());
    match record.data().expect("data of its type") {
        Data::Mx(_, name) | Data::Ptr(name) | Data::Cname(name) | Data::Ns(name) => check_name(name),
        Data::Txt(text) => {
            let octets: usize = strings(text).map(|string| string.len() + 1).sum();
            assert!(octets == text.len() && octets <= most);
        }
        _ => {}
    }
}

fuzz_target!(|octets: &[u8]| {
    let Some(layout) = Layout::of(octets) else {
        return;
    };
    let message = Message::new(octets, &layout);
    let counted = |at: usize| usize::from(u16::from_be_bytes([octets[at], octets[at + 1]]));
    assert_eq!(message.answers().count(), counted(6));
    assert_eq!(message.authorities().count(), counted(8));
    for record in message.answers().chain(message.authorities()) {
        check_record(&record, octets.len());
    }
});
