//! MTA-STS: any octets as a policy and as its announcement. What is taken is within its bounds, and
//! does not depend on how lines end; a host that is listed has the pattern's labels.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::time::Duration;
use vouchsafe_proto::dns::{Answer, Lookup, Name, Records};
use vouchsafe_proto::tls_policy::sts::{Announcement, MAX_POLICY, Mode, Policy};

fuzz_target!(|octets: &[u8]| {
    let texts = Records::Txt(vec![octets.into()]);
    if let Some(announced) = Announcement::of(&Answer::bare(Lookup::Found(texts))) {
        assert!((1..=32).contains(&announced.id().len()));
        assert!(octets.starts_with(b"v=STSv1"));
    }
    let Ok(policy) = Policy::parse(octets) else {
        return;
    };
    assert!(octets.len() <= MAX_POLICY && policy.max_age <= Duration::from_secs(31_557_600));
    let text = std::str::from_utf8(octets).expect("a policy is text");
    if !text.contains('\r') && text.len() < MAX_POLICY / 2 {
        let with_cr = text.replace('\n', "\r\n");
        assert_eq!(Policy::parse(with_cr.as_bytes()).as_ref(), Ok(&policy));
    }
    let listed = [
        "mail.example.com",
        "a.example.net",
        "example.net",
        "a.b.example.net",
    ];
    let count = listed
        .iter()
        .filter(|host| policy.lists(&Name::parse(host).expect("a name")))
        .count();
    // Each of them takes a pattern that names its parent, or itself.
    let text = text.to_ascii_lowercase();
    let named = ["example.com", "example.net", "*.net", "*.com"];
    assert!(count == 0 || named.iter().any(|name| text.contains(name)) || !text.is_ascii());
    assert!(policy.mode == Mode::None || text.contains("mx"));
});
