//! What is kept, as files; what goes over the wire is for the tests with real hosts.

use super::*;
use vouchsafe_proto::time::Wall;

const POLICY: &[u8] = b"version: STSv1\r\nmode: testing\r\nmx: *.example.net\r\nmax_age: 86400\r\n";

fn kept() -> Kept {
    Kept {
        id: "20261122T0".into(),
        fetched: Wall::from_millis(1_795_000_000_123),
        policy: Policy::parse(POLICY).unwrap(),
    }
}

#[test]
fn a_file_gives_back_what_was_kept() {
    let octets = file::write(&kept(), POLICY);
    assert_eq!(file::read(&octets), Some(kept()));
    let head = octets.len() - POLICY.len();
    for length in 0..head {
        assert_eq!(file::read(&octets[..length]), None, "{length}");
    }
    // Cut within the policy it may still be one, of the same mode, but never anything else.
    for length in head..octets.len() {
        if let Some(read) = file::read(&octets[..length]) {
            assert_eq!((read.id, read.policy.mode), (kept().id, kept().policy.mode));
        }
    }
}

/// Nobody answers, and what is kept holds; without it there is nothing.
#[tokio::test]
async fn what_was_kept_holds_after_a_restart_until_it_runs_out() {
    struct Silent;
    impl Resolver for Silent {
        fn ask(&self, _: Question) -> crate::dns::Asking<'_> {
            use vouchsafe_proto::dns::{Answer, Trouble};
            Box::pin(async { Answer::trouble(Trouble::Timeout) })
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let store = || {
        let disk = vouchsafe_spool::fs::LocalDisk::new(folder.path().to_owned());
        vouchsafe_spool::Policies::open(Arc::new(disk)).unwrap()
    };
    let domain = |name| Domain::parse(name).unwrap();
    let now = clock::now().wall;
    let mut fresh = kept();
    fresh.fetched = now;
    for (name, kept) in [("fresh.example", &fresh), ("old.example", &kept())] {
        let octets = file::write(kept, POLICY);
        store().keep(&domain(name), &octets).unwrap();
    }
    store().keep(&domain("broken.example"), b"id 1\n").unwrap();
    store()
        .keep(&domain("fresh.example"), &file::write(&fresh, POLICY))
        .unwrap();
    std::fs::File::create(folder.path().join("mta-sts/half.example~")).unwrap();

    let roots = rustls::RootCertStore::empty();
    let tls = Arc::new(Client::new(roots).unwrap());
    let policies = Policies::open(Arc::new(Silent), tls, Some(store()));
    assert_eq!(
        policies.of(&domain("fresh.example"), 443).await,
        Standing::Holds(fresh.policy)
    );
    for name in ["old.example", "broken.example", "half.example"] {
        let standing = policies.of(&domain(name), 443).await;
        assert_eq!(standing, Standing::Unknown, "{name}");
    }
    // What had run out or could not be read is gone.
    let left = store().all().unwrap();
    let names: Vec<_> = left.iter().map(|(domain, _)| domain.as_ascii()).collect();
    assert_eq!(names, ["fresh.example"]);
}
