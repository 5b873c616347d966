//! One message through the receive machine, whose questions are answered as the daemon answers
//! them: by the inquiry about the reverse-path, by one about each declared forwarder, and by what
//! the scenario says of signatures.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use vouchsafe_proto::addr::{Domain, ReversePath};
use vouchsafe_proto::custody::Custody;
use vouchsafe_proto::envelope::Clearance;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::smtp::receive::{
    Action, Answer, Ask, Begun, Input, Limits, Peer, Session, Settings,
};
use vouchsafe_proto::time::{Mono, Now, Wall};
use vouchsafe_proto::verify::inquiry::Tests;
use vouchsafe_proto::verify::ledger;
use vouchsafe_proto::verify::mail_from::Request;
use vouchsafe_proto::verify::timing::{Bounces, Moment, Possible};
use vouchsafe_proto::verify::{Evidence, Verdict, VerdictResult, Weight};

use crate::corpus::Scenario;
use crate::world::World;
use crate::world::drive::{about_forwarder, inquire, request};

/// Our one domain.
const LOCAL: &str = "example.com";

/// What came of one message.
pub struct Ended {
    /// The verdict, with all evidence that was looked at.
    pub verdict: Verdict,
    /// Code and enhanced code of the refusal; none if the message was accepted.
    pub reply: Option<String>,
    /// To which command it was the reply.
    pub moment: Option<Moment>,
}

/// A session on its way.
struct Run<'a> {
    world: &'a World,
    scenario: &'a Scenario,
    /// What asking the domain's ledger comes to, if it has one.
    ledger: Option<&'a ledger::Report>,
    session: Session,
    client: IpAddr,
    verdict: Option<Verdict>,
    accepted_as: Option<String>,
    said: Vec<u8>,
}

/// Plays one message.
pub fn run(world: &World, scenario: &Scenario) -> Ended {
    run_with(world, scenario, None)
}

/// The same, if the domain of the reverse-path has a ledger, and asking it comes to this.
pub fn run_with(world: &World, scenario: &Scenario, ledger: Option<&ledger::Report>) -> Ended {
    let client: IpAddr = scenario.client.parse().unwrap();
    let peer = Peer {
        address: (client, 4025).into(),
        may_relay: may_relay(scenario, client),
        is_front: false,
    };
    let mut run = Run {
        world,
        scenario,
        ledger,
        session: Session::new(Arc::new(settings(scenario)), peer),
        client,
        verdict: None,
        accepted_as: None,
        said: Vec::new(),
    };
    run.step(Input::Connected);
    let signature = if scenario.signatures.is_empty() {
        ""
    } else {
        "DKIM-Signature: v=1\r\n"
    };
    run.say(&format!("EHLO {}\r\n", scenario.helo));
    for (moment, said) in [
        (
            Moment::Mail,
            format!("MAIL FROM:<{}>\r\n", scenario.mail_from),
        ),
        (
            Moment::Recipient,
            format!("RCPT TO:<{}>\r\n", scenario.recipient),
        ),
        (
            Moment::EndOfData,
            format!("DATA\r\n{signature}Subject: x\r\n\r\nhello\r\n.\r\n"),
        ),
    ] {
        let heard = run.say(&said);
        let last = heard.lines().last().unwrap().to_owned();
        if !last.starts_with('2') {
            let reply = last.replacen('-', " ", 1);
            let code: Vec<_> = reply.split(' ').take(2).collect();
            assert_eq!(run.accepted_as, None);
            return run.ended(Some(code.join(" ")), Some(moment));
        }
    }
    let accepted_as = run.accepted_as.clone();
    let ended = run.ended(None, None);
    assert_eq!(accepted_as, Some(ended.verdict.result().to_string()));
    ended
}

/// True if the client is in a network that we relay for.
fn may_relay(scenario: &Scenario, client: IpAddr) -> bool {
    let networks = scenario.relay_from.iter();
    networks
        .map(|network| network.parse::<ipnet::IpNet>().unwrap())
        .any(|network| network.contains(&client))
}

fn settings(scenario: &Scenario) -> Settings {
    let hostname = Domain::parse("mx.example.com").unwrap();
    Settings {
        authserv_id: hostname.clone(),
        hostname,
        limits: Limits::default(),
        starttls: false,
        require_tls: false,
        holds: false,
        xhold: None,
        xvouch: false,
        helo_syntax: true,
        possible: Possible {
            forwarders: !scenario.forwarders.is_empty(),
            postmaster: false,
            dkim: true,
            dkim_rescues: scenario.dkim_rescues,
            bounces: Bounces::Taken,
        },
    }
}

impl Run<'_> {
    fn ended(self, reply: Option<String>, moment: Option<Moment>) -> Ended {
        Ended {
            verdict: self.verdict.expect("a verdict"),
            reply,
            moment,
        }
    }

    /// Sends; gives what is answered.
    fn say(&mut self, octets: &str) -> String {
        self.said.clear();
        self.step(Input::Bytes(octets.as_bytes()));
        String::from_utf8(self.said.clone()).unwrap()
    }

    fn step(&mut self, input: Input<'_>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut actions = Vec::new();
            self.session.step(input, at(1000), &mut actions);
            for action in actions {
                match action {
                    Action::Write(octets) => self.said.extend(octets),
                    Action::Ask(id, ask) => inputs.push_back(Input::Answer(id, self.answer(ask))),
                    _ => {}
                }
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the test is the spool")]
    fn answer(&mut self, ask: Ask) -> Answer {
        let id = QueueId::new(Wall::from_secs(1), 1);
        match ask {
            Ask::Verify {
                reverse_path, helo, ..
            } => {
                let verdict = self.at_mail(reverse_path, &helo);
                self.verdict = Some(verdict.clone());
                Answer::Verdict(Arc::new(verdict))
            }
            Ask::Recipient { doubted, .. } => {
                let each = self
                    .scenario
                    .forwarders
                    .iter()
                    .filter(|_| doubted.is_some());
                let evidence: Vec<_> = each.map(|forwarder| self.about(forwarder)).collect();
                self.add(evidence.clone());
                Answer::Recipient(Ok(evidence))
            }
            Ask::Content {
                verdict,
                reverse_path,
                is_signed,
                ..
            } => {
                let dkim = is_signed.then(|| Evidence::Dkim {
                    report: Arc::new(self.scenario.signed().unwrap()),
                    reverse_path,
                    rescues: self.scenario.dkim_rescues,
                });
                self.add(dkim.clone());
                let mut verdict = verdict.with(dkim);
                if verdict.asks_ledger() {
                    let report = self.ledger.expect("a ledger");
                    verdict = verdict.with_ledger(report.clone());
                    let looked_at = self.verdict.take().expect("a verdict at MAIL");
                    self.verdict = Some(looked_at.with_ledger(report.clone()));
                }
                Answer::Verdict(Arc::new(verdict))
            }
            Ask::Begin { .. } => Answer::Begun(Ok(Begun::to_keep(id))),
            Ask::Commit(envelope) => {
                self.accepted_as = Some(envelope.verdict.to_string());
                assert_eq!(envelope.clearance, self.clearance(), "who may get a report");
                Answer::Committed(Ok(Custody::of_durable_message(id)))
            }
            ask => panic!("{ask:?}"),
        }
    }

    /// What a forwarder's word alone let in has no report to its reverse-path.
    fn clearance(&self) -> Clearance {
        let verdict = self.verdict.as_ref().expect("a verdict at MAIL");
        let forwarded = verdict.weighed().any(|(piece, weight)| {
            matches!(piece, Evidence::Forwarder(_)) && weight == Weight::Clears
        });
        let mut others = verdict.evidence().to_vec();
        others.retain(|piece| !matches!(piece, Evidence::Forwarder(_)));
        let others = Verdict::of(others.remove(0), others);
        let is_refused = matches!(
            others.result(),
            VerdictResult::Repudiated | VerdictResult::Tempfail
        );
        if forwarded && is_refused && verdict.result() != VerdictResult::Authorised {
            Clearance::Declared
        } else {
            Clearance::Unneeded
        }
    }

    /// Adds to what was looked at.
    fn add(&mut self, evidence: impl IntoIterator<Item = Evidence>) {
        let verdict = self.verdict.take().expect("a verdict at MAIL");
        self.verdict = Some(verdict.with(evidence));
    }

    fn at_mail(&self, reverse_path: ReversePath, helo: &str) -> Verdict {
        if may_relay(self.scenario, self.client) {
            let domain = reverse_path.domain().map(Domain::as_ascii);
            let local_domain = domain == Some(LOCAL);
            return Verdict::of(Evidence::RelayClient { local_domain }, []);
        }
        self.inquire(reverse_path, helo)
    }

    fn about(&self, name: &str) -> Evidence {
        let domain = Domain::parse(name).unwrap();
        let request = request(&self.scenario.client, &self.scenario.helo, "");
        about_forwarder(self.world, domain, request, Tests::default())
    }

    /// Everything that is known at MAIL.
    fn inquire(&self, reverse_path: ReversePath, helo: &str) -> Verdict {
        let request = request(&self.scenario.client, helo, "");
        let request = Request {
            reverse_path,
            ..request
        };
        let domain = request.reverse_path.domain().cloned();
        let verdict = inquire(self.world, request, Tests::default());
        let Some((report, domain)) = self.ledger.zip(domain) else {
            return verdict;
        };
        // Of what is proven only an audit is told.
        let is_listed = verdict.mail_from_weight() == Weight::Proves;
        if is_listed && !report.audit {
            return verdict;
        }
        let offered = ledger::Report {
            domain,
            finding: ledger::Finding::Offered,
            ..report.clone()
        };
        verdict.with([Evidence::Ledger(Arc::new(offered))])
    }
}

/// Both clocks at once.
fn at(millis: u64) -> Now {
    Now {
        mono: Mono::from_millis(millis),
        wall: Wall::from_millis(1_795_256_100_000 + millis),
    }
}
