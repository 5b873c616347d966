//! What each kind of evidence tells, and that nothing is told of those whom we relay for.

use super::*;
use crate::verify::dkim::{self, Skipped};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;

fn client() -> IpAddr {
    "192.0.2.7".parse().unwrap()
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn mail_from(reason: Reason, identity: mail_from::Identity, asked: &str) -> Evidence {
    Evidence::MailFrom(Arc::new(mail_from::Report {
        domain: Domain::parse(asked).ok(),
        ..mail_from::Report::unasked(reason, client(), identity)
    }))
}

fn spf(result: SpfResult, identity: spf::Identity, asked: &str) -> Evidence {
    Evidence::Spf(Arc::new(spf::Report {
        domain: Domain::parse(asked).ok(),
        ..spf::Report::unasked(result, identity, client())
    }))
}

/// The fields, unfolded, a line each.
fn told(reverse_path: &str, evidence: Vec<Evidence>) -> Vec<String> {
    let mut evidence = evidence.into_iter();
    let verdict = Verdict::of(evidence.next().unwrap(), evidence);
    let told = Told {
        verdict: &verdict,
        result: verdict.result(),
        reverse_path: &ReversePath::parse_inside(reverse_path).unwrap(),
        helo: "out.example.net",
        authserv_id: &domain("example.org"),
        receiver: &domain("mx.example.org"),
    };
    let fields = told.to_fields().replace("\r\n\t", " ");
    fields.lines().map(ToString::to_string).collect()
}

#[test]
fn an_authorised_message_says_by_what() {
    let reverse_path = mail_from::Identity::ReversePath;
    let evidence = vec![mail_from(Reason::Host, reverse_path, "example.net")];
    assert_eq!(
        told("ann@Example.NET", evidence),
        ["Authentication-Results: example.org; \
          x-vouchsafe=authorised smtp.mailfrom=ann@example.net smtp.remote-ip=192.0.2.7; \
          x-mailfrom-mx=pass reason=host smtp.mailfrom=ann@example.net"]
    );
}

#[test]
fn everything_that_was_looked_at_is_told() {
    let absent = sender_domain::Report {
        domain: domain("example.net"),
        finding: sender_domain::Finding::Absent,
        trouble: None,
        ttl: None,
        questions: 1,
        steps: Vec::new(),
    };
    let forwarder = |standing| {
        Evidence::Forwarder(Arc::new(forwarder::Report {
            forwarder: domain("netbsd.org"),
            standing,
            evidence: Vec::new(),
        }))
    };
    let dkim = Evidence::Dkim {
        report: Arc::new(dkim::Report::skipped(Skipped::NoSignature)),
        reverse_path: ReversePath::Null,
        rescues: false,
    };
    let reverse_path = mail_from::Identity::ReversePath;
    let evidence = vec![
        mail_from(Reason::NotListed, reverse_path, "example.net"),
        spf(SpfResult::PermError, spf::Identity::MailFrom, "example.net"),
        Evidence::SenderDomain(Arc::new(absent)),
        forwarder(forwarder::Standing::BorderRelay),
        forwarder(forwarder::Standing::Stranger),
        dkim,
    ];
    assert_eq!(
        told("ann@example.net", evidence),
        [
            "Authentication-Results: example.org; \
             x-vouchsafe=repudiated reason=\"an outer host of ours had accepted it\" \
             smtp.mailfrom=ann@example.net smtp.remote-ip=192.0.2.7; \
             x-mailfrom-mx=fail reason=not_listed smtp.mailfrom=ann@example.net; \
             spf=permerror smtp.mailfrom=ann@example.net; \
             x-sender-domain=fail reason=\"the domain does not exist\" \
             smtp.mailfrom=example.net; \
             x-forwarder=pass policy.domain=netbsd.org; \
             dkim=none",
            "Received-SPF: permerror (mx.example.org: what the domain publishes cannot be \
             followed) receiver=mx.example.org; identity=mailfrom; client-ip=192.0.2.7; \
             envelope-from=\"ann@example.net\"; helo=out.example.net; mechanism=default",
        ]
    );
}

#[test]
fn a_null_reverse_path_is_told_by_its_helo() {
    let evidence = vec![
        mail_from(
            Reason::Unpublished,
            mail_from::Identity::Helo,
            "out.example.net",
        ),
        spf(SpfResult::TempError, spf::Identity::Helo, "out.example.net"),
    ];
    assert_eq!(
        told("", evidence),
        [
            "Authentication-Results: example.org; x-vouchsafe=tempfail smtp.remote-ip=192.0.2.7; \
             x-mailfrom-mx=none reason=unpublished smtp.helo=out.example.net; \
             spf=temperror smtp.helo=out.example.net",
            "Received-SPF: temperror (mx.example.org: not to be known now) \
             receiver=mx.example.org; identity=helo; client-ip=192.0.2.7; envelope-from=\"<>\"; \
             helo=out.example.net; mechanism=default; problem=\"temporary DNS failure\"",
        ]
    );
}

#[test]
fn nothing_is_told_of_those_we_relay_for() {
    for local_domain in [false, true] {
        let evidence = vec![Evidence::RelayClient { local_domain }];
        assert_eq!(told("ann@example.org", evidence), [""; 0]);
    }
}

#[test]
fn every_reason_has_a_word_of_its_kind() {
    for (reason, expected) in [
        (Reason::Host, "pass"),
        (Reason::HeloHost, "pass"),
        (Reason::NotListed, "fail"),
        (Reason::NeverSends, "fail"),
        (Reason::Temporary, "temperror"),
        (Reason::Dns, "temperror"),
        (Reason::Unpublished, "none"),
        (Reason::OrdinaryMx, "neutral"),
        (Reason::Limits, "permerror"),
        (Reason::Empty, "permerror"),
        (Reason::Wildcard, "neutral"),
        (Reason::Perimeter, "neutral"),
        (Reason::Null, "none"),
        (Reason::Literal, "none"),
        (Reason::NoDomain, "none"),
        (Reason::Unusable, "none"),
        (Reason::TooLong, "none"),
    ] {
        assert_eq!(word(reason), expected, "{reason}");
    }
}

#[test]
fn what_the_domain_answered_is_told() {
    use crate::residue::inquiry::Meaning;
    use crate::residue::{Offer, Policy};
    use crate::verify::ledger::{Denial, Finding, Report};
    let of = |finding| {
        let report = Report {
            domain: domain("example.net"),
            offer: Offer {
                window: 336,
                least_revealed: 80,
                policy: Policy::Reject,
            },
            audit: false,
            finding,
            claimed: None,
            asked: vec![],
            steps: vec![],
            ttl: 300,
        };
        let first = mail_from(
            Reason::Unpublished,
            mail_from::Identity::ReversePath,
            "example.net",
        );
        told(
            "ann@example.net",
            vec![first, Evidence::Ledger(Arc::new(report))],
        )
        .remove(0)
    };
    let elsewhere = Meaning::SentElsewhere(domain("old.example"));
    for (finding, expected) in [
        (
            Finding::Answered(Meaning::Sent),
            "; x-ledger=pass reason=sent ",
        ),
        (
            Finding::Answered(elsewhere),
            "; x-ledger=neutral reason=\"sent elsewhere\" ",
        ),
        (Finding::Answered(Meaning::Unknown), "; x-ledger=none "),
        (
            Finding::Denied(Denial::Twice),
            "; x-ledger=fail reason=\"not sent\" ",
        ),
    ] {
        let field = of(finding);
        assert!(field.contains(expected), "{field}");
        assert!(field.ends_with("smtp.mailfrom=ann@example.net"), "{field}");
    }
    assert!(!of(Finding::Offered).contains("x-ledger"));
}
