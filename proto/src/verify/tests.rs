//! Fusion and timing: every weight beside every other, and every kind of evidence that is known at
//! MAIL beside the others.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use super::mail_from::{Identity, Reason, Report};
use super::timing::{Moment, Possible};
use super::{Evidence, Verdict, VerdictResult, Weight, forwarder, fuse, sender_domain};
use crate::addr::Domain;

#[test]
fn the_strongest_evidence_decides_in_every_company() {
    use Weight::{Against, Clears, Condemns, Proves, Silent, Trouble};
    let weights = [Proves, Clears, Condemns, Against, Silent, Trouble];
    for subset in 1..1_usize << weights.len() {
        let of = weights.iter().enumerate();
        let of = of.filter(|(at, _)| subset >> at & 1 == 1);
        let mut company: Vec<_> = of.map(|(_, weight)| *weight).collect();
        let any = |weight| company.contains(&weight);
        // DESIGN §3, said once more and in another way: by what is left when the rest is gone.
        let expected = match () {
            () if any(Proves) => VerdictResult::Authorised,
            () if any(Clears) && !any(Condemns) => VerdictResult::Unknown,
            () if any(Trouble) => VerdictResult::Tempfail,
            () if any(Against) || any(Condemns) => VerdictResult::Repudiated,
            () => VerdictResult::Unknown,
        };
        assert_eq!(fuse(&company), expected, "{company:?}");
        company.reverse();
        assert_eq!(fuse(&company), expected, "{company:?}");
    }
}

fn domain() -> Domain {
    Domain::parse("example.org").unwrap()
}

fn mail_from_as(reason: Reason, identity: Identity) -> Evidence {
    let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));
    Evidence::MailFrom(Arc::new(Report {
        domain: Some(domain()),
        ..Report::unasked(reason, client, identity)
    }))
}

fn mail_from(reason: Reason) -> Evidence {
    mail_from_as(reason, Identity::ReversePath)
}

fn sender_domain(finding: sender_domain::Finding) -> Evidence {
    Evidence::SenderDomain(Arc::new(sender_domain::Report {
        domain: domain(),
        finding,
        trouble: None,
        ttl: Some(300),
        questions: 1,
        steps: Vec::new(),
    }))
}

fn forwarder(standing: forwarder::Standing) -> Evidence {
    Evidence::Forwarder(Arc::new(forwarder::Report {
        forwarder: Domain::parse("forwarder.example").unwrap(),
        standing,
        evidence: Vec::new(),
    }))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_verdict_keeps_its_evidence_and_refuses_with_its_words() {
    use sender_domain::Finding::{Absent, NotKnown, NullMx, Sound};
    let relay = |local_domain| Evidence::RelayClient { local_domain };
    let table = [
        (mail_from(Reason::Host), None, "authorised", None),
        (mail_from(Reason::Limits), None, "unknown", None),
        (
            mail_from(Reason::NotListed),
            None,
            "repudiated",
            Some((550, "5.7.1")),
        ),
        (
            mail_from(Reason::Temporary),
            None,
            "tempfail",
            Some((450, "4.4.3")),
        ),
        (
            relay(true),
            Some(mail_from(Reason::NotListed)),
            "authorised",
            None,
        ),
        (
            relay(true),
            Some(mail_from(Reason::Temporary)),
            "authorised",
            None,
        ),
        (
            relay(false),
            Some(mail_from(Reason::NotListed)),
            "repudiated",
            Some((550, "5.7.1")),
        ),
        (relay(false), None, "unknown", None),
        (
            mail_from(Reason::Unpublished),
            Some(sender_domain(Sound)),
            "unknown",
            None,
        ),
        (
            mail_from(Reason::Unpublished),
            Some(sender_domain(NotKnown)),
            "unknown",
            None,
        ),
        (
            mail_from(Reason::Unpublished),
            Some(sender_domain(Absent)),
            "repudiated",
            Some((550, "5.1.8")),
        ),
        (
            mail_from(Reason::Unpublished),
            Some(sender_domain(NullMx)),
            "repudiated",
            Some((550, "5.7.27")),
        ),
        (
            mail_from(Reason::NotListed),
            Some(sender_domain(NullMx)),
            "repudiated",
            Some((550, "5.7.27")),
        ),
        (
            mail_from(Reason::Temporary),
            Some(sender_domain(NullMx)),
            "tempfail",
            Some((450, "4.4.3")),
        ),
        (
            mail_from(Reason::Host),
            Some(sender_domain(NullMx)),
            "authorised",
            None,
        ),
        (
            mail_from(Reason::NotListed),
            Some(forwarder(forwarder::Standing::BorderRelay)),
            "unknown",
            None,
        ),
        (
            mail_from(Reason::NotListed),
            Some(forwarder(forwarder::Standing::Lasting)),
            "unknown",
            None,
        ),
        (
            mail_from(Reason::NotListed),
            Some(forwarder(forwarder::Standing::Stranger)),
            "repudiated",
            Some((550, "5.7.1")),
        ),
        (
            mail_from(Reason::NotListed),
            Some(forwarder(forwarder::Standing::NotKnown)),
            "tempfail",
            Some((451, "4.4.3")),
        ),
        (
            mail_from(Reason::Temporary),
            Some(forwarder(forwarder::Standing::BorderRelay)),
            "unknown",
            None,
        ),
        (
            mail_from(Reason::Host),
            Some(forwarder(forwarder::Standing::NotKnown)),
            "authorised",
            None,
        ),
        (
            sender_domain(Absent),
            Some(forwarder(forwarder::Standing::BorderRelay)),
            "repudiated",
            Some((550, "5.1.8")),
        ),
        (
            sender_domain(NullMx),
            Some(Evidence::Postmaster),
            "repudiated",
            Some((550, "5.7.27")),
        ),
        (
            mail_from(Reason::NotListed),
            Some(Evidence::Postmaster),
            "unknown",
            None,
        ),
        (
            mail_from(Reason::Temporary),
            Some(Evidence::Lasting),
            "unknown",
            None,
        ),
    ];
    for (first, second, word, refusal) in table {
        let pieces = 1 + usize::from(second.is_some());
        let verdict = Verdict::of(first.clone(), second.clone());
        assert_eq!(verdict, Verdict::of(first, []).with(second));
        assert_eq!(verdict.result().to_string(), word, "{verdict:?}");
        let reply = verdict.refusal();
        let said = reply.map(|reply| (reply.code(), reply.enhanced().unwrap().to_string()));
        let refusal = refusal.map(|(code, enhanced)| (code, enhanced.to_string()));
        assert_eq!(said, refusal, "{verdict:?}");
        assert_eq!(verdict.evidence().len(), pieces);
    }
}

#[test]
fn trouble_that_lasts_takes_nothing_but_the_trouble_away() {
    let verdict = Verdict::of(mail_from(Reason::Temporary), []).lasting();
    assert_eq!(verdict.result(), VerdictResult::Unknown);
    assert_eq!(verdict.mail_from().unwrap().reason, Reason::Dns);
    assert_eq!(verdict.keep_for(), 0);
}

#[test]
fn a_refusal_waits_for_what_could_still_clear_it() {
    let none = Possible::default();
    let forwarders = Possible {
        forwarders: true,
        ..none
    };
    let postmaster = Possible {
        postmaster: true,
        ..none
    };
    let dkim = Possible { dkim: true, ..none };
    let rescues = Possible {
        dkim_rescues: true,
        ..dkim
    };
    let both = Possible {
        forwarders: true,
        ..dkim
    };
    let of = |evidence| Verdict::of(evidence, []);
    let not_listed = of(mail_from(Reason::NotListed));
    let temporary = of(mail_from(Reason::Temporary));
    let table = [
        (none, &not_listed, Moment::Mail),
        (forwarders, &not_listed, Moment::Recipient),
        (postmaster, &not_listed, Moment::Recipient),
        (dkim, &not_listed, Moment::Mail),
        (both, &not_listed, Moment::Recipient),
        (rescues, &not_listed, Moment::EndOfData),
        (none, &temporary, Moment::Mail),
        (forwarders, &temporary, Moment::Recipient),
        (rescues, &temporary, Moment::Mail),
        (both, &of(mail_from(Reason::Host)), Moment::Mail),
        (both, &of(mail_from(Reason::Unpublished)), Moment::Mail),
        (
            rescues,
            &of(sender_domain(sender_domain::Finding::Absent)),
            Moment::Mail,
        ),
        (
            forwarders,
            &of(sender_domain(sender_domain::Finding::NullMx)),
            Moment::Mail,
        ),
        (
            rescues,
            &of(mail_from_as(Reason::NotListed, Identity::Helo)),
            Moment::Mail,
        ),
    ];
    for (at, (possible, verdict, moment)) in table.into_iter().enumerate() {
        assert_eq!(possible.said_at(verdict), moment, "row {at}: {possible:?}");
    }
}
