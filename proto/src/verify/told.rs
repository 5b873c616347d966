//! What a verdict tells those behind us: results for `Authentication-Results`, and `Received-SPF`.
//!
//! Results by registered methods are said as RFC 8601 §2.7 has them. Others are ours
//! (docs/trace-fields.md): `x-vouchsafe` is the verdict itself, and the mark of a message that was
//! stored though it is repudiated; `x-mailfrom-mx` is the MAIL-FROM MX check, `x-ledger` what the
//! domain answered when it was asked whether it sent the message. Mail of clients that we
//! relay for tells nothing: nothing was asked.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use super::mail_from::{self, Reason};
use super::spf::{self, SpfResult};
use super::{Evidence, Verdict, VerdictResult, forwarder, sender_domain};
use crate::addr::{Domain, ReversePath};
use crate::message::{Method, Property, ReceivedSpf, Results};

/// To what a verdict belongs.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The verdict, with all that it rests on.
    pub verdict: &'a Verdict,
    /// What was made of it: what is stored in spite of trouble is unknown.
    pub result: VerdictResult,
    /// MAIL FROM's argument.
    pub reverse_path: &'a ReversePath,
    /// What the client called itself.
    pub helo: &'a str,
    /// Our name in results.
    pub authserv_id: &'a Domain,
    /// Our own name.
    pub receiver: &'a Domain,
}

impl Told<'_> {
    /// Whole fields, topmost first; nothing where nothing was asked.
    pub fn to_fields(&self) -> String {
        let relayed = |piece: &Evidence| matches!(piece, Evidence::RelayClient { .. });
        if self.verdict.evidence().iter().any(relayed) {
            return String::new();
        }
        let results = Results {
            authserv_id: self.authserv_id,
            methods: &self.methods(),
        };
        let mut fields = results.to_field();
        fields.extend(self.verdict.spf().map(|report| self.received_spf(report)));
        fields
    }

    /// One result for everything that was looked at, the verdict first.
    fn methods(&self) -> Vec<Method> {
        let client = self.client().map(|client| client.to_string());
        let verdict = Method::new("x-vouchsafe", self.result.as_str());
        let verdict = if self.result == VerdictResult::Repudiated {
            verdict.because(MARK)
        } else {
            verdict
        };
        let mut methods = Vec::from([verdict
            .about(self.mailfrom())
            .about(client.map(|client| Property::text("smtp.remote-ip", &client)))]);
        for piece in self.verdict.evidence() {
            match piece {
                Evidence::MailFrom(report) => methods.push(self.mail_from(report)),
                Evidence::Spf(report) => methods.push(self.spf(report)),
                Evidence::Dkim { report, .. } => methods.extend(report.methods()),
                Evidence::Ledger(report) => methods.extend(report.method(self.reverse_path)),
                Evidence::Bounce(report) => methods.extend(report.method()),
                Evidence::SenderDomain(report) => methods.extend(sender_domain(report)),
                Evidence::Forwarder(report) => methods.extend(forwarder(report)),
                Evidence::RelayClient { .. }
                | Evidence::PerimeterOpen { .. }
                | Evidence::Postmaster
                | Evidence::Lasting => {}
            }
        }
        methods
    }

    /// The client that was asked about; behind an outer host of ours not the one that brought it.
    fn client(&self) -> Option<IpAddr> {
        let mail_from = self.verdict.mail_from().map(|report| report.client);
        mail_from.or_else(|| self.verdict.spf().map(|report| report.client))
    }

    /// The reverse-path, if it has an address.
    fn mailfrom(&self) -> Option<Property> {
        match self.reverse_path {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => Some(Property::mailbox("smtp.mailfrom", mailbox)),
            ReversePath::Bare(_) => {
                let text = self.reverse_path.to_string();
                Some(Property::text("smtp.mailfrom", &text))
            }
        }
    }

    /// What was asked about: the reverse-path, or the name that stands for a null one.
    fn about(&self, is_helo: bool, domain: Option<&Domain>) -> Option<Property> {
        if is_helo {
            domain.map(|domain| Property::domain("smtp.helo", domain))
        } else {
            self.mailfrom()
        }
    }

    /// The MAIL-FROM MX check's result.
    fn mail_from(&self, report: &mail_from::Report) -> Method {
        let is_helo = report.identity == mail_from::Identity::Helo;
        Method::new("x-mailfrom-mx", word(report.reason))
            .because(report.reason.as_str())
            .about(self.about(is_helo, report.domain.as_ref()))
    }

    /// SPF's result (RFC 8601 §2.7.2).
    fn spf(&self, report: &spf::Report) -> Method {
        let is_helo = report.identity == spf::Identity::Helo;
        Method::new("spf", report.result.as_str())
            .about(self.about(is_helo, report.domain.as_ref()))
    }

    /// SPF's own field.
    fn received_spf(&self, report: &spf::Report) -> String {
        let mut problem = report.problem.as_ref().map(ToString::to_string);
        if report.result == SpfResult::TempError {
            problem = Some(String::from("temporary DNS failure"));
        }
        let mechanism = report.matched.as_ref().map(|matched| &*matched.directive);
        let field = ReceivedSpf {
            result: report.result.as_str(),
            comment: comment(report.result),
            receiver: self.receiver,
            client: report.client,
            reverse_path: self.reverse_path,
            helo: self.helo,
            identity: report.identity.as_str(),
            mechanism,
            problem: problem.as_deref(),
        };
        field.to_field()
    }
}

/// Why a message is there that its domain repudiates.
const MARK: &str = "an outer host of ours had accepted it";

/// RFC 8601's word for the MAIL-FROM MX check's result: nothing published, or nobody to ask, is
/// none; what is published and cannot be followed is permerror; where it says nothing about this
/// client, neutral.
const fn word(reason: Reason) -> &'static str {
    match reason.result() {
        VerdictResult::Authorised => "pass",
        VerdictResult::Repudiated => "fail",
        VerdictResult::Tempfail => "temperror",
        VerdictResult::Unknown => match reason {
            Reason::Dns => "temperror",
            Reason::Limits | Reason::Empty => "permerror",
            Reason::OrdinaryMx | Reason::Wildcard | Reason::Perimeter => "neutral",
            _ => "none",
        },
    }
}

/// What SPF's result means.
const fn comment(result: SpfResult) -> &'static str {
    match result {
        SpfResult::None => "the domain publishes no SPF record",
        SpfResult::Neutral => "the domain says nothing about this client",
        SpfResult::Pass => "the domain lists this client",
        SpfResult::Fail => "the domain does not allow this client",
        SpfResult::SoftFail => "the domain probably does not allow this client",
        SpfResult::TempError => "not to be known now",
        SpfResult::PermError => "what the domain publishes cannot be followed",
    }
}

/// A domain that cannot have sent this.
fn sender_domain(report: &sender_domain::Report) -> Option<Method> {
    let reason = match report.finding {
        sender_domain::Finding::Absent => "the domain does not exist",
        sender_domain::Finding::NullMx => "the domain neither takes nor sends mail",
        sender_domain::Finding::Sound | sender_domain::Finding::NotKnown => return None,
    };
    let domain = Property::domain("smtp.mailfrom", &report.domain);
    let method = Method::new("x-sender-domain", "fail");
    Some(method.because(reason).about(Some(domain)))
}

/// A declared forwarder that brought it.
fn forwarder(report: &forwarder::Report) -> Option<Method> {
    let known = report.standing == forwarder::Standing::BorderRelay;
    let domain = Property::domain("policy.domain", &report.forwarder);
    known.then(|| Method::new("x-forwarder", "pass").about(Some(domain)))
}

#[cfg(test)]
mod tests;
