//! The course of asking, played against domains that answer as a table has it, or by chance; and its memory.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use proptest::prelude::*;

use super::course::{APART, Course, Heard, Move};
use super::memory::{MAX_ENTRIES, MAX_PER_NETWORK, Memory};
use super::*;
use crate::residue::inquiry::MOST_QUESTIONS;
use crate::time::Mono;

fn domains(names: &str) -> Vec<Domain> {
    let each = names.split_whitespace();
    each.map(|name| Domain::parse(name).unwrap()).collect()
}

fn server(number: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 9, number).into()
}

fn at(seconds: u64) -> Mono {
    Mono::from_millis(seconds * 1000)
}

/// One message, tried again and again.
struct Play {
    memory: Memory,
    recipients: &'static str,
    elsewhere: &'static str,
    policy: Policy,
    is_ahead: bool,
    /// What was asked at the last try.
    asked: String,
    /// How many questions at all of them.
    count: usize,
}

impl Play {
    fn new(recipients: &'static str, elsewhere: &'static str) -> Self {
        Self {
            memory: Memory::default(),
            recipients,
            elsewhere,
            policy: Policy::Reject,
            is_ahead: false,
            asked: String::new(),
            count: 0,
        }
    }

    /// A try at which questions are answered, in turn, by these words: `y` sent, `n` not sent, `u` unknown, `-` nothing;
    /// `.` where there is no other server.
    fn at(&mut self, seconds: u64, words: &str) -> &'static str {
        let mut words = words.chars();
        let mut next = || words.next().expect("a word for each question");
        let (finding, _) = self.go(at(seconds), &mut next);
        assert_eq!(words.next(), None, "{}", self.asked);
        finding.as_str()
    }

    fn go(&mut self, now: Mono, next: &mut impl FnMut() -> char) -> (Finding, usize) {
        let before = self
            .memory
            .before((7, Ipv4Addr::new(198, 51, 100, 1).into()), now);
        let mut course = Course::new(
            &domains(self.recipients),
            &domains(self.elsewhere),
            (self.policy, self.is_ahead),
            before,
        );
        let name = |about: &About| match about {
            About::Message(domain) => domain.to_string(),
            About::Identity => "id".to_string(),
        };
        let mut asked = Vec::new();
        let mut count = 0;
        let mut heard = |of: u8, count: &mut usize| {
            let word = next();
            *count += usize::from(word != '.');
            Heard {
                word: match word {
                    'y' => Some(Word::Sent),
                    'n' => Some(Word::NotSent),
                    'u' => Some(Word::Unknown),
                    _ => None,
                },
                server: matches!(word, 'y' | 'n' | 'u').then(|| server(of)),
            }
        };
        let mut step = course.begin();
        let finding = loop {
            step = match step {
                Move::Done(finding) => break finding,
                Move::Ask(about) => {
                    asked.extend(about.iter().map(name));
                    let all: Vec<_> = about.iter().map(|_| heard(1, &mut count)).collect();
                    course.answered(&all)
                }
                Move::AskAnother(about, first) => {
                    assert_eq!(first, server(1));
                    asked.push(format!("{} of another", name(&about)));
                    course.answered(&[heard(2, &mut count)])
                }
            };
        };
        assert!(course.asked() >= count);
        let client = Ipv4Addr::new(198, 51, 100, 1).into();
        self.memory.note((7, client), &finding, course.asked(), now);
        self.asked = asked.join(", ");
        self.count += count;
        (finding, count)
    }
}

#[test]
fn not_sent_counts_when_another_server_says_it_too() {
    let mut play = Play::new("a.example", "x.example");
    assert_eq!(play.at(0, "nnnn"), "not_sent");
    assert_eq!(play.asked, "a.example, x.example, id, id of another");
    assert_eq!(play.at(1, ""), "not_sent", "it is known");
    for (words, finding) in [
        // It has an entry, which the first server had not yet: whether it is this message was not asked of the other.
        ("nnny", "altered"),
        ("nnnu", "unknown"),
        ("nnn-", "not_sent_once"),
        ("nnn.", "not_sent_once"),
        ("nny", "altered"),
        ("nnu", "unknown"),
        ("nn-", "unknown"),
        ("nun", "unknown"),
        ("-nn", "unknown"),
        ("ny", "sent_elsewhere"),
        ("y", "sent"),
    ] {
        let mut play = Play::new("a.example", "x.example");
        assert_eq!(play.at(0, words), finding, "{words}");
    }
    let mut play = Play::new("a.example b.example", "");
    assert_eq!(play.at(0, "nnnn"), "not_sent");
    assert_eq!(play.asked, "a.example, b.example, id, id of another");
}

#[test]
fn not_sent_counts_when_it_is_said_again_half_a_minute_later() {
    for (words, finding) in [
        ("n", "not_sent"),
        ("y", "altered"),
        ("u", "unknown"),
        ("-", "unknown"),
    ] {
        let mut play = Play::new("a.example", "");
        assert_eq!(play.at(0, "nn."), "not_sent_once");
        assert_eq!(play.at(29, ""), "not_sent_once", "too early to ask");
        assert_eq!(play.at(APART.as_secs(), words), finding);
        assert_eq!(play.asked, "id");
    }
    // What was taken back stays so, and is not denied by a copy that still lags behind.
    let mut play = Play::new("a.example", "");
    assert_eq!(play.at(0, "nn."), "not_sent_once");
    assert_eq!(play.at(60, "y"), "altered");
    assert_eq!(play.at(120, ""), "altered");
    // What was odd leaves it as it was: said once.
    let mut play = Play::new("a.example", "");
    assert_eq!(play.at(0, "nn-"), "not_sent_once");
    assert_eq!(play.at(60, "-"), "unknown");
    assert_eq!(play.at(120, "-"), "unknown");
    assert_eq!(play.at(180, "n"), "not_sent");
    assert_eq!(play.count, MOST_QUESTIONS);
}

#[test]
fn one_question_is_left_for_later() {
    let mut play = Play::new("a.example b.example c.example d.example", "x.example");
    assert_eq!(play.at(0, "nnnnn"), "not_sent_once");
    assert_eq!(play.at(60, "n"), "not_sent");
    let mut play = Play::new("a.example b.example c.example d.example", "x.example");
    assert_eq!(play.at(0, "nnnnn"), "not_sent_once");
    assert_eq!(play.at(60, "-"), "unknown");
    assert_eq!(play.at(90, ""), "unknown", "six were asked");
}

#[test]
fn what_is_dated_ahead_or_not_to_be_refused_is_not_asked_about_again() {
    let mut play = Play::new("a.example", "");
    play.is_ahead = true;
    assert_eq!(play.at(0, "nn"), "not_sent_ahead");
    let mut play = Play::new("a.example", "");
    play.policy = Policy::None;
    assert_eq!(play.at(0, "nn"), "not_sent_once");
}

#[test]
fn an_answer_stands_for_an_hour() {
    for (words, finding) in [("y", "sent"), ("ny", "sent_elsewhere"), ("nny", "altered")] {
        let mut play = Play::new("a.example", "x.example");
        assert_eq!(play.at(0, words), finding);
        assert_eq!(play.at(3600, ""), finding);
        assert_eq!(play.at(3601, "y"), "sent");
    }
}

#[test]
fn nothing_is_held_up_for_longer_than_four_hours() {
    let held_up = HELD_UP.as_secs();
    let overdue = Finding::Denied(Denial::Overdue);
    let mut play = Play::new("a.example", "");
    assert_eq!(play.at(0, "nnn"), "not_sent");
    let finding = play.go(at(held_up - 1), &mut || 'n').0;
    assert_eq!(finding, Finding::Denied(Denial::Twice));
    let mut nothing = || panic!("it was asked a moment ago");
    assert_eq!(play.go(at(held_up), &mut nothing).0, overdue);
    assert_eq!(play.go(at(held_up + 60), &mut || 'n').0, overdue);
    // One whose second try comes late has been held up by then.
    let mut play = Play::new("a.example", "");
    assert_eq!(play.at(0, "nn."), "not_sent_once");
    assert_eq!(play.go(at(held_up), &mut || 'n').0, overdue);
    // What was sent, and is denied later, is held up from then on.
    let mut play = Play::new("a.example", "");
    assert_eq!(play.at(0, "y"), "sent");
    let finding = play.go(at(held_up + 60), &mut || 'n').0;
    assert_eq!(finding, Finding::Denied(Denial::Twice));
}

#[test]
fn a_domain_may_take_back_what_it_has_said_twice() {
    for (words, finding) in [
        ("y", "altered"),
        ("u", "unknown"),
        ("n", "not_sent"),
        // A datagram that was lost takes nothing back.
        ("-", "not_sent"),
    ] {
        let mut play = Play::new("a.example", "");
        assert_eq!(play.at(0, "nnn"), "not_sent");
        assert_eq!(play.at(29, ""), "not_sent", "too early to ask");
        assert_eq!(play.at(60, words), finding);
        assert_eq!(play.asked, "id");
    }
    // Who does not know any more what he said twice has said it once.
    for (words, finding) in [("-", "unknown"), ("u", "unknown"), ("n", "not_sent")] {
        let mut play = Play::new("a.example", "");
        assert_eq!(play.at(0, "nnn"), "not_sent");
        assert_eq!(play.at(60, "u"), "unknown");
        assert_eq!(play.at(120, words), finding, "{words}");
    }
    let mut play = Play::new("a.example", "");
    assert_eq!(play.at(0, "nnn"), "not_sent");
    for again in 1..=5 {
        let words = if again <= 3 { "n" } else { "" };
        assert_eq!(play.at(again * 60, words), "not_sent");
    }
    assert_eq!(play.count, MOST_QUESTIONS);
}

/// A report of a domain that has this policy.
fn report(policy: Policy, audit: bool, finding: Finding) -> Report {
    Report {
        domain: Domain::parse("example.org").unwrap(),
        offer: Offer {
            window: 336,
            least_revealed: 80,
            policy,
        },
        audit,
        finding,
        claimed: None,
        asked: Vec::new(),
        steps: Vec::new(),
        ttl: 300,
    }
}

#[test]
fn what_was_heard_of_a_claim_is_about_its_message_alone() {
    let hour = |number| Hour::new(number).unwrap();
    let claim = Claim {
        hour: hour(7),
        digest: Digest::new(1),
    };
    let claimed = Claimed {
        claim,
        server: Some(server(1)),
        word: Some(Word::Sent),
    };
    let heard = claimed.heard_of(hour(7), Digest::new(1)).unwrap();
    assert_eq!((heard.word, heard.server), (claimed.word, claimed.server));
    assert_eq!(claimed.heard_of(hour(8), Digest::new(1)), None);
    assert_eq!(claimed.heard_of(hour(7), Digest::new(2)), None);
    let offered = report(Policy::Reject, false, Finding::Offered);
    let with = offered.with_claim(claimed);
    assert_eq!(
        (with.weight(), with.finding.clone()),
        (Weight::Silent, Finding::Offered)
    );
    assert_ne!(with.sentence(), offered.sentence());
}

proptest! {
    /// Whatever is answered when: *against* comes of "not sent" alone, from every question of the first try and from
    /// another server or later; no message costs more than six questions.
    #[test]
    fn only_what_was_said_again_is_against(
        tries in prop::collection::vec((0_u64..200, "[ynu.-]{8}"), 1..6),
        more in any::<bool>(),
        listed in any::<bool>(),
        is_ahead in any::<bool>(),
    ) {
        let (recipients, elsewhere) = match (more, listed) {
            (false, false) => ("a.example", ""),
            (false, true) => ("a.example", "x.example y.example z.example"),
            (true, false) => ("a.example b.example c.example d.example e.example", ""),
            (true, true) => ("a.example b.example", "x.example"),
        };
        let mut play = Play { is_ahead, ..Play::new(recipients, elsewhere) };
        let (mut now, mut denied_at, mut said) = (0, None, Vec::new());
        let mut was_twice = false;
        for (pause, words) in tries {
            now += pause;
            let mut words = words.chars();
            let mut of_try = String::new();
            let mut next = || {
                let word = words.next().unwrap_or('-');
                of_try.push(word);
                word
            };
            let (finding, _) = play.go(at(now), &mut next);
            said.push((now, of_try.clone()));
            let weight = report(Policy::Reject, false, finding.clone()).weight();
            if weight == Weight::Against {
                let denials = said.iter().map(|(_, words)| words.matches('n').count());
                prop_assert!(denials.sum::<usize>() >= 3, "{:?}", said);
                prop_assert!(!is_ahead);
                if of_try == "n" {
                    // A denial that was repeated at once is as old as the try that it came at.
                    let first: u64 = denied_at.unwrap();
                    prop_assert!(now - first >= 30, "{:?}", said);
                }
            }
            if of_try.contains(['y', 'u']) || of_try.contains(['-', '.']) && !was_twice {
                prop_assert!(weight != Weight::Against, "{:?}", said);
            }
            was_twice = report(Policy::Reject, false, finding.clone()).is_denied_twice();
            if matches!(finding, Finding::Denied(_)) {
                denied_at = denied_at.or(Some(now));
            }
            prop_assert!(report(Policy::None, true, finding).weight() != Weight::Against);
        }
        let answers_stand = said.iter().all(|(_, words)| !words.contains('y'));
        let once = said.iter().filter(|(_, words)| words.len() > 1).count() == 1;
        if answers_stand && once {
            prop_assert!(play.count <= MOST_QUESTIONS, "{:?}", said);
        }
    }
}

#[test]
fn what_it_weighs_follows_from_what_was_said_and_wanted() {
    let elsewhere = Meaning::SentElsewhere(Domain::parse("x.example").unwrap());
    for (finding, reject, none, disputes) in [
        (Finding::Offered, Weight::Silent, Weight::Silent, None),
        (
            Finding::NotAsked(NotAsked::NoDate),
            Weight::Silent,
            Weight::Silent,
            None,
        ),
        (
            Finding::Answered(Meaning::Sent),
            Weight::Proves,
            Weight::Proves,
            None,
        ),
        (
            Finding::Answered(Meaning::SentToSome),
            Weight::Clears,
            Weight::Clears,
            None,
        ),
        (
            Finding::Answered(elsewhere),
            Weight::Clears,
            Weight::Clears,
            None,
        ),
        (
            Finding::Answered(Meaning::Altered),
            Weight::Silent,
            Weight::Silent,
            None,
        ),
        (
            Finding::Answered(Meaning::Unknown),
            Weight::Silent,
            Weight::Silent,
            None,
        ),
        (
            Finding::Denied(Denial::Ahead),
            Weight::Silent,
            Weight::Silent,
            None,
        ),
        (
            Finding::Denied(Denial::Once),
            Weight::Trouble,
            Weight::Silent,
            Some(Weight::Trouble),
        ),
        (
            Finding::Denied(Denial::Twice),
            Weight::Against,
            Weight::Silent,
            Some(Weight::Trouble),
        ),
        (
            Finding::Denied(Denial::Overdue),
            Weight::Against,
            Weight::Silent,
            Some(Weight::Clears),
        ),
    ] {
        let of = |policy, audit| report(policy, audit, finding.clone());
        assert_eq!(of(Policy::Reject, false).weight(), reject, "{finding:?}");
        assert_eq!(of(Policy::None, false).weight(), none, "{finding:?}");
        assert_eq!(of(Policy::Reject, true).disputes(), disputes, "{finding:?}");
        assert_eq!(of(Policy::None, true).disputes(), None, "{finding:?}");
        assert_eq!(of(Policy::Reject, false).disputes(), None, "{finding:?}");
        for weight in [Weight::Trouble, Weight::Against] {
            let refusal = of(Policy::Reject, false).refusal(weight).unwrap();
            assert!(refusal.code() == 451 || refusal.code() == 550);
        }
        assert!(!of(Policy::Reject, false).sentence().is_empty());
    }
}

#[test]
fn one_network_drives_out_only_its_own_messages() {
    let mut memory = Memory::default();
    let once = Finding::Denied(Denial::Once);
    memory.note((1, server(1)), &once, 2, at(0));
    let flood: IpAddr = Ipv4Addr::new(10, 0, 0, 1).into();
    for number in 0..2 * MAX_PER_NETWORK as u128 {
        memory.note((100 + number, flood), &once, 2, at(1));
    }
    assert_eq!(memory.len(), MAX_PER_NETWORK + 1);
    assert_eq!(memory.before((1, server(1)), at(40)).denied, 1);
    assert_eq!(memory.before((100, server(1)), at(40)), Before::default());
}

#[test]
fn a_flood_of_forgeries_drives_out_itself_and_silence_forgets() {
    let mut memory = Memory::default();
    let note = |memory: &mut Memory, number, client, denial, now| {
        let finding = Finding::Denied(denial);
        memory.note((number, client), &finding, 2, now);
    };
    note(&mut memory, 1, server(1), Denial::Once, at(0));
    note(&mut memory, 1, server(1), Denial::Twice, at(60));
    for number in 0..MAX_ENTRIES as u128 + 500 {
        let [.., high, low] = number.to_be_bytes();
        let client = Ipv4Addr::new(10, high, low, 1).into();
        note(&mut memory, 100 + number, client, Denial::Once, at(61));
    }
    assert_eq!(memory.len(), MAX_ENTRIES);
    let before = memory.before((1, server(1)), at(3600));
    assert_eq!(
        (before.denied, before.since_first),
        (2, Duration::from_hours(1))
    );
    // A day later all of it is gone with the next that comes.
    let later = at(2 * 86_400);
    assert_eq!(memory.before((1, server(1)), later), Before::default());
    note(&mut memory, 2, server(1), Denial::Once, later);
    assert_eq!(memory.len(), 1);
}

/// A network that brings more than can be remembered, hour after hour: nothing of it is held up for ever.
#[test]
fn what_there_is_no_room_to_remember_is_held_up_no_longer_than_anything() {
    let client: IpAddr = Ipv4Addr::new(10, 0, 0, 1).into();
    let held_up = HELD_UP.as_secs();
    let mut memory = Memory::default();
    let mut say = |number: u128, words: &str, seconds: u64| {
        let before = memory.before((number, client), at(seconds));
        let recipients = domains("a.example");
        let mut course = Course::new(&recipients, &[], (Policy::Reject, false), before);
        let mut words = words.chars();
        let mut heard = || Heard {
            word: words.next().map(|_| Word::NotSent),
            server: Some(server(1)),
        };
        let mut next = course.begin();
        loop {
            next = match next {
                Move::Done(finding) => {
                    memory.note((number, client), &finding, course.asked(), at(seconds));
                    return finding;
                }
                Move::Ask(about) => {
                    let all: Vec<_> = about.iter().map(|_| heard()).collect();
                    course.answered(&all)
                }
                Move::AskAnother(..) => course.answered(&[heard()]),
            }
        }
    };
    let (once, twice) = ("nn", "nnn");
    for number in 0..=MAX_PER_NETWORK as u128 {
        assert_eq!(say(number, twice, 0), Finding::Denied(Denial::Twice));
    }
    // The first of them was driven out, and begins anew, as all do that come when there is no room.
    assert_eq!(say(0, once, 60), Finding::Denied(Denial::Once));
    assert_eq!(say(7_000, once, held_up - 1), Finding::Denied(Denial::Once));
    // For as long as anything is held up there was none: now what is said once counts for nothing.
    let unknown = Finding::Answered(Meaning::Unknown);
    assert_eq!(say(8_000, once, held_up), unknown);
    let overdue = Finding::Denied(Denial::Overdue);
    assert_eq!(say(8_001, twice, held_up), overdue);
    // A day without that, and there is room again.
    let later = held_up + 2 * 86_400;
    assert_eq!(say(9_000, once, later), Finding::Denied(Denial::Once));
}
