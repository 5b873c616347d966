//! The world that is asked about: domains that publish a MAIL-FROM set or SPF or both, in the shapes
//! that are met with, and for each a client that is listed, or, for one in four, is not.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Context as _;

/// The apex of the one zone.
const APEX: &str = "bench.test";

/// Writes `zone` and `checks`: lines of client and domain.
#[expect(clippy::disallowed_methods, reason = "files of a benchmark")]
pub fn write(folder: &Path, domains: usize) -> anyhow::Result<()> {
    let mut zone = format!(
        "$ORIGIN {APEX}.\n$TTL 300\n@ SOA ns.{APEX}. root.{APEX}. 1 3600 600 86400 60\n@ NS ns.{APEX}.\nns A \
         127.0.0.1\nclient A 192.0.2.1\n"
    );
    let mut checks = String::new();
    for at in 0..domains {
        let listed = Ipv4Addr::new(203, 0, 113, u8::try_from(at % 250)? + 1);
        domain(&mut zone, at, listed)?;
        // Nobody lists these. Each is another, as the listed ones are: what is asked on account of one client is limited.
        let stranger = Ipv4Addr::new(198, 18, 0, u8::try_from(at % 250)? + 1);
        let client = if at / 8 % 4 == 3 { stranger } else { listed };
        writeln!(checks, "{client} d{at}.{APEX}")?;
    }
    fs::write(folder.join("zone"), zone).context("writing the zone")?;
    fs::write(folder.join("checks"), checks).context("writing the checks")
}

/// One domain of the eight shapes: four with a MAIL-FROM set, and SPF of every shape beside it or
/// instead of it. Whoever asks for SPF alone finds the same client listed.
fn domain(zone: &mut String, at: usize, listed: Ipv4Addr) -> anyhow::Result<()> {
    let d = format!("d{at}");
    writeln!(
        zone,
        "{d} A 192.0.2.80\n{d} MX 10 mx.{d}\nmx.{d} A {listed}"
    )?;
    writeln!(zone, "_inner.{d} TXT \"v=spf1 ip4:{listed} -all\"")?;
    writeln!(
        zone,
        "_outer.{d} TXT \"v=spf1 ip4:192.0.2.0/28 include:_inner.{d}.{APEX} -all\""
    )?;
    let (hosts, spf) = match at % 8 {
        0 => (1, format!("v=spf1 ip4:{listed} -all")),
        1 => (2, String::from("v=spf1 a mx -all")),
        2 => (4, format!("v=spf1 include:_outer.{d}.{APEX} -all")),
        3 => (2, format!("v=spf1 mx include:_inner.{d}.{APEX} ~all")),
        4 => (0, format!("v=spf1 ip4:192.0.2.0/28 ip4:{listed} -all")),
        5 => (0, format!("v=spf1 include:_outer.{d}.{APEX} ~all")),
        6 => (0, String::from("v=spf1 a mx ip4:192.0.2.0/28 -all")),
        _ => (0, format!("v=spf1 redirect=_inner.{d}.{APEX}")),
    };
    writeln!(zone, "{d} TXT \"{spf}\"")?;
    for host in 0..hosts {
        // The listed address is the last host's, so that all of them are looked up.
        let address = if host + 1 == hosts {
            listed
        } else {
            Ipv4Addr::new(192, 0, 2, 100 + u8::try_from(host)?)
        };
        writeln!(
            zone,
            "mail-from.{d} MX 0 out{host}.{d}\nout{host}.{d} A {address}"
        )?;
    }
    Ok(())
}

/// One question of the list.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The client.
    pub client: Ipv4Addr,
    /// The reverse-path's domain.
    pub domain: String,
}

/// The list that [`write`] wrote.
pub fn read(checks: &Path) -> anyhow::Result<Vec<Asked>> {
    let text = fs::read_to_string(checks).context("reading the checks")?;
    let mut list = Vec::new();
    for line in text.lines() {
        let (client, domain) = line.split_once(' ').context("a line of the checks")?;
        list.push(Asked {
            client: client.parse().context("a client of the checks")?,
            domain: String::from(domain),
        });
    }
    Ok(list)
}
