//! Declared forwarders (PROTOCOLS A.5): hosts that a recipient has mail sent on by, known by the
//! name of their domain.
//!
//! Forwarded mail keeps its reverse-path, so to the reverse-path's domain its client is a stranger.
//! Who is forwarded for knows by whom. If the client is a border relay of a declared forwarder, a
//! repudiation does not hold; the reverse-path is not thereby proven. The set follows the
//! forwarder's own DNS: what is asked of it is what would be asked of any domain.
//!
//! Left to others: reading what was declared (the configuration), and asking.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use crate::addr::{Domain, ForwardPath, MailDomain, Mailbox};
use crate::envelope::Clearance;
use crate::reply::Reply;

use super::fusion::{fuse, weights};
use super::{Evidence, Step, Verdict, VerdictResult, Weight, spf};

/// Which forwarders are declared, and for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// For every recipient.
    pub site: Vec<Domain>,
    /// For every recipient of a domain.
    pub domains: BTreeMap<Domain, Vec<Domain>>,
    /// For one recipient, under [`Self::key`].
    pub recipients: BTreeMap<Box<str>, Vec<Domain>>,
}

impl Declared {
    /// True if nobody has declared any.
    pub fn is_empty(&self) -> bool {
        self.site.is_empty()
            && self.domains.values().all(Vec::is_empty)
            && self.recipients.values().all(Vec::is_empty)
    }

    /// Under what a recipient's own are filed. Upper and lower case are one here, whatever the
    /// mailbox server makes of them: a recipient means himself.
    pub fn key(mailbox: &Mailbox) -> Box<str> {
        let local_part = mailbox.local_part.unquoted().to_lowercase();
        let domain = match &mailbox.domain {
            MailDomain::Name(domain) => domain.as_ascii(),
            MailDomain::Literal(_) | MailDomain::Unusable(_) => "",
        };
        format!("{local_part}@{domain}").into_boxed_str()
    }

    /// Those declared for a recipient: its own first, each once, up to [`MAX_ASKED`].
    pub fn of(&self, recipient: &ForwardPath) -> Vec<Domain> {
        let (own, domain) = match recipient {
            ForwardPath::Mailbox(mailbox) => (
                self.recipients.get(&Self::key(mailbox)),
                match &mailbox.domain {
                    MailDomain::Name(domain) => self.domains.get(domain),
                    MailDomain::Literal(_) | MailDomain::Unusable(_) => None,
                },
            ),
            ForwardPath::Postmaster => (None, None),
        };
        let mut all = Vec::new();
        for forwarder in [own, domain, Some(&self.site)]
            .into_iter()
            .flatten()
            .flatten()
        {
            if all.len() < MAX_ASKED && !all.contains(forwarder) {
                all.push(forwarder.clone());
            }
        }
        all
    }
}

/// Forwarders asked about for one recipient. Each costs up to a whole check of a domain, and few
/// people have their mail sent on from more than two or three places.
pub const MAX_ASKED: usize = 10;

/// What the client is to the forwarder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It is one of its border relays.
    BorderRelay,
    /// It is none, as far as the forwarder says anything.
    Stranger,
    /// Not to be known now.
    NotKnown,
    /// Not to be known for so long that it must not cost the recipient his mail
    /// ([`super::lasting`]).
    Lasting,
}

impl Standing {
    /// The stable word, for logs and `check`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BorderRelay => "border_relay",
            Self::Stranger => "stranger",
            Self::NotKnown => "not_known",
            Self::Lasting => "lasting",
        }
    }
}

/// What was found about one declared forwarder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The forwarder's domain.
    pub forwarder: Domain,
    /// What the client is to it.
    pub standing: Standing,
    /// The evidence, as if the forwarder's domain stood in the reverse-path.
    pub evidence: Vec<Evidence>,
}

impl Report {
    /// What the verdict on the forwarder's own domain, asked about the same client, means here: a
    /// listed host or any SPF pass is its border relay.
    pub fn of(forwarder: Domain, verdict: &Verdict) -> Self {
        let evidence = verdict.evidence();
        let passes = evidence.iter().any(|piece| match piece {
            Evidence::MailFrom(report) => report.result == VerdictResult::Authorised,
            Evidence::Spf(report) => report.result == spf::SpfResult::Pass,
            _ => false,
        });
        let lasting = evidence
            .iter()
            .any(|piece| matches!(piece, Evidence::Lasting));
        let standing = if passes {
            Standing::BorderRelay
        } else if lasting {
            Standing::Lasting
        } else if verdict.has(Weight::Trouble) {
            Standing::NotKnown
        } else {
            Standing::Stranger
        };
        Self {
            forwarder,
            standing,
            evidence: evidence.to_vec(),
        }
    }

    /// What this evidence says (DESIGN §3).
    pub const fn weight(&self) -> Weight {
        match self.standing {
            Standing::BorderRelay | Standing::Lasting => Weight::Clears,
            Standing::Stranger => Weight::Silent,
            Standing::NotKnown => Weight::Trouble,
        }
    }

    /// Questions that were asked of the resolver.
    pub fn questions(&self) -> u32 {
        let each = self.evidence.iter().map(Evidence::questions);
        each.fold(0, u32::saturating_add)
    }

    /// Each question with its answer.
    pub fn steps(&self) -> Vec<&Step> {
        self.evidence.iter().flat_map(Evidence::steps).collect()
    }

    /// The reply while it is not known whether the client is this forwarder.
    pub fn refusal(&self) -> Option<Reply> {
        let forwarder = self.forwarder.as_ascii();
        (self.standing == Standing::NotKnown).then(|| {
            Reply::new(
                451,
                (4, 4, 3),
                format!("temporary DNS failure checking forwarder {forwarder}, try again later"),
            )
        })
    }
}

impl Verdict {
    /// True if something declared for the recipient clears it of whatever speaks against it, now or later.
    pub fn has_declared(&self) -> bool {
        let clears = |piece: &Evidence| piece.weight(self.mail_from_weight()) == Weight::Clears;
        let mut declared = self.evidence.iter().filter(|piece| piece.is_of_recipient());
        declared.any(clears)
    }

    /// On whose word it lets the reverse-path in.
    pub fn clearance(&self) -> Clearance {
        // What proves, proves, whoever else has a word.
        if self.result != VerdictResult::Unknown || !self.has_declared() {
            return Clearance::Unneeded;
        }
        let others = self
            .evidence
            .iter()
            .filter(|piece| !piece.is_of_recipient());
        let others: Vec<_> = others.cloned().collect();
        if fuse(&weights(&others)).refuses() {
            Clearance::Declared
        } else {
            Clearance::Unneeded
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    #[test]
    fn a_recipient_has_its_own_its_domains_and_the_sites_forwarders() {
        let alice = Mailbox::parse("Alice@Example.org").unwrap();
        let mut declared = Declared::default();
        assert!(declared.is_empty());
        declared.site = vec![domain("site.example")];
        let of_domain = vec![domain("both.example"), domain("site.example")];
        declared.domains.insert(domain("example.org"), of_domain);
        let own = vec![domain("own.example"), domain("both.example")];
        declared.recipients.insert(Declared::key(&alice), own);
        assert!(!declared.is_empty());
        let of = |text: &str| {
            let path = ForwardPath::Mailbox(Mailbox::parse(text).unwrap());
            let all: Vec<_> = declared.of(&path).iter().map(ToString::to_string).collect();
            all.join(" ")
        };
        assert_eq!(
            of("aLICE@example.ORG"),
            "own.example both.example site.example"
        );
        assert_eq!(of("bob@example.org"), "both.example site.example");
        assert_eq!(of("alice@example.net"), "site.example");
        assert_eq!(declared.of(&ForwardPath::Postmaster).len(), 1);
    }

    #[test]
    fn no_recipient_has_us_ask_without_end() {
        let site = (0..100)
            .map(|at| domain(&format!("f{at}.example")))
            .collect();
        let declared = Declared {
            site,
            ..Declared::default()
        };
        assert_eq!(declared.of(&ForwardPath::Postmaster).len(), MAX_ASKED);
    }
}
