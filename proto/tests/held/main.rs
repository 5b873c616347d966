//! The held path in a world of chance: the real receive machine, cutthrough and deliver machines, next
//! hops that refuse, fall silent, leave and talk nonsense at any moment, a spool that fails, and
//! clients that leave, or come again under their XTID. After each transaction what everybody has is compared with what
//! was said.
//!
//! `VOUCHSAFE_WORLDS=1000000 cargo test --release -p vouchsafe-proto --test held -- --nocapture` plays so many
//! transactions; `VOUCHSAFE_SEED` makes them others.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]
#![expect(clippy::print_stderr, reason = "a count for whoever runs it")]

mod branch;
mod chance;
mod dialogue;
mod hop;
mod stage;
mod world;

use world::World;

fn number_of(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn whatever_happens_what_was_promised_holds() {
    let wanted = number_of("VOUCHSAFE_WORLDS", 5_000);
    let first = number_of("VOUCHSAFE_SEED", 0) << 32;
    let mut sums = world::Sums::default();
    let mut seed = first;
    while sums.transactions < wanted {
        World::new(seed).play(&mut sums);
        seed += 1;
    }
    eprintln!("from seed {first}: {sums:?}");
    let world::Sums {
        held,
        stored,
        refused,
        each,
        left,
        again,
        repeated,
        mixed,
        ..
    } = sums;
    for some in [held, stored, refused, each, left, again, repeated, mixed] {
        assert!(some > wanted / 100, "{sums:?}");
    }
}

/// A reverse-path that its domain's own set proves, or of which nothing is known. Neither is mail of ours, to which
/// something may be added.
fn evidence(is_proven: bool) -> vouchsafe_proto::verify::Evidence {
    use vouchsafe_proto::verify::Evidence;
    use vouchsafe_proto::verify::mail_from::{Identity, Reason, Report};
    if !is_proven {
        return Evidence::RelayClient {
            local_domain: false,
        };
    }
    let client = [192, 0, 2, 9].into();
    let report = Report::unasked(Reason::Host, client, Identity::ReversePath);
    Evidence::MailFrom(std::sync::Arc::new(report))
}
