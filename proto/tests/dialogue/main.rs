//! Every dialogue of `testdata/dialogue` against the pure receive machine, on a fake clock: whole,
//! line by line, octet by octet, and split in two at every octet. It must come out the same.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod machine;
mod script;
mod smuggling;
#[path = "../world/mod.rs"]
mod world;

use std::path::{Path, PathBuf};

use machine::{Machine, Split};
use script::{Queued, Script, Step, matches};

/// All dialogues, by name.
fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/dialogue");
    let entries = std::fs::read_dir(folder).expect("the folder");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "smtp")
        })
        .collect();
    paths.sort();
    paths
}

/// Runs a dialogue.
struct Run<'a> {
    script: &'a Script,
    split: Split,
    machine: Machine,
    /// Lines said and not yet expected.
    heard: Vec<String>,
    /// Octets sent so far.
    sent: usize,
}

impl<'a> Run<'a> {
    fn new(script: &'a Script, split: Split) -> Self {
        let mut machine = Machine::new(script);
        assert_eq!(machine.heard(), ["220 mx.example.org ESMTP"]);
        Self {
            script,
            split,
            machine,
            heard: Vec::new(),
            sent: 0,
        }
    }

    fn go(mut self) {
        let dialogue =
            |step: &Step| matches!(step, Step::Send(_) | Step::Expect(_) | Step::ExpectHello);
        let mut steps = &self.script.steps[..];
        while !steps.is_empty() {
            let length = steps.iter().take_while(|step| dialogue(step)).count();
            let (talk, rest) = steps.split_at(length);
            self.talk(talk);
            steps = match rest.split_first() {
                Some((event, rest)) => {
                    self.happen(event);
                    rest
                }
                None => rest,
            };
        }
        if !self.machine.is_closed() {
            self.machine.end();
        }
        self.nothing_more();
        self.check_queue();
    }

    /// Sends and expects, up to the next event.
    fn talk(&mut self, talk: &[Step]) {
        if matches!(self.split, Split::Lines) {
            for step in talk {
                match step {
                    Step::Send(octets) => self.machine.send(&[octets]),
                    expected => self.expect(expected),
                }
            }
            return;
        }
        let sent = talk.iter().filter_map(|step| match step {
            Step::Send(octets) => Some(&octets[..]),
            _ => None,
        });
        let octets = sent.collect::<Vec<_>>().concat();
        match self.split {
            Split::Octets => self.machine.send(&octets.chunks(1).collect::<Vec<_>>()),
            Split::At(at) => {
                let at = at.saturating_sub(self.sent).min(octets.len());
                let (front, back) = octets.split_at(at);
                self.machine.send(&[front, back]);
            }
            Split::Whole | Split::Lines => self.machine.send(&[&octets]),
        }
        self.sent += octets.len();
        for step in talk {
            if !matches!(step, Step::Send(_)) {
                self.expect(step);
            }
        }
    }

    fn expect(&mut self, expected: &Step) {
        self.heard.extend(self.machine.heard());
        let last = match expected {
            // All but the last line of a reply have a hyphen behind the code.
            Step::ExpectHello => {
                let more = |line: &&String| line.starts_with("250-");
                self.heard.iter().take_while(more).count()
            }
            _ => 0,
        };
        match (expected, self.heard.get(last)) {
            (Step::Expect(pattern), Some(line)) if matches(pattern, line) => {}
            (Step::ExpectHello, Some(line)) if line.starts_with("250 ") => {}
            (_, said) => {
                let (name, split) = (&self.script.name, self.split);
                panic!("{name} {split:?}: {expected:?} but {said:?}");
            }
        }
        self.heard.drain(..=last);
    }

    fn happen(&mut self, event: &Step) {
        self.nothing_more();
        match event {
            Step::Tls => self.machine.start_tls(),
            Step::Time(span) => self.machine.pass(*span),
            Step::Spool(operation, reply) => self.machine.fail(*operation, reply),
            Step::Shutdown => self.machine.shut_down(),
            Step::End => self.machine.end(),
            Step::Closed => assert!(self.machine.is_closed(), "{}: not closed", self.script.name),
            Step::Send(_) | Step::Expect(_) | Step::ExpectHello => unreachable!(),
        }
    }

    /// Everything that was said was expected.
    fn nothing_more(&mut self) {
        self.heard.extend(self.machine.heard());
        let heard = &self.heard;
        assert!(
            heard.is_empty(),
            "{} {:?}: also {heard:?}",
            self.script.name,
            self.split
        );
    }

    fn check_queue(&self) {
        let (name, queued) = (&self.script.name, self.machine.queued());
        let envelopes = |of: &[Queued]| of.iter().map(|q| q.envelope.clone()).collect::<Vec<_>>();
        assert_eq!(envelopes(queued), envelopes(&self.script.queued), "{name}");
        for (found, expected) in queued.iter().zip(&self.script.queued) {
            if expected.marks.is_some() {
                assert_eq!(found.marks, expected.marks, "{name}");
            }
            for part in &expected.trace {
                assert!(
                    found.trace[0].contains(part),
                    "{name}: {part:?} in {found:?}"
                );
            }
            let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
            assert_eq!(text(&found.content), text(&expected.content), "{name}");
            assert!(found.content == expected.content, "{name}: content differs");
        }
    }
}

#[test]
fn every_dialogue_comes_out_the_same_however_it_is_split() {
    let corpus = corpus();
    assert!(corpus.len() >= 60, "only {} dialogues", corpus.len());
    let wrong = corpus.iter().filter(|path| {
        // Each wrong dialogue prints what is wrong with it; the others are told too.
        std::panic::catch_unwind(|| run_split(&Script::load(path))).is_err()
    });
    let wrong: Vec<_> = wrong.map(|path| path.display()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Runs a dialogue in every way of splitting it.
fn run_split(script: &Script) {
    let sent = script.steps.iter().map(|step| match step {
        Step::Send(octets) => octets.len(),
        _ => 0,
    });
    let sent: usize = sent.sum();
    for split in [Split::Lines, Split::Whole, Split::Octets] {
        Run::new(script, split).go();
    }
    // Long ones repeat themselves; fifty places will do there.
    let stride = if sent > 1000 { sent / 50 } else { 1 };
    for at in (1..sent).step_by(stride) {
        Run::new(script, Split::At(at)).go();
    }
}
