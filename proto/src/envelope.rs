//! The envelope: what a transaction agreed on besides the content (RFC 5321 §2.3.1).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use crate::addr::{ForwardPath, ReversePath};
use crate::residue::Claim;
use crate::smtp::xhold::TransactionId;
use crate::time::Wall;
use crate::verify::VerdictResult;

/// BODY of MAIL (RFC 6152).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BodyType {
    /// Seven-bit lines.
    #[default]
    SevenBit,
    /// Lines that may hold octets above 127.
    EightBitMime,
}

/// What is kept of a transaction, from MAIL to the last report about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// To whom a failure is reported, if to anybody.
    pub reverse_path: ReversePath,
    /// What was found about it. A DSN goes to no repudiated reverse-path (DESIGN §2).
    pub verdict: VerdictResult,
    /// On whose word it was let in.
    pub clearance: Clearance,
    /// Who gave us the message.
    pub origin: Origin,
    /// BODY.
    pub body: BodyType,
    /// SMTPUTF8 was asked for (RFC 6531 §3.4): only a hop that offers it may have the message.
    pub smtputf8: bool,
    /// What else MAIL asked for.
    pub requests: Requests,
    /// The recipients accepted, in order; never none.
    pub recipients: Vec<Recipient>,
    /// XTID: under which id next hops have been asked, or are, to take it, so that one that has taken it
    /// knows it again (PROTOCOLS C). None where nobody was asked yet, and nobody gave one.
    pub transaction: Option<TransactionId>,
    /// XVOUCH: which message its client said this is (PROTOCOLS D). The next hop is told so only of content that it
    /// holds for, too.
    pub claim: Option<Claim>,
    /// The fields that we put above the content: whole lines, each with its CRLF; empty for our own
    /// reports. They are known only at the end of the content, which is why they are here; whoever
    /// reads the content from the spool gets them first.
    pub trace: Box<str>,
}

impl Envelope {
    /// The envelope of a message for which nothing is asked but to be delivered: seven-bit, without
    /// trace fields, let in on its own word.
    pub fn plain(
        reverse_path: ReversePath,
        verdict: VerdictResult,
        origin: Origin,
        recipients: impl IntoIterator<Item = ForwardPath>,
    ) -> Self {
        Self {
            reverse_path,
            verdict,
            clearance: Clearance::Unneeded,
            origin,
            body: BodyType::SevenBit,
            smtputf8: false,
            requests: Requests::default(),
            recipients: recipients.into_iter().map(Recipient::from).collect(),
            transaction: None,
            claim: None,
            trace: Box::default(),
        }
    }
}

/// On whose word a reverse-path was let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Clearance {
    /// On its own: the verdict says all there is.
    #[default]
    Unneeded,
    /// Something spoke against it, or might have, and only what the recipient's side has declared
    /// cleared it: a forwarder, or that postmasters hear from anybody. The verdict is unknown, and
    /// yet a report to the reverse-path would go to somebody who most likely did not send.
    Declared,
}

/// What MAIL asks of all who carry the message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Requests {
    /// RET (RFC 3461 §4.3).
    pub ret: Option<Ret>,
    /// ENVID (RFC 3461 §4.4), decoded: up to [`MAX_ENVID`] printable ASCII characters and blanks.
    pub envid: Option<Box<str>>,
    /// BY (RFC 2852).
    pub deliver_by: Option<DeliverBy>,
    /// REQUIRETLS (RFC 8689): no hop without TLS that can be trusted may have it.
    pub require_tls: bool,
}

impl Requests {
    /// True if the message of this reverse-path rather comes back than goes to a hop without TLS. A
    /// report cannot come back: it asks for TLS, and goes without (RFC 8689 §5).
    pub fn demands_tls(&self, reverse_path: &ReversePath) -> bool {
        self.require_tls && !reverse_path.is_null()
    }

    /// True if all of the message is to come back when it fails. What no hop without TLS may have
    /// does not, whatever RET says (RFC 8689 §5).
    pub fn returns_all(&self) -> bool {
        self.ret == Some(Ret::Full) && !self.require_tls
    }
}

/// How much of a message comes back with the report that it failed (RFC 3461 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ret {
    /// All of it.
    Full,
    /// Its header.
    Headers,
}

/// By when a message is wanted at its recipient (RFC 2852).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeliverBy {
    /// The moment. Not bound to lie behind the message's arrival in [`ByMode::Notify`].
    pub deadline: Wall,
    /// What is to happen then.
    pub mode: ByMode,
    /// Every relay on the way is to be reported.
    pub trace: bool,
}

/// What happens to a message that is late (RFC 2852 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByMode {
    /// `N`: its sender is told, and it goes on.
    Notify,
    /// `R`: it is returned.
    Return,
}

/// One recipient, as RCPT gave it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recipient {
    /// The path.
    pub path: ForwardPath,
    /// NOTIFY (RFC 3461 §4.1); where it is not given, failures and delays are reported.
    pub notify: Option<Notify>,
    /// ORCPT (RFC 3461 §4.2).
    pub original: Option<OriginalRecipient>,
}

impl From<ForwardPath> for Recipient {
    fn from(path: ForwardPath) -> Self {
        Self {
            path,
            notify: None,
            original: None,
        }
    }
}

/// The path alone.
impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

/// Of what the sender wants to hear about one recipient (RFC 3461 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Notify {
    /// Of nothing at all.
    Never,
    /// Of these; never none of them.
    On {
        /// That it was delivered.
        success: bool,
        /// That it was not.
        failure: bool,
        /// That it is late.
        delay: bool,
    },
}

/// Who the sender had in mind, whatever the address has become on the way (RFC 3461 §4.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OriginalRecipient {
    /// Of which type its address is: an atom, `rfc822` or `utf-8` as a rule.
    pub address_type: Box<str>,
    /// The address, decoded: not always one of ours, and not always an address.
    pub address: Box<str>,
}

/// Characters of ENVID as it goes over the wire, encoded (RFC 3461 §4.4).
pub const MAX_ENVID: usize = 100;

/// Who gave us a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client over SMTP.
    Client {
        /// Its address.
        address: IpAddr,
        /// What it called itself in EHLO or HELO.
        helo: Box<str>,
    },
    /// We made it: a report.
    Ourselves,
}

impl Origin {
    /// For logs and listings: the address, or `-`.
    pub fn describe(&self) -> String {
        match self {
            Self::Client { address, .. } => alloc::format!("{address}"),
            Self::Ourselves => String::from("-"),
        }
    }
}
