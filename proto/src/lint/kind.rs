//! Every kind of finding: the word that stays the same from version to version, how bad it is, and
//! what to do.

use core::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Mail may be lost, or a forgery pass.
    Warning,
    /// It does not do what it is for.
    Error,
}

impl Severity {
    /// A stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Declares the kinds with their words, so that none can lack one.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident, $id:literal, $severity:ident, $cure:literal;)*) => {
        /// What was found.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// A stable word, for programs and `--ignore`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// How bad it is.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What to do about it.
            pub const fn cure(self) -> &'static str {
                match self { $(Self::$name => $cure,)* }
            }
        }
    };
}

kinds! {
    /// Neither a set nor an SPF record.
    NothingPublished, "nothing-published", Warning,
        "publish a set and an SPF record: vouchsafe publish";
    /// No set, but an SPF record.
    NoSet, "no-set", Info, "publish one: vouchsafe publish DOMAIN --from-spf";
    /// `MAIL-FROM.<domain>` cannot be named.
    NameTooLong, "name-too-long", Error, "use a shorter domain in MAIL FROM";
    /// A wildcard MX answers where the set is.
    WildcardShadow, "wildcard-shadow", Error,
        "publish the TXT \"v=MFMX1\" at the same name, if the set is meant; else a set of its own";
    /// A wildcard MX answers where no set is.
    WildcardOnly, "wildcard-only", Info,
        "nothing, if no set is meant; else publish one: vouchsafe publish";
    /// A set without its text beside a wildcard MX.
    NoTextBesideWildcard, "no-text-beside-wildcard", Warning,
        "publish the TXT \"v=MFMX1\" at the same name";
    /// A set without its text.
    NoText, "no-text", Info, "publish the TXT \"v=MFMX1\" at the same name";
    /// No record of the set has preference 0.
    NoPreferenceZero, "no-preference-zero", Error, "give every record of the set preference 0";
    /// One has another preference.
    PreferenceNotZero, "preference-not-zero", Warning, "give every record of the set preference 0";
    /// `0 .` beside others.
    NullBesideOthers, "null-beside-others", Warning,
        "remove the record with the dot, or all others if the domain never sends";
    /// No host of the set has an address.
    EmptySet, "empty-set", Error, "publish addresses for the hosts, or list others";
    /// A host without an address.
    HostWithoutAddress, "host-without-address", Warning,
        "publish its address, or remove it from the set";
    /// A host without an IPv4 address.
    NoIpv4, "no-ipv4", Info, "publish an A record if it ever sends over IPv4";
    /// A host without an IPv6 address.
    NoIpv6, "no-ipv6", Info, "publish an AAAA record if it ever sends over IPv6";
    /// A group without a set.
    GroupWithoutSet, "group-without-set", Error,
        "ask its owner to publish the set, or list the hosts themselves";
    /// A listed name that is an alias.
    ExchangeAlias, "exchange-alias", Warning, "list the name that it is an alias of";
    /// A set whose owner is an alias.
    SetAlias, "set-alias", Info, "nothing, if the alias is meant; else publish the set itself";
    /// A group that is named again.
    GroupAgain, "group-again", Warning, "remove the group where it leads back";
    /// More sets than are followed.
    OverSets, "over-sets", Error, "name fewer groups: a receiver follows 10 sets in all";
    /// More hosts than are looked up.
    OverHosts, "over-hosts", Error, "list fewer hosts: a receiver looks up 30 in all";
    /// A set too long.
    OverRecords, "over-records", Error, "list at most 20 records in a set; put the rest in groups";
    /// More names that lead nowhere than are put up with.
    OverVoid, "over-void", Error, "remove the names that do not exist: a receiver puts up with 4";
    /// Sets too deep.
    OverDepth, "over-depth", Error, "name the deeper groups further up: a receiver follows 5 levels";
    /// Aliases without end.
    OverAliases, "over-aliases", Error, "shorten the chain of aliases: a receiver follows 8";
    /// A set that is kept for too long.
    TtlTooLong, "ttl-too-long", Warning, "publish it with a TTL of at most 3600 seconds";
    /// Addresses that are kept for too long.
    AddressTtlTooLong, "address-ttl-too-long", Info,
        "publish the address with a TTL of at most 3600 seconds";
    /// Nobody vouches for the answers.
    Unsigned, "unsigned", Info, "sign the zone, and ask a validating resolver";
    /// An address that nobody outside ever sees.
    PrivateAddress, "private-address", Warning,
        "list the host by the public address that its mail leaves from";
    /// An address that bears the name of somebody else's host.
    SharedAddress, "shared-address", Info,
        "see that only your own mail can leave through it in your name, or use relays of your own";
    /// An address without a name.
    NoReverseName, "no-reverse-name", Info, "publish a PTR record that names the host";
    /// A relay that receives as well.
    RelayIsInbound, "relay-is-inbound", Info,
        "let mail leave through hosts that take none from outside, or see that this one relays for nobody";
    /// A relay that takes connections from anybody.
    OpenDoor, "open-door", Warning,
        "let a host that only sends refuse connections to port 25 from outside";
    /// A set, but no SPF record.
    NoSpf, "no-spf", Info, "publish one as well: most receivers look only at SPF";
    /// More than one SPF record.
    SpfSeveral, "spf-several", Error, "publish exactly one record that begins with v=spf1";
    /// An SPF record that cannot be read.
    SpfSyntax, "spf-syntax", Error, "mend the record";
    /// An SPF record that lets everybody pass.
    SpfPlusAll, "spf-plus-all", Error, "end the record with -all";
    /// An SPF record that refuses nobody.
    SpfOpenEnd, "spf-open-end", Info, "end the record with -all when all who send are in it";
    /// A network of an SPF record that is very wide.
    SpfWide, "spf-wide", Warning,
        "allow only the addresses that send; a pass by it proves nothing here";
    /// `ptr`.
    SpfPtr, "spf-ptr", Warning, "name hosts or networks instead (RFC 7208 §5.5)";
    /// More lookups than are made.
    SpfLookups, "spf-lookups", Error,
        "write addresses in the place of names, or drop terms, down to 10 (RFC 7208 §4.6.4)";
    /// More terms that find nothing than are put up with.
    SpfVoid, "spf-void", Error, "remove the names that do not exist, down to 2 (RFC 7208 §4.6.4)";
    /// An `mx` with too many hosts behind it.
    SpfManyExchanges, "spf-many-exchanges", Error,
        "name the hosts that send by a: or ip4: instead (RFC 7208 §4.6.4)";
    /// An `include` or `redirect` of what is no record.
    SpfBrokenInclude, "spf-broken-include", Error, "remove the term, or have its record mended";
    /// A record that leads back to itself.
    SpfLoop, "spf-loop", Error, "remove the term that leads back";
    /// A name in a record that leads nowhere.
    SpfDeadName, "spf-dead-name", Warning, "remove the term, or publish the name";
    /// SPF lets addresses pass though the domain never sends.
    NeverButSpf, "never-but-spf", Error,
        "publish v=spf1 -all, or a set of the hosts that send: vouchsafe publish --from-spf";
    /// Addresses of the set that SPF does not let pass.
    SpfLacks, "spf-lacks", Warning,
        "add them to the SPF record, or remove them from the set: vouchsafe publish prints both";
    /// Addresses that SPF lets pass and that the set lacks.
    SetLacks, "set-lacks", Warning,
        "add those that send to the set, and remove the others from SPF: vouchsafe publish --from-spf";
    /// `_sent` has several offers, or one that cannot be read.
    LedgerOffer, "ledger-offer", Warning,
        "publish one text, as the service that answers does: vouchsafe publish --ledger";
    /// An offer that wants wider questions than anybody asks.
    LedgerAsksTooMuch, "ledger-asks-too-much", Warning, "offer l=80";
    /// An offer that wants rejection, of a domain that does not say who sends.
    LedgerWithoutSet, "ledger-without-set", Warning,
        "publish a set of the hosts that send: vouchsafe publish";
    /// A server of the ledger without an address.
    LedgerServerWithoutAddress, "ledger-server-without-address", Warning,
        "publish its address, or remove it from the name servers";
    /// A server of the ledger that nobody outside ever sees.
    LedgerServerPrivate, "ledger-server-private", Warning,
        "name a server with an address of the Internet";
    /// The only server of the ledger.
    LedgerOneServer, "ledger-one-server", Info,
        "leave it: mail is put off for half a minute, and none is lost; a second host must have all that was sent";
    /// Hosts that may send in the domain's name and enter nothing into its ledger.
    LedgerOthersSend, "ledger-others-send", Warning,
        "enter what they send, and name them in [ledger.writers]; or take them out of the set and the SPF record";
    /// The ledger cannot tell what was not sent.
    LedgerSaysUnknown, "ledger-says-unknown", Warning,
        "on the host that answers, see vouchsafe ledger stat: it has begun less than two hours ago, was away, or others may send";
    /// The ledger does not answer as one does.
    LedgerNoAnswer, "ledger-no-answer", Warning,
        "delegate _sent to the service that answers: vouchsafe publish --ledger";
    /// The ledger has sent everything.
    LedgerSaysSent, "ledger-says-sent", Error,
        "remove the wildcard that answers, and delegate _sent to the service that has the ledger";
    /// An answer that is kept for too long.
    LedgerAnswerKept, "ledger-answer-kept", Warning,
        "answer with a TTL of 3600 seconds for sent, 30 for not sent, 0 for unknown";
    /// Something that could not be asked.
    NotChecked, "not-checked", Warning, "try again later; if it stays so, mend the name servers";
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn words_are_kebab_case_and_each_its_own() {
        let words: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(words.len(), Kind::ALL.len());
        for word in words {
            let fits = |octet: u8| octet.is_ascii_lowercase() || b"-0123456789".contains(&octet);
            assert!(word.bytes().all(fits), "{word}");
        }
    }
}
