//! Faults at every point of the dialogue, between two services and before the last host: cut connections,
//! silence, rubbish, lost 250s, and services that are killed there. Nothing that was acknowledged is lost,
//! nothing is acknowledged twice, and nobody who is not proven gets a report.
//!
//! The sender and the last host know nothing of XHOLD, so a last word that is lost can make a copy; where all
//! know it, none is made (`held::copied`).
//!
//! `./test` runs some hundreds. The full version, whose faults another seed distributes otherwise:
//!
//! ```sh
//! VOUCHSAFE_HELD=5000 VOUCHSAFE_HELD_SEED=1 \
//!     cargo test -p vouchsafe --test it held::faults -- --nocapture
//! ```

use std::ops::Range;

use super::super::service::PATIENCE;
use super::UNKNOWN;
use super::scene::{End, Plan, run};
use super::sender::{Manner, reverse_path};

/// Two services, of which these may be killed.
const fn plan(killed: Range<usize>) -> Plan {
    Plan {
        patience: &[(1200, 1500), (400, 500)],
        harmed: 1..=2,
        killed,
        silence: 4,
        end: End::Refusing,
        manner: Manner {
            with_ids: false,
            patience: PATIENCE,
            sessions: 8,
        },
        together: true,
    }
}

#[test]
fn faults_at_every_point_lose_nothing_and_acknowledge_nothing_twice() {
    // A copy more is made only where the last word of a host was lost.
    let more = run(&plan(0..0)).count.duplicates_without_doubt;
    assert!(more.is_empty(), "{more:?}");
}

#[test]
fn kills_at_every_point_lose_nothing_and_acknowledge_nothing_twice() {
    // What was never queued, and so was not delivered by a service that was killed before it had
    // noted that.
    let mut more = run(&plan(0..2)).count.duplicates_without_doubt;
    more.retain(|(number, _)| reverse_path(*number) == UNKNOWN);
    assert!(more.is_empty(), "{more:?}");
}
