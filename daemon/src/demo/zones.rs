//! What the demo's world publishes, and who lives where in it: every address lies in 127.0.0.0/8,
//! every name under the domains that RFC 2606 keeps for examples.
//!
//! The texts here are both what the in-process name server answers from and what the stories show,
//! so that the two cannot differ.

use std::net::{Ipv4Addr, SocketAddr};

/// The service itself, and the name server.
pub const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// The bank's outgoing host, which it lists.
pub const BANK_OUT: Ipv4Addr = Ipv4Addr::new(127, 0, 10, 25);

/// The host that takes the bank's mail.
pub const BANK_IN: Ipv4Addr = Ipv4Addr::new(127, 0, 10, 26);

/// Somebody who is not the bank.
pub const FORGER: Ipv4Addr = Ipv4Addr::new(127, 0, 66, 6);

/// A host of the domain whose DNS fails.
pub const BROKEN_OUT: Ipv4Addr = Ipv4Addr::new(127, 0, 20, 25);

/// A host of the domain that publishes nothing.
pub const QUIET_OUT: Ipv4Addr = Ipv4Addr::new(127, 0, 30, 25);

/// The provider's outgoing host.
pub const ISP_OUT: Ipv4Addr = Ipv4Addr::new(127, 0, 40, 25);

/// The site's mailbox server.
pub const MAILBOXES: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 1);

/// The branch office's mailbox server.
pub const BRANCH: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 2);

/// The mailbox server of a domain that is being given up.
pub const OLD: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 3);

/// The campus's mail server, the second of three in a row.
pub const CAMPUS: Ipv4Addr = Ipv4Addr::new(127, 0, 6, 1);

/// The faculty's, the third.
pub const FACULTY: Ipv4Addr = Ipv4Addr::new(127, 0, 6, 2);

/// The laboratory's mailbox server, behind the three.
pub const LAB: Ipv4Addr = Ipv4Addr::new(127, 0, 6, 3);

/// The college's mail server, which has its ledger.
pub const COLLEGE: Ipv4Addr = Ipv4Addr::new(127, 0, 7, 1);

/// Where the college's people have their mailboxes.
pub const COLLEGE_IN: Ipv4Addr = Ipv4Addr::new(127, 0, 7, 2);

/// Where they write.
pub const COLLEGE_DESK: Ipv4Addr = Ipv4Addr::new(127, 0, 7, 100);

/// A host that forwards for those who were at the college once.
pub const ALUMNI: Ipv4Addr = Ipv4Addr::new(127, 0, 50, 25);

/// An honest host that has believed a forger.
pub const DECEIVED: Ipv4Addr = Ipv4Addr::new(127, 0, 60, 25);

/// A domain that lets only its own host send, and says what that has sent.
pub const LEDGER: &str = "\
MAIL-FROM.college.example.  MX   0 mx.college.example.
college.example.            TXT  \"v=spf1 a:mx.college.example -all\"
mx.college.example.         A    127.0.7.1
_sent.college.example.      NS   mx.college.example.
_sent.college.example.      TXT  \"v=vouch1 h=sha256-128 b=24 w=336 l=80 p=reject\"";

/// Which hosts may send for the bank.
pub const BANK: &str = "\
MAIL-FROM.bank.example.  MX  0 out.bank.example.
out.bank.example.        A   127.0.10.25";

/// Who takes the bank's mail.
pub const BANK_MX: &str = "\
bank.example.            MX  10 mail.bank.example.
mail.bank.example.       A   127.0.10.26";

/// A domain that knows nothing of the check.
pub const QUIET: &str = "\
quiet.example.           MX  10 mail.quiet.example.
mail.quiet.example.      A   127.0.30.25";

/// A domain that sends through its provider, and names the provider's set.
pub const SHOP: &str = "\
MAIL-FROM.shop.example.  MX  0 MAIL-FROM.isp.example.";

/// The provider's set.
pub const ISP: &str = "\
MAIL-FROM.isp.example.   MX  0 relay.isp.example.
relay.isp.example.       A   127.0.40.25";

/// All of it, as the name server reads it. What belongs to `broken.example` is never answered.
pub fn text() -> String {
    format!(
        "zone bank.example\n{BANK}\n{BANK_MX}\nzone quiet.example\n{QUIET}\nzone shop.example\n\
         {SHOP}\nzone isp.example\n{ISP}\nzone college.example\n{LEDGER}\nzone deceived.example\nservfail broken.example\n"
    )
}

/// The configuration of the service, a real file's text: the site's name, its folder, where its
/// domains' mail goes, and the ports of this world.
pub fn configuration(places: &Places<'_>) -> String {
    let Places {
        data_dir,
        dns,
        mailboxes,
        branch,
        old,
        campus,
        mx_port,
        ledgers,
    } = places;
    format!(
        r#"# The configuration of this demo's service; it goes away with the demo.
hostname = "mx.example.org"
data_dir = "{data_dir}"

[[listen]]
address = "{HERE}:0"

[domains."example.org"]
next_hop = "smtp://{mailboxes}"

[domains."branch.example.org"]
next_hop = "smtp://{branch}"
path = "store"

[domains."old.example.org"]
next_hop = "smtp://{old}"
path = "store"

[domains."lab.example.org"]
next_hop = "smtp://{campus}"
path = "hold"

[relay]
mx_port = {mx_port}

[dns]
servers = ["{dns}"]
authority_port = {ledgers}

[verify]
special_use = true

[retry]
first = "1s"
longest = "1s"
"#
    )
}

/// The configuration of a server behind that one, which holds the path to the next.
pub fn configuration_behind(
    (hostname, address): (&str, Ipv4Addr),
    data_dir: &str,
    dns: SocketAddr,
    next_hop: SocketAddr,
) -> String {
    format!(
        r#"# The configuration of a server in this demo; it goes away with the demo.
hostname = "{hostname}"
data_dir = "{data_dir}"

[[listen]]
address = "{address}:0"

[domains."lab.example.org"]
next_hop = "smtp://{next_hop}"
path = "hold"

[dns]
servers = ["{dns}"]
"#
    )
}

/// The configuration of the college's server.
pub fn configuration_of_college(
    data_dir: &str,
    dns: SocketAddr,
    mailboxes: SocketAddr,
    outside: SocketAddr,
) -> String {
    format!(
        r#"# The configuration of a server in this demo; it goes away with the demo.
hostname = "mx.college.example"
data_dir = "{data_dir}"

[[listen]]
address = "{COLLEGE}:0"

[domains."college.example"]
next_hop = "smtp://{mailboxes}"

[relay]
from = ["{COLLEGE_DESK}/32"]
next_hop = "smtp://{outside}"

[ledger]
address = ["{COLLEGE}:0"]
name_servers = ["mx.college.example"]
policy = "reject"

[bounces]
refuse = true

[dns]
servers = ["{dns}"]
"#
    )
}

/// What differs each time that the world is made.
#[derive(Debug)]
pub struct Places<'a> {
    /// The folder of the queue.
    pub data_dir: &'a str,
    /// The name server.
    pub dns: SocketAddr,
    /// The next hop of `example.org`.
    pub mailboxes: SocketAddr,
    /// The next hop of `branch.example.org`.
    pub branch: SocketAddr,
    /// The next hop of `old.example.org`.
    pub old: SocketAddr,
    /// The next hop of `lab.example.org`.
    pub campus: SocketAddr,
    /// The port at which the bank's host takes mail.
    pub mx_port: u16,
    /// The port at which domains say what they have sent.
    pub ledgers: u16,
}
