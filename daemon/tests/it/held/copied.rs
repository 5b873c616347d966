//! The same faults between hosts that hold the path together and tell each other which copy it is (XHOLD, XTID):
//! no fault and no kill makes a second copy.
//!
//! Harm is done before each of three services, so to the sender as well, which gives its messages an XTID as a
//! host would that holds the path. Behind the last service nothing is harmed: who stands there knows no XTID.
//! Killing the last service is such harm, too. Where it may be killed, the path ends in its Maildir: a file stands for
//! a copy that it took from the host before it, since it puts each there once, however often it is killed at that.
//!
//! ```sh
//! VOUCHSAFE_HELD=5000 VOUCHSAFE_HELD_SEED=1 \
//!     cargo test -p vouchsafe --test it held::copied -- --nocapture --test-threads 1
//! ```
//!
//! With `VOUCHSAFE_HELD_WITHOUT_XTID=1` nobody hears of XHOLD, and so nobody gives an XTID. Then the copies are
//! counted and not forbidden.

use std::ops::Range;
use std::time::Duration;

use super::scene::{End, Plan, number, run};
use super::sender::Manner;

/// Three services, of which these may be killed.
fn plan(killed: Range<usize>, end: End) -> Plan {
    Plan {
        // Seconds, since these machines are shared; so that silence does not take all of the time, it is seldom.
        patience: &[(5000, 6000), (3000, 3500), (1500, 2000)],
        harmed: 0..=2,
        killed,
        silence: 1,
        end,
        manner: Manner {
            with_ids: true,
            patience: Duration::from_secs(8),
            sessions: 12,
        },
        together: number("VOUCHSAFE_HELD_WITHOUT_XTID", 0) == 0,
    }
}

fn makes_no_copy(plan: &Plan) {
    let run = run(plan);
    if !plan.together {
        assert_eq!(run.known_again, 0);
        return;
    }
    assert_eq!(run.count.copied, [0; 0]);
    assert_eq!(run.count.duplicates, 0);
    assert!(run.known_again > 0, "no last word was lost");
}

#[test]
fn between_hosts_that_hold_paths_together_no_fault_makes_a_copy() {
    makes_no_copy(&plan(0..0, End::Refusing));
}

#[test]
fn between_hosts_that_hold_paths_together_no_kill_on_the_way_makes_a_copy() {
    makes_no_copy(&plan(0..2, End::Refusing));
}

#[test]
fn between_hosts_that_hold_paths_together_no_kill_of_any_makes_a_copy() {
    makes_no_copy(&plan(0..3, End::Maildir));
}
