//! What the check found, and everything it saw: for the reply, for logs, for `check`.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use ipnet::IpNet;

use crate::addr::Domain;
use crate::dns::Name;
use crate::reply::{EnhancedStatus, Reply};
use crate::verify::{Step, TroubleAt, Weight};

use super::record::MechanismKind;
use super::syntax::SyntaxErrorKind;

/// The seven results (RFC 7208 §2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpfResult {
    /// There is no record, or no domain to ask.
    None,
    /// The domain says nothing about this client.
    Neutral,
    /// The client may send for the domain.
    Pass,
    /// It may not.
    Fail,
    /// It probably may not.
    SoftFail,
    /// Not to be known now.
    TempError,
    /// What is published cannot be followed.
    PermError,
}

impl SpfResult {
    /// The word of RFC 7208 §2.6, which `Received-SPF` and `Authentication-Results` use too.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl fmt::Display for SpfResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose domain was asked (RFC 7208 §2.3, §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// The reverse-path's.
    MailFrom,
    /// HELO's, since the reverse-path is null.
    Helo,
}

impl Identity {
    /// The word that `Received-SPF` uses (RFC 7208 §9.1).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MailFrom => "mailfrom",
            Self::Helo => "helo",
        }
    }
}

/// What the check found, and everything it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The result.
    pub result: SpfResult,
    /// Where the domain comes from.
    pub identity: Identity,
    /// The domain that was asked, if there is one.
    pub domain: Option<Domain>,
    /// The client, IPv4 wherever it is one.
    pub client: IpAddr,
    /// The directive that decided; none where none matched, and for none and the two errors.
    pub matched: Option<Matched>,
    /// The domain's own words about a fail: printable ASCII, of bounded length. Somebody else's
    /// text all the same.
    pub explanation: Option<Box<str>>,
    /// Why permerror.
    pub problem: Option<Problem>,
    /// What was not to be known.
    pub trouble: Vec<TroubleAt>,
    /// Terms that asked the DNS.
    pub lookups: u32,
    /// Those of them that found nothing.
    pub void_lookups: u32,
    /// Something of it holds for this sender, this HELO or this moment alone (`%{s}`, `%{l}`,
    /// `%{h}`, `%{t}`).
    pub personal: bool,
    /// The least TTL among the answers.
    pub ttl: Option<u32>,
    /// Questions asked of the resolver.
    pub questions: u32,
    /// Each question with its answer, in the order in which they were asked.
    pub steps: Vec<Step>,
}

/// The directive that decided: where records lead to others, the last one, that looked at the
/// client itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The directive as a record writes it.
    pub directive: Box<str>,
    /// Its mechanism.
    pub mechanism: MechanismKind,
    /// The domain of the record in which it stands.
    pub owner: Name,
    /// The terms that led to that record, from the domain's own record on.
    pub chain: Vec<Link>,
    /// What the client was compared with: the network of `ip4` and `ip6`, the address of `a` and
    /// `mx` with as many bits as count. None for `all`, `ptr` and `exists`.
    pub network: Option<IpNet>,
    /// A name on the way was made of what the client says of itself or of its reverse DNS
    /// (`%{h}`, `%{p}`): whoever controls those has a say in the match.
    pub client_named: bool,
}

/// A term that leads to another record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The domain of the record in which it stands.
    pub owner: Name,
    /// `include:…` or `redirect=…` as a record writes it.
    pub term: Box<str>,
}

/// Why what is published cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is.
    pub kind: ProblemKind,
    /// The domain of the record in which it stands.
    pub owner: Name,
    /// Octets of that record's text in front of it, for syntax errors.
    pub at: Option<usize>,
}

/// What can make a permerror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The record is not one.
    Syntax(SyntaxErrorKind),
    /// More than one record at the name (RFC 7208 §4.5).
    ManyRecords,
    /// A name that the DNS cannot hold: an empty label, or one of more than 63 octets.
    BadName,
    /// `include:` or `redirect=` leads to a name without a record, or to no name.
    NoRecord,
    /// More than [`super::limits::MAX_LOOKUPS`] terms that ask the DNS.
    Lookups,
    /// More than [`super::limits::MAX_VOID`] terms that found nothing.
    Void,
    /// An `mx` with more than [`super::limits::MAX_MX`] records.
    MxRecords,
    /// More than [`crate::dns::MAX_ALIASES`] aliases for one name, or a loop of them.
    Aliases,
}

impl Matched {
    /// True if `all` decided, which says nothing about this client.
    pub fn is_through_all(&self) -> bool {
        self.mechanism == MechanismKind::All
    }

    /// True if `ptr` decided, which rests on what the client's own network publishes.
    pub fn is_through_ptr(&self) -> bool {
        self.mechanism == MechanismKind::Ptr
    }
}

impl Report {
    /// A report for which nothing had to be asked.
    pub fn unasked(result: SpfResult, identity: Identity, client: IpAddr) -> Self {
        Self {
            result,
            identity,
            domain: None,
            client,
            matched: None,
            explanation: None,
            problem: None,
            trouble: Vec::new(),
            lookups: 0,
            void_lookups: 0,
            personal: false,
            ttl: None,
            questions: 0,
            steps: Vec::new(),
        }
    }

    /// True if no trouble was passed over on the way to a definite result. RFC 7208 §5.5 passes
    /// over trouble with a client's reverse DNS, which may hide a match: a fail that is not firm
    /// must not reject.
    pub fn is_firm(&self) -> bool {
        self.result != SpfResult::TempError && self.trouble.is_empty()
    }

    /// True if this proves the reverse-path where MAIL-FROM says nothing (DESIGN §3): a pass that
    /// names this client's network, not through `all`, `ptr` or a name of the client's own making,
    /// and a network no wider than /16, or /32 in IPv6. A pass by `exists` names no network, and
    /// so only clears, like any other pass.
    pub fn proves_if_mail_from_silent(&self) -> bool {
        /// The widest IPv4 network that is still somebody's own.
        const WIDEST_V4: u8 = 16;
        /// The widest IPv6 network that is still somebody's own: what a registry gives to one.
        const WIDEST_V6: u8 = 32;
        let Some(matched) = &self.matched else {
            return false;
        };
        let narrow = matched.network.is_some_and(|network| match network {
            IpNet::V4(network) => network.prefix_len() >= WIDEST_V4,
            IpNet::V6(network) => network.prefix_len() >= WIDEST_V6,
        });
        self.result == SpfResult::Pass
            && self.is_firm()
            && narrow
            && !matched.client_named
            && !matched.is_through_all()
            && !matched.is_through_ptr()
    }

    /// What this evidence says, beside what the MAIL-FROM MX check says (DESIGN §3). A fail that
    /// is not firm is trouble: what was not to be known may have been a match.
    pub fn weight(&self, mail_from: Weight) -> Weight {
        match self.result {
            SpfResult::Pass if mail_from == Weight::Silent && self.proves_if_mail_from_silent() => {
                Weight::Proves
            }
            SpfResult::Pass => Weight::Clears,
            SpfResult::Fail if self.is_firm() => Weight::Against,
            SpfResult::Fail | SpfResult::TempError => Weight::Trouble,
            SpfResult::None | SpfResult::Neutral | SpfResult::SoftFail | SpfResult::PermError => {
                Weight::Silent
            }
        }
    }

    /// The reply that refuses the mail: for a fail the code of RFC 7372 §3.2 and, on lines of
    /// their own, the words of the domain (RFC 7208 §8.4).
    pub fn refusal(&self) -> Option<Reply> {
        let domain = self.domain.as_ref()?.as_ascii();
        match self.result {
            SpfResult::Fail if self.is_firm() => {
                let said = format!("SPF of {domain} does not allow mail from {}", self.client);
                let mut lines = vec![said.into()];
                if let Some(explanation) = &self.explanation {
                    lines.push(format!("{domain} explains:").into());
                    lines.push(String::from(&**explanation).into());
                }
                Some(Reply::received(
                    550,
                    Some(EnhancedStatus::new(5, 7, 23)),
                    lines,
                ))
            }
            SpfResult::Fail | SpfResult::TempError => Some(Reply::new(
                451,
                (4, 4, 3),
                format!("temporary DNS failure checking SPF of {domain}, try again later"),
            )),
            _ => None,
        }
    }

    /// The same report without each question and answer.
    #[must_use]
    pub(in crate::verify) fn without_steps(&self) -> Self {
        Self {
            steps: Vec::new(),
            ..self.clone()
        }
    }

    /// Seconds for which the result may stand for the same domain and client; 0 for not at all,
    /// which is so for what is temporary or rests on it, and for what is one sender's alone.
    pub fn keep_for(&self) -> u32 {
        if self.is_firm() && !self.personal {
            self.ttl.unwrap_or(0)
        } else {
            0
        }
    }
}
