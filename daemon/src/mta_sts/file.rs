//! A policy as it is kept: two lines of ours, then the policy as it was fetched.

use vouchsafe_proto::time::Wall;
use vouchsafe_proto::tls_policy::sts::{Kept, Policy};

/// The file's octets.
pub fn write(kept: &Kept, policy: &[u8]) -> Vec<u8> {
    let head = format!("id {}\nfetched {}\n", kept.id, kept.fetched.as_millis());
    [head.as_bytes(), policy].concat()
}

/// What a file says; none if it is not whole.
pub fn read(octets: &[u8]) -> Option<Kept> {
    let mut parts = octets.splitn(3, |octet| *octet == b'\n');
    let mut line = |key: &str| {
        let line = std::str::from_utf8(parts.next()?).ok()?;
        line.strip_prefix(key)?.strip_prefix(' ')
    };
    let id = line("id")?;
    let fetched = line("fetched")?.parse().ok()?;
    let policy = Policy::parse(parts.next()?).ok()?;
    Some(Kept {
        id: id.into(),
        fetched: Wall::from_millis(fetched),
        policy,
    })
}
