//! Small worlds, of which the same is asserted as of the large one.

use clap::ValueEnum as _;

use super::judge::{Judge, Rule};
use super::play::Play;
use super::table::refused_by_checking;
use super::tally::{Class, Tally};
use super::world::{Adoption, World};
use super::{Command, play_all, table};
use crate::cli::{Format, Output};

/// Plays one level of a small world in which 5 % of DNS answers fail.
fn play(domains: usize, adoption: u8, messages: u64, without: Option<Rule>) -> Tally {
    let world = World::new(1, domains);
    let judge = Judge::new(50, without);
    Play::new(&world, Adoption(adoption), judge).play(messages, || {})
}

#[test]
fn no_legitimate_mail_is_refused_and_forged_mail_is() {
    for adoption in [0, 50, 100] {
        let tally = play(400, adoption, 5000, None);
        for class in Class::ALL.into_iter().filter(|class| class.is_legitimate()) {
            let fates = tally.of(class);
            assert_eq!(fates.refused, 0, "{class:?} at {adoption} %");
            let starts = adoption == 0 && class == Class::Declared;
            assert!(fates.sent >= 20 || starts, "{class:?} at {adoption} %");
        }
        let outside = refused_by_checking(tally.of(Class::Outside));
        assert!(
            outside.unwrap_or(1.0) >= 0.999,
            "{outside:?} at {adoption} %"
        );
        assert_eq!(outside.is_none(), adoption == 0);
        // Where all check, the backup hosts do too, and nothing repudiated comes through them.
        assert_eq!(tally.sum(|_| true).marked > 0, adoption == 50);
    }
}

#[test]
fn without_any_of_the_rules_legitimate_mail_is_refused() {
    for rule in Rule::value_variants() {
        // Old answers matter where the same sites write to each other within the hour.
        let domains = if *rule == Rule::Fresh { 60 } else { 200 };
        let tally = play(domains, 100, 4000, Some(*rule));
        assert!(tally.legitimate_refused() > 0, "{rule:?}");
    }
}

/// A small run.
fn command(seed: u64, levels: &[u8]) -> Command {
    Command {
        seed,
        domains: 200,
        messages: 1500,
        levels: levels.to_vec(),
        dns_failing: 5,
        without: None,
        svg: None,
        output: Output {
            format: Format::Json,
        },
    }
}

#[test]
fn a_seed_gives_the_same_output_whoever_plays_which_level() {
    let [first, other] = [1, 2].map(|seed| command(seed, &[30, 60, 90]));
    let played = play_all(&first);
    assert_eq!(played, play_all(&first));
    assert_ne!(played, play_all(&other));
    let alone = play_all(&command(1, &[60]));
    assert_eq!(played.get(1), alone.first());
    assert_eq!(
        table::text(&first, &played),
        table::text(&first, &play_all(&first))
    );
}

#[test]
fn the_same_mail_is_sent_at_every_level() {
    let played = play_all(&command(1, &[0, 40, 100]));
    let forged = |tally: &Tally| tally.sum(Class::is_forged).sent;
    let honest = |tally: &Tally| {
        let all = tally.sum(|class| !class.is_forged() && class != Class::Report);
        all.sent
    };
    for level in &played {
        assert_eq!(forged(&level.tally) + honest(&level.tally), 1500);
        assert_eq!(
            played.first().map(|first| forged(&first.tally)),
            Some(forged(&level.tally))
        );
    }
}
